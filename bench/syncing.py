"""The mirror: what a sync costs beside fetching and parsing the same JSON, and what it writes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from bench import data
from bench.cpu import cpu_seconds, interleave
from bench.figures import Figure, compared, counted
from bench.stack import Control, Stack, use_database, wait_for_upstream

FETCHING = "fetching and parsing the same JSON"
PAGE = 500
CHANGED_PART = 0.01
# Of the portal's own and not of the mirror: when it was last read.
HEARTBEAT = "vprotect_bridge_upstreamstatus"


@dataclass
class Upstream:
    """A simulated vProtect, and this process as the worker that reads it."""

    stack: Stack
    control: Control
    machines: int

    def cpu(self) -> float:
        """Of this process and PostgreSQL; not of the simulator, which this process started as well."""
        return time.process_time() + cpu_seconds(self.stack.postgres_pid)

    @property
    def api(self) -> Any:
        from vprotect_bridge.connection import vprotect

        return vprotect()

    def fetch(self, path: str = "/virtual-machines", **filters: str) -> int:
        """The reference: every page, parsed and forgotten."""
        rows = page = 0
        while True:
            answer = self.api.transport.get(path, {**filters, "page": page, "size": PAGE})
            rows, page = rows + len(answer.data), page + 1
            if rows >= answer.total:
                return 1

    def change_some(self) -> int:
        """Their backups came: of one machine in a hundred."""
        wanted = max(int(self.machines * CHANGED_PART), 1)
        now = int(time.time() * 1000)
        for number, guid in enumerate(self._guids()[:wanted]):
            self.control("PATCH", f"machines/{guid}", {"lastBackup": now + number, "lastSuccessfulBackupSize": now})
        return wanted

    def _guids(self) -> list[str]:
        return [data.machine_guid(data.BIG_TENANT, number) for number in range(1, data.BIG + 1)]


@contextmanager
def upstream_for(stack: Stack, database: str, machines: int, tasks: int = 0) -> Iterator[Upstream]:
    programs = stack.programs_on(database)
    process = programs.simulator(machines, tasks)
    use_database(database)
    with stack.running(process):
        wait_for_upstream(process, programs)
        yield Upstream(stack, Control(programs), machines)


def measure(stack: Stack, pairs: int) -> Iterator[Figure]:
    machines = data.MACHINES if stack.size == data.FULL else data.MACHINES // 10
    with upstream_for(stack, stack.fresh("start", "bench_run"), machines) as upstream:
        yield _first_sync(upstream, pairs)
        yield _changed(upstream, pairs)
        yield _rows_written(upstream)
    with upstream_for(stack, stack.fresh("history", "bench_run"), data.MACHINES, tasks=5000) as upstream:
        yield from _poll_cycle(upstream, pairs)


def _sync() -> int:
    from vprotect_bridge import sync
    from vprotect_bridge.connection import vprotect

    sync.sync_inventory(vprotect())
    return 1


def _first_sync(upstream: Upstream, pairs: int) -> Figure:
    def empty() -> None:
        with psycopg.connect(upstream.stack.admin_url("bench_run")) as pg:
            pg.execute("TRUNCATE vprotect_bridge_machine CASCADE")

    costs = interleave({"sync": _sync, "fetch": upstream.fetch}, upstream.cpu, pairs, warm_up=1, before={"sync": empty})
    empty()
    of_database = cpu_seconds(upstream.stack.postgres_pid)
    _sync()
    inserting = (cpu_seconds(upstream.stack.postgres_pid) - of_database) / statistics.median(costs["fetch"])
    limit = (
        f"PostgreSQL takes {inserting:.1f} × to keep the rows with their indexes, and fetching them is 1 ×; reading "
        "them, finding their owners and putting them into words is what is left"
    )
    name = f"first sync of {upstream.machines:,} machines, CPU"
    return compared(name, FETCHING, 3, costs["sync"], costs["fetch"], limit=limit)


def _changed(upstream: Upstream, pairs: int) -> Figure:
    costs = interleave(
        {"sync": _sync, "fetch": upstream.fetch},
        upstream.cpu,
        pairs,
        warm_up=1,
        before={"sync": lambda: upstream.change_some()},
    )
    name = f"sync of {upstream.machines:,} machines, 1 % changed, CPU"
    return compared(name, FETCHING, 2, costs["sync"], costs["fetch"])


def _rows_written(upstream: Upstream) -> Figure:
    _sync()
    before = rows_written()
    _sync()
    idle = rows_written() - before
    changed = upstream.change_some()
    before = rows_written()
    _sync()
    written = rows_written() - before
    told = f"{written} / {changed} = {written / changed:.3f}; nothing changed: {idle}"
    target = "≤ 1.05; nothing changed = 0"
    is_within = written / changed <= 1.05 and idle == 0
    raw = {"written": written, "changed": changed, "idle": idle}
    return counted("rows of the mirror written / changed", "rows changed", target, told, within=is_within, raw=raw)


def rows_written() -> int:
    """So far, of all tables but the heartbeat, by PostgreSQL's own count."""
    execute("SELECT pg_stat_force_next_flush()")
    execute("SELECT pg_stat_clear_snapshot()")
    statement = """
        SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables WHERE relname <> %s
    """
    return int(execute(statement, [HEARTBEAT])[0][0])


def execute(statement: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
    """In this process's own session of PostgreSQL: what it wrote is counted when it is told to be."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


# ── Tasks ────────────────────────────────────────────────────────────────────


def _poll_cycle(upstream: Upstream, pairs: int) -> Iterator[Figure]:
    from vprotect_bridge.follow import follow

    def cycle() -> int:
        follow(upstream.api)
        return 1

    def fetch() -> int:
        upstream.fetch("/tasks", state="QUEUED")
        return upstream.fetch("/tasks", state="RUNNING")

    costs = interleave({"cycle": cycle, "fetch": fetch}, upstream.cpu, pairs, warm_up=2)
    yield compared("poll cycle with 5,000 tasks, CPU", "fetching and parsing them", 2, costs["cycle"], costs["fetch"])
    before = len(upstream.control("GET", "ledger"))
    fetch()
    pages = len(upstream.control("GET", "ledger")) - before
    follow(upstream.api)
    calls = len(upstream.control("GET", "ledger")) - before - pages
    told = f"{calls} calls for {pages} pages"
    yield counted(
        "calls of that cycle", "its pages", "equal", told, within=calls == pages, raw={"calls": calls, "pages": pages}
    )
