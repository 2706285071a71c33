"""How every machine is protected: for everybody, of the machines that they see."""

from __future__ import annotations

from uuid import uuid4
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal import words
from portal.views.machines import page_number
from reports.charts import protection_charts
from reports.protection import PERIODS, Period, machines_of, rows_of, summary_of
from reports.summary_words import backups_counted, protected_now
from tenants.middleware import TenantRequest
from vprotect_bridge.models import WORST_FIRST, Protection

PAGE_SIZE = 50


@require_safe
@never_cache
def protection(request: TenantRequest, tenant: str) -> HttpResponse:
    period = period_asked_for(request, request.GET)
    summary = summary_of(request.membership, period)
    pages = max(-(-summary.listed // PAGE_SIZE), 1)
    page = min(page_number(request.GET.get("page")), pages)
    machines = list(machines_of(request.membership)[(page - 1) * PAGE_SIZE : page * PAGE_SIZE])
    context = {
        "period": period,
        "periods": PERIODS,
        "counted": [protected_now(summary), *backups_counted(summary)],
        "chips": [
            (words.PROTECTION[name], summary.counts[name])
            for name in WORST_FIRST
            if summary.counts.get(name) and name != Protection.GONE
        ],
        "rows": rows_of(machines, period),
        "charts": protection_charts(request.membership, period, summary),
        "previous_page": page - 1 if page > 1 else None,
        "next_page": page + 1 if page < pages else None,
        "client_key": uuid4(),
    }
    return render(request, "reports/protection.html", context)


def period_asked_for(request: TenantRequest, query: QueryDict) -> Period:
    """Of the tenant's own days."""
    text = query.get("days") or "30"
    if text not in {str(days) for days in PERIODS}:
        raise Http404
    return Period.until_now(int(text), ZoneInfo(request.tenant.time_zone))
