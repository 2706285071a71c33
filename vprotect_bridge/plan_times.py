"""When a plan runs: what a person meant in local time, and the UTC schedules that vProtect must hold for it.

vProtect knows UTC only: times of day, weekdays, months and occurrences (API reference, 10.3). So schedules are right
for one offset of their zone, and are put again when it changes: not at the change itself, but in the pause between the
last run before it and the first run after it, where nothing can be lost or doubled.

Inside, everything is a whole number of milliseconds: an instant since 1970 UTC, a reading of the local clock since 1970
as that clock shows it (reading = instant + offset), or a time since midnight. Days are counted from 1970-01-01.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from vprotect_bridge.client.plans import Schedule

WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
MONTHS = (
    *("JANUARY", "FEBRUARY", "MARCH", "APRIL", "MAY", "JUNE"),
    *("JULY", "AUGUST", "SEPTEMBER", "OCTOBER", "NOVEMBER", "DECEMBER"),
)
FOURTH, LAST = "FOURTH_IN_MONTH", "LAST_IN_MONTH"
OCCURRENCES = ("FIRST_IN_MONTH", "SECOND_IN_MONTH", "THIRD_IN_MONTH", FOURTH, LAST)

MILLISECOND = timedelta(milliseconds=1)
HOUR = 60 * 60 * 1000
DAY = 24 * HOUR
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What runs at all runs again, and a zone with daylight saving changes again, within this time.
LOOK_AHEAD = 400 * DAY
# Schedules are put again at most this long before a change, so that a late change of the law is still heard of.
EARLIEST = 2 * DAY
# With more schedules than this behind one timing, nobody who looks into vProtect can read what it does.
MOST_SCHEDULES = 12


class CannotBeExact(ValueError):
    """No readable number of schedules runs exactly when the person means. The text tells the person why."""

    def __init__(self) -> None:
        super().__init__(
            "vProtect counts days in UTC, where some of these runs fall on the day before or after. "
            "Choose fewer weekdays, months or weeks of the month, or another time of day."
        )


# ── What a person meant, and what vProtect holds ─────────────────────────────


@dataclass(frozen=True)
class Interval:
    """From `start` up to and including `end`, both local and on one day, once in every `frequency`."""

    start: time
    end: time
    frequency: timedelta

    def __post_init__(self) -> None:
        length = timedelta(milliseconds=_since_midnight(self.end) - _since_midnight(self.start))
        if not timedelta(minutes=1) <= self.frequency <= length:
            raise ValueError("an interval must hold two runs, a minute or more apart")


@dataclass(frozen=True)
class LocalTiming:
    """What a person meant, by the clock on the wall in `zone` (an IANA name).

    The words are vProtect's: `MONDAY`, `JANUARY`, `FIRST_IN_MONTH`. No months means every month, no occurrences every
    week. Raises `ValueError` for what no calendar knows.
    """

    zone: str
    when: time | Interval
    weekdays: frozenset[str]
    months: frozenset[str] = frozenset()
    occurrences: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        _offset(self.zone, 0)
        if not self.weekdays:
            raise ValueError("a timing needs a weekday")
        known = (self.weekdays, WEEKDAYS), (self.months, MONTHS), (self.occurrences, OCCURRENCES)
        if unknown := [name for names, all_names in known for name in names - {*all_names}]:
            raise ValueError(f"unknown in a calendar: {', '.join(unknown)}")

    @property
    def clock_times(self) -> range:
        """The times of a day's runs, since local midnight."""
        if isinstance(self.when, time):
            return range(_since_midnight(self.when), _since_midnight(self.when) + 1)
        first, end = _since_midnight(self.when.start), _since_midnight(self.when.end)
        return range(first, end + 1, self.when.frequency // MILLISECOND)


@dataclass(frozen=True)
class UpstreamTiming:
    """When one schedule of vProtect runs: everything in UTC, times in milliseconds since midnight (10.2).

    TIME has `hour_ms`, INTERVAL the other three. The reference doesn't tell whether an interval has a run at its very
    end; it is read as having one, and never written so that it matters.
    """

    execution_type: str
    days: frozenset[str]
    months: frozenset[str] = frozenset()
    occurrences: frozenset[str] = frozenset()
    hour_ms: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    frequency_ms: int | None = None

    @classmethod
    def of(cls, schedule: Schedule) -> Self:
        """Of a schedule as it was read, whether active or not; names that this module does not know never match."""
        is_time = schedule.execution_type == "TIME"
        return cls(
            execution_type=schedule.execution_type,
            days=frozenset(schedule.days),
            months=frozenset(schedule.months),
            occurrences=frozenset(schedule.occurrences),
            hour_ms=schedule.hour_ms if is_time else None,
            start_ms=None if is_time else schedule.start_ms,
            end_ms=None if is_time else schedule.end_ms,
            frequency_ms=None if is_time else schedule.frequency_ms,
        )

    @classmethod
    def at(cls, times: list[int], days: frozenset[str], months: frozenset[str], occurrences: frozenset[str]) -> Self:
        """Exactly at these evenly spaced times of a UTC day; a single one needs no interval."""
        if len(times) == 1:
            return cls("TIME", days, months, occurrences, hour_ms=times[0])
        frequency = times[1] - times[0]
        end = min(times[-1] + frequency // 2, DAY - 1)
        return cls("INTERVAL", days, months, occurrences, start_ms=times[0], end_ms=end, frequency_ms=frequency)

    def members(self) -> dict[str, Any]:
        """The members of a request that tell when (10.2). For TIME, the caller adds `startWindowLength`."""
        is_time = self.execution_type == "TIME"
        interval = {"startHour": self.start_ms, "endHour": self.end_ms, "frequency": self.frequency_ms}
        return {
            "executionType": {"name": self.execution_type},
            "hour": self.hour_ms,
            "interval": None if is_time else interval,
            "daysOfWeek": _enums(self.days, WEEKDAYS),
            "months": _enums(self.months, MONTHS),
            "dayOfWeekOccurrences": _enums(self.occurrences, OCCURRENCES),
        }

    @property
    def clock_times(self) -> range:
        """The times of a day's runs, since UTC midnight; none where members are missing or make no sense."""
        if self.execution_type == "TIME" and self.hour_ms is not None:
            return range(self.hour_ms, self.hour_ms + 1)
        if self.start_ms is None or self.end_ms is None or not self.frequency_ms or self.frequency_ms < 0:
            return range(0)
        return range(self.start_ms, self.end_ms + 1, self.frequency_ms)


def _enums(names: frozenset[str], order: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"name": name} for name in order if name in names]


# ── When it runs ─────────────────────────────────────────────────────────────


def runs(held: Iterable[UpstreamTiming], start: datetime, end: datetime) -> list[datetime]:
    """The instants (aware UTC, each once) from `start` until just before `end` at which vProtect runs what it holds."""
    return [_moment(instant) for instant in _upstream_runs(held, _instant(start), _instant(end))]


def next_runs(held: Iterable[UpstreamTiming], after: datetime, count: int) -> list[datetime]:
    """The next instants (aware UTC) later than `after`; fewer than `count` if it never runs so often."""
    begin = _instant(after + timedelta(microseconds=1))
    return [_moment(instant) for instant in islice(_upstream_runs(held, begin, begin + count * LOOK_AHEAD), count)]


def intended_runs(timing: LocalTiming, start: datetime, end: datetime) -> list[datetime]:
    """The instants (aware UTC) from `start` until just before `end` at which the person means it to run.

    On the day of a change, a local time that doesn't exist runs by the offset before the change (02:30 when 02:00
    turns into 03:00: at what is then 03:30), and one that exists twice runs the first time only. The one exception is
    an interval whose runs are as close together as the change is long: it goes on through a repeated hour at its own
    pace, and a skipped hour's runs are made good by those of the hour after.
    """
    return [_moment(instant) for instant in _intended_runs(timing, _instant(start), _instant(end))]


def _upstream_runs(held: Iterable[UpstreamTiming], start: int, end: int) -> Iterator[int]:
    held = tuple(held)
    for day in _days(start, end):
        of_day = {
            day * DAY + clock_time
            for timing in held
            if _falls_on(day, timing.days, timing.months, timing.occurrences)
            for clock_time in timing.clock_times
        }
        yield from (instant for instant in sorted(of_day) if start <= instant < end)


def _intended_runs(timing: LocalTiming, start: int, end: int) -> Iterator[int]:
    offset = _offset(timing.zone, start - EARLIEST)
    for change in _changes(timing.zone, start - EARLIEST, end + EARLIEST):
        turn = _turn(timing, change)
        yield from _runs_by(offset, timing, start, min(turn, end))
        start, offset = max(start, turn), change.after
    yield from _runs_by(offset, timing, start, end)


def _runs_by(offset: int, timing: LocalTiming, start: int, end: int) -> Iterator[int]:
    """The instants from `start` until just before `end` at which it would run if the zone always had this offset."""
    return (reading - offset for reading in _readings(timing, start + offset, end + offset))


def _readings(timing: LocalTiming, start: int, end: int) -> Iterator[int]:
    for day in _days(start, end):
        if _falls_on(day, timing.weekdays, timing.months, timing.occurrences):
            readings = (day * DAY + clock_time for clock_time in timing.clock_times)
            yield from (reading for reading in readings if start <= reading < end)


def _days(start: int, end: int) -> range:
    return range(start // DAY, -(-end // DAY))


def _falls_on(day: int, weekdays: frozenset[str], months: frozenset[str], occurrences: frozenset[str]) -> bool:
    """No months means every month, no occurrences every week (20, trap 28)."""
    found = _date(day)
    if WEEKDAYS[found.weekday()] not in weekdays or (months and MONTHS[found.month - 1] not in months):
        return False
    return not occurrences or OCCURRENCES[_week(found)] in occurrences or (LAST in occurrences and _is_last(found))


def _week(day: date) -> int:
    """The how-manieth of its weekday in its month a day is, from 0; the one at 4 is always the last."""
    return (day.day - 1) // 7


def _is_last(day: date) -> bool:
    return (day + timedelta(days=7)).month != day.month


# ── Changes of a zone's offset ───────────────────────────────────────────────


class Change(NamedTuple):
    """At the instant `at`, the offset `before` gives way to the offset `after`."""

    at: int
    before: int
    after: int


def next_change(zone: str, after: datetime) -> datetime | None:
    """The instant (aware UTC) of the zone's next change of offset; None = none within thirteen months."""
    begin = _instant(after + timedelta(microseconds=1)) - 1
    return next((_moment(change.at) for change in _changes(zone, begin, begin + LOOK_AHEAD)), None)


def _changes(zone: str, after: int, until: int) -> list[Change]:
    years = range(_moment(after).year, _moment(until).year + 1)
    return [change for year in years for change in _changes_in(zone, year) if after < change.at <= until]


@lru_cache(maxsize=2048)
def _changes_in(zone: str, year: int) -> tuple[Change, ...]:
    """A day with a change begins and ends with different offsets; within it the instant is found by bisection."""
    first, following = (_day(date(number, 1, 1)) for number in (year, year + 1))
    offsets = [_offset(zone, day * DAY) for day in range(first, following + 1)]
    pairs = zip(range(first, following), offsets, offsets[1:], strict=False)
    return tuple(
        Change(_bisected(zone, day * DAY, before), before, after) for day, before, after in pairs if before != after
    )


def _bisected(zone: str, midnight: int, before: int) -> int:
    still, already = midnight, midnight + DAY
    while already - still > 1:
        middle = (still + already) // 2
        if _offset(zone, middle) == before:
            still = middle
        else:
            already = middle
    return already


def _turn(timing: LocalTiming, change: Change) -> int:
    """From which instant on runs go by the offset after the change: at the change, or later by its length at most.

    `doubtful` are the runs whose local time doesn't exist or exists twice, `following` those of as long a time after
    it, both told in milliseconds after the change. Clocks put forward: then the offset before runs the doubtful ones,
    and the one after the following ones. Clocks put back: then the offset after would run the doubtful ones again, and
    the one before the following ones too early. Either way a turn behind the doubtful and not behind the following ones
    runs each once. Where runs are so close together that there is none, the change itself is the turn.
    """
    length = abs(change.after - change.before)
    begin = change.at + min(change.before, change.after)
    doubtful = [reading - begin for reading in _readings(timing, begin, begin + length)]
    following = [reading - begin - length for reading in _readings(timing, begin + length, begin + 2 * length)]
    turn = min(following, default=length)
    return change.at + turn if max(doubtful, default=-1) < turn else change.at


# ── What vProtect must hold ──────────────────────────────────────────────────


def to_upstream(timing: LocalTiming, on: date | datetime) -> tuple[UpstreamTiming, ...]:
    """The schedules that run as the person means while the offset of that instant (of that day: its noon) is in force.

    Runs on both sides of UTC midnight become separate schedules. Raises `CannotBeExact`.
    """
    moment = on if isinstance(on, datetime) else datetime.combine(on, time(12), ZoneInfo(timing.zone))
    instant = _instant(moment)
    found = _derived(timing, _offset(timing.zone, instant), _day_list(timing, instant).first)
    if len(found) > MOST_SCHEDULES:
        raise CannotBeExact
    return found


def check_exact(timing: LocalTiming, now: datetime) -> None:
    """Raises `CannotBeExact` if `to_upstream` would, now or after a change within thirteen months.

    Asked before a plan is accepted; `upstream_for` refuses nothing, so that a plan once accepted is always carried out.
    """
    instant = _instant(now)
    to_upstream(timing, now)
    for change in _changes(timing.zone, instant, instant + LOOK_AHEAD):
        to_upstream(timing, _moment(change.at))


def upstream_for(timing: LocalTiming, now: datetime) -> tuple[UpstreamTiming, ...]:
    """What vProtect must hold at `now`: the same from one `put_again_at` to the next, and exact all that time."""
    instant = _instant(now)
    return _derived(timing, _offset_held(timing, instant).offset, _day_list(timing, instant).first)


def put_again_at(timing: LocalTiming, now: datetime) -> datetime | None:
    """From which instant on (aware UTC, later than `now`) something else must be held; None = nothing changes so far.

    For a change of offset it lies in the pause between the last run by the old offset and the first by the new one:
    after both the last run and the one that the new schedules would fire again, before both the first run and the one
    that the old schedules would still fire. An hour into that pause, so that the run before it has safely begun, and
    a worker that comes late has the rest of it; halfway, if it is shorter than two hours; and never more than two days
    before the change. For a list of days (see `_listed`) it is two weeks into the half-year.

    None holds for thirteen months; ask again whenever rules for zones are updated.
    """
    instant = _instant(now)
    hold = _offset_held(timing, instant)
    ends = [hold.until, _day_list(timing, instant).until if _needs_list(timing, hold.offset) else None]
    return min((_moment(end) for end in ends if end is not None), default=None)


class OffsetHeld(NamedTuple):
    offset: int
    until: int | None


class DayList(NamedTuple):
    """A list of days covers the twelve months from `first` on; `until`: when the next one takes its place."""

    first: date
    until: int


def _offset_held(timing: LocalTiming, now: int) -> OffsetHeld:
    since = now - 2 * EARLIEST
    offset = _offset(timing.zone, since)
    for change in _changes(timing.zone, since, now + LOOK_AHEAD):
        pause = _pause(timing, _turn(timing, change), (change.before, change.after))
        if pause > now:
            return OffsetHeld(offset, pause)
        offset = change.after
    return OffsetHeld(offset, None)


def _day_list(timing: LocalTiming, now: int) -> DayList:
    """Renewed each half-year, it always covers five months more than it must."""
    year = _moment(now).year
    halves = [date(year - 1, 7, 1), date(year, 1, 1), date(year, 7, 1), date(year + 1, 1, 1)]
    renewals = [(half, _renewal(timing, half)) for half in halves]
    first = max(half for half, renewal in renewals if renewal <= now)
    return DayList(first, min(renewal for _half, renewal in renewals if renewal > now))


def _renewal(timing: LocalTiming, half: date) -> int:
    around = _day(half) * DAY + 14 * DAY
    return _pause(timing, around, (_offset(timing.zone, around),))


def _pause(timing: LocalTiming, turn: int, offsets: tuple[int, ...]) -> int:
    """An instant near `turn` at which no run by any of the offsets is close; none lies between it and `turn`."""
    earlier = [run for offset in offsets for run in _runs_by(offset, timing, turn - EARLIEST, turn)]
    later = [run for offset in offsets for run in _runs_by(offset, timing, turn, turn + EARLIEST)]
    last, first = max(earlier, default=turn - EARLIEST), min(later, default=turn + EARLIEST)
    return last + min((first - last + 1) // 2, HOUR)


def _derived(timing: LocalTiming, offset: int, first: date) -> tuple[UpstreamTiming, ...]:
    return tuple(
        UpstreamTiming.at(times, *days)
        for shift, times in _by_utc_day(timing, offset)
        for days in _utc_days(timing, shift, first)
    )


def _needs_list(timing: LocalTiming, offset: int) -> bool:
    return bool(timing.months or timing.occurrences) and any(shift for shift, _times in _by_utc_day(timing, offset))


def _by_utc_day(timing: LocalTiming, offset: int) -> list[tuple[int, list[int]]]:
    """A local day's runs as times of UTC days: of the day before (-1), the same (0) or the next (+1)."""
    by_shift = defaultdict(list)
    for clock_time in timing.clock_times:
        shift, utc_time = divmod(clock_time - offset, DAY)
        by_shift[shift].append(utc_time)
    return list(by_shift.items())


# Weekdays, months and occurrences of UTC days.
UtcDays = tuple[frozenset[str], frozenset[str], frozenset[str]]


def _utc_days(timing: LocalTiming, shift: int, first: date) -> list[UtcDays]:
    if not shift:
        return [(timing.weekdays, timing.months, timing.occurrences)]
    if timing.months or timing.occurrences:
        return _listed(timing, shift, first)
    shifted = frozenset(WEEKDAYS[(WEEKDAYS.index(name) + shift) % 7] for name in timing.weekdays)
    return [(shifted, frozenset(), frozenset())]


def _listed(timing: LocalTiming, shift: int, first: date) -> list[UtcDays]:
    """The UTC days of the twelve months from `first` on, one by one, as few products of weekdays, months and weeks.

    The day before the first Monday is the first Sunday, or the last one of the month before: no single schedule says
    that for every year, but a calendar says which it is in each month.
    """
    cells = defaultdict(set)
    for year, month in ((first.year + (first.month + n - 1) // 12, (first.month + n - 1) % 12 + 1) for n in range(12)):
        for weekday, days in _month(year, month).items():
            wanted = [day for day in days if _falls_on(day - shift, timing.weekdays, timing.months, timing.occurrences)]
            if wanted:
                weeks = frozenset() if wanted == days else frozenset(_name_of_week(day, timing) for day in wanted)
                cells[weeks].add((weekday, MONTHS[month - 1]))
    return [
        (weekdays, frozenset() if len(months) == 12 else months, weeks)
        for weeks, places in cells.items()
        for weekdays, months in _products(places)
    ]


def _month(year: int, month: int) -> dict[str, list[int]]:
    """The days of a month, by weekday."""
    days = defaultdict(list)
    day = date(year, month, 1)
    while day.month == month:
        days[WEEKDAYS[day.weekday()]].append(_day(day))
        day += timedelta(days=1)
    return days


def _name_of_week(day: int, timing: LocalTiming) -> str:
    """Where a fourth is the last as well, it takes the name that the person used, so that months are alike."""
    found = _date(day)
    is_called_last = _is_last(found) and FOURTH not in timing.occurrences
    return LAST if is_called_last else OCCURRENCES[_week(found)]


def _products(places: set[tuple[str, str]]) -> list[tuple[frozenset[str], frozenset[str]]]:
    """The places (weekday, month) as products of weekdays and months that do not overlap."""
    by_weekday = [(weekdays, months) for months, weekdays in _alike(places).items()]
    by_month = list(_alike({(month, weekday) for weekday, month in places}).items())
    return min(by_weekday, by_month, key=len)


def _alike(pairs: set[tuple[str, str]]) -> dict[frozenset[str], frozenset[str]]:
    """Sets of right sides, each with all the left sides that have exactly these."""
    rights = defaultdict(set)
    for left, right in sorted(pairs):
        rights[left].add(right)
    lefts = defaultdict(set)
    for left, found in rights.items():
        lefts[frozenset(found)].add(left)
    return {found: frozenset(left) for found, left in lefts.items()}


# ── Milliseconds ─────────────────────────────────────────────────────────────


def _instant(moment: datetime) -> int:
    """The first whole millisecond that is not before this moment. Raises `TypeError` for a naive one."""
    return -((EPOCH - moment) // MILLISECOND)


def _moment(instant: int) -> datetime:
    return EPOCH + instant * MILLISECOND


def _since_midnight(clock_time: time) -> int:
    return timedelta(hours=clock_time.hour, minutes=clock_time.minute, seconds=clock_time.second) // MILLISECOND


def _offset(zone: str, instant: int) -> int:
    """How far the clocks of the zone are ahead of UTC. Raises `ValueError` for a zone that is none."""
    offset = _moment(instant).astimezone(_zone(zone)).utcoffset() or timedelta(0)
    return offset // MILLISECOND


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError) as error:
        raise ValueError(f"unknown zone: {name}") from error


def _day(day: date) -> int:
    return day.toordinal() - EPOCH.toordinal()


@lru_cache(maxsize=4096)
def _date(day: int) -> date:
    return date.fromordinal(day + EPOCH.toordinal())
