"""vProtect's objects as typed values, read tolerantly. Times are aware UTC, sizes bytes."""

from __future__ import annotations

import marshal
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Generic, Self, TypeVar

from vprotect_bridge.client import read
from vprotect_bridge.client.read import GUID

TASK_TYPES = (
    "INDEX",
    "EXPORT",
    "STORE",
    "RESTORE",
    "OLD_BACKUPS_REMOVAL",
    "OLD_SNAPSHOTS_REMOVAL",
    "IMPORT",
    "MOUNT",
    "UNMOUNT",
    "DELETE",
    "SNAPSHOT",
    "SNAPSHOT_REVERSION",
)
FINAL_TASK_STATES = frozenset({"FINISHED", "FAILED", "CANCELLED"})
FINAL_BACKUP_STATUSES = frozenset({"SUCCESS", "PARTIAL_SUCCESS", "FAILED", "SUCCESS_REMOVED"})

T = TypeVar("T")


@dataclass(frozen=True)
class Listing(Generic[T]):
    """Rows of a list call. Only a `complete` listing with nothing `dropped` proves that something is absent."""

    items: tuple[T, ...]
    complete: bool
    dropped: int = 0


@dataclass(frozen=True)
class Reference:
    """`NameAndGuid` and its relatives; `type` is an enum's name, empty where the reference has none."""

    guid: str
    name: str = ""
    type: str = ""

    @classmethod
    def read(cls, value: Any) -> Self | None:
        if isinstance(value, str):
            return cls._of(value)
        if isinstance(value, dict) and isinstance(value.get("guid"), str):
            return cls._of(value["guid"], read.text(value.get("name")), read.enum(value.get("type")))
        return None

    @classmethod
    @lru_cache(maxsize=20_000)
    def _of(cls, guid: str, name: str = "", type: str = "") -> Self | None:
        """Thousands of rows refer to the same few hypervisors, and the tasks of each cycle to the same machines."""
        return cls(guid, name, type) if GUID.fullmatch(guid) else None


# Of a row of the inventory everything that `VirtualMachine` reads; the rest, like a running task's progress, changes
# no machine.
_MEMBERS = (
    *("name", "uuid", "present", "hvType", "hvmType", "hypervisor", "hvManager", "hvCluster", "project", "tenantId"),
    *("vmBackupPolicy", "backupUpToDate", "lastBackup", "lastSuccessfulBackupSize", "lastSuccessfulFullBackupSize"),
    *("warningsPresent", "tags"),
)
# Another one makes every row be read anew once: for when the same row is to be read otherwise.
_READING = 1


def fingerprint(row: dict[str, Any]) -> str:
    """The same for the same row: what is unchanged need not even be read.

    By marshal, whose version 2 writes a value in one way only, at a fifth of what JSON takes.
    """
    told = marshal.dumps([_READING, *map(row.get, _MEMBERS)], 2)
    return blake2b(told, digest_size=16).hexdigest()


@dataclass(frozen=True)
class VirtualMachine:
    """API reference, 5.1 and 5.2. `backup_up_to_date` None = no schedule known. `raw` is the row as it came."""

    guid: str
    name: str
    uuid: str
    present: bool
    hv_type: str
    hvm_type: str
    hypervisor: Reference | None
    hv_manager: Reference | None
    cluster: Reference | None
    project: Reference | None
    tenant_id: str
    policy: Reference | None
    backup_up_to_date: bool | None
    last_backup: datetime | None
    last_successful_backup_size: int | None
    last_successful_full_backup_size: int | None
    warnings_present: bool
    tags: tuple[str, ...]
    raw: dict[str, Any]

    @classmethod
    def from_json(cls, row: Any) -> Self:
        row = read.row(row)
        return cls(
            guid=read.guid(row),
            name=read.text(row.get("name")),
            uuid=read.text(row.get("uuid")),
            present=row.get("present") is not False,
            hv_type=read.enum(row.get("hvType")),
            hvm_type=read.enum(row.get("hvmType")),
            hypervisor=Reference.read(row.get("hypervisor")),
            hv_manager=Reference.read(row.get("hvManager")),
            cluster=Reference.read(row.get("hvCluster")),
            project=Reference.read(row.get("project")),
            tenant_id=read.text(row.get("tenantId")),
            policy=Reference.read(row.get("vmBackupPolicy")),
            backup_up_to_date=read.flag(row.get("backupUpToDate")),
            last_backup=read.time(row.get("lastBackup")),
            last_successful_backup_size=read.whole(row.get("lastSuccessfulBackupSize")),
            last_successful_full_backup_size=read.whole(row.get("lastSuccessfulFullBackupSize")),
            warnings_present=row.get("warningsPresent") is True,
            tags=read.texts(row.get("tags")),
            raw=row,
        )


