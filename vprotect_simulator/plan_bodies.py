"""What a request says of a schedule, a policy or a rule, as the row to keep (API reference, 10.2, 11.2, 12.2, 12.3).

Every row is made from the body alone: what a PUT does not send is lost (20, trap 16). Unknown members are ignored.
"""

from __future__ import annotations

from typing import Any

from vprotect_simulator import reading
from vprotect_simulator.engine import Refused
from vprotect_simulator.firing import DAY_MS, DAYS, MONTHS, OCCURRENCES
from vprotect_simulator.names import Row, enum, enum_name, reference, referred_guid
from vprotect_simulator.reading import found
from vprotect_simulator.state import State

SCHEDULE_TYPES = ("VM_BACKUP", "APP_BACKUP", "SNAPSHOT", "VM_SNAPSHOT")
ASSIGN_MODES = ("DISABLED", "ASSIGN_ONLY", "ASSIGN_AND_REMOVE")
ROLES = ("PRIMARY", "SECONDARY", "ARCHIVE")
RETENTION = (
    *("retentionKeepLastNFull", "retentionKeepLastNIncremental"),
    *("retentionKeepFullNewerThan", "retentionKeepIncrementalNewerThan"),
)
MINUTE_MS = 60_000


# ── Schedules ────────────────────────────────────────────────────────────────


def read_schedule(body: Row) -> Row:
    """`hour` is kept as sent, also when it is negative or beyond a day (10.2)."""
    row: Row = {
        "name": reading.name(body),
        "type": reading.choice(body, "type", SCHEDULE_TYPES),
        "backupType": _backup_type(body),
        "executionType": reading.choice(body, "executionType", ("TIME", "INTERVAL")),
        "active": reading.flag(body, "active"),
        "daysOfWeek": reading.choices(body, "daysOfWeek", DAYS),
        "months": reading.choices(body, "months", MONTHS),
        "dayOfWeekOccurrences": reading.choices(body, "dayOfWeekOccurrences", OCCURRENCES),
        "tenantId": reading.text(body, "tenantId"),
    }
    if body.get("daysOfWeek") is None:
        raise Refused(400, "daysOfWeek is required")
    if row["executionType"]["name"] == "TIME":
        length = reading.number(body, "startWindowLength", least=0)
        return {**row, "hour": reading.number(body, "hour"), "startWindowLength": length}
    return {**row, "interval": _interval(reading.member(body, "interval"))}


def _backup_type(body: Row) -> Row:
    """To a schedule of snapshots it means nothing."""
    if enum_name(body.get("type")) in {"SNAPSHOT", "VM_SNAPSHOT"} and body.get("backupType") is None:
        return enum("FULL")
    return reading.choice(body, "backupType", ("FULL", "INCREMENTAL", "SYNCHRONIZATION"))


def read_schedule_rules(body: Row, rules: dict[str, Row]) -> list[Row]:
    """The rules that it is in: a list that is missing means none (20, trap 16)."""
    return [found(rules, item) for item in reading.items(body, "rules")]


def _interval(given: Row) -> Row:
    """An interval lies within one UTC day: the reference tells of no server that lets it cross midnight."""
    interval = {name: reading.number(given, name) for name in ("startHour", "endHour")}
    if interval["endHour"] % DAY_MS < interval["startHour"] % DAY_MS:
        raise Refused(400, "endHour must not be before startHour")
    # Our own bound: seconds sent where milliseconds belong would fire thousands of times a day.
    return {**interval, "frequency": reading.number(given, "frequency", least=MINUTE_MS)}


# ── Policies ─────────────────────────────────────────────────────────────────


def read_policy(body: Row, state: State) -> Row:
    """Classic servers know neither `active` nor retries of a policy, and take 50 for a missing priority (11.2)."""
    is_current = state.dialect == "current"
    row = {
        "name": reading.name(body),
        "priority": reading.number(body, "priority", least=0, most=100, default=None if is_current else 50),
        "autoRemoveNonPresent": reading.flag(body, "autoRemoveNonPresent"),
        "autoAssignSettings": read_auto_assign_settings(reading.member(body, "autoAssignSettings")),
        "tenantId": reading.text(body, "tenantId"),
    }
    for name in ("failRemainingBackupTasksExportThreshold", "failRemainingBackupTasksStoreThreshold"):
        if body.get(name) is not None:
            row[name] = reading.number(body, name, least=0, most=100)
    return {**row, **_current_members(body, state)} if is_current else row


