"""What vProtect does with time: tasks start, run, end and follow one another (API reference, 7 and 21).

Nothing runs in the background. Whoever looks calls `catch_up`, which lets everything happen, in its order, that is
due by the clock. Durations are divided by the speed; the clock is not touched.
"""

from __future__ import annotations

import random
from typing import Any

from vprotect_simulator.names import Row, enum, new_guid, reference
from vprotect_simulator.state import State

BYTES_PER_SECOND = 120 * 1024**2
SHORTEST, LONGEST = 40, 900
FAILURES = {
    "EXPORT": "Snapshot could not be created: not enough space on storage ssd-pool-2 at hv-03.internal",
    "STORE": "Backup destination is not assigned to the node",
}


class Refused(Exception):
    """Answered with this status and message; nothing was made."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


# ── Time ─────────────────────────────────────────────────────────────────────


def catch_up(state: State) -> bool:
    """Lets happen what is due; True if anything did."""
    now, moved = state.clock.now_ms(), False
    while event := _next_event(state, now):
        moment, action, row = event
        action(state, row, moment)
        moved = True
    return _forget_finished(state, now) or moved


def _next_event(state: State, now: int) -> tuple[int, Any, Row] | None:
    """The earliest due event; of several at the same moment, ends come before beginnings."""
    events: list[tuple[int, int, Any, Row]] = []
    running = [task for task in state.tasks.values() if _is(task, "RUNNING")]
    events += [(task["_ends_at"], 0, _end, task) for task in running if task["_ends_at"] is not None]
    events += [(promise["at"], 1, _keep_promise, promise) for promise in state.promises]
    queued = [task for task in state.tasks.values() if _is(task, "QUEUED")]
    if len(running) < state.settings.max_running and (first := _first_to_start(state, queued)):
        events.append(first)
    events += [(t["_window_end"], 3, _miss_window, t) for t in queued if t["_window_end"] is not None]
    due = [event for event in events if event[0] <= now]
    if not due:
        return None
    moment, _rank, action, row = min(due, key=lambda event: event[:2])
    return moment, action, row


def _first_to_start(state: State, queued: list[Row]) -> tuple[int, int, Any, Row] | None:
    """Higher priority first, then who waits longest (duty 20)."""
    ready = [task for task in queued if task["_ready_at"] is not None]
    if not ready:
        return None
    moment = max(min(task["_ready_at"] for task in ready), state.slot_free_at)
    able = [task for task in ready if task["_ready_at"] <= moment]
    return moment, 2, _start, min(able, key=lambda task: (-task["priority"], task["_made_at"]))


def _is(task: Row, state_name: str) -> bool:
    return task["state"]["name"] == state_name


def _life(state: State, seconds: float) -> int:
    """Milliseconds that this many seconds of life take at the set speed."""
    return max(int(seconds * 1000 / state.settings.speed), 1)


# ── A backup ─────────────────────────────────────────────────────────────────


def request_backup(state: State, vm: Row, wish: Row) -> Row:
    """Makes an EXPORT task and its backup, both QUEUED (duties 16–18). Returns the task.

    `wish`: backup_type, destination (row or None), priority, window_start, window_end (epoch ms or None),
    retry_count, origin ("USER" or "SCHEDULE").
    """
    now = state.clock.now_ms()
    made_type, parent = _possible_type(state, vm, wish["backup_type"])
    origin = {"guid": "svc-account", "name": "portal-svc", "type": enum(wish.get("origin", "USER"))}
    backup: Row = {
        "guid": new_guid(),
        "status": enum("QUEUED"),
        "type": enum(made_type),
        "size": 0,
        "backupTime": now,
        "protectedEntity": reference(vm, "VM"),
        "parentBackup": parent and {"guid": parent["guid"], "name": _backup_name(vm)},
        "sourceProject": vm.get("project"),
        "backupLocations": [],
        "taskTimeStats": {},
        "originEntity": origin,
        "warnings": [],
        "warningsPresent": False,
        "hidden": False,
        "name": _backup_name(vm),
        "_destination": wish["destination"] and wish["destination"]["guid"],
    }
    state.backups[backup["guid"]] = backup
    return _queue(
        state,
        "EXPORT",
        vm,
        backup,
        backupType=enum(wish["backup_type"]),
        priority=wish["priority"],
        windowStart=_truncated(state, wish["window_start"]),
        windowEnd=_truncated(state, wish["window_end"]),
        retryCount=wish["retry_count"],
        originEntity=origin,
        tenantId=wish.get("tenant_id"),
        _window_end=wish["window_end"],
        _ready_at=max(now + _life(state, state.settings.queue_seconds), wish["window_start"] or 0),
    )


def _possible_type(state: State, vm: Row, wanted: str) -> tuple[str, Row | None]:
    """INCREMENTAL needs an incremental schedule in the policy and an earlier backup to stand on."""
    if wanted != "INCREMENTAL":
        return "FULL", None
    policy = state.policies.get((vm.get("vmBackupPolicy") or {}).get("guid", ""))
    has_schedule = policy is not None and "INCREMENTAL" in policy["_schedule_types"]
    if not has_schedule and state.settings.incremental_without_schedule == "refuse":
        raise Refused(400, "No incremental schedule is assigned to the policy of the virtual machine")
    base = newest_success(state, vm["guid"])
    return ("INCREMENTAL", base) if has_schedule and base else ("FULL", None)


def newest_success(state: State, vm_guid: str) -> Row | None:
    good = [
        backup
        for backup in state.backups.values()
        if backup["protectedEntity"]["guid"] == vm_guid and backup["status"]["name"] in {"SUCCESS", "PARTIAL_SUCCESS"}
    ]
    return max(good, key=lambda backup: backup["snapshotTime"], default=None)


def _truncated(state: State, moment: int | None) -> int | None:
    unit = {"none": 1, "s": 1000, "min": 60_000}.get(state.settings.marker_truncation)
    return None if moment is None or unit is None else moment // unit * unit


def _backup_name(vm: Row) -> str:
    return f"{vm['name']} - backup"


# ── Tasks ────────────────────────────────────────────────────────────────────


def _queue(state: State, kind: str, vm: Row, backup: Row, **members: Any) -> Row:
    destination = state.destinations.get(backup["_destination"] or "")
    task: Row = {
        "guid": new_guid(),
        "type": enum(kind),
        "state": enum("QUEUED"),
        "progress": 0.0,
        "protectedEntity": reference(vm, "VM"),
        "protectedEntityDisplayName": vm["name"],
        "backup": reference(backup),
        "backupDestination": destination and reference(destination),
        "hypervisor": vm.get("hypervisor"),
        "hypervisorManager": vm.get("hvManager"),
        "_made_at": state.clock.now_ms(),
        "_ends_at": None,
        **members,
    }
    state.tasks[task["guid"]] = task
    state.made_tasks.append(
        {"guid": task["guid"], "type": kind, "vm": vm["guid"], "backup": backup["guid"], "at": task["_made_at"]}
        | {"windowStart": task.get("windowStart"), "windowEnd": task.get("windowEnd")}
    )
    return task


def _start(state: State, task: Row, at: int) -> None:
    vm = state.vms.get(task["protectedEntity"]["guid"])
    if vm and vm.get("_behaviour", {}).get(task["type"]["name"]) == "hang_in_queue":
        task["_ready_at"] = None
        return
    backup = state.backups[task["backup"]["guid"]]
    node = next(iter(state.nodes.values()), None)
    task.update(state=enum("RUNNING"), startTime=at, node=node and reference(node))
    waited = at - task["_made_at"]
    backup["taskTimeStats"]["queuedExportTime" if _is_export(task) else "queuedStoreTime"] = waited
    if _is_export(task):
        backup["status"] = enum("INPROGRESS")
        backup["snapshotTime"] = at
    task["_fails"] = _reason_to_fail(state, task, vm)
    task["_ends_at"] = at + _life(state, 10 if task["_fails"] else _seconds_needed(vm, backup))
    if vm and vm.get("_behaviour", {}).get(task["type"]["name"]) == "hang":
        task["_ends_at"] = None


def _is_export(task: Row) -> bool:
    return task["type"]["name"] == "EXPORT"


def _seconds_needed(vm: Row | None, backup: Row) -> float:
    size = backup_size(vm, backup["type"]["name"]) if vm else 0
    return min(max(size / BYTES_PER_SECOND, SHORTEST), LONGEST)


def backup_size(vm: Row, backup_type: str) -> int:
    """The first tenth of a full backup, about, is what changes in a day."""
    full = int(vm.get("_disk_bytes", 8 * 1024**3))
    return full if backup_type == "FULL" else full * random.Random(vm["guid"]).randint(4, 12) // 100  # noqa: S311


def _reason_to_fail(state: State, task: Row, vm: Row | None) -> str:
    kind = task["type"]["name"]
    if vm is None or (_is_export(task) and vm["present"] is False):
        return "Virtual machine is not present"
    destination = state.destinations.get(state.backups[task["backup"]["guid"]]["_destination"] or "")
    if kind == "STORE" and destination is not None and not is_usable(destination, vm):
        return FAILURES["STORE"]
    behaviour = vm.get("_behaviour", {})
    if behaviour.get(kind) == "fail":
        return behaviour.get("reason") or FAILURES[kind]
    return ""


def is_usable(destination: Row, vm: Row) -> bool:
    """Whether the nodes that work for this machine can write there."""
    platform = (vm.get("hvmType") or vm.get("hvType") or {}).get("name", "")
    return platform not in destination.get("_not_for", [])


def _end(state: State, task: Row, at: int) -> None:
    backup = state.backups[task["backup"]["guid"]]
    member = "exportTime" if _is_export(task) else "storeTime"
    backup["taskTimeStats"][member] = at - task["startTime"]
    if task["_fails"]:
        _fail(state, task, at, task["_fails"])
        return
    size = backup_size(state.vms[task["protectedEntity"]["guid"]], backup["type"]["name"])
    verb = "exported" if _is_export(task) else "stored"
    summary = f"Backup of VM: {task['protectedEntity']['name']} (size: {size // 1024**2} MiB) {verb}."
    task.update(state=enum("FINISHED"), finishTime=at, progress=100.0, statusInfo=summary)
    if _is_export(task):
        gap = _life(state, state.settings.gap_seconds)
        _promise(state, at + gap, "store", backup["guid"], priority=task["priority"])
    else:
        _complete(state, backup, at, size)
    state.slot_free_at = at


def _complete(state: State, backup: Row, at: int, size: int) -> None:
    vm = state.vms[backup["protectedEntity"]["guid"]]
    destination = state.destinations.get(backup["_destination"] or "")
    backup.update(
        status=enum("SUCCESS"),
        size=size,
        statusInfo=f"Backup of VM: {vm['name']} (size: {size // 1024**2} MiB) stored.",
        taskDurationTime=sum(backup["taskTimeStats"].values()),
        backupLocations=[location(backup, destination)] if destination else [],
    )
    note_success(vm, backup)


def location(backup: Row, destination: Row, status: str = "PRESENT") -> Row:
    return {
        "guid": new_guid(),
        "backup": reference(backup),
        "snapshotTime": backup["snapshotTime"],
        "backupDestination": reference(destination),
        "backupDestinationType": destination["type"],
        "roleType": enum("PRIMARY"),
        "status": enum(status),
        "type": backup["type"],
        "retentionHint": enum("STANDARD_RETENTION"),
    }


def note_success(vm: Row, backup: Row) -> None:
    """The machine's own row follows its newest success (duty 16)."""
    vm["lastBackup"] = backup["snapshotTime"]
    vm["lastSuccessfulBackupSize"] = backup["size"]
    vm["restorable"] = True
    if backup["type"]["name"] == "FULL":
        vm["lastSuccessfulFullBackupSize"] = backup["size"]
        vm["lastSuccessfulFullBackup"] = reference(backup)
    else:
        vm["lastSuccessfulIncBackup"] = reference(backup)
    if vm.get("vmBackupPolicy"):
        vm["backupUpToDate"] = True


