"""Every name of vProtect's that we know has words, and one that we do not know never breaks a page."""

from typing import Any

import pytest

from portal import plan_words, words
from vprotect_bridge.client.types import FINAL_BACKUP_STATUSES, TASK_TYPES
from vprotect_bridge.models import Operation, PlanChange, Protection, Standing
from vprotect_bridge.plan_times import WEEKDAYS
from vprotect_bridge.plan_wishes import WantedSchedule


def test_everything_known_has_words():
    assert set(words.TASK_TYPE) == set(TASK_TYPES) and len(TASK_TYPES) == 12
    assert set(words.BACKUP_STATUS) >= FINAL_BACKUP_STATUSES | {"QUEUED", "INPROGRESS"}
    assert set(words.PROTECTION) == set(Protection)
    assert set(words.OUTCOME) == set(Operation.Outcome) - {Operation.Outcome.OPEN}


@pytest.mark.parametrize("name", ["", "BRAND_NEW", "x" * 500])
def test_unknown_names_are_shown_readably(name: str):
    assert words.backup_status_chip(name).word == name.replace("_", " ").capitalize()
    assert words.platform(name) == words.backup_type(name) == name.replace("_", " ").capitalize()


@pytest.mark.parametrize(
    ("state", "chip"),
    [
        ({"submission": "pending"}, "Waiting"),
        ({"submission": "uncertain"}, "Being checked"),
        ({"submission": "accepted", "phase": "queued"}, "Waiting"),
        ({"submission": "accepted", "phase": "storing"}, "Running"),
        ({"submission": "accepted", "outcome": "partial"}, "With warnings"),
    ],
)
def test_an_operation_has_one_chip(state: dict[str, str], chip: str):
    assert str(words.operation_chip(Operation(**state)).word) == chip


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"weekdays": WEEKDAYS, "at": "02:00"}, "Full backup every day at 02:00"),
        ({"weekdays": WEEKDAYS[:5], "at": "02:00"}, "Full backup every weekday at 02:00"),
        ({"weekdays": WEEKDAYS[:6], "at": "02:00"}, "Full backup every day from Monday to Saturday at 02:00"),
        ({"weekdays": ("MONDAY", "THURSDAY"), "at": "02:00"}, "Full backup every Monday and Thursday at 02:00"),
        (
            {"weekdays": ("SUNDAY",), "occurrences": ("FIRST_IN_MONTH", "LAST_IN_MONTH"), "at": "02:00"},
            "Full backup on the first and last Sunday of the month at 02:00",
        ),
        (
            {"weekdays": WEEKDAYS, "starts": "08:00", "ends": "18:00", "every_minutes": 120},
            "Full backup every day every 2 hours from 08:00 to 18:00",
        ),
        (
            {"weekdays": WEEKDAYS, "starts": "08:00", "ends": "09:00", "every_minutes": 15, "months": ("MAY",)},
            "Full backup every day every 15 minutes from 08:00 to 09:00 only in May",
        ),
    ],
)
def test_a_schedule_in_words(fields: dict[str, Any], sentence: str):
    assert plan_words.schedule_sentence(WantedSchedule("FULL", **fields)) == sentence


def test_every_state_of_a_change_and_a_plan_has_words():
    assert set(plan_words.STANDING) == set(Standing)
    finished = set(PlanChange.State) - set(PlanChange.DUE)
    assert set(plan_words.CHANGE) == finished
    assert set(plan_words.CHANGE_SENTENCE) == set(PlanChange.OPEN)
