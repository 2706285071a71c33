"""What all pages have in common: the policy for scripts and styles, vendored parts, pages for errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import mail
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse

from portal.account_urls import ACCOUNT_PAGES
from tenants.models import User

ROOT = Path(settings.BASE_DIR)
# Mails are under no policy, and have nothing but themselves.
TEMPLATES = sorted(path for path in (ROOT / "templates").rglob("*.html") if path.parent.name != "mail")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_needs_what_the_policy_forbids(template: Path):
    text = template.read_text()
    assert not re.search(r"\sstyle=|<style|\son\w+=|javascript:|hx-on|\|safe|autoescape off|mark_safe", text)
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)


def test_vendored_parts_have_version_and_licence():
    for folder in (ROOT / "static" / "vendor").iterdir():
        assert re.search(r"-\d+\.\d+\.\d+$", folder.name)
        assert (folder / "LICENSE").is_file()
        for file in folder.iterdir():
            assert "sourceMappingURL" not in file.read_text(errors="replace")


def test_every_icon_that_a_template_names_is_in_the_sprite():
    sprite = next((ROOT / "static" / "vendor").glob("bootstrap-icons-*/sprite.svg")).read_text()
    there = set(re.findall(r'symbol id="([\w-]+)"', sprite))
    named = {n for path in TEMPLATES for n in re.findall(r'icon\.html" with name="([\w-]+)"', path.read_text())}
    assert named and named <= there


def test_the_policy_allows_our_own_files_only(client: Client, db: None):
    policy = client.get("/accounts/login/")["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


def test_pages_are_not_kept_by_anybody(as_web: Callable[[User], Client], owner: User):
    assert "no-store" in as_web(owner).get("/t/sunflower/machines/")["Cache-Control"]


@pytest.mark.parametrize("name", sorted(ACCOUNT_PAGES - {"account_signup", "account_login"}))
def test_every_page_of_an_account_is_in_our_words(name: str, as_web: Callable[[User], Client], owner: User):
    keys = {"account_reset_password_from_key": {"uidb36": "1", "key": "x"}, "account_confirm_email": {"key": "x"}}
    key = keys.get(name, {})
    _is_ours(as_web(owner).get(reverse(name, kwargs=key)))


@pytest.mark.parametrize("name", ["account_signup", "account_login"])
def test_every_page_before_signing_in_is_in_our_words(name: str, client: Client, db: None):
    _is_ours(client.get(reverse(name)))


def _is_ours(page: Any) -> None:
    assert page.status_code == 200
    assert Path(page.templates[0].origin.name).is_relative_to(ROOT / "templates")


def test_a_link_for_a_new_password_works_once(client: Client, owner: User):
    client.post("/accounts/password/reset/", {"email": owner.email})
    (link,) = re.findall(r"/accounts/password/reset/key/\S+", str(mail.outbox[0].body))
    form = client.get(link, follow=True)
    password = {"password1": "another password for tests", "password2": "another password for tests"}
    changed = client.post(form.request["PATH_INFO"], password, follow=True)
    assert "Your password is changed" in changed.content.decode()
    assert client.login(username=owner.email, password="another password for tests")
    assert "This link no longer works" in Client().get(link, follow=True).content.decode()


def test_an_unknown_address_is_not_invited_to_sign_up(client: Client, db: None):
    known = client.post("/accounts/password/reset/", {"email": "nobody@sunflower.example"}, follow=True)
    assert "Look into your e-mail" in known.content.decode()
    assert "There is no account with this address" in mail.outbox[0].body
    assert "signup" not in mail.outbox[0].body


@pytest.mark.parametrize("template", ["400.html", "500.html"])
def test_pages_for_trouble_need_nothing(template: str):
    """Neither a request nor the database."""
    assert "Back to the start" in render_to_string(template)


def test_a_form_without_its_token_is_refused_in_words(owner: User):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    answer = browser.post("/accounts/logout/")
    assert answer.status_code == 403 and "This form is out of date" in answer.content.decode()
