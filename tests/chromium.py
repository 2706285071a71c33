"""The system's Chromium, and pages that may not complain: about the policy for scripts and styles, or of an error."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]

# Pages poll every three seconds; a machine that does other work takes several times as long.
expect.set_options(timeout=20_000)

OpenPage = Callable[..., Page]

skip_without_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"
)


@contextmanager
def launched() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Its sandbox needs rights that a container does not give; it opens nothing but our own pages.
        flags = [*FLAGS, "--no-sandbox", "--no-first-run"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@contextmanager
def watched(browser: Browser, base_url: str, accepted_complaints: list[str]) -> Iterator[OpenPage]:
    """`open_page(**context)`; at the end no page may have broken the policy or raised an error.

    `accepted_complaints` is read at the end: how a complaint begins that the test expects.
    """
    complaints: list[str] = []
    contexts = []

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))

    def open_page(**options: Any) -> Page:
        contexts.append(browser.new_context(base_url=base_url, **options))
        contexts[-1].on("page", watch)
        return contexts[-1].new_page()

    yield open_page
    for context in contexts:
        context.close()
    assert [said for said in complaints if not said.startswith(tuple(accepted_complaints))] == []


def sign_in_as(page: Page, email: str, password: str) -> None:
    page.goto("/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def tab_to(target: Locator) -> None:
    """With the Tab key alone; there, the focus can be seen."""
    expect(target).to_be_attached()
    for _ in range(80):
        target.page.keyboard.press("Tab")
        if target.evaluate_all("found => found.includes(document.activeElement)"):
            break
    expect(target).to_be_focused()
    expect(target).to_be_in_viewport()
    style = target.evaluate("one => { const s = getComputedStyle(one); return [s.outlineStyle, s.boxShadow]; }")
    assert style != ["none", "none"], "the focus cannot be seen"


def press(target: Locator, key: str = "Enter") -> None:
    tab_to(target)
    target.page.keyboard.press(key)
