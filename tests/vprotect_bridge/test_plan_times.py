"""Plans run when the person means, all the year, whatever the zone does; each expected time is written or worked out
without the module's own arithmetic."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vprotect_bridge.client.plans import Schedule
from vprotect_bridge.plan_times import (
    MONTHS,
    OCCURRENCES,
    WEEKDAYS,
    CannotBeExact,
    Interval,
    LocalTiming,
    UpstreamTiming,
    check_exact,
    intended_runs,
    next_change,
    next_runs,
    put_again_at,
    runs,
    to_upstream,
    upstream_for,
)

ZONES = (
    "Europe/Warsaw",
    "America/New_York",
    "America/St_Johns",  # half an hour off the full one
    "America/Sao_Paulo",  # no daylight saving any more
    "America/Santiago",  # changes at its midnight
    "Africa/Casablanca",  # four changes in some years, a month apart
    "Africa/Cairo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "Australia/Lord_Howe",  # changes by half an hour
    "Pacific/Chatham",  # 12:45 and 13:45 ahead
    "Pacific/Kiritimati",  # 14 hours ahead
    "Pacific/Pago_Pago",  # 11 hours behind
    "UTC",
)
EVERY_DAY = frozenset(WEEKDAYS)
WORKDAYS = frozenset(WEEKDAYS[:5])
FIRST = frozenset(OCCURRENCES[:1])
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HOUR_MS = 3_600_000


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def daily(zone: str, at: str, weekdays: frozenset[str] = EVERY_DAY, **more: Any) -> LocalTiming:
    return LocalTiming(zone, time.fromisoformat(at), weekdays, **more)


def interval(start: str, end: str, minutes: int) -> Interval:
    return Interval(time.fromisoformat(start), time.fromisoformat(end), timedelta(minutes=minutes))


def schedule(**members: Any) -> Schedule:
    return Schedule.from_json({"guid": "1", "executionType": "TIME", "daysOfWeek": list(WEEKDAYS), **members})


# ── A worker that holds what it should, over years ───────────────────────────


def carried_out(timing: LocalTiming, start: datetime, end: datetime, late: timedelta = timedelta(0)) -> list[datetime]:
    """What vProtect fires, doubles included, while a worker puts again whatever is due, `late` each time."""
    fired: list[datetime] = []
    now, since = start, start
    while since < end:
        due = put_again_at(timing, now)
        assert due is None or due > now
        until = min(end, due + late) if due else end
        for held in upstream_for(timing, now):
            fired += runs([held], since, until)
        now, since = due or end, until
    return sorted(fired)


def by_the_calendar(timing: LocalTiming, start: datetime, end: datetime) -> list[datetime]:
    """Day by day, as zoneinfo resolves local times; it takes the offset before a change where there is a doubt."""
    zone, when = ZoneInfo(timing.zone), timing.when
    if isinstance(when, time):
        clock_times = [when]
    else:
        steps = (datetime.combine(date.min, when.start) + n * when.frequency for n in range(1441))
        clock_times = [step.time() for step in steps if step <= datetime.combine(date.min, when.end)]
    found = []
    day = start.date() - 2 * DAY
    while day < end.date() + 2 * DAY:
        if is_wanted(timing, day):
            found += [datetime.combine(day, clock_time, zone).astimezone(UTC) for clock_time in clock_times]
        day += DAY
    return sorted(moment for moment in {*found} if start <= moment < end)


def is_wanted(timing: LocalTiming, day: date) -> bool:
    alike = [other for n in range(1, 32) if (other := in_month(day, n)) and other.weekday() == day.weekday()]
    names = {OCCURRENCES[min(alike.index(day), 4)]} | ({OCCURRENCES[4]} if day == alike[-1] else set())
    return (
        day.strftime("%A").upper() in timing.weekdays
        and (not timing.months or day.strftime("%B").upper() in timing.months)
        and (not timing.occurrences or bool(names & timing.occurrences))
    )


def in_month(day: date, number: int) -> date | None:
    try:
        return day.replace(day=number)
    except ValueError:
        return None


def some(names: tuple[str, ...]) -> st.SearchStrategy[frozenset[str]]:
    return st.just(frozenset()) | st.frozensets(st.sampled_from(names), min_size=1)


WEEKDAY_SETS = st.sampled_from([EVERY_DAY, WORKDAYS]) | st.frozensets(st.sampled_from(WEEKDAYS), min_size=1)
# Where zones change, where UTC's midnight is, and anywhere.
TIMES = st.one_of(
    st.builds(time, st.integers(0, 4), st.sampled_from([0, 15, 30, 45, 59])),
    st.builds(time, st.integers(0, 23), st.integers(0, 59)),
)
# Far enough apart for each to run exactly once on every day, and more than a change is long.
SPARSE = st.builds(
    lambda start, minutes, steps: (start, minutes, start + steps * minutes),
    st.integers(0, 600),
    st.integers(61, 400),
    st.integers(1, 5),
).filter(lambda found: found[2] < 22 * 60)
SPARSE_INTERVALS = SPARSE.map(
    lambda found: Interval(time(*divmod(found[0], 60)), time(*divmod(found[2], 60)), timedelta(minutes=found[1]))
)
STARTS = st.datetimes(datetime(2023, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize("zone", ZONES)
@given(data=st.data())
@settings(max_examples=12, deadline=None, derandomize=True)
def test_each_wanted_local_time_runs_once_in_two_years(zone: str, data: st.DataObject):
    when = data.draw(TIMES | SPARSE_INTERVALS)
    timing = LocalTiming(zone, when, data.draw(WEEKDAY_SETS), data.draw(some(MONTHS)), data.draw(some(OCCURRENCES)))
    start = data.draw(STARTS)
    end = start + 730 * DAY
    fired = carried_out(timing, start, end)
    assert fired == by_the_calendar(timing, start, end)
    assert fired == intended_runs(timing, start, end)


@pytest.mark.parametrize("zone", ZONES)
@given(frequency=st.integers(5, 60), start=st.integers(0, 300), length=st.integers(60, 1100), since=STARTS)
@settings(max_examples=5, deadline=None, derandomize=True)
def test_dense_intervals_keep_their_pace_through_a_change(
    zone: str, frequency: int, start: int, length: int, since: datetime
):
    when = Interval(time(*divmod(start, 60)), time(*divmod(start + length, 60)), timedelta(minutes=frequency))
    timing = LocalTiming(zone, when, EVERY_DAY)
    change = next_change(zone, since) or since
    begin, end = change - 20 * DAY, change + 20 * DAY
    fired = carried_out(timing, begin, end)
    assert fired == intended_runs(timing, begin, end)
    assert len(fired) == len({*fired})
    near = [change - 2 * DAY, change + 2 * DAY]
    ordinary = [run for run in by_the_calendar(timing, begin, end) if not near[0] <= run < near[1]]
    assert [run for run in fired if not near[0] <= run < near[1]] == ordinary
    for run in fired:
        reading = run.astimezone(ZoneInfo(zone)).time()
        since_start = (reading.hour * 60 + reading.minute) - start
        is_on_grid = 0 <= since_start <= length and since_start % frequency == 0
        assert is_on_grid or change <= run < change + HOUR, "off its grid only for a time that doesn't exist"


@pytest.mark.parametrize("zone", ZONES)
def test_what_is_held_stays_the_same_until_it_is_put_again(zone: str):
    timing = daily(zone, "00:20", occurrences=FIRST)
    now = utc("2026-01-03")
    for _step in range(6):
        due = put_again_at(timing, now) or now + 300 * DAY
        held = upstream_for(timing, now)
        middle = now + (due - now) / 2
        assert upstream_for(timing, middle) == upstream_for(timing, due - timedelta(milliseconds=1)) == held
        now = due


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("at", ["00:00", "01:30", "02:00", "02:30", "03:00", "23:30"])
def test_a_worker_that_was_down_most_of_a_day_loses_nothing(zone: str, at: str):
    timing = daily(zone, at)
    start, end = utc("2026-01-01"), utc("2028-01-01")
    assert carried_out(timing, start, end, late=20 * HOUR) == by_the_calendar(timing, start, end)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("when", [time(2, 30), interval("00:00", "23:30", 30), interval("08:00", "18:00", 120)])
def test_nothing_is_put_again_close_to_a_run(zone: str, when: time | Interval):
    timing = LocalTiming(zone, when, EVERY_DAY, occurrences=FIRST)
    now = utc("2026-01-01")
    while (due := put_again_at(timing, now)) and now < utc("2028-01-01"):
        assert not intended_runs(timing, due - 10 * timedelta(minutes=1), due + 10 * timedelta(minutes=1))
        now = due


# ── What is sent ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("zone", "on", "hour", "days"),
    [
        ("Europe/Warsaw", "2026-01-15", 1.0, "MONDAY"),
        ("Europe/Warsaw", "2026-07-15", 0.0, "MONDAY"),
        ("America/New_York", "2026-01-15", 7.0, "MONDAY"),
        ("America/St_Johns", "2026-01-15", 5.5, "MONDAY"),
        ("Asia/Kolkata", "2026-01-15", 20.5, "SUNDAY"),
        ("Asia/Kathmandu", "2026-01-15", 20.25, "SUNDAY"),
        ("Pacific/Chatham", "2026-01-15", 12.25, "SUNDAY"),
        ("Pacific/Kiritimati", "2026-01-15", 12.0, "SUNDAY"),
        ("UTC", "2026-01-15", 2.0, "MONDAY"),
    ],
)
def test_monday_at_two_as_vprotect_holds_it(zone: str, on: str, hour: float, days: str):
    expected = UpstreamTiming("TIME", frozenset({days}), hour_ms=int(hour * HOUR_MS))
    timing = daily(zone, "02:00", frozenset({"MONDAY"}))
    assert to_upstream(timing, date.fromisoformat(on)) == (expected,)
    assert to_upstream(timing, utc(on)) == (expected,)


def test_an_evening_in_the_west_is_the_next_day_in_utc():
    (held,) = to_upstream(daily("America/New_York", "22:00", frozenset({"SUNDAY"})), date(2026, 7, 1))
    assert (held.hour_ms, held.days) == (2 * HOUR_MS, {"MONDAY"})


def test_an_interval_across_utc_midnight_is_split():
    timing = LocalTiming("Europe/Warsaw", interval("00:00", "05:00", 60), frozenset({"MONDAY"}))
    evening, morning = to_upstream(timing, date(2026, 7, 1))
    assert (evening.days, evening.start_ms, evening.frequency_ms) == ({"SUNDAY"}, 22 * HOUR_MS, HOUR_MS)
    assert (morning.days, morning.start_ms, morning.frequency_ms) == ({"MONDAY"}, 0, HOUR_MS)
    assert runs([evening, morning], utc("2026-07-05"), utc("2026-07-07")) == [
        utc("2026-07-05T22:00") + n * HOUR for n in range(6)
    ]


def test_a_single_run_on_one_side_of_midnight_needs_no_interval():
    timing = LocalTiming("Europe/Warsaw", interval("00:00", "05:00", 60), frozenset({"MONDAY"}))
    evening, morning = to_upstream(timing, date(2026, 1, 15))
    assert (evening.execution_type, evening.hour_ms) == ("TIME", 23 * HOUR_MS)
    assert morning.execution_type == "INTERVAL"


def test_it_does_not_matter_whether_an_interval_includes_its_end():
    timing = LocalTiming("Asia/Kathmandu", interval("08:00", "20:00", 90), EVERY_DAY)
    for held in to_upstream(timing, date(2026, 1, 15)):
        assert held.start_ms is not None and held.end_ms is not None and held.frequency_ms is not None
        assert (held.end_ms - held.start_ms) % held.frequency_ms


def test_the_day_before_the_first_monday_is_listed_month_by_month():
    timing = daily("Europe/Warsaw", "00:30", frozenset({"MONDAY"}), occurrences=FIRST)
    held = to_upstream(timing, date(2026, 7, 20))
    assert all(one.days == {"SUNDAY"} for one in held)
    # The first Mondays are 7 September, 5 October, 4 January, 1 February and 1 March.
    assert runs(held, utc("2026-09-01"), utc("2026-10-10")) == [utc("2026-09-06T22:30"), utc("2026-10-04T22:30")]
    listed_far_ahead = [utc("2027-01-03T22:30"), utc("2027-01-31T22:30"), utc("2027-02-28T22:30")]
    assert runs(held, utc("2027-01-01"), utc("2027-03-10")) == listed_far_ahead


def test_a_list_of_days_is_renewed_each_half_year_where_no_offset_changes():
    timing = daily("Asia/Tokyo", "02:00", frozenset({"MONDAY"}), occurrences=FIRST)
    assert put_again_at(timing, utc("2026-02-01")) == utc("2026-07-13T01:00")
    assert put_again_at(timing, utc("2026-08-01")) == utc("2027-01-13T01:00")
    assert put_again_at(daily("Asia/Tokyo", "09:00", occurrences=FIRST), utc("2026-02-01")) is None


def test_what_would_take_too_many_schedules_is_refused_in_plain_words():
    first_and_third = frozenset({OCCURRENCES[0], OCCURRENCES[2]})
    timing = daily("Europe/Warsaw", "00:30", WORKDAYS, occurrences=first_and_third)
    with pytest.raises(CannotBeExact, match="Choose fewer weekdays"):
        to_upstream(timing, date(2026, 7, 1))
    with pytest.raises(CannotBeExact):
        check_exact(timing, utc("2026-07-01"))
    check_exact(daily("Europe/Warsaw", "02:30", WORKDAYS, occurrences=first_and_third), utc("2026-07-01"))


def test_a_refusal_of_the_next_season_is_told_today():
    first_and_third = frozenset({OCCURRENCES[0], OCCURRENCES[2]})
    timing = daily("Europe/Warsaw", "01:30", WORKDAYS, occurrences=first_and_third)
    assert len(to_upstream(timing, date(2026, 1, 15))) == 1
    with pytest.raises(CannotBeExact):
        check_exact(timing, utc("2026-01-15"))


@pytest.mark.parametrize(
    ("timing", "members"),
    [
        (
            daily("UTC", "01:00", frozenset({"SUNDAY", "MONDAY"}), months=frozenset({"MAY", "JANUARY"})),
            {
                "executionType": {"name": "TIME"},
                "hour": HOUR_MS,
                "interval": None,
                "daysOfWeek": [{"name": "MONDAY"}, {"name": "SUNDAY"}],
                "months": [{"name": "JANUARY"}, {"name": "MAY"}],
                "dayOfWeekOccurrences": [],
            },
        ),
        (
            LocalTiming("UTC", interval("01:00", "05:00", 120), frozenset({"FRIDAY"}), occurrences=FIRST),
            {
                "executionType": {"name": "INTERVAL"},
                "hour": None,
                "interval": {"startHour": HOUR_MS, "endHour": 6 * HOUR_MS, "frequency": 2 * HOUR_MS},
                "daysOfWeek": [{"name": "FRIDAY"}],
                "months": [],
                "dayOfWeekOccurrences": [{"name": "FIRST_IN_MONTH"}],
            },
        ),
    ],
)
def test_what_is_sent_is_read_back_alike(timing: LocalTiming, members: dict[str, Any]):
    (held,) = to_upstream(timing, date(2026, 1, 15))
    assert held.members() == members
    assert UpstreamTiming.of(Schedule.from_json({"guid": "1", **json.loads(json.dumps(members))})) == held


# ── Around a change ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("zone", "after", "expected"),
    [
        ("Europe/Warsaw", "2026-01-01", "2026-03-29T01:00"),
        ("Europe/Warsaw", "2026-03-29T00:59:59.999999", "2026-03-29T01:00"),
        ("Europe/Warsaw", "2026-03-29T01:00", "2026-10-25T01:00"),
        ("Australia/Lord_Howe", "2026-01-01", "2026-04-04T15:00"),
        ("America/St_Johns", "2026-01-01", "2026-03-08T05:30"),
        ("Pacific/Chatham", "2026-01-01", "2026-04-04T14:00"),
        ("Asia/Tokyo", "2026-01-01", None),
        ("America/Sao_Paulo", "2026-01-01", None),
        ("UTC", "2026-01-01", None),
    ],
)
def test_the_next_change(zone: str, after: str, expected: str | None):
    assert next_change(zone, utc(after)) == (expected and utc(expected))


@pytest.mark.parametrize(
    ("at", "spring", "autumn"),
    [
        ("01:59", "2026-03-29T00:59", "2026-10-24T23:59"),
        ("02:00", "2026-03-29T01:00", "2026-10-25T00:00"),
        ("02:30", "2026-03-29T01:30", "2026-10-25T00:30"),  # 03:30 in spring; the first 02:30 in autumn
        ("03:00", "2026-03-29T01:00", "2026-10-25T02:00"),
        ("23:00", "2026-03-29T21:00", "2026-10-25T22:00"),
    ],
)
def test_the_days_of_change_in_warsaw(at: str, spring: str, autumn: str):
    timing = daily("Europe/Warsaw", at, frozenset({"SUNDAY"}))
    fired = carried_out(timing, utc("2026-01-01"), utc("2027-01-01"))
    assert [run for run in fired if run.date().isoformat() in ("2026-03-29", "2026-10-24", "2026-10-25")] == [
        utc(spring),
        utc(autumn),
    ]
    assert len(fired) == 52


def test_every_half_hour_goes_on_through_the_repeated_hour():
    timing = LocalTiming("Europe/Warsaw", interval("00:00", "23:30", 30), EVERY_DAY)
    fired = carried_out(timing, utc("2026-01-01"), utc("2027-01-01"))
    assert all(following - run == HOUR / 2 for run, following in pairwise(fired))


def test_an_interval_that_lies_in_the_skipped_hour_runs_after_it():
    timing = LocalTiming("Europe/Warsaw", interval("02:00", "02:40", 20), EVERY_DAY)
    fired = carried_out(timing, utc("2026-03-01"), utc("2026-11-01"))
    assert Counter(run.astimezone(ZoneInfo("Europe/Warsaw")).date() for run in fired)[date(2026, 3, 29)] == 3
    assert fired == by_the_calendar(timing, utc("2026-03-01"), utc("2026-11-01"))


def test_it_is_put_again_in_the_pause_around_the_change():
    timing = daily("Europe/Warsaw", "02:30")
    spring, autumn = utc("2026-03-29T01:30"), utc("2026-10-25T00:30")
    assert put_again_at(timing, utc("2026-01-01")) == spring + HOUR
    assert put_again_at(timing, utc("2026-07-01")) == autumn + 2 * HOUR, "the winter's schedule fires an hour later"
    weekly = daily("Europe/Warsaw", "12:00", frozenset({"TUESDAY"}))
    assert (
        timedelta(0)
        < utc("2026-03-29T01:00") - (put_again_at(weekly, utc("2026-01-01")) or utc("2026-01-01"))
        <= 2 * DAY
    )
    assert put_again_at(daily("Asia/Tokyo", "02:00"), utc("2026-01-01")) is None


# ── What vProtect holds ──────────────────────────────────────────────────────


def test_the_same_instant_from_two_schedules_counts_once():
    held = to_upstream(daily("UTC", "01:00"), date(2026, 1, 1)) * 2
    assert runs(held, utc("2026-01-01T01:00"), utc("2026-01-02T01:00")) == [utc("2026-01-01T01:00")]


def test_the_next_five_runs_are_later_than_now():
    held = to_upstream(daily("UTC", "01:00", WORKDAYS), date(2026, 1, 1))
    days = ["2026-01-02", "2026-01-05", "2026-01-06", "2026-01-07", "2026-01-08"]
    assert next_runs(held, utc("2026-01-01T01:00"), 5) == [utc(f"{day}T01:00") for day in days]


def test_a_run_once_a_year_is_found_and_one_that_never_comes_ends():
    yearly = daily("UTC", "01:00", frozenset({"MONDAY"}), months=frozenset({"MAY"}), occurrences=FIRST)
    held = to_upstream(yearly, date(2026, 1, 1))
    assert next_runs(held, utc("2026-05-05"), 2) == [utc("2027-05-03T01:00"), utc("2028-05-01T01:00")]
    assert next_runs([UpstreamTiming("TIME", frozenset({"SOMEDAY"}), hour_ms=0)], utc("2026-01-01"), 5) == []
    assert next_runs([], utc("2026-01-01"), 5) == []


@pytest.mark.parametrize(("hour", "read"), [(-HOUR_MS, "23:00"), (25 * HOUR_MS, "01:00"), (0, "00:00")])
def test_hours_beyond_a_day_are_read_modulo_a_day(hour: int, read: str):
    held = UpstreamTiming.of(schedule(hour=hour))
    assert next_runs([held], utc("2025-12-31T23:59"), 1) == [utc(f"2026-01-01T{read}")]


@pytest.mark.parametrize(
    "members",
    [
        {"hour": None},
        {"executionType": "INTERVAL"},
        {"executionType": "INTERVAL", "interval": {"startHour": 0, "endHour": HOUR_MS, "frequency": 0}},
        {"executionType": "INTERVAL", "interval": {"startHour": 0, "endHour": HOUR_MS, "frequency": -1}},
        {"executionType": "INTERVAL", "interval": {"startHour": 2 * HOUR_MS, "endHour": HOUR_MS, "frequency": 60_000}},
        {"executionType": "SOMETIMES"},
    ],
)
def test_what_makes_no_sense_never_runs(members: dict[str, Any]):
    assert next_runs([UpstreamTiming.of(schedule(**members))], utc("2026-01-01"), 1) == []


@given(days=WEEKDAY_SETS, months=some(MONTHS), occurrences=some(OCCURRENCES), hour_ms=st.integers(0, 24 * HOUR_MS - 1))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_runs_follow_the_utc_calendar(
    days: frozenset[str], months: frozenset[str], occurrences: frozenset[str], hour_ms: int
):
    held = UpstreamTiming("TIME", days, months, occurrences, hour_ms=hour_ms)
    calendar = LocalTiming("UTC", time(0), days, months, occurrences)
    expected = [
        datetime(2027, 1, 1, tzinfo=UTC) + n * DAY + timedelta(milliseconds=hour_ms)
        for n in range(400)
        if is_wanted(calendar, date(2027, 1, 1) + n * DAY)
    ]
    assert runs([held], utc("2027-01-01"), utc("2027-01-01") + 400 * DAY) == expected


# ── What no clock or calendar knows ──────────────────────────────────────────


@pytest.mark.parametrize(
    "wrong",
    [
        {"zone": "Europe/Warsawa"},
        {"zone": "../etc/passwd"},
        {"zone": ""},
        {"weekdays": frozenset()},
        {"weekdays": frozenset({"Monday"})},
        {"months": frozenset({"MAI"})},
        {"occurrences": frozenset({"FIFTH_IN_MONTH"})},
    ],
)
def test_impossible_timings_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError):
        LocalTiming(**{"zone": "UTC", "when": time(1), "weekdays": EVERY_DAY, **wrong})


@pytest.mark.parametrize(
    ("start", "end", "minutes"),
    [
        ("10:00", "09:00", 30),
        ("10:00", "10:00", 30),
        ("10:00", "11:00", 61),
        ("10:00", "11:00", 0),
        ("10:00", "11:00", -5),
    ],
)
def test_impossible_intervals_are_refused(start: str, end: str, minutes: int):
    with pytest.raises(ValueError):
        interval(start, end, minutes)


def test_a_naive_moment_is_refused():
    with pytest.raises(TypeError):
        runs([], datetime(2026, 1, 1), datetime(2026, 1, 2))
