"""What a mail says: of the events it was made for, those that its reader may see and wants when it is written."""

from __future__ import annotations

from collections import Counter, defaultdict
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from notifications import unsubscribing, words
from notifications.models import ByMail, Event, Mail, Topic, Wish
from notifications.readers import Reader
from portal import dates
from portal.operation_words import capitalised
from portal.words import lateness, protection_chip
from tenants import mails
from tenants.mails import Letter, Listing
from tenants.preferences import as_read_by
from vprotect_bridge.models import Alert, Machine, Protection

MOST_ROWS = 20
MISSING = (Protection.FAILED, Protection.OVERDUE)


def written(mail: Mail, reader: Reader) -> EmailMultiAlternatives | None:
    """None = there is nothing left to say."""
    member = reader.membership
    if reader.choices.by_mail == ByMail.OFF or not reader.gets_mail:
        return None
    with as_read_by(member.user, member.tenant):
        letter = _news(mail, reader) if mail.kind == Mail.Kind.NEWS else _digest(mail, reader)
        if letter is None:
            return None
        return mails.message(letter, member.user.email, member.tenant, _headers(mail, letter))


def _headers(mail: Mail, letter: Letter) -> dict[str, str]:
    """One click to leave (RFC 8058). The same id at each try: what came twice is seen as one."""
    host = urlsplit(settings.PORTAL_URL).hostname
    return {
        "Message-ID": f"<notification-{mail.pk}-{mail.created_at:%Y%m%d%H%M%S}@{host}>",
        "List-Unsubscribe": f"<{letter.leave}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
    }


def _events(mail: Mail, reader: Reader) -> list[Event]:
    events = Event.across_tenants.filter(notices__mail=mail, notices__user=mail.user_id).order_by("happened_at", "pk")
    return [event for event in events if reader.may_see(event) and reader.choices.wants(event)]


def _letter(
    reader: Reader, subject: str, paragraphs: tuple[str, ...], listings: tuple[Listing, ...], at: str
) -> Letter:
    tenant = reader.membership.tenant
    return Letter(
        subject=subject,
        paragraphs=paragraphs,
        listings=listings,
        button=_("Look at it"),
        link=f"{settings.PORTAL_URL}{at}",
        closing=(
            _("You get this because you belong to %(tenant)s.") % {"tenant": words.short_name(tenant.name)},
            _("What comes, and when, you choose here: %(link)s")
            % {"link": settings.PORTAL_URL + reverse("notification-preferences")},
        ),
        leave=unsubscribing.link(reader.membership),
    )


# ── As it happens ────────────────────────────────────────────────────────────


def _news(mail: Mail, reader: Reader) -> Letter | None:
    events = _without_what_is_over(_events(mail, reader))
    tenant = reader.membership.tenant
    if not events:
        return None
    if len(events) == 1:
        (event,) = events
        said = (capitalised(words.noticed(event)), words.reason(event))
        return _letter(reader, words.headline(event), tuple(filter(None, said)), (), words.address(event, tenant.slug))
    problems = sum(event.is_problem for event in events)
    names = {"count": problems or len(events), "tenant": words.short_name(tenant.name)}
    if problems:
        subject = ngettext("%(count)d problem at %(tenant)s", "%(count)d problems at %(tenant)s", problems) % names
    else:
        subject = _("%(count)d news of %(tenant)s") % names
    return _letter(reader, subject, (), tuple(_listings(events)), reverse("notifications", args=[tenant.slug]))


def _without_what_is_over(events: list[Event]) -> list[Event]:
    """A machine that was late for some minutes of the night wakes nobody in the morning."""
    alerts = [event.source_id for event in events if event.source == Event.Source.ALERT and event.is_problem]
    is_open = set(Alert.across_tenants.filter(pk__in=alerts, closed_at=None).values_list("pk", flat=True))
    over = set(alerts) - is_open
    return [event for event in events if event.source_id not in over]


def _listings(events: list[Event]) -> list[Listing]:
    """By what became of what, problems first, the most first."""
    groups = defaultdict(list)
    for event in events:
        groups[words.group(event)].append(event)
    ordered = sorted(groups.items(), key=lambda group: (not group[1][0].is_problem, -len(group[1])))
    return [
        Listing(
            title=words.title_of_many(group),
            rows=tuple((words.subject(event), _detail(event)) for event in group[:MOST_ROWS]),
            more=max(len(group) - MOST_ROWS, 0),
        )
        for _alike, group in ordered
    ]


