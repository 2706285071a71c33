"""Ticks for machines that are found on the server: in the form of a plan and in the scope of a member."""

from __future__ import annotations

from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.test import Client

from tenants.models import Membership, Role, Tenant, User
from tests.conftest import machine_of, person
from tests.portal.conftest import STORE, counted
from tests.portal.test_bulk import fields_of
from tests.portal.test_machines import DAILY, LIST, many
from vprotect_bridge.models import Machine, Plan, PlanChange, Standing

pytestmark = pytest.mark.django_db

NEW = "/t/sunflower/plans/new/"


@pytest.fixture
def admin(browser: Client, member: User) -> Client:
    Membership.objects.filter(user=member).update(role=Role.ADMIN)
    return browser


@pytest.fixture
def daily(tenant: Tenant) -> Plan:
    """Of 120 machines the first sixty are in it."""
    many(tenant, 120)
    guids = [f"m-{n}" for n in range(60)]
    Machine.across_tenants.filter(guid__in=guids).update(policy_guid="policy-daily")
    held = DAILY.to_json()
    policy = {**held["policy"], "vm_guids": guids, "priority": 50, "removes_absent_machines": False}
    return Plan.across_tenants.create(
        tenant=tenant,
        is_made_here=True,
        is_editable=True,
        name="Daily",
        policy_guid="policy-daily",
        destination_guid=STORE,
        held={**held, "policy": policy},
        held_digest="as it was seen",
        held_at="2099-01-01T00:00Z",
        standing=Standing.ACTING,
        schedules=[
            {
                **{"backup_type": "FULL", "weekdays": ["MONDAY"], "at": "02:00", "starts": "", "ends": ""},
                **{"every_minutes": 0, "window_minutes": 360, "months": [], "occurrences": []},
            }
        ],
    )


def opened(answer: Any) -> tuple[BeautifulSoup, dict[str, Any]]:
    """The page, and what a browser would send of its form."""
    assert answer.status_code == 200
    page = BeautifulSoup(answer.content, "html.parser")
    form: dict[str, Any] = {}
    for field in page.select("form.wish [name]"):
        if field.name == "button" or (field.get("type") in {"checkbox", "radio"} and not field.has_attr("checked")):
            continue
        chosen = field.select("option[selected]") if field.name == "select" else [field]
        form.setdefault(field["name"], []).extend(one.get("value", "") for one in chosen)
    return page, form


def said(page: BeautifulSoup) -> str:
    return " ".join(page.select_one(".picker [role=status]").get_text(" ").split())


@pytest.mark.parametrize("count", [60, 5000])
def test_the_form_of_a_plan_costs_the_same_for_thousands(count: int, admin: Client, tenant: Tenant):
    many(tenant, count)
    admin.get(LIST)
    with counted() as statements:
        page, _form = opened(admin.get(NEW))
    assert len(statements) <= 12 and len(page.select(".pick-list .tick")) == 50
    assert said(page) == f"0 machines chosen. Shown: 1–50 of {count}."


def test_what_a_plan_has_stays_though_it_is_not_sent(admin: Client, daily: Plan):
    edit = f"/t/sunflower/plans/{daily.pk}/edit/"
    page, form = opened(admin.get(edit))
    assert said(page) == "60 machines chosen. Shown: 1–50 of 120."
    assert len(form["machines"]) == 50 and form["added"] == form["removed"] == [""]
    form["machines"].remove("m-3")
    page, form = opened(admin.post(edit, {**form, "pick": "2"}))
    assert said(page) == "59 machines chosen. Shown: 51–100 of 120." and form["removed"] == ["m-3"]
    form["machines"].remove("m-55")
    form["machines"].append("m-99")
    page, form = opened(admin.post(edit, {**form, "pick": "search", "pick_q": "machine-0011"}))
    assert said(page) == "59 machines chosen. Shown: 1–10 of 10."
    form["machines"] = ["m-110"]
    admin.post(edit, {**form, "moves": "on", "confirmed": "yes"})
    wanted = {f"m-{n}" for n in range(60)} - {"m-3", "m-55"} | {"m-99", "m-110"}
    assert set(PlanChange.across_tenants.get().wanted["machine_guids"]) == wanted


