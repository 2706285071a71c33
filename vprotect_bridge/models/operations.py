"""Wishes and what became of them. One row is outbox, idempotency record and audit anchor in one."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_scopes import ScopedManager

from tenants.models import Tenant
from tenants.uuid7 import uuid7
from vprotect_bridge.models.mirror import Machine
from vprotect_bridge.models.plans import PlanChange


class BulkRequest(models.Model):
    """One thing that was asked for many machines at once. What became of each is in its operation or in the change.

    `machine_guids`: those that got it; `left_out`: the others, as [{"guid", "name", "reason"}] with a reason of
    `bulk.Reason`; `moved_from`: the names of the plans that machines left, by GUID.
    """

    class Kind(models.TextChoices):
        BACKUP = "backup", _("Backup")
        PLAN = "plan", _("Plan")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    client_key = models.UUIDField()
    machine_guids = models.JSONField(default=list)
    left_out = models.JSONField(default=list)
    moved_from = models.JSONField(default=dict)
    plan_change = models.ForeignKey(PlanChange, models.PROTECT, null=True, related_name="+")

    objects: ClassVar[models.Manager[BulkRequest]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            # The same form sent again is the same request.
            models.UniqueConstraint(fields=["tenant", "client_key"], name="one_bulk_request_per_click"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {len(self.machine_guids)} machines"


class Operation(models.Model):
    """Everything that changes vProtect (docs/submit-protocol.md), and work on tenants' machines from elsewhere.

    `origin` says who wanted it; only what was asked for here has a marker and a deadline. `token_id` and
    `token_name`: of the API token with which it was asked for, null and "" = on a page; one of the tenant's own has no
    `created_by`.
    `submission` is what we know of our own sending; `phase` and `outcome` are what upstream says of the work.
    A trigger allows only these moves of `submission`, and counts `version` at every change that a person can see:

        pending   → sending · accepted (found upstream before sending) · rejected · expired · cancelled
                    · needs_attention
        sending   → accepted · rejected · pending (proved not sent) · uncertain
        uncertain → accepted · pending (proved absent) · needs_attention
        accepted  → needs_attention (a second task with its marker appeared)
        needs_attention → accepted · pending · rejected (an operator's decision)
    """

    class Kind(models.TextChoices):
        BACKUP = "backup", _("Backup")
        RESTORE = "restore", _("Restore")
        TASK = "task", _("Task")
        MOUNT = "mount", _("Opening")

    class Origin(models.TextChoices):
        """Who wanted it: a person here, a schedule, or somebody in vProtect's own console."""

        PORTAL = "portal", _("asked for here")
        SCHEDULE = "schedule", _("by a schedule")
        ELSEWHERE = "elsewhere", _("by your provider")

    class Submission(models.TextChoices):
        PENDING = "pending", _("waiting to be sent")
        SENDING = "sending", _("being sent")
        UNCERTAIN = "uncertain", _("being checked")
        ACCEPTED = "accepted", _("accepted")
        REJECTED = "rejected", _("refused")
        EXPIRED = "expired", _("expired")
        CANCELLED = "cancelled", _("cancelled")
        NEEDS_ATTENTION = "needs_attention", _("needs attention")

    class Phase(models.TextChoices):
        """Where the work is; EXPORT and STORE are one story (API reference, 7.4)."""

        NONE = "", ""
        QUEUED = "queued", _("waiting in line")
        EXPORTING = "exporting", _("reading the machine")
        BETWEEN = "between", _("preparing to store")
        STORING = "storing", _("storing")
        CHECKING = "checking", _("checking the result")
        RESTORING = "restoring", _("fetching the backup")
        IMPORTING = "importing", _("creating the machine")
        MOUNTING = "mounting", _("opening the backup")
        WORKING = "working", _("working")

    class Outcome(models.TextChoices):
        OPEN = "", ""
        SUCCEEDED = "succeeded", _("Succeeded")
        PARTIAL = "partial", _("Succeeded with warnings")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")
        REFUSED = "refused", _("Refused")
        MISSED = "missed", _("Missed its window")
        UNKNOWN = "unknown", _("Ended")

    UNRESOLVED = (Submission.SENDING, Submission.UNCERTAIN)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Their own indexes begin others below.
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="operations", db_index=False)
    origin = models.CharField(max_length=10, choices=Origin, default=Origin.PORTAL)
    kind = models.CharField(max_length=10, choices=Kind)
    machine = models.ForeignKey(Machine, models.PROTECT, related_name="operations", db_index=False)
    subject_guid = models.CharField(max_length=64)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    token_id = models.UUIDField(null=True)
    token_name = models.CharField(max_length=80, blank=True, default="", db_default="")
    created_at = models.DateTimeField(default=timezone.now)
    client_key = models.UUIDField(default=uuid.uuid4)
    is_bulk = models.BooleanField(default=False)
    bulk_request = models.ForeignKey(BulkRequest, models.PROTECT, null=True, related_name="operations")
    correlation_id = models.CharField(max_length=32, default="-")
    request = models.JSONField()
    marker_ws_ms = models.BigIntegerField(null=True)
    marker_we_ms = models.BigIntegerField(null=True)
    deadline_at = models.DateTimeField(null=True)

    submission = models.CharField(max_length=16, choices=Submission, default=Submission.PENDING)
    fence = models.BigIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    claimed_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    uncertain_at = models.DateTimeField(null=True)
    absent_seen = models.PositiveSmallIntegerField(default=0)
    absent_at = models.DateTimeField(null=True)
    baseline = models.JSONField(default=list)
    adopted = models.BooleanField(default=False)

    task_guid = models.CharField(max_length=64, null=True)  # noqa: DJ001 — unique where known
    backup_guid = models.CharField(max_length=64, blank=True)
    restore_job_guid = models.CharField(max_length=64, blank=True)
    restored_guid = models.CharField(max_length=64, blank=True)
    phase = models.CharField(max_length=12, choices=Phase, blank=True, default=Phase.NONE)
    outcome = models.CharField(max_length=12, choices=Outcome, blank=True, default=Outcome.OPEN)
    progress = models.PositiveSmallIntegerField(default=0)
    place_in_line = models.PositiveIntegerField(null=True)
    # What it usually takes, from the machine's own history when it began: median, how many were looked at, longest.
    usual_ms = models.BigIntegerField(null=True)
    usual_from = models.PositiveSmallIntegerField(null=True)
    longest_ms = models.BigIntegerField(null=True)
    made_type = models.CharField(max_length=40, blank=True)
    user_message = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    followed_at = models.DateTimeField(null=True)
    cancel_wanted_at = models.DateTimeField(null=True)
    cancel_sent_at = models.DateTimeField(null=True)
    version = models.BigIntegerField(default=1)

    objects: ClassVar[models.Manager[Operation]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            # A double click, a re-post and the back button all mean the same wish.
            models.UniqueConstraint(fields=["tenant", "client_key"], name="one_operation_per_click"),
            # One unfinished wish per machine and kind; schedules and the provider do not ask us.
            models.UniqueConstraint(
                fields=["subject_guid", "kind"],
                condition=Q(outcome="", origin="portal"),
                name="one_open_operation_per_machine",
            ),
            # At most one unresolved send per machine: an unknown matching task can only be ours.
            models.UniqueConstraint(
                fields=["subject_guid", "kind"],
                condition=Q(submission__in=["sending", "uncertain"]),
                name="one_unresolved_send_per_machine",
            ),
            # Both begin with a RESTORE task, which need not tell what for.
            models.UniqueConstraint(
                fields=["subject_guid"],
                condition=Q(submission__in=["sending", "uncertain"], kind__in=["restore", "mount"]),
                name="one_unresolved_restore_task_per_machine",
            ),
            models.UniqueConstraint(fields=["subject_guid", "marker_ws_ms", "marker_we_ms"], name="marker_is_unique"),
            # Two constraints: what was noted as somebody else's never keeps a wish from its own task.
            models.UniqueConstraint(fields=["task_guid"], condition=Q(origin="portal"), name="one_wish_per_task"),
            models.UniqueConstraint(
                fields=["task_guid"], condition=~Q(origin="portal"), name="one_note_per_task_from_elsewhere"
            ),
            models.CheckConstraint(
                condition=~Q(origin="portal")
                | Q(marker_ws_ms__isnull=False, marker_we_ms__isnull=False, deadline_at__isnull=False),
                name="a_wish_has_marker_and_deadline",
            ),
            models.CheckConstraint(condition=Q(progress__lte=100), name="progress_is_percent"),
        ]
        indexes = [
            # Workers claim what is due; almost all rows are finished.
            models.Index(fields=["next_at"], name="operation_due", condition=Q(submission="pending")),
            models.Index(fields=["submission"], name="operation_open", condition=Q(outcome="")),
            # Every cycle looks for what may come twice.
            models.Index(fields=["sent_at"], name="operation_sent_again", condition=Q(attempts__gt=1)),
            # Whose turn it is: the tenant served longest ago.
            models.Index(fields=["tenant", "-claimed_at"], name="operation_tenant_turn"),
            # Activity and a machine's page read newest first.
            models.Index(fields=["tenant", "-created_at"], name="operation_tenant_newest"),
            models.Index(fields=["machine", "-created_at"], name="operation_machine_newest"),
            # The rare ones that somebody looks for among many that went well.
            models.Index(
                fields=["tenant", "-created_at"],
                name="operation_tenant_trouble",
                condition=~Q(outcome__in=["", "succeeded"]),
            ),
            models.Index(fields=["tenant", "kind", "-created_at"], name="operation_tenant_kind_newest"),
            # The dashboard shows a tenant's last failures.
            models.Index(
                fields=["tenant", "-created_at"],
                name="operation_failed",
                condition=Q(outcome__in=["failed", "refused", "missed"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.machine}"

    @property
    def is_finished(self) -> bool:
        return self.outcome != self.Outcome.OPEN

    @property
    def took_ms(self) -> int | None:
        """From the start of the work to its end; None while it is open and where nothing was started."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(round((self.finished_at - self.started_at).total_seconds() * 1000), 0)

    @property
    def is_cancelling(self) -> bool:
        """Somebody asked to cancel it, and it has not ended yet."""
        return self.cancel_wanted_at is not None and not self.is_finished


class OperationTask(models.Model):
    """One of vProtect's tasks that worked on an operation, in the order in which they came (API reference, 7.4).

    A repetition is a task of its own. `type` and `state` are vProtect's words; how one ended that was no longer listed
    is concluded from what came after it. Times are ours, aware UTC.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="+")
    operation = models.ForeignKey(Operation, models.CASCADE, related_name="tasks")
    guid = models.CharField(max_length=64)
    type = models.CharField(max_length=40)
    state = models.CharField(max_length=20)
    seen_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[OperationTask]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        ordering = ["seen_at", "id"]
        constraints = [models.UniqueConstraint(fields=["operation", "guid"], name="one_row_per_task_of_an_operation")]

    def __str__(self) -> str:
        return f"{self.type} {self.state}"


class OperationEvent(models.Model):
    """What the machine did, step by step; for operators. `detail` may hold upstream's original words."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="+")
    operation = models.ForeignKey(Operation, models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    moved_from = models.CharField(max_length=20, blank=True)
    moved_to = models.CharField(max_length=20)
    fence = models.BigIntegerField(default=0)
    detail = models.TextField(blank=True)

    objects: ClassVar[models.Manager[OperationEvent]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        indexes = [models.Index(fields=["operation", "at"], name="event_operation")]

    def __str__(self) -> str:
        return f"{self.moved_from} → {self.moved_to}"


class Question(models.Model):
    """What only vProtect knows now, asked by a page and answered by a worker. `answer` None = not yet."""

    class Kind(models.TextChoices):
        USABLE_DESTINATIONS = "usable_destinations", "destinations usable for a machine"
        RESTORE_TARGETS = "restore_targets", "where a backup can be restored"
        MOUNTABLE_BACKUPS = "mountable_backups", "backups whose single files can be read"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    kind = models.CharField(max_length=30, choices=Kind)
    machine = models.ForeignKey(Machine, models.CASCADE, related_name="+")
    backup_guid = models.CharField(max_length=64, blank=True)
    asked_at = models.DateTimeField(default=timezone.now)
    answered_at = models.DateTimeField(null=True)
    answer = models.JSONField(null=True)
    failed = models.BooleanField(default=False)

    objects: ClassVar[models.Manager[Question]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        indexes = [
            models.Index(fields=["asked_at"], name="question_open", condition=Q(answered_at__isnull=True)),
            models.Index(fields=["machine", "kind", "-asked_at"], name="question_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.machine}"
