"""Follows accepted operations to their end: two listings a cycle, however many people watch.

EXPORT and STORE are one story, RESTORE and IMPORT another, RESTORE and MOUNT a third (`stories`); what started
elsewhere is noted and followed as well. How one ended is the affair of `ends`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from tenants.correlation import correlated
from vprotect_bridge import elsewhere
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import NotFound, Rejected, UpstreamError
from vprotect_bridge.client.types import Task
from vprotect_bridge.ends import end_of
from vprotect_bridge.estimates import usual_for
from vprotect_bridge.models import Operation, OperationEvent, UpstreamStatus
from vprotect_bridge.places import place_waiting_wishes, told
from vprotect_bridge.stories import PHASE_OF_TASK, STEPS, belongs
from vprotect_bridge.submit import has_marker
from vprotect_bridge.task_chain import end_chain, in_our_time, note_task

logger = logging.getLogger(__name__)

Phase = Operation.Phase
Outcome = Operation.Outcome
Submission = Operation.Submission
Kind = Operation.Kind
Origin = Operation.Origin

MOST_FAILURES = 3
DOUBLES_MAY_COME_FOR = timedelta(hours=1)
LOOKS_AROUND_AFTER = timedelta(minutes=1)


@dataclass
class Console:
    """What is queued and running upstream now. `queue` is in the order in which vProtect will start it.

    `tied`: whose own task a task is, by GUIDs. Of two stories of one backup, neither shows the other's. `resting`: the
    GUIDs of tasks that are as they were shown.
    """

    queue: list[Task] = field(default_factory=list)
    running: list[Task] = field(default_factory=list)
    complete: bool = False
    tied: dict[str, UUID] = field(default_factory=dict)
    resting: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.tasks = [*self.running, *self.queue]
        self._places = {task.guid: place for place, task in enumerate(self.queue, 1)}
        self._of_machine = defaultdict(list)
        for task in self.tasks:
            self._of_machine[task.protected_entity.guid if task.protected_entity else ""].append(task)

    def task_of(self, operation: Operation) -> Task | None:
        """The task that works on this operation now: its own, its backup's STORE, or an automatic repetition."""
        candidates = [*self._of_machine.get(operation.subject_guid, ()), *self._of_machine.get("", ())]
        free = [task for task in candidates if self.tied.get(task.guid, operation.pk) == operation.pk]
        return next((task for task in free if belongs(task, operation)), None)

    def place_of(self, task: Task) -> int | None:
        """As people are told it; none where part of the queue was not seen."""
        return told(self._places.get(task.guid)) if self.complete else None

    def strangers(self, operations: list[Operation]) -> list[Task]:
        """Tasks that work on none of these."""
        ours = self.resting | {task.guid for operation in operations if (task := self.task_of(operation))}
        return [task for task in self.tasks if task.guid not in ours]


def follow(api: VProtect) -> int:
    """One cycle; returns how many operations moved. While nothing is open it looks around once a minute.

    Raises `UpstreamError` when vProtect cannot be asked.
    """
    place_waiting_wishes()
    # Before the console is looked at: of what is sent meanwhile it would lack the task.
    followed, resent = _followed_operations(), list(_lately_sent_again())
    if not followed and not resent and _looked_lately():
        return 0
    console = look_at_console(api)
    operations = _moving_operations(console, followed)
    for operation in resent:
        _watch_for_double(console, operation)
    operations += elsewhere.note(console.strangers(operations), belongs)
    moved = _advance_all(api, console, operations)
    UpstreamStatus.objects.filter(pk=1).update(followed_at=timezone.now())
    return moved


# Of each open operation what this process saw last of it, when it changed nothing: version, place in line and task.
_last_seen: dict[UUID, tuple[int, int | None, Task]] = {}


def _followed_operations() -> list[tuple[UUID, str | None, int, datetime | None]]:
    """In short: key, task, version, and since when it shall be cancelled."""
    return list(_open_operations().values_list("pk", "task_guid", "version", "cancel_wanted_at"))


def _moving_operations(
    console: Console, followed: list[tuple[UUID, str | None, int, datetime | None]]
) -> list[Operation]:
    """Without those about which everything is as it was shown: of thousands that wait or run, most do in each cycle."""
    console.tied = {guid: pk for pk, guid, _version, _cancel in followed if guid}
    tasks = {task.guid: task for task in console.tasks}
    moving = []
    for pk, guid, version, cancel_wanted_at in followed:
        task = tasks.get(guid or "")
        if task and cancel_wanted_at is None and _last_seen.get(pk) == (version, console.place_of(task), task):
            console.resting.add(task.guid)
        else:
            moving.append(pk)
    for pk in _last_seen.keys() - console.tied.values():
        del _last_seen[pk]
    return list(_open_operations().filter(pk__in=moving)) if moving else []


