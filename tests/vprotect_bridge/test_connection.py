"""One session, one login at a time and one breaker for all processes, kept in PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections
from django.utils import timezone

from tenants.correlation import correlation_id
from tests.conftest import VPROTECT_PASSWORD
from vprotect_bridge.client.api import ExportRequest, VProtect
from vprotect_bridge.client.errors import BadAnswer, BadCredentials, LoginPaused, NotFound, NotSent, UpstreamError
from vprotect_bridge.connection import (
    PostgresSessionStore,
    WatchedTransport,
    credentials,
    note_unreachable,
    own_connection,
    try_lock,
    vprotect,
)
from vprotect_bridge.models import UpstreamSession, UpstreamStatus
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

pytestmark = pytest.mark.django_db(transaction=True)


def worker(simulator: SimulatorServer, password: str = VPROTECT_PASSWORD) -> VProtect:
    transport = WatchedTransport(
        simulator.url,
        ca_file=str(simulator.ca_file),
        sessions=PostgresSessionStore(),
        credentials=lambda: ("portal-svc", password),
        timeout=5.0,
        correlation=correlation_id.get,
    )
    return VProtect(transport)


def logins(simulator: SimulatorServer) -> int:
    return len(simulator.control.ledger(path="/session/login"))


def at_once(count: int, api: VProtect) -> list[int]:
    """So many calls side by side, each as if from a process of its own; returns how many machines each saw."""

    def call(_number: int) -> int:
        try:
            return len(api.list_virtual_machines().items)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))


def test_twenty_at_once_log_in_once(simulator: SimulatorServer):
    assert at_once(20, worker(simulator)) == [8] * 20
    assert logins(simulator) == 1


def test_an_expired_session_costs_one_login_for_all(simulator: SimulatorServer):
    api = worker(simulator)
    api.list_virtual_machines()
    simulator.control.expire_sessions()
    assert at_once(20, api) == [8] * 20
    assert logins(simulator) == 2


def test_another_process_uses_the_session(simulator: SimulatorServer):
    worker(simulator).list_virtual_machines()
    worker(simulator).list_virtual_machines()
    assert logins(simulator) == 1


def test_a_refused_login_opens_the_breaker(simulator: SimulatorServer):
    api = worker(simulator, "wrong")
    with pytest.raises(BadCredentials):
        api.list_virtual_machines()
    for _ in range(5):
        with pytest.raises(LoginPaused):
            api.list_virtual_machines()
    assert logins(simulator) == 1
    assert UpstreamStatus.objects.get(pk=1).problem == "refused_login"


def test_the_breaker_stays_open_longer_each_time(simulator: SimulatorServer):
    api, pauses = worker(simulator, "wrong"), []
    for _ in range(3):
        UpstreamSession.objects.update(login_paused_until=timezone.now() - timedelta(seconds=1))
        with pytest.raises(BadCredentials):
            api.list_virtual_machines()
        paused_until = UpstreamSession.objects.get(pk=1).login_paused_until
        assert paused_until
        pauses.append(paused_until - timezone.now())
    assert pauses[0] < pauses[1] < pauses[2]


def test_a_login_that_works_closes_the_breaker(simulator: SimulatorServer):
    with pytest.raises(BadCredentials):
        worker(simulator, "wrong").list_virtual_machines()
    UpstreamSession.objects.update(login_paused_until=timezone.now())
    worker(simulator).list_virtual_machines()
    session = UpstreamSession.objects.get(pk=1)
    assert (session.refused_logins, session.login_paused_until) == (0, None)
    assert UpstreamStatus.objects.get(pk=1).problem == ""


@pytest.mark.parametrize(
    ("fault", "problem"), [("reset", "unreachable"), ("status", "unreachable"), ("html", "nonsense")]
)
def test_trouble_is_noted_and_its_first_moment_kept(fault: str, problem: str, simulator: SimulatorServer):
    api = worker(simulator)
    api.list_virtual_machines()
    simulator.control.fault(fault, path="/virtual-machines", times=2)
    noted = []
    for _ in range(2):
        with pytest.raises(UpstreamError):
            api.list_virtual_machines()
        noted.append(UpstreamStatus.objects.get(pk=1))
    assert {status.problem for status in noted} == {problem}
    assert noted[0].unreachable_since == noted[1].unreachable_since is not None


def test_an_answer_ends_the_trouble(simulator: SimulatorServer):
    api = worker(simulator)
    api.list_virtual_machines()
    for fault in ("reset", "html"):
        simulator.control.fault(fault, path="/virtual-machines")
        with pytest.raises(UpstreamError):
            api.list_virtual_machines()
        api.list_virtual_machines()
        assert UpstreamStatus.objects.get(pk=1).unreachable_since is None, fault


def test_a_post_notes_nothing(simulator: SimulatorServer, django_assert_num_queries: Any):
    """Nothing may stand between the answer of a POST and its record; the one query reads the session before it."""
    api = worker(simulator)
    api.list_virtual_machines()
    simulator.control.fault("html", path="/tasks/export")
    with django_assert_num_queries(1), pytest.raises(BadAnswer):
        api.export(ExportRequest(guid_of("vm/web-01"), "FULL", guid_of("destination/primary-fs"), 1000, 2000))
    assert UpstreamStatus.objects.get(pk=1).problem == ""


def test_a_refusal_is_an_answer(simulator: SimulatorServer):
    api = worker(simulator)
    note_unreachable("unreachable")
    with pytest.raises(NotFound):
        api.get_virtual_machine("unknown")
    assert UpstreamStatus.objects.get(pk=1).unreachable_since is None


@pytest.mark.parametrize("fault", ["", "reset"])
def test_what_did_not_change_is_not_written(fault: str, simulator: SimulatorServer):
    api = worker(simulator)
    api.list_destinations()
    if fault:
        simulator.control.fault(fault, path="/backup-destinations", times=0)
    versions = set()
    for _ in range(3):
        with suppress(UpstreamError):
            api.list_destinations()
        with connection.cursor() as cursor:
            cursor.execute("SELECT xmin FROM vprotect_bridge_upstreamstatus")
            versions.add(str(cursor.fetchone()))
    assert len(versions) == 1


def test_a_login_that_never_ends_holds_nobody_for_ever(simulator: SimulatorServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vprotect_bridge.connection.WAIT_FOR_LOGIN_SECONDS", 0.2)
    with own_connection() as somebody:
        assert try_lock(somebody, "vprotect login")
        with pytest.raises(NotSent, match="takes too long"):
            worker(simulator).list_virtual_machines()
    assert logins(simulator) == 0


def test_a_moved_clock_is_noted(simulator: SimulatorServer):
    simulator.control.advance(3600)
    worker(simulator).list_virtual_machines()
    assert abs(UpstreamStatus.objects.get(pk=1).clock_skew_ms - 3_600_000) < 5000


def test_the_correlation_id_reaches_vprotect(simulator: SimulatorServer):
    token = correlation_id.set("c" * 32)
    worker(simulator).list_destinations()
    correlation_id.reset(token)
    assert simulator.control.ledger(path="/backup-destinations")[-1]["correlation"] == "c" * 32


def test_only_a_worker_has_a_connection(settings: Any):
    del settings.VPROTECT_URL
    vprotect.cache_clear()
    with pytest.raises(ImproperlyConfigured, match="PORTAL_PROCESS"):
        vprotect()


def test_a_lock_lives_with_its_connection():
    with own_connection() as one, own_connection() as other:
        assert try_lock(one, "job") and not try_lock(other, "job")
        one.close()
        # PostgreSQL notices a closed connection a moment later.
        other.execute("SET lock_timeout = '5s'")
        other.execute("SELECT pg_advisory_lock(hashtextextended('job', 0))")


def test_a_new_password_needs_no_restart(simulator: SimulatorServer, settings: Any, tmp_path: Path):
    """First in vProtect, then in the file: the session goes on, and the next login takes the file as it is then."""
    file = tmp_path / "vprotect_password"
    file.write_text(f"{VPROTECT_PASSWORD}\n")
    settings.VPROTECT_LOGIN, settings.VPROTECT_PASSWORD = "portal-svc", VPROTECT_PASSWORD
    settings.VPROTECT_PASSWORD_FILE = file
    store = PostgresSessionStore()
    ca_file = str(simulator.ca_file)
    api = VProtect(WatchedTransport(simulator.url, ca_file=ca_file, sessions=store, credentials=credentials))
    api.list_virtual_machines()
    simulator.api._secrets["/session/login"] = "a new password"
    try:
        api.list_virtual_machines()
        file.write_text("a new password\n")
        simulator.control.expire_sessions()
        api.list_virtual_machines()
    finally:
        simulator.api._secrets["/session/login"] = VPROTECT_PASSWORD
    assert logins(simulator) == 2 and UpstreamSession.objects.get(pk=1).refused_logins == 0


def test_a_password_file_that_is_gone_is_no_end(settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    settings.VPROTECT_LOGIN, settings.VPROTECT_PASSWORD = "portal-svc", "as at the start"
    settings.VPROTECT_PASSWORD_FILE = tmp_path / "gone"
    assert credentials() == ("portal-svc", "as at the start")
    assert "VPROTECT_PASSWORD_FILE cannot be read" in caplog.text
