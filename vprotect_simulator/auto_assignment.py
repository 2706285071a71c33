"""Which machines a policy would take or leave by tags, names, clusters and projects (API reference, 11.1, 11.2)."""

from __future__ import annotations

import regex

from vprotect_simulator.engine import Refused
from vprotect_simulator.names import Row, enum, reference, referred_guid
from vprotect_simulator.state import State

# One that is tried for ever would hold up everybody: the state is locked meanwhile.
SECONDS_FOR_A_NAME = 0.5
REASONS = {"ASSIGN": "MATCHES_SETTINGS", "REMOVE": "DOES_NOT_MATCH_SETTINGS"}


def assignment_changes(state: State, policy: Row, members: list[Row]) -> list[Row]:
    """Rows of a preview. A machine that is in another policy is not taken away from it."""
    settings = policy["autoAssignSettings"]
    mode = settings["mode"]["name"]
    if mode == "DISABLED":
        return []
    fitting = [vm for vm in state.vms.values() if vm["present"] and _fits(settings, vm)]
    new = [vm for vm in fitting if vm.get("vmBackupPolicy") is None]
    changes = [_change(vm, "ASSIGN", "Matches the settings of the automatic assignment") for vm in new]
    if mode == "ASSIGN_AND_REMOVE":
        gone = [vm for vm in members if vm not in fitting]
        changes += [_change(vm, "REMOVE", "Does not match the settings of the automatic assignment") for vm in gone]
    return changes


def _change(vm: Row, kind: str, reason: str) -> Row:
    why = {"name": REASONS[kind], "description": reason}
    return {"protectedEntity": reference(vm, "VM"), "changeType": enum(kind), "changeReason": why}


def _fits(settings: Row, vm: Row) -> bool:
    """Anything that is included, unless something excludes it."""
    tags, name = set(vm.get("tags", [])), vm["name"]
    is_excluded = tags & set(settings.get("excludeTags", [])) or _is_like(name, settings.get("excludeRegExps", []))
    is_included = (
        tags & set(settings.get("includeTags", []))
        or _is_like(name, settings.get("includeRegExps", []))
        or referred_guid(vm.get("hvCluster")) in map(referred_guid, settings.get("hvClusters", []))
        or referred_guid(vm.get("project")) in map(referred_guid, settings.get("projects", []))
    )
    return bool(is_included) and not is_excluded


def _is_like(name: str, patterns: list[str]) -> bool:
    try:
        return any(regex.fullmatch(pattern, name, timeout=SECONDS_FOR_A_NAME) for pattern in patterns)
    except regex.error:
        raise Refused(400, "A regular expression of the automatic assignment is not valid") from None
    except TimeoutError:
        raise Refused(400, "A regular expression of the automatic assignment takes too long") from None
