"""Hypervisors, their managers, clusters and storages: where a backup may be restored to (API reference, 13)."""

from __future__ import annotations

from vprotect_simulator import restores
from vprotect_simulator.calls import Call, Filters, Reply, Route, filter_values, filtered, found, listed
from vprotect_simulator.names import without
from vprotect_simulator.state import State

OF_TARGET: Filters = {
    "hypervisor-manager": lambda _state, row: [row["_target"]],
    "hypervisor": lambda _state, row: [row["_target"]],
}


def list_managers(state: State, call: Call) -> Reply:
    """Display text is `url` here and `host` there; neither list has a usable name (20, trap 24)."""
    return _targets(state, call, "url", is_manager=True)


def list_hypervisors(state: State, call: Call) -> Reply:
    return _targets(state, call, "host", is_manager=False)


def _targets(state: State, call: Call, text: str, *, is_manager: bool) -> Reply:
    rows = [row for row in state.targets.values() if row["_is_manager"] == is_manager]
    for guid in filter_values(state, call, "backup-to-be-restored"):
        allowed = restores.allowed_targets(state, found(state.backups, guid))
        rows = [row for row in rows if row in allowed]
    return listed(state, call, [{**without(row, "name"), text: row["name"]} for row in rows])


def list_clusters(state: State, call: Call) -> Reply:
    return listed(state, call, filtered(state, call, state.clusters.values(), OF_TARGET))


def list_storages(state: State, call: Call) -> Reply:
    return listed(state, call, filtered(state, call, state.storages.values(), OF_TARGET))


ROUTES = (
    Route("GET", "/hypervisor-managers", list_managers),
    Route("GET", "/hypervisors", list_hypervisors),
    Route("GET", "/hypervisor-clusters", list_clusters),
    Route("GET", "/hypervisor-storages", list_storages),
)
