"""What is kept of a machine's backups, and for how long (API reference, 8.5, 12.2 and duty 28).

A copy is kept while it is among the last so many of its type or newer than so long; nothing that a kept one stands
on is removed. Whether it suffices that one of the two holds is not told anywhere: we read both as "keep".
"""

from __future__ import annotations

from collections.abc import Iterable

from vprotect_simulator import engine, plans
from vprotect_simulator.firing import DAY_MS
from vprotect_simulator.names import Row, enum, reference, referred_guid
from vprotect_simulator.state import State

GOOD = {"SUCCESS", "PARTIAL_SUCCESS"}
HOUR_OF_CLEANING_MS = 4 * 3_600_000
# Of a destination, where no rule says otherwise: classic servers keep it there (API reference, 2).
USUAL = {
    "retentionKeepLastNFull": 3,
    "retentionKeepFullNewerThan": 22 * DAY_MS,
    "retentionKeepLastNIncremental": 18,
    "retentionKeepIncrementalNewerThan": 22 * DAY_MS,
    "keepLastBackupWhenSourceStillExists": True,
}


def plan_cleaning(state: State, after: int) -> None:
    """Every night, as vProtect does."""
    midnight = after // DAY_MS * DAY_MS
    moment = midnight + HOUR_OF_CLEANING_MS
    engine.promise(state, moment if moment > after else moment + DAY_MS, "clean", nightly=True)


def _clean(state: State, made: Row, at: int) -> None:
    of_machines: dict[str, list[Row]] = {}
    for backup in state.backups.values():
        if backup["status"]["name"] in GOOD:
            of_machines.setdefault(backup["protectedEntity"]["guid"], []).append(backup)
    for vm_guid, backups in of_machines.items():
        _clean_machine(state, vm_guid, backups, at)
    if made["nightly"]:
        plan_cleaning(state, at)


engine.PROMISES["clean"] = _clean


def clean_machine(state: State, vm_guid: str, at: int) -> None:
    good = [b for b in state.backups.values() if b["status"]["name"] in GOOD]
    _clean_machine(state, vm_guid, [b for b in good if b["protectedEntity"]["guid"] == vm_guid], at)


def _clean_machine(state: State, vm_guid: str, backups: list[Row], at: int) -> None:
    vm = state.vms.get(vm_guid)
    policy = plans.policy_of(state, vm) if vm else None
    copies = [(backup, copy) for backup in backups for copy in backup["backupLocations"]]
    there = [(backup, copy) for backup, copy in copies if copy["status"]["name"] == "PRESENT"]
    for destination in {copy["backupDestination"]["guid"] for _backup, copy in there}:
        here = [pair for pair in there if pair[1]["backupDestination"]["guid"] == destination]
        if policy and policy.get("disableCleanOldBackups"):
            doomed = [pair for pair in here if _is_marked(pair[1])]
        else:
            doomed = _doomed(state, vm, here, at)
        for _backup, copy in doomed:
            copy["status"] = enum("REMOVED")
    for backup in backups:
        states = {copy["status"]["name"] for copy in backup["backupLocations"]}
        if states == {"REMOVED"}:
            backup["status"] = enum("SUCCESS_REMOVED")
    if vm:
        _note_what_is_left(vm, backups)


def _doomed(state: State, vm: Row | None, copies: list[tuple[Row, Row]], at: int) -> list[tuple[Row, Row]]:
    newest_first = sorted(copies, key=lambda pair: pair[0]["snapshotTime"], reverse=True)
    kept: set[str] = set()
    seen = {"Full": 0, "Incremental": 0}
    for place, (backup, copy) in enumerate(newest_first):
        kind = "Incremental" if backup["type"]["name"] == "INCREMENTAL" else "Full"
        settings, lock_days = _settings(state, backup, copy)
        is_last_of_present = (
            place == 0 and settings.get("keepLastBackupWhenSourceStillExists") and vm is not None and vm["present"]
        )
        age = at - backup["snapshotTime"]
        is_wanted = is_last_of_present or _is_within(settings, kind, seen[kind], age)
        seen[kind] += 1
        if age < lock_days * DAY_MS or (not _is_marked(copy) and (is_wanted or _is_archived(copy, backup, at))):
            kept.add(backup["guid"])
    kept |= _bases({backup["guid"]: backup for backup, _copy in copies}, kept)
    return [pair for pair in copies if pair[0]["guid"] not in kept]


