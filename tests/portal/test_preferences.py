"""How the portal looks to a person, and that it is their own affair."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from tenants.models import User

Browser = Callable[[User | None], Client]


@pytest.mark.parametrize(("theme", "said"), [("dark", 'data-theme="dark"'), ("light", 'data-theme="light"')])
def test_light_or_dark_is_remembered_without_javascript(theme: str, said: str, owner: User, as_web: Browser):
    browser = as_web(owner)
    answer = browser.post("/accounts/theme", {"theme": theme, "next": "/t/sunflower/plans/"})
    assert answer["Location"] == "/t/sunflower/plans/"
    assert said in browser.get("/t/sunflower/plans/").content.decode()
    assert said in as_web(owner).get("/t/sunflower/machines/").content.decode(), "on every device"
    browser.post("/accounts/logout/")
    assert said in browser.get("/accounts/login/").content.decode(), "on this device also before signing in"


def test_the_look_follows_the_device_again(owner: User, as_web: Browser):
    browser = as_web(owner)
    for theme in ("dark", "system"):
        browser.post("/accounts/theme", {"theme": theme})
    assert "data-theme=" not in browser.get("/t/sunflower/machines/").content.decode()
    assert "data-theme=" not in Client(cookies=browser.cookies).get("/accounts/login/").content.decode()


def test_a_page_that_turned_by_itself_gets_nothing_to_swap(owner: User, as_web: Browser):
    answer = as_web(owner).post("/accounts/theme", {"theme": "dark"}, headers={"HX-Request": "true"})
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("page", ["https://elsewhere.example/", "//elsewhere.example/", ""])
def test_nobody_is_sent_elsewhere(page: str, owner: User, as_web: Browser):
    assert as_web(owner).post("/accounts/theme", {"theme": "dark", "next": page})["Location"] == "/"


def test_what_is_no_theme_changes_nothing(owner: User, as_web: Browser):
    assert as_web(owner).post("/accounts/theme", {"theme": 'dark" onload="'}).status_code == 400
    owner.refresh_from_db()
    assert owner.theme == "system"
