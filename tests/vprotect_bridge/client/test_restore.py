"""The calls of a restore, against the simulator (API reference, 6.4, 9 and 13)."""

from __future__ import annotations

from typing import Any

import pytest

from vprotect_bridge.client.api import RestoreRequest, VProtect
from vprotect_bridge.client.dialects import DIALECTS
from vprotect_bridge.client.errors import BadAnswer, Rejected
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

WEB, BARE = guid_of("vm/web-01"), guid_of("vm/bare-01")
OPENSTACK, KVM_HOST = guid_of("manager/OPENSTACK"), guid_of("host/kvm-01")


def wish(api: VProtect, vm: str = WEB, **fields: Any) -> RestoreRequest:
    backup = next(backup for backup in api.list_backups(protected_entity=vm).items if backup.status == "SUCCESS")
    usual = {"hypervisor_guid": OPENSTACK, "is_manager": True, "cluster_uuid": "nova", "project_name": "aurora-books"}
    return RestoreRequest(backup_guid=backup.guid, **{**usual, **fields})


def test_a_restore_and_its_job(api: VProtect, simulator: SimulatorServer):
    task = api.restore_and_import(wish(api, name="web-01-again"))
    assert (task.type, task.state) == ("RESTORE", "QUEUED")
    simulator.control.advance(1000), simulator.control.tasks(), simulator.control.advance(1000)
    (job,) = api.list_restore_jobs(protected_entity=WEB).items
    assert (job.status, job.restored_name) == ("SUCCESS", "web-01-again")
    assert job.dst_protected_entity and api.get_virtual_machine(job.dst_protected_entity.guid).name == "web-01-again"


def test_a_stand_alone_hypervisor_is_named_as_such(api: VProtect, simulator: SimulatorServer):
    request = wish(api, BARE, hypervisor_guid=KVM_HOST, is_manager=False, cluster_uuid="", project_name="")
    api.restore_and_import(request)
    body = simulator.control.ledger("POST", "/tasks/restore-and-import")[0]["body"]
    assert body == {"backup": {"guid": request.backup_guid}, "hypervisor": {"guid": KVM_HOST}, "overwrite": False}


def test_a_restore_never_replaces_a_machine():
    request = RestoreRequest("b", "h", True, "n", "c", "s", "p", "d", "l")
    for dialect in DIALECTS.values():
        body = dialect.restore_body(request)
        assert body["overwrite"] is False
        assert (body["restoreClusterId"], body["restoreStorageId"], body["dataCenter"]) == ("c", "s", {"name": "d"})
    assert "backupLocation" not in DIALECTS["classic"].restore_body(request)
    assert DIALECTS["current"].restore_body(request)["backupLocation"] == {"guid": "l"}


@pytest.mark.parametrize("shape", ["array", "object", "batch"])
def test_each_shape_of_the_answer_is_read(shape: str, api: VProtect, simulator: SimulatorServer):
    simulator.control.change_settings(answer_shape=shape)
    assert api.restore_and_import(wish(api)).type == "RESTORE"


def test_an_empty_answer_proves_nothing(api: VProtect, simulator: SimulatorServer):
    simulator.control.change_settings(answer_shape="empty")
    with pytest.raises(BadAnswer):
        api.restore_and_import(wish(api))


def test_a_refusal_is_a_refusal(api: VProtect):
    with pytest.raises(Rejected, match="restoreClusterId is unknown"):
        api.restore_and_import(wish(api, cluster_uuid="elsewhere"))


def test_targets_with_their_clusters_and_storages(api: VProtect):
    backup = wish(api).backup_guid
    (target,) = api.list_hypervisors(backup_to_be_restored=backup).items
    assert (target.guid, target.type, target.is_manager) == (OPENSTACK, "OPENSTACK", True)
    assert target.name.startswith("https://")
    (cluster,) = api.list_clusters(target).items
    assert (cluster.uuid, cluster.name) == ("nova", "nova")
    storage = api.list_storages(target).items[0]
    assert storage.uuid != storage.guid and storage.clusters[0].guid == cluster.guid
    assert (storage.capacity or 0) > (storage.used or 0)
    assert {h.is_manager for h in api.list_hypervisors().items} == {True, False}
