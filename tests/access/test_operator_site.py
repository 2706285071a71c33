"""The operator site's routes: who is no operator gets nowhere, and on the tenants' address there are none of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import get_resolver

from tenants.models import User
from tests.access.conftest import Cast, asked, routes
from tests.conftest import OperatorClient

pytestmark = pytest.mark.django_db

# Signing in, and the pages of one's own account, which hold nothing of anybody else's.
OPEN = ("accounts/", "login/", "logout/", "healthz", "readyz", "jsi18n/", "password_change/")


def operator_addresses() -> list[str]:
    """Each route with something in the place of what it names."""
    found = [route for route, _name in routes(get_resolver("portal.operator_urls").url_patterns)]
    plain = [
        re.sub(r"\\Z|[\^$]|\(\?P<[^)]*\)", "", re.sub(r"<[^>]+>|\(\?P<\w+>[^)]*\)", "1", route)) for route in found
    ]
    return sorted({f"/{address}" for address in plain if not address.startswith(OPEN)})


@pytest.mark.urls("portal.operator_urls")
@pytest.mark.parametrize("who", ["anonymous", "stranger", "viewer", "admin", "removed"])
def test_who_is_no_operator_gets_nowhere(who: str, cast: Cast):
    browser = OperatorClient()
    if user := cast[who]:
        browser.force_login(user)
    inside = [
        (method, address, answer.status_code)
        for address in operator_addresses()
        for method in ("GET", "POST")
        for headers in ({}, {"HX-Request": "true"})
        if not sent_away(answer := asked(browser, method, address, **headers))
    ]
    assert not inside


@pytest.mark.urls("portal.operator_urls")
def test_an_operator_without_rights_changes_nothing_and_reads_nothing(cast: Cast):
    browser = OperatorClient()
    browser.force_login(User.objects.create_user("clerk@provider.example", "a password for tests", is_staff=True))
    opened = {
        address
        for address in operator_addresses()
        for method in ("GET", "POST")
        if asked(browser, method, address).status_code == 200
    }
    assert opened <= {"/", "/search/"}, "the front page and the search name nothing but what may be opened"


@pytest.mark.parametrize("who", ["anonymous", "admin", "staff"])
def test_the_operator_site_is_not_on_the_tenants_address(who: str, cast: Cast, as_web: Any):
    browser: Client = as_web(cast[who])
    shared = {"/", "/r/1/1/"}
    for address in operator_addresses():
        for prefix in ("", "/admin", "/operator"):
            if prefix + address not in shared:
                assert asked(browser, "GET", prefix + address).status_code == 404, prefix + address


def sent_away(answer: Any) -> bool:
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    goes_to_login = answer.status_code == 302 and answer["Location"].startswith(("/login/", "/accounts/login/"))
    return goes_to_login or answer.status_code in {403, 404, 405}
