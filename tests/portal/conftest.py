from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tenants.models import Grant, Role, Tenant, User
from tests.conftest import machine_of, person
from vprotect_bridge.models import Destination, Machine, Plan, Protection, Standing, UpstreamStatus

STORE, ARCHIVE = "store-1", "store-2"


@pytest.fixture
def tenant(sunflower: Tenant) -> Tenant:
    """In Warsaw, with two destinations and fresh data."""
    sunflower.time_zone = "Europe/Warsaw"
    sunflower.priority_cap = 80
    sunflower.save()
    for guid, name in ((STORE, "Main store"), (ARCHIVE, "Archive")):
        Destination.objects.create(guid=guid, name=name, is_default=guid == STORE)
        Grant.across_tenants.create(tenant=sunflower, kind=Grant.Kind.DESTINATION, guid=guid)
    UpstreamStatus.objects.update(inventory_at=timezone.now())
    return sunflower


@pytest.fixture
def member(tenant: Tenant) -> User:
    return person(tenant, "member", Role.MEMBER)


@pytest.fixture
def browser(member: User, as_web: Callable[[User], Client]) -> Client:
    return as_web(member)


@pytest.fixture
def machine(tenant: Tenant) -> Machine:
    machine = machine_of(tenant)
    machine.policy_guid, machine.platform, machine.protection = "policy-1", "KVM", Protection.PROTECTED
    machine.backups_at = machine.details_at = timezone.now()
    machine.save()
    Plan.across_tenants.create(
        tenant=tenant,
        is_made_here=True,
        name="Nightly",
        policy_guid="policy-1",
        has_incremental=True,
        standing=Standing.ACTING,
    )
    return machine


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that a page costs; beginning, ending and taking a role are the frame, not the page."""
    statements: list[str] = []
    with CaptureQueriesContext(connection) as queries:
        yield statements
    frame = ("SAVEPOINT", "RELEASE", "ROLLBACK", "SET ROLE", "RESET ROLE", "BEGIN", "COMMIT")
    statements += [query["sql"] for query in queries if not query["sql"].startswith(frame)]
