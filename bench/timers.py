"""The workers' timers over the whole history: none of them may take longer because there is more of it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from bench import data
from bench.figures import Figure, counted
from bench.stack import SLOW_MS, Stack, wait_for_upstream, wait_for_web

SECONDS = 60
_DURATION = re.compile(r"duration: ([0-9.]+) ms +\w+: (.{80})")


def measure(stack: Stack, pairs: int) -> Iterator[Figure]:
    """An inventory in which every machine is another, and all that follows from it."""
    programs = stack.programs_on(stack.fresh("history", "bench_run"))
    simulator, web = programs.simulator(12_000, 200), programs.web()
    with stack.running(simulator, web):
        wait_for_upstream(simulator, programs)
        wait_for_web(web, programs.portal_url)
        told_before = len(_slow(stack))
        with stack.running(programs.worker(), programs.downloads(), programs.notifier(), programs.beat()):
            time.sleep(SECONDS if stack.size == data.FULL else SECONDS / 4)
        slow = _slow(stack)[told_before:]
    longest = max(slow, default=(0.0, "none"))
    told = f"{len(slow)}; the longest {longest[0]:.0f} ms: {longest[1]}" if slow else "none"
    yield counted(
        f"statements above {SLOW_MS} ms while all timers run over the whole history",
        "–",
        "none",
        told,
        within=not slow,
        raw={"slow": slow},
    )


def _slow(stack: Stack) -> list[tuple[float, str]]:
    log = stack.postgres.process.log.read_text(errors="replace")
    return [(float(found[1]), found[2]) for found in _DURATION.finditer(log)]
