"""How every machine is protected: for everybody, of the machines that they see."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from uuid import uuid4
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal import dates, words
from portal.charts import Chart, success_chart
from portal.views.machines import page_number
from reports.charts import machines_chart
from reports.protection import PERIODS, Period, Summary, machines_of, protected_days, rows_of, summary_of
from tenants.middleware import TenantRequest
from tenants.models import Membership
from vprotect_bridge.models import WORST_FIRST, BackupDay, Protection

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
        "summary": summary,
        "chips": [
            (words.PROTECTION[name], summary.counts[name])
            for name in WORST_FIRST
            if summary.counts.get(name) and name != Protection.GONE
        ],
        "rows": rows_of(machines, period),
        "charts": _charts(request.membership, period, summary),
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


def _charts(membership: Membership, period: Period, summary: Summary) -> list[Chart]:
    by_day: dict[date, list[BackupDay]] = defaultdict(list)
    for row in summary.days:
        by_day[row.day].append(row)
    labels = [dates.day(day) for day in period.all_days]
    charts = [success_chart([by_day[day] for day in period.all_days], labels)] if summary.days else []
    protected = protected_days(membership, period)
    return [*charts, machines_chart(period.all_days, protected)] if protected else charts
