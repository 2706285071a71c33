"""What row-level security is told: who asks, for which tenant. Each holds until the end of the transaction."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.db.models import BinaryField, Model

from tenants.models import Brand, IdentityProvider, Membership, Tenant

# What follows `me` reads from it, so that the person is set before the first row of theirs is looked at.
_LOWER = """
    WITH me AS MATERIALIZED (SELECT set_config('app.user', %s, true)::bigint AS id)
    SELECT set_config('app.tenant', coalesce(found.opened, ''), true), found.*
    FROM me LEFT JOIN LATERAL (
        SELECT CASE WHEN %s <> '' OR provider.only_single_sign_on IS NOT TRUE THEN tenant.id::text END AS opened,
            {columns}
        FROM tenants_membership membership
        JOIN tenants_tenant tenant ON tenant.id = membership.tenant_id
        LEFT JOIN tenants_identityprovider provider ON provider.tenant_id = tenant.id
        LEFT JOIN tenants_brand brand ON brand.tenant_id = tenant.id
        WHERE membership.user_id = me.id AND tenant.slug = %s AND tenant.is_active AND (%s = '' OR provider.key = %s)
        OFFSET 0
    ) found ON true
"""
_READ: dict[str, type[Model]] = {
    "membership": Membership,
    "tenant": Tenant,
    "provider": IdentityProvider,
    "brand": Brand,
}


def lower_wall(user: AbstractBaseUser | AnonymousUser, slug: str, provider_key: str = "") -> Membership | None:
    """For a person and the one of their tenants with this slug; without a membership in it, nobody's rows.

    `provider_key` of who signed in through an identity provider, which opens its own tenant only; "" = by password. A
    tenant that is opened by its provider alone stays closed to a password, and its membership tells that.

    The database finds the tenant by the membership itself, in one statement, since every page and poll pays for it.
    Returns that membership with tenant, identity provider and brand.
    """
    _set, _opened, *values = _ask(_lowering(), [str(user.pk), provider_key, slug, provider_key, provider_key])
    membership, tenant, provider, brand = (_row(model, values) for model in _READ.values())
    if membership is None:
        return None
    membership.tenant = tenant
    tenant._state.fields_cache |= {"identity_provider": provider, "brand": brand}
    return membership


@cache
def _lowering() -> str:
    columns = [
        f'{table}."{field.column}" AS {table}_{field.column}'
        for table, model in _READ.items()
        for field in _fields(model)
    ]
    return _LOWER.format(columns=", ".join(columns))


def _row(model: type[Model], values: list[Any]) -> Any:
    """Takes the model's columns off the front of `values`; None where the join found nothing."""
    names = [field.attname for field in _fields(model)]
    own = [values.pop(0) for _name in names]
    return None if own[0] is None else model.from_db(None, names, own)


def _fields(model: type[Model]) -> list[Any]:
    """Without pictures, which pages only link to."""
    return [field for field in model._meta.concrete_fields if not isinstance(field, BinaryField)]


def show_invitation(token_hash: str) -> None:
    """The row of the link that was opened."""
    _ask("SELECT set_config('app.invitation', %s, true)", [token_hash])


def show_token(token_hash: str) -> None:
    """The row of the API token that a program came with."""
    _ask("SELECT set_config('app.token', %s, true)", [token_hash])


def show_calendar(token_hash: str) -> None:
    """The row of the secret address that a calendar program asked for."""
    _ask("SELECT set_config('app.calendar', %s, true)", [token_hash])


def show_identity_provider(slug: str) -> None:
    """The row of the name that somebody wants to sign in with."""
    _ask("SELECT set_config('app.identity_provider', %s, true)", [slug])


def set_tenant(tenant_id: int) -> None:
    """Without a membership: for who comes with a proven invitation, identity or token."""
    _ask("SELECT set_config('app.tenant', %s, true)", [str(tenant_id)])


def _ask(statement: str, values: list[str]) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()
