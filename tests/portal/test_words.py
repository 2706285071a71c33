"""Every name of vProtect's that we know has words, and one that we do not know never breaks a page."""

import pytest

from portal import words
from vprotect_bridge.client.types import FINAL_BACKUP_STATUSES, TASK_TYPES
from vprotect_bridge.models import Operation, Protection


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
