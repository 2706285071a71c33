"""What one is told of in a tenant, newest first, read and unread."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from notifications import access, words
from notifications.models import Event, Notice
from tenants.middleware import TenantRequest

PAGE_SIZE = 25
# What happened to many at once is one entry; so many rows are read to find those of a page.
MOST_READ = 250
TOGETHER = timedelta(minutes=2)


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
    found = list(notices[: MOST_READ + 1])
    entries, read = _entries(found[:MOST_READ])
    context = {
        "entries": [_entry(alike, tenant) for alike in entries],
        "older": found[read - 1].pk if len(found) > read else None,
        "is_first_page": before is None,
        "only_unread": only_unread,
    }
    return render(request, "notifications/list.html", context)


def _entries(notices: Iterable[Notice]) -> tuple[list[list[Notice]], int]:
    """Those of a page, what was told together and is alike in one; and in how many notices they were found."""
    entries: list[list[Notice]] = []
    last: dict[tuple[str, bool], list[Notice]] = {}
    for read, notice in enumerate(notices):
        event = notice.event
        alike = (words.group(event), event.settled_at is None)
        if alike in last and _were_told_together(last[alike][0].event, event):
            last[alike].append(notice)
        elif len(entries) == PAGE_SIZE:
            return entries, read
        else:
            last[alike] = [notice]
            entries.append(last[alike])
    return entries, sum(map(len, entries))


def _were_told_together(newer: Event, older: Event) -> bool:
    told_at, told_before = newer.sorted_at, older.sorted_at
    return told_at is not None and told_before is not None and told_at - told_before <= TOGETHER


def _entry(alike: list[Notice], tenant: str) -> dict[str, Any]:
    """`rows`: newest first. `is_unread`: any of them."""
    events = [notice.event for notice in alike]
    return {
        "rows": [_row(notice, tenant) for notice in alike],
        "title": words.title_of_many(events) if len(events) > 1 else "",
        "chip": words.chip(events[0]),
        "is_unread": any(notice.read_at is None for notice in alike),
    }


def _row(notice: Notice, tenant: str) -> dict[str, Any]:
    event = notice.event
    return {
        "notice": notice,
        "event": event,
        "title": words.title(event),
        "reason": words.reason(event),
        "address": words.address(event, tenant),
        "is_alert": words.tells_of_alert(event),
    }


def _number(text: str) -> int | None:
    """Anything odd in the address means the first page."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


@require_POST
def notifications_mark(request: TenantRequest, tenant: str) -> HttpResponse:
    """`read` or `unread` name some of one's own; without either all are read."""
    own, now = access.visible_notices(request.membership), timezone.now()
    if "unread" in request.POST:
        access.notices_for(request, request.POST.getlist("unread")).update(read_at=None)
    elif "read" in request.POST:
        access.notices_for(request, request.POST.getlist("read")).filter(read_at=None).update(read_at=now)
    else:
        own.filter(read_at=None).update(read_at=now)
    page = redirect("notifications", tenant)
    if request.POST.get("show") == "unread":
        page["Location"] += "?show=unread"
    return page
