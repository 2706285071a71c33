"""A new SECRET_KEY: nobody is signed out, nothing encrypted is lost, and the former key can be forgotten in the end."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from cryptography.fernet import InvalidToken
from django.core.management import call_command
from django.test import Client

from tenants.key_rotation import reencrypt_all
from tenants.models import IdentityProvider, Tenant, User
from tests.conftest import AsRole
from tests.portal.test_second_factor import code_of, set_up_app, sign_in

pytestmark = pytest.mark.django_db

NEW = "a new key, worth nothing elsewhere either, 0123456789"


@pytest.fixture
def provider(sunflower: Tenant) -> IdentityProvider:
    provider = IdentityProvider(tenant=sunflower, slug="sun", issuer="https://idp.example", client_id="portal")
    provider.client_secret = "a secret of the provider"
    provider.save()
    return provider


def test_a_session_and_a_second_factor_outlive_the_key(owner: User, settings: Any):
    browser = sign_in(owner)
    secret = set_up_app(browser)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [settings.SECRET_KEY]
    assert browser.get("/t/sunflower/machines/").status_code == 200
    assert Authenticator.objects.get(type="totp").wrap().validate_code(code_of(secret))


def test_after_reencrypting_the_former_key_is_not_needed(
    owner: User, provider: IdentityProvider, settings: Any, as_role: AsRole, as_web: Callable[[User], Client]
):
    secret = set_up_app(sign_in(owner))
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [settings.SECRET_KEY]
    said = StringIO()
    with as_role("portal_operator"):
        call_command("reencrypt", stdout=said)
    assert "1 secrets of identity providers, 2 second factors" in said.getvalue()
    settings.SECRET_KEY_FALLBACKS = []
    assert IdentityProvider.across_tenants.get().client_secret == "a secret of the provider"
    assert Authenticator.objects.get(type="totp").wrap().validate_code(code_of(secret))
    codes = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()
    assert len(codes) == 10


def test_a_key_that_is_missing_changes_nothing(owner: User, provider: IdentityProvider, settings: Any):
    before = provider.encrypted_secret
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, []
    with pytest.raises(InvalidToken):
        reencrypt_all()
    assert IdentityProvider.across_tenants.get().encrypted_secret == before
