"""The rows of the fault matrix that are about processes, each against the ledger (docs/fault-matrix.md)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from celery import Celery
from psycopg import sql

from demo import answers, roles
from demo.ports import three_free_ports
from demo.processes import Process
from tests.end_to_end.conftest import SETTLE_SECONDS, Person, QuickPrograms, Stack, _hidden, until
from vprotect_simulator.landscape import PROJECT_UUIDS
from vprotect_simulator.names import guid_of

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.xdist_group("end_to_end")]

DATABASE = "portal_end_to_end"
BOREALIS = "member@borealis-clinic.example"
EXPORTS = "ledger?method=POST&path=/tasks/export"


class FragilePrograms(QuickPrograms):
    """Web and workers with failpoints (`tests/end_to_end/failpoints.py`)."""

    @property
    def failpoint(self) -> Path:
        return self.folder / "failpoint.order"

    def web(self) -> Process:
        return _with(super().web(), "portal.wsgi", "tests.end_to_end.failpoints:web()")

    def worker(self) -> Process:
        return _with(super().worker(), "celery", "tests.end_to_end.failpoints")

    def _environment(self, process: str, role: str) -> dict[str, str]:
        return {**super()._environment(process, role), "FAILPOINT": str(self.failpoint)}

    def second(self, name: str, *arguments: str) -> Process:
        """One more of `worker` or `beat`."""
        first: Process = getattr(self, name)()
        log = first.log.with_stem(f"second-{name}")
        return Process(f"second-{name}", [*first.command, *arguments], log, first.environment, cwd=first.cwd)


def _with(process: Process, old: str, new: str) -> Process:
    process.command = [new if word == old else word for word in process.command]
    return process


class FragileStack(Stack):
    programs: FragilePrograms

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "classic")
        usual = self.programs
        self.programs = FragilePrograms(folder, three_free_ports(), usual.passwords, self.urls, self.valkey.url)

    def start(self) -> None:
        """With machines enough that each test has its own, and work that nobody has to wait for."""
        super().start()
        aurora = {"project": "aurora-books", "tenant_value": PROJECT_UUIDS["aurora-books"]}
        self.control("PATCH", "settings", {"max_running": 100})
        self.control("POST", "machines", {"count": 140, "prefix": "aurora", "disk_gib": 2, **aurora})
        self.control(
            "POST", "machines", {"count": 100, "prefix": "borealis", "disk_gib": 2, "project": "borealis-clinic"}
        )
        known = "SELECT 1 FROM vprotect_bridge_machine WHERE name ~ '^(aurora|borealis)-' HAVING count(*) = 240"
        self.sync_until(known)

    def fail(self, place: str) -> None:
        """`after commit_intent kill`: the first process that comes there does so."""
        for old in self.programs.folder.glob("failpoint.*"):
            old.unlink()
        self.programs.failpoint.write_text(place)

    def wait_for_failure(self) -> int:
        """Returns the number of the process that came there."""
        taken = until(lambda: [p for p in self.programs.folder.glob("failpoint.*") if p.suffix != ".order"])
        return int(taken[0].suffix[1:])

    def start_web_again(self) -> None:
        self.start_again("web")
        until(lambda: answers.http_ok(self.programs.portal_url))

    def ring(self, task: str, times: int = 1) -> None:
        bell = Celery(broker=self.valkey.url, set_as_current=False)
        queue = {"submit": "submit", "sync_inventory": "inventory"}[task]
        # A connection of its own: what was kept from before does not know that the broker was restarted.
        with bell.connection_for_write() as connection:
            for _ in range(times):
                bell.send_task(f"vprotect_bridge.tasks.{task}", queue=queue, connection=connection)

    def workers_that_answer(self) -> int:
        celery = Celery(broker=self.valkey.url, set_as_current=False)
        with celery.connection_for_write() as connection:
            return len(celery.control.ping(timeout=1, connection=connection))

    def sync_until(self, query: str, *parameters: Any) -> None:
        """Rings again and again: a ring for what runs already is none."""

        def synced() -> bool:
            self.ring("sync_inventory")
            time.sleep(1)
            return bool(self.rows(query, *parameters))

        until(synced)

    def signal(self, number: int, *names: str) -> None:
        for name in names:
            process = self.processes[name]
            assert process.pid
            os.killpg(process.pid, number)

    def posts(self, machine_guid: str) -> int:
        """How many exports of the machine arrived, whatever became of them."""
        return len([call for call in self.control("GET", EXPORTS) if machine_guid in str(call["body"])])

    def move_clock(self, hours: int) -> None:
        self.control("POST", "clock", {"seconds": hours * 3600})
        # What upstream remembers of when it was busy is not of that hour; any change of settings forgets it.
        self.control("PATCH", "settings", {"max_running": 100})

    def logins(self) -> int:
        return len(self.control("GET", "ledger?path=/session/login"))

    def administrator(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.postgres.url, autocommit=True)


@pytest.fixture(scope="module")
def fragile_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FragileStack]:
    stack = FragileStack(tmp_path_factory.mktemp("fragile"))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def stack(fragile_stack: FragileStack) -> Iterator[FragileStack]:
    """The next test starts when everything that this one asked for has ended."""
    yield fragile_stack
    fragile_stack.control("DELETE", "faults")
    still_open = "SELECT 1 FROM vprotect_bridge_operation WHERE origin = 'portal' AND outcome = ''"
    until(lambda: not fragile_stack.rows(still_open), 120)


@pytest.fixture(scope="module")
def machines() -> Iterator[str]:
    """Each test has machines of its own, so that it can count their tasks."""
    return (guid_of(f"vm/aurora-{number:05d}") for number in range(101, 141))


def filled_form(person: Person, guid: str, tenant: str = "aurora-books") -> dict[str, str]:
    return _offered(person.get(f"/t/{tenant}/machines/{guid}/backup/").text)


def _offered(page: str) -> dict[str, str]:
    offered = dict(re.findall(r'name="(window_end|priority)" value="([^"]*)"', page))
    destination = re.findall(r'<option value="([\w-]+)" selected>', page)[0]
    return {**_hidden(page), **offered, "destination": destination, "backup_type": "FULL"}


def send(person: Person, stack: Stack, guid: str, form: dict[str, str], tenant: str = "aurora-books") -> str:
    """Returns the operation whose page opens; the same form may be sent again, as browsers do."""
    url = f"{stack.programs.portal_url}/t/{tenant}/machines/{guid}/backup/"
    answer = person._http.post(url, form, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.url.rstrip("/").rpartition("/")[2]


def back_up_together(person: Person, stack: Stack, guids: list[str], tenant: str) -> list[str]:
    """From the ticks in the list over the look to the result; returns the operations that it shows."""
    url = f"{stack.programs.portal_url}/t/{tenant}/bulk/backup/"
    ticked = {
        "machines": guids,
        "csrfmiddlewaretoken": _hidden(person.get(f"/t/{tenant}/machines/").text)["csrfmiddlewaretoken"],
    }
    page = person._http.post(url, ticked, timeout=30).text
    form = {**_offered(page), "machines": guids}
    look = person._http.post(url, form, timeout=30).text
    assert f"{len(guids)} machines will be backed up." in look, look
    answer = person._http.post(url, {**form, "confirmed": "yes"}, timeout=60)
    assert answer.status_code == 200 and "/bulk/" in answer.url, answer.text
    return re.findall(rf'href="/t/{tenant}/operations/([0-9a-f-]{{36}})/"', answer.text)


def cancel(person: Person, stack: Stack, operation: str) -> None:
    path = f"/t/aurora-books/operations/{operation}/"
    token = {"csrfmiddlewaretoken": _hidden(person.get(path).text)["csrfmiddlewaretoken"]}
    assert person._http.post(f"{stack.programs.portal_url}{path}cancel/", token, timeout=10).status_code == 200


def accepted(stack: Stack, operation: str, seconds: float = 60) -> dict[str, Any]:
    return until(lambda: (row := stack.operation(operation))["submission"] == "accepted" and row, seconds)


def wishes(stack: Stack, guid: str) -> list[dict[str, Any]]:
    return stack.rows("SELECT * FROM vprotect_bridge_operation WHERE subject_guid = %s", guid)


# ── Web ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("place", "kept"), [("after _keep", 0), ("before ring_submit", 1), ("after ring_submit", 1)])
def test_web_is_killed_and_the_browser_posts_again(
    place: str, kept: int, stack: FragileStack, member: Person, machines: Iterator[str]
):
    """F1, F2, F3: before the commit nothing is anywhere; after it the wish runs, with the bell or without."""
    guid = next(machines)
    form = filled_form(member, guid)
    stack.fail(f"{place} kill")
    with pytest.raises(requests.ConnectionError):
        send(member, stack, guid, form)
    if kept:
        until(lambda: stack.tasks_made(guid), 15)  # though nobody posts again
    assert len(wishes(stack, guid)) == len(stack.tasks_made(guid)) == kept
    stack.start_web_again()
    again = send(member, stack, guid, form)
    accepted(stack, again)
    assert [str(wish["id"]) for wish in wishes(stack, guid)] == [again]
    assert stack.posts(guid) == 1
    assert len(stack.rows("SELECT 1 FROM tenants_auditentry WHERE machine_guid = %s", guid)) == 1


# ── Broker ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("keeps_its_file", [True, False])
def test_a_broker_that_dies_with_rings_in_it(
    keeps_its_file: bool, stack: FragileStack, member: Person, machines: Iterator[str]
):
    """F4, F5: clicks are taken without it, and all run when it is back, with its file or without."""
    guids = [next(machines) for _ in range(3)]
    stack.signal(signal.SIGSTOP, "worker")
    operations = [member.back_up(guid) for guid in guids[:2]]
    pid = stack.valkey.process.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    operations.append(member.back_up(guids[2]))
    assert time.monotonic() - began < 4, "the form rings as well: two seconds for each of two pages"
    if not keeps_its_file:
        shutil.rmtree(stack.valkey.folder / "appendonlydir")
    stack.valkey.start()
    stack.signal(signal.SIGCONT, "worker")
    for guid, operation in zip(guids, operations, strict=True):
        accepted(stack, operation)
        assert stack.posts(guid) == 1


def test_a_bell_rung_ten_times_for_two_workers(stack: FragileStack, member: Person, machines: Iterator[str]):
    """F6."""
    second = stack.programs.second("worker", "-n", "second@%h")
    second.start()
    try:
        until(lambda: stack.workers_that_answer() == 2)
        guid = next(machines)
        for process in (stack.processes["worker"], second):
            os.killpg(process.pid or 0, signal.SIGSTOP)
        operation = member.back_up(guid)
        stack.ring("submit", times=10)
        for process in (stack.processes["worker"], second):
            os.killpg(process.pid or 0, signal.SIGCONT)
        row = accepted(stack, operation)
        time.sleep(1)  # the rings that are left
        assert (row["attempts"], row["fence"], stack.posts(guid)) == (1, 1, 1)
    finally:
        second.stop()


# ── Workers ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("place", "is_found", "sends"),
    [
        ("after claim", False, 1),
        ("after look_up", False, 1),
        ("after commit_intent", False, 2),
        ("before record", True, 1),
    ],
)
def test_a_worker_is_killed_at_a_step(
    place: str, is_found: bool, sends: int, stack: FragileStack, member: Person, machines: Iterator[str]
):
    """F7, F8, F13: claimed again, sent again, or found; always one POST."""
    guid = next(machines)
    stack.fail(f"{place} kill")
    operation = member.back_up(guid)
    stack.wait_for_failure()
    stack.start_again("worker")
    if sends == 1 and not is_found:
        # What was claimed is due again after a minute; a test does not wait for it.
        stack.rows("UPDATE vprotect_bridge_operation SET next_at = now() WHERE id = %s RETURNING id", operation)
    row = accepted(stack, operation)
    assert (row["adopted"], row["attempts"]) == (is_found, sends)
    assert stack.posts(guid) == len(stack.tasks_made(guid)) == 1


@pytest.mark.parametrize(("ends", "sends"), [(signal.SIGCONT, 1), (signal.SIGKILL, 2)])
def test_a_worker_frozen_between_intent_and_post(
    ends: int, sends: int, stack: FragileStack, member: Person, machines: Iterator[str]
):
    """F14: nobody sends in its place while it is frozen; thawed it sends, killed another does."""
    guid = next(machines)
    stack.fail("after commit_intent freeze")
    operation = member.back_up(guid)
    frozen = stack.wait_for_failure()
    time.sleep(4 * SETTLE_SECONDS)
    assert (stack.operation(operation)["submission"], stack.posts(guid)) == ("sending", 0)
    os.kill(frozen, ends)
    row = accepted(stack, operation)
    assert row["attempts"] == sends
    assert stack.posts(guid) == len(stack.tasks_made(guid)) == 1


def test_pollers_killed_in_the_middle_of_a_cycle(stack: FragileStack, member: Person, machines: Iterator[str]):
    """F32: nothing vanishes by half a cycle, and a backup's story is told once."""
    gone = "SELECT guid FROM vprotect_bridge_machine WHERE vanished_at IS NOT NULL"
    before = stack.rows(gone)
    stack.fail("before _mark_vanished kill")
    stack.ring("sync_inventory")
    stack.wait_for_failure()
    stack.start_again("worker")
    operation = member.back_up(next(machines))
    accepted(stack, operation)
    stack.fail("after look_at_console kill")
    stack.wait_for_failure()
    stack.start_again("worker")
    done = stack.ended(operation)
    assert (done["outcome"], done["progress"]) == ("succeeded", 100)
    moves = "SELECT moved_to FROM vprotect_bridge_operationevent WHERE operation_id = %s ORDER BY at"
    told = [move["moved_to"] for move in stack.rows(moves, operation)]
    assert len(told) == len(set(told)), "no phase twice"
    assert stack.rows(gone) == before


