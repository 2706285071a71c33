"""The wishes that make tasks (API reference, 6.3–6.9)."""

from __future__ import annotations

from typing import Any

from vprotect_simulator import backups, inventory, plans, reading, restores, snapshots
from vprotect_simulator.calls import Call, Reply, Route
from vprotect_simulator.endpoints.tasks import shown
from vprotect_simulator.engine import Refused
from vprotect_simulator.names import Row, enum_name, to_wire
from vprotect_simulator.reading import found
from vprotect_simulator.state import State

# ── Backing up ───────────────────────────────────────────────────────────────


def export(state: State, call: Call) -> Reply:
    """One task and one backup for each machine (API reference, 6.3)."""
    body = call.object()
    vms = _machines(state, body)
    if any(not vm["present"] for vm in vms) and state.settings.absent_machine == "refuse":
        raise Refused(400, "Virtual machine is not present")
    wish = _read_export(body)
    wishes = [(vm, {**wish, **_place(state, body, vm)}) for vm in vms]
    tasks = [shown(state, backups.request_backup(state, *one)) for one in wishes]
    return Reply(201, _shaped(state.settings.answer_shape, to_wire(tasks)))


def _machines(state: State, body: Row) -> list[Row]:
    if body.get("protectedEntityType") is not None and enum_name(body["protectedEntityType"]) != "VM":
        raise Refused(400, "protectedEntityType must be VM")
    if not (entities := reading.items(body, "protectedEntities")):
        raise Refused(400, "protectedEntities must not be empty")
    return [found(state.vms, entity) for entity in entities]


def _read_export(body: Row) -> Row:
    start, end = reading.moment(body, "windowStart"), reading.moment(body, "windowEnd")
    if start is not None and end is not None and end <= start:
        raise Refused(400, "windowEnd must be after windowStart")
    return {
        "backup_type": reading.choice(body, "backupType", ("FULL", "INCREMENTAL"))["name"],
        "priority": reading.number(body, "priority", least=0, most=100, default=50),
        "window_start": start,
        "window_end": end,
        "retry_count": reading.number(body, "retryCount", least=0, default=0),
        "tenant_id": reading.text(body, "tenantId"),
    }


def _place(state: State, body: Row, vm: Row) -> Row:
    """Classic names the destination; in the current dialect it is the rule's (API reference, 2).

    A call for several machines names the rules of all their policies: each is backed up by the first of its own.
    """
    if state.dialect == "classic":
        return {"destination": found(state.destinations, body.get("backupDestination"))}
    rules = [found(state.rules, item) for item in reading.items(body, "rules")]
    if not rules:
        raise Refused(400, "rules must not be empty")
    policy = plans.policy_of(state, vm)
    own = [rule for rule in rules if policy and rule["_policy"] == policy["guid"]]
    rule = min(own or rules, key=lambda rule: rule["position"])
    if rule["_destination"] is None:
        raise Refused(400, "The rule has no active backup destination")
    return {"destination": state.destinations[rule["_destination"]], "rule": rule["guid"]}


def _shaped(shape: str, tasks: list[Row]) -> Any:
    """The four shapes of an answer (API reference, 6.3)."""
    named = [{"guid": task["guid"], "name": task["protectedEntity"]["name"]} for task in tasks]
    batch = {"successful": named, "unsuccessful": [], "tasks": tasks}
    return {"array": tasks, "object": tasks[0], "batch": batch, "empty": None}[shape]


# ── Restoring ────────────────────────────────────────────────────────────────


def restore_and_import(state: State, call: Call) -> Reply:
    """One object: the RESTORE task; the IMPORT task appears later by itself (API reference, 6.4)."""
    task = shown(state, restores.request_restore(state, call.object(), call.first("project-uuid")))
    shape = state.settings.answer_shape
    return Reply(201, _shaped("object" if shape == "array" else shape, to_wire([task])))


def restore_to_node(state: State, call: Call) -> Reply:
    return Reply(201, to_wire(shown(state, restores.request_restore_to_node(state, call.object()))))


# ── Snapshots, deleting, looking what there is ───────────────────────────────


def take_snapshots(state: State, call: Call) -> Reply:
    body = call.object()
    rule, vms = found(state.snapshot_rules, body.get("rule")), _machines(state, body)
    priority = reading.number(body, "priority", least=0, most=100, default=50)
    origin = backups.requester(state)
    tasks = [snapshots.request_snapshot(state, vm, rule, priority, origin) for vm in vms]
    return _all(state, tasks)


def delete_machine(state: State, call: Call) -> Reply:
    """An empty array means that the entry was deleted at once, as there was nothing but it (API reference, 6.8)."""
    vm = found(state.vms, call.object().get("value"))
    return _all(state, inventory.request_deletion(state, vm, backups.requester(state)))


def sync_inventory(state: State, call: Call) -> Reply:
    body = call.object()
    named = [*reading.items(body, "hypervisorManagers"), *reading.items(body, "hypervisors")]
    if not named:
        raise Refused(400, "hypervisorManagers or hypervisors must not be empty")
    targets = [found(state.targets, item) for item in named]
    return _all(state, [inventory.request_sync(state, target, backups.requester(state)) for target in targets])


def _all(state: State, tasks: list[Row]) -> Reply:
    return Reply(201, to_wire([shown(state, task) for task in tasks]))


ROUTES = (
    Route("POST", "/tasks/export", export),
    Route("POST", "/tasks/restore-and-import", restore_and_import),
    Route("POST", "/tasks/restore", restore_to_node),
    Route("POST", "/tasks/vm-snapshot", take_snapshots),
    Route("POST", "/tasks/snapshot", take_snapshots, "classic"),
    Route("POST", "/tasks/delete", delete_machine),
    Route("POST", "/tasks/inventory-sync", sync_inventory),
)
