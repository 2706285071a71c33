"""Hypervisors, their managers, and what a restore chooses from there (API reference, 13)."""

from __future__ import annotations

from vprotect_simulator import machines, restores
from vprotect_simulator.calls import Call, Filters, Reply, Route, filter_values, filtered, listed
from vprotect_simulator.names import Row, guid_of, referred_guid, to_wire, without
from vprotect_simulator.reading import found
from vprotect_simulator.restore_targets import allowed_targets
from vprotect_simulator.state import State

OF_TARGET: Filters = {
    "hypervisor-manager": lambda _state, row: [row["_target"]],
    "hypervisor": lambda _state, row: [row["_target"]],
}
SECURITY_GROUPS = ("default", "web", "database")


def list_managers(state: State, call: Call) -> Reply:
    """Display text is `url` here and `host` there; neither list has a usable name (20, trap 24)."""
    rows = _restorable_to(state, call, [row for row in state.targets.values() if row["_is_manager"]])
    return listed(state, call, [{**without(row, "name"), "url": row["name"]} for row in rows])


def list_hypervisors(state: State, call: Call) -> Reply:
    rows = _restorable_to(state, call, [row for row in state.targets.values() if not row["_is_manager"]])
    return listed(state, call, [_host(state, row) for row in rows])


def _restorable_to(state: State, call: Call, rows: list[Row]) -> list[Row]:
    for guid in filter_values(state, call, "backup-to-be-restored"):
        allowed = allowed_targets(state, found(state.backups, guid))
        rows = [row for row in rows if row in allowed]
    return rows


def get_hypervisor(state: State, call: Call, guid: str) -> Reply:
    hosts = {row["guid"]: row for row in state.targets.values() if not row["_is_manager"]}
    return Reply(200, to_wire(_host(state, found(hosts, guid))))


def _host(state: State, row: Row) -> Row:
    vms = [vm for vm in state.vms.values() if (vm.get("hypervisor") or {}).get("guid") == row["guid"]]
    return {**without(row, "name"), "host": row["name"], "vmCount": len(vms)}


def list_clusters(state: State, call: Call) -> Reply:
    return listed(state, call, filtered(state, call, state.clusters.values(), OF_TARGET))


def list_storages(state: State, call: Call) -> Reply:
    return listed(state, call, filtered(state, call, state.storages.values(), OF_TARGET))


def list_flavors(state: State, call: Call) -> Reply:
    return listed(state, call, filtered(state, call, state.flavors.values(), OF_TARGET))


def list_projects(state: State, call: Call) -> Reply:
    return listed(state, call, filtered(state, call, state.projects.values(), OF_TARGET))


# ── Networks ─────────────────────────────────────────────────────────────────


def list_networks(state: State, call: Call) -> Reply:
    return _networks(state, call, is_shared=False)


def list_shared_networks(state: State, call: Call) -> Reply:
    return _networks(state, call, is_shared=True)


def _networks(state: State, call: Call, *, is_shared: bool) -> Reply:
    rows = [row for row in state.networks.values() if row["_is_shared"] == is_shared]
    return listed(state, call, filtered(state, call, rows, OF_TARGET))


def openstack_restore_settings(state: State, call: Call) -> Reply:
    """Which networks and security groups there are to choose from, and which the machine had (2026)."""
    manager, backup = found(state.targets, call.first("hvm-guid")), found(state.backups, call.first("backup-guid"))
    groups = [_security_group(name) for name in SECURITY_GROUPS]
    card = machines.network_card(state, restores.original(state, backup))
    targets = [row for row in state.networks.values() if row["_target"] == manager["guid"]]
    source = {
        **{name: card[name] for name in ("guid", "uuid", "name")},
        "defaultMacAddress": "fa:16:3e:00:00:01",
        "defaultNetworkInternalId": referred_guid(card["network"]),
        "securityGroupsFromBackup": groups[:1],
    }
    section = {
        "securityGroupsFromHypervisorManager": groups,
        "sourceNetworkWithSecurityGroups": [source],
        "targetNetworks": targets,
    }
    return Reply(200, to_wire({"networkSection": section}))


def _security_group(name: str) -> Row:
    return {"guid": guid_of(f"security-group/{name}"), "uuid": guid_of(f"uuid/security-group/{name}"), "name": name}


ROUTES = (
    Route("GET", "/hypervisor-managers", list_managers),
    Route("GET", "/hypervisors", list_hypervisors),
    Route("GET", "/hypervisors/{guid}", get_hypervisor),
    Route("GET", "/hypervisor-clusters", list_clusters),
    Route("GET", "/hypervisor-storages", list_storages),
    Route("GET", "/virtual-machine-flavors", list_flavors),
    Route("GET", "/projects", list_projects),
    Route("GET", "/network", list_networks),
    Route("GET", "/network/shared", list_shared_networks),
    Route("GET", "/openstack/restore-settings", openstack_restore_settings),
    Route("GET", "/openstack/restore-settings/project-restriction", openstack_restore_settings),
)
