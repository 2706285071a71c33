"""Figures for Prometheus: true, bounded, without anybody's names; dashboard and alerts name only what there is."""

from __future__ import annotations

import json
import os
import re
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import django_prometheus.middleware
import pytest
import yaml
from django.conf import settings
from django.db import OperationalError
from django.utils import timezone
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, values

from demo.ports import three_free_ports
from notifications.facts import NotificationFacts
from portal import metrics_port
from tests.conftest import AsRole, api_of, machine_of, operation_on
from vprotect_bridge import facts
from vprotect_bridge.metrics import UPSTREAM_CALLS, UPSTREAM_SECONDS, observe_call
from vprotect_bridge.models import Alert, Machine, Operation, UpstreamSession, UpstreamStatus

pytestmark = pytest.mark.django_db
DEPLOY = settings.BASE_DIR / "deploy"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, as_role: AsRole) -> Iterator[Any]:
    """`told()`: what Prometheus would read of beat now, as {"name{labels}": value}."""
    monkeypatch.setattr(facts.connections, "close_all", lambda: None)
    registry = CollectorRegistry(auto_describe=False)

    def read() -> dict[str, float]:
        collectors = (facts.FactsCollector(), NotificationFacts())
        with as_role("portal_worker"):
            for collector in collectors:
                registry.register(collector)
            try:
                lines = generate_latest(registry).decode().splitlines()
            finally:
                for collector in collectors:
                    registry.unregister(collector)
        return {name: float(value) for name, value in (ln.rsplit(" ", 1) for ln in lines if not ln.startswith("#"))}

    return read


def test_operations_are_told_by_state_and_age(told: Any, machine: Machine):
    long_ago = timezone.now() - timedelta(hours=2)
    operation_on(machine, submission=Operation.Submission.UNCERTAIN, created_at=long_ago)
    accepted = {"submission": Operation.Submission.ACCEPTED, "phase": Operation.Phase.STORING}
    for number in range(2):
        operation_on(machine_of(machine.tenant, f"other-{number}"), **accepted, task_guid=f"task-{number}")
    operation_on(machine_of(machine.tenant, "done"), outcome="succeeded", submission="accepted", task_guid="task-9")
    figures = told()
    assert figures['portal_operations_open{kind="backup",state="storing"}'] == 2
    assert 7199 < figures['portal_operations_oldest_seconds{kind="backup",state="uncertain"}'] < 7300
    assert figures['portal_operations_unknown{state="uncertain"}'] == 1
    assert figures['portal_operations_unknown{state="needs_attention"}'] == 0
    assert figures['portal_operations_of_a_day{kind="backup",outcome="succeeded"}'] == 1


def test_vprotect_logins_breaker_and_lags_are_told(told: Any):
    now = timezone.now()
    UpstreamStatus.objects.update(
        inventory_at=now - timedelta(minutes=5), followed_at=now - timedelta(seconds=40), clock_skew_ms=-2500
    )
    UpstreamSession.objects.update(generation=7, refused_logins=2, login_paused_until=now + timedelta(minutes=1))
    figures = told()
    assert figures["portal_vprotect_up"] == 1 and figures["portal_vprotect_clock_skew_seconds"] == -2.5
    assert 299 < figures["portal_sync_lag_seconds"] < 310 and 39 < figures["portal_poll_lag_seconds"] < 50
    assert figures["portal_logins_total"] == 7
    assert (figures["portal_login_refused"], figures["portal_login_breaker_open"]) == (2, 1)
    UpstreamStatus.objects.update(unreachable_since=now - timedelta(minutes=10), problem="unreachable")
    figures = told()
    assert figures["portal_vprotect_up"] == 0 and 599 < figures["portal_vprotect_away_seconds"] < 610


def test_alerts_are_told_by_kind_and_whose_turn_it_is(told: Any, machine: Machine):
    facts_of_one = {"tenant": machine.tenant, "machine": machine, "turn": "provider", "began_at": timezone.now()}
    Alert.across_tenants.create(kind=Alert.Kind.SKIPPED, **facts_of_one)
    Alert.across_tenants.create(kind=Alert.Kind.STUCK, **facts_of_one, closed_at=timezone.now())
    figures = told()
    assert figures['portal_alerts_open{kind="skipped",turn="provider"}'] == 1
    assert figures['portal_alerts_open{kind="stuck",turn="provider"}'] == 0


def test_the_queue_is_told(told: Any, machine: Machine):
    operation_on(machine, created_at=timezone.now() - timedelta(minutes=3))
    figures = told()
    assert figures['portal_queue{queue="wishes"}'] == 1 and figures["portal_broker_up"] == 1
    assert 179 < figures['portal_queue_oldest_seconds{queue="wishes"}'] < 190
    assert 'portal_broker_messages{queue="submit"}' in figures


