"""Web behind a PgBouncer in transaction mode, workers direct: nothing leaks from one request into the next."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg

from bench import data
from bench.browser import Browser, sign_in_everybody
from bench.figures import Figure, counted
from bench.stack import Stack, wait_for_web
from demo import roles
from demo.processes import Process
from demo.servers import namespace_of_nobody

# Fewer connections of PostgreSQL than threads of web, so that each serves many people in turn.
SERVER_CONNECTIONS, PROCESSES, ROUNDS, TENANTS = 4, 3, 2, 100
CLIENTS = 12


def measure(stack: Stack, pairs: int) -> Iterator[Figure]:
    if shutil.which("pgbouncer") is None:
        print("  no PgBouncer here: apt-get install pgbouncer")
        return
    database = stack.fresh("history", "bench_run")
    sessions = sign_in_everybody(stack.admin_url(database))
    programs = stack.programs_on(database)
    pooler, port = _pooler(stack, programs.port + 2)
    direct = stack.urls(database)["portal_web"]
    url = roles.url_for(f"postgres://127.0.0.1:{port}", "portal_web", stack.passwords.roles["portal_web"], database)
    programs = replace(programs, database_urls={**stack.urls(database), "portal_web": url})
    web = programs._gunicorn("web", programs.port, "portal_web", workers=PROCESSES)
    with stack.running(pooler), stack.running(web):
        wait_for_web(web, programs.portal_url)
        pages, foreign, errors = _everybody_at_once(programs.port, sessions)
        left = _rows_without_a_tenant(url)
        connections = _connections(stack.admin_url(database))
    assert direct != url
    told = f"{pages} pages of {TENANTS} tenants over {connections} connections: {errors} errors, {foreign} foreign"
    yield counted(
        f"{PROCESSES} web processes behind PgBouncer in transaction mode",
        "–",
        "no error, nothing foreign, nothing without a tenant",
        f"{told}; {left} rows without a tenant",
        within=errors == foreign == left == 0 and 0 < connections <= SERVER_CONNECTIONS,
        raw={"pages": pages, "foreign": foreign, "errors": errors, "connections": connections},
    )


def _pooler(stack: Stack, port: int) -> tuple[Process, int]:
    folder: Path = stack.folder / "pgbouncer"
    folder.mkdir(mode=0o700, exist_ok=True)
    people = folder / "people.txt"
    people.touch(mode=0o600)
    people.write_text("".join(f'"{role}" "{password}"\n' for role, password in stack.passwords.roles.items()))
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n* = host={stack.postgres.sockets}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {people}\npool_mode = transaction\n"
        f"default_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 500\n"
    )
    command = [*namespace_of_nobody(), "pgbouncer", str(configuration)]
    return Process("pgbouncer", command, stack.folder / "logs" / "pgbouncer.log"), port


def _everybody_at_once(port: int, sessions: dict[int, str]) -> tuple[int, int, int]:
    """Pages that were answered, machines of others on them, and what was no page."""
    counts, lock = [0, 0, 0], threading.Lock()

    def ask(part: int) -> None:
        browser = Browser(port, "")
        for tenant in list(range(3 + part, 3 + TENANTS, CLIENTS)) * ROUNDS:
            browser.sign_in(sessions[tenant * 10 + 1])
            answer = browser.get(f"/t/{data.slug(tenant)}/machines/")
            shown = set(re.findall(r"vm-(\d{3})-\d{5}", answer.text))
            with lock:
                counts[0] += answer.status == 200
                counts[1] += bool(shown - {f"{tenant:03d}"})
                counts[2] += answer.status != 200 or not shown

    threads = [threading.Thread(target=ask, args=(part,)) for part in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts[0], counts[1], counts[2]


def _rows_without_a_tenant(url: str) -> int:
    """What a request that sets none would see of the one before it, over the same connections."""
    seen = 0
    for _ in range(3 * SERVER_CONNECTIONS):
        with psycopg.connect(url, autocommit=True) as pg:
            row = pg.execute("SELECT count(*) FROM vprotect_bridge_machine").fetchone()
            seen += row[0] if row else 0
    return seen


def _connections(admin_url: str) -> int:
    with psycopg.connect(admin_url) as pg:
        row = pg.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'portal_web'").fetchone()
    return int(row[0]) if row else 0
