"""Backups (API reference, 8)."""

from __future__ import annotations

from vprotect_simulator import mounts
from vprotect_simulator.calls import Call, Filters, Reply, Route, filtered, found, guid_in, listed, name_in
from vprotect_simulator.names import to_wire, without
from vprotect_simulator.state import State

FILTERS: Filters = {
    "protected-entity": guid_in("protectedEntity"),
    "status": name_in("status"),
    "type": name_in("type"),
    "only-mountable": lambda state, row: [str(mounts.mountable(state, row)).lower()],
}


def list_backups(state: State, call: Call) -> Reply:
    return listed(state, call, filtered(state, call, state.backups.values(), FILTERS), hidden=("name",))


def get_backup(state: State, call: Call, guid: str) -> Reply:
    backup = found(state.backups, guid)
    details = {"mountable": mounts.mountable(state, backup), "iscsiMountable": False}
    return Reply(200, to_wire({**without(backup, "name"), **details}))


ROUTES = (
    Route("GET", "/backups", list_backups),
    Route("GET", "/backups/{guid}", get_backup),
)
