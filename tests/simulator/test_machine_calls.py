"""Machines, disks and platforms, against chapters 5 and 13 of the API reference."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.conftest import DB, GONE, NEW, WEB, DirectClient
from vprotect_simulator.names import guid_of

APP, BARE, LAB = (guid_of(f"vm/{name}") for name in ("app-01", "bare-01", "lab-01"))
OPENSTACK, RHV, KVM_HOST = guid_of("manager/OPENSTACK"), guid_of("manager/RHV"), guid_of("host/kvm-01")


def names(rows: list[dict[str, Any]]) -> set[str]:
    return {row["name"] for row in rows}


def test_exactly_one_of_two_members_tells_the_platform(direct: DirectClient):
    by_name = {row["name"]: row for row in direct.get("/virtual-machines")}
    assert by_name["web-01"]["hvmType"]["name"] == "OPENSTACK" and "hvType" not in by_name["web-01"]
    assert by_name["bare-01"]["hvType"]["name"] == "KVM" and "hvManager" not in by_name["bare-01"]
    assert all(("hvType" in row) != ("hvmType" in row) for row in by_name.values())


def test_a_host_that_a_machine_names_is_listed(direct: DirectClient):
    hosts = {row["guid"]: row for row in direct.get("/hypervisors")}
    here = [row["hypervisor"] for row in direct.get("/virtual-machines") if row["present"]]
    assert all(hosts[host["guid"]]["host"] == host["name"] for host in here)
    assert sum(row["vmCount"] for row in hosts.values()) == len(here)


def test_protection_has_three_states_by_absence(direct: DirectClient):
    rows = direct.get("/virtual-machines")
    by_state = {row["name"]: (row["protectionStatus"]["name"], row.get("backupUpToDate")) for row in rows}
    assert by_state["web-01"] == ("IS_PROTECTED", True)
    assert by_state["app-02"] == ("NOT_PROTECTED", False)
    assert by_state["db_01 übergröße"] == ("NO_SCHEDULE", None)
    assert names(direct.get("/virtual-machines?backupStatus=NOT_PROTECTED&backupStatus=NO_SCHEDULE")) == {
        name for name, (state, _flag) in by_state.items() if state != "IS_PROTECTED"
    }


def test_only_classic_rows_name_a_tenant(classic: DirectClient, current: DirectClient):
    assert any("tenantId" in row for row in classic.get("/virtual-machines"))
    assert not any("tenantId" in row for row in current.get("/virtual-machines"))


def test_a_backup_that_can_be_restored_to_is_named_with_its_date(direct: DirectClient):
    named = direct.get(f"/virtual-machines/{WEB}")["lastSuccessfulFullBackup"]["name"]
    assert named.startswith("web-01 - 20") and named[-3] == ":"


# ── Settings ─────────────────────────────────────────────────────────────────


def test_settings_are_replaced_as_a_whole(direct: DirectClient):
    details = direct.get(f"/virtual-machines/{WEB}")
    changed = {**details, "quiesceBeforeSnapshot": True, "snapshotMgmtPolicy": None}
    answer = direct.put(f"/virtual-machines/{WEB}/settings", changed)
    assert answer["quiesceBeforeSnapshot"] is True and "snapshotMgmtPolicy" not in answer
    assert answer["sshUser"] == "root" and answer["vmBackupPolicy"] == details["vmBackupPolicy"]
    direct.put(f"/virtual-machines/{WEB}/settings", {"name": "not a setting"})
    bare = direct.get(f"/virtual-machines/{WEB}")
    assert bare["name"] == "web-01" and not {"sshUser", "vmBackupPolicy", "backupUpToDate"} & set(bare)


def test_a_policy_may_be_assigned_from_the_machine(direct: DirectClient):
    policy = guid_of("policy/daily")
    direct.put(f"/virtual-machines/{DB}/settings", {"vmBackupPolicy": policy})
    members = direct.get(f"/policies/vm-backup/{policy}")["vms"]
    assert DB in {vm["guid"] for vm in members}
    assert direct.call("PUT", f"/virtual-machines/{DB}/settings", {"vmBackupPolicy": "unknown"}).status == 404


@pytest.mark.parametrize(
    "body", [{"vmExportImportMode": "BY_PIGEON"}, {"sshPort": 99_999}, {"preSnapCmdExecEnabled": "yes"}, []]
)
def test_bad_settings_change_nothing(body: Any, direct: DirectClient):
    before = direct.get(f"/virtual-machines/{WEB}")
    assert direct.call("PUT", f"/virtual-machines/{WEB}/settings", body).status == 400
    assert direct.get(f"/virtual-machines/{WEB}") == before


def test_a_password_is_told_to_nobody(direct: DirectClient):
    assert direct.call("PUT", f"/virtual-machines/{WEB}/ssh-password", {"value": "geheim"}).status == 204
    assert "geheim" not in str(direct.get(f"/virtual-machines/{WEB}"))


# ── Disks ────────────────────────────────────────────────────────────────────


def test_a_disk_is_left_out_of_the_next_backup(direct: DirectClient):
    [disk] = direct.get(f"/virtual-machine-disks?virtual-machine={WEB}")
    assert (disk["size"], disk["excludedFromBackup"], disk["supported"]) == (20 * 1024**3, False, True)
    direct.put(f"/virtual-machine-disks/{disk['guid']}/settings", {**disk, "excludedFromBackup": True})
    [disk] = direct.get(f"/virtual-machine-disks?virtual-machine={WEB}")
    assert disk["excludedFromBackup"] is True


def test_a_disk_that_is_not_supported_stays_left_out(direct: DirectClient):
    disks = direct.get(f"/virtual-machine-disks?virtual-machine={APP}")
    odd = next(disk for disk in disks if not disk["supported"])
    wanted = {**odd, "excludedFromBackup": False}
    assert odd["excludedFromBackup"] is True
    assert direct.call("PUT", f"/virtual-machine-disks/{odd['guid']}/settings", wanted).status == 400


# ── What is possible ─────────────────────────────────────────────────────────


def test_why_an_incremental_backup_is_not_possible(direct: DirectClient):
    body = {"entities": [{"guid": WEB}, {"guid": BARE, "name": "bare-01"}, DB]}
    answer = direct.post("/virtual-machines/incremental-not-possible", body, status=200)
    assert names([row["virtualMachine"] for row in answer]) == {"bare-01", "db_01 übergröße"}
    assert answer[0]["reasons"][0]["name"] == "MISSING_INCREMENTAL_SCHEDULER"
    assert direct.post("/virtual-machines/incremental-not-possible", {"entities": [WEB]}, status=200) == []


def test_entries_without_a_machine_or_a_backup_are_removed(direct: DirectClient):
    direct.state.vms[NEW]["present"] = False
    direct.delete("/virtual-machines/all-non-present")
    left = names(direct.get("/virtual-machines"))
    assert "new-01" not in left and "gone-01" in left


@pytest.mark.parametrize(
    ("vm", "managers", "hosts"), [(WEB, {OPENSTACK}, set()), (GONE, {OPENSTACK}, set()), (BARE, set(), {KVM_HOST})]
)
def test_where_a_backup_may_go(vm: str, managers: set[str], hosts: set[str], direct: DirectClient):
    backup = direct.newest_backup(vm)["guid"]
    for path, expected in (("/hypervisor-managers/", managers), ("/hypervisors/", hosts)):
        assert {row["guid"] for row in direct.get(f"{path}?backup-to-be-restored={backup}")} == expected
    assert names(direct.get(f"/nodes?backup-to-be-restored={backup}")) == {"node1", "node2"}


def test_what_a_restore_chooses_from_belongs_to_the_target(direct: DirectClient):
    here = f"?hypervisor-manager={OPENSTACK}"
    assert names(direct.get(f"/virtual-machine-flavors{here}")) == {"m1.small", "m1.medium", "m1.large"}
    assert names(direct.get(f"/network{here}")) == {"private", "dmz"}
    assert names(direct.get(f"/network/shared{here}")) == {"provider-net"}
    assert "aurora-books" in names(direct.get(f"/projects{here}"))
    assert direct.get(f"/virtual-machine-flavors?hypervisor-manager={RHV}") == []
    backup = direct.newest_backup(WEB)["guid"]
    settings = direct.get(f"/openstack/restore-settings?hvm-guid={OPENSTACK}&backup-guid={backup}")["networkSection"]
    [source] = settings["sourceNetworkWithSecurityGroups"]
    [target] = [row for row in settings["targetNetworks"] if row["guid"] == source["defaultNetworkInternalId"]]
    assert (source["name"], target["name"]) == ("eth0", "private")
    assert source["securityGroupsFromBackup"][0] in settings["securityGroupsFromHypervisorManager"]


def test_all_that_has_a_uuid_has_another_guid(direct: DirectClient):
    for path in ("virtual-machines", "hypervisor-clusters", "hypervisor-storages", "projects", "network"):
        assert all(row["uuid"] != row["guid"] for row in direct.get(f"/{path}"))
