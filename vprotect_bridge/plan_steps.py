"""The steps that lead from what vProtect holds of a plan to what it shall hold, each chosen by looking anew.

The first thing that differs is put right. What acts comes last: new schedules are made switched off, a new policy
without machines. What is not wanted any more goes after everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.utils.translation import gettext_noop as _

from vprotect_bridge.client import plans as upstream
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.models import Plan
from vprotect_bridge.plan_bodies import policy_body, rule_body, schedule_body
from vprotect_bridge.plan_facts import (
    Facts,
    Held,
    facts_of_policy,
    facts_of_rule,
    facts_of_schedule,
    primary_retention,
)
from vprotect_bridge.plan_sync import details, rules_of
from vprotect_bridge.plan_wishes import without_identity

# ── What vProtect holds, and what it shall hold ──────────────────────────────


@dataclass(frozen=True)
class Sight:
    """What of the plan is upstream now. `foreign_names`: our generated names that somebody else has."""

    policy: upstream.Policy | None
    rules: tuple[upstream.Rule, ...]
    schedules: dict[str, upstream.Schedule]
    foreign_names: frozenset[str] = frozenset()

    @property
    def held(self) -> Held:
        """As `look_at_policy` sees it: a schedule in none of its rules is not of the policy."""
        in_rules = {guid for rule in self.rules for guid in rule.schedule_guids}
        return Held(
            facts_of_policy(self.policy) if self.policy else None,
            tuple(map(facts_of_rule, self.rules)),
            tuple(facts_of_schedule(self.schedules[guid]) for guid in sorted(in_rules & set(self.schedules))),
        )

    def is_like(self, other: Sight) -> bool:
        """Nothing was made or changed between the two looks."""
        same_names = set(self.schedules) == set(other.schedules) and self.foreign_names == other.foreign_names
        return same_names and self.held == other.held


@dataclass(frozen=True)
class Target:
    """What it shall hold: facts as in `Held`; a schedule without a GUID is to be made. None as policy = nothing."""

    policy: Facts | None
    rule: Facts | None
    schedules: tuple[Facts, ...] = ()


NOTHING = Target(None, None)


class Refused(Exception):
    """The change cannot be made; the text is for the person, in English for translation."""


@dataclass(frozen=True)
class Step:
    """One call that changes something. `what` is for the journal."""

    what: str
    call: Callable[[], object]


def see(api: VProtect, plan: Plan, tenant_value: str) -> Sight:
    """By the GUIDs that were recorded, else by the generated names. Raises `UpstreamError`."""
    policy, foreign = _policy(api, plan, tenant_value)
    rules = rules_of(api, policy.guid) if policy else ()
    in_rules = {guid for rule in rules for guid in rule.schedule_guids}
    known = in_rules | set(plan.schedule_guids)
    ours = {}
    for schedule in api.schedules.list(type="VM_BACKUP").items:
        is_named = _is_generated(schedule.name, plan)
        if schedule.guid in known or (is_named and schedule.tenant_id in {"", tenant_value}):
            if found := details(api.schedules, schedule.guid):
                ours[found.guid] = found
        elif is_named:
            foreign.add(schedule.name)
    return Sight(policy, rules, ours, frozenset(foreign))


def _policy(api: VProtect, plan: Plan, tenant_value: str) -> tuple[upstream.Policy | None, set[str]]:
    """The policy, or the name if somebody else has it."""
    if plan.policy_guid or not plan.upstream_name:
        return (details(api.policies, plan.policy_guid) if plan.policy_guid else None), set()
    named = [row for row in api.policies.list().items if row.name == plan.upstream_name]
    ours = [row for row in named if row.tenant_id in {"", tenant_value}]
    return (api.policies.get(ours[0].guid) if ours else None), {row.name for row in named if row not in ours}


def _is_generated(name: str, plan: Plan) -> bool:
    return bool(plan.upstream_name) and name.startswith(f"{plan.upstream_name}-")


# ── One step after the other ─────────────────────────────────────────────────


def next_step(api: VProtect, plan: Plan, sight: Sight, target: Target) -> Step | None:
    """The first thing that differs from what is wanted; None = nothing does."""
    if target.policy is None:
        return _next_removal(api, sight)
    return (
        _missing_schedule(api, sight, target)
        or _policy_step(api, sight, target, is_first=True)
        or _rule_step(api, sight, target)
        or _changed_schedule(api, sight, target, with_switch=False)
        or _policy_step(api, sight, target, is_first=False)
        or _changed_schedule(api, sight, target, with_switch=True)
        or _surplus_schedule(api, sight, target)
    )


def _find(sight: Sight, wanted: Facts) -> upstream.Schedule | None:
    by_name = (row for row in sight.schedules.values() if row.name == wanted["name"])
    return sight.schedules.get(wanted["guid"]) or next(by_name, None)


def _missing_schedule(api: VProtect, sight: Sight, target: Target) -> Step | None:
    """Made switched off: nothing acts before all is there."""
    for wanted in target.schedules:
        if _find(sight, wanted) is None:
            body = schedule_body({**wanted, "active": False})
            return Step("schedule made", partial(api.schedules.create, body))
    return None


def _policy_step(api: VProtect, sight: Sight, target: Target, *, is_first: bool) -> Step | None:
    """A new one is made without machines; they come when its rule is there."""
    assert target.policy is not None  # noqa: S101
    if sight.policy is None:
        empty = policy_body({**target.policy, "vm_guids": []})
        body = api.dialect.new_policy(empty, rule_body(_wanted_rule(sight, target), "", api.dialect))
        return Step("policy made", partial(api.policies.create, body))
    facts = facts_of_policy(sight.policy)
    wanted = {name: target.policy[name] for name in ("priority", "removes_absent_machines", "vm_guids", "tenant_value")}
    if is_first or {name: facts[name] for name in wanted} == wanted:
        return None
    raw = api.dialect.kept_policy(sight.policy.raw, [rule.raw for rule in sight.rules])
    guid, body = sight.policy.guid, policy_body({**facts, **wanted}, raw)
    return Step("policy changed", partial(api.policies.replace, guid, body))


def _wanted_rule(sight: Sight, target: Target) -> Facts:
    assert target.rule is not None  # noqa: S101
    guids = [found.guid for wanted in target.schedules if (found := _find(sight, wanted))]
    return {**target.rule, "schedule_guids": sorted(guids)}


def _rule_step(api: VProtect, sight: Sight, target: Target) -> Step | None:
    assert sight.policy is not None  # noqa: S101 — the policy was made before
    wanted, policy_guid = _wanted_rule(sight, target), sight.policy.guid
    if not sight.rules:
        body = rule_body(wanted, policy_guid, api.dialect)
        return Step("rule made", partial(api.rules.create, body))
    first, *others = sight.rules
    if others:
        if not _is_double(others[0], wanted):
            raise Refused(_("This plan has several rules, so only your provider can change it."))
        # An answer that got lost and a request that came late made it twice.
        return Step("second rule removed", partial(api.rules.delete, others[0].guid))
    if _is_as_wanted(facts_of_rule(first), wanted):
        return None
    body = rule_body({**wanted, "name": first.name}, policy_guid, api.dialect, first.raw)
    return Step("rule changed", partial(api.rules.replace, first.guid, body))


def _is_double(rule: upstream.Rule, wanted: Facts) -> bool:
    """Whether it is one that we made: whatever else somebody added is never taken away."""
    is_alike = rule.name == wanted["name"] and list(rule.destination_guids) == wanted["destination_guids"]
    return is_alike and set(rule.schedule_guids) <= set(wanted["schedule_guids"])


def _is_as_wanted(facts: Facts, wanted: Facts) -> bool:
    """Of its destinations the primary one is a plan's; others that a provider added stay."""
    if facts["schedule_guids"] != wanted["schedule_guids"]:
        return False
    if facts["destination_guids"][:1] != wanted["destination_guids"][:1]:
        return False
    return not wanted.get("retention") or not facts["destinations"] or primary_retention(facts) == wanted["retention"]


