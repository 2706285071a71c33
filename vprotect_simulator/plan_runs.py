"""What happens at the moment of a schedule: an EXPORT for every machine of every policy behind it (7.7, duty 27)."""

from __future__ import annotations

from vprotect_simulator import engine, plans, snapshots
from vprotect_simulator.backups import request_backup
from vprotect_simulator.names import Row, reference
from vprotect_simulator.state import State


def _fire(state: State, made: Row, at: int) -> None:
    # A clock that jumps over a year would otherwise drag a year of finished tasks along.
    engine.forget_finished(state, at)
    schedule = state.schedules[made["schedule"]]
    schedule["lastRun"] = at
    for rule in plans.rules_with(state, schedule):
        policy = state.policies[rule["_policy"]]
        if _backs_up(state, policy, rule):
            _queue_backups(state, schedule, policy, rule, at)
    for rule in snapshots.rules_with(state, schedule):
        _queue_snapshots(state, schedule, rule, at)
    plans.plan_next_firing(state, schedule, at)


engine.PROMISES["fire"] = _fire


def _backs_up(state: State, policy: Row, rule: Row) -> bool:
    """A rule without a destination never does (20, trap 19); a policy that is switched off rests (11.2)."""
    is_effective = rule in plans.effective_rules(state, policy)
    return is_effective and policy.get("active", True) and rule["_destination"] is not None


def _queue_snapshots(state: State, schedule: Row, rule: Row, at: int) -> None:
    policy = state.snapshot_policies[rule["_policy"]]
    if rule["active"] and policy["active"]:
        for vm in snapshots.members_of(state, policy):
            snapshots.request_snapshot(state, vm, rule, policy["priority"], reference(schedule, "SCHEDULE"), at)


def _queue_backups(state: State, schedule: Row, policy: Row, rule: Row, at: int) -> None:
    length = schedule.get("startWindowLength")
    wish = {
        "backup_type": schedule["backupType"]["name"],
        "destination": state.destinations[rule["_destination"]],
        "priority": policy["priority"],
        "window_start": at,
        "window_end": None if length is None else at + length,
        "retry_count": policy.get("backupRetryCount", 0),
        "schedule": schedule,
        "rule": rule["guid"],
    }
    for vm in plans.members_of(state, policy):
        if vm["present"] or state.settings.absent_machine == "fail":
            request_backup(state, vm, wish, at)
