"""Files for spreadsheets: what programs read too, so in English, with full stops and ISO times, and never a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from tenants.spreadsheets import safe_cell


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """With the mark by which spreadsheets know UTF-8."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_cell(cell) for cell in row] for row in rows)


def _cell(cell: object) -> str:
    # A number of ours may begin with a minus; a text of somebody's may not.
    return str(cell) if isinstance(cell, int | Decimal) else safe_cell(cell)


def exact(number: Fraction, digits: int = 6) -> Decimal:
    return (Decimal(number.numerator) / Decimal(number.denominator)).quantize(Decimal(1).scaleb(-digits))
