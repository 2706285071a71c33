"""The rows of the fault matrix that need no process of their own (docs/fault-matrix.md)."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from tenants.models import Tenant
from tests.conftest import machine_of, operation_on
from tests.faults.conftest import Submitter, World, request_of
from tests.vprotect_bridge.client.conftest import ScriptedServer, transport_to
from vprotect_bridge.client import api as client
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.models import Machine, Operation, UpstreamStatus
from vprotect_bridge.sync import sync_inventory
from vprotect_simulator.landscape import start_backup
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

pytestmark = pytest.mark.django_db(transaction=True)

EXPORT = "/tasks/export"
DB = guid_of("vm/db-01")


def sweep_for(world: World, seconds: float) -> None:
    """Sweeps and rings all the time; the database's clock is the one that counts."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        Operation.across_tenants.update(next_at=Now())
        Submitter().sweep(world.api)
        Submitter().ring(world.api)
        time.sleep(0.1)


@pytest.fixture
def settles_in_two_seconds(world: World, settings: Any) -> None:
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "settle": 2.0}


@pytest.mark.usefixtures("settles_in_two_seconds")
def test_a_request_applied_late_but_in_time_is_adopted(world: World):
    """F11."""
    world.simulator.control.fault("late", path=EXPORT, seconds=1)
    sweep_for(world, 3)
    row = world.now()
    assert (row.submission, row.adopted, row.attempts, world.tasks_made()) == ("accepted", True, 1, 1)


@pytest.mark.parametrize(
    ("kind", "seconds"), [("hang", 3), ("drip", 0.1), ("truncated", 0), ("wrong_guid", 0), ("other_vm", 0)]
)
def test_a_senseless_answer_never_leaves_a_wrong_guid(kind: str, seconds: float, world: World):
    """F19: also when it comes too late, or a byte at a time."""
    world.simulator.control.fault(kind, path=EXPORT, when="after", seconds=seconds)
    Submitter().ring(world.api)
    assert (world.now().submission, world.now().task_guid) == ("uncertain", None)
    world.settle(Submitter())
    made = [task["guid"] for task in world.simulator.control.made_tasks() if task["type"] == "EXPORT"]
    assert [world.now().task_guid] == made


def test_pauses_grow_while_vprotect_is_away(world: World, tmp_path: Any):
    """F20: and never in step with others."""
    gone = ScriptedServer(tmp_path)
    gone.close()
    pauses = []
    for waited in (0, 60, 3600):
        Operation.across_tenants.update(created_at=timezone.now() - timedelta(seconds=waited), next_at=Now())
        Submitter().ring(VProtect(transport_to(gone)))
        pauses.append((world.now().next_at - timezone.now()).total_seconds())
    assert world.now().submission == "pending"
    assert 1 < pauses[0] < 3 < 11 < pauses[1] < 19 < 46 < pauses[2] < 73


@pytest.mark.usefixtures("settles_in_two_seconds")
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_worker_whose_clock_jumps_does_not_hurry(hours: int, world: World, monkeypatch: pytest.MonkeyPatch):
    """F23: the settle time is measured by the database's clock alone."""
    world.simulator.control.fault("late", path=EXPORT, seconds=1)
    now = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(hours=hours))
    sweep_for(world, 3)
    monkeypatch.undo()
    sweep_for(world, 1)
    assert (world.now().submission, world.now().attempts, world.tasks_made()) == ("accepted", 1, 1)


@pytest.mark.parametrize("who", ["ring", "sweep"])
def test_an_overdue_wish_that_was_sent_all_the_same_is_found(who: str, world: World):
    """F17: of a database that was restored from before it was sent."""
    world.api.export(request_of(world.now()))
    Operation.across_tenants.update(deadline_at=timezone.now() - timedelta(minutes=1))
    getattr(Submitter(), who)(world.api)
    assert (world.now().submission, world.now().adopted, world.tasks_made()) == ("accepted", True, 1)


