"""Reports by mail: one mail for each period (`tenants.outbox`), with the eyes of its reader when it is sent."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django_scopes import scope

from portal import dates
from reports import prices, unsubscribing
from reports.files import Kind, may_have, name_of
from reports.making import NotForThem, write
from reports.models import Enclosed, ReportFile, ReportMail, ReportSubscription
from reports.months import Month
from reports.protection import Period, summary_of
from reports.subscriptions import next_morning, period_before, zone_of
from reports.templatetags.report_words import in_gib_months, percent
from reports.usage import usage_of
from tenants import mails
from tenants.models import IdentityProvider, Membership, Tenant
from tenants.outbox import Outbox
from tenants.preferences import as_read_by

BATCH = 200
SECONDS = 300.0
# More than that no mail server needs to take.
MOST_ENCLOSED_BYTES = 5 * 1024**2
# A file may have to be made for it.
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (10, 30, 60, 120, 240, 240, 240))
CONTENT_TYPES = {"pdf": "application/pdf", "csv": "text/csv"}
OUTBOX = Outbox(ReportMail, PAUSES)
KEPT_FOR = timedelta(days=400)


# ── Making ───────────────────────────────────────────────────────────────────


def make_due() -> int:
    """For everybody whose morning has come: of the period that is over, once. Returns how many mails."""
    with transaction.atomic():
        due = ReportSubscription.across_tenants.filter(next_at__lte=timezone.now())
        locked = due.select_for_update(skip_locked=True, no_key=True, of=("self",)).select_related("tenant", "user")
        return sum(_make(subscription) for subscription in locked.order_by("next_at")[:BATCH])


def _make(subscription: ReportSubscription) -> bool:
    membership = _membership(subscription.tenant_id, subscription.user_id)
    if membership is None or not may_have(membership, subscription.kind):
        subscription.delete()
        return False
    zone = zone_of(membership)
    # By the day for which it was due: however late, it is of that period.
    first, last = period_before(subscription.every, subscription.next_at.astimezone(zone).date())
    _mail, made = ReportMail.across_tenants.get_or_create(
        tenant=subscription.tenant,
        user=subscription.user,
        kind=subscription.kind,
        first_day=first,
        last_day=last,
        defaults={"enclosed": subscription.enclosed},
    )
    subscription.next_at = next_morning(subscription.every, zone, timezone.now())
    subscription.save(update_fields=["next_at"])
    return made


def _membership(tenant_id: int, user_id: int) -> Membership | None:
    active = Membership.objects.filter(user__is_active=True, tenant__is_active=True).select_related("user", "tenant")
    return active.filter(tenant=tenant_id, user=user_id).first()


# ── Sending ──────────────────────────────────────────────────────────────────


def send_due(seconds: float = SECONDS) -> int:
    """Sends for so long at most; returns how many it tried."""
    tried = OUTBOX.send_due(_send, seconds)
    ReportMail.across_tenants.filter(created_at__lt=timezone.now() - KEPT_FOR).delete()
    return tried


def _send(mail: ReportMail, connection: BaseEmailBackend) -> None:
    OUTBOX.send(mail, lambda: written(mail), connection)


# ── What it says ─────────────────────────────────────────────────────────────


def written(mail: ReportMail) -> EmailMultiAlternatives | None:
    """In the reader's language and time zone; None = it is not for them any more."""
    membership = _membership(mail.tenant_id, mail.user_id)
    if membership is None or not may_have(membership, mail.kind):
        return None
    try:
        return _message(mail, membership)
    except NotForThem:
        return None


def _message(mail: ReportMail, membership: Membership) -> EmailMultiAlternatives:
    tenant, host = membership.tenant, urlsplit(settings.PORTAL_URL).hostname
    with as_read_by(membership.user, tenant), scope(tenant=tenant):
        enclosed = _enclosed(mail, membership)
        letter = _letter(mail, membership, is_kept_back=enclosed is None and mail.enclosed != Enclosed.LINK)
        headers = {
            "Message-ID": f"<report-{mail.pk}@{host}>",
            # One click to leave (RFC 8058).
            "List-Unsubscribe": f"<{unsubscribing.link(membership, mail.kind)}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "Auto-Submitted": "auto-generated",
        }
        message = mails.message(letter, membership.user.email, tenant, headers)
    if enclosed:
        name, content = enclosed
        message.attach(name, content, CONTENT_TYPES[mail.enclosed])
    return message