def _looked_lately() -> bool:
    return UpstreamStatus.objects.filter(pk=1, followed_at__gt=timezone.now() - LOOKS_AROUND_AFTER).exists()


def _advance_all(api: VProtect, console: Console, operations: list[Operation]) -> int:
    """One machine's trouble holds up nobody else; after a few, vProtect itself is in trouble."""
    moved = failures = 0
    for operation in operations:
        try:
            with correlated(operation.correlation_id):
                moved += _advance(api, console, operation)
        except UpstreamError as error:
            failures += 1
            if failures >= MOST_FAILURES:
                raise
            logger.warning("operation %s: %s", operation.pk, error)
            Operation.across_tenants.filter(pk=operation.pk).update(followed_at=timezone.now())
    return moved


def look_at_console(api: VProtect) -> Console:
    queued = api.list_tasks(state="QUEUED")
    running = api.list_tasks(state="RUNNING")
    return Console(
        queue=sorted(queued.items, key=lambda task: -(task.priority or 0)),
        running=list(running.items),
        complete=queued.complete and running.complete and not (queued.dropped or running.dropped),
    )


def _open_operations() -> Any:
    known = Q(task_guid__isnull=False) | ~Q(backup_guid="")
    followed = [Submission.ACCEPTED, Submission.NEEDS_ATTENTION]
    return (
        Operation.across_tenants.filter(known, outcome=Outcome.OPEN, submission__in=followed)
        .select_related("machine")
        .prefetch_related("tasks")
        .order_by("created_at")
    )


def _advance(api: VProtect, console: Console, operation: Operation) -> bool:
    task = console.task_of(operation)
    if task is not None:
        if operation.is_cancelling:
            _cancel(api, operation, task)
        moved = _show_work(api, console, operation, task)
        if not moved:
            _last_seen[operation.pk] = (operation.version, console.place_of(task), task)
        return moved
    if not console.complete or _asked_lately(operation):
        return False
    return _ask_for_the_end(api, operation)


def _cancel(api: VProtect, operation: Operation, task: Task) -> None:
    """Asks the engine to stop this one task, again in each cycle for as long as it is listed: asking twice is one."""
    try:
        api.cancel_task(task.guid)
    except Rejected as error:
        # It has just ended by itself; the next cycle sees how.
        logger.info("operation %s: task %s is not to be cancelled: %s", operation.pk, task.guid, error)
        return
    if operation.cancel_sent_at is None:
        operation.cancel_sent_at = timezone.now()
        Operation.across_tenants.filter(pk=operation.pk).update(cancel_sent_at=operation.cancel_sent_at)
        _note(operation, operation.phase, "cancelling", task.guid)


# ── While it works ───────────────────────────────────────────────────────────


def _show_work(api: VProtect, console: Console, operation: Operation, task: Task) -> bool:
    skew_ms = api.transport.clock_skew_ms or 0
    note_task(operation, task, skew_ms)
    restored = task.dst_protected_entity if operation.kind == Kind.RESTORE else None
    phase = _phase(operation, task)
    return _change(
        operation,
        phase=phase,
        progress=_progress(operation, task),
        place_in_line=console.place_of(task) if phase == Phase.QUEUED else None,
        started_at=operation.started_at or in_our_time(task.start_time, skew_ms),
        backup_guid=operation.backup_guid or (task.backup.guid if task.backup else ""),
        restored_guid=operation.restored_guid or (restored.guid if restored else ""),
        **_estimate(operation),
    )


def _estimate(operation: Operation) -> dict[str, int | None]:
    """Looked up once, when it is first seen at work."""
    if operation.usual_from is not None:
        return {}
    usual = usual_for(operation)
    return {"usual_from": usual.count, "usual_ms": usual.usual_ms, "longest_ms": usual.longest_ms}


def _phase(operation: Operation, task: Task) -> str:
    if operation.kind == Kind.TASK:
        return Phase.WORKING if task.state == "RUNNING" else Phase.QUEUED
    return PHASE_OF_TASK.get((task.type, task.state), operation.phase)


def _progress(operation: Operation, task: Task) -> int:
    """Half for each of two tasks, and never all before the backup itself is final."""
    steps, progress = STEPS[Kind(operation.kind)], task.progress or 0
    if not steps:
        return min(int(progress), 99)
    return min(int(progress / 2) + (50 if task.type == steps[1] else 0), 99)


