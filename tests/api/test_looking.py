"""What a program can look at: fields, filters, pages, and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from tenants.models import Grant, Role, Tenant, User
from tests.api.conftest import Program, point_of, program_of
from tests.conftest import machine_of, operation_on, person
from tests.portal.conftest import counted
from vprotect_bridge.models import Hypervisor, Machine, Plan, Protection, Storage

pytestmark = pytest.mark.django_db


def names(answer: Any) -> list[str]:
    return [item["name"] for item in answer.json()["items"]]


def test_a_token_tells_whose_it_is_and_what_it_may(tenant: Tenant, program: Program):
    assert program.get("token").json() == {
        **{"name": "Deploy", "organisation": "Sunflower", "owner": "restorer@sunflower.example", "role": "restorer"},
        **{"machines": None, "expires_at": program.get("token").json()["expires_at"]},
    }
    ours = program_of(tenant, role="viewer", machine_guids=["vm-1"]).get("token").json()
    assert (ours["owner"], ours["role"], ours["machines"]) == (None, "viewer", ["vm-1"])


def test_machines_are_told_in_the_customers_words(program: Program, machine: Machine):
    Machine.across_tenants.update(
        last_success_at=datetime(2026, 3, 1, 12, 30, 5, 999, UTC), last_full_size=5, policy_guid="policy-1"
    )
    plan = Plan.across_tenants.create(tenant=machine.tenant, name="Nightly", policy_guid="policy-1", is_made_here=True)
    [told] = program.get("machines").json()["items"]
    assert told == {
        **{"id": "vm-1", "name": "machine vm-1", "platform": "KVM", "status": "protected", "exists": True},
        **{"plan": {"id": str(plan.pk), "name": "Nightly"}, "last_backup_at": "2026-03-01T12:30:05Z", "full_bytes": 5},
    }
    operation = operation_on(machine)
    running = [{"id": str(operation.pk), "kind": "backup"}]
    assert program.get("machines/vm-1").json() == {**told, "running": running}


def test_machines_are_filtered_and_what_is_no_filter_is_refused(program: Program, machine: Machine, pine: Tenant):
    machine_of(machine.tenant, "vm-2")
    machine_of(pine, "vm-9")
    Machine.across_tenants.filter(guid="vm-2").update(protection="failed", name="db")
    assert names(program.get("machines")) == ["db", "machine vm-1"]
    assert names(program.get("machines?status=failed")) == ["db"] == names(program.get("machines?q=DB"))
    assert names(program.get("machines?plan=none&q=machine")) == ["machine vm-1"]
    for odd in ("machin=vm-1", "tenant=pine", "access_token=x", "q=a&q=b", "Q=a"):
        assert program.get(f"machines?{odd}").status_code == 400, odd
    for odd in (
        "status=lost",
        "limit=0",
        "limit=101",
        "limit=1e2",
        "limit=٣",
        "plan=x",
        "q=",
        "q=%00",
        "q=%ff",
        "cursor=!",
    ):
        answer = program.get(f"machines?{odd}")
        assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == odd.partition("=")[0], odd


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_hold_each_machine_once_whatever_their_names(limit: int, program: Program, tenant: Tenant):
    for n, name in enumerate(["b", "B", "a", "é", "", "a\nb", "ß 💾"]):
        machine_of(tenant, f"vm-{n}")
        Machine.across_tenants.filter(guid=f"vm-{n}").update(name=name)
    found, cursor = [], ""
    while cursor is not None:
        page = program.get(f"machines?limit={limit}" + (f"&cursor={cursor}" if cursor else "")).json()
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert sorted(found) == [f"vm-{n}" for n in range(7)] and len(found) == 7


def test_a_page_goes_on_where_the_one_before_ended_whatever_came_meanwhile(program: Program, tenant: Tenant):
    for guid in ("vm-1", "vm-3", "vm-5"):
        machine_of(tenant, guid)
    first = program.get("machines?limit=2").json()
    machine_of(tenant, "vm-2")
    rest = program.get(f"machines?limit=2&cursor={first['next_cursor']}").json()
    assert [item["id"] for item in rest["items"]] == ["vm-5"] and rest["next_cursor"] is None


@pytest.mark.parametrize("address", ["machines", "plans", "machines/vm-1/restore-points"])
@pytest.mark.parametrize(
    "cursor",
    ["e30=", "WzFd", "WyJhIiwiYiJd", "WyIiLCIiXQ==", "WyJcdTAwMDAiLCIiXQ==", "WyJcdWQ4MDAiLCIiXQ==", "a", "=="],
)
def test_an_odd_cursor_is_refused_or_leads_nowhere(cursor: str, address: str, program: Program, machine: Machine):
    assert program.get(f"{address}?cursor={cursor}").status_code in {200, 422}


def test_restore_points_newest_first(program: Program, machine: Machine):
    now = timezone.now()
    for n in range(5):
        point_of(machine, f"point-{n}", sort_at=now - timedelta(days=n // 2), type="INCREMENTAL", size=n)
    point_of(machine, "failed", status="FAILED")
    found, cursor = [], ""
    while cursor is not None:
        page = program.get("machines/vm-1/restore-points?limit=2" + (f"&cursor={cursor}" if cursor else "")).json()
        found += page["items"]
        cursor = page["next_cursor"]
    assert [point["id"] for point in found] == ["point-1", "point-0", "point-3", "point-2", "point-4"]
    assert found[-1] == {
        **{"id": "point-4", "at": f"{now - timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}", "type": "incremental"},
        **{"bytes": 4, "has_warnings": False},
    }


def test_destinations_are_those_that_were_granted(program: Program, machine: Machine):
    assert program.get("machines/vm-1/destinations").json()["items"] == [
        {"id": "store-2", "name": "Archive", "is_usual": False},
        {"id": "store-1", "name": "Main store", "is_usual": True},
    ]


def test_plans_in_sentences(program: Program, tenant: Tenant):
    Plan.across_tenants.create(
        tenant=tenant, name="Nightly", policy_guid="policy-1", is_made_here=True, standing="paused"
    )
    [plan] = program.get("plans").json()["items"]
    assert plan["name"] == "Nightly" and plan["state"] == "paused" and plan["next_run_at"] is None


def test_machines_that_nothing_is_left_of_are_listed_if_asked_for(program: Program, tenant: Tenant, machine: Machine):
    for status in Protection.values:
        machine_of(tenant, f"vm-{status}")
        Machine.across_tenants.filter(guid=f"vm-{status}").update(protection=status, name=status)
    for status in Protection.values:
        assert status in names(program.get(f"machines?status={status}")), status
    assert "gone" not in names(program.get("machines"))


def test_an_operation_is_told_as_on_its_page(program: Program, machine: Machine):
    point_of(machine, "point-1")
    operation = operation_on(
        machine,
        submission="accepted",
        outcome="succeeded",
        progress=100,
        backup_guid="point-1",
        finished_at=timezone.now(),
    )
    told = program.get(f"operations/{operation.pk}").json()
    assert (told["state"], told["is_finished"], told["message"]) == ("succeeded", True, "The backup is done.")
    assert told["restore_point"] == "point-1" and told["reason"] is None
    assert told["page"].endswith(f"/t/sunflower/operations/{operation.pk}/")


def test_a_restore_names_what_it_restores(program: Program, machine: Machine):
    operation = operation_on(machine, kind="restore", request={"backup_guid": "point-1"}, backup_guid="point-1")
    assert program.get(f"operations/{operation.pk}").json()["restore_point"] == "point-1"


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "waiting"),
        ({"submission": "uncertain"}, "checking"),
        ({"submission": "accepted", "phase": "exporting"}, "running"),
        ({"submission": "rejected", "outcome": "refused"}, "refused"),
        ({"outcome": "unknown"}, "unknown"),
    ],
)
def test_each_state_has_its_word(fields: dict[str, str], state: str, program: Program, machine: Machine):
    told = program.get(f"operations/{operation_on(machine, **fields).pk}").json()
    assert told["state"] == state and told["is_finished"] is bool(fields.get("outcome"))


def test_texts_are_in_the_language_that_is_asked_for(program: Program, machine: Machine):
    operation = operation_on(machine, outcome="succeeded")
    told = program.get(f"operations/{operation.pk}", **{"Accept-Language": "de"}).json()
    assert told["message"] == "Die Sicherung ist fertig." and told["state"] == "succeeded"


def test_places_to_restore_to(program: Program, machine: Machine):
    Machine.across_tenants.update(platform="PROXMOX")
    host = Hypervisor.objects.create(guid="host-1", name="node", platform="PROXMOX", is_manager=False)
    Storage.objects.create(guid="storage-1", uuid="s-1", name="Fast", hypervisor=host, capacity=9, used=2)
    for kind, guid in (("hypervisor", "host-1"), ("storage", "storage-1")):
        Grant.across_tenants.create(tenant=machine.tenant, kind=kind, guid=guid)
    assert program.get("machines/vm-1/restore-places").json() == {
        "items": [{"id": "host-1", "name": "node", "storages": [{"id": "storage-1", "name": "Fast", "free_bytes": 7}]}],
        **{"data_centers": [], "needs_storage": True, "needs_data_center": False},
    }


@pytest.mark.parametrize(
    ("address", "most"),
    [("token", 4), ("machines", 6), ("machines/vm-0", 7), ("machines/vm-0/restore-points", 6), ("plans", 5)],
)
def test_looking_costs_the_same_however_much_there_is(address: str, most: int, program: Program, tenant: Tenant):
    program.get("token")
    costs = []
    for n in range(2):
        for m in range(3):
            machine = machine_of(tenant, f"vm-{3 * n + m}")
            point_of(machine, f"point-{3 * n + m}")
            Plan.across_tenants.create(tenant=tenant, name=f"Plan {n} {m}", policy_guid=f"p-{n}-{m}", is_made_here=True)
        with counted() as statements:
            assert program.get(address).status_code == 200
        costs.append(len(statements))
    assert costs[0] == costs[1] <= most, statements


def test_an_operation_costs_little(program: Program, machine: Machine):
    operation = operation_on(machine)
    program.get("token")
    with counted() as statements:
        program.get(f"operations/{operation.pk}")
    assert len(statements) <= 6, statements


def test_limited_tokens_see_their_machines_only(tenant: Tenant, restorer: User, machine: Machine):
    machine_of(tenant, "vm-2")
    theirs, other = operation_on(Machine.across_tenants.get(guid="vm-2")), operation_on(machine)
    program = program_of(tenant, restorer, machine_guids=["vm-2"])
    assert names(program.get("machines")) == ["machine vm-2"] and program.get("machines/vm-1").status_code == 404
    assert program.get(f"operations/{theirs.pk}").status_code == 200
    assert program.get(f"operations/{other.pk}").status_code == 404


def test_somebody_lowered_sees_it_in_their_tokens_at_once(tenant: Tenant, machine: Machine):
    user = person(tenant, "somebody", Role.MEMBER)
    program = program_of(tenant, user)
    assert program.get("machines/vm-1/destinations").status_code == 200
    user.memberships.update(role=Role.VIEWER, machine_guids=["vm-7"])
    assert program.get("machines/vm-1/destinations").status_code == 403
    assert names(program.get("machines")) == []
    user.memberships.all().delete()
    assert program.get("machines").status_code == 401
