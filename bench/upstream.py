"""`python -m bench.upstream FOLDER PORT MACHINES TASKS`: a simulated vProtect as large as the installation.

MACHINES of the tenants of `bench.data`, and as many again that nobody claims where that is not enough; TASKS that run
until somebody ends them, the first of them those of the operations that are open.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bench import data
from vprotect_simulator.backups import request_backup
from vprotect_simulator.landscape import Kind
from vprotect_simulator.names import enum, guid_of
from vprotect_simulator.seed import Seed
from vprotect_simulator.server import SimulatorServer


def main(folder: Path, port: int, machines: int, tasks: int) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    seed = Seed({}, {}, tuple(islice(_kinds(), machines)), {})
    simulator = SimulatorServer(folder, password=os.environ["SIMULATOR_PASSWORD"], port=port, seed=seed)
    _start_tasks(simulator, tasks)
    simulator.start()
    print("ready", flush=True)
    stop.wait()


def _kinds() -> Iterator[Kind]:
    for tenant, name in data.machine_names(range(1, data.TENANTS + 1)):
        yield Kind(name, tenant_value=data.tenant_value(tenant), days=0)
    number = 0
    while True:
        number += 1
        yield Kind(f"more-{number:06d}", tenant_value=data.tenant_value(number % data.TENANTS + 1), days=0)


def _start_tasks(simulator: SimulatorServer, count: int) -> None:
    """Running, and never ending by themselves."""
    state = simulator.state
    state.settings.max_running = count + 4
    destination = state.destinations[guid_of("destination/primary-fs")]
    wish = {"backup_type": "FULL", "destination": destination, "priority": 50, "window_start": None}
    wish |= {"window_end": None, "retry_count": 0, "schedule": state.schedules[guid_of("schedule/nightly")]}
    guids = [data.task_guid(tenant) for tenant in data.watched_tenants()]
    machines = [data.machine_guid(tenant, 1) for tenant in data.watched_tenants()]
    others = [guid for guid in state.vms if guid not in set(machines)]
    for number in range(count):
        vm = state.vms[machines[number] if number < len(machines) else others[number % len(others)]]
        task = request_backup(state, vm, wish)
        del state.tasks[task["guid"]]
        task["guid"] = guids[number] if number < len(guids) else guid_of(f"task/more/{number}")
        state.tasks[task["guid"]] = task
        task.update(state=enum("RUNNING"), startTime=state.clock.now_ms())


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
