"""Every call of the guide on schedules, policies and rules, against the simulator (API reference, 10–12)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import both_dialects
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import NotFound, Rejected
from vprotect_bridge.client.plans import Schedule
from vprotect_bridge.client.read import Malformed
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

WEB = guid_of("vm/web-01")
PRIMARY = guid_of("destination/primary-fs")


def schedule(name: str = "aurora-1", tenant: str = "aurora") -> dict[str, Any]:
    return {
        **{"name": name, "type": {"name": "VM_BACKUP"}, "backupType": {"name": "FULL"}, "active": True},
        **{"executionType": {"name": "TIME"}, "hour": 3_600_000, "startWindowLength": 7_200_000},
        **{"daysOfWeek": [{"name": "MONDAY"}], "months": [], "dayOfWeekOccurrences": [], "tenantId": tenant},
    }


def policy(name: str = "aurora-2", tenant: str = "aurora") -> dict[str, Any]:
    off = {"mode": {"name": "DISABLED"}}
    return {
        **{"name": name, "priority": 30, "autoRemoveNonPresent": True, "autoAssignSettings": off},
        **{"vms": [{"guid": WEB}], "tenantId": tenant},
    }


def rule_with(api: VProtect, *schedules: Schedule) -> dict[str, Any]:
    held = [{"guid": schedule.guid} for schedule in schedules]
    return {"name": "Default", "schedules": held, **api.dialect.rule_destination(PRIMARY, {})}


def named(rows: Any, name: str) -> Any:
    return next((row for row in rows.items if row.name == name), None)


@both_dialects
def test_a_schedule_is_made_read_replaced_and_deleted(api: VProtect):
    api.schedules.create(schedule())
    made = named(api.schedules.list(type="VM_BACKUP"), "aurora-1")
    assert (made.hour_ms, made.window_ms, made.days, made.active) == (3_600_000, 7_200_000, ("MONDAY",), True)
    api.schedules.replace(made.guid, {**made.raw, "hour": 0})
    assert api.schedules.get(made.guid).hour_ms == 0
    api.schedules.delete(made.guid)
    with pytest.raises(NotFound):
        api.schedules.get(made.guid)
    api.schedules.delete(made.guid)


def test_a_policy_and_its_rule(api: VProtect):
    api.schedules.create(schedule())
    nightly = named(api.schedules.list(), "aurora-1")
    with_nightly = rule_with(api, nightly)
    api.policies.create(api.dialect.new_policy(policy(), with_nightly))
    row = named(api.policies.list(), "aurora-2")
    assert row.vm_guids is None, "a list tells no machines"
    details = api.policies.get(row.guid)
    assert (details.vm_guids, details.priority, details.auto_assign_mode) == ((WEB,), 30, "DISABLED")
    if not api.dialect.goes_by_rules:
        api.rules.create({**with_nightly, "policy": {"guid": row.guid}})
    [rule] = [rule for rule in api.rules.list(policy=row.guid).items if rule.policy_guid == row.guid]
    assert (rule.schedule_guids, rule.destination_guids) == ((nightly.guid,), (PRIMARY,))
    assert api.schedules.get(nightly.guid).rule_guids == (rule.guid,)
    api.rules.replace(rule.guid, {**rule.raw, "schedules": []})
    assert api.rules.get(rule.guid).schedule_guids == ()
    api.policies.replace(row.guid, {**api.dialect.kept_policy(details.raw, [api.rules.get(rule.guid).raw]), "vms": []})
    assert (api.policies.get(row.guid).vm_guids, api.rules.get(rule.guid).schedule_guids) == ((), ())
    api.rules.delete(rule.guid)
    assert rule.guid not in {rule.guid for rule in api.rules.list().items}
    api.policies.delete(row.guid)
    assert named(api.policies.list(), "aurora-2") is None


@pytest.mark.parametrize("resource", ["schedules", "policies"])
def test_lists_with_and_without_a_tenant(resource: str, api: VProtect):
    calls = getattr(api, resource)
    for tenant in ("aurora", "borealis"):
        of_it = f"of-{tenant}", tenant
        body = schedule(*of_it) if calls is api.schedules else api.dialect.new_policy(policy(*of_it), rule_with(api))
        calls.create(body)
    assert named(calls.list(), "of-borealis")
    only = calls.list(tenantid="aurora")
    assert named(only, "of-aurora").tenant_id == "aurora" and named(only, "of-borealis") is None


def test_a_name_that_is_taken_is_a_refusal(api: VProtect):
    api.schedules.create(schedule())
    with pytest.raises(Rejected, match="already exists"):
        api.schedules.create(schedule(tenant="somebody else"))


@pytest.mark.parametrize("reading", ["negative", "over"])
def test_a_time_of_day_is_read_modulo_a_day(reading: str, api: VProtect, simulator: SimulatorServer):
    api.schedules.create(schedule())
    simulator.control.change_settings(hour_reading=reading)
    assert named(api.schedules.list(), "aurora-1").hour_ms == 3_600_000


@pytest.mark.parametrize("row", [None, [], {}, {"guid": 7}, {"guid": "../x"}])
def test_a_row_without_a_usable_guid_is_none(row: Any):
    with pytest.raises(Malformed):
        Schedule.from_json(row)


def test_odd_members_are_read_as_absent():
    odd = Schedule.from_json(
        {"guid": "s-1", "hour": "two", "daysOfWeek": "MONDAY", "rules": [{}, "r-1", 3], "interval": [], "active": "yes"}
    )
    assert (odd.hour_ms, odd.days, odd.rule_guids, odd.start_ms, odd.active) == (None, (), ("r-1",), None, False)
