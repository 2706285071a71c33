"""A restore from the wish to the new machine, against the simulator."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone
from django_scopes import scope

from tenants.models import AuditEntry, Claim, Grant, Membership, Role, Tenant
from tests.conftest import both_dialects, person
from vprotect_bridge import submit as protocol
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.follow import follow
from vprotect_bridge.models import Backup, Machine, Operation, Storage
from vprotect_bridge.restore_wishes import RestoreWish, request_restore, restore_points
from vprotect_bridge.services import WishRefused
from vprotect_bridge.sync import refresh_backups, sync_inventory
from vprotect_simulator.landscape import PROJECT_UUIDS
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

pytestmark = pytest.mark.django_db(transaction=True)

WEB, GONE, BARE = (guid_of(f"vm/{name}") for name in ("web-01", "gone-01", "bare-01"))
OPENSTACK, CLUSTER, STORAGE = (
    guid_of("manager/OPENSTACK"),
    guid_of("cluster/OPENSTACK"),
    guid_of("storage/OPENSTACK/ssd-pool"),
)
KVM_HOST = guid_of("host/kvm-01")


@pytest.fixture
def tenant(api: VProtect) -> Tenant:
    tenant = Tenant.objects.create(name="Sunflower", slug="sunflower")
    Claim.across_tenants.create(tenant=tenant, kind=Claim.Kind.TENANT_VALUE, value=PROJECT_UUIDS["aurora-books"])
    Claim.across_tenants.create(tenant=tenant, kind=Claim.Kind.MACHINE, value=BARE)
    for kind, guid in (
        (Grant.Kind.HYPERVISOR, OPENSTACK),
        (Grant.Kind.HYPERVISOR, KVM_HOST),
        (Grant.Kind.CLUSTER, CLUSTER),
        (Grant.Kind.STORAGE, STORAGE),
    ):
        Grant.across_tenants.create(tenant=tenant, kind=kind, guid=guid)
    sync_inventory(api)
    for machine in Machine.across_tenants.filter(tenant=tenant):
        refresh_backups(api, machine)
    return tenant


@pytest.fixture
def restorer(tenant: Tenant) -> Membership:
    user = person(tenant, "restorer", Role.RESTORER)
    return Membership.objects.select_related("tenant", "user").get(user=user)


def ask(restorer: Membership, guid: str = WEB, **fields: Any) -> Operation:
    machine = Machine.across_tenants.get(guid=guid)
    with scope(tenant=restorer.tenant), transaction.atomic():
        usual = {
            "backup_guid": restore_points(machine)[0].guid,
            "hypervisor_guid": OPENSTACK,
            "cluster_guid": CLUSTER,
            "storage_guid": STORAGE,
            "name": "web-01-again",
        }
        wish = RestoreWish(**{**usual, **fields})
        return request_restore(restorer, machine, wish, client_key=uuid4(), address=None)[0]


def now(operation: Operation) -> Operation:
    return Operation.across_tenants.get(pk=operation.pk)


def look(api: VProtect, simulator: SimulatorServer, operation: Operation, seconds: float) -> Operation:
    simulator.control.advance(seconds)
    Operation.across_tenants.filter(pk=operation.pk).update(followed_at=None)
    follow(api)
    return now(operation)


def restores_made(simulator: SimulatorServer) -> int:
    return len([task for task in simulator.control.made_tasks() if task["type"] == "RESTORE"])


# ── From the wish to the machine ─────────────────────────────────────────────


@both_dialects
@pytest.mark.parametrize("guid", [WEB, GONE])
def test_restore_and_import_are_one_story(
    guid: str, api: VProtect, simulator: SimulatorServer, tenant: Tenant, restorer: Membership
):
    operation = ask(restorer, guid)
    assert AuditEntry.across_tenants.get().action == "restore_requested"
    protocol.submit(api)
    seen = [look(api, simulator, operation, seconds) for seconds in (1, 60, 135, 30, 5, 200)]
    assert list(dict.fromkeys(step.phase for step in seen)) == ["queued", "restoring", "importing", ""]
    progress = [step.progress for step in seen]
    assert progress == sorted(progress) and max(progress[:-1]) < 100
    assert (seen[-1].outcome, seen[-1].progress) == ("succeeded", 100)
    body = simulator.control.ledger("POST", "/tasks/restore-and-import")[0]["body"]
    assert body["restoreClusterId"] == "nova" and body["restoreStorageId"] != STORAGE, "uuids, not GUIDs"
    assert (body["restoreProject"], body["overwrite"]) == ("aurora-books", False)

    simulator.control.advance(60)
    sync_inventory(api)
    new = Machine.across_tenants.get(guid=seen[-1].restored_guid)
    assert (new.name, new.tenant, new.owned_by) == ("web-01-again", tenant, "claim")


def test_a_stand_alone_hypervisor_needs_no_more(api: VProtect, simulator: SimulatorServer, restorer: Membership):
    ask(restorer, BARE, hypervisor_guid=KVM_HOST, cluster_guid="", storage_guid="")
    protocol.submit(api)
    body = simulator.control.ledger("POST", "/tasks/restore-and-import")[0]["body"]
    assert body["hypervisor"] == {"guid": KVM_HOST} and "hypervisorManager" not in body


def test_a_vcenter_is_told_the_data_center(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant, restorer: Membership
):
    [crm] = simulator.control.add_machines(1, platform="VCENTER", days=1)
    Claim.across_tenants.create(tenant=tenant, kind=Claim.Kind.MACHINE, value=crm)
    sync_inventory(api)
    refresh_backups(api, Machine.across_tenants.get(guid=crm))
    place = {
        "hypervisor_guid": guid_of("manager/VCENTER"),
        "cluster_guid": guid_of("cluster/VCENTER"),
        "storage_guid": guid_of("storage/VCENTER/ssd-pool"),
    }
    for kind, guid in zip((Grant.Kind.HYPERVISOR, Grant.Kind.CLUSTER, Grant.Kind.STORAGE), place.values(), strict=True):
        Grant.across_tenants.create(tenant=tenant, kind=kind, guid=guid)
    granted = Grant.across_tenants.create(tenant=tenant, kind=Grant.Kind.DATA_CENTER, name="Kraków-1")
    operation = ask(restorer, crm, data_center="Kraków-1", **place)
    protocol.submit(api)
    body = simulator.control.ledger("POST", "/tasks/restore-and-import")[0]["body"]
    assert body["dataCenter"] == {"name": "Kraków-1"}
    assert now(operation).submission == "accepted"

    Operation.across_tenants.update(outcome="failed")
    withdrawn = ask(restorer, crm, data_center="Kraków-1", name="crm-again", **place)
    granted.delete()
    protocol.submit(api)
    assert now(withdrawn).submission == "rejected" and restores_made(simulator) == 1


@pytest.mark.parametrize("kind", ["RESTORE", "IMPORT"])
def test_a_failing_task_ends_it_and_claims_nothing(
    kind: str, api: VProtect, simulator: SimulatorServer, restorer: Membership
):
    simulator.control.change_machine(WEB, {"_behaviour": {kind: "fail"}})
    operation = ask(restorer)
    protocol.submit(api)
    claims = Claim.across_tenants.count()
    for _ in range(3):
        operation = look(api, simulator, operation, 400)
    assert operation.outcome == "failed" and Claim.across_tenants.count() == claims


def test_a_server_without_restore_jobs_tells_by_its_tasks(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant, restorer: Membership
):
    simulator.control.change_settings(has_restore_jobs=False)
    operation = ask(restorer)
    protocol.submit(api)
    seen = [look(api, simulator, operation, seconds) for seconds in (60, 135, 40, 300)]
    assert [step.phase for step in seen] == ["restoring", "restoring", "importing", ""]
    assert (seen[-1].outcome, bool(seen[-1].restored_guid)) == ("succeeded", True)
    assert Claim.across_tenants.filter(value=seen[-1].restored_guid, tenant=tenant).exists()


@pytest.mark.parametrize("kind", ["RESTORE", "IMPORT"])
def test_a_server_without_restore_jobs_tells_of_failures_too(
    kind: str, api: VProtect, simulator: SimulatorServer, restorer: Membership
):
    simulator.control.change_settings(has_restore_jobs=False)
    simulator.control.change_machine(WEB, {"_behaviour": {kind: "fail"}})
    operation = ask(restorer)
    protocol.submit(api)
    for _ in range(3):
        operation = look(api, simulator, operation, 400)
    assert operation.outcome == "failed"


def test_an_import_that_never_appears_is_being_checked(api: VProtect, simulator: SimulatorServer, restorer: Membership):
    simulator.control.change_settings(gap_seconds=10**6)
    operation = ask(restorer)
    protocol.submit(api)
    for _ in range(3):
        operation = look(api, simulator, operation, 400)
    assert (operation.outcome, operation.progress < 100) == ("", True)


def test_a_restore_is_cancelled(api: VProtect, simulator: SimulatorServer, restorer: Membership):
    operation = ask(restorer)
    protocol.submit(api)
    look(api, simulator, operation, 40)
    Operation.across_tenants.update(cancel_wanted_at=timezone.now())
    look(api, simulator, operation, 1)
    assert look(api, simulator, operation, 15).outcome == "cancelled"


# ── Nothing lost, nothing doubled ────────────────────────────────────────────


def settle(api: VProtect, operation: Operation) -> Operation:
    for _ in range(4):
        Operation.across_tenants.update(next_at=timezone.now())
        protocol.reconcile(api)
    return now(operation)


@pytest.fixture(autouse=True)
def quick_settling(settings: Any) -> None:
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "settle": 0.0}


@pytest.mark.parametrize("fault", ["reset", "status", "html", "empty", "wrong_guid"])
def test_a_restore_whose_answer_was_lost_is_adopted(
    fault: str, api: VProtect, simulator: SimulatorServer, restorer: Membership
):
    simulator.control.fault(fault, path="/tasks/restore-and-import", when="after")
    operation = ask(restorer)
    protocol.submit(api)
    assert now(operation).submission == "uncertain"
    settled = settle(api, operation)
    assert (settled.submission, settled.adopted, restores_made(simulator)) == ("accepted", True, 1)


def test_one_whose_task_was_cleared_is_found_by_its_job(
    api: VProtect, simulator: SimulatorServer, restorer: Membership
):
    simulator.control.change_settings(speed=1000, task_retention=0)
    simulator.control.fault("reset", path="/tasks/restore-and-import", when="after")
    operation = ask(restorer)
    protocol.submit(api)
    simulator.control.advance(5), simulator.control.tasks(), simulator.control.advance(5)
    settled = settle(api, operation)
    assert settled.submission == "accepted" and settled.restore_job_guid
    assert look(api, simulator, operation, 1).outcome == "succeeded"


def test_a_restore_that_never_arrived_is_not_sent_again_by_itself(
    api: VProtect, simulator: SimulatorServer, restorer: Membership
):
    simulator.control.fault("reset", path="/tasks/restore-and-import")
    operation = ask(restorer)
    protocol.submit(api)
    assert settle(api, operation).submission == "needs_attention"
    protocol.submit(api)
    assert restores_made(simulator) == 0


def test_an_older_restore_of_the_same_backup_is_not_taken_for_ours(
    api: VProtect, simulator: SimulatorServer, restorer: Membership
):
    """Somebody restored it from the vendor's console before; ours gets lost on the way."""
    elsewhere = ask(restorer)
    protocol.submit(api)
    Operation.across_tenants.filter(pk=elsewhere.pk).delete()
    simulator.control.fault("reset", path="/tasks/restore-and-import")
    operation = ask(restorer)
    protocol.submit(api)
    assert settle(api, operation).submission == "needs_attention"


