"""Whatever goes wrong below /api/ is told as problem details, and told alike to who must not know the difference."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from api import endpoints
from tenants import request_rates
from tenants.models import Tenant, User
from tenants.request_rates import Allowance
from tests.api.conftest import Program, program_of
from tests.conftest import WebClient, machine_of, operation_on
from tests.tokens.conftest import token_of
from tokens.models import Token
from tokens.secret import new_secret
from vprotect_bridge.models import Machine, Operation

pytestmark = pytest.mark.django_db

BACKUPS = "machines/vm-1/backups"


def kind(answer: Any) -> str:
    assert answer["Content-Type"] == "application/problem+json"
    return str(answer.json()["type"].rpartition("#")[2])


@pytest.mark.parametrize(
    ("method", "address", "expected"),
    [
        ("GET", "nothing", "not-found"),
        ("POST", "machines/", "not-found"),
        ("GET", "../../healthz", "not-found"),
        ("GET", "machines/vm%00", "not-found"),
        ("GET", "operations/1", "not-found"),
        ("DELETE", "machines", "method-not-allowed"),
        ("GET", BACKUPS, "method-not-allowed"),
        ("POST", "openapi.json", "method-not-allowed"),
        ("OPTIONS", "machines", "method-not-allowed"),
        ("TRACE", "machines", "method-not-allowed"),
    ],
)
def test_what_is_not_there_is_told_as_a_problem(method: str, address: str, expected: str, program: Program):
    answer = program.ask(method, address)
    assert kind(answer) == expected and answer.status_code in {404, 405}
    assert expected != "method-not-allowed" or answer["Allow"] in {"GET", "POST"}


def test_without_a_good_token_nothing_is_told(
    tenant: Tenant, restorer: User, machine: Machine, as_web: Callable[..., Client]
):
    _dead, secret = token_of(tenant, restorer)
    Token.across_tenants.update(revoked_at="2026-01-01T00:00Z")
    told = set()
    for shown in (None, secret, new_secret(), secret[:-1] + "!", ""):
        answer = Program(shown).get("machines")
        assert answer.status_code == 401 and answer["WWW-Authenticate"].startswith("Bearer ")
        told.add(json.dumps(answer.json() | {"correlation_id": ""}))
    assert len(told) == 1
    assert Program(None).get(f"machines?access_token={secret}").status_code == 401, "no token in an address"


def test_a_sessions_cookie_is_nothing_here(restorer: User, machine: Machine, as_web: Callable[..., Client]):
    """So that another site has nothing to send along: no form needs its token here."""
    browser = as_web(restorer)
    assert browser.get("/t/sunflower/machines/").status_code == 200
    assert browser.get("/api/v1/machines").status_code == 401
    answer = browser.post(f"/api/v1/{BACKUPS}", {"type": "full"}, "application/json", headers={"Idempotency-Key": "a"})
    assert answer.status_code == 401 and not Operation.across_tenants.exists()


def test_a_token_opens_no_page(tenant: Tenant, restorer: User):
    secret = token_of(tenant, restorer)[1]
    for address in (
        "/t/sunflower/machines/",
        "/t/sunflower/members/",
        "/t/sunflower/tokens/new/",
        "/accounts/sessions/",
    ):
        answer = WebClient().get(address, headers={"Authorization": f"Bearer {secret}"})
        assert answer.status_code == 302 and answer["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize(
    "address", ["machines/{}", "machines/{}/restore-points", "machines/{}/destinations", "machines/{}/restore-places"]
)
def test_another_tenants_machine_is_told_like_an_unknown_one(address: str, program: Program, pine: Tenant):
    machine_of(pine, "vm-9")
    assert_alike([program.get(address.format(guid)) for guid in ("vm-9", "vm-7")])


def test_another_tenants_operation_is_told_like_an_unknown_one(program: Program, pine: Tenant):
    theirs = operation_on(machine_of(pine, "vm-9"))
    assert_alike([program.get(f"operations/{pk}") for pk in (theirs.pk, "018f0000-0000-7000-8000-000000000000")])


@pytest.mark.parametrize("wish", ["backups", "restores"])
def test_a_wish_for_another_tenants_machine_is_told_like_for_an_unknown_one(wish: str, program: Program, pine: Tenant):
    machine_of(pine, "vm-9")
    body = {"type": "full"} if wish == "backups" else {"restore_point": "p", "place": "h"}
    assert_alike([program.wish(f"machines/{guid}/{wish}", body) for guid in ("vm-9", "vm-7")])


def assert_alike(answers: list[Any]) -> None:
    assert {answer.status_code for answer in answers} == {404}
    assert len({json.dumps(answer.json() | {"correlation_id": ""}) for answer in answers}) == 1


# ── Hostile bodies ───────────────────────────────────────────────────────────

UNREADABLE = [
    *(b"{", b"nothing", b"\xff\xfe", b"\xef\xbb\xbf{}", '{"type":"full"}'.encode("utf-16"), b'{"type":"full"}x'),
    *(b'{"type":"full","type":"incremental"}', b'{"type":"\\ud800"}', b'{"type":"\\u0000"}', b'{"priority":NaN}'),
    *(
        b'{"priority":Infinity}',
        b'{"priority":' + b"9" * 5000 + b"}",
        b"[" * 60_000,
        b'{"a":' * 9_000,
        b"{'type': 'full'}",
    ),
]
INVALID = [
    *([], None, "full", 5, {}, {"type": "FULL"}, {"type": ["full"]}, {"type": None}, {"type": "full", "tenant": 1}),
    *({"type": "full", "priority": "5"}, {"type": "full", "priority": True}, {"type": "full", "priority": 1.5}),
    *({"type": "full", "priority": -1}, {"type": "full", "priority": 10**400}, {"type": "full", "destination": {}}),
    *({"type": "full", "destination": "x" * 65}, {"type": "full", "window_end": "tomorrow"}, {"type": "full\u202e"}),
    *({"type": "full", "window_end": "2026-13-01T00:00:00Z"}, {"type": "full", "window_end": "2026-12-01T00:00:00"}),
    *(
        {"type": "full", "window_end": "2026-12-01T25:00:00Z"},
        {"type": "full", "window_end": "9999-12-31T23:59:59-14:00"},
    ),
    *({"type": "full", "window_end": "٢٠٢٦-12-01T00:00:00Z"}, {"type": "full", "created_by": "1", "is_bulk": True}),
]


@pytest.mark.parametrize("raw", UNREADABLE, ids=lambda raw: repr(raw[:20]))
def test_what_is_no_json_of_ours_is_unreadable(raw: bytes, program: Program, machine: Machine):
    assert kind(program.wish(BACKUPS, raw)) == "unreadable" and not Operation.across_tenants.exists()


@pytest.mark.parametrize("body", INVALID, ids=lambda body: repr(body)[:40])
def test_what_does_not_fit_is_named_by_its_field(body: Any, program: Program, machine: Machine):
    answer = program.wish(BACKUPS, json.dumps(body).encode())
    assert kind(answer) == "invalid" and answer.json()["errors"] and not Operation.across_tenants.exists()
    assert all(len(error["detail"]) <= 200 for error in answer.json()["errors"])


def test_what_is_missing_is_named(program: Program, machine: Machine):
    answer = program.wish(BACKUPS, b'{"priority": 5}')
    assert answer.json()["errors"] == [{"field": "type", "detail": "It is required."}]


def test_a_body_that_is_too_large_is_not_read(program: Program, machine: Machine):
    for size in (64 * 1024 + 1, 3_000_000):
        assert kind(program.wish(BACKUPS, b" " * size)) == "too-large"


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"],
)
def test_another_kind_of_body_is_refused(content_type: str, program: Program, machine: Machine):
    assert kind(program.wish(BACKUPS, b'{"type":"full"}', content_type=content_type)) == "unsupported-media-type"
    assert kind(program.wish(BACKUPS, b"{}", **{"Content-Encoding": "gzip"})) == "unsupported-media-type"


def test_json_says_its_character_set_or_does_not(program: Program, machine: Machine):
    answer = program.wish(BACKUPS, b'{"type":"full"}', content_type="application/json; charset=utf-8")
    assert answer.status_code == 202


# ── Too fast ─────────────────────────────────────────────────────────────────


def test_a_token_that_asks_too_fast_waits_and_no_other_does(
    tenant: Tenant, restorer: User, monkeypatch: pytest.MonkeyPatch, as_web: Callable[..., Client]
):
    monkeypatch.setattr(request_rates, "OF_A_TOKEN", Allowance(3, 0.15, lambda: 0.0))
    program = program_of(tenant, restorer)
    answers = [program.get("token") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
    assert kind(answers[-1]) == "too-fast" and answers[-1]["Retry-After"] == "7", "the true seconds"
    assert program_of(tenant, restorer).get("token").status_code == 200
    assert as_web(restorer).get("/t/sunflower/machines/").status_code == 200, "nor do people"


def test_a_tenants_tokens_together_are_limited(tenant: Tenant, restorer: User, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(request_rates, "OF_A_TENANTS_TOKENS", Allowance(4, 1, lambda: 0.0))
    programs = [program_of(tenant, restorer) for _ in range(3)]
    assert [program.get("token").status_code for program in programs * 2] == [200] * 4 + [429] * 2


def test_who_tries_tokens_is_slowed_down_and_a_good_one_is_not(program: Program, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(request_rates, "OF_A_STRANGER", Allowance(2, 0.5, lambda: 0.0))
    answers = [Program(new_secret()).get("token") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429] and answers[-1]["Retry-After"] == "2"
    assert program.get("token").status_code == 200


# ── Ours ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("error", "expected"), [(ValueError, "server-error"), (OperationalError, "unavailable")])
def test_an_error_of_ours_is_a_problem_without_its_words(
    error: type[Exception], expected: str, program: Program, machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    def fails(*args: Any) -> None:
        raise error("secret words")

    monkeypatch.setattr(endpoints, "token_shape", fails)
    answer = program.get("token")
    assert kind(answer) == expected and "secret" not in answer.content.decode()
    assert answer["X-Correlation-Id"] and (expected != "unavailable" or answer["Retry-After"])


def test_a_half_done_wish_is_not_kept(program: Program, machine: Machine, monkeypatch: pytest.MonkeyPatch):
    def fails(*args: Any) -> None:
        raise ValueError

    monkeypatch.setattr(endpoints, "operation_shape", fails)
    assert program.wish(BACKUPS, {"type": "full"}).status_code == 500
    assert not Operation.across_tenants.exists()


def test_another_host_is_a_problem_too(program: Program):
    answer = program.browser.get("/api/v1/token", headers={"Host": "evil.example"})
    assert answer.status_code == 400 and kind(answer) == "unreadable"


def test_no_token_is_logged(
    program: Program, machine: Machine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(endpoints, "token_shape", lambda bearer: 1 / 0)
    with caplog.at_level(logging.DEBUG):
        program.get("token")
        program.wish(BACKUPS, {"type": "x"})
    assert caplog.records and str(program.secret) not in caplog.text
