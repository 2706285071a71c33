"""What a form did not offer: more fields, the same one twice, another method, another address."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils.http import urlencode

from tenants.models import Membership, Tenant, User
from tests.access.conftest import Cast, ids_of
from tests.access.test_ids import FORMS, encoded
from tests.conftest import WebClient, machine_of
from vprotect_bridge.models import Machine, Operation, Plan

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
URLENCODED = "application/x-www-form-urlencoded"
MORE = {
    **{"tenant": "2", "tenant_id": "2", "tenantId": "x", "id": "1", "pk": "1", "guid": "vm-9", "machine": "vm-9"},
    **{"machine_guid": "vm-9", "subject_guid": "vm-9", "state": "accepted", "submission": "accepted", "slug": "taken"},
    **{"outcome": "succeeded", "task_guid": "t-9", "policy_guid": "p-9", "rules": "[]", "origin": "elsewhere"},
    **{"autoAssignSettings.mode": "ALL", "user": "1", "is_staff": "on", "is_superuser": "on", "is_active": ""},
    **{"priority_cap": "100", "running_cap": "1000", "created_by": "1", "is_bulk": "on", "owned_by": "claim"},
    **{"daily_backup_cap": "9", "stored_gib_cap": "9", "target_hours": "1", "late_at": "2020-01-01"},
    **{"email_verified": "on", "permissions": "all", "second_factor_required": "on", "token_hash": "known"},
}
# What differs between two of the same wish: keys, times, chance.
CHANGING = re.compile(
    r"id|at|.*_at|.*_ms|client_key|correlation_id|token_hash|upstream_name|held|plan_id|bulk_request_id|password|mount_path"
)


@pytest.fixture
def own(sunflower: Tenant, machine: Machine) -> dict[str, Any]:
    return ids_of(sunflower, machine, machine_of(sunflower, "vm-2"))


def everything() -> dict[str, list[dict[str, Any]]]:
    """All rows that people's wishes may change, without what is new with every one of them."""
    tables = ("tenants_user", "tenants_tenant", "tenants_membership", "tenants_invitation", "vprotect_bridge_operation")
    tables += ("vprotect_bridge_plan", "vprotect_bridge_planchange", "vprotect_bridge_machine", "tokens_token")
    found: dict[str, list[dict[str, Any]]] = {}
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT row_to_json(t) FROM {table} t ORDER BY id")  # noqa: S608 — our own tables
            found[table] = [without_chance(row) for (row,) in cursor.fetchall()]
    return found


def without_chance(row: Any) -> Any:
    """`wanted` of a plan change holds a key of its own."""
    if isinstance(row, dict):
        return {name: without_chance(value) for name, value in row.items() if not CHANGING.fullmatch(name)}
    return row


@pytest.mark.parametrize("form", FORMS)
def test_fields_that_were_not_offered_change_nothing(
    form: str, cast: Cast, own: dict[str, Any], places: None, as_web: Browser
):
    browser = as_web(cast["admin"])
    address, fields = FORMS[form][0].format(**own), FORMS[form][1]
    after = []
    for more in ({}, {name: value for name, value in MORE.items() if name not in fields}):
        with transaction.atomic():
            answer = browser.post(address, encoded(fields, **more), content_type=URLENCODED)
            assert answer.status_code == 302
            after.append(everything())
            transaction.set_rollback(True)
    assert after[0] == after[1]


def test_settings_take_their_own_fields_only(cast: Cast, sunflower: Tenant, as_web: Browser):
    as_web(cast["admin"]).post("/t/sunflower/settings/", {**MORE, "time_zone": "Europe/Paris", "name": "Renamed"})
    after = Tenant.objects.get(pk=sunflower.pk)
    assert (after.time_zone, after.second_factor_required) == ("Europe/Paris", True)
    assert (after.name, after.slug, after.priority_cap, after.running_cap) == ("Sunflower", "sunflower", 50, None)
    assert (after.daily_backup_cap, after.target_hours) == (None, None)


