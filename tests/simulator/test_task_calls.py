"""Tasks beside backups and restores: filters, clearing, deleting, syncing, operations as a whole (API reference, 6)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.conftest import DB, GONE, NEW, PRIMARY, WEB, DirectClient
from vprotect_simulator.names import guid_of

OPENSTACK, RHV = guid_of("manager/OPENSTACK"), guid_of("manager/RHV")
TAPE = guid_of("destination/archive-tape")


def names(rows: list[dict[str, Any]], member: str = "name") -> list[Any]:
    return [row[member]["name"] if isinstance(row[member], dict) else row[member] for row in rows]


def restore(direct: DirectClient, **members: Any) -> Any:
    backup = direct.newest_backup(WEB)
    place = {"backup": backup["guid"]}
    if direct.state.dialect == "current":
        place = {"backup": {"guid": backup["guid"]}, "backupLocation": backup["backupLocations"][0]}
    usual = {"hypervisorManager": {"guid": OPENSTACK}, "restoreClusterId": "nova", "restoreProject": "aurora-books"}
    body = {**place, **usual, "restoredPeName": "web-01-again", **members}
    return direct.call("POST", "/tasks/restore-and-import", body)


# ── Finding ──────────────────────────────────────────────────────────────────


def test_every_filter_of_tasks_finds_its_own(direct: DirectClient):
    made, _other = direct.export(WEB), direct.export(DB)
    direct.advance(60)
    entity = "protectedEntity" if direct.state.dialect == "classic" else "protected-entity"
    node = guid_of("node/node1")
    for query, count in {
        f"{entity}={WEB}": 1,
        f"backup={made['backup']['guid']}": 1,
        "states=RUNNING&states=QUEUED": 2,
        "state=RUNNING": 2,
        "state=FAILED": 0,
        "type=EXPORT": 2,
        f"backup-destination={PRIMARY}": 2,
        f"hypervisor-manager={OPENSTACK}": 2,
        f"node={node}": 2,
        f"workflow-execution={made['workflowExecution']['guid']}": 1,
        "parent-task=none": 0,
        "mounted-backup-assigned=true": 0,
    }.items():
        assert len(direct.get(f"/tasks?{query}")) == count, query


def test_a_node_that_serves_the_platform_takes_the_task(direct: DirectClient):
    direct.export(WEB), direct.export(guid_of("vm/bare-01"))
    direct.advance(60)
    assert {task["protectedEntity"]["name"]: task["node"]["name"] for task in direct.get("/tasks")} == {
        "web-01": "node1",
        "bare-01": "node2",
    }


# ── The destination of a backup ──────────────────────────────────────────────


def test_the_rule_says_where_a_backup_goes(current: DirectClient):
    rule = current.get(f"/rules/vm-backup/{guid_of('rule/weekly-full')}")
    rule["ruleBackupDestinations"][0]["backupDestination"] = {"guid": TAPE}
    current.put(f"/rules/vm-backup/{rule['guid']}", rule)
    bare = guid_of("vm/bare-01")
    both = [{"guid": rule["guid"]}, {"guid": guid_of("rule/daily")}]
    task = current.export(bare, rules=both, protectedEntityType="VM", **{"async": True})
    assert task["backupDestination"]["name"] == "archive-tape"
    assert current.get(f"/backups/{task['backup']['guid']}")["backupRule"]["guid"] == rule["guid"]


def test_a_second_destination_makes_a_second_copy(current: DirectClient):
    rule = current.get(f"/rules/vm-backup/{guid_of('rule/daily')}")
    second = {**rule["ruleBackupDestinations"][0], "roleType": {"name": "SECONDARY"}}
    second["backupDestination"] = {"guid": guid_of("destination/offsite-s3")}
    rule["ruleBackupDestinations"].append(second)
    current.put(f"/rules/vm-backup/{rule['guid']}", rule)
    task = current.export(WEB)
    current.advance(600)
    copies = current.get(f"/backups/{task['backup']['guid']}")["backupLocations"]
    assert names(copies, "roleType") == ["PRIMARY", "SECONDARY"]


def test_destinations_that_are_switched_off_are_shown_on_demand(current: DirectClient):
    address = f"/rules/vm-backup/{guid_of('rule/daily')}"
    rule = current.get(address)
    off = {**rule["ruleBackupDestinations"][0], "roleType": "SECONDARY", "active": False}
    rule["ruleBackupDestinations"].append(off)
    current.put(address, rule)
    assert len(current.get(address)["ruleBackupDestinations"]) == 1
    assert len(current.get(f"{address}?only-active-destinations=false")["ruleBackupDestinations"]) == 2


# ── Restoring ────────────────────────────────────────────────────────────────


def test_a_restore_names_the_machine_that_it_makes(direct: DirectClient):
    made = restore(direct).data
    assert made["type"]["name"] == "RESTORE" and made["dstProtectedEntity"]["name"] == "web-01-again"
    direct.advance(200), direct.get("/tasks"), direct.advance(300), direct.get("/tasks"), direct.advance(60)
    new = direct.get(f"/virtual-machines/{made['dstProtectedEntity']['guid']}")
    assert new["hvmType"]["name"] == "OPENSTACK" and new["project"]["name"] == "aurora-books"
    assert len(direct.get(f"/virtual-machine-disks?virtual-machine={new['guid']}")) == 1


def test_overwriting_takes_every_machine_of_that_name_in_the_project(direct: DirectClient):
    restore(direct, restoredPeName="new-01", overwrite=True)
    for _ in range(4):
        direct.advance(200), direct.get("/tasks")
    old, new = direct.get("/virtual-machines?nameLike=new-01")
    assert (old["guid"], old["present"], new["present"]) == (NEW, False, True)


@pytest.mark.odd_requests
def test_a_restore_reads_the_copy_that_is_named(current: DirectClient):
    backup = current.newest_backup(WEB)
    copy = {**backup["backupLocations"][0], "guid": "unknown"}
    assert restore(current, backupLocation=copy).status == 404
    assert restore(current, backup=None).status == 201
    stored = current.state.backups[backup["guid"]]["backupLocations"][0]
    stored["status"] = {"name": "REMOVED", "description": "Removed"}
    assert restore(current, backupLocation={"guid": stored["guid"]}).status == 400


def test_current_servers_take_the_project_from_the_call(current: DirectClient):
    assert restore(current, restoreProject=None).status == 201
    assert current.get("/restore-jobs")[0]["restoreProjectName"] == "aurora-books"


@pytest.mark.parametrize(
    "members",
    [
        {"taskFiles": [{"storageId": guid_of("storage/OPENSTACK/ssd-pool")}]},
        {"restoreVmFlavor": {"guid": "unknown"}},
        {"restoredNetworks": [{"network": {"guid": guid_of("network/RHV/ovirtmgmt")}}]},
        {"restoredDiskAllocationFormat": {"name": "THICK"}},
        {"overwrite": "yes"},
    ],
)
def test_a_restore_to_what_is_not_there_is_refused(members: dict[str, Any], direct: DirectClient):
    assert restore(direct, **members).status == 400
    assert direct.get("/restore-jobs") == []


def test_a_restore_may_choose_everything(direct: DirectClient):
    storage = guid_of("uuid/storage/OPENSTACK/ssd-pool")
    network = {"guid": guid_of("network/OPENSTACK/private")}
    answer = restore(
        direct,
        taskFiles=[{"storageId": storage, "diskName": "disk-0", "excludedFromRestore": False}],
        restoreVmFlavor={"guid": guid_of("flavor/m1.large")},
        restoredNetworks=[{"network": network, "networkInterfaceCard": {"guid": "any"}}],
        restoreToOriginalVolumeType=False,
        powerOnAfterRestore=True,
        restoredDiskAllocationFormat={"name": "SPARSE"},
    )
    assert answer.status == 201 and answer.data["powerOnAfterRestore"] is True
    [job] = direct.get("/restore-jobs")
    assert job["restoredDiskAllocationFormat"]["name"] == "SPARSE" and job["backupType"]["name"] in {
        "FULL",
        "INCREMENTAL",
    }


def test_a_restore_to_a_node_is_one_task(direct: DirectClient):
    backup = {"guid": direct.newest_backup(WEB)["guid"]}
    body = {"backup": backup, "node": {"guid": guid_of("node/node1")}, "restorePath": "/vprotect_data"}
    direct.post("/tasks/restore", body)
    assert direct.call("POST", "/tasks/restore", {**body, "node": {"guid": "unknown"}}).status == 404
    direct.advance(600), direct.get("/tasks"), direct.advance(600)
    assert names(direct.get("/tasks"), "type") == ["RESTORE"]
    [job] = direct.get(f"/restore-jobs?protected-entity={WEB}&from=0")
    assert (job["status"]["name"], job["restorePath"]) == ("SUCCESS", "/vprotect_data")
    assert direct.get(f"/restore-jobs?to={job['restoreTime'] - 1}") == []


# ── Clearing away ────────────────────────────────────────────────────────────


def test_an_administrator_clears_the_console(direct: DirectClient):
    direct.export(WEB)
    direct.advance(600), direct.get("/tasks")
    direct.export(DB)
    direct.delete("/tasks/all-finished")
    assert names(direct.get("/tasks"), "state") == ["QUEUED"]
    direct.advance(30)
    direct.delete("/tasks/all-finished-and-queued")
    assert names(direct.get("/tasks"), "state") == ["RUNNING"]
    direct.delete("/tasks/all-running")
    assert direct.get("/tasks") == []
    direct.advance(30)
    assert direct.get(f"/backups?protected-entity={DB}&orderBy=backupTime")[-1]["status"]["name"] == "FAILED"


def test_a_machine_without_backups_is_deleted_at_once(direct: DirectClient):
    assert direct.post("/tasks/delete", {"value": NEW}) == []
    assert direct.call("GET", f"/virtual-machines/{NEW}").status == 404


def test_a_machine_is_deleted_with_its_backups(direct: DirectClient):
    [task] = direct.post("/tasks/delete", {"value": GONE})
    assert task["type"]["name"] == "DELETE" and len(direct.get(f"/backups?protected-entity={GONE}")) > 1
    direct.advance(60)
    assert direct.get(f"/backups?protected-entity={GONE}") == []
    assert direct.call("GET", f"/virtual-machines/{GONE}").status == 404


def test_a_sync_finds_what_was_imported(direct: DirectClient):
    made = restore(direct).data
    for _ in range(2):
        direct.advance(200), direct.get("/tasks")
    direct.advance(10)
    [task] = direct.post("/tasks/inventory-sync", {"hypervisorManagers": [{"guid": OPENSTACK}]})
    kind = {"classic": "INDEX", "current": "INVENTORY_SYNC"}[direct.state.dialect]
    assert task["type"]["name"] == kind and "protectedEntity" not in task
    assert direct.call("POST", "/tasks/inventory-sync", {}).status == 400
    direct.advance(40)
    assert direct.get(f"/tasks/{task['guid']}")["state"]["name"] == "FINISHED"
    assert direct.call("GET", f"/virtual-machines/{made['dstProtectedEntity']['guid']}").status == 200


# ── Operations as a whole ────────────────────────────────────────────────────


def test_an_operation_is_one_row_from_its_first_task_to_its_last(direct: DirectClient):
    direct.export(WEB)
    seen = []
    for seconds in (60, 140, 50, 200):
        direct.advance(seconds)
        [row] = direct.get("/workflow-executions?page=0&size=10&orderBy=instance&direction=desc")
        seen.append((row["state"]["name"], row["currentStep"]["name"], row["averageProgress"]))
    assert [(state, step) for state, step, _progress in seen] == [
        ("RUNNING", "EXPORT"),
        ("RUNNING", "EXPORT"),
        ("RUNNING", "STORE"),
        ("FINISHED", "STORE"),
    ]
    progress = [percent for _state, _step, percent in seen]
    assert progress == sorted(progress) and progress[1] == 50 and progress[-1] == 100
    assert names(row["backupDestinations"]) == ["primary-fs"] and row["finishTime"] > row["startTime"]
    direct.delete(f"/workflow-executions/{row['guid']}")
    assert direct.get("/tasks") == []


def test_an_operation_that_failed_says_so(direct: DirectClient):
    direct.state.vms[WEB]["_behaviour"] = {"EXPORT": "fail"}
    direct.export(WEB)
    direct.advance(60)
    assert names(direct.get("/workflow-executions"), "state") == ["FAILED"]


def test_a_path_of_the_other_generation_is_not_there(classic: DirectClient, current: DirectClient):
    body = {"protectedEntities": [WEB], "rule": guid_of("snapshot-rule/snapshots-of-a-week")}
    for client, status in ((classic, 201), (current, 405)):
        assert client.call("POST", "/tasks/snapshot", body).status == status
        assert client.call("POST", "/tasks/vm-snapshot", body).status == 201
    assert current.call("GET", "/policies/snapshot").status == 404
