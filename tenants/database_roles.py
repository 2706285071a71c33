"""Who may touch which table: the database's own wall (docs/architecture.md, "Two walls").

Each app names its tables in `<app>/database_access.py`. After every migration the grants and the row-level
security policies are made to match, whatever was there before. The roles themselves are made by
`postgres/roles.sql`; the owner of the tables runs this.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from psycopg import sql

WEB, OPERATOR, WORKER = "portal_web", "portal_operator", "portal_worker"
EVERYTHING = "SELECT, INSERT, UPDATE, DELETE"


@dataclass(frozen=True)
class Access:
    """Rights of each role on one table, as GRANT spells them ("SELECT, UPDATE (details_wanted_at)").

    `rows` is the condition under which web sees and writes a row; None = no row-level security, `reason` says why.
    `written`: the condition for writing where it is another than for seeing; `inserted`: for a new row alone.
    """

    web: str = ""
    operator: str = ""
    worker: str = ""
    rows: str | None = None
    written: str | None = None
    inserted: str | None = None
    reason: str = ""


CURRENT_TENANT = "nullif(current_setting('app.tenant', true), '')::bigint"
CURRENT_USER = "nullif(current_setting('app.user', true), '')::bigint"
OF_CURRENT_TENANT = f"tenant_id = {CURRENT_TENANT}"


def tenant_owned(web: str = "", operator: str = EVERYTHING, worker: str = EVERYTHING) -> Access:
    return Access(web=web, operator=operator, worker=worker, rows=OF_CURRENT_TENANT)


def declared_access() -> dict[str, Access]:
    """Every table of every installed app that declares some. Two declarations of one table are an error."""
    tables: dict[str, Access] = {}
    for app in apps.get_app_configs():
        module = f"{app.name}.database_access"
        if find_spec(module) is None:
            continue
        for table, access in import_module(module).TABLES.items():
            if table in tables:
                raise ValueError(f"{table} is declared twice, the second time in {module}")
            tables[table] = access
    return tables


def apply_access(**kwargs: Any) -> None:
    """One table in one transaction: nobody who is served meanwhile is without rights, or waits in a circle."""
    existing = set(connection.introspection.table_names())
    for table, access in declared_access().items():
        if table in existing:
            with transaction.atomic(), connection.cursor() as cursor:
                for statement in _statements(table, access):
                    cursor.execute(statement.as_string(cursor.connection))


def _statements(table: str, access: Access) -> list[sql.Composable]:
    name = sql.Identifier(table)
    statements: list[sql.Composable] = []
    for role, rights in ((WEB, access.web), (OPERATOR, access.operator), (WORKER, access.worker)):
        who = sql.Identifier(role)
        statements.append(sql.SQL("REVOKE ALL ON {} FROM {}").format(name, who))
        if rights:
            # Rights and conditions are constants of the code, not values.
            statements.append(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(rights), name, who))
    for policy in ("web_rows", "web_inserts", "web_changes", "web_deletes", "all_rows"):
        statements.append(sql.SQL("DROP POLICY IF EXISTS {} ON {}").format(sql.Identifier(policy), name))
    if access.rows is None:
        statements.append(sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY").format(name))
        return statements
    return [
        *statements,
        sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(name),
        *_web_policies(name, access),
        # The others work for every tenant; a policy instead of BYPASSRLS, which managed servers do not give.
        sql.SQL("CREATE POLICY all_rows ON {} TO {}, {} USING (true) WITH CHECK (true)").format(
            name, sql.Identifier(OPERATOR), sql.Identifier(WORKER)
        ),
    ]


def _web_policies(table: sql.Identifier, access: Access) -> list[sql.Composable]:
    written = access.written or access.rows
    policies = (
        ("web_rows", "SELECT", f"USING ({access.rows})"),
        ("web_inserts", "INSERT", f"WITH CHECK ({access.inserted or written})"),
        ("web_changes", "UPDATE", f"USING ({written}) WITH CHECK ({written})"),
        ("web_deletes", "DELETE", f"USING ({written})"),
    )
    return [
        sql.SQL("CREATE POLICY {} ON {} FOR {} TO {} {}").format(
            sql.Identifier(name), table, sql.SQL(command), sql.Identifier(WEB), sql.SQL(condition)
        )
        for name, command, condition in policies
    ]
