"""The provider's own policies: nobody's tenantId, one rule, schedules of their own (API reference, 10–12 and 16)."""

from __future__ import annotations

from vprotect_simulator.firing import DAY_MS, DAYS, firing_times
from vprotect_simulator.names import Row, guid_of
from vprotect_simulator.plan_bodies import read_auto_assign_settings, read_policy, read_rule, read_schedule
from vprotect_simulator.plans import plan_next_firing
from vprotect_simulator.retention import USUAL, plan_cleaning
from vprotect_simulator.state import State

HOUR_MS = 3_600_000
_ASSIGNS_NOBODY: Row = {"autoAssignSettings": {"mode": "DISABLED"}}


def lay_out(state: State) -> None:
    add_policy(state, "daily", {"nightly": ("INCREMENTAL", DAYS[:6]), "sundays": ("FULL", DAYS[6:])})
    add_policy(state, "weekly-full", {"saturdays": ("FULL", DAYS[5:6])})
    add_policy(state, "no-schedule", {})
    _add_snapshot_policy(state, "snapshots-of-a-week")
    plan_cleaning(state, state.clock.now_ms())


def add_policy(
    state: State,
    name: str,
    schedules: dict[str, tuple[str, tuple[str, ...]]],
    hour: int = 2,
    stored_in: str = "primary-fs",
) -> None:
    """`schedules`: name → backup type and days; each fires at the same full hour, UTC."""
    policy, rule, destination = guid_of(f"policy/{name}"), guid_of(f"rule/{name}"), guid_of(f"destination/{stored_in}")
    for schedule, (backup_type, days) in schedules.items():
        _add_schedule(state, schedule, backup_type, days, hour)
    wish = {"name": name, "active": True, "priority": 50, "backupRetryCount": 0, **_ASSIGNS_NOBODY}
    state.policies[policy] = {"guid": policy, **read_policy(wish, state)}
    primary = {
        "backupDestination": destination,
        "roleType": "PRIMARY",
        "active": True,
        "daysToKeepRetentionLock": 0,
        "backupRetentionSettings": USUAL,
    }
    wish = {
        "name": "Default",
        "active": True,
        "position": 0,
        "schedules": [guid_of(f"schedule/{schedule}") for schedule in schedules],
        "backupDestinations": [destination],
        "ruleBackupDestinations": [primary],
    }
    state.rules[rule] = {"guid": rule, **read_rule(wish, state, state.dialect, policy)}


def _add_schedule(state: State, name: str, backup_type: str, days: tuple[str, ...], hour: int) -> None:
    guid = guid_of(f"schedule/{name}")
    wish = {
        "name": name,
        "type": "VM_BACKUP",
        "backupType": backup_type,
        "executionType": "TIME",
        "active": True,
        "hour": hour * HOUR_MS,
        "startWindowLength": 6 * HOUR_MS,
        "daysOfWeek": list(days),
    }
    # It sleeps until somebody saves it: what tests find must not depend on the time of day.
    state.schedules[guid] = {"guid": guid, **read_schedule(wish), "_sleeps": True}


def wake_schedules(state: State) -> None:
    """From now on they fire; `lastRun` says when the laid out ones would have fired last."""
    now = state.clock.now_ms()
    for schedule in state.schedules.values():
        schedule.pop("_sleeps", None)
        schedule["lastRun"] = max(firing_times(schedule, now - 40 * DAY_MS, now), default=None)
        plan_next_firing(state, schedule, now)


def _add_snapshot_policy(state: State, name: str) -> None:
    policy, rule = guid_of(f"snapshot-policy/{name}"), guid_of(f"snapshot-rule/{name}")
    state.snapshot_policies[policy] = {
        "guid": policy,
        "name": name,
        "priority": 50,
        "active": True,
        "autoRemoveNonPresent": False,
        "autoAssignSettings": read_auto_assign_settings(_ASSIGNS_NOBODY["autoAssignSettings"]),
    }
    state.snapshot_rules[rule] = {
        "guid": rule,
        "name": "Default",
        "active": True,
        "retentionVersions": 7,
        "retentionDays": 7,
        "_policy": policy,
        "_schedules": [],
    }
