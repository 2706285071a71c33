"""Why a machine is not protected: the one reason that matters, from the mirror alone.

The reason explains what `protection.conclude` concluded, so that a page's chip and its reason never disagree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, TextChoices
from django.db.models.fields.json import KT
from django.db.models.functions import JSONObject
from django.utils import timezone

from tenants.models import Grant
from vprotect_bridge.client.types import FINAL_BACKUP_STATUSES
from vprotect_bridge.models import Alert, Backup, Destination, Machine, Operation, Plan, Protection, UpstreamStatus

# vProtect's own words for it (API reference, 20, trap 36).
_DESTINATION_WORDS = re.compile(
    r"destination is not assigned|backup destination .*(not found|unavailable)", re.IGNORECASE
)


class Reason(TextChoices):
    """Worst first, but for what makes a guess of everything else: that nothing has been heard for long."""

    DELETED = "deleted"
    GONE = "gone"
    DESTINATION_UNUSABLE = "destination_unusable"
    FAILED = "failed"
    NO_PLAN = "no_plan"
    NO_SCHEDULE = "no_schedule"
    NO_DESTINATION = "no_destination"
    PLAN_PAUSED = "plan_paused"
    STALE = "stale"
    # As of alerts.
    NEVER_FIRED = "never_fired"
    SKIPPED = "skipped"
    STUCK = "stuck"
    MISSED = "missed"
    NEW = "new"
    NEVER_RAN = "never_ran"
    LATE = "late"
    OVERDUE = "overdue"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class PlanFacts:
    """What of its plan says why, and what a person needs to put it right."""

    id: str
    name: str
    is_editable: bool
    held_digest: str
    first_schedule: str | None
    destination: str | None
    is_destination_gone: bool


@dataclass(frozen=True)
class Shortcoming:
    """`said` is vProtect's own text about a failed run: for `words.failure_reason`, never for a page."""

    reason: Reason
    plan: PlanFacts | None = None
    said: str = ""
    is_running: bool = False
    has_destination: bool = True


def with_causes(machines: QuerySet[Machine]) -> QuerySet[Machine]:
    """The same machines with what `why` needs, in the same statement: a list pays no query for a row."""
    plans = Plan.objects.filter(policy_guid=OuterRef("policy_guid"), vanished_at=None).exclude(policy_guid="")
    gone = Destination.objects.filter(guid=OuterRef("destination_guid"), vanished_at__isnull=False)
    facts = JSONObject(
        id="id",
        name="name",
        is_editable="is_editable",
        held_digest="held_digest",
        first_schedule=KT("held__rules__0__schedule_guids__0"),
        destination=KT("held__rules__0__destination_guids__0"),
        is_destination_gone=Exists(gone),
    )
    ended = Backup.objects.filter(machine=OuterRef("pk"), vanished_at=None, status__in=FINAL_BACKUP_STATUSES).order_by(
        "-sort_at"
    )
    running = Operation.objects.filter(machine=OuterRef("pk"), kind=Operation.Kind.BACKUP, outcome="")
    alerts = Alert.objects.filter(kind__in=Alert.OF_RUNS, closed_at=None).order_by("-opened_at")
    of_machine = alerts.filter(Q(machine=OuterRef("pk")) | Q(machine=None, plan__policy_guid=OuterRef("policy_guid")))
    granted = Grant.objects.filter(kind=Grant.Kind.DESTINATION).values("guid")
    return machines.annotate(
        plan_facts=Subquery(plans.values(facts=facts)[:1]),
        last_words=Subquery(ended.values("status_info")[:1]),
        is_being_backed_up=Exists(running),
        missed_run=Subquery(of_machine.values("kind")[:1]),
        has_destination=Exists(Destination.objects.filter(guid__in=granted, vanished_at=None)),
    )


def why(machine: Any, *, is_stale: bool = False) -> Shortcoming | None:
    """Of a machine `with_causes`; None = it is protected. `is_stale`: nothing was heard of vProtect for long."""
    plan = PlanFacts(**machine.plan_facts) if machine.plan_facts else None
    reason = _reason(machine, plan, is_stale)
    if reason is None:
        return None
    return Shortcoming(reason, plan, machine.last_words or "", machine.is_being_backed_up, machine.has_destination)


def _reason(machine: Any, plan: PlanFacts | None, is_stale: bool) -> Reason | None:
    match Protection(machine.protection):
        case Protection.PROTECTED:
            return None
        case Protection.DELETED:
            return Reason.DELETED
        case Protection.GONE:
            return Reason.GONE
        case Protection.FAILED:
            is_place = bool(_DESTINATION_WORDS.search(machine.last_words or "")) or _has_lost_its_destination(plan)
            return Reason.DESTINATION_UNUSABLE if is_place else Reason.FAILED
        case Protection.UNPROTECTED:
            return _reason_of_no_plan(machine, plan)
        case Protection.PAUSED:
            return Reason.PLAN_PAUSED
        case _:
            return _reason_of_no_backup(machine, plan, is_stale)


def _reason_of_no_plan(machine: Any, plan: PlanFacts | None) -> Reason:
    if not machine.policy_guid:
        return Reason.NO_PLAN
    return Reason.NO_DESTINATION if plan and plan.first_schedule and not plan.destination else Reason.NO_SCHEDULE


def _reason_of_no_backup(machine: Any, plan: PlanFacts | None, is_stale: bool) -> Reason:
    """Overdue, or not known: nothing failed, nothing is missing, and yet there is no recent backup."""
    if _has_lost_its_destination(plan):
        return Reason.DESTINATION_UNUSABLE
    if is_stale:
        return Reason.STALE
    if machine.missed_run:
        return Reason(machine.missed_run)
    if machine.protection == Protection.NEW:
        return Reason.NEW
    if machine.last_backup_at is None and machine.last_success_at is None:
        return Reason.NEVER_RAN
    if machine.is_late:
        return Reason.LATE
    return Reason.OVERDUE if machine.protection == Protection.OVERDUE else Reason.UNKNOWN


def _has_lost_its_destination(plan: PlanFacts | None) -> bool:
    return plan is not None and plan.is_destination_gone


def needs_attention() -> Q:
    """Machines that are there and that nobody can be sure to get back as of lately, though they had time for it."""
    fine = [Protection.PROTECTED, Protection.NEW, Protection.DELETED, Protection.GONE]
    return ~Q(protection__in=fine)


def is_stale(status: UpstreamStatus | None) -> bool:
    """Nothing was heard of vProtect's machines for so long that it has to be said."""
    longest = timedelta(seconds=max(600, 5 * settings.VPROTECT_SECONDS["inventory"]))
    return status is None or status.inventory_at is None or status.inventory_at < timezone.now() - longest
