"""Clients that others wrote, call by call as the API reference quotes them: what each reads must be there."""

from __future__ import annotations

from typing import Any

from tests.simulator.conftest import DB, PASSWORD, WEB, DirectClient
from vprotect_simulator.landscape import PROJECT_UUIDS
from vprotect_simulator.names import guid_of

AURORA = PROJECT_UUIDS["aurora-books"]
OPENSTACK = guid_of("manager/OPENSTACK")


def test_the_horizon_plugin_of_2020(classic: DirectClient):
    """3.8 and 3.9: bare strings for references and enums, the tenant spelt with a hyphen, no windows."""
    classic.post("/session/login", {"login": "portal-svc", "password": PASSWORD})
    vms = classic.get("/virtual-machines?hypervisor-manager-type=OPENSTACK")
    assert {vm["hvmType"]["name"] for vm in vms} == {"OPENSTACK"}
    [vm] = classic.get(f"/virtual-machines?uuid={next(vm['uuid'] for vm in vms if vm['guid'] == DB)}")
    destinations = classic.post("/backup-destinations/usable-for-vms", [{"guid": vm["guid"], "name": ""}], status=200)

    schedule = {
        **{"name": "plugin-nightly", "type": "VM_BACKUP", "backupType": "FULL", "executionType": "TIME"},
        **{"active": True, "hour": -3_600_000, "startWindowLength": 21_600_000, "daysOfWeek": ["MONDAY"]},
        **{"months": [], "dayOfWeekOccurrences": [], "tenantId": AURORA},
    }
    made_schedule = classic.post("/schedules", schedule)
    policy = {"name": "plugin", "autoRemoveNonPresent": True, "autoAssignSettings": {"mode": "DISABLED"}}
    made_policy = classic.post("/policies/vm-backup", {**policy, "vms": [vm["guid"]], "tenantId": AURORA})
    rule = {
        "name": "Default",
        "policy": made_policy["guid"],
        "schedules": [{"guid": made_schedule["guid"], "name": ""}],
    }
    classic.post("/rules/vm-backup", {**rule, "backupDestinations": [{"guid": destinations[0]["guid"], "name": ""}]})
    assert [row["name"] for row in classic.get(f"/policies/vm-backup?tenant-id={AURORA}")] == ["plugin"]
    assert [row["name"] for row in classic.get(f"/schedules?tenant-id={AURORA}")] == ["plugin-nightly"]
    assert len(classic.get(f"/rules/vm-backup?rule={made_policy['guid']}")) > 1, "its filter is none"
    changed = classic.put(f"/schedules/{made_schedule['guid']}", {**schedule, "name": "plugin-weekly"})
    assert changed["name"] == "plugin-weekly"

    wish = {"protectedEntities": [vm["guid"]], "backupType": "FULL", "backupDestination": destinations[0]["guid"]}
    task = classic.post("/tasks/export", {**wish, "tenantId": AURORA})[0]
    assert task["protectedEntity"]["name"] == vm["name"]
    for _ in range(3):
        classic.advance(300), classic.get(f"/tasks?protectedEntity={vm['guid']}")
    backup = max(classic.get(f"/backups?protected-entity={vm['guid']}"), key=lambda row: row["backupTime"])
    assert backup["snapshotTime"] / 1000 > 0
    restored = classic.post(
        "/tasks/restore-and-import",
        {
            **{
                "backup": backup["guid"],
                "hypervisorManager": OPENSTACK,
                "restoreClusterId": "nova",
                "overwrite": False,
            },
            **{"restoreProject": "aurora-books", "dstProtectedEntity": {"guid": vm["guid"], "type": "VM"}},
        },
    )
    assert restored["dstProtectedEntity"]["guid"] == vm["guid"]


def test_the_horizon_plugins_forms(classic: DirectClient):
    """They send fields as their form library has them: moments of 1970 as floats, an interval nobody chose, ""."""
    schedule = {
        **{"name": "form", "type": {"name": "VM_BACKUP"}, "executionType": "TIME", "backupType": "INCREMENTAL"},
        **{"active": True, "hour": 7_200_000.0, "startWindowLength": 18_000_000, "daysOfWeek": ["MONDAY", "FRIDAY"]},
        **{"interval": {"startHour": -3_600_000.0, "endHour": 82_799_000.0, "frequency": 7_200_000}, "rules": []},
        **{"dayOfWeekOccurrences": [], "months": [], "tenantId": AURORA},
    }
    made = classic.post("/schedules", schedule)
    assert made["hour"] == 7_200_000 and "interval" not in made
    backup = classic.newest_backup(WEB)["guid"]
    [manager] = classic.get(f"/hypervisor-managers/?backup-to-be-restored={backup}")
    wish = {"backup": backup, "dstProtectedEntity": {"guid": WEB, "type": "VM"}, "restoredPeName": ""}
    unchosen = {"restoreStorageId": "", "restoreClusterId": "", "restoreProject": "aurora-books", "tenantId": AURORA}
    task = classic.post(
        "/tasks/restore-and-import", {**wish, **unchosen, "hypervisorManager": {"guid": manager["guid"]}}
    )
    assert task["dstProtectedEntity"]["name"] == "web-01"


