"""What a request says of a schedule, a policy or a rule, as the row to keep (API reference, 10.2, 11.2, 12.2, 12.3).

Every row is made from the body alone: what a PUT does not send is lost (20, trap 16). Unknown members are ignored.
"""

from __future__ import annotations

from typing import Any

from vprotect_simulator.engine import Refused
from vprotect_simulator.firing import DAY_MS, DAYS, MONTHS, OCCURRENCES
from vprotect_simulator.names import Row, enum, enum_name, referred_guid
from vprotect_simulator.state import State

SCHEDULE_TYPES = ("VM_BACKUP", "APP_BACKUP", "SNAPSHOT", "VM_SNAPSHOT")
ASSIGN_MODES = ("DISABLED", "ASSIGN_ONLY", "ASSIGN_AND_REMOVE")
ROLES = ("PRIMARY", "SECONDARY", "ARCHIVE")
MINUTE_MS = 60_000


# ── Schedules ────────────────────────────────────────────────────────────────


def read_schedule(body: Row) -> Row:
    """`hour` is kept as sent, also when it is negative or beyond a day (10.2)."""
    row: Row = {
        "name": _name(body),
        "type": _choice(body, "type", SCHEDULE_TYPES),
        "backupType": _choice(body, "backupType", ("FULL", "INCREMENTAL")),
        "executionType": _choice(body, "executionType", ("TIME", "INTERVAL")),
        "active": _flag(body, "active"),
        "daysOfWeek": _choices(body, "daysOfWeek", DAYS),
        "months": _choices(body, "months", MONTHS),
        "dayOfWeekOccurrences": _choices(body, "dayOfWeekOccurrences", OCCURRENCES),
        "tenantId": _text(body, "tenantId"),
    }
    if body.get("daysOfWeek") is None:
        raise Refused(400, "daysOfWeek is required")
    if row["executionType"]["name"] == "TIME":
        length = _number(body, "startWindowLength", least=0)
        return {**row, "hour": _number(body, "hour"), "startWindowLength": length}
    return {**row, "interval": _interval(_object(body, "interval"))}


def read_schedule_rules(body: Row, state: State) -> list[Row]:
    """The rules that it is in: a list that is missing means none (20, trap 16)."""
    return [found(state.rules, item) for item in _list(body, "rules")]


def _interval(given: Row) -> Row:
    """An interval lies within one UTC day: the reference tells of no server that lets it cross midnight."""
    interval = {name: _number(given, name) for name in ("startHour", "endHour")}
    if interval["endHour"] % DAY_MS < interval["startHour"] % DAY_MS:
        raise Refused(400, "endHour must not be before startHour")
    # Our own bound: seconds sent where milliseconds belong would fire thousands of times a day.
    return {**interval, "frequency": _number(given, "frequency", least=MINUTE_MS)}


# ── Policies ─────────────────────────────────────────────────────────────────


def read_policy(body: Row, dialect: str) -> Row:
    """Classic servers know neither `active` nor retries of a policy, and take 50 for a missing priority (11.2)."""
    is_current = dialect == "current"
    if not is_current:
        body = {"priority": 50, **body}
    row = {
        "name": _name(body),
        "priority": _number(body, "priority", least=0, most=100),
        "autoRemoveNonPresent": _flag(body, "autoRemoveNonPresent"),
        "autoAssignSettings": _auto_assign_settings(_object(body, "autoAssignSettings")),
        "tenantId": _text(body, "tenantId"),
    }
    for name in ("failRemainingBackupTasksExportThreshold", "failRemainingBackupTasksStoreThreshold"):
        if body.get(name) is not None:
            row[name] = _number(body, name, least=0, most=100)
    return {**row, **_current_members(body)} if is_current else row


def _current_members(body: Row) -> Row:
    """A flag that is left out is false, not an error (11.2)."""
    flags = ("active", "dailyReportEnabled", "disableCleanOldBackups", "quiesceBeforeSnapshot", "visibleForAllProjects")
    return {
        **{name: _flag(body, name) for name in flags},
        "backupRetryCount": _number(body, "backupRetryCount", least=0),
        "projects": [{"guid": referred_guid(item)} for item in _list(body, "projects")],
        "projectUuid": _text(body, "projectUuid"),
    }


