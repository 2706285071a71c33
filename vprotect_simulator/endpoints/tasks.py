"""Tasks: what runs, what ran, and the wishes that start it (API reference, 6)."""

from __future__ import annotations

from typing import Any

from vprotect_simulator import backups, engine, restores
from vprotect_simulator.calls import (
    Call,
    Filters,
    Reply,
    Route,
    filtered,
    found,
    guid_in,
    listed,
    moment,
    name_in,
    of_tenant,
)
from vprotect_simulator.engine import Refused
from vprotect_simulator.names import Row, enum_name, guid_of, to_wire
from vprotect_simulator.state import State

# The guide and the newer reference spell the machine differently (20, trap 5).
ENTITY = {"classic": "protectedEntity", "current": "protected-entity"}
FILTERS: Filters = {
    "backup": guid_in("backup"),
    "restore-job": lambda _state, task: [task.get("_job")],
    "schedule": guid_in("originEntity"),
    "state": name_in("state"),
    "type": name_in("type"),
}


def list_tasks(state: State, call: Call) -> Reply:
    rows = of_tenant(state, call, "/tasks", state.tasks.values(), _tenant_values)
    filters = {**FILTERS, ENTITY[state.dialect]: guid_in("protectedEntity")}
    return listed(state, call, [shown(state, row) for row in filtered(state, call, rows, filters)])


def _tenant_values(state: State, task: Row) -> list[str]:
    vm = state.vms.get(task["protectedEntity"]["guid"])
    return vm["_tenant_values"] if vm else []


def shown(state: State, task: Row) -> Row:
    return {**task, "progress": engine.progress_of(task, state.clock.now_ms())}


def get_task(state: State, call: Call, guid: str) -> Reply:
    return Reply(200, to_wire(shown(state, found(state.tasks, guid))))


def change_task_state(state: State, call: Call, guid: str) -> Reply:
    task, body = found(state.tasks, guid), call.object()
    if enum_name(body.get("state")) != "CANCELLED":
        raise Refused(400, "A task can only be cancelled")
    engine.cancel(state, task, str(body.get("statusInfo") or "Canceled by user"))
    return Reply(200, to_wire(shown(state, task)))


def delete_task(state: State, call: Call, guid: str) -> Reply:
    engine.remove(state, found(state.tasks, guid))
    return Reply(204)


# ── Backing up ───────────────────────────────────────────────────────────────


def export(state: State, call: Call) -> Reply:
    """One task and one backup for each machine (API reference, 6.3)."""
    wish, vms = _read_export(state, call.object())
    tasks = [shown(state, backups.request_backup(state, vm, wish)) for vm in vms]
    return Reply(201, _shaped(state.settings.answer_shape, to_wire(tasks)))


def _read_export(state: State, body: Row) -> tuple[Row, list[Row]]:
    entities = body.get("protectedEntities")
    if not isinstance(entities, list) or not entities:
        raise Refused(400, "protectedEntities must not be empty")
    vms = [found(state.vms, entity) for entity in entities]
    if any(not vm["present"] for vm in vms) and state.settings.absent_machine == "refuse":
        raise Refused(400, "Virtual machine is not present")
    backup_type = enum_name(body.get("backupType"))
    if backup_type not in {"FULL", "INCREMENTAL"}:
        raise Refused(400, "backupType must be FULL or INCREMENTAL")
    priority = body.get("priority", 50)
    if not isinstance(priority, int) or not 0 <= priority <= 100:
        raise Refused(400, "priority must be from 0 to 100")
    start, end = moment(body, "windowStart"), moment(body, "windowEnd")
    if start is not None and end is not None and end <= start:
        raise Refused(400, "windowEnd must be after windowStart")
    wish = {
        "backup_type": backup_type,
        "destination": _destination_of(state, body),
        "priority": priority,
        "window_start": start,
        "window_end": end,
        "retry_count": body.get("retryCount") or 0,
        "tenant_id": body.get("tenantId"),
    }
    return wish, vms


def _destination_of(state: State, body: Row) -> Row:
    """Classic names the destination; in the current dialect it is the rule's (API reference, 2)."""
    if state.dialect == "current":
        if not body.get("rules"):
            raise Refused(400, "rules must not be empty")
        return state.destinations[guid_of("destination/primary-fs")]
    return found(state.destinations, body.get("backupDestination"))


def _shaped(shape: str, tasks: list[Row]) -> Any:
    """The four shapes of an answer (API reference, 6.3)."""
    named = [{"guid": task["guid"], "name": task["protectedEntity"]["name"]} for task in tasks]
    batch = {"successful": named, "unsuccessful": [], "tasks": tasks}
    return {"array": tasks, "object": tasks[0], "batch": batch, "empty": None}[shape]


# ── Restoring ────────────────────────────────────────────────────────────────


def restore_and_import(state: State, call: Call) -> Reply:
    """One object: the RESTORE task; the IMPORT task appears later by itself (API reference, 6.4)."""
    task = shown(state, restores.request_restore(state, call.object()))
    shape = state.settings.answer_shape
    return Reply(201, _shaped("object" if shape == "array" else shape, to_wire([task])))


def restore_to_node(state: State, call: Call) -> Reply:
    return Reply(201, to_wire(shown(state, restores.request_restore_to_node(state, call.object()))))


ROUTES = (
    Route("GET", "/tasks", list_tasks),
    Route("GET", "/tasks/{guid}", get_task),
    Route("PUT", "/tasks/{guid}/state", change_task_state),
    Route("DELETE", "/tasks/{guid}", delete_task),
    Route("POST", "/tasks/export", export),
    Route("POST", "/tasks/restore-and-import", restore_and_import),
    Route("POST", "/tasks/restore", restore_to_node),
)
