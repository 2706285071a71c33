"""Makes the portal's database and roles on a server, once; asked again it only sets the passwords."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

ROLES = ("portal_owner", "portal_web", "portal_operator", "portal_worker")
ROLES_SQL = Path(__file__).resolve().parent.parent / "postgres" / "roles.sql"


class CannotPrepareDatabase(Exception):
    """The administrator's address does not allow it; the message says what is missing."""


def make_roles(admin_url: str, passwords: dict[str, str]) -> None:
    """`passwords`: role → password, for each of `ROLES`. The administrator must be allowed to make roles."""
    with _administrator(admin_url) as pg:
        pg.execute(ROLES_SQL.read_text())
        for role in ROLES:
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
            pg.execute(statement.format(sql.Identifier(role), sql.Literal(passwords[role])))


def prepare_database(admin_url: str, name: str, passwords: dict[str, str]) -> dict[str, str]:
    """Makes roles and database; returns the database's address for each role."""
    make_roles(admin_url, passwords)
    with _administrator(admin_url) as pg:
        if pg.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            # Who makes a database for another must be able to become that other.
            pg.execute("GRANT portal_owner TO CURRENT_USER")
            pg.execute(sql.SQL("CREATE DATABASE {} OWNER portal_owner").format(sql.Identifier(name)))
        pg.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
        everyone = sql.SQL(", ").join(map(sql.Identifier, ROLES))
        pg.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(name), everyone))
    return {role: url_for(admin_url, role, passwords[role], name) for role in ROLES}


def drop_database(admin_url: str, name: str) -> None:
    with _administrator(admin_url) as pg:
        pg.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def other_databases(admin_url: str, name: str) -> list[str]:
    """The portal's databases on that server besides `name`: their processes use the same roles and passwords."""
    of_the_portal = """
        SELECT d.datname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
        WHERE r.rolname = 'portal_owner' AND d.datname <> %s
    """
    with _administrator(admin_url) as pg:
        return [row[0] for row in pg.execute(of_the_portal, [name])]


@contextmanager
def _administrator(url: str) -> Iterator[psycopg.Connection]:
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as pg:
            # Two launchers that alter one role at once would disturb each other.
            pg.execute("SELECT pg_advisory_lock(hashtext('portal roles'))")
            yield pg
    except psycopg.errors.InsufficientPrivilege as error:
        raise CannotPrepareDatabase(
            f"DATABASE_URL must name a role that may create roles and databases (CREATEROLE, CREATEDB): {error}"
        ) from None
    except psycopg.OperationalError as error:
        raise CannotPrepareDatabase(f"The server of DATABASE_URL cannot be used: {error}") from None


def url_for(url: str, user: str, password: str, database: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}", path=f"/{database}"))
