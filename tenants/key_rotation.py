"""Encrypts with the present SECRET_KEY what was encrypted with a former one, so that the former may be forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.mfa.models import Authenticator
from django.db import transaction

from tenants.encryption import decrypt, encrypt
from tenants.models import IdentityProvider
from tenants.second_factor import PURPOSE

# Members of an authenticator's data that django-allauth encrypts.
_ENCRYPTED = ("secret", "seed", "migrated_codes")
# What other apps keep: each encrypts its own anew, in the same transaction, and returns how many those were.
ENCRYPTED_BY_OTHERS: dict[str, Callable[[], int]] = {}
_KINDS = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)


@transaction.atomic
def reencrypt_all() -> dict[str, int]:
    """How many of each kind. Raises `cryptography.fernet.InvalidToken`, and changes nothing, where a key is missing."""
    providers = list(IdentityProvider.across_tenants.select_for_update().exclude(encrypted_secret=""))
    for provider in providers:
        provider.client_secret = provider.client_secret
        provider.save(update_fields=["encrypted_secret"])
    authenticators = list(Authenticator.objects.select_for_update().filter(type__in=_KINDS))
    for authenticator in authenticators:
        authenticator.data = {name: _anew(name, value) for name, value in authenticator.data.items()}
        authenticator.save(update_fields=["data"])
    others = {what: encrypt_anew() for what, encrypt_anew in ENCRYPTED_BY_OTHERS.items()}
    return {"secrets of identity providers": len(providers), "second factors": len(authenticators)} | others


def _anew(name: str, value: Any) -> Any:
    if name not in _ENCRYPTED:
        return value
    if isinstance(value, list):
        return [encrypt(decrypt(one, PURPOSE), PURPOSE) for one in value]
    return encrypt(decrypt(value, PURPOSE), PURPOSE)
