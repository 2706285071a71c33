"""What is old goes, in small batches; what is open, young or still in vProtect stays."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tenants.models import Tenant
from tests.conftest import machine_of, operation_on
from vprotect_bridge import retention
from vprotect_bridge.models import (
    Alert,
    Backup,
    BackupDay,
    Machine,
    Mount,
    Operation,
    OperationEvent,
    OperationTask,
    Question,
)
from vprotect_bridge.retention import remove_old

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _a_year(settings: Any) -> None:
    settings.HISTORY_RETENTION_DAYS = 365


@pytest.fixture
def machine(sunflower: Tenant) -> Machine:
    return machine_of(sunflower)


def ago(days: int) -> datetime:
    return timezone.now() - timedelta(days=days)


def ended(machine: Machine, days: int, number: int = 0, **fields: Any) -> Operation:
    """As old as its key, which begins with the moment in which it was made."""
    made = ago(days)
    key = UUID(int=(int(made.timestamp() * 1000) << 80) | 0x7 << 76 | 0b10 << 62 | number)
    values = {"id": key, "created_at": made, "outcome": "succeeded", "submission": "accepted", **fields}
    return operation_on(machine, **values)


def backup(machine: Machine, guid: str, vanished_at: datetime | None) -> Backup:
    facts = {"status": "SUCCESS", "type": "FULL", "sort_at": ago(500), "row_digest": "", "size": 7}
    return Backup.across_tenants.create(
        guid=guid, machine=machine, tenant=machine.tenant, vanished_at=vanished_at, **facts
    )


def test_old_operations_go_with_all_that_tells_of_them(machine: Machine):
    old, young = ended(machine, 400), ended(machine, 300)
    for operation in (old, young):
        OperationEvent.across_tenants.create(operation=operation, tenant=machine.tenant, moved_to="accepted")
        OperationTask.across_tenants.create(operation=operation, tenant=machine.tenant, guid="t", type="EXPORT")
    remove_old()
    assert list(Operation.across_tenants.all()) == [young]
    assert [event.operation for event in OperationEvent.across_tenants.all()] == [young]
    assert [task.operation for task in OperationTask.across_tenants.all()] == [young]


def test_what_has_not_ended_stays_however_old(machine: Machine):
    ended(machine, 900, outcome="", submission="needs_attention")
    assert remove_old() == 0


def test_an_operation_whose_backup_is_open_stays_until_it_is_closed(machine: Machine):
    operation = ended(machine, 400, kind="mount")
    mount = Mount.across_tenants.create(
        operation=operation, tenant=machine.tenant, backup=backup(machine, "b", None), guid="m", closes_at=ago(1)
    )
    remove_old()
    assert Operation.across_tenants.exists()
    Mount.across_tenants.filter(pk=mount.pk).update(closed_at=ago(1))
    remove_old()
    assert not Operation.across_tenants.exists() and not Mount.across_tenants.exists()


def test_backups_go_when_vprotect_has_not_had_them_for_so_long_and_their_days_with_them(machine: Machine):
    backup(machine, "long gone", ago(400))
    backup(machine, "gone lately", ago(10))
    backup(machine, "there", None)
    remove_old()
    assert set(Backup.across_tenants.values_list("guid", flat=True)) == {"gone lately", "there"}
    assert BackupDay.across_tenants.get().succeeded == 2


def test_a_machine_goes_when_nothing_tells_of_it_any_more(sunflower: Tenant):
    with_history, bare, there = (machine_of(sunflower, guid) for guid in ("with-history", "bare", "there"))
    Machine.across_tenants.exclude(pk=there.pk).update(vanished_at=ago(400))
    ended(with_history, 300)
    remove_old()
    assert set(Machine.across_tenants.values_list("guid", flat=True)) == {"with-history", "there"}
    assert not Machine.across_tenants.filter(pk=bare.pk).exists()


def test_questions_are_for_the_moment(machine: Machine, settings: Any):
    settings.HISTORY_RETENTION_DAYS = 0
    ended(machine, 3000)
    for days in (0, 2):
        Question.across_tenants.create(tenant=machine.tenant, machine=machine, kind="x", asked_at=ago(days))
    assert remove_old() == 1
    assert Operation.across_tenants.count() == 1, "0 = history is kept for ever"


def test_many_go_in_batches_and_the_rest_in_the_next_run(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "MOST_BATCHES", 2)
    for number in range(5):
        ended(machine, 400, number)
    with CaptureQueriesContext(connection) as queries:
        assert remove_old() == 4
    deletes = [q["sql"] for q in queries if q["sql"].startswith('DELETE FROM "vprotect_bridge_operation"')]
    assert len(deletes) == 2
    assert remove_old() == 1


def test_alerts_that_are_over_go_but_for_those_that_are_told_once(machine: Machine):
    for number, (kind, closed_at) in enumerate([("late", ago(400)), ("late", None), ("without_plan", ago(400))]):
        key = UUID(int=(int(ago(500).timestamp() * 1000) << 80) | 0x7 << 76 | 0b10 << 62 | number)
        Alert.across_tenants.create(
            pk=key, tenant=machine.tenant, machine=machine, kind=kind, began_at=ago(500), closed_at=closed_at
        )
    remove_old()
    left = {(alert.kind, alert.closed_at is None) for alert in Alert.across_tenants.all()}
    assert left == {("late", True), ("without_plan", False)}
