"""What was kept and protected in a month, and what it comes to. For administrators, of the machines that they see."""

from __future__ import annotations

from uuid import uuid4
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal.access import needs
from portal.views.machines import page_number
from reports.breakdown import BY, breakdown_of
from reports.charts import usage_charts
from reports.months import Month
from reports.usage import Usage, machine_lines, usage_of
from tenants.middleware import TenantRequest
from tenants.models import Role

PAGE_SIZE = 20


@require_safe
@never_cache
@needs(Role.ADMIN)
def usage(request: TenantRequest, tenant: str) -> HttpResponse:
    month, this_month = month_asked_for(request, request.GET), month_of_today(request)
    by = _breakdown_asked_for(request.GET)
    found = usage_of(request.membership, month)
    began = Month.of(found.began_on) if found.began_on else this_month
    context = {
        "usage": found,
        "month": month,
        "previous": month.before if month > began else None,
        "next": month.after if month < this_month else None,
        "by": by,
        "breakdowns": BY.items(),
        "client_key": uuid4(),
    }
    if found.recorded:
        context["charts"] = usage_charts(found, breakdown_of(request.membership, found, by))
        context |= _machines(request, found)
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


def _breakdown_asked_for(query: QueryDict) -> str:
    by = query.get("by") or "destination"
    if by not in BY:
        raise Http404
    return by


def _machines(request: TenantRequest, found: Usage) -> dict[str, object]:
    """A row more than is shown tells whether there is another page: nothing is counted."""
    page = page_number(request.GET.get("page"))
    lines = machine_lines(request.membership, found, (page - 1) * PAGE_SIZE, page * PAGE_SIZE + 1)
    return {
        "machines": lines[:PAGE_SIZE],
        "previous_page": page - 1 if page > 1 else None,
        "next_page": page + 1 if len(lines) > PAGE_SIZE else None,
    }
