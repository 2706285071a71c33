"""What may be restored, and where to: everything that a request is refused for (API reference, 6.4, 13, duty 25)."""

from __future__ import annotations

from typing import Any

from vprotect_simulator import reading
from vprotect_simulator.backups import GOOD
from vprotect_simulator.engine import Refused
from vprotect_simulator.names import Row, referred_guid
from vprotect_simulator.state import State

NEEDS_PROJECT = {"OPENSTACK", "KUBERNETES", "OPENSHIFT"}
DISK_FORMATS = ("PREALLOCATED", "SPARSE")


def usable_backup(state: State, body: Row) -> Row:
    """Named by itself or, on current servers, by one of its copies, which must be there then."""
    copy_guid = referred_guid(body.get("backupLocation")) if state.dialect == "current" else ""
    backup = _with_copy(state, copy_guid) if copy_guid else reading.found(state.backups, body.get("backup"))
    if backup is None:
        raise Refused(404, "Backup with given GUID does not exist")
    there = {copy["guid"] for copy in backup["backupLocations"] if copy["status"]["name"] == "PRESENT"}
    if backup["status"]["name"] not in GOOD or not there or (copy_guid and copy_guid not in there):
        raise Refused(400, "Backup cannot be restored in its present state")
    return backup


def _with_copy(state: State, guid: str) -> Row | None:
    for backup in state.backups.values():
        if any(copy["guid"] == guid for copy in backup["backupLocations"]):
            return backup
    return None


def target_of(state: State, body: Row, backup: Row) -> Row:
    given = [referred_guid(body.get(name)) for name in ("hypervisor", "hypervisorManager")]
    named = [guid for guid in given if guid]
    if len(named) != 1:
        raise Refused(400, "Exactly one of hypervisor and hypervisorManager is required")
    target = state.targets.get(named[0])
    if target is None or target["_is_manager"] != bool(given[1]):
        raise Refused(404, "Target with given GUID does not exist")
    if target not in allowed_targets(state, backup):
        raise Refused(400, "This backup cannot be restored there")
    return target


def allowed_targets(state: State, backup: Row) -> list[Row]:
    """Where a machine of this platform can be made again (`backup-to-be-restored`): managers, or hosts without one."""
    fitting = [target for target in state.targets.values() if target["type"]["name"] == backup.get("_platform")]
    return [target for target in fitting if "hvManager" not in target]


def check_place(state: State, body: Row, target: Row, project_name: str) -> None:
    """Cluster and storage are named by the platform's `uuid`, not by GUID (20, trap 6)."""
    _check_uuid(state.clusters, body, "restoreClusterId", target)
    if target["type"]["name"] != "KVM" or not str(body.get("restoreStorageId")).startswith("/"):  # there also a path
        _check_uuid(state.storages, body, "restoreStorageId", target)
    for item in reading.items(body, "taskFiles"):
        _check_uuid(state.storages, item if isinstance(item, dict) else {}, "storageId", target)
    _check_guid(state.flavors, body.get("restoreVmFlavor"), "restoreVmFlavor", target)
    for item in reading.items(body, "restoredNetworks"):
        network = item.get("network") if isinstance(item, dict) else None
        _check_guid(state.networks, network, "restoredNetworks", target)
    if target["type"]["name"] in NEEDS_PROJECT and not project_name:
        raise Refused(400, "restoreProject is required")
    if target["type"]["name"] == "VCENTER" and not data_center(body):
        raise Refused(400, "dataCenter is required")


def _check_uuid(rows: dict[str, Row], body: Row, name: str, target: Row) -> None:
    wanted = reading.text(body, name)
    here = {row["uuid"] for row in rows.values() if row["_target"] == target["guid"]}
    # The vendor's page and plugin send an empty text for what nobody chose.
    if wanted not in {None, ""} and wanted not in here:
        raise Refused(400, f"{name} is unknown")


def _check_guid(rows: dict[str, Row], named: Any, name: str, target: Row) -> None:
    here = {row["guid"] for row in rows.values() if row["_target"] == target["guid"]}
    if named is not None and referred_guid(named) not in here:
        raise Refused(400, f"{name} is unknown")


def project_name_of(state: State, body: Row, backup: Row, project_uuid: str) -> str:
    """A name or an object says it; current servers also take it from the call, or leave it as it was (6.4)."""
    project = body.get("restoreProject")
    named = project.get("name", "") if isinstance(project, dict) else project or ""
    if named or state.dialect == "classic":
        return str(named)
    of_call = [row["name"] for row in state.projects.values() if row["uuid"] == project_uuid]
    return next(iter(of_call), (backup.get("sourceProject") or {}).get("name", ""))


def data_center(body: Row) -> str | None:
    given = body.get("dataCenter")
    return given.get("name") if isinstance(given, dict) else None


def disk_format(body: Row) -> Row | None:
    if body.get("restoredDiskAllocationFormat") is None:
        return None
    return reading.choice(body, "restoredDiskAllocationFormat", DISK_FORMATS)
