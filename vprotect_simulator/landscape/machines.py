"""Machines of a landscape, each made from its kind: the row, its disks, its history."""

from __future__ import annotations

import random
from dataclasses import dataclass

from vprotect_simulator.landscape.history import Fate, add_history
from vprotect_simulator.landscape.infrastructure import (
    FLAVORS,
    GIB,
    HOSTS_OF_A_MANAGER,
    MANAGERS,
    OPENSTACK,
    cluster_of,
    host_prefix,
)
from vprotect_simulator.machines import add_disks
from vprotect_simulator.names import Row, enum, guid_of, reference
from vprotect_simulator.state import State

# Whoever is in this policy gets full backups only.
WEEKLY = "weekly-full"


@dataclass(frozen=True)
class Kind:
    """How a machine of a landscape is and fared.

    `days`: how long its history is; `fails`: its last run failed; `listed_under`: a tenantId value that only a
    filtered listing knows, as the row says nothing of it; `key`: what its GUID is made from, if not its name.
    """

    name: str
    platform: str = OPENSTACK
    project: str = ""
    tenant_value: str = ""
    disk_gib: int = 20
    days: int = 30
    policy: str = "daily"
    present: bool = True
    fails: bool = False
    is_overdue: bool = False
    key: str = ""
    listed_under: str = ""
    has_unsupported_disk: bool = False
    snapshot_policy: str = ""


def add_machine(state: State, kind: Kind) -> Row:
    """Adds a machine with its history; the same `kind` makes the same machine on any day."""
    vm = _machine(state, kind)
    state.vms[vm["guid"]] = vm
    add_disks(state, vm, has_unsupported=kind.has_unsupported_disk)
    if kind.days:
        fate = Fate(kind.days, fails=kind.fails, is_overdue=kind.is_overdue, is_always_full=kind.policy == WEEKLY)
        add_history(state, vm, fate)
    if kind.policy and kind.policy != "no-schedule":
        vm["backupUpToDate"] = bool(kind.days) and not kind.is_overdue and not kind.fails
    if not kind.present:
        vm.pop("backupUpToDate", None)
    return vm


def _machine(state: State, kind: Kind) -> Row:
    rng = random.Random(kind.name)  # noqa: S311
    host = state.targets[guid_of(f"host/{_host_name(kind.platform, rng.randint(1, HOSTS_OF_A_MANAGER))}")]
    policy = state.policies.get(guid_of(f"policy/{kind.policy}"))
    snapshot_policy = state.snapshot_policies.get(guid_of(f"snapshot-policy/{kind.snapshot_policy}"))
    project = state.projects.get(guid_of(f"project/{kind.project}"))
    tags = rng.sample(["production", "test", "web", "database", "finance"], k=rng.randint(0, 2))
    return {
        "guid": guid_of(f"vm/{kind.key or kind.name}"),
        "name": kind.name,
        "uuid": guid_of(f"uuid/{kind.key or kind.name}"),
        "type": enum("VM"),
        "present": kind.present,
        **_platform_members(state, kind.platform),
        "hypervisor": reference(host) if kind.present else None,
        "project": project and reference(project),
        "tenantId": kind.tenant_value or None,
        "vmBackupPolicy": policy and reference(policy),
        "snapshotMgmtPolicy": snapshot_policy and reference(snapshot_policy),
        "lastSuccessfulBackupSize": 0,
        "restorable": False,
        "warningsPresent": False,
        "tags": tags,
        "quiesceBeforeSnapshot": False,
        "sshHost": "10.0.0.1",
        "sshUser": "root",
        "vmExportImportMode": enum("DISK_IMAGE_TRANSFER"),
        "_disk_bytes": kind.disk_gib * GIB,
        "_tenant_values": [v for v in (kind.tenant_value, kind.listed_under, project and project["uuid"]) if v],
    }


def _host_name(platform: str, number: int) -> str:
    return f"{host_prefix(platform)}-{number:02d}" if platform in MANAGERS else "kvm-01"


def _platform_members(state: State, platform: str) -> Row:
    """Exactly one of `hvType` and `hvmType`: a stand-alone hypervisor, or a manager with its hosts (5.1)."""
    is_managed = platform in MANAGERS
    flavor = state.flavors[guid_of(f"flavor/{FLAVORS[0]}")] if platform == OPENSTACK else None
    return {
        "hvmType": enum(platform) if is_managed else None,
        "hvType": None if is_managed else enum(platform),
        "hvManager": reference(state.targets[guid_of(f"manager/{platform}")]) if is_managed else None,
        "hvCluster": cluster_of(platform),
        "vmFlavor": flavor and reference(flavor),
        "supportsQuiesceSnapshot": is_managed,
    }
