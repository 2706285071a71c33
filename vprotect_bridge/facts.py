"""Figures that are facts of the database and of the broker, read when Prometheus asks: true after any restart."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from django.db import Error, connection, connections, transaction
from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tenants.uuid7 import first_uuid7_of
from vprotect_bridge import doorbell
from vprotect_bridge.health import Health, needs_you, read_health
from vprotect_bridge.models import Alert, Download, Operation, UpstreamSession

logger = logging.getLogger(__name__)

Submission = Operation.Submission


class FactsCollector(Collector):
    def collect(self) -> Iterable[Metric]:
        """Of what cannot be read there is no figure, never a zero."""
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL statement_timeout = '5s'")
                facts = list(_facts())
        except Error as error:
            logger.warning("the database tells no figures: %s", type(error).__name__)
            facts = []
        finally:
            # Prometheus is answered by a new thread each time.
            connections.close_all()
        return [_gauge("portal_database_up", "1 = the database answers.", bool(facts)), *facts, *_broker()]


def _facts() -> Iterator[Metric]:
    health = read_health()
    yield from _operations()
    yield from _queues(health)
    yield from _vprotect(health)
    yield _alerts()
    yield _by_label("portal_needs_operator", "What waits for an operator's decision.", "what", needs_you().items())


def _operations() -> Iterator[Metric]:
    now, wishes = timezone.now(), Operation.across_tenants.filter(origin=Operation.Origin.PORTAL)
    count = GaugeMetricFamily("portal_operations_open", "Wishes without an end, by where they are.", labels=_STATE)
    oldest = GaugeMetricFamily("portal_operations_oldest_seconds", "Age of the oldest of them.", labels=_STATE)
    rows = wishes.filter(outcome="").values_list("kind", "submission", "phase")
    for kind, submission, phase, number, first in rows.annotate(Count("pk"), Min("created_at")).order_by():
        labels = [kind, (phase or "accepted") if submission == Submission.ACCEPTED else submission]
        count.add_metric(labels, number)
        oldest.add_metric(labels, _seconds(first, now))
    yield count
    yield oldest

    unknown = dict(wishes.filter(outcome="", submission__in=_UNKNOWN).values_list("submission").annotate(Count("pk")))
    yield _by_label(
        "portal_operations_unknown",
        "Wishes of which it is not known whether vProtect has them.",
        "state",
        ((state, unknown.get(state, 0)) for state in _UNKNOWN),
    )
    ended = GaugeMetricFamily(
        "portal_operations_of_a_day", "Wishes of the last 24 hours, by how they ended.", labels=["kind", "outcome"]
    )
    # The key begins with the time, so that this reads a day and not all years.
    day = wishes.filter(pk__gte=first_uuid7_of(now - timedelta(days=1))).values_list("kind", "outcome")
    for kind, outcome, number in day.annotate(Count("pk")).order_by():
        ended.add_metric([kind, outcome or "open"], number)
    yield ended


_STATE = ["kind", "state"]
_UNKNOWN = (Submission.SENDING, Submission.UNCERTAIN, Submission.NEEDS_ATTENTION)


def _alerts() -> GaugeMetricFamily:
    alerts = GaugeMetricFamily(
        "portal_alerts_open", "Runs that did not happen, machines that are late: by kind and turn.", labels=_ALERT
    )
    open_ones = dict(_rows_of_alerts())
    for kind in Alert.Kind:
        for turn in Alert.Turn:
            alerts.add_metric([kind, turn], open_ones.get((kind.value, turn.value), 0))
    return alerts


def _rows_of_alerts() -> Iterator[tuple[tuple[str, str], int]]:
    rows = Alert.across_tenants.filter(closed_at=None).order_by().values_list("kind", "turn")
    for kind, turn, number in rows.annotate(Count("pk")):
        yield (kind, turn), number


_ALERT = ["kind", "turn"]


def _queues(health: Health) -> Iterator[Metric]:
    now = timezone.now()
    downloads = Download.across_tenants.filter(state=Download.State.WAITING)
    waiting = downloads.aggregate(count=Count("pk"), oldest=Min("created_at"))
    queues = {
        "wishes": (health.wishes.count, health.wishes.oldest),
        "uncertain": (health.uncertain.count, health.uncertain.oldest),
        "histories": (health.histories.count, health.histories.oldest),
        "details": (health.details.count, health.details.oldest),
        "downloads": (waiting["count"], waiting["oldest"]),
    }
    yield _by_label(
        "portal_queue", "What is due and waits for a worker.", "queue", ((q, n) for q, (n, _) in queues.items())
    )
    yield _by_label(
        "portal_queue_oldest_seconds",
        "How long the oldest of it has waited.",
        "queue",
        ((q, _seconds(oldest, now)) for q, (_, oldest) in queues.items()),
    )


def _vprotect(health: Health) -> Iterator[Metric]:
    now, status = timezone.now(), health.status
    away = _seconds(status.unreachable_since, now)
    yield _gauge("portal_vprotect_up", "1 = vProtect answered when it was asked last.", not status.unreachable_since)
    yield _gauge("portal_vprotect_away_seconds", "Since when it does not answer as it should.", away)
    yield _gauge("portal_vprotect_clock_skew_seconds", "vProtect's clock minus ours.", status.clock_skew_ms / 1000)
    if status.inventory_at:
        lag = _seconds(status.inventory_at, now)
        yield _gauge("portal_sync_lag_seconds", "Age of the list of machines.", lag)
    if status.followed_at:
        lag = _seconds(status.followed_at, now)
        yield _gauge("portal_poll_lag_seconds", "Since the last look at tasks; a minute while nothing is open.", lag)
    yield _gauge("portal_login_refused", "Logins that vProtect refused in a row.", health.refused_logins)
    yield _gauge("portal_login_breaker_open", "1 = no login is tried for a while.", health.is_login_paused)
    logins = UpstreamSession.objects.values_list("generation", flat=True).first()
    yield CounterMetricFamily("portal_logins", "Logins of the service account.", value=logins or 0)


def _broker() -> Iterator[Metric]:
    waiting = doorbell.waiting()
    yield _gauge("portal_broker_up", "1 = Redis answers.", waiting is not None)
    yield _by_label("portal_broker_messages", "Rings that no worker has heard yet.", "queue", (waiting or {}).items())


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, value=float(value))


def _by_label(name: str, help_text: str, label: str, rows: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for value, number in rows:
        family.add_metric([str(value)], number)
    return family


def _seconds(since: datetime | None, now: datetime) -> float:
    return max((now - since).total_seconds(), 0.0) if since else 0.0
