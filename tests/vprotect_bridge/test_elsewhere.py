"""Schedules and the provider start work too; tenants see it, as what it is (API reference, 6.1, 6.5 and 7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tenants.models import Claim, Grant, Role, Tenant
from tests.conftest import operation_on, person
from vprotect_bridge import submit as protocol
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.follow import follow
from vprotect_bridge.models import Backup, Machine, Operation, UpstreamStatus
from vprotect_bridge.plan_sync import sync_plans
from vprotect_bridge.sync import refresh_backups, sync_inventory
from vprotect_simulator.landscape import PROJECT_UUIDS
from vprotect_simulator.names import enum, guid_of
from vprotect_simulator.server import SimulatorServer

pytestmark = pytest.mark.django_db(transaction=True)

WEB, DB, UNCLAIMED = guid_of("vm/web-01"), guid_of("vm/db-01"), guid_of("vm/lab-01")
PRIMARY, RULE = guid_of("destination/primary-fs"), guid_of("rule/daily")
OPENSTACK = guid_of("manager/OPENSTACK")


@pytest.fixture
def tenant(api: VProtect) -> Tenant:
    tenant = Tenant.objects.create(name="Sunflower", slug="sunflower")
    Claim.across_tenants.create(tenant=tenant, kind=Claim.Kind.TENANT_VALUE, value=PROJECT_UUIDS["aurora-books"])
    Grant.across_tenants.create(tenant=tenant, kind=Grant.Kind.DESTINATION, guid=PRIMARY)
    sync_inventory(api)
    sync_plans(api)
    refresh_backups(api, Machine.across_tenants.get(guid=WEB))
    return tenant


def in_the_console(api: VProtect, path: str, **body: Any) -> Any:
    """As if a person had clicked in vProtect's own console."""
    return api.transport.post(path, body).data


def export_in_the_console(api: VProtect, guid: str = WEB) -> Any:
    place = {"rules": [{"guid": RULE}]} if api.dialect.goes_by_rules else {"backupDestination": {"guid": PRIMARY}}
    wish = {"protectedEntities": [{"guid": guid}], "backupType": {"name": "FULL"}, **place}
    return in_the_console(api, "/tasks/export", **wish)


def a_backup_of(guid: str) -> str:
    return Backup.across_tenants.filter(machine__guid=guid, status="SUCCESS").latest("sort_at").guid


def look(api: VProtect, simulator: SimulatorServer, seconds: float) -> None:
    simulator.control.advance(seconds)
    Operation.across_tenants.update(followed_at=None)
    UpstreamStatus.objects.update(followed_at=None)
    follow(api)


def wish_of(tenant: Tenant, guid: str = WEB) -> Operation:
    machine = Machine.across_tenants.get(guid=guid)
    operation = operation_on(machine, created_by=person(tenant, "member", Role.MEMBER))
    request = {"backup_type": "FULL", "destination_guid": PRIMARY, "priority": 50}
    Operation.across_tenants.filter(pk=operation.pk).update(request=request)
    return operation


def now(operation: Operation) -> Operation:
    return Operation.across_tenants.get(pk=operation.pk)


# ── What is noted ────────────────────────────────────────────────────────────


