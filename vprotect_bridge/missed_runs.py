"""Runs that should have been: what vProtect holds of plans, against the backups and tasks that were seen since.

Only the last run of each plan that must have begun by now is looked at, and only where plan and machine have been as
they are since before it: what was changed, paused or moved meanwhile has no run to miss. That nothing was seen proves
nothing until the machine's history was read again after the run; until then it is asked for, and nothing is concluded.

Runs are instants by vProtect's clock; what is noted here is by ours, which may be another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.utils import timezone

from vprotect_bridge import plan_times
from vprotect_bridge.models import Alert, Machine, Plan, Standing, UpstreamStatus
from vprotect_bridge.plan_facts import Facts, Held
from vprotect_bridge.plan_wishes import timing_of

Kind = Alert.Kind

# From the moment of a schedule until all its tasks have been seen.
GRACE = timedelta(minutes=30)
SLACK = timedelta(minutes=2)
# A task may wait for hours without being ill (API reference, 7.2): stuck has waited for half its window, and this long.
SHORTEST_WAIT = timedelta(hours=1)
# Most plans run once a day: the last run is looked for near by first.
LOOKS_BACK = (timedelta(days=1), timedelta(days=8), timedelta(days=35))
# Of a plan that seems not to have run at all, a few histories prove it.
ENOUGH_TO_PROVE = 5
MOST_ASKED_FOR = 200


@dataclass(frozen=True)
class Run:
    """`at` by vProtect's clock, `here` by ours. `window` None = its schedule has none; `wait`: longer is stuck."""

    plan: UUID
    tenant: int
    policy_guid: str
    is_editable: bool
    at: datetime
    here: datetime
    window: timedelta | None
    wait: timedelta

    @property
    def since(self) -> datetime:
        """What is as new as this, by either clock, belongs to this run or a later one."""
        return min(self.at, self.here) - SLACK

    @property
    def window_ends_at(self) -> datetime | None:
        return None if self.window is None else self.at + self.window


class Fate(NamedTuple):
    """What became of a run for a machine of which no good backup was seen since. `is_known`: its history is read."""

    plan: UUID
    machine: int
    members: int
    is_known: bool
    kind: str


@dataclass
class Missed:
    """What is so now, by plan, machine (None = all of the plan) and kind. `doubtful`: what is not known well enough."""

    acting: set[UUID] = field(default_factory=set)
    runs: dict[UUID, Run] = field(default_factory=dict)
    found: dict[tuple[UUID, int | None, str], dict[str, Any]] = field(default_factory=dict)
    doubtful: set[tuple[UUID, int | None]] = field(default_factory=set)


def look_for_missed_runs(status: UpstreamStatus) -> Missed:
    """Three statements at most, however many plans and machines."""
    missed = Missed()
    for run in _last_runs(missed.acting, timedelta(milliseconds=status.clock_skew_ms)):
        missed.runs[run.plan] = run
    absent: dict[UUID, list[Fate]] = defaultdict(list)
    for fate in _fates(missed.runs.values()):
        if fate.kind == "absent":
            absent[fate.plan].append(fate)
        else:
            missed.found[fate.plan, fate.machine, fate.kind] = _details(missed.runs[fate.plan])
    asked_for = [machine for plan, fates in absent.items() for machine in _judge(missed, missed.runs[plan], fates)]
    _ask_for(asked_for[:MOST_ASKED_FOR])
    return missed


# ── When plans should have run ───────────────────────────────────────────────


def _last_runs(acting: set[UUID], skew: timedelta) -> Iterator[Run]:
    now = timezone.now() + skew
    plans = Plan.across_tenants.filter(
        standing=Standing.ACTING, vanished_at=None, held_since__isnull=False, tenant__is_active=True
    ).exclude(policy_guid="")
    parts = ("held__rules", "held__schedules", "held__policy__active")
    facts = ("pk", "tenant", "policy_guid", "is_editable", "held_since", *parts)
    for pk, tenant, policy_guid, is_editable, held_since, rules, schedules, is_active in plans.values_list(*facts):
        acting.add(pk)
        held = Held.without_machines(rules, schedules, is_active)
        last = _last_run(held.acting_schedules, held_since + skew + SLACK, now - GRACE)
        if last is not None:
            at, schedule = last
            yield Run(pk, tenant, policy_guid, is_editable, at, at - skew, _window(schedule), _longest_wait(schedule))


def _last_run(schedules: Iterable[Facts], since: datetime, until: datetime) -> tuple[datetime, Facts] | None:
    schedules = list(schedules)
    for length in LOOKS_BACK:
        start = max(since, until - length)
        lasts = [(runs[-1], row) for row in schedules if (runs := plan_times.runs([timing_of(row)], start, until))]
        if lasts or start == since:
            return max(lasts, key=lambda last: last[0], default=None)
    return None


def _window(schedule: Facts) -> timedelta | None:
    return timedelta(milliseconds=schedule["window_ms"]) if schedule["window_ms"] else None


