"""The demo's programs: the command of each, and the environment that it gets, which is all that it gets."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from demo.passwords import Passwords
from demo.processes import Process

ROOT = Path(__file__).resolve().parent.parent
VPROTECT_LOGIN = "portal-svc"
DIALECTS = ("classic", "current")
QUEUES = "submit,follow,inventory"

# Of the person's own environment only what a program needs to run at all: no proxies, no other CA, no passwords.
_INHERITED = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONDONTWRITEBYTECODE"),
    # So that webhooks can be tried against a receiver on this machine.
    *("OUTBOUND_PRIVATE_NETWORKS", "OUTBOUND_CA_FILE"),
)


@dataclass(frozen=True)
class Programs:
    """`speed`: how many times faster than life the simulated vProtect works. `dialect`: its generation."""

    speed: ClassVar[int] = 30

    folder: Path
    port: int
    passwords: Passwords
    database_urls: dict[str, str]
    redis_url: str
    dialect: str = "classic"

    @property
    def portal_url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def operator_url(self) -> str:
        return f"http://localhost:{self.port + 1}"

    @property
    def simulator_url(self) -> str:
        return f"https://localhost:{self.port + 2}"

    @property
    def ca_file(self) -> Path:
        return self.folder / "simulator" / "ca.pem"

    def simulator(self) -> Process:
        folder = self.folder / "simulator"
        command = ["-m", "vprotect_simulator", "--port", str(self.port + 2), "--folder", str(folder)]
        command += ["--login", VPROTECT_LOGIN, "--speed", str(self.speed), "--state-file", str(folder / "state.json")]
        command += ["--dialect", self.dialect]
        environment = {**_inherited(), "SIMULATOR_PASSWORD": self.passwords.vprotect}
        return self._process("simulator", command, environment)

    def migrations(self) -> Process:
        return self._process("migrations", ["manage.py", "migrate", "--no-input"], self._as_owner())

    def static_files(self) -> Process:
        return self._process("static", ["manage.py", "collectstatic", "--no-input"], self._as_owner())

    def seed(self) -> Process:
        environment = {**self._as_owner(), "DEMO_PASSWORD": self.passwords.people}
        return self._process("seed", ["manage.py", "seed_demo"], environment)

    def usage(self) -> Process:
        """What is known of the days before the demo began."""
        return self._process("usage", ["manage.py", "reconstruct_usage"], self._as_worker())

    def people(self) -> Process:
        """Its output is the list of those who can log in, as JSON."""
        return self._process("people", ["manage.py", "seed_demo", "--print-people"], self._as_owner())

    def web(self) -> Process:
        return self._gunicorn("web", self.port, "portal_web", workers=2)

    def operator(self) -> Process:
        return self._gunicorn("operator", self.port + 1, "portal_operator", workers=1)

    def worker(self) -> Process:
        return self._celery("worker", QUEUES, concurrency=2)

    def downloads(self) -> Process:
        """Workers of their own for files, which take long."""
        return self._celery("downloads", "downloads", concurrency=1)

    def notifier(self) -> Process:
        """Sends mail and calls webhooks, and does not know vProtect."""
        environment = self._environment("notifier", "portal_worker")
        return self._celery("notifier", "notifications", concurrency=1, environment=environment)

    def _celery(self, name: str, queues: str, concurrency: int, environment: dict[str, str] | None = None) -> Process:
        command = ["-m", "celery", "-A", "portal", "worker", "-n", f"{name}@%h", "-Q", queues]
        command += ["--concurrency", str(concurrency), "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
        return self._process(name, command, environment or self._as_worker())

    def beat(self) -> Process:
        command = ["-m", "celery", "-A", "portal", "beat", "--schedule", str(self.folder / "beat")]
        return self._process("beat", command, self._environment("beat", "portal_worker"))

    def _gunicorn(self, name: str, port: int, role: str, workers: int) -> Process:
        command = ["-m", "gunicorn", "portal.wsgi", "--bind", f"127.0.0.1:{port}", "--workers", str(workers)]
        command += ["--config", "python:portal.gunicorn_conf"]
        return self._process(name, command, self._environment(name, role))

    def _process(self, name: str, command: list[str], environment: dict[str, str]) -> Process:
        return Process(name, [sys.executable, *command], self.folder / "logs" / f"{name}.log", environment, cwd=ROOT)

    def _as_worker(self) -> dict[str, str]:
        vprotect = {
            "VPROTECT_URL": self.simulator_url,
            "VPROTECT_LOGIN": VPROTECT_LOGIN,
            "VPROTECT_PASSWORD": self.passwords.vprotect,
            "VPROTECT_CA_FILE": str(self.ca_file),
        }
        return {**self._environment("worker", "portal_worker"), **vprotect}

    def _as_owner(self) -> dict[str, str]:
        return self._environment("migrations", "portal_owner")

    def _environment(self, process: str, role: str) -> dict[str, str]:
        return {
            **_inherited(),
            "PORTAL_PROCESS": process,
            "SECRET_KEY": self.passwords.secret_key,
            "DATABASE_URL": self.database_urls[role],
            "REDIS_URL": self.redis_url,
            "ALLOWED_HOSTS": "localhost,127.0.0.1",
            "PORTAL_URL": self.portal_url,
            "OPERATOR_URL": self.operator_url,
            "INSECURE_COOKIES": "yes",  # plain HTTP on loopback
            "STAFF_SECOND_FACTOR": "no",
            "EMAIL_BACKEND": "demo.mails.EmailBackend",
            "DEMO_MAILS": str(self.folder / "mails"),
            "STATIC_ROOT": str(self.folder / "static"),
            "SPOOL_FOLDER": str(self.folder / "spool"),
            "VPROTECT_DIALECT": self.dialect,
            "VPROTECT_FOLLOW_SECONDS": "1",  # the simulator works faster than life
        }


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}
