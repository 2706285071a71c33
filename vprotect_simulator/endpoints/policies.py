"""VM backup policies (API reference, 11)."""

from __future__ import annotations

from collections.abc import Iterable

import vprotect_simulator.plan_runs  # noqa: F401  # tells the engine what a schedule's moment means
from vprotect_simulator import plans
from vprotect_simulator.calls import Call, Filters, Reply, Route, filtered, found, listed, of_tenant
from vprotect_simulator.names import Row, to_wire
from vprotect_simulator.plan_answers import policy_answer, policy_row
from vprotect_simulator.state import State

FILTERS: Filters = {"virtual-machine": lambda state, policy: [vm["guid"] for vm in plans.members_of(state, policy)]}


def list_policies(state: State, call: Call) -> Reply:
    rows = filtered(state, call, of_owner(state, call, "/policies/vm-backup", state.policies.values()), FILTERS)
    is_extended = call.first("extended") == "true"
    return listed(state, call, [policy_row(state, row, is_extended=is_extended) for row in rows])


def of_owner(state: State, call: Call, path: str, rows: Iterable[Row]) -> list[Row]:
    """Whose a schedule or policy is: what was sent with it, or the project that it was made for."""
    owners = ("tenantId", "projectUuid", "_project_uuid")
    return of_tenant(state, call, path, rows, lambda _state, row: [row.get(owner) for owner in owners])


def get_policy(state: State, call: Call, guid: str) -> Reply:
    return _answer(state, 200, found(state.policies, guid))


def create_policy(state: State, call: Call) -> Reply:
    """On current servers the query names the owner of what is made (API reference, 11.1)."""
    return _answer(state, 201, plans.save_policy(state, call.object(), None, call.first("project-uuid")))


def replace_policy(state: State, call: Call, guid: str) -> Reply:
    old = found(state.policies, guid)
    return replaced(state, _answer(state, 200, plans.save_policy(state, call.object(), old)))


def replaced(state: State, reply: Reply) -> Reply:
    """Whether a PUT answers details or nothing is not known (22, unknown 17): a setting decides."""
    return reply if state.settings.put_answer == "details" else Reply(204)


def delete_policy(state: State, call: Call, guid: str) -> Reply:
    plans.delete_policy(state, found(state.policies, guid))
    return Reply(204)


def _answer(state: State, status: int, row: Row) -> Reply:
    return Reply(status, to_wire(policy_answer(state, row)))


ROUTES = (
    Route("GET", "/policies/vm-backup", list_policies),
    Route("GET", "/policies/vm-backup/{guid}", get_policy),
    Route("POST", "/policies/vm-backup", create_policy),
    Route("PUT", "/policies/vm-backup/{guid}", replace_policy),
    Route("DELETE", "/policies/vm-backup/{guid}", delete_policy),
)
