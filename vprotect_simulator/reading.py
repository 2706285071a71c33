"""Reading what a request sends: each function takes one member out of a body, or raises `Refused`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from vprotect_simulator.engine import Refused
from vprotect_simulator.names import Row, enum, enum_name, referred_guid

# What the Java server's `long` holds.
MOST, MOST_NEGATIVE = 2**63 - 1, -(2**63)


def found(rows: dict[str, Row], named: Any) -> Row:
    guid = referred_guid(named)
    if not guid:
        raise Refused(400, "A reference with a guid is expected")
    if guid not in rows:
        raise Refused(404, "Object with given GUID does not exist")
    return rows[guid]


def name(body: Row) -> str:
    given = text(body, "name") or ""
    if not given.strip() or len(given) > 255:
        raise Refused(400, "name must have from 1 to 255 characters")
    return given


def text(body: Row, named: str) -> str | None:
    value = body.get(named)
    if value is not None and not isinstance(value, str):
        raise Refused(400, f"{named} must be text")
    return value


def flag(body: Row, named: str) -> bool:
    value = body.get(named) or False
    if not isinstance(value, bool):
        raise Refused(400, f"{named} must be true or false")
    return value


def number(body: Row, named: str, least: int | None = None, most: int | None = None, default: int | None = None) -> int:
    """`default` stands for what is not sent or has no value; without one it is required."""
    value = default if body.get(named) is None else body[named]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused(400, f"{named} must be a whole number")
    if not (MOST_NEGATIVE if least is None else least) <= value <= (MOST if most is None else most):
        raise Refused(400, f"{named} is out of range")
    return value


def choice(body: Row, named: str, known: tuple[str, ...]) -> Row:
    name = enum_name(body.get(named))
    if name not in known:
        raise Refused(400, f"{named} must be one of {', '.join(known)}")
    return enum(name)


def choices(body: Row, named: str, known: tuple[str, ...]) -> list[Row]:
    return [choice({named: value}, named, known) for value in items(body, named)]


def items(body: Row, named: str) -> list[Any]:
    value = body.get(named)
    if value is not None and not isinstance(value, list):
        raise Refused(400, f"{named} must be a list")
    return value or []


def member(body: Row, named: str) -> Row:
    value = body.get(named)
    if not isinstance(value, dict):
        raise Refused(400, f"{named} must be an object")
    return value


def moment(body: Row, named: str) -> int | None:
    """Epoch milliseconds; None if it is not sent."""
    return None if body.get(named) is None else number(body, named, least=0)


def date(body: Row, named: str) -> int | None:
    """A moment that a browser's client may also write as an ISO date. Epoch milliseconds."""
    value = body.get(named)
    if not isinstance(value, str):
        return moment(body, named)
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        raise Refused(400, f"{named} must be a date") from None
    return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1000)
