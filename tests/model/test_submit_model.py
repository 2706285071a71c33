"""The protocol as built survives every order of events within the bounds; each weaker design has a counter-example."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.model.submit_model import Faults, Model, Protocol

AS_BUILT = Protocol()
ONE_CRASH = Faults(crashes=1)
NO_CRASH = Faults(crashes=0)
NO_PAUSE = Faults(crashes=1, pauses=0)

# Two crashes need half a minute and find no more than one; `make faults` looks all the same.
both_bounds = pytest.mark.parametrize(
    "faults",
    [pytest.param(ONE_CRASH, id="one crash"), pytest.param(Faults(), id="two crashes", marks=pytest.mark.slow)],
)


@both_bounds
def test_the_protocol_as_built_loses_and_doubles_nothing(faults: Faults):
    model = Model(AS_BUILT, faults)
    assert model.explore() == {}
    assert model.states > 50_000, "it really looked"


@both_bounds
def test_a_restore_ends_with_a_person_instead_of_a_second_send(faults: Faults):
    model = Model(replace(AS_BUILT, sends_again=False), faults)
    assert model.explore() == {}


@pytest.mark.parametrize(
    ("missing", "violation"),
    [
        ("claims_conditionally", "doubled"),
        ("settles", "doubled"),
        ("holds_lock", "doubled"),
        ("restarts_clock", "doubled"),
        ("sweeps", "lost"),
    ],
)
def test_each_of_the_five_parts_is_needed(missing: str, violation: str):
    violations = Model(replace(AS_BUILT, **{missing: False}), NO_CRASH).explore(violation)
    assert violation in violations, "the shortest counter-example is the reason for this part"


# ── Designs that are simpler ─────────────────────────────────────────────────

NAIVE = Protocol(False, False, False, False, False, False, False)
AT_MOST_ONCE = replace(AS_BUILT, looks=False, settles=False, holds_lock=False, restarts_clock=False)
BELIEVES_ABSENCE = replace(AS_BUILT, settles=False, holds_lock=False, restarts_clock=False)


def test_post_then_save_loses_and_doubles():
    violations = Model(NAIVE, Faults(crashes=1, pauses=0)).explore("doubled", "lost")
    assert {"doubled", "lost"} <= set(violations)


def test_save_then_post_loses():
    violations = Model(AT_MOST_ONCE, NO_PAUSE).explore()
    assert "lost" in violations and "doubled" not in violations


def test_absence_that_is_believed_at_once_doubles():
    assert "doubled" in Model(BELIEVES_ABSENCE, NO_PAUSE).explore("doubled")


def test_settling_alone_is_enough_only_while_no_process_freezes():
    settling = replace(AS_BUILT, holds_lock=False, restarts_clock=False)
    assert Model(settling, NO_PAUSE).explore() == {}
    assert "doubled" in Model(settling, NO_CRASH).explore("doubled")


def test_a_counter_example_is_told_step_by_step():
    path = Model(BELIEVES_ABSENCE, NO_PAUSE).explore("doubled")["doubled"]
    assert "the reconciler" not in path[0] and sum(step.startswith("upstream makes it") for step in path) == 2
