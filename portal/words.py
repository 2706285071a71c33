"""vProtect's words in the customer's. Names that are new to us are shown in a readable form, never an error."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from portal import dates
from vprotect_bridge.failures import Failure, failure_of
from vprotect_bridge.limits import QUOTA_USED_UP
from vprotect_bridge.models import Alert, Machine, Operation, Protection
from vprotect_bridge.places import EXACT_UP_TO
from vprotect_bridge.targets import State

Text = str | Promise


@dataclass(frozen=True)
class Chip:
    """Icon and word, never colour alone. `kind` is the style's name, `why` a sentence."""

    kind: str
    icon: str
    word: Text
    why: Text = ""


PROTECTION = {
    Protection.PROTECTED: Chip(
        "protected", "shield-check", _("Protected"), _("Its last backup is as recent as its plan wants.")
    ),
    Protection.OVERDUE: Chip(
        "overdue", "clock-history", _("Overdue"), _("A more recent backup is wanted than there is.")
    ),
    Protection.FAILED: Chip("failed", "shield-x", _("Failed"), _("Its last backup failed.")),
    Protection.UNPROTECTED: Chip(
        "unprotected", "shield-slash", _("Not protected"), _("No plan backs it up automatically.")
    ),
    Protection.PAUSED: Chip("gone", "dash-circle", _("Paused"), _("Its plan is paused: nothing backs it up now.")),
    Protection.NEW: Chip("queued", "hourglass-split", _("New"), _("It is new: its first backup is still to come.")),
    Protection.DELETED: Chip(
        "deleted", "archive", _("Deleted, restorable"), _("It no longer exists, but its backups can be restored.")
    ),
    Protection.GONE: Chip("gone", "trash", _("Deleted"), _("It no longer exists, and no backup of it is left.")),
    Protection.UNKNOWN: Chip(
        "unknown", "question-circle", _("Unknown"), _("It has a plan, but no schedule of it has told us yet.")
    ),
}

TARGET = {
    State.LATE: Chip(
        "overdue", "exclamation-triangle", _("Late"), _("Its newest good backup is older than its protection target.")
    ),
    State.NEW: Chip(
        "queued", "hourglass-split", _("New"), _("It is new: there is still time for its first good backup.")
    ),
    State.ON_TIME: Chip(
        "protected", "check-circle", _("On time"), _("By its protection target no newer good backup is wanted yet.")
    ),
    State.NONE: Chip(
        "gone", "dash-circle", _("Without target"), _("Nobody said how old its newest good backup may be.")
    ),
}

BACKUP_STATUS = {
    "QUEUED": Chip("queued", "hourglass-split", _("Waiting")),
    "INPROGRESS": Chip("running", "arrow-repeat", _("Running")),
    "SUCCESS": Chip("protected", "check-circle", _("Succeeded")),
    "PARTIAL_SUCCESS": Chip("overdue", "exclamation-triangle", _("With warnings")),
    "FAILED": Chip("failed", "x-circle", _("Failed")),
    "SUCCESS_REMOVED": Chip("gone", "archive", _("Aged out"), _("It succeeded and was removed when it grew old.")),
}

OUTCOME = {
    Operation.Outcome.SUCCEEDED: Chip("protected", "check-circle", _("Succeeded")),
    Operation.Outcome.PARTIAL: Chip("overdue", "exclamation-triangle", _("With warnings")),
    Operation.Outcome.FAILED: Chip("failed", "x-circle", _("Failed")),
    Operation.Outcome.CANCELLED: Chip("gone", "slash-circle", _("Cancelled")),
    Operation.Outcome.REFUSED: Chip("failed", "slash-circle", _("Refused")),
    Operation.Outcome.MISSED: Chip("overdue", "clock-history", _("Missed its window")),
    Operation.Outcome.UNKNOWN: Chip("unknown", "question-circle", _("Ended")),
}
WAITING = Chip("queued", "hourglass-split", _("Waiting"))
RUNNING = Chip("running", "arrow-repeat", _("Running"))
BEING_CHECKED = Chip("unknown", "question-circle", _("Being checked"))

