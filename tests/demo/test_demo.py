"""`python -m demo` from the start to Ctrl-C, with everything real."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo import processes
from demo.ports import three_free_ports
from demo.programs import ROOT

pytestmark = pytest.mark.processes

# The run's own servers are not for the demo, which brings its own here.
_NOT_FOR_THE_DEMO = {"DATABASE_URL", "REDIS_URL", "TEST_ADMIN_DATABASE_URL", "DJANGO_SETTINGS_MODULE"}


class Launcher:
    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.output = folder / "launcher.log"
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self, *words: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_THE_DEMO}
        environment |= {"DEMO_FOLDER": str(self.folder / "state"), "PORT": str(self.port)}
        with self.output.open("wb") as output:
            self._popen = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "demo", *words], cwd=ROOT, env=environment, stdout=output, stderr=output
            )

    def wait_until_ready(self, seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        while "Ctrl-C stops everything" not in self.text:
            assert self._popen and self._popen.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.1)

    def end(self, number: int = signal.SIGINT) -> int:
        assert self._popen
        self._popen.send_signal(number)
        return self._popen.wait(40)

    @property
    def text(self) -> str:
        return self.output.read_text()

    def processes(self) -> list[dict]:
        return [json.loads(note.read_text()) for note in (self.folder / "state").glob("*/*.pid")]

    def living(self) -> list[int]:
        return [pid for note in self.processes() for pid in processes._living(note["pid"], note["command"])]


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path, three_free_ports())
    yield launcher
    if launcher._popen and launcher._popen.poll() is None:
        launcher.end(signal.SIGKILL)
    launcher.start("reset")
    launcher._popen.wait(40)


def test_the_demo_starts_recovers_and_ends(launcher):
    launcher.start()
    launcher.wait_until_ready()
    with urllib.request.urlopen(f"http://localhost:{launcher.port}/") as page:
        assert page.status == 200
    started = launcher.processes()
    assert len(started) == 9

    launcher.end(signal.SIGKILL)
    assert launcher.living(), "they outlive a launcher that was killed"
    launcher.start()
    launcher.wait_until_ready()
    for note in started:
        assert processes._living(note["pid"], note["command"]) == []

    started = launcher.processes()
    assert launcher.end(signal.SIGINT) == 0
    for note in started:
        assert processes._living(note["pid"], note["command"]) == []


def test_a_taken_port_is_named(launcher):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", launcher.port + 1))
        taken.listen()
        launcher.start()
        assert launcher._popen.wait(20) == 1
    assert f"Port {launcher.port + 1} is taken" in launcher.text
    assert "PORT=" in launcher.text


def test_somebody_elses_servers_that_do_not_answer_are_named(launcher, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "_NOT_FOR_THE_DEMO", {"REDIS_URL"})
    monkeypatch.setenv("DATABASE_URL", "postgres://nobody@localhost:1/nowhere")
    launcher.start()
    assert launcher._popen.wait(20) == 1
    assert "The server of DATABASE_URL cannot be used" in launcher.text
