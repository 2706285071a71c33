"""The bell, the page behind it, and what a person chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.test import Client

from notifications import sorting
from notifications.models import DigestClock, MailTimes, Notice, PersonalChoices, TenantChoices
from notifications.views.page import PAGE_SIZE
from tenants.models import IdentityProvider, Membership, Role, Tenant, User
from tests.conftest import is_under_the_policy, person
from tests.notifications.happenings import ended, machines, people_are_told
from vprotect_bridge.models import Machine

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
HERE, CHOICES = "/t/sunflower/notifications/", "/accounts/notifications/"


@pytest.fixture
def browser(owner: User, as_web: Browser) -> Client:
    return as_web(owner)


def soup_of(answer: Any) -> BeautifulSoup:
    assert is_under_the_policy(answer.content.decode())
    return BeautifulSoup(answer.content, "html.parser")


def failed(tenant: Tenant, count: int) -> None:
    for machine in machines(tenant, count):
        ended(machine)
    sorting.sort()


def bell(browser: Client) -> str:
    count = soup_of(browser.get("/t/sunflower/machines/")).select_one(".bell-count")
    return count.get_text() if count else ""


def test_the_bell_counts_what_is_unread(browser: Client, sunflower: Tenant):
    assert bell(browser) == ""
    failed(sunflower, 2)
    assert bell(browser) == "2 unread"
    browser.post(f"{HERE}mark/", {"read": Notice.across_tenants.first().pk})  # type: ignore[union-attr]
    assert bell(browser) == "1 unread"
    browser.post(f"{HERE}mark/")
    assert bell(browser) == ""


def test_it_stops_counting_early(browser: Client, sunflower: Tenant, owner: User):
    notice = people_are_told(sunflower)
    events = [notice.event]
    for number in range(100):
        event = notice.event
        event.pk, event.what = None, f"x{number}"
        event.save(force_insert=True)
        events.append(event)
        Notice.across_tenants.create(tenant=sunflower, user=owner, event_id=event.pk)
    assert bell(browser) == "99+ unread"


def test_the_page_tells_what_happened_and_leads_there(browser: Client, sunflower: Tenant):
    failed(sunflower, 1)
    row = soup_of(browser.get(HERE)).select_one(".notices li")
    assert row is not None and "unread" in row["class"]
    assert row.a.get_text() == "Backup of machine vm-1" and "Failed" in row.get_text()  # type: ignore[union-attr]
    assert browser.get(row.a["href"]).status_code == 200  # type: ignore[union-attr]


def test_one_can_be_unread_again_and_the_rest_is_found(browser: Client, sunflower: Tenant):
    failed(sunflower, 1)
    pk = Notice.across_tenants.get().pk
    for name, shown in (("read", 0), ("unread", 1)):
        answer = browser.post(f"{HERE}mark/", {name: pk, "show": "unread"})
        assert answer["Location"] == f"{HERE}?show=unread"
        assert len(soup_of(browser.get(answer["Location"])).select(".notices li")) == shown


def test_it_is_paged_by_the_last_one_seen(browser: Client, sunflower: Tenant, owner: User):
    failed(sunflower, PAGE_SIZE + 1)
    first = soup_of(browser.get(HERE))
    (older,) = [link["href"] for link in first.select(".pager a")]
    assert len(first.select(".notices li")) == PAGE_SIZE
    assert len(soup_of(browser.get(HERE + older)).select(".notices li")) == 1
    assert browser.get(f"{HERE}?before=x").status_code == 200


def test_a_machine_that_was_taken_from_somebody_takes_its_news_along(browser: Client, sunflower: Tenant, owner: User):
    failed(sunflower, 2)
    Membership.objects.filter(user=owner).update(machine_guids=["vm-2"])
    assert bell(browser) == "1 unread"
    assert "vm-1" not in browser.get(HERE).content.decode()
    hidden = Notice.across_tenants.get(event__machine_guid="vm-1")
    assert browser.post(f"{HERE}mark/", {"read": hidden.pk}).status_code == 404


@pytest.mark.parametrize("name", ["read", "unread"])
def test_nobody_marks_what_is_anothers(name: str, browser: Client, sunflower: Tenant, pine: Tenant, stranger: User):
    colleague = person(sunflower, "colleague", Role.VIEWER)
    failed(sunflower, 1)
    theirs = people_are_told(pine)
    for pk in (Notice.across_tenants.get(user=colleague).pk, theirs.pk, 7_777_777, "x", "٥", "-1", "9" * 30):
        assert browser.post(f"{HERE}mark/", {name: pk}).status_code == 404
    assert not Notice.across_tenants.exclude(read_at=None).exists()


def test_a_hostile_name_is_text(browser: Client, sunflower: Tenant):
    (machine,) = machines(sunflower, 1)
    Machine.across_tenants.update(name='"><img src=x onerror=alert(1)>\u202e' + "x" * 500)
    ended(machine)
    sorting.sort()
    page = browser.get(HERE).content.decode()
    assert "<img" not in page and "\u202e" not in page and "x" * 100 not in page


# ── Choosing ─────────────────────────────────────────────────────────────────

WANTED = {
    **{f"sunflower-{topic}": "never" for topic in ("protection", "backups", "restores", "plans", "other")},
    **{"sunflower-by_mail": "at_once", "digest_at": "06:30", "quiet_from": "22:00", "quiet_until": "07:00"},
}


def test_a_person_chooses(browser: Client, owner: User, sunflower: Tenant):
    DigestClock.across_tenants.create(user=owner, tenant=sunflower, next_at="2026-01-01T00:00Z")
    assert browser.post(CHOICES, WANTED).status_code == 302
    chosen, times = PersonalChoices.across_tenants.get(), MailTimes.objects.get()
    assert (chosen.user, chosen.tenant, chosen.backups, chosen.by_mail) == (owner, sunflower, "never", "at_once")
    assert (f"{times.digest_at:%H:%M}", f"{times.quiet_from:%H:%M}") == ("06:30", "22:00")
    assert not DigestClock.across_tenants.exists(), "it is set by the new times"
    page = soup_of(browser.get(CHOICES))
    assert page.select_one('input[name="sunflower-backups"][value="never"][checked]')


def test_who_changes_nothing_goes_on_with_what_the_tenant_chooses(browser: Client, sunflower: Tenant):
    TenantChoices.across_tenants.create(tenant=sunflower, backups="always", by_mail="off")
    page = soup_of(browser.get(CHOICES))
    assert page.select_one('input[name="sunflower-by_mail"][value="off"][checked]')
    form = {field["name"]: field["value"] for field in page.select("input[checked]")}
    assert browser.post(CHOICES, {**form, "digest_at": "07:00"}).status_code == 302
    assert not PersonalChoices.across_tenants.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"sunflower-backups": "sometimes"},
        {"sunflower-by_mail": ""},
        {"quiet_until": ""},
        {"quiet_from": ""},
        {"quiet_until": "22:00"},
        {"digest_at": "25:00"},
    ],
)
def test_what_is_wrong_is_said_and_nothing_kept(wrong: dict[str, str], browser: Client):
    answer = browser.post(CHOICES, WANTED | wrong)
    assert answer.status_code == 422 and len(soup_of(answer).select(".error-summary li")) == 1
    assert not PersonalChoices.across_tenants.exists() and not MailTimes.objects.exists()


def test_a_form_for_another_tenant_changes_nothing_there(browser: Client, pine: Tenant, stranger: User):
    theirs = {name.replace("sunflower", "pine"): value for name, value in WANTED.items()}
    assert browser.post(CHOICES, WANTED | theirs).status_code == 302
    assert PersonalChoices.across_tenants.get().tenant.slug == "sunflower"


def test_in_each_tenant_something_else(browser: Client, owner: User, pine: Tenant):
    Membership.objects.create(user=owner, tenant=pine, role=Role.VIEWER)
    theirs = {name.replace("sunflower", "pine"): value for name, value in WANTED.items()}
    assert browser.post(CHOICES, WANTED | theirs | {"pine-backups": "always"}).status_code == 302
    assert dict(PersonalChoices.across_tenants.values_list("tenant__slug", "backups")) == {
        "sunflower": "never",
        "pine": "always",
    }


@pytest.mark.parametrize("shut", ["second factor", "only its own sign-in"])
def test_a_tenant_that_this_session_may_not_open_is_not_there(shut: str, browser: Client, sunflower: Tenant):
    if shut == "second factor":
        Tenant.objects.update(second_factor_required=True)
    else:
        IdentityProvider.across_tenants.create(
            tenant=sunflower, slug="sun", issuer="https://x.example", client_id="x", only_single_sign_on=True
        )
    assert "Sunflower" not in browser.get(CHOICES).content.decode()
    assert browser.post(CHOICES, WANTED).status_code == 302
    assert not PersonalChoices.across_tenants.exists()
