"""What did not happen is noticed once, and that it is over."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tenants.models import Grant, Tenant
from tests.conftest import AsRole, machine_of
from vprotect_bridge.alerts import watch
from vprotect_bridge.models import Alert, Machine, UpstreamStatus

pytestmark = pytest.mark.django_db

Kind, Turn = Alert.Kind, Alert.Turn


@pytest.fixture(autouse=True)
def _heard_of_vprotect(db: None) -> None:
    hear()


def hear(at: datetime | None = None) -> None:
    now = at or timezone.now()
    UpstreamStatus.objects.filter(pk=1).update(inventory_at=now, followed_at=now)


def ago(**length: float) -> datetime:
    return timezone.now() - timedelta(**length)


def change(machine: Machine, **fields: Any) -> None:
    Machine.across_tenants.filter(pk=machine.pk).update(**fields)


@pytest.fixture
def machine(sunflower: Tenant) -> Machine:
    """Seen for the first time three days ago."""
    found = machine_of(sunflower)
    change(found, owned_at=ago(days=3))
    found.refresh_from_db()
    return found


def kinds(alerts: Iterable[Alert] | None = None) -> list[str]:
    found = Alert.across_tenants.filter(closed_at=None) if alerts is None else alerts
    return sorted(alert.kind for alert in found)


# ── Without a plan ───────────────────────────────────────────────────────────


def test_a_machine_that_appears_without_a_plan_is_reported(machine: Machine, sunflower: Tenant):
    watch()
    [alert] = Alert.across_tenants.all()
    assert (alert.kind, alert.tenant, alert.machine, alert.plan) == (Kind.WITHOUT_PLAN, sunflower, machine, None)
    assert alert.began_at == machine.owned_at


def test_plans_have_a_moment_to_take_it_in(machine: Machine):
    change(machine, owned_at=ago(minutes=5))
    watch()
    assert not Alert.across_tenants.exists()


def test_it_is_reported_once_also_if_it_goes_and_comes_back(machine: Machine):
    watch()
    change(machine, vanished_at=timezone.now())
    watch()
    assert kinds() == []
    change(machine, vanished_at=None)
    watch()
    change(machine, policy_guid="p")
    watch()
    change(machine, policy_guid="")
    watch()
    assert Alert.across_tenants.count() == 1


def test_inventoried_anew_it_is_still_the_same(machine: Machine, sunflower: Tenant):
    change(machine, uuid="as vSphere knows it")
    watch()
    change(machine, vanished_at=timezone.now())
    again = machine_of(sunflower, "vm-again")
    change(again, uuid="as vSphere knows it", owned_at=ago(hours=1))
    watch()
    assert Alert.across_tenants.count() == 1


def test_a_new_owner_is_told_as_well(machine: Machine, pine: Tenant):
    watch()
    change(machine, tenant=pine)
    assert Machine.across_tenants.get().owned_at > ago(minutes=1)
    change(machine, owned_at=ago(hours=1))
    watch()
    open_alerts = Alert.across_tenants.filter(closed_at=None)
    assert [alert.tenant for alert in open_alerts] == [pine]


def test_whose_turn_it_is_follows_from_whether_there_can_be_plans(machine: Machine, pine: Tenant):
    change(machine_of(pine, "vm-2"), owned_at=ago(days=1))
    Grant.across_tenants.create(tenant=pine, kind=Grant.Kind.DESTINATION, guid="store-1")
    watch()
    turns = {alert.tenant.slug: alert.turn for alert in Alert.across_tenants.all()}
    assert turns == {"sunflower": Turn.PROVIDER, "pine": Turn.CUSTOMER}


@pytest.mark.parametrize("change_it", [{"present": False}, {"policy_guid": "p"}, {"tenant": None}])
def test_what_is_nobodys_gone_or_in_a_plan_is_not_reported(machine: Machine, change_it: dict[str, Any]):
    change(machine, **change_it)
    watch()
    assert not Alert.across_tenants.exists()


def test_a_tenant_that_left_is_told_nothing(machine: Machine):
    Tenant.objects.update(is_active=False)
    watch()
    assert not Alert.across_tenants.exists()


# ── While nothing is known ───────────────────────────────────────────────────


def test_while_the_data_are_old_nothing_is_opened_and_nothing_closed(machine: Machine):
    watch()
    change(machine, policy_guid="p")
    hear(at=ago(hours=2))
    change(machine_of(machine.tenant, "vm-2"), owned_at=ago(days=1))
    watch()
    (alert,) = Alert.across_tenants.all()
    assert (alert.machine, alert.closed_at) == (machine, None)


# ── What it costs, and who may see it ────────────────────────────────────────


def test_a_look_costs_the_same_for_many_machines_and_writes_only_what_changed(sunflower: Tenant):
    change_all = Machine.across_tenants.all()
    machine_of(sunflower, "vm-0")
    change_all.update(owned_at=ago(days=3))
    watch()
    with CaptureQueriesContext(connection) as for_one:
        watch()
    now = timezone.now()
    Machine.across_tenants.bulk_create(
        Machine(guid=f"vm-{n}", name="x", tenant=sunflower, row_digest="", first_seen_at=now, changed_at=now)
        for n in range(1, 300)
    )
    change_all.update(owned_at=ago(days=3))
    watch()
    assert Alert.across_tenants.count() == 300
    with CaptureQueriesContext(connection) as for_many:
        watch()
    assert len(for_many) == len(for_one) <= 12
    assert not [query for query in for_many if query["sql"].startswith("INSERT")]


def test_no_machine_has_the_same_open_alert_twice(machine: Machine, sunflower: Tenant):
    watch()
    with pytest.raises(IntegrityError, match="one_open_alert_per_machine"):
        Alert.across_tenants.create(tenant=sunflower, machine=machine, kind=Kind.WITHOUT_PLAN, began_at=timezone.now())


def test_a_worker_watches_with_its_own_rights(machine: Machine, as_role: AsRole):
    with as_role("portal_worker"):
        watch()
    assert kinds() == [Kind.WITHOUT_PLAN]
