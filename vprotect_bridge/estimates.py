"""How long a thing usually takes, from the machine's own history."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from django.db.models import QuerySet

from vprotect_bridge.models import Backup, Operation
from vprotect_bridge.protection import SUCCEEDED

LOOKED_AT = 5


@dataclass(frozen=True)
class Usual:
    """In milliseconds. The median, so that one that took all night moves nothing. `count` 0 = nothing is known."""

    count: int = 0
    usual_ms: int | None = None
    longest_ms: int | None = None

    @classmethod
    def of(cls, durations: list[int]) -> Usual:
        return cls(len(durations), round(median(durations)), max(durations)) if durations else cls()


def usual_for(operation: Operation) -> Usual:
    """Of what this tenant saw of this machine: history does not follow it to another."""
    if operation.kind == Operation.Kind.BACKUP:
        durations = [_worked_ms(backup) for backup in _backups(operation)[:LOOKED_AT]]
    elif operation.kind == Operation.Kind.RESTORE:
        durations = [earlier.took_ms for earlier in _restores(operation)[:LOOKED_AT]]
    else:
        durations = []
    return Usual.of([took for took in durations if took])


def _worked_ms(backup: Backup) -> int | None:
    """Waiting for its turn is not work; waiting between its two tasks is part of it."""
    if backup.export_ms is None or backup.store_ms is None:
        return backup.duration_ms
    return backup.export_ms + (backup.queued_store_ms or 0) + backup.store_ms


def _backups(operation: Operation) -> QuerySet[Backup]:
    """Earlier ones of the same type, newest first."""
    asked_type = operation.request.get("backup_type") or ""
    same = Backup.across_tenants.filter(tenant=operation.tenant_id, machine=operation.machine_id, type=asked_type)
    return same.filter(status__in=SUCCEEDED).order_by("-sort_at")


def _restores(operation: Operation) -> QuerySet[Operation]:
    same = Operation.across_tenants.filter(
        tenant=operation.tenant_id,
        machine=operation.machine_id,
        kind=Operation.Kind.RESTORE,
        outcome=Operation.Outcome.SUCCEEDED,
    )
    return same.order_by("-created_at")
