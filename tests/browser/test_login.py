"""Signing in and out, and the other pages of an account."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tenants.models import User
from tests.browser.conftest import OpenPage, sign_in

OPEN_PAGES = ["login", "signup", "inactive", "password/reset", "password/reset/done", "password/reset/key/1-x"]
OWN_PAGES = ["logout", "reauthenticate", "password/change"]


def test_a_wrong_password_keeps_the_address_and_the_right_one_signs_in_and_out(owner: User, open_page: OpenPage):
    page = open_page()
    sign_in(page, owner, "not the password")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Email")).to_have_value(owner.email)
    page.get_by_label("Password").fill("a password for tests")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    page.locator(".menu summary").last.click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_account_pages_fit_a_phone(color_scheme: str, owner: User, open_page: OpenPage):
    page = open_page(color_scheme=color_scheme, viewport={"width": 360, "height": 740})
    for name in OPEN_PAGES:
        page.goto(f"/accounts/{name}/")
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 360, name
    sign_in(page, owner)
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    for name in OWN_PAGES:
        page.goto(f"/accounts/{name}/")
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 360, name


def test_the_look_follows_the_device_until_the_person_chooses(owner: User, open_page: OpenPage):
    page = open_page(color_scheme="dark")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    page.goto("/accounts/login/")
    by_night = page.evaluate(ground)
    sign_in(page, owner)
    page.locator(".menu summary").last.click()
    page.get_by_role("button", name="Light", exact=True).click()
    assert page.evaluate(ground) != by_night
    with page.expect_response("**/accounts/theme"):
        page.get_by_role("button", name="Device").click()
    assert page.evaluate(ground) == by_night
