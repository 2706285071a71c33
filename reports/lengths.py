"""How long a run of a plan is expected to take: what a calendar shows from and to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import timedelta
from statistics import median

from django.db.models import F, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from portal.access import visible_machines
from tenants.models import Membership
from vprotect_bridge.backup_days import TIMED
from vprotect_bridge.models import Backup, Plan

LOOKED_BACK = timedelta(days=30)
# A sample of a plan's machines, so that a calendar costs the same however many there are.
MOST_MACHINES = 20
SHORTEST, NOMINAL = timedelta(minutes=1), timedelta(minutes=15)


def lengths_of(membership: Membership, plans: Collection[Plan]) -> dict[str, timedelta]:
    """By the id of each plan: as long as the slowest of its machines usually takes; else the window in which its runs
    must have started; else a nominal quarter of an hour. Two statements."""
    taken = _taken(membership, {plan.policy_guid for plan in plans} - {""})
    return {str(plan.pk): taken.get(plan.policy_guid) or _window(plan) or NOMINAL for plan in plans}


def _taken(membership: Membership, policies: Collection[str]) -> dict[str, timedelta]:
    number = Window(RowNumber(), partition_by="policy_guid", order_by="guid")
    there = visible_machines(membership).filter(policy_guid__in=policies, present=True, vanished_at=None)
    sample = dict(there.annotate(number=number).filter(number__lte=MOST_MACHINES).values_list("pk", "policy_guid"))
    recent = Backup.objects.filter(TIMED, machine__in=sample, sort_at__gte=timezone.now() - LOOKED_BACK)
    of_machine: dict[int, list[int]] = defaultdict(list)
    for machine, milliseconds in recent.order_by().values_list("machine_id", F("duration_ms")):
        of_machine[machine].append(milliseconds)
    longest: dict[str, timedelta] = {}
    for machine, all_of_it in of_machine.items():
        usual = max(timedelta(milliseconds=median(all_of_it)), SHORTEST)
        longest[sample[machine]] = max(longest.get(sample[machine], SHORTEST), usual)
    return longest


def _window(plan: Plan) -> timedelta | None:
    windows = [schedule["window_ms"] for schedule in plan.held.get("schedules", []) if schedule.get("window_ms")]
    return timedelta(milliseconds=min(windows)) if windows else None
