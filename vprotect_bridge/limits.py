"""What an operator allows a tenant: how much is used, and whether more may be asked for.

All of them are fields of `Tenant`. A warning is only told; a cap refuses with what is left. The highest priority is
looked at where a wish is checked, the most operations at once where wishes are sent (`submit`), open backups and single
files where they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Aggregate, Count, DateTimeField, F, Func, Q, QuerySet, Sum, Value
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from tenants.models import Tenant
from tenants.people import lock
from vprotect_bridge.models import BackupDay, Machine, Operation, Plan, PlanChange
from vprotect_bridge.refusal import WishRefused

GIB = 1024**3
NEAR = 0.1
# What vProtect's own words about a quota become (API reference, 6.3): it fails the task, and no limit here.
QUOTA_USED_UP = gettext_noop("A quota that your provider set in the backup system is used up.")
Outcome = Operation.Outcome


# Rows of a model: one tenant's, or everybody's for operators.
Rows = Callable[[Any], QuerySet[Any]]


@dataclass(frozen=True)
class Limit:
    """`field` is how its two numbers begin on `Tenant`; `counted` says how much of it is used, by the tenant's id, in
    one statement. A tenant that uses nothing is not in it.
    """

    field: str
    title: str | Promise
    counted: Callable[[Rows], dict[int, int]]
    refusal: str | Promise


@dataclass(frozen=True)
class Usage:
    """A limit with what is used of it. None = the operator has set none."""

    limit: Limit
    used: int
    warning: int | None
    cap: int | None

    @property
    def left(self) -> int | None:
        return None if self.cap is None else max(self.cap - self.used, 0)

    @property
    def is_used_up(self) -> bool:
        return self.left == 0

    @property
    def is_warned(self) -> bool:
        return self.warning is not None and self.used >= self.warning

    @property
    def is_near(self) -> bool:
        """A tenth of what is allowed is left, or less."""
        return self.cap is not None and self.used >= self.cap * (1 - NEAR)


# ── Counting ─────────────────────────────────────────────────────────────────


def midnight_of(tenant: Tenant) -> datetime:
    """When the tenant's own day began."""
    now = timezone.now().astimezone(ZoneInfo(tenant.time_zone))
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def of_tenant(tenant: Tenant) -> Rows:
    return lambda model: model.objects.filter(tenant=tenant)


def _of_everybody(model: Any) -> QuerySet[Any]:
    rows: QuerySet[Any] = model.across_tenants.filter(tenant__isnull=False)
    return rows


def _last_midnight() -> Func:
    """`midnight_of` the tenant of each row."""
    zone = F("tenant__time_zone")
    day = Func(Value("day"), Func(zone, Value(timezone.now()), function="timezone"), function="date_trunc")
    return Func(zone, day, function="timezone", output_field=DateTimeField())


def _asked_today(kind: str) -> Callable[[Rows], dict[int, int]]:
    """What vProtect refused, what ran out of time and what was taken back before it was sent does not count."""
    in_vain = Q(outcome__in=[Outcome.REFUSED, Outcome.MISSED]) | Q(outcome=Outcome.CANCELLED, sent_at=None)

    def counted(rows: Rows) -> dict[int, int]:
        lately = timezone.now() - timedelta(days=2)
        asked = rows(Operation).filter(kind=kind, origin=Operation.Origin.PORTAL, created_at__gte=lately)
        return _by_tenant(asked.filter(created_at__gte=_last_midnight()).exclude(in_vain), Count("pk"))

    return counted


def _by_tenant(rows: QuerySet[Any], figure: Aggregate) -> dict[int, int]:
    return dict(rows.order_by().values_list("tenant").annotate(figure=figure))


def _planned_machines(rows: Rows) -> QuerySet[Machine]:
    return rows(Machine).filter(present=True, vanished_at=None).exclude(policy_guid="")


