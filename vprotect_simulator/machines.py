"""Machines as they are answered: rows of lists and details, disks, network cards (API reference, 5)."""

from __future__ import annotations

from typing import Any

from vprotect_simulator import engine, reading
from vprotect_simulator.names import Row, enum, guid_of, reference, without
from vprotect_simulator.reading import found
from vprotect_simulator.state import State

GIB = 1024**3
# What PUT …/settings writes, each with what it is when it is not sent (5.2 and 5.3).
SETTINGS: dict[str, Any] = {
    "quiesceBeforeSnapshot": False,
    "vmExportImportMode": None,
    "sshHost": None,
    "sshPort": 22,
    "sshUser": None,
    "sshKeyPath": None,
    "credential": None,
    "preSnapCmdExecEnabled": False,
    "preSnapCmdArgs": [],
    "preSnapIgnoredExitCodes": [],
    "preSnapStdErrorHandling": None,
    "postSnapCmdExecEnabled": False,
    "postSnapCmdArgs": [],
    "postSnapIgnoredExitCodes": [],
    "postSnapStdErrorHandling": None,
    "preCommand": None,
    "postCommand": None,
    "baseImageCreationConfig": None,
}
STD_ERROR_HANDLING = ("DONT_IGNORE", "IGNORE_WITH_WARNING", "IGNORE_WITHOUT_WARNING")
EXPORT_IMPORT_MODES = (
    *("DISK_ATTACHMENT", "DISK_IMAGE_TRANSFER", "SSH_TRANSFER", "VM_IMAGE_PLUS_INCREMENTAL_DISKS"),
    *("CHANGED_BLOCK_TRACKING", "EXPORT_STORAGE_REPO", "INHERIT", "DEFAULT"),
)
SETTINGS_CHOICES = {
    "vmExportImportMode": EXPORT_IMPORT_MODES,
    "preSnapStdErrorHandling": STD_ERROR_HANDLING,
    "postSnapStdErrorHandling": STD_ERROR_HANDLING,
}
# What only the details of a machine have.
_DETAILS = (*SETTINGS, "tags", "lastStoredSnapshot")


def vm_row(state: State, vm: Row) -> Row:
    running = [task for task in state.tasks.values() if task["state"]["name"] == "RUNNING"]
    return {**without(vm, *_DETAILS), **_shown(state, vm, running)}


def vm_rows(state: State, vms: list[Row]) -> list[Row]:
    """Like `vm_row`, at the cost of one look at the tasks for all of them."""
    running = [task for task in state.tasks.values() if task["state"]["name"] == "RUNNING"]
    return [{**without(vm, *_DETAILS), **_shown(state, vm, running)} for vm in vms]


def vm_details(state: State, vm: Row) -> Row:
    running = [task for task in state.tasks.values() if task["state"]["name"] == "RUNNING"]
    manager, host = vm.get("hvManager"), vm.get("hypervisor")
    mode, shown = {"vmExportImportMode": enum("DEFAULT")}, _shown(state, vm, running)
    return {
        **SETTINGS,
        **vm,
        **shown,
        "hvManager": manager and {**manager, "url": manager["name"], **mode},
        "hypervisor": host and {**shown["hypervisor"], **({} if manager else mode)},
        "networkInterfaceCards": [network_card(state, vm)],
        "backups": sum(backup["protectedEntity"]["guid"] == vm["guid"] for backup in state.backups.values()),
    }


def _shown(state: State, vm: Row, running: list[Row]) -> Row:
    """What follows from the rest of the state. Newer servers name the project, no `tenantId` (API reference, 2)."""
    mine = [task for task in running if (task.get("protectedEntity") or {}).get("guid") == vm["guid"]]
    now = state.clock.now_ms()
    newer = {"tenantId": None, "hypervisor": _host_with_manager(vm)} if state.dialect == "current" else {}
    return {
        "hypervisor": vm.get("hypervisor"),
        **newer,
        "averageProgress": sum(engine.progress_of(task, now) for task in mine) / len(mine) if mine else None,
        "networks": [reference(network) for network in networks_of(state, vm)[:1]],
        "possibleActions": [enum("WRITE")],
        "protectionStatus": enum(protection_of(vm)),
    }


