"""How an operation ended, or that it goes on: asked when its task has left the console.

The authority on a backup is its own entry, on a restore or a mount its job: a task that vanished is not a failure, and
a first task that finished is not yet the end (API reference, 7.2 and 7.4).
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.utils import timezone

from tenants.models import Claim
from vprotect_bridge import mounting, restoring
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import NotFound
from vprotect_bridge.client.types import Backup as UpstreamBackup
from vprotect_bridge.client.types import RestoreJob, Task
from vprotect_bridge.elsewhere import OUTCOME_OF_STATUS
from vprotect_bridge.limits import QUOTA_USED_UP
from vprotect_bridge.models import Operation
from vprotect_bridge.stories import STEPS, belongs
from vprotect_bridge.submit import new_backups
from vprotect_bridge.sync import refresh_backups

logger = logging.getLogger(__name__)

Phase = Operation.Phase
Outcome = Operation.Outcome
Kind = Operation.Kind
Origin = Operation.Origin
End = tuple[Outcome | None, dict[str, Any]]

OUTCOME_OF_TASK = {
    "FINISHED": Outcome.SUCCEEDED,
    "FAILED": Outcome.FAILED,
    "CANCELLED": Outcome.CANCELLED,
}
GIVE_UP_AFTER = timedelta(hours=24)


def end_of(api: VProtect, operation: Operation, task: Task | None) -> End:
    """The outcome, None = it goes on, and what else changes of the operation. `task`: its first one, if it is kept.

    Raises `UpstreamError`.
    """
    outcome, changes = _ENDS[Kind(operation.kind)](api, operation, task)
    if outcome == Outcome.FAILED:
        return outcome, changes
    # What failed may be repeated, and a repetition succeed.
    return outcome, {name: value for name, value in changes.items() if name != "user_message"}


def _end_of_backup(api: VProtect, operation: Operation, task: Task | None) -> End:
    """By the backup's own entry."""
    backup = _backup(api, operation, task)
    outcome = OUTCOME_OF_STATUS.get(backup.status) if backup else _outcome_without_trace(operation, task)
    changes: dict[str, Any] = {"backup_guid": backup.guid if backup else operation.backup_guid, **_quota(backup, task)}
    if outcome is None:
        is_before_store = operation.phase in {Phase.QUEUED, Phase.EXPORTING, Phase.BETWEEN} and backup is not None
        return None, {**changes, "phase": Phase.BETWEEN if is_before_store else Phase.CHECKING}
    # The history shows the backup before the operation says that it has ended.
    refresh_backups(api, operation.machine)
    return outcome, {**changes, "made_type": backup.type if backup else ""}


def _end_of_restore(api: VProtect, operation: Operation, task: Task | None) -> End:
    """By the restore job; where a server has none, or it is not ours, by the tasks."""
    job = _restore_job(api, operation)
    imported = None if job else _second_task(api, operation)
    if job:
        outcome, restored = OUTCOME_OF_STATUS.get(job.status), job.dst_protected_entity
    else:
        outcome = OUTCOME_OF_TASK.get(imported.state) if imported else _outcome_without_trace(operation, task)
        restored = imported.dst_protected_entity if imported else None
    changes: dict[str, Any] = {
        "restore_job_guid": job.guid if job else operation.restore_job_guid,
        "restored_guid": restored.guid if restored else operation.restored_guid,
        **_quota(job, imported, task),
    }
    if outcome is None:
        is_before_import = operation.phase in {Phase.QUEUED, Phase.RESTORING} and (job or task) is not None
        return None, {**changes, "phase": Phase.RESTORING if is_before_import else Phase.CHECKING}
    if outcome == Outcome.SUCCEEDED and operation.origin == Origin.PORTAL:
        _claim_restored(operation, changes["restored_guid"])
    return outcome, changes


