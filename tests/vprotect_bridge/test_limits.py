"""What an operator allows a tenant, also for wishes of the same moment, so that each is committed here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from time import sleep
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_scopes import scope

from tenants.models import Grant, Membership, Role, Tenant
from tests.conftest import machine_of, operation_on, person
from tests.vprotect_bridge.opened import clicked
from vprotect_bridge import limits
from vprotect_bridge.bulk import request_bulk_backup
from vprotect_bridge.models import (
    Backup,
    BackupDay,
    Cluster,
    Hypervisor,
    Machine,
    Operation,
    Plan,
    PlanChange,
    Storage,
)
from vprotect_bridge.plan_wishes import PlanWish, WantedSchedule, request_new_plan
from vprotect_bridge.restore_wishes import RestoreWish, request_restore
from vprotect_bridge.services import BackupWish, WishRefused, keep_once, request_backup

pytestmark = pytest.mark.django_db(transaction=True)

AtOnce = Callable[..., list[Any]]
NIGHTLY = WantedSchedule("FULL", ("MONDAY",), at="02:00")


@pytest.fixture
def admin(sunflower: Tenant) -> Membership:
    Grant.across_tenants.create(tenant=sunflower, kind=Grant.Kind.DESTINATION, guid="store-1")
    user = person(sunflower, "admin", Role.ADMIN)
    return Membership.objects.select_related("tenant", "user").get(user=user)


@pytest.fixture
def machines(sunflower: Tenant) -> list[Machine]:
    return [machine_of(sunflower, f"vm-{number}") for number in range(3)]


@pytest.fixture
def at_once(at_once: AtOnce, monkeypatch: pytest.MonkeyPatch) -> AtOnce:
    """With a pause between counting and keeping: those that took no turns would all count before one has kept."""
    check = limits._check

    def check_and_pause(*args: Any) -> None:
        check(*args)
        sleep(0.1)

    monkeypatch.setattr(limits, "_check", check_and_pause)
    return at_once


def allow(admin: Membership, **caps: int) -> None:
    Tenant.objects.filter(pk=admin.tenant_id).update(**caps)
    admin.tenant.refresh_from_db()


def wish() -> BackupWish:
    return BackupWish("FULL", "store-1", timezone.now() + timedelta(hours=6))


def back_up(admin: Membership, machine: Machine, key: UUID | None = None) -> Operation:
    return clicked(admin, lambda: request_backup(admin, machine, wish(), client_key=key or uuid4(), address=None)[0])


def back_up_all(admin: Membership, machines: list[Machine]) -> Any:
    return clicked(admin, lambda: request_bulk_backup(admin, machines, wish(), client_key=uuid4(), address=None)[0])


def plan_for(admin: Membership, *machines: Machine) -> PlanChange:
    guids = tuple(machine.guid for machine in machines)
    plan = PlanWish(f"Plan of {guids}", "UTC", (NIGHTLY,), "store-1", guids)
    return clicked(admin, lambda: request_new_plan(admin, plan, client_key=uuid4(), address=None)[0])


def names(results: list[Any]) -> list[str]:
    return sorted(type(result).__name__ for result in results)


# ── Of a day ─────────────────────────────────────────────────────────────────


def test_what_is_above_the_day_is_refused_with_what_is_left(admin: Membership, machines: list[Machine]):
    allow(admin, daily_backup_cap=2)
    back_up(admin, machines[0])
    with pytest.raises(WishRefused, match=r"2 backups a day\. Left today: 1, needed: 2\."):
        back_up_all(admin, machines[1:])
    back_up(admin, machines[1])
    with pytest.raises(WishRefused, match="Left today: 0"):
        back_up(admin, machines[2])
    assert Operation.across_tenants.count() == 2


def test_two_wishes_of_the_same_moment_fit_into_the_day_together(
    admin: Membership, machines: list[Machine], at_once: AtOnce
):
    allow(admin, daily_backup_cap=1)
    results = at_once(*(lambda machine=machine: back_up(admin, machine) for machine in machines[:2]))
    assert names(results) == ["Operation", "WishRefused"]
    assert Operation.across_tenants.count() == 1


def test_one_wish_and_many_of_the_same_moment_fit_into_the_day_together(
    admin: Membership, machines: list[Machine], at_once: AtOnce
):
    allow(admin, daily_backup_cap=2)
    results = at_once(lambda: back_up(admin, machines[0]), lambda: back_up_all(admin, machines[1:]))
    assert "WishRefused" in names(results) and Operation.across_tenants.count() in {1, 2}


def test_a_second_click_on_the_last_one_is_the_same_wish(admin: Membership, machines: list[Machine], at_once: AtOnce):
    allow(admin, daily_backup_cap=1)
    key = uuid4()
    first, second = at_once(*[lambda: back_up(admin, machines[0], key)] * 2)
    assert first == second


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"outcome": "succeeded"}, 1),
        ({"outcome": "refused"}, 0),
        ({"outcome": "missed"}, 0),
        ({"outcome": "cancelled"}, 0),
        ({"outcome": "cancelled", "sent_at": timezone.now()}, 1),
        ({"origin": "elsewhere"}, 0),
        ({"kind": "restore"}, 0),
        ({"created_at": timezone.now() - timedelta(days=1)}, 0),
    ],
    ids=[
        "done",
        "refused",
        "missed",
        "cancelled before it was sent",
        "cancelled after it was sent",
        "from elsewhere",
        "a restore",
        "of yesterday",
    ],
)
def test_what_counts(fields: dict[str, Any], counts: int, sunflower: Tenant, machines: list[Machine]):
    operation_on(machines[0], **fields)
    with scope(tenant=sunflower):
        assert limits.usage(sunflower, limits.BACKUPS).used == counts


def test_a_day_is_the_tenants_own(sunflower: Tenant):
    sunflower.time_zone = "Pacific/Kiritimati"
    assert limits.midnight_of(sunflower).utcoffset() == timedelta(hours=14)


def test_restores_of_a_day_are_counted_for_themselves(admin: Membership, machines: list[Machine]):
    allow(admin, daily_restore_cap=0)
    back_up(admin, machines[0])

    def restore() -> Any:
        keep = lambda: operation_on(machines[0], kind="restore")  # noqa: E731
        return keep_once(admin, machines[0], uuid4(), Operation.Kind.RESTORE, keep=keep, otherwise="")

    with pytest.raises(WishRefused, match="0 restores a day"):
        clicked(admin, restore)


def test_two_restores_of_the_same_moment_fit_into_the_day_together(
    admin: Membership, machines: list[Machine], at_once: AtOnce
):
    allow(admin, daily_restore_cap=1)
    points = [restorable(machine) for machine in machines[:2]]
    results = at_once(*(lambda point=point: restore_from(admin, point) for point in points))
    assert names(results) == ["Operation", "WishRefused"]
    (refused,) = [result for result in results if isinstance(result, WishRefused)]
    assert "1 restores a day. Left today: 0, needed: 1." in str(refused)
    assert Operation.across_tenants.get().kind == Operation.Kind.RESTORE


def restorable(machine: Machine) -> Backup:
    """On a manager where the tenant may make it again."""
    Machine.across_tenants.filter(pk=machine.pk).update(platform="RHV")
    manager, made = Hypervisor.objects.get_or_create(guid="h", name="h", platform="RHV", is_manager=True)
    if made:
        Cluster.objects.create(guid="c", uuid="c", name="East", hypervisor=manager)
        Storage.objects.create(guid="s", uuid="s", name="Fast", hypervisor=manager, cluster_guids=["c"])
        for kind, guid in (("hypervisor", "h"), ("cluster", "c"), ("storage", "s")):
            Grant.across_tenants.create(tenant=machine.tenant, kind=kind, guid=guid)
    facts = {"tenant": machine.tenant, "status": "SUCCESS", "type": "FULL", "sort_at": timezone.now()}
    return Backup.across_tenants.create(guid=f"b-{machine.guid}", machine=machine, **facts)


def restore_from(admin: Membership, point: Backup) -> Operation:
    machine = Machine.across_tenants.get(pk=point.machine_id)
    place = RestoreWish(point.guid, "h", "c", "s", name=f"again-{machine.guid}")
    return clicked(admin, lambda: request_restore(admin, machine, place, client_key=uuid4(), address=None)[0])


# ── Of what is protected ─────────────────────────────────────────────────────


def test_a_plan_takes_no_machine_above_the_cap(admin: Membership, machines: list[Machine]):
    Machine.across_tenants.filter(pk=machines[0].pk).update(policy_guid="policy-1")
    allow(admin, planned_machine_cap=2)
    with pytest.raises(WishRefused, match="Room for: 1 more, needed: 2") as refused:
        plan_for(admin, *machines[1:])
    assert refused.value.field == "machines"
    plan_for(admin, machines[1])
    # That one is on its way, and has no plan in the mirror yet.
    with pytest.raises(WishRefused, match="Room for: 0 more"):
        plan_for(admin, machines[2])


def test_a_deleted_machine_takes_no_place_in_plans(admin: Membership, machines: list[Machine]):
    Machine.across_tenants.filter(pk=machines[0].pk).update(policy_guid="policy-1", present=False)
    allow(admin, planned_machine_cap=1)
    plan_for(admin, machines[1])


def test_two_plans_of_the_same_moment_take_so_many_machines_together(
    admin: Membership, machines: list[Machine], at_once: AtOnce
):
    allow(admin, planned_machine_cap=1)
    results = at_once(*(lambda machine=machine: plan_for(admin, machine) for machine in machines[:2]))
    assert names(results) == ["PlanChange", "WishRefused"]
    assert Plan.across_tenants.count() == 1


def test_a_machine_changes_its_plan_where_nothing_is_left(admin: Membership, machines: list[Machine]):
    Machine.across_tenants.filter(pk=machines[0].pk).update(policy_guid="policy-1")
    allow(admin, planned_machine_cap=1, stored_gib_cap=0)
    assert plan_for(admin, machines[0])


def test_where_too_much_is_kept_nothing_is_added(admin: Membership, machines: list[Machine]):
    BackupDay.across_tenants.create(tenant=admin.tenant, day=timezone.now().date(), restorable_size=5 * limits.GIB)
    allow(admin, stored_gib_cap=6)
    back_up(admin, machines[0])
    allow(admin, stored_gib_cap=5)
    for ask in (lambda: back_up(admin, machines[1]), lambda: plan_for(admin, machines[1])):
        with pytest.raises(WishRefused, match="may keep 5 GiB of backups, and keeps 5 GiB: 0 GiB are left"):
            ask()


# ── Told ─────────────────────────────────────────────────────────────────────


def test_a_warning_refuses_nothing(admin: Membership, machines: list[Machine]):
    allow(admin, daily_backup_warning=1)
    back_up(admin, machines[0])
    with scope(tenant=admin.tenant):
        (usage,) = limits.usages(admin.tenant)
    assert (usage.is_warned, usage.left, usage.is_used_up) == (True, None, False)
    back_up(admin, machines[1])


def test_a_warning_comes_before_the_limit(sunflower: Tenant):
    sunflower.daily_backup_warning, sunflower.daily_backup_cap = 5, 4
    with pytest.raises(ValidationError, match="must come before"):
        sunflower.full_clean()


def test_without_limits_nothing_is_counted_and_nobody_waits(admin: Membership, machines: list[Machine]):
    with CaptureQueriesContext(connection) as queries, scope(tenant=admin.tenant):
        assert limits.usages(admin.tenant) == [] and not limits.wait_for_turn(admin.tenant, limits.ALL)
        limits.check(admin.tenant, limits.ALL)
    assert len(queries) == 0
