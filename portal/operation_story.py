"""The story of one wish as pages tell it: its steps, why it ended as it did, what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from portal import access, words
from tenants.models import Membership, Role
from vprotect_bridge.models import Backup, Machine, Mount, Operation

Kind = Operation.Kind
Outcome = Operation.Outcome
Phase = Operation.Phase

GOOD = {Outcome.SUCCEEDED, Outcome.PARTIAL}

STEPS = {
    Kind.BACKUP: (Phase.QUEUED, Phase.EXPORTING, Phase.STORING),
    Kind.RESTORE: (Phase.QUEUED, Phase.RESTORING, Phase.IMPORTING),
    Kind.MOUNT: (Phase.QUEUED, Phase.RESTORING, Phase.MOUNTING),
    Kind.TASK: (Phase.QUEUED, Phase.WORKING),
}
# How many steps are behind in each phase.
STEPS_DONE = {
    Phase.QUEUED: 0,
    Phase.EXPORTING: 1,
    Phase.WORKING: 1,
    Phase.RESTORING: 1,
    Phase.BETWEEN: 2,
    Phase.STORING: 2,
    Phase.IMPORTING: 2,
    Phase.MOUNTING: 2,
    Phase.CHECKING: 3,
}


def operation_context(operation: Operation, membership: Membership) -> dict[str, Any]:
    """What the live part shows, wherever it is."""
    asked_type = operation.request.get("backup_type", "")
    reason = reasons([operation]).get(operation.pk, "")
    return {
        "operation": operation,
        "steps": steps_of(operation),
        "reason": reason,
        "is_quota": words.is_of_quota(reason),
        "made": _made(operation),
        "may_restore": membership.may(Role.RESTORER),
        "made_instead": "" not in {asked_type, operation.made_type} and asked_type != operation.made_type,
        "restored": _restored(operation, membership),
        "opened": _opened(operation, membership),
    }


def steps_of(operation: Operation) -> list[dict[str, Any]]:
    """done, now or to come, for each step of the story."""
    steps = STEPS[Kind(operation.kind)]
    is_good = operation.outcome in GOOD
    place = len(steps) if is_good else STEPS_DONE.get(Phase(operation.phase), 0)
    if operation.is_finished and not is_good:
        return []
    states = ["done" if step < place else "now" if step == place else "to-come" for step in range(len(steps))]
    return [{"label": phase.label, "state": state} for phase, state in zip(steps, states, strict=True)]


def reasons(operations: Iterable[Operation]) -> dict[UUID, words.Text]:
    """Why they ended badly, in words; upstream's own text is never shown. One query at most, none while all is well."""
    said = {operation.pk: _(operation.user_message) for operation in operations if operation.user_message}
    failed = [
        operation
        for operation in operations
        if operation.pk not in said and (operation.outcome, operation.kind) == (Outcome.FAILED, Kind.BACKUP)
    ]
    guids = [operation.backup_guid for operation in failed if operation.backup_guid]
    told = dict(Backup.objects.filter(guid__in=guids).values_list("guid", "status_info")) if guids else {}
    return said | {o.pk: words.failure_reason(told.get(o.backup_guid, "")) for o in failed}


def _made(operation: Operation) -> Backup | None:
    """The backup of one that ended well: of what type, how large, where it lies."""
    if operation.kind != Kind.BACKUP or operation.outcome not in GOOD or not operation.backup_guid:
        return None
    return Backup.objects.filter(guid=operation.backup_guid, vanished_at=None).first()


def _restored(operation: Operation, membership: Membership) -> Machine | None:
    """The new machine, once the inventory has it, for those who may see it."""
    if not (operation.is_finished and operation.restored_guid):
        return None
    return access.visible_machines(membership).filter(guid=operation.restored_guid).first()


def _opened(operation: Operation, membership: Membership) -> Mount | None:
    """What can be looked into now, for those who may."""
    if operation.kind != Kind.MOUNT or not operation.is_finished or not membership.may_open_backups:
        return None
    return access.visible_mounts(membership).filter(operation=operation, closed_at=None).first()
