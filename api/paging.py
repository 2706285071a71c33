"""Lists page by page: a cursor says after which row the next page begins, whatever has come or gone before it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet

from api.problems import invalid

USUAL_LIMIT = 50
NO_CURSOR = invalid("cursor", "Take next_cursor of the page before.")


def page(
    rows: QuerySet[Any], query: dict[str, str], *, by: tuple[str, ...], shape: Callable[[list[Any]], list[Any]]
) -> dict[str, Any]:
    """`by`: the two texts by which rows are ordered, "-" before both = downwards; together they are each row's own."""
    limit = int(query.get("limit", USUAL_LIMIT))
    names, is_down = [name.removeprefix("-") for name in by], by[0].startswith("-")
    if cursor := query.get("cursor"):
        first, second = _read(cursor)
        side = "lt" if is_down else "gt"
        after = Q(**{f"{names[0]}__{side}": first}) | Q(**{names[0]: first, f"{names[1]}__{side}": second})
        try:
            rows = rows.filter(after)
        except (ValidationError, ValueError):
            raise NO_CURSOR from None
    found = list(rows.order_by(*by)[: limit + 1])
    last = found[limit - 1] if len(found) > limit else None
    next_cursor = _written([_text(getattr(last, name)) for name in names]) if last is not None else None
    return {"items": shape(found[:limit]), "next_cursor": next_cursor}


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _written(parts: list[str]) -> str:
    return urlsafe_b64encode(json.dumps(parts).encode()).decode()


def _read(cursor: str) -> list[str]:
    """Made up ones lead somewhere in one's own list, or nowhere."""
    try:
        parts = json.loads(urlsafe_b64decode(cursor))
        is_sound = isinstance(parts, list) and [type(part) for part in parts] == [str, str]
        if is_sound and b"\0" not in "".join(parts).encode():
            return parts
    except (ValueError, Error, RecursionError):
        pass
    raise NO_CURSOR