def _enclosed(mail: ReportMail, membership: Membership) -> tuple[str, bytes] | None:
    """Not where more than a password is asked for, which a mailbox would go round, and not what is too large."""
    if mail.enclosed == Enclosed.LINK or needs_more_than_a_password(membership.tenant):
        return None
    file = ReportFile(
        tenant=membership.tenant,
        created_by=membership.user,
        kind=mail.kind,
        format=mail.enclosed,
        language=membership.user.language,
        first_day=mail.first_day,
        last_day=mail.last_day,
        machine_guids=membership.machine_guids,
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "report"
        write(path, file, lambda _percent: None)
        if path.stat().st_size > MOST_ENCLOSED_BYTES:
            return None
        return name_of(file), path.read_bytes()


def needs_more_than_a_password(tenant: Tenant) -> bool:
    """Asks for two columns only: more of the sign-in workers must not read."""
    only_elsewhere = IdentityProvider.across_tenants.filter(tenant=tenant, only_single_sign_on=True)
    return tenant.second_factor_required or only_elsewhere.exists()


def _letter(mail: ReportMail, membership: Membership, *, is_kept_back: bool) -> mails.Letter:
    tenant = membership.tenant
    if mail.kind == Kind.USAGE:
        subject, paragraphs, link = _of_usage(mail, membership)
    else:
        subject, paragraphs, link = _of_protection(mail, membership)
    own = f"{settings.PORTAL_URL}{reverse('report-mails', args=[tenant.slug])}"
    closing = [
        _("You chose to get this report. Change that here: %(link)s") % {"link": own},
        _("No more of it, with one click: %(link)s") % {"link": unsubscribing.link(membership, mail.kind)},
    ]
    if is_kept_back:
        closing.insert(0, _("The file is not enclosed: it is too large for a mail, or your organisation protects it."))
    return mails.Letter(
        subject=subject,
        paragraphs=paragraphs,
        button=_("Open the report"),
        link=f"{settings.PORTAL_URL}{link}",
        closing=tuple(closing),
    )


def _of_protection(mail: ReportMail, membership: Membership) -> tuple[str, tuple[str, ...], str]:
    tenant = membership.tenant
    days = (mail.last_day - mail.first_day).days + 1
    summary = summary_of(membership, Period(days, ZoneInfo(tenant.time_zone), mail.last_day))
    figures = {
        "tenant": tenant.name,
        "protected": summary.protected,
        "there": summary.there,
        "first": dates.day_and_year(mail.first_day),
        "last": dates.day_and_year(mail.last_day),
        "rate": percent(summary.success_percent),
        "made": summary.good + summary.failed,
        "failed": summary.failed,
    }
    subject = _("%(protected)s of %(there)s machines of %(tenant)s are protected") % figures
    paragraphs = (
        _("%(protected)s of %(there)s machines are protected now.") % figures,
        _("From %(first)s to %(last)s, %(made)s backups ended, of which %(failed)s failed: %(rate)s succeeded.")
        % figures,
    )
    return subject, paragraphs, f"{reverse('report-protection', args=[tenant.slug])}?days={7 if days == 7 else 30}"


def _of_usage(mail: ReportMail, membership: Membership) -> tuple[str, tuple[str, ...], str]:
    tenant, usage = membership.tenant, usage_of(membership, Month.of(mail.first_day))
    names = {"month": usage.month, "tenant": tenant.name}
    subject = _("Usage of %(tenant)s in %(month)s") % names
    if usage.price:
        said = _("It comes to %(total)s.") % {"total": prices.money(usage.total, usage.price.currency)}
    else:
        said = _("%(amount)s GiB-months were kept.") % {"amount": in_gib_months(usage, usage.byte_days)}
    recorded = _("%(recorded)s of %(days)s days were written down.") % {
        "recorded": len(usage.recorded),
        "days": usage.month.days,
    }
    link = f"{reverse('report-usage', args=[tenant.slug])}?month={usage.month.key}"
    return subject, (said, recorded), link
