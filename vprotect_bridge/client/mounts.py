"""Mounted backups: single files out of a backup (API reference, 15)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self

from vprotect_bridge.client import read
from vprotect_bridge.client.dialects import Dialect, MountRequest
from vprotect_bridge.client.download import Download
from vprotect_bridge.client.errors import NotFound
from vprotect_bridge.client.plans import checked
from vprotect_bridge.client.transport import Answer, Transport
from vprotect_bridge.client.types import Backup, Listing, Reference, Task

DIRECTORY, REGULAR_FILE, SYMLINK, BROKEN_SYMLINK = "DIRECTORY", "REGULAR_FILE", "SYMLINK", "BROKEN_SYMLINK"
_RIGHTS = [f"{who}_{what}" for who in ("OWNER", "GROUP", "OTHERS") for what in ("READ", "WRITE", "EXECUTE")]


@dataclass(frozen=True)
class MountedBackup:
    """`state` is a word that no reference lists (22, unknown 9), `backup_guid` "" where the row tells none."""

    guid: str
    backup_guid: str
    state: str

    @classmethod
    def from_json(cls, row: Any) -> Self:
        row = read.row(row)
        backup = Reference.read(row.get("backup"))
        return cls(read.guid(row), backup.guid if backup else "", read.enum(row.get("state")))

    @property
    def is_unmounted(self) -> bool:
        """By its word alone; one that is on its way in or out is still there."""
        return self.state.upper().replace("_", "") in {"UNMOUNTED", "NOTMOUNTED"}


@dataclass(frozen=True)
class MountedFileSystem:
    """`volume` as the machine knew it ("/dev/sda1"), `size` in bytes."""

    guid: str
    mount_path: str
    volume: str
    label: str
    type: str
    size: int | None

    @classmethod
    def from_json(cls, row: Any) -> Self:
        row = read.row(row)
        inner = row.get("fileSystem")
        told = inner if isinstance(inner, dict) else {}
        return cls(
            guid=read.guid(row),
            mount_path=read.text(row.get("mountPath")),
            volume=read.text(told.get("volume")) or read.text(told.get("name")),
            label=read.text(told.get("label")),
            type=read.enum(told.get("type")),
            size=read.whole(told.get("size")),
        )


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What a folder holds. `mode` are the nine rights as bits (0o644), None where the server tells none.

    A name that cannot be one, as it would lead elsewhere, is malformed. Signs that no database keeps (half of a pair
    of UTF-16) are U+FFFD here, as Java's own for what is not UTF-8.
    """

    name: str
    type: str
    size: int
    modified: datetime | None
    owner: str
    group: str
    mode: int | None

    @classmethod
    def from_json(cls, row: Any) -> Self:
        row = read.row(row)
        name = read.text(row.get("name")).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise read.Malformed("a file has no usable name")
        permissions = row.get("permissions")
        return cls(
            name=name,
            type=read.enum(row.get("fileType")),
            size=max(read.whole(row.get("size")) or 0, 0),
            modified=read.time(row.get("modified")),
            owner=_plain(row.get("owner")),
            group=_plain(row.get("group")),
            mode=_mode(read.enums(permissions)) if isinstance(permissions, list) else None,
        )


def _plain(value: Any) -> str:
    text = read.text(value).encode("utf-8", "replace").decode()
    return text.replace("\0", "")[:255]


def _mode(permissions: tuple[str, ...]) -> int:
    return sum(0o400 >> place for place, right in enumerate(_RIGHTS) if right in permissions)


class _Caller(Protocol):
    """What of `VProtect` the calls need."""

    transport: Transport
    dialect: Dialect

    def pages(self, path: str, filters: dict[str, str], parse: Callable[[Any], Any]) -> Listing[Any]: ...

    def one(self, path: str, guid: str, parse: Callable[[Any], Any]) -> Any: ...

    def listing(self, answer: Answer, parse: Callable[[Any], Any]) -> Listing[Any]: ...

    def task_of(self, answer: Answer, kind: str, backup: str) -> Task: ...


class Mounts:
    """All raise `UpstreamError`s only."""

    def __init__(self, caller: _Caller) -> None:
        self._caller = caller

    def candidates(self, protected_entity: str) -> Listing[Backup]:
        """A machine's backups whose files can be looked at. Where the server knows no such filter, all of them."""
        filters = {"protected-entity": protected_entity, "only-mountable": "true"}
        found = self._caller.pages("/backups/", filters, Backup.from_json)
        kept = [row for row in found.items if row.protected_entity and row.protected_entity.guid == protected_entity]
        return Listing(tuple(kept), found.complete, found.dropped)

    def nodes(self, backup: str) -> Listing[Reference]:
        """Nodes that can reach a backup; classic servers want one of them named."""
        return self._caller.pages("/nodes", {"backup-to-be-restored": backup}, _reference)

    def restore_and_mount(self, request: MountRequest) -> Task:
        """Mounts a backup; the answer is its RESTORE task, MOUNT follows.

        Raises `BadAnswer` when the answer does not name exactly one RESTORE task of this backup: it was most likely
        made all the same.
        """
        answer = self._caller.transport.post("/tasks/restore-and-mount", self._caller.dialect.mount_body(request))
        return self._caller.task_of(answer, "RESTORE", request.backup_guid)

    def unmount(self, guid: str) -> None:
        """Asks for it; one that is gone already is unmounted."""
        try:
            self._caller.transport.post("/tasks/unmount", {"mountedBackup": {"guid": checked(guid)}})
        except NotFound:
            return

    def list(self) -> Listing[MountedBackup]:
        """Everybody's: there is no filter for a tenant or a machine."""
        return self._caller.pages("/mounted-backups", {}, MountedBackup.from_json)

    def get(self, guid: str) -> MountedBackup:
        found: MountedBackup = self._caller.one("/mounted-backups", guid, MountedBackup.from_json)
        return found

    def file_systems(self, guid: str) -> Listing[MountedFileSystem]:
        """Of one mounted backup, as far as the server filters: it says nothing of whose a row is."""
        return self._caller.pages(
            "/mounted-file-systems/detailed", {"mounted-backup": guid}, MountedFileSystem.from_json
        )

    def folder(self, file_system: str, path: str) -> Listing[FileEntry]:
        """What lies in a folder, whose absolute path ends in a slash. `NotFound` also when it is unmounted."""
        answer = self._caller.transport.ask(f"/mounted-file-systems/{checked(file_system)}/listing", {"path": path})
        return self._caller.listing(answer, FileEntry.from_json)

    @contextmanager
    def download(self, file_system: str, path: str, *, start: int = 0) -> Iterator[Download]:
        """One file. Several paths, or a folder, would come as an archive whose names nothing is known of."""
        address = f"/mounted-file-systems/{checked(file_system)}/download"
        with self._caller.transport.download(address, {"paths": [path]}, start=start) as download:
            yield download


def _reference(row: Any) -> Reference:
    found = Reference.read(row)
    if found is None:
        raise read.Malformed("a row has no usable guid")
    return found
