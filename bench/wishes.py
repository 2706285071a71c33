"""What people ask for: how soon it is sent and shown, what it costs upstream, who waits for whom, who is killed."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

from bench import data
from bench.browser import Browser, sign_in_everybody
from bench.figures import Figure, counted
from bench.stack import Control, Stack, use_database, wait_for_upstream, wait_for_web
from bench.watchers import POLL

FOLLOW_SECONDS, PAGE_SECONDS, SWEEP_SECONDS = 3.0, 2.0, 15.0
MANY = 200


def measure(stack: Stack, pairs: int) -> Iterator[Figure]:
    database = stack.fresh("history", "bench_run")
    programs = stack.programs_on(database, VPROTECT_INVENTORY_SECONDS="3600")
    sessions = sign_in_everybody(stack.admin_url(database))
    simulator, web, worker, beat = programs.simulator(12_000, 0), programs.web(), programs.worker(), programs.beat()
    use_database(database)
    end_open_operations()
    with stack.running(simulator, web):
        wait_for_upstream(simulator, programs)
        wait_for_web(web, programs.portal_url)
        control = Control(programs)
        control("PATCH", "settings", {"speed": 60, "max_running": 500, "queue_seconds": 1, "gap_seconds": 30})
        with stack.running(worker, beat):
            yield _calls_of_one_backup(control)
            yield _until_the_page_shows_it(control, programs.port, sessions, 10)
            yield _others_wait(control)
            yield _adopted_after_a_kill(stack, control, worker)


# ── Wishing ──────────────────────────────────────────────────────────────────


def wish(tenant: int, number: int) -> Any:
    """A click of the tenant's administrator; returns the operation."""
    from django_scopes import scope

    from tenants.models import Membership
    from vprotect_bridge.models import Machine
    from vprotect_bridge.services import BackupWish, request_backup
    from vprotect_simulator.names import guid_of

    membership = Membership.objects.select_related("tenant", "user").get(user=tenant * 10 + 1)
    machine = Machine.across_tenants.get(guid=data.machine_guid(tenant, number))
    now = _now()
    wish = BackupWish(
        backup_type="FULL",
        destination_guid=guid_of(f"destination/{data.DESTINATIONS[0]}"),
        window_start=None,
        window_end=now + timedelta(hours=6),
        priority=50,
    )
    with scope(tenant=membership.tenant):
        operation, _is_new = request_backup(membership, machine, wish, client_key=uuid4(), address=None)
    return operation


def _now() -> Any:
    from django.utils import timezone

    return timezone.now()


def until(what: Callable[[], Any], seconds: float = 120, every: float = 0.02) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(every)
    return found


def _row(operation: Any, *fields: str) -> tuple[Any, ...]:
    from vprotect_bridge.models import Operation

    return Operation.across_tenants.values_list(*fields).get(pk=operation.pk)


def end_open_operations() -> None:
    from vprotect_bridge.models import Operation

    Operation.across_tenants.filter(outcome="").update(outcome="succeeded", submission="accepted")


# ── Figures ──────────────────────────────────────────────────────────────────


def _calls_of_one_backup(control: Control) -> Figure:
    operation = wish(data.SMALL_TENANT, 1)
    until(lambda: _row(operation, "outcome")[0])
    task, backup = _row(operation, "task_guid", "backup_guid")
    named = {data.machine_guid(data.SMALL_TENANT, 1), task, backup}
    calls = [call for call in control("GET", "ledger") if any(guid in repr(call) for guid in named)]
    told = [f"{call['method']} {call['path'].replace(task, '…').replace(backup, '…')}" for call in calls]
    return counted(
        "calls upstream for one backup beside the shared poll",
        "–",
        "≤ 5",
        f"{len(calls)}: {', '.join(told)}",
        within=len(calls) <= 5 and _row(operation, "outcome") == ("succeeded",),
        raw={"calls": told},
    )


