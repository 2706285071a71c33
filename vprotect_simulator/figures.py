"""Figures that are computed from the data: protection, outcomes, sizes (API reference, 17 and duty 30)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from vprotect_simulator.backups import GOOD
from vprotect_simulator.firing import DAY_MS
from vprotect_simulator.machines import protection_of
from vprotect_simulator.names import Row, referred_guid
from vprotect_simulator.state import State

# What vProtect protects beside machines: there is none of it here, but its figures are asked for all the same.
OTHER_ENTITIES = ("app", "storage", "cloud", "cloudUser", "cloudSite", "cloudGroup", "endpoints")
DAYS_OF_A_CHART = 15
OUTCOMES = {
    "SUCCESS": "successful",
    "PARTIAL_SUCCESS": "successful",
    "SUCCESS_REMOVED": "successful",
    "FAILED": "failed",
    "INPROGRESS": "inProgress",
    "QUEUED": "queued",
}


@dataclass(frozen=True)
class Scope:
    """Which machines and which time figures are about. `project_uuid` empty = everybody's; epoch ms."""

    start: int
    end: int
    project_uuid: str = ""

    def machines(self, state: State) -> list[Row]:
        projects = {guid for guid, row in state.projects.items() if row["uuid"] == self.project_uuid}
        return [
            vm for vm in state.vms.values() if not self.project_uuid or referred_guid(vm.get("project")) in projects
        ]

    def backups(self, state: State) -> list[Row]:
        rows = [row for row in state.backups.values() if self.start <= row["backupTime"] <= self.end]
        return self._of_machines(state, rows)

    def restores(self, state: State) -> list[Row]:
        rows = [row for row in state.restore_jobs.values() if self.start <= row["restoreTime"] <= self.end]
        return self._of_machines(state, rows)

    def _of_machines(self, state: State, rows: list[Row]) -> list[Row]:
        guids = {vm["guid"] for vm in self.machines(state)}
        return [row for row in rows if not self.project_uuid or row["protectedEntity"]["guid"] in guids]


def text_of_bytes(size: int) -> str:
    """As vProtect writes it: 1024 is the base, whatever the letters say (3.3)."""
    number, unit = float(size), "B"
    for unit in ("B", "KB", "MB", "GB", "TB", "PB"):
        if number < 1024 or unit == "PB":
            break
        number /= 1024
    return f"{number:.2f} {unit}"


def protection(state: State, scope: Scope) -> Row:
    present = [protection_of(vm) for vm in scope.machines(state) if vm["present"]]
    of_machines = {
        "protectedNo": present.count("IS_PROTECTED"),
        "notProtected": present.count("NOT_PROTECTED"),
        "noSchedule": present.count("NO_SCHEDULE"),
    }
    nothing = dict.fromkeys(of_machines, 0)
    return {"allEntities": of_machines, "vm": of_machines, **{kind: nothing for kind in OTHER_ENTITIES}}


def outcomes(rows: Iterable[Row]) -> Row:
    """Of backups or restore jobs, which have the same states."""
    rows = list(rows)
    counted = dict.fromkeys(("successful", "failed", "inProgress", "queued"), 0)
    for row in rows:
        counted[OUTCOMES[row["status"]["name"]]] += 1
    return {**counted, "totalData": text_of_bytes(sum(size_of(row) for row in rows if _went_well(row)))}


def size_of(row: Row) -> int:
    """A restore job has the size of what it restores."""
    return int(row["backup"]["size"] if "restoreType" in row else row["size"])


def _went_well(row: Row) -> bool:
    return OUTCOMES[row["status"]["name"]] == "successful"


