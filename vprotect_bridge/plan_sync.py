"""Mirrors policies, rules and schedules, and shows each tenant its own as plans (API reference, 10–12).

Three listings tell what changed; only what changed is read in detail. A plan is a tenant's view of a policy: it never
tells of another tenant's machines.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from vprotect_bridge.client import plans as upstream
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import NotFound
from vprotect_bridge.client.types import Listing
from vprotect_bridge.models import Machine, Plan, PlanChange, Policy, Schedule, Standing
from vprotect_bridge.ownership import Claims, read_claims
from vprotect_bridge.plan_facts import Facts, Held, facts_of_policy, facts_of_rule, facts_of_schedule
from vprotect_bridge.protection import update_protection

# `uuid_<project>_` before the name of what belongs to an OpenStack project (API reference, 20, trap 14).
_PROJECT_PREFIX = re.compile(r"^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}_[^_]+_(?=.)", re.IGNORECASE)


@dataclass
class Landscape:
    """All that three listings told: policies by GUID, rules by policy, schedules by rule."""

    policies: dict[str, upstream.Policy]
    rules: dict[str, list[Facts]]
    schedules: dict[str, Facts]
    is_all: bool
    machines: dict[str, dict[str, int | None]] = field(default_factory=dict)

    def held_without_machines(self, policy: upstream.Policy) -> Held:
        rules = tuple(self.rules.get(policy.guid, ()))
        named = {guid for rule in rules for guid in rule["schedule_guids"]}
        schedules = sorted((self.schedules[guid] for guid in named if guid in self.schedules), key=_by_guid)
        return Held(facts_of_policy(policy), rules, tuple(schedules))


def sync_plans(api: VProtect) -> None:
    """Reads everything there is of plans. Raises `UpstreamError`; what was read before is kept."""
    landscape = read_landscape(api)
    _write_schedules(landscape)
    changed = _write_policies(landscape)
    claims = read_claims()
    for guid in changed:
        with_details = look_at_policy(api, guid)
        if with_details is not None:
            show_to_tenants(with_details, claims)
    _update_protection(changed)
    if landscape.is_all:
        _mark_vanished(api, landscape)


def read_landscape(api: VProtect) -> Landscape:
    policies, rules, schedules = api.policies.list(), api.rules.list(), api.schedules.list(type="VM_BACKUP")
    of_rule: dict[str, set[str]] = defaultdict(set)
    for schedule in schedules.items:
        for guid in schedule.rule_guids:
            of_rule[guid].add(schedule.guid)
    of_policy: dict[str, list[Facts]] = defaultdict(list)
    for rule in rules.items:
        if not rule.is_marked_for_deletion:
            facts = facts_of_rule(rule)
            # A list's row may leave out what the schedules tell as well (20, trap 17).
            facts["schedule_guids"] = sorted({*facts["schedule_guids"], *of_rule[rule.guid]})
            of_policy[rule.policy_guid].append(facts)
    for of_one in of_policy.values():
        of_one.sort(key=_by_position)
    return Landscape(
        policies={policy.guid: policy for policy in policies.items},
        rules=of_policy,
        schedules={schedule.guid: facts_of_schedule(schedule) for schedule in schedules.items},
        is_all=bool(policies.items) and all(_is_whole(listing) for listing in (policies, rules, schedules)),
        machines=_machines_by_policy(),
    )


def _is_whole(listing: Listing[Any]) -> bool:
    return listing.complete and not listing.dropped


def _machines_by_policy() -> dict[str, dict[str, int | None]]:
    """The tenant of each machine, by GUID, for each policy."""
    members: dict[str, dict[str, int | None]] = defaultdict(dict)
    rows = Machine.across_tenants.filter(vanished_at=None).exclude(policy_guid="")
    for policy, guid, tenant in rows.values_list("policy_guid", "guid", "tenant_id"):
        members[policy][guid] = tenant
    return members


# ── The mirror, for operators ────────────────────────────────────────────────


def _write_schedules(landscape: Landscape) -> None:
    known = {row.guid: row for row in Schedule.objects.all()}
    for guid, facts in landscape.schedules.items():
        digest = _digest(facts)
        if guid not in known or (known[guid].row_digest, known[guid].vanished_at) != (digest, None):
            wanted = {"name": facts["name"], "tenant_value": facts["tenant_value"], "rule_guids": facts["rule_guids"]}
            wanted |= {"facts": facts, "row_digest": digest, "vanished_at": None}
            Schedule.objects.update_or_create(guid=guid, defaults=wanted)


def _write_policies(landscape: Landscape) -> list[str]:
    """Writes what changed and returns the GUIDs of policies about which anything changed, members and owners too."""
    known = {row.guid: row for row in Policy.objects.all()}
    changed = []
    for guid, policy in landscape.policies.items():
        held = landscape.held_without_machines(policy)
        members = sorted(landscape.machines.get(guid, {}).items())
        digest = _digest([held.to_json(), members])
        if guid in known and (known[guid].row_digest, known[guid].vanished_at) == (digest, None):
            continue
        changed.append(guid)
        wanted = {"name": policy.name, "tenant_value": policy.tenant_id, "rules": list(held.rules)}
        wanted |= {"auto_assign_mode": policy.auto_assign_mode, "standing": held.standing}
        Policy.objects.update_or_create(guid=guid, defaults={**wanted, "row_digest": digest, "vanished_at": None})
    return changed


def _mark_vanished(api: VProtect, landscape: Landscape) -> None:
    """Only whole listings show that something is gone, and a policy is asked for by name before it is believed."""
    now = timezone.now()
    Schedule.objects.filter(vanished_at=None).exclude(guid__in=landscape.schedules).update(vanished_at=now)
    known = set(Policy.objects.filter(vanished_at=None).values_list("guid", flat=True))
    known |= set(Plan.across_tenants.filter(vanished_at=None).values_list("policy_guid", flat=True)) - {""}
    guids = [guid for guid in known - set(landscape.policies) if look_at_policy(api, guid) is None]
    Policy.objects.filter(guid__in=guids).update(vanished_at=now, standing=Standing.IDLE)
    in_work = PlanChange.across_tenants.filter(state__in=PlanChange.OPEN).values("plan")
    plans = Plan.across_tenants.filter(vanished_at=None, policy_guid__in=guids).exclude(pk__in=in_work)
    plans.update(vanished_at=now, standing=Standing.IDLE)
    _update_protection(guids)


def _update_protection(policy_guids: Iterable[str]) -> None:
    machines = Machine.across_tenants.filter(policy_guid__in=policy_guids)
    update_protection(list(machines.values_list("pk", flat=True)))


# ── A policy in detail, and who sees what of it ──────────────────────────────


def look_at_policy(api: VProtect, guid: str) -> Held | None:
    """A policy with its machines, rules and schedules, by their own details; None = it is gone."""
    policy = details(api.policies, guid)
    if policy is None:
        return None
    rules = rules_of(api, guid)
    in_rules = {name for rule in rules for name in rule.schedule_guids}
    schedules = [found for name in sorted(in_rules) if (found := details(api.schedules, name))]
    return Held(
        facts_of_policy(policy),
        tuple(facts_of_rule(rule) for rule in rules),
        tuple(facts_of_schedule(schedule) for schedule in schedules),
    )


def rules_of(api: VProtect, policy_guid: str) -> tuple[upstream.Rule, ...]:
    """In detail: a list's row is not all that a PUT has to send back (API reference, 20, traps 16 and 17)."""
    # The filter proves nothing by itself (20, traps 1 and 29).
    listed = [row.guid for row in api.rules.list(policy=policy_guid).items if row.policy_guid == policy_guid]
    rules = [found for guid in listed if (found := details(api.rules, guid))]
    kept = [rule for rule in rules if not rule.is_marked_for_deletion]
    return tuple(sorted(kept, key=lambda rule: rule.position or 0))


