"""Tasks: what runs and what ran, and how it is stopped and cleared away (API reference, 6.1, 6.2 and 6.8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from vprotect_simulator import engine
from vprotect_simulator.calls import Call, Filters, Reply, Route, filtered, guid_in, listed, name_in, of_tenant, only
from vprotect_simulator.engine import Refused
from vprotect_simulator.names import Row, enum_name, to_wire
from vprotect_simulator.reading import found
from vprotect_simulator.state import State

# The guide and the newer reference spell the machine differently (20, trap 5).
ENTITY = {"classic": "protectedEntity", "current": "protected-entity"}
FILTERS: Filters = {
    "backup": guid_in("backup"),
    "restore-job": lambda _state, task: [task.get("_job")],
    "schedule": guid_in("originEntity"),
    "state": name_in("state"),
    "states": name_in("state"),
    "type": name_in("type"),
    "parent-task": guid_in("parentTask"),
    "workflow-execution": guid_in("workflowExecution"),
    "backup-destination": guid_in("backupDestination"),
    "hypervisor": guid_in("hypervisor"),
    "hypervisor-manager": guid_in("hypervisorManager"),
    "node": guid_in("node"),
    "storage-provider": guid_in("storageProvider"),
    "mounted-backup-assigned": only(lambda _state, task: "_mount" in task),
}
FINISHED = {"FINISHED", "FAILED", "CANCELLED"}


def list_tasks(state: State, call: Call) -> Reply:
    rows = of_tenant(state, call, "/tasks", state.tasks.values(), _tenant_values)
    filters = {**FILTERS, ENTITY[state.dialect]: guid_in("protectedEntity")}
    return listed(state, call, [shown(state, row) for row in filtered(state, call, rows, filters)])


def _tenant_values(state: State, task: Row) -> Iterable[Any]:
    vm = state.vms.get((task.get("protectedEntity") or {}).get("guid", ""))
    return vm["_tenant_values"] if vm else []


def shown(state: State, task: Row) -> Row:
    return {**task, "progress": engine.progress_of(task, state.clock.now_ms())}


def get_task(state: State, call: Call, guid: str) -> Reply:
    return Reply(200, to_wire(shown(state, found(state.tasks, guid))))


# ── Stopping and clearing away ───────────────────────────────────────────────


def change_task_state(state: State, call: Call, guid: str) -> Reply:
    task, body = found(state.tasks, guid), call.object()
    if enum_name(body.get("state")) != "CANCELLED":
        raise Refused(400, "A task can only be cancelled")
    engine.cancel(state, task, str(body.get("statusInfo") or "Canceled by user"))
    return Reply(200, to_wire(shown(state, task)))


def delete_task(state: State, call: Call, guid: str) -> Reply:
    engine.remove(state, found(state.tasks, guid))
    return Reply(204)


def delete_all_finished(state: State, call: Call) -> Reply:
    return clear_finished(state, lambda _task: True)


def delete_all_finished_and_queued(state: State, call: Call) -> Reply:
    return _clear(state, lambda task: task["state"]["name"] != "RUNNING")


def delete_all_running(state: State, call: Call) -> Reply:
    """They are cancelled first: nobody asks what each of them was doing, or for whom."""
    for task in list(state.tasks.values()):
        if task["state"]["name"] == "RUNNING":
            engine.cancel(state, task, "Canceled by user")
            engine.remove(state, task)
    return Reply(204)


def clear_finished(state: State, is_wanted: Callable[[Row], bool]) -> Reply:
    return _clear(state, lambda task: task["state"]["name"] in FINISHED and is_wanted(task))


def _clear(state: State, is_wanted: Callable[[Row], bool]) -> Reply:
    for task in [task for task in state.tasks.values() if is_wanted(task)]:
        engine.remove(state, task)
    return Reply(204)


ROUTES = (
    Route("GET", "/tasks", list_tasks),
    Route("GET", "/tasks/{guid}", get_task),
    Route("PUT", "/tasks/{guid}/state", change_task_state),
    Route("DELETE", "/tasks/{guid}", delete_task),
    Route("DELETE", "/tasks/all-finished", delete_all_finished),
    Route("DELETE", "/tasks/all-finished-and-queued", delete_all_finished_and_queued),
    Route("DELETE", "/tasks/all-running", delete_all_running),
)
