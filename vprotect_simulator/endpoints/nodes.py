"""Nodes, which do the work (API reference, 6.5 and 18)."""

from __future__ import annotations

from vprotect_simulator.calls import Call, Reply, Route, filter_values, listed
from vprotect_simulator.names import Row
from vprotect_simulator.reading import found
from vprotect_simulator.state import State


def list_nodes(state: State, call: Call) -> Reply:
    """With `backup-to-be-restored` those that can read one of its copies."""
    rows = list(state.nodes.values())
    for guid in filter_values(state, call, "backup-to-be-restored"):
        copies = found(state.backups, guid)["backupLocations"]
        holding = {copy["backupDestination"]["guid"] for copy in copies if copy["status"]["name"] == "PRESENT"}
        rows = [row for row in rows if holding & set(row["_destinations"])]
    return listed(state, call, [_seen(state, row) for row in rows])


def _seen(state: State, node: Row) -> Row:
    """A node that works reports every minute."""
    return {**node, "lastSeen": state.clock.now_ms() // 60_000 * 60_000}


ROUTES = (Route("GET", "/nodes", list_nodes),)
