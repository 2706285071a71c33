"""How long history is kept: what is older goes in small batches, so that nobody ever waits for it.

The audit is kept for ever. What goes are operations and, of the mirror, what vProtect itself has not had for as long.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from tenants.uuid7 import first_uuid7_of
from vprotect_bridge.models import (
    Alert,
    Backup,
    BulkRequest,
    Machine,
    Mount,
    Operation,
    OperationEvent,
    OperationTask,
    Question,
)

BATCH = 500
# Of each kind in one run: a run ends within seconds, and the next one goes on.
MOST_BATCHES = 20
QUESTIONS_KEPT_FOR = timedelta(days=1)


def remove_old() -> int:
    """One run; returns how many rows went. `HISTORY_RETENTION_DAYS` 0 = history is kept for ever."""
    now = timezone.now()
    removed = _in_batches(partial(_remove_questions, now - QUESTIONS_KEPT_FOR))
    if not settings.HISTORY_RETENTION_DAYS:
        return removed
    before = now - timedelta(days=settings.HISTORY_RETENTION_DAYS)
    # In this order: a machine goes when nothing tells of it any more.
    for remove in (_remove_operations, _remove_bulk_requests, _remove_backups, _remove_alerts, _remove_machines):
        removed += _in_batches(partial(remove, before))
    return removed


def _in_batches(remove: Callable[[], int]) -> int:
    removed = 0
    for _ in range(MOST_BATCHES):
        with transaction.atomic():
            count = remove()
        removed += count
        if count < BATCH:
            break
    return removed


def _batch(rows: QuerySet[Any]) -> list[Any]:
    """Keys of rows that nobody works with at the moment."""
    return list(rows.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[:BATCH])


def _remove_questions(before: datetime) -> int:
    keys = _batch(Question.across_tenants.filter(asked_at__lt=before).order_by("asked_at"))
    return _delete(Question.across_tenants.filter(pk__in=keys))


def _remove_operations(before: datetime) -> int:
    """Those that ended. By their key, which begins with the moment in which they were made: that needs no index."""
    is_open = Mount.across_tenants.filter(operation=OuterRef("pk"), closed_at=None)
    old = Operation.across_tenants.filter(pk__lt=first_uuid7_of(before), created_at__lt=before).exclude(outcome="")
    keys = _batch(old.exclude(Exists(is_open)).order_by("pk"))
    Mount.across_tenants.filter(operation__in=keys).delete()
    for model in (OperationTask, OperationEvent):
        _delete(model.across_tenants.filter(operation__in=keys))
    return _delete(Operation.across_tenants.filter(pk__in=keys))


def _remove_bulk_requests(before: datetime) -> int:
    has_operation = Operation.across_tenants.filter(bulk_request=OuterRef("pk"))
    old = BulkRequest.across_tenants.filter(pk__lt=first_uuid7_of(before), created_at__lt=before)
    keys = _batch(old.exclude(Exists(has_operation)).order_by("pk"))
    return _delete(BulkRequest.across_tenants.filter(pk__in=keys))


def _remove_backups(before: datetime) -> int:
    """Those that vProtect has not had for so long. Their days are counted again by the trigger."""
    is_open = Mount.across_tenants.filter(backup=OuterRef("pk"), closed_at=None)
    old = Backup.across_tenants.filter(vanished_at__lt=before).exclude(Exists(is_open))
    keys = _batch(old.order_by("vanished_at"))
    Mount.across_tenants.filter(backup__in=keys).delete()
    return _delete(Backup.across_tenants.filter(pk__in=keys))


def _remove_alerts(before: datetime) -> int:
    """Those that are over; what a machine was reported for once goes with the machine."""
    old = Alert.across_tenants.filter(pk__lt=first_uuid7_of(before), closed_at__lt=before)
    keys = _batch(old.exclude(kind=Alert.Kind.WITHOUT_PLAN).order_by("pk"))
    return _delete(Alert.across_tenants.filter(pk__in=keys))


def _remove_machines(before: datetime) -> int:
    gone = Machine.across_tenants.filter(vanished_at__lt=before)
    backups, operations = (model.across_tenants.filter(machine=OuterRef("pk")) for model in (Backup, Operation))
    keys = _batch(gone.exclude(Exists(backups)).exclude(Exists(operations)).order_by("vanished_at"))
    return Machine.across_tenants.filter(pk__in=keys).delete()[1].get("vprotect_bridge.Machine", 0)


def _delete(rows: QuerySet[Any]) -> int:
    """In one statement; what refers to these rows has gone before."""
    return rows._raw_delete(rows.db) or 0