def _detail(event: Event) -> str:
    return " · ".join(filter(None, (words.noticed(event), words.reason(event))))


# ── Once a day ───────────────────────────────────────────────────────────────


def _digest(mail: Mail, reader: Reader) -> Letter | None:
    """Comes when there is something to say or missing; to who wants to hear of every backup, every day."""
    tenant, choices = reader.membership.tenant, reader.choices
    events = _events(mail, reader)
    missing = _missing(reader) if choices.protection != Wish.NEVER else None
    if not events and missing is None and choices.backups != Wish.ALWAYS:
        return None
    problems = sum(event.is_problem for event in events)
    names = {"count": problems, "tenant": words.short_name(tenant.name)}
    if problems and missing:
        subject = ngettext(
            "%(tenant)s: %(count)d problem, and backups are missing",
            "%(tenant)s: %(count)d problems, and backups are missing",
            problems,
        )
        subject %= names
    elif problems:
        subject = ngettext("%(tenant)s: %(count)d problem", "%(tenant)s: %(count)d problems", problems) % names
    elif missing:
        subject = _("%(tenant)s: backups are missing") % names
    else:
        subject = _("%(tenant)s: all is well") % names
    listings = [*([missing] if missing else []), *_listings(events)]
    return _letter(reader, subject, _summary(mail, reader), tuple(listings), reverse("tenant-home", args=[tenant.slug]))


def _summary(mail: Mail, reader: Reader) -> tuple[str, ...]:
    """How many of what, good ones too; and in so many words that there was nothing."""
    events = Event.across_tenants.filter(
        tenant=mail.tenant_id,
        sorted_at__gte=mail.since,
        sorted_at__lt=mail.until,
        topic__in=[Topic.BACKUPS, Topic.RESTORES],
    )
    if (guids := reader.membership.machine_guids) is not None:
        events = events.filter(machine_guid__in=guids)
    counts: Counter[str] = Counter()
    for what, kind in events.values_list("what", "facts__kind").iterator():
        counts[words.group(Event(source=Event.Source.OPERATION, what=what, facts={"kind": kind}))] += 1
    told = ", ".join(f"{count} × {title}" for title, count in counts.most_common())
    told = told or _("nothing ended, no backup and no restore")
    return (_("Since %(moment)s: %(told)s.") % {"moment": dates.with_zone(mail.since), "told": told},)


def _missing(reader: Reader) -> Listing | None:
    """What should be there and is not, at this moment: that no one has to notice it by a mail that did not come."""
    member = reader.membership
    alerts = Alert.across_tenants.filter(tenant=member.tenant_id, closed_at=None).select_related("machine", "plan")
    machines = Machine.across_tenants.filter(tenant=member.tenant_id, protection__in=MISSING)
    if (guids := member.machine_guids) is not None:
        alerts, machines = alerts.filter(machine__guid__in=guids), machines.filter(guid__in=guids)
    machines = machines.exclude(pk__in=alerts.exclude(machine=None).values("machine"))
    count = alerts.count() + machines.count()
    rows = [
        (words.alert_title(alert.kind, _name(alert)), _since(alert))
        for alert in alerts.order_by("began_at")[:MOST_ROWS]
    ]
    for machine in machines.order_by("name")[: MOST_ROWS - len(rows)]:
        chip = protection_chip(machine)
        rows.append((f"{words.short_name(machine.name)}: {chip.word}", str(chip.why)))
    title = _("What is missing (%(count)d)") % {"count": count}
    return Listing(title, tuple(rows), more=count - len(rows)) if count else None


def _since(alert: Alert) -> str:
    """Of a machine that is late how late it is, and of when its newest good backup is."""
    machine = alert.machine
    late = lateness(machine) if machine and alert.kind == Alert.Kind.LATE else ""
    if not machine or not late:
        return _("since %(moment)s") % {"moment": dates.with_zone(alert.began_at)}
    newest = machine.last_success_at
    said = _("newest good backup: %(moment)s") % {"moment": dates.with_zone(newest)} if newest else _("no good backup")
    return f"{late} · {said}"


def _name(alert: Alert) -> str:
    thing = alert.machine or alert.plan
    return thing.name if thing else ""
