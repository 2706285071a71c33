import os
import secrets

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from demo.roles import (
    ROLES,
    CannotPrepareDatabase,
    drop_database,
    make_roles,
    other_databases,
    prepare_database,
    url_for,
)

NAME = f"portal_roles_{secrets.token_hex(4)}"
ADMIN_URL = os.environ["TEST_ADMIN_DATABASE_URL"]
# Roles belong to the whole server: other tests sign in with these passwords.
PASSWORDS = {role: os.environ[f"{role.upper()}_PASSWORD"] for role in ROLES}


@pytest.fixture
def urls():
    yield prepare_database(ADMIN_URL, NAME, PASSWORDS)
    drop_database(ADMIN_URL, NAME)


@pytest.mark.django_db
def test_migrations_run_and_the_test_role_is_no_superuser():
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False,)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_signs_in_and_is_nothing_special(role, urls):
    with psycopg.connect(urls[role]) as pg:
        row = pg.execute(
            "SELECT rolname, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole FROM pg_roles"
            " WHERE rolname = current_user"
        ).fetchone()
    assert row == (role, False, False, False, False)


def test_only_the_owner_makes_tables(urls):
    with psycopg.connect(urls["portal_owner"]) as pg:
        pg.execute("CREATE TABLE owned (id int)")
    with psycopg.connect(urls["portal_web"]) as pg, pytest.raises(psycopg.errors.InsufficientPrivilege):
        pg.execute("CREATE TABLE web (id int)")


def test_web_gives_up_before_a_person_does(urls):
    with psycopg.connect(urls["portal_web"]) as pg:
        settings = [
            pg.execute(f"SHOW {name}").fetchone()[0]
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        ]
    assert settings == ["15s", "5s", "30s"]


def test_asking_again_changes_nothing(urls):
    assert prepare_database(ADMIN_URL, NAME, PASSWORDS) == urls


def test_a_stranger_does_not_connect(urls):
    url = url_for(ADMIN_URL, "portal_stranger", "word", NAME)
    with psycopg.connect(ADMIN_URL, autocommit=True) as pg:
        pg.execute("CREATE ROLE portal_stranger LOGIN PASSWORD 'word'")
        try:
            with pytest.raises(psycopg.OperationalError, match="CONNECT"):
                psycopg.connect(url)
        finally:
            pg.execute("DROP ROLE portal_stranger")


def test_an_administrator_who_may_not_make_roles_is_told_so(urls):
    with pytest.raises(CannotPrepareDatabase, match="CREATEROLE"):
        make_roles(urls["portal_web"], PASSWORDS)


def test_an_administrator_need_not_be_a_superuser(urls):
    """As on managed servers. The roles exist already, so it must have been given them."""
    with psycopg.connect(ADMIN_URL, autocommit=True) as pg:
        if not pg.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()[0]:
            pytest.skip("this run's administrator is none itself")
        pg.execute("CREATE ROLE portal_admin LOGIN CREATEDB CREATEROLE PASSWORD 'word'")
        pg.execute(f"GRANT {', '.join(ROLES)} TO portal_admin WITH ADMIN OPTION")
        try:
            admin = url_for(ADMIN_URL, "portal_admin", "word", "postgres")
            prepare_database(admin, f"{NAME}_managed", PASSWORDS)
            assert f"{NAME}_managed" in other_databases(ADMIN_URL, NAME)
            drop_database(admin, f"{NAME}_managed")
        finally:
            pg.execute(sql.SQL("DROP OWNED BY portal_admin CASCADE"))
            pg.execute("DROP ROLE portal_admin")


def test_a_server_that_does_not_answer_is_named():
    with pytest.raises(CannotPrepareDatabase, match="DATABASE_URL"):
        make_roles("postgres://nobody@localhost:1/nowhere", PASSWORDS)
