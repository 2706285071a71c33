"""Trouble on order, the ledger, the control calls, and what outlives a restart."""

import http.client
import os
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.simulator.conftest import WEB, PlainClient
from vprotect_simulator.server import SimulatorServer


@pytest.mark.parametrize("kind", ["hang", "reset", "truncated", "late"])
def test_a_connection_breaks_on_order(kind: str, simulator: SimulatorServer, client: PlainClient):
    simulator.control.fault(kind, path="/tasks", seconds=0.1)
    with pytest.raises((http.client.HTTPException, OSError)):
        client.get("/tasks")
    assert client.get("/tasks") == [], "only once"


def test_a_reset_is_a_reset(simulator: SimulatorServer, client: PlainClient):
    simulator.control.fault("reset")
    with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
        client.get("/tasks")


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [("status", 500, "node1.internal"), ("garbage", 200, "not closed"), ("html", 200, "<html>"), ("empty", 200, "")],
)
def test_an_answer_is_nonsense_on_order(
    kind: str, status: int, text: str, simulator: SimulatorServer, client: PlainClient
):
    simulator.control.fault(kind, path="/tasks")
    answer = client.call("GET", "/api/tasks")
    assert answer.status == status and text in answer.text


@pytest.mark.parametrize(("when", "count"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("kind", ["status", "reset", "hang", "garbage", "empty"])
def test_a_fault_comes_before_or_after_the_work(
    kind: str, when: str, count: int, simulator: SimulatorServer, client: PlainClient
):
    simulator.control.fault(kind, path="/tasks/export", when=when, seconds=0.1)
    try:
        client.export(WEB)
    except (http.client.HTTPException, OSError):
        assert kind in {"reset", "hang"}
    assert len(simulator.control.made_tasks()) == count


def test_a_late_request_is_worked_on_later(simulator: SimulatorServer, client: PlainClient):
    simulator.control.fault("late", path="/tasks/export", seconds=0.3)
    with pytest.raises((http.client.HTTPException, OSError)):
        client.export(WEB)
    assert simulator.control.made_tasks() == []
    deadline = time.monotonic() + 5
    while not simulator.control.made_tasks():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_answers_name_something_else_on_order(simulator: SimulatorServer, client: PlainClient):
    simulator.control.fault("wrong_guid", path="/tasks/export")
    simulator.control.fault("other_vm", path="/tasks/export")
    assert client.export(WEB).data[0]["guid"] == "no guid!"
    assert client.export(WEB).data[0]["protectedEntity"]["name"] == "other"


def test_bytes_drip_on_order(simulator: SimulatorServer, client: PlainClient):
    simulator.control.fault("drip", path="/session", seconds=0.01)
    started = time.monotonic()
    assert client.call("GET", "/api/session").status == 204
    assert time.monotonic() - started > 0.3


def test_faults_skip_and_repeat(simulator: SimulatorServer, client: PlainClient):
    simulator.control.fault("status", path="/tasks", skip=1, times=2, status=503)
    assert [client.call("GET", "/api/tasks").status for _ in range(4)] == [200, 503, 503, 200]


def test_the_ledger_has_every_call_and_no_password(simulator: SimulatorServer, client: PlainClient):
    client.export(WEB, priority=70)
    calls = simulator.control.ledger()
    assert [(call["method"], call["path"], call["status"]) for call in calls] == [
        ("POST", "/session/login", 201),
        ("POST", "/tasks/export", 201),
    ]
    assert calls[1]["body"]["priority"] == 70
    assert "password" not in str(calls)


def test_the_ledger_has_no_secret(simulator: SimulatorServer, client: PlainClient):
    client.call("POST", "/api/session/login-with-token", {"token": "geheim"})
    client.call("PUT", f"/api/virtual-machines/{WEB}/ssh-password", {"value": "geheim"})
    client.call("POST", "/api/credential", {"name": "root", "password": "geheim"})
    assert len(simulator.control.ledger()) == 4 and "geheim" not in str(simulator.control.ledger())


def test_control_calls_work_over_http(simulator: SimulatorServer, client: PlainClient):
    assert client.call("PATCH", "/control/settings", {"speed": 50}).data["speed"] == 50
    assert client.call("POST", "/control/machines", {"count": 3}).status == 200
    assert client.call("PATCH", f"/control/machines/{WEB}", {"present": False}).status == 204
    assert client.call("POST", "/control/clock", {"seconds": 60}).status == 204
    assert client.call("POST", "/control/faults", {"kind": "status", "path": "/projects"}).status == 204
    assert client.call("GET", "/api/projects").status == 500
    assert client.call("DELETE", "/control/sessions").status == 204
    assert client.call("GET", "/api/projects").status == 401
    assert client.call("GET", "/control/ledger?path=/projects").data[0]["status"] is None
    assert client.call("POST", "/control/reset", {"landscape": "small", "max_running": 1}).status == 204
    assert simulator.state.settings.max_running == 1 and len(simulator.state.vms) == 8


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "settings", {"speed": 0}),
        ("PATCH", "settings", {"sped": 1}),
        ("PATCH", "settings", {"answer_shape": "round"}),
        ("POST", "faults", {"kind": "flood"}),
        ("POST", "faults", {"kind": "reset", "path": "("}),
        ("POST", "faults", {"kind": "reset", "when": "never"}),
        ("POST", "machines", {"count": 1, "colour": "red"}),
        ("POST", "reset", {"landscape": "moon"}),
        ("POST", "clock", {"minutes": 1}),
        ("PATCH", "machines/none", {}),
        ("POST", "faults", ["list"]),
    ],
)
def test_a_bad_control_call_is_explained_and_changes_nothing(
    method: str, path: str, body: object, simulator: SimulatorServer, client: PlainClient
):
    before = str(simulator.state)
    answer = client.call(method, f"/control/{path}", body)
    assert answer.status == 400 and answer.data["message"]
    assert str(simulator.state) == before


