"""`make soak`: half the workers are killed at random under load, and what came of every wish is counted.

SOAK_MINUTES says how long (ten by default). Nobody cleans up after a killed worker but the product. Ends with one line
of figures, and with 1 if a wish was lost or doubled.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

from demo.processes import Process
from tests.end_to_end.conftest import Person, QuickPrograms, Stack, until
from vprotect_simulator.landscape import PROJECT_UUIDS

WORKERS = 4
DRAIN_SECONDS = 300
PEOPLE = {"aurora-books": "member@aurora-books.example", "borealis-clinic": "member@borealis-clinic.example"}
FREE = """
    SELECT m.guid FROM vprotect_bridge_machine m JOIN tenants_tenant t ON t.id = m.tenant_id
    WHERE t.slug = %s AND m.present AND m.name LIKE 'soak-%%' AND NOT EXISTS (
        SELECT FROM vprotect_bridge_operation o WHERE o.machine_id = m.id AND o.outcome = '')
    ORDER BY random() LIMIT 1
"""
WISHES = "SELECT * FROM vprotect_bridge_operation WHERE origin = 'portal' AND kind = 'backup'"


class SoakPrograms(QuickPrograms):
    def worker_number(self, number: int) -> Process:
        first = super().worker()
        command = [f"worker{number}@%h" if word == "worker@%h" else word for word in first.command]
        command[command.index("--concurrency") + 1] = "1"
        return Process(
            f"worker{number}", command, first.log.with_stem(f"worker{number}"), first.environment, cwd=first.cwd
        )


class SoakStack(Stack):
    programs: SoakPrograms

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "classic")
        usual = self.programs
        self.programs = SoakPrograms(**{field.name: getattr(usual, field.name) for field in fields(usual)})

    def start(self) -> None:
        super().start()
        self.control("PATCH", "settings", {"max_running": 100})
        aurora = {"project": "aurora-books", "tenant_value": PROJECT_UUIDS["aurora-books"]}
        for landscape in (aurora, {"project": "borealis-clinic"}):
            self.control(
                "POST", "machines", {"count": 60, "prefix": f"soak-{landscape['project']}", "disk_gib": 2, **landscape}
            )
        self.kill("worker")
        self._supervisor.processes.remove(self.processes.pop("worker"))
        for number in range(WORKERS):
            self._start(f"worker{number}", self.programs.worker_number(number))
        until(
            lambda: self.rows("SELECT 1 FROM vprotect_bridge_machine WHERE name LIKE 'soak-%%' HAVING count(*) = 120"),
            180,
        )


class Load(threading.Thread):
    """One person who backs up one free machine after the other."""

    def __init__(self, stack: SoakStack, tenant: str, ends: threading.Event) -> None:
        super().__init__(daemon=True)
        self.stack, self.tenant, self.ends = stack, tenant, ends
        self.clicks = self.failures = 0

    def run(self) -> None:
        person = Person(self.stack, PEOPLE[self.tenant])
        while not self.ends.is_set():
            free = self.stack.rows(FREE, self.tenant)
            if not free:
                self.ends.wait(0.3)
                continue
            try:
                path = f"/t/{self.tenant}/machines/{free[0]['guid']}/backup/"
                until(lambda: 'name="destination"' in person.get(path).text, 20)  # noqa: B023 — used at once
                person.post(path, {"backup_type": "FULL"})
                self.clicks += 1
            except (AssertionError, OSError) as error:
                self.failures += 1
                print(f"a click did not succeed: {error!r:.200}", file=sys.stderr)  # noqa: T201
            self.ends.wait(0.2)


def kill_half(stack: SoakStack) -> int:
    """Two of four, whatever they are doing; they come back a moment later."""
    chosen = random.sample(range(WORKERS), WORKERS // 2)
    for number in chosen:
        stack.kill(f"worker{number}")
    time.sleep(random.uniform(0, 2))  # noqa: S311
    for number in chosen:
        stack.start_again(f"worker{number}")
    return len(chosen)


def count(stack: SoakStack) -> dict[str, Any]:
    """Every wish of the database against every task that vProtect ever made."""
    tasks = [task for task in stack.control("GET", "ledger/tasks") if task["type"] == "EXPORT"]
    of_marker = Counter((task["vm"], task["windowStart"], task["windowEnd"]) for task in tasks)
    wishes = stack.rows(WISHES)
    markers = {row["id"]: (row["subject_guid"], row["marker_ws_ms"], row["marker_we_ms"]) for row in wishes}
    visibly_not = ("refused", "missed", "cancelled")
    done = [row for row in wishes if row["outcome"] in ("succeeded", "partial", "failed")]
    lost = [row for row in wishes if not of_marker[markers[row["id"]]] and row["outcome"] not in visibly_not]
    took = [(row["finished_at"] - row["created_at"]).total_seconds() for row in done if row["finished_at"]]
    return {
        "wishes": len(wishes),
        "done": len(done),
        "open": sum(row["outcome"] == "" for row in wishes),
        "not started and said so": sum(row["outcome"] in visibly_not for row in wishes),
        "lost": len(lost),
        "doubled": sum(number > 1 for number in of_marker.values()),
        "adopted": sum(row["adopted"] for row in wishes),
        "longest": f"{max(took, default=0):.0f} s",
    }


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    minutes = float(os.environ.get("SOAK_MINUTES", "10"))
    folder = Path(tempfile.mkdtemp(prefix="portal-soak-"))
    stack = SoakStack(folder)
    kills = 0
    try:
        stack.start()
        ends = threading.Event()
        loads = [Load(stack, tenant, ends) for tenant in PEOPLE]
        for load in loads:
            load.start()
        until_then = time.monotonic() + minutes * 60
        while time.monotonic() < until_then:
            time.sleep(random.uniform(3, 10))  # noqa: S311
            kills += kill_half(stack)
        ends.set()
        for load in loads:
            load.join(60)
        drained = time.monotonic() + DRAIN_SECONDS
        while stack.rows(f"{WISHES} AND outcome = ''") and time.monotonic() < drained:
            time.sleep(1)
        figures = count(stack)
        clicks, failures = sum(load.clicks for load in loads), sum(load.failures for load in loads)
    finally:
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)
    told = ", ".join(
        f"{number} {name}" if name != "longest" else f"longest {number}" for name, number in figures.items()
    )
    print(f"soak: {told}; {minutes:g} min, {clicks} clicks, {failures} of them failed, {kills} workers killed")  # noqa: T201
    return 1 if figures["lost"] or figures["doubled"] or figures["open"] or not figures["done"] else 0


if __name__ == "__main__":
    sys.exit(main())
