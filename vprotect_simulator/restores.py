"""Restores: RESTORE, a gap, IMPORT; the restore job tells how it ended (API reference, 6.4, 7.2, 9 and duty 25)."""

from __future__ import annotations

from typing import Any

from vprotect_simulator import engine
from vprotect_simulator.backups import BYTES_PER_SECOND, GOOD, LONGEST, SHORTEST
from vprotect_simulator.engine import Refused, life
from vprotect_simulator.names import Row, enum, guid_of, new_guid, reference, referred_guid
from vprotect_simulator.state import State

NO_ROOM = "Import failed: not enough space on the target storage of hv-02.internal"
NO_COPY = "Backup destination is not assigned to the node"
INVENTORY_SECONDS = 20
# The promise that goes on after RESTORE, by the restore job's type; none = that was all.
NEXT_TASK = {"RESTORE_AND_IMPORT": "import"}


def request_restore(state: State, body: Row) -> Row:
    """Makes a RESTORE task and its restore job (duty 25). Raises `Refused` for what cannot be."""
    backup = _usable_backup(state, body)
    target = _target(state, body, backup)
    _check_place(state, body, target)
    vm = original(state, backup)
    job = add_job(
        state,
        "RESTORE_AND_IMPORT",
        backup,
        restoredPeName=body.get("restoredPeName") or vm["name"],
        restoreClusterId=body.get("restoreClusterId"),
        restoreStorageId=body.get("restoreStorageId"),
        restoreProjectName=_project_name(body),
        dataCenterName=_data_center(body),
        _target=target["guid"],
    )
    return queue_task(state, "RESTORE", vm, backup, state.clock.now_ms(), job)


def request_restore_to_node(state: State, body: Row) -> Row:
    """Makes the one RESTORE task that writes a backup's files to a directory of a node (6.5); no import follows."""
    backup = _usable_backup(state, body)
    if not referred_guid(body.get("node")):
        raise Refused(400, "node is required")
    job = add_job(state, "RESTORE", backup, restorePath=body.get("restorePath"), node=body["node"])
    return queue_task(state, "RESTORE", original(state, backup), backup, state.clock.now_ms(), job)


def add_job(state: State, restore_type: str, backup: Row, **members: Any) -> Row:
    job: Row = {
        "guid": new_guid(),
        "restoreType": enum(restore_type),
        "status": enum("QUEUED"),
        "restoreTime": state.clock.now_ms(),
        "backup": {"guid": backup["guid"], "snapshotTime": backup["snapshotTime"], "size": backup["size"]},
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
        originEntity={"guid": "svc-account", "name": "portal-svc", "type": enum("USER")},
        dstProtectedEntity=job.get("dstProtectedEntity"),
        _job=job["guid"],
        **_target_member(state, job),
    )


def _target_member(state: State, job: Row) -> Row:
    if "_target" not in job:
        return {}
    target = state.targets[job["_target"]]
    member = "hypervisorManager" if target["_is_manager"] else "hypervisor"
    return {member: {"guid": target["guid"], "name": target["name"]}}


# ── What may be restored, and where ──────────────────────────────────────────


def _usable_backup(state: State, body: Row) -> Row:
    guid = referred_guid(body.get("backup")) or referred_guid((body.get("backupLocation") or {}).get("backup"))
    backup = state.backups.get(guid)
    if backup is None:
        raise Refused(404, "Backup with given GUID does not exist")
    is_there = any(location["status"]["name"] == "PRESENT" for location in backup["backupLocations"])
    if backup["status"]["name"] not in GOOD or not is_there:
        raise Refused(400, "Backup cannot be restored in its present state")
    return backup


def _target(state: State, body: Row, backup: Row) -> Row:
    given = [referred_guid(body.get(member)) for member in ("hypervisor", "hypervisorManager")]
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
    """Where a machine of this platform can be made again (`backup-to-be-restored`)."""
    return [target for target in state.targets.values() if target["type"]["name"] == backup.get("_platform")]


def _check_place(state: State, body: Row, target: Row) -> None:
    """Cluster and storage are named by the platform's `uuid`, not by GUID (20, trap 6)."""
    for member, rows in (("restoreClusterId", state.clusters), ("restoreStorageId", state.storages)):
        wanted = body.get(member)
        if wanted is not None and not any(
            row["uuid"] == wanted and row["_target"] == target["guid"] for row in rows.values()
        ):
            raise Refused(400, f"{member} is unknown")
    if target["type"]["name"] == "OPENSTACK" and not _project_name(body):
        raise Refused(400, "restoreProject is required")
    if target["type"]["name"] == "VCENTER" and not _data_center(body):
        raise Refused(400, "dataCenter is required")


def _project_name(body: Row) -> str:
    project = body.get("restoreProject")
    return project.get("name", "") if isinstance(project, dict) else project or ""


def _data_center(body: Row) -> str | None:
    data_center = body.get("dataCenter")
    return data_center.get("name") if isinstance(data_center, dict) else None


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

    def start(self, state: State, task: Row, at: int) -> None:
        """From now on the new machine has a GUID; the inventory shows it only after its next sync."""
        super().start(state, task, at)
        job = _job_of(state, task)
        job["dstProtectedEntity"] = {"guid": new_guid(), "name": job["restoredPeName"], "type": enum("VM")}
        task["dstProtectedEntity"] = job["dstProtectedEntity"]

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
    """A simulated inventory sync finds the new machine."""
    job = state.restore_jobs[made["job"]]
    target = state.targets[job["_target"]]
    original = state.vms.get(job["protectedEntity"]["guid"], {})
    project = next((p for p in state.projects.values() if p["name"] == job.get("restoreProjectName")), None)
    new: dict[str, Any] = {
        **{name: original[name] for name in ("type", "hvmType", "hvType", "_disk_bytes") if name in original},
        "guid": job["dstProtectedEntity"]["guid"],
        "name": job["restoredPeName"],
        "uuid": new_guid(),
        "present": True,
        "hvManager": {"guid": target["guid"], "name": target["name"]} if target["_is_manager"] else None,
        "hypervisor": {"guid": guid_of("host/new"), "name": "compute-01"},
        "project": project and reference(project),
        "tenantId": project["uuid"] if project and original.get("tenantId") else None,
        "lastSuccessfulBackupSize": 0,
        "restorable": False,
        "warningsPresent": False,
        "_tenant_values": [project["uuid"]] if project else [],
    }
    state.vms[new["guid"]] = new


engine.PROMISES |= {"import": _import, "appear": _appear}


def _job_of(state: State, task: Row) -> Row:
    return state.restore_jobs[task["_job"]]