# ── PostgreSQL ───────────────────────────────────────────────────────────────


def test_a_database_that_dies_during_the_post(stack: FragileStack, member: Person, machines: Iterator[str]):
    """F15: at once, as if the power went."""
    guid = next(machines)
    stack.control("POST", "faults", {"kind": "slow", "path": "/tasks/export", "seconds": 2})
    operation = member.back_up(guid)
    until(lambda: stack.operation(operation)["submission"] == "sending")
    pid = stack.postgres.process.pid
    assert pid
    os.kill(pid, signal.SIGQUIT)
    stack.postgres.start()
    made = accepted(stack, operation)["task_guid"]
    assert [task["guid"] for task in stack.tasks_made(guid)] == [made]


def test_a_database_that_is_away_for_a_while(stack: FragileStack, member: Person, machines: Iterator[str]):
    """F16: no POST without an intent, and then it runs."""
    guid = next(machines)
    stack.signal(signal.SIGSTOP, "worker")
    operation = member.back_up(guid)
    stack.postgres.process.stop()
    stack.signal(signal.SIGCONT, "worker")
    stack.ring("submit")
    time.sleep(5)
    assert stack.posts(guid) == 0
    stack.postgres.start()
    accepted(stack, operation)
    assert stack.posts(guid) == 1


