"""Workflow executions (API reference, 6.10)."""

from __future__ import annotations

from vprotect_simulator.calls import Call, Reply, Route, listed
from vprotect_simulator.endpoints.tasks import clear_finished
from vprotect_simulator.state import State
from vprotect_simulator.workflows import executions

# What `orderBy` calls them.
ORDER_NAMES = {"type": "definitionName", "step": "currentStep", "instance": "protectedEntity"}


def list_executions(state: State, call: Call) -> Reply:
    return listed(state, call, executions(state), order_names=ORDER_NAMES)


def delete_execution(state: State, call: Call, guid: str) -> Reply:
    """Its finished tasks go."""
    return clear_finished(state, lambda task: bool(task["workflowExecution"]["guid"] == guid))


ROUTES = (
    Route("GET", "/workflow-executions", list_executions),
    Route("DELETE", "/workflow-executions/{guid}", delete_execution),
)
