"""Holds what goes over the wire against the shapes of vProtect's API (docs/shapes, written from the reference).

The simulator's answers and the client's requests are both held against them, so that the two cannot drift together.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource

from vprotect_simulator.calls import Call, Reply
from vprotect_simulator.server import SimulatorServer

FOLDER = Path(__file__).parents[1] / "docs/shapes"
BASE = "https://shapes.invalid/"


@dataclass
class Endpoint:
    """The shapes of one call. `parts`: query, request, answer, each also by dialect as `answer-current`."""

    file: str
    method: str
    path: str
    statuses: list[int]
    parts: dict[str, Any]

    def fits(self, method: str, path: str) -> bool:
        return method == self.method and bool(re.fullmatch(self.path.replace("{guid}", "[^/]+"), path))

    def part(self, name: str, dialect: str) -> str | None:
        return next((part for part in (f"{name}-{dialect}", name) if part in self.parts), None)


class Likeness:
    """What of a value the schemas can tell apart: types, members, bounds, patterns and literals that they name.

    Two values that are alike are both well-formed or both not, so that one look is enough for all machines of a kind.
    """

    def __init__(self, schemas: Any) -> None:
        self._bounds: set[float] = set()
        self._lengths: set[int] = set()
        self._patterns: set[str] = set()
        self._literals: set[Any] = set()
        self._learn(schemas)
        self._sorted = sorted(self._bounds)

    def _learn(self, schema: Any) -> None:
        for value in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
            self._learn(value)
        if not isinstance(schema, dict):
            return
        for name, value in schema.items():
            if name in {"minimum", "maximum"} and isinstance(value, int | float):
                self._bounds.add(value)
            elif name in {"minLength", "maxLength"} and isinstance(value, int):
                self._lengths.add(value)
            elif name == "pattern" and isinstance(value, str):
                self._patterns.add(value)
            elif name in {"enum", "const"}:
                self._literals.update(item for item in _listed(value) if isinstance(item, str | int))

    def of(self, value: Any) -> Any:
        if isinstance(value, dict):
            return tuple(sorted((name, self.of(item)) for name, item in value.items()))
        if isinstance(value, list | tuple):
            return type(value).__name__, *map(self.of, value)
        if isinstance(value, bool) or value is None or (isinstance(value, str | int) and value in self._literals):
            return repr(value)
        if isinstance(value, int | float):
            return f"{type(value).__name__} {bisect_left(self._sorted, value)} {bisect_right(self._sorted, value)}"
        if isinstance(value, str):
            return self._of_text(value)
        return repr(value)

    @lru_cache(100_000)  # noqa: B019 — there is one for the run
    def _of_text(self, text: str) -> str:
        lengths = [len(text) >= length for length in sorted(self._lengths)] + [len(text) <= n for n in self._lengths]
        return f"text {lengths} {[bool(re.search(pattern, text)) for pattern in sorted(self._patterns)]}"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class Shapes:
    """All shapes. What was found well-formed once is not looked at again: polls say the same all the time."""

    def __init__(self, files: dict[str, Any]) -> None:
        resources = [(BASE + name, Resource.from_contents(schema)) for name, schema in files.items()]
        self._registry: Registry[Any] = Registry().with_resources(resources)
        self.endpoints = [_endpoint(name, schema) for name, schema in files.items() if name.startswith("endpoints/")]
        # A word before what stands for any.
        self.endpoints.sort(key=lambda endpoint: "{" in endpoint.path)
        self.files = files
        self._validator = cache(self._make_validator)
        self._likeness = Likeness(files)
        self._good: set[tuple[str, Any]] = set()

    def endpoint(self, method: str, path: str) -> Endpoint | None:
        return next((endpoint for endpoint in self.endpoints if endpoint.fits(method, path)), None)

    def faults_of_request(self, dialect: str, call: Call) -> Iterator[str]:
        endpoint = self.endpoint(call.method, _without_slash(call.path))
        if endpoint is None:
            yield f"{call.method} {call.path}: there is no shape for this call"
            return
        for name, values in call.query.items():
            for value in values:
                yield from self._faults(endpoint, "query", dialect, {name: value})
        yield from self._faults(endpoint, "request", dialect, call.body)

    def faults_of_answer(self, dialect: str, call: Call, status: int, data: Any) -> Iterator[str]:
        endpoint = self.endpoint(call.method, _without_slash(call.path))
        if status >= 400:
            yield from self._faults_of(f"{call.method} {call.path} {status}", "common.json#/$defs/error", data)
        elif endpoint is not None:
            if status not in endpoint.statuses:
                yield f"{endpoint.method} {endpoint.path}: answered {status}, not {endpoint.statuses}"
            # Also where one may be answered, there may be none (3.7; 22, unknowns 3 and 17).
            if data is not None:
                yield from self._faults(endpoint, "answer", dialect, data)

    def _faults(self, endpoint: Endpoint, name: str, dialect: str, value: Any) -> Iterator[str]:
        what = f"{endpoint.method} {endpoint.path} ({dialect}), {name}"
        part = endpoint.part(name, dialect)
        if part is None:
            if value is not None:
                yield f"{what}: there should be none, but there is {json.dumps(value)[:200]}"
            return
        schema = endpoint.parts[part]
        where = f"{endpoint.file}#/$defs/{part}"
        if schema.get("type") == "array" and isinstance(value, list) and len(value) >= schema.get("minItems", 0):
            for item in value:
                yield from self._faults_of(what, f"{where}/items", item)
        else:
            yield from self._faults_of(what, where, value)

    def _faults_of(self, what: str, where: str, value: Any) -> Iterator[str]:
        known = (where, self._likeness.of(value))
        if known in self._good:
            return
        error = best_match(self._validator(where).iter_errors(value))
        if error is None:
            self._good.add(known)
        else:
            yield f"{what}: {'.'.join(map(str, error.absolute_path)) or 'it'}: {error.message[:400]}"

    def _make_validator(self, where: str) -> Draft202012Validator:
        return Draft202012Validator({"$ref": BASE + where}, registry=self._registry)


def _endpoint(name: str, schema: dict[str, Any]) -> Endpoint:
    method, _space, path = schema["title"].partition(" ")
    return Endpoint(name, method, path, schema["statuses"], schema["$defs"])


def _without_slash(path: str) -> str:
    """A trailing one is tolerated (API reference, 3.1)."""
    return path.rstrip("/") or "/"


def _read() -> dict[str, Any]:
    return {str(path.relative_to(FOLDER)): json.loads(path.read_text()) for path in FOLDER.rglob("*.json")}


@cache
def shapes() -> Shapes:
    return Shapes(_read())


@cache
def shapes_for_anybody() -> Shapes:
    """What a server takes from other people's clients; of use for requests only.

    It ignores unknown members (3.4) and parameters (3.7), takes bare strings for references (3.4) and enums (3.5), and
    reads a flag that is left out as false (11.2). A time of day may be any (10.2). The rest is as for our own.
    """
    files = {name: _loosened(schema) for name, schema in _read().items()}
    common = files["common.json"]["$defs"]
    for name in ("requestReference", "requestEnum"):
        common[name] = {"anyOf": [{"type": "string"}, common[name]]}
    policy = files["objects/policy.json"]["$defs"]
    for name in ("requestClassic", "requestCurrent"):  # automatic assignment is off for tenants, not for everybody
        policy[name]["properties"]["autoAssignSettings"] = policy["autoAssignRequest"]
    common |= {"timeOfDay": common["storedTimeOfDay"], "milliseconds": common["number"]}
    return Shapes(files)


# A bare string has no name by which it could be told apart; an empty text says that nothing was chosen (6.4).
TOO_STRICT = {"if", "then", "else", "contains", "minContains", "maxContains", "minLength"}


def _loosened(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_loosened(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    loose = {name: _loosened(value) for name, value in schema.items() if value is not False and name not in TOO_STRICT}
    flags = {name for name, value in schema.get("properties", {}).items() if value == {"type": "boolean"}}
    if isinstance(schema.get("required"), list):
        loose["required"] = [name for name in schema["required"] if name not in flags]
    return loose


def without_nulls(value: Any) -> Any:
    """Absent and null are alike to a reader (3.6)."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@dataclass