def test_one_asked_for_during_an_outage_does_not_start_later(
    api: VProtect, simulator: SimulatorServer, restorer: Membership
):
    operation = ask(restorer)
    Operation.across_tenants.update(deadline_at=timezone.now() - timedelta(seconds=1))
    protocol.submit(api)
    assert (now(operation).outcome, restores_made(simulator)) == ("missed", 0)


@pytest.mark.parametrize("loss", ["role", "grant", "backup", "scope"])
def test_a_right_lost_since_the_click_stops_it(
    loss: str, api: VProtect, simulator: SimulatorServer, restorer: Membership
):
    operation = ask(restorer)
    match loss:
        case "role":
            Membership.objects.update(role=Role.MEMBER)
        case "grant":
            Grant.across_tenants.filter(kind=Grant.Kind.STORAGE).delete()
        case "backup":
            Backup.across_tenants.update(status="SUCCESS_REMOVED")
        case "scope":
            Membership.objects.update(machine_guids=["another"])
    protocol.submit(api)
    assert (now(operation).submission, restores_made(simulator)) == ("rejected", 0)


def test_a_restored_machine_claimed_by_another_stays_theirs(
    api: VProtect, simulator: SimulatorServer, restorer: Membership
):
    operation = ask(restorer)
    protocol.submit(api)
    look(api, simulator, operation, 60), look(api, simulator, operation, 135), look(api, simulator, operation, 40)
    pine = Tenant.objects.create(name="Pine", slug="pine")
    Claim.across_tenants.create(tenant=pine, kind=Claim.Kind.MACHINE, value=now(operation).restored_guid)
    assert look(api, simulator, operation, 300).outcome == "succeeded"
    assert Claim.across_tenants.get(value=now(operation).restored_guid).tenant == pine


