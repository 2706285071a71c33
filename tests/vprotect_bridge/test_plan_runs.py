"""What a person means, what we compute, and when the simulator really fires: the same moments, over years.

The simulator shares no code with the client and nothing with `plan_times`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.vprotect_bridge.test_plan_times import ZONES
from vprotect_bridge import plan_times
from vprotect_bridge.plan_bodies import schedule_body
from vprotect_bridge.plan_times import MONTHS, OCCURRENCES, WEEKDAYS, CannotBeExact
from vprotect_bridge.plan_wishes import PlanWish, WantedSchedule, derived_schedules, put_again_at, timing_of
from vprotect_simulator.firing import firing_times
from vprotect_simulator.plan_bodies import read_schedule

START = datetime(2026, 1, 1, tzinfo=UTC)
TWO_YEARS = timedelta(days=730)
KEPT = {"name": "sunflower-x-0", "active": True, "tenant_value": ""}


def names(all_names: tuple[str, ...], least: int = 0) -> Any:
    chosen = st.sets(st.sampled_from(all_names), min_size=least)
    return chosen.map(lambda some: tuple(name for name in all_names if name in some))


def clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


AT = st.integers(0, 1439).map(lambda minutes: {"at": clock(minutes)})
SPANS = st.tuples(st.integers(0, 1200), st.sampled_from([15, 30, 45, 60, 90, 120, 240]), st.integers(1, 8)).map(
    lambda drawn: {
        "starts": clock(drawn[0]),
        "ends": clock(min(drawn[0] + drawn[1] * drawn[2], 1439)),
        "every_minutes": drawn[1],
    }
)
SCHEDULES = st.builds(
    lambda times, **rest: WantedSchedule("FULL", **rest, **times),
    times=st.one_of(AT, SPANS),
    weekdays=names(WEEKDAYS, least=1),
    months=st.one_of(st.just(()), names(MONTHS)),
    occurrences=st.one_of(st.just(()), names(OCCURRENCES)),
)


def plan(zone: str, schedule: WantedSchedule) -> PlanWish:
    return PlanWish("Plan", zone, (schedule,), "store-1", ("vm-1",))


def held_over(wish: PlanWish) -> Iterator[tuple[datetime, datetime, list[dict[str, Any]]]]:
    """What vProtect holds from when until when, put again as beat would."""
    now, end = START, START + TWO_YEARS
    while now < end:
        until = min(put_again_at(wish, now) or end, end)
        yield now, until, derived_schedules(wish, now)
        now = until


def fires(facts: dict[str, Any], start: datetime, until: datetime) -> list[datetime]:
    row = read_schedule(schedule_body({**facts, **KEPT}))
    span = (int(moment.timestamp() * 1000) for moment in (start, until))
    return [datetime.fromtimestamp(at / 1000, UTC) for at in firing_times(row, *span)]


@pytest.mark.parametrize("zone", ZONES)
@given(schedule=SCHEDULES)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_the_simulator_fires_when_the_person_means(zone: str, schedule: WantedSchedule):
    """Each moment once: none is lost and none doubled, also around every change of the clocks."""
    wish = plan(zone, schedule)
    try:
        timing = schedule.timing(zone)
        plan_times.check_exact(timing, START)
    except (CannotBeExact, ValueError):
        assume(False)
    fired = [run for start, until, held in held_over(wish) for facts in held for run in fires(facts, start, until)]
    assert sorted(fired) == plan_times.intended_runs(timing, START, START + TWO_YEARS)


@pytest.mark.parametrize("zone", ZONES)
@given(schedule=SCHEDULES)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_the_runs_that_we_show_are_those_that_fire(zone: str, schedule: WantedSchedule):
    """Whatever vProtect holds: also what nobody could mean."""
    try:
        held = derived_schedules(plan(zone, schedule), START)
    except ValueError:
        assume(False)
    fired = {run for facts in held for run in fires(facts, START, START + TWO_YEARS)}
    assert plan_times.runs(map(timing_of, held), START, START + TWO_YEARS) == sorted(fired)
