"""Activity shows whose work it is: a person's, a schedule's or the provider's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone

from tenants.models import AuditEntry, Membership, Role, Tenant, User
from tests.conftest import machine_of, operation_on, person
from tests.portal.conftest import counted
from vprotect_bridge.models import Machine, Operation, UpstreamStatus

pytestmark = pytest.mark.django_db

ACTIVITY = "/t/sunflower/operations/"


def from_elsewhere(machine: Machine, **fields: Any) -> Operation:
    """As a worker notes it: nobody here asked for it, so it has no marker and no deadline."""
    request = {"task_type": "EXPORT", "backup_type": "INCREMENTAL", "destination_guid": "", "name": "", "priority": 50}
    usual: dict[str, Any] = {
        **{"origin": "schedule", "submission": "accepted", "phase": "exporting", "progress": 20},
        **{"request": request, "marker_ws_ms": None, "marker_we_ms": None, "deadline_at": None, "task_guid": "t-1"},
    }
    return operation_on(machine, **{**usual, **fields})


def words(answer: Any) -> str:
    return " ".join(BeautifulSoup(answer.content, "html.parser").get_text(" ").split())


@pytest.mark.parametrize(("origin", "by"), [("schedule", "by a schedule"), ("elsewhere", "by your provider")])
def test_what_nobody_here_asked_for_is_shown_as_such(origin: str, by: str, browser: Client, machine: Machine):
    operation = from_elsewhere(machine, origin=origin)
    assert by in words(browser.get(ACTIVITY))
    page = words(browser.get(f"{ACTIVITY}{operation.pk}/"))
    assert by in page and "Reading the machine. 20 %" in page
    assert "Asked for by" not in page and "Must have started by" not in page and "None" not in page


def test_files_restored_by_the_provider_are_no_new_machine(browser: Client, machine: Machine):
    files = {"task_type": "RESTORE", "name": ""}
    operation = from_elsewhere(machine, origin="elsewhere", kind="task", phase="working", request=files)
    page = words(browser.get(f"{ACTIVITY}{operation.pk}/"))
    assert f"Restore of files by your provider: {machine.name}" in page and "It is under way." in page
    assert "New machine" not in page and "Cancel" not in page


def test_a_running_scheduled_backup_shows_on_the_machines_page_and_hinders_no_wish(browser: Client, machine: Machine):
    from_elsewhere(machine)
    page = browser.get(f"/t/sunflower/machines/{machine.guid}/")
    assert "Reading the machine." in words(page)
    assert browser.get(f"/t/sunflower/machines/{machine.guid}/backup/").status_code == 200


@pytest.mark.parametrize(("origin", "status"), [("schedule", 302), ("elsewhere", 403)])
def test_a_scheduled_backup_can_be_cancelled_but_not_the_providers_work(
    origin: str, status: int, browser: Client, machine: Machine, member: User
):
    operation = from_elsewhere(machine, origin=origin)
    assert browser.post(f"{ACTIVITY}{operation.pk}/cancel/").status_code == status
    assert AuditEntry.across_tenants.exists() == (status == 302)


def test_one_that_ended_out_of_sight_says_so(browser: Client, machine: Machine):
    operation = from_elsewhere(machine, outcome="unknown", phase="")
    assert "the backup system no longer tells how" in words(browser.get(f"{ACTIVITY}{operation.pk}/"))


# ── Filtering and paging ─────────────────────────────────────────────────────


def names_on(browser: Client, query: str = "") -> list[str]:
    soup = BeautifulSoup(browser.get(f"{ACTIVITY}?{query}").content, "html.parser")
    return [link.get_text().removeprefix("Backup of machine ") for link in soup.select(".machine-name")]


@pytest.fixture
def a_day(tenant: Tenant, member: User) -> None:
    """One of each: asked for by a person, a schedule, the provider; open, failed, done."""
    colleague = person(tenant, "colleague", Role.MEMBER)
    operation_on(machine_of(tenant, "mine"), created_by=member)
    operation_on(machine_of(tenant, "theirs"), created_by=colleague, outcome="failed")
    from_elsewhere(machine_of(tenant, "nightly"), task_guid="t-2")
    from_elsewhere(machine_of(tenant, "provider"), origin="elsewhere", outcome="succeeded", task_guid="t-3")
    from_elsewhere(
        machine_of(tenant, "checked"),
        submission="needs_attention",
        task_guid="t-4",
        created_at=timezone.now() - timedelta(days=3),
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"mine", "theirs", "nightly", "provider", "checked"}),
        ("state=open", {"mine", "nightly", "checked"}),
        ("state=waiting", {"mine"}),
        ("state=running", {"nightly"}),
        ("state=checked", {"checked"}),
        ("state=problem", {"theirs"}),
        ("state=succeeded", {"provider"}),
        ("by=me", {"mine"}),
        ("by=people", {"mine", "theirs"}),
        ("by=schedule", {"nightly", "checked"}),
        ("by=elsewhere", {"provider"}),
        ("q=NIGHT", {"nightly"}),
        ("q=colleague", {"theirs"}),
        ("machine=mine", {"mine"}),
        ("machine=nobodys", set()),
        ("kind=restore", set()),
        ("kind=backup&by=people&state=problem", {"theirs"}),
        ("since=2000-01-01&until=2000-01-02", set()),
        # What is odd is as if it were not there.
        ("state=x&kind=x&by=x&since=x&before=x", {"mine", "theirs", "nightly", "provider", "checked"}),
    ],
)
def test_it_is_filtered_by_its_address(query: str, expected: set[str], browser: Client, a_day: None):
    assert set(names_on(browser, query)) == expected


def test_days_are_the_tenants_and_the_last_one_counts(browser: Client, a_day: None, tenant: Tenant):
    day = timezone.localtime(timezone.now() - timedelta(days=3), ZoneInfo(tenant.time_zone)).date()
    assert names_on(browser, f"since={day}&until={day}") == ["checked"]


def test_pages_follow_one_another_without_a_gap_though_times_are_the_same(browser: Client, tenant: Tenant):
    at = timezone.now()
    for number in range(60):
        operation_on(machine_of(tenant, f"vm-{number}"), outcome="succeeded", created_at=at)
    seen, address = [], ACTIVITY
    while address:
        soup = BeautifulSoup(browser.get(address).content, "html.parser")
        seen += [link["href"] for link in soup.select(".machine-name")]
        older = [link["href"] for link in soup.select(".pager a") if "Older" in link.get_text()]
        address = f"{ACTIVITY}{older[0]}" if older else ""
    assert len(seen) == len(set(seen)) == 60


# ── Live ─────────────────────────────────────────────────────────────────────


def poll_of(answer: Any) -> str:
    return str(BeautifulSoup(answer.content, "html.parser").select_one("#activity")["hx-get"])


@pytest.mark.parametrize("query", ["", "?state=open&q=machine&by=me"])
def test_a_poll_without_news_costs_four_queries_and_no_text(query: str, browser: Client, tenant: Tenant, member: User):
    for number in range(30):
        operation_on(machine_of(tenant, f"vm-{number}"), created_by=member)
    poll = poll_of(browser.get(f"{ACTIVITY}{query}"))
    with counted() as statements:
        answer = browser.get(poll, headers={"HX-Request": "true"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert len(statements) <= 4, "\n".join(statements)


def test_the_page_costs_the_same_however_much_there_is(browser: Client, tenant: Tenant, member: User):
    costs = []
    for count in (1, 30):
        for number in range(count):
            operation_on(machine_of(tenant, f"vm-{count}-{number}"), created_by=member, outcome="failed")
        browser.get(ACTIVITY)
        with counted() as statements:
            browser.get(ACTIVITY)
        costs.append(len(statements))
    assert costs[0] == costs[1] <= 8


def test_what_moves_comes_and_ends_is_news(browser: Client, machine: Machine, tenant: Tenant):
    operation = operation_on(machine, submission="accepted", phase="exporting", progress=10)
    poll = poll_of(browser.get(ACTIVITY))
    Operation.across_tenants.update(progress=40)
    moved = browser.get(poll)
    assert "40 %" in words(moved) and "1 is under way." in words(moved)
    operation_on(machine_of(tenant, "vm-new"))
    came = browser.get(poll_of(moved))
    assert "vm-new" in words(came) and "2 are under way." in words(came)
    Operation.across_tenants.filter(pk=operation.pk).update(outcome="succeeded", progress=100)
    assert "Succeeded" in words(browser.get(poll_of(came)))


def test_that_vprotect_is_away_is_news_here_too(browser: Client, machine: Machine):
    operation_on(machine)
    poll = poll_of(browser.get(ACTIVITY))
    UpstreamStatus.objects.update(unreachable_since=timezone.now())
    assert "the backup system cannot be reached" in words(browser.get(poll))


def test_it_asks_rarely_while_nothing_moves_and_not_at_all_on_an_old_page(browser: Client, tenant: Tenant):
    for number in range(30):
        operation_on(machine_of(tenant, f"vm-{number}"), outcome="succeeded")
    page = BeautifulSoup(browser.get(ACTIVITY).content, "html.parser")
    assert page.select_one("#activity")["hx-trigger"].startswith("every 15s")
    older = page.select(".pager a")[-1]["href"]
    assert not BeautifulSoup(browser.get(f"{ACTIVITY}{older}").content, "html.parser").select_one("#activity[hx-get]")
    operation_on(machine_of(tenant, "vm-new"))
    assert 'hx-trigger="every 3s' in browser.get(ACTIVITY).content.decode()


def test_the_first_load_and_the_poll_are_the_same_list(browser: Client, a_day: None):
    page = BeautifulSoup(browser.get(f"{ACTIVITY}?state=open").content, "html.parser").select_one("#activity")
    poll = BeautifulSoup(browser.get(f"{ACTIVITY}poll?state=open").content, "html.parser").select_one("#activity")
    assert str(page) == str(poll)


def test_who_is_limited_to_some_machines_sees_theirs_only(browser: Client, a_day: None, member: User):
    Membership.objects.filter(user=member).update(machine_guids=["nightly"])
    assert names_on(browser) == names_on(browser, "state=open") == ["nightly"]
    assert "1 is under way." in words(browser.get(ACTIVITY))


def test_cancelling_from_the_list_says_what_it_does_and_stays_there(browser: Client, machine: Machine):
    operation = operation_on(machine, submission="accepted", phase="exporting")
    assert "Cancelling: the engine stops at its next safe point." in words(browser.get(ACTIVITY))
    answer = browser.post(f"{ACTIVITY}{operation.pk}/cancel/", {"stay": "yes"})
    assert answer.status_code == 204
    page = browser.get(ACTIVITY)
    assert "Cancelling" in words(page) and b"/cancel/" not in page.content


def test_who_may_not_cancel_is_not_offered_it(browser: Client, machine: Machine, member: User):
    operation_on(machine)
    Membership.objects.filter(user=member).update(role=Role.VIEWER)
    assert b"/cancel/" not in browser.get(ACTIVITY).content
