"""docs/simulator.md tells of every call that is answered, and of no other."""

from __future__ import annotations

import re
from pathlib import Path

from vprotect_simulator.api import ROUTES
from vprotect_simulator.control_calls import ROUTES as CONTROL_ROUTES
from vprotect_simulator.endpoints.session import LOGINS
from vprotect_simulator.state import Settings

DOCUMENT = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
CALLS = DOCUMENT.partition("## Control calls")[0]
ROW = re.compile(r"^\| `([A-Z]+) (/\S+)` \| (.*) \| (.*) \|$", re.MULTILINE)


def test_the_table_has_the_calls_of_the_code_in_its_dialect():
    told = {(method, path, plays.startswith("classic only")) for method, path, plays, _chapter in ROW.findall(CALLS)}
    known = {(method, path, False) for method, path in LOGINS}
    assert told == known | {(route.method, route.path, route.dialect == "classic") for route in ROUTES}


def test_every_call_rests_on_a_chapter():
    assert all(re.match(r"\d", chapter) for *_call, chapter in ROW.findall(CALLS))


def test_every_setting_and_control_call_is_told_of():
    settings = DOCUMENT[DOCUMENT.index("| Setting | Meaning |") :]
    assert [name for name in Settings.__dataclass_fields__ if f"`{name}`" not in settings] == []
    paths = {path.partition("/([")[0] for path, _method, _function in CONTROL_ROUTES}
    assert [path for path in paths if path not in DOCUMENT] == []


def test_no_call_is_answered_in_two_ways():
    calls = [(route.method, route.path, route.dialect) for route in ROUTES]
    assert len(set(calls)) == len(calls)


def test_every_duty_is_seen_by_a_test():
    duties = re.findall(r"^\| (\d+) \| .* \| (.*) \|$", CALLS, re.MULTILINE)
    assert [int(number) for number, _tests in duties] == list(range(1, 32))
    written = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    named = {name for _number, tests in duties for name in re.findall(r"`(\w+)`", tests)}
    assert [name for name in named if f"def {name}(" not in written] == []