def _fail(state: State, task: Row, at: int, reason: str) -> None:
    task.update(state=enum("FAILED"), finishTime=at, statusInfo=reason, _ends_at=None)
    vm, backup = state.vms.get(task["protectedEntity"]["guid"]), state.backups[task["backup"]["guid"]]
    if task.get("retryCount", 0) > 0 and vm is not None:
        _repeat(state, task, vm, backup, at)
    else:
        _fail_backup(state, backup, reason)
    state.slot_free_at = at


def _repeat(state: State, task: Row, vm: Row, backup: Row, at: int) -> None:
    """A copy with a new GUID and one repetition less (duty 22)."""
    again = ("backupType", "priority", "windowStart", "windowEnd", "originEntity", "_window_end")
    members = {name: task[name] for name in again if name in task}
    ready = at + _life(state, state.settings.queue_seconds)
    backup["status"] = enum("QUEUED")
    copy = _queue(state, task["type"]["name"], vm, backup, **members, retryCount=task["retryCount"] - 1)
    copy.update(_made_at=at, _ready_at=ready)


def _fail_backup(state: State, backup: Row, reason: str) -> None:
    backup.update(status=enum("FAILED"), statusInfo=reason)
    vm = state.vms.get(backup["protectedEntity"]["guid"])
    if vm is not None:
        vm["lastBackup"] = backup.get("snapshotTime") or backup["backupTime"]


