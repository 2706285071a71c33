"""`python -m demo` starts the whole product on this machine; `python -m demo reset` forgets what it kept."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from demo import answers, passwords, processes, roles
from demo.processes import ProcessFailed, StopRequested, Supervisor, end_leftovers
from demo.programs import DIALECTS, ROOT, Programs
from demo.servers import PostgreSQL, Valkey

FOLDER = Path(os.environ.get("DEMO_FOLDER", ROOT / ".demo"))
DATABASE = "portal_demo"


class CannotStart(Exception):
    """One sentence that says what stands in the way and what to do about it."""


def main(words: list[str]) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: processes.stop_requested.set())
    try:
        with _alone():
            if words == ["reset"]:
                reset()
            elif not words:
                run(_port())
            else:
                raise CannotStart("Usage: python -m demo [reset]")
    except StopRequested:
        print("\nStopped. `make demo` starts again with the same data, `make demo-reset` starts over.")
    except (CannotStart, ProcessFailed, roles.CannotPrepareDatabase) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def run(port: int) -> None:
    """Starts everything, says where it is, and returns only by an exception."""
    started = time.monotonic()
    end_leftovers(*sorted(FOLDER.glob("*/*.pid")))
    _check_ports(port)
    _dialect()
    with Supervisor() as servers, Supervisor(beneath=servers) as supervisor:
        programs = _start_servers(servers, port)
        people = _start_programs(supervisor, programs)
        _say_who_can_log_in(programs, people, time.monotonic() - started)
        supervisor.watch()


def reset() -> None:
    end_leftovers(*sorted(FOLDER.glob("*/*.pid")))
    if admin_url := os.environ.get("DATABASE_URL"):
        roles.drop_database(admin_url, DATABASE)
    PostgreSQL(FOLDER / "postgres").remove()
    Valkey(FOLDER / "valkey").remove()
    shutil.rmtree(FOLDER)
    print("The demo's data is gone; `make demo` starts over.")


def _start_servers(servers: Supervisor, port: int) -> Programs:
    secrets = passwords.load_or_make(FOLDER / "secrets.json")
    with _step("PostgreSQL"):
        admin_url = os.environ.get("DATABASE_URL")
        if admin_url is None:
            admin_url = _start(servers, PostgreSQL(FOLDER / "postgres"))
        elif others := roles.other_databases(admin_url, DATABASE):
            raise CannotStart(
                f"The server of DATABASE_URL holds the portal's database {others[0]}, whose passwords the demo would "
                "change: give the demo a server of its own."
            )
        database_urls = roles.prepare_database(admin_url, DATABASE, secrets.roles)
    with _step("Valkey"):
        redis_url = os.environ.get("REDIS_URL") or _start(servers, Valkey(FOLDER / "valkey"))
    return Programs(FOLDER, port, secrets, database_urls, redis_url, _dialect())


def _start(servers: Supervisor, server: PostgreSQL | Valkey) -> str:
    servers.processes.append(server.process)
    server.start()
    return server.url


def _start_programs(supervisor: Supervisor, programs: Programs) -> list[dict[str, str]]:
    with _step("vProtect simulator"):
        (FOLDER / "simulator").mkdir(mode=0o700, exist_ok=True)
        supervisor.start(programs.simulator())
    with _step("Migrations, static files"):
        people = _prepare(supervisor, programs)
    with _step("Tenants and people"):
        supervisor.start(programs.web(), programs.operator())
        # Once: what people change in the demo stays changed.
        with _unless_done("seed", programs.database_urls["portal_owner"]) as due:
            if due:
                supervisor.run(programs.seed())
    with _step("Web, operator site, worker"):
        supervisor.wait_until(
            "The simulator", lambda: answers.https_with(programs.simulator_url, programs.ca_file), seconds=30
        )
        supervisor.start(programs.worker(), programs.downloads(), programs.notifier(), programs.beat())
        supervisor.wait_until("The portal", lambda: answers.http_ok(programs.portal_url), seconds=60)
        supervisor.wait_until("The operator site", lambda: answers.http_ok(programs.operator_url), seconds=60)
        supervisor.wait_until("The worker", lambda: answers.worker(programs.redis_url), seconds=60)
    with _step("Machines from vProtect"):
        worker_url = programs.database_urls["portal_worker"]
        if not answers.has_machines(worker_url):
            answers.ring_inventory(programs.redis_url)
        supervisor.wait_until("The inventory", lambda: answers.has_machines(worker_url), seconds=60)
    with _unless_done("usage", worker_url) as due:
        if due:
            with _step("Restore points, usage"):
                supervisor.wait_until("The history", lambda: answers.has_histories(worker_url), seconds=180)
                supervisor.run(programs.usage())
    return people


def _prepare(supervisor: Supervisor, programs: Programs) -> list[dict[str, str]]:
    """Side by side, as each spends its time on starting Django. Returns who can log in."""
    people = programs.people()
    with _unless_done("static", _mark_of_static_files()) as due:
        supervisor.run(programs.migrations(), people, *([programs.static_files()] if due else []))
    output = people.log.read_text()
    return json.JSONDecoder().raw_decode(output, output.index("[\n"))[0]


@contextmanager
def _unless_done(name: str, mark: str) -> Iterator[bool]:
    """True when it was never done for this mark; noted as done when the block succeeds."""
    note = FOLDER / f"{name}.done"
    fingerprint = sha256(mark.encode()).hexdigest()
    due = not note.exists() or note.read_text() != fingerprint
    yield due
    note.write_text(fingerprint)


def _mark_of_static_files() -> str:
    files = sorted(path for path in (ROOT / "static").rglob("*") if path.is_file())
    marks = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    # Packages bring static files as well.
    return "\n".join([*marks, (ROOT / "requirements" / "dev.lock").read_text()])


def _say_who_can_log_in(programs: Programs, people: list[dict[str, str]], seconds: float) -> None:
    print(f"\nReady after {seconds:.1f} s.\n")
    print(f"  Portal         {programs.portal_url}")
    print(f"  Operator site  {programs.operator_url}")
    print(f"  vProtect       {programs.simulator_url}  (simulated, {programs.dialect})")
    print(f"\nEverybody's password: {programs.passwords.people}\n")
    columns = ("email", "tenant", "role", "note")
    widths = [max(len(str(person.get(column) or "")) for person in people) for column in columns]
    for person in people:
        line = "  ".join(
            str(person.get(column) or "").ljust(width) for column, width in zip(columns, widths, strict=True)
        )
        print(f"  {line}".rstrip())
    print(f"\nMails: {FOLDER / 'mails'}")
    print(f"Logs: {FOLDER / 'logs'}   Ctrl-C stops everything.", flush=True)


@contextmanager
def _step(text: str) -> Iterator[None]:
    print(f"  {text:<28}", end="", flush=True)
    started = time.monotonic()
    yield
    print(f"{time.monotonic() - started:5.1f} s", flush=True)


@contextmanager
def _alone() -> Iterator[None]:
    """One launcher per checkout: a second one would take the first one's processes for leftovers."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart("The demo of this checkout is already running: stop it with Ctrl-C first.") from None
        yield


