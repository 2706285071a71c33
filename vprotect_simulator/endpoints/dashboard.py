"""The figures of the dashboard (API reference, 17). All global, unless a current server is told a project."""

from __future__ import annotations

from vprotect_simulator import figures, reading
from vprotect_simulator.calls import Call, Reply, Route
from vprotect_simulator.figures import Scope
from vprotect_simulator.firing import DAY_MS
from vprotect_simulator.names import Row, reference, to_wire
from vprotect_simulator.state import State

# The end of the last day that has a name.
LAST_MS = 253_402_300_799_999


def scope_of(state: State, call: Call, length: int = DAY_MS, body: Row | None = None) -> Scope:
    """`from` and `to` are in the query, some say them in the body; the last day is meant without them."""
    project = call.first("project-uuid") if state.dialect == "current" else ""
    start, end = (_bound(call, body or {}, name) for name in ("from", "to"))
    end = state.clock.now_ms() if end is None else min(end, LAST_MS)
    return Scope(end - length if start is None else start, end, project)


def _bound(call: Call, body: Row, name: str) -> int | None:
    said = call.number(name)
    return reading.date(body, name) if said is None else said


def protection(state: State, call: Call) -> Reply:
    return Reply(200, figures.protection(state, scope_of(state, call)))


def backup_stats(state: State, call: Call) -> Reply:
    return Reply(200, figures.outcomes(scope_of(state, call).backups(state)))


def size_stats(state: State, call: Call) -> Reply:
    scope = scope_of(state, call, figures.DAYS_OF_A_CHART * DAY_MS)
    return Reply(
        200,
        {
            "backupSizeStatsResponses": figures.sizes_by_day(scope.backups(state), "backupTime", scope.end),
            "restoreSizeStatsResponses": figures.sizes_by_day(scope.restores(state), "restoreTime", scope.end),
        },
    )


def staging_space(state: State, call: Call) -> Reply:
    """Here, and only here, *available* is what is free (20, trap 22)."""
    return Reply(200, [_staging(node) for node in state.nodes.values()])


def _staging(node: Row) -> Row:
    space = node["stagingSpace"]
    free = space["totalSpace"] - space["usedSpace"]
    return {"node": reference(node), "totalSpace": space["totalSpace"], "availableSpace": free}


def destination_stats(state: State, call: Call) -> Reply:
    spaces = ("totalUsedSpace", "totalAvailableSpace", "totalDedupUsedSpace", "totalDedupAvailableSpace")
    rows = [{**reference(row), **{name: row.get(name) for name in spaces}} for row in state.destinations.values()]
    totals = {name: sum(row[name] for row in state.destinations.values()) for name in spaces[:2]}
    return Reply(200, to_wire({**totals, "backupDestinations": rows}))


ROUTES = (
    Route("GET", "/dashboard/protection", protection),
    Route("GET", "/dashboard/backup-stats", backup_stats),
    Route("GET", "/dashboard/vm-backup-size-stats", size_stats),
    Route("GET", "/dashboard/staging-space", staging_space),
    Route("GET", "/dashboard/backup-destination-stats", destination_stats),
)