# What people look for in the activity, beside each outcome by itself, and who asked.
ACTIVITY_STATES: dict[str, Text] = {
    "open": _("Under way"),
    "waiting": _("Waiting"),
    "running": _("Running"),
    "checked": _("Being checked"),
    "problem": _("Went wrong"),
    **{outcome.value: chip.word for outcome, chip in OUTCOME.items()},
}
ACTIVITY_SHORTCUTS: dict[str, Text] = {
    "": _("Everything"),
    **{state: ACTIVITY_STATES[state] for state in ("open", "problem", "succeeded")},
}
ACTIVITY_BY: dict[str, Text] = {
    "me": _("Me"),
    "people": _("People here"),
    "schedule": _("Schedules"),
    "elsewhere": _("Your provider"),
}

BACKUP_TYPE = {
    "FULL": _("Full"),
    "INCREMENTAL": _("Incremental"),
    "SYNTHETIC": _("Full, put together"),
    "SYNCHRONIZATION": _("Synchronization"),
}
PLATFORM = {
    "OPENSTACK": "OpenStack",
    "RHV": "oVirt / RHV",
    "RHEV": "oVirt / RHV",
    "KVM": "KVM",
    "XEN": "Xen",
    "CITRIX": "Citrix Hypervisor",
    "PROXMOX": "Proxmox VE",
    "ESXI": "VMware ESXi",
    "VCENTER": "VMware vCenter",
    "HYPERV": "Hyper-V",
    "NUTANIX": "Nutanix AHV",
    "ORACLE": "Oracle VM",
    "KUBERNETES": "Kubernetes",
    "OPENSHIFT": "OpenShift",
    "AWS": "Amazon EC2",
}

# All task types of the guide ("Progress monitoring"), for the details of an operation.
TASK_TYPE = {
    "INDEX": _("Reading the inventory"),
    "EXPORT": _("Reading the machine"),
    "STORE": _("Storing the backup"),
    "RESTORE": _("Fetching the backup"),
    "IMPORT": _("Creating the machine"),
    "MOUNT": _("Opening the backup"),
    "UNMOUNT": _("Closing the backup"),
    "DELETE": _("Deleting"),
    "SNAPSHOT": _("Taking a snapshot"),
    "SNAPSHOT_REVERSION": _("Going back to a snapshot"),
    "OLD_BACKUPS_REMOVAL": _("Removing aged-out backups"),
    "OLD_SNAPSHOTS_REMOVAL": _("Removing aged-out snapshots"),
}

# vProtect's own texts name hosts and paths (docs/vprotect-api.md, 20, trap 36): only these sentences are shown.
_REASONS: dict[Failure, Text] = {
    Failure.QUOTA: _(QUOTA_USED_UP),
    Failure.NO_SPACE: _("There was not enough free space to prepare the backup."),
    Failure.DESTINATION: _("The destination cannot be reached from where this machine runs."),
    Failure.WINDOW: _("It could not start inside its window."),
    Failure.UNREACHABLE: _("The machine's platform could not be reached."),
    Failure.MACHINE_GONE: _("The machine no longer exists on its platform."),
    Failure.CANCELLED: _("It was cancelled."),
    Failure.SNAPSHOT: _("The platform could not take a snapshot of the machine."),
    Failure.UNKNOWN: _("The backup system reported an error. Your provider can see its details."),
}
TURN: dict[str, Text] = {
    Alert.Turn.CUSTOMER: _("Your organisation can put it right itself."),
    Alert.Turn.PROVIDER: _("Your provider has to put it right."),
    Alert.Turn.UNKNOWN: _("Nobody can say from here whose turn it is: if it lasts, ask your provider."),
}
# The names of work that is neither a backup nor a restore of a whole machine; others by their task type.
TASK_TITLE = {
    "RESTORE": _("Restore of files by your provider"),
}


def protection_chip(machine: Machine) -> Chip:
    return PROTECTION.get(Protection(machine.protection), PROTECTION[Protection.UNKNOWN])


