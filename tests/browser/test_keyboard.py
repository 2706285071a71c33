"""Plans, people and files with the Tab key and no mouse, with a script and without one."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tenants.models import Tenant, User
from tests import landscape
from tests.browser.conftest import OpenPage, sign_in
from tests.chromium import press
from vprotect_bridge.models import ChosenEntry, PlanChange

TENANT = "/t/sunflower/"


@pytest.fixture
def pages(sunflower: Tenant, owner: User) -> dict[str, str]:
    addresses = landscape.pages(landscape.fill(sunflower, owner))
    ChosenEntry.across_tenants.all().delete()
    PlanChange.across_tenants.all().delete()
    return addresses


@pytest.fixture(params=[True, False], ids=["script", "no-script"])
def page(request: pytest.FixtureRequest, pages: dict[str, str], owner: User, open_page: OpenPage) -> Page:
    page = open_page(java_script_enabled=request.param)
    sign_in(page, owner)
    return page


def fill(target: Locator, text: str) -> None:
    press(target, "Control+A")
    target.page.keyboard.type(text)


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def link(page: Page, name: str) -> Locator:
    return page.get_by_role("link", name=name, exact=True)


def test_a_plan_is_made_and_changed(page: Page, pages: dict[str, str]):
    page.goto(f"{TENANT}plans/")
    press(link(page, "New plan"))
    fill(page.get_by_label("Name", exact=True), "Nights")
    press(button(page, "Remove schedule 2"))
    expect(page.get_by_role("group", name="Schedule 2")).to_have_count(0)
    press(page.get_by_role("checkbox", name="vm-2"), "Space")
    press(page.get_by_role("button", name="See what changes"))
    expect(page.get_by_role("heading", name="This will be made")).to_be_visible()
    press(button(page, "Choose differently"))
    expect(page.get_by_label("Name", exact=True)).to_have_value("Nights")
    press(page.get_by_role("button", name="See what changes"))
    press(button(page, "Make the plan"))
    expect(page.get_by_role("heading", name="Nights")).to_be_visible()

    page.goto(pages["plan-edit"])
    fill(page.get_by_label("Name", exact=True), "Workdays")
    press(page.get_by_role("checkbox", name="vm-of-overdue"), "Space")
    press(page.get_by_role("button", name="See what changes"))
    expect(page.get_by_text("From then on nobody backs up")).to_be_visible()
    press(button(page, "Change the plan"))
    expect(page.locator("#plan-change .chip")).to_be_visible()


def test_somebody_is_invited_and_given_another_role(page: Page):
    page.goto(f"{TENANT}members/")
    press(link(page, "Invite a person"))
    fill(page.get_by_label("E-mail address"), "new@sunflower.example")
    press(page.get_by_role("radio", name="Viewer"), "ArrowDown")
    press(button(page, "Send the invitation"))
    expect(page.get_by_text("new@sunflower.example").first).to_be_visible()


def test_files_are_chosen_and_asked_for(page: Page, pages: dict[str, str]):
    page.goto(pages["folder"])
    press(page.get_by_role("checkbox", name="hosts"), "Space")
    if button(page, "Choose what is ticked").is_visible():
        press(button(page, "Choose what is ticked"))
    expect(page.get_by_text("1 chosen")).to_be_visible()
    press(button(page, "Download"))
    expect(page.get_by_text("Waiting to be fetched.")).to_be_visible()
    press(button(page, "Stop"))
    expect(page.get_by_text("It is removed.")).to_be_visible()
    press(page.locator("summary").filter(has_text="Close"))
    press(button(page, "Close this backup"))
    expect(page.get_by_text("The backup is being closed.")).to_be_visible()
