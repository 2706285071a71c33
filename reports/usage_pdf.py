"""The usage of a month as a printable document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from django.utils.translation import gettext as _

from portal.charts import Chart
from reports import prices
from reports.breakdown import breakdown_of
from reports.charts import usage_charts
from reports.names import destination_name, machine_name, plan_name, plan_of
from reports.pdf import MOST_ROWS, Sheet, Table, made_at
from reports.pdf_charts import draw_charts, table_of_days
from reports.templatetags.report_words import in_gib_months, in_machine_months
from reports.usage import Line, MachineLine, Usage
from tenants.models import Membership


def write_pdf(
    path: Path, membership: Membership, usage: Usage, machines: list[MachineLine], sentences: Iterable[str]
) -> None:
    title = _("Usage in %(month)s") % {"month": usage.month}
    sheet = Sheet(title, membership.tenant.name, made_at(membership))
    for sentence in sentences:
        sheet.small(sentence)
    sheet.heading(_("What it comes to") if usage.price else _("Kept, by destination"))
    sheet.table_of(_bill(usage))
    charts: list[Chart] = []
    if usage.recorded:
        charts = usage_charts(usage, breakdown_of(membership, usage, "destination"))
        sheet.heading(_("Day by day"))
        draw_charts(sheet, charts)
    sheet.heading(_("By plan"))
    plans = [((plan_name(usage, line.key, line.name),), line) for line in usage.plans]
    sheet.table_of(_divided(usage, (_("Plan"),), plans))
    sheet.heading(_("By machine, plan and destination"))
    shown = [(_where(usage, line), line) for line in machines[:MOST_ROWS]]
    sheet.table_of(_divided(usage, (_("Machine"), _("Plan"), _("Destination")), shown))
    if len(machines) > MOST_ROWS:
        sheet.small(
            _("%(count)d more machines are in the file for spreadsheets.") % {"count": len(machines) - MOST_ROWS}
        )
    if charts:
        sheet.heading(_("Day by day, in figures"))
        sheet.table_of(table_of_days(charts))
    sheet.output(str(path))


def _bill(usage: Usage) -> Table:
    price = usage.price
    lines = [
        (
            _("Kept in %(name)s") % {"name": destination_name(usage, line.key)},
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


def _where(usage: Usage, line: MachineLine) -> tuple[str, str, str]:
    destination = destination_name(usage, line.destination_guid) if line.byte_days else "–"
    return machine_name(line), plan_of(usage, line), destination


def _divided(usage: Usage, first: Sequence[str], lines: Sequence[tuple[Sequence[str], Line]]) -> Table:
    """`first`: the columns of the names that come before the figures."""
    price = usage.price
    rows = [
        (
            *(*names, in_gib_months(usage, line.byte_days), in_machine_months(usage, line.machine_days)),
            *([prices.money(line.cost, price.currency)] if price else []),
        )
        for names, line in lines
    ]
    columns = (*first, _("GiB-months"), _("Machine-months"), *([_("Cost")] if price else []))
    widths = (*[7 if len(first) == 1 else 4] * len(first), 3, 4, 3)[: len(columns)]
    return Table(columns, widths, rows, right=frozenset({len(first), len(first) + 1, len(first) + 2}))
