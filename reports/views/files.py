"""Files of reports: asked for, on their way, taken."""

from __future__ import annotations

from datetime import date
from uuid import UUID, uuid4

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseBadRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal import access, polls, streams
from portal.views.downloads import disposition
from reports.access import file_for
from reports.files import Format, Kind, State, may_have, name_of, own_files, path_of, request_file
from reports.models import ReportFile
from reports.views.protection import period_asked_for
from reports.views.usage import month_asked_for
from tenants.audit import address_of, record_of
from tenants.middleware import TenantRequest
from vprotect_bridge.models import Operation

MOST_SHOWN = 20
CONTENT_TYPES = {Format.PDF: "application/pdf", Format.CSV: "text/csv; charset=utf-8"}


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def files(request: TenantRequest, tenant: str) -> HttpResponse:
    """A person's own, and asking for another: of the period or month that the form names."""
    if request.method != "POST":
        return render(request, "reports/files.html", {"files": own_files(request.membership)[:MOST_SHOWN]})
    kind, format = request.POST.get("kind", ""), request.POST.get("format", "")
    if kind not in {Kind.PROTECTION, Kind.USAGE} or format not in Format.values:
        return HttpResponseBadRequest()
    if not may_have(request.membership, kind):
        raise PermissionDenied
    file = request_file(
        request.membership,
        kind,
        format,
        client_key=_client_key(request),
        address=address_of(request),
        days=_days(request, kind),
    )
    return redirect("report-file", tenant, file.pk)


def _days(request: TenantRequest, kind: str) -> tuple[date, date]:
    if kind == Kind.PROTECTION:
        period = period_asked_for(request, request.POST)
        return period.first, period.last
    month = month_asked_for(request, request.POST)
    return month.first, month.last


def _client_key(request: TenantRequest) -> UUID:
    try:
        return UUID(request.POST.get("client_key", ""))
    except ValueError:
        return uuid4()


@require_POST
def evidence(request: TenantRequest, tenant: str, operation_id: UUID) -> HttpResponse:
    """Of a restore that has ended, as a PDF."""
    operation = access.operation_for(request, operation_id)
    if operation.kind != Operation.Kind.RESTORE or not operation.is_finished:
        raise Http404
    file = request_file(
        request.membership,
        Kind.RESTORE,
        Format.PDF,
        client_key=_client_key(request),
        address=address_of(request),
        operation_id=operation.pk,
        machine_guid=operation.machine.guid,
        machine_name=operation.machine.name,
    )
    return redirect("report-file", tenant, file.pk)


@require_safe
@never_cache
def file(request: TenantRequest, tenant: str, file_id: UUID) -> HttpResponse:
    shown = file_for(request, file_id)
    return polls.nothing_new(request, _word(shown)) or _page(request, shown)


def _word(shown: ReportFile) -> str:
    return polls.word_for([(shown.pk, shown.state, shown.progress)])


def _page(request: TenantRequest, shown: ReportFile, *, is_busy: bool = False, status: int = 200) -> HttpResponse:
    context = {"file": shown, "name": name_of(shown), "seen": _word(shown), "is_busy": is_busy}
    return render(request, "reports/file.html", context, status=status)


@require_safe
@never_cache
def file_content(request: TenantRequest, tenant: str, file_id: UUID) -> HttpResponseBase:
    """Always to be saved, never to be shown."""
    shown = file_for(request, file_id)
    path = path_of(shown)
    if shown.state != State.READY or not path.is_file():
        raise Http404
    try:
        response = streams.send(path)
    except streams.TooManyStreams:
        busy = _page(request, shown, is_busy=True, status=503)
        busy["Retry-After"] = "30"
        return busy
    if request.method == "GET":
        record_of(
            request.membership, "report_taken", address=address_of(request), report=shown.kind, file=str(shown.pk)
        )
    response["Content-Type"] = CONTENT_TYPES[Format(shown.format)]
    response["Content-Disposition"] = disposition(name_of(shown))
    response["X-Content-Type-Options"] = "nosniff"
    return response
