"""One word for how well a machine is protected, worst first."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tenants.models import Tenant
from tests.conftest import machine_of
from vprotect_bridge.models import Backup, Machine, Policy, Protection
from vprotect_bridge.protection import History, conclude, update_protection

NEVER = History()
GOOD = History("SUCCESS", True, datetime(2026, 1, 1, tzinfo=UTC))
BAD = History("FAILED", True, datetime(2026, 1, 1, tzinfo=UTC))
AGED_OUT = History("SUCCESS_REMOVED", False, datetime(2026, 1, 1, tzinfo=UTC))
NOW = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("facts", "history", "concluded"),
    [
        ({"policy_guid": "p", "backup_up_to_date": True}, GOOD, Protection.PROTECTED),
        ({"policy_guid": "p", "backup_up_to_date": False}, GOOD, Protection.OVERDUE),
        ({"policy_guid": "p", "backup_up_to_date": None}, GOOD, Protection.UNKNOWN),
        ({"policy_guid": "p", "backup_up_to_date": True}, BAD, Protection.FAILED),
        ({"policy_guid": "", "backup_up_to_date": None}, GOOD, Protection.UNPROTECTED),
        ({"policy_guid": "", "backup_up_to_date": None}, BAD, Protection.FAILED),
        ({"policy_guid": "", "backup_up_to_date": None}, NEVER, Protection.UNPROTECTED),
        ({"present": False, "backups_at": NOW}, GOOD, Protection.DELETED),
        ({"present": False, "backups_at": NOW}, AGED_OUT, Protection.GONE),
        ({"vanished_at": NOW, "backups_at": NOW}, NEVER, Protection.GONE),
        ({"present": False, "last_size": 5}, NEVER, Protection.DELETED),
        ({"present": False, "last_size": 0}, NEVER, Protection.GONE),
        ({"present": False, "last_size": 5, "backups_at": NOW}, NEVER, Protection.GONE),
        ({"present": False, "backups_at": NOW}, BAD, Protection.DELETED),
        ({"policy_guid": "p", "backup_up_to_date": False}, NEVER, Protection.OVERDUE),
        ({"policy_guid": "p", "backup_up_to_date": True}, History("PARTIAL_SUCCESS", True, NOW), Protection.PROTECTED),
    ],
)
def test_the_worst_that_holds_is_said(facts: dict[str, Any], history: History, concluded: Protection):
    assert conclude(Machine(**facts), history) == concluded


# ── From the rows ────────────────────────────────────────────────────────────


def backup_of(machine: Machine, status: str, days_ago: int, tenant: Tenant | None = None, **fields: Any) -> Backup:
    return Backup.across_tenants.create(
        guid=f"{machine.guid}-{status}-{days_ago}",
        machine=machine,
        tenant=tenant or machine.tenant,
        status=status,
        sort_at=NOW - timedelta(days=days_ago),
        **{"type": "FULL", **fields},
    )


@pytest.fixture
def machine(sunflower: Tenant) -> Machine:
    machine = machine_of(sunflower)
    machine.policy_guid, machine.backup_up_to_date = "p", True
    machine.save()
    return machine


def concluded(machine: Machine) -> tuple[str, datetime | None]:
    update_protection([machine.pk])
    machine.refresh_from_db()
    return machine.protection, machine.last_success_at


@pytest.mark.django_db
def test_the_newest_finished_backup_decides(machine: Machine):
    backup_of(machine, "SUCCESS", 3)
    backup_of(machine, "FAILED", 2)
    backup_of(machine, "INPROGRESS", 1)
    assert concluded(machine) == (Protection.FAILED, NOW - timedelta(days=3))
    backup_of(machine, "PARTIAL_SUCCESS", 0)
    assert concluded(machine) == (Protection.PROTECTED, NOW)


@pytest.mark.django_db
def test_what_retention_removed_was_a_success_but_restores_nothing(machine: Machine):
    backup_of(machine, "SUCCESS_REMOVED", 30)
    Machine.across_tenants.update(present=False, backups_at=NOW)
    assert concluded(machine) == (Protection.GONE, NOW - timedelta(days=30))


@pytest.mark.django_db
def test_a_backup_that_vanished_restores_nothing(machine: Machine):
    backup_of(machine, "SUCCESS", 1, vanished_at=NOW)
    Machine.across_tenants.update(present=False, backups_at=NOW)
    assert concluded(machine)[0] == Protection.GONE


@pytest.mark.django_db
def test_another_tenants_backups_say_nothing(machine: Machine, pine: Tenant):
    backup_of(machine, "FAILED", 1, tenant=pine)
    backup_of(machine, "SUCCESS", 2, tenant=pine)
    assert concluded(machine) == (Protection.PROTECTED, None)


@pytest.mark.django_db
def test_many_machines_are_concluded_at_once_and_only_news_is_written(sunflower: Tenant):
    machines = [machine_of(sunflower, f"vm-{number}") for number in range(20)]
    assert update_protection([machine.pk for machine in machines]) == 20
    with CaptureQueriesContext(connection) as queries:
        assert update_protection([machine.pk for machine in machines]) == 0
    assert len(queries) == 1


# ── Until when a deleted machine can be restored ─────────────────────────────

DAY_MS = 24 * 3600 * 1000
HERE = [{"guid": "store-1", "name": "Store", "role": "PRIMARY", "status": "PRESENT"}]
KEPT = {"full_ms": 30 * DAY_MS, "incremental_ms": 7 * DAY_MS, "full_count": 4, "incremental_count": 30}


def deleted(machine: Machine, retention: dict[str, Any] | None, *guids: str) -> None:
    Machine.across_tenants.update(present=False, backups_at=NOW)
    destinations = [{"guid": guid, "retention": retention} for guid in guids or ["store-1"]]
    Policy.objects.create(guid="p", name="p", row_digest="", rules=[{"guid": "r", "destinations": destinations}])


def until(machine: Machine) -> datetime | None:
    update_protection([machine.pk])
    machine.refresh_from_db()
    assert machine.protection == Protection.DELETED
    return machine.restorable_until


@pytest.mark.django_db
def test_the_last_restore_point_goes_when_its_rule_keeps_it_no_longer(machine: Machine):
    deleted(machine, KEPT)
    backup_of(machine, "SUCCESS", 10, destinations=HERE)
    backup_of(machine, "SUCCESS", 1, type="INCREMENTAL", destinations=HERE)
    assert until(machine) == NOW + timedelta(days=20), "the full one outlives the younger incremental one"
    assert machine.newest_point_at == NOW - timedelta(days=1)


@pytest.mark.django_db
def test_an_archived_restore_point_says_itself_until_when(machine: Machine):
    deleted(machine, None)
    backup_of(machine, "SUCCESS", 10, destinations=HERE, archive_expires_at=NOW + timedelta(days=365))
    assert until(machine) == NOW + timedelta(days=365)


@pytest.mark.django_db
@pytest.mark.parametrize("unknown", ["no retention", "another destination", "no copies", "no rule"])
def test_what_nobody_told_is_not_guessed(unknown: str, machine: Machine):
    if unknown != "no rule":
        deleted(machine, None if unknown == "no retention" else KEPT)
    Machine.across_tenants.update(present=False, backups_at=NOW)
    elsewhere = [{**HERE[0], "guid": "store-2"}]
    places = {"another destination": elsewhere, "no copies": []}.get(unknown, HERE)
    backup_of(machine, "SUCCESS", 10, destinations=HERE, archive_expires_at=NOW + timedelta(days=365))
    backup_of(machine, "SUCCESS", 9, destinations=places)
    assert until(machine) is None and machine.newest_point_at == NOW - timedelta(days=9)


@pytest.mark.django_db
def test_a_machine_that_is_there_has_no_such_day(machine: Machine):
    deleted(machine, KEPT)
    backup_of(machine, "SUCCESS", 10, destinations=HERE)
    until(machine)
    Machine.across_tenants.update(present=True)
    concluded(machine)
    assert machine.restorable_until is None and machine.newest_point_at is None