@pytest.mark.parametrize("priority", ["51", "100", "-1", "1e2", "٥١"])
def test_a_priority_above_the_cap_is_refused(
    priority: str, cast: Cast, own: dict[str, Any], places: None, as_web: Browser
):
    for form in ("backup", "plan"):
        address, fields = FORMS[form]
        answer = as_web(cast["admin"]).post(address, encoded(fields, priority=priority), content_type=URLENCODED)
        assert answer.status_code == 422
    assert not Operation.across_tenants.filter(kind=Operation.Kind.BACKUP, machine__guid="vm-1").exists()
    assert not Plan.across_tenants.filter(name="Weekly").exists()


@pytest.mark.parametrize(("roles", "kept"), [(["viewer", "admin"], "admin"), (["admin", "viewer"], "viewer")])
def test_of_two_values_the_last_one_counts_and_is_checked(
    roles: list[str], kept: str, cast: Cast, own: dict[str, Any], as_web: Browser
):
    form = urlencode({"role": roles, "scope": "all"}, doseq=True)
    address = f"/t/sunflower/members/{own['member_id']}/"
    as_web(cast["admin"]).post(address, form, content_type=URLENCODED)
    assert Membership.objects.get(pk=own["member_id"]).role == kept
    assert as_web(cast["member"]).post(address, form, content_type=URLENCODED).status_code == 403


def test_fields_in_the_address_are_no_form(cast: Cast, own: dict[str, Any], places: None, as_web: Browser):
    address, fields = FORMS["plan"]
    answer = as_web(cast["admin"]).post(f"{address}?{encoded(fields)}")
    assert answer.status_code == 422 and not Plan.across_tenants.filter(name="Weekly").exists()


@pytest.mark.parametrize(
    "headers", [{"X-HTTP-Method-Override": "DELETE"}, {"X-Method-Override": "POST"}, {"X-HTTP-Method": "POST"}]
)
def test_a_method_is_what_it_is(headers: dict[str, str], cast: Cast, own: dict[str, Any], as_web: Browser):
    browser = as_web(cast["admin"])
    address = f"/t/sunflower/members/{own['member_id']}/remove/"
    assert browser.get(f"{address}?_method=POST", headers=headers).status_code == 200
    assert browser.put(address, {"_method": "POST"}, headers=headers).status_code == 405
    assert Membership.objects.filter(pk=own["member_id"]).exists()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"HX-Request": "true"},
        {"Origin": "https://evil.example", "HX-Request": "true"},
        {"Origin": "null"},
        {"Referer": "https://evil.example/"},
    ],
)
@pytest.mark.parametrize("name", ["backup", "restore", "plan", "invite", "member"])
def test_a_form_without_its_token_changes_nothing(
    name: str, headers: dict[str, str], cast: Cast, own: dict[str, Any], places: None
):
    browser = WebClient(enforce_csrf_checks=True)
    browser.force_login(cast["admin"])  # type: ignore[arg-type]
    before = everything()
    answer = browser.post(
        FORMS[name][0].format(**own), encoded(FORMS[name][1]), content_type=URLENCODED, headers=headers
    )
    assert answer.status_code == 403 and everything() == before


def test_a_token_of_another_session_opens_nothing(cast: Cast, own: dict[str, Any], places: None):
    thief, victim = WebClient(enforce_csrf_checks=True), WebClient(enforce_csrf_checks=True)
    for browser, who in ((thief, "stranger"), (victim, "admin")):
        browser.force_login(cast[who])  # type: ignore[arg-type]
        browser.get("/accounts/password/change/")
    token = thief.cookies["portal_web_csrf"].value
    answer = victim.post(
        FORMS["plan"][0], encoded(FORMS["plan"][1], csrfmiddlewaretoken=token), content_type=URLENCODED
    )
    assert answer.status_code == 403 and not Plan.across_tenants.filter(name="Weekly").exists()
