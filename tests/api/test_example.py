"""The example script and the commands of docs/api.md, run against a server."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from pytest_django.live_server_helper import LiveServer

from tenants.models import Grant, Tenant, User
from tests.api.conftest import check, point_of
from tests.conftest import operation_on
from tests.test_docs import commands
from tests.tokens.conftest import token_of
from vprotect_bridge.models import Hypervisor, Machine, Operation

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(settings.BASE_DIR)
SCRIPT = ROOT / "examples/back_up_and_wait.py"


@pytest.fixture
def secret(tenant: Tenant, restorer: User, machine: Machine, live_server: LiveServer, monkeypatch: Any) -> str:
    """Of a token, which the environment holds."""
    Machine.across_tenants.update(name="web-01")
    secret = token_of(tenant, restorer)[1]
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PORTAL_URL", live_server.url)
    monkeypatch.setenv("PORTAL_TOKEN", secret)
    monkeypatch.setenv("MACHINE", "vm-1")
    monkeypatch.delenv("PORTAL_TOKEN_FILE", raising=False)
    return secret


@pytest.fixture
def script(secret: str, monkeypatch: Any) -> Any:
    """The example as a module, whose pauses pass at once: `script.pauses` are done in them, the last one ever again."""
    spec = importlib.util.spec_from_file_location("back_up_and_wait", SCRIPT)
    assert spec and spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.pauses = []

    def sleep(seconds: float) -> None:
        (module.pauses.pop(0) if len(module.pauses) > 1 else module.pauses[0])()

    monkeypatch.setattr(module.time, "sleep", sleep)
    return module


def ends(outcome: str, **fields: Any) -> Callable[[], None]:
    def end() -> None:
        Operation.across_tenants.filter(outcome="").update(outcome=outcome, submission="accepted", **fields)

    return end


def run(script: Any, monkeypatch: Any, *arguments: str) -> int:
    monkeypatch.setattr(script.sys, "argv", ["back_up_and_wait.py", *arguments])
    return int(script.main())


def test_it_backs_up_and_waits(script: Any, machine: Machine, monkeypatch: Any, capsys: Any, secret: str):
    point_of(machine, "point-1")
    script.pauses = [lambda: None, ends("succeeded", backup_guid="point-1")]
    assert run(script, monkeypatch, "web-01") == 0
    told = capsys.readouterr()
    assert told.out == "point-1\n" and "The backup is done." in told.err and secret not in told.out + told.err
    assert Operation.across_tenants.get().token_name == "Pipeline"


@pytest.mark.parametrize("outcome", ["failed", "cancelled", "missed", "unknown"])
def test_what_did_not_go_well_is_no_success(outcome: str, script: Any, monkeypatch: Any):
    script.pauses = [ends(outcome)]
    assert run(script, monkeypatch, "web-01") == 1


def test_it_waits_for_one_that_is_running_and_asks_for_its_own(script: Any, machine: Machine, monkeypatch: Any):
    operation_on(machine)
    script.pauses = [ends("succeeded")]
    assert run(script, monkeypatch, "vm-1") == 0
    assert Operation.across_tenants.count() == 2 and Operation.across_tenants.filter(token_name="Pipeline").count() == 1


@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        ({}, ["web-02"]),
        ({}, ["web-01", "--type", "incremental"]),
        ({"PORTAL_TOKEN": "wrong"}, ["web-01"]),
        ({"PORTAL_TOKEN": ""}, ["web-01"]),
        ({"PORTAL_TOKEN_FILE": "/nowhere/token"}, ["web-01"]),
        ({"PORTAL_URL": "http://127.0.0.1.evil.example"}, ["web-01"]),
        ({"PORTAL_URL": ""}, ["web-01"]),
    ],
)
def test_what_is_refused_starts_nothing(changes: dict[str, str], arguments: list[str], script: Any, monkeypatch: Any):
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    assert run(script, monkeypatch, *arguments) == 2 and not Operation.across_tenants.exists()


def test_when_the_time_is_over_it_says_where_to_look(script: Any, monkeypatch: Any, capsys: Any):
    assert run(script, monkeypatch, "web-01", "--timeout", "1") == 3
    assert f"/operations/{Operation.across_tenants.get().pk}/" in capsys.readouterr().err


def test_a_portal_that_is_away_is_said(script: Any, monkeypatch: Any):
    monkeypatch.setenv("PORTAL_URL", "http://127.0.0.1:1")
    assert run(script, monkeypatch, "web-01", "--timeout", "0.5") == 4


def test_an_answer_that_got_lost_is_asked_for_again(script: Any, monkeypatch: Any):
    """The wish arrives, its answer does not: sent again it starts nothing."""
    once, lost = script.Portal._once, []

    def loses_the_first_wish(self: Any, method: str, *args: Any) -> Any:
        answer = once(self, method, *args)
        if method == "POST" and not lost:
            lost.append(answer)
            return 0, {"detail": "timed out"}, 0
        return answer

    monkeypatch.setattr(script.Portal, "_once", loses_the_first_wish)
    script.pauses = [lambda: None, ends("succeeded")]
    assert run(script, monkeypatch, "web-01") == 0 and lost and Operation.across_tenants.count() == 1


def test_the_commands_of_the_document(secret: str, machine: Machine, tenant: Tenant, monkeypatch: Any):
    """Each as it stands there, in turn; the script's own is run by the tests above, and against the whole product."""
    point_of(machine, "point-1")
    Hypervisor.objects.create(guid="host-1", name="node", platform="KVM", is_manager=False)
    Grant.across_tenants.create(tenant=tenant, kind="hypervisor", guid="host-1")
    schemas = [
        *("Token", "Machines", "Operation", "Operation"),
        *("RestorePoints", "RestorePlaces", "Operation", "Plans"),
    ]
    told = [command for command in commands(ROOT / "docs/api.md") if command.startswith("curl ")]
    for command, schema in zip(told, schemas, strict=True):
        if "/restores" in command:
            Operation.across_tenants.update(outcome="succeeded", submission="accepted")
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
        answer = json.loads(done.stdout)
        check(schema, answer)
        if variable := {"Operation": "OPERATION", "RestorePoints": "POINT", "RestorePlaces": "PLACE"}.get(schema):
            monkeypatch.setenv(variable, answer["id"] if schema == "Operation" else answer["items"][0]["id"])
    assert sorted(Operation.across_tenants.values_list("kind", flat=True)) == ["backup", "restore"]
