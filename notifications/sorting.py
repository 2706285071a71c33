"""Makes of each thing that happened what each person, and each receiver of a tenant's, is to be told: once.

An event is sorted in one transaction with everything that follows from it. Events are rows that wait to be sorted, not
a place in a list up to which everything was read: one that was committed late is only later.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, transaction
from django.utils import timezone
from django.utils.translation import override

from notifications.models import ByMail, Event, Notice, Topic, Webhook, WebhookDelivery
from notifications.readers import Reader, active_memberships, readers_of
from notifications.times import after_quiet
from portal import words
from vprotect_bridge import failures
from vprotect_bridge.limits import QUOTA_USED_UP
from vprotect_bridge.models import Alert, Backup, Operation, PlanChange

logger = logging.getLogger(__name__)

Kind, Outcome = Operation.Kind, Operation.Outcome

BATCH = 200
# So long the first of many waits for the others.
GATHERED_FOR = timedelta(minutes=1)
TOPIC_OF_KIND = {
    Kind.BACKUP: Topic.BACKUPS,
    Kind.RESTORE: Topic.RESTORES,
    Kind.MOUNT: Topic.RESTORES,
    Kind.TASK: Topic.OTHER,
}
FILLED_IN = ("topic", "machine_guid", "machine_name", "plan_id", "plan_name", "reason", "facts", "sorted_at")


def sort() -> int:
    """The oldest that are new; returns how many. Two workers at once sort different ones."""
    with transaction.atomic():
        new = Event.across_tenants.filter(sorted_at=None).select_for_update(skip_locked=True, no_key=True)
        events = list(new.order_by("pk")[:BATCH])
        try:
            with transaction.atomic():
                _sort(events)
        except DatabaseError:
            raise
        except Exception:
            _sort_one_by_one(events)
    return len(events)


def _sort(events: list[Event]) -> None:
    if not events:
        return
    known = _filled_in(events)
    _notify(known)
    Event.across_tenants.bulk_update(known, FILLED_IN)
    _settle([event for event in known if event.what == "closed"])
    # What it was about is gone, and nobody can look at it any more.
    Event.across_tenants.filter(pk__in={event.pk for event in events} - {event.pk for event in known}).delete()


def _settle(closed: list[Event]) -> None:
    """What is over says so from here on, and nobody has to read it any more."""
    over = {event.source_id: event for event in closed if event.source == Event.Source.ALERT}
    opened = list(Event.across_tenants.filter(source=Event.Source.ALERT, source_id__in=over, what="opened"))
    for event in opened:
        event.facts["closed_at"] = over[event.source_id].happened_at.astimezone(UTC).isoformat()
    Event.across_tenants.bulk_update(opened, ["facts"])
    Notice.across_tenants.filter(event__in=opened, read_at=None).update(read_at=timezone.now())


def _sort_one_by_one(events: list[Event]) -> None:
    """One that we do not understand is put aside, so that nobody waits behind it."""
    for event in events:
        try:
            with transaction.atomic():
                _sort([event])
        except DatabaseError:
            raise
        except Exception:
            logger.exception("event %s cannot be told: %s", event.pk, event)
            Event.across_tenants.filter(pk=event.pk).update(sorted_at=timezone.now())


# ── What it is about ─────────────────────────────────────────────────────────


def _filled_in(events: list[Event]) -> list[Event]:
    now, by_source = timezone.now(), defaultdict(list)
    for event in events:
        event.sorted_at = now
        by_source[event.source].append(event)
    known = _of_operations(by_source[Event.Source.OPERATION])
    known += _of_plans(by_source[Event.Source.PLAN_CHANGE]) + _of_alerts(by_source[Event.Source.ALERT])
    return sorted(known, key=lambda event: event.pk)


def _of_operations(events: list[Event]) -> list[Event]:
    if not events:
        return []
    rows = Operation.across_tenants.select_related("machine").in_bulk([event.source_id for event in events])
    known = [event for event in events if event.source_id in rows]
    reasons, turns = _reasons(rows.values())
    for event in known:
        operation = rows[event.source_id]
        event.topic = TOPIC_OF_KIND[Kind(operation.kind)]
        event.machine_name = operation.machine.name
        event.reason = reasons.get(operation, "") if event.is_problem else ""
        event.facts = {"kind": operation.kind, "task_type": operation.request.get("task_type", "")}
        if operation in turns:
            event.facts["turn"] = turns[operation]
    return known


def _reasons(operations: Iterable[Operation]) -> tuple[dict[Operation, str], dict[Operation, str]]:
    """As `portal.operation_story.reasons`, but for all tenants and not yet in anybody's language; and of failed backups
    whose turn it is.
    """
    said = {operation: operation.user_message for operation in operations if operation.user_message}
    failed = [o for o in operations if o not in said and (o.outcome, o.kind) == (Outcome.FAILED, Kind.BACKUP)]
    backups = Backup.across_tenants.filter(guid__in=[o.backup_guid for o in failed if o.backup_guid])
    told = {(guid, tenant): info for guid, tenant, info in backups.values_list("guid", "tenant", "status_info")}
    infos = {operation: told.get((operation.backup_guid, operation.tenant_id), "") for operation in failed}
    with override(None):
        reasons = {operation: str(words.failure_reason(info)) for operation, info in infos.items()}
    of_quota = {operation: str(Alert.Turn.PROVIDER) for operation in said if said[operation] == QUOTA_USED_UP}
    return said | reasons, of_quota | {operation: str(failures.turn_of(info)) for operation, info in infos.items()}


def _of_plans(events: list[Event]) -> list[Event]:
    if not events:
        return []
    rows = PlanChange.across_tenants.select_related("plan").in_bulk([event.source_id for event in events])
    known = [event for event in events if event.source_id in rows]
    for event in known:
        change = rows[event.source_id]
        event.topic = Topic.PLANS
        event.plan_id, event.plan_name = change.plan_id, change.plan.name
        event.reason = change.user_message if event.is_problem else ""
        event.facts = {"kind": change.kind}
    return known


def _of_alerts(events: list[Event]) -> list[Event]:
    if not events:
        return []
    rows = Alert.across_tenants.select_related("machine", "plan").in_bulk([event.source_id for event in events])
    known = [event for event in events if event.source_id in rows]
    for event in known:
        alert = rows[event.source_id]
        event.topic = Topic.PROTECTION
        if alert.machine:
            event.machine_guid, event.machine_name = alert.machine.guid, alert.machine.name
        if alert.plan:
            event.plan_id, event.plan_name = alert.plan_id, alert.plan.name
        event.facts = {"kind": alert.kind, "turn": alert.turn, **alert.details}
    return known


# ── Whom it concerns ─────────────────────────────────────────────────────────


def _notify(events: list[Event]) -> None:
    members = active_memberships().filter(tenant__in={event.tenant_id for event in events})
    of_tenant = defaultdict(list)
    for reader in readers_of(list(members)):
        of_tenant[reader.membership.tenant_id].append(reader)
    now = timezone.now()
    notices = [
        _notice(event, reader, now)
        for event in events
        for reader in of_tenant[event.tenant_id]
        if reader.choices.wants(event) and reader.may_see(event)
    ]
    Notice.across_tenants.bulk_create(notices, batch_size=1000, ignore_conflicts=True)
    _call_webhooks(events)


def _call_webhooks(events: list[Event]) -> None:
    of_tenant = defaultdict(list)
    active = Webhook.across_tenants.filter(is_active=True, tenant__is_active=True)
    for webhook in active.filter(tenant__in={event.tenant_id for event in events}):
        of_tenant[webhook.tenant_id].append(webhook)
    deliveries = [
        WebhookDelivery(tenant_id=event.tenant_id, webhook=webhook, event=event)
        for event in events
        for webhook in of_tenant[event.tenant_id]
        if webhook.wants(event)
    ]
    WebhookDelivery.across_tenants.bulk_create(deliveries, batch_size=1000, ignore_conflicts=True)


def _notice(event: Event, reader: Reader, now: datetime) -> Notice:
    by_mail = reader.choices.by_mail if reader.gets_mail else ByMail.OFF
    is_at_once = by_mail == ByMail.AT_ONCE or (by_mail == ByMail.DIGEST and event.topic == Topic.PROTECTION)
    return Notice(
        tenant_id=event.tenant_id,
        user_id=reader.membership.user_id,
        event=event,
        due_at=after_quiet(reader.times, reader.zone, now + GATHERED_FOR) if is_at_once else None,
        in_digest=by_mail == ByMail.DIGEST and not is_at_once,
    )
