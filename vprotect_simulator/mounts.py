"""Mounted backups: RESTORE, a gap, MOUNT, later UNMOUNT, by a call or by the clock (API reference, 15 and duty 29).

Classic servers name the backup and a node, current ones a backup location. Whether an unmounted one stays listed is
not known, since there is a call to mount it again: `unmounted_mounts` decides.
"""

from __future__ import annotations

from typing import Any

from vprotect_simulator import engine, reading, restores
from vprotect_simulator.backups import GOOD, requester
from vprotect_simulator.engine import Refused
from vprotect_simulator.file_tree import FileSystem, file_systems
from vprotect_simulator.names import Row, enum, enum_name, guid_of, new_guid, reference, referred_guid
from vprotect_simulator.state import State

MODES = {"AUTO", "MANUAL", "ISCSI"}
MOUNTING_SECONDS, UNMOUNTING_SECONDS = 20, 10
NO_FILE_SYSTEM = "Mount failed: no known file system on /vprotect_data/mounts/disk-0.qcow2"
BUSY = "umount: target is busy"


def mountable(state: State, backup: Row) -> bool:
    """`only-mountable`: good, present, and of a machine whose file systems the node understands."""
    vm = state.vms.get(backup["protectedEntity"]["guid"], {})
    is_there = any(location["status"]["name"] == "PRESENT" for location in backup["backupLocations"])
    return backup["status"]["name"] in GOOD and is_there and vm.get("_mountable", True)


# ── Wishes ───────────────────────────────────────────────────────────────────


def request_mount(state: State, body: Row) -> Row:
    """Makes a RESTORE task and its restore job. Raises `Refused`."""
    backup, node = _source(state, body)
    if not mountable(state, backup):
        raise Refused(400, "Backup is not mountable")
    mode = enum_name(body.get("mode"))
    if mode not in MODES:
        raise Refused(400, "mode must be AUTO, MANUAL or ISCSI")
    paths, disks = _mount_paths(body, mode), body.get("mountedDisks") or []
    if mode == "ISCSI" and not disks:
        raise Refused(400, "mountedDisks must not be empty")
    job = restores.add_job(
        state,
        "RESTORE_AND_MOUNT",
        backup,
        node=reference(node),
        mountedBackupMode=enum(mode),
        _paths=paths,
        _disks=disks,
        _unmount_time=_unmount_time(state, body),
    )
    return restores.queue_task(state, "RESTORE", restores.original(state, backup), backup, state.clock.now_ms(), job)


def _source(state: State, body: Row) -> tuple[Row, Row]:
    """The backup and the node that mounts it."""
    if state.dialect == "current":
        wanted = referred_guid(body.get("backupLocation"))
        backup = next((row for row in state.backups.values() if wanted in _locations(row)), None)
        if backup is None:
            raise Refused(404 if wanted else 400, "Backup location with given GUID does not exist")
        return backup, next(iter(state.nodes.values()))
    found = state.backups.get(referred_guid(body.get("backup")))
    node = state.nodes.get(referred_guid(body.get("node")))
    if found is None:
        raise Refused(404, "Backup with given GUID does not exist")
    if node is None:
        raise Refused(400, "node is required")
    return found, node


def _locations(backup: Row) -> set[str]:
    return {location["guid"] for location in backup["backupLocations"] if location["status"]["name"] == "PRESENT"}


def _mount_paths(body: Row, mode: str) -> list[str]:
    """One path in AUTO, one for each file system in MANUAL, none in ISCSI."""
    wanted = body.get("mountedFileSystems") or []
    paths = [str(item.get("mountPath")) for item in wanted if isinstance(item, dict)]
    fits = {"AUTO": len(paths) == 1, "MANUAL": bool(paths), "ISCSI": not paths}[mode]
    if not fits or not all(path.startswith("/") for path in paths):
        raise Refused(400, "mountedFileSystems do not fit the mode")
    return paths


def _unmount_time(state: State, body: Row) -> int | None:
    """Unknown to classic servers; later a moment, since 5.2 a length (20, trap 21)."""
    value = body.get("unmountTime")
    if state.dialect == "classic" or state.settings.unmount_time == "absent" or value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Refused(400, "unmountTime must be a number of milliseconds")
    return value


