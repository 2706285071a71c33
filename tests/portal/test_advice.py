"""One reason and one button for each machine that is not protected, for each role."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag
from django.test import Client
from django.utils import timezone

from portal.advice import REASON
from tenants.models import Grant, Membership, Role, Tenant, User
from tests.conftest import operation_on, person
from tests.portal.conftest import STORE, counted
from vprotect_bridge.models import (
    Backup,
    Destination,
    Machine,
    Operation,
    Plan,
    PlanChange,
    Protection,
    Standing,
    UpstreamStatus,
)
from vprotect_bridge.unprotected import Reason

pytestmark = pytest.mark.django_db

MACHINE = "/t/sunflower/machines/vm-1/"
PLACES = {"dashboard": "/t/sunflower/", "list": "/t/sunflower/machines/", "machine": MACHINE}
RULE = {"guid": "r-1", "active": True, "schedule_guids": ["s-1"], "destination_guids": [STORE]}
HELD = {"policy": {"active": True, "vm_guids": []}, "rules": [RULE], "schedules": []}
P = Protection


def set_up(protection: str, *, plan: dict[str, Any] | None = None, said: str = "", **fields: Any) -> None:
    """The one machine there is, as a sync would leave it."""
    Machine.across_tenants.update(**{"protection": protection, "last_backup_at": timezone.now(), **fields})
    Plan.across_tenants.update(**({"held": HELD, "is_editable": True, "held_digest": "as seen"} | (plan or {})))
    if said:
        machine = Machine.across_tenants.get()
        facts = {"status": "FAILED", "status_info": said, "sort_at": timezone.now()}
        Backup.across_tenants.create(guid="b-1", machine=machine, tenant=machine.tenant, **facts)


CASES: dict[Reason, Callable[[], None]] = {
    Reason.DELETED: lambda: set_up(P.DELETED, present=False),
    Reason.DESTINATION_UNUSABLE: lambda: set_up(P.FAILED, said="Backup destination is not assigned to the node"),
    Reason.NO_PLAN: lambda: set_up(P.UNPROTECTED, policy_guid=""),
    Reason.NO_SCHEDULE: lambda: set_up(
        P.UNPROTECTED, plan={"standing": Standing.IDLE, "held": HELD | {"rules": [RULE | {"schedule_guids": []}]}}
    ),
    Reason.NO_DESTINATION: lambda: set_up(
        P.UNPROTECTED, plan={"standing": Standing.IDLE, "held": HELD | {"rules": [RULE | {"destination_guids": []}]}}
    ),
    Reason.PLAN_PAUSED: lambda: set_up(P.PAUSED, plan={"standing": Standing.PAUSED}),
    Reason.NEW: lambda: set_up(P.NEW, last_backup_at=None),
    Reason.NEVER_RAN: lambda: set_up(P.OVERDUE, last_backup_at=None),
    Reason.OVERDUE: lambda: set_up(P.OVERDUE),
    Reason.UNKNOWN: lambda: set_up(P.UNKNOWN),
}
ADMIN_BUTTON = {
    Reason.DELETED: ("Restore", f"{MACHINE}restore/"),
    Reason.DESTINATION_UNUSABLE: ("Change the plan", "/edit/"),
    Reason.NO_PLAN: ("Assign a plan", "/t/sunflower/bulk/plan/?machines=vm-1"),
    Reason.NO_SCHEDULE: ("Change the plan", "/edit/"),
    Reason.NO_DESTINATION: ("Change the plan", "/edit/"),
    Reason.PLAN_PAUSED: ("Resume the plan", "/switch/"),
    Reason.NEW: ("Back up now", f"{MACHINE}backup/"),
    Reason.NEVER_RAN: ("Back up now", f"{MACHINE}backup/"),
    Reason.OVERDUE: ("Back up now", f"{MACHINE}backup/"),
    Reason.UNKNOWN: ("Back up now", f"{MACHINE}backup/"),
}
# What a role can do by itself; for all else it is told whom to ask.
BACKS_UP, RESTORES = {Reason.NEW, Reason.NEVER_RAN, Reason.OVERDUE, Reason.UNKNOWN}, {Reason.DELETED}
MAY = {"viewer": set(), "member": BACKS_UP, "restorer": BACKS_UP | RESTORES, "admin": set(CASES)}


def advice_at(browser: Client, address: str) -> list[Tag]:
    answer = browser.get(address)
    assert answer.status_code == 200
    return BeautifulSoup(answer.content, "html.parser").select("main .advice, main .page-head .advice")


def words_of(*tags: Tag) -> str:
    return " ".join(" ".join(tag.get_text(" ") for tag in tags).split())


@pytest.fixture
def admin(as_web: Callable[[User], Client], tenant: Tenant) -> Client:
    return as_web(person(tenant, "admin", Role.ADMIN))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("reason", CASES)
def test_a_machine_has_the_same_reason_and_button_everywhere(
    reason: Reason, place: str, admin: Client, machine: Machine
):
    CASES[reason]()
    if place == "dashboard" and reason in {Reason.DELETED, Reason.NEW}:
        return  # it needs nobody's attention
    found = [tag for tag in advice_at(admin, PLACES[place]) if "Try again" not in tag.get_text()]
    text, address = ADMIN_BUTTON[reason]
    assert str(REASON[reason]) in words_of(*found)
    (button,) = [button for tag in found for button in tag.select(".advice-button")]
    assert text in words_of(button) and "machine vm-1" in words_of(button)
    assert address in str(button.get("href") or button.find_parent("form")["action"])


@pytest.mark.parametrize("role", MAY)
@pytest.mark.parametrize("reason", CASES)
def test_nobody_is_offered_what_they_may_not_do(
    reason: Reason, role: str, as_web: Callable[[User], Client], tenant: Tenant, machine: Machine
):
    CASES[reason]()
    browser = as_web(person(tenant, role, role))
    found = advice_at(browser, MACHINE)
    buttons = [button for tag in found for button in tag.select("a.advice-button")]
    if reason in MAY[role]:
        assert all(browser.get(button["href"]).status_code == 200 for button in buttons)
    else:
        assert not buttons and "Ask your administrator." in words_of(*found)


def test_why_the_last_run_failed_is_said_in_words_and_it_can_be_tried_again(browser: Client, machine: Machine):
    set_up(P.FAILED, said="Cannot connect to kvm-03.internal: Connection timed out")
    found = words_of(*advice_at(browser, MACHINE))
    assert "The machine's platform could not be reached. Your provider has to put it right. Try again" in found
    assert "kvm-03" not in found


def test_of_a_failure_that_nobody_knows_it_is_said_that_nobody_can_say_whose_turn_it_is(
    browser: Client, machine: Machine
):
    set_up(P.FAILED, said="java.lang.NullPointerException")
    assert "Nobody can say from here whose turn it is" in words_of(*advice_at(browser, MACHINE))


def test_what_a_quota_failed_is_for_the_provider_to_mend(browser: Client, machine: Machine):
    set_up(P.FAILED, said="HARD quota Daily exceeded")
    for place in PLACES.values():
        found = advice_at(browser, place)
        assert "is used up" in words_of(*found) and not [button for tag in found for button in tag.select("a, button")]
    assert "Ask your provider." in words_of(*advice_at(browser, MACHINE))


def test_a_plan_is_resumed_with_one_click(admin: Client, machine: Machine):
    set_up(P.PAUSED, plan={"standing": Standing.PAUSED, "policy_guid": "policy-1"})
    (form,) = [form for tag in advice_at(admin, MACHINE) for form in tag.select("form")]
    fields = {field["name"]: field["value"] for field in form.select("input")}
    assert fields.pop("csrfmiddlewaretoken")
    assert admin.post(form["action"], fields).status_code == 302
    assert PlanChange.across_tenants.get().kind == PlanChange.Kind.RESUME


def test_a_providers_plan_is_the_providers_to_resume(admin: Client, machine: Machine):
    set_up(P.PAUSED, plan={"standing": Standing.PAUSED, "is_editable": False})
    found = advice_at(admin, MACHINE)
    assert "Its plan is paused. Ask your provider." in words_of(*found) and not found[0].select(".advice-button")


def test_a_providers_plan_that_never_runs_is_better_left(admin: Client, machine: Machine):
    CASES[Reason.NO_SCHEDULE]()
    Plan.across_tenants.update(is_editable=False)
    assert "Assign a plan" in words_of(*advice_at(admin, MACHINE))


def test_an_administrator_of_some_machines_changes_no_plans(
    as_web: Callable[[User], Client], tenant: Tenant, machine: Machine
):
    limited = person(tenant, "limited", Role.ADMIN)
    Membership.objects.filter(user=limited).update(machine_guids=["vm-1"])
    CASES[Reason.NO_PLAN]()
    assert "Ask your administrator." in words_of(*advice_at(as_web(limited), MACHINE))


def test_while_nothing_is_heard_nothing_is_claimed(browser: Client, machine: Machine):
    set_up(P.OVERDUE)
    UpstreamStatus.objects.update(inventory_at=timezone.now() - timedelta(hours=2))
    assert str(REASON[Reason.STALE]) in words_of(*advice_at(browser, MACHINE))


def test_a_destination_that_is_gone_is_said_before_that_it_is_overdue(admin: Client, machine: Machine):
    set_up(P.OVERDUE, plan={"destination_guid": STORE})
    Destination.objects.filter(guid=STORE).update(vanished_at=timezone.now())
    assert str(REASON[Reason.DESTINATION_UNUSABLE]) in words_of(*advice_at(admin, MACHINE))


def test_without_any_destination_no_backup_is_offered(browser: Client, machine: Machine):
    set_up(P.OVERDUE)
    Grant.across_tenants.all().delete()
    found = words_of(*advice_at(browser, MACHINE))
    assert "Your provider has not offered you a destination" in found and "Back up now" not in found


def test_what_is_being_backed_up_needs_no_button(browser: Client, machine: Machine):
    set_up(P.OVERDUE)
    operation_on(machine, submission="accepted", phase="exporting")
    found = words_of(*advice_at(browser, MACHINE))
    assert "It is being backed up now." in found and "Back up now" not in found


def test_one_that_is_protected_or_gone_for_good_has_no_button(browser: Client, machine: Machine):
    assert advice_at(browser, MACHINE) == []
    set_up(P.GONE, present=False)
    (said,) = advice_at(browser, MACHINE)
    assert str(REASON[Reason.GONE]) in words_of(said) and not said.select(".advice-button")


def test_a_page_of_reasons_costs_no_more_than_one(browser: Client, machine: Machine):
    set_up(P.FAILED, said="no space left")
    browser.get(PLACES["list"])
    with counted() as one:
        browser.get(PLACES["list"])
    now = timezone.now()
    Machine.across_tenants.bulk_create(
        Machine(
            guid=f"m-{n}",
            name=f"m-{n}",
            tenant=machine.tenant,
            row_digest="",
            policy_guid="policy-1" if n % 2 else "",
            protection=list(Protection)[n % 7],
            first_seen_at=now,
            changed_at=now,
        )
        for n in range(20)
    )
    with counted() as many:
        browser.get(PLACES["list"])
    assert len(many) == len(one)


@pytest.mark.parametrize(
    ("kind", "role", "address"),
    [
        ("backup", Role.MEMBER, f"{MACHINE}backup/"),
        ("backup", Role.VIEWER, ""),
        ("restore", Role.RESTORER, f"{MACHINE}restore/"),
        ("restore", Role.MEMBER, ""),
        ("task", Role.ADMIN, ""),
    ],
)
def test_what_failed_leads_to_another_try_for_who_may(
    kind: str, role: Role, address: str, as_web: Callable[[User], Client], tenant: Tenant, machine: Machine
):
    operation = operation_on(machine, kind=kind, outcome="failed", submission="accepted")
    Operation.across_tenants.update(request={"task_type": "MOUNT"})
    browser = as_web(person(tenant, "somebody", role))
    found = advice_at(browser, f"/t/sunflower/operations/{operation.pk}/")
    assert [button["href"] for tag in found for button in tag.select(".advice-button")] == (
        [f"{address}?like={operation.pk}"] if address else []
    )
    Operation.across_tenants.filter(pk=operation.pk).delete()
    good = operation_on(machine, kind=kind, outcome="succeeded", submission="accepted", request={"task_type": "MOUNT"})
    assert advice_at(browser, f"/t/sunflower/operations/{good.pk}/") == []
