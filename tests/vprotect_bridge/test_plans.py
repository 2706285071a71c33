"""Plans from the wish to what vProtect holds, against the simulator (API reference, 10–12 and 20)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone
from django_scopes import scope
from pytest_django.plugin import DjangoDbBlocker

from tenants.models import AuditEntry, Claim, Grant, Membership, Role, Tenant
from tests.conftest import USUAL_DIALECT, both_dialects, person
from tests.shapes import WatchedSimulator
from tests.vprotect_bridge.conftest import Saved, as_it_was, set_up_once
from vprotect_bridge import plan_changes
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import Ambiguous, UpstreamError
from vprotect_bridge.models import Machine, Plan, PlanChange, Policy, Standing
from vprotect_bridge.plan_facts import Held
from vprotect_bridge.plan_preview import next_runs_of
from vprotect_bridge.plan_sync import sync_plans
from vprotect_bridge.plan_wishes import (
    PlanWish,
    WantedSchedule,
    decide_stuck,
    request_new_plan,
    request_plan_change,
    schedules_as_held,
)
from vprotect_bridge.services import WishRefused
from vprotect_bridge.sync import sync_inventory
from vprotect_simulator.landscape import PROJECT_UUIDS
from vprotect_simulator.names import Row, guid_of
from vprotect_simulator.server import SimulatorServer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("one_connection")]

WEB, DB, NEW, THEIRS, BARE = (guid_of(f"vm/{name}") for name in ("web-01", "db-01", "new-01", "app-01", "bare-01"))
PRIMARY, GRANTED_TOO = guid_of("destination/primary-fs"), guid_of("destination/archive-tape")
AURORA = PROJECT_UUIDS["aurora-books"]
WORKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY")
NIGHTLY = WantedSchedule("INCREMENTAL", WORKDAYS, at="02:00")
WEEKLY = WantedSchedule("FULL", ("SUNDAY",), at="00:30")
MONTHLY = WantedSchedule("FULL", ("SUNDAY",), at="12:00", occurrences=("FIRST_IN_MONTH",))


def make_tenant(api: VProtect) -> None:
    tenant = Tenant.objects.create(name="Sunflower", slug="sunflower", time_zone="Europe/Warsaw")
    Claim.across_tenants.create(tenant=tenant, kind=Claim.Kind.TENANT_VALUE, value=AURORA)
    for guid in (PRIMARY, GRANTED_TOO):
        Grant.across_tenants.create(tenant=tenant, kind=Grant.Kind.DESTINATION, guid=guid)
    sync_inventory(api)
    sync_plans(api)


@pytest.fixture(scope="module")
def tenant_once(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, simulator_of_the_run: WatchedSimulator
) -> Iterator[Saved]:
    with set_up_once(django_db_blocker, simulator_of_the_run, USUAL_DIALECT, make_tenant) as remembered:
        yield remembered


@pytest.fixture
def tenant(tenant_once: Saved, db: None, api: VProtect, simulator: WatchedSimulator, dialect: str) -> Tenant:
    return as_it_was(tenant_once, api, simulator, dialect)


@pytest.fixture
def admin(tenant: Tenant) -> Membership:
    user = person(tenant, "admin", Role.ADMIN)
    return Membership.objects.select_related("tenant", "user").get(user=user)


def wish(**changes: Any) -> PlanWish:
    usual = PlanWish(
        name="Nightly",
        time_zone="Europe/Warsaw",
        schedules=(WEEKLY, NIGHTLY),
        destination_guid=PRIMARY,
        machine_guids=(DB, NEW),
        priority=40,
    )
    return replace(usual, **changes)


def ask(admin: Membership, wanted: PlanWish) -> PlanChange:
    with scope(tenant=admin.tenant), transaction.atomic():
        return request_new_plan(admin, wanted, client_key=uuid4(), address=None)[0]


def ask_change(admin: Membership, plan: Plan, kind: str, wanted: PlanWish | None = None, **fields: Any) -> PlanChange:
    with scope(tenant=admin.tenant), transaction.atomic():
        usual = {"based_on": now(plan).held_digest, "client_key": uuid4(), "address": None}
        return request_plan_change(admin, now(plan), kind, wanted, **{**usual, **fields})[0]


def work(api: VProtect) -> None:
    PlanChange.across_tenants.update(next_at=timezone.now())
    plan_changes.work_on_changes(api)


def now(row: Any) -> Any:
    return type(row).across_tenants.get(pk=row.pk)


@pytest.fixture
def plan(api: VProtect, admin: Membership) -> Plan:
    """A plan that is in place."""
    change = ask(admin, wish())
    work(api)
    assert now(change).state == "done", now(change).detail
    return now(change.plan)


def policies(simulator: SimulatorServer) -> list[Row]:
    """Those that were made here; the landscape has some of its own."""
    return [row for row in simulator.state.policies.values() if row["name"].startswith("sunflower-")]


def schedules(simulator: SimulatorServer) -> list[Row]:
    rows = [row for row in simulator.state.schedules.values() if row["name"].startswith("sunflower-")]
    return sorted(rows, key=lambda row: row["name"])


def members(simulator: SimulatorServer, policy: Row) -> set[str]:
    in_it = {"guid": policy["guid"], "name": policy["name"]}
    return {vm["guid"] for vm in simulator.state.vms.values() if vm.get("vmBackupPolicy") == in_it}


def nothing_is_left(simulator: SimulatorServer) -> bool:
    return not policies(simulator) and not schedules(simulator)


# ── Making ───────────────────────────────────────────────────────────────────


@both_dialects
def test_a_new_plan_is_a_policy_a_rule_and_its_own_schedules(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant, plan: Plan
):
    [policy] = policies(simulator)
    [rule] = [row for row in simulator.state.rules.values() if row["_policy"] == policy["guid"]]
    assert members(simulator, policy) == {DB, NEW}
    assert (policy["priority"], policy["tenantId"], policy["autoRemoveNonPresent"]) == (40, AURORA, False)
    assert policy["autoAssignSettings"]["mode"]["name"] == "DISABLED"
    assert rule["_destination"] == PRIMARY
    weekly, nightly = schedules(simulator)
    assert set(rule["_schedules"]) == {weekly["guid"], nightly["guid"]}
    assert weekly["active"] and nightly["active"] and weekly["tenantId"] == AURORA
    assert (weekly["backupType"]["name"], nightly["backupType"]["name"]) == ("FULL", "INCREMENTAL")
    assert [day["name"] for day in weekly["daysOfWeek"]] == ["SATURDAY"], "00:30 in Warsaw is the day before in UTC"
    assert 0 <= weekly["hour"] < 86_400_000 and weekly["hour"] % 1_800_000 == 0, "milliseconds"
    assert (plan.policy_guid, plan.standing, plan.has_incremental) == (policy["guid"], Standing.ACTING, True)
    assert plan.schedule_guids == [weekly["guid"], nightly["guid"]]
    assert AuditEntry.across_tenants.get().action == "plan_create"
    machine = Machine.across_tenants.get(guid=DB)
    assert (machine.policy_guid, machine.policy_name) == (plan.policy_guid, policy["name"])


@both_dialects
def test_what_acts_comes_last(api: VProtect, simulator: SimulatorServer, plan: Plan):
    calls = [(c["method"], c["path"], c["body"]) for c in simulator.control.ledger() if c["method"] in {"POST", "PUT"}]
    made = [path.strip("/").split("/")[0] for method, path, _body in calls if path.startswith(("/sch", "/pol", "/rul"))]
    # A current server takes the rule with the policy.
    rule = [] if api.dialect.goes_by_rules else ["rules"]
    assert made == ["schedules", "schedules", "policies", *rule, "policies", "schedules", "schedules"]
    bodies = [body for _method, path, body in calls if path.startswith("/schedules")]
    assert [body["active"] for body in bodies] == [False, False, True, True]
    first_policy = next(body for _method, path, body in calls if path.startswith("/policies"))
    assert first_policy["vms"] == []


def test_names_upstream_tell_nothing(simulator: SimulatorServer, plan: Plan):
    names = [row["name"] for row in (*policies(simulator), *schedules(simulator))]
    assert all("Nightly" not in name for name in names) and len(set(names)) == 3


def test_a_tenant_without_a_value_gets_one(api: VProtect, simulator: SimulatorServer):
    pine = Tenant.objects.create(name="Pine", slug="pine")
    Claim.across_tenants.create(tenant=pine, kind=Claim.Kind.MACHINE, value=BARE)
    Grant.across_tenants.create(tenant=pine, kind=Grant.Kind.DESTINATION, guid=PRIMARY)
    sync_inventory(api)
    user = person(pine, "admin", Role.ADMIN)
    change = ask(Membership.objects.select_related("tenant").get(user=user), wish(machine_guids=(BARE,)))
    work(api)
    value = Claim.across_tenants.get(tenant=pine, kind=Claim.Kind.TENANT_VALUE).value
    assert now(change).state == "done"
    assert {row["tenantId"] for row in simulator.state.policies.values() if row["name"].startswith("pine-")} == {value}


def test_the_next_runs_are_those_of_the_simulator(simulator: SimulatorServer, plan: Plan):
    begin = timezone.now()
    computed = [int(run.timestamp() * 1000) for run in next_runs_of(Held.from_json(plan.held), begin, 6)]
    start, end = int(begin.timestamp() * 1000) + 1, int((begin + timedelta(days=10)).timestamp() * 1000)
    fires = [at for guid in plan.schedule_guids for at in simulator.control.firings(guid, start, end)]
    assert computed == sorted(fires)[:6]


# ── Trouble on the way ───────────────────────────────────────────────────────

# A current server takes the rule with the policy.
RULE_MADE = [("/rules/vm-backup", "POST")] if USUAL_DIALECT == "classic" else []
STEPS = [("/schedules", "POST"), ("/policies/vm-backup", "POST"), *RULE_MADE]
STEPS += [("/policies/vm-backup/.*", "PUT"), ("/schedules/.*", "PUT")]
WRITES = {"create": 6 + len(RULE_MADE), "edit": 6, "delete": 3}


@pytest.mark.parametrize(("path", "method"), STEPS)
@pytest.mark.parametrize(
    ("fault", "when"), [("reset", "before"), ("reset", "after"), ("status", "before"), ("status", "after")]
)
def test_a_new_plan_goes_forward_over_any_fault(
    path: str, method: str, fault: str, when: str, api: VProtect, simulator: SimulatorServer, admin: Membership
):
    simulator.control.fault(fault, path=path, method=method, when=when)
    change = ask(admin, wish())
    for _ in range(3):
        try:
            work(api)
        except UpstreamError:
            continue
    assert not simulator.control.faults._faults, "the fault was met"
    assert now(change).state == "done", now(change).detail
    [policy] = policies(simulator)
    assert members(simulator, policy) == {DB, NEW} and len(schedules(simulator)) == 2
    assert len([row for row in simulator.state.rules.values() if row["_policy"] == policy["guid"]]) == 1


@pytest.mark.parametrize(("path", "method"), STEPS)
def test_a_final_refusal_of_a_new_plan_leaves_nothing(
    path: str, method: str, api: VProtect, simulator: SimulatorServer, admin: Membership
):
    simulator.control.fault("status", path=path, method=method, status=400, times=0)
    change = ask(admin, wish())
    work(api)
    simulator.control.clear_faults()
    work(api)
    assert (now(change).state, nothing_is_left(simulator)) == ("refused", True)
    assert now(change.plan).vanished_at and now(change).user_message
    assert Machine.across_tenants.get(guid=DB).policy_guid == ""


class Killed(BaseException):
    """A worker that is no more."""


@pytest.mark.parametrize("calls", range(1, WRITES["create"] + 1))
def test_a_worker_killed_after_any_call_is_gone_on_for(
    calls: int, api: VProtect, simulator: SimulatorServer, admin: Membership, monkeypatch: pytest.MonkeyPatch
):
    change, left = ask(admin, wish()), [calls]
    note = plan_changes._note_step

    def note_or_die(*args: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        note(*args)

    monkeypatch.setattr(plan_changes, "_note_step", note_or_die)
    with pytest.raises(Killed):
        work(api)
    monkeypatch.setattr(plan_changes, "_note_step", note)
    work(api)
    assert now(change).state == "done"
    assert len(policies(simulator)) == 1 and len(schedules(simulator)) == 2


SLOW = [pytest.param(trouble, marks=pytest.mark.slow) for trouble in ("killed before", "killed after", "lost before")]


@pytest.mark.parametrize("trouble", [*SLOW, "lost after"])
@pytest.mark.parametrize(("kind", "number"), [(kind, n) for kind, most in WRITES.items() for n in range(1, most + 1)])
def test_each_write_of_each_change_survives_a_fault(
    kind: str,
    number: int,
    trouble: str,
    api: VProtect,
    simulator: SimulatorServer,
    admin: Membership,
    monkeypatch: pytest.MonkeyPatch,
):
    """The worker dies, or the answer is lost, before or after vProtect has done what it was told."""
    change = ask(admin, wish())
    if kind != "create":
        work(api)
        everything = wish(
            priority=10,
            destination_guid=GRANTED_TOO,
            machine_guids=(DB, WEB),
            schedules=(replace(WEEKLY, at="05:00"), replace(NIGHTLY, weekdays=("MONDAY",)), MONTHLY),
        )
        change = ask_change(admin, change.plan, kind, everything if kind == "edit" else None)
    writes = disturb(api, number, trouble, monkeypatch)
    with suppress(Killed):
        work(api)
    assert len(writes) == number and now(change).state == "working"
    monkeypatch.undo()
    work(api)
    assert now(change).state == "done", now(change).detail
    if kind == "delete":
        assert nothing_is_left(simulator)
        return
    [policy] = policies(simulator)
    wanted = {DB, WEB} if kind == "edit" else {DB, NEW}
    assert members(simulator, policy) == wanted
    assert [row["active"] for row in schedules(simulator)] == [True] * (3 if kind == "edit" else 2)
    assert len([row for row in simulator.state.rules.values() if row["_policy"] == policy["guid"]]) == 1


def disturb(api: VProtect, number: int, trouble: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The writes that were tried, of which this one goes wrong."""
    writes: list[str] = []
    error = Killed() if trouble.startswith("killed") else Ambiguous("no answer", status=504)

    def watched(call: Any) -> Any:
        def write(path: str, *body: Any) -> Any:
            writes.append(path)
            if len(writes) == number and trouble.endswith("before"):
                raise error
            answer = call(path, *body)
            if len(writes) == number:
                raise error
            return answer

        return write

    for name in ("post", "put", "delete"):
        monkeypatch.setattr(api.transport, name, watched(getattr(api.transport, name)))
    return writes


