"""What the database itself forbids an operation."""

import pytest
from django.db import DatabaseError, IntegrityError
from django.utils import timezone

from tenants.models import Tenant
from tests.conftest import machine_of, operation_on
from vprotect_bridge.models import Operation

pytestmark = pytest.mark.django_db


def _move(operation: Operation, **changes: object) -> Operation:
    Operation.across_tenants.filter(pk=operation.pk).update(**changes)
    return Operation.across_tenants.get(pk=operation.pk)


def test_each_change_counts_the_version(sunflower: Tenant):
    operation = operation_on(machine_of(sunflower))
    assert _move(operation, progress=10).version == 2


def test_a_look_that_shows_nothing_new_does_not_count(sunflower: Tenant):
    operation = operation_on(machine_of(sunflower))
    assert _move(operation, followed_at=timezone.now(), next_at=timezone.now()).version == 1


def test_progress_never_falls(sunflower: Tenant):
    operation = operation_on(machine_of(sunflower), progress=60)
    assert _move(operation, progress=10).progress == 60


@pytest.mark.parametrize(
    ("start", "end"),
    [("pending", "uncertain"), ("accepted", "pending"), ("rejected", "pending"), ("expired", "sending")],
)
def test_moves_that_the_protocol_does_not_know_are_refused(start: str, end: str, sunflower: Tenant):
    operation = operation_on(machine_of(sunflower), submission=start)
    with pytest.raises(DatabaseError, match="cannot move"):
        _move(operation, submission=end)


def test_a_finished_operation_is_never_open_again(sunflower: Tenant):
    operation = operation_on(machine_of(sunflower), submission="accepted", outcome="succeeded")
    with pytest.raises(DatabaseError, match="is finished"):
        _move(operation, outcome="")


def test_a_machine_has_one_open_backup(sunflower: Tenant):
    machine = machine_of(sunflower)
    operation_on(machine)
    with pytest.raises(IntegrityError, match="one_open_operation_per_machine"):
        operation_on(machine)
