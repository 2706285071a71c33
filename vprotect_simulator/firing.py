"""When a schedule fires (API reference, 10.2 and 10.3). Pure: nothing here knows the clock or the state.

Everything is UTC: the time of day, the weekdays, the months and the occurrences. vProtect knows no daylight saving.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from vprotect_simulator.names import Row, enum_name

DAY_MS = 24 * 3600 * 1000
DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
MONTHS = (
    *("JANUARY", "FEBRUARY", "MARCH", "APRIL", "MAY", "JUNE", "JULY"),
    *("AUGUST", "SEPTEMBER", "OCTOBER", "NOVEMBER", "DECEMBER"),
)
LAST = "LAST_IN_MONTH"
OCCURRENCES = ("FIRST_IN_MONTH", "SECOND_IN_MONTH", "THIRD_IN_MONTH", "FOURTH_IN_MONTH", LAST)
# Whatever the days, months and occurrences: a schedule that fires at all fires within this time.
LONGEST_PAUSE_MS = 400 * DAY_MS


def firing_times(schedule: Row, start: int, end: int) -> Iterator[int]:
    """The moments, in order, from `start` until just before `end` (epoch ms) at which this schedule fires.

    `schedule`: as kept or as answered. Costs a step a day, so two years are cheap.
    """
    if not schedule.get("active"):
        return
    days, months, occurrences = (
        _names(schedule, member) for member in ("daysOfWeek", "months", "dayOfWeekOccurrences")
    )
    times = times_of_day(schedule)
    for midnight in range(start // DAY_MS * DAY_MS, end, DAY_MS):
        if _is_wanted(datetime.fromtimestamp(midnight / 1000, UTC).date(), days, months, occurrences):
            yield from (midnight + time for time in times if start <= midnight + time < end)


def next_firing(schedule: Row, after: int) -> int | None:
    """The first moment later than this; None = never."""
    return next(firing_times(schedule, after + 1, after + LONGEST_PAUSE_MS), None)


def times_of_day(schedule: Row) -> Sequence[int]:
    """Milliseconds since midnight; old rows may hold negative ones, or ones of a day and more (10.2)."""
    if enum_name(schedule["executionType"]) == "TIME":
        return [schedule["hour"] % DAY_MS]
    interval = schedule["interval"]
    return range(interval["startHour"] % DAY_MS, interval["endHour"] % DAY_MS + 1, interval["frequency"])


def _is_wanted(day: date, days: set[str], months: set[str], occurrences: set[str]) -> bool:
    """No months means every month, no occurrences every week (20, trap 28)."""
    return (
        DAYS[day.weekday()] in days
        and (not months or MONTHS[day.month - 1] in months)
        and (not occurrences or bool(occurrences & _occurrences_of(day)))
    )


def _occurrences_of(day: date) -> set[str]:
    """Which one of its weekday in its month a day is; the fourth may be the last as well."""
    which = {OCCURRENCES[(day.day - 1) // 7]}
    is_last = (day + timedelta(days=7)).month != day.month
    return which | {LAST} if is_last else which


def _names(schedule: Row, member: str) -> set[str]:
    return {enum_name(value) for value in schedule.get(member) or []}
