"""The whole way in a real browser: sign in, find a machine, back it up, watch it finish."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from demo import answers
from portal import plan_words
from tests.end_to_end.conftest import MEMBER, Stack, until
from vprotect_simulator.names import guid_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]

pytestmark = [
    pytest.mark.processes,
    pytest.mark.browser,
    pytest.mark.xdist_group("end_to_end"),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Its sandbox needs rights that a container does not give; it opens nothing but our own pages.
        flags = [*FLAGS, "--no-sandbox", "--no-first-run"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser, stack: Stack) -> Iterator[Any]:
    """`open_page(**context)`; at the end no page may have broken the policy for scripts or raised an error."""
    complaints: list[str] = []
    contexts = []

    def open_one(**options: Any) -> Page:
        contexts.append(chromium.new_context(base_url=stack.programs.portal_url, **options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


def sign_in(page: Page, stack: Stack, password: str | None = None, email: str = MEMBER) -> None:
    page.goto("/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password or stack.programs.passwords.people)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_a_person_backs_up_a_machine_and_watches_it_finish(open_page: Any, stack: Stack):
    page = open_page()
    sign_in(page, stack)
    page.get_by_label("Search by name").fill("datei")
    page.get_by_label("Search by name").press("Enter")
    page.get_by_role("link", name="büro-datei_server").click()
    expect(page.locator("#history tbody tr")).not_to_have_count(0)
    page.get_by_role("link", name="Back up now").click()
    expect(page.get_by_text("These are the destinations that this machine can use.")).to_be_visible()
    expect(page.get_by_label("Destination").locator("option")).to_have_count(2)
    page.get_by_role("button", name="Back up now").click()
    expect(page.get_by_role("heading", name="Backup of büro-datei_server")).to_be_visible()

    # From another tab the machine's page shows it live, and the new backup appears without a reload.
    machine_page = page.context.new_page()
    machine_page.goto(f"/t/aurora-books/machines/{guid_of('vm/büro-datei_server')}/")
    expect(machine_page.get_by_text("It is being backed up now.")).to_be_visible()
    machine_page.evaluate("window.neverReloaded = true")

    page.bring_to_front()
    expect(page.get_by_text("The backup is done.")).to_be_visible(timeout=30_000)
    expect(page.locator("[hx-trigger]")).to_have_count(0)
    machine_page.bring_to_front()
    expect(machine_page.locator("#history tbody tr").first.get_by_text("Succeeded")).to_be_visible(timeout=15_000)
    expect(machine_page.get_by_role("link", name="Back up now")).to_be_visible()
    assert machine_page.evaluate("window.neverReloaded")


def test_the_same_without_script(open_page: Any, stack: Stack):
    page = open_page(java_script_enabled=False)
    sign_in(page, stack)
    page.goto(f"/t/aurora-books/machines/{guid_of('vm/reports-old')}/")
    page.get_by_role("link", name="Back up now").click()
    page.get_by_role("button", name="Back up now").click()
    for _ in range(60):
        page.reload()
        if page.get_by_text("The backup is done.").count():
            break
        page.wait_for_timeout(500)
    expect(page.get_by_text("The backup is done.")).to_be_visible()
    page.locator(".menu summary").last.click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()


def test_a_wrong_password_keeps_the_address_typed(open_page: Any, stack: Stack):
    page = open_page()
    sign_in(page, stack, "not the password")
    expect(page.locator(".field-error").first).to_be_visible()
    expect(page.get_by_label("Email")).to_have_value(MEMBER)


@pytest.mark.parametrize("path", ["machines/", f"machines/{guid_of('vm/shop-web-01')}/", "operations/"])
def test_a_phone_needs_no_sideways_scrolling(path: str, open_page: Any, stack: Stack):
    page = open_page(viewport={"width": 360, "height": 740})
    sign_in(page, stack)
    page.goto(f"/t/aurora-books/{path}")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360


def test_a_double_click_makes_one_operation(open_page: Any, stack: Stack):
    page = open_page()
    sign_in(page, stack)
    guid = guid_of("vm/test-runner")
    page.goto(f"/t/aurora-books/machines/{guid}/")
    page.get_by_role("link", name="Back up now").click()
    page.get_by_role("button", name="Back up now").dblclick()
    expect(page.get_by_role("heading", name="Backup of test-runner")).to_be_visible()
    made = stack.rows("SELECT id FROM vprotect_bridge_operation WHERE subject_guid = %s AND outcome = ''", guid)
    assert len(made) <= 1


def test_a_plan_from_nothing_to_its_first_scheduled_backup(open_page: Any, stack: Stack):
    page = open_page()
    sign_in(page, stack, email="admin@aurora-books.example")
    page.get_by_role("link", name="Plans").click()
    page.get_by_role("link", name="New plan").click()
    page.get_by_label("Name", exact=True).fill("Staging")
    page.get_by_role("button", name="Remove schedule 2").click()
    expect(page.get_by_role("group", name="Schedule 2")).to_have_count(0)
    soon = datetime.now(UTC) + timedelta(minutes=2)
    page.get_by_label("Time zone").fill("UTC")
    for day in plan_words.WEEKDAY_NAME.values():
        page.get_by_role("checkbox", name=str(day)).check()
    page.get_by_label("At", exact=True).fill(f"{soon:%H:%M}")
    page.get_by_placeholder("Search by name").fill("blog")
    page.get_by_role("checkbox", name="blog-staging").check()
    page.get_by_role("button", name="See what changes").click()
    expect(page.get_by_text("1 machine gets a plan: blog-staging")).to_be_visible()
    page.get_by_role("button", name="Make the plan").click()
    expect(page.locator(".under-title .chip")).to_have_text("Active", timeout=30_000)

    minute = soon.replace(second=0, microsecond=0)
    stack.control("POST", "clock", {"until": int(minute.timestamp() * 1000) + 1000})
    seen = "SELECT 1 FROM vprotect_bridge_operation WHERE origin = 'schedule' AND subject_guid = %s"
    # It is over within seconds here: its history tells.
    answers.ring_inventory(stack.valkey.url)
    until(lambda: stack.rows(seen, guid_of("vm/blog-staging")), seconds=75)
    page.get_by_role("link", name="Activity").click()
    row = page.locator("tr", has_text="by a schedule").filter(has_text="blog-staging")
    row.get_by_role("link", name="Backup of blog-staging").click()
    expect(page.get_by_text("The backup is done.")).to_be_visible(timeout=60_000)
