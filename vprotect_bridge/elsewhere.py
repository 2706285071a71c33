"""Work on tenants' machines that nobody asked for here: a schedule's, or started in vProtect's own console.

Each becomes an operation of the machine's tenant, is shown as such and followed to its end like one of ours, but is
never sent, never sent again and never claims a machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from vprotect_bridge.client.types import Task
from vprotect_bridge.models import Backup, Machine, Mount, Operation

Kind = Operation.Kind
Origin = Operation.Origin
Submission = Operation.Submission

# A task of an operation that has just ended may still be listed.
LATELY = timedelta(hours=1)
UNSETTLED = {Submission.PENDING, Submission.SENDING, Submission.UNCERTAIN, Submission.NEEDS_ATTENTION}
LONGEST_UNSEEN = timedelta(days=2)
SCHEDULES = {"SCHEDULE", "SYSTEM_SCHEDULE"}
OUTCOME_OF_STATUS = {
    "SUCCESS": Operation.Outcome.SUCCEEDED,
    "SUCCESS_REMOVED": Operation.Outcome.SUCCEEDED,
    "PARTIAL_SUCCESS": Operation.Outcome.PARTIAL,
    "FAILED": Operation.Outcome.FAILED,
}
KIND_OF_TASK = {"EXPORT": Kind.BACKUP, "STORE": Kind.BACKUP, "IMPORT": Kind.RESTORE}


def note(tasks: Iterable[Task], belongs: Callable[[Task, Operation], bool]) -> list[Operation]:
    """Makes an operation of each task that is about a tenant's machine and of no story that we know; returns them.

    `tasks` were listed before this call, so that what a worker has sent meanwhile is in the database by now.
    """
    by_machine = defaultdict(list)
    for task in tasks:
        if task.protected_entity is not None:
            by_machine[task.protected_entity.guid].append(task)
    machines = (
        Machine.across_tenants.filter(guid__in=by_machine, tenant__isnull=False)
        .select_related("tenant")
        .defer("details", "tags")
    )
    owned = {machine.guid: machine for machine in machines}
    if not owned:
        return []
    known, unmounting = _known_operations(owned), _being_unmounted(tasks_of=by_machine)
    new: dict[tuple[str, str], Operation] = {}
    for guid, machine in owned.items():
        for task in by_machine[guid]:
            if task.guid in unmounting:
                continue
            if not any(_may_be_of(task, operation, belongs) for operation in known[guid]):
                story = task.backup.guid if task.backup and task.type in KIND_OF_TASK else task.guid
                new.setdefault((guid, story), _operation(task, machine))
    return Operation.across_tenants.bulk_create(new.values(), ignore_conflicts=True)


def _known_operations(machines: Iterable[str]) -> dict[str, list[Operation]]:
    """In one query, so that an operation is seen either before its task was recorded or after, never in between."""
    lately = Q(outcome="") | Q(finished_at__gt=timezone.now() - LATELY)
    known = defaultdict(list)
    for operation in Operation.across_tenants.filter(lately, subject_guid__in=machines):
        known[operation.subject_guid].append(operation)
    return known


def _being_unmounted(tasks_of: dict[str, list[Task]]) -> set[str]:
    """UNMOUNT tasks of backups that we mounted: the end of a story that is told on the mount's own page."""
    unmounting = {
        task.guid: task.backup.guid
        for tasks in tasks_of.values()
        for task in tasks
        if task.type == "UNMOUNT" and task.backup
    }
    if not unmounting:
        return set()
    ours = Mount.across_tenants.filter(backup__guid__in=unmounting.values())
    guids = set(ours.values_list("backup__guid", flat=True))
    return {task for task, backup in unmounting.items() if backup in guids}


def _may_be_of(task: Task, operation: Operation, belongs: Callable[[Task, Operation], bool]) -> bool:
    """While it is not settled what became of a wish, an unknown task of its machine may be the one it made."""
    if belongs(task, operation):
        return True
    return operation.submission in UNSETTLED and _origin(task) == Origin.ELSEWHERE


