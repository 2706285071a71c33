"""Whether a process lives, whether it can serve, and what people and operators are told of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from portal.views import health
from tenants.models import Tenant, User
from tests.conftest import OperatorClient, machine_of, operation_on
from tests.portal.conftest import counted
from vprotect_bridge import doorbell
from vprotect_bridge.models import Machine, Operation, UpstreamStatus

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """`broker(False)` takes it away."""

    def answers(does: bool) -> None:
        monkeypatch.setattr(health, "_broker", (0.0, False))
        monkeypatch.setattr(doorbell, "waiting", lambda: {"submit": 0} if does else None)

    answers(True)
    return answers


def readiness(browser: Client) -> tuple[int, dict[str, str]]:
    answer = browser.get("/readyz")
    assert answer["Cache-Control"].startswith("max-age=0")
    return answer.status_code, answer.json()


def test_a_process_lives_without_anything_else(as_web: Callable[[None], Client], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("django.db.backends.utils.CursorWrapper.execute", _refuse)
    browser = Client()
    assert browser.get("/healthz").content == b"ok"


def test_a_process_with_all_it_needs_is_ready(as_web: Callable[[None], Client]):
    UpstreamStatus.objects.update(inventory_at=timezone.now())
    assert readiness(as_web(None)) == (
        200,
        {"status": "ready", "database": "ok", "broker": "ok", "vprotect": "ok"},
    )


def test_without_the_broker_it_serves_on(as_web: Callable[[None], Client], broker: Callable[[bool], None]):
    UpstreamStatus.objects.update(inventory_at=timezone.now())
    broker(False)
    status, told = readiness(as_web(None))
    assert status == 200 and (told["status"], told["broker"]) == ("degraded", "away")


@pytest.mark.parametrize("problem", ["unreachable", "refused_login", "nonsense"])
def test_without_vprotect_it_serves_on(problem: str, as_web: Callable[[None], Client]):
    UpstreamStatus.objects.update(unreachable_since=timezone.now(), problem=problem)
    status, told = readiness(as_web(None))
    assert status == 200 and (told["status"], told["vprotect"]) == ("degraded", problem)


def test_before_the_first_inventory_it_says_so(as_web: Callable[[None], Client]):
    assert readiness(as_web(None))[1]["vprotect"] == "unread"


def _refuse(*args: Any, **kwargs: Any) -> None:
    raise OperationalError("connection to 10.0.0.5 refused")


def test_without_the_database_it_takes_no_requests(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(UpstreamStatus.objects, "filter", _refuse)
    monkeypatch.setattr(health.connection, "close", lambda: None)
    status, told = readiness(Client())
    assert (status, told) == (503, {"status": "unavailable", "database": "away"})


def test_looking_often_asks_the_broker_seldom(as_web: Callable[[None], Client], monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []
    monkeypatch.setattr(doorbell, "waiting", lambda: asked.append(1) or {})
    browser = as_web(None)
    for _ in range(5):
        readiness(browser)
    assert len(asked) == 1


def status_page(browser: Client) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", browser.get("/t/sunflower/status/").content.decode()))


def test_people_are_told_that_it_answers_and_how_old_their_data_is(browser: Client):
    page = status_page(browser)
    assert "answers" in page and "Machines as of" in page and "not read yet" in page


def test_people_are_told_since_when_it_is_away(browser: Client):
    UpstreamStatus.objects.update(unreachable_since=timezone.now() - timedelta(hours=1))
    assert "What you ask for now is kept and starts when it is back." in status_page(browser)


def test_the_queue_is_that_of_the_tenant_alone(browser: Client, machine: Machine, pine: Tenant):
    operation_on(machine)
    for number in range(3):
        operation_on(machine_of(pine, f"theirs-{number}"))
    accepted, phases = Operation.Submission.ACCEPTED, Operation.Phase
    for number, phase in enumerate((phases.QUEUED, phases.EXPORTING, phases.STORING)):
        other = machine_of(machine.tenant, f"ours-{number}")
        operation_on(other, submission=accepted, phase=phase, task_guid=f"task-{number}")
    page = status_page(browser)
    assert re.search(r"Waiting to be sent 1 · the oldest since", page)
    assert "Waiting in the backup system's line 1" in page.replace("&#x27;", "'") and "Running 2" in page
    assert "Being checked" not in page


def test_an_unchanged_look_costs_five_statements(browser: Client, machine: Machine):
    page = browser.get("/t/sunflower/status/").content.decode()
    poll = re.search(r'hx-get="([^"]+)"', page)[1]  # type: ignore[index]
    with counted() as statements:
        assert browser.get(poll).status_code == 204
    assert len(statements) <= 5, statements
    operation_on(machine)
    assert browser.get(poll).status_code == 200


@pytest.mark.urls("portal.operator_urls")
def test_operators_see_broker_and_queues(broker: Callable[[bool], None], settings: Any):
    operator = User.objects.create_superuser("operator@provider.example", "a password for tests")
    browser = OperatorClient()
    browser.force_login(operator)
    assert "Redis answers" in browser.get("/vprotect_bridge/upstreamstatus/").content.decode()
    broker(False)
    page = browser.get("/vprotect_bridge/upstreamstatus/").content.decode()
    assert "Redis does not answer" in page and "found by the sweep" in page
