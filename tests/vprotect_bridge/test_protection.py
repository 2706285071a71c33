"""One word for how well a machine is protected, worst first."""

from datetime import UTC, datetime
from typing import Any

import pytest

from vprotect_bridge.models import Machine, Protection
from vprotect_bridge.protection import History, conclude

NEVER = History()
GOOD = History("SUCCESS", True, datetime(2026, 1, 1, tzinfo=UTC))
BAD = History("FAILED", True, datetime(2026, 1, 1, tzinfo=UTC))
AGED_OUT = History("SUCCESS_REMOVED", False, datetime(2026, 1, 1, tzinfo=UTC))
NOW = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("facts", "history", "concluded"),
    [
        ({"policy_guid": "p", "backup_up_to_date": True}, GOOD, Protection.PROTECTED),
        ({"policy_guid": "p", "backup_up_to_date": False}, GOOD, Protection.OVERDUE),
        ({"policy_guid": "p", "backup_up_to_date": None}, GOOD, Protection.UNKNOWN),
        ({"policy_guid": "p", "backup_up_to_date": True}, BAD, Protection.FAILED),
        ({"policy_guid": "", "backup_up_to_date": None}, GOOD, Protection.UNPROTECTED),
        ({"policy_guid": "", "backup_up_to_date": None}, BAD, Protection.FAILED),
        ({"policy_guid": "", "backup_up_to_date": None}, NEVER, Protection.UNPROTECTED),
        ({"present": False, "backups_at": NOW}, GOOD, Protection.DELETED),
        ({"present": False, "backups_at": NOW}, AGED_OUT, Protection.GONE),
        ({"vanished_at": NOW, "backups_at": NOW}, NEVER, Protection.GONE),
        ({"present": False, "last_size": 5}, NEVER, Protection.DELETED),
    ],
)
def test_the_worst_that_holds_is_said(facts: dict[str, Any], history: History, concluded: Protection):
    assert conclude(Machine(**facts), history) == concluded