@dataclass(frozen=True)
class Task:
    """API reference, 6.1. Windows are epoch milliseconds, `progress` percent and possibly fractional."""

    guid: str
    type: str
    state: str
    progress: float | None
    status_info: str
    priority: int | None
    backup_type: str
    window_start_ms: int | None
    window_end_ms: int | None
    start_time: datetime | None
    finish_time: datetime | None
    protected_entity: Reference | None
    dst_protected_entity: Reference | None
    backup: Reference | None
    backup_destination: Reference | None
    origin: Reference | None
    parent_task: Reference | None
    retry_count: int | None
    restore_type: str
    tenant_id: str

    @classmethod
    def from_json(cls, row: Any) -> Task:
        """Of thousands of tasks most say in each cycle what they said before: those are read once."""
        told = marshal.dumps(read.row(row), 2)
        task = _TASKS_AS_TOLD.get(told)
        if task is None:
            task = cls._read(row)
            if len(_TASKS_AS_TOLD) >= _MOST_TASKS_KEPT:
                _TASKS_AS_TOLD.clear()
            _TASKS_AS_TOLD[told] = task
        return task

    @classmethod
    def _read(cls, row: dict[str, Any]) -> Self:
        return cls(
            guid=read.guid(row),
            type=read.enum(row.get("type")),
            state=read.enum(row.get("state")),
            progress=read.number(row.get("progress")),
            status_info=read.text(row.get("statusInfo")),
            priority=read.whole(row.get("priority")),
            backup_type=read.enum(row.get("backupType")),
            window_start_ms=read.whole(row.get("windowStart")),
            window_end_ms=read.whole(row.get("windowEnd")),
            start_time=read.time(row.get("startTime")),
            finish_time=read.time(row.get("finishTime")),
            protected_entity=Reference.read(row.get("protectedEntity")),
            dst_protected_entity=Reference.read(row.get("dstProtectedEntity")),
            backup=Reference.read(row.get("backup")),
            backup_destination=Reference.read(row.get("backupDestination")),
            origin=Reference.read(row.get("originEntity")),
            parent_task=Reference.read(row.get("parentTask")),
            retry_count=read.whole(row.get("retryCount")),
            restore_type=read.enum(row.get("restoreType")),
            tenant_id=read.text(row.get("tenantId")),
        )


_TASKS_AS_TOLD: dict[bytes, Task] = {}
_MOST_TASKS_KEPT = 10_000


@dataclass(frozen=True)
class Copy:
    """Where one copy of a backup lies: a `backupLocations` entry (API reference, 8.3)."""

    destination: Reference | None
    role: str
    status: str
    guid: str = ""

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        destination, own = Reference.read(row.get("backupDestination")), Reference.read(row)
        role, status = read.enum(row.get("roleType")), read.enum(row.get("status"))
        return cls(destination, role, status, own.guid if own else "")


@dataclass(frozen=True)
class Backup:
    """API reference, 8.1 and 8.2. Durations are milliseconds. `mountable` only the details tell, None otherwise."""

    guid: str
    status: str
    type: str
    status_info: str
    backup_time: datetime | None
    snapshot_time: datetime | None
    size: int
    protected_entity: Reference | None
    parent: Reference | None
    copies: tuple[Copy, ...]
    queued_export_ms: int | None
    export_ms: int | None
    queued_store_ms: int | None
    store_ms: int | None
    duration_ms: int | None
    origin: Reference | None
    source_project: Reference | None
    warnings: tuple[str, ...]
    archive_expires: datetime | None
    mountable: bool | None

    @classmethod
    def from_json(cls, row: Any) -> Self:
        row = read.row(row)
        stats = row.get("taskTimeStats") if isinstance(row.get("taskTimeStats"), dict) else {}
        locations = row.get("backupLocations") if isinstance(row.get("backupLocations"), list) else []
        return cls(
            guid=read.guid(row),
            status=read.enum(row.get("status")),
            type=read.enum(row.get("type")),
            status_info=read.text(row.get("statusInfo")),
            backup_time=read.time(row.get("backupTime")),
            snapshot_time=read.time(row.get("snapshotTime")),
            size=read.whole(row.get("size")) or 0,
            protected_entity=Reference.read(row.get("protectedEntity")),
            parent=Reference.read(row.get("parentBackup")),
            copies=tuple(Copy.from_json(item) for item in locations if isinstance(item, dict)),
            queued_export_ms=read.whole(stats.get("queuedExportTime")),
            export_ms=read.whole(stats.get("exportTime")),
            queued_store_ms=read.whole(stats.get("queuedStoreTime")),
            store_ms=read.whole(stats.get("storeTime")),
            duration_ms=read.whole(row.get("taskDurationTime")),
            origin=Reference.read(row.get("originEntity")),
            source_project=Reference.read(row.get("sourceProject")),
            warnings=read.texts(row.get("warnings")),
            archive_expires=read.time(row.get("archiveExpire")),
            mountable=read.flag(row.get("mountable")),
        )


