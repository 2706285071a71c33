"""Pages and polls: what a request costs web and PostgreSQL together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench import data
from bench.browser import Answer, Browser, sign_in_everybody
from bench.cpu import cpu_seconds, interleave
from bench.figures import Figure, compared, counted
from bench.stack import Stack, wait_for_web

MOST_QUERIES = 8
ONE_QUERY = "a view of one statement behind the same middleware"


class Web:
    """The portal as one process, and whoever asks it."""

    def __init__(self, stack: Stack, port: int, pid: int, sessions: dict[int, str]) -> None:
        self.stack, self.port, self.pid, self._sessions = stack, port, pid, sessions

    def browser(self, tenant: int, person: int = 1) -> Browser:
        return Browser(self.port, self._sessions[tenant * 10 + person])

    def cpu(self) -> float:
        return cpu_seconds(self.pid, self.stack.postgres_pid)

    def asking(self, tenant: int, path: str, times: int) -> Callable[[], int]:
        """A slice of that many requests for a page of this tenant."""
        browser, address = self.browser(tenant), f"/t/{data.slug(tenant)}/{path}"

        def work() -> int:
            for _ in range(times):
                browser.page(address)
            return times

        return work


@contextmanager
def web_on(stack: Stack, database: str) -> Iterator[Web]:
    programs = stack.programs_on(database)
    sessions = sign_in_everybody(stack.admin_url(database))
    process = programs.one_web()
    with stack.running(process):
        wait_for_web(process, programs.portal_url)
        assert process.pid is not None
        yield Web(stack, programs.port, process.pid, sessions)


def measure(stack: Stack, pairs: int) -> Iterator[Figure]:
    with web_on(stack, stack.fresh("pages", "bench_run")) as web:
        yield from _machines(web, pairs)
        yield from _size_of_the_list(web, pairs)
        yield _dashboard(web, pairs)
        yield _poll(web, pairs)


def _machines(web: Web, pairs: int) -> Iterator[Figure]:
    big = data.BIG_TENANT
    slices = {
        "page": web.asking(big, "machines/", 4),
        "one query": web.asking(big, "bench/one-query", 30),
        "straightforward": web.asking(big, "bench/machines", 1),
    }
    costs = interleave(slices, web.cpu, pairs)
    name = "machines page (50 rows), CPU"
    yield compared(name, ONE_QUERY, 10, costs["page"], costs["one query"])
    straightforward = web.browser(big).page(f"/t/{data.slug(big)}/bench/machines").queries
    note = f", {straightforward} statements there"
    against = "the same page, each thing asked for where it is needed"
    yield compared(name, against, 0.5, costs["page"], costs["straightforward"], note=note)


def _size_of_the_list(web: Web, pairs: int) -> Iterator[Figure]:
    """Of a tenant who owns them all, and of one who owns 200."""
    addresses = {
        "first page": (data.MANY_TENANT, "machines/"),
        "last page": (data.MANY_TENANT, f"machines/?page={data.MANY // 50}"),
        "few": (data.FEW_TENANT, "machines/"),
        "last of few": (data.FEW_TENANT, f"machines/?page={data.FEW // 50}"),
    }
    costs = interleave({name: web.asking(*address, 4) for name, address in addresses.items()}, web.cpu, pairs)
    for name, reference in (("first page", "few"), ("last page", "last of few")):
        title = f"machines page at {data.MANY:,} machines, {name}"
        yield compared(title, f"at {data.FEW}", 1.15, costs[name], costs[reference])
    queries = {
        name: web.browser(tenant).page(f"/t/{data.slug(tenant)}/{path}").queries
        for name, (tenant, path) in addresses.items()
    }
    is_same = len(set(queries.values())) == 1 and max(queries.values()) <= MOST_QUERIES
    told = ", ".join(f"{name}: {count}" for name, count in queries.items())
    yield counted(
        "statements of these pages", "each other", f"equal, ≤ {MOST_QUERIES}", told, within=is_same, raw=queries
    )


def _dashboard(web: Web, pairs: int) -> Figure:
    slices = {"big": web.asking(data.BIG_TENANT, "", 4), "small": web.asking(data.SMALL_TENANT, "", 4)}
    costs = interleave(slices, web.cpu, pairs)
    against = f"of a {data.SMALL}-machine tenant"
    return compared(f"dashboard of the {data.BIG:,}-machine tenant", against, 1.3, costs["big"], costs["small"])


# ── The poll ─────────────────────────────────────────────────────────────────


def poll_address(browser: Browser, tenant: int) -> str:
    """What the open operation's page asks every few seconds."""
    home = f"/t/{data.slug(tenant)}/"
    found = re.search(rf'href="({home}operations/[0-9a-f-]{{36}}/)"', browser.page(home).text)
    assert found, "the tenant has an open operation"
    page = browser.page(found[1]).text
    poll = re.search(r'hx-get="([^"]*/poll\?seen=[^"]*)"', page)
    assert poll, "an open operation is polled for"
    return poll[1].replace("&amp;", "&")


def _poll(web: Web, pairs: int) -> Figure:
    tenant = data.FIRST_WATCHED
    browser = web.browser(tenant)
    address = poll_address(browser, tenant)
    statements = _unchanged(browser.get(address, htmx=True)).queries

    def polling() -> int:
        for _ in range(30):
            _unchanged(browser.get(address, htmx=True))
        return 30

    costs = interleave(
        {"poll": polling, "one query": web.asking(tenant, "bench/one-query", 30)}, web.cpu, pairs, warm_up=2
    )
    figure = compared(
        "poll with nothing new, CPU", ONE_QUERY, 2, costs["poll"], costs["one query"], note=f", {statements} statements"
    )
    return Figure(
        **{**vars(figure), "target": "≤ 2 ×, ≤ 4 statements", "is_within": figure.is_within and statements <= 4}
    )


def _unchanged(answer: Answer) -> Answer:
    if answer.status != 204:
        raise RuntimeError(f"a poll with nothing new was answered with {answer.status}")
    return answer
