"""Reports by mail: when, to whom, once, and what a mail brings."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.core import mail
from django.test import Client
from django.utils import timezone
from pypdf import PdfReader

from reports import mailing
from reports.models import Every, Price, ReportMail, ReportSubscription
from reports.subscriptions import next_morning, period_before
from tenants.models import AuditEntry, IdentityProvider, Role, Tenant, User
from tests.conftest import AsRole, machine_of, person
from tests.reports.conftest import GIB, backup_of, written_down
from vprotect_bridge.models import Machine

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
PAGE = "/t/sunflower/reports/mail/"
# A Monday.
MONDAY = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)


def subscription(user: User, tenant: Tenant, kind: str = "protection", **fields: Any) -> ReportSubscription:
    every = Every.WEEK if kind == "protection" else Every.MONTH
    usual = {"every": every, "enclosed": "link", "next_at": timezone.now()}
    return ReportSubscription.across_tenants.create(user=user, tenant=tenant, kind=kind, **{**usual, **fields})


def sent() -> list[Any]:
    mailing.make_due()
    mailing.send_due()
    return mail.outbox


# ── When ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("every", "now", "expected"),
    [
        ("week", "2026-11-22T12:00", "2026-11-23T07:00"),
        ("week", "2026-11-23T06:59", "2026-11-23T07:00"),
        ("week", "2026-11-23T07:00", "2026-11-30T07:00"),
        ("month", "2026-11-23T07:00", "2026-12-01T07:00"),
        ("month", "2026-12-31T23:59", "2027-01-01T07:00"),
        # Clocks change on the 28th.
        ("week", "2027-03-27T12:00", "2027-03-29T07:00"),
    ],
)
def test_it_comes_at_seven_of_ones_own_morning(every: str, now: str, expected: str):
    zone = ZoneInfo("Europe/Berlin")
    found = next_morning(every, zone, datetime.fromisoformat(now).replace(tzinfo=zone))
    assert found == datetime.fromisoformat(expected).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("every", "day", "first", "last"),
    [
        ("week", date(2026, 11, 23), date(2026, 11, 16), date(2026, 11, 22)),
        ("week", date(2026, 11, 25), date(2026, 11, 16), date(2026, 11, 22)),
        ("month", date(2026, 12, 1), date(2026, 11, 1), date(2026, 11, 30)),
        ("month", date(2027, 1, 3), date(2026, 12, 1), date(2026, 12, 31)),
    ],
)
def test_it_is_of_the_whole_period_that_is_over(every: str, day: date, first: date, last: date):
    assert period_before(every, day) == (first, last)


@time_machine.travel(MONDAY, tick=False)
def test_one_mail_for_each_period_however_often_somebody_looks(sunflower: Tenant, owner: User):
    subscribed = subscription(owner, sunflower)
    for _look in range(3):
        assert len(sent()) == 1
    ReportSubscription.across_tenants.update(next_at=timezone.now())
    assert len(sent()) == 1, "the period has its mail, whoever sets the clock back"
    subscribed.refresh_from_db()
    assert ReportMail.across_tenants.get().state == "sent" and subscribed.next_at > timezone.now()


@time_machine.travel(MONDAY + timedelta(days=9), tick=False)
def test_one_that_comes_late_is_of_the_period_it_was_due_for(sunflower: Tenant, owner: User):
    subscription(owner, sunflower, next_at=MONDAY)
    assert len(sent()) == 1 and ReportMail.across_tenants.get().first_day == date(2026, 11, 16)


# ── What ─────────────────────────────────────────────────────────────────────


@time_machine.travel(MONDAY, tick=False)
def test_figures_of_the_week_and_not_of_today(sunflower: Tenant, pine: Tenant, owner: User):
    machine, theirs = machine_of(sunflower, "vm-1"), machine_of(pine, "vm-9")
    Machine.across_tenants.update(protection="protected")
    for days in (0, 1, 3):
        backup_of(machine, sort_at=MONDAY - timedelta(days=days, hours=1))
        backup_of(theirs, sort_at=MONDAY - timedelta(days=days, hours=1))
    backup_of(machine, status="FAILED", sort_at=MONDAY - timedelta(days=4))
    backup_of(machine, sort_at=MONDAY - timedelta(days=8))
    subscription(owner, sunflower)
    (message,) = sent()
    assert message.subject == "1 of 1 machines of Sunflower are protected" and message.to == [owner.email]
    assert "From 16 Nov 2026 to 22 Nov 2026, 3 backups ended, of which 1 failed: 66.7 % succeeded." in message.body
    assert "http://testserver/t/sunflower/reports/?days=7" in message.body and not message.attachments
    assert "/t/sunflower/reports/mail/" in message.body


@time_machine.travel("2026-12-01 08:00", tick=False)
@pytest.mark.parametrize("enclosed", ["csv", "pdf"])
def test_the_file_is_the_one_that_the_page_makes(enclosed: str, sunflower: Tenant, owner: User):
    Price.objects.create(counts_from="2026-11-01", currency="EUR", per_gib_month="0.30", per_machine_month="3")
    written_down(sunflower, date(2026, 11, 30), "vm-1", 100 * GIB)
    subscription(owner, sunflower, "usage", enclosed=enclosed)
    (message,) = sent()
    ((name, content, _type),) = message.attachments
    assert name == f"usage-sunflower-2026-11.{enclosed}" and "It comes to €1.10." in message.body
    if enclosed == "csv":
        assert content.startswith("\ufeff"), "spreadsheets know UTF-8 by it"
        rows = list(csv.DictReader(io.StringIO(content.removeprefix("\ufeff"))))
        assert [row["cost"] for row in rows if row["what"] == "total"] == ["1.10"]
    else:
        assert "€1.10" in PdfReader(io.BytesIO(content)).pages[0].extract_text()


@time_machine.travel(MONDAY, tick=False)
@pytest.mark.parametrize("why", ["second factor", "single sign-on", "too large"])
def test_a_file_is_kept_back_where_a_mailbox_would_go_round_something(
    why: str, sunflower: Tenant, owner: User, monkeypatch: pytest.MonkeyPatch
):
    if why == "second factor":
        Tenant.objects.update(second_factor_required=True)
    elif why == "single sign-on":
        provider = IdentityProvider(
            tenant=sunflower, slug="sun", issuer="https://localhost:1", client_id="x", only_single_sign_on=True
        )
        provider.client_secret = "a secret for tests"
        provider.save()
    else:
        monkeypatch.setattr(mailing, "MOST_ENCLOSED_BYTES", 10)
    subscription(owner, sunflower, enclosed="csv")
    (message,) = sent()
    assert not message.attachments and "The file is not enclosed" in message.body


@time_machine.travel(MONDAY, tick=False)
def test_who_is_limited_to_some_machines_reads_of_those_only(sunflower: Tenant, owner: User):
    for guid in ("vm-1", "vm-2", "vm-3"):
        machine_of(sunflower, guid)
    owner.memberships.update(machine_guids=["vm-1"])
    subscription(owner, sunflower, enclosed="csv")
    (message,) = sent()
    ((_name, content, _type),) = message.attachments
    assert "0 of 1 machines" in message.subject and "vm-1" in content and "vm-2" not in content


@time_machine.travel("2026-12-01 08:00", tick=False)
@pytest.mark.parametrize("kind", ["protection", "usage"])
@pytest.mark.parametrize("enclosed", ["link", "pdf", "csv"])
def test_it_is_made_and_sent_with_the_rights_of_a_worker(
    kind: str, enclosed: str, sunflower: Tenant, owner: User, as_role: AsRole
):
    machine_of(sunflower)
    written_down(sunflower, date(2026, 11, 1), "vm-1", GIB)
    subscription(owner, sunflower, kind, enclosed=enclosed)
    with as_role("portal_worker"):
        (message,) = sent()
    assert len(message.attachments) == (enclosed != "link")
    assert not ReportMail.across_tenants.exclude(state="sent").exists()


@time_machine.travel(MONDAY, tick=False)
def test_it_is_in_the_readers_language(sunflower: Tenant, owner: User):
    User.objects.filter(pk=owner.pk).update(language="de")
    subscription(owner, sunflower)
    (message,) = sent()
    assert "Maschinen von Sunflower" in message.subject


@time_machine.travel("2026-12-01 08:00", tick=False)
def test_who_is_limited_reads_what_their_machines_keep_and_no_prices(sunflower: Tenant, owner: User):
    Price.objects.create(counts_from="2026-01-01", currency="EUR", per_gib_month=1, per_machine_month=1)
    for guid in ("vm-1", "vm-2"):
        written_down(sunflower, date(2026, 11, 1), guid, 60 * GIB)
    owner.memberships.update(machine_guids=["vm-1"])
    subscription(owner, sunflower, "usage", enclosed="csv")
    (message,) = sent()
    ((_name, content, _type),) = message.attachments
    assert "2.00 GiB-months were kept." in message.body and "€" not in message.body
    assert "vm-1" in content and "vm-2" not in content and "EUR" not in content


# ── To whom ──────────────────────────────────────────────────────────────────


@time_machine.travel("2026-12-01 08:00", tick=False)
@pytest.mark.parametrize("when", ["before it is made", "before it is sent"])
@pytest.mark.parametrize(
    "change",
    [
        lambda owner: owner.memberships.all().delete(),
        lambda owner: User.objects.filter(pk=owner.pk).update(is_active=False),
        lambda owner: Tenant.objects.update(is_active=False),
        lambda owner: owner.memberships.update(role=Role.VIEWER),
    ],
    ids=["removed", "switched off", "suspended", "lowered"],
)
def test_who_may_not_see_it_any_more_gets_none(
    change: Callable[[User], object], when: str, sunflower: Tenant, owner: User
):
    subscription(owner, sunflower, "usage")
    if when == "before it is sent":
        mailing.make_due()
    change(owner)
    assert sent() == []
    assert not ReportMail.across_tenants.exclude(state="dropped").exists()


@time_machine.travel(MONDAY, tick=False)
def test_a_mail_server_that_is_away_is_asked_again_and_given_up_in_the_end(
    sunflower: Tenant, owner: User, settings: Any
):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    subscription(owner, sunflower)
    mailing.make_due()
    for tries in range(1, len(mailing.PAUSES) + 1):
        assert mailing.send_due() == 1
        found = ReportMail.across_tenants.get()
        assert found.attempts == tries and found.next_at > timezone.now()
        ReportMail.across_tenants.update(next_at=timezone.now())
    given_up = ReportMail.across_tenants.get()
    assert (given_up.state, given_up.problem) == ("given_up", "ConnectionRefusedError")


@time_machine.travel(MONDAY, tick=False)
def test_one_that_cannot_be_written_holds_up_no_other_and_is_given_up(
    sunflower: Tenant, owner: User, monkeypatch: pytest.MonkeyPatch
):
    member = person(sunflower, "member", Role.MEMBER)
    subscription(owner, sunflower)
    subscription(member, sunflower)
    mailing.make_due()
    whole = mailing.written
    monkeypatch.setattr(mailing, "written", lambda mail: 1 / 0 if mail.user == owner else whole(mail))
    for _ in mailing.PAUSES:
        mailing.send_due()
        ReportMail.across_tenants.filter(state="waiting").update(next_at=timezone.now())
    outcomes = dict(ReportMail.across_tenants.values_list("user", "state"))
    assert outcomes == {owner.pk: "given_up", member.pk: "sent"}


# ── The page ─────────────────────────────────────────────────────────────────


def test_people_choose_for_themselves(sunflower: Tenant, owner: User, as_web: Browser):
    browser = as_web(owner)
    form = {"protection_every": "week", "protection_enclosed": "pdf", "usage_every": "", "usage_enclosed": "link"}
    assert browser.post(PAGE, form).status_code == 302
    row = ReportSubscription.across_tenants.get()
    assert (row.user, row.kind, row.every, row.enclosed) == (owner, "protection", "week", "pdf")
    assert row.next_at > timezone.now() and AuditEntry.across_tenants.get().action == "report_mails_changed"
    assert 'value="week" selected' in browser.get(PAGE).content.decode()
    assert browser.post(PAGE, form | {"protection_every": ""}).status_code == 302
    assert not ReportSubscription.across_tenants.exists()


def test_viewers_are_offered_protection_and_cannot_name_another(sunflower: Tenant, as_web: Browser):
    browser = as_web(person(sunflower, "looker", Role.VIEWER))
    assert "usage_every" not in browser.get(PAGE).content.decode()
    form = {"protection_every": "month", "protection_enclosed": "link"}
    assert browser.post(PAGE, form | {"usage_every": "month", "usage_enclosed": "csv"}).status_code == 302
    assert ReportSubscription.across_tenants.get().kind == "protection"


@pytest.mark.parametrize("form", [{"protection_every": "hour"}, {"protection_enclosed": "exe"}, {}])
def test_what_the_lists_do_not_have_is_refused(form: dict[str, str], owner: User, as_web: Browser):
    usual = {"protection_every": "week", "protection_enclosed": "pdf", "usage_enclosed": "link"}
    assert as_web(owner).post(PAGE, {**usual, **form} if form else {}).status_code == 422
    assert not ReportSubscription.across_tenants.exists()
