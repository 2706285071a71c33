"""One way to keep what a person decided."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from allauth.core.internal.httpkit import get_client_ip
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from tenants.correlation import correlation_id
from tenants.models import AuditEntry, Membership, Tenant, User


@dataclass(frozen=True)
class ActingToken:
    """The API token with which something is asked for, as it is named in audit and activity; None = on a page.

    `made_by`: the key of the person who made it, which is told of one that is the tenant's own.
    """

    id: UUID | None = None
    name: str = ""
    made_by: int | None = None


NO_TOKEN = ActingToken()
acting_token: ContextVar[ActingToken] = ContextVar("acting_token", default=NO_TOKEN)


@contextmanager
def acting_with(token: ActingToken) -> Iterator[None]:
    before = acting_token.set(token)
    try:
        yield
    finally:
        acting_token.reset(before)


def address_of(request: HttpRequest) -> str | None:
    """From where somebody came; behind a proxy, what that saw."""
    return get_client_ip(request)


def record(
    tenant: Tenant | None,
    actor: AbstractBaseUser | AnonymousUser,
    role: str,
    action: str,
    *,
    address: str | None,
    machine_guid: str = "",
    machine_name: str = "",
    **detail: Any,
) -> None:
    """In the transaction of what was decided: both are kept, or neither. `address`: from where, an IP address.

    An API token is named with what is done by it, and for who decided where it is nobody's but the tenant's.
    """
    token = acting_token.get()
    if token.id:
        detail = {"token": token.name, "token_id": str(token.id), **detail}
        if actor.pk is None and token.made_by:
            detail["token_made_by"] = User.objects.filter(pk=token.made_by).values_list("email", flat=True).first()
    AuditEntry.across_tenants.create(
        tenant=tenant,
        actor_id=actor.pk,
        actor_name=str(getattr(actor, "email", token.name or actor)),
        role=role,
        action=action,
        machine_guid=machine_guid,
        machine_name=machine_name,
        detail=detail,
        outcome="accepted",
        address=address,
        correlation_id=correlation_id.get(),
    )


def record_of(membership: Membership, action: str, *, address: str | None, **detail: Any) -> None:
    """By a member in their tenant, or by a token of the tenant's own, which is nobody's."""
    actor = membership.user if membership.user_id else AnonymousUser()
    record(membership.tenant, actor, membership.role, action, address=address, **detail)
