"""docker-compose.yml runs: from its commands alone to a backup that somebody asked for in a browser behind TLS."""

from __future__ import annotations

import json
import re
import secrets as random_secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from psycopg.rows import dict_row

from demo import answers
from demo.ports import three_free_ports
from tests.end_to_end.conftest import Person, until
from tests.production.compose_stack import ROOT, SERVICES, ComposeStack

pytestmark = [
    pytest.mark.slow,
    pytest.mark.processes,
    pytest.mark.skipif(not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()), reason="nginx is missing"),
]
PASSWORD = "a password of the people"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    simulator = SERVICES["worker"]["volumes"]
    assert "/srv/vprotect-ca" in str(simulator)
    dotenv = {
        "VPROTECT_URL": "https://simulator:8181",
        "VPROTECT_CA_FILE": "/srv/vprotect-ca/ca.pem",
        "PORTAL_HOST": "localhost",
        "OPERATOR_HOST": "operators.localhost",
        "OPERATOR_ALLOW": "127.0.0.1",
    }
    stack = ComposeStack(tmp_path_factory.mktemp("compose"), three_free_ports(), dotenv)
    try:
        stack.start()
        stack.run("migrations", "python", "manage.py", "seed_demo", DEMO_PASSWORD=PASSWORD)
        answers.ring_inventory((stack.secrets / "redis_url").read_text())
        yield stack
    finally:
        stack.stop()


class SecurePerson(Person):
    """With a browser that speaks TLS to the proxy, and sends what an attacker would like to be believed."""

    def __init__(self, stack: ComposeStack, email: str = "member@aurora-books.example") -> None:
        self._address = f"https://localhost:{stack.ports['https']}"
        self._http = requests.Session()
        self._http.trust_env, self._http.verify = False, str(stack.folder / "ca.pem")
        self._http.headers.update({"Referer": "https://localhost/", "X-Forwarded-For": "203.0.113.9"})
        self.post("/accounts/login/", {"login": email, "password": PASSWORD})

    def get(self, path: str) -> requests.Response:
        return self._http.get(self._address + path, timeout=20)

    def send(self, path: str, form: dict[str, str]) -> requests.Response:
        return self._http.post(self._address + path, form, timeout=20)


def rows(stack: ComposeStack, query: str, *parameters: Any) -> list[dict[str, Any]]:
    url = (stack.secrets / "worker_database_url").read_text()
    with psycopg.connect(url, row_factory=dict_row) as pg:
        return pg.execute(query, parameters).fetchall()


def figures(stack: ComposeStack, name: str) -> str:
    with requests.Session() as http:
        http.trust_env = False
        return http.get(f"http://127.0.0.1:{stack.ports[f'{name} metrics']}/metrics", timeout=10).text


@pytest.fixture(scope="module")
def person(stack: ComposeStack) -> SecurePerson:
    return SecurePerson(stack)


def machine_without_work(stack: ComposeStack) -> str:
    free = (
        "SELECT m.guid FROM vprotect_bridge_machine m JOIN tenants_tenant t ON t.id = m.tenant_id"
        " WHERE t.slug = 'aurora-books' AND m.present AND NOT EXISTS (SELECT FROM vprotect_bridge_operation o"
        " WHERE o.machine_id = m.id) ORDER BY m.name LIMIT 1"
    )
    return until(lambda: rows(stack, free))[0]["guid"]


def backed_up(stack: ComposeStack, person: SecurePerson) -> dict[str, Any]:
    """Asks for a backup of a machine that has none under way, and waits for its end."""
    operation = person.back_up(machine_without_work(stack))
    found = "SELECT * FROM vprotect_bridge_operation WHERE id = %s AND outcome <> ''"
    return until(lambda: rows(stack, found, operation), 150)[0]


@pytest.fixture(scope="module")
def operation(stack: ComposeStack, person: SecurePerson) -> dict[str, Any]:
    return backed_up(stack, person)


def test_somebody_signs_in_and_a_backup_finishes(operation: dict[str, Any]):
    assert operation["outcome"] == "succeeded", operation