def _end_of_mount(api: VProtect, operation: Operation, task: Task | None) -> End:
    """By the job as well; it has succeeded when what was mounted is found."""
    job = _restore_job(api, operation)
    mounted = None if job else _second_task(api, operation)
    if job:
        outcome = OUTCOME_OF_STATUS.get(job.status)
    else:
        outcome = OUTCOME_OF_TASK.get(mounted.state) if mounted else _outcome_without_trace(operation, task)
    changes: dict[str, Any] = {"restore_job_guid": job.guid if job else operation.restore_job_guid}
    changes |= _quota(job, mounted, task)
    is_good = outcome in {Outcome.SUCCEEDED, Outcome.PARTIAL}
    if is_good and mounting.lay_open(api, operation) is None:
        outcome = _outcome_without_trace(operation, None)
    if outcome is not None:
        return outcome, changes
    is_before_mount = operation.phase in {Phase.QUEUED, Phase.RESTORING} and not is_good and (job or task) is not None
    return None, {**changes, "phase": Phase.RESTORING if is_before_mount else Phase.CHECKING}


def _end_of_task(api: VProtect, operation: Operation, task: Task | None) -> End:
    """By the task alone: no other thing tells how it ended."""
    outcome = OUTCOME_OF_TASK.get(task.state) if task else Outcome.UNKNOWN
    return outcome, {"phase": operation.phase, **_quota(task)}


def _quota(*found: UpstreamBackup | RestoreJob | Task | None) -> dict[str, str]:
    """A HARD quota fails the task, and says so in its text alone (API reference, 6.3)."""
    failed = [row.status_info for row in found if row is not None and _has_failed(row)]
    return {"user_message": QUOTA_USED_UP} if any("quota" in text.lower() for text in failed) else {}


def _has_failed(row: UpstreamBackup | RestoreJob | Task) -> bool:
    return (row.state if isinstance(row, Task) else row.status) == "FAILED"


_ENDS = {
    Kind.BACKUP: _end_of_backup,
    Kind.RESTORE: _end_of_restore,
    Kind.MOUNT: _end_of_mount,
    Kind.TASK: _end_of_task,
}


def _restore_job(api: VProtect, operation: Operation) -> RestoreJob | None:
    if operation.origin != Origin.PORTAL:
        return None
    return restoring.find_job(operation, api.list_restore_jobs(protected_entity=operation.subject_guid).items)


def _second_task(api: VProtect, operation: Operation) -> Task | None:
    """The second task of this story, also when it has ended; it decides where a server has no restore jobs.

    What was there before somebody else's restore began is not known: only the machine that it makes tells it.
    """
    if operation.origin != Origin.PORTAL and not operation.restored_guid:
        return None
    _first, second = STEPS[Kind(operation.kind)]
    listing = api.list_tasks(protected_entity=operation.subject_guid, type=second)
    return next((task for task in listing.items if belongs(task, operation)), None)


def _claim_restored(operation: Operation, guid: str) -> None:
    """The new machine is the tenant's by the GUID that our own restore names, never by its name.

    Without one it waits among the unclaimed for the operator's click.
    """
    if not guid or guid == operation.subject_guid:
        return
    claim, _made = Claim.across_tenants.get_or_create(
        kind=Claim.Kind.MACHINE, value=guid, defaults={"tenant_id": operation.tenant_id}
    )
    if claim.tenant_id != operation.tenant_id:
        logger.error("operation %s: the restored machine %s is claimed by another tenant", operation.pk, guid)


def _backup(api: VProtect, operation: Operation, task: Task | None) -> UpstreamBackup | None:
    """By its GUID; where no task ever named it, the one new backup of the machine since the wish was sent."""
    guid = operation.backup_guid or (task.backup.guid if task and task.backup else "")
    if not guid:
        new, _complete = new_backups(api, operation) if operation.sent_at else ([], False)
        return new[0] if len(new) == 1 else None
    try:
        return api.get_backup(guid)
    except NotFound:
        return None


def _outcome_without_trace(operation: Operation, task: Task | None) -> Outcome | None:
    if task is not None and task.state in {"FAILED", "CANCELLED"}:
        return Outcome.FAILED
    if timezone.now() - operation.created_at > GIVE_UP_AFTER:
        if operation.origin != Origin.PORTAL:
            return Outcome.UNKNOWN
        logger.error("operation %s: nothing of it can be found", operation.pk)
        return Outcome.FAILED
    return None
