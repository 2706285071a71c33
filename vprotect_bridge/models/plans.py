"""Automatic backups: what vProtect holds of them, what tenants mean by them, and changes on their way."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_scopes import ScopedManager

from tenants.models import Tenant, validate_time_zone
from tenants.uuid7 import uuid7


class Standing(models.TextChoices):
    """Whether anything happens by a plan (API reference, 12.4 and 20, traps 13 and 19)."""

    ACTING = "acting", _("acts")
    PAUSED = "paused", _("paused")
    # No rule, no schedule or no destination: it looks fine in lists and never backs anything up.
    IDLE = "idle", _("never backs anything up")


class Policy(models.Model):
    """A VM backup policy of vProtect with its rules (API reference, 11 and 12); for operators and workers.

    `rules` as `plan_facts.facts_of_rule` reads them, without those marked for deletion.
    """

    guid = models.CharField(max_length=64, unique=True)
    name = models.TextField()
    tenant_value = models.CharField(max_length=255, blank=True)
    auto_assign_mode = models.CharField(max_length=40, blank=True)
    standing = models.CharField(max_length=8, choices=Standing, default=Standing.IDLE)
    rules = models.JSONField(default=list)
    row_digest = models.CharField(max_length=64)
    vanished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "policies"

    def __str__(self) -> str:
        return self.name


class Schedule(models.Model):
    """A schedule of vProtect (API reference, 10); for operators and workers.

    `facts`: its members as `plan_facts.facts_of_schedule` reads them, times in milliseconds UTC.
    """

    guid = models.CharField(max_length=64, unique=True)
    name = models.TextField()
    tenant_value = models.CharField(max_length=255, blank=True)
    rule_guids = models.JSONField(default=list)
    facts = models.JSONField(default=dict)
    row_digest = models.CharField(max_length=64)
    vanished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Plan(models.Model):
    """Automatic backups as a tenant sees them: a policy, its rule and its schedules (docs/architecture.md, "Plans").

    `schedules` is what the person meant (`plan_wishes.WantedSchedule` as JSON), in local time of `time_zone`; a plan
    that was made elsewhere has none. `held` is what vProtect holds now (`plan_facts.Held` as JSON), as of `held_at`.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="plans")
    name = models.CharField(_("name"), max_length=120)
    is_made_here = models.BooleanField()
    created_at = models.DateTimeField(default=timezone.now)

    # What the person meant.
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    schedules = models.JSONField(default=list)
    destination_guid = models.CharField(max_length=64, blank=True)
    priority = models.PositiveSmallIntegerField(default=50, validators=[MaxValueValidator(100)])
    removes_absent_machines = models.BooleanField(default=False)
    # Ours alone: vProtect knows no targets. Null = the tenant's, 0 = none.
    target_hours = models.PositiveSmallIntegerField(null=True)

    # What of it is upstream: `upstream_name` is a true key there, since names are globally unique.
    upstream_name = models.CharField(max_length=255, blank=True)
    policy_guid = models.CharField(max_length=64, blank=True)
    rule_guid = models.CharField(max_length=64, blank=True)
    schedule_guids = models.JSONField(default=list)

    # What vProtect holds.
    held = models.JSONField(default=dict)
    held_digest = models.CharField(max_length=64, blank=True)
    held_at = models.DateTimeField(null=True)
    # Since when it runs at the times at which it runs: what was due before is not held against it.
    held_since = models.DateTimeField(null=True)
    is_editable = models.BooleanField(default=False)
    standing = models.CharField(max_length=8, choices=Standing, default=Standing.IDLE)
    has_incremental = models.BooleanField(default=False)
    look_wanted_at = models.DateTimeField(null=True)
    # As we put it last, to tell what was changed elsewhere since; null = we never did.
    put = models.JSONField(null=True)
    put_again_at = models.DateTimeField(null=True)
    vanished_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Plan]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "policy_guid"], condition=~Q(policy_guid=""), name="one_plan_per_policy_and_tenant"
            ),
            models.UniqueConstraint(
                fields=["upstream_name"], condition=~Q(upstream_name=""), name="upstream_name_is_a_key"
            ),
            models.UniqueConstraint(
                "tenant",
                Lower("name"),
                condition=Q(is_made_here=True, vanished_at=None),
                name="plan_name_once_per_tenant",
            ),
        ]
        indexes = [
            # Beat looks for plans whose clocks change.
            models.Index(fields=["put_again_at"], name="plan_put_again", condition=Q(put_again_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.name


class PlanChange(models.Model):
    """A wish about a plan on its way into vProtect, in one transaction with its audit entry.

    `wanted` is the whole plan as it shall be (`plan_wishes.PlanWish` as JSON), `base` what vProtect held when the work
    began. `steps` names what was done, in order. A change is worked on until vProtect holds what is wanted, whatever
    crashed on the way; it ends

        done          as wanted
        refused       nothing is left of it (the reason in `user_message`)
        conflict      vProtect held something else than the person saw; nothing was written
        stuck         something is half done: to be finished or undone by a person
        undone        half done, then taken back
    """

    class Kind(models.TextChoices):
        CREATE = "create", _("made")
        EDIT = "edit", _("changed")
        PAUSE = "pause", _("paused")
        RESUME = "resume", _("resumed")
        DELETE = "delete", _("deleted")
        CLOCK = "clock", _("moved with the clock change")

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        WORKING = "working", _("being put in place")
        UNDOING = "undoing", _("being taken back")
        DONE = "done", _("done")
        REFUSED = "refused", _("refused")
        CONFLICT = "conflict", _("changed elsewhere meanwhile")
        STUCK = "stuck", _("half done")
        UNDONE = "undone", _("taken back")

    DUE = (State.WAITING, State.WORKING, State.UNDOING)
    OPEN = (*DUE, State.STUCK)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="+")
    plan = models.ForeignKey(Plan, models.CASCADE, related_name="changes")
    kind = models.CharField(max_length=10, choices=Kind)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    client_key = models.UUIDField(default=uuid.uuid4)
    correlation_id = models.CharField(max_length=32, default="-")
    wanted = models.JSONField(null=True)
    based_on = models.CharField(max_length=64, blank=True)
    base = models.JSONField(null=True)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    steps = models.JSONField(default=list)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    decided_at = models.DateTimeField(null=True)
    user_message = models.TextField(blank=True)
    detail = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[PlanChange]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "client_key"], name="one_plan_change_per_click"),
            # Two admins saving at once: the second is told.
            models.UniqueConstraint(
                fields=["plan"],
                condition=Q(state__in=["waiting", "working", "undoing", "stuck"]),
                name="one_open_change_per_plan",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_at"], name="plan_change_due", condition=Q(state__in=["waiting", "working", "undoing"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan} {self.get_kind_display()}"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def can_be_tried_again(self) -> bool:
        """Somebody's settings did not come about."""
        return bool(self.wanted) and self.state in {self.State.REFUSED, self.State.CONFLICT, self.State.UNDONE}
