"""The submit protocol (docs/submit-protocol.md): every wish reaches vProtect once, or visibly not at all.

vProtect has no idempotency key, so what was sent is settled by looking, never by hoping. Five steps send a wish:

    claim → look_up → commit_intent → post_once → record

and `reconcile` finishes what a killed, frozen or unlucky sender left behind. Five things make it safe, and each is
needed: the conditional claim, the lock that lives with the process, the settle time, the clock that starts again
when the reconciler first gets the lock, and the sweep itself.
"""

from __future__ import annotations

import logging
import random
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any

import psycopg
from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from tenants.askers import asker_of
from tenants.correlation import correlated
from tenants.models import Grant, Role
from vprotect_bridge import mounting, restoring
from vprotect_bridge.backup_rules import goes_by_rules, rule_for
from vprotect_bridge.client.api import ExportRequest, VProtect
from vprotect_bridge.client.errors import (
    Ambiguous,
    BadCredentials,
    LoginPaused,
    NotSent,
    Rejected,
    TooManyRequests,
    Unauthorized,
    UpstreamError,
)
from vprotect_bridge.client.types import Backup as UpstreamBackup
from vprotect_bridge.client.types import Task
from vprotect_bridge.models import Backup, Operation, UpstreamStatus
from vprotect_bridge.operation_session import DatabaseClock, OperationSession, locked, operation_session
from vprotect_bridge.sight import Sight, free_of_others, sent_in_upstream_time

logger = logging.getLogger(__name__)

Submission = Operation.Submission
Outcome = Operation.Outcome

# Kinds that are looked up and sent in a way of their own; the others are backups.
OWN_WAYS = {Operation.Kind.RESTORE: restoring, Operation.Kind.MOUNT: mounting}

MOST_SENDS = 3
LEASE_SECONDS = 60


# ── Marker ───────────────────────────────────────────────────────────────────


