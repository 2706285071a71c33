"""The usage of a month as a file: the bill, and the same total by plan and by machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from portal import dates
from reports.csv_files import exact, write_csv
from reports.models import MachineUsage, ReportFile
from reports.months import Month
from reports.names import destination_name, machine_name, plan_name, plan_of
from reports.usage import Line, MachineLine, Usage, machine_lines, machine_rows, rows_of, usage_of
from reports.usage_pdf import write_pdf
from tenants.models import Membership

COLUMNS = (
    *("month", "day", "what", "name", "id", "plan", "destination", "bytes", "GiB-months", "machine-months"),
    *("price per GiB-month", "price per machine-month", "cost", "currency", "note"),
)
# Of machines by day; a file of more would be too large, and has the days by plan and destination only.
MOST_DAY_ROWS = 250_000


def write(path: Path, file: ReportFile, membership: Membership, tell: Callable[[int], None]) -> None:
    assert file.first_day  # noqa: S101 — said when it was asked for
    usage = usage_of(membership, Month.of(file.first_day))
    tell(10)
    machines = machine_lines(membership, usage)
    tell(20)
    if file.format == ReportFile.Format.CSV:
        write_csv(path, COLUMNS, csv_rows(membership, usage, machines, tell))
    else:
        write_pdf(path, membership, usage, machines, sentences(usage))


def csv_rows(
    membership: Membership, usage: Usage, machines: list[MachineLine], tell: Callable[[int], None]
) -> Iterator[tuple[object, ...]]:
    """What has to be known; what the bill consists of, its total, and that total again by plan and by machine: each
    part adds up to it. Then what was kept day by day."""
    price, row = usage.price, partial(_row, usage)
    per_gib, per_machine = (price.per_gib_month, price.per_machine_month) if price else (None, None)
    by_machine = machine_rows(membership, usage.month)
    has_machines = by_machine.count() <= MOST_DAY_ROWS
    for sentence in sentences(usage):
        yield row("note", note=sentence)
    if not has_machines:
        yield row("note", note=_("There are too many machines to list each of their days: days are by plan."))
    for line in usage.storage:
        known = line.key if line.key in usage.destinations else ""
        name = destination_name(usage, line.key)
        yield row("kept", name, known, byte_days=line.byte_days, per_gib=per_gib, cost=line.cost)
    days, cost = usage.machine_days, usage.machines_cost
    yield row("protected machines", machine_days=days, per_machine=per_machine, cost=cost)
    yield row("total", byte_days=usage.byte_days, machine_days=usage.machine_days, cost=usage.total)
    for line in usage.plans:
        yield row("plan", plan_name(usage, line.key, line.name), line.key, **_amounts(line))
    for machine in machines:
        where = destination_name(usage, machine.destination_guid) if machine.byte_days else ""
        names: dict[str, Any] = {"plan": plan_of(usage, machine), "destination": where}
        yield row("machine", machine_name(machine), machine.key, **names, **_amounts(machine))
    rows = by_machine if has_machines else rows_of(membership, usage.month)
    yield from (row("day", **fields) for fields in _days(usage, rows.order_by("day", "pk"), tell))


def _amounts(line: Line) -> dict[str, Any]:
    return {"byte_days": line.byte_days, "machine_days": line.machine_days, "cost": line.cost}


def _days(usage: Usage, rows: QuerySet[Any], tell: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    told = None
    for kept in rows.iterator(chunk_size=5000):
        day: date = kept.day
        if day != told:
            told = day
            tell(20 + 80 * (day.day - 1) // usage.month.days)
        of_machine = {"name": kept.machine_name, "key": kept.machine_guid} if isinstance(kept, MachineUsage) else {}
        yield {
            **of_machine,
            "day": day,
            "plan": plan_name(usage, kept.plan_id, kept.plan_name),
            "destination": destination_name(usage, kept.destination_guid) if kept.stored_bytes else "",
            "size": kept.stored_bytes,
            "note": "put together later" if usage.looks.get(day) else "",
        }


def _row(
    usage: Usage,
    what: str,
    name: str = "",
    key: str = "",
    *,
    day: date | None = None,
    plan: str = "",
    destination: str = "",
    size: int | None = None,
    byte_days: int | None = None,
    machine_days: int | None = None,
    per_gib: Decimal | None = None,
    per_machine: Decimal | None = None,
    cost: Decimal | None = None,
    note: str = "",
) -> tuple[object, ...]:
    return (
        *(usage.month.key, day, what, name, key, plan, destination, size),
        None if byte_days is None else exact(usage.gib_months(byte_days)),
        None if machine_days is None else exact(usage.machine_months(machine_days)),
        *(per_gib, per_machine, cost, usage.price.currency if usage.price else None, note),
    )


def sentences(usage: Usage) -> Iterator[str]:
    """What has to be known to read the figures."""
    if not usage.is_over:
        yield _("The month is not over: these are the figures so far.")
    recorded, days = len(usage.recorded), usage.month.days
    counted = ngettext(
        "%(recorded)s day of %(days)s was written down; only such days count.",
        "%(recorded)s days of %(days)s were written down; only such days count.",
        recorded,
    )
    yield counted % {"recorded": recorded, "days": days}
    if usage.began_on and usage.began_on >= usage.month.first:
        yield _("The record begins on %(day)s.") % {"day": dates.day_and_year(usage.began_on)}
    if usage.reconstructed:
        span = {"first": dates.day(usage.reconstructed[0]), "last": dates.day(usage.reconstructed[-1])}
        yield (
            _(
                "The days from %(first)s to %(last)s were put together later from the restore points that are still "
                "there: they are the least that was kept, and how machines were protected then is not known."
            )
            % span
        )
    yield _(
        "One GiB kept for the whole month is a GiB-month; one machine that stood as protected on every day is a "
        "machine-month."
    )
    if not usage.is_of_all:
        yield _("These are the machines that you see. Prices are for administrators of all machines.")
    elif not usage.price:
        yield _("Your provider has set no prices for this month.")
