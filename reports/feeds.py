"""The calendar of coming runs at a secret address of a person: their calendar program reads it without a session.

The address is all that is asked for, so the row has only its SHA-256, it is shown once, and it opens nothing but the
times of plans that the person may see at that moment. What ends a membership, a role or an account ends it too.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import Count
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from icalendar import Calendar, Event

from portal import plan_words
from portal.access import visible_machines, visible_plans
from portal.templatetags.portal_words import duration
from reports.lengths import lengths_of
from reports.models import CalendarFeed
from tenants.audit import record_of
from tenants.models import Membership, Tenant
from tenants.people import identity_provider
from tenants.wall import lower_wall, show_calendar
from vprotect_bridge import plan_times
from vprotect_bridge.models import Plan, Standing
from vprotect_bridge.plan_facts import Held
from vprotect_bridge.plan_preview import next_runs_of
from vprotect_bridge.plan_wishes import PlanWish

AHEAD = timedelta(days=30)
# Of one plan; one that runs every few minutes would fill a calendar with nothing else.
MOST_RUNS = 120
READ_TO = timedelta(minutes=5)


# ── The address ──────────────────────────────────────────────────────────────


def make_feed(membership: Membership, *, provider_key: str, address: str | None) -> str:
    """Returns the address; the one before it, if there was any, opens nothing from now on.

    `provider_key`: how the person was signed in, which is how the feed opens the tenant too.
    """
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        CalendarFeed.objects.update_or_create(
            tenant=membership.tenant,
            user=membership.user,
            defaults={
                "token_hash": _hash(token),
                "provider_key": provider_key,
                "created_at": timezone.now(),
                "last_used_at": None,
            },
        )
        record_of(membership, "calendar_made", address=address)
    return f"{settings.PORTAL_URL}{reverse('calendar-feed', args=[token])}"


def revoke_feed(membership: Membership, *, address: str | None) -> bool:
    with transaction.atomic():
        rows, _models = CalendarFeed.objects.filter(tenant=membership.tenant, user=membership.user).delete()
        if rows:
            record_of(membership, "calendar_revoked", address=address)
    return bool(rows)


def own_feed(membership: Membership) -> CalendarFeed | None:
    return CalendarFeed.objects.filter(tenant=membership.tenant, user=membership.user).first()


def open_feed(token: str) -> tuple[CalendarFeed, Membership] | None:
    """With the wall lowered to its tenant for the rest of the transaction; None for an address that opens nothing, be
    it unknown, made anew since, or of somebody who does not belong there any more."""
    show_calendar(_hash(token))
    feed = CalendarFeed.across_tenants.select_related("user").filter(token_hash=_hash(token)).first()
    if feed is None or not feed.user.is_active:
        return None
    lower_wall(feed.user, "")
    tenant = Tenant.objects.filter(pk=feed.tenant_id).first()
    membership = lower_wall(feed.user, tenant.slug, feed.provider_key) if tenant else None
    if membership is None or membership.tenant_id != feed.tenant_id:
        return None
    if feed.created_at < membership.created_at:
        # Somebody who left and was let in again makes a new one.
        return None
    provider = identity_provider(membership.tenant)
    if provider and provider.only_single_sign_on and not feed.provider_key:
        return None
    membership.user = feed.user
    return feed, membership


def note_read(feed: CalendarFeed) -> None:
    now = timezone.now()
    if feed.last_used_at is None or feed.last_used_at < now - READ_TO:
        CalendarFeed.objects.filter(pk=feed.pk).update(last_used_at=now)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


# ── The runs ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Run:
    """`length`: as expected (`reports.lengths`)."""

    plan: Plan
    at: datetime
    machines: int
    length: timedelta


def coming_runs(membership: Membership, until: timedelta = AHEAD, most: int = MOST_RUNS) -> list[Run]:
    """Of the plans that the person sees, by what vProtect holds of them; aware UTC, the first one first."""
    now = timezone.now()
    counts = dict(
        visible_machines(membership)
        .filter(present=True, vanished_at=None)
        .exclude(policy_guid="")
        .values_list("policy_guid")
        .annotate(count=Count("*"))
        .order_by()
    )
    plans = list(visible_plans(membership).filter(standing=Standing.ACTING))
    lengths = lengths_of(membership, plans)
    runs = [
        Run(plan, at, counts.get(plan.policy_guid, 0), lengths[str(plan.pk)])
        for plan in plans
        for at in _runs_of(plan, now, now + until, most)
    ]
    return sorted(runs, key=lambda run: (run.at, str(run.plan.pk)))


def _runs_of(plan: Plan, now: datetime, until: datetime, most: int) -> list[datetime]:
    """What vProtect holds counts until it is put again for a change of clocks, and from then on what is meant."""
    turn = plan.put_again_at or until
    runs = {at for at in next_runs_of(Held.from_json(plan.held), now, most) if at <= until and at < turn}
    if turn < until:
        for timing in PlanWish.of_plan(plan).timings():
            runs |= set(plan_times.intended_runs(timing, max(turn, now), until))
    return sorted(runs)[:most]


def calendar_of(membership: Membership) -> bytes:
    """RFC 5545. Times are instants in UTC, which calendars show in the zone of who reads: a change to summer time moves
    nothing, as the runs were computed across it already."""
    calendar = Calendar()
    calendar.add("prodid", f"-//{settings.PORTAL_NAME}//Backups//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", _("Backups of %(tenant)s") % {"tenant": membership.tenant.name})
    calendar.add("refresh-interval", timedelta(hours=1), parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", "PT1H")
    for event in _events(membership):
        calendar.add_component(event)
    return calendar.to_ical()


def _events(membership: Membership) -> Iterator[Event]:
    host = urlsplit(settings.PORTAL_URL).hostname
    for run in coming_runs(membership):
        event = Event()
        # The same run is the same event each time it is read.
        event.add("uid", f"{run.plan.pk}-{run.at:%Y%m%dT%H%M%SZ}@{host}")
        event.add("dtstamp", run.plan.held_at or run.plan.created_at)
        event.add("dtstart", run.at)
        event.add("dtend", run.at + run.length)
        event.add("summary", _("Backup: %(plan)s") % {"plan": _one_line(str(plan_words.plan_name(run.plan)))})
        count = ngettext("%(count)d machine", "%(count)d machines", run.machines) % {"count": run.machines}
        length = {"machines": count, "length": duration(int(run.length.total_seconds() * 1000))}
        event.add("description", _("%(machines)s, expected to take %(length)s") % length)
        event.add("url", f"{settings.PORTAL_URL}{reverse('plan', args=[membership.tenant.slug, run.plan.pk])}")
        # It keeps nobody busy.
        event.add("transp", "TRANSPARENT")
        yield event


def _one_line(text: str) -> str:
    return " ".join(text.split())
