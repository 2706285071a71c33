"""The simulator over real HTTPS, asked with a plain HTTP client so that no misreading hides in our own."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

PASSWORD = "a password for tests"
PRIMARY = guid_of("destination/primary-fs")
WEB, DB, GONE, NEW = (guid_of(f"vm/{name}") for name in ("web-01", "db-01", "gone-01", "new-01"))


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.raw = response.read()

    @property
    def text(self) -> str:
        return self.raw.decode()

    @property
    def data(self) -> Any:
        return json.loads(self.text)


class PlainClient:
    def __init__(self, simulator: SimulatorServer) -> None:
        self.simulator = simulator
        self.cookie = ""
        self._tls = ssl.create_default_context(cafile=simulator.ca_file)

    def log_in(self, password: str = PASSWORD) -> Answer:
        answer = self.call("POST", "/api/session/login", {"login": "portal-svc", "password": password})
        self.cookie = answer.headers.get("Set-Cookie", "").partition(";")[0]
        return answer

    def call(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPSConnection("localhost", self.simulator.port, timeout=10, context=self._tls)
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        connection.request(method, path, data, {"Cookie": self.cookie, "Content-Type": "application/json", **headers})
        try:
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str, **query: Any) -> Any:
        address = f"/api{path}?{urlencode(query)}"
        answer = self.call("GET", address)
        if answer.status == 401:  # the clock was moved past the session's end
            self.log_in()
            answer = self.call("GET", address)
        assert answer.status == 200, answer.text
        return answer.data

    def export(self, vm: str, **members: Any) -> Answer:
        wish = {"protectedEntities": [{"guid": vm}], "backupType": {"name": "FULL"}}
        return self.call("POST", "/api/tasks/export", {**wish, "backupDestination": {"guid": PRIMARY}, **members})

    def task_of(self, vm: str, kind: str) -> Any:
        return next(task for task in self.get("/tasks", protectedEntity=vm) if task["type"]["name"] == kind)


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[SimulatorServer]:
    server = SimulatorServer(tmp_path, password=PASSWORD, landscape_name="small")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(simulator: SimulatorServer) -> PlainClient:
    client = PlainClient(simulator)
    client.log_in()
    return client
