"""Tried again and again, too much at once, or too odd: passwords, searches, pages, sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tenants import request_rates
from tenants.models import Tenant, User
from tenants.request_rates import Allowance
from tests.conftest import WebClient, machine_of, person

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
PASSWORD = "a password for tests"


@pytest.fixture(autouse=True)
def _nobody_came_before() -> None:
    cache.clear()


def sign_in(email: str, password: str, address: str = "203.0.113.1") -> Any:
    return WebClient(REMOTE_ADDR=address).post("/accounts/login/", {"login": email, "password": password})


def said(answer: Any) -> str:
    return answer.content.decode()


# ── Passwords ────────────────────────────────────────────────────────────────


def test_an_unknown_address_is_told_like_a_wrong_password(owner: User, monkeypatch: pytest.MonkeyPatch):
    hashed = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(
        MD5PasswordHasher, "encode", lambda *args, **kwargs: hashed.append(1) or encode(*args, **kwargs)
    )
    told = []
    for email in (owner.email, "nobody@sunflower.example"):
        hashed.clear()
        page = said(sign_in(email, "wrong"))
        token = page.partition('csrfmiddlewaretoken" value="')[2].partition('"')[0]
        told.append((page.replace(email, "the address").replace(token, ""), len(hashed)))
    assert told[0] == told[1] and told[0][1] > 0, "as many hashes, so as much time"


def test_a_password_is_not_tried_for_long(owner: User):
    answers = [said(sign_in(owner.email, f"wrong {n}")) for n in range(6)]
    assert "Too many failed login attempts" in answers[-1] and "Too many" not in answers[3]
    assert "Too many" in said(sign_in(owner.email, PASSWORD)), "not even the right one, from there"


def test_nobody_is_locked_out_by_somebody_else(owner: User):
    for n in range(20):
        sign_in(owner.email, f"wrong {n}", address="198.51.100.9")
    assert sign_in(owner.email, PASSWORD, address="203.0.113.7").status_code == 302


def test_many_addresses_together_are_limited_too_but_not_where_one_is_signed_in(owner: User):
    assert sign_in(owner.email, PASSWORD, address="203.0.113.7").status_code == 302
    for n in range(61):
        sign_in(owner.email, f"wrong {n}", address=f"198.51.100.{n}")
    assert "Too many" in said(sign_in(owner.email, PASSWORD, address="192.0.2.1"))
    assert sign_in(owner.email, PASSWORD, address="203.0.113.7").status_code == 302


def test_one_address_does_not_try_many_accounts(sunflower: Tenant):
    answers = [said(sign_in(f"somebody-{n}@sunflower.example", "wrong")) for n in range(12)]
    assert "Too many" in answers[-1]


def test_asking_for_a_new_password_tells_nothing(owner: User, mailoutbox: list[Any]):
    told = {}
    for email in (owner.email, "nobody@sunflower.example"):
        answer = WebClient().post("/accounts/password/reset/", {"email": email})
        told[email] = (answer.status_code, answer.get("Location"))
    assert len(set(told.values())) == 1


def test_reset_mails_are_limited(owner: User, mailoutbox: list[Any]):
    for _ in range(30):
        WebClient().post("/accounts/password/reset/", {"email": owner.email})
    assert len(mailoutbox) <= 5


def test_links_of_invitations_are_not_guessed_for_long(db: None):
    browser = WebClient()
    answers = [browser.get(f"/invitation/guess-{n}/").status_code for n in range(25)]
    assert answers[0] == 302 and answers[-1] == 429


def test_a_session_gets_another_id_when_somebody_signs_in(owner: User):
    browser = WebClient()
    browser.get("/invitation/anything/")
    before = browser.cookies["portal_web_session"].value
    browser.post("/accounts/login/", {"login": owner.email, "password": PASSWORD})
    assert browser.cookies["portal_web_session"].value != before
    browser.post("/accounts/logout/")
    old = WebClient()
    old.cookies["portal_web_session"] = before
    assert old.get("/t/sunflower/machines/").status_code == 302


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "!"}])
def test_who_is_switched_off_is_out_at_once(change: dict[str, Any], owner: User, as_web: Browser):
    browser = as_web(owner)
    assert browser.get("/t/sunflower/machines/").status_code == 200
    User.objects.filter(pk=owner.pk).update(**change)
    assert browser.get("/t/sunflower/machines/").status_code == 302


# ── Too fast ─────────────────────────────────────────────────────────────────


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of `request_rates`, and limits that a test reaches: 5 at once of a person, 8 of a tenant."""
    seconds = [0.0]
    for name, at_once in (("OF_A_PERSON", 5), ("OF_A_TENANT", 8)):
        monkeypatch.setattr(request_rates, name, Allowance(at_once, 1, lambda: seconds[0]))
    return seconds