@dataclass(frozen=True)
class Destination:
    """API reference, 14.1. `capacity` is upstream's misnamed totalAvailableSpace (20, trap 22)."""

    guid: str
    name: str
    type: str
    is_default: bool
    capacity: int | None
    used: int | None

    @classmethod
    def from_json(cls, row: Any) -> Self:
        row = read.row(row)
        return cls(
            guid=read.guid(row),
            name=read.text(row.get("name")),
            type=read.enum(row.get("type")),
            is_default=row.get("defaultBackupDestination") is True,
            capacity=read.whole(row.get("totalAvailableSpace")),
            used=read.whole(row.get("totalUsedSpace")),
        )


@dataclass(frozen=True)
class Hypervisor:
    """A stand-alone hypervisor, or the manager of several (API reference, 13).

    Their lists have no usable name: what is displayed is `url` for managers and `host` for hypervisors (20, trap 24).
    """

    guid: str
    name: str
    type: str
    is_manager: bool
    is_managed: bool = False

    @classmethod
    def manager_from_json(cls, row: Any) -> Self:
        row = read.row(row)
        return cls(
            read.guid(row), read.text(row.get("url")) or read.text(row.get("name")), read.enum(row.get("type")), True
        )

    @classmethod
    def host_from_json(cls, row: Any) -> Self:
        row = read.row(row)
        name = read.text(row.get("host")) or read.text(row.get("name"))
        is_managed = Reference.read(row.get("hvManager")) is not None
        return cls(read.guid(row), name, read.enum(row.get("type")), False, is_managed)


@dataclass(frozen=True)
class Cluster:
    """API reference, 13. A restore names it by `uuid` (20, trap 6)."""

    guid: str
    uuid: str
    name: str

    @classmethod
    def from_json(cls, row: Any) -> Self:
        row = read.row(row)
        return cls(read.guid(row), read.text(row.get("uuid")), read.text(row.get("name")))


@dataclass(frozen=True)
class Storage:
    """API reference, 13. A restore names it by `uuid`. `capacity` is upstream's misnamed totalAvailableSpace."""

    guid: str
    uuid: str
    name: str
    capacity: int | None
    used: int | None
    clusters: tuple[Reference, ...]

    @classmethod
    def from_json(cls, row: Any) -> Self:
        row = read.row(row)
        clusters = row.get("clusters") if isinstance(row.get("clusters"), list) else []
        return cls(
            guid=read.guid(row),
            uuid=read.text(row.get("uuid")),
            name=read.text(row.get("name")),
            capacity=read.whole(row.get("totalAvailableSpace")),
            used=read.whole(row.get("totalUsedSpace")),
            clusters=tuple(found for item in clusters if (found := Reference.read(item))),
        )


@dataclass(frozen=True)
class RestoreJob:
    """API reference, 9: the authority on how a restore ended. `status` has the names of a backup's."""

    guid: str
    status: str
    status_info: str
    restore_time: datetime | None
    backup: Reference | None
    protected_entity: Reference | None
    dst_protected_entity: Reference | None
    restored_name: str
    restore_type: str

    @classmethod
    def from_json(cls, row: Any) -> Self:
        row = read.row(row)
        return cls(
            guid=read.guid(row),
            status=read.enum(row.get("status")),
            status_info=read.text(row.get("statusInfo")),
            restore_time=read.time(row.get("restoreTime")),
            backup=Reference.read(row.get("backup")),
            protected_entity=Reference.read(row.get("protectedEntity")),
            dst_protected_entity=Reference.read(row.get("dstProtectedEntity")),
            restored_name=read.text(row.get("restoredPeName")),
            restore_type=read.enum(row.get("restoreType")),
        )


@dataclass(frozen=True)
class Project:
    """API reference, 13."""

    guid: str
    name: str
    uuid: str

    @classmethod
    def from_json(cls, row: Any) -> Self:
        row = read.row(row)
        return cls(read.guid(row), read.text(row.get("name")), read.text(row.get("uuid")))


@dataclass(frozen=True)
class StoredSize:
    """A row of the chargeback (API reference, 17): bytes of all copies that are kept now."""

    guid: str
    size: int

    @classmethod
    def from_json(cls, row: Any) -> Self:
        row = read.row(row)
        return cls(read.guid(row), read.whole(row.get("size")) or 0)
