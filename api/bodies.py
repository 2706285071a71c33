"""What a program sent, read strictly: what is odd in it is refused with its place, never guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from django.http import HttpRequest
from jsonschema import Draft202012Validator

from api.problems import Problem, invalid
from api.schemas import SCHEMAS
from vprotect_bridge.models import Protection

MOST_BYTES = 64 * 1024
LONGEST_DETAIL = 200


def body_of(request: HttpRequest, schema: str) -> dict[str, Any]:
    """The body as JSON that fits the schema. Raises `Problem`."""
    if request.content_type != "application/json" or request.headers.get("Content-Encoding", "identity") != "identity":
        raise Problem("unsupported-media-type", "Send application/json, not compressed.")
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > MOST_BYTES:
        raise Problem("too-large", f"At most {MOST_BYTES} bytes.")
    body = _read(request.read(MOST_BYTES + 1))
    if told := [one for error in _validator(schema).iter_errors(body) for one in _told(error)]:
        by_field = {one["field"]: one for one in told}
        raise Problem("invalid", errors=[by_field[field] for field in sorted(by_field)])
    return body


def _read(raw: bytes) -> Any:
    try:
        body = json.loads(raw.decode("utf-8"), object_pairs_hook=_once_each, parse_constant=_refuse)
        # Half a pair of surrogates has no place in UTF-8, nor a zero in a text of the database.
        again = json.dumps(body, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise Problem("unreadable", "The JSON is nested too deeply.") from None
    except ValueError:
        raise Problem("unreadable", "The body is not JSON in UTF-8 with each name once.") from None
    if rb"\u0000" in again:
        raise Problem("unreadable", "A text must not contain a zero byte.")
    return body


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(SCHEMAS[schema])


def _told(error: Any) -> list[dict[str, str]]:
    """By field; what is missing is named as what is wrong."""
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return [{"field": name, "detail": "It is required."} for name in missing]
    return [{"field": ".".join(map(str, error.absolute_path)), "detail": error.message[:LONGEST_DETAIL]}]


def moment_of(body: Mapping[str, Any], field: str) -> datetime | None:
    """An aware time of a field whose shape the schema knows; None = it is not there. Raises `Problem`."""
    text = body.get(field)
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise invalid(field, "There is no such time.") from None


# ── The query ────────────────────────────────────────────────────────────────

STATUSES = "|".join(Protection.values)
# What fits, and what is said of what does not.
VALUES = {
    "limit": (r"[1-9][0-9]?|100", "a whole number from 1 to 100"),
    "cursor": (r"[A-Za-z0-9_=-]{1,4000}", "the next_cursor of the page before"),
    "status": (STATUSES, f"one of {STATUSES.replace('|', ', ')}"),
    "plan": (r"none|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "none or the id of a plan"),
    "q": (r"[^\x00]{1,100}", "a text of at most 100 characters"),
}


def query_of(request: HttpRequest, allowed: tuple[str, ...]) -> dict[str, str]:
    """Each parameter once and known: one that is not known would else be a filter that filters nothing."""
    for name, values in request.GET.lists():
        if name not in allowed:
            raise Problem("unreadable", f"There is no parameter of this name here. Known: {', '.join(allowed) or '–'}.")
        if len(values) > 1:
            raise Problem("unreadable", f"{name} comes more than once.")
        pattern, words = VALUES[name]
        if not re.fullmatch(pattern, values[0]) or "\ufffd" in values[0]:
            raise invalid(name, f"It must be {words}.")
    return request.GET.dict()
