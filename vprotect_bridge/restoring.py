"""What is peculiar to a restore in the submit protocol (docs/submit-protocol.md, "Marker").

The task list does not show the new machine's name and there is no window to mark, so a restore is known again by its
backup, by not having been there before, and by its restore job. It is never sent again by itself: a person decides.
"""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from tenants.askers import asker_of
from tenants.models import Grant, Role
from vprotect_bridge.client.api import RestoreRequest, VProtect
from vprotect_bridge.client.plans import by_role
from vprotect_bridge.client.types import RestoreJob, Task
from vprotect_bridge.models import Backup, Operation
from vprotect_bridge.sight import Sight, free_of_others

RESTORABLE = {"SUCCESS", "PARTIAL_SUCCESS"}
# What tells the one story from the other, where the server tells it at all (API reference, 6.1).
RESTORE_TYPE = {Operation.Kind.RESTORE: "RESTORE_AND_IMPORT", Operation.Kind.MOUNT: "RESTORE_AND_MOUNT"}


def refusal(operation: Operation) -> str:
    """Why the wish may not be sent any more, in words for its owner; empty = it may."""
    request, tenant_id = operation.request, operation.tenant_id
    asker = asker_of(tenant_id, operation.created_by_id, operation.token_id)
    in_scope = asker and (asker.machine_guids is None or operation.subject_guid in asker.machine_guids)
    if not operation.tenant.is_active or not asker or not in_scope or not asker.may(Role.RESTORER):
        if operation.token_id:
            return _("The token with which it was asked for may not restore this machine any more.")
        return _("The person who asked for it may not restore this machine any more.")
    backup = Backup.across_tenants.filter(guid=request["backup_guid"], tenant=tenant_id, vanished_at=None).first()
    if backup is None or backup.status not in RESTORABLE:
        return _("This backup cannot be restored any more.")
    granted = {(grant.kind, grant.guid or grant.name) for grant in Grant.across_tenants.filter(tenant=tenant_id)}
    if not {(kind, place) for kind, place in request["grants"]} <= granted:
        return _("The place where it was to be restored is not available to you any more.")
    return ""


def look_up(api: VProtect, operation: Operation) -> Sight:
    """Looks for a RESTORE task, or a restore job whose task is already gone, that was not there before the send.

    Before a send nothing can be ours: what is there is remembered, so that it is never taken for ours later.
    """
    tasks = api.list_tasks(protected_entity=operation.subject_guid)
    restores = [task for task in tasks.items if task.type == "RESTORE"]
    of_backup = [
        task
        for task in restores
        if task.backup
        and task.backup.guid == operation.request["backup_guid"]
        and task.restore_type in {"", RESTORE_TYPE[Operation.Kind(operation.kind)]}
    ]
    jobs = api.list_restore_jobs(protected_entity=operation.subject_guid)
    seen = (*(task.guid for task in tasks.items), *(job.guid for job in jobs.items))
    is_complete = tasks.complete and jobs.complete and not (tasks.dropped or jobs.dropped)
    if operation.sent_at is None:
        return Sight(absent=is_complete, seen_guids=seen)
    new = [task for task in free_of_others(of_backup, operation) if task.guid not in operation.baseline]
    job = find_job(operation, jobs.items)
    if new:
        return Sight(tasks=tuple(new), restore_job_guid=job.guid if job else "", seen_guids=seen)
    return Sight(restore_job_guid=job.guid if job else "", absent=is_complete and job is None, seen_guids=seen)


def find_job(operation: Operation, jobs: tuple[RestoreJob, ...]) -> RestoreJob | None:
    """The one job of this kind, backup and name since the send that was not there before and is no other's."""
    if operation.restore_job_guid:
        return next((job for job in jobs if job.guid == operation.restore_job_guid), None)
    wanted_name = operation.request.get("name") or operation.machine.name
    others = Operation.across_tenants.filter(subject_guid=operation.subject_guid).exclude(pk=operation.pk)
    tied = set(others.exclude(restore_job_guid="").values_list("restore_job_guid", flat=True))
    ours = [
        job
        for job in jobs
        if job.guid not in tied
        and job.guid not in operation.baseline
        and job.backup is not None
        and job.backup.guid == operation.request["backup_guid"]
        and job.restored_name in {"", wanted_name}
        and job.restore_type in {"", RESTORE_TYPE[Operation.Kind(operation.kind)]}
    ]
    return ours[0] if len(ours) == 1 else None


def prepare(api: VProtect, operation: Operation) -> str:
    """All that is sent was chosen by the person."""
    return ""


def post(api: VProtect, operation: Operation) -> Task:
    request = operation.request
    return api.restore_and_import(
        RestoreRequest(
            backup_guid=request["backup_guid"],
            hypervisor_guid=request["hypervisor_guid"],
            is_manager=request["is_manager"],
            name=request["name"],
            cluster_uuid=request["cluster_uuid"],
            storage_uuid=request["storage_uuid"],
            project_name=request["project_name"],
            data_center=request.get("data_center", ""),
            location_guid=location_of(request["backup_guid"]),
        )
    )


def location_of(backup_guid: str) -> str:
    """The copy to restore from (API reference, 8.3): present, the primary one if it is; empty = none is known."""
    destinations = Backup.across_tenants.filter(guid=backup_guid).values_list("destinations", flat=True).first()
    present = [copy for copy in destinations or () if copy["status"] == "PRESENT" and copy.get("location_guid")]
    first = min(present, key=lambda copy: by_role(copy["role"]), default=None)
    return first["location_guid"] if first else ""
