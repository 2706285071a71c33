"""The servers and processes that are measured, as the demo starts them, with the benchmark's data beneath them."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from bench import data
from demo import answers, roles
from demo.passwords import Passwords, load_or_make
from demo.ports import three_free_ports
from demo.processes import Process, Supervisor, end_leftovers
from demo.programs import QUEUES, ROOT, Programs
from demo.servers import PostgreSQL, Valkey
from vprotect_simulator.certificates import server_context

FOLDER = ROOT / "build" / "bench"
# A statement that takes longer than this is in the server's log, for `bench.timers`.
SLOW_MS = 1500
# Durability costs wall time on a shared disk and hardly any CPU; autovacuum would come in the middle of a slice.
_OPTIONS = {
    **{"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"},
    **{"log_min_duration_statement": str(SLOW_MS)},
    **{"shared_buffers": "512MB", "max_connections": "200", "max_wal_size": "4GB", "checkpoint_timeout": "30min"},
}


@dataclass(frozen=True)
class BenchPrograms(Programs):
    """`extra`: of the environment of every process."""

    extra: tuple[tuple[str, str], ...] = ()

    def simulator(self, machines: int = data.MACHINES, tasks: int = data.OPEN_OPERATIONS) -> Process:
        folder = self.folder / "simulator"
        folder.mkdir(parents=True, exist_ok=True)
        command = ["-m", "bench.upstream", str(folder), str(self.port + 2), str(machines), str(tasks)]
        environment = {**self._environment("simulator", "portal_web"), "SIMULATOR_PASSWORD": self.passwords.vprotect}
        return self._process(f"simulator-{machines}", command, environment)

    def one_web(self, threads: int = 4) -> Process:
        """One process of web, so that one account holds all that it spent."""
        command = ["-m", "gunicorn", "bench.wsgi", "--bind", f"127.0.0.1:{self.port}", "--workers", "1"]
        command += ["--threads", str(threads), "--keep-alive", "75", "--no-control-socket", "--backlog", "2048"]
        command += ["--worker-connections", "2000", "--logger-class", "portal.access_log.AccessLogger"]
        return self._process("web", command, self._environment("web", "portal_web"))

    def workers(self, queues: str = QUEUES, concurrency: int = 2, name: str = "worker") -> Process:
        return self._celery(name, queues, concurrency)

    def _environment(self, process: str, role: str) -> dict[str, str]:
        return {
            **super()._environment(process, role),
            "DJANGO_SETTINGS_MODULE": "bench.settings",
            "VPROTECT_FOLLOW_SECONDS": "3",
            "LOG_LEVEL": "WARNING",
            **dict(self.extra),
        }


class Stack:
    """PostgreSQL and Valkey for the whole run; `programs_on` names the database that processes shall have."""

    def __init__(self, size: data.Size) -> None:
        self.size = size
        self.folder = FOLDER
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        end_leftovers(*sorted(self.folder.glob("**/*.pid")))
        self.postgres = PostgreSQL(self.folder / "postgres", _OPTIONS)
        self.valkey = Valkey(self.folder / "valkey")
        self.passwords: Passwords = load_or_make(self.folder / "secrets.json")
        self.port = three_free_ports()
        self._supervisor = Supervisor()

    def start(self) -> None:
        self.postgres.start()
        self.valkey.start()
        roles.make_roles(self.postgres.url, self.passwords.roles)

    def stop(self) -> None:
        self._supervisor.stop()
        self.valkey.remove()
        self.postgres.stop()

    @cached_property
    def databases(self) -> data.Databases:
        note = self.folder / f"data-{self.size.name}.json"
        return data.Databases(self.postgres.url, note, data.fingerprint(ROOT))

    def prepare_data(self) -> bool:
        """False = it was there already."""
        if self.databases.are_ready():
            return False
        self.databases.drop_all(self.names)
        urls = roles.prepare_database(self.postgres.url, self.names["start"], self.passwords.roles)
        programs = replace(self.programs_on(self.names["start"]), database_urls=urls)
        with Supervisor() as supervisor:
            supervisor.run(programs.migrations(), seconds=300)
        admin = self.admin_url(self.names["start"])
        data.fill_start(admin)
        self.databases.copy(self.names["start"], self.names["history"])
        data.fill_history(self.admin_url(self.names["history"]), self.size)
        self.databases.copy(self.names["history"], self.names["pages"])
        data.fill_pages(self.admin_url(self.names["pages"]))
        self.databases.note_ready()
        return True

    @property
    def names(self) -> dict[str, str]:
        """Of the databases that are kept, by what is in them."""
        return {what: f"bench_{self.size.name}_{what}" for what in ("start", "history", "pages")}

    def admin_url(self, database: str) -> str:
        return urlsplit(self.postgres.url)._replace(path=f"/{database}").geturl()

    def fresh(self, what: str, name: str) -> str:
        """A copy of what is kept, for a measurement that may change it."""
        self.databases.copy(self.names[what], name)
        return name

    def urls(self, database: str) -> dict[str, str]:
        passwords = self.passwords.roles
        return {role: roles.url_for(self.postgres.url, role, passwords[role], database) for role in roles.ROLES}

    def programs_on(self, database: str, **extra: str) -> BenchPrograms:
        usual = (self.folder, self.port, self.passwords, self.urls(database), self.valkey.url)
        return BenchPrograms(*usual, extra=tuple(extra.items()))

    @contextmanager
    def running(self, *processes: Process) -> Iterator[None]:
        """Started together, and ended at the end of the block."""
        with Supervisor() as supervisor:
            supervisor.start(*processes)
            yield
            supervisor.check()

    @property
    def postgres_pid(self) -> int:
        pid = self.postgres.process.pid
        assert pid is not None
        return pid


def wait_for_web(process: Process, url: str) -> None:
    process.wait_until(lambda: answers.http_ok(url), 60)


def wait_for_upstream(process: Process, programs: Programs) -> None:
    process.wait_until(lambda: "ready" in process.end_of_log(), 120)


class Control:
    """The simulated vProtect's control calls, over HTTP."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        context = ssl.create_default_context(cafile=self._programs.ca_file)
        connection = http.client.HTTPSConnection("localhost", self._programs.port + 2, timeout=60, context=context)
        try:
            connection.request(method, f"/control/{path}", None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]!r}")
        return json.loads(text) if text else None


def as_worker(programs: BenchPrograms) -> None:
    """Makes this process a worker of the portal: for what is measured without a queue."""
    programs.ca_file.parent.mkdir(parents=True, exist_ok=True)
    server_context(programs.ca_file.parent, ("localhost", "127.0.0.1"))
    environment = programs.workers().environment
    assert environment is not None
    os.environ.update(environment)
    import django

    django.setup()


def use_database(name: str) -> None:
    """For what this process does as a worker."""
    from django.db import connection

    connection.close()
    connection.settings_dict["NAME"] = name
