"""What all landscapes share: projects, destinations, nodes, and the platforms with all that belongs to them.

All GUIDs are made from names (`guid_of`), so that whoever seeds tenants beside it knows them.
"""

from __future__ import annotations

from vprotect_simulator.names import Row, enum, guid_of, reference
from vprotect_simulator.state import State

GIB = 1024**3
PROJECT_UUIDS = {
    "aurora-books": "e5a2c7b64a0d4d1fb0b5f8f0c2b1a910",
    "borealis-clinic": "7b1d0f3c9c5e4b52a1d8f6e4b7c09d21",
    "internal-ops": "0f4e2d1c3b5a69788796a5b4c3d2e1f0",
}
OPENSTACK, RHV, VCENTER, KVM = "OPENSTACK", "RHV", "VCENTER", "KVM"
MANAGERS = {
    OPENSTACK: "https://keystone.example.test:5000/v3",
    RHV: "https://rhvm.example.test/ovirt-engine",
    VCENTER: "https://vcenter.example.test/sdk",
}
KVM_HOST = "kvm-01.example.test"
CLUSTERS = {OPENSTACK: "nova", RHV: "Default", VCENTER: "Compute", KVM: "kvm-01"}
# What the computers below a manager are by themselves.
HOST_TYPES = {OPENSTACK: "KVM", RHV: "KVM", VCENTER: "ESXI"}
HOSTS_OF_A_MANAGER = 4
NETWORKS = {OPENSTACK: ("private", "dmz"), RHV: ("ovirtmgmt",), VCENTER: ("VM Network",), KVM: ("br0",)}
SHARED_NETWORK = "provider-net"
FLAVORS = ("m1.small", "m1.medium", "m1.large")
# A node serves these platforms and can write to these destinations: what no node joins is not usable (14.2).
NODES = {
    "node1": ((OPENSTACK, RHV, VCENTER), ("primary-fs", "offsite-s3")),
    "node2": ((RHV, VCENTER, KVM), ("primary-fs", "archive-tape")),
}


def lay_out(state: State) -> None:
    for name, uuid in PROJECT_UUIDS.items():
        add_project(state, name, uuid)
    for name, kind, capacity, used, is_default in (
        ("primary-fs", "FILESYSTEM", 40_000, 23_500, True),
        ("offsite-s3", "S3", 100_000, 18_200, False),
        ("archive-tape", "ISP", 250_000, 91_000, False),
    ):
        _add_destination(state, name, kind, capacity * GIB, used * GIB, is_default=is_default)
    for number, name in enumerate(NODES, 1):
        _add_node(state, name, f"10.0.0.{number}")
    for platform, url in MANAGERS.items():
        _add_target(state, guid_of(f"manager/{platform}"), url, platform, is_manager=True)
        for number in range(1, HOSTS_OF_A_MANAGER + 1):
            _add_host(state, platform, f"{host_prefix(platform)}-{number:02d}")
    _add_target(state, guid_of("host/kvm-01"), KVM_HOST, KVM, is_manager=False)
    add_mailing_list(state, "operators", ["operator@example.test", "night-shift@example.test"])


def add_project(state: State, name: str, uuid: str) -> Row:
    guid = guid_of(f"project/{name}")
    state.projects[guid] = {"guid": guid, "name": name, "uuid": uuid, "_target": guid_of(f"manager/{OPENSTACK}")}
    return state.projects[guid]


def add_mailing_list(state: State, name: str, recipients: list[str]) -> None:
    guid = guid_of(f"mailing-list/{name}")
    state.mailing_lists[guid] = {"guid": guid, "name": name, "recipients": recipients}


def host_prefix(platform: str) -> str:
    return "compute" if platform == OPENSTACK else platform.lower()


def cluster_of(platform: str) -> Row:
    return {"guid": guid_of(f"cluster/{platform}"), "name": CLUSTERS[platform]}


