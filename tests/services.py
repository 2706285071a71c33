"""Pytest plugin (`-p tests.services`): one PostgreSQL and one Valkey for the run, before Django reads its settings.

xdist's workers inherit the addresses through the environment and start nothing. Whoever sets DATABASE_URL (of a
role that may create databases and roles) and REDIS_URL brings their own servers.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import tempfile
from pathlib import Path
from types import FrameType

import psycopg
import pytest
from psycopg import sql

from demo.roles import ROLES, make_roles, url_for
from demo.servers import PostgreSQL, Valkey

# Speed instead of durability: the data lives as long as the run.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ or "TEST_ADMIN_DATABASE_URL" in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="portal-tests-"))
    # At exit, not in pytest_unconfigure, which a run that fails to start never reaches.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    signal.signal(signal.SIGTERM, _end_like_ctrl_c)
    if "REDIS_URL" not in os.environ:
        os.environ["REDIS_URL"] = _start(Valkey(folder / "valkey"))
    admin_url = os.environ.get("DATABASE_URL") or _start(PostgreSQL(folder / "postgres", _FAST))
    os.environ["TEST_ADMIN_DATABASE_URL"] = admin_url
    os.environ["DATABASE_URL"] = _make_roles(admin_url)


def _start(server: PostgreSQL | Valkey) -> str:
    atexit.register(_remove, server, os.getpid())
    server.start()
    return server.url


def _remove(server: PostgreSQL | Valkey, pid: int) -> None:
    if os.getpid() == pid:  # a forked child of the run must not end the run's servers
        server.remove()


def _end_like_ctrl_c(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _make_roles(admin_url: str) -> str:
    """Returns the address of `portal_test`: no superuser, may take every role of the portal with SET ROLE."""
    passwords = {role: secrets.token_hex(16) for role in (*ROLES, "portal_test")}
    make_roles(admin_url, passwords)
    for role in ROLES:
        os.environ[f"{role.upper()}_PASSWORD"] = passwords[role]
    with psycopg.connect(admin_url, autocommit=True) as pg:
        if pg.execute("SELECT 1 FROM pg_roles WHERE rolname = 'portal_test'").fetchone() is None:
            pg.execute("CREATE ROLE portal_test LOGIN CREATEDB")
        pg.execute(sql.SQL("ALTER ROLE portal_test PASSWORD {}").format(sql.Literal(passwords["portal_test"])))
        pg.execute(sql.SQL("GRANT {} TO portal_test").format(sql.SQL(", ").join(map(sql.Identifier, ROLES))))
    return url_for(admin_url, "portal_test", passwords["portal_test"], "postgres")
