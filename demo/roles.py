"""Makes the portal's database and roles on a server, once; asked again it only sets the passwords."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

ROLES = ("portal_owner", "portal_web", "portal_operator", "portal_worker")
ROLES_SQL = Path(__file__).resolve().parent.parent / "postgres" / "roles.sql"


def make_roles(admin_url: str, passwords: dict[str, str]) -> None:
    """`passwords`: role → password, for each of `ROLES`. The administrator must be allowed to make roles."""
    with psycopg.connect(admin_url, autocommit=True) as pg:
        pg.execute(ROLES_SQL.read_text())
        for role in ROLES:
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
            pg.execute(statement.format(sql.Identifier(role), sql.Literal(passwords[role])))


def prepare_database(admin_url: str, name: str, passwords: dict[str, str]) -> dict[str, str]:
    """Makes roles and database; returns the database's address for each role."""
    make_roles(admin_url, passwords)
    with psycopg.connect(admin_url, autocommit=True) as pg:
        if pg.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            statement = sql.SQL("CREATE DATABASE {} OWNER portal_owner")
            pg.execute(statement.format(sql.Identifier(name)))
    return {role: url_for(admin_url, role, passwords[role], name) for role in ROLES}


def url_for(url: str, user: str, password: str, database: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}", path=f"/{database}"))
