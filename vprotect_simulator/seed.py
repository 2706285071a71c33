"""A landscape of one's own, from a JSON file (docs/simulator.md, "Seed files")."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vprotect_simulator import landscape
from vprotect_simulator.firing import DAYS
from vprotect_simulator.landscape import Kind, infrastructure, standing_plans
from vprotect_simulator.state import State

SECTIONS = {"projects", "policies", "machines", "mailing_lists"}
PLATFORMS = (*infrastructure.MANAGERS, infrastructure.KVM)


@dataclass(frozen=True)
class Seed:
    """What a file says, checked: nothing of it can fail any more when it is laid out."""

    projects: dict[str, str]
    policies: dict[str, tuple[int, dict[str, tuple[str, tuple[str, ...]]]]]
    machines: tuple[Kind, ...]
    mailing_lists: dict[str, list[str]]


def read(path: Path) -> Seed:
    """Raises `ValueError` with the place and the reason; `OSError` if there is no such file."""
    try:
        data = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    try:
        return _seed(_object(data, "the file"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def lay_out(first: str | Seed, state: State) -> None:
    """Fills an empty state with a landscape, by its name, or with a seed."""
    if isinstance(first, str):
        landscape.build(first, state)
        return
    landscape.lay_out_shared(state)
    for name, uuid in first.projects.items():
        infrastructure.add_project(state, name, uuid)
    for name, (hour, schedules) in first.policies.items():
        standing_plans.add_policy(state, name, schedules, hour)
    for name, recipients in first.mailing_lists.items():
        infrastructure.add_mailing_list(state, name, recipients)
    for kind in first.machines:
        landscape.add_machine(state, kind)
    landscape.wake_schedules(state)


# ── Reading ──────────────────────────────────────────────────────────────────


def _seed(data: dict[str, Any]) -> Seed:
    if unknown := set(data) - SECTIONS:
        raise ValueError(f"there is no section {', '.join(sorted(unknown))}; there are {', '.join(sorted(SECTIONS))}")
    projects = {
        _text(row, "name", place): _text(row, "uuid", place) for place, row in _rows(data, "projects", {"name", "uuid"})
    }
    policies = dict(_policy(row, place) for place, row in _rows(data, "policies", {"name", "hour", "schedules"}))
    lists = {
        _text(row, "name", place): _texts(row, "recipients", place)
        for place, row in _rows(data, "mailing_lists", {"name", "recipients"})
    }
    known_projects = {*infrastructure.PROJECT_UUIDS, *projects}
    known_policies = {"daily", "weekly-full", "no-schedule", *policies}
    members = {f.name for f in fields(Kind)}
    kinds = [_kind(row, place, known_projects, known_policies) for place, row in _rows(data, "machines", members)]
    keys = [kind.key or kind.name for kind in kinds]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise ValueError(f"machines: {', '.join(sorted(twice))} is there twice: give them different keys")
    return Seed(projects, policies, tuple(kinds), lists)


def _policy(row: dict[str, Any], place: str) -> tuple[str, tuple[int, dict[str, tuple[str, tuple[str, ...]]]]]:
    name, hour = _text(row, "name", place), row.get("hour", 2)
    if not isinstance(hour, int) or isinstance(hour, bool) or not 0 <= hour <= 23:
        raise ValueError(f"{place}.hour must be from 0 to 23 (UTC)")
    schedules = {}
    for number, (where, item) in enumerate(_rows(row, "schedules", {"type", "days"}, place), 1):
        if item.get("type") not in {"FULL", "INCREMENTAL"}:
            raise ValueError(f"{where}.type must be FULL or INCREMENTAL")
        days = _texts(item, "days", where)
        if not days or set(days) - set(DAYS):
            raise ValueError(f"{where}.days must be some of {', '.join(DAYS)}")
        schedules[f"{name}-{number}"] = (item["type"], tuple(days))
    return name, (hour, schedules)


def _kind(row: dict[str, Any], place: str, projects: set[str], policies: set[str]) -> Kind:
    for field in fields(Kind):
        usual, value = field.default, row.get(field.name)
        expected = str if field.name == "name" else type(usual)
        if field.name in row and type(value) is not expected:
            raise ValueError(f"{place}.{field.name} must be {_words(expected)}")
    _text(row, "name", place)
    for named, known in (("project", projects), ("policy", policies), ("platform", set(PLATFORMS))):
        if row.get(named, "") not in {"", *known}:
            raise ValueError(f"{place}.{named} must be one of {', '.join(sorted(known))}")
    if row.get("disk_gib", 1) < 1 or not 0 <= row.get("days", 0) <= 366:
        raise ValueError(f"{place}: disk_gib must be at least 1, days from 0 to 366")
    return Kind(**row)


def _words(kind: type) -> str:
    return {str: "text", int: "a whole number", bool: "true or false"}[kind]


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{place} must be an object")
    return value


def _rows(data: dict[str, Any], name: str, members: set[str], place: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Each with where it is, like `machines[2]`."""
    where = f"{place}.{name}" if place else name
    rows = data.get(name, [])
    if not isinstance(rows, list):
        raise ValueError(f"{where} must be a list")
    placed = [(f"{where}[{number}]", _object(row, f"{where}[{number}]")) for number, row in enumerate(rows)]
    for here, row in placed:
        if unknown := set(row) - members:
            raise ValueError(f"{here} has no {', '.join(sorted(unknown))}; it may have {', '.join(sorted(members))}")
    return placed


def _text(row: dict[str, Any], name: str, place: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{place}.{name} must be text")
    return value


def _texts(row: dict[str, Any], name: str, place: str) -> list[str]:
    value = row.get(name)
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValueError(f"{place}.{name} must be a list of texts")
    return value
