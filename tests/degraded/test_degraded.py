"""A part is away: what each person sees, and what becomes of each wish, as docs/operations.md states it.

Everything runs as in production. Longer than a minute is not waited for: what was asked for is made older in the
database, which is all that an hour or a day does to it.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import requests

from demo import answers
from tests.end_to_end.conftest import Person, Stack, _hidden, until
from tests.end_to_end.conftest import stack as stack
from tests.end_to_end.conftest import stack_of_the_run as stack_of_the_run
from vprotect_simulator.names import guid_of

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.xdist_group("end_to_end")]

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def member(stack_of_the_run: Stack) -> Person:
    return Person(stack_of_the_run)


@pytest.fixture(scope="module")
def restorer(stack_of_the_run: Stack) -> Person:
    return Person(stack_of_the_run, "restorer@aurora-books.example")


@pytest.fixture
def away(stack: Stack) -> Iterator[Stack]:
    """vProtect is gone; afterwards it is back."""
    stack.kill("simulator")
    yield stack
    come_back(stack)


def come_back(stack: Stack) -> None:
    if stack.processes["simulator"].code is not None:
        stack.start_again("simulator")
    until(lambda: not stack.rows("SELECT 1 FROM vprotect_bridge_upstreamstatus WHERE unreachable_since IS NOT NULL"))


def machine(name: str) -> str:
    return guid_of(f"vm/{name}")


def grow_older(stack: Stack, operation_id: str, by: timedelta) -> None:
    """As if it had been asked for that much earlier."""
    with psycopg.connect(stack.urls["portal_owner"]) as pg:
        pg.execute(
            "UPDATE vprotect_bridge_operation SET created_at = created_at - %(by)s, deadline_at = deadline_at - %(by)s,"
            " sent_at = sent_at - %(by)s, next_at = now() WHERE id = %(id)s",
            {"by": by, "id": operation_id},
        )


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def readiness(stack: Stack) -> tuple[int, dict[str, str]]:
    answer = requests.get(f"{stack.programs.portal_url}/readyz", timeout=10)
    return answer.status_code, answer.json()


def operator_page(stack: Stack, path: str) -> str:
    """What an operator sees, signed in as in the demo."""
    http, url = requests.Session(), stack.programs.operator_url
    http.trust_env = False
    form = _hidden(http.get(f"{url}/accounts/login/").text)
    form |= {"login": "operator@demo.example", "password": stack.programs.passwords.people}
    http.post(f"{url}/accounts/login/", form)
    return words(http.get(url + path).text)


def test_vprotect_is_away_for_a_minute(away: Stack, member: Person, restorer: Person):
    backup = member.back_up(machine("shop-web-01"))
    until(lambda: away.rows("SELECT 1 FROM vprotect_bridge_upstreamstatus WHERE unreachable_since IS NOT NULL"))
    page = member.get(f"/t/aurora-books/operations/{backup}/").text
    assert "cannot be reached since" in page and "Your wish is kept" in page
    status = words(member.get("/t/aurora-books/status/").text)
    assert "cannot be reached" in status and "Waiting to be sent 1" in status
    assert member.get("/t/aurora-books/machines/").status_code == 200, "what was known is shown"
    assert readiness(away)[1]["status"] == "degraded" and readiness(away)[0] == 200
    assert "vProtect cannot be reached" in operator_page(away, "/vprotect_bridge/upstreamstatus/")
    come_back(away)
    assert away.ended(backup)["outcome"] == "succeeded"
    assert len(away.tasks_made(machine("shop-web-01"))) == 1


def test_vprotect_is_away_for_an_hour(stack: Stack, member: Person, restorer: Person):
    """A backup waits for it; a restore, which must not begin at night, does not."""
    path = f"/t/aurora-books/machines/{machine('shop-web-02')}/restore/"
    until(lambda: 'name="backup"' in restorer.get(path).text)
    restore = restorer.restore(machine("shop-web-02"), "too-late") if _away(stack) else ""
    try:
        backup = member.back_up(machine("shop-web-03"))
        for operation in (backup, restore):
            grow_older(stack, operation, HOUR)
        missed = stack.ended(restore)
        assert missed["outcome"] == "missed" and stack.operation(backup)["outcome"] == ""
        page = words(restorer.get(f"/t/aurora-books/operations/{restore}/").text)
        assert "Its window ended before it could be started. Nothing was started." in page
    finally:
        come_back(stack)
    assert stack.ended(backup)["outcome"] == "succeeded"
    made = stack.control("GET", "ledger/tasks")
    assert not [task for task in made if task["vm"] == machine("shop-web-02") and task["type"] == "RESTORE"]


def _away(stack: Stack) -> bool:
    stack.kill("simulator")
    return True


def test_vprotect_is_away_for_a_day(stack: Stack, member: Person):
    """What was running is found by its backup; what was never sent says so, and does not start unexpectedly."""
    running = member.back_up(machine("warehouse_api"))
    until(lambda: stack.operation(running)["submission"] == "accepted")
    stack.kill("simulator")
    try:
        waiting = member.back_up(machine("mail-relay"))
        for operation in (running, waiting):
            grow_older(stack, operation, DAY)
        assert stack.ended(waiting)["outcome"] == "missed"
        assert stack.operation(running)["outcome"] == ""
    finally:
        come_back(stack)
    assert stack.ended(running)["outcome"] == "succeeded"
    assert not stack.tasks_made(machine("mail-relay"))


@pytest.mark.parametrize("how", ["away", "hung"])
def test_redis_is_away_or_hangs(how: str, stack: Stack, member: Person):
    process = stack.valkey.process
    assert process.pid
    os.kill(process.pid, signal.SIGSTOP if how == "hung" else signal.SIGKILL)
    name = {"away": "wiki-intern", "hung": "katalog-suche"}[how]
    try:
        began = time.monotonic()
        operation = member.back_up(machine(name))
        assert time.monotonic() - began < 10, "nobody waits for it"
        assert stack.operation(operation)["submission"] == "pending"
        assert "Waiting to be sent 1" in words(member.get("/t/aurora-books/status/").text)
        until(lambda: readiness(stack)[1]["broker"] == "away", 20)
        assert readiness(stack)[0] == 200
        assert "Redis does not answer" in operator_page(stack, "/vprotect_bridge/upstreamstatus/")
    finally:
        if how == "hung":
            os.kill(process.pid, signal.SIGCONT)
        else:
            stack.valkey.start()
    assert stack.ended(operation)["outcome"] == "succeeded"
    assert len(stack.tasks_made(machine(name))) == 1


def test_postgresql_is_restarted(stack: Stack, member: Person):
    operation = member.back_up(machine("lesezirkel-app"))
    stack.postgres.process.stop()
    try:
        page: Any = member.get("/t/aurora-books/machines/")
        assert page.status_code == 503 and "database cannot be reached right now." in page.text
        assert readiness(stack) == (503, {"status": "unavailable", "database": "away"})
        assert answers.http_ok(stack.programs.portal_url), "the process lives, and is not started again for it"
    finally:
        stack.postgres.start()
    until(lambda: member.get("/t/aurora-books/machines/").status_code == 200)
    assert stack.ended(operation)["outcome"] == "succeeded"
    assert len(stack.tasks_made(machine("lesezirkel-app"))) == 1
