"""The whole product as processes, with roles, queues and times as in the demo, only quicker."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from psycopg.rows import dict_row

from demo import answers, roles
from demo.passwords import load_or_make
from demo.ports import three_free_ports
from demo.processes import Process, Supervisor
from demo.programs import Programs
from demo.servers import PostgreSQL, Valkey

MEMBER = "member@aurora-books.example"
SETTLE_SECONDS = 3.0
# The one for all of them, if it is given; else most are told with a classic vProtect and some with a current one.
DIALECT = os.environ.get("DIALECT", "")


def with_current(test: Any) -> Any:
    """Pytest lets those follow one another that have the same stack, and there is one at a time."""
    return test if DIALECT else pytest.mark.parametrize("stack_of_the_run", ["current"], indirect=True)(test)


class QuickPrograms(Programs):
    speed = 100

    def _environment(self, process: str, role: str) -> dict[str, str]:
        return {
            **super()._environment(process, role),
            "VPROTECT_FOLLOW_SECONDS": "0.5",
            "VPROTECT_RECONCILE_SECONDS": "1",
            "VPROTECT_SETTLE_SECONDS": str(SETTLE_SECONDS),
            "VPROTECT_TIMEOUT": "5",
        }


class Stack:
    """Everything that runs, and the ways to look into it."""

    def __init__(self, folder: Path, dialect: str) -> None:
        self.postgres = PostgreSQL(folder / "postgres")
        self.valkey = Valkey(folder / "valkey")
        self.postgres.start()
        self.valkey.start()
        passwords = load_or_make(folder / "secrets.json")
        self.urls = roles.prepare_database(self.postgres.url, "portal_end_to_end", passwords.roles)
        self.programs = QuickPrograms(folder, three_free_ports(), passwords, self.urls, self.valkey.url, dialect)
        self.processes: dict[str, Process] = {}
        self._supervisor = Supervisor()

    def start(self) -> None:
        programs = self.programs
        (programs.folder / "simulator").mkdir()
        self._start("simulator", programs.simulator())
        self._supervisor.run(programs.migrations(), programs.static_files())
        self._supervisor.run(programs.seed())
        for name in ("web", "operator", "worker", "beat"):
            self._start(name, getattr(programs, name)())
        self._supervisor.wait_until("web", lambda: answers.http_ok(programs.portal_url), 60)
        self._supervisor.wait_until("operator", lambda: answers.http_ok(programs.operator_url), 60)
        self._supervisor.wait_until("worker", lambda: answers.worker(self.valkey.url), 60)
        answers.ring_inventory(self.valkey.url)
        self._supervisor.wait_until("machines", lambda: answers.has_machines(self.urls["portal_worker"]), 60)

    def _start(self, name: str, process: Process) -> None:
        self.processes[name] = process
        self._supervisor.start(process)

    def stop(self) -> None:
        self._supervisor.stop()
        self.valkey.remove()
        self.postgres.remove()

    def kill(self, name: str) -> None:
        """All of it at once, as if the power went; `start_again` brings it back."""
        process = self.processes[name]
        assert process.pid
        os.killpg(process.pid, signal.SIGKILL)

    def start_again(self, name: str) -> None:
        self.processes[name].start()

    def control(self, method: str, path: str, body: Any = None) -> Any:
        tls = ssl.create_default_context(cafile=self.programs.ca_file)
        data = None if body is None else json.dumps(body).encode()
        address = f"{self.programs.simulator_url}/control/{path}"
        request = urllib.request.Request(address, data, method=method)  # noqa: S310 — ours, always https
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
        with opener.open(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def tasks_made(self, machine_guid: str) -> list[dict[str, Any]]:
        made = self.control("GET", "ledger/tasks")
        return [task for task in made if task["vm"] == machine_guid and task["type"] == "EXPORT"]

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.urls["portal_worker"], row_factory=dict_row) as pg:
            return pg.execute(query, parameters).fetchall()

    def operation(self, operation_id: str) -> dict[str, Any]:
        return self.rows("SELECT * FROM vprotect_bridge_operation WHERE id = %s", operation_id)[0]

    def ended(self, operation_id: str) -> dict[str, Any]:
        """Waits for its end; if it does not come, says how far it came."""
        try:
            return until(lambda: (row := self.operation(operation_id))["outcome"] and row)
        except AssertionError as error:
            events = (
                "SELECT at, moved_from, moved_to, detail FROM vprotect_bridge_operationevent WHERE operation_id = %s"
            )
            story = self.rows(f"{events} ORDER BY at", operation_id)
            raise AssertionError(f"{error}: {self.operation(operation_id)} {story}") from error


class Person:
    """Somebody with a browser that runs no script."""

    def __init__(self, stack: Stack, email: str = MEMBER) -> None:
        self._stack = stack
        self._http = requests.Session()
        self._http.trust_env = False
        self.post("/accounts/login/", {"login": email, "password": stack.programs.passwords.people})

    def get(self, path: str) -> requests.Response:
        return self._http.get(self._stack.programs.portal_url + path, timeout=10)

    def post(self, path: str, form: dict[str, str]) -> requests.Response:
        """Fills in the page's form as it is offered, with these fields changed."""
        page = self.get(path).text
        hidden = _hidden(page)
        offered = re.findall(r'name="(window_end|priority)" value="([^"]*)"', page)
        destination = re.findall(r'<option value="([\w-]+)" selected>', page)
        usual = hidden | dict(offered) | ({"destination": destination[0]} if destination else {})
        answer = self.send(path, {**usual, **form})
        assert answer.status_code == 200, answer.text
        return answer

    def send(self, path: str, form: dict[str, str]) -> requests.Response:
        return self._http.post(self._stack.programs.portal_url + path, form, timeout=10)

    def back_up(self, machine_guid: str) -> str:
        """Returns the id of the operation whose page opens."""
        answer = self.post(f"/t/aurora-books/machines/{machine_guid}/backup/", {"backup_type": "FULL"})
        return answer.url.rstrip("/").rpartition("/")[2]

    def restore(self, machine_guid: str, name: str) -> str:
        """Chooses the newest point and the first place, reads what will happen and confirms; returns the operation."""
        path = f"/t/aurora-books/machines/{machine_guid}/restore/"
        page = until(lambda: 'name="backup"' in (text := self.get(path).text) and text)
        form = {"name": name, "csrfmiddlewaretoken": _hidden(page)["csrfmiddlewaretoken"]}
        for field in ("backup", "place", "storage"):
            options = re.findall(
                r'<option value="([^"]*)"', page.partition(f'name="{field}"')[2].partition("</select>")[0]
            )
            form[field] = options[0] if options else ""
        url = self._stack.programs.portal_url + path
        review = self._http.post(url, {**form, "client_key": _hidden(page)["client_key"]}, timeout=10)
        assert "This will happen" in review.text, review.text
        answer = self._http.post(url, {**_hidden(review.text), "confirmed": "yes"}, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.url.rstrip("/").rpartition("/")[2]


def _hidden(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def until(what: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="session")
def stack_of_the_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"), getattr(request, "param", DIALECT or "classic"))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def stack(stack_of_the_run: Stack) -> Iterator[Stack]:
    yield stack_of_the_run
    stack_of_the_run.control("DELETE", "faults")
    stack_of_the_run.control("PATCH", "settings", {"max_running": 4})


@pytest.fixture
def member(stack: Stack) -> Person:
    return Person(stack)