def _longest_wait(schedule: Facts) -> timedelta:
    """One that runs again and again has no window: then its next run is due before this one has begun."""
    window = _window(schedule)
    wait = window / 2 if window else timedelta(milliseconds=schedule["frequency_ms"] or 0)
    return max(wait, SHORTEST_WAIT)


# ── What became of them ──────────────────────────────────────────────────────

# Only machines without a good backup since the run are looked at closely: on a good day there are none.
_FATES = """
    WITH run AS (
        SELECT * FROM unnest(%(plans)s::uuid[], %(tenants)s::bigint[], %(policies)s::text[], %(since)s::timestamptz[],
                             %(due)s::timestamptz[], %(ends)s::timestamptz[], %(waits)s::interval[])
                      AS run (plan, tenant, policy, since, due, window_end, wait)
    ), member AS (
        SELECT run.*, m.id, m.backups_at >= run.due AS is_known, m.last_success_at >= run.since AS is_good,
               count(*) OVER (PARTITION BY run.plan) AS members
        FROM run JOIN vprotect_bridge_machine m ON m.tenant_id = run.tenant AND m.policy_guid = run.policy
             AND m.present AND m.vanished_at IS NULL AND m.planned_at < run.since
    ), fate AS (
        SELECT member.plan, member.id, member.members, coalesce(member.is_known, false) AS is_known,
            CASE WHEN work.outcome = '' AND work.phase IN ('', 'queued') AND work.origin <> 'portal'
                      AND work.started_at IS NULL AND work.created_at <= %(now)s - member.wait THEN 'stuck'
                 WHEN work.outcome = '' THEN NULL
                 WHEN work.outcome = 'failed' AND work.origin <> 'portal' AND work.started_at IS NULL
                      AND work.finished_at >= member.window_end THEN 'missed'
                 WHEN backup.status = 'FAILED' AND backup.status_info ~* %(words)s THEN 'missed'
                 WHEN work.outcome IS NULL AND backup.status IS NULL THEN 'absent' END AS kind
        FROM member
        LEFT JOIN LATERAL (
            SELECT o.outcome, o.phase, o.origin, o.started_at, o.created_at, o.finished_at
            FROM vprotect_bridge_operation o
            WHERE o.machine_id = member.id AND o.tenant_id = member.tenant AND o.kind = 'backup'
                AND o.created_at >= member.since - interval '3 days'
                AND (o.outcome = '' OR o.created_at >= member.since OR o.finished_at >= member.since)
            ORDER BY o.outcome = '' DESC, o.created_at DESC LIMIT 1) work ON true
        LEFT JOIN LATERAL (
            SELECT b.status, b.status_info FROM vprotect_bridge_backup b
            WHERE b.machine_id = member.id AND b.tenant_id = member.tenant AND b.sort_at >= member.since
            ORDER BY b.sort_at DESC LIMIT 1) backup ON true
        WHERE member.is_good IS NOT TRUE
    )
    SELECT plan, id, members, is_known, kind FROM fate WHERE kind IS NOT NULL ORDER BY id
"""
# vProtect's own words for a window that passed (API reference, 7.7).
_WINDOW_WORDS = "window passed|not started"


def _fates(runs: Iterable[Run]) -> list[Fate]:
    runs = list(runs)
    if not runs:
        return []
    given: dict[str, Any] = {
        "plans": [run.plan for run in runs],
        "tenants": [run.tenant for run in runs],
        "policies": [run.policy_guid for run in runs],
        "since": [run.since for run in runs],
        "due": [run.here + GRACE for run in runs],
        "ends": [run.window and run.here + run.window - SLACK for run in runs],
        "waits": [run.wait for run in runs],
        "now": timezone.now(),
        "words": _WINDOW_WORDS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_FATES, given)
        return [Fate(*row) for row in cursor.fetchall()]


def _judge(missed: Missed, run: Run, absent: list[Fate]) -> list[int]:
    """Concludes what is proved; returns the machines whose histories have to be read before the rest is."""
    unknown = [fate.machine for fate in absent if not fate.is_known]
    members = absent[0].members
    if len(absent) < members:
        for fate in absent:
            if fate.is_known:
                missed.found[run.plan, fate.machine, Kind.SKIPPED] = _details(run)
        missed.doubtful |= {(run.plan, machine) for machine in unknown}
        return unknown
    still_to_prove = min(ENOUGH_TO_PROVE, members) - (len(absent) - len(unknown))
    if still_to_prove > 0:
        missed.doubtful |= {(run.plan, None), *((run.plan, fate.machine) for fate in absent)}
        return unknown[:still_to_prove]
    missed.found[run.plan, None, Kind.NEVER_FIRED] = _details(run) | {"machines": members}
    return []


def _details(run: Run) -> dict[str, Any]:
    ends_at = run.window_ends_at
    window = {"window_ends_at": ends_at.isoformat()} if ends_at else {}
    return {"run_at": run.at.isoformat(), **window}


def _ask_for(machines: list[int]) -> None:
    if machines:
        Machine.across_tenants.filter(pk__in=machines, backups_wanted_at=None).update(backups_wanted_at=timezone.now())
