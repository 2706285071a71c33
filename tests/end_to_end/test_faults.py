"""Nothing lost, nothing doubled, with real workers and a real broker (docs/submit-protocol.md, the fault matrix)."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest
import redis

from tests.end_to_end.conftest import SETTLE_SECONDS, Person, Stack, until
from vprotect_simulator.names import guid_of

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("end_to_end")]


def machine(name: str) -> str:
    """Each test has machines of its own, so that it can count their tasks."""
    return guid_of(f"vm/{name}")


def accepted(stack: Stack, operation_id: str, seconds: float = 40) -> dict[str, Any]:
    return until(lambda: (row := stack.operation(operation_id))["submission"] == "accepted" and row, seconds)


def test_a_backup_goes_from_the_click_to_its_end(stack: Stack, member: Person):
    operation = member.back_up(machine("shop-web-01"))
    done = stack.ended(operation)
    assert (done["outcome"], done["progress"]) == ("succeeded", 100)
    assert len(stack.tasks_made(machine("shop-web-01"))) == 1
    page = member.get(f"/t/aurora-books/operations/{operation}/").text
    assert "The backup is done." in page
    correlations = {call["correlation"] for call in stack.control("GET", "ledger?method=POST&path=/tasks/export")}
    assert done["correlation_id"] in correlations, "one id from the click to the call upstream"


def test_a_broker_that_forgets_everything_loses_nothing(stack: Stack, member: Person):
    """F5."""
    names = ["shop-web-02", "shop-web-03", "warehouse_api", "mail-relay"]
    operations = []
    # What Celery calls redis+socket, with its virtual host, is a unix address with a database to the client.
    broker = redis.Redis.from_url(stack.valkey.url.replace("redis+socket", "unix").replace("virtual_host", "db"))
    for name in names:
        operations.append(member.back_up(machine(name)))
        broker.flushall()
    for name, operation in zip(names, operations, strict=True):
        accepted(stack, operation)
        assert len(stack.tasks_made(machine(name))) == 1


def test_a_broker_that_hangs_holds_up_no_click(stack: Stack, member: Person):
    """F4."""
    process = stack.valkey.process
    assert process.pid
    os.kill(process.pid, signal.SIGSTOP)
    started = time.monotonic()
    try:
        operation = member.back_up(machine("wiki-intern"))
        # Opening the form asks for the usable destinations, sending it rings: each waits a second at most, twice.
        assert time.monotonic() - started < 8
        assert stack.operation(operation)["submission"] == "pending"
    finally:
        os.kill(process.pid, signal.SIGCONT)
    accepted(stack, operation)
    assert len(stack.tasks_made(machine("wiki-intern"))) == 1


@pytest.mark.parametrize(("when", "name"), [("after", "katalog-suche"), ("before", "lesezirkel-app")])
def test_a_worker_that_is_killed_while_it_sends(when: str, name: str, stack: Stack, member: Person):
    """F9, F10: made upstream it is adopted; never arrived it is sent again, once that is certain."""
    stack.control("POST", "faults", {"kind": "hang", "path": "/tasks/export", "when": when, "seconds": 3})
    operation = member.back_up(machine(name))
    until(lambda: stack.operation(operation)["submission"] == "sending")
    time.sleep(0.5)  # the request is on its way
    stack.kill("worker")
    killed = time.monotonic()
    stack.start_again("worker")
    row = accepted(stack, operation, 60)
    assert len(stack.tasks_made(machine(name))) == 1
    assert row["adopted"] == (when == "after")
    if when == "before":
        assert time.monotonic() - killed > SETTLE_SECONDS


@pytest.mark.parametrize("kind", ["reset", "status", "html", "empty", "wrong_guid", "other_vm"])
def test_a_lost_or_senseless_answer_is_settled_by_looking(kind: str, stack: Stack, member: Person):
    """F18, F19."""
    name = {
        "reset": "warehouse_db",
        "status": "shop-db-01",
        "html": "payment-gateway",
        "empty": "neuer-shop_prototyp",
        "wrong_guid": "kasse-münchen",
        "other_vm": "edge-cache-01",
    }[kind]
    stack.control("POST", "faults", {"kind": kind, "path": "/tasks/export", "when": "after"})
    row = accepted(stack, member.back_up(machine(name)))
    assert row["adopted"]
    assert len(stack.tasks_made(machine(name))) == 1


def test_vprotect_away_at_the_click_keeps_the_wish(stack: Stack, member: Person):
    """F20."""
    stack.kill("simulator")
    operation = member.back_up(machine("edge-cache-02"))
    until(lambda: stack.rows("SELECT 1 FROM vprotect_bridge_upstreamstatus WHERE unreachable_since IS NOT NULL"))
    page = member.get(f"/t/aurora-books/operations/{operation}/").text
    assert "The backup system cannot be reached since" in page and "Your wish is kept" in page
    stack.start_again("simulator")
    accepted(stack, operation, 60)
    assert len(stack.tasks_made(machine("edge-cache-02"))) == 1
    until(lambda: stack.rows("SELECT 1 FROM vprotect_bridge_upstreamstatus WHERE unreachable_since IS NULL"))


def test_a_database_that_restarts_loses_nothing(stack: Stack, member: Person):
    """F15, F16."""
    stack.control("POST", "faults", {"kind": "slow", "path": "/tasks/export", "seconds": 2})
    operation = member.back_up(machine("edge-cache-03"))
    until(lambda: stack.operation(operation)["submission"] == "sending")
    stack.postgres.process.stop()
    stack.postgres.start()
    row = accepted(stack, operation, 60)
    assert row["task_guid"] and len(stack.tasks_made(machine("edge-cache-03"))) == 1


def test_a_restore_goes_from_the_click_to_the_new_machine(stack: Stack):
    restorer = Person(stack, "restorer@aurora-books.example")
    operation = restorer.restore(machine("intranet-2019"), "intranet-again")
    done = stack.ended(operation)
    assert (done["outcome"], done["progress"], bool(done["restored_guid"])) == ("succeeded", 100, True)
    claims = stack.rows(
        "SELECT t.slug FROM tenants_claim c JOIN tenants_tenant t ON t.id = c.tenant_id WHERE c.value = %s",
        done["restored_guid"],
    )
    assert claims == [{"slug": "aurora-books"}]


@pytest.mark.parametrize(("when", "made", "ends"), [("after", 1, "accepted"), ("before", 0, "needs_attention")])
def test_a_restore_whose_worker_is_killed_is_never_sent_twice(when: str, made: int, ends: str, stack: Stack):
    fault = {"kind": "hang", "path": "/tasks/restore-and-import", "when": when, "seconds": 3}
    stack.control("POST", "faults", fault)
    name = {"after": "shop-web-00", "before": "test-runner"}[when]
    operation = Person(stack, "restorer@aurora-books.example").restore(machine(name), f"{name}-again")
    until(lambda: stack.operation(operation)["submission"] == "sending")
    time.sleep(0.5)  # the request is on its way
    stack.kill("worker")
    stack.start_again("worker")
    until(lambda: stack.operation(operation)["submission"] == ends, 60)
    tasks = stack.control("GET", "ledger/tasks")
    assert len([task for task in tasks if task["vm"] == machine(name) and task["type"] == "RESTORE"]) == made
