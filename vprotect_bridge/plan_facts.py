"""What vProtect holds of a plan, as plain facts that can be kept, compared and shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from vprotect_bridge.client.plans import DAY_MS, Policy, Retention, Rule, Schedule
from vprotect_bridge.models import Standing

Facts = dict[str, Any]
# What the vendor's pages propose (API reference, 12.2).
USUAL_RETENTION = Retention(4, 30 * DAY_MS, 30, 30 * DAY_MS, keeps_last=True)


def facts_of_schedule(schedule: Schedule) -> Facts:
    """Times are milliseconds from UTC midnight, days are UTC's; empty months and occurrences mean all."""
    return {
        "guid": schedule.guid,
        "name": schedule.name,
        "active": schedule.active,
        "backup_type": schedule.backup_type,
        "execution_type": schedule.execution_type,
        "hour_ms": schedule.hour_ms,
        "start_ms": schedule.start_ms,
        "end_ms": schedule.end_ms,
        "frequency_ms": schedule.frequency_ms,
        "window_ms": schedule.window_ms,
        "days": sorted(schedule.days),
        "months": sorted(schedule.months),
        "occurrences": sorted(schedule.occurrences),
        "rule_guids": sorted(schedule.rule_guids),
        "tenant_value": schedule.tenant_id,
    }


def facts_of_rule(rule: Rule) -> Facts:
    """`position` None = of a classic server. `destinations` as `RuleDestination`, with those that are off."""
    return {
        "guid": rule.guid,
        "name": rule.name,
        "active": rule.active,
        "position": rule.position,
        "schedule_guids": sorted(rule.schedule_guids),
        "destination_guids": list(rule.destination_guids),
        "destinations": [asdict(destination) for destination in rule.destinations],
    }


def primary_retention(rule: Facts) -> Facts | None:
    """How long the first of a rule's destinations keeps backups (`Retention`); None = its rule does not say."""
    return next((destination["retention"] for destination in rule.get("destinations", ())), None)


def retention_of(held: Held) -> Retention | None:
    """How long a plan keeps backups at its own destination; None where its rule does not say."""
    kept = primary_retention(held.rule) if held.rule else None
    return Retention(**kept) if kept else None


def facts_of_policy(policy: Policy) -> Facts:
    """`vm_guids` are all machines in it, also those of other tenants: not for a page."""
    return {
        "guid": policy.guid,
        "name": policy.name,
        "priority": policy.priority,
        "active": policy.active is not False,
        "auto_assign_mode": policy.auto_assign_mode,
        "removes_absent_machines": policy.auto_remove_non_present is True,
        "vm_guids": sorted(policy.vm_guids or ()),
        "tenant_value": policy.tenant_id,
    }


@dataclass(frozen=True)
class Held:
    """A plan in vProtect: its policy, that policy's rules in their order, and the schedules of those rules."""

    policy: Facts | None = None
    rules: tuple[Facts, ...] = ()
    schedules: tuple[Facts, ...] = ()

    @classmethod
    def from_json(cls, kept: Facts) -> Self:
        return cls(kept.get("policy"), tuple(kept.get("rules", ())), tuple(kept.get("schedules", ())))

    @classmethod
    def without_machines(cls, rules: Any, schedules: Any, is_active: Any) -> Self:
        """Of parts of what is kept: enough to tell when it runs, without the names of thousands of machines."""
        return cls({"active": is_active, "vm_guids": []}, tuple(rules or ()), tuple(schedules or ()))

    def to_json(self) -> Facts:
        return asdict(self)

    @property
    def digest(self) -> str:
        """Equal as long as nothing of it changed; empty while nothing is there."""
        if self == Held():
            return ""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    @property
    def rule(self) -> Facts | None:
        """The first, which is the only one of a plan that was made here."""
        return self.rules[0] if self.rules else None

    @property
    def effective_rules(self) -> tuple[Facts, ...]:
        """Those that can do anything: on classic servers the first, on current ones all (API reference, 20, trap 12).

        Without a destination none does (trap 19).
        """
        rules = self.rules if self.rule and self.rule.get("position") is not None else self.rules[:1]
        return tuple(rule for rule in rules if rule["destination_guids"])

    @property
    def acting_rules(self) -> tuple[Facts, ...]:
        """Those that are on. Whether the policy is makes no difference to a backup on demand."""
        return tuple(rule for rule in self.effective_rules if rule["active"])

    @property
    def machine_guids(self) -> list[str]:
        return self.policy["vm_guids"] if self.policy else []

    @property
    def destination_guid(self) -> str:
        return self.effective_rules[0]["destination_guids"][0] if self.effective_rules else ""

    @property
    def own_schedules(self) -> tuple[Facts, ...]:
        """Those of rules that can do anything."""
        return self.schedules_of(*self.effective_rules)

    @property
    def acting_schedules(self) -> tuple[Facts, ...]:
        """Those by which something will happen."""
        is_on = self.policy is not None and self.policy["active"]
        return tuple(row for row in self.schedules_of(*self.acting_rules) if row["active"]) if is_on else ()

    def schedules_of(self, *rules: Facts) -> tuple[Facts, ...]:
        named = {guid for rule in rules for guid in rule["schedule_guids"]}
        return tuple(row for row in self.schedules if row["guid"] in named)

    @property
    def standing(self) -> Standing:
        if self.acting_schedules:
            return Standing.ACTING
        return Standing.PAUSED if self.own_schedules else Standing.IDLE

    @property
    def has_incremental(self) -> bool:
        """INCREMENTAL on demand needs such a schedule in the machine's plan (guide, "Performing backup of a VM")."""
        return any(row["backup_type"] == "INCREMENTAL" for row in self.own_schedules)

    def showing(self, machine_guids: Collection[str]) -> Held:
        """The same with no other machines than these, not even as a number: for a tenant."""
        if self.policy is None:
            return self
        own = [guid for guid in self.policy["vm_guids"] if guid in machine_guids]
        return replace(self, policy={**self.policy, "vm_guids": own})
