"""What did not happen and should have: open and past, of the machines and plans that a person may see."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from notifications import words
from notifications.alert_filter import STATES, AlertFilter
from portal.access import visible_alerts
from tenants.middleware import TenantRequest
from vprotect_bridge.models import Alert

PAGE_SIZE = 25
NOT_SHOWN = ("machine__details", "machine__tags", "plan__held", "plan__put", "plan__schedules")


@require_safe
@never_cache
def alert_list(request: TenantRequest, tenant: str) -> HttpResponse:
    """Newest first, paged by the last one seen, so that every page costs the same."""
    form, before = AlertFilter(request.GET), _before(request)
    found = list(_page(request, form, before).select_related("machine", "plan").defer(*NOT_SHOWN)[: PAGE_SIZE + 1])
    context = {
        "form": form,
        "shortcuts": [
            {"query": form.query(state=state), "word": word, "is_chosen": state == form.chosen.get("state", "")}
            for state, word in STATES.items()
        ],
        "rows": [_row(alert, tenant) for alert in found[:PAGE_SIZE]],
        "before": before,
        "older": found[PAGE_SIZE - 1] if len(found) > PAGE_SIZE else None,
    }
    return render(request, "notifications/alerts.html", context)


def _page(request: TenantRequest, form: AlertFilter, before: Alert | None) -> QuerySet[Alert]:
    alerts = form.alerts(visible_alerts(request.membership)).order_by("-opened_at", "-pk")
    if before is None:
        return alerts
    is_older = Q(opened_at__lt=before.opened_at) | Q(pk__lt=before.pk)
    return alerts.filter(is_older, opened_at__lte=before.opened_at)


def _before(request: TenantRequest) -> Alert | None:
    """The last one of the page before; where the address names none that this person sees, the first page is meant."""
    try:
        named = UUID(request.GET.get("before", ""))
    except ValueError:
        return None
    return visible_alerts(request.membership).filter(pk=named).first()


def _row(alert: Alert, tenant: str) -> dict[str, Any]:
    thing = alert.machine or alert.plan
    return {
        "alert": alert,
        "title": words.alert_title(alert.kind, thing.name if thing else ""),
        "chip": words.alert_chip(alert.kind, is_over=alert.closed_at is not None),
        "reason": words.reason_of_alert(alert.kind, alert.turn, alert.details, alert.opened_at, alert.closed_at),
        "address": words.address_of_alert(alert, tenant),
    }
