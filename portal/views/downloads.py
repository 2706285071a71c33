"""Files that were asked for out of an open backup: on their way, ready, taken."""

from __future__ import annotations

import re
from urllib.parse import quote
from uuid import UUID, uuid4

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from portal import access, polls, streams
from tenants.audit import address_of
from tenants.middleware import TenantRequest
from vprotect_bridge import spool
from vprotect_bridge.download_wishes import chosen_by, note_taken, request_download, request_removal
from vprotect_bridge.models import ChosenEntry, Download
from vprotect_bridge.services import WishRefused

# Turns the direction of what is written after it, so that "exe" may look like the beginning of a name.
TURNS = re.compile(r"[\u202a-\u202e\u2066-\u2069\u200e\u200f\0/\\]")


@require_POST
@access.opens_backups
def download_create(request: TenantRequest, tenant: str, mount_id: UUID) -> HttpResponse:
    """All that is chosen, or the one entry that is named."""
    mount = access.mount_for(request, mount_id)
    only = request.POST.get("entry")
    entries = [access.entry_for(mount, only)] if only else chosen_by(request.membership, mount)
    try:
        key = UUID(request.POST.get("client_key", ""))
    except ValueError:
        key = uuid4()
    try:
        download = request_download(request.membership, mount, entries, client_key=key, address=address_of(request))
    except WishRefused as refused:
        messages.warning(request, str(refused.user_message))
        return redirect(_back(request, mount.pk))
    if not only:
        ChosenEntry.objects.filter(user=request.membership.user_id, mount=mount).delete()
    return redirect("download", tenant, mount.pk, download.pk)


def _back(request: TenantRequest, mount_id: UUID) -> str:
    """To the folder that was looked at; an id and nothing else is taken from the form."""
    try:
        return reverse("folder", args=[request.tenant.slug, mount_id, UUID(request.POST.get("folder", ""))])
    except ValueError:
        return reverse("mount", args=[request.tenant.slug, mount_id])


@require_safe
@never_cache
@access.opens_backups
def download(request: TenantRequest, tenant: str, mount_id: UUID, download_id: UUID) -> HttpResponse:
    shown = access.download_for(request, mount_id, download_id)
    return polls.nothing_new(request, _word(shown)) or _page(request, shown)


def _word(shown: Download) -> str:
    return polls.word_for([(shown.pk, shown.state, shown.received_bytes, shown.taken_at, shown.is_there)])


def _page(request: TenantRequest, shown: Download, *, is_busy: bool = False, status: int = 200) -> HttpResponse:
    expected = shown.expected_bytes or 0
    context = {
        "download": shown,
        "mount": shown.mount,
        "seen": _word(shown),
        "percent": min(shown.received_bytes * 100 // expected, 99) if expected else 0,
        "is_busy": is_busy,
    }
    return render(request, "portal/download.html", context, status=status)


@require_POST
@access.opens_backups
def download_remove(request: TenantRequest, tenant: str, mount_id: UUID, download_id: UUID) -> HttpResponse:
    shown = access.download_for(request, mount_id, download_id)
    if request_removal(request.membership, shown, address=address_of(request)):
        messages.success(request, _("It is removed."))
    return redirect("mount", tenant, shown.mount_id)


@require_safe
@never_cache
@access.opens_backups
def download_file(request: TenantRequest, tenant: str, mount_id: UUID, download_id: UUID) -> HttpResponseBase:
    """The file itself, always to be saved, never to be shown; from a byte on where a browser lost it half way."""
    shown = access.download_for(request, mount_id, download_id)
    path = spool.path_of(shown.pk)
    if not (shown.is_there and path.is_file()):
        raise Http404
    try:
        response = streams.send(path, _range_start(request, path.stat().st_size))
    except streams.TooManyStreams:
        busy = _page(request, shown, is_busy=True, status=503)
        busy["Retry-After"] = "30"
        return busy
    if request.method == "GET":
        note_taken(request.membership, shown, address=address_of(request))
    response["Content-Type"] = "application/octet-stream"
    response["Content-Disposition"] = disposition(shown.name)
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _range_start(request: TenantRequest, size: int) -> int:
    wanted = re.fullmatch(r"bytes=(\d{1,15})-", request.headers.get("Range", ""))
    start = int(wanted[1]) if wanted else 0
    return start if start < size else 0


def disposition(name: str) -> str:
    """RFC 6266: any name as UTF-8, and beside it one of plain signs for what is old.

    Nothing in it can end the header or the value: everything but letters and digits is a percent or an underscore.
    """
    clean = TURNS.sub("_", name) or "file"
    plain = re.sub(r"[^A-Za-z0-9 ._-]", "_", clean)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(clean, safe='')}"
