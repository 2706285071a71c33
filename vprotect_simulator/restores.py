"""Restores: RESTORE, a gap, IMPORT; the restore job tells how it ended (API reference, 6.4, 7.2, 9 and duty 25)."""

from __future__ import annotations

from typing import Any

from vprotect_simulator import engine, machines, reading
from vprotect_simulator.backups import BYTES_PER_SECOND, LONGEST, SHORTEST, requester
from vprotect_simulator.engine import life
from vprotect_simulator.names import Row, enum, new_guid, reference, referred_guid
from vprotect_simulator.reading import found
from vprotect_simulator.restore_targets import (
    check_place,
    data_center,
    disk_format,
    project_name_of,
    target_of,
    usable_backup,
)
from vprotect_simulator.state import State

NO_ROOM = "Import failed: not enough space on the target storage of hv-02.internal"
NO_COPY = "Backup destination is not assigned to the node"
INVENTORY_SECONDS = 20
# The promise that goes on after RESTORE, by the restore job's type; none = that was all.
NEXT_TASK = {"RESTORE_AND_IMPORT": "import"}


def request_restore(state: State, body: Row, project_uuid: str = "") -> Row:
    """Makes a RESTORE task and its restore job (duty 25). Raises `Refused` for what cannot be.

    `project_uuid`: for which project the call acts, on current servers.
    """
    backup = usable_backup(state, body)
    target = target_of(state, body, backup)
    project_name = project_name_of(state, body, backup, project_uuid)
    check_place(state, body, target, project_name)
    vm = original(state, backup)
    name = reading.text(body, "restoredPeName") or vm["name"]
    new = {"guid": new_guid(), "name": name, "type": enum("VM")}
    job = add_job(
        state,
        "RESTORE_AND_IMPORT",
        backup,
        restoredPeName=name,
        restoreClusterId=body.get("restoreClusterId") or None,
        restoreStorageId=body.get("restoreStorageId") or None,
        restoreProjectName=project_name or None,
        dataCenterName=data_center(body),
        restoredDiskAllocationFormat=disk_format(body),
        baseImage=body.get("baseImage"),
        tenantId=body.get("tenantId"),
        dstProtectedEntity=new,
        _target=target["guid"],
        _overwrites=reading.flag(body, "overwrite"),
        _powers_on=body.get("powerOnAfterRestore"),
        _flavor=body.get("restoreVmFlavor"),
    )
    task = queue_task(state, "RESTORE", vm, backup, state.clock.now_ms(), job)
    # The vendor's first plugin names the machine as well, and reads it again from the answer.
    named = state.vms.get(referred_guid(body.get("dstProtectedEntity")))
    task["dstProtectedEntity"] = reference(named, "VM") if named else new
    return task


def request_restore_to_node(state: State, body: Row) -> Row:
    """Makes the one RESTORE task that writes a backup's files to a directory of a node (6.5); no import follows."""
    backup = usable_backup(state, body)
    node = found(state.nodes, body.get("node"))
    job = add_job(state, "RESTORE", backup, restorePath=reading.text(body, "restorePath"), node=reference(node))
    return queue_task(state, "RESTORE", original(state, backup), backup, state.clock.now_ms(), job)


def add_job(state: State, restore_type: str, backup: Row, **members: Any) -> Row:
    job: Row = {
        "guid": new_guid(),
        "restoreType": enum(restore_type),
        "status": enum("QUEUED"),
        "restoreTime": state.clock.now_ms(),
        "backup": {"guid": backup["guid"], "snapshotTime": backup["snapshotTime"], "size": backup["size"]},
        "backupType": backup["type"],
        "protectedEntity": reference(original(state, backup), "VM"),
        "taskTimeStats": {},
        **members,
    }
    state.restore_jobs[job["guid"]] = job
    return job


def queue_task(state: State, kind: str, vm: Row, backup: Row, at: int, job: Row) -> Row:
    return engine.queue(
        state,
        kind,
        vm,
        backup,
        at,
        priority=50,
        restoreType=job["restoreType"],
        originEntity=requester(state),
        dstProtectedEntity=job.get("dstProtectedEntity"),
        powerOnAfterRestore=job.get("_powers_on"),
        _job=job["guid"],
        **_target_member(state, job),
    )


def _target_member(state: State, job: Row) -> Row:
    if "_target" not in job:
        return {}
    target = state.targets[job["_target"]]
    member = "hypervisorManager" if target["_is_manager"] else "hypervisor"
    return {member: {"guid": target["guid"], "name": target["name"]}}


def original(state: State, backup: Row) -> Row:
    return state.vms.get(backup["protectedEntity"]["guid"]) or _lost(backup)


def _lost(backup: Row) -> Row:
    return {"guid": backup["protectedEntity"]["guid"], "name": backup["protectedEntity"]["name"]}


# ── The two tasks ────────────────────────────────────────────────────────────


