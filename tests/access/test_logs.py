"""What goes into a log and into a header: one line, no link that opens something, no secret."""

from __future__ import annotations

import io
import logging
import logging.config
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core import mail
from django.test import Client
from gunicorn.config import Config

from portal import gunicorn_conf
from portal.access_log import AccessLogger
from tenants.models import Tenant, User
from tests.conftest import machine_of
from vprotect_bridge.models import Machine

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
LINKS = [
    "/invitation/SECRET-token/",
    "/calendar/SECRET-token/backups.ics",
    "/notifications/unsubscribe/SECRET:token/",
    "/reports/unsubscribe/SECRET:token/",
    "/accounts/password/reset/key/1-SECRET/",
    "/accounts/confirm-email/SECRET:key/",
    "/accounts/sso/sunflower/callback/?code=SECRET&state=SECRET",
]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the product's own handler writes, formatted as in production."""
    logging.config.dictConfig(settings.LOGGING)
    handler = next(one for one in logging.getLogger().handlers if type(one) is logging.StreamHandler)
    written = io.StringIO()
    before = handler.setStream(written)
    yield written
    handler.setStream(before)


def test_an_event_is_one_line(log: io.StringIO):
    logging.getLogger("x").warning("machine %s is gone", "a\r\n2026 ERROR forged\x85\u2028\x1b[31m")
    assert log.getvalue().count("\n") == 1 and "\\r\\n2026 ERROR forged\\x85\\u2028\\x1b" in log.getvalue()


@pytest.mark.parametrize("link", LINKS)
def test_no_link_that_opens_something_is_logged(link: str, log: io.StringIO, as_web: Browser):
    logging.getLogger("django.request").warning("Too Many Requests: %s", link)
    try:
        raise ValueError(f"https://portal.example{link}")
    except ValueError:
        logging.getLogger("x").exception("while opening %s", link)
    as_web(None).get(f"{link}nothing")
    assert "SECRET" not in log.getvalue() and "…" in log.getvalue()


@pytest.mark.parametrize("form", ["line", "json"])
@pytest.mark.parametrize("link", LINKS)
def test_nor_in_the_log_of_the_server(
    link: str, form: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    class Answer:
        status, sent, headers = "200 OK", 1, ()

    path, _, query = link.partition("?")
    environ = {"REQUEST_METHOD": "GET", "RAW_URI": link, "PATH_INFO": path, "QUERY_STRING": query}
    environ |= {"SERVER_PROTOCOL": "HTTP/1.1", "HTTP_REFERER": f"https://portal.example{link}"}

    class Asked:
        headers = (("REFERER", f"https://portal.example{link}"),)

    monkeypatch.setenv("LOG_FORMAT", form)
    config = Config()
    config.set("accesslog", "-")
    config.set("access_log_format", f"{gunicorn_conf.access_log_format} %(f)s")
    AccessLogger(config).access(Answer(), Asked(), environ, timedelta(seconds=1))
    written = "".join(capfd.readouterr())
    assert "SECRET" not in written and path.split("/")[1] in written


@pytest.mark.parametrize("path", ["/t/sunflower/%0d%0aSet-Cookie:%20a=b/", "/t/%0aERROR%20forged/machines/"])
def test_an_address_splits_neither_log_nor_header(path: str, log: io.StringIO, as_web: Browser, owner: User):
    answer = as_web(owner).get(path, headers={"User-Agent": "x\ty"})
    assert answer.status_code == 404 and "a" not in answer.cookies
    assert log.getvalue().count("\n") <= 1 and "\nERROR" not in log.getvalue()


def test_a_name_with_line_ends_splits_no_header(owner: User, sunflower: Tenant, as_web: Browser):
    Tenant.objects.update(name="Sunflower\r\nBcc: thief@evil.example\r\n\r\nClick")
    form = {"email": "new@sunflower.example", "role": "viewer", "scope": "all"}
    assert as_web(owner).post("/t/sunflower/members/invite/", form).status_code == 302
    (sent,) = mail.outbox
    assert sent.recipients() == ["new@sunflower.example"] and "\n" not in sent.subject
    assert "Bcc" not in sent.message()


@pytest.mark.parametrize("email", ["new@x.example\r\nBcc: thief@evil.example", "new@x.example,thief@evil.example"])
def test_an_address_with_another_behind_it_is_no_address(email: str, owner: User, as_web: Browser):
    form = {"email": email, "role": "viewer", "scope": "all"}
    assert as_web(owner).post("/t/sunflower/members/invite/", form).status_code == 422
    assert not mail.outbox


def test_a_file_is_named_by_us(owner: User, sunflower: Tenant, as_web: Browser):
    Machine.across_tenants.filter(pk=machine_of(sunflower).pk).update(name='x"; filename="evil.exe\r\nX: y')
    answer: Any = as_web(owner).get("/t/sunflower/audit/file.csv?q=%0d%0aX-Evil:1")
    assert answer["Content-Disposition"] == 'attachment; filename="audit-sunflower.csv"'
    assert "X-Evil" not in answer.headers
