"""Many backups by one form, from the request to vProtect's answers (fault matrix, F34 in one process)."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone
from django_scopes import scope

from tenants.models import Claim, Grant, Membership, Role, Tenant
from tests.conftest import person
from vprotect_bridge import submit as protocol
from vprotect_bridge.bulk import request_bulk_backup
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.models import BulkRequest, Machine, Operation
from vprotect_bridge.plan_sync import sync_plans
from vprotect_bridge.services import BackupWish
from vprotect_bridge.sync import sync_inventory
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

pytestmark = pytest.mark.django_db(transaction=True)

PRIMARY = guid_of("destination/primary-fs")


@pytest.fixture
def membership(sunflower: Tenant) -> Membership:
    Grant.across_tenants.create(tenant=sunflower, kind=Grant.Kind.DESTINATION, guid=PRIMARY)
    return Membership.objects.select_related("tenant", "user").get(user=person(sunflower, "member", Role.MEMBER))


def test_one_that_vprotect_refuses_is_one_refusal_and_the_others_run(
    simulator: SimulatorServer, api: VProtect, sunflower: Tenant, membership: Membership
):
    for row in api.list_virtual_machines().items:
        if row.present and row.policy:
            Claim.across_tenants.create(tenant=sunflower, kind=Claim.Kind.MACHINE, value=row.guid)
    sync_inventory(api), sync_plans(api)
    machines = list(Machine.across_tenants.filter(tenant=sunflower))
    simulator.control.fault("status", status=422, path="/tasks/export", method="POST", skip=2)
    bulk = asked_for(membership, machines)
    while protocol.submit(api):
        pass
    rows = Operation.across_tenants.filter(bulk_request=bulk)
    found = sorted(rows.values_list("submission", flat=True))
    assert found == ["accepted"] * (len(machines) - 1) + ["rejected"] and len(machines) >= 5
    exports = [task for task in api.list_tasks(type="EXPORT").items if task.type == "EXPORT"]
    assert len({task.guid for task in exports} & set(rows.values_list("task_guid", flat=True))) == len(machines) - 1


def asked_for(membership: Membership, machines: list[Machine]) -> BulkRequest:
    with scope(tenant=membership.tenant), transaction.atomic():
        wish = BackupWish("FULL", PRIMARY, timezone.now() + timedelta(hours=6))
        bulk, is_new = request_bulk_backup(membership, machines, wish, client_key=uuid4(), address=None)
    assert is_new
    return bulk