def _current_members(body: Row, state: State) -> Row:
    """A flag that is left out is false, not an error (11.2)."""
    flags = ("active", "dailyReportEnabled", "disableCleanOldBackups", "quiesceBeforeSnapshot", "visibleForAllProjects")
    mailing_list = body.get("mailingList")
    return {
        **{name: reading.flag(body, name) for name in (*flags, "scanFileSystem")},
        "mailingList": None if mailing_list is None else reference(found(state.mailing_lists, mailing_list)),
        "backupRetryCount": reading.number(body, "backupRetryCount", least=0),
        "projects": [reference(found(state.projects, item)) for item in reading.items(body, "projects")],
        "projectUuid": reading.text(body, "projectUuid"),
    }


def read_auto_assign_settings(given: Row) -> Row:
    texts = ("includeTags", "excludeTags", "includeRegExps", "excludeRegExps")
    lists: Row = {name: _texts(given, name) for name in texts}
    for name in ("hvClusters", "projects"):
        lists[name] = [{"guid": referred_guid(item)} for item in reading.items(given, name)]
    return {"mode": reading.choice(given, "mode", ASSIGN_MODES), **lists}


def _texts(given: Row, name: str) -> list[str]:
    values = reading.items(given, name)
    if not all(isinstance(value, str) for value in values):
        raise Refused(400, f"{name} must be a list of texts")
    return values


def read_members(body: Row, state: State) -> list[Row]:
    """The machines of a policy: a list that is missing means none (20, trap 16)."""
    return [found(state.vms, item) for item in reading.items(body, "vms")]


# ── Rules ────────────────────────────────────────────────────────────────────


def read_rule(body: Row, state: State, dialect: str, policy_guid: str) -> Row:
    """`_schedules`: the GUIDs of its schedules. `_destination`: where it stores; without one it never backs up."""
    row = {"name": reading.name(body), "_policy": policy_guid, "_schedules": _schedules(body, state)}
    if dialect == "classic":
        destinations = [found(state.destinations, item)["guid"] for item in reading.items(body, "backupDestinations")]
        return {**row, "_destinations": destinations, "_destination": next(iter(destinations), None)}
    destinations = [_rule_destination(item, state) for item in reading.items(body, "ruleBackupDestinations")]
    primary = [item for item in destinations if item["roleType"]["name"] == "PRIMARY"]
    if len(primary) != 1:
        raise Refused(400, "ruleBackupDestinations must have exactly one PRIMARY")
    return {
        **row,
        "active": reading.flag(body, "active"),
        "position": reading.number(body, "position", least=0),
        "ruleBackupDestinations": destinations,
        "_destination": primary[0]["backupDestination"]["guid"] if primary[0]["active"] else None,
    }


def _schedules(body: Row, state: State) -> list[str]:
    """A schedule's kind must match the policy's (10.2)."""
    schedules = [found(state.schedules, item) for item in reading.items(body, "schedules")]
    if any(schedule["type"]["name"] != "VM_BACKUP" for schedule in schedules):
        raise Refused(400, "The type of the schedule does not match the policy")
    return list(dict.fromkeys(schedule["guid"] for schedule in schedules))


def _rule_destination(given: Any, state: State) -> Row:
    if not isinstance(given, dict):
        raise Refused(400, "ruleBackupDestinations must be a list of objects")
    destination = found(state.destinations, given.get("backupDestination"))
    return {
        "backupDestination": reference(destination),
        "roleType": reading.choice(given, "roleType", ROLES),
        "active": reading.flag(given, "active"),
        "daysToKeepRetentionLock": reading.number(given, "daysToKeepRetentionLock", least=0),
        "backupRetentionSettings": _retention(reading.member(given, "backupRetentionSettings")),
    }


def _retention(given: Row) -> Row:
    """Counts and milliseconds (12.2). Synthetic destinations have no separate ones for incremental backups."""
    numbers = {name: reading.number(given, name, least=0) for name in RETENTION if given.get(name) is not None}
    last = "keepLastBackupWhenSourceStillExists"
    return {**numbers, last: reading.flag(given, last)} if last in given else numbers
