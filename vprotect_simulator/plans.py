"""Schedules, VM backup policies and rules, and how they hang together (API reference, 10–12 and 20).

Each tie is kept at one end only: a machine names its policy, a rule its policy and its schedules. What the other end
shows is looked up, so that the two cannot disagree (duty 12).
"""

from __future__ import annotations

from vprotect_simulator import engine, snapshots
from vprotect_simulator.auto_assignment import assignment_changes
from vprotect_simulator.engine import Refused
from vprotect_simulator.firing import DAY_MS, next_firing
from vprotect_simulator.names import Row, new_guid, reference, referred_guid
from vprotect_simulator.plan_bodies import (
    read_members,
    read_policy,
    read_rule,
    read_schedule,
    read_schedule_rules,
)
from vprotect_simulator.reading import found
from vprotect_simulator.state import State

GOOD = {"SUCCESS", "PARTIAL_SUCCESS"}
SNAPSHOT_TYPES = {"SNAPSHOT", "VM_SNAPSHOT"}


# ── Who belongs to whom ──────────────────────────────────────────────────────


def policy_of(state: State, vm: Row) -> Row | None:
    return state.policies.get((vm.get("vmBackupPolicy") or {}).get("guid", ""))


def members_of(state: State, policy: Row) -> list[Row]:
    return [vm for vm in state.vms.values() if policy_of(state, vm) is policy]


def rules_of(state: State, policy: Row) -> list[Row]:
    rules = [rule for rule in state.rules.values() if rule["_policy"] == policy["guid"]]
    return sorted(rules, key=lambda rule: rule.get("position", 0))


def effective_rules(state: State, policy: Row) -> list[Row]:
    """Those that do anything: in the guide's version the first, in current ones all that are on (20, trap 12)."""
    rules = rules_of(state, policy)
    if state.dialect == "classic":
        return rules[:1]
    return [rule for rule in rules if rule["active"] and not rule.get("markedForDeletion")]


def rules_with(state: State, schedule: Row) -> list[Row]:
    return [rule for rule in state.rules.values() if schedule["guid"] in rule["_schedules"]]


def schedules_of(state: State, policy: Row) -> list[Row]:
    """Those that its effective rules name, active or not."""
    return [state.schedules[guid] for rule in effective_rules(state, policy) for guid in rule["_schedules"]]


def has_schedule(state: State, vm: Row, backup_type: str = "") -> bool:
    policy = policy_of(state, vm)
    schedules = schedules_of(state, policy) if policy else []
    return any(backup_type in {"", schedule["backupType"]["name"]} for schedule in schedules)


def backups_of(state: State, rule: Row) -> list[Row]:
    """What retention would still have to look after."""
    made = [backup for backup in state.backups.values() if backup.get("_rule") == rule["guid"]]
    return [backup for backup in made if backup["status"]["name"] in GOOD]


# ── Schedules ────────────────────────────────────────────────────────────────


def save_schedule(state: State, body: Row, old: Row | None = None, project_uuid: str = "") -> Row:
    """Its `rules` are all the rules that it is in afterwards; none sent, none kept (20, trap 16)."""
    row = {**identity(old), **read_schedule(body)}
    pool = state.rules if row["type"]["name"] not in SNAPSHOT_TYPES else state.snapshot_rules
    rules = read_schedule_rules(body, pool)
    check_name(state, state.schedules, row, "Schedule")
    if len({rule["_policy"] for rule in rules}) < len(rules):
        raise Refused(400, "A schedule can be in only one rule of a policy")
    if rules and row["type"]["name"] not in {"VM_BACKUP", *SNAPSHOT_TYPES}:
        raise Refused(400, "The type of the schedule does not match the policy")
    if old:
        row["lastRun"] = old.get("lastRun")
    _keep_owner(state, row, old, project_uuid)
    state.schedules[row["guid"]] = row
    _put_into_rules(state, row, rules)
    plan_next_firing(state, row, state.clock.now_ms())
    note_plans(state)
    return row


def _put_into_rules(state: State, schedule: Row, wanted: list[Row]) -> None:
    guid = schedule["guid"]
    for rule in (*state.rules.values(), *state.snapshot_rules.values()):
        if rule in wanted and guid not in rule["_schedules"]:
            rule["_schedules"].append(guid)
        elif rule not in wanted and guid in rule["_schedules"]:
            rule["_schedules"].remove(guid)


def delete_schedule(state: State, schedule: Row) -> None:
    """What happens to one that is in use is not known (22, unknown 14): a setting decides."""
    is_in_use = bool(rules_with(state, schedule) or snapshots.rules_with(state, schedule))
    if is_in_use and state.settings.schedule_in_use == "refuse":
        raise Refused(409, "Schedule is in use")
    _put_into_rules(state, schedule, [])
    _forget_firing(state, schedule)
    del state.schedules[schedule["guid"]]
    note_plans(state)


def plan_next_firing(state: State, schedule: Row, after: int) -> None:
    """What was missed before `after` is not made up for (10.5)."""
    _forget_firing(state, schedule)
    moment = None if schedule.get("_sleeps") else next_firing(schedule, after)
    if moment is not None:
        engine.promise(state, moment, "fire", schedule=schedule["guid"])


def _forget_firing(state: State, schedule: Row) -> None:
    state.promises[:] = [made for made in state.promises if made.get("schedule") != schedule["guid"]]


# ── Policies ─────────────────────────────────────────────────────────────────