def _auto_assign_settings(given: Row) -> Row:
    texts = ("includeTags", "excludeTags", "includeRegExps", "excludeRegExps")
    lists = {name: _list(given, name) for name in (*texts, "hvClusters", "projects")}
    return {"mode": _choice(given, "mode", ASSIGN_MODES), **lists}


def read_members(body: Row, state: State) -> list[Row]:
    """The machines of a policy: a list that is missing means none (20, trap 16)."""
    return [found(state.vms, item) for item in _list(body, "vms")]


# ── Rules ────────────────────────────────────────────────────────────────────


def read_rule(body: Row, state: State, dialect: str, policy_guid: str) -> Row:
    """`_schedules`: the GUIDs of its schedules. `_destination`: where it stores; without one it never backs up."""
    row = {"name": _name(body), "_policy": policy_guid, "_schedules": _schedules(body, state)}
    if dialect == "classic":
        destinations = [found(state.destinations, item)["guid"] for item in _list(body, "backupDestinations")]
        return {**row, "_destinations": destinations, "_destination": next(iter(destinations), None)}
    destinations = [_rule_destination(item, state) for item in _list(body, "ruleBackupDestinations")]
    primary = [item for item in destinations if item["roleType"]["name"] == "PRIMARY"]
    if len(primary) != 1:
        raise Refused(400, "ruleBackupDestinations must have exactly one PRIMARY")
    return {
        **row,
        "active": _flag(body, "active"),
        "position": _number(body, "position", least=0),
        "ruleBackupDestinations": destinations,
        "_destination": primary[0]["backupDestination"]["guid"] if primary[0]["active"] else None,
    }


def _schedules(body: Row, state: State) -> list[str]:
    """A schedule's kind must match the policy's (10.2)."""
    schedules = [found(state.schedules, item) for item in _list(body, "schedules")]
    if any(schedule["type"]["name"] != "VM_BACKUP" for schedule in schedules):
        raise Refused(400, "The type of the schedule does not match the policy")
    return list(dict.fromkeys(schedule["guid"] for schedule in schedules))


def _rule_destination(given: Any, state: State) -> Row:
    if not isinstance(given, dict):
        raise Refused(400, "ruleBackupDestinations must be a list of objects")
    destination = found(state.destinations, given.get("backupDestination"))
    return {
        "backupDestination": {"guid": destination["guid"], "name": destination["name"]},
        "roleType": _choice(given, "roleType", ROLES),
        "active": _flag(given, "active"),
        "daysToKeepRetentionLock": _number(given, "daysToKeepRetentionLock", least=0),
        "backupRetentionSettings": _object(given, "backupRetentionSettings"),
    }


# ── Members ──────────────────────────────────────────────────────────────────


def found(rows: dict[str, Row], reference: Any) -> Row:
    guid = referred_guid(reference)
    if guid not in rows:
        raise Refused(404, "Object with given GUID does not exist")
    return rows[guid]


def _name(body: Row) -> str:
    name = _text(body, "name") or ""
    if not name.strip() or len(name) > 255:
        raise Refused(400, "name must have from 1 to 255 characters")
    return name


def _text(body: Row, member: str) -> str | None:
    value = body.get(member)
    if value is not None and not isinstance(value, str):
        raise Refused(400, f"{member} must be text")
    return value


def _flag(body: Row, member: str) -> bool:
    value = body.get(member) or False
    if not isinstance(value, bool):
        raise Refused(400, f"{member} must be true or false")
    return value


def _number(body: Row, member: str, least: int | None = None, most: int | None = None) -> int:
    value = body.get(member)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused(400, f"{member} must be a whole number")
    if (least is not None and value < least) or (most is not None and value > most):
        raise Refused(400, f"{member} is out of range")
    return value


def _choice(body: Row, member: str, known: tuple[str, ...]) -> Row:
    name = enum_name(body.get(member))
    if name not in known:
        raise Refused(400, f"{member} must be one of {', '.join(known)}")
    return enum(name)


def _choices(body: Row, member: str, known: tuple[str, ...]) -> list[Row]:
    return [_choice({member: value}, member, known) for value in _list(body, member)]


def _list(body: Row, member: str) -> list[Any]:
    value = body.get(member)
    if value is not None and not isinstance(value, list):
        raise Refused(400, f"{member} must be a list")
    return value or []


def _object(body: Row, member: str) -> Row:
    value = body.get(member)
    if not isinstance(value, dict):
        raise Refused(400, f"{member} must be an object")
    return value
