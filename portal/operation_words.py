"""What is told of an operation beside its state: how long it will take, what happened, which tasks worked on it."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from portal.words import OUTCOME, RUNNING, WAITING, Chip, Text, operation_sentences
from vprotect_bridge.models import Operation, OperationTask

Submission = Operation.Submission
Phase = Operation.Phase

# ── How long ─────────────────────────────────────────────────────────────────


def estimate(operation: Operation, now: datetime | None = None) -> str:
    """How long it will take by the machine's own history; empty where there is none and where nothing is to come."""
    is_at_work = operation.submission == Submission.ACCEPTED and not operation.is_finished
    if not is_at_work or operation.is_cancelling or not operation.usual_from or operation.usual_ms is None:
        return ""
    usual, longest = operation.usual_ms, operation.longest_ms or operation.usual_ms
    if operation.started_at is None:
        sentence, time = _now("Usually takes %(time)s, from %(history)s."), about(usual)
    elif (worked := ((now or timezone.now()) - operation.started_at).total_seconds() * 1000) <= usual:
        sentence, time = _now("%(time)s left, from %(history)s."), about(usual - worked)
    elif worked <= longest:
        sentence, time = _now("Longer than usual: %(time)s, from %(history)s."), about(usual)
    else:
        sentence, time = _now("Longer than ever before; the longest took %(time)s, from %(history)s."), about(longest)
    return capitalised(sentence % {"time": time, "history": _history(operation)})


def _history(operation: Operation) -> str:
    count = operation.usual_from or 0
    asked_type = operation.request.get("backup_type", "")
    if operation.kind == Operation.Kind.RESTORE:
        text = ngettext("its last restore", "its last %(count)d restores", count)
    elif asked_type == "FULL":
        text = ngettext("its last full backup", "its last %(count)d full backups", count)
    elif asked_type == "INCREMENTAL":
        text = ngettext("its last incremental backup", "its last %(count)d incremental backups", count)
    else:
        text = ngettext("its last backup of this type", "its last %(count)d backups of this type", count)
    return text % {"count": count}


def about(milliseconds: float) -> str:
    """Coarse, as nobody can know it better: "about 6 minutes", "about 3 hours"."""
    minutes = -(-milliseconds // 60_000)
    if milliseconds < 60_000:
        return _now("less than a minute")
    if minutes < 90:
        return ngettext("about %(count)d minute", "about %(count)d minutes", int(minutes)) % {"count": minutes}
    hours = round(minutes / 60)
    return ngettext("about %(count)d hour", "about %(count)d hours", hours) % {"count": hours}


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


# ── What happened ────────────────────────────────────────────────────────────

_MOVES: dict[tuple[str, str], Text] = {
    ("", "pending"): _("It was asked for."),
    ("pending", "pending"): _("It could not be sent yet, and is kept."),
    ("sending", "pending"): _("It did not arrive, and waits to be sent again."),
    ("uncertain", "pending"): _("It had not arrived, and waits to be sent again."),
    ("needs_attention", "pending"): _("Your provider had it sent again."),
    ("needs_attention", "accepted"): _("Your provider has settled it."),
}
_ARRIVALS: dict[str, Text] = {
    "sending": _("It was sent to the backup system."),
    "uncertain": _("The answer got lost; it is being checked."),
    "accepted": _("The backup system accepted it."),
    "between": _("It was read, and waits to be stored."),
    "rejected": _("It was refused."),
    "expired": _("Its time ended before it could start."),
    "needs_attention": _("Your provider has to look at it."),
    "cancelling": _("The engine was asked to stop."),
}


def event_sentence(operation: Operation, moved_from: str, moved_to: str) -> Text:
    """A step of the machine's journal for the customer; vProtect's own words about it are the operator's."""
    if known := _MOVES.get((moved_from, moved_to)) or _ARRIVALS.get(moved_to):
        return known
    return operation_sentences(operation).get(moved_to, moved_to)


# ── Which tasks ──────────────────────────────────────────────────────────────

_TASK_STATE = {
    "QUEUED": WAITING,
    "RUNNING": RUNNING,
    "FINISHED": Chip("protected", "check-circle", _("Done")),
    "FAILED": OUTCOME[Operation.Outcome.FAILED],
    "CANCELLED": OUTCOME[Operation.Outcome.CANCELLED],
}


def task_chip(task: OperationTask) -> Chip:
    return _TASK_STATE.get(task.state, OUTCOME[Operation.Outcome.UNKNOWN])
