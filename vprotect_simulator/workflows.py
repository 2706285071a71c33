"""Workflow executions: one row for each operation of a user, out of the tasks that are still there (6.10)."""

from __future__ import annotations

from vprotect_simulator import engine
from vprotect_simulator.names import Row, enum
from vprotect_simulator.state import State

DEFINITIONS = {
    "EXPORT": "BACKUP",
    "STORE": "BACKUP",
    "RESTORE": "RESTORE",
    "IMPORT": "RESTORE",
    "MOUNT": "RESTORE",
    "INDEX": "INVENTORY_SYNC",
}
ONGOING = {"QUEUED", "INPROGRESS"}


def executions(state: State) -> list[Row]:
    """What they are called and how their steps are named is not known (22, unknown 9): we say what the tasks are."""
    of_workflow: dict[str, list[Row]] = {}
    for task in state.tasks.values():
        of_workflow.setdefault(task["workflowExecution"]["guid"], []).append(task)
    return [_execution(state, guid, tasks) for guid, tasks in of_workflow.items()]


def _execution(state: State, guid: str, tasks: list[Row]) -> Row:
    """A task that was repeated counts once, as its newest copy."""
    first, last = tasks[0], tasks[-1]
    newest = list({task["type"]["name"]: task for task in tasks}.values())
    state_name = _state(state, newest)
    now = state.clock.now_ms()
    kind = first["type"]["name"]
    destinations = {task["backupDestination"]["guid"]: task["backupDestination"] for task in tasks if _stores(task)}
    return {
        "guid": guid,
        "state": enum(state_name),
        "definitionName": enum(DEFINITIONS.get(kind, kind)),
        "currentStep": last["type"],
        "averageProgress": 100.0 if state_name == "FINISHED" else _progress(newest, now),
        "protectedEntity": first.get("protectedEntity"),
        "backupDestinations": list(destinations.values()),
        "originEntity": first.get("originEntity"),
        "priority": last["priority"],
        "startTime": first.get("startTime"),
        "finishTime": None if state_name == "RUNNING" else last.get("finishTime"),
    }


def _stores(task: Row) -> bool:
    return task.get("backupDestination") is not None


def _progress(tasks: list[Row], now: int) -> float:
    """Two tasks make a whole, also before the second is there."""
    has_second = tasks[0]["type"]["name"] in {"EXPORT", "RESTORE"} and len(tasks) == 1
    done = sum(engine.progress_of(task, now) for task in tasks) / (len(tasks) + has_second)
    return round(done, 1)


def _state(state: State, tasks: list[Row]) -> str:
    states = {task["state"]["name"] for task in tasks}
    if states & {"QUEUED", "RUNNING"}:
        return "RUNNING"
    for final in ("CANCELLED", "FAILED"):
        if final in states:
            return final
    backup = state.backups.get((tasks[0].get("backup") or {}).get("guid", ""), {})
    job = state.restore_jobs.get(tasks[0].get("_job") or "")
    followed = job or backup
    if followed and followed["status"]["name"] in ONGOING:
        return "RUNNING"
    return "FINISHED_WITH_WARNINGS" if backup.get("warningsPresent") and not job else "FINISHED"
