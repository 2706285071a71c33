"""What the dashboard says: one sentence, a square for each machine and day, what failed last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from zoneinfo import ZoneInfo

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from portal import dates
from portal.advice import REASON
from portal.words import Text, failure_reason, operation_sentence
from vprotect_bridge import backup_days
from vprotect_bridge.models import Alert, Backup, Machine, Operation, Plan, Protection, UpstreamStatus
from vprotect_bridge.plan_facts import Held
from vprotect_bridge.plan_preview import past_runs_of
from vprotect_bridge.unprotected import Reason, is_stale

DAYS = 30
FAILURES = 5
NOT_BEGUN = (Alert.Kind.NEVER_FIRED, Alert.Kind.SKIPPED, Alert.Kind.STUCK)
NOT_THERE = {Protection.DELETED, Protection.GONE}

# ── One sentence ─────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Hero:
    """`kind` and `icon` as of a chip."""

    kind: str
    icon: str
    sentence: str
    more: str = ""


def hero_of(
    counts: Mapping[str, int],
    status: UpstreamStatus | None,
    *,
    has_success: bool,
    late: int = 0,
    is_alarming: bool = False,
) -> Hero:
    """`counts`: machines by protection. `has_success`: any of them was ever backed up. `late`: so many are late.
    `is_alarming`: a run did not happen, which is as bad as one that failed.
    """
    there = sum(count for name, count in counts.items() if name not in NOT_THERE)
    safe, new = counts.get(Protection.PROTECTED, 0), counts.get(Protection.NEW, 0)
    if status is None or status.inventory_at is None:
        return Hero(
            "queued", "hourglass-split", _("Your machines are being read for the first time"), _("This takes a minute.")
        )
    if not there:
        return _hero_of_nothing(counts.get(Protection.DELETED, 0))
    if is_stale(status):
        return _hero_of_old_news(safe, there)
    if safe == there:
        sentence = ngettext("Your one machine is protected", "All %(count)d machines are protected", there)
        return Hero("protected", "shield-check", sentence % {"count": there})
    if new and safe + new == there:
        return _hero_of_new_ones(new, safe, there)
    failed, bare = counts.get(Protection.FAILED, 0), counts.get(Protection.UNPROTECTED, 0)
    if not has_success and bare == there:
        return Hero("unprotected", "shield-slash", _("No machine is backed up yet"), _("They need a plan."))
    # A machine is known to be protected before its history is read.
    if not (has_success or failed or safe or counts.get(Protection.OVERDUE)):
        return Hero("queued", "hourglass-split", _("Waiting for the first backup"), _rest(safe, there))
    sentence = ngettext("%(count)d machine needs attention", "%(count)d machines need attention", there - safe - new)
    is_bad = bool(failed or bare or is_alarming)
    kind, icon = ("failed", "shield-x") if is_bad else ("overdue", "shield-exclamation")
    return Hero(kind, icon, sentence % {"count": there - safe - new}, f"{_rest(safe, there)} {_late(late)}".rstrip())


def _hero_of_nothing(restorable: int) -> Hero:
    if not restorable:
        more = _("Your provider assigns machines to your organisation; they appear here by themselves.")
        return Hero("unknown", "hdd-stack", _("No machines yet"), more)
    sentence = ngettext(
        "No machines, but %(count)d deleted one can be restored",
        "No machines, but %(count)d deleted ones can be restored",
        restorable,
    )
    return Hero("deleted", "archive", sentence % {"count": restorable})


def _hero_of_new_ones(new: int, safe: int, there: int) -> Hero:
    if not safe:
        return Hero("queued", "hourglass-split", _("Waiting for the first backup"), _rest(safe, there))
    sentence = ngettext(
        "%(count)d new machine waits for its first backup", "%(count)d new machines wait for their first backup", new
    )
    return Hero("queued", "hourglass-split", sentence % {"count": new}, _rest(safe, there))


def _hero_of_old_news(safe: int, there: int) -> Hero:
    sentence = ngettext(
        "%(safe)d of %(count)d machine was protected when last heard of",
        "%(safe)d of %(count)d machines were protected when last heard of",
        there,
    )
    more = _("The backup system has not been heard for a while. Plans go on in it by themselves.")
    return Hero("unknown", "question-circle", sentence % {"safe": safe, "count": there}, more)


def _late(count: int) -> str:
    if not count:
        return ""
    sentence = ngettext(
        "%(count)d is late: its newest good backup is older than its protection target.",
        "%(count)d are late: their newest good backup is older than their protection target.",
        count,
    )
    return sentence % {"count": count}


def _rest(safe: int, there: int) -> str:
    rest = ngettext("%(safe)d of %(count)d is protected.", "%(safe)d of %(count)d are protected.", there)
    return rest % {"safe": safe, "count": there}


# ── A square for each machine and day ────────────────────────────────────────


class Square(StrEnum):
    """Worst first, but what is running now is said before anything else. Idle is no fault, overdue is."""

    RUNNING = "running"
    FAILED = "failed"
    OVERDUE = "overdue"
    WARNINGS = "warnings"
    GOOD = "good"
    IDLE = "idle"


SQUARE: dict[Square, Text] = {
    Square.RUNNING: gettext_lazy("running now"),
    Square.FAILED: gettext_lazy("failed"),
    Square.OVERDUE: gettext_lazy("overdue: the plan wanted a backup"),
    Square.WARNINGS: gettext_lazy("backed up with warnings"),
    Square.GOOD: gettext_lazy("backed up"),
    Square.IDLE: gettext_lazy("no backup, none due"),
}


@dataclass(frozen=True)
class Cell:
    """`day` in words."""

    day: str
    square: Square

    @property
    def words(self) -> Text:
        return SQUARE[self.square]


@dataclass(frozen=True)
class Row:
    machine: Machine
    cells: list[Cell]


def days_until(today: date) -> list[date]:
    return [today - timedelta(days=ago) for ago in range(DAYS - 1, -1, -1)]


def matrix_of(machines: Sequence[Machine], zone: ZoneInfo) -> list[Row]:
    """The last thirty days of these machines, by the zone's days; three statements, however many machines."""
    now = timezone.now()
    days = days_until(timezone.localdate(now, zone))
    fared = _fared(machines, days[0], zone)
    running = set(
        Operation.objects.filter(machine__in=machines, kind=Operation.Kind.BACKUP, outcome="").values_list(
            "machine_id", flat=True
        )
    )
    due = _due_days(machines, days[0], zone, now)
    # Said once for all rows.
    said = {day: dates.weekday_and_day(day) for day in days}
    return [
        Row(machine, [Cell(said[day], _square(machine, day, days[-1], fared, running, due)) for day in days])
        for machine in machines
    ]


