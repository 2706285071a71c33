"""The mirror is honest, against the simulator (docs/architecture.md, promises 4 and 6)."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tenants.models import Claim, Tenant
from tests.conftest import machine_of
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import UpstreamError
from vprotect_bridge.models import Backup, Destination, Machine, UpstreamStatus
from vprotect_bridge.sync import refresh_backups, refresh_details, sync_backups, sync_inventory
from vprotect_simulator.landscape import PROJECT_UUIDS
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

pytestmark = pytest.mark.django_db

WEB, DB, GONE, NEW, APP, BARE, LAB = (
    guid_of(f"vm/{name}") for name in ("web-01", "db-01", "gone-01", "new-01", "app-01", "bare-01", "lab-01")
)
AURORA, BOREALIS = PROJECT_UUIDS["aurora-books"], PROJECT_UUIDS["borealis-clinic"]


def claim(tenant: Tenant, value: str, kind: str = Claim.Kind.TENANT_VALUE) -> None:
    Claim.across_tenants.create(tenant=tenant, kind=kind, value=value)


def machine(guid: str) -> Machine:
    return Machine.across_tenants.get(guid=guid)


# ── Machines ─────────────────────────────────────────────────────────────────


def test_every_machine_is_mirrored_also_those_that_are_gone(api: VProtect):
    result = sync_inventory(api)
    assert (result.seen, result.written) == (8, 8)
    assert machine(DB).name == "db_01 übergröße"
    gone = machine(GONE)
    assert (gone.present, gone.protection) == (False, "deleted")
    assert (machine(BARE).platform, machine(BARE).is_standalone_hypervisor) == ("KVM", True)


def test_a_second_look_writes_nothing(api: VProtect):
    sync_inventory(api)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert sync_inventory(api).written == 0
    assert not [q for q in queries if q["sql"].startswith(("INSERT", "UPDATE")) and "machine" in q["sql"]]


def test_many_unchanged_machines_cost_no_more_queries(api: VProtect, simulator: SimulatorServer):
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            sync_inventory(api)
        return len(queries)

    sync_inventory(api)
    few = cost()
    simulator.control.add_machines(300)
    sync_inventory(api)
    assert cost() == few


def test_a_changed_row_asks_for_its_history_and_details(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    Machine.across_tenants.update(backups_wanted_at=None, details_wanted_at=None)
    simulator.control.change_machine(WEB, {"lastBackup": 1_800_000_000_000})
    sync_inventory(api)
    asked = Machine.across_tenants.filter(backups_wanted_at__isnull=False, details_wanted_at__isnull=False)
    assert [m.guid for m in asked] == [WEB]


def test_what_vanished_is_kept_as_vanished(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    simulator.control.remove_machine(LAB)
    assert sync_inventory(api).vanished == 1
    assert machine(LAB).vanished_at is not None
    assert not machine(LAB).exists


def test_what_comes_back_is_there_again(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    Machine.across_tenants.filter(guid=WEB).update(vanished_at=timezone.now())
    sync_inventory(api)
    assert machine(WEB).vanished_at is None


@pytest.mark.parametrize("kept", [0, 2])
def test_a_list_that_is_far_too_short_is_not_believed(kept: int, api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    for guid in list(simulator.state.vms)[kept:]:
        simulator.control.remove_machine(guid)
    result = sync_inventory(api)
    assert result.refused
    assert not Machine.across_tenants.filter(vanished_at__isnull=False).exists()
    status = UpstreamStatus.objects.get(pk=1)
    assert status.inventory_refused_count == 8 - kept and status.inventory_refused_at
    assert sync_inventory(api, accept_shrink=True).vanished == 8 - kept
    assert UpstreamStatus.objects.get(pk=1).inventory_refused_at is None


@pytest.mark.parametrize("fault", ["status", "html", "garbage", "truncated", "reset", "empty"])
def test_trouble_with_the_list_changes_nothing(fault: str, api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    before = list(Machine.across_tenants.order_by("pk").values())
    simulator.control.fault(fault, path="/virtual-machines", times=0)
    with suppress(UpstreamError):
        sync_inventory(api)
    assert list(Machine.across_tenants.order_by("pk").values()) == before


def test_a_server_with_pages_of_its_own_is_read_to_the_end(api: VProtect, simulator: SimulatorServer):
    simulator.control.change_settings(default_page_size=3, omit_total_count=True)
    assert sync_inventory(api).seen == 8


def test_destinations_are_mirrored(api: VProtect):
    sync_inventory(api)
    primary = Destination.objects.get(name="primary-fs")
    assert primary.is_default and (primary.capacity or 0) > (primary.used or 0) > 0


# ── Owners ───────────────────────────────────────────────────────────────────


def test_owners_come_from_claims(api: VProtect, sunflower: Tenant, pine: Tenant):
    claim(sunflower, AURORA)
    claim(sunflower, BARE, Claim.Kind.MACHINE)
    claim(pine, BOREALIS)
    sync_inventory(api)
    owners = {m.guid: (m.tenant, m.owned_by) for m in Machine.across_tenants.select_related("tenant")}
    assert owners[WEB] == (sunflower, "tenant_id")
    assert owners[BARE] == (sunflower, "claim")
    assert owners[APP] == (pine, "project")
    assert owners[LAB] == (None, "")


def test_a_filtered_listing_tells_what_a_row_does_not(api: VProtect, simulator: SimulatorServer, sunflower: Tenant):
    claim(sunflower, AURORA)
    simulator.control.change_machine(WEB, {"tenantId": None, "project": None})
    sync_inventory(api)
    assert (machine(WEB).tenant, machine(WEB).owned_by) == (sunflower, "listing")


def test_a_filter_that_is_ignored_gives_nobody_anything(api: VProtect, simulator: SimulatorServer, sunflower: Tenant):
    claim(sunflower, AURORA)
    simulator.control.change_settings(ignore_filters=True)
    sync_inventory(api)
    assert set(Machine.across_tenants.filter(tenant=sunflower).values_list("owned_by", flat=True)) == {"tenant_id"}
    assert machine(BARE).tenant is None


def test_a_claim_taken_back_takes_the_machine_back(api: VProtect, sunflower: Tenant):
    claim(sunflower, AURORA)
    sync_inventory(api)
    Claim.across_tenants.all().delete()
    sync_inventory(api)
    assert machine(WEB).tenant is None


def test_owners_stay_while_they_cannot_be_asked(api: VProtect, simulator: SimulatorServer, pine: Tenant):
    claim(pine, BOREALIS)
    sync_inventory(api)
    simulator.control.fault("status", path="/projects", times=0)
    simulator.control.change_machine(APP, {"lastBackup": 1_800_000_000_000})
    sync_inventory(api)
    assert machine(APP).tenant == pine


# ── Histories ────────────────────────────────────────────────────────────────


def test_a_history_is_read_when_somebody_asks(api: VProtect, simulator: SimulatorServer, sunflower: Tenant):
    claim(sunflower, AURORA)
    sync_inventory(api)
    Machine.across_tenants.exclude(guid=WEB).update(backups_wanted_at=None, backups_at=timezone.now())
    Machine.across_tenants.update(details_wanted_at=None)
    sync_backups(api)
    backups = Backup.across_tenants.filter(machine__guid=WEB)
    assert backups.count() >= 3 and {b.tenant for b in backups} == {sunflower}
    web = machine(WEB)
    assert (web.backups_wanted_at, web.protection) == (None, "protected")
    assert web.backups_at and web.last_success_at


def test_a_slow_sweep_reads_what_nobody_asked_for(api: VProtect):
    sync_inventory(api)
    Machine.across_tenants.update(backups_wanted_at=None, details_wanted_at=None)
    assert sync_backups(api) == 2
    assert Machine.across_tenants.filter(backups_at__isnull=False).count() == 2


def test_one_machines_nonsense_does_not_block_the_others(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    Machine.across_tenants.update(details_wanted_at=None)
    simulator.control.fault("html", path="/backups/")
    sync_backups(api)
    waiting = Machine.across_tenants.filter(backups_wanted_at__gt=timezone.now())
    assert waiting.count() == 1 and Machine.across_tenants.filter(backups_at__isnull=False).count() >= 7


def test_history_does_not_follow_the_machine(
    api: VProtect, simulator: SimulatorServer, sunflower: Tenant, pine: Tenant
):
    claim(sunflower, WEB, Claim.Kind.MACHINE)
    sync_inventory(api)
    refresh_backups(api, machine(WEB))
    Claim.across_tenants.update(tenant=pine)
    sync_inventory(api)
    assert machine(WEB).tenant == pine
    refresh_backups(api, machine(WEB))
    assert {b.tenant for b in Backup.across_tenants.filter(machine__guid=WEB)} == {sunflower}
    assert machine(WEB).last_success_at is None, "what is concluded for the new owner is from their own history"


def test_a_first_owner_gets_the_history_from_before(api: VProtect, sunflower: Tenant):
    sync_inventory(api)
    refresh_backups(api, machine(WEB))
    assert {b.tenant for b in Backup.across_tenants.all()} == {None}
    claim(sunflower, WEB, Claim.Kind.MACHINE)
    sync_inventory(api)
    refresh_backups(api, machine(WEB))
    assert {b.tenant for b in Backup.across_tenants.all()} == {sunflower}


def test_a_backup_made_in_another_project_is_that_ones(
    api: VProtect, simulator: SimulatorServer, sunflower: Tenant, pine: Tenant
):
    claim(sunflower, AURORA)
    claim(pine, BOREALIS)
    moved = {"guid": guid_of("project/borealis-clinic"), "name": "borealis-clinic"}
    for backup in simulator.state.backups.values():
        if backup["protectedEntity"]["guid"] == WEB:
            backup["sourceProject"] = moved
    sync_inventory(api)
    refresh_backups(api, machine(WEB))
    assert {b.tenant for b in Backup.across_tenants.filter(machine__guid=WEB)} == {pine}


def test_a_wish_made_meanwhile_stays(api: VProtect):
    sync_inventory(api)
    as_read = machine(WEB)
    later = timezone.now() + timedelta(seconds=1)
    Machine.across_tenants.filter(guid=WEB).update(backups_wanted_at=later)
    refresh_backups(api, as_read)
    assert machine(WEB).backups_wanted_at == later


def test_details_hold_nothing_of_the_infrastructure(api: VProtect):
    sync_inventory(api)
    refresh_details(api, machine(WEB))
    assert set(machine(WEB).details) <= {"supportsQuiesceSnapshot", "quiesceBeforeSnapshot", "tags"}
    assert machine(WEB).details_at


def test_details_of_a_machine_that_is_gone_end_the_wish(api: VProtect, sunflower: Tenant):
    unknown = machine_of(sunflower, "not-upstream")
    refresh_details(api, unknown)
    assert machine("not-upstream").details_at
