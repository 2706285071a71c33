"""Accepted backups are followed to their end, against the simulator (API reference, chapter 7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tenants.models import Claim, Grant, Role, Tenant
from tests.conftest import both_dialects, operation_on, person
from vprotect_bridge import submit as protocol
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.follow import Console, follow, look_at_console
from vprotect_bridge.limits import QUOTA_USED_UP
from vprotect_bridge.models import Backup, Machine, Operation, OperationEvent
from vprotect_bridge.places import told
from vprotect_bridge.plan_sync import sync_plans
from vprotect_bridge.sync import sync_inventory
from vprotect_simulator.landscape import PROJECT_UUIDS
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

pytestmark = pytest.mark.django_db(transaction=True)

WEB, NEW = guid_of("vm/web-01"), guid_of("vm/new-01")
PRIMARY = guid_of("destination/primary-fs")


@pytest.fixture
def tenant(api: VProtect) -> Tenant:
    tenant = Tenant.objects.create(name="Sunflower", slug="sunflower")
    Claim.across_tenants.create(tenant=tenant, kind=Claim.Kind.TENANT_VALUE, value=PROJECT_UUIDS["aurora-books"])
    Grant.across_tenants.create(tenant=tenant, kind=Grant.Kind.DESTINATION, guid=PRIMARY)
    sync_inventory(api)
    if api.dialect.goes_by_rules:
        sync_plans(api)
    return tenant


def sent_backup(api: VProtect, tenant: Tenant, guid: str = WEB, backup_type: str = "FULL") -> Operation:
    machine = Machine.across_tenants.get(guid=guid)
    member = person(tenant, f"member-{guid[:4]}", Role.MEMBER)
    operation = operation_on(machine, created_by=member)
    request = {"backup_type": backup_type, "destination_guid": PRIMARY, "priority": 50}
    Operation.across_tenants.filter(pk=operation.pk).update(request=request)
    protocol.submit(api)
    return now(operation)


def now(operation: Operation) -> Operation:
    return Operation.across_tenants.get(pk=operation.pk)


def look(api: VProtect, simulator: SimulatorServer, operation: Operation, seconds: float) -> Operation:
    """Lets time pass upstream, and enough here that nothing is asked too soon."""
    simulator.control.advance(seconds)
    Operation.across_tenants.filter(pk=operation.pk).update(followed_at=None)
    follow(api)
    return now(operation)


@both_dialects
def test_export_and_store_are_one_story(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    operation = sent_backup(api, tenant)
    assert (operation.submission, operation.phase) == ("accepted", "queued")
    seen = [look(api, simulator, operation, seconds) for seconds in (1, 60, 140, 1, 50, 1, 300)]
    phases = list(dict.fromkeys(step.phase for step in seen))
    assert phases == ["queued", "exporting", "between", "storing", ""]
    progress = [step.progress for step in seen]
    assert progress == sorted(progress) and max(progress[:-1]) < 100
    last = seen[-1]
    assert (last.outcome, last.progress, last.made_type) == ("succeeded", 100, "FULL")
    assert last.finished_at and last.started_at
    backup = Backup.across_tenants.get(guid=last.backup_guid)
    assert (backup.status, backup.tenant) == ("SUCCESS", tenant), "the history has it at once"
    moves = OperationEvent.across_tenants.filter(operation=operation).order_by("at").values_list("moved_to", flat=True)
    assert list(moves) == ["sending", "accepted", "exporting", "between", "storing", "succeeded"]


def test_nothing_is_asked_while_nothing_is_open(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    follow(api)
    asked = len(simulator.control.ledger())
    assert follow(api) == 0
    assert len(simulator.control.ledger()) == asked


def test_many_operations_cost_the_same_two_listings(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    operations = [sent_backup(api, tenant, guid) for guid in (WEB, NEW)]
    asked = len(simulator.control.ledger())
    look(api, simulator, operations[0], 60)
    assert len(simulator.control.ledger()) - asked == 2


def test_what_rests_costs_nothing_and_is_followed_on_when_it_moves(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant
):
    """Of thousands that wait in line, only those that moved are loaded."""
    simulator.control.change_settings(max_running=0)
    waiting = [sent_backup(api, tenant, guid) for guid in (WEB, NEW)]
    follow(api)
    follow(api)
    with CaptureQueriesContext(connection) as queries:
        assert follow(api) == 0
    assert not [q for q in queries if 'INNER JOIN "vprotect_bridge_machine"' in q["sql"]]
    Operation.across_tenants.filter(pk=waiting[0].pk).update(place_in_line=7)
    assert follow(api) == 1 and now(waiting[0]).place_in_line == 1, "also when it was the mirror that moved"
    simulator.control.change_settings(max_running=4)
    assert look(api, simulator, waiting[1], 60).phase == "exporting"


def test_one_machines_trouble_holds_up_no_other(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    broken, other = (sent_backup(api, tenant, guid) for guid in (WEB, NEW))
    simulator.control.change_settings(speed=1000)
    simulator.control.advance(400), simulator.control.tasks(), simulator.control.advance(400)
    simulator.control.fault("status", path=f"/backups/{broken.backup_guid}", times=0)
    follow(api)
    assert (now(broken).outcome, now(other).outcome) == ("", "succeeded")
    simulator.control.clear_faults()
    assert look(api, simulator, broken, 1).outcome == "succeeded"


def test_a_place_in_line_is_shown(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    simulator.control.change_settings(max_running=0)
    first, second = (sent_backup(api, tenant, guid) for guid in (WEB, NEW))
    follow(api)
    assert (now(first).place_in_line, now(second).place_in_line) == (1, 2)


def test_an_unchanged_look_writes_nothing(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    simulator.control.change_settings(max_running=0)
    operation = sent_backup(api, tenant)
    follow(api)
    version = now(operation).version
    assert follow(api) == 0
    assert now(operation).version == version


def test_a_full_made_instead_is_told(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    operation = sent_backup(api, tenant, NEW, "INCREMENTAL")
    for _ in range(3):
        operation = look(api, simulator, operation, 400)
    assert (operation.outcome, operation.made_type) == ("succeeded", "FULL")


@pytest.mark.parametrize("kind", ["EXPORT", "STORE"])
def test_a_failure_ends_it(kind: str, api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    simulator.control.change_machine(WEB, {"_behaviour": {kind: "fail"}})
    operation = sent_backup(api, tenant)
    for _ in range(3):
        operation = look(api, simulator, operation, 400)
    assert (operation.outcome, operation.phase) == ("failed", "")
    assert operation.progress < 100
    assert Backup.across_tenants.get(guid=operation.backup_guid).status_info


@both_dialects
@pytest.mark.parametrize("kind", ["EXPORT", "STORE"])
def test_a_quota_that_fails_a_task_is_told_as_such(
    kind: str, api: VProtect, simulator: SimulatorServer, tenant: Tenant
):
    """API reference, 6.3: only the text tells it from other failures, and that is not for a page."""
    said = "Quota NUMBER_OF_BACKUPS (HARD) of project x exceeded on node1.internal"
    simulator.control.change_machine(WEB, {"_behaviour": {kind: "fail", "reason": said}})
    operation = sent_backup(api, tenant)
    for _ in range(3):
        operation = look(api, simulator, operation, 400)
    assert (operation.outcome, operation.user_message) == ("failed", QUOTA_USED_UP)


@pytest.mark.parametrize("kind", ["EXPORT", "STORE"])
def test_a_task_that_is_repeated_under_a_new_guid_is_the_same_story(
    kind: str, api: VProtect, simulator: SimulatorServer, tenant: Tenant
):
    """API reference, 7.4: a failed task with repetitions left is followed by a copy of itself."""
    simulator.control.change_machine(WEB, {"_behaviour": {kind: "fail"}})
    operation = sent_backup(api, tenant)
    while not (failing := [t for t in simulator.state.tasks.values() if t["type"]["name"] == kind]):
        simulator.control.advance(20), simulator.control.tasks()
    failing[0]["retryCount"] = 1
    while failing[0]["state"]["name"] != "FAILED":
        operation = look(api, simulator, operation, 20)
    simulator.control.change_machine(WEB, {"_behaviour": {}})
    seen = [look(api, simulator, operation, 60) for _ in range(10)]
    assert {step.outcome for step in seen} == {"", "succeeded"} and seen[-1].outcome == "succeeded"
    progress = [step.progress for step in seen]
    assert progress == sorted(progress) and Operation.across_tenants.count() == 1


def test_a_window_that_passed_upstream_ends_it(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    simulator.control.change_settings(max_running=0)
    operation = sent_backup(api, tenant)
    assert look(api, simulator, operation, 7 * 3600).outcome == "failed"


@pytest.mark.parametrize("at", [1, 60, 250])
def test_a_task_that_vanished_is_not_a_failure(at: int, api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    operation = sent_backup(api, tenant)
    for task in simulator.control.tasks():
        simulator.control.remove_task(task["guid"])
    seen = look(api, simulator, operation, at)
    assert (seen.outcome, seen.phase) == ("", "between")


def test_tasks_cleared_after_the_end_leave_the_backup_to_tell(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant
):
    operation = sent_backup(api, tenant)
    simulator.control.change_settings(task_retention=1)
    for _ in range(3):
        operation = look(api, simulator, operation, 400)
    assert simulator.control.tasks() == []
    assert operation.outcome == "succeeded"


def test_a_backup_that_no_task_names_is_found(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    simulator.control.change_settings(speed=1000)
    operation = sent_backup(api, tenant)
    Operation.across_tenants.filter(pk=operation.pk).update(backup_guid="")
    for task in simulator.control.tasks():
        backup = task["backup"]["guid"]
    simulator.control.advance(5)
    for task in simulator.control.tasks():
        simulator.control.remove_task(task["guid"])
    assert look(api, simulator, operation, 1).backup_guid == backup


# ── Cancelling ───────────────────────────────────────────────────────────────


def want_cancelled(operation: Operation) -> None:
    Operation.across_tenants.filter(pk=operation.pk).update(cancel_wanted_at=timezone.now())


@pytest.mark.parametrize("after", [[1], [30], [30, 170, 40]])
def test_a_running_backup_is_cancelled_and_not_called_failed(
    after: list[int], api: VProtect, simulator: SimulatorServer, tenant: Tenant
):
    """Waiting in line, while reading and while storing; the engine stops a little later."""
    operation = sent_backup(api, tenant)
    for seconds in after:
        simulator.control.advance(seconds)
        simulator.control.tasks()
    want_cancelled(operation)
    asked = look(api, simulator, operation, 1)
    assert (asked.outcome, bool(asked.cancel_sent_at)) == ("", True)
    assert look(api, simulator, operation, 15).outcome == "cancelled"
    states = {task["state"]["name"] for task in simulator.control.tasks()}
    assert "CANCELLED" in states and not states & {"RUNNING", "QUEUED"}
    assert not simulator.control.ledger("DELETE"), "none of the global calls, nothing forced out"


def test_cancelling_between_two_tasks_stops_the_second(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    operation = sent_backup(api, tenant)
    simulator.control.advance(60), simulator.control.tasks(), simulator.control.advance(100)
    while any(task["state"]["name"] != "FINISHED" for task in simulator.control.tasks()):
        simulator.control.advance(1)
    want_cancelled(operation)
    assert look(api, simulator, operation, 0).phase == "between"
    look(api, simulator, operation, 16)
    assert look(api, simulator, operation, 15).outcome == "cancelled"


def test_only_the_operations_own_task_is_cancelled(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    one, other = (sent_backup(api, tenant, guid) for guid in (WEB, NEW))
    want_cancelled(one)
    look(api, simulator, one, 30)
    asked = [call["path"] for call in simulator.control.ledger("PUT")]
    assert asked == [f"/tasks/{one.task_guid}/state"]
    assert now(other).phase == "exporting"


def test_one_that_ends_first_has_ended(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    operation = sent_backup(api, tenant)
    simulator.control.change_settings(speed=1000)
    simulator.control.advance(400), simulator.control.tasks(), simulator.control.advance(400)
    want_cancelled(operation)
    assert look(api, simulator, operation, 1).outcome == "succeeded"


def test_a_task_cancelled_elsewhere_is_not_called_failed(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    operation = sent_backup(api, tenant)
    simulator.control.advance(30)
    api.cancel_task(operation.task_guid or "")
    assert look(api, simulator, operation, 1).outcome == ""
    assert look(api, simulator, operation, 15).outcome == "cancelled"


def test_what_can_never_be_found_ends_after_a_day(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    operation = sent_backup(api, tenant)
    for task in simulator.control.tasks():
        simulator.control.remove_task(task["guid"])
    simulator.control.remove_backup(operation.backup_guid)
    assert look(api, simulator, operation, 1).outcome == ""
    Operation.across_tenants.update(created_at=timezone.now() - timedelta(hours=25))
    assert look(api, simulator, operation, 1).outcome == "failed"


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_is_hours_off_hides_no_backup(
    hours: int, api: VProtect, simulator: SimulatorServer, tenant: Tenant, settings: Any
):
    """Made, answer lost, and cleared from the console before we look: only the backup tells, in vProtect's time."""
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "settle": 0.0}
    simulator.control.advance(hours * 3600)
    simulator.control.change_settings(speed=1000, task_retention=0)
    simulator.control.fault("reset", path="/tasks/export", when="after")
    operation = sent_backup(api, tenant)
    simulator.control.advance(30)
    for _ in range(3):
        Operation.across_tenants.update(next_at=timezone.now())
        protocol.reconcile(api)
    assert (now(operation).submission, bool(now(operation).backup_guid)) == ("accepted", True)
    assert len([task for task in simulator.control.made_tasks() if task["type"] == "EXPORT"]) == 1


