"""One operation: what was asked for and what became of it."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from portal import access, polls
from portal.operation_story import operation_context
from portal.operation_words import event_sentence
from tenants.audit import address_of
from tenants.middleware import TenantRequest
from vprotect_bridge.models import Destination, OperationEvent, OperationTask
from vprotect_bridge.services import may_cancel, request_cancel


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


@require_safe
@never_cache
def operation_details(request: TenantRequest, tenant: str, operation_id: UUID) -> HttpResponse:
    """For support: what happened, which of vProtect's tasks worked on it, every id. A page, and lists' drawer."""
    if unchanged := polls.nothing_new(request, access.operation_shown(request, operation_id)):
        return unchanged
    operation = access.operation_for(request, operation_id)
    # Not `detail`: how vProtect puts it is not for web.
    events = OperationEvent.objects.filter(operation=operation).values_list("at", "moved_from", "moved_to")
    context = {
        "operation": operation,
        "tasks": OperationTask.objects.filter(operation=operation),
        "events": [(at, event_sentence(operation, was, becomes)) for at, was, becomes in events.order_by("at")],
        "is_drawer": request.headers.get("HX-Target") == "drawer-body",
    }
    is_part = "HX-Request" in request.headers
    template = "portal/partials/operation_details.html" if is_part else "portal/operation_details.html"
    return render(request, template, context)


@require_POST
def operation_cancel(request: TenantRequest, tenant: str, operation_id: UUID) -> HttpResponse:
    operation = access.operation_for(request, operation_id)
    if not may_cancel(request.membership, operation):
        raise PermissionDenied
    is_asked = request_cancel(request.membership, operation, address=address_of(request))
    if "stay" in request.POST:
        # From a live list, which shows by itself how it goes on.
        return HttpResponse(status=204)
    if not is_asked:
        messages.info(request, _("It has ended already, or is being cancelled."))
    return redirect("operation", tenant, operation.pk)