# ── How it ended ─────────────────────────────────────────────────────────────


def _asked_lately(operation: Operation) -> bool:
    """Between two tasks nothing is listed: ask at once, then ever more slowly."""
    if operation.followed_at is None:
        return False
    now = timezone.now()
    worked_for = now - (operation.started_at or operation.created_at)
    pause = min(max(worked_for / 20, timedelta(seconds=2)), timedelta(minutes=5))
    return now - operation.followed_at < pause


def _ask_for_the_end(api: VProtect, operation: Operation) -> bool:
    """The task left the console: see how it ended, or that the second task is still to come."""
    task = _task(api, operation)
    skew_ms = api.transport.clock_skew_ms or 0
    if task is not None:
        note_task(operation, task, skew_ms)
    outcome, changes = end_of(api, operation, task)
    # Short work is never seen while it runs.
    changes["started_at"] = operation.started_at or (in_our_time(task.start_time, skew_ms) if task else None)
    if outcome is None:
        return _change(operation, **changes, place_in_line=None, followed_at=timezone.now())
    was_stopped = operation.cancel_sent_at is not None or (task is not None and task.state == "CANCELLED")
    if was_stopped and outcome == Outcome.FAILED:
        outcome = Outcome.CANCELLED
    end_chain(operation, outcome)
    return _change(
        operation,
        **changes | {"phase": Phase.NONE},
        outcome=outcome,
        place_in_line=None,
        progress=100 if outcome in {Outcome.SUCCEEDED, Outcome.PARTIAL} else operation.progress,
        finished_at=timezone.now(),
    )


def _task(api: VProtect, operation: Operation) -> Task | None:
    if operation.task_guid is None:
        return None
    try:
        return api.get_task(operation.task_guid)
    except NotFound:
        return None


def _change(operation: Operation, **changes: Any) -> bool:
    """Writes only what differs, and only while the operation is open: an unchanged poll costs nothing.

    The bar never goes back. A new phase or outcome is an event in the operation's journal.
    """
    changes["progress"] = max(changes.get("progress", 0), operation.progress)
    different = {name: value for name, value in changes.items() if getattr(operation, name) != value}
    if not different:
        return False
    was, becomes = operation.phase, changes.get("outcome") or changes["phase"]
    with transaction.atomic():
        row = Operation.across_tenants.filter(pk=operation.pk, outcome=Outcome.OPEN)
        if not row.update(**different):
            return False
        if was != becomes:
            _note(operation, was, becomes)
    return True


def _note(operation: Operation, was: str, becomes: str, detail: str = "") -> None:
    OperationEvent.across_tenants.create(
        tenant_id=operation.tenant_id,
        operation=operation,
        moved_from=was,
        moved_to=becomes,
        fence=operation.fence,
        detail=detail,
    )


# ── Doubles ──────────────────────────────────────────────────────────────────


def _lately_sent_again() -> Any:
    """Only what was sent twice can be there twice, and only for as long as a request may be on its way."""
    since = timezone.now() - DOUBLES_MAY_COME_FOR
    return Operation.across_tenants.filter(
        attempts__gt=1, sent_at__gt=since, submission=Submission.ACCEPTED, task_guid__isnull=False
    )


def _watch_for_double(console: Console, operation: Operation) -> None:
    """A request applied after the settle time shows as a second task with the operation's marker."""
    fidelity = UpstreamStatus.objects.values_list("marker_fidelity", flat=True).get(pk=1)
    twins = [
        task.guid
        for task in console.tasks
        if task.type == "EXPORT"
        and task.guid != operation.task_guid
        and task.protected_entity is not None
        and task.protected_entity.guid == operation.subject_guid
        and has_marker(task, operation, fidelity)
        # An automatic repetition is of the same backup.
        and not (task.backup and task.backup.guid == operation.backup_guid)
    ]
    if not twins:
        return
    guids = ", ".join([operation.task_guid or "", *twins])
    logger.error("DOUBLE: operation %s has the tasks %s", operation.pk, guids)
    with transaction.atomic():
        moved = Operation.across_tenants.filter(pk=operation.pk, submission=Submission.ACCEPTED).update(
            submission=Submission.NEEDS_ATTENTION,
            user_message=_("This was started twice. Nothing is lost; the operator has been told."),
        )
        if moved:
            _note(operation, Submission.ACCEPTED, Submission.NEEDS_ATTENTION, f"double: {guids}")