def test_pages_while_the_database_is_away(stack: FragileStack, member: Person):
    """F16."""
    stack.postgres.process.stop()
    try:
        answer = member.get("/t/aurora-books/machines/")
        assert answer.status_code == 503 and "cannot be reached" in answer.text
    finally:
        stack.postgres.start()


def test_a_database_restored_from_yesterday(stack: FragileStack, member: Person, machines: Iterator[str]):
    """F17: what has been sent since is found before a POST, what is overdue expires."""
    sent_since, overdue = next(machines), next(machines)
    stack.kill("worker")
    found, expired = member.back_up(sent_since), member.back_up(overdue)
    with stack.administrator() as pg:
        _copy_database(pg, DATABASE, "yesterday")
    cancel(member, stack, expired)
    stack.start_again("worker")
    accepted(stack, found)
    assert until(lambda: stack.operation(expired)["outcome"]) == "cancelled"
    stack.kill("worker")
    with stack.administrator() as pg:
        _copy_database(pg, "yesterday", DATABASE)
    roles.prepare_database(stack.postgres.url, DATABASE, stack.programs.passwords.roles)
    late = "UPDATE vprotect_bridge_operation SET deadline_at = now() WHERE id = %s RETURNING id"
    assert stack.operation(found)["submission"] == "pending" and stack.rows(late, expired)
    stack.start_again("worker")
    assert accepted(stack, found)["adopted"]
    assert until(lambda: stack.operation(expired)["outcome"]) == "missed"
    assert (stack.posts(sent_since), stack.posts(overdue)) == (1, 0)


