"""How machines are protected and how their backups went in a period: for the page and for files alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import JSONObject, Lower
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from portal.access import listed_machines, visible_backups
from reports.models import TenantUsage
from tenants.models import Membership
from vprotect_bridge import backup_days
from vprotect_bridge.models import SEVERITY, Backup, BackupDay, Machine, Plan, Protection
from vprotect_bridge.targets import State, is_new

PERIODS = (7, 30, 90)
# Those that are not there any more neither need protection nor lack it.
NOT_THERE = {Protection.DELETED, Protection.GONE}
BATCH = 500


@dataclass(frozen=True)
class Period:
    """So many days of the zone, the last one included; `until` is the moment after it."""

    days: int
    zone: ZoneInfo
    last: date

    @classmethod
    def until_now(cls, days: int, zone: ZoneInfo) -> Period:
        return cls(days, zone, timezone.localdate(timezone=zone))

    @property
    def first(self) -> date:
        return self.last - timedelta(days=self.days - 1)

    @property
    def since(self) -> datetime:
        return datetime(self.first.year, self.first.month, self.first.day, tzinfo=self.zone)

    @property
    def until(self) -> datetime:
        after = self.last + timedelta(days=1)
        return datetime(after.year, after.month, after.day, tzinfo=self.zone)

    @property
    def all_days(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range(self.days)]


@dataclass(frozen=True)
class Row:
    """A machine. `good` (also with warnings) and `failed` count its backups of the period; `said` is vProtect's own
    text about the last failure: for `words.failure_reason`, never to be shown."""

    machine: Machine
    plan: Plan | None
    good: int
    failed: int
    failed_at: datetime | None
    said: str

    @property
    def newest_good_at(self) -> datetime | None:
        return self.machine.last_success_at

    @property
    def target(self) -> State | None:
        """How its newest good backup stands against its protection target; None of what no longer exists."""
        if not self.machine.exists:
            return None
        if self.machine.late_at is None:
            return State.NONE
        if self.machine.is_late:
            return State.LATE
        return State.NEW if is_new(self.machine) else State.ON_TIME

    @property
    def made(self) -> int:
        return self.good + self.failed

    @property
    def success_percent(self) -> float | None:
        return rate(self.good, self.failed)


@dataclass(frozen=True)
class Summary:
    """`counts`: machines by protection; `days`: how backups went, by day."""

    counts: dict[str, int]
    days: Sequence[BackupDay]

    @property
    def there(self) -> int:
        return sum(count for name, count in self.counts.items() if name not in NOT_THERE)

    @property
    def protected(self) -> int:
        return self.counts.get(Protection.PROTECTED, 0)

    @property
    def listed(self) -> int:
        return sum(count for name, count in self.counts.items() if name != Protection.GONE)

    @property
    def good(self) -> int:
        return sum(row.succeeded + row.with_warnings for row in self.days)

    @property
    def failed(self) -> int:
        return sum(row.failed for row in self.days)

    @property
    def success_percent(self) -> float | None:
        return rate(self.good, self.failed)


def rate(good: int, failed: int) -> float | None:
    return 100 * good / (good + failed) if good + failed else None


def machines_of(membership: Membership) -> QuerySet[Machine]:
    """Those that a person sees, worst first."""
    return listed_machines(membership).defer("details", "tags").order_by(SEVERITY, Lower("name"), "guid")


def summary_of(membership: Membership, period: Period) -> Summary:
    counts = dict(listed_machines(membership).values_list("protection").annotate(count=Count("*")).order_by())
    if membership.machine_guids is None:
        return Summary(counts, list(BackupDay.objects.filter(day__range=(period.first, period.last)).order_by("day")))
    # What is kept by day is the whole tenant's.
    own = visible_backups(membership).filter(sort_at__gte=period.since, sort_at__lt=period.until)
    return Summary(counts, backup_days.days_of(own, period.zone))


def rows_of(machines: Sequence[Machine], period: Period) -> list[Row]:
    """Three statements for all of them together."""
    backups = Backup.objects.filter(machine__in=machines, sort_at__gte=period.since, sort_at__lt=period.until)
    good = backup_days.GOOD | backup_days.WARNED
    counted = backups.order_by().values("machine_id")
    made: dict[int, Mapping[str, Any]] = {
        row["machine_id"]: row
        for row in counted.annotate(good=Count("pk", filter=good), failed=Count("pk", filter=backup_days.FAILED))
    }
    failures = _last_failures(machines, period)
    plans = _plans_of(machines)
    return [_row(machine, plans, made.get(machine.pk, {}), failures.get(machine.pk)) for machine in machines]


def _row(machine: Machine, plans: dict[str, Plan], made: Mapping[str, Any], failure: dict[str, Any] | None) -> Row:
    return Row(
        machine,
        plans.get(machine.policy_guid),
        made.get("good", 0),
        made.get("failed", 0),
        parse_datetime(failure["at"]) if failure else None,
        failure["said"] if failure else "",
    )


def _last_failures(machines: Sequence[Machine], period: Period) -> dict[int, dict[str, Any]]:
    of_machine = Backup.objects.filter(machine=OuterRef("pk"), status="FAILED")
    of_machine = of_machine.filter(sort_at__gte=period.since, sort_at__lt=period.until)
    last = of_machine.order_by("-sort_at").values(last=JSONObject(at="sort_at", said="status_info"))[:1]
    found = Machine.objects.filter(pk__in=[machine.pk for machine in machines]).annotate(failure=Subquery(last))
    return {pk: failure for pk, failure in found.values_list("pk", "failure") if failure}


def _plans_of(machines: Iterable[Machine]) -> dict[str, Plan]:
    policies = {machine.policy_guid for machine in machines} - {""}
    plans = Plan.objects.filter(policy_guid__in=policies, vanished_at=None).defer("held", "schedules", "put")
    return {plan.policy_guid: plan for plan in plans}


def protected_days(membership: Membership, period: Period) -> list[Any]:
    """All machines and those protected by recorded day; none for who is limited to some machines."""
    if membership.machine_guids is not None:
        return []
    sums = {"protected": Sum("protected_machines"), "all": Sum("machines")}
    rows = TenantUsage.objects.filter(day__gte=period.first, day__lte=period.last)
    return list(rows.values("day").annotate(**sums).order_by("day"))
