"""Who is somewhere stays there: after each kind of swap the focus is where it was, and one node says what is new."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tenants.models import Grant, Tenant, User
from tests.browser.conftest import OpenPage, sign_in
from tests.conftest import machine_of, operation_on
from tests.portal.test_machines import many
from vprotect_bridge.models import Destination, Operation, UpstreamStatus

InTheDatabase = Callable[[Callable[[], object]], None]
TENANT = "/t/sunflower/"


@pytest.fixture
def running(sunflower: Tenant, operation: Operation) -> Operation:
    """And sixty machines that sort behind its own: every list has a second page."""
    Operation.across_tenants.filter(pk=operation.pk).update(submission="accepted", phase="exporting", progress=1)
    UpstreamStatus.objects.update(inventory_at=operation.created_at)
    like = machine_of(sunflower, "vm-00")
    many(sunflower, 60)
    Destination.objects.create(guid="store-1", name="Main store", is_default=True)
    Grant.across_tenants.create(tenant=sunflower, kind=Grant.Kind.DESTINATION, guid="store-1")
    operation_on(like, submission="accepted", phase="exporting", progress=1)
    return operation


def same_node(page: Page, live: Locator) -> Callable[[], bool]:
    """Whether a live region is still the node that it was: only then do screen readers tell what changed in it."""
    live.evaluate("node => { window.live = node; }")
    return lambda: bool(page.evaluate("() => window.live.isConnected"))


def test_a_poll_leaves_the_focus_where_it_is(
    owner: User, running: Operation, in_the_database: InTheDatabase, open_page: OpenPage
):
    page = open_page()
    sign_in(page, owner)
    page.wait_for_url(f"**{TENANT}")
    parts = {
        TENANT: ("#running .machine-name", "#running"),
        f"{TENANT}machines/": (".machine-name", "#machine-count"),
        f"{TENANT}machines/{running.machine.guid}/": (".operation + .more a", ".operation-state"),
        f"{TENANT}operations/": (".operations .machine-name", ".under-way"),
    }
    for progress, (address, (link, region)) in enumerate(parts.items(), start=41):
        page.goto(address)
        focused = page.locator(link).first
        focused.focus()
        is_same = same_node(page, page.locator(region).first)
        in_the_database(lambda: Operation.across_tenants.update(progress=progress))  # noqa: B023 — called at once
        expect(page.locator("main")).to_contain_text(f"{progress} %")
        expect(focused, address).to_be_focused()
        assert is_same(), address


def test_paging_day_by_day_stays_at_the_button_and_says_where_one_is(
    owner: User, running: Operation, open_page: OpenPage
):
    page = open_page()
    sign_in(page, owner)
    page.wait_for_url(f"**{TENANT}")
    following = page.get_by_label("Machines, day by day").get_by_role("link", name="Next")
    said = page.locator("#days [role=status]")
    is_same = same_node(page, said)
    following.press("Enter")
    expect(said).to_have_text("13–24 of 62")
    expect(following).to_be_focused()
    assert is_same() and "?page=2" in page.url
    for first in (25, 37, 49, 61):
        following.press("Enter")
        expect(said).to_contain_text(f"{first}–")
    expect(page.locator("#days")).to_be_focused()


def test_searching_and_paging_in_a_form_stay_where_they_are(owner: User, running: Operation, open_page: OpenPage):
    page = open_page()
    sign_in(page, owner)
    page.goto(f"{TENANT}plans/new/")
    said = page.locator("#picked [role=status]")
    is_same = same_node(page, said)
    following = page.locator("#pick-next")
    following.press("Enter")
    expect(said).to_contain_text("51–62 of 62")
    expect(page.locator("#picked")).to_be_focused()
    page.locator("#pick-previous").press("Enter")
    expect(said).to_contain_text("1–50 of 62")
    search = page.get_by_placeholder("Search by name")
    search.fill("vm-")
    expect(said).to_contain_text("1–2 of 2")
    expect(search).to_be_focused()
    assert is_same()


def test_a_tick_set_while_a_search_is_under_way_stays(owner: User, running: Operation, open_page: OpenPage):
    page = open_page()
    sign_in(page, owner)
    page.goto(f"{TENANT}plans/new/")
    held: list[Route] = []
    page.route("**/plans/new/", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/plans/new/"):
        page.get_by_placeholder("Search by name").fill("vm-")
    tick = page.get_by_role("checkbox", name=running.machine.name)
    tick.check()
    held[0].continue_()
    expect(page.locator("#picked [role=status]")).to_contain_text("1 machine chosen. Shown: 1–2 of 2.")
    expect(tick).to_be_checked()