def test_a_foreigner_with_our_name_is_left_alone(
    api: VProtect, simulator: SimulatorServer, admin: Membership, tenant: Tenant
):
    change = ask(admin, wish())
    theirs = {
        **schedule_of_somebody(),
        "name": f"{change.plan.upstream_name}-0",
        "tenantId": "somebody else's",
    }
    api.schedules.create(theirs)
    work(api)
    assert now(change).state == "done"
    kept = [row for row in simulator.state.schedules.values() if row["tenantId"] == "somebody else's"]
    assert len(kept) == 1 and kept[0]["guid"] not in now(change.plan).schedule_guids


def schedule_of_somebody() -> Row:
    return {
        "type": {"name": "VM_BACKUP"},
        "backupType": {"name": "FULL"},
        "executionType": {"name": "TIME"},
        "hour": 0,
        "startWindowLength": 3_600_000,
        "active": False,
        "daysOfWeek": [{"name": "MONDAY"}],
    }


def test_vprotect_being_away_only_delays(api: VProtect, simulator: SimulatorServer, admin: Membership):
    simulator.control.fault("reset", times=0)
    change = ask(admin, wish())
    with pytest.raises(UpstreamError):
        work(api)
    assert now(change).state == "waiting" and now(change).next_at > timezone.now()
    simulator.control.clear_faults()
    work(api)
    assert now(change).state == "done"


