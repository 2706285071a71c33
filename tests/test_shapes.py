"""The shapes themselves, and that whoever leaves them is found out."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.conftest import both_dialects
from tests.shapes import Endpoint, Exchange, WatchedSimulator, shapes
from vprotect_bridge.client.api import ExportRequest, VProtect
from vprotect_bridge.client.errors import NotFound, UpstreamError
from vprotect_simulator.api import ROUTES
from vprotect_simulator.calls import Call
from vprotect_simulator.endpoints.session import LOGINS
from vprotect_simulator.names import guid_of

WEB, RULE, PRIMARY = guid_of("vm/web-01"), guid_of("rule/daily"), guid_of("destination/primary-fs")


@pytest.mark.parametrize("name", sorted(shapes().files))
def test_a_shape_is_a_schema_that_names_its_chapter(name: str):
    schema = shapes().files[name]
    Draft202012Validator.check_schema(schema)
    assert schema["title"] and schema["description"].startswith("API reference, ")


def test_every_call_of_the_simulator_has_its_shape_and_every_shape_its_call():
    known = {(route.method, _unnamed(route.path)) for route in ROUTES} | set(LOGINS)
    assert known == {(endpoint.method, _unnamed(endpoint.path)) for endpoint in shapes().endpoints}


def _unnamed(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


@pytest.mark.parametrize("endpoint", shapes().endpoints, ids=lambda endpoint: endpoint.file)
def test_a_shape_says_what_comes_and_goes(endpoint: Endpoint):
    """Whoever creates or replaces sends something, and whoever gets is answered."""
    parts = {part.partition("-")[0] for part in endpoint.parts}
    is_file = endpoint.path.endswith(("/download", "report-pdf", "report-html"))
    assert endpoint.method != "GET" or "answer" in parts or endpoint.path.startswith("/session")
    assert endpoint.method not in {"POST", "PUT"} or "request" in parts or endpoint.path == "/session/logout"
    assert "answer" in parts or 204 in endpoint.statuses or is_file


def test_every_shape_can_be_used():
    """Every reference from one file to another leads somewhere."""
    for endpoint in shapes().endpoints:
        for part in endpoint.parts:
            validator = shapes()._make_validator(f"{endpoint.file}#/$defs/{part}")
            list(validator.iter_errors({}))
            list(validator.iter_errors([{}]))


# ── Who leaves them is found out ─────────────────────────────────────────────


@pytest.fixture
def exchanges(simulator: WatchedSimulator) -> WatchedSimulator:
    """Afterwards nothing is held against the test, which does wrong on purpose."""
    return simulator


def faults(simulator: WatchedSimulator) -> str:
    return "\n".join(simulator.faults())


def export(api: VProtect) -> None:
    now = api.transport.clock_skew_ms or 0
    api.export(ExportRequest(WEB, "FULL", PRIMARY, 1_900_000_000_000 + now, 1_900_000_600_000 + now, 50, (RULE,)))


@both_dialects
def test_what_both_do_now_is_well_formed(api: VProtect, exchanges: WatchedSimulator):
    export(api)
    api.list_tasks(protected_entity=WEB)
    api.list_virtual_machines()
    assert faults(exchanges) == ""


@both_dialects
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda body: {**body, "priorty": 50}, "priorty"),
        (lambda body: {**body, "backupType": "FULL"}, "backupType"),
        (lambda body: {**body, "protectedEntities": [WEB]}, "protectedEntities"),
        (lambda body: {**body, "windowStart": body["windowStart"] // 1000}, "windowStart"),
        (lambda body: {**body, "windowEnd": None}, "windowEnd"),
        (lambda body: {k: v for k, v in body.items() if k not in {"backupDestination", "rules"}}, "required property"),
    ],
)
def test_a_request_that_drifts(
    change: Callable[[Any], Any], said: str, api: VProtect, exchanges: WatchedSimulator, monkeypatch: Any
):
    body_now = type(api.dialect).export_body
    monkeypatch.setattr(type(api.dialect), "export_body", lambda self, request: change(body_now(self, request)))
    with suppress(UpstreamError, KeyError):
        export(api)
    assert "POST /tasks/export" in (found := faults(exchanges)) and said in found


@both_dialects
def test_the_other_dialects_request(dialect: str, api: VProtect, exchanges: WatchedSimulator):
    exchanges.state.dialect = "current" if dialect == "classic" else "classic"
    with pytest.raises(UpstreamError):
        export(api)
    assert "POST /tasks/export" in faults(exchanges)
    exchanges.state.dialect = dialect


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lastBackup": None, "last_backup": 1_700_000_000_000}, "last_backup"),
        ({"lastBackup": 1_700_000_000}, "lastBackup"),
        ({"present": "yes"}, "present"),
        ({"hvmType": "OPENSTACK"}, "hvmType"),
        ({"vmBackupPolicy": "daily"}, "vmBackupPolicy"),
        ({"lastSuccessfulBackupSize": "12 GB"}, "lastSuccessfulBackupSize"),
    ],
)
def test_an_answer_that_drifts(change: dict[str, Any], said: str, api: VProtect, exchanges: WatchedSimulator):
    exchanges.state.vms[WEB].update(change)
    api.list_virtual_machines()
    assert "GET /virtual-machines" in (found := faults(exchanges)) and said in found


def test_a_member_that_is_null(exchanges: WatchedSimulator, api: VProtect, monkeypatch: Any):
    api.list_virtual_machines()
    [exchange] = [seen for seen in exchanges.exchanges if seen.call.path == "/virtual-machines"]
    exchange.data[0]["project"] = None
    assert "project: None is not of type 'object'" in faults(exchanges)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backupType": {"name": "DAILY"}}, "DAILY"),
        ({"windowStart": "now"}, "windowStart"),
        ({"priority": 101}, "priority"),
        ({"protectedEntities": WEB}, "protectedEntities"),
        ({"protectedEntities": None}, "protectedEntities"),
        ({"backupDestination": None}, "backupDestination"),
    ],
)
def test_what_anybody_may_send_has_bounds_too(change: dict[str, Any], said: str):
    """Bare strings, nulls and unknown members are taken; a wrong type or spelling, or nothing, is not."""
    usual = {"protectedEntities": [WEB], "backupType": "FULL", "backupDestination": PRIMARY, "wish": 1, "rules": None}
    good = Exchange("classic", Call("POST", "/tasks/export", {"showLoader": ["true"]}, usual), 201, [])
    assert list(good.faults_of_anybodys_request()) == [] and list(good.faults())
    bad = replace(good, call=replace(good.call, body={**usual, **change}))
    assert said in "\n".join(bad.faults_of_anybodys_request())


def test_a_filter_that_nobody_knows(api: VProtect, exchanges: WatchedSimulator):
    api.transport.get("/tasks", {"protected_entity": WEB})
    assert "protected_entity" in faults(exchanges)


def test_a_call_without_a_shape(api: VProtect, exchanges: WatchedSimulator):
    with pytest.raises(NotFound):
        api.transport.get("/virtual-machine-backups")
    assert faults(exchanges) == "GET /virtual-machine-backups: there is no shape for this call"


def test_what_is_alike_is_looked_at_once_and_what_differs_is_not_alike():
    alike, call = shapes(), Call("GET", "/virtual-machines")
    row = {"guid": "a", "name": "a", "uuid": "u", "present": True, "type": {"name": "VM", "description": "VM"}}
    assert not list(alike.faults_of_answer("classic", call, 200, [row, {**row, "guid": "b"}]))
    for change in ({"lastBackup": 5}, {"guid": "a/b"}, {"type": {"name": "vm", "description": "VM"}}, {"uuid": 5}):
        assert list(alike.faults_of_answer("classic", call, 200, [row, {**row, **change}])), change
