"""Snapshots: the base of the next incremental backup, and those of snapshot policies (API reference, 6.7 and 16)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from vprotect_simulator import engine
from vprotect_simulator.engine import Refused
from vprotect_simulator.firing import DAY_MS
from vprotect_simulator.names import Row, enum, guid_of, new_guid, reference, referred_guid
from vprotect_simulator.state import State

SNAPSHOT_SECONDS = 20
NOT_SUPPORTED = "Snapshot could not be created: not enough space on storage ssd-pool-2 at hv-03.internal"


# ── The base of the next incremental ─────────────────────────────────────────


def note_stored(state: State, vm: Row, backup: Row) -> None:
    """Only the newest is kept; what it is called on the machine is `lastStoredSnapshot` (5.2)."""
    if old := vm.get("lastStoredSnapshot"):
        state.snapshots.pop(old["guid"], None)
    guid = guid_of(f"snapshot/{backup['guid']}")
    row = _snapshot(guid, vm, backup["snapshotTime"])
    row |= {"standAlone": False, "lastStoredSnapshotAssignments": [reference(vm)]}
    state.snapshots[guid] = row
    vm["lastStoredSnapshot"] = {"guid": guid, "name": row["_name"]}


def has_base(state: State, vm: Row) -> bool:
    """Without it the next incremental backup becomes a full one."""
    return (vm.get("lastStoredSnapshot") or {}).get("guid") in state.snapshots


def _snapshot(guid: str, vm: Row, at: int) -> Row:
    return {
        "guid": guid,
        "uuid": guid_of(f"uuid/{guid}"),
        "snapshotTime": at,
        "protectedEntity": reference(vm, "VM"),
        "status": enum("PRESENT"),
        "warnings": [],
        "warningsPresent": False,
        "_name": f"{vm['name']} - {datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M}",
    }


# ── Snapshot policies and their rules ────────────────────────────────────────


def rules_of(state: State, policy: Row) -> list[Row]:
    return [rule for rule in state.snapshot_rules.values() if rule["_policy"] == policy["guid"]]


def rules_with(state: State, schedule: Row) -> list[Row]:
    return [rule for rule in state.snapshot_rules.values() if schedule["guid"] in rule["_schedules"]]


def members_of(state: State, policy: Row) -> list[Row]:
    return [vm for vm in state.vms.values() if referred_guid(vm.get("snapshotMgmtPolicy")) == policy["guid"]]


def assign(state: State, policy: Row, members: list[Row]) -> None:
    for vm in members_of(state, policy):
        vm["snapshotMgmtPolicy"] = None
    for vm in members:
        vm["snapshotMgmtPolicy"] = reference(policy)


def delete_policy(state: State, policy: Row) -> None:
    for rule in rules_of(state, policy):
        del state.snapshot_rules[rule["guid"]]
    assign(state, policy, [])
    del state.snapshot_policies[policy["guid"]]


# ── Taking them ──────────────────────────────────────────────────────────────


def request_snapshot(state: State, vm: Row, rule: Row, priority: int, origin: Row, at: int | None = None) -> Row:
    """Makes a SNAPSHOT task. Raises `Refused` when the rule is not of the machine's policy."""
    if rule["_policy"] != referred_guid(vm.get("snapshotMgmtPolicy")):
        raise Refused(400, "The virtual machine is not in the snapshot policy of the rule")
    now = state.clock.now_ms() if at is None else at
    members: dict[str, Any] = {
        "hypervisor": vm.get("hypervisor"),
        "hypervisorManager": vm.get("hvManager"),
        "originEntity": origin,
        "priority": priority,
        "_rule": rule["guid"],
    }
    return engine.queue(state, "SNAPSHOT", vm, None, now, **members)


class Snapshot:
    def seconds_needed(self, state: State, task: Row) -> float:
        return SNAPSHOT_SECONDS

    def reason_to_fail(self, state: State, task: Row) -> str:
        vm = state.vms.get(task["protectedEntity"]["guid"])
        if vm is None or not vm["present"]:
            return "Virtual machine is not present"
        ordered = engine.behaviour(state, task)
        return (ordered.get("reason") or NOT_SUPPORTED) if ordered.get("SNAPSHOT") == "fail" else ""

    def start(self, state: State, task: Row, at: int) -> None:
        """Nothing is there before the end."""

    def finish(self, state: State, task: Row, at: int) -> str:
        vm, rule = state.vms[task["protectedEntity"]["guid"]], state.snapshot_rules.get(task["_rule"])
        snapshot = {**_snapshot(new_guid(), vm, at), "standAlone": True, "_rule": task["_rule"]}
        state.snapshots[snapshot["guid"]] = snapshot
        task["protectedEntitySnapshot"] = {"guid": snapshot["guid"], "name": snapshot["_name"]}
        if rule:
            _retain(state, vm, rule, at)
        return f"Snapshot of VM: {vm['name']} created."

    def fail(self, state: State, task: Row, at: int, reason: str) -> None:
        """Nothing was made."""


engine.STORIES["SNAPSHOT"] = Snapshot()


def _retain(state: State, vm: Row, rule: Row, at: int) -> None:
    """So many versions, and none older than so many days; what a rule does not say does not matter."""
    made = [row for row in state.snapshots.values() if row.get("_rule") == rule["guid"]]
    made = [row for row in made if row["protectedEntity"]["guid"] == vm["guid"] and row["status"]["name"] == "PRESENT"]
    made.sort(key=lambda row: row["snapshotTime"], reverse=True)
    versions, days = rule.get("retentionVersions") or 0, rule.get("retentionDays") or 0
    for place, row in enumerate(made):
        is_too_many = versions and place >= versions
        if is_too_many or (days and row["snapshotTime"] < at - days * DAY_MS):
            row["status"] = enum("REMOVED")
