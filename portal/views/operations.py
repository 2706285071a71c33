"""What was asked for and what became of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from portal import access, polls, words
from tenants.audit import address_of
from tenants.middleware import TenantRequest
from tenants.models import Membership, Role
from vprotect_bridge.models import Backup, Destination, Machine, Operation
from vprotect_bridge.services import may_cancel, request_cancel

PAGE_SIZE = 25
Phase = Operation.Phase
STEPS = {
    Operation.Kind.BACKUP: (Phase.QUEUED, Phase.EXPORTING, Phase.STORING),
    Operation.Kind.RESTORE: (Phase.QUEUED, Phase.RESTORING, Phase.IMPORTING),
    Operation.Kind.TASK: (Phase.QUEUED, Phase.WORKING),
}
# How many steps are behind in each phase.
STEPS_DONE = {
    Phase.QUEUED: 0,
    Phase.EXPORTING: 1,
    Phase.WORKING: 1,
    Phase.RESTORING: 1,
    Phase.BETWEEN: 2,
    Phase.STORING: 2,
    Phase.IMPORTING: 2,
    Phase.CHECKING: 3,
}


@require_safe
@never_cache
def operation_list(request: TenantRequest, tenant: str) -> HttpResponse:
    """Newest first, paged by the last one seen, so that it costs the same on every page."""
    before = _uuid(request.GET.get("before"))
    operations = access.visible_operations(request.membership).order_by("-id")
    if before:
        operations = operations.filter(pk__lt=before)
    rows = list(operations[: PAGE_SIZE + 1])
    context = {
        "operations": rows[:PAGE_SIZE],
        "older": rows[PAGE_SIZE - 1].pk if len(rows) > PAGE_SIZE else None,
        "is_first_page": before is None,
    }
    return render(request, "portal/operations.html", context)


@require_safe
@never_cache
def operation_detail(request: TenantRequest, tenant: str, operation_id: UUID) -> HttpResponse:
    operation = access.operation_for(request, operation_id)
    destination = Destination.objects.filter(guid=operation.request.get("destination_guid", "")).first()
    context = {
        **operation_context(operation, request.membership),
        "destination": destination,
        "window_start": parse_datetime(operation.request.get("window_start") or ""),
        "window_end": parse_datetime(operation.request.get("window_end", "")),
        "backup_at": parse_datetime(operation.request.get("backup_at", "")),
        "may_cancel": may_cancel(request.membership, operation),
    }
    return render(request, "portal/operation.html", context)


@require_safe
@never_cache
def operation_poll(request: TenantRequest, tenant: str, operation_id: UUID) -> HttpResponse:
    """The live part alone; 204 while nothing is new. A finished one comes without the call to ask again."""
    if unchanged := polls.nothing_new(request, access.operation_shown(request, operation_id)):
        return unchanged
    operation = access.operation_for(request, operation_id)
    response = render(request, "portal/partials/operation.html", operation_context(operation, request.membership))
    if operation.is_finished:
        response["HX-Trigger"] = "operation-finished"
    return response


@require_POST
@access.needs(Role.MEMBER)
def operation_cancel(request: TenantRequest, tenant: str, operation_id: UUID) -> HttpResponse:
    operation = access.operation_for(request, operation_id)
    if not may_cancel(request.membership, operation):
        raise PermissionDenied
    if not request_cancel(request.membership, operation, address=address_of(request)):
        messages.info(request, _("It has ended already, or is being cancelled."))
    return redirect("operation", tenant, operation.pk)


def operation_context(operation: Operation, membership: Membership) -> dict[str, Any]:
    """What the live part shows, wherever it is."""
    asked_type = operation.request.get("backup_type", "")
    return {
        "operation": operation,
        "steps": _steps(operation),
        "reason": _reason(operation),
        "made_instead": "" not in {asked_type, operation.made_type} and asked_type != operation.made_type,
        "restored": _restored(operation, membership),
    }


def _restored(operation: Operation, membership: Membership) -> Machine | None:
    """The new machine, once the inventory has it, for those who may see it."""
    if not (operation.is_finished and operation.restored_guid):
        return None
    return access.visible_machines(membership).filter(guid=operation.restored_guid).first()


def _steps(operation: Operation) -> list[dict[str, Any]]:
    """done, now or to come, for each step of the story."""
    steps = STEPS[Operation.Kind(operation.kind)]
    is_good = operation.outcome in {Operation.Outcome.SUCCEEDED, Operation.Outcome.PARTIAL}
    place = len(steps) if is_good else STEPS_DONE.get(Phase(operation.phase), 0)
    if operation.is_finished and not is_good:
        return []
    states = ["done" if step < place else "now" if step == place else "to-come" for step in range(len(steps))]
    return [{"label": phase.label, "state": state} for phase, state in zip(steps, states, strict=True)]


def _reason(operation: Operation) -> words.Text:
    """Why it ended badly, in words; upstream's own text is never shown."""
    is_failed_backup = operation.outcome == Operation.Outcome.FAILED and operation.kind == Operation.Kind.BACKUP
    if operation.user_message or not is_failed_backup:
        # Workers keep the sentence in English; here it is in the reader's language.
        return _(operation.user_message) if operation.user_message else ""
    backup = Backup.objects.filter(guid=operation.backup_guid).first() if operation.backup_guid else None
    return words.failure_reason(backup.status_info if backup else "")


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None