# ── Changing ─────────────────────────────────────────────────────────────────


def test_an_edit_changes_what_differs_and_nothing_else(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    before = len(simulator.control.ledger("PUT"))
    ask_change(admin, plan, "edit", wish(schedules=(WEEKLY, replace(NIGHTLY, at="03:15"))))
    work(api)
    [put] = simulator.control.ledger("PUT")[before:]
    assert put["path"] == f"/schedules/{plan.schedule_guids[1]}"
    assert put["body"]["tenantId"] == AURORA and put["body"]["rules"], "what was read is sent back"
    assert now(plan).schedules[1]["at"] == "03:15"


@both_dialects
def test_machines_come_and_go(api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan):
    ask_change(admin, plan, "edit", wish(machine_guids=(DB, WEB)))
    work(api)
    [policy] = policies(simulator)
    assert members(simulator, policy) == {DB, WEB}
    assert Machine.across_tenants.get(guid=NEW).policy_guid == ""
    assert now(plan).held["policy"]["vm_guids"] == sorted([DB, WEB])


@both_dialects
def test_a_schedule_less_and_one_more(api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan):
    ask_change(admin, plan, "edit", wish(schedules=(WEEKLY,)))
    work(api)
    assert [row["backupType"]["name"] for row in schedules(simulator)] == ["FULL"]
    ask_change(admin, plan, "edit", wish())
    work(api)
    assert [row["active"] for row in schedules(simulator)] == [True, True]
    assert now(plan).has_incremental


def test_a_schedule_that_another_rule_took_over_hinders_no_later_edit(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    """Ours, wanted no more, but not to be removed while another rule uses it."""
    other = next(row for row in simulator.state.rules.values() if row["_policy"] != plan.policy_guid)
    other["_schedules"].append(plan.schedule_guids[1])
    sync_plans(api)
    plan_changes.look_at_wanted(api)
    Plan.across_tenants.filter(pk=plan.pk).update(look_wanted_at=timezone.now())
    plan_changes.look_at_wanted(api)
    ask_change(admin, plan, "edit", wish(schedules=(WEEKLY,)))
    work(api)
    assert len(schedules(simulator)) == 2
    change = ask_change(admin, plan, "edit", wish(schedules=(WEEKLY,), priority=10))
    work(api)
    assert (now(change).state, now(plan).priority) == ("done", 10)


@both_dialects
def test_members_that_we_do_not_know_survive_an_edit(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    simulator.state.policies[plan.policy_guid]["failRemainingBackupTasksExportThreshold"] = 30
    sync_plans(api)
    ask_change(admin, plan, "edit", wish(priority=10))
    work(api)
    [policy] = policies(simulator)
    assert (policy["priority"], policy["failRemainingBackupTasksExportThreshold"]) == (10, 30)


@both_dialects
def test_pause_and_resume(api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan):
    ask_change(admin, plan, "pause")
    work(api)
    assert [row["active"] for row in schedules(simulator)] == [False, False]
    assert now(plan).standing == Standing.PAUSED
    sync_plans(api)
    assert Machine.across_tenants.get(guid=DB).protection in {"paused", "failed"}
    ask_change(admin, plan, "resume")
    work(api)
    assert now(plan).standing == Standing.ACTING


def test_one_paused_in_the_console_stays_so_through_an_edit(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    for guid in plan.schedule_guids:
        simulator.state.schedules[guid]["active"] = False
    sync_plans(api)
    assert (now(plan).standing, PlanWish.of_plan(now(plan)).is_paused) == (Standing.PAUSED, True)
    ask_change(admin, plan, "edit", replace(PlanWish.of_plan(now(plan)), priority=10))
    work(api)
    assert [row["active"] for row in schedules(simulator)] == [False, False]


def test_a_policy_that_became_another_tenants_is_left_alone(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    pine = Tenant.objects.create(name="Pine", slug="pine")
    Claim.across_tenants.create(tenant=pine, kind=Claim.Kind.TENANT_VALUE, value="of-pine")
    simulator.state.policies[plan.policy_guid]["tenantId"] = "of-pine"
    sync_plans(api)
    Plan.across_tenants.filter(pk=plan.pk).update(is_editable=True)
    puts = len(simulator.control.ledger("PUT"))
    change = ask_change(admin, plan, "edit", wish(priority=10))
    work(api)
    assert (now(change).state, len(simulator.control.ledger("PUT"))) == ("refused", puts)


@both_dialects
def test_deleting_takes_its_own_schedules_and_no_others(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    shared = plan.schedule_guids[0]
    other = next(row for row in simulator.state.rules.values() if row["_policy"] != plan.policy_guid)
    other["_schedules"].append(shared)
    sync_plans(api)
    ask_change(admin, plan, "delete")
    work(api)
    assert not policies(simulator) and [row["guid"] for row in schedules(simulator)] == [shared]
    assert now(plan).vanished_at
    assert not Machine.across_tenants.filter(policy_guid=plan.policy_guid).exists()


def test_deleting_twice_upstream_is_deleting(api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan):
    simulator.control.fault("reset", path="/policies/vm-backup/.*", method="DELETE", when="after")
    change = ask_change(admin, plan, "delete")
    with pytest.raises(UpstreamError):
        work(api)
    work(api)
    assert (now(change).state, nothing_is_left(simulator)) == ("done", True)


# ── Never unseen ─────────────────────────────────────────────────────────────


def test_what_changed_upstream_is_not_overwritten(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    change = ask_change(admin, plan, "edit", wish(priority=10))
    simulator.state.policies[plan.policy_guid]["priority"] = 99
    puts = len(simulator.control.ledger("PUT"))
    work(api)
    assert (now(change).state, len(simulator.control.ledger("PUT"))) == ("conflict", puts)
    plan_changes.look_at_wanted(api)
    assert now(plan).held["policy"]["priority"] == 99, "the admin sees what is there now"


def test_a_form_that_is_out_of_date_is_told_at_once(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    simulator.state.policies[plan.policy_guid]["priority"] = 99
    sync_plans(api)
    with pytest.raises(WishRefused) as refused:
        ask_change(admin, plan, "edit", wish(priority=10), based_on=plan.held_digest)
    assert refused.value.field == "changed"


def test_two_admins_saving_at_once(api: VProtect, admin: Membership, plan: Plan):
    ask_change(admin, plan, "edit", wish(priority=10))
    with pytest.raises(WishRefused) as refused:
        ask_change(admin, plan, "edit", wish(priority=20))
    assert refused.value.field == "changed"


def test_an_edit_refused_half_way_waits_for_a_decision_and_can_be_undone(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    simulator.control.fault("status", path="/policies/vm-backup/.*", method="PUT", status=400, times=0)
    change = ask_change(admin, plan, "edit", wish(priority=10, schedules=(replace(WEEKLY, at="05:00"), NIGHTLY)))
    work(api)
    assert now(change).state == "stuck"
    simulator.control.clear_faults()
    with scope(tenant=admin.tenant), transaction.atomic():
        assert decide_stuck(admin, now(change), finish=False, address=None)
    work(api)
    assert now(change).state == "undone"
    assert now(plan).held["schedules"] == plan.held["schedules"]


def test_one_half_way_can_be_finished(api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan):
    simulator.control.fault("status", path="/policies/vm-backup/.*", method="PUT", status=400, times=0)
    change = ask_change(admin, plan, "edit", wish(priority=10, schedules=(replace(WEEKLY, at="05:00"), NIGHTLY)))
    work(api)
    simulator.control.clear_faults()
    with scope(tenant=admin.tenant), transaction.atomic():
        assert decide_stuck(admin, now(change), finish=True, address=None)
    work(api)
    assert (now(change).state, now(plan).priority) == ("done", 10)


def test_what_changed_upstream_during_a_break_is_not_overwritten_either(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    simulator.control.fault("reset", path="/policies/vm-backup/.*", method="PUT", when="before")
    change = ask_change(admin, plan, "edit", wish(priority=10, schedules=(replace(WEEKLY, at="05:00"), NIGHTLY)))
    with pytest.raises(UpstreamError):
        work(api)
    simulator.state.policies[plan.policy_guid]["priority"] = 99
    work(api)
    assert (now(change).state, simulator.state.policies[plan.policy_guid]["priority"]) == ("stuck", 99)


@pytest.mark.parametrize("loss", ["machine", "grant", "role"])
def test_what_is_no_longer_allowed_is_refused_before_anything_is_written(
    loss: str, api: VProtect, simulator: SimulatorServer, admin: Membership, tenant: Tenant
):
    change = ask(admin, wish())
    if loss == "machine":
        Machine.across_tenants.filter(guid=NEW).update(tenant=None)
    elif loss == "grant":
        Grant.across_tenants.all().delete()
    else:
        Membership.objects.update(role=Role.RESTORER)
    work(api)
    assert now(change).state == "refused" and now(change).user_message
    assert nothing_is_left(simulator) and now(change.plan).vanished_at


# ── Made elsewhere ───────────────────────────────────────────────────────────


def test_a_policy_made_elsewhere_is_shown_with_the_tenants_machines_only(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant
):
    """The landscape's `daily` holds machines of several tenants."""
    plan = Plan.across_tenants.get(tenant=tenant, policy_guid=guid_of("policy/daily"))
    assert (plan.is_made_here, plan.is_editable, plan.name) == (False, False, "")
    owned = set(Machine.across_tenants.filter(tenant=tenant).values_list("guid", flat=True))
    assert set(plan.held["policy"]["vm_guids"]) <= owned and THEIRS not in str(plan.held)


@both_dialects
def test_one_that_is_all_the_tenants_can_be_edited_in_its_own_terms(
    api: VProtect, simulator: SimulatorServer, admin: Membership, tenant: Tenant
):
    daily = guid_of("policy/daily")
    for vm in simulator.state.vms.values():
        if vm.get("tenantId") != AURORA:
            vm["vmBackupPolicy"] = None
    sync_inventory(api)
    sync_plans(api)
    plan = Plan.across_tenants.get(tenant=tenant, policy_guid=daily)
    assert plan.is_editable
    held = Held.from_json(plan.held)
    wanted = wish(
        name="Daily",
        time_zone="UTC",
        schedules=schedules_as_held(held),
        machine_guids=tuple(held.machine_guids),
        priority=33,
    )
    puts = len(simulator.control.ledger("PUT"))
    change = ask_change(admin, plan, "edit", wanted)
    work(api)
    assert now(change).state == "done", now(change).detail
    assert simulator.state.policies[daily]["priority"] == 33
    assert [call["path"].split("/")[1] for call in simulator.control.ledger("PUT")[puts:]] == ["policies"]


def test_a_plan_with_a_foreign_machine_is_never_written(
    api: VProtect, simulator: SimulatorServer, admin: Membership, plan: Plan
):
    change = ask_change(admin, plan, "edit", wish(priority=10))
    [policy] = policies(simulator)
    simulator.state.vms[THEIRS]["vmBackupPolicy"] = {"guid": policy["guid"], "name": policy["name"]}
    work(api)
    assert now(change).state == "refused" and members(simulator, policy) == {DB, NEW, THEIRS}
    sync_inventory(api)
    sync_plans(api)
    assert not now(plan).is_editable and THEIRS not in str(now(plan).held)


def test_a_policy_without_a_rule_never_shows_as_protection(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant, plan: Plan
):
    simulator.state.rules.pop(plan.rule_guid)
    simulator.control.change_machine(DB, {"backupUpToDate": True})
    sync_inventory(api)
    sync_plans(api)
    assert Policy.objects.get(guid=plan.policy_guid).standing == Standing.IDLE
    assert Machine.across_tenants.get(guid=DB).protection in {"unprotected", "failed"}


def test_one_deleted_elsewhere_is_gone_here(api: VProtect, simulator: SimulatorServer, tenant: Tenant, plan: Plan):
    api.policies.delete(plan.policy_guid)
    sync_inventory(api)
    sync_plans(api)
    assert now(plan).vanished_at


def test_an_unchanged_sync_reads_three_listings_and_writes_nothing(
    api: VProtect, simulator: SimulatorServer, tenant: Tenant, plan: Plan, django_assert_max_num_queries: Any
):
    sync_plans(api)
    calls = len(simulator.control.ledger())
    with django_assert_max_num_queries(12):
        sync_plans(api)
    assert len(simulator.control.ledger()) - calls == 3


# ── Clocks ───────────────────────────────────────────────────────────────────


def test_a_clock_change_is_followed_once(
    api: VProtect, simulator: SimulatorServer, plan: Plan, monkeypatch: pytest.MonkeyPatch
):
    assert plan.put_again_at is not None
    hours = [row["hour"] for row in schedules(simulator)]
    later = plan.put_again_at + timedelta(days=3)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert plan_changes.follow_clocks() == 1
    assert plan_changes.follow_clocks() == 0, "one is on its way"
    work(api)
    change = PlanChange.across_tenants.get(kind="clock")
    assert change.state == "done", change.detail
    moved = [row["hour"] for row in schedules(simulator)]
    assert {abs(a - b) for a, b in zip(hours, moved, strict=True)} <= {3_600_000, 82_800_000}
    assert now(plan).put_again_at > later and plan_changes.follow_clocks() == 0


def test_one_that_may_not_be_put_again_is_not_tried_all_the_time(api: VProtect, tenant: Tenant, plan: Plan):
    Plan.across_tenants.filter(pk=plan.pk).update(put_again_at=timezone.now())
    Tenant.objects.update(is_active=False)
    for _ in range(3):
        plan_changes.follow_clocks()
        work(api)
    assert [change.state for change in PlanChange.across_tenants.filter(kind="clock")] == ["refused"]


def test_a_plan_changed_elsewhere_does_not_follow_unseen(
    api: VProtect, simulator: SimulatorServer, plan: Plan, monkeypatch: pytest.MonkeyPatch
):
    simulator.state.schedules[plan.schedule_guids[0]]["hour"] = 7_200_000
    sync_plans(api)
    later = plan.put_again_at + timedelta(days=3)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert plan_changes.follow_clocks() == 0
    assert simulator.state.schedules[plan.schedule_guids[0]]["hour"] == 7_200_000


def test_what_is_shown_as_the_next_runs_is_when_vprotect_backs_up(
    api: VProtect, simulator: SimulatorServer, plan: Plan
):
    begin = timezone.now() + timedelta(milliseconds=api.transport.clock_skew_ms or 0)
    computed = [int(run.timestamp() * 1000) for run in next_runs_of(Held.from_json(plan.held), begin, 9)]
    simulator.control.change_settings(speed=1000)
    for moment in computed:
        simulator.control.run_until(moment + 60_000)
    made = [task for task in simulator.control.made_tasks() if task["type"] == "EXPORT" and task["vm"] == DB]
    assert [task["at"] // 60_000 for task in made] == [moment // 60_000 for moment in computed]
    assert {task["origin"] for task in made} == set(plan.schedule_guids)
