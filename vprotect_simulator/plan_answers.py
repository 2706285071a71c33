"""What is answered about schedules, policies and rules: rows of lists, and details (API reference, 10–12)."""

from __future__ import annotations

from vprotect_simulator import machines, snapshots
from vprotect_simulator.firing import DAY_MS
from vprotect_simulator.names import Row, guid_of, reference, without
from vprotect_simulator.plans import backups_of, members_of, rules_of, rules_with
from vprotect_simulator.state import State


def schedule_answer(state: State, schedule: Row) -> Row:
    """Old rows of a database may have times of day below 0 or beyond a day; a setting makes all like that (10.2)."""
    off = {"day": 0, "negative": -DAY_MS, "over": DAY_MS}[state.settings.hour_reading]
    shown = {**schedule}
    if "hour" in schedule:
        shown["hour"] = schedule["hour"] + off
    else:
        hours = {name: schedule["interval"][name] + off for name in ("startHour", "endHour")}
        shown["interval"] = {**schedule["interval"], **hours}
    backup_rules, snapshot_rules = rules_with(state, schedule), snapshots.rules_with(state, schedule)
    policies = [state.policies[rule["_policy"]] for rule in backup_rules]
    policies += [state.snapshot_policies[rule["_policy"]] for rule in snapshot_rules]
    rules = [reference(rule) for rule in (*backup_rules, *snapshot_rules)]
    return {**shown, "rules": rules, "policies": [reference(policy) for policy in policies]}


def policy_row(state: State, policy: Row, *, is_extended: bool = False) -> Row:
    """Less than the details: no machines, and only the mode of the automatic assignment (11.3)."""
    rules, members = rules_of(state, policy), members_of(state, policy)
    guids = dict.fromkeys(rule["_destination"] for rule in rules if rule["_destination"])
    return {
        **without(policy, "autoAssignSettings"),
        "autoAssignMode": policy["autoAssignSettings"]["mode"],
        "ruleCount": len(rules),
        "vmCount": len(members),
        "averageBackupSize": _average_size(members),
        "backupDestinations": [reference(state.destinations[guid]) for guid in guids],
        "ruleBackupDestinations": _flattened(rules) if state.dialect == "current" else None,
        "rules": [rule_answer(state, rule) for rule in rules] if _shows_rules(state, is_extended) else None,
    }


def _with_guid(rule: Row, item: Row) -> Row:
    """Each has a GUID of its own, which follows from the rule, the place and its role."""
    destination, role = item["backupDestination"]["guid"], item["roleType"]["name"]
    return {"guid": guid_of(f"rule-destination/{rule['guid']}/{destination}/{role}"), **item}


def _flattened(rules: list[Row]) -> list[Row]:
    """Those of all its rules in one list; who reads it asks each for its `backupDestination`."""
    return [_with_guid(rule, item) for rule in rules for item in rule["ruleBackupDestinations"]]


def _shows_rules(state: State, is_extended: bool) -> bool:
    return is_extended or state.dialect == "classic"


def policy_answer(state: State, policy: Row) -> Row:
    members = members_of(state, policy)
    return {
        **policy,
        "vms": machines.vm_rows(state, members),
        "rules": [rule_answer(state, rule) for rule in rules_of(state, policy)],
        "averageBackupSize": _average_size(members),
    }


def _average_size(members: list[Row]) -> int:
    return sum(vm["lastSuccessfulBackupSize"] for vm in members) // max(len(members), 1)


def rule_answer(state: State, rule: Row) -> Row:
    policy = state.policies[rule["_policy"]]
    shown = {
        **rule,
        "policy": reference(policy),
        "schedules": [reference(state.schedules[guid]) for guid in rule["_schedules"]],
    }
    if state.dialect == "classic":
        return {**shown, "backupDestinations": [reference(state.destinations[guid]) for guid in rule["_destinations"]]}
    backups = len(backups_of(state, rule))
    return {
        **shown,
        "ruleBackupDestinations": [_with_guid(rule, item) for item in rule["ruleBackupDestinations"]],
        "markedForDeletion": rule.get("markedForDeletion", False),
        "daysToKeepRetentionLock": max(
            (i["daysToKeepRetentionLock"] for i in rule["ruleBackupDestinations"]), default=0
        ),
        "schedulesCount": len(rule["_schedules"]),
        "vmCount": len(members_of(state, policy)),
        "backupCount": backups,
        "removable": not backups,
    }
