"""Roles and limits inside one tenant, and ids that are not one's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from tenants.models import Grant, Membership, Role, Tenant, User
from tests.access.conftest import Cast
from tests.conftest import machine_of, operation_on, person
from vprotect_bridge.models import Backup, Destination, Machine, Operation, Plan, PlanChange, Question

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]


# ── Ids that are not one's own ───────────────────────────────────────────────


GUIDS = ["vm-9", "unknown", "VM-1", "vm-1%20", "vm-1%00", "..%2Ftasks", "a" * 65, "vm-1'--"]


@pytest.mark.parametrize("page", ["", "history", "backup/", "restore/"])
@pytest.mark.parametrize("guid", GUIDS)
def test_foreign_unknown_and_malformed_machines_look_alike(
    guid: str, page: str, cast: Cast, machine: Machine, pine: Tenant, as_web: Browser
):
    machine_of(pine, "vm-9")
    browser = as_web(cast["admin"])
    answer = browser.get(f"/t/sunflower/machines/{guid}/{page}")
    unknown = browser.get("/t/sunflower/machines/nothing-here/")
    assert answer.status_code == 404
    # A page leads back to itself, whatever its address was.
    own = r'name="(csrfmiddlewaretoken|next)" value="[^"]*"'
    assert re.sub(own, "", answer.content.decode()) == re.sub(own, "", unknown.content.decode())


def test_a_foreign_operation_and_question_are_not_there(cast: Cast, machine: Machine, pine: Tenant, as_web: Browser):
    foreign = machine_of(pine, "vm-9")
    operation = operation_on(foreign)
    question = Question.across_tenants.create(tenant=pine, machine=foreign, kind=Question.Kind.USABLE_DESTINATIONS)
    browser = as_web(cast["admin"])
    for address in (
        reverse("operation", args=["sunflower", operation.pk]),
        reverse("operation-poll", args=["sunflower", operation.pk]),
        reverse("question", args=["sunflower", question.pk]),
    ):
        assert browser.get(address).status_code == 404


@pytest.mark.parametrize("page", ["", "edit/", "delete/", "poll"])
def test_a_foreign_plan_is_not_there(page: str, cast: Cast, pine: Tenant, as_web: Browser):
    theirs = Plan.across_tenants.create(tenant=pine, is_made_here=True, name="Theirs", is_editable=True)
    browser = as_web(cast["admin"])
    assert browser.get(f"/t/sunflower/plans/{theirs.pk}/{page}").status_code == 404
    for action in ("edit/", "delete/", "switch/", "decide/"):
        assert browser.post(f"/t/sunflower/plans/{theirs.pk}/{action}").status_code == 404
    assert not PlanChange.across_tenants.exists()


def test_a_plan_takes_no_foreign_machine_and_no_foreign_destination(
    cast: Cast, machine: Machine, pine: Tenant, as_web: Browser
):
    machine_of(pine, "vm-9")
    Destination.objects.create(guid="store-9", name="Theirs")
    Grant.across_tenants.create(tenant=pine, kind=Grant.Kind.DESTINATION, guid="store-9")
    browser = as_web(cast["admin"])
    for changes in ({"machines": ["vm-1", "vm-9"]}, {"machines": ["unknown"]}, {"destination": "store-9"}):
        answer = browser.post("/t/sunflower/plans/new/", {**plan_form(), **changes, "confirmed": "yes"})
        assert answer.status_code == 422 and "Theirs" not in answer.content.decode()
    assert not Plan.across_tenants.exists()


def plan_form() -> dict[str, Any]:
    return {
        **{"name": "Nightly", "machines": ["vm-1"], "time_zone": "UTC", "destination": "store-1", "priority": "5"},
        **{"client_key": str(uuid4()), "schedule-TOTAL_FORMS": "1", "schedule-INITIAL_FORMS": "0"},
        **{"schedule-0-backup_type": "FULL", "schedule-0-weekdays": ["MONDAY"], "schedule-0-how": "time"},
        **{"schedule-0-at": "02:00", "schedule-0-window_minutes": "360"},
    }


@pytest.mark.parametrize("role", ["viewer", "member", "restorer"])
def test_only_an_administrator_changes_plans(role: str, cast: Cast, machine: Machine, as_web: Browser):
    browser = as_web(cast[role])
    assert browser.post("/t/sunflower/plans/new/", {**plan_form(), "confirmed": "yes"}).status_code == 403
    assert "New plan" not in browser.get("/t/sunflower/plans/").content.decode()
    assert not Plan.across_tenants.exists()


def test_an_administrator_of_some_machines_changes_no_plans(sunflower: Tenant, machine: Machine, as_web: Browser):
    some = person(sunflower, "some", Role.ADMIN)
    Membership.objects.filter(user=some).update(machine_guids=["vm-1"])
    Machine.across_tenants.filter(guid="vm-1").update(policy_guid="p-1")
    seen, hidden = (
        Plan.across_tenants.create(tenant=sunflower, is_made_here=True, name=name, policy_guid=guid, is_editable=True)
        for name, guid in (("Mine", "p-1"), ("Hidden", "p-2"))
    )
    browser = as_web(some)
    page = browser.get("/t/sunflower/plans/").content.decode()
    assert "Mine" in page and "Hidden" not in page
    assert browser.get(f"/t/sunflower/plans/{hidden.pk}/").status_code == 404
    assert browser.post("/t/sunflower/plans/new/", {**plan_form(), "confirmed": "yes"}).status_code == 403
    for action in ("edit/", "delete/", "switch/", "decide/"):
        assert browser.post(f"/t/sunflower/plans/{seen.pk}/{action}").status_code == 403


def test_a_foreign_destination_is_refused(cast: Cast, machine: Machine, pine: Tenant, as_web: Browser):
    Destination.objects.create(guid="store-9", name="Theirs")
    Grant.across_tenants.create(tenant=pine, kind=Grant.Kind.DESTINATION, guid="store-9")
    form = {"backup_type": "FULL", "window_end": "2999-01-01T00:00", "priority": "5", "client_key": str(uuid4())}
    browser = as_web(cast["member"])
    answer = browser.post(reverse("backup-create", args=["sunflower", machine.guid]), form | {"destination": "store-9"})
    assert answer.status_code == 422 and "Theirs" not in answer.content.decode()
    assert not Operation.across_tenants.exists()


@pytest.fixture
def limited(sunflower: Tenant, machine: Machine) -> User:
    """A member who may see only the machine vm-2."""
    user = person(sunflower, "limited", Role.MEMBER)
    Membership.objects.filter(user=user).update(machine_guids=["vm-2"])
    machine_of(sunflower, "vm-2")
    return user


def test_a_limited_member_sees_only_their_machines(limited: User, machine: Machine, as_web: Browser):
    operation = operation_on(machine)
    question = Question.across_tenants.create(
        tenant=machine.tenant, machine=machine, kind=Question.Kind.USABLE_DESTINATIONS
    )
    browser = as_web(limited)
    listed = browser.get("/t/sunflower/machines/").content.decode()
    assert "machine vm-2" in listed and "machine vm-1" not in listed and "1–1 of 1" in listed
    assert "machine vm-1" not in browser.get("/t/sunflower/operations/").content.decode()
    for address in (
        "/t/sunflower/machines/vm-1/",
        "/t/sunflower/machines/vm-1/history",
        "/t/sunflower/machines/vm-1/backup/",
        f"/t/sunflower/operations/{operation.pk}/",
        f"/t/sunflower/operations/{operation.pk}/poll",
        f"/t/sunflower/questions/{question.pk}/",
    ):
        assert browser.get(address).status_code == 404, address
    assert browser.get("/t/sunflower/machines/vm-2/").status_code == 200


def test_a_restore_does_not_name_a_machine_outside_the_limits(limited: User, machine: Machine, as_web: Browser):
    fields = {"kind": "restore", "submission": "accepted", "outcome": "succeeded", "progress": 100}
    own = Machine.across_tenants.get(guid="vm-2")
    operation = operation_on(own, restored_guid=machine.guid, **fields)
    browser = as_web(limited)
    address = f"/t/sunflower/operations/{operation.pk}/"
    for end in ("", "poll?seen=0"):
        page = browser.get(address + end).content.decode()
        assert "machine vm-1" not in page and "/machines/vm-1/" not in page, end
    Membership.objects.filter(user=limited).update(machine_guids=["vm-2", "vm-1"])
    assert "/machines/vm-1/" in browser.get(address).content.decode()


def test_history_of_the_former_owner_is_not_shown(cast: Cast, machine: Machine, pine: Tenant, as_web: Browser):
    Backup.across_tenants.create(
        guid="old",
        tenant=pine,
        machine=machine,
        status="SUCCESS",
        type="FULL",
        sort_at="2026-01-01T00:00Z",
        size=77 * 1024**3,
    )
    answer = as_web(cast["viewer"]).get("/t/sunflower/machines/vm-1/history").content.decode()
    assert "77.0 GiB" not in answer


def test_nobody_signs_up_alone(as_web: Browser):
    form = {"email": "new@sunflower.example", "password1": "a password for tests", "password2": "a password for tests"}
    as_web(None).post("/accounts/signup/", form)
    assert not User.objects.filter(email="new@sunflower.example").exists()
