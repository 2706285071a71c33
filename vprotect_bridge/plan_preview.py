"""What saving a plan would change, said before it is saved; and when plans run next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from django.utils import timezone

from vprotect_bridge import plan_times
from vprotect_bridge.models import Machine, Plan
from vprotect_bridge.plan_facts import Held
from vprotect_bridge.plan_times import UpstreamTiming
from vprotect_bridge.plan_wishes import PlanWish, derived_schedules, timing_of


@dataclass(frozen=True)
class Preview:
    """What saving would change. Runs are instants (aware UTC) of the next seven days.

    `longest_pause`: between two runs of the next five weeks; None = there are fewer than two.
    """

    gained: list[Machine]
    lost: list[Machine]
    moved: list[tuple[Machine, str]]
    runs_added: list[datetime]
    runs_dropped: list[datetime]
    longest_pause: timedelta | None = None

    @property
    def changes_nothing(self) -> bool:
        return not (self.gained or self.lost or self.moved or self.runs_added or self.runs_dropped)


def preview(wish: PlanWish, plan: Plan | None = None) -> Preview:
    """`moved` come with the name of the plan that they leave; `lost` are backed up by nobody from then on."""
    held = Held.from_json(plan.held) if plan else Held()
    policy_guid = plan.policy_guid if plan else ""
    wanted = Machine.objects.filter(guid__in=wish.machine_guids).order_by("name", "guid")
    new = [machine for machine in wanted if not policy_guid or machine.policy_guid != policy_guid]
    lost = Machine.objects.filter(policy_guid=policy_guid).exclude(policy_guid="").exclude(guid__in=wish.machine_guids)
    names = dict(Plan.objects.filter(vanished_at=None).values_list("policy_guid", "name"))
    now = timezone.now()
    before, after = runs_of(held, now), _runs(_timings(wish, now), now)
    later = plan_times.runs(_timings(wish, now), now, now + timedelta(weeks=5))
    return Preview(
        gained=[machine for machine in new if not machine.policy_guid],
        lost=list(lost.order_by("name", "guid")),
        moved=[(machine, names.get(machine.policy_guid, "")) for machine in new if machine.policy_guid],
        runs_added=sorted(set(after) - set(before)),
        runs_dropped=sorted(set(before) - set(after)),
        longest_pause=max((following - run for run, following in pairwise(later)), default=None),
    )


def _timings(wish: PlanWish, now: datetime) -> list[UpstreamTiming]:
    return [] if wish.is_paused else [timing_of(facts) for facts in derived_schedules(wish, now)]


def runs_of(held: Held, now: datetime) -> list[datetime]:
    """The runs of the next seven days by what vProtect holds."""
    return _runs((timing_of(facts) for facts in held.acting_schedules), now)


def next_runs_of(held: Held, now: datetime, count: int = 5) -> list[datetime]:
    return plan_times.next_runs([timing_of(facts) for facts in held.acting_schedules], now, count)


def past_runs_of(held: Held, since: datetime, until: datetime) -> list[datetime]:
    """When it should have run by what vProtect holds now; aware UTC."""
    return plan_times.runs([timing_of(facts) for facts in held.acting_schedules], since, until)


def _runs(timings: Iterable[UpstreamTiming], now: datetime) -> list[datetime]:
    return plan_times.runs(timings, now, now + timedelta(days=7))
