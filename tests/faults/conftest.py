"""Submitters under faults: whoever is killed where, whatever the answer, then everything is left to settle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.utils import timezone

from tenants.models import Grant, Role, Tenant
from tests.conftest import machine_of, operation_on, person
from vprotect_bridge import submit as protocol
from vprotect_bridge.client.api import ExportRequest, VProtect
from vprotect_bridge.client.errors import UpstreamError
from vprotect_bridge.follow import follow
from vprotect_bridge.models import Operation
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

WEB, PRIMARY = guid_of("vm/web-01"), guid_of("destination/primary-fs")
ROUNDS = 12
# So many rounds without a move, and it is believed that none will come.
STILL = 4


class Killed(BaseException):
    """The process ends here: no handler of the product catches it, its sessions close and its locks are free."""


@dataclass
class World:
    api: VProtect
    simulator: SimulatorServer
    operation: Operation
    destination: str = PRIMARY

    def tasks_made(self) -> int:
        return len([task for task in self.simulator.control.made_tasks() if task["type"] == "EXPORT"])

    def now(self) -> Operation:
        return Operation.across_tenants.get(pk=self.operation.pk)

    def settle(self, submitter: Submitter) -> None:
        """Rings, sweeps and looks until nothing moves any more; vProtect works on meanwhile."""
        moments = [self.moment()]
        while len(moments) <= ROUNDS and moments[-STILL:] != moments[-1:] * STILL:
            Operation.across_tenants.update(next_at=timezone.now(), followed_at=None)
            submitter.sweep(self.api)
            submitter.ring(self.api)
            self.simulator.control.advance(0.5)
            follow(self.api)
            moments.append(self.moment())

    def moment(self) -> tuple[Any, ...]:
        row = self.now()
        return row.submission, row.phase, row.outcome, row.task_guid, row.attempts, self.tasks_made()

    def verdict(self) -> str:
        """One effect upstream that we know of, or an honest word that there is none."""
        row, made = self.now(), self.tasks_made()
        if made > 1:
            return "doubled"
        if row.submission in {"needs_attention", "rejected", "expired"}:
            return "told"
        knows = row.submission == "accepted" and (row.task_guid or row.backup_guid)
        if made == 1 and knows:
            return "done" if row.outcome == "succeeded" else "open for ever"
        if row.submission == "accepted" and row.task_guid:
            return "invented"
        return "lost"


class Submitter:
    """The protocol as built."""

    def ring(self, api: VProtect) -> None:
        protocol.submit(api)

    def sweep(self, api: VProtect) -> None:
        protocol.reconcile(api)


class PostThenSave(Submitter):
    """A control: posts, then saves; whatever goes wrong, the broker delivers again."""

    def ring(self, api: VProtect) -> None:
        for row in Operation.across_tenants.filter(submission="pending"):
            try:
                task = api.export(request_of(row)).task
            except UpstreamError:
                continue
            Operation.across_tenants.filter(pk=row.pk).update(submission="accepted", task_guid=task.guid)

    def sweep(self, api: VProtect) -> None:
        pass


class SaveThenPost(PostThenSave):
    """A control: saves, then posts once and never again."""

    def ring(self, api: VProtect) -> None:
        for row in Operation.across_tenants.filter(submission="pending"):
            Operation.across_tenants.filter(pk=row.pk).update(submission="accepted")
            try:
                task = api.export(request_of(row)).task
            except UpstreamError:
                continue
            Operation.across_tenants.filter(pk=row.pk).update(task_guid=task.guid)


def request_of(row: Operation) -> ExportRequest:
    return ExportRequest(row.subject_guid, "FULL", PRIMARY, row.marker_ws_ms, row.marker_we_ms)


@pytest.fixture
def world(api: VProtect, simulator: SimulatorServer, settings: Any) -> World:
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "settle": 0.0}
    simulator.control.change_settings(speed=1000)
    tenant = Tenant.objects.create(name="Sunflower", slug="sunflower")
    Grant.across_tenants.create(tenant=tenant, kind=Grant.Kind.DESTINATION, guid=PRIMARY)
    operation = operation_on(machine_of(tenant, WEB), created_by=person(tenant, "member", Role.MEMBER))
    request = {"backup_type": "FULL", "destination_guid": PRIMARY, "priority": 50}
    Operation.across_tenants.filter(pk=operation.pk).update(request=request)
    return World(api, simulator, operation)


STEPS = ("claim", "look_up", "commit_intent", "post_once", "record")
FAILPOINTS = tuple((when, step) for step in STEPS for when in ("before", "after"))


@contextmanager
def killed(monkeypatch: pytest.MonkeyPatch, when: str, step: str) -> Iterator[None]:
    """The next process that comes to this place dies there."""
    real: Callable[..., Any] = getattr(protocol, step)

    def deadly(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(protocol, step, real)
        if when == "after":
            real(*args, **kwargs)
        raise Killed

    monkeypatch.setattr(protocol, step, deadly)
    yield
    monkeypatch.setattr(protocol, step, real)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any) -> Iterator[None]:
    """The last line of `make faults`: how many runs there were and how those ended that did not survive."""
    yield
    outcomes = ("passed", "failed", "error")
    reports = [report for outcome in outcomes for report in terminalreporter.getreports(outcome)]
    runs = [report for report in reports if "fault" in report.nodeid and (report.when == "call" or report.failed)]
    failures = [str(report.longrepr) for report in runs if report.failed]
    lost, doubled = (sum(f"'{verdict}'" in text for text in failures) for verdict in ("lost", "doubled"))
    survived = len(runs) - len(failures)
    terminalreporter.write_line(f"faults: {len(runs)} tried, {survived} survived, {lost} lost, {doubled} doubled")
