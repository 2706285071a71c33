"""Projects (API reference, 13 and 18)."""

from __future__ import annotations

from vprotect_simulator.calls import Call, Reply, Route, listed
from vprotect_simulator.state import State


def list_projects(state: State, call: Call) -> Reply:
    return listed(state, call, state.projects.values())


ROUTES = (Route("GET", "/projects", list_projects),)