@pytest.mark.parametrize("fault", ["html", "garbage", "empty"])
def test_nonsense_moves_nothing(fault: str, api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    operation = sent_backup(api, tenant)
    before = now(operation)
    simulator.control.fault(fault, path="/tasks", times=0)
    try:
        look(api, simulator, operation, 1000)
    except Exception as error:
        assert type(error).__name__ == "BadAnswer"
    after = now(operation)
    assert (after.phase, after.outcome, after.version) == (before.phase, before.outcome, before.version)


def test_a_request_applied_too_late_raises_the_alarm(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant, settings: Any
):
    """The one double that cannot be prevented is never silent (fault matrix, F12)."""
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "settle": 0.0}
    simulator.control.fault("late", path="/tasks/export", seconds=1.5)
    operation = sent_backup(api, tenant)
    for _ in range(3):
        Operation.across_tenants.update(next_at=timezone.now())
        protocol.reconcile(api)
    protocol.submit(api)
    assert (now(operation).submission, now(operation).attempts) == ("accepted", 2)
    while len(simulator.control.made_tasks()) < 2:
        pass
    follow(api)
    assert now(operation).submission == "needs_attention"
    assert OperationEvent.across_tenants.filter(detail__startswith="double: ").exists()


# ── The chain of tasks ───────────────────────────────────────────────────────


