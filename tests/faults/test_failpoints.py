"""Every place where a sender can die × every way in which an answer can go wrong (docs/submit-protocol.md)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.faults.conftest import FAILPOINTS, Killed, PostThenSave, SaveThenPost, Submitter, World, killed
from vprotect_bridge import submit as protocol

pytestmark = pytest.mark.django_db(transaction=True)

REPLIES: tuple[dict[str, Any] | None, ...] = (
    None,
    *({"kind": kind, "when": when} for kind in ("reset", "status", "empty") for when in ("before", "after")),
    *({"kind": "status", "status": status, "when": "before"} for status in (502, 503, 504, 429, 401)),
    *({"kind": kind, "when": "after"} for kind in ("html", "garbage", "truncated", "wrong_guid", "other_vm")),
)
SHAPES = ("object", "batch", "empty")
# `make faults-all` kills twice in all combinations, `make faults` once.
KILLS = (
    tuple(itertools.product(FAILPOINTS, repeat=2))
    if os.environ.get("FAULTS") == "all"
    else tuple((failpoint,) for failpoint in FAILPOINTS)
)


def name_of(fault: Any) -> str:
    if isinstance(fault, dict):
        return "-".join(str(value) for value in fault.values())
    return "+".join("-".join(place) for place in fault) if fault else "good"


def each_kill_with_each_reply() -> Iterator[Any]:
    """`make test` tries each of either alone, and each kill with the two answers that tempt most."""
    tempting = ({"kind": "reset", "when": "before"}, {"kind": "reset", "when": "after"})
    for kills, reply in itertools.product([(), *KILLS], REPLIES):
        is_quick = not kills or (len(kills) == 1 and (reply is None or reply in tempting))
        marks = () if is_quick else pytest.mark.slow
        yield pytest.param(kills, reply, id=f"{name_of(kills)}, {name_of(reply)}", marks=marks)


def order(world: World, reply: dict[str, Any] | None) -> None:
    if reply:
        world.simulator.control.fault(path="/tasks/export", **reply)


@pytest.mark.parametrize(("kills", "reply"), [*each_kill_with_each_reply()])
def test_each_wish_has_one_effect_or_an_honest_word(
    kills: tuple[tuple[str, str], ...], reply: dict[str, Any] | None, world: World, monkeypatch: pytest.MonkeyPatch
):
    order(world, reply)
    submitter = Submitter()
    for when, step in kills:
        with killed(monkeypatch, when, step), suppress(Killed):
            submitter.ring(world.api)
            submitter.sweep(world.api)
    world.settle(submitter)
    assert world.verdict() == "done"


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_of_the_answer_is_settled(shape: str, world: World):
    world.simulator.control.change_settings(answer_shape=shape)
    world.settle(Submitter())
    assert world.verdict() == "done"


@pytest.mark.parametrize(("truncation", "verdict"), [("s", "done"), ("min", "done"), ("absent", "done")])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_window_that_is_echoed_badly_doubles_nothing(truncation: str, verdict: str, when: str, world: World):
    world.simulator.control.change_settings(marker_truncation=truncation)
    order(world, {"kind": "reset", "when": when})
    world.settle(Submitter())
    assert world.verdict() == verdict


# ── Controls: a harness that cannot catch these is worth nothing ─────────────


def test_post_then_save_is_caught_doubling(world: World):
    order(world, {"kind": "reset", "when": "after"})
    world.settle(PostThenSave())
    assert world.verdict() == "doubled"


def test_save_then_post_is_caught_losing(world: World):
    order(world, {"kind": "reset", "when": "before"})
    world.settle(SaveThenPost())
    assert world.verdict() == "lost"


@pytest.mark.parametrize("part", ["look", "settle"])
def test_a_part_taken_away_is_caught(part: str, world: World, monkeypatch: pytest.MonkeyPatch):
    """Without looking, what was made is made again; the other parts are taken away in the model (tests/model)."""
    order(world, {"kind": "reset", "when": "after"} if part == "look" else {"kind": "late", "seconds": 1.0})
    if part == "look":
        monkeypatch.setattr(protocol, "look_up", lambda api, operation: protocol.Sight(absent=True))
    world.settle(Submitter())
    while part == "settle" and world.tasks_made() < 2:
        pass
    assert world.verdict() == "doubled"
