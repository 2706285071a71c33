"""Reports by mail: each person chooses their own."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from reports.forms import SubscriptionsForm
from reports.mailing import needs_more_than_a_password
from reports.subscriptions import own_subscriptions, subscribe
from tenants.audit import address_of
from tenants.middleware import TenantRequest


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def mails(request: TenantRequest, tenant: str) -> HttpResponse:
    form = SubscriptionsForm(request.POST if request.method == "POST" else None, request.membership)
    if request.method == "POST" and form.is_valid():
        subscribe(request.membership, form.wanted(), address=address_of(request))
        messages.success(request, _("Your choice is saved."))
        return redirect("report-mails", tenant)
    context = {
        "form": form,
        "subscriptions": sorted(own_subscriptions(request.membership).values(), key=lambda row: row.next_at),
        "is_kept_back": needs_more_than_a_password(request.tenant),
    }
    return render(request, "reports/mails.html", context, status=422 if form.is_bound else 200)
