"""Pytest plugin (`-p tests.services`): one PostgreSQL and one Valkey for the run, before Django reads its settings.

xdist's workers inherit the addresses through the environment and start nothing. Whoever sets DATABASE_URL (of a
role that may create databases and roles) and REDIS_URL brings their own servers.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

import psycopg
import pytest

from demo.roles import ROLES, make_roles, url_for
from demo.servers import PostgreSQL, Valkey

_started: list[PostgreSQL | Valkey] = []

# Speed instead of durability: the data lives as long as the run.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ or "TEST_ADMIN_DATABASE_URL" in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="portal-tests-"))
    if "REDIS_URL" not in os.environ:
        os.environ["REDIS_URL"] = _start(Valkey(folder / "valkey"))
    admin_url = os.environ.get("DATABASE_URL") or _start(PostgreSQL(folder / "postgres", _FAST))
    os.environ["TEST_ADMIN_DATABASE_URL"] = admin_url
    os.environ["DATABASE_URL"] = _make_roles(admin_url)


def pytest_unconfigure() -> None:
    for server in _started:
        server.remove()
    _started.clear()


def _start(server: PostgreSQL | Valkey) -> str:
    server.start()
    _started.append(server)
    return server.url


def _make_roles(admin_url: str) -> str:
    """Returns the address of `portal_test`: no superuser, may take every role of the portal with SET ROLE."""
    passwords = {role: secrets.token_hex(16) for role in ROLES}
    make_roles(admin_url, passwords)
    for role, password in passwords.items():
        os.environ[f"{role.upper()}_PASSWORD"] = password
    password = secrets.token_hex(16)
    with psycopg.connect(admin_url, autocommit=True) as pg:
        pg.execute("DROP ROLE IF EXISTS portal_test")
        pg.execute(f"CREATE ROLE portal_test LOGIN CREATEDB PASSWORD '{password}'")
        pg.execute(f"GRANT {', '.join(ROLES)} TO portal_test")
    return url_for(admin_url, "portal_test", password, "postgres")
