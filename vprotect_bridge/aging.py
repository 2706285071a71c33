"""Until when a machine that no longer exists can be restored: when its last restore point is expected to go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q

from vprotect_bridge.models import Backup, Machine, Policy

Facts = dict[str, Any]


def restorable_until(points: Iterable[Backup], rule: Facts | None) -> datetime | None:
    """Aware UTC; None = it cannot be known, since one of the points is kept nobody told how long.

    `rule` as `plan_facts.facts_of_rule`. Of its retention the age decides: a machine that is gone gets no newer
    backups, so that how many are kept removes nothing more (API reference, 12.2).
    """
    ends = [_point_ends(point, rule) for point in points]
    return None if None in ends else max(filter(None, ends), default=None)


def _point_ends(point: Backup, rule: Facts | None) -> datetime | None:
    """When its last copy goes; an archived one says so itself."""
    if point.archive_expires_at:
        return point.archive_expires_at
    present = [copy["guid"] for copy in point.destinations if copy["status"] == "PRESENT"]
    ages = [_age_kept(point, guid, rule) for guid in present]
    if not ages or None in ages:
        return None
    return point.sort_at + timedelta(milliseconds=max(filter(None, ages)))


def _age_kept(point: Backup, destination_guid: str, rule: Facts | None) -> int | None:
    """Milliseconds for which this destination of the rule keeps such a backup."""
    name = "incremental_ms" if point.type == "INCREMENTAL" else "full_ms"
    for destination in (rule or {}).get("destinations", ()):
        if destination["guid"] == destination_guid:
            return (destination.get("retention") or {}).get(name) or None
    return None


def restorable_points(machines: Iterable[Machine]) -> dict[int, list[Backup]]:
    """Of the present owners, by the key of the machine; two statements with `acting_rules`, however many machines."""
    same_owner = Q(tenant=F("machine__tenant")) | Q(tenant__isnull=True, machine__tenant__isnull=True)
    found = Backup.across_tenants.filter(
        same_owner, machine__in=machines, vanished_at=None, status__in=("SUCCESS", "PARTIAL_SUCCESS")
    )
    points: dict[int, list[Backup]] = defaultdict(list)
    for point in found.only("machine_id", "type", "sort_at", "destinations", "archive_expires_at"):
        points[point.machine_id].append(point)
    return points


def acting_rules(machines: Iterable[Machine]) -> dict[str, Facts]:
    """The rule that acts, by the GUID of its policy."""
    policies = Policy.objects.filter(guid__in={machine.policy_guid for machine in machines} - {""})
    return {guid: rules[0] for guid, rules in policies.values_list("guid", "rules") if rules}
