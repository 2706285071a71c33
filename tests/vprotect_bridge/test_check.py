"""`manage.py vprotect_check` on an operator's first day, against simulated and scripted servers."""

from __future__ import annotations

import io
import json
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from django.core.management import CommandError, call_command

from tests.conftest import VPROTECT_PASSWORD, both_dialects
from tests.shapes import WatchedSimulator
from tests.vprotect_bridge.client.conftest import LOGIN_ANSWER, ScriptedServer, answer_with
from vprotect_simulator.server import SimulatorServer

QUERIES = {"/backup-destinations/usable-for-vms", "/virtual-machines/incremental-not-possible"}


class Worker:
    """The settings of a worker, and what the command says to whoever runs it."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        settings.VPROTECT_LOGIN, settings.VPROTECT_PASSWORD = "portal-svc", VPROTECT_PASSWORD

    def speaks_to(self, url: str, ca_file: str | Path | None) -> Worker:
        self.settings.VPROTECT_URL, self.settings.VPROTECT_CA_FILE = url, ca_file and str(ca_file)
        return self

    def check(self) -> tuple[int, str]:
        """The exit code and everything that was printed."""
        out = io.StringIO()
        try:
            call_command("vprotect_check", stdout=out)
        except CommandError as error:
            return error.returncode, f"{out.getvalue()}{error}"
        return 0, out.getvalue()

    def problems(self) -> list[str]:
        code, text = self.check()
        assert code == 1 and VPROTECT_PASSWORD not in text and "Traceback" not in text
        return [line.partition("PROBLEM ")[2] for line in text.splitlines() if line.startswith("  PROBLEM ")]


@pytest.fixture
def worker(settings: Any) -> Worker:
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "timeout": 2.0}
    return Worker(settings)


@pytest.fixture
def at_simulator(worker: Worker, simulator: SimulatorServer) -> Worker:
    return worker.speaks_to(simulator.url, simulator.ca_file)


# ── A healthy server ─────────────────────────────────────────────────────────


@both_dialects
def test_a_healthy_server_is_described(at_simulator: Worker, dialect: str):
    code, text = at_simulator.check()
    assert code == 0, text
    for sentence in (
        "The certificate is for localhost",
        "It is trusted and good for",
        "vProtect accepted the login of portal-svc.",
        "Its clock agrees with this machine's.",
        "It does not say how long a session lasts",
        f"(the dialect {dialect}), and the portal is set to {dialect}.",
        "VE_BACKUP_SLA_WRITE",
        "destinations usable for a machine: answered",
        "machines: the filter",
        "is honoured.",
        "The portal can work with it.",
    ):
        assert sentence in text, text


@both_dialects
def test_nothing_is_changed_by_it(at_simulator: Worker, simulator: SimulatorServer):
    at_simulator.check()
    calls = [(call["method"], call["path"].rstrip("/")) for call in simulator.control.ledger()]
    assert len(calls) > 20
    assert {path for method, path in calls if method == "POST"} <= {"/session/login", *QUERIES}
    assert {method for method, _path in calls} == {"GET", "POST"}
    assert simulator.control.made_tasks() == []


FILTERS = {"classic": "tenantid", "current": "project-uuid"}


@both_dialects
def test_the_wrong_dialect_is_a_problem(dialect: str, at_simulator: Worker, settings: Any, simulator: WatchedSimulator):
    [settings.VPROTECT_DIALECT] = {"classic", "current"} - {dialect}
    assert f"set VPROTECT_DIALECT={dialect}" in " ".join(at_simulator.problems())
    filters = ("'project-uuid' was unexpected", "'tenantid' was unexpected", "'tenantId' was unexpected")
    assert all(any(name in fault for name in filters) for fault in simulator.faults()), "it asks as it is set"


@both_dialects
def test_filters_that_are_ignored_are_named(dialect: str, at_simulator: Worker, simulator: SimulatorServer):
    simulator.control.change_settings(ignore_filters=True)
    code, text = at_simulator.check()
    assert code == 0 and f"machines: the filter {FILTERS[dialect]} is ignored" in text


def test_what_the_account_may_not_read_is_named(at_simulator: Worker, simulator: SimulatorServer):
    simulator.control.fault("status", method="GET", path="/policies/vm-backup", status=403, body={"message": "no"})
    assert at_simulator.problems() == ["policies: could not be read, the account may not read them."]


def test_a_clock_that_is_far_off_is_a_problem(at_simulator: Worker, simulator: SimulatorServer):
    simulator.control.advance(600)
    [problem] = at_simulator.problems()
    assert "seconds ahead of this machine's" in problem and "NTP" in problem


def test_an_empty_inventory_is_said(at_simulator: Worker, simulator: SimulatorServer):
    simulator.control.reset("empty")
    _code, text = at_simulator.check()
    assert "There is no machine" in text and "It cannot be told which dialect" not in text


# ── What may be wrong ────────────────────────────────────────────────────────


def test_only_a_worker_may_run_it(settings: Any):
    assert not hasattr(settings, "VPROTECT_URL")
    with pytest.raises(CommandError, match="PORTAL_PROCESS=worker"):
        call_command("vprotect_check")


def test_a_wrong_password(at_simulator: Worker, settings: Any, simulator: SimulatorServer):
    settings.VPROTECT_PASSWORD = "another"
    [problem] = at_simulator.problems()
    assert problem.startswith("vProtect refused the login of portal-svc")
    assert len(simulator.control.ledger(path="/session/login")) == 1, "a second try could lock the account"


def test_a_name_that_nobody_knows(worker: Worker):
    worker.speaks_to("https://no-such-host.invalid:8181", None)
    [problem] = worker.problems()
    assert problem.startswith("The name no-such-host.invalid is not known here")


def test_a_port_where_nobody_listens(worker: Worker):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    worker.speaks_to(f"https://localhost:{port}", None)
    [problem] = worker.problems()
    assert problem.startswith(f"Nothing listens at localhost, port {port}")


def test_somebody_who_never_answers(worker: Worker, settings: Any):
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "timeout": 0.2}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        worker.speaks_to(f"https://localhost:{silent.getsockname()[1]}", None)
        [problem] = worker.problems()
    assert "does not answer" in problem


def test_plain_http(worker: Worker, tmp_path: Path):
    server = SimulatorServer(tmp_path, password="secret", landscape_name="empty", tls=False)
    server.start()
    worker.speaks_to(server.url.replace("http:", "https:"), None)
    [problem] = worker.problems()
    server.stop()
    assert "does not speak HTTPS" in problem


# ── Certificates ─────────────────────────────────────────────────────────────


def test_a_certificate_of_an_unknown_authority(at_simulator: Worker, simulator: SimulatorServer, tmp_path: Path):
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    [problem] = at_simulator.speaks_to(simulator.url, other).problems()
    assert problem.startswith("It is not signed by the authorities in") and "VPROTECT_CA_FILE" in problem
    assert simulator.control.ledger() == [], "nothing is sent to whom nobody vouches for"


def test_a_certificate_for_another_host(worker: Worker, server: ScriptedServer):
    [problem] = worker.speaks_to(server.url.replace("localhost", "127.0.0.1"), server.ca_file).problems()
    assert problem == "It is not for 127.0.0.1 but for localhost: use that name in VPROTECT_URL."
    assert server.requests == []


def test_a_certificate_that_has_expired(worker: Worker, server: ScriptedServer, tmp_path: Path):
    ca, yesterday = trustme.CA(), datetime.now(UTC) - timedelta(days=1)
    ca.cert_pem.write_to_path(tmp_path / "its-ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost", not_before=yesterday - timedelta(days=9), not_after=yesterday).configure_cert(context)
    server._context = context
    [problem] = worker.speaks_to(server.url, tmp_path / "its-ca.pem").problems()
    assert problem.startswith("It expired on") and f"{yesterday:%Y-%m-%d}" in problem


# ── Others that answer in its place ──────────────────────────────────────────


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    server = ScriptedServer(tmp_path)
    yield server
    server.close()


def test_a_page_of_a_proxy(worker: Worker, server: ScriptedServer):
    server.script = answer_with(b"<html>Sign in to the proxy</html>")
    [problem] = worker.speaks_to(server.url, server.ca_file).problems()
    assert "is not vProtect's API (the answer is not JSON)" in problem


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "502 Bad Gateway"])
def test_a_login_that_is_answered_by_another(status: str, worker: Worker, server: ScriptedServer):
    server.login_answer = f"HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\n<p/>".encode()
    [problem] = worker.speaks_to(server.url, server.ca_file).problems()
    assert f"HTTP {status[:3]}" in problem


def test_a_server_that_takes_the_connection_and_is_silent(worker: Worker, server: ScriptedServer, settings: Any):
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "timeout": 0.5}
    server.script = lambda secure, request: secure.recv(1)
    [problem] = worker.speaks_to(server.url, server.ca_file).problems()
    assert problem == "vProtect took the connection but did not answer within 0.5 seconds."


def test_a_session_that_ends_is_timed_and_hostile_text_stays_text(worker: Worker, server: ScriptedServer):
    account = json.dumps({"privileges": ["\x1b[2JREAD"], "endpointsTokens": {"x": "secret token"}}).encode()
    cookie = b"Set-Cookie: JSESSIONID=abc; Path=/api; Max-Age=1800\r\n"
    length = f"Content-Length: {len(account)}\r\n\r\n".encode()
    server.login_answer = LOGIN_ANSWER.partition(b"\r\n")[0] + b"\r\n" + cookie + length + account
    server.script = answer_with(b"[]", headers="X-Total-Count: 0\r\n")
    _code, text = worker.speaks_to(server.url, server.ca_file).check()
    assert "A session lasts 30 minutes" in text and "?[2JREAD" in text
    assert "\x1b" not in text and "secret token" not in text
