"""What whoever asked for something may do now: a person by their membership, a program by its token."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from tenants.models import Membership

OfToken = Callable[[UUID], Membership | None]
_of_token: list[OfToken] = []


def register(of_token: OfToken) -> None:
    """By the app that knows tokens, when it is loaded."""
    _of_token[:] = [of_token]


def asker_of(tenant_id: int, user_id: int | None, token_id: UUID | None) -> Membership | None:
    """None = nothing any more. For workers, who send later what was asked for."""
    if token_id is None:
        return Membership.objects.filter(user=user_id, tenant=tenant_id).first()
    return _of_token[0](token_id)
