"""Which reports come to a person by mail, and when the next one is due."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from reports.files import Kind, may_have
from reports.models import Every, ReportSubscription
from reports.months import Month
from tenants.audit import record_of
from tenants.models import Membership

# At this time of their own morning, in their zone or the tenant's.
MORNING = time(7)
# A bill is of a month.
CHOICES: dict[str, tuple[str, ...]] = {
    Kind.PROTECTION: (Every.WEEK, Every.MONTH),
    Kind.USAGE: (Every.MONTH,),
}


def own_subscriptions(membership: Membership) -> dict[str, ReportSubscription]:
    rows = ReportSubscription.objects.filter(tenant=membership.tenant, user=membership.user)
    return {row.kind: row for row in rows}


def subscribe(membership: Membership, wanted: Mapping[str, tuple[str, str]], *, address: str | None) -> None:
    """`wanted`: by kind of report how often ("" = never) and what is enclosed. Kinds a person may not have are not
    kept."""
    now = timezone.now()
    with transaction.atomic():
        for kind, (every, enclosed) in wanted.items():
            of_kind = ReportSubscription.objects.filter(tenant=membership.tenant, user=membership.user, kind=kind)
            if not every or not may_have(membership, kind):
                of_kind.delete()
                continue
            next_at = next_morning(every, zone_of(membership), now)
            if not of_kind.update(every=every, enclosed=enclosed, next_at=next_at):
                ReportSubscription.objects.create(
                    tenant=membership.tenant,
                    user=membership.user,
                    kind=kind,
                    every=every,
                    enclosed=enclosed,
                    next_at=next_at,
                )
        chosen = {kind: every or "never" for kind, (every, _enclosed) in wanted.items()}
        record_of(membership, "report_mails_changed", address=address, reports=chosen)


def zone_of(membership: Membership) -> ZoneInfo:
    return ZoneInfo(membership.user.time_zone or membership.tenant.time_zone)


def next_morning(every: str, zone: ZoneInfo, now: datetime) -> datetime:
    """Of the next Monday, or first of a month; aware. Right across changes of clocks."""
    day = now.astimezone(zone).date()
    while True:
        morning = datetime.combine(day, MORNING, zone)
        if morning > now and (day.weekday() == 0 if every == Every.WEEK else day.day == 1):
            return morning
        day += timedelta(days=1)


def period_before(every: str, day: date) -> tuple[date, date]:
    """The whole week, Monday to Sunday, or month that was over by this day."""
    if every == Every.WEEK:
        monday = day - timedelta(days=day.weekday() + 7)
        return monday, monday + timedelta(days=6)
    month = Month.of(day).before
    return month.first, month.last