def _is_within(settings: Row, kind: str, place: int, age: int) -> bool:
    count, length = settings.get(f"retentionKeepLastN{kind}"), settings.get(f"retentionKeep{kind}NewerThan")
    if count is None and length is None:
        return True
    return (count is not None and place < count) or (length is not None and age < length)


def _is_marked(copy: Row) -> bool:
    return bool(copy["retentionHint"]["name"] == "TO_REMOVE")


def _is_archived(copy: Row, backup: Row, at: int) -> bool:
    return copy["retentionHint"]["name"] == "ARCHIVE" and backup.get("archiveExpire", 0) > at


def _bases(backups: dict[str, Row], kept: Iterable[str]) -> set[str]:
    """The links of a chain below those that are kept."""
    found: set[str] = set()
    for guid in kept:
        parent = referred_guid(backups[guid].get("parentBackup"))
        while parent in backups and parent not in found:
            found.add(parent)
            parent = referred_guid(backups[parent].get("parentBackup"))
    return found


def _settings(state: State, backup: Row, copy: Row) -> tuple[Row, int]:
    """How long, and for how many days nothing may be removed at all."""
    rule = state.rules.get(backup.get("_rule") or "") or {}
    for item in rule.get("ruleBackupDestinations", []):
        if item["backupDestination"]["guid"] == copy["backupDestination"]["guid"]:
            return item["backupRetentionSettings"], item["daysToKeepRetentionLock"]
    return USUAL, 0


def _note_what_is_left(vm: Row, backups: list[Row]) -> None:
    """Both of the vendor's pages offer to restore only where the size is above 0 (5.1)."""
    left = [backup for backup in backups if backup["status"]["name"] in GOOD]
    if backups and not left:
        vm.update(lastSuccessfulBackupSize=0, restorable=False)


# ── Marks ────────────────────────────────────────────────────────────────────


def preview(state: State, marks: list[tuple[Row, str, int | None]]) -> list[Row]:
    """What the marks (backup, hint, until when it is archived) would change, also in the rest of a chain (8.5)."""
    marked = {backup["guid"] for backup, _hint, _expires in marks}
    rows = [_change(backup, hint, expires) for backup, hint, expires in marks]
    for backup, hint, _expires in marks:
        if hint == "TO_REMOVE":
            children = [b for b in state.backups.values() if referred_guid(b.get("parentBackup")) == backup["guid"]]
            orphans = [b for b in children if b["guid"] not in marked and b["status"]["name"] in GOOD]
            rows += [{**_change(orphan, "RECREATE", None), "type": enum("FULL")} for orphan in orphans]
    return rows


def _change(backup: Row, hint: str, expires: int | None) -> Row:
    copies = backup["backupLocations"]
    copy = copies[0] if copies else {}
    return {
        "guid": backup["guid"],
        "backup": reference(backup),
        "backupDestination": copy.get("backupDestination"),
        "roleType": copy.get("roleType"),
        "protectedEntity": backup["protectedEntity"],
        "snapshotTime": backup.get("snapshotTime"),
        "previousHint": copy.get("retentionHint") or enum("STANDARD_RETENTION"),
        "retentionHint": enum(hint),
        "previousType": backup["type"],
        "type": backup["type"],
        "previousArchiveExpire": backup.get("archiveExpire"),
        "archiveExpire": expires,
    }


def mark(state: State, marks: list[tuple[Row, str, int | None]]) -> list[Row]:
    """What stood on a removed one stands alone from then on; what is to be removed goes a little later."""
    changes = preview(state, marks)
    for change in changes:
        backup = state.backups[change["guid"]]
        if change["retentionHint"]["name"] == "RECREATE":
            backup.update(type=enum("FULL"), parentBackup=None)
            continue
        backup["archiveExpire"] = change["archiveExpire"]
        for copy in backup["backupLocations"]:
            copy["retentionHint"] = change["retentionHint"]
    now = state.clock.now_ms()
    engine.promise(state, now + engine.life(state, state.settings.gap_seconds), "clean", nightly=False)
    return changes
