"""Figures of what is on its way to people and to webhooks, read when Prometheus asks (`vprotect_bridge.facts`)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import Error, connections
from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from notifications.models import Event, Mail, WebhookDelivery

logger = logging.getLogger(__name__)


class NotificationFacts(Collector):
    def collect(self) -> Iterable[Metric]:
        """Of what cannot be read there is no figure, never a zero."""
        try:
            return list(_facts())
        except Error as error:
            logger.warning("the database tells no figures of notifications: %s", type(error).__name__)
            return []
        finally:
            # Prometheus is answered by a new thread each time.
            connections.close_all()


def _facts() -> Iterator[Metric]:
    now = timezone.now()
    waiting = GaugeMetricFamily("portal_notifications_waiting", "What is due and waits to be told.", labels=["channel"])
    oldest = GaugeMetricFamily(
        "portal_notifications_oldest_seconds", "How long the oldest of it has waited.", labels=["channel"]
    )
    queues: dict[str, tuple[Any, str]] = {
        "sorting": (Event.across_tenants.filter(sorted_at=None), "happened_at"),
        "mail": (Mail.across_tenants.filter(state="waiting", next_at__lte=now), "next_at"),
        "webhook": (WebhookDelivery.across_tenants.filter(state="waiting", next_at__lte=now), "next_at"),
    }
    for channel, (rows, since) in queues.items():
        found = rows.aggregate(count=Count("pk"), oldest=Min(since))
        waiting.add_metric([channel], found["count"])
        oldest.add_metric([channel], _age(found["oldest"], now))
    yield waiting
    yield oldest
    of_a_day = GaugeMetricFamily(
        "portal_notifications_of_a_day",
        "Mails and calls of webhooks of the last 24 hours, by what became of them.",
        labels=["channel", "state"],
    )
    models: tuple[tuple[str, Any], ...] = (("mail", Mail), ("webhook", WebhookDelivery))
    for channel, model in models:
        lately = model.across_tenants.filter(created_at__gt=now - timedelta(days=1))
        counts = dict(lately.values_list("state").annotate(Count("pk")).order_by())
        for state in model.State.values:
            of_a_day.add_metric([channel, state], counts.get(state, 0))
    yield of_a_day


def _age(since: datetime | None, now: datetime) -> float:
    return max((now - since).total_seconds(), 0.0) if since else 0.0
