"""The protection report as a file: every machine that the person sees, worst first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.translation import gettext as _

from portal import dates, plan_words, words
from reports.charts import protection_charts
from reports.csv_files import write_csv
from reports.models import ReportFile
from reports.pdf import MOST_ROWS, Sheet, Table, made_at
from reports.pdf_charts import draw_charts, table_of_days
from reports.protection import BATCH, Period, Row, Summary, machines_of, rows_of, summary_of
from reports.summary_words import Counted, backups_counted, machines_by_status, protected_now
from reports.templatetags.report_words import percent
from tenants.models import Membership
from vprotect_bridge.models import Plan

COLUMNS = (
    *("machine", "machine GUID", "status", "plan", "target", "newest good backup", "hours since"),
    *("succeeded", "failed", "succeeded percent", "last failure", "reason"),
)


def write(path: Path, file: ReportFile, membership: Membership, tell: Callable[[int], None]) -> None:
    assert file.first_day and file.last_day  # noqa: S101 — said when it was asked for
    zone = ZoneInfo(membership.tenant.time_zone)
    period = Period((file.last_day - file.first_day).days + 1, zone, file.last_day)
    summary = summary_of(membership, period)
    rows = all_rows(membership, period, summary, tell)
    if file.format == ReportFile.Format.CSV:
        write_csv(path, COLUMNS, (csv_row(row) for row in rows))
    else:
        write_pdf(path, membership, period, summary, rows)


def all_rows(membership: Membership, period: Period, summary: Summary, tell: Callable[[int], None]) -> Iterator[Row]:
    """In batches, so that no report holds all machines of a large tenant at once."""
    machines, done = machines_of(membership), 0
    keys = list(machines.values_list("pk", flat=True))
    for start in range(0, len(keys), BATCH):
        batch = {machine.pk: machine for machine in machines.filter(pk__in=keys[start : start + BATCH])}
        found = rows_of([batch[pk] for pk in keys[start : start + BATCH] if pk in batch], period)
        yield from found
        done += len(found)
        tell(100 * done // max(summary.listed, 1))


def csv_row(row: Row) -> tuple[object, ...]:
    newest, failed = row.newest_good_at, row.failed_at
    hours = int((timezone.now() - newest).total_seconds() // 3600) if newest else None
    return (
        *(row.machine.name, row.machine.guid, row.machine.protection, plan_name(row), row.target),
        *(timezone.localtime(newest).isoformat(timespec="seconds") if newest else None, hours),
        *(row.good, row.failed, None if row.success_percent is None else f"{row.success_percent:.1f}"),
        timezone.localtime(failed).isoformat(timespec="seconds") if failed else None,
        words.failure_reason(row.said) if failed else None,
    )


def plan_name(row: Row) -> str:
    """Also of the plan that a machine has and this person does not see; empty = none."""
    return str(plan_words.plan_name(row.plan or Plan())) if row.machine.policy_guid else ""


def write_pdf(path: Path, membership: Membership, period: Period, summary: Summary, rows: Iterator[Row]) -> None:
    sheet = Sheet(_("How your machines are protected"), membership.tenant.name, made_at(membership), wide=True)
    span = {"first": dates.day_and_year(period.first), "last": dates.day_and_year(period.last), "zone": period.zone.key}
    sheet.paragraph(_("Now, and how backups went from %(first)s to %(last)s (%(zone)s).") % span)
    sheet.heading(_("Machines by status, now"))
    _counted(sheet, [protected_now(summary), *machines_by_status(summary)])
    sheet.heading(_("Backups from %(first)s to %(last)s") % span)
    _counted(sheet, backups_counted(summary))
    charts = protection_charts(membership, period, summary)
    draw_charts(sheet, charts)
    sheet.heading(_("Every machine, worst first"))
    columns = (
        _("Machine"),
        _("Status"),
        _("Plan"),
        _("Target"),
        _("Newest good backup"),
        _("Succeeded"),
        _("Last failure"),
    )
    shown = (_printed(row) for row, _number in zip(rows, range(MOST_ROWS), strict=False))
    sheet.table_of(Table(columns, (5, 3, 4, 3, 5, 4, 7), shown, right=frozenset({5})))
    if summary.listed > MOST_ROWS:
        left = {"count": summary.listed - MOST_ROWS}
        sheet.small(_("%(count)d more machines are in the file for spreadsheets.") % left)
    if charts:
        sheet.heading(_("Day by day, in figures"))
        sheet.table_of(table_of_days(charts))
    sheet.output(str(path))


def _counted(sheet: Sheet, counted: Iterable[Counted]) -> None:
    rows = ((one.label, one.value, one.meaning) for one in counted)
    sheet.table_of(Table(("", "", ""), (5, 3, 12), rows, right=frozenset({1})), has_head=False)


def _printed(row: Row) -> tuple[str, ...]:
    newest, failed = row.newest_good_at, row.failed_at
    made = _("%(good)s of %(made)s") % {"good": row.good, "made": row.made}
    return (
        row.machine.name,
        str(words.protection_chip(row.machine).word),
        plan_name(row) or "–",
        str(words.TARGET[row.target].word) if row.target else "–",
        f"{dates.to_the_minute(newest)} ({dates.ago(newest)})" if newest else _("None yet"),
        f"{percent(row.success_percent)} ({made})" if row.made else "–",
        f"{dates.to_the_minute(failed)}: {words.failure_reason(row.said)}" if failed else "–",
    )