def _origin(task: Task) -> Origin:
    """`originEntity` tells a person from a schedule (API reference, 6.1)."""
    by_schedule = task.origin is not None and task.origin.type in SCHEDULES
    return Origin.SCHEDULE if by_schedule else Origin.ELSEWHERE


def _kind(task: Task) -> Kind:
    """A RESTORE that makes a machine names it or its type; one to a node's file system is a task of its own."""
    if task.type == "RESTORE":
        makes_machine = task.restore_type == "RESTORE_AND_IMPORT" or (
            not task.restore_type and task.dst_protected_entity is not None
        )
        return Kind.RESTORE if makes_machine else Kind.TASK
    return KIND_OF_TASK.get(task.type, Kind.TASK)


def _operation(task: Task, machine: Machine) -> Operation:
    return Operation(
        tenant=machine.tenant,
        origin=_origin(task),
        kind=_kind(task),
        machine=machine,
        subject_guid=machine.guid,
        request=_what_it_tells(task),
        submission=Submission.ACCEPTED,
        task_guid=task.guid,
        backup_guid=task.backup.guid if task.backup else "",
        started_at=task.start_time,
    )


def _what_it_tells(task: Task) -> dict[str, Any]:
    """What would have been asked for here, as far as the task shows it."""
    destination, new_machine = task.backup_destination, task.dst_protected_entity
    return {
        "task_type": task.type,
        "backup_type": task.backup_type,
        "destination_guid": destination.guid if destination else "",
        "name": new_machine.name if new_machine else "",
        "priority": task.priority,
    }


# ── What was over before anybody looked ──────────────────────────────────────


def note_ended_backups(machine: Machine, backups: Iterable[Backup]) -> None:
    """Makes ended operations of backups that were made and had ended between two looks at the console.

    For backups whose end has just been read in the machine's history, in the transaction that keeps them. Not for a
    first import: what was before a machine was known here is history, not activity.
    """
    since = timezone.now() - LONGEST_UNSEEN
    ended = [row for row in backups if row.status in OUTCOME_OF_STATUS and row.sort_at > since and row.tenant_id]
    if not ended:
        return
    of_machine = Operation.across_tenants.filter(subject_guid=machine.guid, kind=Kind.BACKUP)
    lately = Q(outcome="") | Q(created_at__gt=since) | Q(backup_guid__in=[row.guid for row in ended])
    operations = list(of_machine.filter(lately))
    known = {operation.backup_guid for operation in operations}
    # One that does not know its backup yet may be the one that made it.
    is_settled = all(operation.outcome or operation.backup_guid for operation in operations)
    Operation.across_tenants.bulk_create(
        _ended(row, machine) for row in ended if row.guid not in known and (is_settled or row.origin in SCHEDULES)
    )


def _ended(backup: Backup, machine: Machine) -> Operation:
    outcome = OUTCOME_OF_STATUS[backup.status]
    destination = next(iter(backup.destinations), {"guid": ""})
    is_good = outcome != Operation.Outcome.FAILED
    return Operation(
        tenant=backup.tenant,
        origin=Origin.SCHEDULE if backup.origin in SCHEDULES else Origin.ELSEWHERE,
        kind=Kind.BACKUP,
        machine=machine,
        subject_guid=machine.guid,
        request={"task_type": "EXPORT", "backup_type": "", "destination_guid": destination["guid"], "name": ""},
        submission=Submission.ACCEPTED,
        outcome=outcome,
        backup_guid=backup.guid,
        made_type=backup.type,
        progress=100 if is_good else 0,
        created_at=backup.sort_at,
        started_at=backup.backup_at,
        finished_at=_end_of(backup),
    )


def _end_of(backup: Backup) -> datetime:
    """By how long it took, where that is told; it has ended by now in any case."""
    began, took = backup.backup_at or backup.sort_at, timedelta(milliseconds=backup.duration_ms or 0)
    return min(began + took, timezone.now()) if took else timezone.now()
