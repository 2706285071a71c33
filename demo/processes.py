"""Starts processes, watches them, and ends every one of them, also those that a killed launcher left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

STOP_SECONDS = 10.0

# Set by the launcher's signal handler. A flag, because an exception could strike between the birth of a process
# and the line that remembers it.
stop_requested = threading.Event()


class StopRequested(Exception):
    """Somebody pressed Ctrl-C or asked the launcher to end."""


class ProcessFailed(Exception):
    """A process ended by itself, or does not answer; the message carries the end of its log."""


class Process:
    """One process in a session of its own, its output in `log`; beside it lies a note to find it again by."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        stop_signal: int = signal.SIGTERM,
        user: int | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.environment = environment
        self.stop_signal = stop_signal
        self.user = user
        self.cwd = cwd
        self._note = log.with_suffix(".pid")
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen else None

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs or before it was started."""
        return self._popen.poll() if self._popen else None

    def start(self) -> None:
        self.end_leftover()
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        with self.log.open("wb") as log:
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.cwd,
                start_new_session=True,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
            )
        note = {"pid": self._popen.pid, "command": self.command, "stop_signal": self.stop_signal}
        self._note.write_text(json.dumps(note))

    def ask_to_stop(self) -> None:
        if self._popen is not None and self._popen.poll() is None:
            self._popen.send_signal(self.stop_signal)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Asks it to end, then ends what is left of its group."""
        if self._popen is None:
            return
        self.ask_to_stop()
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self._popen.kill()
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        _wait_or_kill(self._popen.pid, self.command, deadline=0)
        self._popen = None
        self._note.unlink(missing_ok=True)

    def end_leftover(self) -> None:
        """Ends what an earlier launcher started and could not end, if it is really that."""
        self.stop()
        end_leftovers(self._note)

    def wait_until(self, answers: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not answers():
            if stop_requested.is_set():
                raise StopRequested
            if self.code is not None:
                raise ProcessFailed(f"{self.name} ended with code {self.code}.\n{self.end_of_log()}")
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name} did not answer within {seconds:.0f} s.\n{self.end_of_log()}")
            time.sleep(0.03)

    def end_of_log(self, lines: int = 20) -> str:
        try:
            text = self.log.read_text(errors="replace")
        except OSError:
            return ""
        tail = "\n".join(f"  | {line}" for line in text.splitlines()[-lines:])
        return f"The end of {self.log}:\n{tail}"


class Supervisor:
    """Processes that live and end together; `beneath` are those that they need."""

    def __init__(self, beneath: Supervisor | None = None) -> None:
        self.beneath = beneath
        self.processes: list[Process] = []

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *processes: Process) -> None:
        for process in processes:
            self.processes.append(process)
            process.start()

    def run(self, *tasks: Process, seconds: float = 120) -> None:
        """Starts processes that end by themselves, side by side, and waits until all of them succeeded."""
        self.start(*tasks)
        deadline = time.monotonic() + seconds
        for task in tasks:
            while task.code is None:
                self.check()
                if time.monotonic() > deadline:
                    raise ProcessFailed(f"{task.name} did not end within {seconds:.0f} s.\n{task.end_of_log()}")
                time.sleep(0.03)
            if task.code != 0:
                raise ProcessFailed(f"{task.name} failed with code {task.code}.\n{task.end_of_log()}")
            task.stop()
            self.processes.remove(task)

    def wait_until(self, what: str, answers: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not answers():
            self.check()
            if time.monotonic() > deadline:
                logs = ", ".join(str(process.log) for process in self.processes)
                raise ProcessFailed(f"{what} did not answer within {seconds:.0f} s. The logs: {logs}")
            time.sleep(0.1)

    def check(self) -> None:
        """Raises `ProcessFailed` for a process that ended, `StopRequested` when the launcher was asked to end."""
        if stop_requested.is_set():
            raise StopRequested
        if self.beneath is not None:
            self.beneath.check()
        for process in self.processes:
            if process.code:
                raise ProcessFailed(f"{process.name} ended with code {process.code}.\n{process.end_of_log()}")

    def watch(self) -> None:
        """Returns only by an exception."""
        while True:
            self.check()
            for process in self.processes:
                if process.code is not None:
                    raise ProcessFailed(f"{process.name} ended.\n{process.end_of_log()}")
            stop_requested.wait(0.3)

    def stop(self) -> None:
        for process in self.processes:
            process.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for process in reversed(self.processes):
            process.stop(max(0.1, deadline - time.monotonic()))
        self.processes.clear()


def end_leftovers(*notes: Path) -> None:
    """Ends the processes that these notes name and that an earlier launcher could not end, if it is really them."""
    found = [content for note in notes if (content := _read(note))]
    for content in found:
        if content["pid"] in _living(content["pid"], content["command"]):
            _signal(content["pid"], content["stop_signal"])
    deadline = time.monotonic() + STOP_SECONDS
    for content in found:
        _wait_or_kill(content["pid"], content["command"], deadline)
    for note in notes:
        note.unlink(missing_ok=True)


def _read(note: Path) -> dict[str, Any] | None:
    try:
        return json.loads(note.read_text())
    except (OSError, ValueError):
        return None


def _wait_or_kill(leader: int, command: list[str], deadline: float) -> None:
    while living := _living(leader, command):
        # Children end with their leader; those that did not have nobody left to end them.
        if leader not in living or time.monotonic() > deadline:
            for pid in living:
                _signal(pid, signal.SIGKILL)
        time.sleep(0.03)


def _living(leader: int, command: list[str]) -> list[int]:
    """The process and its children that still run the command: process numbers are used again by others."""
    return [pid for pid in _all_pids() if _group_of(pid) == leader and _runs(pid, command)]


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _runs(pid: int, command: list[str]) -> bool:
    words = words_of(pid)
    # `unshare … postgres …` becomes `postgres …`.
    return words != [b""] and [os.fsencode(word) for word in command][-len(words) :] == words


def words_of(pid: int) -> list[bytes]:
    """The command line of a process; one empty word if there is none (any more)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return [b""]


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
