"""Stories: which tasks of vProtect are one wish of a person (API reference, 7.2 and 7.4)."""

from __future__ import annotations

from vprotect_bridge import restoring
from vprotect_bridge.client.types import Task
from vprotect_bridge.models import Operation

Kind = Operation.Kind
Phase = Operation.Phase

# The tasks of each story, in their order; any other task is a story by itself.
STEPS = {
    Kind.BACKUP: ("EXPORT", "STORE"),
    Kind.RESTORE: ("RESTORE", "IMPORT"),
    Kind.MOUNT: ("RESTORE", "MOUNT"),
    Kind.TASK: (),
}
PHASE_OF_TASK = {
    ("EXPORT", "QUEUED"): Phase.QUEUED,
    ("EXPORT", "RUNNING"): Phase.EXPORTING,
    ("STORE", "QUEUED"): Phase.BETWEEN,
    ("STORE", "RUNNING"): Phase.STORING,
    ("RESTORE", "QUEUED"): Phase.QUEUED,
    ("RESTORE", "RUNNING"): Phase.RESTORING,
    ("IMPORT", "QUEUED"): Phase.RESTORING,
    ("IMPORT", "RUNNING"): Phase.IMPORTING,
    ("MOUNT", "QUEUED"): Phase.RESTORING,
    ("MOUNT", "RUNNING"): Phase.MOUNTING,
}


def belongs(task: Task, operation: Operation) -> bool:
    """By its GUID; another one if it is a step of this story with the same backup, and makes no other machine."""
    if task.guid == operation.task_guid:
        return True
    same_machine = task.protected_entity is not None and task.protected_entity.guid == operation.subject_guid
    same_backup = bool(operation.backup_guid) and task.backup is not None and task.backup.guid == operation.backup_guid
    is_new = task.guid not in operation.baseline
    made = task.dst_protected_entity
    makes_another = bool(operation.restored_guid) and made is not None and made.guid != operation.restored_guid
    kind = Kind(operation.kind)
    is_step = task.type in STEPS[kind] and task.restore_type in {"", restoring.RESTORE_TYPE.get(kind, "")}
    return same_machine and same_backup and is_new and is_step and not makes_another
