"""Snapshots, snapshot policies and their rules (API reference, 16). Classic servers up to 4.1 say `snapshot`."""

from __future__ import annotations

from vprotect_simulator import plans, reading, snapshots
from vprotect_simulator.calls import Call, Filters, Reply, Route, filtered, guid_in, listed, only
from vprotect_simulator.endpoints.policies import replaced
from vprotect_simulator.machines import vm_rows
from vprotect_simulator.names import Row, reference, to_wire, without
from vprotect_simulator.plan_bodies import read_auto_assign_settings, read_members
from vprotect_simulator.reading import found
from vprotect_simulator.state import State

FILTERS: Filters = {
    "protected-entity": guid_in("protectedEntity"),
    "stand-alone": only(lambda _state, snapshot: snapshot["standAlone"]),
}


def list_snapshots(state: State, call: Call) -> Reply:
    rows = filtered(state, call, state.snapshots.values(), FILTERS)
    return listed(state, call, [_snapshot(state, row) for row in rows])


def _snapshot(state: State, row: Row) -> Row:
    rule = state.snapshot_rules.get(row.get("_rule", ""))
    return {**row, "rule": rule and {**reference(rule), "policy": reference(state.snapshot_policies[rule["_policy"]])}}


# ── Policies ─────────────────────────────────────────────────────────────────


def list_policies(state: State, call: Call) -> Reply:
    return listed(state, call, [_policy_row(state, row) for row in state.snapshot_policies.values()])


def _policy_row(state: State, policy: Row) -> Row:
    rules = snapshots.rules_of(state, policy)
    return {
        **without(policy, "autoAssignSettings"),
        "autoAssignMode": policy["autoAssignSettings"]["mode"],
        "ruleCount": len(rules),
        "vmCount": len(snapshots.members_of(state, policy)),
        "rules": [_rule(state, rule) for rule in rules],
    }


def get_policy(state: State, call: Call, guid: str) -> Reply:
    return _policy(state, 200, found(state.snapshot_policies, guid))


def create_policy(state: State, call: Call) -> Reply:
    return _policy(state, 201, _save_policy(state, call.object(), None))


def replace_policy(state: State, call: Call, guid: str) -> Reply:
    old = found(state.snapshot_policies, guid)
    return replaced(state, _policy(state, 200, _save_policy(state, call.object(), old)))


def delete_policy(state: State, call: Call, guid: str) -> Reply:
    snapshots.delete_policy(state, found(state.snapshot_policies, guid))
    return Reply(204)


def _save_policy(state: State, body: Row, old: Row | None) -> Row:
    """Rules that come with it are saved too; what is not sent is lost, as everywhere (20, trap 16)."""
    row = {
        **plans.identity(old),
        "name": reading.name(body),
        "priority": reading.number(body, "priority", least=0, most=100, default=50),
        "active": reading.flag({"active": True, **body}, "active"),
        "autoRemoveNonPresent": reading.flag(body, "autoRemoveNonPresent"),
        "autoAssignSettings": read_auto_assign_settings(reading.member(body, "autoAssignSettings")),
    }
    members = read_members(body, state)
    plans.check_name(state, state.snapshot_policies, row, "Snapshot policy")
    sent = [_read_rule(state, item, row["guid"]) for item in reading.items(body, "rules")]
    state.snapshot_policies[row["guid"]] = row
    snapshots.assign(state, row, members)
    if body.get("rules") is not None:
        for rule in snapshots.rules_of(state, row):
            del state.snapshot_rules[rule["guid"]]
        state.snapshot_rules |= {rule["guid"]: rule for rule in sent}
    return row


def _policy(state: State, status: int, policy: Row) -> Reply:
    members = vm_rows(state, snapshots.members_of(state, policy))
    rules = [_rule(state, rule) for rule in snapshots.rules_of(state, policy)]
    return Reply(status, to_wire({**policy, "vms": members, "rules": rules}))


# ── Rules ────────────────────────────────────────────────────────────────────

RULE_FILTERS: Filters = {"policy": lambda _state, rule: [rule["_policy"]]}


def list_rules(state: State, call: Call) -> Reply:
    rows = filtered(state, call, state.snapshot_rules.values(), RULE_FILTERS)
    return listed(state, call, [_rule(state, row) for row in rows])


def get_rule(state: State, call: Call, guid: str) -> Reply:
    return Reply(200, to_wire(_rule(state, found(state.snapshot_rules, guid))))


def create_rule(state: State, call: Call) -> Reply:
    return _saved_rule(state, 201, call.object(), None)


def replace_rule(state: State, call: Call, guid: str) -> Reply:
    return replaced(state, _saved_rule(state, 200, call.object(), found(state.snapshot_rules, guid)))


def delete_rule(state: State, call: Call, guid: str) -> Reply:
    del state.snapshot_rules[found(state.snapshot_rules, guid)["guid"]]
    return Reply(204)


def _saved_rule(state: State, status: int, body: Row, old: Row | None) -> Reply:
    policy = found(state.snapshot_policies, body.get("policy"))
    rule = {**_read_rule(state, body, policy["guid"]), **plans.identity(old)}
    state.snapshot_rules[rule["guid"]] = rule
    return Reply(status, to_wire(_rule(state, rule)))


def _read_rule(state: State, body: Row, policy_guid: str) -> Row:
    """One that comes with its policy and was there before keeps its GUID."""
    own = state.snapshot_rules.get(body.get("guid") or "")
    numbers = ("retentionVersions", "retentionDays")
    return {
        **plans.identity(own if own and own["_policy"] == policy_guid else None),
        "name": reading.name(body),
        "active": reading.flag({"active": True, **body}, "active"),
        **{name: reading.number(body, name, least=0) for name in numbers if body.get(name) is not None},
        "_policy": policy_guid,
        "_schedules": [found(state.schedules, item)["guid"] for item in reading.items(body, "schedules")],
    }


def _rule(state: State, rule: Row) -> Row:
    schedules = [reference(state.schedules[guid]) for guid in rule["_schedules"]]
    return {**rule, "policy": reference(state.snapshot_policies[rule["_policy"]]), "schedules": schedules}


def _routes(kind: str, dialect: str) -> tuple[Route, ...]:
    return (
        Route("GET", f"/policies/{kind}", list_policies, dialect),
        Route("GET", f"/policies/{kind}/{{guid}}", get_policy, dialect),
        Route("POST", f"/policies/{kind}", create_policy, dialect),
        Route("PUT", f"/policies/{kind}/{{guid}}", replace_policy, dialect),
        Route("DELETE", f"/policies/{kind}/{{guid}}", delete_policy, dialect),
        Route("GET", f"/rules/{kind}", list_rules, dialect),
        Route("GET", f"/rules/{kind}/{{guid}}", get_rule, dialect),
        Route("POST", f"/rules/{kind}", create_rule, dialect),
        Route("PUT", f"/rules/{kind}/{{guid}}", replace_rule, dialect),
        Route("DELETE", f"/rules/{kind}/{{guid}}", delete_rule, dialect),
    )


ROUTES = (
    Route("GET", "/snapshots", list_snapshots),
    *_routes("vm-snapshot", ""),
    *_routes("snapshot", "classic"),
)
