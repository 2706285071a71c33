"""Memory: of a sync of 50,000 machines, and of processes that have worked for long."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from bench import data
from bench.browser import Browser, sign_in_everybody
from bench.cpu import memory_bytes, trees
from bench.figures import Figure, counted
from bench.stack import Control, Stack, use_database, wait_for_upstream, wait_for_web
from bench.wishes import end_open_operations, until, wish
from demo.processes import Process
from demo.programs import ROOT

MIB = 1024**2
MACHINES = 50_000
FULL, QUICK = (20_000, 1_500), (1_500, 150)


def measure(stack: Stack, pairs: int) -> Iterator[Figure]:
    yield _peak(stack)
    yield from _after_long_work(stack)


def _peak(stack: Stack) -> Figure:
    programs = stack.programs_on(stack.fresh("start", "bench_run"), LOG_LEVEL="ERROR", VPROTECT_TIMEOUT="60")
    simulator = programs.simulator(MACHINES, 0)
    worker = Process(
        "peak",
        [sys.executable, "-m", "bench.peak"],
        stack.folder / "logs" / "peak.log",
        programs.workers().environment,
        cwd=ROOT,
    )
    with stack.running(simulator):
        wait_for_upstream(simulator, programs)
        worker.start()
        worker.wait_until(lambda: '"peak"' in worker.end_of_log(), 600)
        told = json.loads(worker.log.read_text().splitlines()[-1])
        worker.stop()
    idle, peak = told["idle"], told["peak"]
    return counted(
        f"peak memory of a {told['machines']:,}-machine sync",
        "idle",
        "≤ 2 ×, < 250 MB",
        f"{peak / idle:.2f} × ({peak / MIB:.0f} MiB against {idle / MIB:.0f} MiB)",
        within=peak <= 2 * idle and peak < 250e6,
        raw=told,
    )


def _after_long_work(stack: Stack) -> Iterator[Figure]:
    requests, operations = FULL if stack.size == data.FULL else QUICK
    database = stack.fresh("history", "bench_run")
    programs = stack.programs_on(database, VPROTECT_INVENTORY_SECONDS="3600")
    sessions = sign_in_everybody(stack.admin_url(database))
    use_database(database)
    end_open_operations()
    simulator, web = programs.simulator(data.MACHINES, 0), programs.one_web()
    worker, beat = programs.workers(concurrency=1), programs.beat()
    with stack.running(simulator, web):
        wait_for_upstream(simulator, programs)
        wait_for_web(web, programs.portal_url)
        assert web.pid
        ask = partial(_ask, programs.port, sessions, requests // 10)
        yield _grew("web", f"{requests:,} requests", web.pid, ask)
        Control(programs)("PATCH", "settings", {"speed": 2000, "max_running": 500})
        with stack.running(worker, beat):
            until(lambda: worker.pid and len(trees([worker.pid])) > 1)
            assert worker.pid
            yield _grew("worker", f"{operations:,} operations", worker.pid, partial(_operate, operations // 10))


def _grew(name: str, work: str, pid: int, do_part: Callable[[int], None]) -> Figure:
    """Warm after a tenth of it; then what it has grown by the end."""
    do_part(0)
    start = _memory(pid)
    for part in range(1, 10):
        do_part(part)
    end = _memory(pid)
    told = f"{end / start:.3f} × ({start / MIB:.0f} MiB, then {end / MIB:.0f} MiB)"
    return counted(
        f"memory of {name} after {work}",
        "at the start",
        "≤ 1.2 ×",
        told,
        within=end <= 1.2 * start,
        raw={"start": start, "end": end},
    )


def _memory(pid: int) -> int:
    return sum(memory_bytes(process.pid) for process in trees([pid]))


def _ask(port: int, sessions: dict[int, str], count: int, part: int) -> None:
    """Every page that people open most, by people of many tenants."""
    browser = Browser(port, "")
    paths = ("", "machines/", "operations/", "plans/", "machines/?q=vm&sort=-last")
    for number in range(count):
        tenant = 3 + (number + part * 37) % 490
        browser.sign_in(sessions[tenant * 10 + 1])
        browser.page(f"/t/{data.slug(tenant)}/{paths[number % len(paths)]}")


def _operate(count: int, part: int) -> None:
    """Backups of one machine of each of many tenants, from the click to the end."""
    from vprotect_bridge.models import Operation

    made = [wish(3 + number, 3 + part) for number in range(count)]
    keys = [operation.pk for operation in made]
    until(lambda: not Operation.across_tenants.filter(pk__in=keys, outcome="").exists(), 900, 0.5)
    time.sleep(1)
