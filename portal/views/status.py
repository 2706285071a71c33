"""How the backup system is, for people of a tenant: whether it answers, how old what they see is, what waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Min, Q
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal import access, polls
from tenants.middleware import TenantRequest
from vprotect_bridge.models import Operation, UpstreamStatus

Submission = Operation.Submission


@dataclass(frozen=True)
class Waiting:
    """Of the person's own tenant: wishes not sent yet, with the oldest; in vProtect's line; at work; being checked."""

    to_send: int
    oldest: datetime | None
    in_line: int
    running: int
    unknown: int


@require_safe
@never_cache
def status(request: TenantRequest, tenant: str) -> HttpResponse:
    return render(request, "portal/status.html", _context(request))


@require_safe
@never_cache
def status_poll(request: TenantRequest, tenant: str) -> HttpResponse:
    context = _context(request)
    if unchanged := polls.nothing_new(request, context["seen"]):
        return unchanged
    return render(request, "portal/partials/status.html", context)


def _context(request: TenantRequest) -> dict[str, Any]:
    upstream = UpstreamStatus.objects.filter(pk=1).first()
    waiting = _waiting(request)
    # To the minute, as the page says it.
    read = [f"{at:%F %H:%M}" for at in (upstream.inventory_at, upstream.followed_at) if at] if upstream else []
    told = upstream and (upstream.unreachable_since, upstream.problem, *read)
    return {"status": upstream, "waiting": waiting, "seen": polls.word_for([(told, waiting)])}


def _waiting(request: TenantRequest) -> Waiting:
    accepted = Q(submission=Submission.ACCEPTED)
    in_line = accepted & Q(phase__in=["", Operation.Phase.QUEUED])
    unknown = Q(submission__in=[*Operation.UNRESOLVED, Submission.NEEDS_ATTENTION])
    counts = (
        access.visible_operations(request.membership)
        .filter(outcome="")
        .aggregate(
            to_send=Count("pk", filter=Q(submission=Submission.PENDING)),
            oldest=Min("created_at", filter=Q(submission=Submission.PENDING)),
            in_line=Count("pk", filter=in_line),
            running=Count("pk", filter=accepted & ~in_line),
            unknown=Count("pk", filter=unknown),
        )
    )
    return Waiting(**counts)
