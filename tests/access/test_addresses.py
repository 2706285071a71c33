"""Where a page leads and whom it believes: hosts, redirects, what a broker's message may be."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from inspect import signature
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from django.conf import settings
from django.test import Client
from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import ContentDisallowed

from portal.celery import app
from tenants.models import User
from tests.conftest import WebClient
from vprotect_bridge import tasks

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
PASSWORD = "a password for tests"
ELSEWHERE = [
    *(
        "//evil.example/",
        "/\\evil.example/",
        "https:evil.example",
        "https:///evil.example",
        "\\\\evil.example",
        "///evil",
    ),
    *(
        "http://evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "https://testserver.evil.example",
        "//testserver@evil",
    ),
    *("http://testserver:x@evil.example", "%2F%2Fevil.example", "\x00//evil.example", " //evil.example", "ftp://x/"),
]


@pytest.mark.parametrize("after", ELSEWHERE)
@pytest.mark.parametrize("way", ["sign in", "already in", "sign out", "confirm", "second factor", "passkey"])
def test_nobody_is_sent_elsewhere(way: str, after: str, owner: User):
    browser = WebClient()
    form = {"login": owner.email, "password": PASSWORD, "next": after}
    if way != "sign in":
        browser.force_login(owner)
    answer = {
        "sign in": lambda: browser.post("/accounts/login/", form),
        "already in": lambda: browser.get("/accounts/login/", {"next": after}),
        "sign out": lambda: browser.post("/accounts/logout/", {"next": after}),
        "confirm": lambda: browser.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": after}),
        "second factor": lambda: browser.get("/accounts/second-factor/", {"next": after}),
        "passkey": lambda: browser.get("/accounts/2fa/webauthn/login/", {"next": after}),
    }[way]()
    # As browsers read it: a backslash is a slash, and control characters are not there.
    leads_to = re.sub(r"[\x00-\x20]", "", answer.get("Location", "/").replace("\\", "/"))
    absolute = urlsplit(urljoin("http://testserver/accounts/login/", leads_to))
    assert (absolute.scheme, absolute.netloc) == ("http", "testserver"), leads_to
    if answer.status_code == 200:
        assert not re.search(r'(href|action)="(https?:)?[/\\]{2}', answer.content.decode())


@pytest.mark.parametrize("page", ["/accounts/login/", "/healthz", "/t/sunflower/machines/", "/"])
@pytest.mark.parametrize(
    "host", ["evil.example", "testserver.evil.example", "testserver@evil.example", "", "a b", "[::1]:x"]
)
def test_another_host_is_not_answered(host: str, page: str, db: None):
    assert WebClient(headers={"Host": host}).get(page).status_code == 400


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "X-Forwarded-Server", "X-Host", "Forwarded", "X-Original-URL"])
def test_links_in_mails_are_to_us(header: str, owner: User, mailoutbox: list[Any]):
    value = "host=evil.example" if header == "Forwarded" else "evil.example"
    browser = WebClient(headers={header: value})
    browser.post("/accounts/password/reset/", {"email": owner.email})
    browser.force_login(owner)
    form = {"email": "new@sunflower.example", "role": "viewer", "scope": "all"}
    browser.post("/t/sunflower/members/invite/", form)
    assert len(mailoutbox) == 2
    for sent in mailoutbox:
        assert set(re.findall(r"https?://([^/\s]+)", sent.body)) == {"testserver"}


def test_an_address_that_was_typed_over_is_not_another_page(owner: User, as_web: Browser):
    browser = as_web(owner)
    for header in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Script-Name"):
        assert browser.get("/t/pine/members/", headers={header: "/t/sunflower/members/"}).status_code == 404


@pytest.mark.parametrize(
    "path", ["/t//sunflower/machines/", "//t/sunflower/machines/", "/T/sunflower/machines/", "/t/sunflower;/machines/"]
)
def test_an_address_has_one_spelling(path: str, owner: User, as_web: Browser):
    assert as_web(owner).get(path).status_code in {301, 404}


# ── Messages ─────────────────────────────────────────────────────────────────


class Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("a message was executed",))


@pytest.mark.parametrize(
    ("content_type", "encoding"), [("application/x-python-serialize", "binary"), ("application/x-yaml", "utf-8")]
)
def test_a_message_is_json_or_is_refused(content_type: str, encoding: str):
    """What Celery's worker does with a message: kombu decodes what the settings accept, and nothing else."""
    assert set(app.conf.accept_content) == {"json"}
    refused: list[Exception] = []
    with Connection("memory://") as broker, broker.channel() as channel:
        queue = Queue("submit", Exchange("submit"), "submit", channel=channel)
        queue.declare()
        body = pickle.dumps(Bomb())
        Producer(channel).publish(
            body, exchange="submit", routing_key="submit", content_type=content_type, content_encoding=encoding
        )
        consumer = Consumer(
            channel,
            [queue],
            callbacks=[lambda decoded, message: refused.append(AssertionError("it was taken"))],
            accept=app.conf.accept_content,
            on_decode_error=lambda message, error: refused.append(error),
        )
        with consumer:
            broker.drain_events(timeout=1)
    assert [type(error) for error in refused] == [ContentDisallowed]


def test_messages_carry_no_arguments():
    assert settings.CELERY_TASK_SERIALIZER == "json" and settings.CELERY_TASK_IGNORE_RESULT
    own = [task for task in vars(tasks).values() if hasattr(task, "delay")]
    assert len(own) > 5 and not [task.name for task in own if signature(task.run).parameters]