def sizes_by_day(rows: Iterable[Row], member: str, end: int) -> dict[str, int]:
    """Day (UTC) → bytes, a fortnight and a day in their order."""
    midnights = [end // DAY_MS * DAY_MS - back * DAY_MS for back in range(DAYS_OF_A_CHART - 1, -1, -1)]
    sizes = dict.fromkeys((_day(midnight) for midnight in midnights), 0)
    for row in rows:
        if _went_well(row) and _day(row[member]) in sizes:
            sizes[_day(row[member])] += size_of(row)
    return sizes


def _day(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%d}"


# ── Reports ──────────────────────────────────────────────────────────────────


def report(state: State, scope: Scope) -> Row:
    return {
        "backups": _section(state, scope.backups(state), "snapshotTime"),
        "restores": _section(state, scope.restores(state), "restoreTime"),
    }


def _section(state: State, rows: list[Row], member: str) -> Row:
    return {**outcomes(rows), "total": len(rows), "elements": [_element(state, row, member) for row in rows]}


def _element(state: State, row: Row, member: str) -> Row:
    """Machine and policy are their names here, not references."""
    vm = state.vms.get(row["protectedEntity"]["guid"], {})
    return {
        "protectedEntity": row["protectedEntity"]["name"],
        "protectedEntityGuid": row["protectedEntity"]["guid"],
        "policy": (vm.get("vmBackupPolicy") or {}).get("name"),
        member: row.get(member),
        "size": size_of(row),
        "type": (row.get("restoreType") or row["type"])["description"],
        "status": row["status"],
        "statusInfo": row.get("statusInfo"),
    }


# ── Chargeback ───────────────────────────────────────────────────────────────

# `groupBy`: in which member of a machine its group is.
GROUPS = {
    "backup-policy": "vmBackupPolicy",
    "hypervisor": "hypervisor",
    "hypervisor-cluster": "hvCluster",
    "hypervisor-manager": "hvManager",
    "project": "project",
}
GROUPINGS = ("virtual-machine", "backup-destination", *GROUPS)
# The filters of a chargeback, by what they are about.
GUIDS = {
    "backupPolicyGuids": "vmBackupPolicy",
    "hypervisorGuids": "hypervisor",
    "hypervisorClusterGuids": "hvCluster",
    "hypervisorManagerGuids": "hvManager",
    "projectGuids": "project",
}


def current_sizes(state: State, scope: Scope, wish: Row) -> list[Row]:
    """What is stored now, each copy: the time does not matter any more (17)."""
    rows = [row for row in state.backups.values() if row["status"]["name"] in GOOD]
    copies = [(row, copy) for row in rows for copy in row["backupLocations"] if copy["status"]["name"] == "PRESENT"]
    return _grouped(state, scope, wish, copies)


def transferred_sizes(state: State, scope: Scope, wish: Row) -> list[Row]:
    """What was stored in that time, also what is gone by now."""
    rows = [row for row in state.backups.values() if scope.start <= row["backupTime"] <= scope.end]
    return _grouped(state, scope, wish, [(row, copy) for row in rows for copy in row["backupLocations"]])


def _grouped(state: State, scope: Scope, wish: Row, copies: list[tuple[Row, Row]]) -> list[Row]:
    vms = {vm["guid"]: vm for vm in scope.machines(state) if _is_wanted(vm, wish)}
    destinations = set(wish["backupDestinationGuids"])
    sizes: dict[str, Row] = {}
    for backup, copy in copies:
        vm = vms.get(backup["protectedEntity"]["guid"])
        if vm is None or (destinations and copy["backupDestination"]["guid"] not in destinations):
            continue
        if group := _group(vm, copy, wish["groupBy"]):
            row = sizes.setdefault(group["guid"], {"guid": group["guid"], "name": group["name"], "size": 0})
            row["size"] += backup["size"]
    return sorted(sizes.values(), key=lambda row: row["name"].casefold())


def _is_wanted(vm: Row, wish: Row) -> bool:
    if wish["virtualMachineGuids"] and vm["guid"] not in wish["virtualMachineGuids"]:
        return False
    return all(not wish[name] or referred_guid(vm.get(member)) in wish[name] for name, member in GUIDS.items())


def _group(vm: Row, copy: Row, group_by: str) -> Row | None:
    if group_by == "virtual-machine":
        return vm
    if group_by == "backup-destination":
        return dict(copy["backupDestination"])
    return vm.get(GROUPS[group_by])
