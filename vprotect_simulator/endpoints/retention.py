"""Marking single backups to be removed, archived or kept as usual (API reference, 8.5)."""

from __future__ import annotations

from vprotect_simulator import reading, retention
from vprotect_simulator.calls import Call, Reply, Route
from vprotect_simulator.engine import Refused
from vprotect_simulator.names import Row, to_wire
from vprotect_simulator.reading import found
from vprotect_simulator.state import State

HINTS = ("TO_REMOVE", "ARCHIVE", "STANDARD_RETENTION")


def preview(state: State, call: Call) -> Reply:
    return Reply(200, to_wire(retention.preview(state, _marks(state, call))))


def mark(state: State, call: Call) -> Reply:
    return Reply(200, to_wire(retention.mark(state, _marks(state, call))))


def _marks(state: State, call: Call) -> list[tuple[Row, str, int | None]]:
    """A bare array; the `guid` of each is the backup's, though the row is that of a copy."""
    if not isinstance(call.body, list) or not all(isinstance(item, dict) for item in call.body):
        raise Refused(400, "An array of backup locations is expected")
    return [_mark(state, item) for item in call.body]


def _mark(state: State, item: Row) -> tuple[Row, str, int | None]:
    backup, hint = found(state.backups, item), reading.choice(item, "retentionHint", HINTS)["name"]
    expires = reading.date(item, "archiveExpire") if hint == "ARCHIVE" else None
    if hint == "ARCHIVE" and expires is None:
        raise Refused(400, "archiveExpire is required")
    return backup, hint, expires


ROUTES = (
    Route("POST", "/retention/mark-backups/preview", preview),
    Route("POST", "/retention/mark-backups", mark),
)
