"""What the two generations of vProtect want to be asked differently (API reference, chapter 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vprotect_bridge.client import read
from vprotect_bridge.client.plans import Retention


@dataclass(frozen=True)
class ExportRequest:
    """A backup of one machine. Windows are epoch milliseconds; `rule_guids` only the current dialect knows."""

    vm_guid: str
    backup_type: str
    destination_guid: str
    window_start_ms: int
    window_end_ms: int
    priority: int = 50
    rule_guids: tuple[str, ...] = ()


@dataclass(frozen=True)
class RestoreRequest:
    """A machine made again from a backup (guide, "Restoring specified VM").

    Cluster and storage by the platform's `uuid`, everything else by GUID; an empty `name` keeps the original one.
    Replacing an existing machine is not in it: on OpenStack `overwrite` deletes every machine of that name.
    `location_guid` only the current dialect knows.
    """

    backup_guid: str
    hypervisor_guid: str
    is_manager: bool
    name: str = ""
    cluster_uuid: str = ""
    storage_uuid: str = ""
    project_name: str = ""
    data_center: str = ""
    location_guid: str = ""


@dataclass(frozen=True)
class MountRequest:
    """A backup mounted as it is, all of its file systems below `mount_path` (API reference, 15).

    Classic servers want the node, current ones the location. `unmount_time` is what this server understands by it: a
    moment or a length in milliseconds, None where it knows none.
    """

    backup_guid: str
    mount_path: str
    node_guid: str = ""
    location_guid: str = ""
    unmount_time: int | None = None


# The lists that can be asked for one tenant's alone.
OF_A_TENANT = ("/virtual-machines", "/tasks", "/schedules", "/policies/vm-backup")


class Dialect(Protocol):
    tenant_filters: dict[str, str]
    mounts_by_location: bool

    def export_body(self, request: ExportRequest) -> dict[str, Any]: ...

    def restore_body(self, request: RestoreRequest) -> dict[str, Any]: ...

    # Whether a backup on demand names the rule that says where it goes, and rules say how long backups are kept.
    goes_by_rules: bool

    def mount_body(self, request: MountRequest) -> dict[str, Any]: ...

    def rule_destination(self, guid: str, rule: dict[str, Any], retention: Retention | None = None) -> dict[str, Any]:
        """The members of a rule that say where it stores, out of what it says now; None keeps its retention."""

    def new_policy(self, policy: dict[str, Any], rule: dict[str, Any]) -> dict[str, Any]:
        """The body that makes a policy; `rule` is the one that it shall have."""

    def kept_policy(self, policy: dict[str, Any], rules: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What a PUT of a policy has to say so that it keeps its rules; both as read in detail."""