def save_policy(state: State, body: Row, old: Row | None = None, project_uuid: str = "") -> Row:
    """Current servers take the rules with the policy, classic ones ignore them there (20, traps 16 and 18)."""
    row = {**identity(old), **read_policy(body, state)}
    members = read_members(body, state)
    check_name(state, state.policies, row, "VM backup policy")
    rules = _read_rules_of_policy(state, body, row) if state.dialect == "current" else None
    _keep_owner(state, row, old, project_uuid)
    state.policies[row["guid"]] = row
    if rules is not None:
        _replace_rules(state, row, rules)
    assign(state, row, members)
    if body.get("executeAutoAssignmentAfterSavingPolicy") is True:
        auto_assign(state, row)
    return row


def auto_assign(state: State, policy: Row) -> None:
    """What the preview told, done."""
    for change in assignment_changes(state, policy, members_of(state, policy)):
        vm = state.vms[change["protectedEntity"]["guid"]]
        vm["vmBackupPolicy"] = reference(policy) if change["changeType"]["name"] == "ASSIGN" else None
    note_plans(state)


def _read_rules_of_policy(state: State, body: Row, policy: Row) -> list[Row]:
    given = body.get("rules")
    if not isinstance(given, list) or not given or not all(isinstance(item, dict) for item in given):
        raise Refused(400, "rules must not be empty")
    own = {rule["guid"]: rule for rule in rules_of(state, policy)}
    rules = []
    for item in given:
        old = found(own, item) if referred_guid(item) else None
        rules.append({**identity(old), **read_rule(item, state, state.dialect, policy["guid"])})
    _check_one_rule_each(rules)
    return rules


def _replace_rules(state: State, policy: Row, rules: list[Row]) -> None:
    kept = {rule["guid"] for rule in rules}
    for rule in rules_of(state, policy):
        if rule["guid"] not in kept:
            remove_rule(state, rule)
    state.rules.update({rule["guid"]: rule for rule in rules})


def assign(state: State, policy: Row, members: list[Row]) -> None:
    """These are the members from now on. A machine that was in another policy moves, silently (11.5)."""
    for vm in members_of(state, policy):
        vm["vmBackupPolicy"] = None
    for vm in members:
        vm["vmBackupPolicy"] = reference(policy)
    drop_absent(state)
    note_plans(state)


def drop_absent(state: State) -> None:
    """What an inventory sync does for policies with `autoRemoveNonPresent` (11.5)."""
    for vm in state.vms.values():
        policy = policy_of(state, vm)
        if policy and policy["autoRemoveNonPresent"] and not vm["present"]:
            vm["vmBackupPolicy"] = None


def delete_policy(state: State, policy: Row) -> None:
    """Its rules go with it, its machines are in none; schedules stay (duty 13)."""
    for rule in rules_of(state, policy):
        del state.rules[rule["guid"]]
    assign(state, policy, [])
    del state.policies[policy["guid"]]


# ── Rules ────────────────────────────────────────────────────────────────────


def save_rule(state: State, body: Row, old: Row | None = None) -> Row:
    policy = found(state.policies, body.get("policy"))
    row = {**identity(old), **read_rule(body, state, state.dialect, policy["guid"])}
    _check_one_rule_each([row, *(rule for rule in rules_of(state, policy) if rule["guid"] != row["guid"])])
    state.rules[row["guid"]] = row
    note_plans(state)
    return row


def _check_one_rule_each(rules: list[Row]) -> None:
    """Inside one policy a schedule may be in only one rule (10.5)."""
    guids = [guid for rule in rules for guid in rule["_schedules"]]
    if len(set(guids)) < len(guids):
        raise Refused(400, "A schedule can be in only one rule of a policy")


def delete_rule(state: State, rule: Row) -> None:
    remove_rule(state, rule)
    note_plans(state)


def remove_rule(state: State, rule: Row) -> None:
    """On current servers one with backups stays, marked, for as long as they do (12.1)."""
    if state.dialect == "current" and backups_of(state, rule):
        rule.update(markedForDeletion=True, _schedules=[])
    else:
        del state.rules[rule["guid"]]


# ── What all have in common ──────────────────────────────────────────────────


def identity(old: Row | None) -> Row:
    return {"guid": old["guid"] if old else new_guid()}


def check_name(state: State, rows: dict[str, Row], row: Row, kind: str) -> None:
    """Names are unique over all tenants (20, trap 15); with which status is not known (22, unknown 5)."""
    if any(other["name"] == row["name"] and other["guid"] != row["guid"] for other in rows.values()):
        raise Refused(int(state.settings.name_clash_status), f"{kind} with given name already exists")


def _keep_owner(state: State, row: Row, old: Row | None, project_uuid: str) -> None:
    """Whether a PUT without `tenantId` clears it is not known (22, unknown 6): a setting decides."""
    if old and row["tenantId"] is None and state.settings.tenant_not_sent == "keep":
        row["tenantId"] = old["tenantId"]
    row["_project_uuid"] = project_uuid or (old or {}).get("_project_uuid", "")
    if project_uuid and not old and state.settings.prefixes_names:
        row["name"] = f"uuid_{project_uuid}_{row['name']}"


def note_plans(state: State) -> None:
    """`backupUpToDate` has three states: a machine without a schedule has none of it (20, trap 25)."""
    scheduled = {guid for guid, policy in state.policies.items() if schedules_of(state, policy)}
    yesterday = state.clock.now_ms() - DAY_MS
    for vm in state.vms.values():
        if not vm["present"] or referred_guid(vm.get("vmBackupPolicy")) not in scheduled:
            vm.pop("backupUpToDate", None)
        elif "backupUpToDate" not in vm:
            vm["backupUpToDate"] = vm["restorable"] and vm.get("lastBackup", 0) > yesterday
