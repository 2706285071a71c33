"""VM backup policies (API reference, 11)."""

from __future__ import annotations

from collections.abc import Iterable

import vprotect_simulator.plan_runs  # noqa: F401  # tells the engine what a schedule's moment means
from vprotect_simulator import plans, reading
from vprotect_simulator.auto_assignment import assignment_changes
from vprotect_simulator.calls import Call, Filters, Reply, Route, filtered, listed, of_tenant
from vprotect_simulator.names import Row, referred_guid, to_wire
from vprotect_simulator.plan_answers import policy_answer, policy_row
from vprotect_simulator.plan_bodies import read_members, read_policy
from vprotect_simulator.reading import found
from vprotect_simulator.state import State

FILTERS: Filters = {
    "virtual-machine": lambda state, policy: [vm["guid"] for vm in plans.members_of(state, policy)],
    "project": lambda state, policy: _projects(state, policy),
}


def _projects(state: State, policy: Row) -> list[str]:
    """Those that see it, and the one that it was made for."""
    owners = {policy.get("projectUuid"), policy.get("_project_uuid")}
    own = [project["guid"] for project in state.projects.values() if project["uuid"] in owners]
    return [*map(referred_guid, policy.get("projects", [])), *own]


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


def list_by_entities(state: State, call: Call) -> Reply:
    """The policies of these machines with their rules: what is asked before a backup (API reference, 11.1)."""
    guids = {found(state.vms, item)["guid"] for item in reading.items(call.object(), "protectedEntities")}
    rows = [row for row in state.policies.values() if guids & {vm["guid"] for vm in plans.members_of(state, row)}]
    return Reply(200, to_wire([policy_row(state, row, is_extended=True) for row in rows]))


def preview_assignment(state: State, call: Call) -> Reply:
    policy, members = read_policy(call.object(), state), read_members(call.object(), state)
    return Reply(200, to_wire(assignment_changes(state, policy, members)))


def preview_assignment_of(state: State, call: Call, guid: str) -> Reply:
    """Of a policy that is there already, as the body would change it."""
    members = plans.members_of(state, found(state.policies, guid))
    return Reply(200, to_wire(assignment_changes(state, read_policy(call.object(), state), members)))


def _answer(state: State, status: int, row: Row) -> Reply:
    return Reply(status, to_wire(policy_answer(state, row)))


ROUTES = (
    Route("GET", "/policies/vm-backup", list_policies),
    Route("GET", "/policies/vm-backup/{guid}", get_policy),
    Route("POST", "/policies/vm-backup", create_policy),
    Route("PUT", "/policies/vm-backup/{guid}", replace_policy),
    Route("DELETE", "/policies/vm-backup/{guid}", delete_policy),
    Route("POST", "/policies/vm-backup/list-by-entities", list_by_entities),
    Route("POST", "/policies/vm-backup/auto-assignment-preview", preview_assignment),
    Route("POST", "/policies/vm-backup/{guid}/auto-assignment-preview", preview_assignment_of),
)
