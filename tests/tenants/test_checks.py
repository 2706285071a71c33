"""A process whose database role is too strong does not start."""

from typing import Any

import pytest
from django.db import connection

from tenants.checks import process_role_is_not_too_strong

pytestmark = pytest.mark.django_db


def _faults(role: str = "portal_test") -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {role}")
        try:
            return [error.msg for error in process_role_is_not_too_strong(databases=["default"])]
        finally:
            cursor.execute("RESET ROLE")


@pytest.mark.parametrize(("process", "advice"), [("web", "web"), ("operator", "operator"), ("beat", "worker")])
def test_the_owner_of_the_tables_is_refused(process: str, advice: str, settings: Any):
    settings.PROCESS = process
    (fault,) = _faults()
    assert "owns tables" in fault
    assert fault.startswith(f"DATABASE_URL of the {process} process")
    assert fault.endswith(f"use portal_{advice}.")


def test_migrations_may_own_the_tables(settings: Any):
    settings.PROCESS = "migrations"
    assert _faults() == []


@pytest.mark.parametrize("role", ["portal_web", "portal_operator", "portal_worker"])
def test_the_roles_of_the_portal_are_accepted(role: str):
    assert _faults(role) == []


def test_a_superuser_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tenants.checks._RIGHTS", "SELECT true, true, false")
    (fault,) = _faults()
    assert "is a superuser and bypasses row-level security" in fault