def test_overdue_wishes_end_in_time_while_vprotect_is_away_and_are_asked_for_once(world: World):
    """F17, F20: not each of them waits for an answer that does not come."""
    operation_on(machine_of(world.operation.tenant, DB), created_by=world.operation.created_by)
    Operation.across_tenants.update(deadline_at=timezone.now() - timedelta(minutes=1))
    world.simulator.control.fault("reset", times=0)
    Submitter().sweep(world.api)
    assert set(Operation.across_tenants.values_list("submission", flat=True)) == {"expired"}
    assert len(world.simulator.control.ledger()) <= 2


def test_a_server_that_echoes_no_window_is_never_sent_to_again(world: World):
    """F24: learned at the first wish, a person decides about the second."""
    world.simulator.control.change_settings(marker_truncation="absent")
    world.settle(Submitter())
    assert UpstreamStatus.objects.get(pk=1).marker_fidelity == "none"
    machine = machine_of(world.operation.tenant, DB)
    second = operation_on(machine, created_by=world.operation.created_by, request=world.operation.request)
    Operation.across_tenants.filter(pk=second.pk).update(request=world.now().request)
    world.simulator.control.fault("reset", path=EXPORT, when="before")
    world.settle(Submitter())
    assert Operation.across_tenants.get(pk=second.pk).submission == "needs_attention"
    assert len(world.simulator.control.ledger("POST", EXPORT)) == 2, "one for each wish"


@pytest.mark.parametrize("when", ["before", "after"])
def test_no_task_is_overlooked_in_a_list_that_proves_little(when: str, world: World):
    """F25: filters ignored, pages of twenty, no total, and five hundred tasks of others."""
    control = world.simulator.control
    control.change_settings(ignore_filters=True, default_page_size=20, omit_total_count=True, max_running=0)
    control.add_machines(500, "other")
    for number in range(1, 501):
        start_backup(world.simulator.state, f"other-{number:05d}")
    control.fault("reset", path=EXPORT, when=when)
    for _ in range(6):
        Operation.across_tenants.update(next_at=Now())
        Submitter().ring(world.api)
        Submitter().sweep(world.api)
    of_ours = [task for task in control.made_tasks() if task["vm"] == world.operation.subject_guid]
    assert [task["guid"] for task in of_ours] == [world.now().task_guid]
    assert world.now().attempts == (2 if when == "before" else 1)


def test_a_machine_that_moved_to_another_tenant_since_the_click(world: World):
    """F27."""
    pine = Tenant.objects.create(name="Pine", slug="pine")
    Machine.across_tenants.update(tenant=pine)
    world.settle(Submitter())
    assert (world.now().submission, world.now().outcome) == ("rejected", "refused")
    assert world.now().user_message == "This machine is not yours any more."
    assert not world.simulator.control.ledger("POST", EXPORT)


def test_a_store_that_never_comes_is_no_success(world: World):
    """F29."""
    world.simulator.control.change_settings(gap_seconds=1_000_000)
    world.settle(Submitter())
    row = world.now()
    assert (row.submission, row.outcome) == ("accepted", "")
    assert row.progress < 100


def test_an_inventory_that_changes_between_its_pages(
    api: VProtect, simulator: SimulatorServer, monkeypatch: pytest.MonkeyPatch
):
    """F32: who only moved to a page that was read already has not vanished."""
    sync_inventory(api)
    monkeypatch.setattr(client, "PAGE_SIZE", 3)
    get, first = api.transport.get, next(iter(simulator.state.vms))

    def get_and_change(path: str, params: Any = None) -> Any:
        answer = get(path, params)
        if path == "/virtual-machines" and params["page"] == 0:
            simulator.control.remove_machine(first)
        return answer

    monkeypatch.setattr(api.transport, "get", get_and_change)
    sync_inventory(api)
    assert not Machine.across_tenants.exclude(guid=first).filter(vanished_at__isnull=False).exists()