def _miss_window(state: State, task: Row, at: int) -> None:
    """Still QUEUED at windowEnd (duty 19)."""
    task["retryCount"] = 0
    _fail(state, task, at, "Window passed: the task was not started in time")


# ── What happens later by itself ─────────────────────────────────────────────


def _promise(state: State, at: int, what: str, backup_guid: str, **members: Any) -> None:
    state.promises.append({"at": at, "what": what, "backup": backup_guid, **members})


def _keep_promise(state: State, promise: Row, at: int) -> None:
    state.promises.remove(promise)
    backup = state.backups.get(promise["backup"])
    if backup is None:
        return
    if promise["what"] == "store":
        vm = state.vms.get(backup["protectedEntity"]["guid"])
        if vm is None:
            _fail_backup(state, backup, "Virtual machine is not present")
            return
        task = _queue(state, "STORE", vm, backup, priority=promise["priority"], retryCount=0, _window_end=None)
        task.update(_made_at=at, _ready_at=at + _life(state, state.settings.queue_seconds))
        task.update(backupType=backup["type"], originEntity=backup["originEntity"])
    else:
        _fail_backup(state, backup, promise["reason"])


# ── Cancelling and forgetting ────────────────────────────────────────────────


def cancel(state: State, task: Row, status_info: str) -> None:
    """The state flips at once; the backup ends FAILED a little later (API reference, 6.8)."""
    if not _is(task, "QUEUED") and not _is(task, "RUNNING"):
        raise Refused(409, f"Task is already {task['state']['name']}")
    now = state.clock.now_ms()
    task.update(state=enum("CANCELLED"), finishTime=now, statusInfo=status_info, _ends_at=None)
    _promise(state, now + _life(state, 10), "fail", task["backup"]["guid"], reason=status_info)
    state.slot_free_at = now


def remove(state: State, task: Row) -> None:
    """A queued or finished task goes; a cancelled one is forced out; a running one must be cancelled first."""
    if _is(task, "RUNNING"):
        raise Refused(409, "Task is running: cancel it first")
    if _is(task, "QUEUED"):
        _fail_backup(state, state.backups[task["backup"]["guid"]], "Task removed")
    del state.tasks[task["guid"]]


def _forget_finished(state: State, now: int) -> bool:
    """Finished tasks vanish after the task retention; their backups stay (duty 24)."""
    oldest = now - int(state.settings.task_retention * 1000)
    old = [guid for guid, task in state.tasks.items() if task.get("finishTime") is not None]
    old = [guid for guid in old if state.tasks[guid]["finishTime"] <= oldest]
    for guid in old:
        del state.tasks[guid]
    return bool(old)


def progress_of(task: Row, now: int) -> float:
    """Percent with a fraction; a task that hangs stays where it is."""
    if not _is(task, "RUNNING"):
        return task["progress"]
    if task["_ends_at"] is None:
        return 42.5
    total = max(task["_ends_at"] - task["startTime"], 1)
    return round(min(max((now - task["startTime"]) * 100 / total, 0), 99.9), 1)