def test_a_restart_goes_on_where_it_ended(tmp_path: Path):
    def start() -> SimulatorServer:
        server = SimulatorServer(
            tmp_path, password="secret", landscape_name="small", state_file=tmp_path / "state.json"
        )
        server.start()
        return server

    first = start()
    client = PlainClient(first)
    client.log_in("secret")
    made = client.export(WEB).data[0]
    ca = first.ca_file.read_bytes()
    # Not stopped: what was answered is kept also when it is killed.
    second = start()
    assert second.ca_file.read_bytes() == ca
    client.simulator = second
    assert client.get(f"/tasks/{made['guid']}")["guid"] == made["guid"]
    first.stop(), second.stop()


def test_a_foreign_state_file_is_refused(tmp_path: Path):
    (tmp_path / "state.json").write_text('{"other": 1}')
    with pytest.raises(ValueError, match="remove it to start over"):
        SimulatorServer(tmp_path, password="secret", state_file=tmp_path / "state.json")


def test_what_one_generation_remembers_is_not_the_others(tmp_path: Path):
    options = {"password": "secret", "landscape_name": "small", "state_file": tmp_path / "state.json"}
    first = SimulatorServer(tmp_path, **options)
    first.start(), first.stop()
    with pytest.raises(ValueError, match="is what a classic server remembers"):
        SimulatorServer(tmp_path, **options, dialect="current")


def test_the_demo_landscape_looks_real(tmp_path: Path):
    server = SimulatorServer(tmp_path, password="secret")
    vms = server.state.vms.values()
    assert 55 <= len(vms) <= 70
    assert {(vm["hvmType"] or vm["hvType"])["name"] for vm in vms} == {"OPENSTACK", "RHV", "KVM"}
    assert any("ü" in vm["name"] for vm in vms) and any("_" in vm["name"] for vm in vms)
    absent = {vm["guid"] for vm in vms if not vm["present"]}
    assert absent <= {backup["protectedEntity"]["guid"] for backup in server.state.backups.values()}
    assert {backup["status"]["name"] for backup in server.state.backups.values()} >= {"SUCCESS", "FAILED", "QUEUED"}
    assert any(vm["tenantId"] is None and vm["project"] is None for vm in vms)


@pytest.mark.processes
def test_the_command_starts_and_stops(tmp_path: Path):
    command = [sys.executable, "-m", "vprotect_simulator", "--folder", str(tmp_path), "--port", "0"]
    no_password = subprocess.run(command, capture_output=True, text=True, timeout=30)  # noqa: S603
    assert no_password.returncode == 2 and "SIMULATOR_PASSWORD" in no_password.stderr
    environment = {**os.environ, "SIMULATOR_PASSWORD": "secret"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)  # noqa: S603
    assert process.stdout and "https://localhost:" in process.stdout.readline()
    process.terminate()
    assert process.wait(10) == 0
