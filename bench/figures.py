"""A line of the table: what was measured, against what, and whether it is within its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.cpu import Ratio, milliseconds, ratio

COLUMNS = ("Figure", "Against", "Target", "Measured", "")


@dataclass(frozen=True)
class Figure:
    """`limit`: why a target cannot be met, and what the limit is; `raw`: for the JSON alone."""

    name: str
    against: str
    target: str
    measured: str
    is_within: bool
    limit: str = ""
    raw: dict[str, Any] = field(default_factory=dict)

    def as_row(self) -> tuple[str, ...]:
        return self.name, self.against, self.target, self.measured, "ok" if self.is_within else "TOO MUCH"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def compared(
    name: str,
    against: str,
    most: float,
    costs: list[float],
    reference: list[float],
    *,
    note: str = "",
    limit: str = "",
) -> Figure:
    """CPU per unit against that of the reference, pair by pair."""
    found = ratio(costs, reference)
    measured = f"{found} ×, {milliseconds(costs):.1f} ms against {milliseconds(reference):.1f} ms{note}"
    is_within = found.median <= most
    raw = _raw(found, costs, reference)
    return Figure(name, against, f"≤ {most:g} ×", measured, is_within, "" if is_within else limit, raw)


def _raw(found: Ratio, costs: list[float], reference: list[float]) -> dict[str, Any]:
    return {
        **{"median": found.median, "low": found.low, "high": found.high, "pairs": len(costs)},
        **{"ms": milliseconds(costs), "reference_ms": milliseconds(reference)},
    }


def counted(
    name: str,
    against: str,
    target: str,
    measured: str,
    *,
    within: bool,
    limit: str = "",
    raw: dict[str, Any] | None = None,
) -> Figure:
    """Exact, so that the target is as well."""
    return Figure(name, against, target, measured, within, limit, raw or {})


def table(figures: Sequence[Figure]) -> str:
    rows = [COLUMNS, *(figure.as_row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "─" * max(map(len, lines)))
    limits = [f"The limit of “{figure.name}”: {figure.limit}." for figure in figures if figure.limit]
    return "\n".join([*lines, *([""] if limits else []), *limits])


def last_line(figures: list[Figure]) -> str:
    return f"bench: {sum(figure.is_within for figure in figures)} of {len(figures)} within target"
