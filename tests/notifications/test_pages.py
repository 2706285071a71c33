"""The bell, the page behind it, and what a person chooses."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.db.models import F
from django.test import Client
from django.utils import timezone

from notifications import sorting
from notifications.models import DigestClock, Event, MailTimes, Notice, PersonalChoices, TenantChoices
from notifications.views import page
from notifications.views.page import PAGE_SIZE
from tenants.models import IdentityProvider, Membership, Role, Tenant, User
from tests.conftest import is_under_the_policy, machine_of, person
from tests.notifications.happenings import ended, machines, people_are_told
from tests.portal.conftest import counted
from vprotect_bridge.models import Alert, Machine

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
    """One after the other, an hour between each two."""
    for machine in machines(tenant, count):
        ended(machine)
        an_hour_passes()


def an_hour_passes() -> None:
    sorting.sort()
    Event.across_tenants.update(sorted_at=F("sorted_at") - timedelta(hours=1))


def become_late(tenant: Tenant, count: int) -> list[Alert]:
    """All at once, noticed a day after they should have been backed up."""
    newest = timezone.now() - timedelta(hours=48)
    details = {"target_hours": 24, "last_success_at": newest.isoformat()}
    late = [
        Alert.across_tenants.create(
            **{"tenant": tenant, "machine": machine, "kind": "late", "turn": "provider"},
            **{"began_at": newest + timedelta(hours=24), "details": details},
        )
        for machine in (machine_of(tenant, f"late-{number}") for number in range(count))
    ]
    sorting.sort()
    return late


def words_of(tag: Any) -> str:
    return " ".join(tag.get_text(" ").split())


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
    row = soup_of(browser.get(HERE)).select_one(".notices > li")
    assert row is not None and "unread" in row["class"]
    assert row.a.get_text() == "Backup of machine vm-1" and "Failed" in row.get_text()  # type: ignore[union-attr]
    assert browser.get(row.a["href"]).status_code == 200  # type: ignore[union-attr]


def test_what_is_late_says_how_old_its_newest_backup_was(browser: Client, sunflower: Tenant):
    """And is no backup of the moment in which that was noticed."""
    become_late(sunflower, 1)
    row = words_of(soup_of(browser.get(HERE)).select_one(".notices > li"))
    assert re.search(r"Its newest good backup was 2 days old \(.* UTC\); its target is 24 hours\.", row)
    assert "Your provider has to put it right." in row and "noticed now" in row


def test_what_is_over_says_since_when_and_is_unread_no_more(browser: Client, sunflower: Tenant):
    (alert,) = become_late(sunflower, 1)
    assert bell(browser) == "1 unread"
    alert.closed_at = timezone.now()
    alert.save()
    sorting.sort()
    assert bell(browser) == ""
    row = soup_of(browser.get(HERE)).select_one(".notices > li")
    assert row is not None and "unread" not in row.get("class", [])
    assert "Back on time since" in words_of(row) and "Over" in words_of(row) and "put it right" not in words_of(row)


def test_what_was_over_before_it_was_sorted_is_told_as_over(browser: Client, sunflower: Tenant):
    alert = Alert.across_tenants.create(
        tenant=sunflower, machine=machines(sunflower, 1)[0], kind="stuck", began_at=timezone.now()
    )
    alert.closed_at = timezone.now()
    alert.save()
    sorting.sort()
    assert bell(browser) == "" and "Over since" in words_of(soup_of(browser.get(HERE)).select_one(".notices > li"))


def test_many_at_once_are_one_entry_that_opens(browser: Client, sunflower: Tenant):
    alerts = become_late(sunflower, 16)
    (entry,) = soup_of(browser.get(HERE)).select(".notices > li")
    assert entry.summary is not None and entry.summary.get_text().startswith("16 machines are late")
    assert len({link["href"] for link in entry.select("details a")}) == 16
    Alert.across_tenants.filter(pk=alerts[0].pk).update(closed_at=timezone.now())
    sorting.sort()
    open_ones, over = soup_of(browser.get(HERE)).select(".notices > li")
    assert "15 machines are late" in words_of(open_ones) and "Back on time since" in words_of(over)
    form = [(field["name"], field["value"]) for field in open_ones.select("form input[name=read]")]
    assert browser.post(f"{HERE}mark/", {"read": [value for _name, value in form]}).status_code == 302
    assert bell(browser) == ""


def test_what_fails_within_a_minute_is_one_entry_and_what_fails_later_another(browser: Client, sunflower: Tenant):
    for number, machine in enumerate(machines(sunflower, 3)):
        ended(machine), sorting.sort()
        passed = timedelta(seconds=20) if number < 2 else timedelta(hours=1)
        Event.across_tenants.update(sorted_at=F("sorted_at") - passed)
    ended(machine), sorting.sort()
    shown = [words_of(row) for row in soup_of(browser.get(HERE)).select(".notices > li")]
    assert len(shown) == 2 and "Backup: Failed (3)" in shown[1]


def test_a_page_of_many_costs_no_more(browser: Client, sunflower: Tenant):
    costs = []
    browser.get(HERE)
    for count in (1, 40):
        Alert.across_tenants.all().delete(), Machine.across_tenants.all().delete()
        become_late(sunflower, count)
        with counted() as statements:
            browser.get(HERE)
        costs.append(len(statements))
    assert costs[0] == costs[1], costs


def test_one_can_be_unread_again_and_the_rest_is_found(browser: Client, sunflower: Tenant):
    failed(sunflower, 1)
    pk = Notice.across_tenants.get().pk
    for name, shown in (("read", 0), ("unread", 1)):
        answer = browser.post(f"{HERE}mark/", {name: pk, "show": "unread"})
        assert answer["Location"] == f"{HERE}?show=unread"
        assert len(soup_of(browser.get(answer["Location"])).select(".notices > li")) == shown


def test_it_is_paged_by_the_last_one_seen(browser: Client, sunflower: Tenant, owner: User):
    failed(sunflower, PAGE_SIZE + 1)
    first = soup_of(browser.get(HERE))
    (older,) = [link["href"] for link in first.select(".pager a")]
    assert len(first.select(".notices > li")) == PAGE_SIZE
    assert len(soup_of(browser.get(HERE + older)).select(".notices > li")) == 1
    assert browser.get(f"{HERE}?before=x").status_code == 200


def test_what_is_many_has_its_place_on_one_page(browser: Client, sunflower: Tenant, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page, "PAGE_SIZE", 2)
    failed(sunflower, 1), become_late(sunflower, 5)
    for _ in range(2):
        ended(Machine.across_tenants.get(guid="vm-1")), an_hour_passes()
    first = soup_of(browser.get(HERE))
    (older,) = [link["href"] for link in first.select(".pager a")]
    rest = soup_of(browser.get(HERE + older)).select(".notices > li")
    assert len(first.select(".notices > li")) == 2
    assert ["5 machines" in words_of(row) for row in rest] == [True, False]


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
    own = Notice.across_tenants.exclude(user__in=[colleague, theirs.user]).get().pk
    for pk in (Notice.across_tenants.get(user=colleague).pk, theirs.pk, 7_777_777, "x", "٥", "-1", "9" * 30):
        assert browser.post(f"{HERE}mark/", {name: pk}).status_code == 404
        assert browser.post(f"{HERE}mark/", {name: [own, pk]}).status_code == 404
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


def test_it_says_whose_time_it_is(browser: Client, owner: User):
    Tenant.objects.update(time_zone="Asia/Tokyo")
    assert "in that of each organisation. Sunflower: Asia/Tokyo." in words_of(soup_of(browser.get(CHOICES)).main)
    User.objects.filter(pk=owner.pk).update(time_zone="America/Lima")
    assert "times in your time zone, America/Lima." in words_of(soup_of(browser.get(CHOICES)).main)


def test_it_keeps_the_navigation_of_where_one_comes_from(
    browser: Client, owner: User, pine: Tenant, stranger: User, sunflower: Tenant
):
    def nav(address: str) -> str:
        link = soup_of(browser.get(address)).select_one(".main-nav a")
        return str(link["href"]) if link else ""

    assert nav(CHOICES) == nav(f"{CHOICES}?tenant=pine") == "/t/sunflower/", "the only one, and no one else's"
    Membership.objects.create(user=owner, tenant=pine, role=Role.VIEWER)
    assert [nav(CHOICES), nav(f"{CHOICES}?tenant=pine")] == ["", "/t/pine/"]
    kept = {name.replace("sunflower", "pine"): value for name, value in WANTED.items()} | WANTED
    assert browser.post(f"{CHOICES}?tenant=pine", kept)["Location"] == f"{CHOICES}?tenant=pine"
    Tenant.objects.filter(slug="pine").update(second_factor_required=True)
    assert nav(f"{CHOICES}?tenant=pine") == "/t/sunflower/", "what this session may not open is not shown"


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
