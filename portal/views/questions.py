"""What only vProtect knows now: a page asks, a worker answers, the page polls."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal import access
from portal.views.backups import destination_context, granted_places
from portal.views.restores import target_context
from tenants.middleware import TenantRequest
from tenants.models import Role
from vprotect_bridge.models import Question


@require_safe
@never_cache
@access.needs(Role.MEMBER)
def question(request: TenantRequest, tenant: str, question_id: UUID) -> HttpResponse:
    """The part of the form that depends on the answer. 204 = not yet."""
    asked = access.question_for(request, question_id)
    if asked.kind == Question.Kind.RESTORE_TARGETS:
        if not request.membership.may(Role.RESTORER):
            raise PermissionDenied
        # What vProtect answered names other tenants' places too.
        place = access.restore_target_for(asked.machine, request.GET.get("hypervisor", ""))
        context = target_context(asked, place.guid)
        template = "portal/partials/restore_check.html"
    else:
        context = destination_context(asked, granted_places(), request.GET.get("destination", ""))
        template = "portal/partials/destinations.html"
    return HttpResponse(status=204) if context["is_asking"] else render(request, template, context)