def chain(operation: Operation) -> list[tuple[str, str]]:
    return list(operation.tasks.values_list("type", "state"))


def test_the_chain_of_tasks_is_kept(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    operation = sent_backup(api, tenant)
    seen = []
    for seconds in (1, 60, 140, 1, 50, 1, 300):
        operation = look(api, simulator, operation, seconds)
        seen.append(chain(operation))
    assert seen[0] == [("EXPORT", "QUEUED")] and seen[-1] == [("EXPORT", "FINISHED"), ("STORE", "FINISHED")]
    export, store = operation.tasks.all()
    assert export.guid == operation.task_guid and store.guid != export.guid
    assert export.started_at <= export.ended_at <= store.ended_at


def test_a_chain_that_stays_as_it_is_is_not_written(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    operation = look(api, simulator, sent_backup(api, tenant), 60)
    with CaptureQueriesContext(connection) as queries:
        follow(api)
    assert not [q["sql"] for q in queries if "operationtask" in q["sql"] and not q["sql"].startswith("SELECT")]
    assert chain(operation) == [("EXPORT", "RUNNING")]


def test_a_repetition_is_a_link_of_its_own(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    simulator.control.change_machine(WEB, {"_behaviour": {"EXPORT": "fail"}})
    operation = look(api, simulator, sent_backup(api, tenant), 20)
    failing = next(t for t in simulator.state.tasks.values() if t["type"]["name"] == "EXPORT")
    failing["retryCount"] = 1
    while failing["state"]["name"] != "FAILED":
        operation = look(api, simulator, operation, 20)
    simulator.control.change_machine(WEB, {"_behaviour": {}})
    for _ in range(10):
        operation = look(api, simulator, operation, 60)
    assert chain(operation) == [("EXPORT", "FAILED"), ("EXPORT", "FINISHED"), ("STORE", "FINISHED")]


def test_what_was_cancelled_ends_its_chain(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    operation = look(api, simulator, sent_backup(api, tenant), 60)
    Operation.across_tenants.filter(pk=operation.pk).update(cancel_wanted_at=timezone.now())
    for _ in range(4):
        operation = look(api, simulator, operation, 60)
    assert operation.outcome == "cancelled" and chain(operation) == [("EXPORT", "CANCELLED")]


# ── Estimates and places ─────────────────────────────────────────────────────


def history(owner: Tenant, *minutes: float, machine_guid: str = WEB, **fields: Any) -> None:
    """Successful full backups that took so long, newest first."""
    machine = Machine.across_tenants.get(guid=machine_guid)
    for number, took in enumerate(minutes):
        at = timezone.now() - timedelta(days=number + 1)
        usual = {"tenant": owner, "status": "SUCCESS", "type": "FULL", "duration_ms": int(took * 60_000)}
        Backup.across_tenants.create(
            **{**usual, **fields}, guid=f"old-{machine_guid[:4]}-{number}-{fields}"[:64], machine=machine, sort_at=at
        )


def test_an_estimate_is_the_median_of_the_last_five(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    history(tenant, 6, 7, 600, 8, 5, 1, 1, 1)
    operation = look(api, simulator, sent_backup(api, tenant), 1)
    assert (operation.usual_from, operation.usual_ms, operation.longest_ms) == (5, 7 * 60_000, 600 * 60_000)


@pytest.mark.parametrize("other", [{"type": "INCREMENTAL"}, {"status": "FAILED"}, {"tenant": None}])
def test_without_a_history_of_its_own_there_is_none(
    other: dict[str, Any], api: VProtect, simulator: SimulatorServer, tenant: Tenant
):
    """Neither another type, nor failures, nor what the machine did while it was somebody else's."""
    history(tenant, 6, 7, 8, **other)
    operation = look(api, simulator, sent_backup(api, tenant), 1)
    assert (operation.usual_from, operation.usual_ms) == (0, None)


def test_waiting_in_the_queue_is_no_work(api: VProtect, simulator: SimulatorServer, tenant: Tenant):
    history(tenant, 90, export_ms=60_000, queued_store_ms=30_000, store_ms=90_000)
    assert look(api, simulator, sent_backup(api, tenant), 1).usual_ms == 180_000


def test_who_waits_for_the_tenants_cap_has_a_place_among_its_own(api: VProtect, tenant: Tenant):
    Tenant.objects.filter(pk=tenant.pk).update(running_cap=1)
    sent_backup(api, tenant, WEB)
    machine = Machine.across_tenants.get(guid=NEW)
    bulk = operation_on(machine, is_bulk=True)
    single = operation_on(Machine.across_tenants.exclude(guid__in=[WEB, NEW]).filter(tenant=tenant)[0])
    follow(api)
    assert [now(row).place_in_line for row in (bulk, single)] == [2, 1], "in the order in which they are sent"
    version = now(bulk).version
    follow(api)
    assert now(bulk).version == version
    Operation.across_tenants.filter(pk=single.pk).update(submission="cancelled", outcome="cancelled")
    follow(api)
    assert (now(bulk).place_in_line, now(bulk).version) == (1, version + 1)
    Operation.across_tenants.filter(origin="portal", submission="accepted").update(outcome="succeeded")
    follow(api)
    assert now(bulk).place_in_line == 1, "also between the end of one and the start of the next"


def test_what_is_sent_at_once_has_no_place_and_what_waits_has_one_also_without_a_cap(api: VProtect, tenant: Tenant):
    first, second = (operation_on(machine) for machine in Machine.across_tenants.filter(tenant=tenant)[:2])
    follow(api)
    assert [now(row).place_in_line for row in (first, second)] == [None, None]
    Operation.across_tenants.update(created_at=timezone.now() - timedelta(seconds=30))
    follow(api)
    assert [now(row).place_in_line for row in (first, second)] == [1, 2]


@pytest.mark.parametrize(("place", "shown"), [(None, None), (1, 1), (10, 10), (11, 20), (100, 100), (101, 200)])
def test_far_back_a_place_is_coarse(place: int | None, shown: int | None):
    assert told(place) == shown


def test_a_queue_that_was_not_seen_whole_gives_no_place(simulator: SimulatorServer, api: VProtect, tenant: Tenant):
    simulator.control.change_settings(max_running=0)
    sent_backup(api, tenant)
    task = look_at_console(api).queue[0]
    assert Console(queue=[task], complete=True).place_of(task) == 1
    assert Console(queue=[task], complete=False).place_of(task) is None
