"""What all endpoints share: the call and its reply, routes, and how lists are filtered, sorted and paged."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vprotect_simulator.engine import Refused
from vprotect_simulator.names import Row, to_wire, without
from vprotect_simulator.state import State

Query = dict[str, list[str]]


@dataclass(frozen=True)
class Call:
    """One request below /api: `path` without that prefix, `body` parsed JSON or None.

    `range_start`: from which byte on an answer is wanted. `address`: the IP address of the caller.
    """

    method: str
    path: str
    query: Query = field(default_factory=dict)
    body: Any = None
    cookies: dict[str, str] = field(default_factory=dict)
    range_start: int = 0
    address: str = "127.0.0.1"

    def first(self, name: str) -> str:
        """The value of a parameter that is given once; empty if it is not."""
        return self.query.get(name, [""])[0]

    def number(self, name: str) -> int | None:
        """The value of a parameter that is a number; None of what is none, which is ignored like an unknown one."""
        return int(value) if re.fullmatch("[0-9]{1,18}", value := self.first(name)) else None

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


def within(state: State, call: Call, rows: Iterable[Row], moment_of: Callable[[Row], int | None]) -> list[Row]:
    """Those between `from` and `to` (epoch ms), where these are given."""
    bounds = [call.number(name) for name in ("from", "to")]
    start, end = (None, None) if state.settings.ignore_filters else bounds
    return [
        row
        for row in rows
        if (start is None or (moment_of(row) or 0) >= start) and (end is None or (moment_of(row) or 0) <= end)
    ]


def guid_in(member: str) -> Callable[[State, Row], Iterable[Any]]:
    """The GUID of the reference in this member."""
    return lambda _state, row: [(row.get(member) or {}).get("guid")]


def name_in(member: str) -> Callable[[State, Row], Iterable[Any]]:
    """The name of the enum in this member."""
    return lambda _state, row: [(row.get(member) or {}).get("name")]


def only(is_one: Callable[[State, Row], bool]) -> Callable[[State, Row], Iterable[Any]]:
    """Of a parameter that is a flag: `true` keeps those that are one, `false` keeps all."""
    return lambda state, row: ["true", "false"] if is_one(state, row) else ["false"]


def listed(
    state: State,
    call: Call,
    rows: Iterable[Row],
    hidden: tuple[str, ...] = (),
    order_names: Mapping[str, str] | None = None,
    shaped: Callable[[list[Row]], list[Row]] | None = None,
) -> Reply:
    """A bare array; with page and size the total is in a header (API reference, 3.7).

    `order_names`: what `orderBy` calls a member otherwise than the rows do. `shaped`: makes what is answered of rows,
    if that is dear: of a page's only, unless the order may depend on it.
    """
    rows = [row for row in rows if _matches(row, call)]
    shaped = shaped or list
    if order := call.first("orderBy"):
        rows, shaped = shaped(rows), list
        rows = _sorted(rows, (order_names or {}).get(order, order), call.first("direction").casefold() == "desc")
    page, size = call.number("page") if call.first("page") else 0, call.number("size")
    if page is None or size is None:
        return Reply(200, to_wire([without(row, *hidden) for row in shaped(rows)]))
    length = state.settings.default_page_size or max(size, 1)
    total = {} if state.settings.omit_total_count else {"X-Total-Count": str(len(rows))}
    shown = shaped(rows[page * length : (page + 1) * length])
    return Reply(200, to_wire([without(row, *hidden) for row in shown]), total)


def _matches(row: Row, call: Call) -> bool:
    """`filter` looks at the names and ids in a row and at its tags, `nameLike` at its name."""
    words = [word.casefold() for word in call.query.get("filter", [])]
    names = [word.casefold() for word in call.query.get("nameLike", [])]
    texts = "\n".join(_texts(row)).casefold() if words else ""
    return all(word in texts for word in words) and all(word in _display_name(row).casefold() for word in names)


def _texts(row: Row) -> Iterator[str]:
    for member, value in row.items():
        if isinstance(value, str) and member in {"name", "uuid", "guid", "url", "host", "path", "description"}:
            yield value
        elif isinstance(value, dict) and "guid" in value:
            yield str(value.get("name", ""))
        elif member == "tags":
            yield from value


def _display_name(row: Row) -> str:
    entity = row.get("protectedEntity") or {}
    return str(row.get("name") or row.get("url") or row.get("host") or entity.get("name", ""))


def _sorted(rows: list[Row], member: str, is_descending: bool) -> list[Row]:
    """By any member, also one inside another (`backup.size`); what has no value comes last."""
    keyed = [(_sort_value(row, member), row) for row in rows]
    valued = [(value, row) for value, row in keyed if value is not None]
    valued.sort(key=lambda pair: pair[0], reverse=is_descending)
    return [row for _value, row in valued] + [row for value, row in keyed if value is None]


def _sort_value(row: Row, member: str) -> tuple[float, str] | None:
    value: Any = row
    for part in member.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, dict):
        value = value.get("name") or value.get("guid")
    if isinstance(value, list):
        value = len(value)
    if value is None:
        return None
    return (float(value), "") if isinstance(value, int | float) else (0.0, str(value).casefold())


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