class Exchange:
    dialect: str
    call: Call
    status: int
    data: Any

    def faults(self, *, odd_answers: bool = False) -> Iterator[str]:
        yield from shapes().faults_of_request(self.dialect, self.call)
        if not odd_answers:
            yield from self.faults_of_answer()

    def faults_of_answer(self) -> Iterator[str]:
        yield from shapes().faults_of_answer(self.dialect, self.call, self.status, self.data)

    def faults_of_anybodys_request(self) -> Iterator[str]:
        """Of a client that others wrote. One that was refused may be anything."""
        if self.status < 400:
            known = shapes_for_anybody()
            endpoint = known.endpoint(self.call.method, _without_slash(self.call.path))
            query = self.call.query if endpoint and endpoint.part("query", self.dialect) else {}
            call = replace(self.call, query=query, body=without_nulls(self.call.body))
            yield from known.faults_of_request(self.dialect, call)


class WatchedSimulator(SimulatorServer):
    """A simulator that remembers what it was asked and what it answered."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.exchanges: list[Exchange] = []

    def answer(self, call: Call) -> Reply:
        reply = super().answer(call)
        self.exchanges.append(Exchange(self.state.dialect, call, reply.status, reply.data))
        return reply

    def faults(self, *, odd_answers: bool = False) -> list[str]:
        """What was not as the reference has it since the last time, each once; `odd_answers`: of requests alone."""
        seen, self.exchanges = self.exchanges, []
        return list(dict.fromkeys(fault for exchange in seen for fault in exchange.faults(odd_answers=odd_answers)))
