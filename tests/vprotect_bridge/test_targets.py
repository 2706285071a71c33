"""How old the newest good backup may be: on time, late, or without target."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tenants.models import Grant, Tenant
from tests.conftest import AsRole, machine_of
from vprotect_bridge import targets
from vprotect_bridge.alerts import watch
from vprotect_bridge.models import (
    Alert,
    Backup,
    Destination,
    Machine,
    Plan,
    Policy,
    Protection,
    Standing,
    UpstreamStatus,
)
from vprotect_bridge.protection import update_protection

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _heard_of_vprotect(db: None) -> None:
    UpstreamStatus.objects.filter(pk=1).update(inventory_at=timezone.now(), followed_at=timezone.now())


def ago(**length: float) -> datetime:
    return timezone.now() - timedelta(**length)


@pytest.fixture
def machine(sunflower: Tenant) -> Machine:
    """In an acting plan, its last good backup 30 hours ago; vProtect calls it up to date."""
    Policy.objects.create(guid="p", name="p", row_digest="", standing=Standing.ACTING)
    Plan.across_tenants.create(
        tenant=sunflower, is_made_here=True, name="Nightly", policy_guid="p", standing=Standing.ACTING, is_editable=True
    )
    machine = machine_of(sunflower)
    Machine.across_tenants.update(policy_guid="p", backup_up_to_date=True, owned_at=ago(days=30))
    backup_of(machine, ago(hours=30))
    update_protection([machine.pk])
    machine.refresh_from_db()
    return machine


def backup_of(machine: Machine, at: datetime, status: str = "SUCCESS", **fields: object) -> Backup:
    usual = {"guid": f"b-{at}-{status}", "tenant": machine.tenant, "type": "FULL", "sort_at": at, "status": status}
    return Backup.across_tenants.create(machine=machine, **{**usual, **fields})


def target(hours: int | None, of_plan: int | None = None) -> None:
    Tenant.objects.update(target_hours=hours)
    Plan.across_tenants.update(target_hours=of_plan)


def state(machine: Machine) -> str:
    """As a look leaves it."""
    watch()
    machine.refresh_from_db()
    return "none" if machine.late_at is None else "late" if machine.is_late else "on time"


# ── Which target ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("of_tenant", "of_plan", "expected"),
    [
        (None, None, "none"),
        (24, None, "late"),
        (48, None, "on time"),
        (48, 24, "late"),
        (24, 48, "on time"),
        (24, 0, "none"),
        (None, 24, "late"),
    ],
)
def test_a_plans_own_target_takes_the_place_of_the_tenants(
    of_tenant: int | None, of_plan: int | None, expected: str, machine: Machine
):
    target(of_tenant, of_plan)
    assert state(machine) == expected


def test_a_target_is_for_machines_without_a_plan_too(machine: Machine):
    target(24, of_plan=0)
    Machine.across_tenants.update(policy_guid="")
    assert state(machine) == "late"


def test_another_tenants_plan_of_the_same_policy_says_nothing(machine: Machine, pine: Tenant):
    Plan.across_tenants.create(tenant=pine, is_made_here=False, name="", policy_guid="p", target_hours=24)
    assert state(machine) == "none"


def test_what_no_longer_exists_is_not_late(machine: Machine):
    target(24)
    state(machine)
    Machine.across_tenants.update(present=False)
    assert state(machine) == "none"
    assert Alert.across_tenants.get().closed_at is not None


# ── From when on ─────────────────────────────────────────────────────────────


def test_a_new_machine_has_a_day_for_its_first_backup(machine: Machine):
    target(4)
    Backup.across_tenants.all().delete()
    Machine.across_tenants.update(last_success_at=None, owned_at=ago(hours=23))
    assert state(machine) == "on time"
    Machine.across_tenants.update(owned_at=ago(hours=25))
    assert state(machine) == "late"


@pytest.mark.parametrize("hours", [None, 24])
def test_while_it_is_new_it_is_overdue_nowhere(hours: int | None, machine: Machine):
    """Whatever vProtect says of it: its plan has had no time yet."""
    target(hours)
    Backup.across_tenants.all().delete()
    Machine.across_tenants.update(backup_up_to_date=False, owned_at=ago(hours=23), last_success_at=None)
    update_protection([machine.pk])
    assert state(machine) == ("on time" if hours else "none") and machine.protection == Protection.NEW
    kinds = dict(Machine.across_tenants.values_list("guid", targets.state()))
    assert kinds == {machine.guid: targets.State.NEW if hours else targets.State.NONE}
    Machine.across_tenants.update(owned_at=ago(hours=25), planned_at=ago(hours=25))
    assert state(machine) == ("late" if hours else "none") and machine.protection == Protection.OVERDUE


def test_it_is_new_without_a_plan_too(machine: Machine):
    target(24)
    Backup.across_tenants.all().delete()
    Machine.across_tenants.update(policy_guid="", owned_at=ago(hours=1), last_success_at=None)
    update_protection([machine.pk])
    machine.refresh_from_db()
    assert machine.protection == Protection.UNPROTECTED and targets.is_new(machine)
    assert list(Machine.across_tenants.values_list(targets.state(), flat=True)) == [targets.State.NEW]


def test_a_longer_target_makes_it_new_again(machine: Machine):
    target(24)
    Backup.across_tenants.all().delete()
    Machine.across_tenants.update(backup_up_to_date=False, owned_at=ago(hours=25))
    update_protection([machine.pk])
    assert state(machine) == "late" and machine.protection == Protection.OVERDUE
    target(48)
    assert state(machine) == "on time" and machine.protection == Protection.NEW


def test_in_a_plan_without_a_target_it_has_a_day(machine: Machine):
    Backup.across_tenants.all().delete()
    Machine.across_tenants.update(backup_up_to_date=False, planned_at=ago(hours=1))
    update_protection([machine.pk])
    assert state(machine) == "none" and machine.protection == Protection.NEW


def test_one_that_has_failed_is_not_new(machine: Machine):
    Backup.across_tenants.all().delete()
    Machine.across_tenants.update(owned_at=ago(hours=1))
    backup_of(machine, ago(minutes=5), status="FAILED")
    update_protection([machine.pk])
    assert state(machine) == "none" and machine.protection == Protection.FAILED


def test_or_as_long_as_the_target_if_that_is_longer(machine: Machine):
    target(72)
    Machine.across_tenants.update(last_success_at=None, owned_at=ago(hours=71))
    assert state(machine) == "on time"


def test_a_failed_backup_keeps_nobody_on_time(machine: Machine):
    target(24)
    backup_of(machine, ago(hours=1), status="FAILED")
    update_protection([machine.pk])
    assert state(machine) == "late" and machine.protection == Protection.FAILED


def test_a_good_backup_ends_it_at_once(machine: Machine):
    target(24)
    assert state(machine) == "late" and machine.protection == Protection.OVERDUE
    backup_of(machine, ago(minutes=1))
    update_protection([machine.pk])
    machine.refresh_from_db()
    assert not machine.is_late and machine.protection == Protection.PROTECTED


def test_late_is_never_called_protected_whatever_vprotect_says(machine: Machine):
    target(24)
    assert state(machine) == "late" and machine.protection == Protection.OVERDUE
    target(48)
    assert state(machine) == "on time" and machine.protection == Protection.PROTECTED


def test_time_alone_makes_it_late(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    target(31)
    assert state(machine) == "on time"
    later = timezone.now() + timedelta(hours=2)
    monkeypatch.setattr(timezone, "now", lambda: later)
    UpstreamStatus.objects.filter(pk=1).update(inventory_at=later)
    assert state(machine) == "late" and machine.protection == Protection.OVERDUE


# ── Alerts ───────────────────────────────────────────────────────────────────


def test_who_is_late_is_told_once_with_what_was_wanted(machine: Machine):
    target(24)
    watch()
    watch()
    [alert] = Alert.across_tenants.all()
    assert (alert.kind, alert.machine, alert.began_at) == (Alert.Kind.LATE, machine, machine.last_success_at + DAY)
    assert alert.details == {"target_hours": 24, "last_success_at": machine.last_success_at.isoformat()}
    backup_of(machine, timezone.now())
    update_protection([machine.pk])
    watch()
    alert.refresh_from_db()
    assert alert.closed_at is not None


@pytest.mark.parametrize(
    ("is_editable", "standing", "turn"),
    [
        (True, Standing.PAUSED, Alert.Turn.CUSTOMER),
        (False, Standing.PAUSED, Alert.Turn.PROVIDER),
        (True, Standing.ACTING, Alert.Turn.UNKNOWN),
    ],
)
def test_whose_turn_it_is_follows_from_whose_plan_it_is(is_editable: bool, standing: str, turn: str, machine: Machine):
    Grant.across_tenants.create(tenant=machine.tenant, kind=Grant.Kind.DESTINATION, guid="store-1")
    Destination.objects.create(guid="store-1", name="Store")
    Plan.across_tenants.update(is_editable=is_editable, standing=standing)
    Policy.objects.update(standing=standing)
    update_protection([machine.pk])
    target(24)
    watch()
    assert Alert.across_tenants.get(kind=Alert.Kind.LATE).turn == turn


@pytest.mark.parametrize(
    ("said", "turn"),
    [
        ("Not enough space in /vprotect_data on node1", Alert.Turn.PROVIDER),
        ("HARD quota Daily exceeded", Alert.Turn.PROVIDER),
        ("Cannot connect to kvm-03: Connection timed out", Alert.Turn.PROVIDER),
        ("java.lang.NullPointerException", Alert.Turn.UNKNOWN),
    ],
)
def test_whose_turn_a_failure_is_follows_from_what_failed(said: str, turn: str, machine: Machine):
    backup_of(machine, ago(hours=1), status="FAILED", status_info=said)
    update_protection([machine.pk])
    target(24)
    watch()
    assert Alert.across_tenants.get(kind=Alert.Kind.LATE).turn == turn


def test_whose_turn_it_is_is_told_as_soon_as_it_is_known(machine: Machine):
    target(24)
    watch()
    alert = Alert.across_tenants.get(kind=Alert.Kind.LATE)
    assert alert.turn == Alert.Turn.UNKNOWN
    backup_of(machine, ago(hours=1), status="FAILED", status_info="no space left on node1")
    update_protection([machine.pk])
    watch()
    alert.refresh_from_db()
    assert alert.turn == Alert.Turn.PROVIDER and alert.closed_at is None


# ── What it costs, and who may see it ────────────────────────────────────────


def rows_written() -> int:
    """In this transaction, by all statements so far."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_user_tables")
        return int(cursor.fetchone()[0])