class _RestoreTask:
    _queued: str
    _worked: str
    _usual_failure: str

    def start(self, state: State, task: Row, at: int) -> None:
        job = _job_of(state, task)
        job["status"] = enum("INPROGRESS")
        job["taskTimeStats"][self._queued] = at - task["_made_at"]

    def seconds_needed(self, state: State, task: Row) -> float:
        """All of the machine is made again, also out of an incremental backup."""
        original = state.vms.get(task["protectedEntity"]["guid"], {})
        size = original.get("_disk_bytes") or _job_of(state, task)["backup"]["size"]
        return min(max(size / BYTES_PER_SECOND, SHORTEST), LONGEST)

    def reason_to_fail(self, state: State, task: Row) -> str:
        ordered = engine.behaviour(state, task)
        failing = ordered.get(task["type"]["name"]) == "fail"
        return (ordered.get("reason") or self._usual_failure) if failing else ""

    def fail(self, state: State, task: Row, at: int, reason: str) -> None:
        _job_of(state, task).update(status=enum("FAILED"), statusInfo=reason)


class Restore(_RestoreTask):
    _queued, _worked, _usual_failure = "queuedRestoreTime", "restoreTime", NO_COPY

    def finish(self, state: State, task: Row, at: int) -> str:
        job = _job_of(state, task)
        job["taskTimeStats"][self._worked] = at - task["startTime"]
        summary = f"Backup of VM: {task['protectedEntity']['name']} restored."
        if following := NEXT_TASK.get(job["restoreType"]["name"]):
            engine.promise(state, at + life(state, state.settings.gap_seconds), following, task=dict(task))
        else:
            job.update(status=enum("SUCCESS"), statusInfo=summary)
        return summary


class Import(_RestoreTask):
    _queued, _worked, _usual_failure = "queuedImportTime", "importTime", NO_ROOM

    def finish(self, state: State, task: Row, at: int) -> str:
        job = _job_of(state, task)
        job["taskTimeStats"][self._worked] = at - task["startTime"]
        summary = f"Backups of VM: {task['protectedEntity']['name']} imported."
        job.update(status=enum("SUCCESS"), statusInfo=summary)
        engine.promise(state, at + life(state, INVENTORY_SECONDS), "appear", job=job["guid"])
        return summary


engine.STORIES |= {"RESTORE": Restore(), "IMPORT": Import()}


def _import(state: State, made: Row, at: int) -> None:
    first = made["task"]
    job = state.restore_jobs[first["_job"]]
    backup = state.backups.get(job["backup"]["guid"])
    if job["status"]["name"] != "INPROGRESS" or backup is None:
        return
    queue_task(state, "IMPORT", original(state, backup), backup, at, job)


def _appear(state: State, made: Row, at: int) -> None:
    """A simulated inventory sync finds the new machine, which has no policy yet."""
    job = state.restore_jobs[made["job"]]
    target = state.targets[job["_target"]]
    old = state.vms.get(job["protectedEntity"]["guid"], {})
    project = next((p for p in state.projects.values() if p["name"] == job.get("restoreProjectName")), None)
    if job["_overwrites"]:
        _replace(state, job["restoredPeName"], target, project)
    same = ("type", "hvmType", "hvType", "hvCluster", "supportsQuiesceSnapshot", "vmExportImportMode", "_disk_bytes")
    new: dict[str, Any] = {
        **{name: old[name] for name in same if name in old},
        "guid": job["dstProtectedEntity"]["guid"],
        "name": job["restoredPeName"],
        "uuid": new_guid(),
        "present": True,
        "hvManager": reference(target) if target["_is_manager"] else None,
        "hypervisor": reference(_host(state, target)),
        "project": project and reference(project),
        "vmFlavor": job["_flavor"] and reference(state.flavors[referred_guid(job["_flavor"])]),
        "tenantId": project["uuid"] if project and old.get("tenantId") else None,
        "lastSuccessfulBackupSize": 0,
        "restorable": False,
        "warningsPresent": False,
        "tags": [],
        "_tenant_values": [project["uuid"]] if project else [],
    }
    new.setdefault("type", enum("VM"))
    new.setdefault("hvmType" if target["_is_manager"] else "hvType", target["type"])
    new.setdefault("_disk_bytes", job["backup"]["size"])
    state.vms[new["guid"]] = new
    machines.add_disks(state, new)


def _host(state: State, target: Row) -> Row:
    """Stand-alone it is the host; a manager puts it on its first one."""
    hosts = [row for row in state.targets.values() if (row.get("hvManager") or {}).get("guid") == target["guid"]]
    return hosts[0] if hosts else target


def _replace(state: State, name: str, target: Row, project: Row | None) -> None:
    """On OpenStack every machine of that name in the project goes (20, trap 27)."""
    for vm in state.vms.values():
        is_there = referred_guid(vm.get("hvManager") or vm.get("hypervisor")) == target["guid"]
        is_in_project = project is None or referred_guid(vm.get("project")) == project["guid"]
        if vm["name"] == name and vm["present"] and is_there and is_in_project:
            vm.update(present=False, hypervisor=None)
            vm.pop("backupUpToDate", None)


engine.PROMISES |= {"import": _import, "appear": _appear}


def _job_of(state: State, task: Row) -> Row:
    return state.restore_jobs[task["_job"]]
