"""One way to keep what a person decided."""

from __future__ import annotations

from typing import Any

from allauth.core.internal.httpkit import get_client_ip
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from tenants.correlation import correlation_id
from tenants.models import AuditEntry, Membership, Tenant


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
    """In the transaction of what was decided: both are kept, or neither. `address`: from where, an IP address."""
    AuditEntry.across_tenants.create(
        tenant=tenant,
        actor_id=actor.pk,
        actor_name=str(getattr(actor, "email", actor)),
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
    """By a member, in their tenant."""
    record(membership.tenant, membership.user, membership.role, action, address=address, **detail)
