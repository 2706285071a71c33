"""Members of vProtect's JSON as values, read tolerantly (API reference, 3.4–3.6).

Absent and null members are alike; an enum is an object or a bare name, a reference an object or a bare GUID; unknown
members and unknown names are kept or ignored, never an error.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

GUID = re.compile(r"[A-Za-z0-9-]{1,64}")


class Malformed(ValueError):
    """A row without what makes it usable, or with a GUID that is none."""


def row(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed("a row is not an object")
    return value


def guid(value: dict[str, Any]) -> str:
    found = value.get("guid")
    if not isinstance(found, str) or not GUID.fullmatch(found):
        raise Malformed("a row has no usable guid")
    return found


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def enum(value: Any) -> str:
    return text(value.get("name")) if isinstance(value, dict) else text(value)


def enums(value: Any) -> tuple[str, ...]:
    """The names of a list of enums, in its order."""
    return tuple(name for item in value if (name := enum(item))) if isinstance(value, list) else ()


def guids(value: Any) -> tuple[str, ...]:
    """The GUIDs of a list of references, whole rows or bare GUIDs; what is none is left out."""
    items = value if isinstance(value, list) else []
    named = [item.get("guid") if isinstance(item, dict) else item for item in items]
    return tuple(item for item in named if isinstance(item, str) and GUID.fullmatch(item))


def flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def whole(value: Any) -> int | None:
    found = number(value)
    return None if found is None or found != found or abs(found) > 2**62 else int(found)


def time(value: Any) -> datetime | None:
    milliseconds = whole(value)
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
