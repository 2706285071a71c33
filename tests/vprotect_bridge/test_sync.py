"""The mirror is honest, against the simulator (docs/architecture.md, promises 4 and 6)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tenants.models import Claim, Tenant
from tests.conftest import both_dialects, machine_of
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import BadCredentials, Rejected, UpstreamError
from vprotect_bridge.client.types import Backup as UpstreamBackup
from vprotect_bridge.client.types import Listing
from vprotect_bridge.models import Backup, Destination, Machine, OwnerChange, UpstreamStatus
from vprotect_bridge.sync import refresh_backups, refresh_details, sync_backups, sync_inventory
from vprotect_simulator.landscape import PROJECT_UUIDS
from vprotect_simulator.names import enum, guid_of
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


@both_dialects
def test_every_machine_is_mirrored_also_those_that_are_gone(api: VProtect):
    result = sync_inventory(api)
    assert (result.seen, result.written) == (8, 8)
    assert machine(DB).name == "db_01 übergröße"
    gone = machine(GONE)
    assert (gone.present, gone.protection) == (False, "deleted")
    assert (machine(BARE).platform, machine(BARE).is_standalone_hypervisor) == ("KVM", True)


def test_a_second_look_writes_nothing(api: VProtect):
    sync_inventory(api)
    with CaptureQueriesContext(connection) as queries:
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


def test_a_running_tasks_progress_changes_nothing(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    simulator.control.change_machine(WEB, {"averageProgress": 40, "possibleActions": [enum("WRITE")]})
    assert sync_inventory(api).written == 0


def test_a_new_machine_asks_for_its_history_only(api: VProtect):
    sync_inventory(api)
    assert not Machine.across_tenants.filter(backups_wanted_at=None).exists()
    assert not Machine.across_tenants.filter(details_wanted_at__isnull=False).exists()


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


@pytest.mark.parametrize(("known", "kept"), [(8, 0), (8, 2), (3, 0), (1, 0)])
def test_a_list_that_is_far_too_short_is_not_believed(known: int, kept: int, api: VProtect, simulator: SimulatorServer):
    keep_machines(simulator, known)
    sync_inventory(api)
    at = UpstreamStatus.objects.get(pk=1).inventory_at
    keep_machines(simulator, kept)
    result = sync_inventory(api)
    assert result.refused
    assert not Machine.across_tenants.filter(vanished_at__isnull=False).exists()
    status = UpstreamStatus.objects.get(pk=1)
    assert status.inventory_refused_count == known - kept and status.inventory_refused_at
    assert status.inventory_at == at
    UpstreamStatus.objects.update(inventory_accepted_count=known - kept)
    assert sync_inventory(api).vanished == known - kept
    status = UpstreamStatus.objects.get(pk=1)
    assert (status.inventory_refused_at, status.inventory_accepted_count) == (None, None)


def test_what_was_accepted_is_no_licence_for_more(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    keep_machines(simulator, 2)
    sync_inventory(api)
    UpstreamStatus.objects.update(inventory_accepted_count=6)
    keep_machines(simulator, 1)
    assert sync_inventory(api).refused
    status = UpstreamStatus.objects.get(pk=1)
    assert (status.inventory_refused_count, status.inventory_accepted_count) == (7, None)


def test_a_list_that_is_whole_again_ends_the_refusal(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    machines = dict(simulator.state.vms)
    keep_machines(simulator, 0)
    assert sync_inventory(api).refused
    simulator.state.vms.update(machines)
    assert not sync_inventory(api).refused
    assert UpstreamStatus.objects.get(pk=1).inventory_refused_at is None


def test_a_few_may_go_at_once(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    keep_machines(simulator, 3)
    assert sync_inventory(api).vanished == 5


@pytest.mark.parametrize(("gone", "is_refused"), [(20, False), (21, True)])
def test_a_fifth_of_many_may_go_at_once(gone: int, is_refused: bool, api: VProtect, simulator: SimulatorServer):
    simulator.control.add_machines(92)
    sync_inventory(api)
    keep_machines(simulator, 100 - gone)
    assert sync_inventory(api).refused == is_refused


def keep_machines(simulator: SimulatorServer, count: int) -> None:
    for guid in list(simulator.state.vms)[count:]:
        simulator.control.remove_machine(guid)


@pytest.mark.odd_answers
def test_nothing_vanishes_by_a_list_with_an_unreadable_row(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    simulator.control.remove_machine(LAB)
    simulator.control.change_machine(WEB, {"guid": "no guid!"})
    assert sync_inventory(api).vanished == 0


def test_machines_are_mirrored_also_without_destinations(api: VProtect, simulator: SimulatorServer):
    simulator.control.fault("status", status=403, path="/backup-destinations", times=0)
    with pytest.raises(Rejected):
        sync_inventory(api)
    assert Machine.across_tenants.count() == 8
    assert UpstreamStatus.objects.get(pk=1).inventory_at


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


def test_an_empty_answer_is_no_inventory(api: VProtect, simulator: SimulatorServer):
    simulator.control.fault("empty", path="/virtual-machines", times=0)
    sync_inventory(api)
    assert UpstreamStatus.objects.get(pk=1).inventory_at is None


def test_a_destination_that_is_gone_is_kept_as_vanished(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    del simulator.state.destinations[guid_of("destination/archive-tape")]
    sync_inventory(api)
    gone = Destination.objects.filter(vanished_at__isnull=False)
    assert [destination.name for destination in gone] == ["archive-tape"]


def test_destinations_are_mirrored(api: VProtect):
    sync_inventory(api)
    primary = Destination.objects.get(name="primary-fs")
    assert primary.is_default and (primary.capacity or 0) > (primary.used or 0) > 0


# ── Owners ───────────────────────────────────────────────────────────────────


# What a row of a machine in a project says, in each dialect (2).
NAMED_BY = {"classic": "tenant_id", "current": "project"}


@both_dialects
def test_owners_come_from_claims(dialect: str, api: VProtect, sunflower: Tenant, pine: Tenant):
    claim(sunflower, AURORA)
    claim(sunflower, BARE, Claim.Kind.MACHINE)
    claim(pine, BOREALIS)
    sync_inventory(api)
    owners = {m.guid: (m.tenant, m.owned_by) for m in Machine.across_tenants.select_related("tenant")}
    assert owners[WEB] == (sunflower, NAMED_BY[dialect])
    assert owners[BARE] == (sunflower, "claim")
    assert owners[APP] == (pine, "project")
    assert owners[LAB] == (None, "")


@both_dialects
def test_a_filtered_listing_tells_what_a_row_does_not(api: VProtect, simulator: SimulatorServer, sunflower: Tenant):
    claim(sunflower, AURORA)
    simulator.control.change_machine(WEB, {"tenantId": None, "project": None})
    sync_inventory(api)
    assert (machine(WEB).tenant, machine(WEB).owned_by) == (sunflower, "listing")


@both_dialects
def test_a_filter_that_is_ignored_gives_nobody_anything(
    dialect: str, api: VProtect, simulator: SimulatorServer, sunflower: Tenant
):
    claim(sunflower, AURORA)
    simulator.control.change_settings(ignore_filters=True)
    sync_inventory(api)
    owned_by = Machine.across_tenants.filter(tenant=sunflower).values_list("owned_by", flat=True)
    assert set(owned_by) == {NAMED_BY[dialect]}
    assert machine(BARE).tenant is None


def test_a_claim_taken_back_takes_the_machine_back(api: VProtect, sunflower: Tenant):
    claim(sunflower, AURORA)
    sync_inventory(api)
    Claim.across_tenants.all().delete()
    sync_inventory(api)
    assert machine(WEB).tenant is None


@both_dialects
def test_a_machine_that_changes_its_project_is_noted_for_the_operator(
    api: VProtect, simulator: SimulatorServer, sunflower: Tenant, pine: Tenant
):
    claim(sunflower, AURORA)
    claim(pine, BOREALIS)
    sync_inventory(api)
    assert not OwnerChange.objects.exists(), "to be given an owner is no change of one"
    borealis = {"guid": guid_of("project/borealis-clinic"), "name": "borealis-clinic"}
    simulator.control.change_machine(WEB, {"tenantId": BOREALIS, "project": borealis})
    sync_inventory(api)
    sync_inventory(api)
    change = OwnerChange.objects.get()
    assert (change.machine.guid, change.was, change.now) == (WEB, sunflower, pine)
    assert machine(WEB).owner_value == BOREALIS


def test_owners_stay_while_they_cannot_be_asked(api: VProtect, simulator: SimulatorServer, pine: Tenant):
    claim(pine, BOREALIS)
    sync_inventory(api)
    simulator.control.fault("status", path="/projects", times=0)
    simulator.control.change_machine(APP, {"lastBackup": 1_800_000_000_000})
    sync_inventory(api)
    assert machine(APP).tenant == pine


# ── Histories ────────────────────────────────────────────────────────────────


@both_dialects
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


def test_what_was_read_lately_is_not_swept(api: VProtect):
    sync_inventory(api)
    Machine.across_tenants.update(backups_wanted_at=None, backups_at=timezone.now() - timedelta(minutes=50))
    Machine.across_tenants.filter(guid=WEB).update(backups_at=timezone.now() - timedelta(minutes=70))
    assert sync_backups(api) == 1
    assert machine(WEB).backups_at > timezone.now() - timedelta(minutes=1)  # type: ignore[operator]


def test_the_oldest_wish_comes_first(api: VProtect):
    sync_inventory(api)
    Machine.across_tenants.update(backups_wanted_at=timezone.now(), backups_at=timezone.now())
    Machine.across_tenants.filter(guid=DB).update(backups_wanted_at=timezone.now() - timedelta(hours=1))
    sync_backups(api, limit=1)
    assert [m.guid for m in Machine.across_tenants.filter(backups_wanted_at=None)] == [DB]


@pytest.mark.parametrize(
    ("fault", "status"), [("html", 200), ("garbage", 200), ("status", 500), ("status", 400), ("status", 403)]
)
def test_one_machines_trouble_does_not_block_the_others(
    fault: str, status: int, api: VProtect, simulator: SimulatorServer
):
    sync_inventory(api)
    simulator.control.fault(fault, status=status, path="/backups/")
    assert sync_backups(api) == 7
    waiting = Machine.across_tenants.get(backups_wanted_at__gt=timezone.now())
    assert waiting.backups_at is None


@pytest.mark.parametrize("fault", ["reset", "truncated"])
def test_a_machine_that_gets_no_answer_is_not_the_first_of_the_next_run(
    fault: str, api: VProtect, simulator: SimulatorServer
):
    sync_inventory(api)
    simulator.control.fault(fault, path="/backups/")
    with pytest.raises(UpstreamError):
        sync_backups(api)
    assert sync_backups(api) == 7


def test_a_run_ends_after_a_few_failures(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    simulator.control.fault("status", status=503, path="/backups/", times=0)
    assert sync_backups(api) == 0
    assert len(simulator.control.ledger(path="/backups")) == 3


def test_a_login_that_is_refused_puts_no_wish_off(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    simulator.control.expire_sessions()
    simulator.control.fault("status", status=401, path="/session/login", times=0)
    with pytest.raises(BadCredentials):
        sync_backups(api)
    assert not Machine.across_tenants.filter(backups_wanted_at__gt=timezone.now()).exists()


def test_the_history_of_a_machine_unknown_upstream_stays(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    refresh_backups(api, machine(WEB))
    known = Backup.across_tenants.filter(vanished_at=None).count()
    Machine.across_tenants.filter(guid=WEB).update(backups_wanted_at=timezone.now())
    simulator.control.fault("status", status=404, path="/backups/", times=0)
    assert refresh_backups(api, machine(WEB)) == 0
    assert Backup.across_tenants.filter(vanished_at=None).count() == known
    assert machine(WEB).backups_wanted_at is None


def test_an_unchanged_history_is_not_written(api: VProtect):
    sync_inventory(api)
    assert refresh_backups(api, machine(WEB)) > 0
    with CaptureQueriesContext(connection) as queries:
        assert refresh_backups(api, machine(WEB)) == 0
    assert not [q for q in queries if q["sql"].startswith(("INSERT", "UPDATE")) and '_backup"' in q["sql"][:50]]


def test_a_long_history_costs_no_more_queries(api: VProtect, simulator: SimulatorServer):
    [long_lived] = simulator.control.add_machines(1, days=20)
    sync_inventory(api)
    costs = {}
    for guid in (WEB, long_lived):
        with CaptureQueriesContext(connection) as queries:
            refresh_backups(api, machine(guid))
        costs[guid] = len(queries)
    assert Backup.across_tenants.filter(machine__guid=long_lived).count() == 21
    assert costs[long_lived] == costs[WEB]


def test_a_backup_that_is_gone_is_kept_as_vanished(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    refresh_backups(api, machine(WEB))
    newest = Backup.across_tenants.order_by("-sort_at").first()
    assert newest
    row = simulator.state.backups[newest.guid]
    simulator.control.remove_backup(newest.guid)
    refresh_backups(api, machine(WEB))
    assert [b.guid for b in Backup.across_tenants.filter(vanished_at__isnull=False)] == [newest.guid]
    simulator.state.backups[newest.guid] = row
    refresh_backups(api, machine(WEB))
    assert not Backup.across_tenants.filter(vanished_at__isnull=False).exists()


@pytest.mark.odd_answers
@pytest.mark.parametrize("trouble", ["empty", "unreadable row"])
def test_no_backup_vanishes_by_a_list_that_is_not_whole(trouble: str, api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    refresh_backups(api, machine(WEB))
    if trouble == "empty":
        simulator.control.fault("empty", path="/backups/", times=0)
    else:
        of_web = [b for b in simulator.state.backups.values() if b["protectedEntity"]["guid"] == WEB]
        of_web[0]["guid"] = "no guid!"
    refresh_backups(api, machine(WEB))
    assert not Backup.across_tenants.filter(vanished_at__isnull=False).exists()


class OvertakenVProtect(VProtect):
    """Between this client's answer and its writing another job asks again and is faster."""

    def __init__(self, simulator: SimulatorServer, other: VProtect) -> None:
        super().__init__(other.transport)
        self.simulator, self.other = simulator, other

    def list_backups(self, *, protected_entity: str) -> Listing[UpstreamBackup]:
        older = super().list_backups(protected_entity=protected_entity)
        for backup in older.items:
            self.simulator.control.remove_backup(backup.guid)
        refresh_backups(self.other, machine(protected_entity))
        return older


