"""The whole way to an organisation's own sign-in and back, under the policy for scripts and forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from tenants.models import IdentityProvider, Tenant
from tests.identity_provider import CLIENT_ID, CLIENT_SECRET, FakeIdentityProvider


@pytest.fixture
def idp(tmp_path: Path, settings: Any, live_server: LiveServer) -> Iterator[FakeIdentityProvider]:
    running = FakeIdentityProvider(tmp_path)
    settings.OUTBOUND_CA_FILE, settings.PORTAL_URL = str(running.ca_file), live_server.url
    settings.OUTBOUND_PRIVATE_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
    running.somebody = running.userinfo = {"sub": "rose-1", "email": "rose@sunflower.example", "name": "Rose"}
    yield running
    running.stop()


@pytest.fixture
def provider(idp: FakeIdentityProvider, sunflower: Tenant) -> IdentityProvider:
    made = IdentityProvider(
        tenant=sunflower, slug="sunflower", issuer=idp.issuer, client_id=CLIENT_ID, default_role="viewer"
    )
    made.client_secret = CLIENT_SECRET
    made.save()
    return made


@pytest.mark.parametrize("scripts", [True, False])
def test_somebody_signs_in_through_their_organisation(
    scripts: bool, provider: IdentityProvider, open_page: Callable[..., Page]
):
    page = open_page(ignore_https_errors=True, java_script_enabled=scripts)
    page.goto("/accounts/login/?next=/t/sunflower/operations/")
    page.get_by_role("link", name="Sign in through your organisation").click()
    page.get_by_label("Name of your organisation here").fill("Sunflower")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Sign in at sunflower").click()
    page.wait_for_url("**/t/sunflower/operations/")
    page.locator("summary", has_text="Account").click()
    expect(page.get_by_text("Rose", exact=False).first).to_be_visible()
    expect(page.get_by_role("link", name="Change password")).to_have_count(0)
