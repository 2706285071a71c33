"""The files and file systems of a backup, as they follow from the disks that were read (API reference, 8.4)."""

from __future__ import annotations

from vprotect_simulator import machines, mounts
from vprotect_simulator.file_tree import file_systems
from vprotect_simulator.names import Row, enum, guid_of, reference, referred_guid
from vprotect_simulator.state import State


def files_of(state: State, backup: Row) -> list[Row]:
    """One for each disk; sizes add up to the backup's. None once its data are gone."""
    there = {copy["status"]["name"] for copy in backup["backupLocations"]}
    if "PRESENT" not in there:
        return []
    disks = _disks(state, backup)
    whole = sum(disk["size"] for disk in disks) or 1
    is_mountable = mounts.mountable(state, backup)
    restores = [job for job in state.restore_jobs.values() if job["backup"]["guid"] == backup["guid"]]
    return [
        {
            "guid": guid_of(f"file/{backup['guid']}/{disk['guid']}"),
            "path": f"/vprotect_data/{backup['guid']}/{disk['name']}.{disk['type']['name'].lower()}",
            "size": backup["size"] * disk["size"] // whole,
            "backupTime": backup["backupTime"],
            "iscsiMountable": is_mountable,
            "mountable": is_mountable,
            "encryption": False,
            "format": disk["type"],
            "restoresTime": max((job["restoreTime"] for job in restores), default=None),
            "vmDisk": reference(disk),
        }
        for disk in disks
    ]


def detailed_files_of(state: State, backup: Row) -> list[Row]:
    """What a restore needs to know of each file beside that."""
    kind = "DISK_INC" if backup["type"]["name"] == "INCREMENTAL" else "DISK"
    storage = _storage_of(state, backup)
    disks = {disk["guid"]: disk for disk in _disks(state, backup)}
    return [
        {
            **file,
            "backupFileType": enum(kind),
            "storageId": storage and storage["uuid"],
            "configPresent": False,
            "vmDisk": {
                **file["vmDisk"],
                "originalStorage": storage and {"guid": storage["guid"], "name": storage["name"]},
                "excludedFromBackup": disks[file["vmDisk"]["guid"]]["excludedFromBackup"],
            },
        }
        for file in files_of(state, backup)
    ]


def formats_of(state: State, backup: Row) -> list[Row]:
    return [enum(name) for name in sorted({file["format"]["name"] for file in files_of(state, backup)})]


def file_systems_of(backup: Row) -> list[Row]:
    """The same as are mounted, with the same GUIDs."""
    machine = backup["protectedEntity"]["name"]
    return [
        {
            "guid": guid_of(f"file-system/{machine}/{one.volume}"),
            "name": one.label or one.volume.rpartition("/")[2],
            "volume": one.volume,
            "size": one.size,
            "type": one.type,
            "label": one.label or None,
        }
        for one in file_systems(machine)
    ]


def _disks(state: State, backup: Row) -> list[Row]:
    """Those that were read then; of one from before anybody asked, those that are read now."""
    vm_guid = backup["protectedEntity"]["guid"]
    if "_disks" in backup:
        return [state.disks[guid] for guid in backup["_disks"] if guid in state.disks]
    return machines.backed_up_disks(state, vm_guid)


def _storage_of(state: State, backup: Row) -> Row | None:
    """All disks lie in the first storage of the machine's platform."""
    vm = state.vms.get(backup["protectedEntity"]["guid"], {})
    target = referred_guid(vm.get("hvManager")) or referred_guid(vm.get("hypervisor"))
    return next((row for row in state.storages.values() if row["_target"] == target), None)
