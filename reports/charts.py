"""What a month's charts draw, with the tables behind them (`portal.charts`)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from django.utils.translation import gettext as _

from portal import dates
from portal.charts import GIB, TONES, Chart, Series, Unit, success_chart
from portal.templatetags.portal_words import size
from reports.breakdown import Breakdown
from reports.months import Month
from reports.protection import Period, Summary, protected_days
from reports.usage import Usage
from tenants.models import Membership
from vprotect_bridge.models import BackupDay

# A chart with more series says nothing: what comes after is one together.
MOST_SERIES = len(TONES)


def stored_chart(usage: Usage, breakdown: Breakdown) -> Chart:
    """Days without a record are gaps, not zeros."""
    days, totals = days_of(usage.month), Counter[date]()
    for row in usage.days:
        totals[row["day"]] += int(row["bytes"])
    keys = list(breakdown.names)
    kept = {key: [breakdown.kept.get((day, key), 0) for day in days] for key in keys}
    if len(keys) >= MOST_SERIES and totals.total() > sum(map(sum, list(kept.values())[:MOST_SERIES])):
        # One colour is for what is left.
        keys = keys[: MOST_SERIES - 1]
    others = [totals[day] - sum(kept[key][place] for key in keys) for place, day in enumerate(days)]
    parts = [(breakdown.names[key], kept[key]) for key in keys] + ([(_("others"), others)] if any(others) else [])
    series = [
        Series(name, tone, [held if day in usage.looks else None for day, held in zip(days, sizes, strict=True)])
        for (name, sizes), tone in zip(parts, TONES, strict=False)
    ]
    last = max(usage.recorded, default=None)
    words = {"size": size(totals[last]), "day": dates.day(last)} if last else {}
    summary = _("%(size)s were kept on %(day)s.") % words if last else ""
    labels = [dates.day(day) for day in days]
    return Chart("stored", "stacked", _("Kept per day"), summary, _("Day"), labels, series, Unit("GiB", GIB, size))


def usage_charts(usage: Usage, breakdown: Breakdown) -> list[Chart]:
    return [stored_chart(usage, breakdown), machines_chart(days_of(usage.month), usage.days)]


def protection_charts(membership: Membership, period: Period, summary: Summary) -> list[Chart]:
    """How backups went, and how machines stood: of who sees all of them, since days of single ones are not kept."""
    by_day: dict[date, list[BackupDay]] = defaultdict(list)
    for row in summary.days:
        by_day[row.day].append(row)
    labels = [dates.day(day) for day in period.all_days]
    charts = [success_chart([by_day[day] for day in period.all_days], labels)] if summary.days else []
    protected = protected_days(membership, period)
    return [*charts, machines_chart(period.all_days, protected)] if protected else charts


def machines_chart(days: Sequence[date], rows: Sequence[Mapping[str, Any]]) -> Chart:
    """All machines, and those of them that were protected, by rows with day, all and protected (None = not known)."""
    told: dict[date, tuple[int, int | None]] = {}
    for row in rows:
        every, protected = told.get(row["day"], (0, 0))
        is_known = protected is not None and row["protected"] is not None
        told[row["day"]] = (every + row["all"], protected + row["protected"] if is_known else None)
    # Of days that were put together later nothing is known of machines.
    columns = [(None, None) if told.get(day, (0, None))[1] is None else told[day] for day in days]
    series = [
        Series(_("Protected"), "good", [protected for _every, protected in columns]),
        Series(_("All machines"), "plain", [every for every, _protected in columns]),
    ]
    labels, unit = [dates.day(day) for day in days], Unit(_("machines"), 1, _count)
    return Chart("machines", "line", _("Machines per day"), _last_words(told), _("Day"), labels, series, unit)


def _last_words(told: Mapping[date, tuple[int, int | None]]) -> str:
    last = max(told, default=None)
    if last is None or (protected := told[last][1]) is None:
        return ""
    words = {"protected": protected, "all": told[last][0], "day": dates.day(last)}
    return _("%(protected)d of %(all)d machines were protected on %(day)s.") % words


def _count(number: int | None) -> str:
    return "–" if number is None else str(number)


def days_of(month: Month) -> list[date]:
    return [month.first + timedelta(days=number) for number in range(month.days)]
