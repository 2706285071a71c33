"""What the charts draw and what the tables behind them say: the same figures, once as numbers and once in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from portal import dates
from portal.templatetags.portal_words import duration, size
from vprotect_bridge.models import BackupDay

GIB, MINUTE_MS = 1024**3, 60_000
# Tokens of the stylesheet, in turn for destinations.
TONES = ("accent", "info", "warn", "plain")

Number = int | float | None


@dataclass(frozen=True)
class Unit:
    """`per`: so many of what is counted make one on the axis. `write`: how the table says it."""

    name: str
    per: int
    write: Callable[[Any], str]


@dataclass(frozen=True)
class Series:
    label: str
    tone: str
    values: Sequence[Number]


@dataclass(frozen=True)
class Chart:
    """`kind`: stacked, line or bars (lying). `summary` says in a sentence what the picture shows."""

    key: str
    kind: str
    title: str
    summary: str
    first_column: str
    labels: Sequence[str]
    series: Sequence[Series]
    unit: Unit

    @property
    def data_id(self) -> str:
        return f"chart-{self.key}"

    @property
    def table(self) -> list[tuple[str, list[str]]]:
        """Newest first, without days on which there was nothing."""
        rows = [
            (label, [self.unit.write(one.values[place]) for one in self.series])
            for place, label in enumerate(self.labels)
            if any(one.values[place] for one in self.series)
        ]
        return rows if self.kind == "bars" else rows[::-1]

    @property
    def drawing(self) -> dict[str, Any]:
        """For the script, as JSON."""
        series = [
            {"label": one.label, "tone": one.tone, "values": [self._on_axis(value) for value in one.values]}
            for one in self.series
        ]
        return {"kind": self.kind, "labels": list(self.labels), "unit": self.unit.name, "series": series}

    def _on_axis(self, value: Number) -> Number:
        return None if value is None else round(value / self.unit.per, 2)


def charts_of(
    rows: Iterable[BackupDay], days: Sequence[date], restorable: Mapping[str, int], names: Mapping[str, str]
) -> list[Chart]:
    """Of the rows of these days. `restorable`: bytes by GUID of destination, over all days; `names` of those known."""
    by_day: dict[date, list[BackupDay]] = defaultdict(list)
    for row in rows:
        by_day[row.day].append(row)
    of_days = [by_day[day] for day in days]
    labels = [dates.day(day) for day in days]
    return [
        _size_chart(of_days, labels, names),
        _place_chart(restorable, names),
        success_chart(of_days, labels),
        _duration_chart(of_days, labels),
    ]


def _size_chart(of_days: Sequence[Sequence[BackupDay]], labels: Sequence[str], names: Mapping[str, str]) -> Chart:
    places = sorted({row.destination_guid for rows in of_days for row in rows if row.size})
    series = [
        Series(
            _place(guid, names),
            TONES[number % len(TONES)],
            [sum(row.size for row in rows if row.destination_guid == guid) for rows in of_days],
        )
        for number, guid in enumerate(places)
    ]
    total = sum(row.size for rows in of_days for row in rows)
    summary = _("%(size)s were backed up in %(days)d days.") % {"size": size(total), "days": len(labels)}
    return Chart("size", "stacked", _("Data backed up per day"), summary, _("Day"), labels, series, _gib())


def _place_chart(restorable: Mapping[str, int], names: Mapping[str, str]) -> Chart:
    held = sorted(((count, guid) for guid, count in restorable.items() if count), reverse=True)
    series = Series(_("Can be restored"), "accent", [count for count, _guid in held])
    labels = [_place(guid, names) for _count, guid in held]
    summary = _("%(size)s can be restored now.") % {"size": size(sum(restorable.values()))}
    return Chart("place", "bars", _("Where it lies"), summary, _("Destination"), labels, [series], _gib())


def success_chart(of_days: Sequence[Sequence[BackupDay]], labels: Sequence[str]) -> Chart:
    """`of_days`: the rows of each of the labels' days."""
    kinds = (("succeeded", "good", _("Succeeded")), ("with_warnings", "warn", _("With warnings")))
    series = [
        Series(label, tone, [sum(getattr(row, name) for row in rows) for rows in of_days])
        for name, tone, label in (*kinds, ("failed", "bad", _("Failed")))
    ]
    good, warned, failed = (sum(one.values) for one in series)  # type: ignore[arg-type]
    total = good + warned + failed
    summary = ngettext(
        "%(rate)s %% of %(total)d backup succeeded.", "%(rate)s %% of %(total)d backups succeeded.", total
    )
    rate = formats.number_format(round(100 * (good + warned) / total, 1) if total else 0, 1)
    unit = Unit(_("backups"), 1, str)
    words = summary % {"rate": rate, "total": total}
    return Chart("success", "stacked", _("Success rate"), words, _("Day"), labels, series, unit)


def _duration_chart(of_days: Sequence[Sequence[BackupDay]], labels: Sequence[str]) -> Chart:
    sums = [(sum(row.duration_ms for row in rows), sum(row.timed for row in rows)) for rows in of_days]
    averages = [_average(total, count) for total, count in sums]
    total, count = (sum(column) for column in zip(*sums, strict=True))
    summary = _("A backup took %(duration)s on average.") % {"duration": duration(_average(total, count))}
    series = Series(_("Average"), "info", averages)
    unit = Unit(_("minutes"), MINUTE_MS, duration)
    return Chart("duration", "line", _("How long a backup takes"), summary, _("Day"), labels, [series], unit)


def _average(total: int, count: int) -> int | None:
    return round(total / count) if count else None


def _gib() -> Unit:
    return Unit("GiB", GIB, size)


def _place(guid: str, names: Mapping[str, str]) -> str:
    """A tenant knows the names of what it was granted."""
    return names.get(guid) or (_("another destination") if guid else _("unknown"))
