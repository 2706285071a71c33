"""Virtual machines (API reference, 5)."""

from __future__ import annotations

from vprotect_simulator import backups, machines, plans
from vprotect_simulator.calls import Call, Filters, Reply, Route, filtered, guid_in, listed, name_in, of_tenant
from vprotect_simulator.endpoints.policies import replaced
from vprotect_simulator.engine import Refused
from vprotect_simulator.names import Row, enum, reference, to_wire
from vprotect_simulator.reading import found
from vprotect_simulator.state import State

FILTERS: Filters = {
    "uuid": lambda _state, vm: [vm["uuid"]],
    "hypervisor-manager-type": name_in("hvmType"),
    "backupStatus": lambda _state, vm: [machines.protection_of(vm)],
    "policy": guid_in("vmBackupPolicy"),
}


def list_vms(state: State, call: Call) -> Reply:
    return listed(state, call, _wanted(state, call), shaped=lambda rows: machines.vm_rows(state, rows))


def list_detailed_vms(state: State, call: Call) -> Reply:
    return listed(state, call, [machines.vm_details(state, vm) for vm in _wanted(state, call)])


def _wanted(state: State, call: Call) -> list[Row]:
    rows = of_tenant(state, call, "/virtual-machines", state.vms.values(), lambda _state, vm: vm["_tenant_values"])
    return filtered(state, call, rows, FILTERS)


def get_vm(state: State, call: Call, guid: str) -> Reply:
    return Reply(200, to_wire(machines.vm_details(state, found(state.vms, guid))))


def replace_vm_settings(state: State, call: Call, guid: str) -> Reply:
    """A full replace: what is not sent is cleared, the policies too (API reference, 5.3)."""
    vm = found(state.vms, guid)
    vm.update(machines.read_settings(call.object(), state))
    plans.note_plans(state)
    return replaced(state, get_vm(state, call, guid))


def set_ssh_password(state: State, call: Call, guid: str) -> Reply:
    """Kept nowhere: nothing ever answers it."""
    found(state.vms, guid)
    if not isinstance(call.object().get("value"), str):
        raise Refused(400, "value must be text")
    return Reply(204)


def delete_all_non_present(state: State, call: Call) -> Reply:
    """Those that are gone from the platform and have no backup."""
    backed_up = {backup["protectedEntity"]["guid"] for backup in state.backups.values() if backups.is_held(backup)}
    for guid in [vm["guid"] for vm in state.vms.values() if not vm["present"] and vm["guid"] not in backed_up]:
        machines.forget(state, guid)
    return Reply(204)


def incremental_not_possible(state: State, call: Call) -> Reply:
    """Those that are not ready, and why; an empty array means that all are (API reference, 5.5)."""
    entities = call.object().get("entities")
    if not isinstance(entities, list):
        raise Refused(400, "entities must be a list")
    vms = [found(state.vms, entity) for entity in entities]
    not_ready = [vm for vm in vms if not plans.has_schedule(state, vm, "INCREMENTAL")]
    return Reply(200, to_wire([_not_ready(vm) for vm in not_ready]))


def _not_ready(vm: Row) -> Row:
    reason = {**enum("MISSING_INCREMENTAL_SCHEDULER"), "description": "No incremental schedule assigned"}
    return {"virtualMachine": {**reference(vm), "vmBackupPolicy": vm.get("vmBackupPolicy")}, "reasons": [reason]}


# ── Disks ────────────────────────────────────────────────────────────────────


def list_disks(state: State, call: Call) -> Reply:
    of_vm: Filters = {"virtual-machine": lambda _state, disk: [disk["_vm"]]}
    return listed(state, call, filtered(state, call, state.disks.values(), of_vm))


def replace_disk_settings(state: State, call: Call, guid: str) -> Reply:
    """Only whether it is left out of backups; one that is not supported always is (API reference, 5.4)."""
    disk, is_excluded = found(state.disks, guid), call.object().get("excludedFromBackup", False)
    if not isinstance(is_excluded, bool):
        raise Refused(400, "excludedFromBackup must be true or false")
    if not disk["supported"] and not is_excluded:
        raise Refused(400, f"Backup of {disk['type']['description']} is not supported")
    disk["excludedFromBackup"] = is_excluded
    return replaced(state, Reply(200, to_wire(disk)))


ROUTES = (
    Route("GET", "/virtual-machines", list_vms),
    Route("GET", "/virtual-machines/detailed", list_detailed_vms),
    Route("GET", "/virtual-machines/{guid}", get_vm),
    Route("PUT", "/virtual-machines/{guid}/settings", replace_vm_settings),
    Route("PUT", "/virtual-machines/{guid}/ssh-password", set_ssh_password),
    Route("DELETE", "/virtual-machines/all-non-present", delete_all_non_present),
    Route("POST", "/virtual-machines/incremental-not-possible", incremental_not_possible),
    Route("GET", "/virtual-machine-disks", list_disks),
    Route("PUT", "/virtual-machine-disks/{guid}/settings", replace_disk_settings),
)
