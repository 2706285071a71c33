"""A pipeline: a token made on its page, and the example script, against the whole product and a simulated vProtect."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Person, Stack
from vprotect_simulator.names import guid_of

pytestmark = pytest.mark.processes

SCRIPT = Path(__file__).resolve().parents[2] / "examples/back_up_and_wait.py"


def token_of(member: Person, stack: Stack) -> str:
    """Made as a person makes it: the password once more, then the form."""
    address = "/t/aurora-books/tokens/new/"
    csrf = re.findall(
        r'csrfmiddlewaretoken" value="(\w+)"', member.get(f"/accounts/reauthenticate/?next={address}").text
    )
    form = {"password": stack.programs.passwords.people, "next": address, "csrfmiddlewaretoken": csrf[0]}
    assert "New token of your own" in member.send("/accounts/reauthenticate/", form).text
    page = member.post(address, {"name": "Pipeline", "role": "member", "scope": "all", "days": "7"}).text
    return re.findall(r"vpt_[0-9A-Za-z]{38}", page)[0]


def test_a_pipeline_backs_up_and_waits(stack: Stack, member: Person, tmp_path: Path):
    secret = tmp_path / "token"
    secret.write_text(token_of(member, stack) + "\n")
    machine = guid_of("vm/shop-db-02")
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"PORTAL_URL": stack.programs.portal_url, "PORTAL_TOKEN_FILE": str(secret)}
    done = subprocess.run(  # noqa: S603
        [sys.executable, str(SCRIPT), machine, "--timeout", "90"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    [operation] = stack.rows("SELECT * FROM vprotect_bridge_operation WHERE token_name = 'Pipeline'")
    assert done.stdout.strip() == operation["backup_guid"]
    made = [task for task in stack.tasks_made(machine) if task["backup"] == operation["backup_guid"]]
    assert len(made) == 1, "a schedule may have made others"
    [used] = stack.rows("SELECT count(*) FROM tenants_auditentry WHERE detail->>'token' = 'Pipeline'")
    assert used["count"] == 2, "made, and what was done with it"
    logs = "".join(path.read_text() for path in (stack.programs.folder / "logs").glob("*"))
    assert secret.read_text().strip() not in logs and "api/v1" in logs
