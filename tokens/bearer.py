"""Who comes with a token, and what it may do now: never more than its owner may at this very request."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tenants.models import Membership
from tenants.people import identity_provider
from tenants.wall import set_tenant, show_token
from tokens.models import Token
from tokens.secret import hash_of, is_well_formed

USE_IS_NOTED_AFTER = timedelta(minutes=5)


class NoBearer(Exception):
    """Unknown, expired, revoked, its owner gone, its tenant suspended: nobody is told which."""


class ShutOut(Exception):
    """The token is good, but its organisation asks for more by now."""

    def __init__(self, user_message: str | Promise) -> None:
        super().__init__(str(user_message))
        self.user_message = user_message


@dataclass(frozen=True)
class Bearer:
    """`membership` is in no table: what this token may do now. Of a tenant's token it has no user."""

    token: Token
    membership: Membership


def bearer_of(authorization: str) -> Bearer:
    """By the header of a request; its tenant is set for the database. Needs a transaction, see `tenants.wall`.

    Raises `NoBearer` and `ShutOut`.
    """
    scheme, _space, secret = authorization.partition(" ")
    if scheme.lower() != "bearer" or not is_well_formed(secret.strip()):
        raise NoBearer
    token = _usable(hash_of(secret.strip()))
    if token is None:
        raise NoBearer
    if problem := _asks_for_more(token):
        raise ShutOut(problem)
    return Bearer(token, _narrowed(token))


def _usable(token_hash: str) -> Token | None:
    """Found by its hash in an index: how long that takes tells nothing of a secret that is close to another."""
    show_token(token_hash)
    tenant_id = Token.across_tenants.filter(token_hash=token_hash).values_list("tenant_id", flat=True).first()
    # As many statements for one that is not there, so that the time tells no difference.
    set_tenant(tenant_id or 0)
    now = timezone.now()
    usable = Token.across_tenants.filter(
        Q(membership=None) | Q(membership__user__is_active=True),
        token_hash=token_hash,
        tenant__is_active=True,
        revoked_at=None,
        expires_at__gt=now,
        # The operator may have shortened the time since.
        created_at__gt=now - timedelta(days=settings.API_TOKEN_DAYS),
    )
    return usable.select_related("membership__user", "tenant__identity_provider").first()


def _asks_for_more(token: Token) -> str | Promise:
    if token.tenant.second_factor_required and not token.has_second_factor:
        return _("Your organisation asks for a second factor: sign in with yours, and make a new token.")
    provider = identity_provider(token.tenant)
    is_elsewhere = token.provider_key and (provider is None or provider.key != token.provider_key)
    is_by_password = provider is not None and provider.only_single_sign_on and not token.provider_key
    if token.membership_id is not None and (is_elsewhere or is_by_password):
        return _("Your organisation has another sign-in since: sign in through it, and make a new token.")
    return ""


def _narrowed(token: Token) -> Membership:
    owner = token.membership
    if owner is None:
        return Membership(tenant=token.tenant, role=token.role, machine_guids=token.machine_guids)
    guids = _shared(token.machine_guids, owner.machine_guids)
    return Membership(tenant=token.tenant, user=owner.user, role=token.role_now, machine_guids=guids)


def _shared(some: Collection[str] | None, others: Collection[str] | None) -> list[str] | None:
    """None = every machine."""
    if some is None or others is None:
        chosen = others if some is None else some
        return None if chosen is None else list(chosen)
    return sorted(set(some) & set(others))


def asker_with(token_id: UUID) -> Membership | None:
    """For workers: what a token may do now with which something was asked for. Its end in time is no matter then."""
    usable = Token.across_tenants.filter(pk=token_id, revoked_at=None).select_related("membership__user", "tenant")
    token = usable.first()
    return _narrowed(token) if token else None


def note_use(token: Token, address: str | None) -> None:
    """When and from where, to some minutes: not a write for each request."""
    before = timezone.now() - USE_IS_NOTED_AFTER
    if token.last_used_at is None or token.last_used_at < before:
        unnoted = Token.objects.filter(Q(last_used_at=None) | Q(last_used_at__lt=before), pk=token.pk)
        unnoted.update(last_used_at=timezone.now(), last_used_address=address)
