"""The version before goes on serving while a migration runs, and after it until it is replaced.

Since the first release: no column or table that it uses goes or is renamed, none that it does not fill becomes NOT
NULL without a default in the database. What is to go, goes one release after the code has stopped using it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.db.migrations.loader import MigrationLoader
from django_migration_linter import MigrationLinter

pytestmark = pytest.mark.django_db

# Nobody ran a version before these: there was none.
BEFORE_THE_FIRST_RELEASE = set((Path(__file__).parent / "migrations_before_the_first_release.txt").read_text().split())
APPS = ("tenants", "vprotect_bridge", "reports", "notifications")


def _refused(app: str, name: str) -> list[str]:
    """Why, in the linter's words. An index keeps writers waiting while it is made; of that a person decides."""
    linter = MigrationLinter(no_cache=True, no_output=True)
    reasons: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for silenced in ("print_linting_msg", "print_warnings"):
            patch.setattr(linter, silenced, lambda *args: None)
        patch.setattr(linter, "print_errors", lambda errors: reasons.extend(error.message for error in errors))
        linter.lint_migration(MigrationLoader(None).disk_migrations[app, name])
    return reasons


def _migrations() -> list[tuple[str, str]]:
    folders = [(app, settings.BASE_DIR / app / "migrations") for app in APPS]
    return [(app, file.stem) for app, folder in folders for file in sorted(folder.glob("0*.py"))]


@pytest.mark.parametrize(("app", "name"), _migrations(), ids=lambda part: part)
def test_the_version_before_can_serve_on(app: str, name: str):
    if f"{app}.{name}" in BEFORE_THE_FIRST_RELEASE:
        return
    assert _refused(app, name) == [], "docs/developers.md, Migrations"


def test_what_was_before_is_still_there():
    assert {f"{app}.{name}" for app, name in _migrations()} >= BEFORE_THE_FIRST_RELEASE


def test_one_that_it_could_not_serve_on_would_be_refused():
    """A column that the version before does not fill (tenants.0011): the reason for this test."""
    assert "NOT NULL constraint on columns" in _refused("tenants", "0011_preferences")
    assert _refused("vprotect_bridge", "0012_machines_by_name") == []
