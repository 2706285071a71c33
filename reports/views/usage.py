"""What was kept and protected in a month, and what it comes to. For who administers all of the tenant."""

from __future__ import annotations

from uuid import uuid4
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal import access
from portal.views.machines import page_number
from reports.charts import days_of, machines_chart, stored_chart
from reports.months import Month
from reports.usage import largest_of, usage_of
from tenants.middleware import TenantRequest

PAGE_SIZE = 20


@require_safe
@never_cache
@access.for_administrators
def usage(request: TenantRequest, tenant: str) -> HttpResponse:
    month, this_month = month_asked_for(request, request.GET), month_of_today(request)
    found = usage_of(request.tenant, month)
    began = Month.of(found.began_on) if found.began_on else this_month
    context = {
        "usage": found,
        "month": month,
        "is_this_month": month == this_month,
        "previous": month.before if month > began else None,
        "next": month.after if month < this_month else None,
        "charts": [stored_chart(found), machines_chart(days_of(month), found.days)] if found.days else [],
        "last_day": found.recorded[-1] if found.recorded else None,
        "client_key": uuid4(),
        **_largest(request, found.recorded[-1] if found.recorded else None),
    }
    return render(request, "reports/usage.html", context)


def month_of_today(request: TenantRequest) -> Month:
    """Of the tenant's own day."""
    return Month.of(timezone.localdate(timezone=ZoneInfo(request.tenant.time_zone)))


def month_asked_for(request: TenantRequest, query: QueryDict) -> Month:
    """One to come has no usage; anything else odd is not there."""
    this_month = month_of_today(request)
    month = Month.read(query.get("month") or this_month.key)
    if month is None or month > this_month:
        raise Http404
    return month


def _largest(request: TenantRequest, day: object) -> dict[str, object]:
    """A row more than is shown tells whether there is another page: nothing is counted."""
    if day is None:
        return {"machines": []}
    page = page_number(request.GET.get("page"))
    rows = list(largest_of(request.tenant, day)[(page - 1) * PAGE_SIZE : page * PAGE_SIZE + 1])  # type: ignore[arg-type]
    return {
        "machines": rows[:PAGE_SIZE],
        "previous_page": page - 1 if page > 1 else None,
        "next_page": page + 1 if len(rows) > PAGE_SIZE else None,
    }