def test_an_older_answer_does_not_undo_a_newer_one(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)
    refresh_backups(api, machine(WEB))
    refresh_backups(OvertakenVProtect(simulator, api), machine(WEB))
    assert not Backup.across_tenants.filter(vanished_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_two_jobs_may_read_the_same_history(api: VProtect, simulator: SimulatorServer):
    sync_inventory(api)

    def refresh(_number: int) -> int:
        try:
            return refresh_backups(api, machine(WEB))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        written = list(pool.map(refresh, range(6)))
    assert sum(written) == Backup.across_tenants.count() > 0


# ── Whose a backup is ────────────────────────────────────────────────────────


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


def test_a_backup_made_in_a_project_that_nobody_claims_is_nobodys(
    api: VProtect, simulator: SimulatorServer, sunflower: Tenant
):
    claim(sunflower, WEB, Claim.Kind.MACHINE)
    for backup in simulator.state.backups.values():
        backup["sourceProject"] = {"guid": guid_of("project/borealis-clinic"), "name": "borealis-clinic"}
    sync_inventory(api)
    refresh_backups(api, machine(WEB))
    assert {b.tenant for b in Backup.across_tenants.all()} == {None}


def test_a_later_owner_gets_nothing_from_before(
    api: VProtect, simulator: SimulatorServer, sunflower: Tenant, pine: Tenant
):
    """Not even what was seen while the machine was nobody's."""
    claim(sunflower, WEB, Claim.Kind.MACHINE)
    newest = max(
        (b for b in simulator.state.backups.values() if b["protectedEntity"]["guid"] == WEB),
        key=lambda b: b["backupTime"],
    )
    del simulator.state.backups[newest["guid"]]
    sync_inventory(api)
    refresh_backups(api, machine(WEB))
    Claim.across_tenants.all().delete()
    sync_inventory(api)
    simulator.state.backups[newest["guid"]] = newest
    refresh_backups(api, machine(WEB))
    claim(pine, WEB, Claim.Kind.MACHINE)
    sync_inventory(api)
    refresh_backups(api, machine(WEB))
    assert {b.tenant for b in Backup.across_tenants.all()} == {sunflower, None}
    assert Backup.across_tenants.get(guid=newest["guid"]).tenant is None


def test_a_backup_keeps_its_tenant_when_vprotect_ties_it_to_another_machine(
    api: VProtect, simulator: SimulatorServer, sunflower: Tenant, pine: Tenant
):
    claim(sunflower, WEB, Claim.Kind.MACHINE)
    claim(pine, DB, Claim.Kind.MACHINE)
    sync_inventory(api)
    refresh_backups(api, machine(WEB))
    for backup in simulator.state.backups.values():
        if backup["protectedEntity"]["guid"] == WEB:
            backup["protectedEntity"] = {"guid": DB, "name": "db_01", "type": enum("VM")}
    count = Backup.across_tenants.count()
    refresh_backups(api, machine(DB))
    moved = Backup.across_tenants.filter(machine__guid=DB, tenant=sunflower)
    assert moved.count() == count


# ── Wishes and details ───────────────────────────────────────────────────────


def test_a_wish_made_meanwhile_stays(api: VProtect):
    sync_inventory(api)
    as_read = machine(WEB)
    later = timezone.now() + timedelta(seconds=10)
    Machine.across_tenants.filter(guid=WEB).update(backups_wanted_at=later, details_wanted_at=later)
    refresh_backups(api, as_read)
    refresh_details(api, as_read)
    assert (machine(WEB).backups_wanted_at, machine(WEB).details_wanted_at) == (later, later)


def test_details_hold_nothing_of_the_infrastructure(api: VProtect):
    sync_inventory(api)
    refresh_details(api, machine(WEB))
    assert set(machine(WEB).details) == {"supportsQuiesceSnapshot", "quiesceBeforeSnapshot", "tags"}
    assert machine(WEB).details_at


def test_details_of_a_machine_that_is_gone_end_the_wish(api: VProtect, sunflower: Tenant):
    unknown = machine_of(sunflower, "not-upstream")
    refresh_details(api, unknown)
    assert machine("not-upstream").details_at
