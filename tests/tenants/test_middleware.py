"""The first wall, tried with a page of its own: /t/<tenant>/here/."""

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.decorators import login_not_required
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.test import Client
from django.urls import include, path
from django_scopes import get_scope

from tenants.correlation import correlation_id
from tenants.models import Membership, Role, Tenant, User

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.tenants.test_middleware"),
]


def here(request: HttpRequest, tenant: str) -> JsonResponse:
    return JsonResponse(
        {
            "tenant": request.tenant.slug,
            "role": request.membership.role,
            "scope": get_scope()["tenant"].slug,
            "set": _tenant_of_the_connection(),
            "id": request.tenant.pk,
        }
    )


@login_not_required
def outside(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"set": _tenant_of_the_connection(), "correlation": correlation_id.get()})


def broken(request: HttpRequest, tenant: str) -> JsonResponse:
    Tenant.objects.filter(slug=tenant).update(name="half done")
    raise RuntimeError("in the middle of a page")


urlpatterns = [
    path("outside/", outside),
    path("t/<slug:tenant>/here/", here),
    path("t/<slug:tenant>/broken/", broken),
    path("", include("portal.urls")),
]


def _tenant_of_the_connection() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting('app.tenant', true), '')")
        return cursor.fetchone()[0]


@pytest.fixture
def member(sunflower: Tenant, pine: Tenant) -> User:
    user = User.objects.create_user("member@sunflower.example", "a password for tests")
    Membership.objects.create(user=user, tenant=sunflower, role=Role.MEMBER)
    return user


@pytest.fixture
def web(client: Client, member: User) -> Iterator[Client]:
    """The member's browser, the pages under the rights of web."""
    client.force_login(member)
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE portal_web")
        yield client
        cursor.execute("RESET ROLE")


def _as_owner(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute(statement)
        cursor.execute("SET ROLE portal_web")


def test_a_member_gets_in_and_both_walls_know_the_tenant(web: Client, sunflower: Tenant):
    page = web.get("/t/sunflower/here/").json()
    assert page["tenant"] == page["scope"] == "sunflower"
    assert page["role"] == "member"
    assert page["set"] == str(sunflower.pk)


def test_the_tenant_does_not_outlive_the_request(web: Client):
    web.get("/t/sunflower/here/")
    assert _tenant_of_the_connection() == ""
    assert get_scope() == {}
    assert web.get("/outside/").json()["set"] == ""


def test_a_page_that_breaks_leaves_nothing_behind(web: Client, sunflower: Tenant):
    _as_owner("GRANT UPDATE (name) ON tenants_tenant TO portal_web")
    web.raise_request_exception = False
    assert web.get("/t/sunflower/broken/").status_code == 500
    _as_owner("REVOKE UPDATE (name) ON tenants_tenant FROM portal_web")
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
    sunflower.refresh_from_db()
    assert sunflower.name == "Sunflower"
    assert _tenant_of_the_connection() == ""


@pytest.mark.parametrize("inactive", [False, True])
def test_a_stranger_an_unknown_and_an_inactive_tenant_look_alike(inactive: bool, web: Client):
    if inactive:
        _as_owner("UPDATE tenants_tenant SET is_active = false")
        addresses = ["/t/sunflower/here/", "/t/nowhere/here/"]
    else:
        addresses = ["/t/pine/here/", "/t/nowhere/here/", "/t/PINE/here/"]
    answers = [web.get(address) for address in addresses]
    assert {answer.status_code for answer in answers} == {404}
    different = r'/t/\w+/|name="csrfmiddlewaretoken" value="\w+"'
    assert len({re.sub(different, "", answer.content.decode()) for answer in answers}) == 1


def test_a_role_taken_away_counts_at_the_next_request(web: Client):
    assert web.get("/t/sunflower/here/").json()["role"] == "member"
    _as_owner("UPDATE tenants_membership SET role = 'viewer'")
    assert web.get("/t/sunflower/here/").json()["role"] == "viewer"
    _as_owner("DELETE FROM tenants_membership")
    assert web.get("/t/sunflower/here/").status_code == 404


@pytest.mark.parametrize("tenant", ["sunflower", "nowhere"])
def test_somebody_unknown_is_sent_to_the_login(tenant: str, client: Client, member: User):
    answer = client.get(f"/t/{tenant}/here/")
    assert answer.status_code == 302
    assert answer.url.startswith("/accounts/login/")


def test_an_id_of_the_browser_is_not_believed(client: Client):
    forged = "f" * 32
    answer = client.get("/outside/", headers={"X-Correlation-Id": forged, "X-Request-Id": forged})
    assert answer.json()["correlation"] == answer["X-Correlation-Id"] != forged
    assert client.get("/outside/")["X-Correlation-Id"] != answer["X-Correlation-Id"]
    assert correlation_id.get() == "-"