def test_a_database_that_is_away_is_a_figure_too(told: Any, monkeypatch: pytest.MonkeyPatch):
    def refuse() -> None:
        raise OperationalError("refused")

    monkeypatch.setattr(facts, "read_health", refuse)
    figures = told()
    assert figures["portal_database_up"] == 0 and "portal_sync_lag_seconds" not in figures


def test_calls_are_told_by_call_and_not_by_object(simulator: Any):
    api = api_of(simulator, "classic")
    heard: list[tuple[str, str, str, float]] = []
    api.transport._observe = lambda *exchange: heard.append(exchange)
    api.list_virtual_machines()
    assert [(method, path, result) for method, path, result, _ in heard] == [
        ("POST", "/session/login", "201"),
        ("GET", "/virtual-machines", "200"),
    ]
    before = REGISTRY.get_sample_value("portal_upstream_calls_total", LABELS) or 0
    for guid in ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "12345", "5b1a"):
        observe_call("GET", f"/backups/{guid}/description", "200", 0.1)
    assert REGISTRY.get_sample_value("portal_upstream_calls_total", LABELS) == before + 2, "5b1a is no id"
    paths = {sample.labels["path"] for metric in UPSTREAM_SECONDS.collect() for sample in metric.samples}
    assert "/backups/{guid}/description" in paths and not any("3f2504e0" in path for path in paths)


LABELS = {"method": "GET", "path": "/backups/{guid}/description", "result": "200"}


def test_a_call_that_never_arrived_is_told_too(simulator: Any):
    api = api_of(simulator, "classic")
    heard: list[str] = []
    api.transport._observe = lambda method, path, result, seconds: heard.append(result)
    api.transport._api = "https://localhost:1/api"
    with pytest.raises(Exception, match="/session/login"):
        api.list_virtual_machines()
    assert heard == ["NotSent"]


def test_children_count_into_files_that_their_main_process_adds_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Two children, of which the first has ended: what it counted stays, and its place is taken by the second."""
    port = three_free_ports()
    monkeypatch.setenv("METRICS_ADDRESS", f"127.0.0.1:{port}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    try:
        metrics_port.begin()
        metrics_port.serve()
        for _ in range(2):
            if (child := os.fork()) == 0:
                UPSTREAM_CALLS.labels("GET", "/of-the-child", "200").inc()
                os._exit(0)
            os.waitpid(child, 0)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    assert 'portal_upstream_calls_total{method="GET",path="/of-the-child",result="200"} 2.0' in text


def test_no_metrics_on_the_addresses_of_people():
    from portal.operator_urls import urlpatterns as operator
    from portal.urls import urlpatterns as portal

    assert not [str(one.pattern) for one in (*portal, *operator) if "metric" in str(one.pattern)]


def test_dashboard_and_alerts_name_only_what_there_is(told: Any, machine: Machine):
    operation_on(machine)
    UpstreamStatus.objects.update(inventory_at=timezone.now(), followed_at=timezone.now())
    there = {name.partition("{")[0] for name in told()} | {"up"}
    metrics = [*UPSTREAM_SECONDS.describe(), *UPSTREAM_CALLS.describe(), *_of_django()]
    for metric in metrics:
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(metric.type, ("",))
        there |= {metric.name + ending for ending in endings}
    named = {name for expression in _expressions() for name in _names(expression)}
    assert len(named) > 20 and named <= there, named - there


def _of_django() -> list[Any]:
    made = django_prometheus.middleware.Metrics.get_instance()
    return [metric for one in vars(made).values() for metric in one.describe()]


def _expressions() -> list[str]:
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    dashboard = json.loads((DEPLOY / "grafana/portal.json").read_text())
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [rule["expr"] for rule in rules] + targets


def _names(expression: str) -> set[str]:
    without_labels = re.sub(r"\{[^}]*\}|\bby \([^)]*\)|\[\w+\]", "", expression)
    return set(re.findall(r"\b(?:portal|django)_\w+|\bup\b", without_labels))


def test_each_alert_says_what_to_do():
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    told = (settings.BASE_DIR / "docs/operations.md").read_text()
    for rule in rules:
        assert rule["annotations"]["summary"] and rule["labels"]["severity"] in {"page", "ticket"}
        assert f"`{rule['alert']}`" in told, rule["alert"]


def test_each_process_of_the_compose_file_is_asked():
    configuration = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    (job,) = configuration["scrape_configs"]
    compose = yaml.safe_load((settings.BASE_DIR / "docker-compose.yml").read_text())["services"]
    telling = {name for name, service in compose.items() if "METRICS_ADDRESS" in service.get("environment", {})}
    assert {target.partition(":")[0] for target in job["static_configs"][0]["targets"]} == telling
