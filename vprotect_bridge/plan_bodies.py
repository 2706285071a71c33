"""The bodies of the calls that make and change schedules, policies and rules (API reference, 10.2, 11.2, 12.2, 12.3).

A PUT replaces everything, so what was read is sent back whole, with the wanted members in its place (20, trap 16).
"""

from __future__ import annotations

from typing import Any

from vprotect_bridge.client.dialects import Dialect
from vprotect_bridge.client.plans import Retention
from vprotect_bridge.plan_facts import Facts

Body = dict[str, Any]


def schedule_body(wanted: Facts, raw: Body | None = None) -> Body:
    """Of TIME and INTERVAL only what belongs to it; times are milliseconds from UTC midnight."""
    body = {**(raw or {})}
    for member in ("hour", "startWindowLength", "interval"):
        body.pop(member, None)
    return {
        **body,
        "name": wanted["name"],
        "type": _enum("VM_BACKUP"),
        "active": wanted["active"],
        "backupType": _enum(wanted["backup_type"]),
        "executionType": _enum(wanted["execution_type"]),
        "daysOfWeek": _enums(wanted["days"]),
        "months": _enums(wanted["months"]),
        "dayOfWeekOccurrences": _enums(wanted["occurrences"]),
        "rules": body.get("rules", []),
        "tenantId": wanted["tenant_value"],
        **_times(wanted),
    }


def _times(wanted: Facts) -> Body:
    if wanted["execution_type"] == "INTERVAL":
        interval = {"startHour": "start_ms", "endHour": "end_ms", "frequency": "frequency_ms"}
        return {"interval": {member: wanted[fact] for member, fact in interval.items()}}
    return {"hour": wanted["hour_ms"], "startWindowLength": wanted["window_ms"]}


def policy_body(wanted: Facts, raw: Body | None = None) -> Body:
    """Automatic assignment is always off: it knows no tenants (guide, "Creating VM backup policy")."""
    body = {**(raw or {})}
    settings = body.get("autoAssignSettings")
    return {
        **body,
        "name": wanted["name"],
        "priority": wanted["priority"],
        "autoRemoveNonPresent": wanted["removes_absent_machines"],
        "autoAssignSettings": {**(settings if isinstance(settings, dict) else {}), "mode": _enum("DISABLED")},
        "vms": [{"guid": guid} for guid in wanted["vm_guids"]],
        "tenantId": wanted["tenant_value"],
    }


def rule_body(wanted: Facts, policy_guid: str, dialect: Dialect, raw: Body | None = None) -> Body:
    """Always with a destination: without one it never backs anything up (20, trap 19)."""
    body = {**(raw or {})}
    retention = Retention(**wanted["retention"]) if wanted.get("retention") else None
    return {
        **body,
        "name": wanted["name"],
        **({"policy": {"guid": policy_guid}} if policy_guid else {}),
        "schedules": [{"guid": guid} for guid in wanted["schedule_guids"]],
        **dialect.rule_destination(wanted["destination_guids"][0], body, retention),
    }


def _enum(name: str) -> Body:
    return {"name": name}


def _enums(names: list[str]) -> list[Body]:
    return [_enum(name) for name in names]
