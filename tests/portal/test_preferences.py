"""How the portal looks to a person, and that it is their own affair."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.test import Client

from tenants.models import AuditEntry, Membership, Role, Tenant, User
from vprotect_bridge.models import Machine

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


AT_HOME_IN_TOKYO = {"name": "Olga Owner", "language": "", "time_zone": "Asia/Tokyo", "theme": "light"}


def test_times_are_shown_in_the_persons_zone_where_they_chose_one(owner: User, machine: Machine, as_web: Browser):
    machine.last_success_at = datetime(2026, 1, 5, 20, tzinfo=UTC)
    machine.save()
    browser = as_web(owner)
    page = "/t/sunflower/machines/vm-1/"
    assert "5 Jan 2026, 21:00:00 CET" in browser.get(page).content.decode(), "the tenant's"
    assert browser.post("/accounts/preferences/", AT_HOME_IN_TOKYO).status_code == 302
    assert "6 Jan 2026, 05:00:00 JST" in browser.get(page).content.decode()


def test_the_language_is_the_persons_then_the_browsers(owner: User, as_web: Browser, settings: Any):
    settings.LANGUAGES = [("en", "English"), ("de", "Deutsch")]
    browser = as_web(owner)
    german = {"Accept-Language": "de"}
    assert browser.get("/accounts/preferences/", headers=german)["Content-Language"] == "de"
    browser.post("/accounts/preferences/", {**AT_HOME_IN_TOKYO, "language": "en"})
    page = browser.get("/accounts/preferences/", headers=german)
    assert page["Content-Language"] == "en" and '<html lang="en"' in page.content.decode()
    browser.post("/accounts/logout/")
    assert browser.get("/accounts/login/", headers=german)["Content-Language"] == "en", "remembered on this device"


def test_a_language_that_is_gone_is_no_trouble(owner: User, as_web: Browser):
    User.objects.filter(pk=owner.pk).update(language="tlh")
    assert as_web(owner).get("/accounts/preferences/")["Content-Language"] == "en"


@pytest.mark.parametrize(
    ("field", "wrong"), [("time_zone", "Mars/Olympus"), ("language", "xx"), ("theme", "pink"), ("name", "x" * 121)]
)
def test_what_cannot_be_is_said_at_its_field_and_kept_as_typed(field: str, wrong: str, owner: User, as_web: Browser):
    answer = as_web(owner).post("/accounts/preferences/", {**AT_HOME_IN_TOKYO, field: wrong})
    soup = BeautifulSoup(answer.content, "html.parser")
    assert answer.status_code == 422
    (link,) = soup.select(".error-summary a")
    assert soup.select_one(link["href"]), "the summary leads to the field"
    if field in {"name", "time_zone"}:
        control = soup.select_one(link["href"])
        assert control["aria-invalid"] == "true" and control["value"] == wrong
        assert soup.select_one(f"#{control['aria-describedby'].split()[-1]} .field-error")
    owner.refresh_from_db()
    assert owner.time_zone == ""


def test_another_name_is_in_the_audit_of_each_organisation(owner: User, pine: Tenant, as_web: Browser):
    Membership.objects.create(user=owner, tenant=pine, role=Role.VIEWER)
    as_web(owner).post("/accounts/preferences/", AT_HOME_IN_TOKYO)
    as_web(owner).post("/accounts/preferences/", {**AT_HOME_IN_TOKYO, "time_zone": "UTC"})
    entries = AuditEntry.across_tenants.filter(action="name_changed").order_by("tenant__slug")
    assert [(entry.tenant.slug, entry.detail) for entry in entries if entry.tenant] == [
        ("pine", {"was": "", "now": "Olga Owner"}),
        ("sunflower", {"was": "", "now": "Olga Owner"}),
    ]


def test_who_came_through_an_identity_provider_changes_all_but_the_name(
    owner: User, as_web: Browser, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("portal.views.preferences.provider_key_of", lambda request: "1-key")
    answer = as_web(owner).post("/accounts/preferences/", AT_HOME_IN_TOKYO)
    owner.refresh_from_db()
    assert (answer.status_code, owner.name, owner.time_zone) == (302, "", "Asia/Tokyo")
