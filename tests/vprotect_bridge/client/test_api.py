"""Requests as the reference wants them, answers read in every shape it allows."""

import json

import pytest

from tests.vprotect_bridge.client.conftest import ScriptedServer, answer_with
from vprotect_bridge.client.api import ExportRequest, VProtect
from vprotect_bridge.client.errors import BadAnswer
from vprotect_bridge.client.read import Malformed
from vprotect_bridge.client.transport import Transport
from vprotect_bridge.client.types import Backup, Reference, Task, VirtualMachine

TASK = {"guid": "task-1", "type": {"name": "EXPORT"}, "protectedEntity": {"guid": "vm-1"}}
REQUEST = ExportRequest("vm-1", "FULL", "store-1", 1000, 2000, 50)


@pytest.fixture
def api(transport: Transport) -> VProtect:
    return VProtect(transport)


@pytest.mark.parametrize("answer", [[TASK], TASK, {"successful": [], "unsuccessful": [], "tasks": [TASK]}])
def test_the_task_is_found_in_every_shape_of_answer(answer, server: ScriptedServer, api: VProtect):
    server.script = answer_with(json.dumps(answer).encode(), "201 Created")
    assert api.export(REQUEST).task.guid == "task-1"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        json.dumps([TASK, TASK]).encode(),
        json.dumps({**TASK, "guid": "../tasks"}).encode(),
        json.dumps({**TASK, "protectedEntity": {"guid": "vm-2"}}).encode(),
    ],
)
def test_an_answer_that_does_not_name_our_one_task_is_bad(answer: bytes, server: ScriptedServer, api: VProtect):
    server.script = answer_with(answer, "201 Created")
    with pytest.raises(BadAnswer):
        api.export(REQUEST)


def test_classic_asks_for_a_destination_and_a_window(server: ScriptedServer, api: VProtect):
    server.script = answer_with(json.dumps(TASK).encode())
    api.export(REQUEST)
    assert json.loads(server.requests[-1].partition(b"\r\n\r\n")[2]) == {
        "protectedEntities": [{"guid": "vm-1"}],
        "backupType": {"name": "FULL"},
        "backupDestination": {"guid": "store-1"},
        "priority": 50,
        "windowStart": 1000,
        "windowEnd": 2000,
    }


def test_tasks_are_filtered_again_when_the_server_ignores_the_filter(server: ScriptedServer, api: VProtect):
    other = {**TASK, "guid": "task-2", "protectedEntity": {"guid": "vm-2"}}
    server.script = answer_with(json.dumps([TASK, other]).encode(), headers="X-Total-Count: 2\r\n")
    assert [task.guid for task in api.list_tasks(protected_entity="vm-1").items] == ["task-1"]
    assert b"protectedEntity=vm-1&protected-entity=vm-1" in server.requests[-1]


def test_a_server_with_its_own_page_size_and_no_total_is_read_to_the_end(server: ScriptedServer, api: VProtect):
    def pages(secure, request):
        page = int(request.split(b"page=")[1].split(b"&")[0])
        rows = [{"guid": f"vm-{n}"} for n in range(45)][page * 20 : page * 20 + 20]
        answer_with(json.dumps(rows).encode())(secure, request)

    server.script = pages
    listing = api.list_virtual_machines()
    assert (len(listing.items), listing.complete) == (45, True)


def test_an_empty_answer_does_not_prove_that_all_is_gone(server: ScriptedServer, api: VProtect):
    server.script = answer_with(b"")
    assert not api.list_virtual_machines().complete


def test_fewer_rows_than_the_total_are_not_complete(server: ScriptedServer, api: VProtect):
    server.script = answer_with(b'[{"guid": "vm-1"}]', headers="X-Total-Count: 2\r\n")
    assert not api.list_virtual_machines().complete


def test_a_malformed_row_is_dropped_and_counted(server: ScriptedServer, api: VProtect):
    server.script = answer_with(b'[{"guid": "vm-1"}, {"name": "no guid"}, 7]', headers="X-Total-Count: 3\r\n")
    listing = api.list_virtual_machines()
    assert ([vm.guid for vm in listing.items], listing.dropped) == (["vm-1"], 2)


@pytest.mark.parametrize("guid", ["../tasks/all-finished", "a/b", "%2e%2e", "", "a" * 65, "a?x="])
def test_no_path_is_built_from_what_is_no_guid(guid: str, server: ScriptedServer, api: VProtect):
    with pytest.raises(ValueError, match="not a GUID"):
        api.get_task(guid)
    assert server.requests == []


def test_absent_members_are_none_not_an_error():
    vm = VirtualMachine.from_json({"guid": "a"})
    assert (vm.name, vm.backup_up_to_date, vm.last_backup, vm.project) == ("", None, None, None)


def test_enums_and_references_may_be_bare_strings():
    task = Task.from_json({"guid": "a", "state": "RUNNING", "type": "EXPORT", "backup": "b-1"})
    assert (task.state, task.backup) == ("RUNNING", Reference("b-1"))


def test_nonsense_in_a_row_is_read_as_absent():
    backup = Backup.from_json({"guid": "a", "size": "big", "snapshotTime": 1e30, "backupLocations": "none"})
    assert (backup.size, backup.snapshot_time, backup.copies) == (0, None, ())


@pytest.mark.parametrize("row", [None, [], {"guid": 7}, {"guid": "a b"}, {"guid": None}])
def test_a_row_without_a_usable_guid_is_malformed(row):
    with pytest.raises(Malformed):
        VirtualMachine.from_json(row)


def test_a_server_without_paging_is_asked_twice_also_with_a_row_without_guid(server: ScriptedServer, api: VProtect):
    server.script = answer_with(json.dumps([{"guid": "store-1"}, {"name": "no guid"}]).encode())
    listing = api.list_destinations()
    assert (len(listing.items), listing.complete, listing.dropped) == (1, True, 1)
    assert len(server.requests) - server.logins() == 2
