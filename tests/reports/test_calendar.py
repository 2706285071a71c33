"""The calendar of coming runs: what is in it, and to whom its secret address opens it, and until when."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.utils import timezone
from icalendar import Calendar

from reports.models import CalendarFeed
from reports.views import calendar as views
from tenants.models import AuditEntry, IdentityProvider, Membership, Role, Tenant, User
from tenants.request_rates import Allowance
from tests.conftest import AsRole, machine_of, person
from tests.reports.conftest import backup_of
from vprotect_bridge.models import Machine, Plan, Standing
from vprotect_bridge.plan_wishes import PlanWish, WantedSchedule, derived_schedules, put_again_at

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
PAGE = "/t/sunflower/reports/calendar/"


def plan_of(tenant: Tenant, name: str, *, zone: str = "Europe/Berlin", at: str = "02:00") -> Plan:
    """Every day at this local time, with one machine."""
    schedule = WantedSchedule("FULL", weekdays=("MONDAY", "WEDNESDAY", "SUNDAY"), at=at)
    wish = PlanWish(name, zone, (schedule,), "store-1", ("vm-1",))
    rule = {"guid": "r", "active": True, "position": None, "schedule_guids": ["s-0"], "destination_guids": ["store-1"]}
    facts = [
        {**row, "guid": f"s-{number}", "active": True}
        for number, row in enumerate(derived_schedules(wish, timezone.now()))
    ]
    rule["schedule_guids"] = [row["guid"] for row in facts]
    policy = f"policy-{tenant.slug}-{name}"[:60]
    return Plan.across_tenants.create(
        tenant=tenant,
        is_made_here=True,
        name=name,
        policy_guid=policy,
        standing=Standing.ACTING,
        time_zone=zone,
        schedules=[schedule.to_json()],
        put_again_at=put_again_at(wish, timezone.now()),
        held={"policy": {"active": True, "vm_guids": []}, "rules": [rule], "schedules": facts},
        held_at=timezone.now(),
    )


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "OF_A_FEED", Allowance(at_once=20, a_second=1 / 30))


@pytest.fixture
def nightly(sunflower: Tenant) -> Plan:
    machine_of(sunflower, "vm-1")
    plan = plan_of(sunflower, "Nightly")
    Machine.across_tenants.filter(guid="vm-1").update(policy_guid=plan.policy_guid)
    return plan


def address_for(browser: Client) -> str:
    html = browser.post(PAGE, {"action": "make"}).content.decode()
    found = re.search(r"/calendar/[\w-]+/backups\.ics", html)
    assert found, "it is shown once"
    return found[0]


def events_at(address: str, browser: Client) -> list[Any]:
    answer = browser.get(address)
    assert answer.status_code == 200 and answer["Content-Type"] == "text/calendar; charset=utf-8"
    return list(Calendar.from_ical(answer.content).walk("VEVENT"))


# ── What is in it ────────────────────────────────────────────────────────────


@time_machine.travel("2027-03-22 12:00", tick=False)
def test_a_run_stays_at_its_local_time_across_the_change_to_summer(nightly: Plan, owner: User, as_web: Browser):
    """On 28 March 2027 clocks go from 02:00 to 03:00 in Berlin; what vProtect holds is put again by us before that."""
    events = events_at(address_for(as_web(owner)), as_web(None))
    begins = [event.decoded("dtstart").astimezone(ZoneInfo("Europe/Berlin")) for event in events][:4]
    assert [f"{at:%d %H:%M}" for at in begins] == ["24 02:00", "28 03:00", "29 02:00", "31 02:00"]


def test_the_same_run_is_the_same_event_each_time(nightly: Plan, owner: User, as_web: Browser):
    address = address_for(as_web(owner))
    first, again = ([event["uid"] for event in events_at(address, as_web(None))] for _ in range(2))
    assert first == again and len(set(first)) == len(first) >= 10
    assert all(str(nightly.pk) in uid for uid in first)


@time_machine.travel("2027-03-22 12:00", tick=False)
def test_a_run_ends_when_the_slowest_of_its_machines_usually_does(nightly: Plan, owner: User, as_web: Browser):
    address, slow = address_for(as_web(owner)), machine_of(nightly.tenant, "vm-2")
    Machine.across_tenants.update(policy_guid=nightly.policy_guid)
    lasts = {event.decoded("dtend") - event.decoded("dtstart") for event in events_at(address, as_web(None))}
    assert lasts == {timedelta(hours=6)}, "its window, while nothing is known"
    for machine, minutes in ((slow, 40), (slow, 50), (slow, 900), (Machine.across_tenants.get(guid="vm-1"), 3)):
        backup_of(machine, duration_ms=minutes * 60_000)
    backup_of(slow, status="FAILED", duration_ms=10**9)
    (event, *_others) = events_at(address, as_web(None))
    assert event.decoded("dtend") - event.decoded("dtstart") == timedelta(minutes=50)
    assert event.decoded("dtstart").utcoffset() == timedelta(0) and event.decoded("dtend").utcoffset() == timedelta(0)
    assert str(event["description"]) == "2 machines, expected to take 50 min 00 s"


def test_the_length_of_runs_is_of_machines_that_one_sees(nightly: Plan, owner: User, as_web: Browser):
    backup_of(machine_of(nightly.tenant, "vm-2"), duration_ms=9_000_000)
    Machine.across_tenants.update(policy_guid=nightly.policy_guid)
    owner.memberships.update(machine_guids=["vm-1"])
    event = events_at(address_for(as_web(owner)), as_web(None))[0]
    assert event.decoded("dtend") - event.decoded("dtstart") == timedelta(hours=6)


def test_names_are_folded_and_escaped(nightly: Plan, owner: User, as_web: Browser):
    name = "Nachts; mit, Komma\r\nATTACH:http://evil.example\r\n" + "ü" * 60
    Plan.across_tenants.update(name=name)
    answer = as_web(None).get(address_for(as_web(owner)))
    lines = answer.content.split(b"\r\n")
    assert max(map(len, lines)) <= 75 and not any(line.startswith(b"ATTACH") for line in lines)
    summary = str(events_in(answer.content)[0]["summary"])
    assert summary == "Backup: " + " ".join(name.split())


def events_in(content: bytes) -> list[Any]:
    return list(Calendar.from_ical(content).walk("VEVENT"))


def test_a_paused_plan_has_no_runs(nightly: Plan, owner: User, as_web: Browser):
    Plan.across_tenants.update(standing=Standing.PAUSED)
    assert events_at(address_for(as_web(owner)), as_web(None)) == []


# ── Whose it is ──────────────────────────────────────────────────────────────


def test_it_has_no_plan_of_another_tenant(nightly: Plan, pine: Tenant, owner: User, as_web: Browser):
    plan_of(pine, "Theirs")
    summaries = {str(event["summary"]) for event in events_at(address_for(as_web(owner)), as_web(None))}
    assert summaries == {"Backup: Nightly"}


def test_who_is_limited_to_some_machines_sees_their_plans_only(
    nightly: Plan, sunflower: Tenant, owner: User, as_web: Browser
):
    other = plan_of(sunflower, "Weekly")
    machine_of(sunflower, "vm-2")
    Machine.across_tenants.filter(guid="vm-2").update(policy_guid=other.policy_guid)
    address = address_for(as_web(owner))
    assert {str(event["summary"]) for event in events_at(address, as_web(None))} == {
        "Backup: Nightly",
        "Backup: Weekly",
    }
    owner.memberships.update(machine_guids=["vm-2"])
    assert {str(event["summary"]) for event in events_at(address, as_web(None))} == {"Backup: Weekly"}


@pytest.mark.parametrize(
    "change",
    [
        lambda owner: owner.memberships.all().delete(),
        lambda owner: User.objects.filter(pk=owner.pk).update(is_active=False),
        lambda owner: Tenant.objects.filter(slug="sunflower").update(is_active=False),
        lambda owner: CalendarFeed.across_tenants.all().delete(),
    ],
    ids=["removed", "switched off", "suspended", "revoked"],
)
def test_what_ends_a_membership_ends_it(
    change: Callable[[User], object], nightly: Plan, owner: User, stranger: User, as_web: Browser
):
    address = address_for(as_web(owner))
    assert as_web(None).get(address).status_code == 200
    change(owner)
    gone, unknown = as_web(None).get(address), as_web(None).get("/calendar/unknown/backups.ics")
    assert gone.status_code == unknown.status_code == 404 and b"Nightly" not in gone.content


def test_who_left_and_came_back_makes_a_new_one(nightly: Plan, sunflower: Tenant, owner: User, as_web: Browser):
    address = address_for(as_web(owner))
    Membership.objects.filter(user=owner).delete()
    Membership.objects.create(user=owner, tenant=sunflower, role=Role.ADMIN)
    assert as_web(None).get(address).status_code == 404
    assert as_web(None).get(address_for(as_web(owner))).status_code == 200


def test_a_new_address_takes_the_place_of_the_one_before(nightly: Plan, owner: User, as_web: Browser):
    browser = as_web(owner)
    first, second = address_for(browser), address_for(browser)
    assert as_web(None).get(first).status_code == 404 and as_web(None).get(second).status_code == 200
    assert second.split("/")[2] not in browser.get(PAGE).content.decode(), "it is shown once"
    assert browser.post(PAGE, {"action": "revoke"}).status_code == 302
    assert as_web(None).get(second).status_code == 404
    actions = AuditEntry.across_tenants.order_by("at").values_list("action", flat=True)
    assert list(actions) == ["calendar_made", "calendar_made", "calendar_revoked"]


def test_the_address_is_in_no_row(nightly: Plan, owner: User, as_web: Browser):
    token = address_for(as_web(owner)).split("/")[2]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s', [f"%{token}%"])  # noqa: S608
            assert cursor.fetchone() == (0,), table


def test_where_only_the_organisations_sign_in_counts_a_password_opened_nothing(
    nightly: Plan, sunflower: Tenant, owner: User, as_web: Browser
):
    address = address_for(as_web(owner))
    provider = IdentityProvider(
        tenant=sunflower, slug="sun", issuer="https://localhost:1", client_id="portal", only_single_sign_on=True
    )
    provider.client_secret = "a secret for tests"
    provider.save()
    assert as_web(None).get(address).status_code == 404
    CalendarFeed.across_tenants.update(provider_key=provider.key)
    assert as_web(None).get(address).status_code == 200


def test_it_opens_nothing_but_the_calendar(nightly: Plan, owner: User, as_web: Browser):
    visitor = as_web(None)
    answer = visitor.get(address_for(as_web(owner)))
    assert not answer.cookies and answer["Referrer-Policy"] == "no-referrer" and "no-store" in answer["Cache-Control"]
    assert visitor.get("/t/sunflower/").status_code == 302


def test_who_reads_it_all_the_time_is_told_to_wait(nightly: Plan, owner: User, as_web: Browser):
    address = address_for(as_web(owner))
    visitor = as_web(None)
    answers = [visitor.get(address) for _ in range(22)]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429] * 2
    assert 25 <= int(answers[-1]["Retry-After"]) <= 30, "one in thirty seconds"


def test_who_guesses_is_slowed_down(as_web: Browser):
    visitor = as_web(None)
    answers = [visitor.get(f"/calendar/guess-{number}/backups.ics").status_code for number in range(62)]
    assert answers[0] == 404 and answers[-1] == 429


def test_web_sees_the_row_of_the_address_that_was_asked_for(sunflower: Tenant, pine: Tenant, as_role: AsRole):
    for tenant in (sunflower, pine):
        user = person(tenant, "reader", Role.VIEWER)
        CalendarFeed.across_tenants.create(tenant=tenant, user=user, token_hash=tenant.slug)
    with as_role("portal_web"), connection.cursor() as cursor:
        assert not CalendarFeed.across_tenants.exists()
        cursor.execute("SELECT set_config('app.calendar', 'pine', true)")
        assert CalendarFeed.across_tenants.get().token_hash == "pine"
        assert CalendarFeed.across_tenants.update(last_used_at=timezone.now()) == 0, "before its tenant is set"


def test_the_page_says_when_it_was_read_last(nightly: Plan, owner: User, as_web: Browser):
    browser = as_web(owner)
    assert "It was not read yet." in browser.post(PAGE, {"action": "make"}).content.decode()
    as_web(None).get(address_for(browser))
    html = browser.get(PAGE).content.decode()
    assert "It was last read" in html and "Nightly" in html
    assert Membership.objects.filter(user=owner).exists()