class Classic:
    """3.8–4.x, the guide."""

    goes_by_rules = False
    tenant_filters = {**dict.fromkeys(OF_A_TENANT, "tenantid"), "/tasks": "tenantId"}
    mounts_by_location = False

    def export_body(self, request: ExportRequest) -> dict[str, Any]:
        return {**_common(request), "backupDestination": {"guid": request.destination_guid}}

    def restore_body(self, request: RestoreRequest) -> dict[str, Any]:
        return _restore(request)

    def mount_body(self, request: MountRequest) -> dict[str, Any]:
        """They unmount after a time of their own (API reference, 2)."""
        source = {"backup": {"guid": request.backup_guid}, "node": {"guid": request.node_guid}}
        return {**source, **_mount(request)}

    def rule_destination(self, guid: str, rule: dict[str, Any], retention: Retention | None = None) -> dict[str, Any]:
        """The first is a plan's, others stay. Retention is the destination's own (API reference, 2)."""
        held = rule.get("backupDestinations")
        others = read.guids(held[1:]) if isinstance(held, list) else ()
        return {"backupDestinations": [{"guid": name} for name in dict.fromkeys((guid, *others))]}

    def new_policy(self, policy: dict[str, Any], rule: dict[str, Any]) -> dict[str, Any]:
        """Rules are made by a call of their own (API reference, 20, trap 18)."""
        return policy

    def kept_policy(self, policy: dict[str, Any], rules: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A PUT leaves its rules alone (API reference, 20, trap 16)."""
        return policy


class Current:
    """5.0–7.x."""

    goes_by_rules = True
    tenant_filters = dict.fromkeys(OF_A_TENANT, "project-uuid")
    mounts_by_location = True

    def export_body(self, request: ExportRequest) -> dict[str, Any]:
        rules = [{"guid": guid} for guid in request.rule_guids]
        return {**_common(request), "rules": rules, "retryCount": 0, "protectedEntityType": "VM", "async": True}

    def restore_body(self, request: RestoreRequest) -> dict[str, Any]:
        location = {"backupLocation": {"guid": request.location_guid}} if request.location_guid else {}
        return {**_restore(request), **location}

    def mount_body(self, request: MountRequest) -> dict[str, Any]:
        unmount = {} if request.unmount_time is None else {"unmountTime": request.unmount_time}
        return {"backupLocation": {"guid": request.location_guid}, **_mount(request), **unmount}

    def rule_destination(self, guid: str, rule: dict[str, Any], retention: Retention | None = None) -> dict[str, Any]:
        """The other destinations stay; a new rule gets what the vendor's pages propose (12.2)."""
        held = rule.get("ruleBackupDestinations") or [_PRIMARY]
        moved = [_stored(guid, item, retention) if _is_primary(item) else item for item in held]
        return {
            "active": rule.get("active", True),
            "position": rule.get("position", 0),
            "ruleBackupDestinations": moved,
        }

    def new_policy(self, policy: dict[str, Any], rule: dict[str, Any]) -> dict[str, Any]:
        """A policy without rules is refused (API reference, 20, trap 18)."""
        return {**_UNTOUCHED, **policy, "rules": [rule]}

    def kept_policy(self, policy: dict[str, Any], rules: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """One that is missing is deleted (20, trap 16); their own details tell more than the policy's."""
        known = {rule["guid"] for rule in rules}
        rows = policy.get("rules") if isinstance(policy.get("rules"), list) else []
        others = [row for row in rows or [] if isinstance(row, dict) and row.get("guid") not in known]
        return {**_UNTOUCHED, **policy, "rules": [*rules, *others]}


def _stored(guid: str, item: dict[str, Any], retention: Retention | None) -> dict[str, Any]:
    """The same with another destination, and with another retention if one is wanted."""
    stored = {**item, "backupDestination": {"guid": guid}}
    if retention is None:
        return stored
    wanted = {
        "retentionKeepLastNFull": retention.full_count,
        "retentionKeepFullNewerThan": retention.full_ms,
        "retentionKeepLastNIncremental": retention.incremental_count,
        "retentionKeepIncrementalNewerThan": retention.incremental_ms,
        "keepLastBackupWhenSourceStillExists": retention.keeps_last,
    }
    settings = item.get("backupRetentionSettings")
    kept = settings if isinstance(settings, dict) else {}
    told = {name: value for name, value in wanted.items() if value is not None}
    return {**stored, "backupRetentionSettings": {**{k: v for k, v in kept.items() if k not in wanted}, **told}}


# What the reference marks as required and no plan is about (11.2).
_UNTOUCHED = {
    "active": True,
    "backupRetryCount": 0,
    "executeAutoAssignmentAfterSavingPolicy": False,
    "dailyReportEnabled": False,
    "disableCleanOldBackups": False,
    "quiesceBeforeSnapshot": False,
}
_DAYS_30_MS = 30 * 24 * 60 * 60 * 1000
_PRIMARY = {
    "roleType": {"name": "PRIMARY"},
    "active": True,
    "daysToKeepRetentionLock": 0,
    "backupRetentionSettings": {
        "retentionKeepLastNFull": 4,
        "retentionKeepFullNewerThan": _DAYS_30_MS,
        "retentionKeepLastNIncremental": 30,
        "retentionKeepIncrementalNewerThan": _DAYS_30_MS,
        "keepLastBackupWhenSourceStillExists": True,
    },
}


def _is_primary(destination: dict[str, Any]) -> bool:
    role = destination.get("roleType")
    return (role.get("name") if isinstance(role, dict) else role) == "PRIMARY"


DIALECTS: dict[str, Dialect] = {"classic": Classic(), "current": Current()}


def _common(request: ExportRequest) -> dict[str, Any]:
    return {
        "protectedEntities": [{"guid": request.vm_guid}],
        "backupType": {"name": request.backup_type},
        "priority": request.priority,
        "windowStart": request.window_start_ms,
        "windowEnd": request.window_end_ms,
    }


def _mount(request: MountRequest) -> dict[str, Any]:
    return {"mode": {"name": "AUTO"}, "mountedFileSystems": [{"mountPath": request.mount_path}]}


def _restore(request: RestoreRequest) -> dict[str, Any]:
    """Only what was chosen: a platform refuses what it does not know."""
    target = "hypervisorManager" if request.is_manager else "hypervisor"
    chosen = {
        "restoredPeName": request.name,
        "restoreClusterId": request.cluster_uuid,
        "restoreStorageId": request.storage_uuid,
        "restoreProject": request.project_name,
        "dataCenter": {"name": request.data_center} if request.data_center else None,
    }
    return {
        "backup": {"guid": request.backup_guid},
        target: {"guid": request.hypervisor_guid},
        "overwrite": False,
        **{name: value for name, value in chosen.items() if value},
    }
