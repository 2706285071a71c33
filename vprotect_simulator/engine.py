"""What vProtect does with time: tasks start, run, end and follow one another (API reference, 7 and 21).

Nothing runs in the background. Whoever looks calls `catch_up`, which lets everything happen, in its order, that is
due by the clock. Durations are divided by the speed; the clock is not touched. What a task is about is told by its
story (`backups.py`, `restores.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from vprotect_simulator.names import Row, enum, guid_of, new_guid, reference
from vprotect_simulator.state import State


class Refused(Exception):
    """Answered with this status and message; nothing was made."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Story(Protocol):
    """What a kind of task means for the thing that it works on."""

    def reason_to_fail(self, state: State, task: Row) -> str: ...

    def seconds_needed(self, state: State, task: Row) -> float: ...

    def start(self, state: State, task: Row, at: int) -> None: ...

    def finish(self, state: State, task: Row, at: int) -> str:
        """Returns the task's `statusInfo`."""
        ...

    def fail(self, state: State, task: Row, at: int, reason: str) -> None: ...


STORIES: dict[str, Story] = {}
# What happens later by itself, by the name in a promise's `what`.
PROMISES: dict[str, Callable[[State, Row, int], None]] = {}


def promise(state: State, at: int, what: str, **members: Any) -> None:
    state.promises.append({"at": at, "what": what, **members})


# ── Time ─────────────────────────────────────────────────────────────────────


def catch_up(state: State) -> bool:
    """Lets happen what is due; True if anything did."""
    now, moved = state.clock.now_ms(), False
    while event := _next_event(state, now):
        moment, action, row = event
        action(state, row, moment)
        moved = True
    return forget_finished(state, now) or moved


def _next_event(state: State, now: int) -> tuple[int, Any, Row] | None:
    """The earliest due event; of several at the same moment, ends come before beginnings."""
    events: list[tuple[int, int, Any, Row]] = []
    running = [task for task in state.tasks.values() if _is(task, "RUNNING")]
    events += [(task["_ends_at"], 0, _end, task) for task in running if task["_ends_at"] is not None]
    events += [(promise["at"], 1, _keep_promise, promise) for promise in state.promises]
    queued = [task for task in state.tasks.values() if _is(task, "QUEUED")]
    if len(running) < state.settings.max_running and (first := _first_to_start(state, queued)):
        events.append(first)
    windowed = [task for task in queued if task["_window_end"] is not None]
    # A window that had passed when the task was made is missed at that moment, not before it.
    events += [(max(task["_window_end"], task["_made_at"]), 3, _miss_window, task) for task in windowed]
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


def life(state: State, seconds: float) -> int:
    """Milliseconds that this many seconds of life take at the set speed."""
    return max(int(seconds * 1000 / state.settings.speed), 1)


# ── Tasks ────────────────────────────────────────────────────────────────────


def queue(state: State, kind: str, vm: Row | None, backup: Row | None, at: int, **members: Any) -> Row:
    """A new task, which is ready after its time in line. `at`: when it is made.

    `_workflow`: what all tasks of one user's operation have in common (6.10); if not given, the restore job (`_job`)
    or the backup.
    """
    guid = new_guid()
    operation = members.get("_workflow") or members.get("_job") or (backup["guid"] if backup else guid)
    task: Row = {
        "guid": guid,
        "type": enum(kind),
        "state": enum("QUEUED"),
        "progress": 0.0,
        "protectedEntity": vm and reference(vm, "VM"),
        "protectedEntityDisplayName": vm and vm["name"],
        "backup": backup and reference(backup),
        "workflowExecution": {"guid": guid_of(f"workflow/{operation}")},
        "priority": 50,
        "retryCount": 0,
        "_made_at": at,
        "_ready_at": at + life(state, state.settings.queue_seconds),
        "_ends_at": None,
        "_window_end": None,
        **members,
    }
    state.tasks[task["guid"]] = task
    state.made_tasks.append(
        {"guid": guid, "type": kind, "vm": vm and vm["guid"], "backup": backup and backup["guid"], "at": at}
        | {"windowStart": task.get("windowStart"), "windowEnd": task.get("windowEnd")}
        | {"origin": task["originEntity"]["guid"] if "originEntity" in task else None}
    )
    return task


def _story(task: Row) -> Story:
    return STORIES[task["type"]["name"]]


def behaviour(state: State, task: Row) -> Row:
    """How a control call wants this machine's tasks to fare."""
    vm = state.vms.get((task["protectedEntity"] or {}).get("guid", ""))
    return vm.get("_behaviour", {}) if vm else {}


def _start(state: State, task: Row, at: int) -> None:
    ordered = behaviour(state, task).get(task["type"]["name"])
    if ordered == "hang_in_queue":
        task["_ready_at"] = None
        return
    node = state.nodes.get(task.get("_node") or "") or next(iter(state.nodes.values()), None)
    task.update(state=enum("RUNNING"), startTime=at, node=node and reference(node))
    _story(task).start(state, task, at)
    task["_fails"] = _story(task).reason_to_fail(state, task)
    seconds = 10 if task["_fails"] else _story(task).seconds_needed(state, task)
    task["_ends_at"] = None if ordered == "hang" else at + life(state, seconds)


def _end(state: State, task: Row, at: int) -> None:
    if task["_fails"]:
        _fail(state, task, at, task["_fails"])
        return
    summary = _story(task).finish(state, task, at)
    task.update(state=enum("FINISHED"), finishTime=at, progress=100.0, statusInfo=summary)
    state.slot_free_at = at


def _fail(state: State, task: Row, at: int, reason: str) -> None:
    task.update(state=enum("FAILED"), finishTime=at, statusInfo=reason, _ends_at=None)
    _story(task).fail(state, task, at, reason)
    state.slot_free_at = at


def _miss_window(state: State, task: Row, at: int) -> None:
    """Still QUEUED at windowEnd (duty 19)."""
    task["retryCount"] = 0
    _fail(state, task, at, "Window passed: the task was not started in time")


def _keep_promise(state: State, made: Row, at: int) -> None:
    state.promises.remove(made)
    PROMISES[made["what"]](state, made, at)


# ── Cancelling and forgetting ────────────────────────────────────────────────


def cancel(state: State, task: Row, status_info: str) -> None:
    """The state flips at once; what it worked on ends FAILED a little later (API reference, 6.8)."""
    if not _is(task, "QUEUED") and not _is(task, "RUNNING"):
        raise Refused(409, f"Task is already {task['state']['name']}")
    now = state.clock.now_ms()
    task.update(state=enum("CANCELLED"), finishTime=now, statusInfo=status_info, retryCount=0, _ends_at=None)
    promise(state, now + life(state, 10), "stop", task=dict(task), reason=status_info)
    state.slot_free_at = now


def _stop(state: State, made: Row, at: int) -> None:
    _story(made["task"]).fail(state, made["task"], at, made["reason"])


PROMISES["stop"] = _stop


def remove(state: State, task: Row) -> None:
    """A queued or finished task goes; a cancelled one is forced out; a running one must be cancelled first."""
    if _is(task, "RUNNING"):
        raise Refused(409, "Task is running: cancel it first")
    if _is(task, "QUEUED"):
        _story(task).fail(state, {**task, "retryCount": 0}, state.clock.now_ms(), "Task removed")
    del state.tasks[task["guid"]]


def forget_finished(state: State, now: int) -> bool:
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
