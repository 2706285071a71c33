"""One short method for each call that the portal makes. All raise `UpstreamError`s only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from vprotect_bridge.client.dialects import DIALECTS, ExportRequest, RestoreRequest
from vprotect_bridge.client.errors import BadAnswer, NotFound
from vprotect_bridge.client.mounts import Mounts
from vprotect_bridge.client.plans import Policy, Resource, Rule, Schedule, checked
from vprotect_bridge.client.read import Malformed
from vprotect_bridge.client.transport import Answer, Transport
from vprotect_bridge.client.types import (
    Backup,
    Cluster,
    Destination,
    Hypervisor,
    Listing,
    Project,
    Reference,
    RestoreJob,
    Storage,
    StoredSize,
    Task,
    VirtualMachine,
)

__all__ = ["ExportAnswer", "ExportRequest", "RestoreRequest", "VProtect"]

T = TypeVar("T")
PAGE_SIZE = 500
MOST_PAGES = 1000


@dataclass(frozen=True)
class ExportAnswer:
    task: Task


class VProtect:
    def __init__(self, transport: Transport, dialect: str = "classic") -> None:
        self.transport = transport
        self.dialect = DIALECTS[dialect]
        self.schedules = Resource(self, "/schedules", Schedule.from_json)
        self.policies = Resource(self, "/policies/vm-backup", Policy.from_json)
        # Also destinations that are off: a PUT drops what it does not say (API reference, 12.1 and 20, trap 16).
        self.rules = Resource(self, "/rules/vm-backup", Rule.from_json, {"only-active-destinations": "false"})
        self.mounts = Mounts(self)

    def list_virtual_machines(self, *, tenantid: str | None = None) -> Listing[VirtualMachine]:
        """Every machine of the inventory, also those that are gone (API reference, 5.1).

        `tenantid` is sent in the dialect's spelling and proves nothing: an unknown filter is ignored (20, trap 1).
        """
        return self.pages(
            "/virtual-machines", self.tenant_filter("/virtual-machines", tenantid), VirtualMachine.from_json
        )

    def tenant_filter(self, path: str, tenantid: str | None) -> dict[str, str]:
        """The filter as the dialect spells it for this list (API reference, 20, trap 1); none for None."""
        return {self.dialect.tenant_filters[path]: tenantid} if tenantid is not None else {}

    def get_virtual_machine(self, guid: str) -> VirtualMachine:
        return self.one("/virtual-machines", guid, VirtualMachine.from_json)

    def list_tasks(
        self,
        *,
        protected_entity: str | None = None,
        backup: str | None = None,
        schedule: str | None = None,
        state: str | None = None,
        type: str | None = None,
        tenant_id: str | None = None,
    ) -> Listing[Task]:
        """Tasks by every filter that the guide names, filtered again by us (guide, "Progress monitoring").

        The machine is sent in both spellings, since the wrong one returns all tasks (API reference, 20, trap 5).
        """
        filters = {
            "protectedEntity": protected_entity,
            "protected-entity": protected_entity,
            "backup": backup,
            "schedule": schedule,
            "state": state,
            "type": type,
            **self.tenant_filter("/tasks", tenant_id),
        }
        listing = self.pages("/tasks", {k: v for k, v in filters.items() if v is not None}, Task.from_json)
        kept = tuple(
            task
            for task in listing.items
            if _refers(task.protected_entity, protected_entity)
            and _refers(task.backup, backup)
            and state in {None, task.state}
            and type in {None, task.type}
        )
        return Listing(kept, listing.complete, listing.dropped)

    def get_task(self, guid: str) -> Task:
        return self.one("/tasks", guid, Task.from_json)

    def list_backups(self, *, protected_entity: str) -> Listing[Backup]:
        """A machine's history (guide, "Browsing backup history"), filtered again by us."""
        listing = self.pages("/backups/", {"protected-entity": protected_entity}, Backup.from_json)
        kept = tuple(backup for backup in listing.items if _refers(backup.protected_entity, protected_entity))
        return Listing(kept, listing.complete, listing.dropped)

    def get_backup(self, guid: str) -> Backup:
        return self.one("/backups", guid, Backup.from_json)

    def list_destinations(self) -> Listing[Destination]:
        return self.pages("/backup-destinations", {}, Destination.from_json)

    def usable_destinations(self, vm_guids: list[str]) -> Listing[Destination]:
        """Destinations usable for all of these machines: a query disguised as POST (API reference, 14.2)."""
        answer = self.transport.post("/backup-destinations/usable-for-vms", [{"guid": guid} for guid in vm_guids])
        return self.listing(answer, Destination.from_json)

    def chargeback_sizes(self) -> Listing[StoredSize]:
        """What is kept of each machine now, of all tenants; none where the server has no such call (17)."""
        filters = ("virtualMachine", "project", "backupDestination", "backupPolicy", "hypervisor")
        body: dict[str, Any] = {"groupBy": "virtual-machine"} | {
            f"{name}Guids": [] for name in (*filters, "hypervisorCluster", "hypervisorManager")
        }
        try:
            answer = self.transport.post("/chargeback-reporting/backup-size/vm", body)
        except NotFound:
            return Listing((), complete=True)
        return self.listing(answer, StoredSize.from_json)

    def listing(self, answer: Answer, parse: Callable[[Any], T]) -> Listing[T]:
        """Of a question disguised as a POST, which comes whole."""
        rows = [] if answer.status == 204 else answer.data
        return _listing(rows, parse, complete=True)

    def list_projects(self) -> Listing[Project]:
        return self.pages("/projects", {}, Project.from_json)

    def export(self, request: ExportRequest) -> ExportAnswer:
        """Starts a backup of one machine (guide, "Performing backup of a VM").

        Raises `BadAnswer` when the answer does not name exactly one EXPORT task of this machine: it was most likely
        made all the same.
        """
        answer = self.transport.post("/tasks/export", self.dialect.export_body(request))
        rows = _rows_of_tasks(answer.data)
        if len(rows) != 1:
            raise BadAnswer(f"the answer names {len(rows)} tasks", status=answer.status)
        task = _one(rows[0], Task.from_json)
        if task.type not in {"EXPORT", ""} or not _refers(task.protected_entity, request.vm_guid):
            raise BadAnswer("the answer is about another task", status=answer.status)
        return ExportAnswer(task)

    def restore_and_import(self, request: RestoreRequest) -> Task:
        """Makes a machine again from a backup; the answer is its RESTORE task, IMPORT follows (guide, "Restoring").

        Raises `BadAnswer` when the answer does not name exactly one RESTORE task of this backup: it was most likely
        made all the same.
        """
        answer = self.transport.post("/tasks/restore-and-import", self.dialect.restore_body(request))
        return self.task_of(answer, "RESTORE", request.backup_guid)

    def task_of(self, answer: Answer, kind: str, backup: str) -> Task:
        """The one task of this kind and backup that an answer names. Raises `BadAnswer`."""
        rows = _rows_of_tasks(answer.data)
        if len(rows) != 1:
            raise BadAnswer(f"the answer names {len(rows)} tasks", status=answer.status)
        task = _one(rows[0], Task.from_json)
        if task.type not in {kind, ""} or (task.backup and task.backup.guid != backup):
            raise BadAnswer("the answer is about another task", status=answer.status)
        return task

    def list_hypervisors(self, *, backup_to_be_restored: str | None = None) -> Listing[Hypervisor]:
        """Managers and stand-alone hypervisors; with a backup, those where its machine can be made again.

        Hosts below a manager are listed too, but nothing is restored to them by themselves (API reference, 6.4).
        """
        filters = {"backup-to-be-restored": backup_to_be_restored} if backup_to_be_restored else {}
        managers = self.pages("/hypervisor-managers/", filters, Hypervisor.manager_from_json)
        hosts = self.pages("/hypervisors/", filters, Hypervisor.host_from_json)
        dropped = managers.dropped + hosts.dropped
        alone = tuple(host for host in hosts.items if not host.is_managed)
        return Listing(managers.items + alone, managers.complete and hosts.complete, dropped)

    def list_clusters(self, hypervisor: Hypervisor) -> Listing[Cluster]:
        return self.pages("/hypervisor-clusters", _of(hypervisor), Cluster.from_json)

    def list_storages(self, hypervisor: Hypervisor) -> Listing[Storage]:
        return self.pages("/hypervisor-storages", _of(hypervisor), Storage.from_json)

    def list_restore_jobs(self, *, protected_entity: str) -> Listing[RestoreJob]:
        """A machine's restores (API reference, 9), filtered again by us; none where the server has no such call."""
        try:
            listing = self.pages("/restore-jobs", {"protected-entity": protected_entity}, RestoreJob.from_json)
        except NotFound:
            return Listing((), complete=True)
        kept = tuple(job for job in listing.items if _refers(job.protected_entity, protected_entity))
        return Listing(kept, listing.complete, listing.dropped)

    def cancel_task(self, guid: str) -> None:
        """Asks a task to stop (API reference, 6.8); it does so at its next safe point."""
        body = {"state": {"name": "CANCELLED"}, "statusInfo": "Canceled by user"}
        self.transport.put(f"/tasks/{checked(guid)}/state", body)

    def one(self, path: str, guid: str, parse: Callable[[Any], T], params: dict[str, str] | None = None) -> T:
        return _one(self.transport.get(f"{path}/{checked(guid)}", params).data, parse)

    def pages(self, path: str, filters: dict[str, str], parse: Callable[[Any], T]) -> Listing[T]:
        walk = Walk(self.transport, path, filters)
        rows = [row for page in walk for row in page]
        return _listing(rows, parse, complete=walk.complete)

    def walk_virtual_machines(self) -> Walk:
        """The inventory page by page, as it comes: of fifty thousand rows nobody wants to hold all at once."""
        return Walk(self.transport, "/virtual-machines", {})