def _host_with_manager(vm: Row) -> Row | None:
    """Newer pages look for the manager there (5.1)."""
    host, manager = vm.get("hypervisor"), vm.get("hvManager")
    return {**host, "hvManager": without(manager, "name")} if host and manager else host


def forget(state: State, guid: str) -> None:
    """The entry goes, with all that is only about it."""
    state.vms.pop(guid, None)
    for disk in disks_of(state, guid):
        del state.disks[disk["guid"]]
    for snapshot in [row for row in state.snapshots.values() if row["protectedEntity"]["guid"] == guid]:
        del state.snapshots[snapshot["guid"]]


def protection_of(vm: Row) -> str:
    """Up to date, outdated, or without a schedule: the three states of `backupUpToDate` (20, trap 25)."""
    if "backupUpToDate" not in vm:
        return "NO_SCHEDULE"
    return "IS_PROTECTED" if vm["backupUpToDate"] else "NOT_PROTECTED"


# ── Disks and network cards ──────────────────────────────────────────────────


def add_disks(state: State, vm: Row, *, has_unsupported: bool = False) -> None:
    """A small system disk and one for the data, or only one if there is little."""
    size = vm["_disk_bytes"]
    sizes = [16 * GIB, size - 16 * GIB] if size >= 40 * GIB else [size]
    for number, part in enumerate(sizes):
        _add_disk(state, vm, f"disk-{number}", part, "QCOW2")
    if has_unsupported:
        _add_disk(state, vm, "passthrough-lun", 100 * GIB, "DIRECT_LUN", is_supported=False)


def _add_disk(state: State, vm: Row, name: str, size: int, kind: str, *, is_supported: bool = True) -> None:
    guid = guid_of(f"disk/{vm['guid']}/{name}")
    state.disks[guid] = {
        "guid": guid,
        "name": name,
        "uuid": guid_of(f"uuid/disk/{vm['guid']}/{name}"),
        "size": size,
        "present": True,
        "excludedFromBackup": not is_supported,
        "supported": is_supported,
        "type": enum(kind),
        "_vm": vm["guid"],
    }


def disks_of(state: State, vm_guid: str) -> list[Row]:
    return [disk for disk in state.disks.values() if disk["_vm"] == vm_guid]


def backed_up_disks(state: State, vm_guid: str) -> list[Row]:
    return [disk for disk in disks_of(state, vm_guid) if not disk["excludedFromBackup"]]


def backed_up_bytes(state: State, vm: Row) -> int:
    """What a full backup reads."""
    read = backed_up_disks(state, vm["guid"])
    return sum(disk["size"] for disk in read) if read else int(vm.get("_disk_bytes", 8 * GIB))


def networks_of(state: State, vm: Row) -> list[Row]:
    """Those of its platform that are nobody's in particular."""
    target = vm.get("hvManager") or vm.get("hypervisor") or {}
    return [row for row in state.networks.values() if row["_target"] == target.get("guid") and not row["_is_shared"]]


def network_card(state: State, vm: Row) -> Row:
    network = next(iter(networks_of(state, vm)), None)
    return {
        "guid": guid_of(f"card/{vm['guid']}"),
        "uuid": guid_of(f"uuid/card/{vm['guid']}"),
        "name": "eth0",
        "network": network and reference(network),
        "virtualMachine": reference(vm),
    }


# ── Settings ─────────────────────────────────────────────────────────────────


def read_settings(body: Row, state: State) -> Row:
    """Everything that PUT …/settings writes (5.3): the policies too, and what is not sent is cleared."""
    row: Row = {}
    for named, usual in SETTINGS.items():
        value = body.get(named)
        row[named] = usual if value is None else value
        if isinstance(usual, bool):
            row[named] = reading.flag(body, named)
    for named, known in SETTINGS_CHOICES.items():
        if body.get(named) is not None:
            row[named] = reading.choice(body, named, known)
    row["sshPort"] = reading.number({"sshPort": row["sshPort"]}, "sshPort", least=1, most=65535)
    for named, rows in (("vmBackupPolicy", state.policies), ("snapshotMgmtPolicy", state.snapshot_policies)):
        row[named] = reference(found(rows, body[named])) if body.get(named) is not None else None
    return row
