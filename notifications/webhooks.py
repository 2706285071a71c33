"""Calls to tenants' webhooks: one at a time for each, in order, tried with growing pauses, given up visibly.

Where and how far a call may go is `tenants.outbound`'s: https to public addresses, looked at when it connects, no
redirects, in bounded time and size. Of an answer only its status is kept. A receiver may hear a message twice, under
the same id, when we died before we noted that it was taken.
"""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, timedelta
from typing import Any

import requests
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import override

from notifications import signing, words
from notifications.models import Event, Webhook, WebhookDelivery
from tenants.outbound import OutboundSession

logger = logging.getLogger(__name__)

State, Problem = WebhookDelivery.State, WebhookDelivery.Problem

# After each try of one message.
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18000, 36000, 36000))
# Of all messages to one address that failed so many times in a row.
PAUSES_OF_WEBHOOK = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 60, 120, 300))
# Longer than one worker stays with one address.
LEASE = timedelta(minutes=1)
SECONDS = 20.0
BATCH = 20
DETAILS_OF_ALERTS = ("target_hours", "last_success_at", "run_at", "window_ends_at", "machines")


def call_due(seconds: float = SECONDS) -> int:
    """Calls for so long at most; returns how many messages it tried to deliver."""
    ends, tried = time.monotonic() + seconds, 0
    while time.monotonic() < ends and (webhook := claim()):
        tried += call(webhook, ends)
    return tried


def claim() -> Webhook | None:
    """The one that waits longest, for a while nobody else's."""
    now = timezone.now()
    due = _due().filter(webhook=OuterRef("pk"))
    with transaction.atomic():
        active = Webhook.across_tenants.filter(Exists(due), is_active=True, tenant__is_active=True, next_at__lte=now)
        locked = active.select_for_update(skip_locked=True, no_key=True, of=("self",))
        webhook = locked.select_related("tenant").order_by("next_at").first()
        if webhook is not None:
            Webhook.across_tenants.filter(pk=webhook.pk).update(next_at=now + LEASE)
    return webhook


def call(webhook: Webhook, ends: float) -> int:
    """What is due, until one fails: an address that is away is not asked for each message."""
    tried, failures = 0, webhook.failures
    with OutboundSession() as session:
        for delivery in (
            _due().filter(webhook=webhook).select_related("event").order_by("created_at", "event", "pk")[:BATCH]
        ):
            if tried and time.monotonic() > ends:
                break
            tried += 1
            if not _deliver(session, webhook, delivery):
                failures += 1
                break
            failures = 0
    pause = PAUSES_OF_WEBHOOK[min(failures, len(PAUSES_OF_WEBHOOK)) - 1] if failures else timedelta()
    Webhook.across_tenants.filter(pk=webhook.pk).update(failures=failures, next_at=timezone.now() + pause)
    return tried


def _due() -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.across_tenants.filter(state=State.WAITING, next_at__lte=timezone.now())


def _deliver(session: OutboundSession, webhook: Webhook, delivery: WebhookDelivery) -> bool:
    began, now = time.monotonic(), timezone.now()
    status, problem = _post(session, webhook, delivery)
    attempts = delivery.attempts + 1
    outcome: dict[str, Any] = {"state": State.DELIVERED}
    if problem:
        is_over = attempts > len(PAUSES) or problem == Problem.OURS
        outcome = {"state": State.GIVEN_UP} if is_over else {"next_at": timezone.now() + PAUSES[attempts - 1]}
        logger.info("webhook %s: message %s, try %s: %s %s", webhook.pk, delivery.pk, attempts, problem, status or "")
    WebhookDelivery.across_tenants.filter(pk=delivery.pk, state=State.WAITING).update(
        attempts=attempts,
        tried_at=now,
        took_ms=round((time.monotonic() - began) * 1000),
        status_code=status,
        problem=problem,
        **outcome,
    )
    if problem == Problem.GONE:
        _stop(webhook)
    return problem in {"", Problem.OURS}