def choose_marker(window_start: datetime, window_end: datetime) -> tuple[int, int]:
    """A window (epoch ms) inside the one chosen, unique for the machine, by which its task is known again.

    Whole seconds and minutes are shaved off both ends, at most a tenth of the window each: whole seconds survive a
    server that cuts milliseconds, whole minutes one that cuts seconds. A start that is "now" begins up to a minute
    before, so that nothing is delayed.
    """
    start, end = int(window_start.timestamp()), int(window_end.timestamp())
    tenth = max((end - start) // 10, 1)
    starts_now = start <= timezone.now().timestamp() + 60
    start += -random.randrange(60) if starts_now else random.randrange(min(tenth, 3600))  # noqa: S311
    end -= random.randrange(min(tenth, 6 * 3600))  # noqa: S311
    return start * 1000, end * 1000


_UNITS = {"ms": 1, "s": 1000, "min": 60_000}


def has_marker(task: Task, operation: Operation, fidelity: str) -> bool:
    """Whether the task carries the operation's window, as exactly as this server echoes it."""
    echoed, sent = (task.window_start_ms, task.window_end_ms), _marker(operation)
    unit = _UNITS.get(fidelity, 60_000)
    return None not in echoed and [ms // unit for ms in echoed if ms is not None] == [ms // unit for ms in sent]


def _marker(operation: Operation) -> tuple[int, int]:
    assert operation.marker_ws_ms is not None and operation.marker_we_ms is not None  # noqa: S101 — every wish has one
    return operation.marker_ws_ms, operation.marker_we_ms


def _learn_fidelity(task: Task, operation: Operation) -> None:
    """The first echo of our own task tells how exactly this server keeps a window."""
    fidelity = next((name for name in _UNITS if has_marker(task, operation, name)), "none")
    UpstreamStatus.objects.filter(pk=1).exclude(marker_fidelity=fidelity).update(marker_fidelity=fidelity)


# ── Looking ──────────────────────────────────────────────────────────────────


def look_up(api: VProtect, operation: Operation) -> Sight:
    """Looks for the operation's task, and for a backup whose task is already gone.

    A match counts at any time. Absent needs a complete listing, filtered again by us, and no unknown new backup.
    Raises `UpstreamError` when vProtect cannot be asked.
    """
    if own := _own_way(operation):
        return own.look_up(api, operation)
    fidelity = UpstreamStatus.objects.values_list("marker_fidelity", flat=True).get(pk=1)
    listing = api.list_tasks(protected_entity=operation.subject_guid, type="EXPORT")
    exports = [
        task
        for task in listing.items
        if task.type == "EXPORT" and task.protected_entity and task.protected_entity.guid == operation.subject_guid
    ]
    seen = tuple(task.guid for task in exports)
    free = free_of_others(exports, operation)
    ours = tuple(task for task in free if has_marker(task, operation, fidelity))
    if not ours and operation.sent_at:
        # While a send is unresolved nobody else of ours sends for this machine, so one unmarked newcomer is it.
        unmarked = [t for t in free if t.window_start_ms is None and t.guid not in operation.baseline]
        ours = tuple(unmarked) if len(unmarked) == 1 else ()
    if ours:
        return Sight(tasks=ours, seen_guids=seen)
    if not listing.complete or listing.dropped:
        return Sight(seen_guids=seen)
    if operation.sent_at is None:
        return Sight(absent=True, seen_guids=seen)
    return _look_for_backup(api, operation, seen, exports)


def _look_for_backup(api: VProtect, operation: Operation, seen: tuple[str, ...], exports: list[Task]) -> Sight:
    """A finished task may have been cleared from the console already (API reference, 6.1); its backup stays."""
    of_tasks = {task.backup.guid for task in exports if task.backup}
    new, complete = new_backups(api, operation, known=of_tasks)
    if not new and complete:
        return Sight(absent=True, seen_guids=seen)
    by_person = [backup for backup in new if backup.origin and backup.origin.type == "USER"]
    return Sight(backup_guid=by_person[0].guid if len(by_person) == len(new) == 1 else "", seen_guids=seen)


def new_backups(
    api: VProtect, operation: Operation, *, known: set[str] | frozenset[str] = frozenset()
) -> tuple[list[UpstreamBackup], bool]:
    """Backups of the operation's machine since it was sent that are no other's, and whether the list was complete."""
    listing = api.list_backups(protected_entity=operation.subject_guid)
    others = Operation.across_tenants.filter(subject_guid=operation.subject_guid).exclude(pk=operation.pk)
    known = known | set(others.exclude(backup_guid="").values_list("backup_guid", flat=True))
    since = sent_in_upstream_time(api, operation)
    new = [
        backup
        for backup in listing.items
        if backup.guid not in known
        and (moment := backup.backup_time or backup.snapshot_time) is not None
        and moment >= since
        and not Backup.across_tenants.filter(guid=backup.guid, sort_at__lt=since).exists()
    ]
    return new, listing.complete and not listing.dropped


# ── Sending: the five steps ──────────────────────────────────────────────────

# Tenants take turns (who was served longest ago comes first); a single wish comes before a bulk one. Who has as many
# running as the operator allows waits, except to be cancelled or to end in time.
_FAIREST_DUE = """
    WITH due AS (
        SELECT o.id, o.tenant_id, o.is_bulk, o.created_at FROM vprotect_bridge_operation o
        JOIN tenants_tenant t ON t.id = o.tenant_id
        WHERE o.submission = 'pending' AND o.next_at <= clock_timestamp()
            AND (t.running_cap IS NULL OR o.cancel_wanted_at IS NOT NULL OR o.deadline_at <= clock_timestamp()
                 OR t.running_cap > (SELECT count(*) FROM vprotect_bridge_operation r WHERE r.tenant_id = t.id
                                     AND r.origin = 'portal' AND r.outcome = '' AND r.submission <> 'pending'))
    ), turn AS (
        SELECT tenant_id, (SELECT max(o.claimed_at) FROM vprotect_bridge_operation o
                           WHERE o.tenant_id = t.tenant_id) AS served_at
        FROM (SELECT DISTINCT tenant_id FROM due) t
    )
    SELECT id FROM due JOIN turn USING (tenant_id)
    ORDER BY is_bulk, served_at NULLS FIRST, created_at LIMIT 20
"""

_RUNNING = """
    SELECT count(*) FROM vprotect_bridge_operation
    WHERE tenant_id = %s AND origin = 'portal' AND outcome = '' AND submission <> 'pending'
"""

_CLAIM = """
    UPDATE vprotect_bridge_operation
    SET fence = fence + 1, claimed_at = clock_timestamp(), next_at = clock_timestamp() + make_interval(secs => %s)
    WHERE id = %s AND submission = 'pending' AND next_at <= clock_timestamp()
    RETURNING id
"""


def submit(api: VProtect) -> Operation | None:
    """Answers one ring of the doorbell: claims the fairest wish that is due and sends it; None = nothing to do."""
    with operation_session() as session:
        operation = claim(session)
        if operation is None:
            return None
        try:
            with correlated(operation.correlation_id):
                _send(session, api, operation)
        finally:
            session.unlock(operation.pk)
        return operation


def claim(session: OperationSession) -> Operation | None:
    """Takes the fairest due wish: its lock and, in one conditional update, its row."""
    for (operation_id,) in session.query(_FAIREST_DUE):
        if not session.try_lock(operation_id):
            continue
        if session.query(_CLAIM, [LEASE_SECONDS, operation_id]):
            return Operation.across_tenants.select_related("tenant", "machine", "created_by").get(pk=operation_id)
        session.unlock(operation_id)
    return None


def _send(session: OperationSession, api: VProtect, operation: Operation) -> None:
    if operation.cancel_wanted_at is not None:
        _cancel(session, operation)
        return
    if operation.deadline_at is not None and operation.deadline_at <= timezone.now():
        _end_overdue(session, api, operation)
        return
    if refusal := no_longer_allowed(operation):
        _refuse(session, operation, refusal)
        return
    try:
        sight = look_up(api, operation)
        own = _own_way(operation)
        refusal = own.prepare(api, operation) if own and sight.absent else ""
    except UpstreamError as error:
        defer(session, operation, error)
        return
    if sight.is_double:
        _raise_alarm(session, operation, sight)
    elif sight.is_found:
        adopt(session, operation, sight)
    elif not sight.absent:
        defer(session, operation, None)
    elif refusal:
        _refuse(session, operation, refusal)
    elif commit_intent(session, operation, sight):
        # Nothing may stand between these two lines: the commit proved that the lock is still held.
        answer = post_once(api, operation)
        record(session, operation, answer)


def _own_way(operation: Operation) -> Any:
    return OWN_WAYS.get(Operation.Kind(operation.kind))


def _refuse(session: OperationSession, operation: Operation, refusal: str) -> None:
    session.move(operation, Submission.REJECTED, detail=refusal, **_finished(Outcome.REFUSED, refusal))


def no_longer_allowed(operation: Operation) -> str:
    """Why the wish may not be sent any more, in words for its owner; empty = it may.

    A role may have been lowered, a machine moved or deleted, a grant withdrawn since the click.
    """
    if own := _own_way(operation):
        return own.refusal(operation)
    machine, request = operation.machine, operation.request
    if not operation.tenant.is_active or machine.tenant_id != operation.tenant_id:
        return _("This machine is not yours any more.")
    if not machine.exists:
        return _("This machine no longer exists on its platform.")
    asker = asker_of(operation.tenant_id, operation.created_by_id, operation.token_id)
    in_scope = asker and (asker.machine_guids is None or machine.guid in asker.machine_guids)
    if not asker or not in_scope or not asker.may(Role.MEMBER):
        if operation.token_id:
            return _("The token with which it was asked for may not back up this machine any more.")
        return _("The person who asked for it may not back up this machine any more.")
    if goes_by_rules():
        # A wish from before the setting was changed names no rule.
        rule = rule_for(machine, request.get("rule_guid", ""), request["destination_guid"])
        return "" if rule else _("The plan of this machine changed: it does not say any more that backups go there.")
    granted = Grant.across_tenants.filter(
        tenant=operation.tenant_id, kind=Grant.Kind.DESTINATION, guid=request["destination_guid"]
    )
    if not granted.exists():
        return _("The destination is not available to you any more.")
    return ""


def commit_intent(session: OperationSession, operation: Operation, sight: Sight) -> bool:
    """Says durably "from now on a request may be on its way"; False = the row is not ours any more, or has to wait:
    while another send for this machine is unresolved, whose task could be taken for this one's, and while as many run
    as the operator allows. That is counted here, one sender of a tenant at a time: who claimed at the same moment saw
    the same room.
    """
    cap = operation.tenant.running_cap
    try:
        with nullcontext() if cap is None else session.taking_turns(operation.tenant_id):
            if cap is not None and session.query(_RUNNING, [operation.tenant_id])[0][0] >= cap:
                detail = "as many run as the operator allows"
                session.move(operation, Submission.PENDING, detail=detail, next_at=DatabaseClock())
                return False
            return session.move(
                operation,
                Submission.SENDING,
                baseline=list(sight.seen_guids),
                request=operation.request,
                attempts=operation.attempts + 1,
                sent_at=DatabaseClock(),
                absent_seen=0,
                place_in_line=None,
            )
    except psycopg.errors.UniqueViolation:
        logger.info("operation %s waits for another one's send", operation.pk)
        return False


def post_once(api: VProtect, operation: Operation) -> Task | UpstreamError:
    """Sends the one POST. Whatever is not provably one thing is ambiguous."""
    try:
        own = _own_way(operation)
        return own.post(api, operation) if own else _export(api, operation)
    except UpstreamError as error:
        return error


def _export(api: VProtect, operation: Operation) -> Task:
    request, (window_start_ms, window_end_ms) = operation.request, _marker(operation)
    destination_guid = request["destination_guid"]
    rule = rule_for(operation.machine, request.get("rule_guid", ""), destination_guid) if goes_by_rules() else None
    answer = api.export(
        ExportRequest(
            vm_guid=operation.subject_guid,
            backup_type=request["backup_type"],
            destination_guid=destination_guid,
            rule_guids=(rule["guid"],) if rule else (),
            window_start_ms=window_start_ms,
            window_end_ms=window_end_ms,
            priority=request["priority"],
        )
    )
    return answer.task


def record(session: OperationSession, operation: Operation, answer: Task | UpstreamError) -> None:
    """Writes down what the answer proves; a reconciler settles what it does not."""
    match answer:
        case Task():
            if operation.kind == Operation.Kind.BACKUP:
                _learn_fidelity(answer, operation)
            session.move(operation, Submission.ACCEPTED, detail="made", **_tied_to(answer))
        case Rejected():
            sentence = _("The backup system refused this. Nothing was started.")
            session.move(operation, Submission.REJECTED, detail=str(answer), **_finished(Outcome.REFUSED, sentence))
        case NotSent() | Unauthorized() | TooManyRequests() | LoginPaused() | BadCredentials():
            defer(session, operation, answer)
        case Ambiguous() | UpstreamError():
            session.move(
                operation,
                Submission.UNCERTAIN,
                detail=str(answer),
                uncertain_at=DatabaseClock(),
                next_at=DatabaseClock(_settle() / 10),
            )


# ── Reconciling ──────────────────────────────────────────────────────────────


def reconcile(api: VProtect) -> int:
    """Finishes what senders left behind; returns how many wishes are due now, so that the bell can be rung."""
    with operation_session() as session:
        for operation in _in(Submission.SENDING):
            _take_over_from_the_dead(session, operation)
        for operation in _in(Submission.UNCERTAIN).filter(next_at__lte=Now()):
            with locked(session, operation.pk) as held, correlated(operation.correlation_id):
                if held:
                    settle(session, api, operation)
        for operation in _in(Submission.PENDING).filter(cancel_wanted_at__isnull=False):
            with locked(session, operation.pk) as held, correlated(operation.correlation_id):
                if held:
                    _cancel(session, operation)
        answers = True
        for operation in _in(Submission.PENDING).filter(deadline_at__lte=Now()):
            with locked(session, operation.pk) as held, correlated(operation.correlation_id):
                if held:
                    answers = _end_overdue(session, api if answers else None, operation)
    return _in(Submission.PENDING).filter(next_at__lte=Now()).count()


def _take_over_from_the_dead(session: OperationSession, operation: Operation) -> None:
    """The lock can be had: the sender is dead. What it sent may still be on its way, so the clock starts now."""
    with locked(session, operation.pk) as held, correlated(operation.correlation_id):
        if held:
            session.move(
                operation,
                Submission.UNCERTAIN,
                detail="its sender died",
                fence=operation.fence + 1,
                uncertain_at=DatabaseClock(),
                next_at=DatabaseClock(),
            )


def settle(session: OperationSession, api: VProtect, operation: Operation) -> None:
    """Finds out what became of an uncertain send: adopt what is there, send again only what is proved absent."""
    try:
        sight = look_up(api, operation)
    except UpstreamError as error:
        _look_again_later(session, operation, str(error))
        return
    if sight.is_double:
        _raise_alarm(session, operation, sight)
    elif sight.is_found:
        adopt(session, operation, sight)
    elif not sight.absent:
        _look_again_later(session, operation, "the look was not complete")
    elif _still_settling(operation):
        _look_again_later(session, operation, "")
    elif operation.absent_seen == 0:
        session.move(
            operation, Submission.UNCERTAIN, detail="absent once", absent_seen=1, next_at=DatabaseClock(_settle() / 6)
        )
    else:
        _send_again_or_ask(session, operation)


def _send_again_or_ask(session: OperationSession, operation: Operation) -> None:
    fidelity = UpstreamStatus.objects.values_list("marker_fidelity", flat=True).get(pk=1)
    may_repeat = operation.kind == Operation.Kind.BACKUP and fidelity != UpstreamStatus.Fidelity.NONE
    if may_repeat and operation.attempts < MOST_SENDS:
        session.move(operation, Submission.PENDING, detail="proved absent", next_at=DatabaseClock())
    else:
        session.move(
            operation,
            Submission.NEEDS_ATTENTION,
            detail="absent, and not to be repeated by itself",
            user_message=_("We could not find out whether this was started. The operator has been told."),
        )


def adopt(session: OperationSession, operation: Operation, sight: Sight) -> None:
    if sight.tasks:
        changes = _tied_to(sight.tasks[0])
    else:
        found = {"backup_guid": sight.backup_guid, "restore_job_guid": sight.restore_job_guid}
        changes = {name: guid for name, guid in found.items() if guid} | {"phase": Operation.Phase.CHECKING}
    session.move(operation, Submission.ACCEPTED, detail="found upstream", adopted=True, **changes)


def _raise_alarm(session: OperationSession, operation: Operation, sight: Sight) -> None:
    """Two tasks with one marker: the backup was started twice. Never silent."""
    guids = ", ".join(task.guid for task in sight.tasks)
    logger.error("DOUBLE: operation %s has the tasks %s", operation.pk, guids)
    session.move(
        operation,
        Submission.NEEDS_ATTENTION,
        detail=f"double: {guids}",
        user_message=_("This was started twice. Nothing is lost; the operator has been told."),
    )


def defer(session: OperationSession, operation: Operation, error: UpstreamError | None) -> None:
    """Back to waiting: nothing was sent. Waits longer the longer it has waited, never in step with others."""
    waited = (timezone.now() - operation.created_at).total_seconds()
    pause = min(max(waited / 4, 2), 60) * random.uniform(0.8, 1.2)  # noqa: S311
    if isinstance(error, TooManyRequests) and error.retry_after:
        pause = max(pause, error.retry_after)
    session.move(
        operation, Submission.PENDING, detail=str(error or "the look was not complete"), next_at=DatabaseClock(pause)
    )


def _look_again_later(session: OperationSession, operation: Operation, why: str) -> None:
    pause = _settle() / 6 * random.uniform(0.8, 1.2)  # noqa: S311
    session.move(operation, Submission.UNCERTAIN, detail=why, absent_seen=0, next_at=DatabaseClock(pause))


def _end_overdue(session: OperationSession, api: VProtect | None, operation: Operation) -> bool:
    """Looks once more if vProtect answers: in a database that was restored it may have been sent all the same.

    Returns whether vProtect answers; without an answer the wish ends in time as well.
    """
    sight, answers = Sight(), api is not None
    if api is not None:
        try:
            sight = look_up(api, operation)
        except UpstreamError:
            answers = False
    if sight.is_double:
        _raise_alarm(session, operation, sight)
    elif sight.is_found:
        adopt(session, operation, sight)
    else:
        _expire(session, operation)
    return answers


def _expire(session: OperationSession, operation: Operation) -> None:
    sentence = _("Its window ended before it could be started. Nothing was started.")
    session.move(operation, Submission.EXPIRED, detail="deadline", **_finished(Outcome.MISSED, sentence))


def _cancel(session: OperationSession, operation: Operation) -> None:
    """Free, since nothing was sent, or what was sent is proved not to be there."""
    sentence = _("It was cancelled before it was started.")
    session.move(operation, Submission.CANCELLED, detail="asked for", **_finished(Outcome.CANCELLED, sentence))


def _still_settling(operation: Operation) -> bool:
    """By the database's clock, which set `uncertain_at`: this host's may have jumped."""
    since = Now() - timedelta(seconds=_settle())
    return Operation.across_tenants.filter(pk=operation.pk, uncertain_at__gt=since).exists()


def _settle() -> float:
    return settings.VPROTECT_SECONDS["settle"]


def _in(submission: str) -> Any:
    return Operation.across_tenants.filter(submission=submission).order_by("next_at")


def _tied_to(task: Task) -> dict[str, Any]:
    return {
        "task_guid": task.guid,
        **({"backup_guid": task.backup.guid} if task.backup else {}),
        "phase": Operation.Phase.QUEUED,
        "user_message": "",
    }


def _finished(outcome: str, sentence: str) -> dict[str, Any]:
    return {"outcome": outcome, "user_message": sentence, "phase": "", "finished_at": DatabaseClock()}
