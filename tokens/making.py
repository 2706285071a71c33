"""Making and revoking tokens. Both are audited, and act at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.audit import record_of
from tenants.models import Membership, Role
from tenants.people import Refused, lock
from tokens.models import TOKEN_ROLES, Token
from tokens.secret import HINT_LENGTH, hash_of, new_secret

MOST_OF_A_PERSON, MOST_OF_A_TENANT = 20, 50


@dataclass(frozen=True)
class TokenWish:
    """What a person chose. `machine_guids` None = every machine of its owner, also later ones; `days` it works."""

    name: str
    role: str
    machine_guids: Sequence[str] | None
    days: int
    client_key: UUID


@dataclass(frozen=True)
class SignedIn:
    """How who makes a token is signed in: through which identity provider ("" = by password), with a second factor."""

    provider_key: str = ""
    has_second_factor: bool = False


def make(
    by: Membership, wish: TokenWish, *, is_personal: bool, signed_in: SignedIn, address: str | None
) -> tuple[Token, str]:
    """The token and its secret, which is in no row. Raises `Refused`, also when the same form is sent again."""
    _check(by, wish, is_personal=is_personal)
    secret = new_secret()
    with transaction.atomic():
        lock(by.tenant)
        if Token.objects.filter(client_key=wish.client_key).exists():
            raise Refused(_("This form was sent before. A token is shown once: revoke that one, and make another."))
        owned = Token.objects.filter(membership=by.pk if is_personal else None, revoked_at=None)
        most = MOST_OF_A_PERSON if is_personal else MOST_OF_A_TENANT
        if owned.filter(expires_at__gt=timezone.now()).count() >= most:
            raise Refused(_("There are %(most)d tokens already. Revoke one that is not needed.") % {"most": most})
        token = Token.objects.create(
            tenant=by.tenant,
            membership=by if is_personal else None,
            name=wish.name,
            role=wish.role,
            machine_guids=list(wish.machine_guids) if wish.machine_guids is not None else None,
            token_hash=hash_of(secret),
            hint=secret[:HINT_LENGTH],
            client_key=wish.client_key,
            created_by=by.user,
            provider_key=signed_in.provider_key,
            has_second_factor=signed_in.has_second_factor,
            expires_at=timezone.now() + timedelta(days=wish.days),
        )
        _record(by, "token_made", token, address, given=wish.role, machines=token.machine_guids, days=wish.days)
    return token, secret


def _check(by: Membership, wish: TokenWish, *, is_personal: bool) -> None:
    if wish.role not in TOKEN_ROLES or not by.may(Role(wish.role)):
        raise Refused(_("A token may do no more than you."), "role")
    if not is_personal and not by.administers_all:
        raise Refused(_("Only an administrator makes tokens of the organisation."))
    if not 1 <= wish.days <= settings.API_TOKEN_DAYS:
        raise Refused(_("A token works for %(days)d days at most.") % {"days": settings.API_TOKEN_DAYS}, "days")
    beyond = set(wish.machine_guids or ()) - set(by.machine_guids or ())
    if wish.machine_guids is not None and by.machine_guids is not None and beyond:
        raise Refused(_("A token may do no more than you."), "machines")


def revoke(by: Membership, token: Token, *, address: str | None) -> bool:
    """From now on nothing is done with it. False = it was revoked before."""
    with transaction.atomic():
        if not Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
            return False
        _record(by, "token_revoked", token, address)
    return True


def _record(by: Membership, action: str, token: Token, address: str | None, **detail: Any) -> None:
    owner = token.membership.user.email if token.membership else ""
    record_of(by, action, address=address, token=token.name, token_id=str(token.pk), owner=owner, **detail)
