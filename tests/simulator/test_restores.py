"""Restores as the simulator plays them, against chapters 6.4, 9, 13 and duty 25 of the API reference."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.conftest import GONE, WEB, PlainClient
from vprotect_simulator.names import enum, guid_of
from vprotect_simulator.server import SimulatorServer

OPENSTACK, RHV, KVM_HOST = guid_of("manager/OPENSTACK"), guid_of("manager/RHV"), guid_of("host/kvm-01")


def newest_backup(client: PlainClient, vm: str) -> dict[str, Any]:
    good = [b for b in client.get("/backups", **{"protected-entity": vm}) if b["status"]["name"] == "SUCCESS"]
    return max(good, key=lambda backup: backup["snapshotTime"])


def restore(client: PlainClient, vm: str = WEB, **members: Any) -> Any:
    backup = newest_backup(client, vm)
    usual = {
        "backup": {"guid": backup["guid"]},
        "hypervisorManager": {"guid": OPENSTACK},
        "restoreClusterId": "nova",
        "restoreProject": "aurora-books",
        "restoredPeName": "web-01-again",
    }
    body = {name: value for name, value in {**usual, **members}.items() if value is not None}
    return client.call("POST", "/api/tasks/restore-and-import", body)


@pytest.mark.parametrize("vm", [WEB, GONE])
def test_a_restore_is_two_tasks_and_then_a_machine(vm: str, simulator: SimulatorServer, client: PlainClient):
    made = restore(client, vm)
    assert made.status == 201 and made.data["type"]["name"] == "RESTORE"
    job = client.get("/restore-jobs", **{"protected-entity": vm})[0]
    assert (job["status"]["name"], job["restoredPeName"]) == ("QUEUED", "web-01-again")
    before = len(client.get("/virtual-machines"))

    simulator.control.advance(200)
    assert [task["type"]["name"] for task in client.get("/tasks")] == ["RESTORE"]
    simulator.control.advance(40)
    running = client.task_of(vm, "IMPORT")
    assert running["guid"] != made.data["guid"] and running["dstProtectedEntity"]["name"] == "web-01-again"
    assert len(client.get("/tasks", **{"restore-job": job["guid"]})) == 2

    simulator.control.advance(161)
    assert client.get(f"/restore-jobs/{job['guid']}")["status"]["name"] == "SUCCESS"
    assert len(client.get("/virtual-machines")) == before, "only after the next inventory sync"
    simulator.control.advance(60)
    new = client.get(f"/virtual-machines/{running['dstProtectedEntity']['guid']}")
    assert (new["name"], new["present"], new["project"]["name"]) == ("web-01-again", True, "aurora-books")


@pytest.mark.parametrize("kind", ["RESTORE", "IMPORT"])
def test_a_restore_fails_on_order(kind: str, simulator: SimulatorServer, client: PlainClient):
    simulator.control.change_machine(WEB, {"_behaviour": {kind: "fail"}})
    restore(client)
    simulator.control.advance(3600)
    assert client.task_of(WEB, kind)["state"]["name"] == "FAILED"
    assert client.get("/restore-jobs")[0]["status"]["name"] == "FAILED"


def test_without_a_name_it_is_the_original(simulator: SimulatorServer, client: PlainClient):
    restore(client, restoredPeName=None)
    assert client.get("/restore-jobs")[0]["restoredPeName"] == "web-01"


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"backup": {"guid": "unknown"}}, 404),
        ({"hypervisorManager": None}, 400),
        ({"hypervisor": {"guid": KVM_HOST}}, 400),
        ({"hypervisorManager": {"guid": "unknown"}}, 404),
        ({"hypervisorManager": {"guid": RHV}, "restoreClusterId": None}, 400),
        ({"restoreClusterId": guid_of("cluster/OPENSTACK")}, 400),
        ({"restoreStorageId": guid_of("storage/OPENSTACK/ssd-pool")}, 400),
        ({"restoreProject": None}, 400),
    ],
)
def test_a_restore_that_cannot_be_is_refused(members: dict[str, Any], status: int, client: PlainClient):
    assert restore(client, **members).status == status
    assert client.get("/tasks") == [] and client.get("/restore-jobs") == []


def test_a_backup_that_is_gone_cannot_be_restored(simulator: SimulatorServer, client: PlainClient):
    for backup in simulator.state.backups.values():
        for location in backup["backupLocations"]:
            location["status"] = enum("REMOVED")
    assert restore(client).status == 400


def test_targets_depend_on_the_backup(client: PlainClient):
    bare = newest_backup(client, guid_of("vm/bare-01"))["guid"]
    assert client.get("/hypervisor-managers", **{"backup-to-be-restored": bare}) == []
    hosts = client.get("/hypervisors", **{"backup-to-be-restored": bare})
    assert [(row["guid"], row["host"]) for row in hosts] == [(KVM_HOST, "kvm-01.example.test")]
    assert {row["url"].partition(":")[0] for row in client.get("/hypervisor-managers")} == {"https"}


def test_storages_and_clusters_belong_to_a_target(client: PlainClient):
    storages = client.get("/hypervisor-storages", **{"hypervisor-manager": RHV})
    assert [row["name"] for row in storages] == ["ssd-pool", "archive-pool"]
    clusters = client.get("/hypervisor-clusters", **{"hypervisor-manager": RHV})
    assert clusters[0]["guid"] == storages[0]["clusters"][0]["guid"] != clusters[0]["uuid"]
