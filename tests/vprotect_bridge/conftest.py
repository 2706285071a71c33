from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from tenants.models import Claim, Grant, Membership, Role, Tenant
from tests.conftest import person
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.models import Machine
from vprotect_bridge.sync import refresh_backups, sync_inventory
from vprotect_simulator.landscape import PROJECT_UUIDS
from vprotect_simulator.names import guid_of


@pytest.fixture
def opener(api: VProtect) -> Membership:
    """Who may restore and take single files in a tenant with machines of the landscape `small`."""
    tenant = Tenant.objects.create(name="Sunflower", slug="sunflower")
    Claim.across_tenants.create(tenant=tenant, kind=Claim.Kind.TENANT_VALUE, value=PROJECT_UUIDS["aurora-books"])
    for kind in (Grant.Kind.HYPERVISOR, Grant.Kind.CLUSTER):
        guid = guid_of(f"{'manager' if kind == Grant.Kind.HYPERVISOR else 'cluster'}/OPENSTACK")
        Grant.across_tenants.create(tenant=tenant, kind=kind, guid=guid)
    sync_inventory(api)
    for machine in Machine.across_tenants.filter(tenant=tenant):
        refresh_backups(api, machine)
    user = person(tenant, "opener", Role.RESTORER)
    Membership.objects.filter(user=user).update(may_open_backups=True)
    return Membership.objects.select_related("tenant", "user").get(user=user)


@pytest.fixture
def quick_settling(settings: Any) -> None:
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "settle": 0.0}


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """Runs functions at the same moment, each with a connection of its own; returns what they returned or raised."""

    def run(*functions: Callable[[], Any]) -> list[Any]:
        results: list[Any] = [None] * len(functions)
        start = threading.Barrier(len(functions))

        def one(place: int, function: Callable[[], Any]) -> None:
            start.wait()
            try:
                results[place] = function()
            except Exception as error:
                results[place] = error
            finally:
                connection.close()

        threads = [threading.Thread(target=one, args=pair) for pair in enumerate(functions)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    return run
