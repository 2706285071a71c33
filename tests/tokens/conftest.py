from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from tenants.models import Membership, Tenant, User
from tokens.models import Token
from tokens.secret import HINT_LENGTH, hash_of, new_secret

MadeToken = tuple[Token, str]


def token_of(tenant: Tenant, owner: User | None = None, **fields: Any) -> MadeToken:
    """A person's token, or with no `owner` the tenant's, and its secret."""
    secret = new_secret()
    usual = {
        "membership": Membership.objects.get(user=owner, tenant=tenant) if owner else None,
        "name": "Pipeline",
        "role": "restorer",
        "token_hash": hash_of(secret),
        "hint": secret[:HINT_LENGTH],
        "client_key": uuid4(),
        "created_by": owner,
        "expires_at": timezone.now() + timedelta(days=30),
    }
    return Token.across_tenants.create(tenant=tenant, **{**usual, **fields}), secret


@pytest.fixture
def confirmed(as_web: Callable[[User], Client]) -> Callable[[User], Client]:
    """A browser whose person has just typed their password once more."""

    def browser(user: User) -> Client:
        client = as_web(user)
        session = client.session
        session["account_authentication_methods"] = [{"method": "password", "at": time.time(), "reauthenticated": True}]
        session["account_authentication_methods_user"] = str(user.pk)
        session.save()
        return client

    return browser