def request_unmount(state: State, body: Row, origin: str = "USER") -> Row:
    mount = _named(state, body)
    if mount["state"]["name"] != "MOUNTED":
        raise Refused(409, f"Mounted backup is {mount['state']['name']}")
    return _queue(state, "UNMOUNT", mount, origin)


def request_mount_again(state: State, body: Row) -> Row:
    mount = _named(state, body)
    if mount["state"]["name"] != "UNMOUNTED":
        raise Refused(409, f"Mounted backup is {mount['state']['name']}")
    return _queue(state, "MOUNT", mount, "USER")


def _named(state: State, body: Row) -> Row:
    return reading.found(state.mounts, body.get("mountedBackup"))


def _queue(state: State, kind: str, mount: Row, origin: str) -> Row:
    backup = state.backups.get(mount["backup"]["guid"]) or {"guid": mount["backup"]["guid"], "name": ""}
    return engine.queue(
        state,
        kind,
        mount["backup"]["protectedEntity"],
        backup,
        state.clock.now_ms(),
        priority=50,
        originEntity={**requester(state), "type": enum(origin)},
        _mount=mount["guid"],
    )


# ── The tasks ────────────────────────────────────────────────────────────────


class _MountTask:
    _usual_failure: str
    _seconds: float

    def seconds_needed(self, state: State, task: Row) -> float:
        return self._seconds

    def reason_to_fail(self, state: State, task: Row) -> str:
        ordered = engine.behaviour(state, task)
        failing = ordered.get(task["type"]["name"]) == "fail"
        return (ordered.get("reason") or self._usual_failure) if failing else ""


class Mount(_MountTask):
    _usual_failure, _seconds = NO_FILE_SYSTEM, MOUNTING_SECONDS

    def start(self, state: State, task: Row, at: int) -> None:
        if job := _job_of(state, task):
            job["taskTimeStats"]["queuedMountTime"] = at - task["_made_at"]
            task["_mount"] = _add_mount(state, job)["guid"]
        state.mounts[task["_mount"]]["state"] = enum("MOUNTING")

    def finish(self, state: State, task: Row, at: int) -> str:
        mount, job = state.mounts[task["_mount"]], _job_of(state, task)
        summary = f"Backup of VM: {task['protectedEntity']['name']} mounted."
        if job:
            job["taskTimeStats"]["mountTime"] = at - task["startTime"]
            job.update(status=enum("SUCCESS"), statusInfo=summary)
        _lay_open(state, mount)
        unmount_at = _moment_to_unmount(state, mount, at)
        mount.update(state=enum("MOUNTED"), _unmount_at=unmount_at)
        engine.promise(state, max(unmount_at, at + 1), "unmount", mount=mount["guid"], planned=unmount_at)
        return summary

    def fail(self, state: State, task: Row, at: int, reason: str) -> None:
        if job := _job_of(state, task):
            job.update(status=enum("FAILED"), statusInfo=reason)
        close(state, task.get("_mount", ""))


class Unmount(_MountTask):
    _usual_failure, _seconds = BUSY, UNMOUNTING_SECONDS

    def start(self, state: State, task: Row, at: int) -> None:
        if task["_mount"] in state.mounts:
            state.mounts[task["_mount"]]["state"] = enum("UNMOUNTING")

    def finish(self, state: State, task: Row, at: int) -> str:
        close(state, task["_mount"])
        return f"Backup of VM: {task['protectedEntity']['name']} unmounted."

    def fail(self, state: State, task: Row, at: int, reason: str) -> None:
        if task["_mount"] in state.mounts:
            state.mounts[task["_mount"]]["state"] = enum("MOUNTED")


engine.STORIES |= {"MOUNT": Mount(), "UNMOUNT": Unmount()}


def _job_of(state: State, task: Row) -> Row | None:
    return state.restore_jobs.get(task.get("_job") or "")


