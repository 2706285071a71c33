"""Protection targets on pages: set for the organisation and for a plan, seen at machines and on the overview."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone

from tenants.models import AuditEntry, Role, Tenant, User
from tests.conftest import machine_of, person
from tests.portal.conftest import counted
from tests.portal.test_plans import form, plan
from vprotect_bridge.models import Alert, Machine, Plan, PlanChange, Protection

__all__ = ["plan"]
pytestmark = pytest.mark.django_db

SETTINGS, PLANS, LIST = "/t/sunflower/settings/", "/t/sunflower/plans/", "/t/sunflower/machines/"


@pytest.fixture
def admin(tenant: Tenant, machine: Machine, as_web: Callable[[User], Client]) -> Client:
    machine_of(tenant, "vm-2")
    return as_web(person(tenant, "administrator", Role.ADMIN))


def words(answer: Any) -> str:
    return " ".join(BeautifulSoup(answer.content, "html.parser").get_text(" ").split())


def fares(guid: str, hours: float | None, **fields: Any) -> None:
    """Late since so many hours; below zero it still is on time, None = without target."""
    late_at = None if hours is None else timezone.now() - timedelta(hours=hours)
    Machine.across_tenants.filter(guid=guid).update(late_at=late_at, **fields)


# ── Set ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("number", "unit", "hours"), [("24", "hours", 24), ("2", "days", 48), ("", "hours", None), ("366", "days", 8784)]
)
def test_an_administrator_sets_it_for_the_organisation(number: str, unit: str, hours: int | None, admin: Client):
    Tenant.objects.update(target_hours=12)
    typed = {"time_zone": "Europe/Warsaw", "target_number": number, "target_unit": unit}
    assert admin.post(SETTINGS, typed).status_code == 302
    assert Tenant.objects.get().target_hours == hours
    assert AuditEntry.across_tenants.get(action="settings_changed").detail == {"target_hours": hours}


@pytest.mark.parametrize(("number", "unit"), [("0", "hours"), ("-1", "days"), ("367", "days"), ("a day", "hours")])
def test_what_is_no_target_is_said_and_stays_typed(number: str, unit: str, admin: Client):
    answer = admin.post(SETTINGS, {"time_zone": "Europe/Warsaw", "target_number": number, "target_unit": unit})
    assert answer.status_code == 422 and f'value="{number}"' in answer.content.decode()
    assert Tenant.objects.get().target_hours is None


def test_whole_days_are_shown_as_days(admin: Client):
    Tenant.objects.update(target_hours=72)
    page = BeautifulSoup(admin.get(SETTINGS).content, "html.parser")
    assert page.select_one("#id_target_number")["value"] == "3"
    assert page.select_one("#id_target_unit option[selected]")["value"] == "days"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ({"target": "own", "target_number": "2", "target_unit": "days"}, 48),
        ({"target": "none", "target_number": "2", "target_unit": "days"}, 0),
        ({"target": "tenant", "target_number": "2", "target_unit": "days"}, None),
    ],
)
def test_a_plan_has_its_own_or_none_or_the_organisations(typed: dict[str, str], kept: int | None, admin: Client):
    Tenant.objects.update(target_hours=24)
    preview = admin.post(f"{PLANS}new/", form(machines=["vm-2"], **typed))
    assert "Protection target" in words(preview)
    admin.post(f"{PLANS}new/", form(machines=["vm-2"], **typed, confirmed="yes"))
    assert Plan.across_tenants.get(name="Weekly").target_hours == kept
    assert PlanChange.across_tenants.get().wanted["target_hours"] == kept


def test_a_target_of_its_own_needs_a_number(admin: Client):
    answer = admin.post(f"{PLANS}new/", form(machines=["vm-2"], target="own"))
    assert answer.status_code == 422 and "This is needed." in words(answer)


def test_a_change_starts_from_what_the_plan_has(admin: Client, plan: Plan):
    Plan.across_tenants.update(target_hours=36)
    page = BeautifulSoup(admin.get(f"{PLANS}{plan.pk}/edit/").content, "html.parser")
    assert page.select_one("[name=target][checked]")["value"] == "own"
    assert page.select_one("#id_target_number")["value"] == "36"
    assert "36 hours" in words(admin.get(f"{PLANS}{plan.pk}/"))


def test_a_plan_that_runs_less_often_than_its_target_says_so(admin: Client):
    """Once a week, on Sundays."""
    week = {"target": "own", "target_number": "6", "target_unit": "days"}
    assert "Up to 7 days pass" in words(admin.post(f"{PLANS}new/", form(machines=["vm-2"], **week)))
    # A week in which clocks are put back is an hour longer.
    enough = {**week, "target_number": "8"}
    assert "pass between" not in words(admin.post(f"{PLANS}new/", form(machines=["vm-2"], **enough)))


# ── Seen ─────────────────────────────────────────────────────────────────────


def shown(browser: Client, query: str) -> list[str]:
    page = BeautifulSoup(browser.get(LIST + query).content, "html.parser")
    return [link.get_text() for link in page.select("#machine-list .machine-name")]


def test_the_list_is_filtered_by_it_in_the_address(admin: Client, tenant: Tenant):
    machine_of(tenant, "vm-3")
    Machine.across_tenants.update(last_success_at=timezone.now() - timedelta(days=1))
    fares("vm-1", 5), fares("vm-2", -5)
    assert shown(admin, "?target=late") == ["machine vm-1"]
    assert shown(admin, "?target=on_time") == ["machine vm-2"]
    assert shown(admin, "?target=none") == ["machine vm-3"]
    assert len(shown(admin, "?target=odd")) == 3
    page = BeautifulSoup(admin.get(LIST + "?target=late").content, "html.parser")
    chips = {chip["id"]: " ".join(chip.get_text(" ").split()) for chip in page.select(".target-filters .filter-chip")}
    assert chips == {
        "only-late": "Late 1 remove this filter",
        "only-on_time": "On time 1",
        "only-none": "Without target 1",
    }
    assert "5 hours late" in " ".join(page.get_text(" ").split())


def test_without_any_target_nothing_is_said_of_them(admin: Client):
    page = words(admin.get(LIST))
    assert "target" not in page and "Late" not in page


def test_the_page_of_a_machine_says_how_it_stands(admin: Client, tenant: Tenant, machine: Machine):
    assert "Protection target none" in words(admin.get(f"{LIST}vm-1/"))
    Tenant.objects.update(target_hours=24)
    fares("vm-1", -5)
    assert "new: its first good backup is wanted in 5 hours" in words(admin.get(f"{LIST}vm-1/"))
    fares("vm-1", -5, last_success_at=timezone.now() - timedelta(hours=19))
    page = words(admin.get(f"{LIST}vm-1/"))
    assert "24 hours, as for the whole organisation on time: the next good backup is wanted in 5 hours" in page
    fares("vm-1", 5, protection=Protection.OVERDUE, last_success_at=timezone.now() - timedelta(hours=29))
    page = words(admin.get(f"{LIST}vm-1/"))
    assert "5 hours late: a newer backup was wanted 5 hours ago" in page
    assert "Its newest good backup is older than its protection target." in page and "Back up now" in page


def test_the_overview_counts_the_late_ones_at_no_cost(admin: Client):
    admin.get("/t/sunflower/")
    with counted() as before:
        admin.get("/t/sunflower/")
    fares("vm-1", 5, protection=Protection.OVERDUE, last_success_at=timezone.now())
    with counted() as after:
        page = BeautifulSoup(admin.get("/t/sunflower/").content, "html.parser")
    assert "1 is late: its newest good backup is older" in page.select_one(".hero").get_text()
    assert "5 hours late" in page.select_one("#urgent-title").parent.get_text()
    assert page.select_one('.filter-chip[href$="?target=late"]') is not None
    assert len(after) <= len(before) + 1, "the days on which it was overdue are looked up"


# ── Runs that did not happen ─────────────────────────────────────────────────


def alert(tenant: Tenant, kind: str, machine: Machine | None = None, **fields: Any) -> Alert:
    ago = timezone.now() - timedelta(hours=3)
    if machine:
        Machine.across_tenants.filter(pk=machine.pk).update(protection=Protection.OVERDUE)
    return Alert.across_tenants.create(
        tenant=tenant, kind=kind, machine=machine, plan=Plan.across_tenants.first(), began_at=ago, **fields
    )


@pytest.mark.parametrize(
    ("kind", "reason", "button"),
    [
        ("skipped", "Its plan ran, but left it out. Your provider has to look at it.", True),
        ("never_fired", "Its plan did not run when it should have. Your provider has to look at it.", True),
        ("missed", "Its backup did not start within its window.", True),
        ("stuck", "Its backup is stuck in the queue. Your provider has to look at it.", False),
    ],
)
def test_the_reason_says_what_did_not_happen_and_whose_turn_it_is(
    kind: str, reason: str, button: bool, admin: Client, tenant: Tenant, machine: Machine
):
    alert(tenant, kind, machine if kind != "never_fired" else None)
    Machine.across_tenants.filter(pk=machine.pk).update(protection=Protection.OVERDUE)
    page = BeautifulSoup(admin.get(f"{LIST}vm-1/").content, "html.parser")
    advice = page.select_one(".advice")
    assert advice.select_one(".advice-reason").get_text() == reason
    assert bool(advice.select_one(".advice-button")) is button


def test_a_run_that_did_not_happen_is_as_loud_as_one_that_failed(admin: Client, tenant: Tenant, machine: Machine):
    alert(tenant, "never_fired")
    alert(tenant, "skipped", machine)
    Machine.across_tenants.update(last_success_at=timezone.now() - timedelta(days=1))
    page = BeautifulSoup(admin.get("/t/sunflower/").content, "html.parser")
    assert page.select_one(".hero-failed") is not None
    failed = " ".join(page.select_one("#failures-title").parent.get_text(" ").split())
    assert "Run of Nightly 3 hours ago" in failed and "Its plan did not run when it should have." in failed
    assert "Backup of machine vm-1" in failed and "Its plan ran, but left it out." in failed


def test_what_is_over_says_so(admin: Client, tenant: Tenant):
    alert(tenant, "never_fired", closed_at=timezone.now())
    page = BeautifulSoup(admin.get("/t/sunflower/").content, "html.parser")
    assert page.select_one(".hero-failed") is None or "It ran again later." in page.get_text()


def test_the_page_of_the_plan_says_that_it_did_not_run(admin: Client, tenant: Tenant, plan: Plan):
    alert(tenant, "never_fired")
    assert "and did not. Your provider has to look at it." in words(admin.get(f"{PLANS}{plan.pk}/"))


def test_who_sees_some_machines_hears_of_those_alone(tenant: Tenant, machine: Machine, as_web: Any):
    other = machine_of(tenant, "vm-9")
    alert(tenant, "skipped", other), alert(tenant, "never_fired")
    limited = person(tenant, "limited", Role.MEMBER)
    for guids, heard in ((["vm-1"], [False, True]), (["vm-9"], [True, False])):
        limited.memberships.update(machine_guids=guids)
        page = words(as_web(limited).get("/t/sunflower/"))
        assert ["machine vm-9" in page, "Run of Nightly" in page] == heard
