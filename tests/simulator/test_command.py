"""The simulator by itself: plain HTTP, pages of other servers, seed files."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simulator.conftest import PASSWORD
from vprotect_simulator import seed
from vprotect_simulator.__main__ import main
from vprotect_simulator.server import SimulatorServer

PAGE = "https://ui.example.test:3000"
EXAMPLE = Path(__file__).parents[2] / "docs" / "simulator-seed.json"


def call(server: SimulatorServer, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("localhost", server.port, timeout=10)
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[SimulatorServer]:
    server = SimulatorServer(
        tmp_path, login="somebody", password=PASSWORD, landscape_name="small", tls=False, cors_origins=(PAGE,)
    )
    server.start()
    yield server
    server.stop()


# ── HTTP and browsers ────────────────────────────────────────────────────────


def test_a_session_works_without_tls(plain: SimulatorServer):
    answer = call(plain, "POST", "/api/session/login", {"login": "somebody", "password": PASSWORD})
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "Path=/api" in cookie
    assert "Secure" not in cookie, "a client would not send it back"
    assert call(plain, "GET", "/api/session", Cookie=cookie.partition(";")[0]).status == 204
    assert call(plain, "GET", "/api/nodes").status == 401


def test_a_browser_may_ask_before_and_read_after(plain: SimulatorServer):
    wish = {"Origin": PAGE, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    before = call(plain, "OPTIONS", "/api/virtual-machines", None, **wish)
    assert before.status == 204 and "PUT" in before.headers["Access-Control-Allow-Methods"]
    assert before.headers["Access-Control-Allow-Headers"] == "content-type"
    after = call(plain, "GET", "/api/session", Origin=PAGE)
    assert after.headers["Access-Control-Allow-Origin"] == PAGE
    assert after.headers["Access-Control-Allow-Credentials"] == "true"
    assert after.headers["Access-Control-Expose-Headers"] == "X-Total-Count, Content-Disposition"


def test_pages_of_others_are_told_nothing(plain: SimulatorServer):
    for method in ("OPTIONS", "GET"):
        answer = call(plain, method, "/api/session", Origin="https://evil.example.test")
        assert not [name for name in answer.headers if name.startswith("Access-Control-Allow")]


def test_over_tls_a_page_of_another_server_gets_its_cookie_back(tmp_path: Path):
    server = SimulatorServer(tmp_path, password=PASSWORD, landscape_name="empty", cors_origins=(PAGE,))
    assert server.cors.cookie("a=b") == "a=b; Secure; SameSite=None"


@pytest.mark.parametrize("origin", ["*", "ui.example.test", "https://ui.example.test/", "ftp://x"])
def test_what_is_no_origin_is_refused(origin: str, tmp_path: Path):
    with pytest.raises(ValueError, match="is no origin"):
        SimulatorServer(tmp_path, password=PASSWORD, landscape_name="empty", cors_origins=(origin,))


# ── Seed files ───────────────────────────────────────────────────────────────


def test_the_example_is_laid_out(tmp_path: Path):
    server = SimulatorServer(tmp_path, password=PASSWORD, seed=seed.read(EXAMPLE))
    names = sorted(vm["name"] for vm in server.state.vms.values())
    assert names == ["büro_ablage", "kvm-guest", "retired", "unprotected", "web-01", "web-01"]
    assert {project["name"] for project in server.state.projects.values()} >= {"tenant-a", "tenant-b"}
    policy = next(row for row in server.state.policies.values() if row["name"] == "twice-a-week")
    schedules = [row for row in server.state.schedules.values() if row["name"].startswith("twice-a-week")]
    assert policy and {row["hour"] for row in schedules} == {22 * 3_600_000}
    server.control.reset()
    assert len(server.state.vms) == 6, "what it started with is what it starts over with"
    server.control.reset("small")
    assert len(server.state.vms) == 8


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "the file must be an object"),
        ('{"vms": []}', "there is no section vms"),
        ('{"machines": {}}', "machines must be a list"),
        ('{"machines": [{"name": "a"}, {"name": ""}]}', r"machines\[1\].name must be text"),
        ('{"machines": [{"name": "a", "colour": "red"}]}', r"machines\[0\] has no colour"),
        ('{"machines": [{"name": "a", "disk_gib": "20"}]}', "disk_gib must be a whole number"),
        ('{"machines": [{"name": "a", "present": 1}]}', "present must be true or false"),
        ('{"machines": [{"name": "a", "platform": "CLOUD"}]}', "platform must be one of KVM, OPENSTACK"),
        ('{"machines": [{"name": "a", "project": "x"}]}', "project must be one of"),
        ('{"machines": [{"name": "a"}, {"name": "a"}]}', "is there twice"),
        ('{"machines": [{"name": "a", "days": 5000}]}', "days from 0 to 366"),
        ('{"policies": [{"name": "p", "hour": 24}]}', r"policies\[0\].hour"),
        ('{"policies": [{"name": "p", "schedules": [{"type": "FULL", "days": ["SONNTAG"]}]}]}', r"schedules\[0\].days"),
        ('{"mailing_lists": [{"name": "l", "recipients": "a"}]}', "must be a list of texts"),
    ],
)
def test_a_bad_seed_is_refused_with_its_place(text: str, reason: str, tmp_path: Path):
    file = tmp_path / "seed.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=reason):
        seed.read(file)


def test_nothing_starts_with_a_bad_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "seed.json").write_text("{")
    folder = tmp_path / "folder"
    command = ["simulator", "--folder", str(folder), "--seed", str(tmp_path / "seed.json"), "--port", "0"]
    monkeypatch.setattr("sys.argv", command)
    monkeypatch.setenv("SIMULATOR_PASSWORD", PASSWORD)
    assert main() == 1
    told = capsys.readouterr()
    assert told.err.startswith("The simulator cannot start:") and told.err.count("\n") == 1 and not folder.exists()
