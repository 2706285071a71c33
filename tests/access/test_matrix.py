"""The access matrix, walked: every route, method and person, with each wall alone, with and without HTMX."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from tenants.models import Tenant, User
from tests.access.conftest import HTMX, Cast, Headers, asked, names_below_a_tenant, routes
from tests.access.matrix import MATRIX

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
OPEN = ("account_", "invitation", "single-sign-on")


def test_every_route_is_in_the_matrix():
    assert {name for _route, name in routes()} == set(MATRIX)


@pytest.mark.parametrize("name", MATRIX)
def test_everybody_gets_what_is_theirs(
    name: str,
    wall: str,
    people_to_try: Cast,
    headers_to_try: list[Headers],
    addresses: dict[str, str],
    as_web: Browser,
):
    wrong = []
    for who, user in people_to_try.items():
        browser = as_web(user)
        for method, expected in MATRIX[name].items():
            for headers in headers_to_try:
                answer = asked(browser, method, addresses[name], **headers)
                goes_to_login = answer.get("Location", "/accounts/login/").startswith("/accounts/login/")
                is_right = who != "anonymous" or name.startswith(OPEN) or goes_to_login
                policy = answer["Content-Security-Policy"]
                is_right &= "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
                if answer.status_code != expected[who] or not is_right:
                    wrong.append(f"{who}: {method} {addresses[name]} {headers} → {answer.status_code}")
    assert not wrong, wall


@pytest.mark.parametrize("name", [name for name in MATRIX if name in names_below_a_tenant()])
def test_where_a_second_factor_is_asked_for_no_route_opens_without_one(
    name: str, sunflower: Tenant, cast: Cast, addresses: dict[str, str], as_web: Browser
):
    Tenant.objects.filter(pk=sunflower.pk).update(second_factor_required=True)
    browser = as_web(cast["admin"])
    for method in ("GET", "POST", "HEAD", "DELETE"):
        for headers in ({}, HTMX):
            answer = asked(browser, method, addresses[name], **headers)
            assert answer.status_code == 302 and answer["Location"].startswith("/accounts/second-factor/?next=")


@pytest.mark.parametrize("name", MATRIX)
def test_no_other_method_does_anything(name: str, cast: Cast, addresses: dict[str, str], as_web: Browser):
    browser = as_web(cast["admin"])
    for method in ("PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND"):
        answer = asked(browser, method, addresses[name])
        assert answer.status_code in {302, 404, 405} or name.startswith("account_") or "mfa" in name, method
    assert not asked(browser, "HEAD", addresses[name]).content
    assert asked(browser, "OPTIONS", addresses[name]).status_code in {200, 302, 403, 404, 405}
