"""Backups: EXPORT, a gap, STORE; the backup's own entry tells how it ended (API reference, 7.2–7.4)."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

from vprotect_simulator import engine, machines, plans, retention, snapshots
from vprotect_simulator.engine import Refused, life
from vprotect_simulator.names import Row, enum, guid_of, new_guid, reference
from vprotect_simulator.state import State

BYTES_PER_SECOND = 120 * 1024**2
SHORTEST, LONGEST = 40, 900
NO_SPACE = "Snapshot could not be created: not enough space on storage ssd-pool-2 at hv-03.internal"
NOT_ASSIGNED = "Backup destination is not assigned to the node"
GOOD = {"SUCCESS", "PARTIAL_SUCCESS"}


def request_backup(state: State, vm: Row, wish: Row, at: int | None = None) -> Row:
    """Makes an EXPORT task and its backup, both QUEUED (duties 16–18). Returns the task.

    `wish`: backup_type, destination (row or None), priority, window_start, window_end (epoch ms or None),
    retry_count; of a schedule also the schedule's row and the rule's GUID. `at`: when, if not now.
    """
    now = state.clock.now_ms() if at is None else at
    name = backup_name(vm, now)
    made_type, parent = _possible_type(state, vm, wish["backup_type"])
    schedule, rule = wish.get("schedule"), state.rules.get(wish.get("rule") or "")
    origin = reference(schedule, "SCHEDULE") if schedule else requester(state)
    backup: Row = {
        "guid": new_guid(),
        "status": enum("QUEUED"),
        "type": enum(made_type),
        "size": 0,
        "backupTime": now,
        "protectedEntity": reference(vm, "VM"),
        "parentBackup": parent and reference(parent),
        "sourceProject": vm.get("project"),
        "backupLocations": [],
        "taskTimeStats": {},
        "originEntity": origin,
        "warnings": [],
        "warningsPresent": False,
        "hidden": False,
        "name": name,
        "vmExportImportMode": vm.get("vmExportImportMode"),
        "backupRule": rule and reference(rule),
        "_rule": wish.get("rule"),
        "_destination": wish["destination"] and wish["destination"]["guid"],
        "_platform": platform_of(vm),
    }
    state.backups[backup["guid"]] = backup
    return _queue(
        state,
        "EXPORT",
        vm,
        backup,
        now,
        backupType=enum(wish["backup_type"]),
        priority=wish["priority"],
        windowStart=_truncated(state, wish["window_start"]),
        windowEnd=_truncated(state, wish["window_end"]),
        retryCount=wish["retry_count"],
        originEntity=origin,
        tenantId=wish.get("tenant_id"),
        _window_end=wish["window_end"],
        _ready_at=max(now + life(state, state.settings.queue_seconds), wish["window_start"] or 0),
    )


def _possible_type(state: State, vm: Row, wanted: str) -> tuple[str, Row | None]:
    """INCREMENTAL needs an incremental schedule in the policy and an earlier backup to stand on (20, trap 11)."""
    if wanted != "INCREMENTAL":
        return "FULL", None
    has_schedule = plans.has_schedule(state, vm, "INCREMENTAL")
    if not has_schedule and state.settings.incremental_without_schedule == "refuse":
        raise Refused(400, "No incremental schedule is assigned to the policy of the virtual machine")
    base = newest_success(state, vm["guid"])
    if has_schedule and base and snapshots.has_base(state, vm):
        return "INCREMENTAL", base
    return "FULL", None


def is_held(backup: Row) -> bool:
    """Whether there is, or may soon be, something to restore from."""
    return backup["status"]["name"] in {*GOOD, "QUEUED", "INPROGRESS"}


def newest_success(state: State, vm_guid: str) -> Row | None:
    good = [
        backup
        for backup in state.backups.values()
        if backup["protectedEntity"]["guid"] == vm_guid and backup["status"]["name"] in GOOD
    ]
    return max(good, key=lambda backup: backup["snapshotTime"], default=None)


def _truncated(state: State, moment: int | None) -> int | None:
    unit = {"none": 1, "s": 1000, "min": 60_000}.get(state.settings.marker_truncation)
    return None if moment is None or unit is None else moment // unit * unit


def backup_name(vm: Row, at: int) -> str:
    """References to a backup end in its date (API reference, 5.1)."""
    return f"{vm['name']} - {datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M}"


def requester(state: State) -> Row:
    """Who is logged in, as the origin of what it asks for."""
    return {"guid": guid_of("user/service-account"), "name": state.login, "type": enum("USER")}


def _queue(state: State, kind: str, vm: Row, backup: Row, at: int, **members: Any) -> Row:
    destination = state.destinations.get(backup["_destination"] or "")
    node = next(iter(nodes_for(state, platform_of(vm), destination)), None)
    here = {
        "_node": node and node["guid"],
        "backupDestination": destination and reference(destination),
        "hypervisor": vm.get("hypervisor"),
        "hypervisorManager": vm.get("hvManager"),
    }
    return engine.queue(state, kind, vm, backup, at, **here, **members)


class _BackupTask:
    """What EXPORT and STORE have in common. `_queued` and `_worked` name the times of `taskTimeStats`."""

    _queued: str
    _worked: str

    def start(self, state: State, task: Row, at: int) -> None:
        _backup_of(state, task)["taskTimeStats"][self._queued] = at - task["_made_at"]

    def seconds_needed(self, state: State, task: Row) -> float:
        return min(max(_size_to_be(state, task) / BYTES_PER_SECOND, SHORTEST), LONGEST)

    def fail(self, state: State, task: Row, at: int, reason: str) -> None:
        """Repeated by a copy with a new GUID for as long as repetitions are left (duty 22)."""
        vm, backup = _vm_of(state, task), _backup_of(state, task)
        if task["retryCount"] <= 0 or vm is None:
            _fail_backup(state, backup, reason)
            return
        again = ("backupType", "priority", "windowStart", "windowEnd", "originEntity", "_window_end")
        members = {name: task[name] for name in again if name in task}
        backup["status"] = enum("QUEUED")
        _queue(state, task["type"]["name"], vm, backup, at, **members, retryCount=task["retryCount"] - 1)


class Export(_BackupTask):
    _queued, _worked = "queuedExportTime", "exportTime"

    def start(self, state: State, task: Row, at: int) -> None:
        super().start(state, task, at)
        _backup_of(state, task).update(
            status=enum("INPROGRESS"), snapshotTime=at, _node=(task["node"] or {}).get("guid")
        )

    def reason_to_fail(self, state: State, task: Row) -> str:
        vm = _vm_of(state, task)
        if vm is None or vm["present"] is False:
            return "Virtual machine is not present"
        return _ordered_failure(state, task, NO_SPACE)

    def finish(self, state: State, task: Row, at: int) -> str:
        backup = _backup_of(state, task)
        backup["taskTimeStats"][self._worked] = at - task["startTime"]
        gap = life(state, state.settings.gap_seconds)
        engine.promise(state, at + gap, "store", backup=backup["guid"], priority=task["priority"])
        return f"{_summary(state, task)} exported."


class Store(_BackupTask):
    _queued, _worked = "queuedStoreTime", "storeTime"

    def reason_to_fail(self, state: State, task: Row) -> str:
        vm = _vm_of(state, task)
        destination = state.destinations.get(_backup_of(state, task)["_destination"] or "")
        if vm is not None and destination is not None and not is_usable(state, destination, vm):
            return NOT_ASSIGNED
        return _ordered_failure(state, task, NOT_ASSIGNED)

    def finish(self, state: State, task: Row, at: int) -> str:
        backup = _backup_of(state, task)
        backup["taskTimeStats"][self._worked] = at - task["startTime"]
        summary = f"{_summary(state, task)} stored."
        destination = state.destinations.get(backup["_destination"] or "")
        backup.update(
            status=enum("SUCCESS"),
            size=_size_to_be(state, task),
            statusInfo=summary,
            taskDurationTime=sum(backup["taskTimeStats"].values()),
            effectiveBackupSize=_size_to_be(state, task),
            effectiveBackupObjectsCount=1,
            _disks=[disk["guid"] for disk in machines.backed_up_disks(state, backup["protectedEntity"]["guid"])],
            backupLocations=[location(backup, *copy) for copy in _copies(state, backup, destination)],
        )
        if vm := _vm_of(state, task):
            note_success(state, vm, backup)
            retention.clean_machine(state, vm["guid"], at)
        return summary


engine.STORIES |= {"EXPORT": Export(), "STORE": Store()}


def _store(state: State, made: Row, at: int) -> None:
    """The second task, after the gap in which nothing is active."""
    backup = state.backups.get(made["backup"])
    vm = state.vms.get(backup["protectedEntity"]["guid"]) if backup else None
    if backup is None:
        return
    if vm is None:
        _fail_backup(state, backup, "Virtual machine is not present")
        return
    members = {"backupType": backup["type"], "originEntity": backup["originEntity"], "priority": made["priority"]}
    _queue(state, "STORE", vm, backup, at, **members)


engine.PROMISES["store"] = _store


def _backup_of(state: State, task: Row) -> Row:
    return state.backups[task["backup"]["guid"]]


def _vm_of(state: State, task: Row) -> Row | None:
    return state.vms.get(task["protectedEntity"]["guid"])


def _size_to_be(state: State, task: Row) -> int:
    vm = _vm_of(state, task)
    return backup_size(state, vm, _backup_of(state, task)["type"]["name"]) if vm else 0


def _summary(state: State, task: Row) -> str:
    size = _size_to_be(state, task) // 1024**2
    return f"Backup of VM: {task['protectedEntity']['name']} (size: {size} MiB)"


def _ordered_failure(state: State, task: Row, usual: str) -> str:
    ordered = engine.behaviour(state, task)
    return (ordered.get("reason") or usual) if ordered.get(task["type"]["name"]) == "fail" else ""


def backup_size(state: State, vm: Row, backup_type: str) -> int:
    """The first tenth of a full backup, about, is what changes in a day."""
    full = machines.backed_up_bytes(state, vm)
    return full if backup_type == "FULL" else full * random.Random(vm["guid"]).randint(4, 12) // 100  # noqa: S311


def is_usable(state: State, destination: Row, vm: Row) -> bool:
    """Whether a node that works for this machine can write there."""
    return bool(nodes_for(state, platform_of(vm), destination))


def nodes_for(state: State, platform: str, destination: Row | None) -> list[Row]:
    nodes = [node for node in state.nodes.values() if platform in node["_platforms"]]
    return [node for node in nodes if destination is None or destination["guid"] in node["_destinations"]]


def platform_of(vm: Row) -> str:
    return (vm.get("hvmType") or vm.get("hvType") or {}).get("name", "")


def _copies(state: State, backup: Row, destination: Row | None) -> list[tuple[Row, str]]:
    """Where it is stored, and in which role: on current servers a rule may name a second destination (12.2)."""
    rule = state.rules.get(backup["_rule"] or "") or {}
    others = [item for item in rule.get("ruleBackupDestinations", []) if item["active"]]
    second = [
        state.destinations[i["backupDestination"]["guid"]] for i in others if i["roleType"]["name"] == "SECONDARY"
    ]
    return [(destination, "PRIMARY"), *((other, "SECONDARY") for other in second)] if destination else []


def location(backup: Row, destination: Row, role: str = "PRIMARY") -> Row:
    return {
        "guid": guid_of(f"location/{backup['guid']}/{destination['guid']}"),
        "backup": reference(backup),
        "snapshotTime": backup["snapshotTime"],
        "backupDestination": reference(destination),
        "backupDestinationType": destination["type"],
        "roleType": enum(role),
        "status": enum("PRESENT"),
        "type": backup["type"],
        "retentionHint": enum("STANDARD_RETENTION"),
    }


def note_success(state: State, vm: Row, backup: Row) -> None:
    """The machine's own row follows its newest success (duty 16)."""
    vm["lastBackup"] = backup["snapshotTime"]
    vm["lastSuccessfulBackupSize"] = backup["size"]
    vm["restorable"] = True
    if backup["type"]["name"] == "FULL":
        vm["lastSuccessfulFullBackupSize"] = backup["size"]
        vm["lastSuccessfulFullBackup"] = reference(backup)
    else:
        vm["lastSuccessfulIncBackup"] = reference(backup)
    if plans.has_schedule(state, vm):
        vm["backupUpToDate"] = True
    snapshots.note_stored(state, vm, backup)


def _fail_backup(state: State, backup: Row, reason: str) -> None:
    backup.update(status=enum("FAILED"), statusInfo=reason)
    vm = state.vms.get(backup["protectedEntity"]["guid"])
    if vm is not None:
        vm["lastBackup"] = backup.get("snapshotTime") or backup["backupTime"]
        if backup["originEntity"]["type"]["name"] == "SCHEDULE" and "backupUpToDate" in vm:
            vm["backupUpToDate"] = False
