"""What vProtect said last. Written by workers only; fields under "concluded" are ours, the rest is upstream's."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Case, Value, When
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_scopes import ScopedManager

from tenants.models import Tenant


class Protection(models.TextChoices):
    """How well a machine is protected, as a person asks it (words: docs of the pages)."""

    FAILED = "failed", _("Failed")
    OVERDUE = "overdue", _("Overdue")
    UNPROTECTED = "unprotected", _("Not protected")
    PAUSED = "paused", _("Paused")
    NEW = "new", _("New")
    PROTECTED = "protected", _("Protected")
    DELETED = "deleted", _("Deleted, restorable")
    GONE = "gone", _("Deleted")
    UNKNOWN = "unknown", _("Unknown")


WORST_FIRST = (
    Protection.FAILED,
    Protection.OVERDUE,
    Protection.UNPROTECTED,
    Protection.PAUSED,
    Protection.UNKNOWN,
    Protection.NEW,
    Protection.PROTECTED,
    Protection.DELETED,
    Protection.GONE,
)
SEVERITY = Case(
    *(When(protection=name, then=Value(place)) for place, name in enumerate(WORST_FIRST)),
    default=Value(len(WORST_FIRST)),
    output_field=models.IntegerField(),
)


class Machine(models.Model):
    """A virtual machine of vProtect's inventory, also one that no longer exists (API reference, 5.1).

    Sizes are bytes, times aware UTC. `backup_up_to_date` None = vProtect knows no schedule for it.
    `owner_value` is the value of the claim that made it somebody's.
    """

    class OwnedBy(models.TextChoices):
        CLAIM = "claim", "GUID claim"
        TENANT_ID = "tenant_id", "its tenantId"
        PROJECT = "project", "its project"
        LISTING = "listing", "a filtered listing"

    guid = models.CharField(max_length=64)
    name = models.TextField()
    uuid = models.CharField(max_length=128, blank=True)
    present = models.BooleanField(default=True)
    platform = models.CharField(max_length=40, blank=True)
    is_standalone_hypervisor = models.BooleanField(default=False)
    hypervisor_guid = models.CharField(max_length=64, blank=True)
    hypervisor_name = models.TextField(blank=True)
    hv_manager_guid = models.CharField(max_length=64, blank=True)
    cluster_name = models.TextField(blank=True)
    project_guid = models.CharField(max_length=64, blank=True)
    project_name = models.TextField(blank=True)
    tenant_value = models.CharField(max_length=255, blank=True)
    policy_guid = models.CharField(max_length=64, blank=True)
    policy_name = models.TextField(blank=True)
    backup_up_to_date = models.BooleanField(null=True)
    last_backup_at = models.DateTimeField(null=True)
    last_size = models.BigIntegerField(null=True)
    last_full_size = models.BigIntegerField(null=True)
    warnings_present = models.BooleanField(default=False)
    tags = models.JSONField(default=list)
    row_digest = models.CharField(max_length=64)

    details = models.JSONField(default=dict)
    details_at = models.DateTimeField(null=True)
    details_wanted_at = models.DateTimeField(null=True)
    backups_at = models.DateTimeField(null=True)
    backups_wanted_at = models.DateTimeField(null=True)

    # Concluded by us.
    tenant = models.ForeignKey(Tenant, models.SET_NULL, null=True, related_name="machines", db_index=False)
    owned_by = models.CharField(max_length=10, choices=OwnedBy, blank=True)
    owner_value = models.CharField(max_length=255, blank=True)
    protection = models.CharField(max_length=12, choices=Protection, default=Protection.UNKNOWN)
    # Since when it is its tenant's, and in its plan; written by triggers, so that no way of changing forgets it.
    owned_at = models.DateTimeField(null=True, editable=False)
    planned_at = models.DateTimeField(null=True, editable=False)
    last_success_at = models.DateTimeField(null=True)
    # From when on its newest good backup is too old (`targets`); null = without target.
    late_at = models.DateTimeField(null=True)
    # Of one that is deleted: its newest restore point, and until when one is expected to be left, if that is known.
    newest_point_at = models.DateTimeField(null=True)
    restorable_until = models.DateTimeField(null=True)
    first_seen_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    vanished_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Machine]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        # Not `unique=True`, which adds an index for LIKE that nobody asks; and a tenant's own index begins others here.
        constraints = [models.UniqueConstraint(fields=["guid"], name="one_machine_per_guid")]
        indexes = [
            # The machines page sorts a tenant's machines by name and pages by it.
            models.Index("tenant", Lower("name"), "guid", name="machine_tenant_name"),
            # Every count of the page and of the overview, out of the index alone: 5 ms for 20,000 machines and not 30.
            models.Index(
                fields=["tenant", "protection", "platform", "policy_guid", "present", "vanished_at", "late_at"],
                name="machine_tenant_kinds",
            ),
            # Worst first, whether a tenant has ten machines or ten thousand.
            models.Index("tenant", SEVERITY, Lower("name"), "guid", name="machine_tenant_worst"),
            # Workers look for what a page or a change asked for.
            models.Index(
                fields=["backups_wanted_at"],
                name="machine_backups_wanted",
                condition=models.Q(backups_wanted_at__isnull=False),
            ),
            models.Index(
                fields=["details_wanted_at"],
                name="machine_details_wanted",
                condition=models.Q(details_wanted_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def exists(self) -> bool:
        return self.present and self.vanished_at is None

    @property
    def is_late(self) -> bool:
        return self.late_at is not None and self.late_at <= timezone.now()


class OwnerChange(models.Model):
    """A machine left its owner or its project. Nothing follows by itself; an operator looks at it and settles it.

    `was` and `now`: owners, None = nobody; projects by name.
    """

    machine = models.ForeignKey(Machine, models.CASCADE, related_name="owner_changes")
    was = models.ForeignKey(Tenant, models.CASCADE, null=True, related_name="+")
    now = models.ForeignKey(Tenant, models.CASCADE, null=True, related_name="+")
    was_project = models.TextField(blank=True)
    now_project = models.TextField(blank=True)
    at = models.DateTimeField(auto_now_add=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-at"]
        indexes = [
            # Operators see what nobody has looked at yet.
            models.Index(fields=["-at"], name="owner_change_open", condition=models.Q(settled_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.machine}: {self.was or '–'} → {self.now or '–'}"


class Backup(models.Model):
    """A backup of a machine (API reference, 8.1). It belongs to who owned the machine when it was first seen.

    History does not follow the machine: `tenant` is set once and changed only by an operator's explicit act.
    Durations are milliseconds, sizes bytes, times aware UTC.
    """

    guid = models.CharField(max_length=64)
    tenant = models.ForeignKey(Tenant, models.SET_NULL, null=True, related_name="backups")
    machine = models.ForeignKey(Machine, models.CASCADE, related_name="backups", db_index=False)
    status = models.CharField(max_length=40)
    type = models.CharField(max_length=40)
    status_info = models.TextField(blank=True)
    backup_at = models.DateTimeField(null=True)
    snapshot_at = models.DateTimeField(null=True)
    sort_at = models.DateTimeField()
    size = models.BigIntegerField(default=0)
    parent_guid = models.CharField(max_length=64, blank=True)
    destinations = models.JSONField(default=list)
    queued_export_ms = models.BigIntegerField(null=True)
    export_ms = models.BigIntegerField(null=True)
    queued_store_ms = models.BigIntegerField(null=True)
    store_ms = models.BigIntegerField(null=True)
    duration_ms = models.BigIntegerField(null=True)
    origin = models.CharField(max_length=40, blank=True)
    warnings = models.JSONField(default=list)
    archive_expires_at = models.DateTimeField(null=True)
    row_digest = models.CharField(max_length=64)
    vanished_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Backup]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        # As of machines: no index for LIKE, and a machine's own begins the one below.
        constraints = [models.UniqueConstraint(fields=["guid"], name="one_backup_per_guid")]
        indexes = [
            # A machine's history is read newest first.
            models.Index(fields=["machine", "-sort_at"], name="backup_machine_newest"),
            # The dashboard shows a tenant's last failures.
            models.Index(fields=["tenant", "-sort_at"], name="backup_failed", condition=models.Q(status="FAILED")),
            # What vProtect removed long ago is found without reading what it still has (retention).
            models.Index(fields=["vanished_at"], name="backup_vanished", condition=models.Q(vanished_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.machine} {self.sort_at:%Y-%m-%d %H:%M}"


class BackupDay(models.Model):
    """How a tenant's backups of one day went, by where they lie: the charts cost the same however long the history is.

    Triggers on backups count it, so that no way of writing them forgets it, and on the tenant's time zone, which is
    the one that `day` is a date of. It lives as long as backups of that day are in the mirror; what it counts is in
    `backup_days.days_of`. `destination_guid` is the first copy's, empty = it lies nowhere. `size` in bytes of all that
    was made, `restorable_size` of what is still there; `duration_ms` of the `timed` ones together.
    """

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    day = models.DateField()
    destination_guid = models.CharField(max_length=64, blank=True)
    succeeded = models.IntegerField(default=0)
    with_warnings = models.IntegerField(default=0)
    failed = models.IntegerField(default=0)
    size = models.BigIntegerField(default=0)
    restorable_size = models.BigIntegerField(default=0)
    timed = models.IntegerField(default=0)
    duration_ms = models.BigIntegerField(default=0)

    objects: ClassVar[models.Manager[BackupDay]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "day", "destination_guid"], name="one_row_per_day_and_place"),
        ]

    def __str__(self) -> str:
        return f"{self.tenant} {self.day}"


class Destination(models.Model):
    """Where backups lie (API reference, 14.1). Shared infrastructure: a tenant sees what it was granted."""

    guid = models.CharField(max_length=64, unique=True)
    name = models.TextField()
    type = models.CharField(max_length=40, blank=True)
    is_default = models.BooleanField(default=False)
    capacity = models.BigIntegerField(null=True)
    used = models.BigIntegerField(null=True)
    vanished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name"]

    @property
    def is_synthetic(self) -> bool:
        """It makes full backups out of incremental ones by itself (API reference, 12.2)."""
        return self.type in {"SYNTHETICXFS", "SYNTHETICDDBOOST"}

    def __str__(self) -> str:
        return self.name


class Hypervisor(models.Model):
    """Where a machine can be made again: a stand-alone hypervisor or a manager (API reference, 13).

    Shared infrastructure: a tenant sees what it was granted. `name` is an address, which is for operators.
    """

    guid = models.CharField(max_length=64, unique=True)
    name = models.TextField()
    platform = models.CharField(max_length=40, blank=True)
    is_manager = models.BooleanField()
    vanished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Cluster(models.Model):
    """A cluster of a hypervisor manager; a restore names it by `uuid` (API reference, 20, trap 6)."""

    guid = models.CharField(max_length=64, unique=True)
    uuid = models.CharField(max_length=128)
    name = models.TextField()
    hypervisor = models.ForeignKey(Hypervisor, models.CASCADE, related_name="clusters")
    vanished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Storage(models.Model):
    """A storage of a hypervisor or manager, in bytes; a restore names it by `uuid`.

    `cluster_guids`: the clusters that can use it. The figures are as old as vProtect's last inventory.
    """

    guid = models.CharField(max_length=64, unique=True)
    uuid = models.CharField(max_length=128)
    name = models.TextField()
    hypervisor = models.ForeignKey(Hypervisor, models.CASCADE, related_name="storages")
    capacity = models.BigIntegerField(null=True)
    used = models.BigIntegerField(null=True)
    cluster_guids = models.JSONField(default=list)
    vanished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def free(self) -> int | None:
        """Capacity less what is used; vProtect calls the capacity "available" (API reference, 20, trap 22)."""
        return None if self.capacity is None or self.used is None else max(self.capacity - self.used, 0)
