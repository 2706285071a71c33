"""The simulator's answers, against chapters 3–8, 13, 14 and the duties of chapter 21 of the API reference."""

import pytest

from tests.simulator.conftest import DB, GONE, PRIMARY, WEB, PlainClient, as_if_nobody_had_called
from vprotect_simulator.landscape import PROJECT_UUIDS
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

AURORA = PROJECT_UUIDS["aurora-books"]


def test_nothing_is_told_without_a_login(simulator: SimulatorServer):
    for path in ("/api/session", "/api/virtual-machines", "/api/nothing"):
        assert PlainClient(simulator).call("GET", path).status == 401


def test_a_login_opens_a_session(client: PlainClient):
    assert client.call("GET", "/api/session").status == 204


def test_a_session_ends_on_demand_and_by_idleness(simulator: SimulatorServer, client: PlainClient):
    simulator.control.expire_sessions()
    assert client.call("GET", "/api/session").status == 401
    client.log_in()
    simulator.control.advance(1799)
    assert client.call("GET", "/api/session").status == 204
    simulator.control.advance(1801)
    assert client.call("GET", "/api/session").status == 401


def test_an_account_is_locked_by_wrong_passwords(simulator: SimulatorServer):
    simulator.control.change_settings(lock_account_after=2)
    client = PlainClient(simulator)
    assert [client.log_in(password).status for password in ("wrong", "wrong")] == [401, 401]
    assert client.log_in().status == 401


def test_members_without_a_value_are_left_out(client: PlainClient):
    by_name = {row["name"]: row for row in client.get("/virtual-machines")}
    assert "vmBackupPolicy" not in by_name["db_01 übergröße"]
    assert "hypervisor" not in by_name["gone-01"] and by_name["gone-01"]["present"] is False
    assert not {"tenantId", "project", "hvmType"} & set(by_name["bare-01"])
    assert not [name for row in by_name.values() for name in row if name.startswith("_")]


def test_rows_have_less_than_details(client: PlainClient):
    row = next(row for row in client.get("/virtual-machines") if row["guid"] == WEB)
    assert "sshHost" not in row and client.get(f"/virtual-machines/{WEB}")["sshHost"]


def test_lists_are_paged_with_a_total(client: PlainClient):
    answer = client.call("GET", "/api/virtual-machines?page=1&size=3&orderBy=name")
    names = sorted(row["name"] for row in client.get("/virtual-machines"))
    assert [row["name"] for row in answer.data] == names[3:6]
    assert answer.headers["X-Total-Count"] == "8"


@pytest.mark.parametrize(("query", "count"), [("tenantid", 4), ("tenantId", 8), ("project-uuid", 8), ("tenant-id", 8)])
def test_a_misspelt_tenant_filter_returns_everybodys(query: str, count: int, client: PlainClient):
    assert len(client.get("/virtual-machines", **{query: AURORA})) == count


def test_a_tenant_filter_with_an_unknown_value_finds_nothing(client: PlainClient):
    assert client.get("/virtual-machines", tenantid="nobody") == []


def test_the_wrong_spelling_of_the_machine_returns_all_tasks(client: PlainClient):
    client.export(WEB), client.export(DB)
    assert len(client.get("/tasks", protectedEntity=WEB)) == 1
    assert len(client.get("/tasks", **{"protected-entity": WEB})) == 2
    assert len(client.get("/backups", **{"protected-entity": DB})) > 1


@pytest.mark.parametrize(
    "entity", [WEB, {"guid": WEB}, {"guid": WEB, "name": "web-01"}, {"guid": WEB, "present": True, "tags": []}]
)
def test_references_are_read_in_every_shape(entity: object, client: PlainClient):
    assert client.export(WEB, protectedEntities=[entity], backupDestination=PRIMARY, backupType="FULL").status == 201


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"protectedEntities": []}, 400),
        ({"protectedEntities": [{"guid": "unknown"}]}, 404),
        ({"backupType": {"name": "HALF"}}, 400),
        ({"backupDestination": {"guid": "unknown"}}, 404),
        ({"priority": 101}, 400),
        ({"windowStart": 2000, "windowEnd": 1000}, 400),
        ({"windowStart": "tomorrow"}, 400),
    ],
)
def test_a_bad_wish_is_refused_and_makes_nothing(members: dict, status: int, client: PlainClient):
    answer = client.export(WEB, **members)
    assert (answer.status, client.get("/tasks")) == (status, [])
    assert answer.data["message"]


