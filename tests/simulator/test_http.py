"""HTTP as other people's clients speak it, and what they send by mistake."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.simulator.conftest import DB, WEB, DirectClient, PlainClient
from vprotect_simulator.api import Api
from vprotect_simulator.server import SimulatorServer


def test_a_body_may_come_in_chunks(client: PlainClient):
    wish = {"name": "in-chunks", "recipients": ["somebody@example.test"]}

    def pieces() -> Iterator[bytes]:
        for character in json.dumps(wish):
            yield character.encode()

    headers = {"Cookie": client.cookie, "Content-Type": "application/json"}
    client.connection.request("POST", "/api/mailing-lists", pieces(), headers, encode_chunked=True)
    response = client.connection.getresponse()
    assert (response.status, json.loads(response.read())["name"]) == (201, "in-chunks")
    assert client.call("GET", "/api/session").status == 204, "the connection goes on behind the last chunk"


def test_a_head_is_a_get_without_its_body(client: PlainClient):
    answers = [client.call(method, "/api/virtual-machines?page=0&size=2") for method in ("GET", "HEAD")]
    assert answers[0].headers["Content-Length"] == answers[1].headers["Content-Length"]
    assert (answers[1].status, answers[1].headers["X-Total-Count"], answers[1].raw) == (200, "8", b"")
    assert client.call("GET", "/api/session").status == 204


@pytest.mark.parametrize("others", ['view={"page": [1, 2]}', "=;;,", 'name="quoted; text"'])
def test_cookies_of_other_servers_do_not_hide_the_session(others: str, client: PlainClient):
    assert client.call("GET", "/api/session", Cookie=f"{others}; {client.cookie}").status == 204


@pytest.mark.parametrize(
    "head",
    [
        "BREW /api/nodes HTTP/1.1",
        "GET /api/nodes HTTP/9.9",
        "POST /api/tasks/export HTTP/1.1\r\nContent-Length: -1",
        "POST /api/tasks/export HTTP/1.1\r\nContent-Length: 999999999999",
        "POST /api/tasks/export HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nno number",
        f"GET /api/nodes?{'x' * 70_000} HTTP/1.1",
    ],
)
def test_what_is_no_call_is_told_in_json(head: str, client: PlainClient):
    client.connection.connect()
    client.connection.sock.sendall(f"{head}\r\n\r\n".encode())
    answer = b""
    while piece := client.connection.sock.recv(65_536):
        answer += piece
    client.connection.close()
    start, _gap, body = answer.partition(b"\r\n\r\n")
    assert start.startswith(b"HTTP/1.1 ") and b"Content-Type: application/json" in start
    assert json.loads(body)["message"]


def test_a_body_that_is_too_deep_is_no_json(client: PlainClient):
    answer = client.call("POST", "/api/schedules", raw=b"[" * 100_000 + b"]" * 100_000)
    assert (answer.status, answer.data) == (400, {"message": "The body is not JSON"})
    assert "Connection" not in answer.headers, "where it ended is known: the connection goes on"


def test_a_mistake_of_ours_is_an_answer_too(client: PlainClient, monkeypatch: pytest.MonkeyPatch):
    def stumble(self: Api, call: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Api, "answer", stumble)
    answer = client.call("GET", "/api/nodes")
    assert (answer.status, answer.data) == (500, {"message": "Internal error"})


# ── Wrong values ─────────────────────────────────────────────────────────────


@pytest.mark.odd_requests
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tasks/export", {"protectedEntities": [{"guid": WEB}], "backupType": {"name": "FULL"}}),
        ("/tasks/export", {"protectedEntities": [None], "backupType": {"name": "FULL"}}),
        ("/tasks/export", {"protectedEntities": [{"guid": WEB}], "protectedEntityType": ["VM"]}),
        ("/tasks/delete", {}),
        ("/tasks/unmount", {}),
        ("/tasks/restore-and-import", {"restoreClusterId": ["nova"]}),
        ("/tasks/restore-and-import", {"restoredPeName": 5}),
        ("/schedules", {"name": "x", "type": "VM_BACKUP", "backupType": "FULL", "executionType": "TIME", "hour": 1e30}),
        ("/chargeback-reporting/transfer-size/vm", {"from": "yesterday"}),
    ],
)
def test_what_is_missing_or_of_another_type_is_refused(path: str, body: dict[str, object], direct: DirectClient):
    if path.endswith("import"):
        good = direct.get(f"/backups?protected-entity={WEB}&status=SUCCESS")[-1]
        target = direct.get(f"/hypervisor-managers?backup-to-be-restored={good['guid']}")[0]
        body = {"backup": good, "hypervisorManager": target, "restoreProject": "aurora-books", **body}
    reply = direct.call("POST", path, body)
    assert reply.status == 400 and reply.data["message"]


def test_a_member_without_a_value_is_like_one_that_is_not_sent(direct: DirectClient):
    nothing = dict.fromkeys(("priority", "retryCount", "windowStart", "windowEnd", "tenantId"))
    task = direct.export(WEB, **nothing)
    assert (task["priority"], task["retryCount"]) == (50, 0)


@pytest.mark.odd_requests
@pytest.mark.parametrize("number", ["9" * 18, "9" * 5000, "²", "-1", "x"])
def test_a_parameter_that_is_no_sensible_number_harms_nobody(number: str, direct: DirectClient):
    for path in (
        "virtual-machines?size=3&page",
        "backups?from",
        "backups?min-size",
        "dashboard/vm-backup-size-stats?to",
    ):
        assert direct.call("GET", f"/{path}={number}").status == 200


def test_a_window_that_had_passed_fails_its_task_now(direct: DirectClient):
    window = {"windowStart": 1_600_000_000_000, "windowEnd": 1_600_000_001_000}
    task = direct.export(DB, **window)
    seen = direct.get(f"/tasks/{task['guid']}")
    assert seen["state"]["name"] == "FAILED" and seen["finishTime"] > 1_700_000_000_000


def test_a_refused_login_is_told_with_whence_it_came(simulator: SimulatorServer):
    client = PlainClient(simulator)
    client.log_in("wrong")
    info = client.log_in().data
    assert info["lastFailedLogin"] and socket.inet_aton(info["lastFailedLoginIp"])


def test_a_policy_is_found_by_the_project_that_it_was_made_for(current: DirectClient):
    project = current.get("/projects")[0]
    policy = current.get("/policies/vm-backup/" + current.get("/policies/vm-backup")[0]["guid"])
    rules = [{**rule, "guid": None, "schedules": []} for rule in policy["rules"]]
    body = {**policy, "name": "made for a project", "vms": [], "rules": rules}
    made = current.post(f"/policies/vm-backup?project-uuid={project['uuid']}", body)
    assert made["guid"] in {row["guid"] for row in current.get(f"/policies/vm-backup?project={project['guid']}")}