def _copy_database(pg: psycopg.Connection[Any], old: str, new: str) -> None:
    pg.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(new)))
    pg.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [old])
    copy = sql.SQL("CREATE DATABASE {} OWNER portal_owner TEMPLATE {}")
    pg.execute(copy.format(sql.Identifier(new), sql.Identifier(old)))


# ── Sessions and clocks ──────────────────────────────────────────────────────


def test_sessions_that_end_all_the_time(stack: FragileStack, member: Person, machines: Iterator[str]):
    """F21: one login for each that ended, however many calls noticed."""
    guids = [next(machines) for _ in range(4)]
    before = stack.logins()
    for number in range(1, 9):
        every_third = {"kind": "status", "status": 401, "path": "/(?!session).*", "skip": 2 * number}
        stack.control("POST", "faults", every_third)
    operations = [member.back_up(guid) for guid in guids]
    for guid, operation in zip(guids, operations, strict=True):
        accepted(stack, operation)
        assert len(stack.tasks_made(guid)) == 1
    until(lambda: len([call for call in stack.control("GET", "ledger") if call["fault"]]) >= 8)
    assert 1 <= stack.logins() - before <= 8


def test_sessions_that_live_a_second(stack: FragileStack, member: Person, machines: Iterator[str]):
    """F21: one login for each at most, and the backup ends well."""
    stack.control("PATCH", "settings", {"speed": 15})
    before = stack.logins()
    operation = member.back_up(next(machines))
    for _ in range(6):
        stack.control("DELETE", "sessions")
        time.sleep(1)
    stack.control("PATCH", "settings", {"speed": 100})
    done = stack.ended(operation)
    assert done["outcome"] == "succeeded"
    assert 2 <= stack.logins() - before <= 6


