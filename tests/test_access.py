"""The access matrix, walked as the role of web: every route, every method, every person."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from tenants.models import Grant, IdentityProvider, Invitation, Membership, Role, Tenant, User
from tests.access_matrix import MATRIX, PEOPLE
from tests.conftest import machine_of, operation_on, person
from vprotect_bridge.models import Backup, Destination, Machine, Operation, Plan, PlanChange, Question

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]


@pytest.fixture
def cast(sunflower: Tenant, pine: Tenant) -> dict[str, User | None]:
    people: dict[str, User | None] = {role: person(sunflower, role, role) for role in Role.values}
    people["anonymous"] = None
    people["stranger"] = person(pine, "stranger", Role.ADMIN)
    removed = person(sunflower, "removed", Role.ADMIN)
    Membership.objects.filter(user=removed).delete()
    people["removed"] = removed
    people["staff"] = User.objects.create_superuser("staff@operator.example", "a password for tests")
    return people


@pytest.fixture
def machine(sunflower: Tenant) -> Machine:
    Destination.objects.create(guid="store-1", name="Store")
    Grant.across_tenants.create(tenant=sunflower, kind=Grant.Kind.DESTINATION, guid="store-1")
    return machine_of(sunflower)


@pytest.fixture
def addresses(sunflower: Tenant, machine: Machine) -> dict[str, str]:
    other = machine_of(sunflower, "vm-2")
    operation = operation_on(other, client_key=uuid4())
    question = Question.across_tenants.create(
        tenant=sunflower, machine=machine, kind=Question.Kind.USABLE_DESTINATIONS, answer={"guids": []}
    )
    Question.across_tenants.update(answered_at=question.asked_at)
    now = timezone.now()
    cast_member = Membership.objects.get(user=person(sunflower, "colleague", Role.VIEWER))
    somebody = User.objects.create_user("somebody@pine.example", "a password for tests")
    theirs = Authenticator.objects.create(user=somebody, type=Authenticator.Type.WEBAUTHN, data={})
    invitation = Invitation.across_tenants.create(
        tenant=sunflower, email="new@sunflower.example", role=Role.VIEWER, token_hash="h", expires_at=now
    )
    provider = IdentityProvider(tenant=sunflower, slug="sun", issuer="https://localhost:1", client_id="portal")
    provider.client_secret = "a secret for tests"
    provider.save()
    plan = Plan.across_tenants.create(
        tenant=sunflower, is_made_here=True, name="Nightly", policy_guid="p-1", is_editable=True, held_at=now
    )
    PlanChange.across_tenants.create(tenant=sunflower, plan=plan, kind=PlanChange.Kind.EDIT)
    arguments: dict[str, dict[str, Any]] = {
        **{
            name: {"plan_id": plan.pk}
            for name in ("plan", "plan-poll", "plan-edit", "plan-switch", "plan-delete", "plan-decide")
        },
        **{name: {"member_id": cast_member.pk} for name in ("member-edit", "member-remove")},
        "invitation-revoke": {"invitation_id": invitation.pk},
        "account_confirm_email": {"key": "unknown"},
        "mfa_remove_webauthn": {"pk": theirs.pk},
        "mfa_edit_webauthn": {"pk": theirs.pk},
        **{name: {"slug": "sun"} for name in MATRIX if name.startswith("single-sign-on-")},
        "invitation-open": {"token": "unknown"},
        "question": {"question_id": question.pk},
        "operation": {"operation_id": operation.pk},
        "operation-poll": {"operation_id": operation.pk},
        "operation-cancel": {"operation_id": operation.pk},
        "account_reset_password_from_key": {"uidb36": "1", "key": "unknown"},
    }
    for name in ("machine", "machine-history", "backup-create", "restore-create"):
        arguments[name] = {"guid": machine.guid}
    for name in _names_below_a_tenant():
        arguments.setdefault(name, {})["tenant"] = "sunflower"
    return {name: reverse(name, kwargs=arguments.get(name, {})) for name in MATRIX}


def _routes(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, str | None]]:
    for entry in patterns:
        here = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _routes(entry.url_patterns, here)
        elif isinstance(entry, URLPattern):
            yield here, entry.name


def _names_below_a_tenant() -> list[str]:
    return [
        name for route, name in _routes(get_resolver().url_patterns) if name and route.startswith("t/<slug:tenant>/")
    ]


def test_every_route_is_in_the_matrix():
    assert {name for _route, name in _routes(get_resolver().url_patterns)} == set(MATRIX)


@pytest.mark.parametrize("name", MATRIX)
@pytest.mark.parametrize("who", PEOPLE)
def test_everybody_gets_what_is_theirs(
    name: str, who: str, cast: dict[str, User | None], addresses: dict[str, str], as_web: Browser
):
    for method, expected in MATRIX[name].items():
        answer = as_web(cast[who]).generic(method, addresses[name])
        assert answer.status_code == expected[who], f"{who}: {method} {addresses[name]}"
        is_open = name.startswith(("account_", "invitation", "single-sign-on"))
        if answer.status_code == 302 and who == "anonymous" and not is_open:
            assert answer["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("name", [name for name in MATRIX if name in _names_below_a_tenant()])
def test_where_a_second_factor_is_asked_for_no_route_opens_without_one(
    name: str, sunflower: Tenant, cast: dict[str, User | None], addresses: dict[str, str], as_web: Browser
):
    Tenant.objects.filter(pk=sunflower.pk).update(second_factor_required=True)
    for method in ("GET", "POST", "HEAD", "DELETE"):
        for headers in ({}, {"HX-Request": "true"}):
            answer = as_web(cast["admin"]).generic(method, addresses[name], headers=headers)
            assert answer.status_code == 302 and answer["Location"].startswith("/accounts/second-factor/?next=")


# ── Ids that are not one's own ───────────────────────────────────────────────


GUIDS = ["vm-9", "unknown", "VM-1", "vm-1%20", "vm-1%00", "..%2Ftasks", "a" * 65, "vm-1'--"]


@pytest.mark.parametrize("page", ["", "history", "backup/", "restore/"])
@pytest.mark.parametrize("guid", GUIDS)
def test_foreign_unknown_and_malformed_machines_look_alike(
    guid: str, page: str, cast: dict[str, User | None], machine: Machine, pine: Tenant, as_web: Browser
):
    machine_of(pine, "vm-9")
    browser = as_web(cast["admin"])
    answer = browser.get(f"/t/sunflower/machines/{guid}/{page}")
    unknown = browser.get("/t/sunflower/machines/nothing-here/")
    assert answer.status_code == 404
    token = r'name="csrfmiddlewaretoken" value="\w+"'
    assert re.sub(token, "", answer.content.decode()) == re.sub(token, "", unknown.content.decode())


def test_a_foreign_operation_and_question_are_not_there(
    cast: dict[str, User | None], machine: Machine, pine: Tenant, as_web: Browser
):
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
def test_a_foreign_plan_is_not_there(page: str, cast: dict[str, User | None], pine: Tenant, as_web: Browser):
    theirs = Plan.across_tenants.create(tenant=pine, is_made_here=True, name="Theirs", is_editable=True)
    browser = as_web(cast["admin"])
    assert browser.get(f"/t/sunflower/plans/{theirs.pk}/{page}").status_code == 404
    for action in ("edit/", "delete/", "switch/", "decide/"):
        assert browser.post(f"/t/sunflower/plans/{theirs.pk}/{action}").status_code == 404
    assert not PlanChange.across_tenants.exists()


def test_a_plan_takes_no_foreign_machine_and_no_foreign_destination(
    cast: dict[str, User | None], machine: Machine, pine: Tenant, as_web: Browser
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
def test_only_an_administrator_changes_plans(
    role: str, cast: dict[str, User | None], machine: Machine, as_web: Browser
):
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


def test_a_foreign_destination_is_refused(
    cast: dict[str, User | None], machine: Machine, pine: Tenant, as_web: Browser
):
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
    for end in ("", "poll?version=0"):
        page = browser.get(address + end).content.decode()
        assert "machine vm-1" not in page and "/machines/vm-1/" not in page, end
    Membership.objects.filter(user=limited).update(machine_guids=["vm-2", "vm-1"])
    assert "/machines/vm-1/" in browser.get(address).content.decode()


def test_history_of_the_former_owner_is_not_shown(
    cast: dict[str, User | None], machine: Machine, pine: Tenant, as_web: Browser
):
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
