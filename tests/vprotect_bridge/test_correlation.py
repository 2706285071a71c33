"""One id from the click to the call upstream: in the answer, the audit, the operation, the call and every log line."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from gunicorn.config import Config

from portal.access_log import AccessLogger
from tenants.correlation import CorrelationFilter, correlation_id
from tenants.logs import JSONFormatter, without_secrets
from tenants.models import AuditEntry, Claim, Grant, Role, Tenant, User
from tests.conftest import VPROTECT_PASSWORD, person
from vprotect_bridge import submit
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.transport import MemorySessionStore, Transport
from vprotect_bridge.models import Operation
from vprotect_bridge.plan_sync import sync_plans
from vprotect_bridge.sync import sync_inventory
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def json_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    formatter = JSONFormatter("worker")
    return [json.loads(formatter.format(record)) for record in caplog.records]


@pytest.fixture(autouse=True)
def filtered(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(CorrelationFilter())
    caplog.set_level(logging.INFO)


def test_a_click_is_found_again_everywhere(
    simulator: SimulatorServer,
    api: VProtect,
    dialect: str,
    sunflower: Tenant,
    as_web: Callable[[User], Client],
    caplog: pytest.LogCaptureFixture,
):
    web, store = guid_of("vm/web-01"), guid_of("destination/primary-fs")
    Claim.across_tenants.create(tenant=sunflower, kind=Claim.Kind.MACHINE, value=web)
    Grant.across_tenants.create(tenant=sunflower, kind=Grant.Kind.DESTINATION, guid=store)
    sync_inventory(api), sync_plans(api)
    browser = as_web(person(sunflower, "member", Role.MEMBER))
    form = {"backup_type": "FULL", "priority": "50"}
    page = browser.get(f"/t/sunflower/machines/{web}/backup/").context["form"]
    form |= {name: page[name].value() for name in ("client_key", "destination", "window_end") if name in page.fields}
    answer = browser.post(f"/t/sunflower/machines/{web}/backup/", form)
    assert answer.status_code == 302, answer.content.decode()
    click = answer["X-Correlation-Id"]
    submit.submit(
        VProtect(
            Transport(
                simulator.url,
                ca_file=str(simulator.ca_file),
                sessions=MemorySessionStore(),
                credentials=lambda: ("portal-svc", VPROTECT_PASSWORD),
                correlation=correlation_id.get,
            ),
            dialect,
        )
    )
    assert Operation.across_tenants.get().correlation_id == click
    assert AuditEntry.across_tenants.filter(correlation_id=click).count() == 1
    (export,) = simulator.control.ledger("POST", "/tasks/export")
    assert export["correlation"] == click
    (line,) = [one for one in json_lines(caplog) if one.get("path") == "/tasks/export"]
    assert line["correlation_id"] == click and line["status"] in {200, 201} and line["milliseconds"] >= 0


def test_a_line_of_the_server_has_the_id_of_its_request(caplog: pytest.LogCaptureFixture):
    class Answer:
        status, sent, headers = "200 OK", 1, (("X-Correlation-Id", "abc"),)

    class Asked:
        headers = ()

    environ = {"REQUEST_METHOD": "GET", "RAW_URI": "/x?y", "PATH_INFO": "/x", "SERVER_PROTOCOL": "HTTP/1.1"}
    configuration = Config()
    configuration.set("accesslog", "-")
    server = AccessLogger(configuration)
    server.access_log.propagate = True
    server.access(Answer(), Asked(), environ, timedelta(milliseconds=12))
    server.access_log.propagate = False
    line = json_lines(caplog)[-1]
    assert (line["correlation_id"], line["path"], line["status"], line["milliseconds"]) == ("abc", "/x", 200, 12)


@pytest.mark.parametrize(
    "text",
    [
        "connecting to postgres://portal_web:SECRET@db/portal failed",
        "redis://:SECRET@redis:6379/0",
        '{"login": "portal-svc", "password": "SECRET"}',
        "Authorization: Bearer SECRET",
        "Cookie: JSESSIONID=SECRET; path=/",
        "client_secret=SECRET&grant_type=x",
        "the password of this run is SECRET",
    ],
)
def test_no_secret_is_logged(text: str):
    record = logging.LogRecord("x", logging.ERROR, "", 0, "%s", (text,), None)
    line = JSONFormatter("web", secrets={"SECRET-of-the-database", "SECRET"}).format(record)
    assert "SECRET" not in line
    if "of this run" not in text:
        assert "SECRET" not in without_secrets(text), "known by its place alone"


def test_a_traceback_is_a_member_without_secrets():
    try:
        raise ValueError("redis://:SECRET@redis")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "a\nb", (), (ValueError, error, error.__traceback__))
    line = JSONFormatter("web").format(record)
    assert "\n" not in line and "SECRET" not in line
    assert "ValueError" in json.loads(line)["traceback"] and json.loads(line)["message"] == "a\nb"


def test_the_product_knows_both_ways_to_write():
    assert set(settings.LOGGING["formatters"]) == {"line", "json"}
