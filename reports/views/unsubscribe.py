"""No more of a report by mail, with one click and without signing in (RFC 8058)."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.core.signing import BadSignature
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from reports import unsubscribing
from reports.models import ReportFile
from tenants.audit import address_of
from tenants.brands import look_of
from tenants.preferences import as_read_by


# A mail program asks for it without cookies. The link says all there is to say, and a session is not looked at.
@csrf_exempt
@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@transaction.atomic
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """A look changes nothing: programs that check mails look at every link."""
    try:
        left = unsubscribing.read(token)
    except BadSignature as error:
        raise Http404 from error
    membership = left.membership
    if membership is not None and request.method == "POST":
        unsubscribing.unsubscribe(membership, left.kind, address=address_of(request))
    with as_read_by(membership.user if membership else None):
        look = look_of(membership.tenant if membership else None)
        context = {
            "membership": membership,
            "report": ReportFile.Kind(left.kind).label,
            "is_done": request.method == "POST" or membership is None,
            "look": look,
            "portal_name": look.name,
        }
        return render(request, "reports/unsubscribe.html", context)