def test_the_react_ui(current: DirectClient):
    """5 to 7.x, behind a proxy that appends the project to every call: whole rows where references are expected."""
    scope = f"project-uuid={AURORA}"
    vm_reply = current.call("GET", f"/virtual-machines?page=0&size=10&orderBy=name&direction=asc&{scope}")
    assert vm_reply.headers["X-Total-Count"] == "4"
    vm = next(row for row in vm_reply.data if row["guid"] == WEB)
    assert vm["lastSuccessfulBackupSize"] > 0, "or it does not offer to restore"
    schedules = current.get(f"/schedules?type=VM_BACKUP&{scope}")
    destinations = current.post(f"/backup-destinations/usable-for-vms?{scope}", [vm], status=200)
    interval = {
        **{"name": "ui-interval", "type": {"name": "VM_BACKUP"}, "backupType": {"name": "INCREMENTAL"}, "active": True},
        **{"executionType": {"name": "INTERVAL"}, "hour": None, "startWindowLength": None, "rules": []},
        **{"interval": {"startHour": 0, "endHour": 79_140_000, "frequency": 7_200_000}},
        **{"daysOfWeek": [{"name": "MONDAY", "description": "Monday"}], "months": [], "dayOfWeekOccurrences": []},
    }
    schedules.append(current.post(f"/schedules?{scope}", interval))
    policy = {
        **{"name": "ui-policy", "priority": 50, "active": True, "backupRetryCount": 0, "autoRemoveNonPresent": False},
        **{"autoAssignSettings": {"mode": {"name": "DISABLED"}, "includeTags": [], "hvClusters": []}},
        **{"executeAutoAssignmentAfterSavingPolicy": False, "dailyReportEnabled": False, "mailingList": None},
        **{"failRemainingBackupTasksExportThreshold": None, "disableCleanOldBackups": False, "scanFileSystem": False},
        **{"visibleForAllProjects": False, "quiesceBeforeSnapshot": False, "vms": [vm]},
        "rules": [{"name": "Default", "active": True, "position": 0, "schedules": schedules[-1:]}],
    }
    retention = {
        **{"retentionKeepLastNFull": 4, "retentionKeepFullNewerThan": 2_592_000_000},
        **{"retentionKeepLastNIncremental": 30, "retentionKeepIncrementalNewerThan": 2_592_000_000},
    }
    policy["rules"][0]["ruleBackupDestinations"] = [
        {
            **{"roleType": {"name": "PRIMARY"}, "active": True, "daysToKeepRetentionLock": 0},
            **{"backupDestination": destinations[0], "backupRetentionSettings": retention},
        }
    ]
    made = current.post(f"/policies/vm-backup?{scope}", policy)
    assert made["rules"][0]["schedules"][0]["name"] == "ui-interval"
    [row] = current.get(f"/policies/vm-backup?page=0&size=10&orderBy=name&showLoader=true&{scope}")
    assert row["autoAssignMode"]["name"] == "DISABLED" and "vms" not in row and "rules" not in row
    read = current.get(f"/policies/vm-backup/{made['guid']}")
    read["rules"].append({**read["rules"][0], "guid": None, "name": "Second", "position": 1, "schedules": []})
    assert len(current.put(f"/policies/vm-backup/{made['guid']}?{scope}", read)["rules"]) == 2

    assert current.post(f"/virtual-machines/incremental-not-possible?{scope}", {"entities": [vm]}, status=200) == []
    body = {"protectedEntities": [vm["guid"]]}
    [known] = current.post(f"/policies/vm-backup/list-by-entities?{scope}", body, status=200)
    wish = {
        **{"protectedEntities": [vm], "backupType": {"name": "FULL"}, "rules": known["rules"][:1], "priority": 50},
        **{"windowStart": current.state.clock.now_ms(), "retryCount": 0, "protectedEntityType": "VM", "async": True},
    }
    task = current.post(f"/tasks/export?{scope}", wish)[0]
    execution = current.call("GET", f"/workflow-executions?page=0&size=10&orderBy=state&direction=desc&{scope}")
    assert execution.headers["X-Total-Count"] == "1" and execution.data[0]["averageProgress"] == 0
    stop = {"state": {"name": "CANCELLED"}, "statusInfo": "Canceled by user"}
    assert current.put(f"/tasks/{task['guid']}/state", stop)["state"]["name"] == "CANCELLED"

    copy = current.get(f"/backup-locations?protected-entity={vm['guid']}&location-status=PRESENT&{scope}")[-1]
    assert current.get(f"/hypervisor-managers/?backup-to-be-restored={copy['backup']['guid']}")[0]["url"]
    files = current.get(
        f"/backup-files/detailed/for-restore?backup={copy['backup']['guid']}&with-modified-configs=true"
    )
    details = current.get(f"/backups/{copy['backup']['guid']}")
    storage = current.get(f"/hypervisor-storages?hypervisor-manager={OPENSTACK}")[0]
    assert storage["totalAvailableSpace"] > storage["totalUsedSpace"] and storage["clusters"][0]["name"] == "nova"
    restored = current.post(
        f"/tasks/restore-and-import?{scope}",
        {
            **{"backup": copy["backup"], "backupLocation": copy, "hypervisorManager": {"guid": OPENSTACK}},
            **{"restoreClusterId": "nova", "restoredPeName": "web-01-restored", "overwrite": False},
            **{"restoreToOriginalVolumeType": False, "restoreVmFlavor": vm["vmFlavor"]},
            "taskFiles": [
                {
                    **{"backupFile": {"guid": file["guid"]}, "originalDiskGuid": file["vmDisk"]["guid"]},
                    **{"diskName": file["path"].rpartition("/")[2], "storageId": storage["uuid"], "path": file["path"]},
                }
                for file in files
            ],
            "restoredNetworks": [
                {"network": card["network"], "networkInterfaceCard": {"guid": card["guid"], "name": card["name"]}}
                for card in details["networkInterfaceCards"]
            ],
        },
    )
    assert restored["restoreType"]["name"] == "RESTORE_AND_IMPORT"


