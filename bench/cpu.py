"""CPU by the process accounts, compared in interleaved slices: on a shared machine wall time wobbles by half."""

from __future__ import annotations

import os
import random
import statistics
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
RESAMPLES = 2000


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    own_seconds: float
    """Of all its threads, to the nanosecond."""
    ended_children_seconds: float
    memory_bytes: int


def processes() -> dict[int, Process]:
    """Every process of this machine that still runs."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                found[int(entry.name)] = _process(entry)
    return found


def _process(folder: Path) -> Process:
    # The name may have spaces and brackets in it: what follows the last one is fields.
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    nanoseconds = 0
    for thread in (folder / "task").iterdir():
        with suppress(OSError):
            nanoseconds += int((thread / "schedstat").read_text().split()[0])
    return Process(
        pid=int(folder.name),
        parent=int(fields[1]),
        own_seconds=nanoseconds / 1e9,
        ended_children_seconds=(int(fields[13]) + int(fields[14])) / _TICK,
        memory_bytes=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
    )


def trees(roots: Iterable[int]) -> list[Process]:
    """These processes and all that descend from them."""
    found = processes()
    wanted = set(roots)
    grew = True
    while grew:
        more = {process.pid for process in found.values() if process.parent in wanted}
        grew = not more <= wanted
        wanted |= more
    return [found[pid] for pid in wanted if pid in found]


def cpu_seconds(*roots: int) -> float:
    """Spent so far by these processes and their descendants, also by descendants that have ended."""
    return sum(process.own_seconds + process.ended_children_seconds for process in trees(roots))


def memory_bytes(pid: int) -> int:
    """Proportional: what several share is counted once, divided among them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


# ── Comparing ────────────────────────────────────────────────────────────────

Slice = Callable[[], int]
"""Does a piece of work and returns how many units of it were done."""


@dataclass(frozen=True)
class Ratio:
    """Median of the pairs' ratios, and the interval that holds it in 95 of 100 resamples."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"


def interleave(
    slices: Mapping[str, Slice],
    seconds: Callable[[], float],
    rounds: int,
    *,
    warm_up: int = 1,
    before: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, list[float]]:
    """Runs all slices in turn, ABCABC…; returns the seconds of each per unit, round by round.

    `before` a slice, by its name, what is not measured is made ready.
    """
    costs: dict[str, list[float]] = {name: [] for name in slices}
    for number in range(warm_up + rounds):
        for name, work in slices.items():
            if before and name in before:
                before[name]()
            began = seconds()
            units = work()
            if number >= warm_up:
                costs[name].append((seconds() - began) / units)
    return costs


def ratio(costs: list[float], reference: list[float]) -> Ratio:
    pairs = [mine / theirs for mine, theirs in zip(costs, reference, strict=True)]
    rng = random.Random(1)  # noqa: S311
    medians = sorted(statistics.median(rng.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES))
    cut = RESAMPLES // 40
    return Ratio(statistics.median(pairs), medians[cut], medians[-cut - 1])


def milliseconds(costs: list[float]) -> float:
    return statistics.median(costs) * 1000
