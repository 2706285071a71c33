"""Activity, live: it moves on, and never under somebody's hands."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tenants.models import Tenant, User
from tests.browser.conftest import OpenPage, sign_in
from tests.conftest import machine_of, operation_on
from vprotect_bridge.models import Operation

ACTIVITY = "/t/sunflower/operations/"
InTheDatabase = Callable[[Callable[[], object]], None]


@pytest.fixture
def running(sunflower: Tenant, operation: Operation) -> Operation:
    Operation.across_tenants.filter(pk=operation.pk).update(submission="accepted", phase="exporting", progress=10)
    return operation


def row(page: Page, name: str) -> Locator:
    return page.locator(".operations tbody tr", has_text=name)


def test_what_runs_moves_and_settles_and_what_is_new_appears(
    owner: User, running: Operation, sunflower: Tenant, in_the_database: InTheDatabase, open_page: OpenPage
):
    page = open_page()
    sign_in(page, owner)
    page.goto(ACTIVITY)
    expect(row(page, "vm-1")).to_contain_text("10 %")
    page.mouse.move(0, 0)
    this = Operation.across_tenants.filter(pk=running.pk)
    in_the_database(lambda: this.update(progress=42))
    expect(row(page, "vm-1")).to_contain_text("42 %")
    in_the_database(lambda: operation_on(machine_of(sunflower, "vm-new")))
    expect(row(page, "vm-new")).to_be_visible()
    in_the_database(lambda: this.update(outcome="succeeded", progress=100))
    expect(row(page, "vm-1")).to_contain_text("Succeeded")
    expect(page.locator(".under-way")).to_have_text("1 is under way.")


def test_nothing_new_moves_what_has_the_focus(
    owner: User, running: Operation, sunflower: Tenant, in_the_database: InTheDatabase, open_page: OpenPage
):
    page = open_page()
    sign_in(page, owner)
    page.goto(ACTIVITY)
    link = row(page, "vm-1").locator(".machine-name")
    link.focus()
    top = link.bounding_box()["y"]

    def news() -> None:
        operation_on(machine_of(sunflower, "vm-new"))
        Operation.across_tenants.filter(pk=running.pk).update(progress=42)

    in_the_database(news)
    expect(row(page, "vm-1")).to_contain_text("42 %")
    expect(link).to_be_focused()
    expect(row(page, "vm-new")).to_have_count(0)
    show = page.get_by_role("link", name="Show it")
    expect(show).to_be_visible()
    assert link.bounding_box()["y"] - top < 80, "only the button came above it"
    show.press("Enter")
    expect(row(page, "vm-new").locator(".machine-name")).to_be_focused()


def test_cancelling_by_keyboard_says_what_it_does_and_keeps_the_place(
    owner: User, running: Operation, in_the_database: InTheDatabase, open_page: OpenPage
):
    page = open_page()
    sign_in(page, owner)
    page.goto(ACTIVITY)
    cancel = row(page, "vm-1").locator("summary")
    cancel.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("the engine stops at its next safe point")).to_be_visible()
    in_the_database(lambda: Operation.across_tenants.filter(pk=running.pk).update(progress=42))
    expect(row(page, "vm-1")).to_contain_text("42 %")
    expect(page.get_by_role("button", name="Cancel this backup")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(row(page, "vm-1").locator("summary")).to_have_count(0)
    expect(row(page, "vm-1")).to_contain_text("Cancelling")
    expect(row(page, "vm-1").locator(".machine-name")).to_be_focused()


def test_without_javascript_it_is_links_and_forms(owner: User, running: Operation, open_page: OpenPage):
    page = open_page(java_script_enabled=False)
    sign_in(page, owner)
    page.goto(ACTIVITY)
    page.get_by_label("State").select_option("problem")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("heading", name="Nothing fits")).to_be_visible()
    page.get_by_role("link", name="Under way").click()
    row(page, "vm-1").locator("summary").click()
    page.get_by_role("button", name="Cancel this backup").click()
    expect(page.get_by_text("Cancelling:").first).to_be_visible()


def test_details_open_beside_the_list_by_keyboard_and_give_the_focus_back(
    owner: User, running: Operation, in_the_database: InTheDatabase, open_page: OpenPage
):
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_in(page, owner)
    page.goto(ACTIVITY)
    details = row(page, "vm-1").get_by_role("link", name="Details")
    details.focus()
    page.keyboard.press("Enter")
    drawer = page.get_by_role("dialog", name="Backup of machine vm-1")
    expect(drawer).to_be_visible()
    expect(drawer.get_by_role("button", name="Close")).to_be_focused()
    drawer.get_by_role("button", name="Copy operation id").press("Enter")
    expect(drawer.get_by_role("status")).to_have_text("operation id copied")
    assert page.evaluate("() => navigator.clipboard.readText()") == str(running.pk)
    in_the_database(lambda: Operation.across_tenants.filter(pk=running.pk).update(phase="storing", progress=60))
    expect(drawer).to_contain_text("Storing the backup.")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(details).to_be_focused()


def test_details_are_a_page_without_javascript(owner: User, running: Operation, open_page: OpenPage):
    page = open_page(java_script_enabled=False)
    sign_in(page, owner)
    page.goto(ACTIVITY)
    row(page, "vm-1").get_by_role("link", name="Details").click()
    expect(page.get_by_role("heading", name="Details: Backup of machine vm-1")).to_be_visible()
    expect(page.get_by_text(str(running.pk))).to_be_visible()
    expect(page.locator(".copy-button").first).to_be_hidden()
