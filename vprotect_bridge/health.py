"""How the connection to vProtect and the work for it are: figures for operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Min, QuerySet
from django.utils import timezone

from vprotect_bridge import drift, limits
from vprotect_bridge.models import Alert, Machine, Operation, PlanChange, UpstreamSession, UpstreamStatus


@dataclass(frozen=True)
class Queue:
    """What waits for a worker: how much, and since when the oldest of it."""

    count: int
    oldest: datetime | None


@dataclass(frozen=True)
class Health:
    status: UpstreamStatus
    logged_in_at: datetime | None
    refused_logins: int
    login_paused_until: datetime | None
    histories: Queue
    details: Queue
    wishes: Queue
    uncertain: Queue

    @property
    def is_login_paused(self) -> bool:
        return self.login_paused_until is not None and self.login_paused_until > timezone.now()


def read_health() -> Health:
    """Reads no column of the session that could open it."""
    columns = ("logged_in_at", "refused_logins", "login_paused_until")
    session = UpstreamSession.objects.filter(pk=1).values(*columns).first() or dict.fromkeys(columns)
    now, wishes = timezone.now(), Operation.across_tenants.filter(origin=Operation.Origin.PORTAL, outcome="")
    return Health(
        status=UpstreamStatus.objects.get(pk=1),
        logged_in_at=session["logged_in_at"],
        refused_logins=session["refused_logins"] or 0,
        login_paused_until=session["login_paused_until"],
        histories=_queue(Machine.across_tenants.filter(backups_wanted_at__lte=now), "backups_wanted_at"),
        details=_queue(Machine.across_tenants.filter(details_wanted_at__lte=now), "details_wanted_at"),
        wishes=_queue(wishes.filter(submission=Operation.Submission.PENDING, next_at__lte=now), "created_at"),
        uncertain=_queue(wishes.filter(submission__in=Operation.UNRESOLVED), "sent_at"),
    )


def _queue(rows: Any, since: str) -> Queue:
    return Queue(**rows.aggregate(count=Count("pk"), oldest=Min(since)))


# What other apps count of theirs, by the name that the operators' front page has it under.
ALSO_NEEDS_YOU: dict[str, Callable[[], int]] = {}


def oldest_alert() -> datetime | None:
    """Since when the oldest open one is so; aware UTC."""
    oldest: datetime | None = _open_alerts().aggregate(at=Min("began_at"))["at"]
    return oldest


def _open_alerts() -> QuerySet[Alert]:
    return Alert.across_tenants.filter(closed_at=None)


def needs_you() -> dict[str, int]:
    """How many of each kind wait for an operator."""
    attention = Operation.across_tenants.filter(outcome="", submission=Operation.Submission.NEEDS_ATTENTION)
    refused = UpstreamStatus.objects.filter(inventory_refused_at__isnull=False, inventory_accepted_count=None)
    urgent = {tenant.pk for tenant, usage in limits.usages_of_all() if usage.is_used_up or usage.is_warned}
    return {
        "alerts": _open_alerts().count(),
        "tenants_at_limits": len(urgent),
        **{name: count() for name, count in ALSO_NEEDS_YOU.items()},
        "operations": attention.count(),
        "plan_changes": PlanChange.across_tenants.filter(state=PlanChange.State.STUCK).count(),
        "unclaimed": drift.unclaimed_machines().count(),
        "owner_changes": drift.owner_changes().count(),
        "restores": drift.restores_without_owner().count(),
        "claims": drift.claims_of_nothing().count(),
        "inventory": refused.count(),
        "unreachable": UpstreamStatus.objects.filter(unreachable_since__isnull=False).count(),
    }
