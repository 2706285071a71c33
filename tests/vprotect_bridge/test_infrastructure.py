"""What the operator grants from is mirrored, and a tenant sees what it was granted."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tenants.models import Grant, Tenant
from tests.conftest import AsRole
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import UpstreamError
from vprotect_bridge.infrastructure import sync_restore_targets
from vprotect_bridge.models import Cluster, Hypervisor, Storage
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

pytestmark = pytest.mark.django_db

GIB = 1024**3


def test_targets_are_mirrored_with_clusters_and_storages(api: VProtect):
    sync_restore_targets(api)
    rhv = Hypervisor.objects.get(guid=guid_of("manager/RHV"))
    assert (rhv.platform, rhv.is_manager) == ("RHV", True)
    assert not Hypervisor.objects.get(platform="KVM").is_manager
    assert [cluster.uuid for cluster in Hypervisor.objects.get(platform="OPENSTACK").clusters.all()] == ["nova"]
    archive, ssd = rhv.storages.order_by("name")
    assert (archive.free, ssd.free) == (10 * GIB, 1200 * GIB)
    assert ssd.cluster_guids == [rhv.clusters.get().guid]


def test_what_is_not_listed_any_more_has_vanished_and_may_come_back(api: VProtect, simulator: SimulatorServer):
    sync_restore_targets(api)
    guid, row = next(item for item in simulator.state.storages.items() if item[1]["name"] == "archive-pool")
    del simulator.state.storages[guid]
    sync_restore_targets(api)
    assert Storage.objects.get(guid=guid).vanished_at is not None
    simulator.state.storages[guid] = row
    sync_restore_targets(api)
    assert Storage.objects.get(guid=guid).vanished_at is None


@pytest.mark.parametrize("fault", ["empty", "status", "html", "truncated"])
def test_trouble_makes_nothing_vanish(fault: str, api: VProtect, simulator: SimulatorServer):
    sync_restore_targets(api)
    simulator.control.fault(fault, path="/hypervisor.*", times=0)
    with suppress(UpstreamError):
        sync_restore_targets(api)
    for model in (Hypervisor, Cluster, Storage):
        assert model.objects.exists() and not model.objects.filter(vanished_at__isnull=False).exists()


@pytest.mark.parametrize(
    ("model", "kind"),
    [(Hypervisor, Grant.Kind.HYPERVISOR), (Cluster, Grant.Kind.CLUSTER), (Storage, Grant.Kind.STORAGE)],
)
def test_web_sees_what_was_granted_to_the_tenant(
    model: type[Hypervisor], kind: str, api: VProtect, sunflower: Tenant, pine: Tenant, as_role: AsRole
):
    sync_restore_targets(api)
    mine, theirs = list(model.objects.order_by("guid")[:2])
    Grant.across_tenants.create(tenant=sunflower, kind=kind, guid=mine.guid)
    Grant.across_tenants.create(tenant=pine, kind=kind, guid=theirs.guid)
    Grant.across_tenants.create(tenant=sunflower, kind=Grant.Kind.DESTINATION, guid=theirs.guid)
    with as_role("portal_web", sunflower):
        assert [row.guid for row in model.objects.all()] == [mine.guid]
    with as_role("portal_web"):
        assert not model.objects.exists()
