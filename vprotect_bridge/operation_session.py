"""A PostgreSQL session of its own that holds the lock of one operation and moves its row.

The advisory lock lives exactly as long as the process that works on the operation: it is free at once when that
process is killed, and still held while it is frozen. It needs a direct connection: behind a pooler in transaction
mode such a lock is stranded, and Django may reopen its own connection without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection
from psycopg import sql
from psycopg.types.json import Jsonb

from vprotect_bridge.models import Operation

TABLE = sql.Identifier(Operation._meta.db_table)


class DatabaseClock:
    """Stands for the database's own clock in `OperationSession.move`; hosts' clocks differ."""

    def __init__(self, seconds_ahead: float = 0) -> None:
        self.seconds_ahead = seconds_ahead


class OperationSession:
    """Moves one operation at a time; every move is refused when the row is no longer as it was read."""

    def __init__(self, pg: psycopg.Connection[Any]) -> None:
        self._pg = pg

    def query(self, text: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        return self._pg.execute(sql.SQL(text), parameters).fetchall()

    def try_lock(self, operation_id: UUID) -> bool:
        return bool(self.query("SELECT pg_try_advisory_lock(%s)", [_lock_key(operation_id)])[0][0])

    def unlock(self, operation_id: UUID) -> None:
        self.query("SELECT pg_advisory_unlock(%s)", [_lock_key(operation_id)])

    @contextmanager
    def taking_turns(self, tenant_id: int) -> Iterator[None]:
        """A transaction, inside of which only one session is for the operations of this tenant."""
        with self._pg.transaction():
            self.query("SELECT 1 FROM pg_advisory_xact_lock(hashtext('turns of a tenant'), %s::int)", [tenant_id])
            yield

    def move(self, operation: Operation, to: str, *, detail: str = "", **changes: Any) -> bool:
        """Moves `submission` and records the event, in one statement; False = somebody else moved it before.

        The row must still be in the submission and under the fence that `operation` was read with. On success
        `operation` holds the new submission and fence. Staying where it is for the same reason is noted once.
        """
        changes["submission"] = to
        assignments = [
            sql.SQL("{} = {}").format(sql.Identifier(field), _value(value)) for field, value in changes.items()
        ]
        values = [v for v in map(_parameter, changes.values()) if not isinstance(v, DatabaseClock)]
        statement = sql.SQL(
            "WITH moved AS (UPDATE {table} SET {assignments} WHERE id = %s AND submission = %s AND fence = %s"
            " RETURNING id, tenant_id, fence), noted AS (INSERT INTO vprotect_bridge_operationevent"
            " (id, tenant_id, operation_id, at, moved_from, moved_to, fence, detail)"
            " SELECT gen_random_uuid(), tenant_id, id, clock_timestamp(), %s, %s, fence, %s FROM moved"
            " WHERE %s IS DISTINCT FROM (SELECT e.detail FROM vprotect_bridge_operationevent e"
            " WHERE e.operation_id = moved.id AND e.moved_from = %s AND e.moved_to = %s"
            " AND e.moved_from = e.moved_to ORDER BY e.at DESC LIMIT 1))"
            " SELECT fence FROM moved"
        ).format(table=TABLE, assignments=sql.SQL(", ").join(assignments))
        was = [operation.pk, operation.submission, operation.fence]
        move = [operation.submission, to]
        noted = detail[:4000]
        row = self._pg.execute(statement, [*values, *was, *move, noted, noted, *move]).fetchone()
        if row is None:
            return False
        operation.submission, operation.fence = Operation.Submission(to), row[0]
        return True


@contextmanager
def operation_session() -> Iterator[OperationSession]:
    """Opens the session; closing it frees every lock that it holds."""
    with psycopg.connect(**_parameters(), autocommit=True) as pg:
        yield OperationSession(pg)


@contextmanager
def locked(session: OperationSession, operation_id: UUID) -> Iterator[bool]:
    """True inside when the lock was free; False = a living process works on this operation."""
    held = session.try_lock(operation_id)
    try:
        yield held
    finally:
        if held:
            session.unlock(operation_id)


def _parameters() -> dict[str, Any]:
    wanted = ("host", "port", "dbname", "user", "password", "sslmode", "sslrootcert", "options")
    return {k: v for k, v in connection.get_connection_params().items() if k in wanted}


def _lock_key(operation_id: UUID) -> int:
    return int.from_bytes(operation_id.bytes[8:], signed=True)


def _value(value: Any) -> sql.Composable:
    if isinstance(value, DatabaseClock):
        return sql.SQL("clock_timestamp() + make_interval(secs => {})").format(sql.Literal(value.seconds_ahead))
    return sql.SQL("%s")


def _parameter(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, list | dict) else value