# ── What is refused at once ──────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"backup_guid": "unknown"}, "backup"),
        ({"hypervisor_guid": KVM_HOST}, "hypervisor"),
        ({"hypervisor_guid": guid_of("manager/RHV")}, "hypervisor"),
        ({"cluster_guid": ""}, "cluster"),
        ({"cluster_guid": guid_of("cluster/RHV")}, "cluster"),
        ({"storage_guid": guid_of("storage/OPENSTACK/archive-pool")}, "storage"),
        ({"name": ""}, "name"),
        ({"name": "WEB-01"}, "name"),
        ({"name": "new/../name"}, "name"),
        ({"name": "x" * 256}, "name"),
    ],
)
def test_what_can_never_work_is_refused(fields: dict[str, str], field: str, restorer: Membership):
    with pytest.raises(WishRefused) as refused:
        ask(restorer, **fields)
    assert refused.value.field == field
    assert not Operation.across_tenants.exists()


def test_the_original_name_is_free_when_the_machine_is_gone(api: VProtect, restorer: Membership):
    assert ask(restorer, GONE, name="").request["name"] == ""


def test_too_little_free_space_is_refused(restorer: Membership):
    Storage.objects.update(used=2000 * 1024**3)
    with pytest.raises(WishRefused, match="not enough free space"):
        ask(restorer)


def test_only_good_backups_with_a_copy_are_restore_points(tenant: Tenant, restorer: Membership):
    machine = Machine.across_tenants.get(guid=WEB)
    all_of = Backup.across_tenants.filter(machine=machine)
    with scope(tenant=tenant):
        before = restore_points(machine).count()
        newest = restore_points(machine)[0]
        all_of.filter(pk=newest.pk).update(destinations=[{"guid": "d", "name": "d", "role": "", "status": "REMOVED"}])
        assert restore_points(machine).count() == before - 1
        all_of.filter(pk=newest.pk).update(destinations=[])
        assert restore_points(machine).count() == before, "where the server tells nothing of copies"
        all_of.update(status="FAILED")
        assert not restore_points(machine).exists()


def test_a_second_click_is_the_same_restore(restorer: Membership):
    first = ask(restorer)
    assert ask(restorer).pk == first.pk
    assert Operation.across_tenants.count() == 1