def test_a_backup_from_the_console_is_followed_to_its_end(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    export_in_the_console(api)
    look(api, simulator, 1)
    noted = Operation.across_tenants.get()
    assert (noted.origin, noted.kind, noted.tenant, noted.created_by) == ("elsewhere", "backup", tenant, None)
    for seconds in (30, 170, 60, 300):
        look(api, simulator, seconds)
    ended = now(noted)
    assert (ended.outcome, ended.progress, ended.made_type) == ("succeeded", 100, "FULL")
    assert Operation.across_tenants.count() == 1, "EXPORT and STORE are one story"
    assert Backup.across_tenants.get(guid=ended.backup_guid).status == "SUCCESS"
    assert not simulator.control.ledger("PUT") and len(simulator.control.ledger("POST", "/tasks")) == 1


def test_a_schedules_task_is_called_a_schedules(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    [task] = export_in_the_console(api)
    origin = {"guid": "schedule-1", "name": "nightly", "type": enum("SCHEDULE")}
    simulator.state.tasks[task["guid"]]["originEntity"] = origin
    look(api, simulator, 1)
    assert Operation.across_tenants.get().origin == "schedule"


def test_one_that_is_first_seen_while_it_is_stored(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    simulator.control.change_settings(speed=1)
    export_in_the_console(api)
    while not any(task["type"]["name"] == "STORE" for task in simulator.control.tasks()):
        simulator.control.advance(10)
    look(api, simulator, 1)
    assert Operation.across_tenants.get().phase in {"between", "storing"}
    for _ in range(2):
        look(api, simulator, 400)
    assert Operation.across_tenants.get().outcome == "succeeded"


def test_a_machine_that_is_nobodys_gives_nobody_an_operation(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    export_in_the_console(api, UNCLAIMED)
    look(api, simulator, 1)
    assert not Operation.across_tenants.exists()


def test_the_console_is_looked_at_once_a_minute_while_nothing_is_open(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant
):
    follow(api)
    asked = len(simulator.control.ledger())
    for _ in range(5):
        follow(api)
    assert len(simulator.control.ledger()) == asked
    UpstreamStatus.objects.update(followed_at=timezone.now() - timedelta(seconds=61))
    follow(api)
    assert len(simulator.control.ledger()) == asked + 2


# ── What is never taken for somebody else's ──────────────────────────────────


def test_our_own_tasks_are_never_noted_a_second_time(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    wish_of(tenant)
    protocol.submit(api)
    for seconds in (1, 30, 170, 60, 300, 60):
        look(api, simulator, seconds)
    assert [(row.origin, row.outcome) for row in Operation.across_tenants.all()] == [("portal", "succeeded")]


@pytest.mark.parametrize("submission", ["pending", "sending", "uncertain", "needs_attention"])
def test_a_task_that_may_be_ours_waits_until_it_is_settled(
    submission: str, api: VProtect, simulator: SimulatorServer, tenant: Tenant
):
    machine = Machine.across_tenants.get(guid=WEB)
    operation_on(machine, submission=submission, sent_at=timezone.now())
    export_in_the_console(api)
    look(api, simulator, 1)
    assert Operation.across_tenants.get().origin == "portal"


def test_a_note_never_keeps_a_wish_from_its_own_task(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant, settings: Any
):
    """Even if our task had been noted as somebody else's, the wish finds and adopts it and is not sent again."""
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "settle": 0.0}
    operation = wish_of(tenant)
    simulator.control.fault("reset", path="/tasks/export", when="after")
    protocol.submit(api)
    assert now(operation).submission == "uncertain"
    [made] = simulator.control.made_tasks()
    operation_on(operation.machine, origin="elsewhere", submission="accepted", task_guid=made["guid"])
    Operation.across_tenants.update(next_at=timezone.now())
    protocol.reconcile(api)
    assert (now(operation).submission, now(operation).task_guid) == ("accepted", made["guid"])
    assert len(simulator.control.made_tasks()) == 1


def test_both_a_schedule_and_a_person_may_want_a_backup_at_once(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant
):
    export_in_the_console(api)
    look(api, simulator, 1)
    operation = wish_of(tenant)
    protocol.submit(api)
    for seconds in (1, 400, 60, 400, 60, 400):
        look(api, simulator, seconds)
    assert now(operation).outcome == "succeeded"
    guids = set(Operation.across_tenants.values_list("backup_guid", flat=True))
    assert Operation.across_tenants.count() == len(guids) == 2


# ── Restores ─────────────────────────────────────────────────────────────────


def test_a_restore_from_the_console_is_one_story_and_claims_nothing(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant
):
    in_the_console(
        api,
        "/tasks/restore-and-import",
        backup={"guid": a_backup_of(WEB)},
        hypervisorManager={"guid": OPENSTACK},
        restoreProject="aurora-books",
        restoreClusterId="nova",
        restoredPeName="by-the-provider",
    )
    claims = Claim.across_tenants.count()
    look(api, simulator, 1)
    noted = Operation.across_tenants.get()
    assert (noted.origin, noted.kind) == ("elsewhere", "restore")
    for seconds in (60, 135, 30, 5, 200, 60):
        look(api, simulator, seconds)
    assert (now(noted).outcome, Operation.across_tenants.count()) == ("succeeded", 1)
    assert Claim.across_tenants.count() == claims, "it waits for the operator's click"


def test_a_restore_to_a_nodes_file_system_is_shown_as_such(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    node = {"guid": guid_of("node/node1")}
    in_the_console(api, "/tasks/restore", backup={"guid": a_backup_of(WEB)}, node=node, restorePath="/vprotect_data")
    look(api, simulator, 1)
    noted = Operation.across_tenants.get()
    assert (noted.kind, noted.request["task_type"]) == ("task", "RESTORE")
    look(api, simulator, 60)
    assert now(noted).phase == "working"
    look(api, simulator, 1000)
    assert (now(noted).outcome, now(noted).restored_guid) == ("succeeded", "")
    assert not [task for task in simulator.control.made_tasks() if task["type"] == "IMPORT"]


def test_a_task_that_vanished_is_not_called_a_success(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    node = {"guid": guid_of("node/node1")}
    task = in_the_console(api, "/tasks/restore", backup={"guid": a_backup_of(WEB)}, node=node)
    look(api, simulator, 1)
    simulator.control.remove_task(task["guid"])
    look(api, simulator, 1)
    assert Operation.across_tenants.get().outcome == "unknown"


def test_an_older_import_of_the_same_backup_is_not_taken_for_the_end_of_ours(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant
):
    """On a server without restore jobs the IMPORT decides, and must be the one of this restore."""
    simulator.control.change_settings(has_restore_jobs=False, speed=1000)
    body = {
        "backup": {"guid": a_backup_of(WEB)},
        "hypervisorManager": {"guid": OPENSTACK},
        "restoreProject": "aurora-books",
        "restoreClusterId": "nova",
    }
    in_the_console(api, "/tasks/restore-and-import", **body, restoredPeName="first")
    for _ in range(3):
        simulator.control.advance(60)
        simulator.control.tasks()
    simulator.control.change_settings(speed=1)
    machine = Machine.across_tenants.get(guid=WEB)
    Grant.across_tenants.create(tenant=tenant, kind=Grant.Kind.HYPERVISOR, guid=OPENSTACK)
    request = {
        "backup_guid": body["backup"]["guid"],
        "hypervisor_guid": OPENSTACK,
        "is_manager": True,
        "cluster_uuid": "nova",
        "storage_uuid": "",
        "project_name": "aurora-books",
        "name": "second",
        "grants": [["hypervisor", OPENSTACK]],
    }
    restorer = person(tenant, "restorer", Role.RESTORER)
    wish = operation_on(machine, kind="restore", created_by=restorer, backup_guid=request["backup_guid"])
    Operation.across_tenants.filter(pk=wish.pk).update(request=request)
    protocol.submit(api)
    for guid in [task["guid"] for task in simulator.control.tasks() if task["state"]["name"] in {"QUEUED", "RUNNING"}]:
        simulator.control.remove_task(guid)
    look(api, simulator, 1)
    assert (now(wish).submission, now(wish).outcome) == ("accepted", "")


# ── Over before anybody looked ───────────────────────────────────────────────


def test_a_backup_that_nobody_saw_running_is_in_the_activity_all_the_same(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant
):
    simulator.control.change_settings(speed=1000)
    [task] = export_in_the_console(api)
    simulator.control.advance(30), simulator.control.tasks(), simulator.control.advance(30)
    refresh_backups(api, Machine.across_tenants.get(guid=WEB))
    [noted] = Operation.across_tenants.all()
    assert (noted.origin, noted.outcome, noted.made_type) == ("elsewhere", "succeeded", "FULL")
    assert noted.backup_guid == task["backup"]["guid"]
    for _ in range(2):
        refresh_backups(api, Machine.across_tenants.get(guid=WEB))
        look(api, simulator, 60)
    assert Operation.across_tenants.count() == 1


def test_a_first_import_is_history_and_no_activity(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    refresh_backups(api, Machine.across_tenants.get(guid=DB))
    assert Backup.across_tenants.filter(machine__guid=DB).exists() and not Operation.across_tenants.exists()


def test_a_wish_that_does_not_know_its_backup_yet_keeps_it_for_itself(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant, settings: Any
):
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "settle": 0.0}
    operation = wish_of(tenant)
    simulator.control.change_settings(speed=1000, task_retention=0)
    simulator.control.fault("reset", path="/tasks/export", when="after")
    protocol.submit(api)
    simulator.control.advance(30), simulator.control.tasks(), simulator.control.advance(30)
    refresh_backups(api, Machine.across_tenants.get(guid=WEB))
    assert Operation.across_tenants.get() == operation
    Operation.across_tenants.update(next_at=timezone.now())
    protocol.reconcile(api)
    assert now(operation).submission == "accepted" and now(operation).backup_guid