def test_the_react_uis_tables(current: DirectClient):
    """Their columns look into what they are given without asking whether it is there."""
    bare = current.get(f"/virtual-machines/{guid_of('vm/bare-01')}")
    assert bare["hypervisor"]["vmExportImportMode"]["description"], "its own, as no manager says it"
    managed = current.get(f"/virtual-machines/{WEB}")
    assert managed["hvManager"]["vmExportImportMode"]["description"] and managed["hvManager"]["url"]
    assert managed["hypervisor"]["hvManager"]["guid"] == OPENSTACK
    assert current.get(f"/hypervisors/{managed['hypervisor']['guid']}")["host"]

    copies = current.get(f"/backup-locations?protected-entity={WEB}&location-status=PRESENT")
    marks = [{**copy, "guid": copy["backup"]["guid"], "retentionHint": {"name": "TO_REMOVE"}} for copy in copies[:1]]
    for row in current.post("/retention/mark-backups/preview", marks, status=200):
        assert row["backup"]["name"] and row["backupDestination"]["name"] and row["roleType"]["description"]
        assert row["previousHint"]["name"] and row["retentionHint"]["name"] and row["type"]["description"]

    policy = current.get(f"/policies/vm-backup/{guid_of('policy/daily')}")
    policy["autoAssignSettings"] = {"mode": {"name": "ASSIGN_ONLY"}, "includeRegExps": [".*"]}
    [change, *_] = current.post("/policies/vm-backup/auto-assignment-preview", policy, status=200)
    assert change["protectedEntity"]["name"] and change["changeType"]["description"]
    assert change["changeReason"]["description"]


def test_the_exporter_for_prometheus(direct: DirectClient):
    """Reads inside of what it reads, without asking whether it is there where it always is."""
    direct.export(WEB)
    direct.advance(60)
    for node in direct.get("/nodes"):
        assert node["stagingSpace"]["usedSpace"] < node["stagingSpace"]["totalSpace"] and node["state"]["name"]
        assert node["version"] and node["nodeIP"] and node["lastSeen"]
    for host in direct.get("/hypervisors"):
        assert host["host"] and host["type"]["name"] and host["cluster"]["name"] and host["node"]["name"]
        assert host["licenseCovered"] is True and isinstance(host["vmCount"], int)
    for vm in direct.get("/virtual-machines"):
        if "lastSuccessfulFullBackup" in vm:
            assert vm["lastSuccessfulFullBackup"]["name"].rsplit(" - ", 1)[1][:2] == "20"
    [task] = direct.get("/tasks")
    assert task["node"]["name"] and task["backupDestination"]["name"] and task["originEntity"]["type"]["name"] == "USER"
    assert {"priority", "progress", "retryCount"} <= set(task)
    if direct.state.dialect == "current":
        rows = direct.get("/policies/vm-backup")
        destinations = {row["ruleBackupDestinations"][0]["backupDestination"]["name"] for row in rows}
        assert destinations == {"primary-fs"}
    for policy in direct.get("/policies/vm-backup?extended=true"):
        assert policy["ruleCount"] == len(policy["rules"]) and policy["autoAssignMode"]["name"] and "vmCount" in policy
    assert all(schedule["backupType"]["name"] for schedule in direct.get("/schedules"))


def test_the_collector_of_charges(direct: DirectClient):
    """Says the time in the body, and reads how each machine is protected."""
    now = direct.state.clock.now_ms()
    span = {"from": now - 30 * 24 * 3_600_000, "to": now}
    rows = direct.post("/chargeback-reporting/backup-size/vm", {**span, "groupBy": "virtual-machine"}, status=200)
    assert all(set(row) == {"guid", "name", "size"} and row["size"] > 0 for row in rows)
    by_guid: dict[str, Any] = {vm["guid"]: vm for vm in direct.get("/virtual-machines")}
    assert all(by_guid[row["guid"]]["protectionStatus"]["name"] for row in rows)
