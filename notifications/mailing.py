"""Mails on their way: made when they are due, claimed one by one, tried with growing pauses, given up visibly.

A mail counts as sent once its server took it. Who dies between that and the note of it leaves a mail that is sent
again: SMTP knows no way around it, and the second one has the id of the first. Nothing else doubles a mail.
"""

from __future__ import annotations

import logging
import smtplib
import time
from datetime import datetime, timedelta

from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef
from django.utils import timezone

from notifications import letters
from notifications.models import ByMail, DigestClock, Mail, Notice
from notifications.readers import Reader, active_memberships, reader_of, readers_of
from notifications.times import after_quiet, next_digest

logger = logging.getLogger(__name__)

State, Kind = Mail.State, Mail.Kind

BATCH = 200
# Between two mails of news to one person about one tenant, however much goes wrong.
PAUSE_OF_NEWS = timedelta(minutes=10)
# After each try. The first is longer than a try can take, so that nobody sends what somebody is sending.
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (2, 5, 15, 60, 120, 240, 240, 240, 240))
LONGEST_DIGEST = timedelta(days=7)
SECONDS = 20.0

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
    ends, tried = time.monotonic() + seconds, 0
    connection = get_connection()
    try:
        while time.monotonic() < ends and (mail := claim()):
            tried += 1
            send(mail, connection)
    finally:
        connection.close()
    return tried


def claim() -> Mail | None:
    """The one that is due longest, for a while nobody else's."""
    now = timezone.now()
    with transaction.atomic():
        due = Mail.across_tenants.filter(state=State.WAITING, next_at__lte=now)
        mail = due.select_for_update(skip_locked=True, no_key=True).order_by("next_at").first()
        if mail is None:
            return None
        mail.next_at = now + PAUSES[min(mail.attempts, len(PAUSES) - 1)]
        mail.attempts += 1
        mail.save(update_fields=["next_at", "attempts"])
    return mail


def send(mail: Mail, connection: BaseEmailBackend) -> None:
    reader = reader_of(mail.user_id, mail.tenant_id)
    if reader is not None and _is_quiet(mail, reader):
        return
    try:
        message = letters.written(mail, reader) if reader else None
    except Exception as error:  # one that cannot be written holds up no other
        logger.exception("mail %s cannot be written", mail.pk)
        _note_failure(mail, error)
        return
    if message is None:
        _note(mail, state=State.DROPPED)
        return
    message.connection = connection
    try:
        connection.open()
        message.send()
    except (OSError, smtplib.SMTPException) as error:
        _note_failure(mail, error)
        connection.close()
    else:
        _note(mail, state=State.SENT, sent_at=timezone.now(), problem="")


def _is_quiet(mail: Mail, reader: Reader) -> bool:
    """One that could not be sent for hours may have come into quiet ones."""
    now = timezone.now()
    until = after_quiet(reader.times, reader.zone, now)
    if until > now:
        _note(mail, next_at=until, attempts=F("attempts") - 1)
    return until > now


def _note_failure(mail: Mail, error: Exception) -> None:
    """A mailbox that is not there will not be there later either. Never the server's words, which name people."""
    codes = [code for code, _text in getattr(error, "recipients", {}).values()] or [getattr(error, "smtp_code", 0)]
    is_final = isinstance(error, smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError) and min(codes) >= 500
    gives_up = is_final or mail.attempts >= len(PAUSES)
    problem = " ".join([type(error).__name__, *(str(code) for code in codes if code)])
    logger.warning("mail %s was not sent, try %s: %s", mail.pk, mail.attempts, problem)
    _note(mail, problem=problem, **({"state": State.GIVEN_UP} if gives_up else {}))


def _note(mail: Mail, **changes: object) -> None:
    """Not over what an operator decided meanwhile."""
    Mail.across_tenants.filter(pk=mail.pk, state=State.WAITING).update(**changes)
