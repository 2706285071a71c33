"""Clicks, crashes, doubled rings and trouble upstream in any order: nothing lost, nothing doubled, nothing for ever."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.conftest import FAILPOINTS, Killed, Submitter, World, killed
from tests.faults.test_failpoints import REPLIES
from vprotect_bridge.follow import follow
from vprotect_bridge.models import Operation

pytestmark = pytest.mark.django_db(transaction=True)

MOVES = st.one_of(
    st.just(("ring",)),
    st.just(("sweep",)),
    st.just(("look",)),
    st.tuples(st.just("time"), st.floats(0.1, 2)),
    st.tuples(st.just("killed"), st.sampled_from(FAILPOINTS)),
    st.tuples(st.just("answer"), st.sampled_from([reply for reply in REPLIES if reply])),
    st.just(("session ends",)),
    st.just(("task is cleared",)),
)


@given(moves=st.lists(MOVES, min_size=3, max_size=14))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_any_history_ends_well(moves: list[tuple[Any, ...]], world: World, monkeypatch: pytest.MonkeyPatch):
    start_over(world)
    submitter, progress = Submitter(), [0]
    for move in moves:
        play(move, world, submitter, monkeypatch)
        progress.append(world.now().progress)
    world.simulator.control.clear_faults()
    world.settle(submitter)
    row = world.now()
    assert progress == sorted(progress), "the bar never goes back"
    assert world.tasks_made() <= 1
    assert row.outcome == "succeeded" or row.submission == "needs_attention", (row.submission, row.outcome)


def start_over(world: World) -> None:
    """Hypothesis plays many histories in one test, each with a wish that nobody has touched yet."""
    world.simulator.control.reset("small", speed=1000)
    Operation.across_tenants.filter(pk=world.operation.pk).delete()
    fresh = Operation.across_tenants.create(
        **{field.attname: getattr(world.operation, field.attname) for field in Operation._meta.concrete_fields}
    )
    request = {"backup_type": "FULL", "destination_guid": world.destination, "priority": 50}
    Operation.across_tenants.filter(pk=fresh.pk).update(request=request)


def play(move: tuple[Any, ...], world: World, submitter: Submitter, monkeypatch: pytest.MonkeyPatch) -> None:
    Operation.across_tenants.update(next_at=world.operation.created_at, followed_at=None)
    control = world.simulator.control
    with suppress(Killed, Exception):
        match move:
            case ("ring",):
                submitter.ring(world.api)
            case ("sweep",):
                submitter.sweep(world.api)
            case ("look",):
                follow(world.api)
            case ("time", seconds):
                control.advance(seconds)
            case ("killed", (when, step)):
                with killed(monkeypatch, when, step):
                    submitter.ring(world.api)
            case ("answer", reply):
                control.fault(path="/tasks/export", **reply)
            case ("session ends",):
                control.expire_sessions()
            case ("task is cleared",):
                for task in control.tasks():
                    if task["state"]["name"] in {"FINISHED", "FAILED"}:
                        control.remove_task(task["guid"])
