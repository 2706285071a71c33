"""Nodes, which do the work (API reference, 6.5 and 18)."""

from __future__ import annotations

from vprotect_simulator.calls import Call, Reply, Route, filter_values, found, listed
from vprotect_simulator.state import State


def list_nodes(state: State, call: Call) -> Reply:
    """With `backup-to-be-restored` those that can reach it, which is all of them."""
    for guid in filter_values(state, call, "backup-to-be-restored"):
        found(state.backups, guid)
    return listed(state, call, state.nodes.values())


ROUTES = (Route("GET", "/nodes", list_nodes),)