def test_a_password_that_is_wrong(stack: FragileStack, member: Person, machines: Iterator[str]):
    """F22: one login a minute at most, so that the account is not locked; the pages say it, and the wish waits."""
    guid = next(machines)
    stack.control("POST", "faults", {"kind": "status", "status": 401, "path": "/session/login", "times": 0})
    stack.control("DELETE", "sessions")
    before = stack.logins()
    operation = member.back_up(guid)
    until(lambda: stack.rows("SELECT 1 FROM vprotect_bridge_upstreamstatus WHERE problem = 'refused_login'"))
    time.sleep(5)
    assert (stack.logins() - before, stack.posts(guid)) == (1, 0)
    assert "cannot be reached since" in member.get(f"/t/aurora-books/operations/{operation}/").text
    stack.control("DELETE", "faults")
    stack.rows("UPDATE vprotect_bridge_upstreamsession SET login_paused_until = now() RETURNING id")
    accepted(stack, operation)
    assert stack.posts(guid) == 1


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_upstream_that_is_an_hour_off(hours: int, stack: FragileStack, member: Person, machines: Iterator[str]):
    """F23: the window is in vProtect's time, so the task starts; the answer is lost, and it is found all the same."""
    guid = next(machines)
    stack.move_clock(hours)
    try:
        skew = "SELECT 1 FROM vprotect_bridge_upstreamstatus WHERE abs(clock_skew_ms - %s) < 5000"
        stack.sync_until(skew, hours * 3_600_000)
        stack.control("POST", "faults", {"kind": "reset", "path": "/tasks/export", "when": "after"})
        operation = member.back_up(guid)
        done = stack.ended(operation)
        assert (done["outcome"], done["adopted"]) == ("succeeded", True)
        assert len(stack.tasks_made(guid)) == 1
    finally:
        stack.move_clock(-hours)
        stack.sync_until(skew, 0)