def details(resource: upstream.Resource[upstream.Row], guid: str) -> upstream.Row | None:
    """None = it is gone."""
    try:
        return resource.get(guid)
    except NotFound:
        return None


def show_to_tenants(held: Held, claims: Claims | None = None) -> None:
    """Makes and updates the plan of every tenant that has machines in this policy, or whose it is."""
    assert held.policy is not None  # noqa: S101 — only called with what was found
    claims = claims or read_claims()
    guid = held.policy["guid"]
    owners = dict(Machine.across_tenants.filter(guid__in=held.machine_guids).values_list("guid", "tenant_id"))
    named = claims.values.get(held.policy["tenant_value"])
    tenants = {tenant for tenant in (*owners.values(), named) if tenant is not None}
    tenants |= set(Plan.across_tenants.filter(policy_guid=guid).values_list("tenant_id", flat=True))
    for tenant_id in tenants:
        _show(held, tenant_id, {machine for machine, owner in owners.items() if owner == tenant_id}, named)


@transaction.atomic
def _show(held: Held, tenant_id: int, own: set[str], named: int | None) -> None:
    assert held.policy is not None  # noqa: S101
    is_shared = not set(held.machine_guids) <= own
    facts = {
        "held": held.showing(own).to_json(),
        "held_digest": held.digest,
        "held_at": timezone.now(),
        "is_editable": not is_shared and named in {None, tenant_id} and _is_simple(held),
        "standing": held.standing,
        "has_incremental": held.has_incremental,
        "vanished_at": None,
    }
    # By its generated name, too: one that is being made is seen here before its GUID is recorded.
    is_it = Q(policy_guid=held.policy["guid"]) | Q(policy_guid="", upstream_name=held.policy["name"])
    plan = Plan.across_tenants.filter(is_it, tenant_id=tenant_id).first()
    if plan is None:
        if own or named == tenant_id:
            _note_plan_from_elsewhere(held, tenant_id, is_shared, facts)
        return
    if not plan.is_made_here:
        facts["name"] = _name_for(held, is_shared)
        facts["vanished_at"] = None if own or named == tenant_id else timezone.now()
    if Held.from_json(plan.held).acting_schedules != held.acting_schedules:
        facts["held_since"] = facts["held_at"]
    row = Plan.across_tenants.filter(pk=plan.pk)
    row.update(**facts)
    row.filter(look_wanted_at__lte=facts["held_at"]).update(look_wanted_at=None)


def _note_plan_from_elsewhere(held: Held, tenant_id: int, is_shared: bool, facts: dict[str, Any]) -> None:
    assert held.policy is not None  # noqa: S101
    Plan.across_tenants.create(
        tenant_id=tenant_id,
        is_made_here=False,
        name=_name_for(held, is_shared),
        policy_guid=held.policy["guid"],
        rule_guid=held.rule["guid"] if held.rule else "",
        schedule_guids=[row["guid"] for row in held.own_schedules],
        priority=held.policy["priority"] or 0,
        destination_guid=held.destination_guid,
        held_since=facts["held_at"],
        **facts,
    )


def _is_simple(held: Held) -> bool:
    """What a plan can say: one rule, and nothing that adds machines by itself."""
    return held.policy is not None and held.policy["auto_assign_mode"] in {"", "DISABLED"} and len(held.rules) <= 1


def _name_for(held: Held, is_shared: bool) -> str:
    """Empty for one that others share: its name may tell of them."""
    assert held.policy is not None  # noqa: S101
    return "" if is_shared else _PROJECT_PREFIX.sub("", held.policy["name"])[:120]


def _by_position(rule: Facts) -> int:
    return rule["position"] or 0


def _by_guid(row: Facts) -> str:
    return row["guid"]


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
