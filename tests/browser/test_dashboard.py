"""The overview in a real browser: it draws, it follows the light, it follows the work, it fits a phone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from tenants.models import Tenant, User
from tests.browser.conftest import OpenPage, sign_in
from vprotect_bridge.models import Backup, Machine, Operation

# How many dots of the first chart are painted, and the middle colour of one of its bars.
INK = """() => {
  const canvas = document.querySelector("canvas");
  const dots = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0, count = 0;
  for (let place = 0; place < dots.length; place += 4) if (dots[place + 3] > 200) { sum += dots[place]; count += 1; }
  return [count, Math.round(sum / count)];
}"""


@pytest.fixture
def history(sunflower: Tenant, operation: Operation) -> None:
    Operation.across_tenants.update(submission="accepted", phase="exporting", progress=20)
    for day in range(20):
        Backup.across_tenants.create(
            guid=f"b-{day}",
            tenant=sunflower,
            machine=operation.machine,
            status="FAILED" if day == 5 else "SUCCESS",
            type="FULL",
            sort_at=timezone.now() - timedelta(days=day),
            size=3 * 1024**3,
            duration_ms=300_000,
            destinations=[{"guid": "store-1", "name": "Store", "status": "PRESENT"}],
        )


def opened(page: Page, owner: User) -> Page:
    sign_in(page, owner)
    page.wait_for_url("**/t/sunflower/")
    return page


def test_charts_are_drawn_still_and_again_when_the_light_changes(history: None, owner: User, open_page: OpenPage):
    page = opened(open_page(reduced_motion="reduce", color_scheme="light"), owner)
    expect(page.locator("canvas")).to_have_count(4)
    count, by_day = page.evaluate(INK)
    assert count > 500
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.wait_for_function(f"() => Math.abs(({INK})()[1] - {by_day}) > 40")
    page.locator(".chart details").nth(2).locator("summary").click()
    expect(page.get_by_role("region", name="Success rate").get_by_role("row")).to_have_count(21)


def test_the_page_follows_the_work_until_there_is_none(
    history: None, operation: Operation, owner: User, in_the_database, open_page: OpenPage
):
    page = opened(open_page(), owner)
    expect(page.locator(".days td.running")).to_have_count(1)
    expect(page.locator("#running li")).to_contain_text("20 %")
    in_the_database(lambda: Operation.across_tenants.update(progress=60))
    expect(page.locator("#running li")).to_contain_text("60 %")
    in_the_database(lambda: Machine.across_tenants.update(protection="protected"))
    in_the_database(lambda: Operation.across_tenants.update(outcome="succeeded", progress=100))
    expect(page.get_by_role("heading", name="Your one machine is protected")).to_be_visible()
    expect(page.locator(".days td.running, #running[hx-get]")).to_have_count(0)


def test_it_fits_a_phone(history: None, owner: User, open_page: OpenPage):
    page = opened(open_page(viewport={"width": 360, "height": 740}), owner)
    expect(page.locator("canvas")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    expect(page.locator(".days tbody td:visible")).to_have_count(7)
    expect(page.get_by_text("The last 7 days")).to_be_visible()


def test_without_a_script_the_tables_say_it(history: None, owner: User, open_page: OpenPage):
    page = opened(open_page(java_script_enabled=False), owner)
    expect(page.locator("canvas:visible")).to_have_count(0)
    page.locator(".chart summary").first.click()
    expect(page.get_by_role("region", name="Data backed up per day").get_by_role("row").nth(1)).to_contain_text(
        "3.0 GiB"
    )
