"""Everything that happens to a tenant's machines, newest first, live."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal import access, polls, words
from portal.activity_filter import ActivityFilter
from portal.operation_story import reasons
from tenants.middleware import TenantRequest
from vprotect_bridge.models import Operation, UpstreamStatus
from vprotect_bridge.services import may_cancel

PAGE_SIZE = 25
# Seconds between two polls: while something on the page moves, and while only something new can come.
MOVING, QUIET = 3, 15


@require_safe
@never_cache
def activity(request: TenantRequest, tenant: str) -> HttpResponse:
    form = ActivityFilter(request.GET, membership=request.membership)
    context = {
        "shortcuts": [
            {"query": form.query(state=state), "word": word, "is_chosen": state == form.chosen.get("state", "")}
            for state, word in words.ACTIVITY_SHORTCUTS.items()
        ],
        **_list(request, form, _before(request)),
    }
    return render(request, "portal/activity.html", context)


@require_safe
@never_cache
def activity_poll(request: TenantRequest, tenant: str) -> HttpResponse:
    """The list alone, as the address filters and pages it; of a row that is as the page shows it, only its place."""
    form = ActivityFilter(request.GET, membership=request.membership)
    before = _before(request)
    shown = polls.operations_shown(_page(request, form, before)[:PAGE_SIZE])
    if unchanged := polls.nothing_new(request, polls.words_for(shown)):
        return unchanged
    return render(
        request, "portal/partials/activity.html", _list(request, form, before, seen=request.GET.get("seen", ""))
    )


def _list(request: TenantRequest, form: ActivityFilter, before: Operation | None, seen: str = "") -> dict[str, Any]:
    upstream = UpstreamStatus.objects.filter(pk=1).first()
    operations = list(_page(request, form, before)[: PAGE_SIZE + 1])
    shown = operations[:PAGE_SIZE]
    is_moving = any(not operation.is_finished for operation in shown)
    return {
        "form": form,
        "operations": shown,
        "rows": _rows(request, shown, upstream, seen),
        "upstream": upstream,
        "open_count": access.visible_operations(request.membership).filter(outcome=Operation.Outcome.OPEN).count(),
        "before": before,
        "older": shown[-1] if len(operations) > PAGE_SIZE else None,
        # An older page has news only for as long as something on it moves.
        "poll_every": MOVING if is_moving else None if before else QUIET,
    }


def _page(request: TenantRequest, form: ActivityFilter, before: Operation | None) -> QuerySet[Operation]:
    """Paged by the last one seen, so that every page costs the same."""
    operations = form.operations(access.visible_operations(request.membership)).order_by("-created_at", "-pk")
    if before is None:
        return operations
    is_older = Q(created_at__lt=before.created_at) | Q(pk__lt=before.pk)
    return operations.filter(is_older, created_at__lte=before.created_at)


def _before(request: TenantRequest) -> Operation | None:
    """The last one of the page before; where the address names none that this person sees, the first page is meant."""
    try:
        named = UUID(request.GET.get("before", ""))
    except ValueError:
        return None
    return access.visible_operations(request.membership).filter(pk=named).first()


def _rows(
    request: TenantRequest, operations: list[Operation], upstream: UpstreamStatus | None, seen: str
) -> list[dict[str, Any]]:
    why = reasons(operations)
    facts = polls.shown(operations, upstream.unreachable_since if upstream else None)
    return [
        {
            "operation": operation,
            "is_shown": polls.is_in_words(fact, seen),
            "reason": why.get(operation.pk, ""),
            "may_cancel": not operation.is_finished
            and operation.cancel_wanted_at is None
            and may_cancel(request.membership, operation),
        }
        for operation, fact in zip(operations, facts, strict=True)
    ]
