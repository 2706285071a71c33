"""The simulator over real HTTPS, asked with a plain HTTP client so that no misreading hides in our own."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.shapes import Exchange
from vprotect_simulator import engine, landscape
from vprotect_simulator.api import Api
from vprotect_simulator.calls import Call, Reply
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer
from vprotect_simulator.state import State

PASSWORD = "a password for tests"
WEDNESDAY_NOON = 1_774_440_000_000
PRIMARY = guid_of("destination/primary-fs")
WEB, DB, GONE, NEW = (guid_of(f"vm/{name}") for name in ("web-01", "db-01", "gone-01", "new-01"))


@pytest.fixture(autouse=True)
def exchanges(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[list[Exchange]]:
    """Every exchange with a simulator, over a network or not, is held against the shapes of the reference afterwards.

    `odd_requests`: the test sends what no client should, and it is taken all the same.
    """
    seen: list[Exchange] = []
    answer = Api.answer

    def watched(self: Api, call: Call) -> Reply:
        reply = answer(self, call)
        seen.append(Exchange(self.state.dialect, call, reply.status, reply.data))
        return reply

    monkeypatch.setattr(Api, "answer", watched)
    yield seen
    is_odd = request.node.get_closest_marker("odd_requests") is not None
    faults = dict.fromkeys(fault for exchange in seen for fault in exchange.faults_of_answer())
    if not is_odd:
        faults |= dict.fromkeys(fault for exchange in seen for fault in exchange.faults_of_anybodys_request())
    assert not faults, "not as the reference has it:\n" + "\n".join(list(faults)[:10])


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
        tls = ssl.create_default_context(cafile=simulator.ca_file)
        self.connection = http.client.HTTPSConnection("localhost", simulator.port, timeout=10, context=tls)

    def log_in(self, password: str = PASSWORD) -> Answer:
        answer = self.call("POST", "/api/session/login", {"login": "portal-svc", "password": password})
        self.cookie = answer.headers.get("Set-Cookie", "").partition(";")[0]
        return answer

    def call(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str) -> Answer:
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        sent = {"Cookie": self.cookie, "Content-Type": "application/json", **headers}
        try:
            self.connection.request(method, path, data, sent)
            return Answer(self.connection.getresponse())
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise

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


@pytest.fixture(scope="session")
def simulator_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorServer]:
    server = SimulatorServer(tmp_path_factory.mktemp("simulator"), password=PASSWORD, landscape_name="small")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def simulator(simulator_of_the_run: SimulatorServer) -> SimulatorServer:
    return as_if_nobody_had_called(simulator_of_the_run, "classic")


def as_if_nobody_had_called(simulator: SimulatorServer, dialect: str) -> SimulatorServer:
    simulator.state.dialect = dialect
    simulator.control.reset(speed=1)
    return simulator


@pytest.fixture
def client(simulator: SimulatorServer) -> PlainClient:
    client = PlainClient(simulator)
    client.log_in()
    return client


class DirectClient:
    """Asks without a network, for what is not about one; logs in again when the clock was moved past a session.

    It is a Wednesday in March: which of the last backups are full depends on the day of the week.
    """

    def __init__(self, dialect: str = "classic", landscape_name: str = "small") -> None:
        self.state = State(dialect=dialect)
        self.state.clock.offset_ms = WEDNESDAY_NOON - self.state.clock.now_ms()
        landscape.build(landscape_name, self.state)
        self.api = Api(self.state, PASSWORD, token="a token for tests")
        self.cookie = ""

    def log_in(self) -> Reply:
        body = {"login": "portal-svc", "password": PASSWORD}
        reply = self.api.answer(Call("POST", "/session/login", body=body))
        self.cookie = reply.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
        return reply

    def call(self, method: str, address: str, body: Any = None) -> Reply:
        """`address`: path below /api, with its query. What is answered went through JSON."""
        url = urlsplit(address)
        query = parse_qs(url.query, keep_blank_values=True)
        call = Call(method, url.path, query, body, {"JSESSIONID": self.cookie})
        reply = self.api.answer(call)
        if reply.status == 401 and not url.path.startswith("/session"):
            self.log_in()
            reply = self.api.answer(replace(call, cookies={"JSESSIONID": self.cookie}))
        reply.data = json.loads(json.dumps(reply.data))
        return reply

    def get(self, address: str) -> Any:
        reply = self.call("GET", address)
        assert reply.status == 200, reply.data
        return reply.data

    def post(self, address: str, body: Any, status: int = 201) -> Any:
        reply = self.call("POST", address, body)
        assert reply.status == status, reply.data
        return reply.data

    def put(self, address: str, body: Any) -> Any:
        reply = self.call("PUT", address, body)
        assert reply.status == 200, reply.data
        return reply.data

    def delete(self, address: str) -> None:
        assert self.call("DELETE", address).status == 204

    def advance(self, seconds: float) -> None:
        engine.catch_up(self.state)
        self.state.clock.offset_ms += int(seconds * 1000)

    def export(self, vm: str, **members: Any) -> Any:
        """In the words of the dialect."""
        place = {"backupDestination": {"guid": PRIMARY}}
        if self.state.dialect == "current":
            place = {"rules": [{"guid": guid_of("rule/daily")}]}
        wish = {"protectedEntities": [{"guid": vm}], "backupType": {"name": "FULL"}, **place}
        return self.post("/tasks/export", {**wish, **members})[0]

    def newest_backup(self, vm: str) -> Any:
        return max(self.get(f"/backups?protected-entity={vm}&status=SUCCESS"), key=lambda row: row["snapshotTime"])


@pytest.fixture(params=["classic", "current"])
def direct(request: pytest.FixtureRequest) -> DirectClient:
    return DirectClient(request.param)


@pytest.fixture
def classic() -> DirectClient:
    return DirectClient("classic")


@pytest.fixture
def current() -> DirectClient:
    return DirectClient("current")