def _until_the_page_shows_it(control: Control, port: int, sessions: dict[int, str], count: int) -> Figure:
    """Of backups that end at moments of their own: from vProtect's end of the second task to the page that shows it."""
    waits = []
    for number in range(count):
        tenant = data.FIRST_WATCHED + number
        operation = wish(tenant, 2)
        time.sleep(0.37 * number % 1)
        waits.append(_seen_after(control, Browser(port, sessions[tenant * 10 + 1]), tenant, operation))
    median = statistics.median(waits)
    told = f"{median / FOLLOW_SECONDS:.2f} × (median {median:.1f} s, longest {max(waits):.1f} s of {count})"
    return counted(
        "from vProtect finishing a task to the page showing it",
        f"the poll interval, {FOLLOW_SECONDS:g} s (the page asks every {PAGE_SECONDS:g} s)",
        "≤ 1.5 ×",
        told,
        within=median <= 1.5 * FOLLOW_SECONDS,
        raw={"waits": waits},
    )


def _seen_after(control: Control, browser: Browser, tenant: int, operation: Any) -> float:
    address = f"/t/{data.slug(tenant)}/operations/{operation.pk}/"
    found = POLL.search(browser.page(address).text)
    while found:
        time.sleep(PAGE_SECONDS)
        answer = browser.get(found[1].replace("&amp;", "&"), htmx=True)
        found = POLL.search(answer.text) if answer.status == 200 else found
    seen_ms = time.time() * 1000
    (backup,) = _row(operation, "backup_guid")
    ends = [
        task["finishTime"]
        for task in control("GET", "tasks")
        if task["type"]["name"] == "STORE" and (task.get("backup") or {}).get("guid") == backup
    ]
    return float(seen_ms - ends[0]) / 1000


def _others_wait(control: Control) -> Figure:
    """From the click to the send of a single wish, alone and behind 200 of another tenant."""

    def waited(tenant: int, number: int) -> float:
        operation = wish(tenant, number)
        sent, made = until(lambda: (row := _row(operation, "sent_at", "created_at"))[0] and row)
        return float((sent - made).total_seconds())

    alone = statistics.median(waited(data.FIRST_WATCHED + 20 + number, 1) for number in range(7))
    for number in range(MANY):
        wish(data.BIG_TENANT, 100 + number)
    behind = [waited(data.FIRST_WATCHED + 40 + number, 1) for number in range(3)]
    from vprotect_bridge.models import Operation

    waiting = Operation.across_tenants.filter(tenant=data.BIG_TENANT, submission="pending")
    pending = waiting.count()
    waiting.update(submission="cancelled", outcome="cancelled")
    longest = statistics.median(behind)
    told = f"{longest / alone:.2f} × ({longest * 1000:.0f} ms against {alone * 1000:.0f} ms; {pending} still waited)"
    return counted(
        f"{MANY} wishes at once from one tenant: another tenant's single wish waits",
        "alone",
        "≤ 3 ×",
        told,
        within=longest <= 3 * alone,
        raw={"alone": alone, "behind": behind, "pending": pending},
    )


def _adopted_after_a_kill(stack: Stack, control: Control, worker: Any) -> Figure:
    """Killed while vProtect has the request and the answer is on its way."""
    from vprotect_bridge.models import Operation

    until(lambda: not Operation.across_tenants.filter(submission__in=["pending", "sending"]).exists(), 240, 0.5)
    guid = data.machine_guid(data.FIRST_WATCHED + 60, 1)
    control("POST", "faults", {"kind": "hang", "when": "after", "seconds": 60, "path": "/tasks/export"})
    operation = wish(data.FIRST_WATCHED + 60, 1)
    until(lambda: any(task["vm"] == guid for task in control("GET", "ledger/tasks")))
    os.killpg(worker.pid, signal.SIGKILL)
    killed = time.monotonic()
    worker.start()
    until(lambda: _row(operation, "submission") == ("accepted",), 120, 0.1)
    seconds = time.monotonic() - killed
    made = sum(task["vm"] == guid and task["type"] == "EXPORT" for task in control("GET", "ledger/tasks"))
    told = f"{seconds / SWEEP_SECONDS:.2f} × ({seconds:.1f} s, a new worker's start included), tasks made: {made}"
    return counted(
        "worker killed after the send: adopted after",
        f"the sweep period, {SWEEP_SECONDS:g} s",
        "≤ 2 ×",
        told,
        within=seconds <= 2 * SWEEP_SECONDS and made == 1,
        raw={"seconds": seconds, "made": made},
    )