@pytest.mark.parametrize("raw", [b"{", b"[1]", b'"text"', b"\xff"])
def test_nonsense_is_refused(raw: bytes, client: PlainClient):
    assert client.call("POST", "/api/tasks/export", raw=raw).status == 400


def test_unknown_things_are_not_found(client: PlainClient):
    for path in ("/tasks/none", "/backups/none", "/virtual-machines/none", "/nothing"):
        assert client.call("GET", f"/api{path}").status == 404


@pytest.mark.parametrize(("shape", "kind"), [("array", list), ("object", dict), ("batch", dict), ("empty", None)])
def test_an_export_answers_in_four_shapes(
    shape: str, kind: type | None, simulator: SimulatorServer, client: PlainClient
):
    simulator.control.change_settings(answer_shape=shape)
    answer = client.export(WEB)
    assert answer.status == 201
    assert isinstance(answer.data, kind) if kind else answer.text == ""
    assert len(client.get("/tasks")) == 1


@pytest.mark.parametrize(
    ("truncation", "start", "end"),
    [("none", 61_234, 9_999_999), ("s", 61_000, 9_999_000), ("min", 60_000, 9_960_000), ("absent", None, None)],
)
def test_windows_are_kept_as_exactly_as_set(
    truncation: str, start: int | None, end: int | None, simulator: SimulatorServer, client: PlainClient
):
    simulator.control.change_settings(marker_truncation=truncation)
    day = 10**9 // 60_000 * 60_000 * 10**4
    task = client.export(WEB, windowStart=day + 61_234, windowEnd=day + 9_999_999).data[0]
    expected = [moment if moment is None else day + moment for moment in (start, end)]
    assert [task.get("windowStart"), task.get("windowEnd")] == expected


def test_a_destination_is_usable_by_the_nodes_of_a_platform(client: PlainClient):
    bare = guid_of("vm/bare-01")
    usable = client.call("POST", "/api/backup-destinations/usable-for-vms", [{"guid": bare}]).data
    assert [row["name"] for row in usable] == ["primary-fs", "archive-tape"]
    assert client.call("POST", "/api/backup-destinations/usable-for-vms", {"guid": bare}).status == 400


def test_a_filter_may_be_ignored_and_totals_left_out(simulator: SimulatorServer, client: PlainClient):
    simulator.control.change_settings(ignore_filters=True, default_page_size=2, omit_total_count=True)
    answer = client.call("GET", f"/api/virtual-machines?tenantid={AURORA}&page=3&size=500")
    assert (len(answer.data), answer.headers.get("X-Total-Count")) == (2, None)


def test_the_current_dialect_wants_rules(simulator_of_the_run: SimulatorServer):
    client = PlainClient(as_if_nobody_had_called(simulator_of_the_run, "current"))
    client.log_in()
    assert client.export(WEB).status == 400
    assert client.export(WEB, rules=[{"guid": "unknown"}]).status == 404
    assert client.export(WEB, rules=[{"guid": guid_of("rule/daily")}]).status == 201
    assert len(client.get("/virtual-machines", **{"project-uuid": AURORA})) == 4


def test_a_machine_that_is_gone_fails_or_is_refused(simulator: SimulatorServer, client: PlainClient):
    assert client.export(GONE).status == 201
    simulator.control.advance(600)
    assert client.task_of(GONE, "EXPORT")["state"]["name"] == "FAILED"
    simulator.control.change_settings(absent_machine="refuse")
    assert client.export(GONE).status == 400
