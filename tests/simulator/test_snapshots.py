"""Snapshots and their policies (API reference, 6.7 and 16)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.conftest import DB, WEB, DirectClient
from vprotect_simulator.firing import DAYS
from vprotect_simulator.names import guid_of

POLICY, RULE = guid_of("snapshot-policy/snapshots-of-a-week"), guid_of("snapshot-rule/snapshots-of-a-week")
DAY = 24 * 3600


def take(direct: DirectClient, vm: str = WEB) -> Any:
    return direct.call(
        "POST", "/tasks/vm-snapshot", {"priority": 50, "protectedEntities": [{"guid": vm}], "rule": RULE}
    )


def test_the_last_stored_one_is_the_base_of_the_next_incremental(direct: DirectClient):
    base = direct.get(f"/virtual-machines/{WEB}")["lastStoredSnapshot"]["guid"]
    [snapshot] = direct.get(f"/snapshots?protected-entity={WEB}")
    assert (snapshot["guid"], snapshot["standAlone"]) == (base, False)
    assert direct.export(WEB, backupType="INCREMENTAL")["backup"]
    del direct.state.snapshots[base]
    made = direct.export(WEB, backupType="INCREMENTAL")
    assert direct.get(f"/backups/{made['backup']['guid']}")["type"]["name"] == "FULL"


def test_a_snapshot_is_a_task_and_then_a_row(direct: DirectClient):
    [task] = take(direct).data
    assert task["type"]["name"] == "SNAPSHOT" and "backup" not in task
    direct.advance(60)
    done = direct.get(f"/tasks/{task['guid']}")
    [snapshot] = direct.get(f"/snapshots?protected-entity={WEB}&stand-alone=true")
    assert done["protectedEntitySnapshot"]["guid"] == snapshot["guid"]
    assert snapshot["rule"]["policy"]["guid"] == POLICY and snapshot["status"]["name"] == "PRESENT"


def test_a_machine_without_the_policy_has_no_snapshot(direct: DirectClient):
    assert take(direct, DB).status == 400


def test_only_so_many_versions_are_kept(direct: DirectClient):
    direct.put(f"/rules/vm-snapshot/{RULE}", {"name": "Default", "policy": POLICY, "retentionVersions": 2})
    for _ in range(3):
        take(direct)
        direct.advance(60), direct.get("/tasks")
    rows = direct.get(f"/snapshots?protected-entity={WEB}&stand-alone=true&orderBy=snapshotTime")
    assert [row["status"]["name"] for row in rows] == ["REMOVED", "PRESENT", "PRESENT"]


def test_a_policy_is_made_changed_and_removed(direct: DirectClient):
    body = {"name": "hourly", "autoAssignSettings": {"mode": "DISABLED"}, "vms": [DB]}
    made = direct.post("/policies/vm-snapshot", body)
    rule = direct.post("/rules/vm-snapshot", {"name": "R", "policy": made["guid"], "retentionDays": 3})
    details = direct.get(f"/policies/vm-snapshot/{made['guid']}")
    assert [vm["guid"] for vm in details["vms"]] == [DB] and details["rules"][0]["guid"] == rule["guid"]
    assert direct.get(f"/rules/vm-snapshot?policy={made['guid']}")[0]["retentionDays"] == 3
    assert direct.call("POST", "/policies/vm-snapshot", body).status == 409
    renamed = direct.put(f"/policies/vm-snapshot/{made['guid']}", {**details, "name": "daily", "vms": []})
    assert (renamed["name"], renamed["vms"], len(renamed["rules"])) == ("daily", [], 1)
    direct.delete(f"/policies/vm-snapshot/{made['guid']}")
    assert direct.call("GET", f"/rules/vm-snapshot/{rule['guid']}").status == 404
    assert "snapshotMgmtPolicy" not in direct.get(f"/virtual-machines/{DB}")


@pytest.mark.parametrize("kind", ["SNAPSHOT", "VM_SNAPSHOT"])
def test_a_schedule_takes_snapshots(kind: str, direct: DirectClient):
    body = {
        **{"name": "at six", "type": kind, "backupType": "FULL", "executionType": "TIME", "active": True},
        **{"hour": 6 * 3_600_000, "startWindowLength": 3_600_000, "daysOfWeek": list(DAYS), "rules": [{"guid": RULE}]},
    }
    made = direct.post("/schedules", body)
    assert made["policies"][0]["guid"] == POLICY
    direct.advance(DAY), direct.get("/tasks")
    assert direct.get(f"/snapshots?protected-entity={WEB}&stand-alone=true")
    assert {task["originEntity"]["name"] for task in direct.get("/tasks?type=SNAPSHOT")} == {"at six"}
