"""What the portal is compared with shows what the portal shows, or the comparison would say nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bs4 import BeautifulSoup
from django.test import Client, override_settings
from django.utils import timezone

from tenants.models import Role, Tenant, User
from tests.conftest import operation_on, person
from vprotect_bridge.models import WORST_FIRST, Alert, Machine, Plan, Protection, Standing, UpstreamStatus

pytestmark = pytest.mark.django_db


@pytest.fixture
def member(sunflower: Tenant, as_web: Callable[[User], Client]) -> Client:
    return as_web(person(sunflower, "member", Role.MEMBER))


@pytest.fixture
def machines(sunflower: Tenant) -> list[Machine]:
    """One of each status, in a plan whose last run never came, and one of them busy."""
    now = timezone.now()
    UpstreamStatus.objects.update(inventory_at=now)
    plan = {
        "tenant": sunflower,
        "name": "Nightly",
        "policy_guid": "p-1",
        "is_made_here": True,
        "standing": Standing.ACTING,
    }
    missed = Plan.across_tenants.create(**plan)
    Alert.across_tenants.create(tenant=sunflower, plan=missed, kind=Alert.Kind.MISSED, began_at=now)
    about = {"tenant": sunflower, "row_digest": "", "first_seen_at": now, "changed_at": now, "policy_guid": "p-1"}
    made = [
        Machine.across_tenants.create(guid=f"vm-{n}", name=f"machine-{n}", protection=status, late_at=now, **about)
        for n, status in enumerate(set(WORST_FIRST) - {Protection.GONE})
    ]
    operation_on(made[0])
    return made


@override_settings(ROOT_URLCONF="bench.reference.urls")
def test_the_straightforward_list_says_what_the_page_says(member: Client, machines: list[Machine]):
    said = [text_of_the_list(member, path) for path in ("machines/", "bench/machines")]
    assert said[0] == said[1] and all(machine.name in said[0] for machine in machines)


@override_settings(ROOT_URLCONF="bench.reference.urls")
def test_the_view_of_one_statement_names_a_machine(member: Client, machines: list[Machine]):
    assert member.get("/t/sunflower/bench/one-query").content.decode() in {machine.guid for machine in machines}


def text_of_the_list(member: Client, path: str) -> str:
    answer = member.get(f"/t/sunflower/{path}")
    assert answer.status_code == 200
    page = BeautifulSoup(answer.content, "html.parser")
    return " ".join(page.select_one("#machine-list").get_text(" ").split())