def test_who_asks_too_fast_waits_and_nobody_else_does(
    clock: list[float], owner: User, stranger: User, sunflower: Tenant, as_web: Browser
):
    poll = "/t/sunflower/operations/"
    browser = as_web(owner)
    answers = [browser.get(poll, headers={"HX-Request": "true"}) for _ in range(20)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 15
    assert answers[-1]["Retry-After"] == "1" and "too much at once" in said(answers[-1])
    assert as_web(person(sunflower, "colleague", "viewer")).get(poll).status_code == 200
    assert as_web(stranger).get("/t/pine/operations/").status_code == 200
    clock[0] += 2
    assert [browser.get(poll).status_code for _ in range(3)] == [200, 200, 429]


def test_a_tenants_people_together_are_limited_too(clock: list[float], sunflower: Tenant, as_web: Browser):
    browsers = [as_web(person(sunflower, f"p{n}", "viewer")) for n in range(3)]
    answers = [browser.get("/t/sunflower/operations/").status_code for browser in browsers for _ in range(4)]
    assert answers.count(200) == 8 and answers[-1] == 429


def test_asking_too_fast_tells_nothing_of_another_tenant(
    clock: list[float], owner: User, pine: Tenant, as_web: Browser
):
    """Nor does it use up what that tenant's people may ask."""
    browser = as_web(owner)
    assert {browser.get("/t/pine/operations/").status_code for _ in range(20)} == {404}
    assert as_web(person(pine, "somebody", "viewer")).get("/t/pine/operations/").status_code == 200


def test_counting_costs_no_statement(clock: list[float], owner: User, as_web: Browser):
    browser = as_web(owner)
    browser.get("/t/sunflower/operations/")
    with CaptureQueriesContext(connection) as let_in:
        browser.get("/t/sunflower/operations/")
    clock[0] -= 100
    with CaptureQueriesContext(connection) as refused:
        assert browser.get("/t/sunflower/operations/").status_code == 429
    assert len(refused) < len(let_in)


def test_those_who_ask_slowly_are_not_remembered():
    seconds = [0.0]
    allowance = Allowance(2, 1, lambda: seconds[0])
    allowance.MOST_KEYS = 3
    for key in range(100):
        seconds[0] += 5
        assert allowance.take(key) == 0
    assert len(allowance._left) <= 4


# ── Searches and pages ───────────────────────────────────────────────────────


ODD = [
    *("(a+)+$", "%" * 1000, "_" * 100, "'; DROP TABLE x; --", "\\", "\x00", "\ud800", "💾" * 50, "a" * 100_000, "-1"),
    *("9" * 400, "1e9", "NaN", "password", "tenant__users__password", "-name", "name__startswith", "[]", "../", "٣"),
]


@pytest.mark.parametrize(
    "parameter", ["q", "status", "sort", "page", "before", "action", "since", "until", "seen", "version"]
)
def test_odd_searches_open_the_page_or_are_refused(parameter: str, owner: User, sunflower: Tenant, as_web: Browser):
    machine_of(sunflower)
    browser = as_web(owner)
    for text in ODD:
        for page in ("machines/", "operations/", "plans/", "audit/", "audit/file.csv", "machines/vm-1/history"):
            query = {parameter: text.encode("utf-8", "surrogatepass")}
            answer = browser.get(f"/t/sunflower/{page}", query)
            assert answer.status_code in {200, 204, 404, 400, 422}, (page, text[:20])


@pytest.mark.parametrize(
    "query", ["q=%ff%fe", "q[]=1", "q=%u0041", "=", "&&&", "q=1;page=2", "page=1&page=x", "%00=%00"]
)
def test_odd_queries_open_the_page(query: str, owner: User, as_web: Browser):
    assert as_web(owner).get(f"/t/sunflower/machines/?{query}").status_code in {200, 400}


@pytest.mark.parametrize("text", ["\x00", "\ud800", "a" * 300, "\u202e", " "])
@pytest.mark.parametrize("field", ["email", "role", "scope", "machines"])
def test_odd_values_are_refused_at_the_field(field: str, text: str, owner: User, as_web: Browser):
    form = {"email": "new@sunflower.example", "role": "viewer", "scope": "all"}
    body = {**form, field: text.encode("utf-8", "surrogatepass")}
    assert as_web(owner).post("/t/sunflower/members/invite/", body).status_code in {422, 302, 400}


@pytest.mark.parametrize("text", ["\x00", "x\x00y@sunflower.example", "\ud800", "a" * 5000 + "@x.example", "'", "*"])
def test_odd_addresses_do_not_sign_in(text: str, db: None):
    answer = sign_in(text.encode("utf-8", "surrogatepass"), "\x00")  # type: ignore[arg-type]
    assert answer.status_code == 200
    assert WebClient().post("/accounts/password/reset/", {"email": text.replace("\ud800", "")}).status_code in {
        200,
        302,
    }


# ── Sizes ────────────────────────────────────────────────────────────────────


def test_a_form_that_is_too_large_is_refused(owner: User, as_web: Browser):
    large = {"name": "x" * 1_200_000}
    assert as_web(owner).post("/t/sunflower/plans/new/", large).status_code in {400, 413}


def test_a_form_of_too_many_fields_is_refused(owner: User, as_web: Browser):
    fields = "&".join(f"f{n}=" for n in range(20_100))
    answer = as_web(owner).post("/t/sunflower/plans/new/", fields, content_type="application/x-www-form-urlencoded")
    assert answer.status_code in {400, 413}


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/xml", "multipart/form-data", "multipart/form-data; boundary=x"]
)
def test_another_kind_of_body_is_an_empty_form(content_type: str, owner: User, as_web: Browser):
    answer = as_web(owner).generic("POST", "/t/sunflower/members/invite/", b'{"role": "admin"}', content_type)
    assert answer.status_code in {400, 422}
