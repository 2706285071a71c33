"""What one is told of in a tenant, newest first, read and unread."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from notifications import access, words
from notifications.models import Notice
from tenants.middleware import TenantRequest

PAGE_SIZE = 25


@require_safe
@never_cache
def notification_list(request: TenantRequest, tenant: str) -> HttpResponse:
    """Paged by the last one seen, so that every page costs the same."""
    only_unread = request.GET.get("show") == "unread"
    before = _number(request.GET.get("before", ""))
    notices = access.visible_notices(request.membership).select_related("event").order_by("-pk")
    if only_unread:
        notices = notices.filter(read_at=None)
    if before:
        notices = notices.filter(pk__lt=before)
    found = list(notices[: PAGE_SIZE + 1])
    context = {
        "rows": [_row(notice, tenant) for notice in found[:PAGE_SIZE]],
        "older": found[PAGE_SIZE - 1].pk if len(found) > PAGE_SIZE else None,
        "is_first_page": before is None,
        "only_unread": only_unread,
    }
    return render(request, "notifications/list.html", context)


def _row(notice: Notice, tenant: str) -> dict[str, Any]:
    event = notice.event
    return {
        "notice": notice,
        "event": event,
        "title": words.title(event),
        "chip": words.chip(event),
        "reason": words.reason(event),
        "address": words.address(event, tenant),
    }


def _number(text: str) -> int | None:
    """Anything odd in the address means the first page."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


@require_POST
def notifications_mark(request: TenantRequest, tenant: str) -> HttpResponse:
    """`read` or `unread` names one of one's own; without either all are read."""
    own, now = access.visible_notices(request.membership), timezone.now()
    if "unread" in request.POST:
        own.filter(pk=access.notice_for(request, request.POST["unread"]).pk).update(read_at=None)
    elif "read" in request.POST:
        own.filter(pk=access.notice_for(request, request.POST["read"]).pk, read_at=None).update(read_at=now)
    else:
        own.filter(read_at=None).update(read_at=now)
    page = redirect("notifications", tenant)
    if request.POST.get("show") == "unread":
        page["Location"] += "?show=unread"
    return page
