"""The lean path of polls: whoever names the right word is still asked who they are, and what they may see.

"Nothing new" is an answer too: it says that a thing is there. So every case here asks with the very word that is
answered with 204 to who may see it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from bs4 import BeautifulSoup
from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from tenants import request_rates
from tenants.models import IdentityProvider, Membership, Tenant, User
from tests.access.conftest import Cast
from tests.conftest import machine_of, operation_on
from tests.portal.conftest import counted
from vprotect_bridge.models import Machine, UpstreamStatus

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
POLLS = {
    "operation-poll": "/t/sunflower/operations/{pk}/",
    "activity-poll": "/t/sunflower/operations/",
    "dashboard-poll": "/t/sunflower/",
    "status-poll": "/t/sunflower/status/",
    "operation-details": "/t/sunflower/operations/{pk}/details/",
}


@pytest.fixture(params=POLLS)
def poll(request: pytest.FixtureRequest, machine: Machine, cast: Cast, as_web: Browser) -> str:
    """With the word of what a viewer sees."""
    operation = operation_on(machine)
    page = as_web(cast["viewer"]).get(POLLS[request.param].format(pk=operation.pk))
    return str(BeautifulSoup(page.content, "html.parser").select_one("[hx-get*='?seen=']")["hx-get"])


def test_who_belongs_there_hears_that_nothing_is_new(poll: str, wall: str, cast: Cast, as_web: Browser):
    for who in ("viewer", "member", "restorer", "admin"):
        assert as_web(cast[who]).get(poll).status_code == 204, who


@pytest.mark.parametrize(("who", "status"), [("anonymous", 302), ("stranger", 404), ("removed", 404), ("staff", 404)])
def test_nobody_else_does(who: str, status: int, poll: str, wall: str, cast: Cast, as_web: Browser):
    assert as_web(cast[who]).get(poll).status_code == status


def test_the_word_opens_nothing_in_another_tenant(poll: str, wall: str, pine: Tenant, cast: Cast, as_web: Browser):
    operation_on(machine_of(pine, "theirs"))
    answer = as_web(cast["stranger"]).get(poll.replace("sunflower", "pine"))
    assert answer.status_code != 204 and b"vm-1" not in answer.content


def test_who_is_limited_to_other_machines_hears_nothing_of_this_one(poll: str, wall: str, cast: Cast, as_web: Browser):
    browser = as_web(cast["viewer"])
    Membership.objects.filter(user=cast["viewer"]).update(machine_guids=["another"])
    answer = browser.get(poll)
    assert answer.status_code != 204 and b"vm-1" not in answer.content


def test_who_is_removed_while_the_page_is_open_hears_no_more(poll: str, wall: str, cast: Cast, as_web: Browser):
    browser = as_web(cast["viewer"])
    assert browser.get(poll).status_code == 204
    Membership.objects.filter(user=cast["viewer"]).delete()
    assert browser.get(poll).status_code == 404


@pytest.mark.parametrize("closed", [{"is_active": False}, {"second_factor_required": True}])
def test_a_tenant_that_closes_while_the_page_is_open_says_no_more(
    closed: dict[str, bool], poll: str, sunflower: Tenant, cast: Cast, as_web: Browser
):
    browser = as_web(cast["viewer"])
    Tenant.objects.filter(pk=sunflower.pk).update(**closed)
    assert browser.get(poll).status_code in {302, 404}


def test_a_password_hears_no_more_once_only_the_provider_opens_the_tenant(
    poll: str, sunflower: Tenant, cast: Cast, as_web: Browser
):
    provider = IdentityProvider(tenant=sunflower, slug="sun", issuer="https://x.example", only_single_sign_on=True)
    provider.client_secret = "a secret for tests"
    provider.save()
    answer = as_web(cast["viewer"]).get(poll)
    assert answer.status_code not in {200, 204}, answer.status_code


# ── The lean path of an operation's page ─────────────────────────────────────


@pytest.fixture
def lean(machine: Machine, cast: Cast, as_web: Browser) -> str:
    page = as_web(cast["viewer"]).get(POLLS["operation-poll"].format(pk=operation_on(machine).pk))
    return str(BeautifulSoup(page.content, "html.parser").select_one("[hx-get*='?seen=']")["hx-get"])


def test_nothing_new_costs_two_statements_and_one_that_is_not_sure_goes_the_usual_way(
    lean: str, cast: Cast, as_web: Browser, client: Client
):
    browser = as_web(cast["viewer"])
    with counted() as statements:
        assert browser.get(lean).status_code == 204
    assert len(statements) == 2, statements
    for other in (lean[:-1], lean.replace("/poll", "/poll/"), lean.split("?")[0]):
        assert browser.get(other).status_code in {200, 301, 404}, other


def test_nothing_new_is_never_kept_and_can_be_found_in_the_logs(lean: str, cast: Cast, as_web: Browser):
    answer = as_web(cast["viewer"]).get(lean)
    assert "no-store" in answer["Cache-Control"] and answer["X-Correlation-Id"]


def test_an_outage_that_begins_is_news(lean: str, cast: Cast, as_web: Browser):
    browser = as_web(cast["viewer"])
    UpstreamStatus.objects.update(unreachable_since=timezone.now())
    assert browser.get(lean).status_code == 200
    page = browser.get(lean.replace("/poll", "/").split("?")[0])
    told = BeautifulSoup(page.content, "html.parser").select_one("[hx-get*='/poll?seen=']")["hx-get"]
    assert told != lean and browser.get(told).status_code == 204


def test_a_session_that_no_longer_counts_hears_nothing(lean: str, cast: Cast, as_web: Browser):
    viewer = cast["viewer"]
    for spoil in (ended, of_an_old_password, not_signed_by_us, without_a_way_in, of_nobody):
        browser = as_web(viewer)
        assert browser.get(lean).status_code == 204
        spoil(browser, viewer)
        assert browser.get(lean).status_code == 302, spoil.__name__
        User.objects.filter(pk=viewer.pk).update(is_active=True)


def ended(browser: Client, person: User) -> None:
    Session.objects.filter(pk=browser.session.session_key).update(expire_date=timezone.now() - timedelta(seconds=1))


def of_an_old_password(browser: Client, person: User) -> None:
    person.set_password("another one")
    User.objects.filter(pk=person.pk).update(password=person.password)


def not_signed_by_us(browser: Client, person: User) -> None:
    session = Session.objects.get(pk=browser.session.session_key)
    session.session_data = session.session_data[:-2] + ("aa" if session.session_data[-2:] != "aa" else "bb")
    session.save()


def without_a_way_in(browser: Client, person: User) -> None:
    session = browser.session
    session[BACKEND_SESSION_KEY] = "nobody.knows.this"
    session.save()


def of_nobody(browser: Client, person: User) -> None:
    User.objects.filter(pk=person.pk).update(is_active=False)


def signed_in_by(browser: Client, person: User | None, *ways: dict[str, str]) -> None:
    session = browser.session
    session.update(
        {"account_authentication_methods": list(ways), "account_authentication_methods_user": str(person.pk)}
    )
    session.save()


@pytest.mark.parametrize("way_in", ["socialaccount", "password"])
def test_a_session_of_a_provider_hears_of_its_own_tenant_only(
    way_in: str, lean: str, sunflower: Tenant, pine: Tenant, cast: Cast, as_web: Browser
):
    browser = as_web(cast["viewer"])
    for tenant, status in ((sunflower, 204), (pine, 404 if way_in == "socialaccount" else 204)):
        provider = IdentityProvider(tenant=tenant, slug=tenant.slug, issuer="https://x.example")
        provider.client_secret = "a secret for tests"
        provider.save()
        signed_in_by(browser, cast["viewer"], {"method": way_in, "provider": provider.key})
        assert browser.get(lean).status_code == status, tenant


def test_a_second_factor_is_enough_where_one_is_asked_for(lean: str, sunflower: Tenant, cast: Cast, as_web: Browser):
    browser = as_web(cast["viewer"])
    Tenant.objects.filter(pk=sunflower.pk).update(second_factor_required=True)
    signed_in_by(browser, cast["viewer"], {"method": "password"}, {"method": "mfa"})
    assert browser.get(lean).status_code == 204


def test_who_asks_too_fast_is_told_so(lean: str, cast: Cast, as_web: Browser, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(request_rates, "OF_A_PERSON", request_rates.Allowance(at_once=2, a_second=0.001))
    browser = as_web(cast["viewer"])
    assert [browser.get(lean).status_code for _ in range(3)] == [204, 204, 429]
