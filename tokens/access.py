"""Where an id of a token in an address becomes a token. Foreign, unknown and malformed are all 404."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404

from tenants.middleware import TenantRequest
from tokens.models import Token


def own_tokens(request: TenantRequest) -> QuerySet[Token]:
    """The person's own in this tenant, without those that are revoked."""
    return Token.objects.filter(membership=request.membership.pk, revoked_at=None)


def tokens_of_tenant(request: TenantRequest) -> QuerySet[Token]:
    """For administrators: the tenant's own, and everybody's in it."""
    tokens = Token.objects.filter(tenant=request.tenant, revoked_at=None)
    return tokens.select_related("membership__user", "created_by")


def own_token_for(request: TenantRequest, token_id: UUID) -> Token:
    return get_object_or_404(own_tokens(request).select_related("membership__user"), pk=token_id)


def token_for(request: TenantRequest, token_id: UUID) -> Token:
    return get_object_or_404(tokens_of_tenant(request), pk=token_id)
