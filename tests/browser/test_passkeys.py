"""A passkey of Chromium's virtual authenticator: added, used as second factor, used alone."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tenants.models import Tenant, User
from tests.browser.conftest import PASSWORD, OpenPage


def _with_authenticator(page: Page) -> Page:
    cdp = page.context.new_cdp_session(page)
    cdp.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options |= {"isUserVerified": True, "automaticPresenceSimulation": True}
    cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return page


def _sign_in(page: Page, email: str) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_a_passkey_is_added_where_it_is_needed_and_then_lets_in_alone(
    owner: User, sunflower: Tenant, open_page: OpenPage
):
    page = _with_authenticator(open_page())
    _sign_in(page, owner.email)
    page.wait_for_url("**/t/sunflower/")
    page.goto("/t/sunflower/settings/")
    page.get_by_label("Everybody needs a second factor").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Use a passkey").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Sign in with it alone, without the password").check()
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.goto("/")
    expect(page.get_by_role("link", name="Machines")).to_be_visible()
    page.goto("/accounts/logout/")
    page.get_by_role("main").get_by_role("button").click()
    page.goto("/accounts/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("link", name="Machines")).to_be_visible()
    page.goto("/accounts/logout/")
    page.get_by_role("main").get_by_role("button").click()
    _sign_in(page, owner.email)
    page.get_by_role("button", name="Use a passkey or security key").click()
    expect(page.get_by_role("link", name="Machines")).to_be_visible()


def test_a_passkey_that_does_not_come_is_said(db: None, open_page: OpenPage):
    page = open_page()
    page.goto("/accounts/login/")
    page.evaluate("() => { navigator.credentials.get = () => Promise.reject(new Error('cancelled')); }")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_text("The passkey was not used")).to_be_visible()
