"""Backups that are open for their single files: what lies in them, what was chosen, what is on its way to whom."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_scopes import ScopedManager

from tenants.models import Tenant
from tenants.uuid7 import uuid7
from vprotect_bridge.models.mirror import Backup
from vprotect_bridge.models.operations import Operation


class Mount(models.Model):
    """A backup that we mounted (API reference, 15). One that was mounted elsewhere is nobody's and not here.

    It is its backup's tenant's, whoever owns the machine by now: `machine_guid` and `machine_name` are as they were.
    `file_systems`: [{"guid", "volume", "label", "type", "size"}]. It is unmounted at `closes_at` by us, or before that
    by a person's wish, by vProtect, or because it must not be seen any more.
    """

    class ClosedBy(models.TextChoices):
        PERSON = "person", _("closed by hand")
        TIME = "time", _("closed when its time was up")
        UPSTREAM = "upstream", _("closed by the backup system")
        OWNER = "owner", _("closed because the backup changed hands")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="mounts")
    operation = models.OneToOneField(Operation, models.PROTECT, related_name="mount")
    backup = models.ForeignKey(Backup, models.CASCADE, related_name="mounts")
    machine_guid = models.CharField(max_length=64)
    machine_name = models.TextField()
    guid = models.CharField(max_length=64, unique=True)
    file_systems = models.JSONField(default=list)
    opened_at = models.DateTimeField(default=timezone.now)
    closes_at = models.DateTimeField()
    close_wanted_at = models.DateTimeField(null=True)
    close_sent_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    closed_by = models.CharField(max_length=10, choices=ClosedBy, blank=True)

    objects: ClassVar[models.Manager[Mount]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        indexes = [
            # Workers look after those that are open; pages list them.
            models.Index(fields=["tenant"], name="mount_open", condition=Q(closed_at__isnull=True)),
            models.Index(fields=["tenant", "-opened_at"], name="mount_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.machine_name} {self.opened_at:%Y-%m-%d %H:%M}"

    @property
    def is_open(self) -> bool:
        """Its folders can be read; not any more from the moment on that somebody wants it closed."""
        return self.closed_at is None and self.close_wanted_at is None and self.closes_at > timezone.now()


class Folder(models.Model):
    """A folder of a mount as a question to a worker; `answered_at` None = not yet. A mount never changes inside.

    `path` is absolute, ends in a slash, and was put together from names that vProtect listed, never from what a
    browser sent. `left_out`: so many entries had no usable name.
    """

    class Problem(models.TextChoices):
        GONE = "gone", _("it is not there any more")
        CLOSED = "closed", _("the backup is closed")
        TOO_LARGE = "too_large", _("it holds more than can be shown")
        AWAY = "away", _("the backup system does not answer")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="+")
    mount = models.ForeignKey(Mount, models.CASCADE, related_name="folders")
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="+")
    file_system_guid = models.CharField(max_length=64)
    path = models.TextField()
    path_digest = models.CharField(max_length=64)
    asked_at = models.DateTimeField(default=timezone.now)
    answered_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=10, choices=Problem, blank=True)
    count = models.PositiveIntegerField(default=0)
    left_out = models.PositiveIntegerField(default=0)

    objects: ClassVar[models.Manager[Folder]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(
                fields=["mount", "file_system_guid", "path_digest"], name="one_folder_per_path_of_a_mount"
            ),
        ]
        indexes = [models.Index(fields=["asked_at"], name="folder_open", condition=Q(answered_at__isnull=True))]

    def __str__(self) -> str:
        return self.path


class FileEntry(models.Model):
    """What lies in a folder, as vProtect listed it: hostile text. Size in bytes; `mode`: nine rights as bits.

    `type` is vProtect's word: DIRECTORY, REGULAR_FILE, SYMLINK, BROKEN_SYMLINK, or one that is new.
    """

    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="+")
    folder = models.ForeignKey(Folder, models.CASCADE, related_name="entries")
    name = models.CharField(max_length=512)
    type = models.CharField(max_length=40)
    size = models.BigIntegerField(default=0)
    modified_at = models.DateTimeField(null=True)
    owner = models.CharField(max_length=255, blank=True)
    group = models.CharField(max_length=255, blank=True)
    mode = models.PositiveSmallIntegerField(null=True)

    objects: ClassVar[models.Manager[FileEntry]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        indexes = [
            # A folder of a hundred thousand is read a page at a time.
            models.Index("folder", Lower("name"), "id", name="file_entry_by_name"),
        ]

    def __str__(self) -> str:
        return self.name


class ChosenEntry(models.Model):
    """What a person wants of a mount; it stays chosen while they look into other folders."""

    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    mount = models.ForeignKey(Mount, models.CASCADE, related_name="+")
    entry = models.ForeignKey(FileEntry, models.CASCADE, related_name="+")

    objects: ClassVar[models.Manager[ChosenEntry]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [models.UniqueConstraint(fields=["user", "entry"], name="chosen_once")]

    def __str__(self) -> str:
        return str(self.entry)


class Download(models.Model):
    """Files on their way from a mount through the spool to the person who asked for them; nobody else takes them.

    `items`: what was chosen, frozen, as [{"file_system", "path", "name", "type", "size", "modified", "mode"}] with
    paths that were listed; `modified` in ISO 8601 or null.
    One file comes as it is, everything else as a zip that we make (`is_archive`). `reserved_bytes` counts against the
    tenant's day: what may come at most, from the end on what came. `left_out`: names of what was not to be had.

        waiting → fetching → ready → removed
        waiting, fetching → refused (before a byte was asked for) · failed · cancelled
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        FETCHING = "fetching", _("being fetched")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")
        REFUSED = "refused", _("refused")
        CANCELLED = "cancelled", _("cancelled")
        REMOVED = "removed", _("removed")

    class Problem(models.TextChoices):
        CLOSED = "closed", _("the backup was closed")
        NOT_ALLOWED = "not_allowed", _("you may not take files out of this backup any more")
        GONE = "gone", _("a file is not there any more")
        BROKEN = "broken", _("the transfer broke several times")
        DIFFERENT = "different", _("what came is not what was asked for")
        TOO_LARGE = "too_large", _("it is larger than one download may be")
        TOO_MANY = "too_many", _("it has more files than one download may have")
        DAY_IS_OVER = "day_is_over", _("it is more than is left of today's files")
        NO_ROOM = "no_room", _("your provider's space for downloads is full at present")
        NOTHING = "nothing", _("there is no file in what you chose")

    UNDER_WAY = (State.WAITING, State.FETCHING)
    # Somebody whose browser lost it half way can take it again.
    KEPT_WHEN_TAKEN = timedelta(hours=1)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="+")
    mount = models.ForeignKey(Mount, models.CASCADE, related_name="downloads")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    client_key = models.UUIDField(default=uuid.uuid4)
    correlation_id = models.CharField(max_length=32, default="-")
    name = models.TextField()
    items = models.JSONField()
    is_archive = models.BooleanField()
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    problem = models.CharField(max_length=12, choices=Problem, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    reserved_bytes = models.BigIntegerField()
    expected_bytes = models.BigIntegerField(null=True)
    received_bytes = models.BigIntegerField(default=0)
    file_count = models.PositiveIntegerField(null=True)
    left_out = models.JSONField(default=list)
    left_out_count = models.PositiveIntegerField(default=0)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    taken_at = models.DateTimeField(null=True)
    cancel_wanted_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Download]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "client_key"], name="one_download_per_click"),
        ]
        indexes = [
            models.Index(fields=["next_at"], name="download_due", condition=Q(state__in=["waiting", "fetching"])),
            # A tenant's day is added up at each click.
            models.Index(fields=["tenant", "-created_at"], name="download_of_the_day"),
        ]

    def __str__(self) -> str:
        """Without its name, which is its tenant's alone: operators see this."""
        return f"{self.get_state_display()} {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def is_under_way(self) -> bool:
        return self.state in self.UNDER_WAY

    @property
    def is_there(self) -> bool:
        """Ready to be saved: not what is only waiting to be swept away."""
        if self.state != self.State.READY or self.cancel_wanted_at is not None:
            return False
        ends = [self.expires_at, self.taken_at and self.taken_at + self.KEPT_WHEN_TAKEN]
        return all(timezone.now() < end for end in ends if end)
