"""What was kept day by day, by destination, plan or machine: what the chart of a month stacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import QuerySet, Sum
from django.utils.translation import gettext_lazy as _

from portal.charts import TONES
from reports.names import destination_name, machine_name, plan_name
from reports.usage import Usage, machine_lines, machine_rows, rows_of
from tenants.models import Membership

BY = {
    "destination": _("By destination"),
    "plan": _("By plan"),
    "machine": _("By machine"),
}
# So many of the largest are looked through for as many machines as a chart has colours: one may be in several rows.
MOST_LOOKED_AT = 40


@dataclass(frozen=True)
class Breakdown:
    """`kept`: bytes by day and key; `names` of the keys, in the order in which they are stacked. What `kept` does not
    have of a day's total is the others'."""

    kept: Mapping[tuple[date, str], int]
    names: Mapping[str, str]


def breakdown_of(membership: Membership, usage: Usage, by: str) -> Breakdown:
    """One statement, or two for machines: of the largest ones only, however many there are."""
    if by == "plan":
        names = {line.key: plan_name(usage, line.key, line.name) for line in usage.plans if line.byte_days}
        return _by(rows_of(membership, usage.month), "plan_id", names)
    if by == "machine":
        names = _largest(membership, usage)
        return _by(machine_rows(membership, usage.month).filter(machine_guid__in=names), "machine_guid", names)
    kept = {(row["day"], row["destination_guid"]): int(row["bytes"]) for row in usage.days}
    return Breakdown(kept, {line.key: destination_name(usage, line.key) for line in usage.storage})


def _by(rows: QuerySet[Any], key: str, names: Mapping[str, str]) -> Breakdown:
    sums = rows.values("day", key).annotate(bytes=Sum("stored_bytes")).order_by("day", key)
    return Breakdown({(row["day"], row[key]): int(row["bytes"]) for row in sums}, names)


def _largest(membership: Membership, usage: Usage) -> dict[str, str]:
    names: dict[str, str] = {}
    for line in machine_lines(membership, usage, 0, MOST_LOOKED_AT):
        if line.byte_days and len(names) < len(TONES):
            names.setdefault(line.key, machine_name(line))
    return names
