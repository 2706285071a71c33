"""What row-level security is told: who asks, for which tenant. Each holds until the end of the transaction."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import connection

# What follows `me` reads from it, so that the person is set before the first row of theirs is looked at.
_LOWER = """
    WITH me AS MATERIALIZED (SELECT set_config('app.user', %s, true)::bigint AS id)
    SELECT set_config('app.tenant', coalesce((
        SELECT tenant.id::text FROM tenants_membership membership
        JOIN tenants_tenant tenant ON tenant.id = membership.tenant_id
        LEFT JOIN tenants_identityprovider provider ON provider.tenant_id = tenant.id
        WHERE membership.user_id = me.id AND tenant.slug = %s AND tenant.is_active
            AND CASE WHEN %s = '' THEN provider.only_single_sign_on IS NOT TRUE ELSE provider.key = %s END
    ), ''), true) FROM me
"""


def lower_wall(user: AbstractBaseUser | AnonymousUser, slug: str, provider_key: str = "") -> None:
    """For a person and the one of their tenants with this slug; without a membership in it, nobody's rows.

    `provider_key` of who signed in through an identity provider, which opens its own tenant only; "" = by password.

    The database finds the tenant by the membership itself, in one statement, since every page and poll pays for it.
    """
    _tell(_LOWER, str(user.pk), slug, provider_key, provider_key)


def show_invitation(token_hash: str) -> None:
    """The row of the link that was opened."""
    _tell("SELECT set_config('app.invitation', %s, true)", token_hash)


def show_identity_provider(slug: str) -> None:
    """The row of the name that somebody wants to sign in with."""
    _tell("SELECT set_config('app.identity_provider', %s, true)", slug)


def set_tenant(tenant_id: int) -> None:
    """Without a membership: for who comes with a proven invitation or identity."""
    _tell("SELECT set_config('app.tenant', %s, true)", str(tenant_id))


def _tell(statement: str, *values: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