def _stored_gib(rows: Rows) -> dict[int, int]:
    sizes = _by_tenant(rows(BackupDay), Sum("restorable_size"))
    return {tenant: size // GIB for tenant, size in sizes.items()}


BACKUPS = Limit(
    "daily_backup",
    _("Backups on demand today"),
    _asked_today(Operation.Kind.BACKUP),
    _(
        "Your organisation may ask for %(cap)d backups a day. Left today: %(left)d, needed: %(more)d. "
        "They count anew from midnight on."
    ),
)
RESTORES = Limit(
    "daily_restore",
    _("Restores today"),
    _asked_today(Operation.Kind.RESTORE),
    _(
        "Your organisation may ask for %(cap)d restores a day. Left today: %(left)d, needed: %(more)d. "
        "They count anew from midnight on."
    ),
)
MACHINES = Limit(
    "planned_machine",
    _("Machines in plans"),
    lambda rows: _by_tenant(_planned_machines(rows), Count("pk")),
    _("Your organisation may have %(cap)d machines in plans. Room for: %(left)d more, needed: %(more)d."),
)
STORED = Limit(
    "stored_gib",
    _("GiB of backups kept"),
    _stored_gib,
    _(
        "Your organisation may keep %(cap)d GiB of backups, and keeps %(used)d GiB: %(left)d GiB are left. "
        "Until some have aged out, no backup is asked for and no machine is added to a plan."
    ),
)
ALL = (BACKUPS, RESTORES, MACHINES, STORED)
OF_OPERATIONS: dict[str, tuple[Limit, ...]] = {
    Operation.Kind.BACKUP: (BACKUPS, STORED),
    Operation.Kind.RESTORE: (RESTORES,),
}
OF_PLANS = (MACHINES, STORED)


def usage(tenant: Tenant, limit: Limit) -> Usage:
    return _usage(tenant, limit, limit.counted(of_tenant(tenant)))


def _usage(tenant: Tenant, limit: Limit, counted: dict[int, int]) -> Usage:
    warning, cap = getattr(tenant, f"{limit.field}_warning"), getattr(tenant, f"{limit.field}_cap")
    return Usage(limit, counted.get(tenant.pk, 0), warning, cap)


def usages(tenant: Tenant, limits: Iterable[Limit] = ALL) -> list[Usage]:
    """Of the limits that are set; one statement each, none where none is."""
    return [usage(tenant, limit) for limit in limits if _is_set(tenant, limit)]


def usages_of_all() -> list[tuple[Tenant, Usage]]:
    """Of every limit that is set for anybody, for operators: most urgent first. A statement for each kind of limit."""
    tenants = list(Tenant.objects.filter(removed_at=None).order_by("name"))
    found = []
    for limit in ALL:
        limited = [tenant for tenant in tenants if _is_set(tenant, limit)]
        counted = limit.counted(_of_everybody) if limited else {}
        found += [(tenant, _usage(tenant, limit, counted)) for tenant in limited]
    return sorted(found, key=lambda row: (-_urgency(row[1]), row[0].name))


def _urgency(usage: Usage) -> int:
    return 3 if usage.is_used_up else 2 if usage.is_near else 1 if usage.is_warned else 0


def _is_set(tenant: Tenant, limit: Limit) -> bool:
    return not (getattr(tenant, f"{limit.field}_warning") is None and _cap(tenant, limit) is None)


def _cap(tenant: Tenant, limit: Limit) -> int | None:
    return getattr(tenant, f"{limit.field}_cap")


# ── Refusing ─────────────────────────────────────────────────────────────────


def wait_for_turn(tenant: Tenant, limits: Iterable[Limit]) -> bool:
    """Where one of them has a cap, wishes of the tenant take turns until this one's transaction ends, so that each
    counts the ones before it. False = there is no cap, and nobody waits.
    """
    if all(_cap(tenant, limit) is None for limit in limits):
        return False
    lock(tenant)
    return True


def check(tenant: Tenant, limits: Iterable[Limit], more: int = 1) -> None:
    """Raises `WishRefused` where so many more are above a cap."""
    for limit in limits:
        if _cap(tenant, limit) is not None:
            _check(usage(tenant, limit), more)


def _check(used: Usage, more: int, field: str = "") -> None:
    if used.left is not None and more > used.left:
        numbers = {"cap": used.cap, "used": used.used, "left": used.left, "more": more}
        raise WishRefused(used.limit.refusal % numbers, field)


def check_plan(tenant: Tenant, wanted: Collection[str], plan: Plan | None) -> None:
    """Raises `WishRefused` where a plan with the machines `wanted` adds to the machines in plans above a cap.

    What another change on its way takes in counts as if it were there. A plan that takes none in is never refused.
    """
    if all(_cap(tenant, limit) is None for limit in OF_PLANS):
        return
    there, added = _added_to_plans(tenant, wanted, plan)
    if not added:
        return
    _check(Usage(MACHINES, there, None, tenant.planned_machine_cap), added, "machines")
    _check(usage(tenant, STORED), 1, "machines")


def machines_after(tenant: Tenant, wanted: Collection[str], plan: Plan | None) -> list[Usage]:
    """How many would be in plans with it; empty where no limit is set, or it adds none."""
    if not _is_set(tenant, MACHINES):
        return []
    there, added = _added_to_plans(tenant, wanted, plan)
    warning, cap = tenant.planned_machine_warning, tenant.planned_machine_cap
    return [Usage(MACHINES, there + added, warning, cap)] if added else []


def _added_to_plans(tenant: Tenant, wanted: Collection[str], plan: Plan | None) -> tuple[int, int]:
    """How many machines are in plans beside what the plan adds, and how many it adds."""
    own = of_tenant(tenant)
    policies = dict(_planned_machines(own).values_list("guid", "policy_guid"))
    coming = {guid for change in _open_changes(tenant, plan) for guid in change["machine_guids"]}
    before = policies.keys() | coming
    leaving = {guid for guid, policy in policies.items() if plan and plan.policy_guid == policy} - set(wanted)
    return len(before - (leaving - coming)), len(set(wanted) - before)


def _open_changes(tenant: Tenant, plan: Plan | None) -> list[dict[str, list[str]]]:
    changes = PlanChange.objects.filter(tenant=tenant, state__in=PlanChange.OPEN, wanted__isnull=False)
    others = changes.exclude(plan=plan) if plan else changes
    return [wanted for wanted in others.values_list("wanted", flat=True) if wanted is not None]