def _add_destination(state: State, name: str, kind: str, capacity: int, used: int, *, is_default: bool) -> None:
    guid = guid_of(f"destination/{name}")
    state.destinations[guid] = {
        "guid": guid,
        "name": name,
        "type": enum(kind),
        "description": f"{name} of the provider",
        "defaultBackupDestination": is_default,
        "totalAvailableSpace": capacity,
        "totalUsedSpace": used,
        "visibleForAllVms": True,
        "projects": [],
        "nodeConfigs": [{"guid": guid_of(f"node-config/{n}"), "name": n} for n in NODES if name in NODES[n][1]],
    }


def _add_node(state: State, name: str, address: str) -> None:
    guid = guid_of(f"node/{name}")
    platforms, destinations = NODES[name]
    state.nodes[guid] = {
        "guid": guid,
        "name": name,
        "state": enum("ACTIVE"),
        "version": "4.3.0" if state.dialect == "classic" else "7.4.0-27",
        "nodeIP": address,
        "stagingSpace": {"totalSpace": 2000 * GIB, "usedSpace": 340 * GIB},
        "_platforms": list(platforms),
        "_destinations": [guid_of(f"destination/{destination}") for destination in destinations],
    }


def _add_target(state: State, guid: str, name: str, platform: str, *, is_manager: bool) -> None:
    """Where machines can be made again: with a cluster, two storages, networks and flavors (API reference, 13)."""
    state.targets[guid] = {"guid": guid, "name": name, "type": enum(platform), "_is_manager": is_manager}
    if not is_manager:
        state.targets[guid] |= _host_members(state, platform)
    cluster = cluster_of(platform)
    uuid = "nova" if platform == OPENSTACK else guid_of(f"uuid/cluster/{platform}")
    state.clusters[cluster["guid"]] = {**cluster, "uuid": uuid, "_target": guid}
    for storage_name, capacity, used in (("ssd-pool", 2000, 800), ("archive-pool", 8000, 7990)):
        storage = guid_of(f"storage/{platform}/{storage_name}")
        state.storages[storage] = {
            "guid": storage,
            "uuid": guid_of(f"uuid/storage/{platform}/{storage_name}"),
            "name": storage_name,
            "totalAvailableSpace": capacity * GIB,
            "totalUsedSpace": used * GIB,
            "clusters": [cluster],
            "_target": guid,
        }
    for network in NETWORKS[platform]:
        _add_network(state, platform, network, guid, is_shared=False)
    if platform == OPENSTACK:
        _add_network(state, platform, SHARED_NETWORK, guid, is_shared=True)
        for flavor in FLAVORS:
            row = {"guid": guid_of(f"flavor/{flavor}"), "name": flavor, "_target": guid}
            state.flavors[row["guid"]] = row


def _add_network(state: State, platform: str, name: str, target: str, *, is_shared: bool) -> None:
    guid, uuid = guid_of(f"network/{platform}/{name}"), guid_of(f"uuid/network/{platform}/{name}")
    state.networks[guid] = {"guid": guid, "name": name, "uuid": uuid, "_target": target, "_is_shared": is_shared}


def _add_host(state: State, platform: str, name: str) -> None:
    """A computer below a manager: listed, but nothing is restored to it by itself."""
    guid = guid_of(f"host/{name}")
    state.targets[guid] = {
        "guid": guid,
        "name": name,
        "type": enum(HOST_TYPES[platform]),
        "hvManager": {"guid": guid_of(f"manager/{platform}"), "name": MANAGERS[platform]},
        "_is_manager": False,
        **_host_members(state, platform),
    }


def _host_members(state: State, platform: str) -> Row:
    node = next(row for row in state.nodes.values() if platform in row["_platforms"])
    return {
        "cluster": cluster_of(platform),
        "node": reference(node),
        "user": "root",
        "licenseCovered": True,
        "vmExportImportMode": enum("DISK_IMAGE_TRANSFER" if platform == RHV else "DISK_ATTACHMENT"),
    }
