"""Backup destinations (API reference, 14)."""

from __future__ import annotations

from vprotect_simulator import backups
from vprotect_simulator.calls import Call, Reply, Route, listed
from vprotect_simulator.engine import Refused
from vprotect_simulator.names import to_wire
from vprotect_simulator.reading import found
from vprotect_simulator.state import State


def list_destinations(state: State, call: Call) -> Reply:
    return listed(state, call, state.destinations.values())


def usable_destinations(state: State, call: Call) -> Reply:
    """A query disguised as POST: a bare array of machines (API reference, 14.2)."""
    if not isinstance(call.body, list):
        raise Refused(400, "An array of virtual machines is expected")
    vms = [found(state.vms, item) for item in call.body]
    rows = [d for d in state.destinations.values() if all(backups.is_usable(state, d, vm) for vm in vms)]
    return Reply(200, to_wire(rows))


ROUTES = (
    Route("GET", "/backup-destinations", list_destinations),
    Route("POST", "/backup-destinations/usable-for-vms", usable_destinations),
)
