"""The version before serves on while this one migrates, and on the migrated database until it is replaced.

UPGRADE_FROM names the version before; else it is the newest tag, else what there was before the last migration.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import fields

import pytest

from demo import answers
from demo.processes import Process, ProcessFailed
from demo.programs import ROOT
from tests.end_to_end.conftest import Person, QuickPrograms, Stack, until
from vprotect_simulator.names import guid_of

pytestmark = [pytest.mark.slow, pytest.mark.processes]


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def version_before() -> str:
    last = git("log", "-1", "--diff-filter=A", "--format=%H", "--", "*/migrations/0*.py")
    return os.environ.get("UPGRADE_FROM") or git("describe", "--tags", "--abbrev=0") or f"{last}~1"


class Version(QuickPrograms):
    """The programs of one checkout."""

    checkout = ROOT

    def _process(self, name: str, command: list[str], environment: dict[str, str]) -> Process:
        process = super()._process(name, command, environment)
        process.cwd = self.checkout
        return process

    def _gunicorn(self, name: str, port: int, role: str, workers: int) -> Process:
        """As any version understands it."""
        command = ["-m", "gunicorn", "portal.wsgi", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4"]
        return self._process(name, command, self._environment(name, role))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The version before, as it runs."""
    folder = tmp_path_factory.mktemp("upgrade")
    before = folder / "before"
    archive = subprocess.run(["git", "archive", version_before()], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(before, filter="data")
    stack = Stack(folder, "classic")
    usual = stack.programs

    class Before(Version):
        checkout = before

    stack.programs = Before(**{field.name: getattr(usual, field.name) for field in fields(usual)})
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def machine(name: str) -> str:
    return guid_of(f"vm/{name}")


def test_the_version_before_serves_through_the_migration_and_is_replaced(stack: Stack):
    person = Person(stack)
    assert stack.ended(person.back_up(machine("shop-web-01")))["outcome"] == "succeeded"
    before = applied(stack)

    migrated, seen = threading.Event(), []

    def look_on() -> None:
        while not migrated.is_set():
            seen.append(person.get("/t/aurora-books/machines/").status_code)

    looks = threading.Thread(target=look_on)
    looks.start()
    now = Version(**{field.name: getattr(stack.programs, field.name) for field in fields(stack.programs)})
    try:
        migrate_while_it_serves(stack, now)
    finally:
        migrated.set()
    looks.join()
    assert set(seen) == {200} and len(seen) > 1
    assert applied(stack) > before, "there was something to migrate"

    assert stack.ended(person.back_up(machine("shop-web-02")))["outcome"] == "succeeded", "by the version before"
    for page in ("", "machines/", "plans/", "operations/", f"machines/{machine('shop-web-01')}/"):
        assert person.get(f"/t/aurora-books/{page}").status_code == 200

    waiting = person.back_up(machine("shop-web-03"))
    for name in ("web", "worker", "beat"):
        old = stack.processes[name]
        old.stop(60)
        stack._supervisor.processes.remove(old)
        stack._start(name, getattr(now, name)())
    until(lambda: answers.http_ok(now.portal_url))
    assert person.get("/t/aurora-books/machines/").status_code == 200, "still signed in"
    assert stack.ended(waiting)["outcome"] == "succeeded"
    assert len(stack.tasks_made(machine("shop-web-03"))) == 1
    assert stack.ended(person.back_up(machine("warehouse_api")))["outcome"] == "succeeded"


def migrate_while_it_serves(stack: Stack, now: Version) -> None:
    """As docker-compose.yml has it: started again up to five times when a page was in its way."""
    for _ in range(5):
        try:
            stack._supervisor.run(now.migrations())
        except ProcessFailed as failed:
            stack._supervisor.processes = [one for one in stack._supervisor.processes if one.name != "migrations"]
            assert "deadlock detected" in str(failed) or "lock timeout" in str(failed), failed
        else:
            return
    raise AssertionError("five times something was in the way")


def applied(stack: Stack) -> set[str]:
    return {f"{row['app']}.{row['name']}" for row in stack.rows("SELECT app, name FROM django_migrations")}
