"""Protection targets: how old the newest good backup of a machine may be, and from when on the machine is late.

A target is the tenant's, for every machine that exists, in a plan or not. A plan's own takes its place, also where it
is the longer one or none at all: who made the plan knew its machines. vProtect has a machine in one policy at a time,
so there are never two plans to choose from. A machine that never was backed up has a day from when it came to its
tenant, or as long as the target if that is longer: so long it is new, and neither late nor overdue.

`Machine.late_at` is the instant, so that nothing has to be written when it passes.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import (
    BooleanField,
    Case,
    DateTimeField,
    DurationField,
    F,
    Func,
    OuterRef,
    Q,
    Subquery,
    TextChoices,
    Value,
    When,
)
from django.db.models.expressions import Combinable, ExpressionWrapper
from django.db.models.functions import Coalesce, Greatest, NullIf
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant
from vprotect_bridge.models import Machine, Plan

HOURS_FOR_THE_FIRST = 24


def target_hours() -> NullIf:
    """Of machines, as an expression; null = without target."""
    plans = Plan.across_tenants.filter(policy_guid=OuterRef("policy_guid"), tenant=OuterRef("tenant"), vanished_at=None)
    of_plan = Subquery(plans.exclude(policy_guid="").values("target_hours")[:1])
    of_tenant = Subquery(Tenant.objects.filter(pk=OuterRef("tenant")).values("target_hours"))
    return NullIf(Coalesce(of_plan, of_tenant), 0)


def late_at(last_success_at: Combinable) -> Case:
    """Of machines, as an expression: from when on each is late; null = without target, or it no longer exists."""
    hours = target_hours()
    # Written so that the target is looked up once for a machine that has a backup.
    begins_at = _after(F("owned_at"), Greatest(HOURS_FOR_THE_FIRST - hours, 0))
    return Case(
        When(present=True, vanished_at=None, then=_after(Coalesce(last_success_at, begins_at), hours)),
        output_field=DateTimeField(),
    )


def _after(moment: Combinable, hours: Combinable) -> ExpressionWrapper:
    length = Func(hours, template="make_interval(hours => %(expressions)s)", output_field=DurationField())
    return ExpressionWrapper(moment + length, output_field=DateTimeField())


def is_new(machine: Machine) -> bool:
    """No backup of it is known, and it has its grace for the first. Without target that is a day in its plan."""
    if machine.last_success_at or machine.last_backup_at:
        return False
    if machine.late_at:
        return not machine.is_late
    lately = timezone.now() - timedelta(hours=HOURS_FOR_THE_FIRST)
    return any(came_at and came_at > lately for came_at in (machine.owned_at, machine.planned_at))


def new_ones() -> Q:
    """The machines that are so."""
    now = timezone.now()
    lately = now - timedelta(hours=HOURS_FOR_THE_FIRST)
    without_target = Q(late_at=None) & (Q(owned_at__gt=lately) | Q(planned_at__gt=lately))
    return Q(last_success_at=None, last_backup_at=None) & (Q(late_at__gt=now) | without_target)


class State(TextChoices):
    LATE = "late", _("Late")
    NEW = "new", _("New")
    ON_TIME = "on_time", _("On time")
    NONE = "none", _("Without target")


def state() -> Case:
    """Of machines, as an expression, by the clock; empty of what no longer exists."""
    return Case(
        When(late_at__lte=timezone.now(), then=Value(State.LATE)),
        When(late_at__isnull=False, last_success_at=None, last_backup_at=None, then=Value(State.NEW)),
        When(late_at__isnull=False, then=Value(State.ON_TIME)),
        When(present=True, vanished_at=None, then=Value(State.NONE)),
        default=Value(""),
    )


def is_not(field: str, expression: Combinable) -> Func:
    """That the field is not this; of two nulls one is the other."""
    return Func(
        F(field), expression, template="(%(expressions)s)", arg_joiner=" IS DISTINCT FROM ", output_field=BooleanField()
    )