# ── Timers, and many at once ─────────────────────────────────────────────────


def test_two_beats_and_a_cycle_longer_than_its_period(stack: FragileStack, member: Person, machines: Iterator[str]):
    """F26: one cycle at a time, and no burst after a beat that was away."""
    guid, second = (
        next(machines),
        stack.programs.second("beat", "--schedule", str(stack.programs.folder / "second-beat")),
    )
    stack.control("PATCH", f"machines/{guid}", {"_behaviour": {"EXPORT": "hang"}})
    accepted(stack, operation := member.back_up(guid))
    second.start()
    try:
        time.sleep(3)  # until it rings
        stack.control("POST", "faults", {"kind": "slow", "path": "/tasks", "seconds": 0.7, "times": 0})
        time.sleep(1)
        began = len(_listings(stack))
        time.sleep(8)
        moments = [call["at"] for call in _listings(stack)[began:]]
        assert len(moments) >= 6 and min(b - a for a, b in pairwise(moments)) >= 600, "one after the other"
        stack.control("DELETE", "faults")
        for process in (stack.processes["beat"], second):
            os.killpg(process.pid or 0, signal.SIGSTOP)
        time.sleep(5)
        began = len(_listings(stack))
        for process in (stack.processes["beat"], second):
            os.killpg(process.pid or 0, signal.SIGCONT)
        time.sleep(3)
        assert 2 <= len(_listings(stack)[began:]) <= 2 * 2 * 3 / 0.5 + 8, "two listings for each ring, no more"
    finally:
        second.stop()
        stack.control("PATCH", f"machines/{guid}", {"_behaviour": {}})
        cancel(member, stack, operation)
    assert stack.posts(guid) == 1


def _listings(stack: FragileStack) -> list[dict[str, Any]]:
    return [call for call in stack.control("GET", "ledger?path=/tasks") if "state" in call["query"]]


def test_two_tenants_ask_for_two_hundred_machines_and_one_is_refused(stack: FragileStack, member: Person):
    """F34: one hundred and ninety-nine tasks, one refusal, and the tenants take turns."""
    refusal = {"kind": "status", "status": 422, "path": "/tasks/export", "skip": 77}
    stack.control("POST", "faults", refusal)
    stack.signal(signal.SIGSTOP, "worker")

    def ask_for_all(person: Person, tenant: str) -> list[str]:
        guids = [guid_of(f"vm/{tenant.partition('-')[0]}-{number:05d}") for number in range(1, 101)]
        return back_up_together(person, stack, guids, tenant)

    with ThreadPoolExecutor(2) as pool:
        pairs = ((member, "aurora-books"), (Person(stack, BOREALIS), "borealis-clinic"))
        operations = [op for wished in pool.map(lambda pair: ask_for_all(*pair), pairs) for op in wished]
    stack.signal(signal.SIGCONT, "worker")
    assert len(set(operations)) == 200
    rows = "SELECT * FROM vprotect_bridge_operation WHERE id = ANY(%s) ORDER BY claimed_at"
    settled = {"accepted", "rejected"}
    until(lambda: {row["submission"] for row in stack.rows(rows, operations)} <= settled, 180)
    ended = stack.rows(rows, operations)
    assert sorted(row["submission"] for row in ended) == ["accepted"] * 199 + ["rejected"]
    of_ours = {row["subject_guid"] for row in ended}
    made = [task["vm"] for task in stack.control("GET", "ledger/tasks") if task["type"] == "EXPORT"]
    assert len([guid for guid in made if guid in of_ours]) == len(of_ours & set(made)) == 199
    turns = [row["tenant_id"] for row in ended[:100]]
    assert 40 <= turns.count(turns[0]) <= 60
