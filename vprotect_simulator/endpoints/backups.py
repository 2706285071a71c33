"""Backups (API reference, 8.1 and 8.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vprotect_simulator import machines, mounts, reading, restores
from vprotect_simulator.backup_files import formats_of
from vprotect_simulator.calls import Call, Filters, Reply, Route, filtered, guid_in, listed, name_in, only, within
from vprotect_simulator.names import Row, referred_guid, to_wire, without
from vprotect_simulator.reading import found
from vprotect_simulator.state import State


def _destinations(_state: State, backup: Row) -> Iterable[str]:
    return [copy["backupDestination"]["guid"] for copy in backup["backupLocations"]]


def _of_machine(member: str) -> Any:
    """Where the machine is now: a backup itself does not say where it ran."""
    return lambda state, backup: [referred_guid(restores.original(state, backup).get(member))]


def _root(state: State, backup: Row) -> Iterable[str]:
    while parent := state.backups.get(referred_guid(backup.get("parentBackup"))):
        backup = parent
    return [backup["guid"]]


FILTERS: Filters = {
    "protected-entity": guid_in("protectedEntity"),
    "protected-entity-type": lambda _state, backup: [backup["protectedEntity"]["type"]["name"]],
    "status": name_in("status"),
    "type": name_in("type"),
    "only-mountable": only(mounts.mountable),
    "in-progress": only(lambda _state, backup: backup["status"]["name"] in {"QUEUED", "INPROGRESS"}),
    "without-hidden": only(lambda _state, backup: not backup["hidden"]),
    "backup-destination": _destinations,
    "backup-rule": guid_in("backupRule"),
    "parent-backup": guid_in("parentBackup"),
    "root-backup": _root,
    "hypervisor": _of_machine("hypervisor"),
    "hypervisor-manager": _of_machine("hvManager"),
    "node": lambda _state, backup: [backup.get("_node")],
}


def list_backups(state: State, call: Call) -> Reply:
    """There is no filter for a tenant: the machine says whose it is."""
    rows = within(state, call, state.backups.values(), _moment)
    rows = filtered(state, call, rows, FILTERS)
    if (least := call.number("min-size")) is not None and not state.settings.ignore_filters:
        rows = [row for row in rows if row["size"] >= least]
    return listed(state, call, rows, hidden=("name",))


def _moment(backup: Row) -> int | None:
    return backup.get("snapshotTime") or backup.get("backupTime")


def get_backup(state: State, call: Call, guid: str) -> Reply:
    return Reply(200, to_wire(_details(state, found(state.backups, guid))))


def _details(state: State, backup: Row) -> Row:
    return {
        **without(backup, "name"),
        "mountable": mounts.mountable(state, backup),
        "iscsiMountable": mounts.mountable(state, backup),
        "networkInterfaceCards": [machines.network_card(state, restores.original(state, backup))],
        "fileFormats": formats_of(state, backup),
    }


def set_description(state: State, call: Call, guid: str) -> Reply:
    backup = found(state.backups, guid)
    backup["description"] = reading.text(call.object(), "value") or None
    return Reply(200, to_wire(_details(state, backup)))


def acknowledge_warnings(state: State, call: Call, guid: str) -> Reply:
    backup = found(state.backups, guid)
    backup["warningsAcknowledged"] = reading.flag(call.object(), "value")
    return Reply(200, to_wire(_details(state, backup)))


def acknowledge_many_warnings(state: State, call: Call) -> Reply:
    """What else may carry warnings is named too, but only backups have any here (7.x)."""
    body = call.object()
    named = [found(state.backups, item) for item in reading.items(body, "backups")]
    entities = {referred_guid(item) for item in reading.items(body, "protectedEntities")}
    named += [row for row in state.backups.values() if row["protectedEntity"]["guid"] in entities]
    for backup in named:
        backup["warningsAcknowledged"] = True
    return Reply(204)


# ── Copies ───────────────────────────────────────────────────────────────────

COPY_FILTERS: Filters = {
    "protected-entity": lambda _state, copy: [copy["_vm"]],
    "location-status": name_in("status"),
    "backup-rule": lambda _state, copy: [copy["_rule"]],
}
SLIM = ("guid", "backup", "snapshotTime", "backupDestination", "roleType", "type", "status")


def list_copies(state: State, call: Call) -> Reply:
    return listed(state, call, _copies(state, call))


def list_copies_for_restore(state: State, call: Call) -> Reply:
    """The same, with a slimmer row."""
    return listed(state, call, [{name: copy[name] for name in SLIM} for copy in _copies(state, call)])


def _copies(state: State, call: Call) -> list[Row]:
    copies = [
        {
            **copy,
            "statusInfo": backup.get("statusInfo"),
            "_vm": backup["protectedEntity"]["guid"],
            "_rule": _rule(backup),
        }
        for backup in state.backups.values()
        for copy in backup["backupLocations"]
    ]
    return filtered(state, call, copies, COPY_FILTERS)


def _rule(backup: Row) -> str:
    return referred_guid(backup.get("backupRule"))


ROUTES = (
    Route("GET", "/backups", list_backups),
    Route("GET", "/backups/{guid}", get_backup),
    Route("PUT", "/backups/{guid}/description", set_description),
    Route("PUT", "/backups/{guid}/warnings-acknowledged", acknowledge_warnings),
    Route("PUT", "/backups/warnings-acknowledged", acknowledge_many_warnings),
    Route("GET", "/backup-locations", list_copies),
    Route("GET", "/backup-locations/for-restore", list_copies_for_restore),
)