def _changed_schedule(api: VProtect, sight: Sight, target: Target, *, with_switch: bool) -> Step | None:
    """First all times, then the switch of those that are new or resumed."""
    for wanted in target.schedules:
        found = _find(sight, wanted)
        assert found is not None  # noqa: S101 — missing ones were made before
        facts = facts_of_schedule(found)
        compared = set(without_identity(wanted)) - (set() if with_switch else {"active"})
        if all(facts[name] == wanted[name] for name in compared):
            continue
        kept = {} if with_switch else {"active": facts["active"]}
        body = schedule_body({**wanted, **kept, "name": found.name}, found.raw)
        what = "schedule switched" if with_switch else "schedule changed"
        return Step(what, partial(api.schedules.replace, found.guid, body))
    return None


def _surplus_schedule(api: VProtect, sight: Sight, target: Target) -> Step | None:
    """Ours that is wanted no more, unless another rule uses it."""
    wanted = {found.guid for facts in target.schedules if (found := _find(sight, facts))}
    for guid, schedule in sight.schedules.items():
        if guid not in wanted and not schedule.rule_guids:
            return Step("schedule removed", partial(api.schedules.delete, guid))
    return None


def _next_removal(api: VProtect, sight: Sight) -> Step | None:
    """The policy goes with its rules; then its schedules, never one that another rule uses (guide, "Deleting")."""
    if sight.policy is not None:
        guid = sight.policy.guid
        return Step("policy removed", partial(api.policies.delete, guid))
    for guid, schedule in sight.schedules.items():
        if not schedule.rule_guids:
            return Step("schedule removed", partial(api.schedules.delete, guid))
    return None
