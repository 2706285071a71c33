"""Our own pages in a real Chromium, under the same policy for scripts and styles as in production."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from tenants.models import Tenant, User
from tests.chromium import OpenPage, launched, sign_in_as, skip_without_chromium, watched
from tests.conftest import machine_of, operation_on
from vprotect_bridge.models import Operation, UpstreamStatus

PASSWORD = "a password for tests"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name != "browser":
            continue
        item.add_marker(pytest.mark.browser)
        item.add_marker(pytest.mark.django_db(transaction=True))
        item.add_marker(skip_without_chromium)


@pytest.fixture
def chromium() -> Iterator[Browser]:
    # One for each test: while Playwright's event loop runs, this thread has no access to the database.
    with launched() as browser:
        yield browser


@pytest.fixture
def accepted_complaints() -> list[str]:
    """How what a test lets the browser complain about begins: a refused request is told on the console."""
    return []


@pytest.fixture
def open_page(live_server: LiveServer, accepted_complaints: list[str], chromium: Browser) -> Iterator[OpenPage]:
    """Comes last among a test's fixtures, because those before it still reach the database."""
    with watched(chromium, live_server.url, accepted_complaints) as open_one:
        yield open_one


@pytest.fixture
def operation(sunflower: Tenant) -> Operation:
    """One that waits, so that its page asks again and again."""
    UpstreamStatus.objects.update(inventory_at=timezone.now())
    return operation_on(machine_of(sunflower))


def sign_in(page: Page, user: User, password: str = PASSWORD) -> None:
    sign_in_as(page, user.email, password)


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
