"""Files and file systems of a backup (API reference, 8.4)."""

from __future__ import annotations

from collections.abc import Callable

from vprotect_simulator.backup_files import detailed_files_of, file_systems_of, files_of
from vprotect_simulator.calls import Call, Reply, Route, filter_values, listed
from vprotect_simulator.names import Row
from vprotect_simulator.reading import found
from vprotect_simulator.state import State


def list_files(state: State, call: Call) -> Reply:
    return _of_backups(state, call, lambda backup: files_of(state, backup))


def list_detailed_files(state: State, call: Call) -> Reply:
    return _of_backups(state, call, lambda backup: detailed_files_of(state, backup))


def list_file_systems(state: State, call: Call) -> Reply:
    return _of_backups(state, call, file_systems_of)


def _of_backups(state: State, call: Call, rows_of: Callable[[Row], list[Row]]) -> Reply:
    """Without `backup` of all of them, as everywhere."""
    named = [found(state.backups, guid) for guid in filter_values(state, call, "backup")]
    return listed(state, call, [row for backup in named or state.backups.values() for row in rows_of(backup)])


ROUTES = (
    Route("GET", "/backup-files", list_files),
    Route("GET", "/backup-files/detailed", list_detailed_files),
    Route("GET", "/backup-files/detailed/for-restore", list_detailed_files),
    Route("GET", "/file-systems", list_file_systems),
)
