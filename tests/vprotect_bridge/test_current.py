"""What is peculiar to the current dialect: backups by rules, copies to restore from, several rules, retention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone
from django_scopes import scope

from tenants.models import Claim, Grant, Membership, Role, Tenant
from tests.conftest import person
from vprotect_bridge import submit as protocol
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.plans import Retention
from vprotect_bridge.models import Backup, Machine, Operation, Plan
from vprotect_bridge.plan_changes import follow_clocks, work_on_changes
from vprotect_bridge.plan_facts import Held
from vprotect_bridge.plan_preview import next_runs_of
from vprotect_bridge.plan_sync import sync_plans
from vprotect_bridge.plan_wishes import PlanWish, WantedSchedule, request_new_plan, request_plan_change
from vprotect_bridge.restoring import location_of
from vprotect_bridge.services import BackupWish, WishRefused, request_backup
from vprotect_bridge.sync import refresh_backups, sync_inventory
from vprotect_simulator.landscape import PROJECT_UUIDS
from vprotect_simulator.names import Row, enum, guid_of, new_guid, reference
from vprotect_simulator.server import SimulatorServer

pytestmark = pytest.mark.django_db(transaction=True)

WEB, DB, NEW = (guid_of(f"vm/{name}") for name in ("web-01", "db-01", "new-01"))
DAILY, RULE = guid_of("policy/daily"), guid_of("rule/daily")
PRIMARY, TAPE = guid_of("destination/primary-fs"), guid_of("destination/archive-tape")
DAY_MS = 24 * 60 * 60 * 1000
MONTHLY = WantedSchedule("FULL", ("SUNDAY",), at="12:00", occurrences=("FIRST_IN_MONTH",))


@pytest.fixture
def dialect() -> str:
    return "current"


@pytest.fixture
def tenant(api: VProtect) -> Tenant:
    """Nothing is granted: where backups go its plans say."""
    tenant = Tenant.objects.create(name="Sunflower", slug="sunflower", time_zone="Europe/Warsaw")
    Claim.across_tenants.create(tenant=tenant, kind=Claim.Kind.TENANT_VALUE, value=PROJECT_UUIDS["aurora-books"])
    sync_inventory(api)
    sync_plans(api)
    return tenant


@pytest.fixture
def member(tenant: Tenant) -> Membership:
    user = person(tenant, "member", Role.MEMBER)
    return Membership.objects.select_related("tenant", "user").get(user=user)


def back_up(member: Membership, guid: str = WEB, **fields: Any) -> Operation:
    wish = BackupWish("FULL", "", timezone.now() + timedelta(hours=6), **fields)
    with scope(tenant=member.tenant), transaction.atomic():
        machine = Machine.objects.get(guid=guid)
        return request_backup(member, machine, wish, client_key=uuid4(), address=None)[0]


def now(row: Any) -> Any:
    return type(row).across_tenants.get(pk=row.pk)


def second_rule(simulator: SimulatorServer, policy: str = DAILY, **members: Any) -> Row:
    """One that a provider added: it stores on tape."""
    rule = {
        **{"guid": new_guid(), "name": "To tape", "_policy": policy, "_schedules": [], "_destination": TAPE},
        **{"active": True, "position": 1},
        "ruleBackupDestinations": [destination(simulator, TAPE, "PRIMARY")],
    }
    simulator.state.rules[rule["guid"]] = {**rule, **members}
    return simulator.state.rules[rule["guid"]]


def destination(simulator: SimulatorServer, guid: str, role: str, **members: Any) -> Row:
    return {
        "backupDestination": reference(simulator.state.destinations[guid]),
        "roleType": enum(role),
        "active": True,
        "daysToKeepRetentionLock": 7,
        "backupRetentionSettings": {"retentionKeepLastNFull": 2, "retentionKeepFullNewerThan": 90 * DAY_MS},
        **members,
    }


# ── Backing up ───────────────────────────────────────────────────────────────


def test_a_backup_names_the_rule_of_the_machines_plan(api: VProtect, simulator: SimulatorServer, member: Membership):
    operation = back_up(member)
    assert operation.request["destination_guid"] == PRIMARY, "where it goes is known, and shown"
    protocol.submit(api)
    assert now(operation).submission == "accepted", now(operation).user_message
    [call] = simulator.control.ledger("POST", "/tasks/export")
    assert call["body"]["rules"] == [{"guid": RULE}] and "backupDestination" not in call["body"]


def test_of_several_rules_the_chosen_one_is_named(api: VProtect, simulator: SimulatorServer, member: Membership):
    tape = second_rule(simulator)
    sync_plans(api)
    operation = back_up(member, rule_guid=tape["guid"])
    assert operation.request["destination_guid"] == TAPE
    protocol.submit(api)
    [call] = simulator.control.ledger("POST", "/tasks/export")
    assert call["body"]["rules"] == [{"guid": tape["guid"]}]


def test_a_machine_without_a_plan_cannot_be_backed_up(api: VProtect, simulator: SimulatorServer, member: Membership):
    simulator.control.change_machine(NEW, {"vmBackupPolicy": None})
    sync_inventory(api)
    with pytest.raises(WishRefused, match="has no plan yet"):
        back_up(member, NEW)


def test_nor_one_whose_plan_has_no_rule_that_acts(api: VProtect, simulator: SimulatorServer, member: Membership):
    simulator.state.rules[RULE]["active"] = False
    sync_plans(api)
    with pytest.raises(WishRefused, match="does not say where backups go"):
        back_up(member)


@pytest.mark.parametrize("rule", [guid_of("rule/weekly-full"), "no-such-rule"])
def test_a_rule_of_another_plan_is_refused(rule: str, member: Membership):
    with pytest.raises(WishRefused) as refused:
        back_up(member, rule_guid=rule)
    assert refused.value.field == "destination"


def test_a_rule_that_went_since_the_click_is_refused(api: VProtect, simulator: SimulatorServer, member: Membership):
    tape = second_rule(simulator)
    sync_plans(api)
    operation = back_up(member, rule_guid=tape["guid"])
    tape["markedForDeletion"] = True
    sync_plans(api)
    protocol.submit(api)
    assert now(operation).submission == "rejected" and "plan of this machine changed" in now(operation).user_message
    assert simulator.control.ledger("POST", "/tasks/export") == []


def test_a_wish_from_before_the_dialect_was_changed_finds_its_rule(
    api: VProtect, simulator: SimulatorServer, member: Membership
):
    operation = back_up(member)
    request = {name: value for name, value in operation.request.items() if name != "rule_guid"}
    Operation.across_tenants.filter(pk=operation.pk).update(request=request)
    protocol.submit(api)
    [call] = simulator.control.ledger("POST", "/tasks/export")
    assert call["body"]["rules"] == [{"guid": RULE}]


# ── Restoring ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("copies", "chosen"),
    [
        ([("ARCHIVE", "PRESENT", "a"), ("PRIMARY", "PRESENT", "p")], "p"),
        ([("PRIMARY", "REMOVED", "p"), ("SECONDARY", "PRESENT", "s"), ("ARCHIVE", "PRESENT", "a")], "s"),
        ([("NEW_ROLE", "PRESENT", "n"), ("ARCHIVE", "PRESENT", "a")], "a"),
        ([("PRIMARY", "FAILED", "p")], ""),
        ([("PRIMARY", "PRESENT", "")], ""),
        ([], ""),
    ],
)
def test_the_first_present_copy_is_restored_from(
    copies: list[tuple[str, str, str]], chosen: str, api: VProtect, tenant: Tenant
):
    refresh_backups(api, Machine.across_tenants.get(guid=WEB))
    backup = Backup.across_tenants.filter(machine__guid=WEB).latest("sort_at")
    rows = [{"guid": "d", "role": role, "status": status, "location_guid": guid} for role, status, guid in copies]
    Backup.across_tenants.filter(pk=backup.pk).update(destinations=rows)
    assert location_of(backup.guid) == chosen


# ── Plans of several rules ───────────────────────────────────────────────────


@pytest.fixture
def admin(tenant: Tenant) -> Iterator[Membership]:
    for guid in (PRIMARY, TAPE):
        Grant.across_tenants.create(tenant=tenant, kind=Grant.Kind.DESTINATION, guid=guid)
    user = person(tenant, "admin", Role.ADMIN)
    yield Membership.objects.select_related("tenant", "user").get(user=user)


@pytest.fixture
def plan(api: VProtect, admin: Membership) -> Plan:
    wish = PlanWish("Monthly", "Europe/Warsaw", (MONTHLY,), PRIMARY, (NEW,), priority=40)
    with scope(tenant=admin.tenant), transaction.atomic():
        change = request_new_plan(admin, wish, client_key=uuid4(), address=None)[0]
    work_on_changes(api)
    assert now(change).state == "done", now(change).detail
    return now(change.plan)


def edit(api: VProtect, admin: Membership, plan: Plan, **changes: Any) -> Any:
    plan = now(plan)
    with scope(tenant=admin.tenant), transaction.atomic():
        wish = replace(PlanWish.of_plan(plan), **changes)
        usual = {"based_on": plan.held_digest, "client_key": uuid4(), "address": None}
        change = request_plan_change(admin, plan, "edit", wish, **usual)[0]
    work_on_changes(api)
    return now(change)


def test_a_plan_of_several_rules_is_shown_whole_and_only_the_provider_changes_it(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    before = next_runs_of(Held.from_json(plan.held), timezone.now(), 50)
    second_rule(simulator, plan.policy_guid, _schedules=[guid_of("schedule/saturdays")])
    simulator.state.policies[plan.policy_guid]["priority"] = 41
    sync_plans(api)
    held = Held.from_json(now(plan).held)
    assert [rule["name"] for rule in held.rules] == ["Default", "To tape"]
    assert len(held.acting_schedules) == 2 and next_runs_of(held, timezone.now(), 50) != before
    assert not now(plan).is_editable
    with pytest.raises(WishRefused, match="Only your provider"):
        edit(api, admin, plan, priority=10)


def test_a_clock_change_does_not_flatten_it_either(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    second_rule(simulator, plan.policy_guid)
    simulator.state.policies[plan.policy_guid]["priority"] = 41
    sync_plans(api)
    Plan.across_tenants.filter(pk=plan.pk).update(put_again_at=timezone.now())
    follow_clocks()
    work_on_changes(api)
    assert len([rule for rule in simulator.state.rules.values() if rule["_policy"] == plan.policy_guid]) == 2


def test_a_rule_that_comes_while_a_change_is_put_in_place_is_not_taken_away(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    """The first PUT fails; before it is tried again the provider adds a rule."""
    simulator.control.fault("status", method="PUT", path="/policies/.*", status=503, body={"message": "later"})
    change = edit(api, admin, plan, priority=10)
    assert change.state == "working"
    second_rule(simulator, plan.policy_guid)
    type(change).across_tenants.update(next_at=timezone.now())
    work_on_changes(api)
    assert now(change).state in {"refused", "stuck"} and "several rules" in now(change).user_message
    assert len([rule for rule in simulator.state.rules.values() if rule["_policy"] == plan.policy_guid]) == 2


def test_a_rule_that_is_marked_for_deletion_is_hidden(api: VProtect, simulator: SimulatorServer, plan: Plan):
    second_rule(simulator, plan.policy_guid, markedForDeletion=True)
    simulator.state.policies[plan.policy_guid]["priority"] = 41
    sync_plans(api)
    assert len(now(plan).held["rules"]) == 1 and now(plan).is_editable


# ── Retention and other destinations ─────────────────────────────────────────


def stored(simulator: SimulatorServer, plan: Plan) -> list[Row]:
    [rule] = [rule for rule in simulator.state.rules.values() if rule["_policy"] == plan.policy_guid]
    return rule["ruleBackupDestinations"]


def test_a_new_plan_keeps_what_the_vendors_pages_propose(simulator: SimulatorServer, plan: Plan):
    [primary] = stored(simulator, plan)
    assert primary["backupRetentionSettings"]["retentionKeepFullNewerThan"] == 30 * DAY_MS
    assert Held.from_json(plan.held).rules[0]["destinations"][0]["retention"]["full_ms"] == 30 * DAY_MS


def test_another_retention_is_put_in_milliseconds(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    wanted = Retention(6, 60 * DAY_MS, 14, 14 * DAY_MS, keeps_last=True)
    assert edit(api, admin, plan, retention=wanted).state == "done"
    [primary] = stored(simulator, plan)
    assert primary["backupRetentionSettings"] == {
        "retentionKeepLastNFull": 6,
        "retentionKeepFullNewerThan": 60 * DAY_MS,
        "retentionKeepLastNIncremental": 14,
        "retentionKeepIncrementalNewerThan": 14 * DAY_MS,
        "keepLastBackupWhenSourceStillExists": True,
    }


def test_an_edit_leaves_other_destinations_and_their_retention(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    """Also one that is switched off, which lists do not show."""
    off = destination(simulator, TAPE, "ARCHIVE", active=False)
    stored(simulator, plan).append(off)
    simulator.state.policies[plan.policy_guid]["priority"] = 41
    sync_plans(api)
    change = edit(api, admin, plan, destination_guid=TAPE, priority=10)
    assert change.state == "done", change.detail
    primary, archive = stored(simulator, plan)
    assert primary["backupDestination"]["guid"] == TAPE
    kept = ("backupDestination", "roleType", "active", "daysToKeepRetentionLock")
    assert [archive[name] for name in kept] == [off[name] for name in kept]
    assert archive["backupRetentionSettings"].items() >= off["backupRetentionSettings"].items()