def _port() -> int:
    text = os.environ.get("PORT", "8000")
    if not text.isdigit() or not 1024 <= int(text) <= 65533:
        raise CannotStart(f"PORT is {text!r}, but must be a number from 1024 to 65533.")
    return int(text)


def _dialect() -> str:
    """Which vProtect is simulated. A demo stays what it was made as: plans of one are not those of the other."""
    note = FOLDER / "dialect"
    made_as = note.read_text() if note.exists() else "classic" if (FOLDER / "simulator").exists() else ""
    wanted = os.environ.get("VPROTECT_DIALECT") or made_as or "classic"
    if wanted not in DIALECTS:
        raise CannotStart(f"VPROTECT_DIALECT is {wanted!r}, but must be {' or '.join(DIALECTS)}.")
    if made_as not in {"", wanted}:
        raise CannotStart(
            f"This demo was made with a {made_as} vProtect: start it with VPROTECT_DIALECT={made_as}, "
            "or forget its data with make demo-reset."
        )
    note.write_text(wanted)
    return wanted


def _check_ports(port: int) -> None:
    for number in (port, port + 1, port + 2):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                raise CannotStart(
                    f"Port {number} is taken (the demo needs {port} to {port + 2}): choose others, "
                    f"for example make demo PORT={port + 100}."
                ) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
