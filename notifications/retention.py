"""How long it is kept what happened and what was told: what is over goes in small batches."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from notifications.models import (
    DigestClock,
    Event,
    Mail,
    Notice,
    PersonalChoices,
    TenantChoices,
    Webhook,
    WebhookDelivery,
)
from tenants.models import Tenant

BATCH = 500
MOST_BATCHES = 40
# Of which nobody is told; a digest still counts them.
UNTOLD_KEPT_FOR = timedelta(days=8)


def remove_old() -> int:
    """One run; returns how many rows went. The next one goes on."""
    now = timezone.now()
    before = now - timedelta(days=settings.NOTIFICATION_RETENTION_DAYS)
    told = [model.across_tenants.filter(event=OuterRef("pk")) for model in (Notice, WebhookDelivery)]
    sorted_events = Event.across_tenants.filter(sorted_at__lt=now - UNTOLD_KEPT_FOR)
    untold = sorted_events.exclude(Exists(told[0])).exclude(Exists(told[1]))
    return (
        _in_batches(Notice, Notice.across_tenants.filter(event__sorted_at__lt=before))
        + _in_batches(WebhookDelivery, WebhookDelivery.across_tenants.filter(created_at__lt=before))
        + _in_batches(Mail, Mail.across_tenants.filter(created_at__lt=before))
        + _in_batches(Event, untold)
    )


def _in_batches(model: Any, rows: QuerySet[Any]) -> int:
    removed = 0
    for _ in range(MOST_BATCHES):
        with transaction.atomic():
            locked = rows.order_by("pk").select_for_update(skip_locked=True, of=("self",))
            keys = list(locked.values_list("pk", flat=True)[:BATCH])
            count = model.across_tenants.filter(pk__in=keys).delete()[0] if keys else 0
        removed += count
        if len(keys) < BATCH:
            break
    return removed


def remove_of(sender: object, tenant: Tenant, **kwargs: object) -> None:
    """All of a tenant that is removed for good."""
    for model in (Notice, WebhookDelivery, Webhook, Mail, DigestClock, PersonalChoices, TenantChoices, Event):
        rows = model._default_manager.filter(tenant=tenant)
        rows._raw_delete(rows.db)
