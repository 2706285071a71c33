"""What a page that asks again and again does when the answers are not the usual ones."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tenants.models import User
from tests.browser.conftest import OpenPage, sign_in
from vprotect_bridge.models import Operation

POLL = re.compile(r"/poll\?")


def test_a_lost_connection_is_said_until_it_is_back(
    owner: User, operation: Operation, accepted_complaints: list[str], open_page: OpenPage
):
    accepted_complaints += ["Failed to load resource", "Response Status Error Code 503"]
    page = open_page()
    sign_in(page, owner)
    page.goto(f"/t/sunflower/operations/{operation.pk}/")
    lost = page.get_by_text("Connection lost")
    expect(lost).to_be_hidden()
    page.route(POLL, lambda route: route.fulfill(status=503, body="away"))
    with page.expect_response(POLL):
        pass
    expect(lost).to_be_visible()
    page.unroute(POLL)
    expect(lost).to_be_hidden()


def test_who_was_signed_out_meanwhile_sees_the_login_as_a_page(owner: User, operation: Operation, open_page: OpenPage):
    page = open_page()
    sign_in(page, owner)
    address = f"/t/sunflower/operations/{operation.pk}/"
    page.goto(address)
    page.context.clear_cookies()
    page.wait_for_url(lambda url: "/accounts/login/?next=" in url)
    expect(page.get_by_role("banner")).to_have_count(1)
    sign_in_again = page.get_by_label("Password")
    page.get_by_label("Email").fill(owner.email)
    sign_in_again.fill("a password for tests")
    sign_in_again.press("Enter")
    page.wait_for_url(f"**{address}")


def test_going_back_shows_a_form_that_can_be_sent_again(owner: User, open_page: OpenPage):
    page = open_page()
    page.goto("/accounts/login/")
    page.evaluate("() => document.querySelector('form').addEventListener('submit', (e) => e.preventDefault())")
    page.get_by_label("Email").fill(owner.email)
    page.get_by_label("Password").fill("a password for tests")
    button = page.get_by_role("button", name="Sign in", exact=True)
    button.click()
    expect(button).to_have_attribute("aria-busy", "true")
    page.evaluate("() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    expect(button).not_to_have_attribute("aria-busy", "true")
