"""Schedules (API reference, 10)."""

from __future__ import annotations

from collections.abc import Iterable

from vprotect_simulator import plans
from vprotect_simulator.calls import Call, Filters, Reply, Route, filtered, listed, name_in
from vprotect_simulator.endpoints.policies import of_owner, replaced
from vprotect_simulator.names import Row, to_wire
from vprotect_simulator.plan_answers import schedule_answer
from vprotect_simulator.reading import found
from vprotect_simulator.state import State


def list_schedules(state: State, call: Call) -> Reply:
    rows = filtered(state, call, of_owner(state, call, "/schedules", state.schedules.values()), FILTERS)
    return listed(state, call, [schedule_answer(state, row) for row in rows])


def _machines_of(state: State, schedule: Row) -> Iterable[str]:
    policies = [state.policies[rule["_policy"]] for rule in plans.rules_with(state, schedule)]
    effective = [policy for policy in policies if schedule in plans.schedules_of(state, policy)]
    return [vm["guid"] for policy in effective for vm in plans.members_of(state, policy)]


FILTERS: Filters = {"type": name_in("type"), "protected-entity": _machines_of}


def get_schedule(state: State, call: Call, guid: str) -> Reply:
    return _answer(state, 200, found(state.schedules, guid))


def create_schedule(state: State, call: Call) -> Reply:
    return _answer(state, 201, plans.save_schedule(state, call.object(), None, call.first("project-uuid")))


def replace_schedule(state: State, call: Call, guid: str) -> Reply:
    old = found(state.schedules, guid)
    return replaced(state, _answer(state, 200, plans.save_schedule(state, call.object(), old)))


def delete_schedule(state: State, call: Call, guid: str) -> Reply:
    plans.delete_schedule(state, found(state.schedules, guid))
    return Reply(204)


def _answer(state: State, status: int, row: Row) -> Reply:
    return Reply(status, to_wire(schedule_answer(state, row)))


ROUTES = (
    Route("GET", "/schedules", list_schedules),
    Route("GET", "/schedules/{guid}", get_schedule),
    Route("POST", "/schedules", create_schedule),
    Route("PUT", "/schedules/{guid}", replace_schedule),
    Route("DELETE", "/schedules/{guid}", delete_schedule),
)