def test_all_that_are_found_can_be_chosen_and_only_the_chosen_shown(admin: Client, tenant: Tenant):
    many(tenant, 120)
    page, form = opened(admin.get(NEW))
    page, form = opened(admin.post(NEW, {**form, "pick": "search", "pick_q": "0000"}))
    page, form = opened(admin.post(NEW, {**form, "pick": "all"}))
    assert said(page) == "10 machines chosen. Shown: 1–10 of 10."
    page, form = opened(admin.post(NEW, {**form, "pick": "search", "pick_q": "", "pick_only": "chosen"}))
    assert len(page.select(".pick-list .tick")) == 10
    assert not page.select(".field-error"), "nothing is wrong with a form that is still being filled in"


def test_thousands_that_are_chosen_weigh_nothing_and_can_be_unticked(admin: Client, tenant: Tenant):
    many(tenant, 5000)
    _page, form = opened(admin.get(NEW))
    page, form = opened(admin.post(NEW, {**form, "pick": "all"}))
    assert said(page) == "5000 machines chosen. Shown: 1–50 of 5000."
    form["machines"].remove("m-3")
    page, form = opened(admin.post(NEW, {**form, "pick": "2"}))
    assert said(page) == "4999 machines chosen. Shown: 51–100 of 5000."
    assert (form["every"], form["added"], form["removed"]) == (["="], [""], ["m-3"])
    answer = admin.post(NEW, {**form, "name": ""})
    again = BeautifulSoup(answer.content, "html.parser")
    assert answer.status_code == 422 and "4999 machines chosen" in said(again), "an error takes nothing away"


def test_a_machine_of_another_plan_is_named_so(admin: Client, daily: Plan):
    page, _form = opened(admin.get(NEW))
    assert page.select_one(".pick-list .tick").get_text(" ", strip=True) == "machine-00000 now in: Daily"


@pytest.mark.parametrize("field", ["machines", "added"])
def test_a_foreign_machine_is_refused_wherever_it_is_written(field: str, admin: Client, daily: Plan, pine: Tenant):
    machine_of(pine, "vm-9")
    edit = f"/t/sunflower/plans/{daily.pk}/edit/"
    _page, form = opened(admin.get(edit))
    for guid in ("vm-9", "vm-7", "vm-9\x00", "a b'--"):
        answer = admin.post(edit, {**form, field: [*form[field], guid], "moves": "on", "confirmed": "yes"})
        assert answer.status_code == 422 and b"not yours any more" in answer.content
    assert not PlanChange.across_tenants.exists()


@pytest.mark.parametrize("odd", ["-1", "0", "999999999", "x", "١", ""])
def test_an_odd_page_still_opens(odd: str, admin: Client, tenant: Tenant):
    many(tenant, 60)
    _page, form = opened(admin.get(NEW))
    assert admin.post(NEW, {**form, "pick": odd, "pick_q": "%00\x00"}).status_code == 200


def test_the_scope_of_a_member_is_picked_the_same_way(admin: Client, tenant: Tenant):
    many(tenant, 120)
    colleague = Membership.objects.get(user=person(tenant, "colleague", Role.VIEWER))
    Membership.objects.filter(pk=colleague.pk).update(machine_guids=["m-3", "m-77", "no longer theirs"])
    address = f"/t/sunflower/members/{colleague.pk}/"
    page, form = opened(admin.get(address))
    assert said(page) == "2 machines chosen. Shown: 1–50 of 120."
    page, form = opened(admin.post(address, {**form, "pick": "3"}))
    assert fields_of(page)["shown"][0] == "m-100" and form["scope"] == ["some"]
    form["machines"] = ["m-119"]
    assert admin.post(address, form).status_code == 302
    assert set(Membership.objects.get(pk=colleague.pk).machine_guids) == {"m-3", "m-77", "m-119"}