def _stop(webhook: Webhook) -> None:
    """It said that it wants no more (410)."""
    Webhook.across_tenants.filter(pk=webhook.pk).update(is_active=False, gone_at=timezone.now())
    give_up_waiting(webhook, Problem.GONE)


def give_up_waiting(webhook: Webhook, problem: str) -> None:
    waiting = WebhookDelivery.across_tenants.filter(webhook=webhook, state=State.WAITING)
    waiting.update(state=State.GIVEN_UP, problem=problem)


def _post(session: OutboundSession, webhook: Webhook, delivery: WebhookDelivery) -> tuple[int | None, str]:
    """The status, if there was one, and what is wrong; "" = it was taken."""
    headers = {"Content-Type": "application/json", "User-Agent": "backup-portal-webhooks/1"}
    try:
        body = json.dumps(message(delivery, webhook.tenant.slug)).encode()
        headers |= signing.headers(webhook, f"msg_{delivery.pk.hex}", body, timezone.now())
    except Exception:  # one that cannot be written holds up no other
        logger.exception("message %s cannot be written", delivery.pk)
        return None, Problem.OURS
    try:
        status = session.post(webhook.url, data=body, headers=headers).status_code
    except requests.RequestException as error:
        return None, _problem_of(error)
    if status == 410:
        return status, Problem.GONE
    return status, "" if 200 <= status < 300 else Problem.STATUS


def _problem_of(error: requests.RequestException) -> str:
    if "is not a public address" in str(error):
        return Problem.NOT_PUBLIC
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (requests.exceptions.SSLError, Problem.CERTIFICATE),
        (requests.TooManyRedirects, Problem.REDIRECT),
        (requests.exceptions.ContentDecodingError, Problem.TOO_LARGE),
        (requests.Timeout, Problem.TIMEOUT),
    )
    return next((problem for kind, problem in kinds if isinstance(error, kind)), Problem.UNREACHABLE)


# ── What is said ─────────────────────────────────────────────────────────────


def message(delivery: WebhookDelivery, tenant: str) -> dict[str, Any]:
    """The same at every try. Names and ids only, no sizes or places; `tenant` is a slug."""
    event = delivery.event
    if event is None:
        data: dict[str, Any] = {"tenant": tenant, "link": settings.PORTAL_URL}
        return {"type": "test", "timestamp": delivery.created_at.isoformat(), "data": data}
    is_alert = event.source == Event.Source.ALERT
    data = {
        "tenant": tenant,
        "problem": event.is_problem,
        "machine": {"guid": event.machine_guid, "name": event.machine_name} if event.machine_guid else None,
        "plan": {"id": str(event.plan_id), "name": event.plan_name} if event.plan_id else None,
        event.source: str(event.source_id),
        "reason": _reason_of_alert(event) if is_alert else event.reason,
        "link": settings.PORTAL_URL + words.address(event, tenant),
    }
    if "turn" in event.facts:
        data["turn"] = event.facts["turn"]
    if is_alert:
        data["details"] = {name: event.facts[name] for name in DETAILS_OF_ALERTS if name in event.facts}
    return {"type": type_of(event), "timestamp": event.happened_at.isoformat(), "data": data}


def _reason_of_alert(event: Event) -> str:
    """In English and UTC, as it was when it was noticed, whatever came of it since."""
    if not event.is_problem:
        return ""
    facts = event.facts
    with override("en"), timezone.override(UTC):
        return words.reason_of_alert(facts["kind"], facts["turn"], facts, event.happened_at, closed_at=None)


def type_of(event: Event) -> str:
    """backup.failed, restore.succeeded, plan.refused, alert.late.opened"""
    kind = event.facts["kind"]
    prefix = {Event.Source.PLAN_CHANGE: f"plan.{kind}", Event.Source.ALERT: f"alert.{kind}"}
    return f"{prefix.get(Event.Source(event.source), kind)}.{event.what}"
