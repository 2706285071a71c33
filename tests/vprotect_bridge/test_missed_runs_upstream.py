"""Runs that do not happen in the simulator, from its schedules to our alerts, in both dialects."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from tenants.models import Membership
from tests.conftest import both_dialects
from tests.vprotect_bridge.test_plans import DB, NEW, admin, ask, now, tenant, tenant_once, wish, work
from vprotect_bridge.alerts import watch
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.follow import follow
from vprotect_bridge.models import Alert, Machine, Operation, UpstreamStatus
from vprotect_bridge.plan_times import WEEKDAYS
from vprotect_bridge.plan_wishes import WantedSchedule
from vprotect_bridge.sync import sync_backups, sync_inventory
from vprotect_simulator.server import SimulatorServer

__all__ = ["admin", "tenant", "tenant_once"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("one_connection")]

Kind = Alert.Kind
Look = Callable[[float], set[tuple[str, str]]]


@pytest.fixture
def after(api: VProtect, simulator: SimulatorServer, admin: Membership, monkeypatch: pytest.MonkeyPatch) -> Look:
    """`after(hours)`: what is open of the runs of a plan that backs up db-01 and new-01 an hour from now.

    The clocks of both go forward by so much, and all that workers read by themselves is read.
    """
    begins = timezone.now() + timedelta(hours=1)
    daily = WantedSchedule("FULL", WEEKDAYS, at=f"{begins:%H:%M}")
    change = ask(admin, wish(time_zone="UTC", schedules=(daily,)))
    work(api)
    assert now(change).state == "done"
    real_now, passed = timezone.now, timedelta()

    def look(hours: float) -> set[tuple[str, str]]:
        nonlocal passed
        passed += timedelta(hours=hours)
        simulator.control.advance(hours * 3600)
        monkeypatch.setattr(timezone, "now", lambda: real_now() + passed)
        sync_inventory(api)
        Operation.across_tenants.update(followed_at=None)
        for _ in range(2):
            UpstreamStatus.objects.update(followed_at=None)
            follow(api)
        for _ in range(2):
            watch()
            sync_backups(api)
        watch()
        # The provider's plans sleep in this landscape: at night they are missed too.
        of_runs = Alert.across_tenants.filter(plan=change.plan, kind__in=Alert.OF_RUNS, closed_at=None)
        alerts = of_runs.select_related("machine", "plan")
        return {(alert.kind, alert.machine.guid if alert.machine else str(alert.plan)) for alert in alerts}

    return look


@both_dialects
def test_of_a_run_that_happens_nothing_is_said(after: Look):
    assert after(2) == set()
    assert Machine.across_tenants.filter(guid__in=[DB, NEW], last_success_at__isnull=False).count() == 2


@both_dialects
def test_a_task_that_never_starts_is_stuck_and_then_missed_its_window(after: Look, simulator: SimulatorServer):
    simulator.control.change_machine(DB, {"_behaviour": {"EXPORT": "hang_in_queue"}})
    assert after(2) == set()
    assert after(3.1) == {(Kind.STUCK, DB)}
    assert after(2.5) == {(Kind.MISSED, DB)}


@both_dialects
def test_a_schedule_that_does_not_fire_is_told_of_its_plan(after: Look, simulator: SimulatorServer):
    simulator.state.promises[:] = [made for made in simulator.state.promises if made["what"] != "fire"]
    assert after(1.4) == set()
    assert after(0.6) == {(Kind.NEVER_FIRED, "Nightly")}


@both_dialects
def test_a_machine_that_its_run_leaves_out_is_skipped(after: Look, simulator: SimulatorServer):
    """Here because the engine has lost it, while our list still has it."""
    row = simulator.state.vms[DB]
    kept, row["vmBackupPolicy"] = row["vmBackupPolicy"], None
    simulator.control.advance(3700)
    simulator.control.tasks()
    row["vmBackupPolicy"] = kept
    simulator.control.advance(-3700)
    assert after(2) == {(Kind.SKIPPED, DB)}
