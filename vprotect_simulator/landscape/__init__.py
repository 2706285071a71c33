"""What there is in the simulated vProtect before anybody asks: machines, projects, destinations, history.

`demo` looks real; `small` is for tests; `empty` has no machines.
"""

from __future__ import annotations

from collections.abc import Callable

from vprotect_simulator.landscape import customers, infrastructure, standing_plans
from vprotect_simulator.landscape.history import start_backup
from vprotect_simulator.landscape.infrastructure import PROJECT_UUIDS
from vprotect_simulator.landscape.machines import Kind, add_machine
from vprotect_simulator.landscape.standing_plans import wake_schedules
from vprotect_simulator.state import State

__all__ = ["PROJECT_UUIDS", "Kind", "add_machine", "build", "lay_out_shared", "start_backup", "wake_schedules"]

LANDSCAPES: dict[str, Callable[[State], None]] = {
    "demo": customers.lay_out_demo,
    "small": customers.lay_out_small,
    "empty": lambda _state: None,
}


def build(name: str, state: State) -> None:
    """Fills an empty state. Raises `ValueError` for an unknown landscape."""
    if name not in LANDSCAPES:
        raise ValueError(f"there is no landscape {name!r}; there are {', '.join(LANDSCAPES)}")
    lay_out_shared(state)
    LANDSCAPES[name](state)


def lay_out_shared(state: State) -> None:
    infrastructure.lay_out(state)
    standing_plans.lay_out(state)