def test_a_look_without_news_writes_nothing_however_many_there_are(machine: Machine):
    target(24)
    watch()
    now, costs = timezone.now(), []
    for count in (1, 200):
        Machine.across_tenants.bulk_create(
            Machine(
                **{"guid": f"m-{count}-{n}", "name": "m", "tenant": machine.tenant, "row_digest": ""},
                **{"first_seen_at": now, "changed_at": now, "last_success_at": now, "policy_guid": "p"},
            )
            for n in range(count)
        )
        before = rows_written()
        watch()
        assert rows_written() - before == count, "each new one once"
        with CaptureQueriesContext(connection) as queries:
            watch()
        costs.append(len(queries))
        assert rows_written() - before == count
    assert costs[0] == costs[1] <= 10, queries.captured_queries
    assert Machine.across_tenants.filter(late_at=now + DAY).count() == 201


def test_web_sets_its_tenants_target_and_no_machines(machine: Machine, as_role: AsRole):
    with as_role("portal_web", machine.tenant):
        assert Tenant.objects.filter(pk=machine.tenant_id).update(target_hours=12) == 1


def test_a_worker_follows_targets_with_its_own_rights(machine: Machine, as_role: AsRole):
    target(24)
    with as_role("portal_worker"):
        watch()
    assert Alert.across_tenants.get().kind == Alert.Kind.LATE
