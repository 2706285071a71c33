"""A thousand people who watch: what they cost the portal, and that they cost vProtect nothing."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench import data
from bench.browser import Browser
from bench.cpu import cpu_seconds
from bench.figures import Figure, counted
from bench.pages import poll_address, sign_in_everybody
from bench.stack import BenchPrograms, Control, Stack, wait_for_upstream, wait_for_web

WATCHERS = data.OPEN_OPERATIONS * data.WATCHERS_OF_EACH
EVERY_SECONDS = 5.0
CORES = 2
# A proxy keeps a few connections to web open, whoever watches.
CONNECTIONS = 24
POLL = re.compile(r'hx-get="([^"]*/poll\?seen=[^"]*)"')


@dataclass
class Watch:
    """What the polls of one window were answered with; waits in seconds, from the moment at which each was due.

    Beside it the calls upstream, the CPU-seconds of web and PostgreSQL, and how long it was.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    calls: int = 0
    cpu_seconds: float = 0
    seconds: float = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, status: int, wait: float) -> None:
        with self.lock:
            self.statuses[status] += 1
            self.waits.append(wait)

    @property
    def p99(self) -> float:
        return sorted(self.waits)[int(len(self.waits) * 0.99)]


def measure(stack: Stack, pairs: int) -> Iterator[Figure]:
    seconds = 60.0 if stack.size == data.FULL else 30.0
    database = stack.fresh("history", "bench_run")
    # One inventory would come into one of the two windows; what is compared is what watching costs.
    programs = stack.programs_on(database, VPROTECT_INVENTORY_SECONDS="3600")
    sessions = sign_in_everybody(stack.admin_url(database))
    simulator, web, worker, beat = programs.simulator(12_000), programs.web(), programs.worker(), programs.beat()
    with stack.running(simulator, web):
        wait_for_upstream(simulator, programs)
        wait_for_web(web, programs.portal_url)
        with stack.running(worker, beat):
            control = Control(programs)
            _wait_for_cycles(control, 3)
            addresses = _addresses(programs, sessions)
            one = _watch(stack, programs, control, addresses, 1, seconds)
            everybody = _watch(stack, programs, control, addresses, WATCHERS, seconds)
            logins = len(control("GET", "ledger?path=/session/login"))
        floor = _floor(stack, programs, sessions)
    yield _cost(everybody, floor)
    yield _calls(one, everybody, logins)


def _floor(stack: Stack, programs: BenchPrograms, sessions: dict[int, str]) -> float:
    """CPU-seconds of a request that asks the database for one thing, behind the same middleware and walls."""
    browser, web, count = Browser(programs.port, sessions[data.FIRST_WATCHED * 10 + 1]), programs_pid(stack, "web"), 200
    before = cpu_seconds(web, stack.postgres_pid)
    for _ in range(count):
        browser.page(f"/t/{data.slug(data.FIRST_WATCHED)}/bench/one-query")
    return (cpu_seconds(web, stack.postgres_pid) - before) / count


def _cost(watch: Watch, floor: float) -> Figure:
    """Of the time that so many polls should take: where the machine is too slow for them, they take longer."""
    polls, spent = watch.statuses.total(), watch.cpu_seconds
    part = spent / (polls / WATCHERS * EVERY_SECONDS * CORES)
    errors = polls - watch.statuses[204] - watch.statuses[200]
    each, p99 = spent / polls * 1000, watch.p99 * 1000
    told = f"{part:.0%}, {polls} polls of {each:.1f} ms, {errors} errors, p99 {p99:.0f} ms"
    return counted(
        f"{WATCHERS:,} watchers polling every {EVERY_SECONDS:g} s, CPU",
        "both cores",
        "≤ 30 %, no error",
        told,
        within=part <= 0.3 and errors == 0,
        limit="" if part <= 0.3 else _limit(floor),
        raw={"part": part, "polls": polls, "errors": errors, "p99_ms": p99},
    )


def _limit(floor: float) -> str:
    """What of it no poll can save, however lean."""
    share = WATCHERS / EVERY_SECONDS * floor / CORES
    return f"the view of one statement takes {floor * 1000:.1f} ms on this machine now, which is {share:.0%} by itself"


def _calls(one: Watch, everybody: Watch, logins: int) -> Figure:
    """A window differs from the timers by one tick of each at most: two listings, two histories."""
    of_one, of_all = one.calls / one.seconds, everybody.calls / everybody.seconds
    tick = 4 / one.seconds + 4 / everybody.seconds
    told = f"{of_all * 60:.0f} against {of_one * 60:.0f}; logins {logins}"
    return counted(
        f"requests to vProtect per minute with {WATCHERS:,} watchers",
        "with 1",
        "equal (± a tick of each timer); logins ≤ 1",
        told,
        within=of_all - of_one <= tick and logins <= 1,
        raw={"one": one.calls, "all": everybody.calls, "logins": logins},
    )


def _wait_for_cycles(control: Control, count: int) -> None:
    deadline = time.monotonic() + 90
    while len(control("GET", "ledger?path=/tasks")) < 2 * count:
        assert time.monotonic() < deadline, "nobody follows"
        time.sleep(0.5)


def _addresses(programs: BenchPrograms, sessions: dict[int, str]) -> list[tuple[str, str]]:
    """Session and poll of each watcher; those of a tenant watch the same operation."""
    found = []
    for tenant in data.watched_tenants():
        address = poll_address(Browser(programs.port, sessions[tenant * 10 + 1]), tenant)
        found += [(sessions[tenant * 10 + k], address) for k in range(1, data.WATCHERS_OF_EACH + 1)]
    return found


def _watch(
    stack: Stack, programs: BenchPrograms, control: Control, addresses: list[Any], watchers: int, seconds: float
) -> Watch:
    watch, starts = Watch(), time.monotonic() + 0.5
    web = programs_pid(stack, "web")
    threads = [
        threading.Thread(target=_polls, args=(programs, addresses[:watchers], part, watch, starts, seconds))
        for part in range(min(CONNECTIONS, watchers))
    ]
    calls, spent, began = len(control("GET", "ledger")), cpu_seconds(web, stack.postgres_pid), time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(max(starts + seconds - time.monotonic(), 0))
    watch.cpu_seconds = cpu_seconds(web, stack.postgres_pid) - spent
    watch.seconds = time.monotonic() - began
    watch.calls = len(control("GET", "ledger")) - calls
    return watch


def programs_pid(stack: Stack, name: str) -> int:
    return int(json.loads((stack.folder / "logs" / f"{name}.pid").read_text())["pid"])


def _polls(
    programs: BenchPrograms, addresses: list[tuple[str, str]], part: int, watch: Watch, starts: float, seconds: float
) -> None:
    """Of every so-manieth watcher, each at a moment of its own."""
    mine = [(number, *address) for number, address in enumerate(addresses) if number % CONNECTIONS == part]
    shown = {number: address for number, _session, address in mine}
    browsers = {number: session for number, session, _address in mine}
    browser = Browser(programs.port, "")
    for turn in range(int(seconds / EVERY_SECONDS)):
        for number in shown:
            due = starts + (turn + number / len(addresses)) * EVERY_SECONDS
            time.sleep(max(due - time.monotonic(), 0))
            browser.sign_in(browsers[number])
            try:
                answer = browser.get(shown[number], htmx=True)
            except OSError:
                watch.note(0, time.monotonic() - due)
                browser = Browser(programs.port, "")
                continue
            watch.note(answer.status, time.monotonic() - due)
            if answer.status == 200 and (news := POLL.search(answer.text)):
                shown[number] = news[1].replace("&amp;", "&")
