"""Our own pages in a real Chromium, under the same policy for scripts and styles as in production."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Browser, Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from tenants.models import Tenant, User
from tests.conftest import machine_of, operation_on
from vprotect_bridge.models import Operation, UpstreamStatus

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
PASSWORD = "a password for tests"

OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name != "browser":
            continue
        item.add_marker(pytest.mark.browser)
        item.add_marker(pytest.mark.django_db(transaction=True, serialized_rollback=True))
        if CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason="Chromium is not installed: apt-get install chromium"))


@pytest.fixture
def chromium() -> Iterator[Browser]:
    # One for each test: while Playwright's event loop runs, this thread has no access to the database.
    with sync_playwright() as playwright:
        # Its sandbox needs rights that a container does not give; it opens nothing but our own pages.
        flags = [*FLAGS, "--no-sandbox", "--no-first-run"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def accepted_complaints() -> list[str]:
    """How what a test lets the browser complain about begins: a refused request is told on the console."""
    return []


@pytest.fixture
def open_page(live_server: LiveServer, accepted_complaints: list[str], chromium: Browser) -> Iterator[OpenPage]:
    """`open_page(**context)`; at the end no page may have broken the policy for scripts or raised an error.

    Comes last among a test's fixtures, because those before it still reach the database.
    """
    complaints: list[str] = []
    contexts = []

    def open_one(**options: Any) -> Page:
        contexts.append(chromium.new_context(base_url=live_server.url, **options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert [said for said in complaints if not said.startswith(tuple(accepted_complaints))] == []


@pytest.fixture
def operation(sunflower: Tenant) -> Operation:
    """One that waits, so that its page asks again and again."""
    UpstreamStatus.objects.update(inventory_at=timezone.now())
    return operation_on(machine_of(sunflower))


def sign_in(page: Page, user: User, password: str = PASSWORD) -> None:
    page.goto("/")
    page.get_by_label("Email").fill(user.email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


@pytest.fixture
def in_the_database() -> Callable[[Callable[[], object]], None]:
    """While the browser is open its event loop runs in this thread; another one reaches the database."""

    def run(change: Callable[[], object]) -> None:
        def work() -> None:
            change()
            connection.close()

        with ThreadPoolExecutor(1) as pool:
            pool.submit(work).result()

    return run
