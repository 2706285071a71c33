"""docs/fault-matrix.md has every row, and each test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def rows() -> dict[str, str]:
    """Row → its last cell."""
    text = (ROOT / "docs" / "fault-matrix.md").read_text()
    return dict(re.findall(r"^\| (F\d+) \|.*\| ([^|]+) \|$", text, re.MULTILINE))


def functions_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_row_is_there():
    assert list(rows()) == [f"F{number}" for number in range(1, 41)]


def test_every_row_names_tests_that_exist():
    for row, cell in rows().items():
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", cell)
        assert named and cell.count("`") == 2 * len(named), row
        assert [name for path, name in named if name not in functions_in(path)] == [], row