def test_the_click_is_found_in_every_log(stack: ComposeStack, operation: dict[str, Any]):
    click = operation["correlation_id"]
    for name in ("web", "worker", "proxy"):
        lines = (stack.folder / "logs" / f"{name}.log").read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{") and click in line]
        assert any(line["correlation_id"] == click for line in found), name
    (entry,) = rows(stack, "SELECT * FROM tenants_auditentry WHERE correlation_id = %s", click)
    assert str(entry["address"]) == "127.0.0.1", "who the proxy saw, not who somebody claims to be"


def test_what_our_processes_log_is_json_and_holds_no_secret(stack: ComposeStack, operation: dict[str, Any]):
    secrets = [
        file.read_text().strip() for file in stack.secrets.iterdir() if file.suffix == "" and file.name != ".gitignore"
    ]
    for log in (stack.folder / "logs").glob("*.log"):
        text = log.read_text()
        assert not [secret for secret in secrets if len(secret) > 8 and secret in text], log.name
    lines = (stack.folder / "logs" / "worker.log").read_text().splitlines()
    assert sum(line.startswith("{") for line in lines) > 20


def test_each_process_tells_its_figures_and_beat_the_facts(stack: ComposeStack, operation: dict[str, Any]):
    assert 'django_http_requests_latency_seconds_by_view_method_count{method="GET",view="operation"}' in figures(
        stack, "web"
    )
    assert re.search(
        r'portal_upstream_calls_total\{method="POST",path="/tasks/export",result="201"\} 1', figures(stack, "worker")
    )
    assert figures(stack, "operator") and figures(stack, "downloads") is not None
    facts = figures(stack, "beat")
    assert "portal_database_up 1.0" in facts and "portal_broker_up 1.0" in facts and "portal_vprotect_up 1.0" in facts
    assert 'portal_operations_of_a_day{kind="backup",outcome="succeeded"}' in facts


def test_from_outside_neither_figures_nor_readiness_are_reached(stack: ComposeStack, person: SecurePerson):
    assert person.get("/readyz").status_code == 404 and person.get("/metrics").status_code == 404
    assert person.get("/healthz").status_code == 200
    with pytest.raises(requests.ConnectionError):
        person._http.get(f"{person._address}/", headers={"Host": "else.example"}, timeout=5)


def test_plain_http_leads_to_tls(stack: ComposeStack):
    with requests.Session() as http:
        http.trust_env = False
        answer = http.get(f"http://localhost:{stack.ports['http']}/x", allow_redirects=False, timeout=5)
    assert (answer.status_code, answer.headers["Location"]) == (301, "https://localhost/x")


def test_a_new_key_signs_nobody_out(stack: ComposeStack, person: SecurePerson):
    """As docs/operations.md says it, while somebody looks on."""
    former = (stack.secrets / "secret_key").read_text()
    (stack.secrets / "secret_key_fallbacks").write_text(former)
    (stack.secrets / "secret_key").write_text(random_secrets.token_urlsafe(50))
    for name in ("web", "operator"):
        stack.processes[name]._popen.send_signal(1)  # type: ignore[union-attr]
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        assert person.get("/t/aurora-books/machines/").status_code == 200
    assert "Encrypted anew" in stack.run("operator", "python", "manage.py", "reencrypt")


def test_a_new_password_of_vprotect_needs_no_restart(stack: ComposeStack, person: SecurePerson):
    new = "another password of the service account"
    (stack.secrets / "vprotect_password").write_text(new)
    stack.processes["simulator"].stop()
    stack.start_service("simulator")
    assert backed_up(stack, person)["outcome"] == "succeeded"


def documented(start: str) -> str:
    """The command of docs/operations.md that begins so."""
    lines = (ROOT / "docs/operations.md").read_text().splitlines()
    (command,) = [line for line in lines if line.startswith(start)]
    return command


def test_a_dump_of_yesterday_replays_nothing(stack: ComposeStack, person: SecurePerson):
    """F17, with the commands of docs/operations.md: a wish that waited when it was made, and one made since."""
    stack.processes["worker"].stop()
    waited = machine_without_work(stack)
    wish = person.back_up(waited)
    stack.in_postgres(documented("docker compose exec -T postgres pg_dump"))
    stack.start_service("worker")
    ended = "SELECT 1 FROM vprotect_bridge_operation WHERE id = %s AND outcome = 'succeeded'"
    until(lambda: rows(stack, ended, wish), 150)
    since = backed_up(stack, person)
    exports = len([task for task in stack.control("ledger/tasks") if task["type"] == "EXPORT"])

    stopped = documented("docker compose stop").removeprefix("docker compose stop ").split()
    assert set(stopped) >= {"web", "operator", "worker", "downloads", "notifier", "beat"}, "whoever writes"
    for name in stopped:
        stack.processes[name].stop(60)
    stack.in_postgres(documented("docker compose exec -T postgres pg_restore"))
    assert not rows(stack, "SELECT 1 FROM vprotect_bridge_operation WHERE id = %s", since["id"])
    for name in reversed(stopped):
        stack.start_service(name)
    until(lambda: rows(stack, ended, wish), 150)
    assert rows(stack, "SELECT adopted FROM vprotect_bridge_operation WHERE id = %s", wish)[0]["adopted"]
    now = [task for task in stack.control("ledger/tasks") if task["type"] == "EXPORT"]
    assert len(now) == exports, "nothing was sent again"
    assert person.get("/t/aurora-books/machines/").status_code == 200, "roles, grants and sessions came back too"


def test_all_of_it_ends_when_it_is_told_to_and_not_later(stack: ComposeStack):
    for name in reversed(stack.names):
        if name in stack.processes:
            process = stack.processes[name]
            process.ask_to_stop()
            deadline = time.monotonic() + 60
            while process.code is None and time.monotonic() < deadline:
                time.sleep(0.1)
            assert process.code == 0 or (name == "simulator" and process.code is not None), (name, process.code)
