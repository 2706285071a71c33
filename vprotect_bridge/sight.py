"""What a look upstream showed of an operation (docs/submit-protocol.md)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.types import Task
from vprotect_bridge.models import Operation

CLOCKS_MAY_DIFFER = timedelta(seconds=60)


@dataclass(frozen=True)
class Sight:
    """Only a complete look may say `absent`. `seen_guids`: what was there already, and so is not ours."""

    tasks: tuple[Task, ...] = ()
    backup_guid: str = ""
    restore_job_guid: str = ""
    absent: bool = False
    seen_guids: tuple[str, ...] = ()

    @property
    def is_double(self) -> bool:
        return len(self.tasks) > 1

    @property
    def is_found(self) -> bool:
        return len(self.tasks) == 1 or bool(self.backup_guid or self.restore_job_guid)


def sent_in_upstream_time(api: VProtect, operation: Operation) -> datetime:
    """From when on upstream's own times may be of this send; the last answer told how far its clock is from ours."""
    assert operation.sent_at is not None  # noqa: S101 — only asked after a send
    return operation.sent_at + timedelta(milliseconds=api.transport.clock_skew_ms or 0) - CLOCKS_MAY_DIFFER


def free_of_others(tasks: list[Task], operation: Operation) -> list[Task]:
    """Those that no other wish of ours is tied to."""
    guids = [task.guid for task in tasks]
    wishes = Operation.across_tenants.filter(origin=Operation.Origin.PORTAL)
    others = wishes.filter(task_guid__in=guids).exclude(pk=operation.pk)
    tied = set(others.values_list("task_guid", flat=True))
    return [task for task in tasks if task.guid not in tied]
