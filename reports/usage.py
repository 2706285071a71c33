"""The usage of a month: how much was kept where, by plan and by machine, and what it comes to.

A GiB that is kept for all days of a month is one GiB-month; a machine that is protected on all of them one
machine-month. Days without a record count nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

from django.db.models import Max, Min, QuerySet, Sum

from portal.access import granted_destinations
from reports.models import MachineUsage, Price, TenantUsage
from reports.months import Month
from reports.prices import price_of, rounded, shares
from tenants.models import Tenant

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
class Usage:
    """`storage`: a line for each destination, whose costs with `machines_cost` are the bill. `plans` and machines show
    the same total divided otherwise. `days`: by day and destination_guid, bytes, machines (all) and those protected;
    `began_on`: the first day that was ever written down; `destinations`: the names of those that a tenant knows."""

    month: Month
    price: Price | None
    days: Sequence[Mapping[str, Any]]
    began_on: date | None
    destinations: Mapping[str, str] = field(default_factory=dict)
    storage: list[Line] = field(default_factory=list)
    plans: list[Line] = field(default_factory=list)
    machine_days: int = 0
    machines_cost: Decimal | None = None

    @cached_property
    def recorded(self) -> list[date]:
        """The days of the month with a record."""
        return sorted({row["day"] for row in self.days})

    @cached_property
    def reconstructed(self) -> list[date]:
        """Those of them that were put together later (`record.reconstruct_usage`)."""
        return sorted({row["day"] for row in self.days if row["protected"] is None})

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

    def exact_cost(self, line: Line) -> Fraction:
        """Before anything is rounded."""
        if self.price is None:
            return Fraction(0)
        stored = self.gib_months(line.byte_days) * Fraction(self.price.per_gib_month)
        return stored + self.machine_months(line.machine_days) * Fraction(self.price.per_machine_month)

    def divided(self, lines: list[Line]) -> list[Line]:
        """With costs that add up to the total."""
        if self.price is None or self.total is None:
            return lines
        parts = shares(self.total, [self.exact_cost(line) for line in lines], self.price.currency)
        return [replace(line, cost=part) for line, part in zip(lines, parts, strict=True)]


def usage_of(tenant: Tenant, month: Month) -> Usage:
    """Of the whole tenant. Five statements, however many machines there are."""
    rows = TenantUsage.objects.filter(tenant=tenant, day__gte=month.first, day__lte=month.last)
    sums = {"bytes": Sum("stored_bytes"), "protected": Sum("protected_machines"), "all": Sum("machines")}
    days = list(rows.values("day", "destination_guid").annotate(**sums).order_by("day", "destination_guid"))
    usage = Usage(
        month,
        price_of(tenant, month),
        days,
        began_on=TenantUsage.objects.filter(tenant=tenant).aggregate(day=Min("day"))["day"],
        # Named here and not left to row-level security: workers, which make files, see all of them.
        destinations=dict(granted_destinations().values_list("guid", "name")),
    )
    plans = _lines(rows, "plan_id", Max("plan_name"))
    return _billed(replace(usage, machine_days=sum(line.machine_days for line in plans)), _storage(days), plans)


def _storage(days: Sequence[Mapping[str, Any]]) -> list[Line]:
    byte_days: Counter[str] = Counter()
    for row in days:
        byte_days[row["destination_guid"]] += int(row["bytes"])
    return [Line(guid, "", held, 0) for guid, held in byte_days.most_common() if held]


def _billed(usage: Usage, storage: list[Line], plans: list[Line]) -> Usage:
    if usage.price is None:
        return replace(usage, storage=storage, plans=plans)
    currency = usage.price.currency
    storage = [replace(line, cost=rounded(usage.exact_cost(line), currency)) for line in storage]
    protected = usage.machine_months(usage.machine_days) * Fraction(usage.price.per_machine_month)
    usage = replace(usage, storage=storage, machines_cost=rounded(protected, currency))
    return replace(usage, plans=usage.divided(plans))


def machines_of(tenant: Tenant, usage: Usage) -> list[Line]:
    """Every machine of the month, the largest first: for files, which workers make."""
    rows = MachineUsage.objects.filter(tenant=tenant, day__gte=usage.month.first, day__lte=usage.month.last)
    return usage.divided(_lines(rows, "machine_guid", Max("machine_name")))


def largest_of(tenant: Tenant, day: date) -> QuerySet[MachineUsage]:
    """What machines keep on a day, the largest first, to be paged by the database."""
    return MachineUsage.objects.filter(tenant=tenant, day=day).order_by("-stored_bytes", "machine_guid", "pk")


def _lines(rows: QuerySet[Any], key: str, name: Any = None) -> list[Line]:
    """By plan, destination or machine, the largest first."""
    sums = {"byte_days": Sum("stored_bytes"), "machine_days": Sum("protected_machines")}
    found = rows.values(key).annotate(**sums, **({"name": name} if name else {})).order_by("-byte_days", key)
    return [
        Line(row[key], row.get("name", ""), int(row["byte_days"] or 0), int(row["machine_days"] or 0)) for row in found
    ]
