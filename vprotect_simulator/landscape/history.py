"""What happened before anybody asks: a month of nightly backups for each machine, and some that are on their way."""

from __future__ import annotations

import random
from dataclasses import dataclass

from vprotect_simulator.backups import backup_name, backup_size, location, note_success, platform_of, request_backup
from vprotect_simulator.firing import DAY_MS
from vprotect_simulator.landscape.infrastructure import GIB
from vprotect_simulator.names import Row, enum, guid_of, reference
from vprotect_simulator.plans import policy_of, rules_of
from vprotect_simulator.state import State

NIGHT_IS_OVER_MS = 3 * 3600 * 1000
DAYS_KEPT, DAYS_ABSENT = 21, 40
REASONS = (
    "Snapshot could not be created: not enough space on storage ssd-pool-2 at hv-03.internal",
    "Backup destination is not assigned to the node",
    "java.nio.file.NoSuchFileException: /vprotect_data/import/disk-0.qcow2 on node1.internal",
    "Window passed: the task was not started in time",
    "Cannot connect to hypervisor kvm-03.internal: Connection timed out",
)


@dataclass(frozen=True)
class Fate:
    """How a machine fared: for how many days it was backed up, and how that ended."""

    days: int
    fails: bool = False
    is_overdue: bool = False
    is_always_full: bool = False


def add_history(state: State, vm: Row, fate: Fate) -> None:
    """One backup a night at about 02:00 UTC, full on Sundays; what is older than three weeks is removed."""
    rng = random.Random(vm["name"])  # noqa: S311
    # The last night that is over by now, whatever time of the day it is.
    last_night = (state.clock.now_ms() - NIGHT_IS_OVER_MS) // DAY_MS * DAY_MS
    newest_day = 3 if fate.is_overdue else 0 if vm["present"] else DAYS_ABSENT
    base: Row | None = None
    sizes = {kind: backup_size(state, vm, kind) for kind in ("FULL", "INCREMENTAL")}
    for day in range(fate.days + newest_day, newest_day - 1, -1):
        at = last_night - day * DAY_MS + rng.randint(7_200_000, 9_000_000)
        is_full = base is None or fate.is_always_full or (at // DAY_MS + 4) % 7 == 0
        fails = (day == newest_day and fate.fails) or (day > newest_day + 1 and rng.random() < 0.02)
        kind = "FULL" if is_full else "INCREMENTAL"
        backup = _past_backup(state, vm, at, kind, int(sizes[kind] * rng.uniform(0.8, 1.1)), base, rng)
        if fails:
            backup.update(status=enum("FAILED"), statusInfo=rng.choice(REASONS), size=0, backupLocations=[])
            vm["lastBackup"] = at
        else:
            base = backup
            if day > DAYS_KEPT and vm["present"]:
                backup["status"] = enum("SUCCESS_REMOVED")
                backup["backupLocations"][0]["status"] = enum("REMOVED")
            elif rng.random() < 0.03:
                backup.update(status=enum("PARTIAL_SUCCESS"), warnings=["One disk was left out"], warningsPresent=True)
            note_success(state, vm, backup)


def _past_backup(state: State, vm: Row, at: int, kind: str, size: int, base: Row | None, rng: random.Random) -> Row:
    export, store = (max(int(size / rate / GIB * 1000), 20_000) for rate in (0.12, 0.2))
    guid = guid_of(f"backup/{vm['guid']}/{at // DAY_MS}")
    policy = policy_of(state, vm)
    rule = rules_of(state, policy)[0] if policy else None
    backup: Row = {
        "guid": guid,
        "name": backup_name(vm, at),
        "status": enum("SUCCESS"),
        "statusInfo": f"Backup of VM: {vm['name']} (size: {size // 1024**2} MiB) stored.",
        "type": enum(kind),
        "size": size,
        "backupTime": at,
        "snapshotTime": at + 2000,
        "protectedEntity": reference(vm, "VM"),
        "parentBackup": reference(base) if base and kind == "INCREMENTAL" else None,
        "sourceProject": vm["project"],
        "taskTimeStats": {
            "queuedExportTime": rng.randint(2000, 90_000),
            "exportTime": export,
            "queuedStoreTime": rng.randint(1000, 20_000),
            "storeTime": store,
        },
        "taskDurationTime": export + store,
        "originEntity": {"guid": guid_of("schedule/nightly"), "name": "nightly", "type": enum("SCHEDULE")},
        "warnings": [],
        "warningsPresent": False,
        "hidden": False,
        "vmExportImportMode": vm["vmExportImportMode"],
        "effectiveBackupSize": size,
        "effectiveBackupObjectsCount": 1,
        "backupRule": rule and reference(rule),
        "_rule": rule and rule["guid"],
        "_destination": None,
        "_platform": platform_of(vm),
    }
    destination = rule["_destination"] if rule else guid_of("destination/primary-fs")
    backup["backupLocations"] = [location(backup, state.destinations[destination])]
    state.backups[guid] = backup
    return backup


def start_backup(state: State, name: str, backup_type: str = "FULL") -> None:
    """A backup that is on its way when the landscape is first seen."""
    wish = {
        "backup_type": backup_type,
        "destination": state.destinations[guid_of("destination/primary-fs")],
        "priority": 50,
        "window_start": None,
        "window_end": None,
        "retry_count": 0,
        "schedule": state.schedules[guid_of("schedule/nightly")],
    }
    request_backup(state, state.vms[guid_of(f"vm/{name}")], wish)
