"""Restore jobs (API reference, 9)."""

from __future__ import annotations

from vprotect_simulator.calls import Call, Filters, Reply, Route, filtered, guid_in, listed, within
from vprotect_simulator.engine import Refused
from vprotect_simulator.names import Row, to_wire
from vprotect_simulator.reading import found
from vprotect_simulator.state import State

FILTERS: Filters = {"protected-entity": guid_in("protectedEntity")}


def list_restore_jobs(state: State, call: Call) -> Reply:
    if not state.settings.has_restore_jobs:
        raise Refused(404, "Not found")
    rows = within(state, call, state.restore_jobs.values(), _moment)
    return listed(state, call, filtered(state, call, rows, FILTERS))


def _moment(job: Row) -> int | None:
    return int(job["restoreTime"])


def get_restore_job(state: State, call: Call, guid: str) -> Reply:
    return Reply(200, to_wire(found(state.restore_jobs, guid)))


ROUTES = (
    Route("GET", "/restore-jobs", list_restore_jobs),
    Route("GET", "/restore-jobs/{guid}", get_restore_job),
)
