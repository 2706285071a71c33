"""Which of vProtect's tasks worked on an operation, one after the other: for the details that support asks for.

Written when one comes, changes or ends, and not otherwise. vProtect's own texts about them are not kept: they name
infrastructure.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import F
from django.utils import timezone

from vprotect_bridge.client.types import Task
from vprotect_bridge.models import Operation, OperationTask

ENDED = {"FINISHED", "FAILED", "CANCELLED"}
STATE_OF_OUTCOME = {
    Operation.Outcome.SUCCEEDED: "FINISHED",
    Operation.Outcome.PARTIAL: "FINISHED",
    Operation.Outcome.FAILED: "FAILED",
    Operation.Outcome.CANCELLED: "CANCELLED",
}


def note_task(operation: Operation, task: Task, skew_ms: int) -> None:
    """As it is seen now. `skew_ms`: how far vProtect's clock is ahead of ours."""
    started_at, ended_at = in_our_time(task.start_time, skew_ms), in_our_time(task.finish_time, skew_ms)
    has_ended = task.state in ENDED
    now = timezone.now()
    seen = {"state": task.state, "started_at": started_at, "ended_at": (ended_at or now) if has_ended else None}
    known = {row.guid: row for row in operation.tasks.all()}
    if row := known.get(task.guid):
        if (row.state, row.started_at is None) != (task.state, started_at is None):
            OperationTask.across_tenants.filter(pk=row.pk).update(**seen)
            _count_version(operation)
        return
    for earlier in known.values():
        if earlier.ended_at is None:
            # The next step comes when a task is done, the same one again when it failed.
            state = "FAILED" if earlier.type == task.type else "FINISHED"
            OperationTask.across_tenants.filter(pk=earlier.pk).update(state=state, ended_at=now)
    OperationTask.across_tenants.create(
        tenant_id=operation.tenant_id, operation=operation, guid=task.guid, type=task.type, **seen
    )
    _count_version(operation)


def _count_version(operation: Operation) -> None:
    """The chain is shown: whoever looks at it has news, also where the operation itself stays as it was."""
    Operation.across_tenants.filter(pk=operation.pk).update(version=F("version") + 1)


def end_chain(operation: Operation, outcome: str) -> None:
    """The operation has ended, and with it whatever of its tasks was not seen to end."""
    open_tasks = OperationTask.across_tenants.filter(operation=operation, ended_at=None)
    open_tasks.update(state=STATE_OF_OUTCOME.get(Operation.Outcome(outcome), ""), ended_at=timezone.now())


def in_our_time(moment: datetime | None, skew_ms: int) -> datetime | None:
    return moment and moment - timedelta(milliseconds=skew_ms)