def _square(
    machine: Machine,
    day: date,
    today: date,
    fared: Mapping[tuple[int, date], Square],
    running: set[int],
    due: Mapping[int, set[date]],
) -> Square:
    if day == today and machine.pk in running:
        return Square.RUNNING
    idle = Square.OVERDUE if day in due.get(machine.pk, ()) else Square.IDLE
    return fared.get((machine.pk, day), idle)


def _fared(machines: Sequence[Machine], first: date, zone: ZoneInfo) -> dict[tuple[int, date], Square]:
    rows = (
        Backup.objects.filter(machine__in=machines, sort_at__gte=_midnight(first, zone))
        .order_by()
        .values_list("machine_id", TruncDate("sort_at", tzinfo=zone))
        .annotate(
            failed=Count("pk", filter=backup_days.FAILED),
            warned=Count("pk", filter=backup_days.WARNED),
            good=Count("pk", filter=backup_days.GOOD),
        )
    )
    worst = {}
    for machine_id, day, failed, warned, good in rows:
        if failed or warned or good:
            worst[machine_id, day] = Square.FAILED if failed else Square.WARNINGS if warned else Square.GOOD
    return worst


def _due_days(machines: Sequence[Machine], first: date, zone: ZoneInfo, now: datetime) -> dict[int, set[date]]:
    """The days on which the plan of an overdue machine should have run since its last good backup."""
    overdue = [machine for machine in machines if machine.protection == Protection.OVERDUE]
    plans = Plan.objects.filter(policy_guid__in={machine.policy_guid for machine in overdue} - {""})
    parts = plans.values_list("policy_guid", "held__rules", "held__schedules", "held__policy__active")
    held = {policy: Held.without_machines(rules, schedules, active) for policy, rules, schedules, active in parts}
    start = _midnight(first, zone)
    due = {}
    for machine in overdue:
        # Of one that never was backed up, nobody knows how long it has been in the plan.
        since = max(machine.last_success_at or machine.first_seen_at, start)
        runs = past_runs_of(held.get(machine.policy_guid, Held()), since, now)
        # Without a plan that tells, what is known is that it is overdue today.
        due[machine.pk] = {run.astimezone(zone).date() for run in runs} or {timezone.localdate(now, zone)}
    return due


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


# ── What failed last ─────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Failure:
    """`operation`: where it left no backup that tells of it; `alert`: where nothing was even begun, of a machine or of
    a plan as a whole, which has no `machine`."""

    machine: Machine | None
    at: datetime
    reason: Text
    operation: Operation | None = None
    alert: Alert | None = None

    @property
    def kind(self) -> str:
        return self.operation.kind if self.operation else Operation.Kind.BACKUP

    @property
    def is_open_alert(self) -> bool:
        return self.alert is not None and self.alert.closed_at is None

    @property
    def is_over(self) -> bool:
        """A later backup succeeded."""
        if self.machine is None:
            return self.alert is not None and self.alert.closed_at is not None
        later = self.machine.last_success_at
        return self.kind == Operation.Kind.BACKUP and later is not None and later > self.at


def last_failures(backups: QuerySet[Backup], operations: QuerySet[Operation], alerts: QuerySet[Alert]) -> list[Failure]:
    """Newest first. What was asked for here and left a failed backup is told by the backup, once.

    A run that did not happen is as loud as one that failed; one that missed its window is told by its failed backup.
    """
    since = timezone.now() - timedelta(days=DAYS)
    failed = backups.filter(status="FAILED", sort_at__gte=since).select_related("machine").order_by("-sort_at")
    ended = operations.filter(outcome__in=["failed", "refused", "missed"], created_at__gte=since)
    without_backup = ended.exclude(~Q(backup_guid=""), kind=Operation.Kind.BACKUP).order_by("-created_at")
    missed = alerts.filter(kind__in=NOT_BEGUN, began_at__gte=since).select_related("machine", "plan")
    failures = [
        *(Failure(row.machine, row.sort_at, failure_reason(row.status_info)) for row in failed[:FAILURES]),
        *(Failure(one.machine, one.created_at, _why_it_ended(one), one) for one in without_backup[:FAILURES]),
        *(
            Failure(one.machine, one.began_at, REASON[Reason(one.kind)], alert=one)
            for one in missed.order_by("-began_at")[:FAILURES]
        ),
    ]
    return sorted(failures, key=attrgetter("at"), reverse=True)[:FAILURES]


def _why_it_ended(operation: Operation) -> Text:
    """Workers keep the sentence in English; here it is in the reader's language."""
    return _(operation.user_message) if operation.user_message else operation_sentence(operation)
