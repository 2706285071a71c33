"""Where a person lands: whether everything is protected, what runs, what failed, and how it went lately."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, Max, Q, QuerySet, Sum
from django.db.models.functions import Lower
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal import access, polls, words
from portal.advice import try_again
from portal.charts import Chart, charts_of
from portal.context_processors import upstream_of
from portal.dashboard import SQUARE, Failure, days_until, hero_of, last_failures, matrix_of
from portal.views.machines import page_number
from portal.words import is_of_quota
from tenants.middleware import TenantRequest
from tenants.models import Membership
from vprotect_bridge.backup_days import days_of
from vprotect_bridge.models import (
    SEVERITY,
    WORST_FIRST,
    BackupDay,
    Destination,
    Machine,
    Operation,
    Protection,
)
from vprotect_bridge.targets import State
from vprotect_bridge.unprotected import needs_attention, with_causes

PAGE_SIZE = 12
MOST_RUNNING = 5
MOST_URGENT = 5


@require_safe
@never_cache
def dashboard(request: TenantRequest, tenant: str) -> HttpResponse:
    zone = ZoneInfo(request.tenant.time_zone)
    machines = access.visible_machines(request.membership)
    counts, late = _counts(machines)
    listed = access.listed_machines(request.membership).defer("details", "tags")
    worst_first = listed.order_by(SEVERITY, Lower("name"), "guid")
    failures = _failures(request)
    context = {
        "hero": hero_of(
            *(counts, upstream_of(request)),
            has_success=machines.filter(last_success_at__isnull=False).exists(),
            late=late,
            is_alarming=any(row["failure"].is_open_alert for row in failures),
        ),
        "late": {"chip": words.TARGET[State.LATE], "count": late} if late else None,
        "chips": [
            {"value": name, "chip": words.PROTECTION[name], "count": counts[name]}
            for name in WORST_FIRST
            if counts.get(name) and name != Protection.GONE
        ],
        "urgent": with_causes(worst_first.filter(needs_attention()))[:MOST_URGENT],
        "urgent_count": sum(counts.get(name, 0) for name in WORST_FIRST[:5]),
        "failures": failures,
        "charts": _charts(request, zone),
        **_matrix(request, worst_first, sum(counts.values()) - counts.get(Protection.GONE, 0), zone),
        **_running(request),
    }
    return render(request, "portal/dashboard.html", context)


def _counts(machines: QuerySet[Machine]) -> tuple[dict[str, int], int]:
    """By protection, and how many of all are late; one statement."""
    late = Count("pk", filter=Q(late_at__lte=timezone.now()))
    rows = list(machines.values_list("protection").annotate(count=Count("*"), late=late).order_by())
    return {protection: count for protection, count, _late in rows}, sum(late for *_, late in rows)


def _failures(request: TenantRequest) -> list[dict[str, Any]]:
    member = request.membership
    found = last_failures(
        access.visible_backups(member), access.visible_operations(member), access.visible_alerts(member)
    )
    return [{"failure": one, "again": _again(one, member)} for one in found]


def _again(failure: Failure, member: Membership) -> str:
    if failure.machine is None or is_of_quota(failure.reason):
        return ""
    return try_again(failure.machine, failure.kind, member)


@require_safe
@never_cache
def dashboard_poll(request: TenantRequest, tenant: str) -> HttpResponse:
    """The running operations alone; 204 = as they were. Without any it comes without the call to ask again."""
    if unchanged := polls.nothing_new(request, _seen(request)):
        return unchanged
    context = _running(request)
    response = render(request, "portal/partials/running.html", context)
    if request.GET.get("seen", "").partition(".")[0] != context["seen"].partition(".")[0]:
        response["HX-Trigger"] = "operation-finished"
    return response


def _matrix(request: TenantRequest, machines: QuerySet[Machine], total: int, zone: ZoneInfo) -> dict[str, Any]:
    page = min(page_number(request.GET.get("page")), max(-(-total // PAGE_SIZE), 1))
    shown = list(machines[(page - 1) * PAGE_SIZE : page * PAGE_SIZE])
    return {
        "matrix": matrix_of(shown, zone),
        "days": days_until(timezone.localdate(timezone=zone)),
        "legend": SQUARE.items(),
        "zone": zone.key,
        "total": total,
        "first": (page - 1) * PAGE_SIZE + 1,
        "last": min(page * PAGE_SIZE, total),
        "previous_page": page - 1 if page > 1 else None,
        "next_page": page + 1 if page * PAGE_SIZE < total else None,
    }


# ── What is running ──────────────────────────────────────────────────────────


def _open(request: TenantRequest) -> QuerySet[Operation]:
    return access.visible_operations(request.membership).filter(outcome=Operation.Outcome.OPEN)


def _seen(request: TenantRequest) -> str:
    """Two words, in one statement: for which operations are open, and for how far they are."""
    figures = _open(request).aggregate(count=Count("pk"), newest=Max("created_at"), versions=Sum("version"))
    which = polls.word_for([(figures["count"], figures["newest"])])
    return f"{which}.{polls.word_for([(figures['versions'],)])}"


def _running(request: TenantRequest) -> dict[str, Any]:
    # What is seen is read first: what changes in between is news of the next poll.
    seen = _seen(request)
    operations = list(_open(request).order_by("created_at")[:MOST_RUNNING])
    not_shown = _open(request).count() - MOST_RUNNING if len(operations) == MOST_RUNNING else 0
    return {"running": operations, "not_shown": not_shown, "seen": seen}


# ── Figures ──────────────────────────────────────────────────────────────────


def _charts(request: TenantRequest, zone: ZoneInfo) -> list[Chart]:
    """Empty while there is nothing to draw."""
    days = days_until(timezone.localdate(timezone=zone))
    rows, restorable = _figures(request, zone)
    shown = [row for row in rows if row.day >= days[0]]
    if not shown and not any(restorable.values()):
        return []
    names = dict(Destination.objects.values_list("guid", "name"))
    return charts_of(shown, days, restorable, names)


def _figures(request: TenantRequest, zone: ZoneInfo) -> tuple[list[BackupDay], dict[str, int]]:
    """Rows of days, and bytes that can be restored by destination. What is kept is the whole tenant's: for who is
    limited to some machines it is counted from their backups."""
    if request.membership.machine_guids is None:
        rows: QuerySet[BackupDay] = BackupDay.objects.filter(day__gte=days_until(timezone.localdate(timezone=zone))[0])
        sums = BackupDay.objects.values_list("destination_guid").annotate(size=Sum("restorable_size")).order_by()
        return list(rows), dict(sums)
    own = days_of(access.visible_backups(request.membership), zone)
    restorable: dict[str, int] = {}
    for row in own:
        restorable[row.destination_guid] = restorable.get(row.destination_guid, 0) + row.restorable_size
    return own, restorable