def last_point_sentence(machine: Machine) -> str:
    """The warning before a machine that is deleted can no longer be restored; empty for all others."""
    if machine.protection != Protection.DELETED:
        return ""
    until = machine.restorable_until
    if until and until > timezone.now():
        return _now("Its last restore point goes on %(day)s.") % {"day": _day(until)}
    if machine.newest_point_at:
        newest = _now("Its newest restore point is of %(day)s and may be removed any day.")
        return newest % {"day": _day(machine.newest_point_at)}
    return _now("Its restore points may be removed any day.")


def lateness(machine: Machine) -> str:
    """15 hours late; empty of one that is not."""
    if machine.late_at is None or not machine.is_late:
        return ""
    return _now("%(length)s late") % {"length": dates.length(timezone.now() - machine.late_at)}


def _day(moment: datetime) -> str:
    return dates.day_and_year(timezone.localtime(moment))


def backup_status_chip(status: str) -> Chip:
    return BACKUP_STATUS.get(status) or Chip("unknown", "question-circle", readable(status))


def operation_chip(operation: Operation) -> Chip:
    if operation.is_finished:
        return OUTCOME[Operation.Outcome(operation.outcome)]
    if operation.submission in {Operation.Submission.UNCERTAIN, Operation.Submission.NEEDS_ATTENTION}:
        return BEING_CHECKED
    return WAITING if operation.phase in {"", Operation.Phase.QUEUED} else RUNNING


_SENTENCES: dict[str, tuple[Text, ...]] = {
    # By outcome, submission or phase: for a backup, for a restore, for any other task, for opening; one for all alike.
    "succeeded": (_("The backup is done."), _("The machine is restored."), _("It is done."), _("The backup is open.")),
    "partial": (
        _("The backup is done, but something was left out."),
        _("The machine is restored, with warnings."),
        _("It is done, with warnings."),
        _("The backup is open, with warnings."),
    ),
    "failed": (
        _("The backup failed."),
        _("The restore failed."),
        _("It failed."),
        _("The backup could not be opened."),
    ),
    "cancelled": (
        _("The backup was cancelled."),
        _("The restore was cancelled."),
        _("It was cancelled."),
        _("Opening was cancelled."),
    ),
    "refused": (
        _("The backup was not started."),
        _("The restore was not started."),
        _("It was not started."),
        _("The backup was not opened."),
    ),
    "missed": (
        _("The backup missed its window."),
        _("The restore was not started in time."),
        _("It was not started."),
        _("The backup was not opened in time."),
    ),
    "unknown": (_("It has ended; the backup system no longer tells how."),),
    "cancelling": (_("Cancelling: the engine stops at its next safe point."),),
    "needs_attention": (_("Your provider has to look at this one."),),
    "uncertain": (_("We are making sure that it was started once."),),
    "waiting": (_("Waiting to be started."),),
    "queued": (_("Waiting in line."),),
    "exporting": (_("Reading the machine."),),
    "between": (_("Storing the backup."),),
    "storing": (_("Storing the backup."),),
    "restoring": (_("Fetching the backup."),),
    "importing": (_("Creating the machine."),),
    "mounting": (_("Opening the backup."),),
    "working": (_("It is under way."),),
    "checking": (_("Checking the result."),),
}
_KINDS = list(Operation.Kind)


def operation_sentence(operation: Operation) -> Text:
    """How it stands, in one sentence."""
    submission = operation.submission
    if operation.place_in_line and not operation.is_finished and not operation.is_cancelling:
        return _place(operation)
    if operation.is_finished:
        key = operation.outcome
    elif operation.is_cancelling:
        key = "cancelling"
    elif submission in {"needs_attention", "uncertain"}:
        key = submission
    else:
        key = "waiting" if submission in {"pending", "sending"} else operation.phase or "queued"
    return operation_sentences(operation)[key]


