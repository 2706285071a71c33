"""What is written down of a day: sizes of the restore points that exist, copies, owners, plans; once a day."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.utils import timezone

from reports.models import MachineMonth, MachineUsage, TenantUsage
from reports.record import forget_old_usage, reconstruct_usage, record_usage
from tenants.models import Tenant
from tests.conftest import machine_of
from tests.reports.conftest import GIB, backup_of, copy_in, written_down
from vprotect_bridge.models import Machine, Plan

pytestmark = pytest.mark.django_db


@pytest.fixture
def machine(sunflower: Tenant) -> Machine:
    return machine_of(sunflower)


def recorded(*fields: str) -> list[tuple[Any, ...]]:
    record_usage()
    return sorted(MachineUsage.across_tenants.values_list(*fields))


def test_what_is_kept_is_the_sum_of_the_restore_points_that_exist(machine: Machine):
    backup_of(machine, 3)
    backup_of(machine, 2, status="PARTIAL_SUCCESS")
    for over in ({"status": "FAILED"}, {"status": "SUCCESS_REMOVED"}, {"vanished_at": "2026-01-01T00:00Z"}):
        backup_of(machine, 100, **over)
    assert recorded("machine_guid", "destination_guid", "stored_bytes") == [("vm-1", "store-1", 5 * GIB)]


def test_each_copy_counts_where_it_lies_and_only_while_it_is_there(machine: Machine):
    backup_of(machine, 2, destinations=[copy_in("store-1"), copy_in("store-2"), copy_in("store-3", "REMOVED")])
    backup_of(machine, 1, destinations=[])
    backup_of(machine, 7, destinations=[copy_in("store-3", "REMOVED")])
    assert recorded("destination_guid", "stored_bytes") == [("", GIB), ("store-1", 2 * GIB), ("store-2", 2 * GIB)]


def test_a_machine_is_counted_once_however_many_places_keep_it(machine: Machine, sunflower: Tenant):
    Machine.across_tenants.update(protection="protected")
    backup_of(machine, destinations=[copy_in("store-1"), copy_in("store-2")])
    machine_of(sunflower, "vm-2")
    assert recorded("machine_guid", "destination_guid", "machines", "protected_machines") == [
        ("vm-1", "store-1", 1, 1),
        ("vm-1", "store-2", 0, 0),
        ("vm-2", "", 1, 0),
    ]
    sums = TenantUsage.across_tenants.values_list("destination_guid", "machines", "protected_machines")
    assert sorted(sums) == [("", 1, 0), ("store-1", 1, 1), ("store-2", 0, 0)]


def test_a_deleted_machine_keeps_room_and_is_no_machine_any_more(machine: Machine):
    backup_of(machine, 4)
    Machine.across_tenants.update(present=False, protection="protected")
    assert recorded("stored_bytes", "machines", "protected_machines") == [(4 * GIB, 0, 0)]


def test_restore_points_stay_with_who_owned_the_machine_then_and_its_name_does_not(
    machine: Machine, sunflower: Tenant, pine: Tenant
):
    backup_of(machine, 4)
    Machine.across_tenants.update(tenant=pine, name="renamed by Pine")
    assert recorded("tenant__slug", "machine_name", "stored_bytes", "machines") == [
        ("pine", "renamed by Pine", 0, 1),
        ("sunflower", "", 4 * GIB, 0),
    ]


def test_the_plan_is_the_tenants_own(machine: Machine, sunflower: Tenant, pine: Tenant):
    for tenant, name in ((sunflower, "Nightly"), (pine, "Theirs")):
        Plan.across_tenants.create(tenant=tenant, is_made_here=True, name=name, policy_guid="policy-1")
    Machine.across_tenants.update(policy_guid="policy-1")
    plan = Plan.across_tenants.get(tenant=sunflower)
    assert recorded("plan_id", "plan_name") == [(str(plan.pk), "Nightly")]


def test_looking_again_takes_the_place_of_the_look_before(machine: Machine, sunflower: Tenant):
    backup = backup_of(machine, 4)
    gone = backup_of(machine_of(sunflower, "vm-2"), 1)
    record_usage()
    before = list(MachineUsage.across_tenants.filter(machine_guid="vm-1").values_list("pk", "stored_bytes"))
    assert recorded("machine_guid", "stored_bytes") == [("vm-1", 4 * GIB), ("vm-2", GIB)]
    assert list(MachineUsage.across_tenants.filter(machine_guid="vm-1").values_list("pk", "stored_bytes")) == before
    type(backup).across_tenants.filter(pk=backup.pk).update(size=5 * GIB)
    Machine.across_tenants.filter(guid="vm-2").update(vanished_at="2026-01-01T00:00Z")
    type(backup).across_tenants.filter(pk=gone.pk).update(vanished_at="2026-01-01T00:00Z")
    assert recorded("machine_guid", "stored_bytes") == [("vm-1", 5 * GIB)]
    assert TenantUsage.across_tenants.get().stored_bytes == 5 * GIB


def test_days_are_the_tenants_own_and_a_day_of_nothing_is_written_down_too(sunflower: Tenant, pine: Tenant):
    Tenant.objects.filter(pk=sunflower.pk).update(time_zone="Pacific/Kiritimati")
    Tenant.objects.filter(pk=pine.pk).update(time_zone="Pacific/Pago_Pago")
    record_usage()
    days = dict(TenantUsage.across_tenants.values_list("tenant__slug", "day"))
    assert days["sunflower"] - days["pine"] >= timedelta(days=1)
    assert not MachineUsage.across_tenants.exists()


def test_the_days_of_a_month_are_added_up(machine: Machine, sunflower: Tenant):
    yesterday = timezone.now().date() - timedelta(days=1)
    Machine.across_tenants.update(protection="protected")
    backup_of(machine, 3)
    for guid in ("store-1", "store-2"):
        written_down(sunflower, yesterday, "vm-1", 2 * GIB, destination_guid=guid, plan_id="", plan_name="")
    MachineMonth.across_tenants.update(byte_days=7, machine_guid="vm-of-before")
    for _look in range(2):
        record_usage()
    fields = ("machine_guid", "plan_id", "destination_guid")
    expected: Counter[tuple[Any, ...]] = Counter()
    for day in MachineUsage.across_tenants.all():
        key = (day.day.replace(day=1), *(getattr(day, field) for field in fields))
        expected[key] += day.stored_bytes + (day.protected_machines or 0)
    rows = MachineMonth.across_tenants.all()
    assert {
        (row.month, *(getattr(row, field) for field in fields)): row.byte_days + row.machine_days for row in rows
    } == expected
    assert sum(row.byte_days for row in rows) == 7 * GIB and sum(row.machine_days for row in rows) == 3


def test_the_record_of_days_before_is_never_touched(machine: Machine, sunflower: Tenant):
    written_down(sunflower, date(2026, 1, 1), "vm-1", 7)
    backup_of(machine)
    record_usage()
    assert MachineUsage.across_tenants.get(day=date(2026, 1, 1)).stored_bytes == 7


@time_machine.travel("2026-11-25 12:00", tick=False)
def test_what_is_old_goes_and_what_a_removed_tenant_had(sunflower: Tenant, pine: Tenant, settings: Any):
    settings.USAGE_RETENTION_DAYS = 100
    for tenant in (sunflower, pine):
        written_down(tenant, date(2026, 7, 31), "vm-1", 1)
        written_down(tenant, date(2026, 8, 1), "vm-1", 1)
    Tenant.objects.filter(pk=pine.pk).update(removed_at="2026-11-01T00:00Z")
    assert forget_old_usage(date(2026, 11, 25)) == 9
    assert list(MachineUsage.across_tenants.values_list("tenant__slug", "day")) == [("sunflower", date(2026, 8, 1))]
    assert list(MachineMonth.across_tenants.values_list("tenant__slug", "month")) == [("sunflower", date(2026, 8, 1))]
    settings.USAGE_RETENTION_DAYS = 0
    assert forget_old_usage(date(2028, 1, 1)) == 0


def test_days_before_the_record_are_put_together_from_what_is_still_there(machine: Machine, sunflower: Tenant):
    now = timezone.now()
    backup_of(machine, 3, sort_at=now - timedelta(days=3))
    backup_of(machine, 2, sort_at=now - timedelta(days=1), destinations=[copy_in("store-2")])
    backup_of(machine, 100, sort_at=now - timedelta(days=3), status="SUCCESS_REMOVED")
    assert reconstruct_usage(now.date() - timedelta(days=5)) == 0, "nothing begins before a record that is not there"
    record_usage()
    for _again in range(2):
        reconstruct_usage(now.date() - timedelta(days=5))
    before = MachineUsage.across_tenants.filter(day__lt=now.date()).order_by("day", "destination_guid")
    ago = [(timedelta(days=days), guid, gib * GIB) for days, guid, gib in ((3, "store-1", 3), (2, "store-1", 3))]
    assert [(now.date() - row.day, row.destination_guid, row.stored_bytes) for row in before] == [
        *ago,
        (timedelta(days=1), "store-1", 3 * GIB),
        (timedelta(days=1), "store-2", 2 * GIB),
    ]
    assert {row.protected_machines for row in before} == {None}
    assert TenantUsage.across_tenants.filter(day__lt=now.date(), protected_machines=None).count() == 4


def test_an_operators_command_puts_them_together(machine: Machine, capsys: pytest.CaptureFixture[str]):
    backup_of(machine, 3, sort_at=timezone.now() - timedelta(days=3))
    for written in ("3 rows", "0 rows"):
        call_command("reconstruct_usage", days=5)
        assert written in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ("reports_machineusage", "stored_bytes"),
        ("reports_machinemonth", "byte_days"),
        ("reports_tenantusage", "machines"),
    ],
)
def test_web_only_reads_the_record(table: str, field: str, sunflower: Tenant, as_role: Any):
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET {field} = 0"):  # noqa: S608 — our own tables
        with pytest.raises(DatabaseError, match="permission denied"), as_role("portal_web", sunflower):
            connection.cursor().execute(statement)
