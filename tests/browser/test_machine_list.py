"""The list of machines in a real browser: what is typed, clicked and ticked, and what the back button does."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from tenants.models import Grant, Tenant, User
from tests.browser.conftest import OpenPage, sign_in
from tests.portal.test_machines import many
from vprotect_bridge.models import Destination, UpstreamStatus

LIST = "/t/sunflower/machines/"


@pytest.fixture
def sixty(sunflower: Tenant) -> None:
    many(sunflower, 60)
    Destination.objects.create(guid="store-1", name="Main store", is_default=True)
    Grant.across_tenants.create(tenant=sunflower, kind=Grant.Kind.DESTINATION, guid="store-1")
    UpstreamStatus.objects.update(inventory_at=timezone.now())


def test_typing_and_clicking_change_the_list_the_address_and_what_is_said(
    owner: User, sixty: None, open_page: OpenPage
):
    page = at_the_list(open_page, owner)
    search = page.get_by_label("Search by name, project or id")
    search.press_sequentially("0000", delay=30)
    expect(page.locator(".machine-name")).to_have_count(10)
    expect(page).to_have_url(re.compile(r"\?q=0000$"))
    expect(search).to_be_focused()
    expect(page.locator("#machine-count")).to_have_text(re.compile("10 machines fit"))
    page.get_by_role("link", name="Machine", exact=True).click()
    expect(page.locator(".machine-name").first).to_have_text("machine-00009")
    expect(page).to_have_url(re.compile(r"\?q=0000&sort=-name$"))
    expect(page.locator("#sort-name")).to_be_focused()
    page.go_back()
    expect(page.locator(".machine-name").first).to_have_text("machine-00000")
    page.go_back()  # typing was one visit, and replaced the one before it
    expect(page).to_have_url(re.compile(r"/t/sunflower/$"))


def test_what_is_ticked_stays_so_until_it_was_asked_for(owner: User, sixty: None, open_page: OpenPage):
    page = at_the_list(open_page, owner)
    bar, count = page.locator("#bulk"), page.locator(".bulk-count")
    expect(bar).to_be_hidden()
    page.get_by_label("Select machine-00003").check()
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_label("Select machine-00025")).to_be_visible()
    page.get_by_label("Select all 25 on this page").check()
    expect(count).to_have_text("Selected: 26")
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#machine-list")).to_be_focused()
    page.get_by_label("Search by name, project or id").fill("00003")
    expect(page.get_by_label("Select machine-00003")).to_be_checked()
    page.reload()
    expect(count).to_have_text("Selected: 26")
    page.get_by_role("button", name="Back up", exact=True).click()
    expect(page.get_by_role("heading", name="Back up 26 machines")).to_be_visible()
    page.get_by_role("button", name="See what will happen").click()
    page.get_by_role("button", name="Back up now").click()
    expect(page.get_by_role("heading", name="Backup of 26 machines")).to_be_visible()
    page.goto(LIST)
    expect(bar).to_be_hidden()


def test_all_that_match_and_clearing(owner: User, sixty: None, open_page: OpenPage):
    page = at_the_list(open_page, owner)
    page.get_by_label("Select all 60 that match").check()
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_label("Select machine-00025")).to_be_visible()
    expect(page.locator(".bulk-count")).to_have_text("Selected: all that match")
    page.get_by_role("button", name="Back up", exact=True).click()
    expect(page.get_by_role("heading", name="Back up 60 machines")).to_be_visible()
    page.go_back()
    page.get_by_role("button", name="Clear the selection").click()
    expect(page.locator("#bulk")).to_be_hidden()
    expect(page.get_by_label("Select all 60 that match")).not_to_be_checked()


def test_without_a_script_ticks_are_carried_by_the_form(owner: User, sixty: None, open_page: OpenPage):
    page = at_the_list(open_page, owner, java_script_enabled=False)
    page.get_by_label("Select machine-00003").check()
    page.get_by_role("button", name="Next page").click()
    page.get_by_label("Select machine-00030").check()
    page.get_by_role("button", name="Back up", exact=True).click()
    expect(page.get_by_role("heading", name="Back up 2 machines")).to_be_visible()


def at_the_list(open_page: OpenPage, person: User, **options: object) -> Page:
    page = open_page(**options)
    sign_in(page, person)
    page.wait_for_url("**/t/sunflower/**")
    page.goto(LIST)
    return page
