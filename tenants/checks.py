"""What must hold of the database before a process serves anybody."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, register
from django.db import connection

_RIGHTS = """
    SELECT r.rolsuper, r.rolbypassrls,
           EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE c.relowner = r.oid AND c.relkind = 'r' AND n.nspname = 'public')
    FROM pg_roles r WHERE r.rolname = current_user
"""


@register(Tags.database)
def process_role_is_not_too_strong(**kwargs: Any) -> list[Error]:
    """Row-level security does nothing for a superuser or an owner of the tables."""
    if settings.PROCESS == "migrations" or not kwargs.get("databases"):
        return []
    with connection.cursor() as cursor:
        cursor.execute(_RIGHTS)
        superuser, bypasses, owns_tables = cursor.fetchone()
    faults = [
        word
        for word, is_so in (
            ("is a superuser", superuser),
            ("bypasses row-level security", bypasses),
            ("owns tables", owns_tables),
        )
        if is_so
    ]
    if not faults:
        return []
    return [
        Error(
            f"DATABASE_URL of the {settings.PROCESS} process names a role that {' and '.join(faults)}: "
            f"use portal_{'worker' if settings.PROCESS in {'beat', 'notifier'} else settings.PROCESS}.",
            id="tenants.E001",
        )
    ]
