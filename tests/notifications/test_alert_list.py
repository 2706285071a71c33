"""The page of alerts: open and past, of what a person may see."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone

from notifications.views import alerts as page
from tenants.models import Role, Tenant, User
from tests.conftest import is_under_the_policy, machine_of, person
from tests.portal.conftest import counted
from vprotect_bridge.models import Alert, Plan

pytestmark = pytest.mark.django_db

HERE = "/t/sunflower/alerts/"


@pytest.fixture
def browser(owner: User, as_web: Callable[[User], Client]) -> Client:
    return as_web(owner)


def alert(tenant: Tenant, kind: str, guid: str = "", days: float = 0, **fields: Any) -> Alert:
    """Noticed so many days ago, of a machine or of the tenant's plan."""
    now = timezone.now()
    about = {"machine": machine_of(tenant, guid)} if guid else {"plan": Plan.across_tenants.get(tenant=tenant)}
    usual = {"began_at": now - timedelta(days=days), "opened_at": now - timedelta(days=days), "turn": "provider"}
    return Alert.across_tenants.create(tenant=tenant, kind=kind, **{**usual, **about, **fields})


@pytest.fixture
def nightly(sunflower: Tenant) -> Plan:
    return Plan.across_tenants.create(tenant=sunflower, is_made_here=True, name="Nightly")


def rows(browser: Client, query: str = "") -> list[str]:
    answer = browser.get(HERE + query)
    assert answer.status_code == 200 and is_under_the_policy(answer.content.decode())
    soup = BeautifulSoup(answer.content, "html.parser")
    return [" ".join(row.get_text(" ").split()) for row in soup.select(".notices > li")]


def test_each_kind_is_told_with_whose_turn_it_is(browser: Client, sunflower: Tenant, nightly: Plan):
    for number, kind in enumerate(Alert.Kind.values):
        alert(sunflower, kind, "" if kind == "never_fired" else f"vm-{number}", days=number)
    shown = rows(browser)
    assert len(shown) == len(Alert.Kind.values) and all("Your provider has to put it right." in row for row in shown)
    assert "The plan “Nightly” did not run" in " ".join(shown) and "is new and has no plan" in shown[-1]


def test_what_is_over_says_since_when(browser: Client, sunflower: Tenant):
    alert(sunflower, "late", "vm-1", days=1, closed_at=timezone.now())
    (row,) = rows(browser)
    assert "Back on time since" in row and "put it right" not in row


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["vm-1", "vm-2", "Nightly"]),
        ("?state=open", ["vm-1", "Nightly"]),
        ("?state=over", ["vm-2"]),
        ("?kind=stuck", ["vm-2"]),
        ("?q=night", ["Nightly"]),
        ("?q=VM-1", ["vm-1"]),
        ("?until=2026-03-09", ["Nightly"]),
        ("?since=2026-03-10&kind=late", ["vm-1"]),
        ("?state=odd&kind=odd&since=odd&before=odd&q=%00", ["vm-1", "vm-2", "Nightly"]),
    ],
)
def test_it_is_filtered_in_the_address(
    query: str, found: list[str], browser: Client, sunflower: Tenant, nightly: Plan, time_machine: Any
):
    time_machine.move_to("2026-03-10T12:00:00Z", tick=False)
    alert(sunflower, "never_fired", days=2)
    alert(sunflower, "stuck", "vm-2", days=0.1, closed_at=timezone.now())
    alert(sunflower, "late", "vm-1")
    shown = rows(browser, query)
    assert len(shown) == len(found) and all(name in row for name, row in zip(found, shown, strict=True))


def test_who_sees_some_machines_sees_their_alerts_alone(sunflower: Tenant, as_web: Any, nightly: Plan):
    hidden = alert(sunflower, "late", "vm-1")
    alert(sunflower, "never_fired"), alert(sunflower, "late", "vm-2")
    limited = person(sunflower, "limited", Role.MEMBER)
    limited.memberships.update(machine_guids=["vm-2"])
    browser = as_web(limited)
    for query in ("", f"?before={hidden.pk}", "?q=vm-1", "?kind=never_fired"):
        assert not [row for row in rows(browser, query) if "vm-1" in row or "Nightly" in row]
    assert len(rows(browser)) == 1


def test_it_is_paged_by_the_last_one_seen_and_costs_the_same(
    browser: Client, sunflower: Tenant, nightly: Plan, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(page, "PAGE_SIZE", 3)
    alert(sunflower, "late", "vm-0")
    rows(browser)
    with counted() as one:
        rows(browser)
    for number in range(1, 6):
        alert(sunflower, "late", f"vm-{number}", days=number)
    with counted() as many:
        first = rows(browser)
    soup = BeautifulSoup(browser.get(HERE).content, "html.parser")
    (older,) = [link["href"] for link in soup.select(".pager a")]
    rest = rows(browser, str(older))
    assert [row.split()[1][:4] for row in first + rest] == [f"vm-{number}" for number in range(6)]
    assert len(many) == len(one) <= 8, many


def test_where_nothing_was_missed_it_says_so(browser: Client):
    assert "Nothing was missed" in browser.get(HERE).content.decode()
    assert "No alert fits" in browser.get(f"{HERE}?state=open").content.decode()


def test_the_overview_and_the_bell_lead_there(browser: Client, sunflower: Tenant):
    machine_of(sunflower)
    for address in ("/t/sunflower/", "/t/sunflower/notifications/"):
        links = BeautifulSoup(browser.get(address).content, "html.parser").select(f'a[href^="{HERE}"]')
        assert len(links) == 1