@dataclass
class Walk:
    """Walks the pages of a list until the total is reached or a page brings nothing new.

    So a server that ignores paging, or has a page size of its own, is read to its end as well. An empty 200 without
    `[]` proves nothing: the walk is then not `complete` (API reference, 3.7). Raises `UpstreamError` on its way.
    """

    transport: Transport
    path: str
    filters: dict[str, str]
    complete: bool = False

    def __iter__(self) -> Iterator[list[Any]]:
        """Each page's rows that no page had before it."""
        seen: set[str] = set()
        count, is_all = 0, False
        for page in range(MOST_PAGES):
            answer = self.transport.get(self.path, {**self.filters, "page": page, "size": PAGE_SIZE})
            if answer.data is None and page == 0:
                self.complete = answer.status == 204
                return
            if not isinstance(answer.data, list | None):
                raise BadAnswer("a list was expected", status=answer.status)
            new = [row for row in answer.data or [] if _key(row) not in seen]
            seen.update(map(_key, new))
            count += len(new)
            is_all = answer.total is not None and count >= answer.total
            if is_all or not new:
                self.complete = is_all or answer.total is None
                yield new
                return
            yield new


def _listing(rows: Any, read: Callable[[Any], T], *, complete: bool) -> Listing[T]:
    if rows is None:
        return Listing((), complete=False)
    if not isinstance(rows, list):
        raise BadAnswer("a list was expected")
    items, dropped = [], 0
    for row in rows:
        try:
            items.append(read(row))
        except Malformed:
            dropped += 1
    return Listing(tuple(items), complete, dropped)


def _one(row: Any, read: Callable[[Any], T]) -> T:
    try:
        return read(row)
    except Malformed as error:
        raise BadAnswer(str(error)) from error


def _rows_of_tasks(data: Any) -> list[Any]:
    """The four shapes of an answer: array, object, batch, empty (API reference, 6.3)."""
    if isinstance(data, list):
        return data
    if isinstance(data, dict):
        return data["tasks"] if isinstance(data.get("tasks"), list) else [data]
    return []


def _of(hypervisor: Hypervisor) -> dict[str, str]:
    return {"hypervisor-manager" if hypervisor.is_manager else "hypervisor": hypervisor.guid}


def _refers(reference: Reference | None, guid: str | None) -> bool:
    return guid is None or (reference is not None and reference.guid == guid)


def _key(row: Any) -> str:
    """What tells a row from those of other pages, also one without a GUID."""
    return str(row["guid"]) if isinstance(row, dict) and row.get("guid") else repr(row)
