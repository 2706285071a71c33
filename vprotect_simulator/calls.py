"""What all endpoints share: the call and its reply, routes, and how lists are filtered, sorted and paged."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vprotect_simulator.engine import Refused
from vprotect_simulator.names import Row, referred_guid, to_wire, without
from vprotect_simulator.state import State

Query = dict[str, list[str]]


@dataclass(frozen=True)
class Call:
    """One request below /api: `path` without that prefix, `body` parsed JSON or None.

    `range_start`: from which byte on an answer is wanted.
    """

    method: str
    path: str
    query: Query = field(default_factory=dict)
    body: Any = None
    cookies: dict[str, str] = field(default_factory=dict)
    range_start: int = 0

    def first(self, name: str) -> str:
        """The value of a parameter that is given once; empty if it is not."""
        return self.query.get(name, [""])[0]

    def object(self) -> Row:
        if not isinstance(self.body, dict):
            raise Refused(400, "An object is expected")
        return self.body


@dataclass
class Reply:
    """`data` becomes JSON, None = no body; `content` is sent as it is (name its Content-Type in `headers`).

    `pieces` are sent one after the other, of `length` bytes in all, None = nobody knows before the end.
    """

    status: int
    data: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    pieces: Iterator[bytes] | None = None
    length: int | None = None


Answer = Callable[..., Reply]


@dataclass(frozen=True)
class Route:
    """`path` as in the reference, `{guid}` standing for anything without a slash.

    `answer` gets the state, the call and what the path's `{…}` stand for. `dialect`: the only one that knows it.
    """

    method: str
    path: str
    answer: Answer
    dialect: str = ""

    def fits(self, path: str) -> re.Match[str] | None:
        return re.fullmatch(re.sub(r"\{\w+\}", "([^/]+)", self.path), path)


def found(rows: dict[str, Row], reference: Any) -> Row:
    """The row that a path's GUID or a request's reference names. Raises `Refused`."""
    guid = referred_guid(reference)
    if guid not in rows:
        raise Refused(404, "Object with given GUID does not exist")
    return rows[guid]


def moment(body: Row, name: str) -> int | None:
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise Refused(400, f"{name} must be a number of milliseconds")
    return value


# ── Lists ────────────────────────────────────────────────────────────────────

# The parameters that a list knows, each with the values of a row by which it is found.
Filters = Mapping[str, Callable[[State, Row], Iterable[Any]]]


def filter_values(state: State, call: Call, name: str) -> set[str]:
    """Repeated parameters mean any of them."""
    return set() if state.settings.ignore_filters else set(call.query.get(name, []))


def filtered(state: State, call: Call, rows: Iterable[Row], filters: Filters) -> list[Row]:
    """Parameters that are not among `filters` are ignored, and everything comes back (20, trap 1)."""
    kept = list(rows)
    for name, values_of in filters.items():
        if wanted := filter_values(state, call, name):
            kept = [row for row in kept if wanted & set(values_of(state, row))]
    return kept


def guid_in(member: str) -> Callable[[State, Row], Iterable[Any]]:
    """The GUID of the reference in this member."""
    return lambda _state, row: [(row.get(member) or {}).get("guid")]


def name_in(member: str) -> Callable[[State, Row], Iterable[Any]]:
    """The name of the enum in this member."""
    return lambda _state, row: [(row.get(member) or {}).get("name")]


def listed(state: State, call: Call, rows: Iterable[Row], hidden: tuple[str, ...] = ()) -> Reply:
    """A bare array; with page and size the total is in a header (API reference, 3.7)."""
    rows = [row for row in rows if _matches(row, call)]
    if order := call.first("orderBy"):
        rows.sort(key=lambda row: _sort_key(row, order), reverse=call.first("direction").casefold() == "desc")
    page, size = call.first("page"), call.first("size")
    if not (page.isdigit() and size.isdigit()):
        return Reply(200, to_wire([without(row, *hidden) for row in rows]))
    length = state.settings.default_page_size or max(int(size), 1)
    total = {} if state.settings.omit_total_count else {"X-Total-Count": str(len(rows))}
    shown = rows[int(page) * length : (int(page) + 1) * length]
    return Reply(200, to_wire([without(row, *hidden) for row in shown]), total)


def _matches(row: Row, call: Call) -> bool:
    words = [word.casefold() for name in ("filter", "nameLike") for word in call.query.get(name, [])]
    texts = f"{row.get('name', '')} {row.get('uuid', '')} {row['guid']}".casefold()
    return all(word in texts for word in words)


def _sort_key(row: Row, member: str) -> tuple[bool, str, float]:
    value = row.get(member)
    value = value.get("name") if isinstance(value, dict) else value
    if isinstance(value, int | float):
        return value is None, "", float(value)
    return value is None, str(value or ""), 0.0


# ── Tenants ──────────────────────────────────────────────────────────────────

# The tenant filter has five spellings, and each call knows only its own (API reference, 20, trap 1).
_TENANT_FILTERS: dict[str, dict[str, tuple[str, ...]]] = {
    "classic": {
        "/virtual-machines": ("tenantid",),
        "/tasks": ("tenantId",),
        "/schedules": ("tenantid", "tenant-id"),
        "/policies/vm-backup": ("tenantid", "tenant-id"),
    },
    "current": dict.fromkeys(("/virtual-machines", "/tasks", "/schedules", "/policies/vm-backup"), ("project-uuid",)),
}


def of_tenant(
    state: State, call: Call, path: str, rows: Iterable[Row], values_of: Callable[[State, Row], Iterable[Any]]
) -> list[Row]:
    wanted = {value for name in _TENANT_FILTERS[state.dialect][path] for value in filter_values(state, call, name)}
    return [row for row in rows if not wanted or wanted & set(values_of(state, row))]
