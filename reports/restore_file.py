"""Evidence of a restore: who wanted what back, when, how long it took, how it ended, and where that is written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from portal import dates, words
from portal.access import visible_machines, visible_operations
from portal.audit_words import AUDIT_ACTION, who
from portal.operation_story import reasons
from portal.operation_words import event_sentence, task_chip
from portal.templatetags.portal_words import role_name, task_name, took
from reports.models import ReportFile
from reports.pdf import Sheet, Table, made_at
from tenants.models import AuditEntry, Membership
from vprotect_bridge.models import Backup, Operation, OperationEvent, OperationTask

Facts = list[tuple[str, str]]
# So that it is one page; all of them are on the page of the restore and in the audit.
MOST_EVENTS, MOST_ENTRIES = 12, 4


class NotThere(Exception):
    """The restore is gone, or is not of the machines that the person sees."""


def write(path: Path, file: ReportFile, membership: Membership, tell: Callable[[int], None]) -> None:
    ended = visible_operations(membership).filter(kind=Operation.Kind.RESTORE).exclude(outcome="")
    operation = ended.filter(pk=file.operation_id).first() if file.operation_id else None
    if operation is None:
        raise NotThere
    sheet = Sheet(words.operation_title(operation), membership.tenant.name, made_at(membership), is_dense=True)
    sheet.paragraph(str(words.operation_sentence(operation)))
    if reason := reasons([operation]).get(operation.pk):
        sheet.paragraph(str(reason))
    sheet.beside((_("What was asked for"), _asked(operation)), (_("What became of it"), _became(operation, membership)))
    sheet.heading(_("Tasks of the backup system"))
    _tasks(sheet, operation)
    sheet.beside((_("What happened"), _happened(operation)), (_("Where this is written"), _references(operation)))
    sheet.output(str(path))


def _asked(operation: Operation) -> Facts:
    request = operation.request
    point = parse_datetime(request.get("backup_at", ""))
    backup = Backup.objects.filter(guid=operation.backup_guid).first() if operation.backup_guid else None
    facts = [
        (_("Asked for by"), str(words.asked_by(operation))),
        *_token_maker(operation),
        (_("Asked for"), dates.full(operation.created_at)),
        (_("Machine"), operation.machine.name),
        (_("Machine id"), operation.subject_guid),
        (_("Restore point"), dates.full(point) if point else "–"),
        (_("Type"), str(words.backup_type(backup.type)) if backup else "–"),
        (_("New machine"), request.get("name") or operation.machine.name),
    ]
    places = (
        (_("Cluster"), "cluster_name"),
        (_("Storage"), "storage_name"),
        (_("Data center"), "data_center"),
        (_("Project"), "project_name"),
    )
    return facts + [(label, request[key]) for label, key in places if request.get(key)]


def _token_maker(operation: Operation) -> Facts:
    """Of a token of the tenant's own: nobody else answers for it."""
    entries = AuditEntry.objects.filter(detail__operation=str(operation.pk), detail__token_made_by__isnull=False)
    maker = entries.values_list("detail__token_made_by", flat=True).first()
    return [(_("Token made by"), maker)] if maker else []


def _became(operation: Operation, membership: Membership) -> Facts:
    began, ended = operation.started_at, operation.finished_at
    facts = [
        (_("Outcome"), str(words.operation_chip(operation).word)),
        (_("Started"), dates.full(began) if began else "–"),
        (_("Ended"), dates.full(ended) if ended else "–"),
        (_("Took"), took(operation) or "–"),
    ]
    if operation.restored_guid:
        restored = visible_machines(membership).filter(guid=operation.restored_guid).first()
        facts.append((_("Restored as"), restored.name if restored else "–"))
        facts.append((_("Id of the restored machine"), operation.restored_guid))
    return facts


def _tasks(sheet: Sheet, operation: Operation) -> None:
    tasks = list(OperationTask.objects.filter(operation=operation))
    if not tasks:
        return sheet.paragraph(_("They are not known: it had ended when it was first seen."))
    rows = [
        (
            f"{task_name(task.type)} ({task.type})",
            str(task_chip(task).word),
            dates.full(task.started_at) if task.started_at else "–",
            dates.full(task.ended_at) if task.ended_at else "–",
            task.guid,
        )
        for task in tasks
    ]
    columns = (_("Task"), _("Status"), _("Started"), _("Ended"), _("Id"))
    return sheet.table_of(Table(columns, (5, 3, 5, 5, 7), rows))


def _happened(operation: Operation) -> Facts:
    events = OperationEvent.objects.filter(operation=operation).order_by("-at")
    told = list(events.values_list("at", "moved_from", "moved_to")[:MOST_EVENTS])[::-1]
    return [(dates.full(at), str(event_sentence(operation, was, now))) for at, was, now in told]


def _references(operation: Operation) -> Facts:
    """The entries of the audit that this operation left, and the ids by which the logs name it."""
    entries = AuditEntry.objects.filter(detail__operation=str(operation.pk)).exclude(action="report_requested")
    facts = [
        (
            _("Audit entry"),
            f"{entry.pk} · {AUDIT_ACTION.get(entry.action, entry.action)} · {dates.full(entry.at)} · "
            f"{who(entry)} ({role_name(entry.role)})",
        )
        for entry in entries.filter(at__gte=operation.created_at - timedelta(minutes=5)).order_by("at")[:MOST_ENTRIES]
    ]
    facts.append((_("Operation id"), str(operation.pk)))
    facts.append((_("Correlation"), operation.correlation_id))
    if operation.backup_guid:
        facts.append((_("Backup id"), operation.backup_guid))
    return facts
