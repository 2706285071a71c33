"""The pictures of `portal.charts`, drawn on paper, and their figures as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.formats import number_format

from portal.charts import Chart
from reports.pdf import INK, LINE, Sheet, Table

# The stylesheet's tokens, on white.
COLOURS = {
    "accent": (15, 118, 110),
    "info": (37, 99, 175),
    "warn": (180, 110, 0),
    "plain": (130, 137, 142),
    "good": (34, 130, 76),
    "bad": (190, 45, 45),
}
# In millimetres.
HEIGHT, GAP, HEAD, LEGEND, FOOT, SCALE, PER_LABEL = 62.0, 8.0, 9.0, 6.5, 5.0, 10.0, 13.0
# Of a power of ten: how much a line of the scale may be more than the one below.
STEPS = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True)
class Plot:
    """Where the figures are: `left` to `left + width`, upwards from `bottom`; `top_value` is the scale's end."""

    left: float
    bottom: float
    width: float
    height: float
    count: int
    top_value: float

    def x(self, place: int) -> float:
        """The middle of a label's column."""
        return self.left + self.width * (place + 0.5) / self.count

    def y(self, value: float) -> float:
        return self.bottom - self.height * value / self.top_value

    @property
    def column(self) -> float:
        return self.width / self.count


def draw_charts(sheet: Sheet, charts: Sequence[Chart]) -> None:
    """Side by side."""
    if not charts:
        return
    if sheet.will_page_break(HEIGHT):
        sheet.add_page()
    top, width = sheet.get_y(), (sheet.epw - GAP * (len(charts) - 1)) / len(charts)
    for number, chart in enumerate(charts):
        _draw(sheet, chart, sheet.l_margin + number * (width + GAP), top, width)
    # What is drawn next is filled with the paper's colour again.
    sheet.set_fill_color(255)
    sheet.set_xy(sheet.l_margin, top + HEIGHT + 3)


def _draw(sheet: Sheet, chart: Chart, left: float, top: float, width: float) -> None:
    drawing = chart.drawing
    sheet.label(left, top, width, f"{chart.title} ({drawing['unit']})", size=9, colour=INK, bold=True)
    sheet.label(left, top + 4.5, width, chart.summary, size=7.5)
    _legend(sheet, drawing["series"], left, top + HEAD, width)
    height = HEIGHT - HEAD - LEGEND - FOOT
    plot = Plot(left + SCALE, top + HEIGHT - FOOT, width - SCALE, height, len(chart.labels), _top_value(drawing))
    _scale(sheet, plot, chart.labels)
    (_line if drawing["kind"] == "line" else _stack)(sheet, plot, drawing["series"])


def _legend(sheet: Sheet, series: Sequence[dict[str, Any]], left: float, top: float, width: float) -> None:
    each = width / max(len(series), 1)
    for number, one in enumerate(series):
        sheet.set_fill_color(*COLOURS[one["tone"]])
        sheet.rect(left + number * each, top + 1.2, 2.2, 2.2, style="F")
        sheet.label(left + number * each + 2.8, top, each - 4, one["label"], size=7)


def _top_value(drawing: dict[str, Any]) -> float:
    """A round number that is not below the highest."""
    columns = zip(*(one["values"] for one in drawing["series"]), strict=True)
    height: Callable[[Any], float] = max if drawing["kind"] == "line" else sum
    highest = max((height([value or 0 for value in column]) for column in columns), default=0)
    if not highest:
        return 4
    power = 10 ** math.floor(math.log10(highest / 4))
    step = next(power * factor for factor in STEPS if 4 * power * factor >= highest)
    is_whole = all(isinstance(value or 0, int) for one in drawing["series"] for value in one["values"])
    return 4 * (math.ceil(step) if is_whole else step)


def _scale(sheet: Sheet, plot: Plot, labels: Sequence[str]) -> None:
    sheet.set_draw_color(*LINE)
    sheet.set_line_width(0.2)
    for quarter in range(5):
        value = plot.top_value * quarter / 4
        sheet.line(plot.left, plot.y(value), plot.left + plot.width, plot.y(value))
        digits = 0 if plot.top_value % 4 == 0 else 2
        sheet.label(
            plot.left - SCALE, plot.y(value) - 1.8, SCALE - 1, number_format(value, digits), size=6.5, align="R"
        )
    every = math.ceil(PER_LABEL / plot.column)
    for place in range(0, plot.count, every):
        sheet.label(plot.x(place) - PER_LABEL / 2, plot.bottom + 0.8, PER_LABEL, labels[place], size=6.5, align="C")


def _stack(sheet: Sheet, plot: Plot, series: Sequence[dict[str, Any]]) -> None:
    for place, column in enumerate(zip(*(one["values"] for one in series), strict=True)):
        below = 0.0
        for one, value in zip(series, column, strict=True):
            if value:
                sheet.set_fill_color(*COLOURS[one["tone"]])
                tall = plot.y(below) - plot.y(below + value)
                sheet.rect(
                    plot.x(place) - plot.column * 0.38, plot.y(below + value), plot.column * 0.76, tall, style="F"
                )
                below += value


def _line(sheet: Sheet, plot: Plot, series: Sequence[dict[str, Any]]) -> None:
    for one in series:
        sheet.set_draw_color(*COLOURS[one["tone"]])
        sheet.set_fill_color(*COLOURS[one["tone"]])
        sheet.set_line_width(0.5)
        points = [(plot.x(place), plot.y(value)) for place, value in enumerate(one["values"]) if value is not None]
        sheet.polyline(points)
        for x, y in points:
            sheet.circle(x, y, 0.6, style="F")
    sheet.set_line_width(0.2)


def table_of_days(charts: Sequence[Chart]) -> Table:
    """The figures of charts that share their days, in turn; days of which none has any are left out."""
    series = [(one, chart.unit.write) for chart in charts for one in chart.series]
    columns = (charts[0].first_column, *(one.label for one, _write in series))
    rows = [
        (label, *("–" if one.values[place] is None else write(one.values[place]) for one, write in series))
        for place, label in enumerate(charts[0].labels)
        if any(one.values[place] is not None for one, _write in series)
    ]
    return Table(columns, (3, *[4] * len(series)), rows, right=frozenset(range(1, len(columns))))
