import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from demo import processes
from demo.processes import Process, ProcessFailed, StopRequested, Supervisor, words_of


def python(name: str, code: str, folder: Path) -> Process:
    return Process(name, [sys.executable, "-c", code], folder / f"{name}.log")


SLEEP = "import time; time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = "import os, time; os.fork(); print('up', flush=True); time.sleep(60)"


def is_gone(pid: int) -> bool:
    return words_of(pid) == [b""]


def test_leaving_ends_every_process(tmp_path):
    with Supervisor() as supervisor:
        supervisor.start(python("one", SLEEP, tmp_path), python("two", SLEEP, tmp_path))
        pids = [process.pid for process in supervisor.processes]
    assert all(map(is_gone, pids))
    assert list(tmp_path.glob("*.pid")) == []


def test_a_process_that_does_not_listen_is_killed_with_its_children(tmp_path):
    process = python("stubborn", f"import os; os.fork(); {STUBBORN}", tmp_path)
    process.start()
    process.wait_until(lambda: process.log.read_text().count("up") == 2, 10)
    group = process.pid

    process.stop(0.2)

    assert processes._living(group, process.command) == []


def test_one_that_dies_is_named_with_the_end_of_its_log(tmp_path):
    with Supervisor() as supervisor:
        supervisor.start(python("healthy", SLEEP, tmp_path))
        supervisor.start(python("sick", "print('my last words'); raise SystemExit(3)", tmp_path))
        with pytest.raises(ProcessFailed, match=r"sick ended with code 3(.|\n)*my last words"):
            supervisor.watch()


def test_those_beneath_are_watched_too(tmp_path):
    with Supervisor() as servers, Supervisor(beneath=servers) as programs:
        servers.start(python("server", "raise SystemExit(4)", tmp_path))
        with pytest.raises(ProcessFailed, match="server ended with code 4"):
            programs.watch()


def test_tasks_run_side_by_side_to_their_end(tmp_path):
    started = time.monotonic()
    with Supervisor() as supervisor:
        supervisor.run(*(python(name, "import time; time.sleep(0.5)", tmp_path) for name in "abcd"))
    assert time.monotonic() - started < 1.9


def test_a_task_that_fails_stops_the_start(tmp_path):
    with Supervisor() as supervisor, pytest.raises(ProcessFailed, match="migrations"):
        supervisor.run(python("migrations", "raise SystemExit('no such table')", tmp_path))


def test_a_request_to_stop_interrupts_any_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr(processes.stop_requested, "is_set", lambda: True)
    with Supervisor() as supervisor:
        supervisor.start(python("one", SLEEP, tmp_path))
        with pytest.raises(StopRequested):
            supervisor.wait_until("nothing", lambda: False, 10)


def test_the_next_start_ends_what_a_killed_launcher_left(tmp_path):
    left = python("left", PARENT, tmp_path)
    left.start()
    left.wait_until(lambda: left.log.read_text().count("up") == 2, 10)
    abandoned = left.pid

    python("left", SLEEP, tmp_path).end_leftover()

    assert processes._living(abandoned, left.command) == []
    left.stop()


def test_children_without_their_leader_are_ended_as_well(tmp_path):
    left = python("left", PARENT, tmp_path)
    left.start()
    left.wait_until(lambda: left.log.read_text().count("up") == 2, 10)
    group = left.pid
    os.kill(group, signal.SIGKILL)
    left._popen.wait()

    python("left", SLEEP, tmp_path).end_leftover()

    assert processes._living(group, left.command) == []


def test_somebody_else_with_the_same_number_is_left_alone(tmp_path):
    stranger = python("stranger", SLEEP, tmp_path)
    stranger.start()
    note = {"pid": stranger.pid, "command": ["gunicorn", "portal.wsgi"], "stop_signal": signal.SIGTERM}
    (tmp_path / "mine.pid").write_text(json.dumps(note))

    python("mine", SLEEP, tmp_path).end_leftover()

    assert stranger.code is None
    stranger.stop()


def test_a_process_sees_only_its_own_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_LAUNCHER", "1")
    process = Process("env", [sys.executable, "-c", "import os; print(sorted(os.environ))"], tmp_path / "env.log", {})
    with Supervisor() as supervisor:
        supervisor.run(process)
    assert "SECRET" not in process.log.read_text()
