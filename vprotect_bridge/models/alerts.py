"""What is wrong with the protection of machines, from when it was noticed until it was over."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_scopes import ScopedManager

from tenants.models import Tenant
from tenants.uuid7 import uuid7
from vprotect_bridge.models.mirror import Machine
from vprotect_bridge.models.plans import Plan


class Alert(models.Model):
    """That nothing happened where something should have. Opened, changed and closed by `vprotect_bridge.alerts` alone.

    It is about a machine, or with `machine` null about a plan and all machines in it. `began_at` is since when it is
    so, `opened_at` when it was noticed. `details`, times in ISO 8601 UTC, has of

        late                          target_hours, last_success_at (null = never)
        skipped · stuck · missed      run_at, and window_ends_at where the schedule has a window
        never_fired                   run_at, machines (how many were waiting for it)
        without_plan                  nothing

    `without_plan` is opened once in the life of a machine, so closed ones are kept for as long as the machine.
    """

    class Kind(models.TextChoices):
        LATE = "late", _("the newest good backup is too old")
        SKIPPED = "skipped", _("left out of a run of its plan")
        STUCK = "stuck", _("stuck in the queue")
        MISSED = "missed", _("missed its start window")
        NEVER_FIRED = "never_fired", _("the plan did not run")
        WITHOUT_PLAN = "without_plan", _("appeared without a plan")

    OF_RUNS = (Kind.SKIPPED, Kind.STUCK, Kind.MISSED, Kind.NEVER_FIRED)

    class Turn(models.TextChoices):
        """Who can put it right."""

        CUSTOMER = "customer", _("the customer")
        PROVIDER = "provider", _("the provider")
        UNKNOWN = "unknown", _("not known")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="alerts", db_index=False)
    machine = models.ForeignKey(Machine, models.CASCADE, null=True, related_name="alerts")
    plan = models.ForeignKey(Plan, models.CASCADE, null=True, related_name="alerts")
    kind = models.CharField(max_length=12, choices=Kind)
    turn = models.CharField(max_length=8, choices=Turn, default=Turn.UNKNOWN)
    began_at = models.DateTimeField()
    opened_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True)
    details = models.JSONField(default=dict)

    objects: ClassVar[models.Manager[Alert]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "machine", "kind"],
                condition=Q(closed_at=None, machine__isnull=False),
                name="one_open_alert_per_machine",
            ),
            models.UniqueConstraint(
                fields=["tenant", "plan", "kind"],
                condition=Q(closed_at=None, machine=None),
                name="one_open_alert_per_plan",
            ),
            models.CheckConstraint(
                condition=Q(machine__isnull=False) | Q(plan__isnull=False), name="alert_is_about_something"
            ),
        ]
        indexes = [
            # What is told to people, newest first.
            models.Index(fields=["tenant", "-opened_at"], name="alert_tenant_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.machine or self.plan}: {self.get_kind_display()}"
