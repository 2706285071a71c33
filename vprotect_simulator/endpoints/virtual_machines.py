"""Virtual machines (API reference, 5)."""

from __future__ import annotations

from vprotect_simulator.calls import Call, Filters, Reply, Route, filtered, found, listed, of_tenant
from vprotect_simulator.names import VM_DETAILS, to_wire
from vprotect_simulator.state import State

FILTERS: Filters = {"uuid": lambda _state, vm: [vm["uuid"]]}


def list_vms(state: State, call: Call) -> Reply:
    rows = of_tenant(state, call, "/virtual-machines", state.vms.values(), lambda _state, vm: vm["_tenant_values"])
    return listed(state, call, filtered(state, call, rows, FILTERS), hidden=VM_DETAILS)


def get_vm(state: State, call: Call, guid: str) -> Reply:
    return Reply(200, to_wire(found(state.vms, guid)))


ROUTES = (
    Route("GET", "/virtual-machines", list_vms),
    Route("GET", "/virtual-machines/{guid}", get_vm),
)
