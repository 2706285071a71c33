"""The usage of a month: how much was kept where, by plan and by machine, and what it comes to.

A GiB that is kept for all days of a month is one GiB-month; a machine that is protected on all of them one
machine-month. Days without a record count nothing. Who is limited to some machines sees what these keep, and no prices:
they say what the organisation pays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django.db.models import Count, Max, Min, QuerySet, Sum
from django.utils import timezone

from portal.access import granted_destinations
from reports.models import MachineMonth, MachineUsage, Price, TenantUsage
from reports.months import Month
from reports.prices import price_of, rounded, shares
from tenants.models import Membership

GIB = 1024**3


@dataclass(frozen=True)
class Line:
    """`key`: of a destination or a machine its GUID, of a plan its id. `byte_days` and `machine_days` are whole
    numbers, so that nothing is lost before the end. `cost` None = no price counts."""

    key: str
    name: str
    byte_days: int
    machine_days: int
    cost: Decimal | None = None


@dataclass(frozen=True)
class MachineLine(Line):
    """A machine in a plan at a destination."""

    plan_id: str = ""
    plan_name: str = ""
    destination_guid: str = ""


AnyLine = TypeVar("AnyLine", bound=Line)


@dataclass(frozen=True)
class Usage:
    """`storage`: a line for each destination, whose costs with `machines_cost` are the bill. `plans` and machines show
    the same total divided otherwise. `days`: by day and destination_guid, bytes, machines (all) and those protected;
    `looks`: by recorded day whether it was put together later (`record.reconstruct_usage`); `began_on`: the first day
    that was ever written down; `destinations`: the names of those that a tenant knows. `is_of_all`: machines, not of
    some; `is_over`: the month."""

    month: Month
    price: Price | None
    is_of_all: bool
    is_over: bool
    days: Sequence[Mapping[str, Any]]
    looks: Mapping[date, bool]
    began_on: date | None
    destinations: Mapping[str, str] = field(default_factory=dict)
    storage: list[Line] = field(default_factory=list)
    plans: list[Line] = field(default_factory=list)
    machine_days: int = 0
    machines_cost: Decimal | None = None

    @cached_property
    def recorded(self) -> list[date]:
        """The days of the month with a record."""
        return sorted(self.looks)

    @cached_property
    def reconstructed(self) -> list[date]:
        return [day for day in self.recorded if self.looks[day]]

    @property
    def byte_days(self) -> int:
        return sum(line.byte_days for line in self.storage)

    @property
    def total(self) -> Decimal | None:
        if self.machines_cost is None:
            return None
        return self.machines_cost + sum((line.cost or Decimal(0) for line in self.storage), Decimal(0))

    def gib_months(self, byte_days: int) -> Fraction:
        return Fraction(byte_days, GIB * self.month.days)

    def machine_months(self, machine_days: int) -> Fraction:
        return Fraction(machine_days, self.month.days)

    def exact_cost(self, byte_days: int, machine_days: int) -> Fraction:
        """Before anything is rounded."""
        if self.price is None:
            return Fraction(0)
        stored = self.gib_months(byte_days) * Fraction(self.price.per_gib_month)
        return stored + self.machine_months(machine_days) * Fraction(self.price.per_machine_month)

    def divided(self, lines: list[AnyLine], *, before: tuple[int, int] = (0, 0)) -> list[AnyLine]:
        """With costs that add up to the total. `before`: byte_days and machine_days of all lines above these."""
        if self.price is None or self.total is None:
            return lines
        weights = [self.exact_cost(line.byte_days, line.machine_days) for line in lines]
        whole = self.exact_cost(self.byte_days, self.machine_days)
        parts = shares(self.total, weights, self.price.currency, whole=whole, before=self.exact_cost(*before))
        return [replace(line, cost=part) for line, part in zip(lines, parts, strict=True)]


def usage_of(membership: Membership, month: Month) -> Usage:
    """Six statements, however many machines there are."""
    rows, looks = rows_of(membership, month), of_month(TenantUsage.objects.all(), membership, month)
    sums = {"bytes": Sum("stored_bytes"), "protected": Sum("protected_machines"), "all": Sum("machines")}
    days = list(rows.values("day", "destination_guid").annotate(**sums).order_by("day", "destination_guid"))
    told = looks.values("day").annotate(told=Count("protected_machines")).values_list("day", "told").order_by()
    is_of_all = membership.machine_guids is None
    usage = Usage(
        month,
        price_of(membership.tenant, month) if is_of_all else None,
        is_of_all,
        timezone.localdate(timezone=ZoneInfo(membership.tenant.time_zone)) > month.last,
        days,
        {day: not count for day, count in told},
        began_on=TenantUsage.objects.filter(tenant=membership.tenant).aggregate(day=Min("day"))["day"],
        # Named here and not left to row-level security: workers, which make files, see all of them.
        destinations=dict(granted_destinations().values_list("guid", "name")),
    )
    plans = _plans(rows)
    return _billed(replace(usage, machine_days=sum(line.machine_days for line in plans)), _storage(days), plans)


def rows_of(membership: Membership, month: Month) -> QuerySet[Any]:
    """The days of all machines added up, or those of the machines to which a person is limited."""
    if membership.machine_guids is None:
        return of_month(TenantUsage.objects.all(), membership, month)
    return machine_rows(membership, month)


def machine_rows(membership: Membership, month: Month) -> QuerySet[MachineUsage]:
    return _seen(of_month(MachineUsage.objects.all(), membership, month), membership)


def of_month(rows: QuerySet[Any], membership: Membership, month: Month) -> QuerySet[Any]:
    return rows.filter(tenant=membership.tenant, day__gte=month.first, day__lte=month.last)


def _seen(rows: QuerySet[Any], membership: Membership) -> QuerySet[Any]:
    guids = membership.machine_guids
    return rows if guids is None else rows.filter(machine_guid__in=guids)


def _storage(days: Sequence[Mapping[str, Any]]) -> list[Line]:
    byte_days: Counter[str] = Counter()
    for row in days:
        byte_days[row["destination_guid"]] += int(row["bytes"])
    return [Line(guid, "", held, 0) for guid, held in byte_days.most_common() if held]


def _plans(rows: QuerySet[Any]) -> list[Line]:
    """The largest first."""
    sums = {"byte_days": Sum("stored_bytes"), "machine_days": Sum("protected_machines"), "name": Max("plan_name")}
    found = rows.values("plan_id").annotate(**sums).order_by("-byte_days", "plan_id")
    return [Line(row["plan_id"], row["name"], int(row["byte_days"]), int(row["machine_days"] or 0)) for row in found]


def _billed(usage: Usage, storage: list[Line], plans: list[Line]) -> Usage:
    if usage.price is None:
        return replace(usage, storage=storage, plans=plans)
    currency = usage.price.currency
    storage = [replace(line, cost=rounded(usage.exact_cost(line.byte_days, 0), currency)) for line in storage]
    protected = usage.exact_cost(0, usage.machine_days)
    usage = replace(usage, storage=storage, machines_cost=rounded(protected, currency))
    return replace(usage, plans=usage.divided(plans))


def months_of(membership: Membership, month: Month) -> QuerySet[MachineMonth]:
    """Every machine with its plan and destination, the largest first, to be paged by the database."""
    rows = MachineMonth.objects.filter(tenant=membership.tenant, month=month.first)
    return _seen(rows, membership).order_by("-byte_days", "machine_guid", "plan_id", "destination_guid")


def machine_lines(membership: Membership, usage: Usage, start: int = 0, end: int | None = None) -> list[MachineLine]:
    """Those from `start` to `end`, with costs that add up over all pages."""
    rows = months_of(membership, usage.month)
    return usage.divided([_machine_line(row) for row in rows[start:end]], before=_sums(rows[:start]))


def _machine_line(row: MachineMonth) -> MachineLine:
    return MachineLine(
        row.machine_guid,
        row.machine_name,
        row.byte_days,
        row.machine_days,
        plan_id=row.plan_id,
        plan_name=row.plan_name,
        destination_guid=row.destination_guid,
    )


def _sums(rows: QuerySet[MachineMonth]) -> tuple[int, int]:
    found = rows.aggregate(bytes=Sum("byte_days"), machines=Sum("machine_days"))
    return int(found["bytes"] or 0), int(found["machines"] or 0)
