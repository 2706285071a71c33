"""Mails of what happened: made when they are due, and sent (`tenants.outbox`) unless it is quiet where they go."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef
from django.utils import timezone

from notifications import letters
from notifications.models import ByMail, DigestClock, Mail, Notice
from notifications.readers import Reader, active_memberships, reader_of, readers_of
from notifications.times import after_quiet, next_digest
from tenants.outbox import Outbox

Kind = Mail.Kind

BATCH = 200
# Between two mails of news to one person about one tenant, however much goes wrong.
PAUSE_OF_NEWS = timedelta(minutes=10)
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (2, 5, 15, 60, 120, 240, 240, 240, 240))
LONGEST_DIGEST = timedelta(days=7)
SECONDS = 20.0
OUTBOX = Outbox(Mail, PAUSES)

# ── Making ───────────────────────────────────────────────────────────────────


def make_news() -> int:
    """One mail for all that is due to a person about a tenant. Returns how many mails."""
    now, made = timezone.now(), 0
    lately = Mail.across_tenants.filter(
        user=OuterRef("user"), tenant=OuterRef("tenant"), kind=Kind.NEWS, created_at__gt=now - PAUSE_OF_NEWS
    )
    due = Notice.across_tenants.filter(mail=None, due_at__lte=now).exclude(Exists(lately)).order_by()
    pairs = due.values("user", "tenant").annotate(first=Min("due_at")).order_by("first")[:BATCH]
    for user_id, tenant_id in pairs.values_list("user", "tenant"):
        with transaction.atomic():
            made += _make_news(user_id, tenant_id, now)
    return made


def _make_news(user_id: int, tenant_id: int, now: datetime) -> bool:
    """Also what is not yet due, unless it waits for the end of quiet hours: it belongs to the same trouble."""
    waiting = Notice.across_tenants.filter(user=user_id, tenant=tenant_id, mail=None, due_at__isnull=False)
    locked = waiting.select_for_update(skip_locked=True, no_key=True)
    keys = list(locked.values_list("pk", flat=True))
    if not keys:
        return False
    notices = Notice.across_tenants.filter(pk__in=keys)
    reader = reader_of(user_id, tenant_id)
    if reader is None:
        notices.update(due_at=None)
        return False
    quiet_until = after_quiet(reader.times, reader.zone, now)
    if quiet_until > now:
        notices.update(due_at=quiet_until)
        return False
    mail = Mail.across_tenants.create(
        tenant_id=tenant_id, user_id=user_id, kind=Kind.NEWS, since=now, until=now, created_at=now, next_at=now
    )
    notices.update(mail=mail)
    return True


def make_digests() -> int:
    """For everybody whose morning has come; one, however many mornings nobody worked. Returns how many mails."""
    _set_clocks()
    now = timezone.now()
    with transaction.atomic():
        due = DigestClock.across_tenants.filter(next_at__lte=now).select_for_update(skip_locked=True, no_key=True)
        return sum(_make_digest(clock, now) for clock in due.order_by("next_at")[:BATCH])


def _set_clocks() -> None:
    clock = DigestClock.across_tenants.filter(user=OuterRef("user"), tenant=OuterRef("tenant"))
    without = active_memberships().filter(last_seen_at__isnull=False).exclude(Exists(clock))[:BATCH]
    now = timezone.now()
    clocks = [
        DigestClock(
            user_id=reader.membership.user_id,
            tenant_id=reader.membership.tenant_id,
            next_at=next_digest(reader.times, reader.zone, now),
        )
        for reader in readers_of(list(without))
    ]
    DigestClock.across_tenants.bulk_create(clocks, ignore_conflicts=True)


def _make_digest(clock: DigestClock, now: datetime) -> bool:
    reader = reader_of(clock.user_id, clock.tenant_id)
    if reader is None:
        clock.delete()
        return False
    moment, clock.next_at = clock.next_at, next_digest(reader.times, reader.zone, now)
    clock.save(update_fields=["next_at"])
    of_person = {"user": clock.user_id, "tenant": clock.tenant_id}
    waiting = Notice.across_tenants.filter(**of_person, in_digest=True, mail=None)
    if reader.choices.by_mail == ByMail.OFF or (reader.choices.by_mail != ByMail.DIGEST and not waiting.exists()):
        waiting.update(in_digest=False)
        return False
    last = Mail.across_tenants.filter(**of_person, kind=Kind.DIGEST).order_by("-until").first()
    since = max(last.until, now - LONGEST_DIGEST) if last else moment - timedelta(days=1)
    mail = Mail.across_tenants.create(
        tenant_id=clock.tenant_id,
        user_id=clock.user_id,
        kind=Kind.DIGEST,
        since=since,
        until=now,
        next_at=after_quiet(reader.times, reader.zone, now),
    )
    waiting.update(mail=mail)
    return True


# ── Sending ──────────────────────────────────────────────────────────────────


def send_due(seconds: float = SECONDS) -> int:
    """Sends for so long at most; returns how many it tried."""
    return OUTBOX.send_due(_send, seconds)


def _send(mail: Mail, connection: BaseEmailBackend) -> None:
    reader = reader_of(mail.user_id, mail.tenant_id)
    if reader is None or not _is_quiet(mail, reader):
        OUTBOX.send(mail, lambda: letters.written(mail, reader) if reader else None, connection)


def _is_quiet(mail: Mail, reader: Reader) -> bool:
    """One that could not be sent for hours may have come into quiet ones."""
    now = timezone.now()
    until = after_quiet(reader.times, reader.zone, now)
    if until > now:
        OUTBOX.note(mail, next_at=until, attempts=F("attempts") - 1)
    return until > now
