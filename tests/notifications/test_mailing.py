"""Mails from what happened to a mail server: gathered, in their time, once, of what their reader may see."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.utils import timezone

from notifications import mailing, sorting
from notifications.models import DigestClock, Mail, MailTimes, Notice, PersonalChoices
from tenants.models import Brand, Membership, Role, Tenant, User
from tenants.outbox import Outbox
from tests.conftest import machine_of, person
from tests.notifications.conftest import MailServer
from tests.notifications.happenings import ended, seen
from vprotect_bridge.models import Alert, Machine, Protection

pytestmark = pytest.mark.django_db

MORNING = datetime.fromisoformat("2026-11-25T07:00:00+00:00")


@pytest.fixture
def now(time_machine: Any) -> Any:
    time_machine.move_to(MORNING + timedelta(hours=3), tick=False)
    return time_machine


def run() -> None:
    """What the beat has done every few seconds."""
    sorting.sort()
    mailing.make_news()
    mailing.make_digests()
    mailing.send_due()


def later(now: Any, **how: int) -> None:
    now.shift(timedelta(**how))
    run()


def text_of(message: Any) -> str:
    return str(message.get_body(("plain",)).get_content())


def html_of(message: Any) -> BeautifulSoup:
    return BeautifulSoup(message.get_body(("html",)).get_content(), "html.parser")


def many_fail(tenant: Tenant, count: int) -> None:
    for number in range(count):
        ended(machine_of(tenant, f"m-{number:02}"))


# ── At once ──────────────────────────────────────────────────────────────────


def test_one_failure_is_told_within_a_minute(machine: Machine, at_once: Any, mail_server: MailServer, now: Any):
    operation = ended(machine)
    run()
    assert mail_server.taken == []
    later(now, minutes=1)
    (message,) = mail_server.taken
    assert message["Subject"] == "Backup of machine vm-1: Failed" and message["To"] == "owner@sunflower.example"
    link = f"http://testserver/t/sunflower/operations/{operation.pk}/"
    assert link in text_of(message) and html_of(message).select_one(f'a[href="{link}"]')
    assert "The backup system reported an error." in text_of(message)


def test_fifty_that_fail_together_are_one_mail(
    machine: Machine, at_once: Any, sunflower: Tenant, mail_server: MailServer, now: Any
):
    many_fail(sunflower, 50)
    run()
    later(now, minutes=1)
    (message,) = mail_server.taken
    assert message["Subject"] == "50 problems at Sunflower"
    for part in (text_of(message), html_of(message).get_text(" ")):
        assert "Backup: Failed (50)" in part and "machine m-19" in part and "machine m-20" not in part
        assert "and 30 more" in part
    later(now, minutes=20)
    assert len(mail_server.taken) == 1


def test_what_goes_on_failing_comes_every_ten_minutes(
    machine: Machine, at_once: Any, sunflower: Tenant, mail_server: MailServer, now: Any
):
    for number in range(15):
        ended(machine_of(sunflower, f"m-{number:02}"))
        later(now, minutes=1)
    assert [message["Subject"] for message in mail_server.taken] == [
        "2 problems at Sunflower",
        "10 problems at Sunflower",
    ]


def test_each_person_has_a_mail_of_their_own(
    machine: Machine, at_once: Any, sunflower: Tenant, mail_server: MailServer, now: Any
):
    for name in ("one", "two"):
        user = person(sunflower, name, Role.VIEWER)
        seen(user)
        PersonalChoices.across_tenants.create(user=user, tenant=sunflower, by_mail="at_once")
    ended(machine)
    run()
    later(now, minutes=1)
    assert sorted(message["To"].split("@")[0] for message in mail_server.taken) == ["one", "owner", "two"]


def test_what_falls_into_quiet_hours_comes_together_at_their_end(
    machine: Machine, at_once: Any, owner: User, sunflower: Tenant, mail_server: MailServer, now: Any
):
    MailTimes.objects.filter(user=owner).update(quiet_from=time(9), quiet_until=time(14))
    many_fail(sunflower, 2)
    run()
    later(now, hours=1)
    ended(machine)
    run()
    later(now, hours=2, minutes=59)
    assert mail_server.taken == []
    later(now, minutes=1)
    assert [message["Subject"] for message in mail_server.taken] == ["3 problems at Sunflower"]


def test_a_mail_that_the_server_took_too_late_waits_for_the_end_of_quiet_hours(
    machine: Machine, at_once: Any, owner: User, mail_server: MailServer, now: Any
):
    MailTimes.objects.filter(user=owner).update(quiet_from=time(10, 2), quiet_until=time(14))
    ended(machine)
    run()
    mail_server.answers = ["451 later"]
    later(now, minutes=1)
    later(now, minutes=10)
    assert mail_server.taken == [] and Mail.across_tenants.get().attempts == 1
    later(now, hours=4)
    assert len(mail_server.taken) == 1


# ── Who may see it when it is written ────────────────────────────────────────


@pytest.mark.parametrize(
    "change",
    [
        lambda owner: Membership.objects.filter(user=owner).delete(),
        lambda owner: Membership.objects.filter(user=owner).update(machine_guids=["vm-9"]),
        lambda owner: User.objects.filter(pk=owner.pk).update(is_active=False),
        lambda owner: Tenant.objects.update(is_active=False),
        lambda owner: PersonalChoices.across_tenants.update(by_mail="off"),
        lambda owner: PersonalChoices.across_tenants.update(backups="never"),
    ],
    ids=["removed", "of other machines", "inactive", "suspended", "no mail any more", "not of this any more"],
)
@pytest.mark.parametrize("when", ["before it is made", "before it is sent"])
def test_nothing_goes_to_who_may_not_see_it_any_more(
    when: str, change: Any, machine: Machine, at_once: Any, owner: User, mail_server: MailServer, now: Any
):
    ended(machine)
    sorting.sort()
    now.shift(timedelta(minutes=1))
    if when == "before it is sent":
        mailing.make_news()
    change(owner)
    run()
    later(now, hours=1)
    assert mail_server.taken == []
    assert not Mail.across_tenants.filter(state="waiting").exists()


def test_of_many_only_what_is_theirs_is_told(
    machine: Machine, at_once: Any, owner: User, sunflower: Tenant, mail_server: MailServer, now: Any
):
    many_fail(sunflower, 3)
    sorting.sort()
    Membership.objects.filter(user=owner).update(machine_guids=["m-01"])
    later(now, minutes=1)
    (message,) = mail_server.taken
    assert message["Subject"] == "Backup of machine m-01: Failed"
    assert "m-00" not in message.as_string()


def test_a_machine_that_is_late_no_more_is_not_told(
    machine: Machine, owner: User, sunflower: Tenant, mail_server: MailServer, now: Any
):
    alert = Alert.across_tenants.create(tenant=sunflower, machine=machine, kind="late", began_at=timezone.now())
    sorting.sort()
    alert.closed_at = timezone.now()
    alert.save()
    later(now, minutes=2)
    assert mail_server.taken == []


def test_a_late_machine_is_told_at_once_to_who_has_a_digest(
    machine: Machine, sunflower: Tenant, mail_server: MailServer, now: Any
):
    Alert.across_tenants.create(
        tenant=sunflower, machine=machine, kind="late", turn="customer", began_at=timezone.now()
    )
    run()
    later(now, minutes=1)
    (message,) = mail_server.taken
    assert message["Subject"] == "machine vm-1: the newest good backup is too old"
    assert "Your organisation can put it right itself." in text_of(message)
    assert "/t/sunflower/machines/vm-1/" in text_of(message)


def test_its_mail_says_how_old_the_newest_backup_was_and_when_that_was_noticed(
    machine: Machine, sunflower: Tenant, mail_server: MailServer, now: Any
):
    newest = timezone.now() - timedelta(hours=39)
    details = {"target_hours": 24, "last_success_at": newest.isoformat()}
    Alert.across_tenants.create(
        tenant=sunflower, machine=machine, kind="late", began_at=newest + timedelta(hours=24), details=details
    )
    run()
    later(now, minutes=1)
    told = text_of(mail_server.taken[0])
    assert "Noticed " in told and "Its newest good backup was 39 hours old (" in told and "target is 24 hours" in told


# ── Hostile names ────────────────────────────────────────────────────────────

HOSTILE = '<img src=x>\r\nBcc: thief@evil.example\r\n\r\n<b>"\u202eevil' + "x" * 300


def test_a_hostile_name_is_text_in_both_parts_and_one_line_in_the_header(
    machine: Machine, at_once: Any, mail_server: MailServer, now: Any
):
    Machine.across_tenants.update(name=HOSTILE)
    ended(machine)
    run()
    later(now, minutes=1)
    (message,) = mail_server.taken
    assert message["Bcc"] is None and "\u202e" not in message["Subject"] and len(message["Subject"]) < 150
    html = html_of(message)
    assert not html.select("img, b") and "<img src=x>" in html.get_text()
    assert "<img src=x>" in text_of(message) and "\u202e" not in text_of(message)


def test_it_is_in_the_brand_of_the_tenant_and_the_language_of_the_reader(
    machine: Machine, at_once: Any, owner: User, sunflower: Tenant, mail_server: MailServer, now: Any
):
    Brand.across_tenants.create(tenant=sunflower, name="Sun Backups", accent="plum")
    User.objects.filter(pk=owner.pk).update(language="de", time_zone="Europe/Berlin")
    ended(machine)
    run()
    later(now, minutes=1)
    (message,) = mail_server.taken
    assert message["Subject"] == "Sicherung von machine vm-1: Fehlgeschlagen"
    assert "Sun Backups" in text_of(message) and "#84266c" in str(html_of(message)) and "11:00" in text_of(message)


# ── Once a day ───────────────────────────────────────────────────────────────


@pytest.fixture
def digest(owner: User, sunflower: Tenant) -> PersonalChoices:
    return PersonalChoices.across_tenants.create(user=owner, tenant=sunflower)


def next_morning(now: Any) -> None:
    run()
    now.move_to(timezone.now().replace(hour=7, minute=0, second=1) + timedelta(days=1), tick=False)
    run()


def test_the_digest_comes_in_the_morning_with_all_of_a_day(
    machine: Machine, digest: Any, sunflower: Tenant, mail_server: MailServer, now: Any
):
    many_fail(sunflower, 2)
    ended(machine, "succeeded", kind="restore")
    ended(machine, "succeeded")
    run()
    assert mail_server.taken == []
    next_morning(now)
    (message,) = mail_server.taken
    assert message["Subject"] == "Sunflower: 2 problems"
    for part in (text_of(message), html_of(message).get_text(" ")):
        assert "2 × Backup: Failed" in part and "1 × Backup: Succeeded" in part and "machine m-01" in part
        assert "Restore: Succeeded (1)" in part and "Backup: Succeeded (1)" not in part
    next_morning(now)
    assert len(mail_server.taken) == 1, "what was told is not told again, and there is nothing new"


def test_it_says_what_is_missing_although_nothing_happened(
    machine: Machine, digest: Any, sunflower: Tenant, mail_server: MailServer, now: Any
):
    Alert.across_tenants.create(tenant=sunflower, machine=machine, kind="without_plan", began_at=timezone.now())
    Alert.across_tenants.update(closed_at=timezone.now())
    Alert.across_tenants.update(closed_at=None)
    Notice.across_tenants.all().delete()
    overdue = machine_of(sunflower, "vm-2")
    Machine.across_tenants.filter(pk=overdue.pk).update(protection=Protection.OVERDUE)
    now.shift(timedelta(minutes=1))
    next_morning(now)
    message = mail_server.taken[-1]
    assert message["Subject"] == "Sunflower: backups are missing"
    for part in (text_of(message), html_of(message).get_text(" ")):
        assert "What is missing (2)" in part and "is new and has no plan" in part and "machine vm-2: Overdue" in part
        assert "nothing ended, no backup and no restore." in part


def test_of_what_is_late_it_says_how_late_and_of_when_the_newest_backup_is(
    machine: Machine, digest: Any, sunflower: Tenant, mail_server: MailServer, now: Any
):
    newest = timezone.now() - timedelta(hours=30)
    Machine.across_tenants.update(last_success_at=newest, late_at=newest + timedelta(hours=24))
    Alert.across_tenants.create(tenant=sunflower, machine=machine, kind="late", began_at=newest)
    Notice.across_tenants.all().delete()
    next_morning(now)
    assert re.search(r"hours late · newest good backup: \d+ \w+ \d{4}, ", text_of(mail_server.taken[-1]))


def test_a_new_machine_is_not_missing(machine: Machine, digest: Any, mail_server: MailServer, now: Any):
    Machine.across_tenants.update(protection=Protection.NEW)
    next_morning(now)
    assert mail_server.taken == []


def test_its_subject_tells_of_what_failed_and_of_what_is_missing(
    machine: Machine, digest: Any, sunflower: Tenant, mail_server: MailServer, now: Any
):
    many_fail(sunflower, 2)
    Machine.across_tenants.update(protection=Protection.OVERDUE)
    next_morning(now)
    assert mail_server.taken[-1]["Subject"] == "Sunflower: 2 problems, and backups are missing"


@pytest.mark.parametrize(("backups", "subjects"), [("always", ["Sunflower: all is well"]), ("problems", [])])
def test_when_nothing_happened_only_who_wants_every_backup_is_told(
    backups: str, subjects: list[str], machine: Machine, digest: Any, mail_server: MailServer, now: Any
):
    PersonalChoices.across_tenants.update(backups=backups)
    next_morning(now)
    assert [message["Subject"] for message in mail_server.taken] == subjects
    assert all("nothing ended" in text_of(message) for message in mail_server.taken)


def test_a_digest_is_of_ones_own_machines(
    machine: Machine, digest: Any, owner: User, sunflower: Tenant, mail_server: MailServer, now: Any
):
    many_fail(sunflower, 3)
    Machine.across_tenants.update(protection=Protection.FAILED)
    sorting.sort()
    Membership.objects.filter(user=owner).update(machine_guids=["m-01"])
    next_morning(now)
    text = text_of(mail_server.taken[0])
    assert "m-01" in text and "m-00" not in text and "1 × Backup: Failed" in text and "What is missing (1)" in text


def test_who_was_away_for_days_gets_one(machine: Machine, digest: Any, mail_server: MailServer, now: Any):
    ended(machine)
    run()
    now.shift(timedelta(days=4))
    run()
    run()
    assert len(mail_server.taken) == 1


def test_the_morning_is_the_persons_own(machine: Machine, digest: Any, owner: User, mail_server: MailServer, now: Any):
    User.objects.filter(pk=owner.pk).update(time_zone="America/New_York")
    run()
    assert DigestClock.across_tenants.get().next_at == MORNING + timedelta(hours=5)


def test_a_digest_that_was_chosen_off_takes_its_news_along(
    machine: Machine, digest: Any, mail_server: MailServer, now: Any
):
    ended(machine)
    run()
    PersonalChoices.across_tenants.update(by_mail="off")
    next_morning(now)
    assert mail_server.taken == [] and not Notice.across_tenants.filter(in_digest=True).exists()


# ── Tries ────────────────────────────────────────────────────────────────────


@pytest.fixture
def due(machine: Machine, at_once: Any, now: Any) -> Mail:
    ended(machine)
    sorting.sort()
    now.shift(timedelta(minutes=1))
    mailing.make_news()
    return Mail.across_tenants.get()


def test_a_mail_that_was_not_taken_is_tried_again_and_arrives_once(due: Mail, mail_server: MailServer, now: Any):
    mail_server.answers = ["451 later", "452 still full"]
    for minutes in (0, 1, 1, 4, 1):
        later(now, minutes=minutes)
    due.refresh_from_db()
    assert (due.state, due.attempts, due.problem, len(mail_server.taken)) == ("sent", 3, "", 1)
    later(now, days=1)
    assert due.state == "sent" and len([m for m in mail_server.taken if "Failed" in m["Subject"]]) == 1


def test_a_server_that_is_away_costs_time_and_nothing_else(due: Mail, mail_server: MailServer, now: Any, settings: Any):
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, 1
    run()
    due.refresh_from_db()
    assert (due.state, due.problem) == ("waiting", "ConnectionRefusedError")
    settings.EMAIL_PORT = port
    later(now, minutes=2)
    assert len(mail_server.taken) == 1


def test_a_mailbox_that_is_not_there_is_given_up_without_the_servers_words(
    due: Mail, owner: User, mail_server: MailServer, now: Any
):
    User.objects.filter(pk=owner.pk).update(email="nobody@sunflower.example")
    run()
    due.refresh_from_db()
    assert (due.state, due.attempts, due.problem) == ("given_up", 1, "SMTPRecipientsRefused 550")


def test_after_most_of_a_day_it_is_given_up(due: Mail, mail_server: MailServer, now: Any):
    mail_server.answers = ["451 later"] * 20
    for _ in range(30):
        later(now, hours=1)
    due.refresh_from_db()
    assert (due.state, due.attempts) == ("given_up", len(mailing.PAUSES))


def test_one_that_cannot_be_written_holds_up_no_other_and_is_given_up(
    due: Mail, mail_server: MailServer, now: Any, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(mailing.letters, "written", lambda *args: 1 / 0)
        for _ in range(12):
            later(now, hours=5)
    due.refresh_from_db()
    assert (due.state, due.problem) == ("given_up", "ZeroDivisionError")


def test_who_dies_between_claim_and_sent_loses_nothing(due: Mail, mail_server: MailServer, now: Any):
    assert mailing.OUTBOX.claim() == due
    run()
    assert mail_server.taken == [], "for a while it is nobody else's"
    later(now, minutes=2)
    assert len(mail_server.taken) == 1


def test_who_dies_after_the_server_took_it_leaves_a_second_one_with_the_same_id(
    due: Mail, mail_server: MailServer, now: Any, monkeypatch: pytest.MonkeyPatch
):
    """All that SMTP allows: between the server's word and our note of it lies a moment."""
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Outbox, "note", lambda *args, **kwargs: (_ for _ in ()).throw(SystemExit))
        mailing.send_due()
    later(now, minutes=2)
    first, second = mail_server.taken
    assert first["Message-ID"] == second["Message-ID"]


def test_a_worker_that_claims_skips_what_another_holds(due: Mail, now: Any):
    assert mailing.OUTBOX.claim() == due
    assert mailing.OUTBOX.claim() is None


def test_headers_say_how_to_leave_and_that_nobody_need_answer(due: Mail, mail_server: MailServer, now: Any):
    run()
    (message,) = mail_server.taken
    assert message["List-Unsubscribe"].strip().startswith("<http://testserver/notifications/unsubscribe/")
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Auto-Submitted"] == "auto-generated"
