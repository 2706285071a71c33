"""The lean path of polls: whoever names the right word is still asked who they are, and what they may see.

"Nothing new" is an answer too: it says that a thing is there. So every case here asks with the very word that is
answered with 204 to who may see it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bs4 import BeautifulSoup
from django.test import Client

from tenants.models import IdentityProvider, Membership, Tenant, User
from tests.access.conftest import Cast
from tests.conftest import machine_of, operation_on
from vprotect_bridge.models import Machine

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
