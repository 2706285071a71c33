"""Mounted backups, their file systems, folders and files (API reference, 15)."""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from vprotect_simulator import mounts
from vprotect_simulator.calls import Call, Filters, Reply, Route, filtered, listed
from vprotect_simulator.endpoints.tasks import shown
from vprotect_simulator.engine import Refused
from vprotect_simulator.file_tree import DIRECTORY, REGULAR, File, file_systems, find
from vprotect_simulator.names import Row, enum, to_wire
from vprotect_simulator.reading import found
from vprotect_simulator.state import State

OF_MOUNT: Filters = {"mounted-backup": lambda _state, row: [row["_mount"]]}


def restore_and_mount(state: State, call: Call) -> Reply:
    return _task(state, mounts.request_mount(state, call.object()))


def mount(state: State, call: Call) -> Reply:
    return _task(state, mounts.request_mount_again(state, call.object()))


def unmount(state: State, call: Call) -> Reply:
    return _task(state, mounts.request_unmount(state, call.object()))


def _task(state: State, task: Row) -> Reply:
    return Reply(201, to_wire(shown(state, task)))


def list_mounts(state: State, call: Call) -> Reply:
    """There is no filter for a tenant or a machine: everybody's come back."""
    return listed(state, call, [_mount(state, row) for row in state.mounts.values()])


def get_mount(state: State, call: Call, guid: str) -> Reply:
    return Reply(200, to_wire(_mount(state, found(state.mounts, guid))))


def _mount(state: State, row: Row) -> Row:
    """`state` is a string before 5.2."""
    return {**row, "state": row["state"]["name"]} if state.dialect == "classic" else row


def list_file_systems(state: State, call: Call) -> Reply:
    return listed(state, call, filtered(state, call, state.mounted_file_systems.values(), OF_MOUNT))


def list_files(state: State, call: Call) -> Reply:
    return listed(state, call, filtered(state, call, state.mounted_files.values(), OF_MOUNT))


# ── Folders ──────────────────────────────────────────────────────────────────


def list_folder(state: State, call: Call, guid: str) -> Reply:
    path = call.object().get("path")
    folder, _path = _found(state, guid, path)
    if folder.kind != DIRECTORY:
        raise Refused(400, f"java.nio.file.NotDirectoryException: {path}")
    return Reply(200, [_entry(file) for file in folder.inside()])


def _entry(file: File) -> Row:
    return {
        "name": file.name,
        "fileType": enum(file.kind),
        "size": file.size,
        "modified": file.modified,
        "owner": file.owner,
        "group": file.group,
        "permissions": file.permissions,
    }


def _found(state: State, guid: str, path: Any) -> tuple[File, str]:
    mounted = found(state.mounted_file_systems, guid)
    if not isinstance(path, str) or not path.startswith("/"):
        raise Refused(400, "path must be absolute")
    file_system = file_systems(mounted["_machine"])[mounted["_place"]]
    file = find(file_system, mounted["mountPath"], path)
    if file is None:
        raise Refused(404, f"java.nio.file.NoSuchFileException: {mounted['mountPath']}{path}")
    return file, path


# ── Downloads ────────────────────────────────────────────────────────────────


def download(state: State, call: Call, guid: str) -> Reply:
    """One file as it is; a folder, or several, as an archive, of which nobody knows the length before its end."""
    paths = call.object().get("paths")
    if not isinstance(paths, list) or not paths:
        raise Refused(400, "paths must not be empty")
    files = [_found(state, guid, path) for path in paths]
    first, path = files[0]
    if len(files) > 1 or first.kind == DIRECTORY:
        return Reply(200, headers=_named("files.zip"), pieces=_archive(files))
    if first.kind != REGULAR:
        raise Refused(400, f"java.io.IOException: not a regular file: {path}")
    start = call.range_start if state.settings.download_ranges and call.range_start < first.size else 0
    headers = _named(posixpath.basename(path))
    if start:
        headers["Content-Range"] = f"bytes {start}-{first.size - 1}/{first.size}"
    return Reply(206 if start else 200, headers=headers, pieces=first.pieces(start), length=first.size - start)


def _named(name: str) -> dict[str, str]:
    """The name is wrapped in underscores sometimes, and is plain ASCII always."""
    plain = "".join(sign if " " <= sign <= "~" and sign not in '"\\' else "?" for sign in name)
    wrapped = f"_{plain}_" if zlib.crc32(name.encode()) % 2 else plain
    return {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f'attachment; filename="{wrapped}"',
    }


class _Sink(io.RawIOBase):
    """Takes what the archive writes; it cannot be sought in."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.written.append(bytes(data))
        return len(self.written[-1])

    def taken(self) -> bytes:
        data, self.written = b"".join(self.written), []
        return data


def _archive(files: list[tuple[File, str]]) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        for file, path in files:
            for inner, name in _walk(file, posixpath.basename(path.rstrip("/"))):
                with archive.open(name, "w", force_zip64=True) as entry:
                    for piece in inner.pieces():
                        entry.write(piece)
                        yield sink.taken()
    yield sink.taken()


def _walk(file: File, name: str) -> Iterator[tuple[File, str]]:
    if file.kind == DIRECTORY:
        for child in file.inside():
            yield from _walk(child, f"{name}/{child.name}")
    elif file.kind == REGULAR:
        yield file, name


ROUTES = (
    Route("POST", "/tasks/restore-and-mount", restore_and_mount),
    Route("POST", "/tasks/mount", mount),
    Route("POST", "/tasks/unmount", unmount),
    Route("GET", "/mounted-backups", list_mounts),
    Route("GET", "/mounted-backups/{guid}", get_mount),
    Route("GET", "/mounted-file-systems/detailed", list_file_systems),
    Route("GET", "/mounted-files", list_files),
    Route("POST", "/mounted-file-systems/{guid}/listing", list_folder),
    Route("POST", "/mounted-file-systems/{guid}/download", download),
)
