"""What is kept of a tenant's days is what its backups say, whatever happened to them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from tenants.models import Tenant, User
from tests.conftest import AsRole, machine_of
from vprotect_bridge.backup_days import days_of
from vprotect_bridge.hand_over import hand_over
from vprotect_bridge.models import Backup, BackupDay, Machine

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)
COUNTED = (
    *("day", "destination_guid", "succeeded", "with_warnings", "failed"),
    *("size", "restorable_size", "timed", "duration_ms"),
)
Row = tuple[Any, ...]


def kept(tenant: Tenant) -> list[Row]:
    rows = BackupDay.across_tenants.filter(tenant=tenant).order_by("day", "destination_guid")
    return list(rows.values_list(*COUNTED))


def counted_anew(tenant: Tenant) -> list[Row]:
    tenant.refresh_from_db()
    rows = days_of(Backup.across_tenants.filter(tenant=tenant), ZoneInfo(tenant.time_zone))
    return [tuple(getattr(row, name) for name in COUNTED) for row in rows]


def backup_of(machine: Machine, guid: str = "b-1", **fields: Any) -> Backup:
    usual = {"tenant": machine.tenant, "status": "SUCCESS", "type": "FULL", "sort_at": NOON, "size": 10}
    where = {"destinations": [{"guid": "store-1", "name": "Store", "role": "PRIMARY", "status": "PRESENT"}]}
    return Backup.across_tenants.create(guid=guid, machine=machine, **{**usual, **where, "duration_ms": 60, **fields})


@pytest.fixture
def machine(sunflower: Tenant) -> Machine:
    return machine_of(sunflower)


@pytest.mark.django_db
def test_a_day_says_how_many_how_much_and_how_long(sunflower: Tenant, machine: Machine):
    backup_of(machine)
    backup_of(machine, "b-2", status="PARTIAL_SUCCESS", size=5, duration_ms=None)
    backup_of(machine, "b-3", status="FAILED", size=99, destinations=[])
    backup_of(machine, "b-4", status="INPROGRESS")
    day = date(2026, 3, 28)
    assert kept(sunflower) == [(day, "", 0, 0, 1, 0, 0, 0, 0), (day, "store-1", 1, 1, 0, 15, 15, 1, 60)]


@pytest.mark.django_db
def test_what_retention_removes_was_made_all_the_same(sunflower: Tenant, machine: Machine):
    backup_of(machine)
    Backup.across_tenants.update(status="SUCCESS_REMOVED")
    backup_of(machine, "b-2")
    Backup.across_tenants.filter(guid="b-2").update(vanished_at=NOON)
    assert kept(sunflower) == [(date(2026, 3, 28), "store-1", 2, 0, 0, 20, 0, 2, 120)]


@pytest.mark.django_db
def test_a_day_goes_with_the_last_of_its_backups(sunflower: Tenant, machine: Machine):
    backup_of(machine)
    backup_of(machine, "b-2", sort_at=NOON - timedelta(days=1))
    Backup.across_tenants.filter(guid="b-2").delete()
    assert [row[0] for row in kept(sunflower)] == [date(2026, 3, 28)]


@pytest.mark.django_db
def test_days_are_the_tenants_and_follow_its_zone(sunflower: Tenant, pine: Tenant, machine: Machine):
    backup_of(machine, sort_at=datetime(2026, 3, 28, 23, 30, tzinfo=UTC))
    backup_of(machine_of(pine, "vm-9"), "b-9")
    theirs = kept(pine)
    Tenant.objects.filter(pk=sunflower.pk).update(time_zone="Europe/Warsaw")
    assert [row[0] for row in kept(sunflower)] == [date(2026, 3, 29)]
    assert kept(sunflower) == counted_anew(sunflower) and kept(pine) == theirs


@pytest.mark.django_db
def test_what_is_handed_over_counts_for_the_other(sunflower: Tenant, pine: Tenant, machine: Machine, owner: User):
    backup_of(machine)
    hand_over(machine, sunflower, pine, by=owner, address=None)
    assert kept(sunflower) == [] and len(kept(pine)) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["portal_worker", "portal_operator"])
def test_whoever_writes_backups_cannot_forget_to_count(
    role: str, sunflower: Tenant, pine: Tenant, machine: Machine, as_role: AsRole
):
    backup = backup_of(machine)
    with as_role(role):
        Backup.across_tenants.filter(pk=backup.pk).update(tenant=pine)
    assert kept(sunflower) == [] and len(kept(pine)) == 1


@pytest.mark.django_db
def test_an_administrator_who_changes_the_zone_needs_no_right_on_what_is_kept(
    sunflower: Tenant, machine: Machine, as_role: AsRole
):
    backup_of(machine, sort_at=datetime(2026, 3, 28, 23, 30, tzinfo=UTC))
    with as_role("portal_web", sunflower):
        assert Tenant.objects.filter(pk=sunflower.pk).update(time_zone="Asia/Tokyo") == 1
    assert kept(sunflower) == counted_anew(sunflower)


@pytest.mark.django_db
def test_a_write_that_changes_nothing_counted_writes_nothing(sunflower: Tenant, machine: Machine):
    backup_of(machine)
    with connection.cursor() as cursor:
        cursor.execute("SELECT xmin::text FROM vprotect_bridge_backupday")
        (before,) = cursor.fetchone()
    with transaction.atomic():
        Backup.across_tenants.update(status_info="said in other words")
    with connection.cursor() as cursor:
        cursor.execute("SELECT xmin::text FROM vprotect_bridge_backupday")
        assert cursor.fetchone() == (before,)


# ── Whatever happens ─────────────────────────────────────────────────────────

STATUSES = st.sampled_from(["QUEUED", "INPROGRESS", "SUCCESS", "PARTIAL_SUCCESS", "SUCCESS_REMOVED", "FAILED"])
# Around a change of the clocks and around midnight.
MOMENTS = st.integers(-72, 72).map(lambda halves: NOON + timedelta(minutes=30 * halves))
PLACES = st.sampled_from(["", "store-1", "store-2"]).map(lambda guid: [{"guid": guid}] if guid else [])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "status": STATUSES,
    "sort_at": MOMENTS,
    "destinations": PLACES,
    "size": st.integers(0, 2**45),
    "duration_ms": st.none() | st.integers(0, 2**40),
    "vanished_at": st.none() | st.just(NOON),
}
OWNERS = st.integers(0, 2)
ROWS = st.lists(st.tuples(st.fixed_dictionaries(VALUES), OWNERS), max_size=6)
SOME = st.frozensets(st.integers(0, 20), max_size=8)
CHANGES = st.one_of(
    st.tuples(st.just("create"), ROWS),
    st.tuples(st.just("delete"), SOME),
    st.tuples(st.just("give"), st.tuples(SOME, OWNERS)),
    st.tuples(st.just("change"), st.tuples(SOME, st.fixed_dictionaries({}, optional=VALUES))),
    st.tuples(st.just("move"), st.sampled_from(["UTC", "Europe/Warsaw", "Asia/Kathmandu", "America/St_Johns"])),
)


class TestWhateverHappens(TestCase):
    @settings(max_examples=40, deadline=None)
    @given(st.lists(CHANGES, max_size=8))
    def test_what_is_kept_is_what_counting_anew_says(self, changes: list[tuple[str, Any]]):
        tenants = [Tenant.objects.create(name=name, slug=name) for name in ("sunflower", "pine")]
        world = World(tenants, machine_of(tenants[0]))
        for kind, change in changes:
            getattr(world, kind)(change)
        for tenant in tenants:
            assert kept(tenant) == counted_anew(tenant)


class World:
    def __init__(self, tenants: list[Tenant], machine: Machine) -> None:
        self.owners: list[Tenant | None] = [*tenants, None]
        self.machine = machine
        self.made = 0

    def some(self, numbers: frozenset[int]) -> Any:
        return Backup.across_tenants.filter(guid__in=[f"b-{number}" for number in numbers])

    def create(self, rows: list[tuple[dict[str, Any], int]]) -> None:
        Backup.across_tenants.bulk_create(
            Backup(guid=f"b-{self.made + n}", machine=self.machine, type="FULL", tenant=self.owners[owner], **fields)
            for n, (fields, owner) in enumerate(rows)
        )
        self.made += len(rows)

    def delete(self, numbers: frozenset[int]) -> None:
        self.some(numbers).delete()

    def give(self, change: tuple[frozenset[int], int]) -> None:
        self.some(change[0]).update(tenant=self.owners[change[1]])

    def change(self, change: tuple[frozenset[int], dict[str, Any]]) -> None:
        if change[1]:
            self.some(change[0]).update(**change[1])

    def move(self, zone: str) -> None:
        Tenant.objects.filter(slug="sunflower").update(time_zone=zone)
