"""The usage of a month as a file: the bill, and the same total by plan and by machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from portal import dates
from reports import prices
from reports.charts import destination_name
from reports.csv_files import exact, write_csv
from reports.models import ReportFile
from reports.months import Month
from reports.pdf import MOST_ROWS, Sheet, Table, made_at
from reports.templatetags.report_words import in_gib_months, in_machine_months
from reports.usage import Line, Usage, machines_of, usage_of
from tenants.models import Membership

COLUMNS = (
    *("month", "what", "name", "id", "GiB-months", "machine-months", "price per GiB-month"),
    *("price per machine-month", "cost", "currency"),
)


def write(path: Path, file: ReportFile, membership: Membership, tell: Callable[[int], None]) -> None:
    assert file.first_day  # noqa: S101 — said when it was asked for
    usage = usage_of(membership.tenant, Month.of(file.first_day))
    tell(20)
    machines = machines_of(membership.tenant, usage)
    tell(40)
    if file.format == ReportFile.Format.CSV:
        write_csv(path, COLUMNS, csv_rows(usage, machines))
    else:
        write_pdf(path, membership, usage, machines)


def csv_rows(usage: Usage, machines: list[Line]) -> Iterator[tuple[object, ...]]:
    """What the bill consists of, its total, and that total again by plan and by machine: each part adds up to it."""
    price = usage.price
    per_gib, per_machine = (price.per_gib_month, price.per_machine_month) if price else (None, None)
    for line in usage.storage:
        name = destination_name(line.key, usage.destinations)
        known = line.key if line.key in usage.destinations else ""
        yield _row(usage, "kept", name, known, line.byte_days, None, (per_gib, None), line.cost)
    yield _row(usage, "protected machines", "", "", None, usage.machine_days, (None, per_machine), usage.machines_cost)
    yield _row(usage, "total", "", "", usage.byte_days, usage.machine_days, (None, None), usage.total)
    for what, lines in (("plan", usage.plans), ("machine", machines)):
        for line in lines:
            yield _row(usage, what, line.name, line.key, line.byte_days, line.machine_days, (None, None), line.cost)


def _row(
    usage: Usage,
    what: str,
    name: str,
    key: str,
    byte_days: int | None,
    machine_days: int | None,
    per: tuple[Decimal | None, Decimal | None],
    cost: Decimal | None,
) -> tuple[object, ...]:
    return (
        *(usage.month.key, what, name, key),
        None if byte_days is None else exact(usage.gib_months(byte_days)),
        None if machine_days is None else exact(usage.machine_months(machine_days)),
        *(*per, cost, usage.price.currency if usage.price else None),
    )


def write_pdf(path: Path, membership: Membership, usage: Usage, machines: list[Line]) -> None:
    title = _("Usage in %(month)s") % {"month": usage.month}
    sheet = Sheet(title, membership.tenant.name, made_at(membership))
    for sentence in sentences(usage):
        sheet.small(sentence)
    sheet.heading(_("What it comes to") if usage.price else _("Kept, by destination"))
    sheet.table_of(_bill(usage))
    sheet.heading(_("By plan"))
    plans = [(_plan_name(line), line) for line in usage.plans]
    sheet.table_of(_divided(usage, _("Plan"), plans))
    sheet.heading(_("By machine"))
    shown = [(line.name or _("A machine that is no longer yours"), line) for line in machines[:MOST_ROWS]]
    sheet.table_of(_divided(usage, _("Machine"), shown))
    if len(machines) > MOST_ROWS:
        sheet.small(
            _("%(count)d more machines are in the file for spreadsheets.") % {"count": len(machines) - MOST_ROWS}
        )
    sheet.output(str(path))


def sentences(usage: Usage) -> Iterator[str]:
    """What has to be known to read the figures."""
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
    if not usage.price:
        yield _("Your provider has set no prices for this month.")


def _bill(usage: Usage) -> Table:
    price = usage.price
    lines = [
        (
            _("Kept in %(name)s") % {"name": destination_name(line.key, usage.destinations)},
            _("%(amount)s GiB-months") % {"amount": in_gib_months(usage, line.byte_days)},
            prices.unit_price(price.per_gib_month, price.currency) if price else "",
            line.cost,
        )
        for line in usage.storage
    ]
    months = _("%(amount)s machine-months") % {"amount": in_machine_months(usage, usage.machine_days)}
    per_machine = prices.unit_price(price.per_machine_month, price.currency) if price else ""
    lines.append((_("Protected machines"), months, per_machine, usage.machines_cost))
    if price is None:
        return Table((_("For"), _("Amount")), (6, 4), [line[:2] for line in lines], right=frozenset({1}))
    rows = [(*line[:3], prices.money(line[3], price.currency)) for line in lines]
    rows.append((_("Total"), "", "", prices.money(usage.total, price.currency)))
    columns = (_("For"), _("Amount"), _("Price"), _("Cost"))
    return Table(columns, (6, 4, 3, 3), rows, right=frozenset({1, 2, 3}), has_total=True)


def _divided(usage: Usage, first: str, lines: list[tuple[str, Line]]) -> Table:
    price = usage.price
    rows = [
        (
            *(name, in_gib_months(usage, line.byte_days), in_machine_months(usage, line.machine_days)),
            *([prices.money(line.cost, price.currency)] if price else []),
        )
        for name, line in lines
    ]
    columns = (first, _("GiB-months"), _("Machine-months"), *([_("Cost")] if price else []))
    return Table(columns, (7, 3, 3, 3)[: len(columns)], rows, right=frozenset({1, 2, 3}))


def _plan_name(line: Line) -> str:
    if not line.key:
        return _("No plan, or not known")
    return line.name or _("Your provider's plan")