def _place(operation: Operation) -> Text:
    """In vProtect's queue, or among the tenant's own; far back it is not exact (`vprotect_bridge.places`)."""
    place, is_exact = {"place": operation.place_in_line}, (operation.place_in_line or 0) <= EXACT_UP_TO
    if operation.submission == Operation.Submission.PENDING:
        if is_exact:
            return _("Place %(place)d of your organisation's own that wait to be started.") % place
        return _("Among the first %(place)d of your organisation's own that wait to be started.") % place
    if not is_exact:
        return _("About place %(place)d in the queue.") % place
    return _("Place %(place)d in the queue.") % place


def operation_sentences(operation: Operation) -> dict[str, Text]:
    """By outcome, submission or phase, in the words for this kind."""
    place = _KINDS.index(Operation.Kind(operation.kind))
    return {key: texts[place] if len(texts) > 1 else texts[0] for key, texts in _SENTENCES.items()}


def cancel_consequence(operation: Operation) -> Text:
    """What cancelling does, said before it is done."""
    if operation.phase in {"", Operation.Phase.QUEUED}:
        return _("It has not started yet: it ends at once, and nothing is made.")
    if operation.kind == Operation.Kind.RESTORE:
        return _(
            "Cancelling: the engine stops at its next safe point. The new machine is not finished. "
            "The backup and the original machine are untouched."
        )
    if operation.kind == Operation.Kind.MOUNT:
        return _("Cancelling: the engine stops at its next safe point. The backup is not opened, and stays as it is.")
    return _(
        "Cancelling: the engine stops at its next safe point. What was read so far is thrown away. "
        "Earlier backups are untouched."
    )


def operation_title(operation: Operation) -> str:
    return title_of_work(operation.kind, operation.machine.name, operation.request.get("task_type", ""))


def title_of_work(kind: str, name: str, task_type: str) -> str:
    """`name`: the machine's; `task_type`: vProtect's word, for what is neither a backup, a restore nor an opening."""
    if kind == Operation.Kind.TASK:
        return _("%(work)s: %(name)s") % {"work": task_title(task_type), "name": name}
    titles = {
        Operation.Kind.RESTORE: _("Restore of %(name)s"),
        Operation.Kind.BACKUP: _("Backup of %(name)s"),
        Operation.Kind.MOUNT: _("Opening of a backup of %(name)s"),
    }
    return titles[Operation.Kind(kind)] % {"name": name}


def task_title(task_type: str) -> Text:
    return TASK_TITLE.get(task_type) or TASK_TYPE.get(task_type) or readable(task_type)


def asked_by(operation: Operation) -> Text:
    """Who wanted it: a person, a program with a token, a schedule or the provider."""
    if operation.origin != Operation.Origin.PORTAL:
        return Operation.Origin(operation.origin).label
    if not operation.token_name:
        return str(operation.created_by or "–")
    if not operation.created_by:
        return tenants_token(operation.token_name)
    token = _now("API token %(name)s") % {"name": operation.token_name}
    return f"{operation.created_by} · {token}"


def tenants_token(name: str) -> Text:
    """Of one that belongs to no person."""
    return _now("API token %(name)s (of the organisation)") % {"name": name}


def failure_reason(status_info: str) -> Text:
    """A sentence for the customer out of upstream's text, of which nothing is shown itself."""
    return _REASONS[failure_of(status_info)]


def is_of_quota(reason: Text) -> bool:
    """Trying again does not help before the provider has made room."""
    return str(reason) == _now(QUOTA_USED_UP)


def backup_type(name: str) -> Text:
    return BACKUP_TYPE.get(name) or readable(name)


def platform(name: str) -> str:
    return PLATFORM.get(name) or readable(name)


def readable(name: str) -> str:
    return name.replace("_", " ").capitalize()


def visible_name(name: str) -> str:
    """A file's name with nothing hidden in it: what has no picture, or turns the direction, is shown by its number."""
    shown = "".join(_visible(sign) for sign in name)
    left, right = len(shown) - len(shown.lstrip(" ")), len(shown) - len(shown.rstrip(" "))
    return "␣" * left + shown.strip(" ") + "␣" * right


def _visible(sign: str) -> str:
    if sign == "\n":
        return "↵"
    is_hidden = unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    return f"⟨{ord(sign):04X}⟩" if is_hidden else sign
