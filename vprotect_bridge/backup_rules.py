"""Where a backup on demand goes (API reference, 2): classic servers are told a destination, current ones a rule.

There the rule of the machine's plan says where backups go, so a machine without a plan cannot be backed up.
"""

from __future__ import annotations

from collections.abc import Collection

from django.conf import settings

from vprotect_bridge.client.dialects import DIALECTS
from vprotect_bridge.models import Machine, Plan
from vprotect_bridge.plan_facts import Facts, Held


def goes_by_rules() -> bool:
    return DIALECTS[settings.VPROTECT_DIALECT].goes_by_rules


def rules_by_policy(machines: Collection[Machine]) -> dict[str, tuple[Facts, ...]]:
    """The rules by which machines of one tenant can be backed up, in their order; by GUID of the machines' policy."""
    tenants = {machine.tenant_id for machine in machines} - {None}
    guids = {machine.policy_guid for machine in machines} - {""}
    plans = Plan.across_tenants.filter(tenant__in=tenants, policy_guid__in=guids, vanished_at=None)
    return {guid: Held.from_json(held).acting_rules for guid, held in plans.values_list("policy_guid", "held")}


def rules_of(machine: Machine) -> tuple[Facts, ...]:
    """As vProtect held them last."""
    return rules_by_policy([machine]).get(machine.policy_guid, ())


def rule_for(machine: Machine, rule_guid: str = "", destination_guid: str = "") -> Facts | None:
    """The one that was chosen, else the first that goes to this destination, else the first of all.

    None = what was chosen is not there any more, or there is no rule.
    """
    rules = rules_of(machine)
    if rule_guid:
        return next((rule for rule in rules if rule["guid"] == rule_guid), None)
    same = (rule for rule in rules if not destination_guid or rule["destination_guids"][0] == destination_guid)
    return next(same, None)


def place_of(rule: Facts) -> dict[str, str]:
    """What an operation keeps of where it goes."""
    return {"destination_guid": rule["destination_guids"][0], "rule_guid": rule["guid"]}
