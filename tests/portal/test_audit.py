"""The journal of a tenant, for its administrators; as the role of web."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone

from tenants.models import AuditEntry, Membership, Role, Tenant, User
from tests.conftest import person

pytestmark = pytest.mark.django_db

AUDIT = "/t/sunflower/audit/"


@pytest.fixture
def admin(tenant: Tenant, as_web: Callable[[User], Client]) -> Client:
    return as_web(person(tenant, "administrator", Role.ADMIN))


def entry(tenant: Tenant, **fields: Any) -> AuditEntry:
    usual = {"actor_name": "owner@sunflower.example", "role": "member", "action": "backup_requested"}
    usual |= {"machine_name": "web-01", "outcome": "accepted", "correlation_id": "-", "address": "192.0.2.7"}
    return AuditEntry.across_tenants.create(tenant=tenant, **{**usual, **fields})


def words(answer: Any) -> str:
    return " ".join(BeautifulSoup(answer.content, "html.parser").get_text(" ").split())


def test_it_says_who_did_what_to_which_machine_from_where(admin: Client, tenant: Tenant, pine: Tenant):
    entry(tenant)
    entry(pine, machine_name="theirs", actor_name="stranger@pine.example")
    page = words(admin.get(AUDIT))
    assert "owner@sunflower.example Member Backup asked for web-01 192.0.2.7" in page
    assert "theirs" not in page and "stranger" not in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=web", ["web-01"]),
        ("q=other@", ["db-02"]),
        ("action=plan_create", ["db-02"]),
        ("since=2999-01-01", []),
        ("until=2000-01-01", []),
        ("action=nonsense&since=never&before=x", ["web-01", "db-02"]),
    ],
)
def test_it_is_filtered_and_odd_addresses_open(query: str, found: list[str], admin: Client, tenant: Tenant):
    entry(tenant)
    entry(tenant, machine_name="db-02", actor_name="other@sunflower.example", action="plan_create")
    page = words(admin.get(f"{AUDIT}?{query}"))
    assert [name for name in ("web-01", "db-02") if name in page] == found
    assert bool(found) or "Nothing fits" in page


def test_days_are_the_tenants(admin: Client, tenant: Tenant):
    """00:30 in Warsaw is the day before in UTC."""
    entry(tenant)
    local = timezone.now().astimezone(ZoneInfo("Europe/Warsaw")).date()
    assert "web-01" in words(admin.get(f"{AUDIT}?since={local}&until={local}"))
    assert "web-01" not in words(admin.get(f"{AUDIT}?until={local - timedelta(days=1)}"))


def test_it_is_paged(admin: Client, tenant: Tenant):
    for number in range(60):
        entry(tenant, machine_name=f"m-{number:02d}")
    first = BeautifulSoup(admin.get(AUDIT).content, "html.parser")
    older = first.select_one(".pager a")["href"]
    assert len(first.select("tbody tr")) == 50
    assert len(BeautifulSoup(admin.get(AUDIT + older).content, "html.parser").select("tbody tr")) == 10


def test_the_file_has_the_same_and_no_formula(admin: Client, tenant: Tenant, pine: Tenant):
    entry(tenant, machine_name='=HYPERLINK("http://evil")', actor_name="@owner")
    entry(pine, machine_name="theirs")
    answer = admin.get(f"{AUDIT}file.csv?q=owner")
    rows = list(csv.reader(answer.content.decode().splitlines()))
    assert answer["Content-Disposition"] == 'attachment; filename="audit-sunflower.csv"'
    assert len(rows) == 2 and rows[1][1] == "'@owner" and rows[1][5].startswith("'=HYPERLINK")


def test_an_administrator_of_some_machines_does_not_read_about_all(tenant: Tenant, as_web: Callable[[User], Client]):
    some = person(tenant, "some", Role.ADMIN)
    Membership.objects.filter(user=some).update(machine_guids=["vm-1"])
    for page in (AUDIT, f"{AUDIT}file.csv"):
        assert as_web(some).get(page).status_code == 403
