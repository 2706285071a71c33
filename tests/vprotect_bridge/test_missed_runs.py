"""A run that was skipped, stuck, missed or never fired is noticed; whatever else is the matter, nothing is made up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tenants.models import Tenant
from tests.conftest import AsRole, machine_of, operation_on
from vprotect_bridge.alerts import watch
from vprotect_bridge.models import Alert, Backup, Machine, Plan, Policy, Protection, Standing, UpstreamStatus
from vprotect_bridge.plan_times import WEEKDAYS
from vprotect_bridge.protection import update_protection

pytestmark = pytest.mark.django_db

Kind, Turn = Alert.Kind, Alert.Turn
# A Wednesday; the plan runs at 02:00 UTC and its tasks have six hours to start.
TODAY = datetime(2026, 3, 25, tzinfo=UTC)
RUN = TODAY.replace(hour=2)
SCHEDULE = {
    **{"guid": "s-1", "active": True, "backup_type": "FULL", "execution_type": "TIME", "rule_guids": ["r-1"]},
    **{"hour_ms": 2 * 3_600_000, "start_ms": None, "end_ms": None, "frequency_ms": None, "window_ms": 6 * 3_600_000},
    **{"days": list(WEEKDAYS), "months": [], "occurrences": []},
}

At = Callable[..., None]


def held(*schedules: dict[str, Any]) -> dict[str, Any]:
    rule = {"guid": "r-1", "active": True, "schedule_guids": [s["guid"] for s in schedules]}
    return {
        "policy": {"active": True, "vm_guids": []},
        "rules": [{**rule, "destination_guids": ["store-1"]}],
        "schedules": list(schedules),
    }


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, db: None) -> At:
    """`at(hour, minute)` of today; everything was heard of just now, unless it is said when."""

    def go(hour: int, minute: int = 0, *, heard: datetime | None = None, **days: int) -> None:
        now = TODAY + timedelta(hours=hour, minutes=minute, **days)
        monkeypatch.setattr(timezone, "now", lambda: now)
        UpstreamStatus.objects.filter(pk=1).update(inventory_at=heard or now, followed_at=heard or now)

    go(1)
    return go


@pytest.fixture
def plan(sunflower: Tenant, at: At) -> Plan:
    Policy.objects.create(guid="p", name="p", row_digest="", standing=Standing.ACTING)
    long_ago = RUN - timedelta(days=30)
    usual = {"policy_guid": "p", "standing": Standing.ACTING, "is_editable": True, "held_since": long_ago}
    return Plan.across_tenants.create(tenant=sunflower, is_made_here=True, name="Nightly", held=held(SCHEDULE), **usual)


@pytest.fixture
def machines(plan: Plan) -> list[Machine]:
    """Three that were backed up last night."""
    found = [machine_of(plan.tenant, f"vm-{number}") for number in (1, 2, 3)]
    for machine in found:
        backup_of(machine, RUN - timedelta(days=1))
    Machine.across_tenants.update(policy_guid="p", backup_up_to_date=True)
    Machine.across_tenants.update(planned_at=RUN - timedelta(days=30), owned_at=RUN - timedelta(days=30))
    update_protection([machine.pk for machine in found])
    return found


def backup_of(machine: Machine, moment: datetime, status: str = "SUCCESS", **fields: Any) -> None:
    usual = {"tenant": machine.tenant, "type": "FULL", "sort_at": moment, "status": status, "origin": "SCHEDULE"}
    Backup.across_tenants.create(guid=f"{machine.guid}-{moment}", machine=machine, **{**usual, **fields})
    update_protection([machine.pk])


def task_of(machine: Machine, moment: datetime, **fields: Any) -> Any:
    usual = {"origin": "schedule", "submission": "accepted", "phase": "queued", "created_at": moment}
    return operation_on(machine, **{**usual, **fields})


def read(*machines: Machine) -> None:
    """Their histories were read just now."""
    Machine.across_tenants.filter(pk__in=[m.pk for m in machines]).update(
        backups_at=timezone.now(), backups_wanted_at=None
    )


def seen() -> set[tuple[str, str]]:
    """What is open: the kind, and the machine or the plan."""
    watch()
    open_ones = Alert.across_tenants.filter(closed_at=None).select_related("machine", "plan")
    return {(alert.kind, alert.machine.guid if alert.machine else str(alert.plan)) for alert in open_ones}


# ── The four ─────────────────────────────────────────────────────────────────


def test_a_plan_of_which_no_machine_ran_never_fired(machines: list[Machine], plan: Plan, at: At):
    at(2, 31)
    read(*machines)
    assert seen() == {(Kind.NEVER_FIRED, "Nightly")}
    alert = Alert.across_tenants.get()
    assert (alert.began_at, alert.turn, alert.machine) == (RUN, Turn.PROVIDER, None)
    expected = {"run_at": RUN.isoformat(), "window_ends_at": (RUN + timedelta(hours=6)).isoformat(), "machines": 3}
    assert alert.details == expected


def test_a_machine_that_its_plans_run_left_out_was_skipped(machines: list[Machine], at: At):
    at(2, 31)
    task_of(machines[0], RUN, phase="exporting", started_at=RUN)
    backup_of(machines[1], RUN)
    read(*machines)
    assert seen() == {(Kind.SKIPPED, "vm-3")}
    assert Alert.across_tenants.get().plan is not None


def test_what_waits_for_half_of_its_window_is_stuck(machines: list[Machine], at: At):
    for machine in machines:
        task_of(machine, RUN)
    at(4, 59)
    assert seen() == set()
    at(5)
    assert seen() == {(Kind.STUCK, machine.guid) for machine in machines}


def test_what_starts_after_all_is_stuck_no_longer(machines: list[Machine], at: At):
    task = task_of(machines[0], RUN)
    for machine in machines[1:]:
        backup_of(machine, RUN)
    at(5)
    assert seen() == {(Kind.STUCK, "vm-1")}
    type(task).across_tenants.filter(pk=task.pk).update(phase="exporting", started_at=timezone.now())
    assert seen() == set()


@pytest.mark.parametrize("told", ["by its task", "by its backup"])
def test_what_did_not_start_in_its_window_missed_it(told: str, machines: list[Machine], at: At):
    backup_of(machines[1], RUN), backup_of(machines[2], RUN)
    if told == "by its task":
        task_of(machines[0], RUN, outcome="failed", finished_at=RUN + timedelta(hours=6))
    else:
        backup_of(machines[0], RUN, "FAILED", status_info="Window passed: the task was not started in time")
    at(8, 1)
    read(*machines)
    assert seen() == {(Kind.MISSED, "vm-1")}
    assert Alert.across_tenants.get().turn == Turn.PROVIDER


def test_a_short_window_of_their_own_is_the_customers_turn(machines: list[Machine], plan: Plan, at: At):
    Plan.across_tenants.update(held=held({**SCHEDULE, "window_ms": 15 * 60_000}))
    for machine in machines:
        task_of(machine, RUN, outcome="failed", finished_at=RUN + timedelta(minutes=15))
    at(3)
    seen()
    assert {alert.turn for alert in Alert.across_tenants.all()} == {Turn.CUSTOMER}


def test_what_simply_failed_is_told_as_that_and_not_twice(machines: list[Machine], at: At):
    for machine in machines:
        task_of(machine, RUN, outcome="failed", started_at=RUN, finished_at=RUN + timedelta(minutes=9))
        backup_of(machine, RUN, "FAILED", status_info="disk full")
    at(3)
    read(*machines)
    assert seen() == set()


# ── As loud as a failure, and over when it is over ───────────────────────────


def test_nobody_who_missed_a_run_is_called_protected(machines: list[Machine], at: At):
    at(2, 31)
    read(*machines)
    seen()
    assert {machine.protection for machine in Machine.across_tenants.all()} == {Protection.OVERDUE}
    backup_of(machines[0], timezone.now(), origin="PERSON")
    machines[0].refresh_from_db()
    assert machines[0].protection == Protection.PROTECTED, "at once, though the plan as such has still to run"
    assert seen() == {(Kind.SKIPPED, "vm-2"), (Kind.SKIPPED, "vm-3")}


def test_the_next_run_ends_it(machines: list[Machine], at: At):
    at(2, 31)
    read(*machines)
    assert seen() == {(Kind.NEVER_FIRED, "Nightly")}
    at(2, 10, days=1)
    assert seen() == {(Kind.NEVER_FIRED, "Nightly")}
    for machine in machines:
        backup_of(machine, RUN + timedelta(days=1))
    at(2, 31, days=1)
    assert seen() == set() and Alert.across_tenants.count() == 1
    assert {machine.protection for machine in Machine.across_tenants.all()} == {Protection.PROTECTED}


def test_two_runs_missed_in_a_row_are_one_alert(machines: list[Machine], at: At):
    for day in (0, 1):
        at(2, 31, days=day)
        read(*machines)
        assert seen() == {(Kind.NEVER_FIRED, "Nightly")}
    assert Alert.across_tenants.count() == 1


def test_a_plan_that_is_paused_is_expected_to_run_no_longer(machines: list[Machine], at: At):
    at(2, 31)
    read(*machines)
    seen()
    Plan.across_tenants.update(standing=Standing.PAUSED)
    assert seen() == set()


# ── What is no run to miss ───────────────────────────────────────────────────


def test_nobody_is_hurried(machines: list[Machine], at: At):
    at(2, 29)
    read(*machines)
    assert seen() == set()


def test_a_plan_that_was_changed_after_its_run_is_not_blamed_for_it(machines: list[Machine], at: At):
    """Resumed at 02:20, or its times moved."""
    Plan.across_tenants.update(held_since=RUN + timedelta(minutes=20))
    at(2, 31)
    read(*machines)
    assert seen() == set()


def test_a_machine_that_came_into_the_plan_later_is_not_part_of_the_run(machines: list[Machine], at: At):
    at(2, 20)
    Machine.across_tenants.filter(guid="vm-3").update(planned_at=timezone.now())
    backup_of(machines[0], RUN), backup_of(machines[1], RUN)
    at(2, 31)
    read(*machines)
    assert seen() == set()


def test_since_when_it_is_in_a_plan_is_noted_whoever_puts_it_there(machines: list[Machine]):
    Machine.across_tenants.filter(guid="vm-1").update(policy_guid="q")
    Machine.across_tenants.filter(guid="vm-2").update(policy_guid="")
    planned = dict(Machine.across_tenants.values_list("guid", "planned_at"))
    assert planned["vm-1"] > RUN and planned["vm-2"] is None and planned["vm-3"] == RUN - timedelta(days=30)


def test_one_that_is_still_being_backed_up_from_before_was_not_skipped(machines: list[Machine], at: At):
    task_of(machines[0], RUN - timedelta(hours=5), phase="storing", started_at=RUN - timedelta(hours=5))
    backup_of(machines[1], RUN), backup_of(machines[2], RUN)
    at(2, 31)
    read(*machines)
    assert seen() == set()


def test_a_plan_that_runs_again_and_again_is_looked_at_by_its_last_run(machines: list[Machine], at: At):
    """From 01:00 to 23:00 every hour: the one of 04:00 has not been seen, the one of 05:00 has its time."""
    hourly = {"execution_type": "INTERVAL", "hour_ms": None, "window_ms": None, "frequency_ms": 3_600_000}
    hourly |= {"start_ms": 3_600_000, "end_ms": 23 * 3_600_000}
    Plan.across_tenants.update(held=held({**SCHEDULE, **hourly}))
    for machine in machines:
        backup_of(machine, RUN + timedelta(hours=1))
    at(4, 29)
    read(*machines)
    assert seen() == set()
    at(4, 31)
    read(*machines)
    assert seen() == {(Kind.NEVER_FIRED, "Nightly")}


def test_runs_are_counted_by_vprotects_clock(machines: list[Machine], at: At):
    """Its clock is an hour behind ours: its 02:00 is our 03:00."""
    UpstreamStatus.objects.filter(pk=1).update(clock_skew_ms=-3_600_000)
    at(3, 29)
    read(*machines)
    assert seen() == set()
    at(3, 31)
    read(*machines)
    assert seen() == {(Kind.NEVER_FIRED, "Nightly")}
    assert Alert.across_tenants.get().began_at == RUN + timedelta(hours=1)


# ── While little is known ────────────────────────────────────────────────────


def test_that_nothing_was_seen_proves_nothing_before_the_histories_were_read(machines: list[Machine], at: At):
    at(2, 31)
    assert seen() == set()
    assert Machine.across_tenants.filter(backups_wanted_at=timezone.now()).count() == 3
    read(*machines)
    backup_of(machines[0], RUN), backup_of(machines[1], RUN), backup_of(machines[2], RUN)
    assert seen() == set()


def test_nobody_was_skipped_before_the_history_was_read(machines: list[Machine], at: At):
    at(2, 31)
    backup_of(machines[0], RUN), backup_of(machines[1], RUN)
    assert seen() == set()
    assert Machine.across_tenants.get(backups_wanted_at__isnull=False) == machines[2]
    read(machines[2])
    assert seen() == {(Kind.SKIPPED, "vm-3")}


def test_of_a_large_plan_a_few_histories_are_enough(machines: list[Machine], plan: Plan, at: At):
    many = [machine_of(plan.tenant, f"more-{number}") for number in range(40)]
    Machine.across_tenants.filter(pk__in=[m.pk for m in many]).update(policy_guid="p")
    Machine.across_tenants.update(planned_at=RUN - timedelta(days=30))
    at(2, 31)
    assert seen() == set()
    wanted = Machine.across_tenants.filter(backups_wanted_at__isnull=False)
    assert len(wanted) == 5
    read(*wanted)
    assert seen() == {(Kind.NEVER_FIRED, "Nightly")}
    assert Alert.across_tenants.get().details["machines"] == 43


@pytest.mark.parametrize("away", ["for an hour", "just now"])
def test_while_vprotect_is_away_nothing_is_said(away: str, machines: list[Machine], at: At):
    at(2, 31, heard=RUN - timedelta(minutes=30) if away == "for an hour" else None)
    UpstreamStatus.objects.filter(pk=1).update(unreachable_since=timezone.now())
    read(*machines)
    assert seen() == set()


def test_after_the_portal_was_away_it_reads_before_it_speaks(machines: list[Machine], at: At):
    at(9)
    assert seen() == set(), "heard of again, but no history was read since the run"
    for machine in machines:
        backup_of(machine, RUN)
    read(*machines)
    assert seen() == set()


def test_what_is_open_stays_while_little_is_known(machines: list[Machine], at: At):
    at(2, 31)
    read(*machines)
    seen()
    at(2, 31, days=1)
    assert seen() == {(Kind.NEVER_FIRED, "Nightly")}, "the histories of today were not read yet"


# ── What it costs, and as whom ───────────────────────────────────────────────


def test_it_costs_the_same_for_many_machines_and_plans(machines: list[Machine], plan: Plan, at: At):
    at(2, 31)
    read(*machines)
    seen()
    costs = []
    for count in (1, 60):
        for number in range(count):
            key = f"{count}-{number}"
            Plan.across_tenants.create(
                **{"tenant": plan.tenant, "is_made_here": False, "name": key, "policy_guid": key, "held": plan.held},
                **{"standing": Standing.ACTING, "held_since": RUN - timedelta(days=30)},
            )
            machine_of(plan.tenant, f"m-{key}")
            new = Machine.across_tenants.filter(guid=f"m-{key}")
            new.update(policy_guid=key)
            new.update(planned_at=RUN - timedelta(days=30), backups_at=timezone.now())
        watch()
        with CaptureQueriesContext(connection) as queries:
            watch()
        costs.append(len(queries))
    assert costs[0] == costs[1] <= 12, queries.captured_queries
    assert Alert.across_tenants.filter(closed_at=None).count() == 62


def test_a_worker_looks_with_its_own_rights(machines: list[Machine], at: At, as_role: AsRole):
    at(2, 31)
    read(*machines)
    with as_role("portal_worker"):
        watch()
    assert Alert.across_tenants.get().kind == Kind.NEVER_FIRED
