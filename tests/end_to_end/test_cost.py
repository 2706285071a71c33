"""What is asked of vProtect does not grow with those who watch, and web never asks at all."""

from __future__ import annotations

import base64
import os
import re
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.end_to_end.conftest import Person, Stack, until
from vprotect_simulator.names import guid_of

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("end_to_end")]

WATCHED = guid_of("vm/shop-db-02")
SECONDS = 8


@pytest.fixture
def watched(stack: Stack, member: Person):
    """A backup that runs as long as somebody watches, and no other one."""
    until(lambda: not stack.rows("SELECT 1 FROM vprotect_bridge_operation WHERE outcome = ''"))
    stack.control("PATCH", f"machines/{WATCHED}", {"_behaviour": {"EXPORT": "hang"}})
    operation = member.back_up(WATCHED)
    until(lambda: stack.operation(operation)["phase"] == "exporting")
    yield operation
    stack.control("PATCH", f"machines/{WATCHED}", {"_behaviour": {}})


def test_fifty_watchers_cost_vprotect_what_one_does(stack: Stack, member: Person, watched: str):
    def watch(_number: int) -> int:
        polls = 0
        while time.monotonic() < ends:
            answer = member.get(f"/t/aurora-books/operations/{watched}/poll?seen=0")
            polls += answer.status_code == 200
            time.sleep(0.5)
        return polls

    asked, cycles, polls = [], [], []
    for watchers in (1, 50):
        before = len(stack.control("GET", "ledger?path=/tasks"))
        began = time.monotonic()
        ends = began + SECONDS
        with ThreadPoolExecutor(watchers) as pool:
            polls.append(sum(pool.map(watch, range(watchers))))
        calls = Counter(call["path"] for call in stack.control("GET", "ledger?path=/tasks")[before:])
        cycles.append((time.monotonic() - began) / 0.5)
        # How a schedule's own run ended is asked once, whoever watches.
        runs = stack.rows("SELECT task_guid FROM vprotect_bridge_operation WHERE origin = 'schedule'")
        asked.append(calls - Counter({f"/tasks/{run['task_guid']}": calls.total() for run in runs}))
    assert polls[1] > 5 * polls[0]
    # Two listings a cycle and nothing else; the number of cycles is the timer's, however long a busy machine took.
    assert set(asked[0]) == set(asked[1]) == {"/tasks"}
    assert [calls["/tasks"] <= 2 * count + 4 for calls, count in zip(asked, cycles, strict=True)] == [True, True], (
        asked,
        cycles,
    )


def test_web_and_operator_never_call_vprotect_and_do_not_know_its_password(stack: Stack, member: Person):
    """With every worker frozen, clicking around adds not one call to the ledger."""
    workers = [stack.processes[name].pid for name in ("worker", "beat")]
    for pid in workers:
        os.killpg(pid, signal.SIGSTOP)
    try:
        time.sleep(0.5)
        before = len(stack.control("GET", "ledger"))
        home = "/t/aurora-books/"
        guid = guid_of("vm/blog-staging")
        for path in (
            "machines/",
            f"machines/{guid}/",
            f"machines/{guid}/backup/",
            f"machines/{guid}/history",
            "operations/",
        ):
            assert member.get(home + path).status_code == 200
        member.back_up(guid)
        assert len(stack.control("GET", "ledger")) == before
    finally:
        for pid in workers:
            os.killpg(pid, signal.SIGCONT)
    password = stack.programs.passwords.vprotect.encode()
    for name in ("web", "operator", "beat"):
        environment = Path(f"/proc/{stack.processes[name].pid}/environ").read_bytes()
        assert password not in environment and b"VPROTECT_PASSWORD" not in environment, name
    assert password in Path(f"/proc/{stack.processes['worker'].pid}/environ").read_bytes()


def test_the_password_is_in_no_log_no_table_no_message_and_no_page(stack: Stack, member: Person):
    """Everything that is kept, and everything that a browser gets; wherever one may look who should not know it."""
    password = stack.programs.passwords.vprotect
    pages = [member.get(f"/t/aurora-books/{page}/").text for page in ("machines", "operations", "plans")]
    assert password not in "".join(pages)
    for log in (stack.programs.folder / "logs").glob("*.log"):
        assert password not in log.read_text(errors="replace"), log.name
    for table, rows in everything_kept(stack).items():
        assert password not in rows, table
    assert password not in everything_sent(stack)


def test_messages_carry_nothing(stack: Stack, member: Person):
    """Valkey writes down each command that it got: no machine, person or operation is named in any of them."""
    operation = member.back_up(guid_of("vm/kasse-köln"))
    sent = everything_sent(stack)
    assert "vprotect_bridge.tasks.submit" in sent, "the bell was rung at all"
    for word in (operation, guid_of("vm/kasse-köln"), "aurora", ".example", "JSESSIONID"):
        assert word not in sent, word


def everything_kept(stack: Stack) -> dict[str, str]:
    """Each table as text, read as the owner of them all."""
    with psycopg.connect(stack.urls["portal_owner"]) as pg:
        tables = [name for (name,) in pg.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        statements = {
            name: sql.SQL("SELECT row_to_json(t)::text FROM {} t").format(sql.Identifier(name)) for name in tables
        }
        return {name: str(pg.execute(statement).fetchall()) for name, statement in statements.items()}


def everything_sent(stack: Stack) -> str:
    files = [path for path in stack.valkey.folder.rglob("*.aof*") if path.is_file()]
    assert files, "Valkey keeps what it was told"
    raw = b"".join(path.read_bytes() for path in files).decode(errors="replace")
    bodies = re.findall(r'"body": ?"([A-Za-z0-9+/=]+)"', raw)
    return raw + "".join(base64.b64decode(body).decode(errors="replace") for body in bodies)
