"""What tests and people at the demo may do to the simulated vProtect, outside /api.

The same methods serve Python (`SimulatorServer.control`) and HTTP (`/control/…`, docs/simulator.md). Each takes
effect at once and whole; bad input raises `ValueError` and changes nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from vprotect_simulator import engine, landscape, mounts, plans
from vprotect_simulator.faults import Fault, FaultPlan
from vprotect_simulator.firing import firing_times
from vprotect_simulator.landscape import Kind
from vprotect_simulator.names import Row, to_wire
from vprotect_simulator.seed import Seed, lay_out
from vprotect_simulator.state import Settings, State

MOST_CALLS = 50_000


class Control:
    def __init__(self, state: State, lock: threading.RLock, first: str | Seed = "demo") -> None:
        self.state = state
        self._first = first
        self.faults = FaultPlan()
        self.calls: deque[Row] = deque(maxlen=MOST_CALLS)
        self._lock = lock

    def reset(self, landscape_name: str = "", **settings: Any) -> None:
        """Forgets everything and lays a landscape out, by default the first one again; the clock is real again."""
        fresh = State(dialect=self.state.dialect, login=self.state.login)
        fresh.settings.speed = self.state.settings.speed
        fresh.settings.change(settings)
        lay_out(landscape_name or self._first, fresh)
        with self._lock:
            vars(self.state).update(vars(fresh))
            self.faults.clear()
            self.calls.clear()

    def add_machines(self, count: int, prefix: str = "machine", **kind: Any) -> list[str]:
        """More machines of a kind (`landscape.Kind`), by default without history; returns their GUIDs."""
        kind = {"days": 0, **kind}
        try:
            kinds = [Kind(f"{prefix}-{number:05d}", **kind) for number in range(1, count + 1)]
        except TypeError as error:
            raise ValueError(str(error)) from error
        with self._lock:
            return [landscape.add_machine(self.state, one)["guid"] for one in kinds]

    def change_machine(self, guid: str, changes: Row) -> None:
        """Sets members of a machine; None removes one. `_behaviour` makes its work fail or hang.

        `_behaviour`: {"EXPORT": "fail" | "hang" | "hang_in_queue", "STORE": …, "reason": text}.
        """
        with self._lock:
            if guid not in self.state.vms:
                raise ValueError("there is no such machine")
            engine.catch_up(self.state)
            self.state.vms[guid].update(changes)
            plans.drop_absent(self.state)

    def remove_machine(self, guid: str) -> None:
        with self._lock:
            self.state.vms.pop(guid, None)

    def remove_task(self, guid: str) -> None:
        """As if an administrator had cleared it from the console, whatever its state."""
        with self._lock:
            engine.catch_up(self.state)
            self.state.tasks.pop(guid, None)

    def remove_backup(self, guid: str) -> None:
        with self._lock:
            self.state.backups.pop(guid, None)

    def close_mount(self, guid: str) -> None:
        """Unmounts a backup at once and without a task, under the feet of who looks into it."""
        with self._lock:
            engine.catch_up(self.state)
            mounts.close(self.state, guid)

    def fault(self, kind: str, **wish: Any) -> None:
        """Orders a fault (`faults.Fault`)."""
        fault = Fault.read({"kind": kind, **wish})
        with self._lock:
            self.faults.add(fault)

    def clear_faults(self) -> None:
        with self._lock:
            self.faults.clear()

    def expire_sessions(self) -> None:
        with self._lock:
            self.state.sessions.clear()

    def advance(self, seconds: float) -> None:
        """Moves the clock; what is due by then has happened when the next call looks."""
        with self._lock:
            engine.catch_up(self.state)
            self.state.clock.offset_ms += int(seconds * 1000)

    def run_until(self, until: int) -> None:
        """Moves the clock to this moment (epoch ms) and lets happen what is due by then."""
        with self._lock:
            engine.catch_up(self.state)
            ahead = until - self.state.clock.now_ms()
            if ahead < 0:
                raise ValueError("the clock does not go back")
            self.state.clock.offset_ms += ahead
            engine.catch_up(self.state)

    def firings(self, schedule: str, start: int, end: int) -> list[int]:
        """When a schedule fires from `start` until just before `end` (epoch ms), by what is kept of it now."""
        with self._lock:
            if schedule not in self.state.schedules:
                raise ValueError("there is no such schedule")
            return list(firing_times(self.state.schedules[schedule], start, end))

    def change_settings(self, **changes: Any) -> Settings:
        with self._lock:
            engine.catch_up(self.state)
            self.state.settings.change(changes)
            self.state.slot_free_at = self.state.clock.now_ms()
            return self.state.settings

    def note_call(self, call: Row) -> None:
        with self._lock:
            self.calls.append(call)

    def ledger(self, method: str = "", path: str = "") -> list[Row]:
        """Every call since the last reset, oldest first; only those of this method and path prefix, if given."""
        with self._lock:
            return [c for c in self.calls if method in {"", c["method"]} and c["path"].startswith(path)]

    def made_tasks(self) -> list[Row]:
        """Every task ever made, also those that are gone.

        Each has guid, type, vm, backup, at, windowStart, windowEnd, and the GUID of its origin: schedule or account.
        """
        with self._lock:
            engine.catch_up(self.state)
            return list(self.state.made_tasks)

    def letters(self) -> list[Row]:
        """The reports that were asked for by e-mail: at, to, subject, html."""
        with self._lock:
            return list(self.state.letters)

    def tasks(self) -> list[Row]:
        with self._lock:
            engine.catch_up(self.state)
            return to_wire(list(self.state.tasks.values()))
