"""Coming runs: a page, and an address that a calendar program reads."""

from __future__ import annotations

from datetime import timedelta

from allauth.core.internal import ratelimit
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from django_scopes import scope

from reports.feeds import calendar_of, coming_runs, make_feed, note_read, open_feed, own_feed, revoke_feed
from tenants.audit import address_of
from tenants.middleware import TenantRequest
from tenants.preferences import as_read_by
from tenants.request_rates import Allowance
from tenants.single_sign_on import provider_key_of

# Calendars ask every hour or so; one that asks all the time is told to wait.
OF_A_FEED = Allowance(at_once=20, a_second=1 / 30)
DAYS_SHOWN = timedelta(days=7)
MOST_SHOWN = 60


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def calendar(request: TenantRequest, tenant: str) -> HttpResponse:
    """The address is in the answer to having it made, and nowhere afterwards."""
    address = ""
    if request.method == "POST":
        match request.POST.get("action"):
            case "make":
                key = provider_key_of(request)
                address = make_feed(request.membership, provider_key=key, address=address_of(request))
            case "revoke":
                if revoke_feed(request.membership, address=address_of(request)):
                    messages.success(request, _("The address opens nothing any more."))
                return redirect("report-calendar", tenant)
            case _other:
                return HttpResponseBadRequest()
    runs = coming_runs(request.membership, DAYS_SHOWN, MOST_SHOWN)
    context = {"address": address, "feed": own_feed(request.membership), "runs": runs[:MOST_SHOWN]}
    return render(request, "reports/calendar.html", context)


@require_safe
@never_cache
@login_not_required
def calendar_feed(request: HttpRequest, token: str) -> HttpResponse:
    """For a calendar program, which has no session: the address is the key, of its person alone."""
    # Outside of the transaction: what was asked in vain counts as well.
    if not ratelimit.consume(request, app="allauth.account", action="read_calendar", limit_get=True):
        return ratelimit.respond_429(request)
    return _read(token)


@transaction.atomic
def _read(token: str) -> HttpResponse:
    opened = open_feed(token)
    if opened is None:
        raise Http404
    feed, membership = opened
    if wait := OF_A_FEED.take(feed.pk):
        return HttpResponse(status=429, headers={"Retry-After": str(wait)})
    with scope(tenant=membership.tenant), as_read_by(membership.user, membership.tenant):
        body = calendar_of(membership)
        note_read(feed)
    answer = HttpResponse(body, content_type="text/calendar; charset=utf-8")
    answer["Content-Disposition"] = 'inline; filename="backups.ics"'
    # Whatever links lead out of the calendar must not name its address.
    answer["Referrer-Policy"] = "no-referrer"
    return answer
