"""VM backup rules (API reference, 12)."""

from __future__ import annotations

from vprotect_simulator import plans
from vprotect_simulator.calls import Call, Filters, Reply, Route, filtered, listed
from vprotect_simulator.endpoints.policies import replaced
from vprotect_simulator.names import Row, to_wire
from vprotect_simulator.plan_answers import rule_answer
from vprotect_simulator.reading import found
from vprotect_simulator.state import State

# The vendor's old plugin says `rule` and gets all (20, trap 29).
FILTERS: Filters = {"policy": lambda _state, rule: [rule["_policy"]]}


def list_rules(state: State, call: Call) -> Reply:
    rows = filtered(state, call, state.rules.values(), FILTERS)
    return listed(state, call, [rule_answer(state, row) for row in rows])


def get_rule(state: State, call: Call, guid: str) -> Reply:
    """Destinations that are switched off are only shown on demand (API reference, 12.1)."""
    shown = rule_answer(state, found(state.rules, guid))
    if "ruleBackupDestinations" in shown and call.first("only-active-destinations") != "false":
        shown["ruleBackupDestinations"] = [item for item in shown["ruleBackupDestinations"] if item["active"]]
    return Reply(200, to_wire(shown))


def create_rule(state: State, call: Call) -> Reply:
    return _answer(state, 201, plans.save_rule(state, call.object()))


def replace_rule(state: State, call: Call, guid: str) -> Reply:
    old = found(state.rules, guid)
    return replaced(state, _answer(state, 200, plans.save_rule(state, call.object(), old)))


def delete_rule(state: State, call: Call, guid: str) -> Reply:
    plans.delete_rule(state, found(state.rules, guid))
    return Reply(204)


def _answer(state: State, status: int, row: Row) -> Reply:
    return Reply(status, to_wire(rule_answer(state, row)))


ROUTES = (
    Route("GET", "/rules/vm-backup", list_rules),
    Route("GET", "/rules/vm-backup/{guid}", get_rule),
    Route("POST", "/rules/vm-backup", create_rule),
    Route("PUT", "/rules/vm-backup/{guid}", replace_rule),
    Route("DELETE", "/rules/vm-backup/{guid}", delete_rule),
)
