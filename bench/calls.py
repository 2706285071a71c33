"""What people cost vProtect: nothing, whatever they open and however slow it is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from bench import data
from bench.cpu import interleave
from bench.figures import Figure, compared, counted
from bench.pages import Web, web_on
from bench.reference.proxy import PerRequestProxy
from bench.stack import Control, Stack, wait_for_upstream
from demo.programs import VPROTECT_LOGIN

SLOW_SECONDS = 5
MACHINES = 500


def measure(stack: Stack, pairs: int) -> Iterator[Figure]:
    database = stack.fresh("history", "bench_run")
    programs = stack.programs_on(database)
    simulator = programs.simulator(MACHINES, tasks=0)
    with stack.running(simulator), web_on(stack, database) as web:
        wait_for_upstream(simulator, programs)
        control = Control(programs)
        yield _machine_page(stack, web, control)
        yield _while_it_is_slow(web, control, pairs)


def _machine_page(stack: Stack, web: Web, control: Control) -> Figure:
    guid = data.machine_guid(data.BIG_TENANT, 7)
    programs = stack.programs_on("bench_run")

    def calls() -> int:
        return len(control("GET", "ledger"))

    before = calls()
    web.browser(data.BIG_TENANT).page(f"/t/{data.slug(data.BIG_TENANT)}/machines/{guid}/")
    ours, before = calls() - before, calls()
    proxy = PerRequestProxy(programs.simulator_url, str(programs.ca_file), VPROTECT_LOGIN, stack.passwords.vprotect)
    proxy.machine_page(guid)
    theirs = calls() - before
    return counted(
        "requests to vProtect to open a machine's page",
        "a per-request proxy",
        "0 against 36",
        f"{ours} against {theirs}",
        within=ours == 0 and theirs == 36,
        raw={"ours": ours, "proxy": theirs},
    )


def _while_it_is_slow(web: Web, control: Control, pairs: int) -> Figure:
    """The page asks workers to look, as it always does; nobody waits for them."""
    path = f"machines/{data.machine_guid(data.BIG_TENANT, 9)}/"
    work, waits = web.asking(data.BIG_TENANT, path, 4), {"slow": [], "fast": []}  # type: ignore[var-annotated]

    def timed(name: str) -> int:
        began = time.monotonic()
        count = work()
        waits[name].append((time.monotonic() - began) / count * 1000)
        return count

    costs = interleave(
        {"slow": lambda: timed("slow"), "fast": lambda: timed("fast")},
        web.cpu,
        pairs,
        before={
            "slow": lambda: control("POST", "faults", {"kind": "slow", "seconds": SLOW_SECONDS, "times": 100_000}),
            "fast": lambda: control("DELETE", "faults"),
        },
    )
    slow, fast = (statistics.median(waits[name]) for name in ("slow", "fast"))
    note = f"; a person waits {slow:.0f} ms against {fast:.0f} ms"
    name = f"that page while vProtect takes {SLOW_SECONDS} s to answer"
    return compared(name, "while it is fast", 1.1, costs["slow"], costs["fast"], note=note)
