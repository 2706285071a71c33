"""The protection report: which machines are protected, how backups went in a period, and to whom it is shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_scopes import scope

from reports.protection import Period, machines_of, rows_of, summary_of
from tenants.models import Membership, Role, Tenant, User
from tests.conftest import is_under_the_policy, machine_of, person
from tests.reports.conftest import backup_of
from vprotect_bridge.models import Machine, Plan

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
ADDRESS = "/t/sunflower/reports/"


@pytest.fixture
def machines(sunflower: Tenant, pine: Tenant) -> list[Machine]:
    """Of Sunflower a protected one with a failure behind it and a failed one; one of Pine's."""
    Plan.across_tenants.create(tenant=sunflower, is_made_here=True, name="Nightly", policy_guid="policy-1")
    machines = [machine_of(sunflower, "vm-1"), machine_of(sunflower, "vm-2"), machine_of(pine, "vm-9")]
    now = timezone.now()
    backup_of(machines[0], status="FAILED", status_info="Node node-3: disk full", sort_at=now - timedelta(days=2))
    for days in (3, 1, 60):
        backup_of(machines[0], sort_at=now - timedelta(days=days))
    backup_of(machines[1], status="FAILED", sort_at=now - timedelta(hours=1))
    backup_of(machines[2])
    Machine.across_tenants.filter(guid="vm-1").update(
        protection="protected", policy_guid="policy-1", last_success_at=now - timedelta(days=1)
    )
    Machine.across_tenants.filter(guid="vm-2").update(protection="failed")
    return machines


def member(tenant: Tenant, guids: list[str] | None = None) -> Membership:
    membership = Membership.objects.get(user=person(tenant, "looker", Role.VIEWER))
    membership.machine_guids = guids
    membership.save()
    return membership


def test_each_machine_with_how_its_backups_went(sunflower: Tenant, machines: list[Machine]):
    period = Period.until_now(30, ZoneInfo("UTC"))
    with scope(tenant=sunflower):
        rows = rows_of(list(machines_of(member(sunflower))), period)
    assert [(row.machine.guid, row.good, row.failed) for row in rows] == [("vm-2", 0, 1), ("vm-1", 2, 1)]
    assert rows[1].plan and rows[1].plan.name == "Nightly" and rows[0].plan is None
    assert rows[1].said == "Node node-3: disk full" and rows[1].failed_at < rows[0].failed_at  # type: ignore[operator]


@pytest.mark.parametrize(
    ("guids", "expected"), [(None, (2, 1, 2, 2)), (["vm-1"], (1, 1, 2, 1)), (["vm-9"], (0, 0, 0, 0))]
)
def test_the_summary_is_of_the_machines_that_a_person_sees(
    guids: list[str] | None, expected: tuple[int, ...], sunflower: Tenant, machines: list[Machine]
):
    with scope(tenant=sunflower):
        found = summary_of(member(sunflower, guids), Period.until_now(30, ZoneInfo("UTC")))
    assert (found.there, found.protected, found.good, found.failed) == expected


def test_each_machine_is_held_against_its_target(sunflower: Tenant, machines: list[Machine]):
    now = timezone.now()
    Machine.across_tenants.filter(guid="vm-1").update(late_at=now + timedelta(hours=1))
    Machine.across_tenants.filter(guid="vm-2").update(late_at=now - timedelta(hours=1))
    machine_of(sunflower, "vm-3")
    machine_of(sunflower, "vm-4")
    Machine.across_tenants.filter(guid="vm-4").update(present=False, protection="deleted", late_at=now)
    with scope(tenant=sunflower):
        rows = rows_of(list(machines_of(member(sunflower))), Period.until_now(30, ZoneInfo("UTC")))
    assert {row.machine.guid: row.target for row in rows} == {
        "vm-1": "on_time",
        "vm-2": "late",
        "vm-3": "none",
        "vm-4": None,
    }


def test_the_page_says_it_in_words_and_never_in_vprotects(sunflower: Tenant, machines: list[Machine], as_web: Browser):
    viewer = member(sunflower).user
    html = as_web(viewer).get(ADDRESS).content.decode()
    for said in ("1 of 2", "50.0 %", "Nightly", "not enough free space", "66.7 %", "2 of 3"):
        assert said in html, said
    assert "node-3" not in html and "vm-9" not in html and is_under_the_policy(html)


def test_who_is_limited_to_some_machines_sees_only_those(sunflower: Tenant, machines: list[Machine], as_web: Browser):
    html = as_web(member(sunflower, ["vm-1"]).user).get(ADDRESS).content.decode()
    assert "machine vm-1" in html and "machine vm-2" not in html and "1 of 1" in html


@pytest.mark.parametrize("days", ["8", "0", "-7", "30 ", "٣٠", "9" * 30])
def test_other_periods_are_not_there(days: str, owner: User, as_web: Browser):
    assert as_web(owner).get(ADDRESS, {"days": days}).status_code == 404


def test_the_page_costs_the_same_for_many_machines(sunflower: Tenant, machines: list[Machine], as_web: Browser):
    browser = as_web(member(sunflower).user)
    browser.get(ADDRESS)
    costs = []
    for visit in range(2):
        with CaptureQueriesContext(connection) as queries:
            browser.get(ADDRESS)
        costs.append(len(queries))
        for number in range(60):
            backup_of(machine_of(sunflower, f"more-{visit}-{number}"))
    # One less where nobody of those shown has a plan.
    assert costs[1] <= costs[0] <= 16


def test_without_machines_the_page_says_how_one_comes_here(owner: User, as_web: Browser):
    assert "missing" in (html := as_web(owner).get(ADDRESS).content.decode()) or "No machines" in html