def _moment_to_unmount(state: State, mount: Row, at: int) -> int:
    """By the real clock: how long somebody may look is no work that runs faster than life."""
    wanted = mount["_unmount_time"]
    if wanted is None:
        return at + int(state.settings.unmount_period * 1000)
    return int(wanted) if state.settings.unmount_time == "absolute" else at + int(wanted)


def _add_mount(state: State, job: Row) -> Row:
    mount: Row = {
        "guid": new_guid(),
        "backup": {**job["backup"], "protectedEntity": job["protectedEntity"], "iscsiMountable": False},
        "mode": job["mountedBackupMode"],
        "state": enum("MOUNTING"),
        "node": job["node"],
        "mountedFileSystemCount": 0,
        "mountedFileCount": 0,
        "_paths": job["_paths"],
        "_disks": job["_disks"],
        "_unmount_time": job["_unmount_time"],
    }
    state.mounts[mount["guid"]] = mount
    return mount


def _lay_open(state: State, mount: Row) -> None:
    """In AUTO each file system lies in a folder of its own below the one path that was asked for."""
    machine = mount["backup"]["protectedEntity"]["name"]
    if mount["mode"]["name"] == "ISCSI":
        for disk in mount["_disks"]:
            row = {"guid": new_guid(), "path": f"/vprotect_data/mounts/{referred_guid(disk.get('backupFile'))}.raw"}
            state.mounted_files[row["guid"]] = {**row, "randomAccess": True, "_mount": mount["guid"]}
        mount["mountedFileCount"] = len(mount["_disks"])
        return
    shown = file_systems(machine)
    is_auto = mount["mode"]["name"] == "AUTO"
    paths = [f"{mount['_paths'][0]}/{place}" for place in range(len(shown))] if is_auto else mount["_paths"]
    for place, (file_system, path) in enumerate(zip(shown, paths, strict=False)):
        guid = guid_of(f"mounted/{mount['guid']}/{place}")
        state.mounted_file_systems[guid] = _laid_open(guid, file_system, path, mount, machine, place)
    mount["mountedFileSystemCount"] = min(len(shown), len(paths))


def _laid_open(guid: str, file_system: FileSystem, path: str, mount: Row, machine: str, place: int) -> Row:
    return {
        "guid": guid,
        "mountPath": path,
        "fileSystem": {
            "guid": guid_of(f"file-system/{machine}/{file_system.volume}"),
            "volume": file_system.volume,
            "size": file_system.size,
            "type": file_system.type,
            "label": file_system.label or None,
        },
        "_mount": mount["guid"],
        "_machine": machine,
        "_place": place,
    }


def close(state: State, guid: str) -> None:
    """Nothing of it can be read any more; `unmounted_mounts` says whether it is still listed."""
    for rows in (state.mounted_file_systems, state.mounted_files):
        for row in [row for row in rows.values() if row["_mount"] == guid]:
            del rows[row["guid"]]
    mount = state.mounts.get(guid)
    if mount is None:
        return
    if state.settings.unmounted_mounts == "remove" or mount["state"]["name"] == "MOUNTING":
        del state.mounts[guid]
    else:
        mount.update(state=enum("UNMOUNTED"), mountedFileSystemCount=0, mountedFileCount=0)


# ── What happens later by itself ─────────────────────────────────────────────


def _mount(state: State, made: Row, at: int) -> None:
    job = state.restore_jobs[made["task"]["_job"]]
    backup = state.backups.get(job["backup"]["guid"])
    if job["status"]["name"] == "INPROGRESS" and backup is not None:
        restores.queue_task(state, "MOUNT", restores.original(state, backup), backup, at, job)


def _unmount(state: State, made: Row, at: int) -> None:
    """Its time has come; one that was unmounted and mounted again has another."""
    mount: dict[str, Any] | None = state.mounts.get(made["mount"])
    if mount and mount["state"]["name"] == "MOUNTED" and mount["_unmount_at"] == made["planned"]:
        _queue(state, "UNMOUNT", mount, "SYSTEM_SCHEDULE")


engine.PROMISES |= {"mount": _mount, "unmount": _unmount}
restores.NEXT_TASK["RESTORE_AND_MOUNT"] = "mount"
