"""Every page in a real browser: usable with every sense and size, without an error on the console."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from playwright.sync_api import Page, expect

from tenants.models import Role, Tenant, User
from tests import landscape
from tests.browser.conftest import OpenPage, sign_in
from tests.conftest import person

PHONE, ZOOMED, DESK = ({"width": width, "height": 740} for width in (360, 640, 1280))
BEFORE_SIGNING_IN = [
    "/accounts/login/",
    "/accounts/password/reset/",
    "/accounts/password/reset/done/",
    "/accounts/inactive/",
    "/accounts/signup/",
    "/accounts/sso/",
]
OPERATORS = [
    "/",
    "/search/?q=vm",
    "/vprotect_bridge/machine/drift/",
    "/tenants/tenant/",
    "/tenants/user/",
    "/tenants/claim/",
    "/tenants/claim/paste/",
    "/tenants/auditentry/",
    "/vprotect_bridge/machine/",
    "/vprotect_bridge/operation/",
    "/vprotect_bridge/mount/",
    "/vprotect_bridge/download/",
    "/notifications/mail/",
    "/notifications/webhookdelivery/",
    "/accounts/2fa/",
]
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
# Only what is wrong comes back: the rest is long, and nobody reads it.
EVERYTHING = {"resultTypes": ["violations"]}
COLOURS_ONLY = {**EVERYTHING, "runOnly": ["color-contrast"]}


def findings(page: Page, address: str, options: dict[str, Any]) -> list[str]:
    found = page.evaluate("options => axe.run(options).then(({ violations }) => violations)", options)
    return [f"{address}: {one['id']} at {node['target']}" for one in found for node in one["nodes"]]


def walk(page: Page, addresses: list[str]) -> Iterator[str]:
    """What is wrong with each, by day and by night, on a phone, at 200 % and on a desk.

    For a browser with reduced motion: a colour that still moves from day to night is neither.
    """
    for address in addresses:
        page.set_viewport_size(DESK)
        page.emulate_media(color_scheme="light")
        page.goto(address)
        page.evaluate(AXE)
        yield from findings(page, address, EVERYTHING)
        page.emulate_media(color_scheme="dark")
        yield from findings(page, f"{address} by night", COLOURS_ONLY)
        for size in (ZOOMED, PHONE):
            page.set_viewport_size(size)
            width = page.evaluate("() => document.documentElement.scrollWidth")
            if width > size["width"]:
                yield f"{address} is {width} wide on {size['width']}"


@pytest.fixture
def pages(sunflower: Tenant, owner: User) -> dict[str, str]:
    EmailAddress.objects.filter(user=owner).update(verified=True)
    return landscape.pages(landscape.fill(sunflower, owner))


def test_every_page_can_be_used_by_an_administrator(pages: dict[str, str], owner: User, open_page: OpenPage):
    page = open_page(reduced_motion="reduce")
    sign_in(page, owner)
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    own = [address for name, address in pages.items() if name not in {"account_inactive", "healthz", "readyz"}]
    assert list(walk(page, own)) == []


def test_every_page_before_signing_in_can_be_used(db: None, open_page: OpenPage):
    assert list(walk(open_page(reduced_motion="reduce"), BEFORE_SIGNING_IN)) == []


@pytest.fixture
def operator(db: None) -> User:
    user = User.objects.create_superuser("operator@provider.example", "a password for tests")
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


@pytest.mark.urls("portal.operator_urls")
def test_the_operators_pages_can_be_used(operator: User, open_page: OpenPage):
    page = open_page(reduced_motion="reduce")
    sign_in(page, operator)
    expect(page.get_by_role("link", name="Sessions").first).to_be_visible()
    assert list(walk(page, OPERATORS)) == []


def test_a_viewer_is_shown_pages_that_can_be_used_too(
    pages: dict[str, str], sunflower: Tenant, viewer: User, accepted_complaints: list[str], open_page: OpenPage
):
    accepted_complaints += ["Failed to load resource"]  # pages that are not for viewers
    page = open_page(reduced_motion="reduce")
    sign_in(page, viewer)
    shown = ["tenant-home", "machines", "machine", "plans", "plan", "operations", "operation", "settings"]
    assert list(walk(page, [pages[name] for name in shown] + ["/t/sunflower/nowhere/"])) == []


@pytest.fixture
def viewer(sunflower: Tenant) -> User:
    return person(sunflower, "viewer", Role.VIEWER)


def test_a_refused_form_says_what_is_wrong_where_the_focus_is(
    owner: User, accepted_complaints: list[str], open_page: OpenPage
):
    accepted_complaints += ["Failed to load resource: the server responded with a status of 422"]
    page = open_page()
    sign_in(page, owner)
    page.goto("/accounts/preferences/")
    page.get_by_label("Time zone").fill("Mars/Olympus")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    page.get_by_role("alert").get_by_role("link", name="Time zone").click()
    expect(page.get_by_label("Time zone")).to_be_focused()
    expect(page.get_by_label("Time zone")).to_have_value("Mars/Olympus")


@pytest.fixture
def in_german(owner: User) -> None:
    User.objects.filter(pk=owner.pk).update(language="de")


def test_longer_words_fit_a_phone_too(pages: dict[str, str], owner: User, in_german: None, open_page: OpenPage):
    page = open_page(viewport=PHONE)
    sign_in(page, owner)
    expect(page.locator("html")).to_have_attribute("lang", "de")
    for name in ("tenant-home", "machines", "machine", "plan-edit", "operations", "members", "settings", "preferences"):
        page.goto(pages[name])
        assert page.evaluate("() => document.documentElement.scrollWidth") == PHONE["width"], name


def test_the_navigation_of_a_phone_is_at_the_thumb_and_covers_nothing(
    pages: dict[str, str], owner: User, open_page: OpenPage
):
    page = open_page(viewport=PHONE, has_touch=True)
    sign_in(page, owner)
    page.goto(pages["machines"])
    box: Callable[[str], dict[str, float]] = lambda name: page.locator(name).bounding_box()  # type: ignore[assignment,return-value]  # noqa: E731
    navigation = box(".main-nav")
    assert navigation["y"] + navigation["height"] == PHONE["height"]
    page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
    foot = box(".foot")
    assert foot["y"] + foot["height"] <= navigation["y"]
