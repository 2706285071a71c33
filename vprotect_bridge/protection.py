"""How well a machine is protected, concluded from what vProtect says of it and of its backups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from vprotect_bridge import aging, targets
from vprotect_bridge.client.types import FINAL_BACKUP_STATUSES
from vprotect_bridge.models import Alert, Backup, Machine, Policy, Protection, Standing

RESTORABLE = ("SUCCESS", "PARTIAL_SUCCESS")
SUCCEEDED = (*RESTORABLE, "SUCCESS_REMOVED")
BATCH = 500
# A look at the clock ends within seconds, also when a target was set for ten thousand machines.
MOST_CONCLUDED = 2000
# So many backups may have ended since a row was read.
MOST_NEWER = 20


@dataclass(frozen=True)
class History:
    """The newest finished backup's status (empty = none), whether any can be restored, the last success; whether that
    is too old (`targets`), or a run since then did not happen (`missed_runs`); whether the first is still to come."""

    last_status: str = ""
    is_restorable: bool = False
    last_success_at: datetime | None = None
    is_overdue: bool = False
    is_new: bool = False


class Told(Protocol):
    """What of a machine's row says how well it is protected."""

    policy_guid: str
    backup_up_to_date: bool | None
    last_size: int | None
    backups_at: datetime | None

    @property
    def exists(self) -> bool: ...


def conclude(machine: Told, history: History, standing: str = "") -> Protection:
    """The first that holds, worst first. Protected is only what vProtect itself calls up to date and is not overdue.

    `standing` is that of the machine's policy, empty while it is not known: a policy without a rule protects nothing.

    A machine whose backups were never listed counts as restorable if its row names the size of a successful one
    (API reference, 5.1).
    """
    if not machine.exists:
        never_listed = machine.backups_at is None and bool(machine.last_size)
        return Protection.DELETED if history.is_restorable or never_listed else Protection.GONE
    if history.last_status == "FAILED":
        return Protection.FAILED
    if not machine.policy_guid or standing == Standing.IDLE:
        return Protection.UNPROTECTED
    if standing == Standing.PAUSED:
        return Protection.PAUSED
    if history.is_overdue:
        return Protection.OVERDUE
    if history.is_new and not machine.backup_up_to_date:
        return Protection.NEW
    by_schedule = {True: Protection.PROTECTED, False: Protection.OVERDUE, None: Protection.UNKNOWN}
    return by_schedule[machine.backup_up_to_date]


@dataclass(frozen=True)
class LastBackups:
    """When a backup was last tried, and the bytes of the last good one and of the last good full one."""

    attempt_at: datetime | None
    size: int | None
    full_size: int | None


def last_backups(machine: Machine) -> LastBackups:
    """By the machine's row, or by its history where that is newer: it is read when a backup ends, rows now and then."""
    newer = Backup.across_tenants.filter(machine=machine, tenant=machine.tenant_id, vanished_at=None)
    if machine.last_backup_at:
        newer = newer.filter(sort_at__gt=machine.last_backup_at)
    ended = newer.filter(status__in=FINAL_BACKUP_STATUSES).order_by("-sort_at")
    rows = list(ended.values_list("sort_at", "status", "type", "size")[:MOST_NEWER])
    good = [(type_, size) for _at, status, type_, size in rows if status in SUCCEEDED]
    return LastBackups(
        attempt_at=rows[0][0] if rows else machine.last_backup_at,
        size=good[0][1] if good else machine.last_size,
        full_size=next((size for type_, size in good if type_ == "FULL"), machine.last_full_size),
    )


CONCLUDED = ("protection", "last_success_at", "late_at", "newest_point_at", "restorable_until")


def update_protection(machine_ids: Iterable[int]) -> int:
    """Concludes again for these machines, writes what changed and returns how many rows that was."""
    ids, written = list(machine_ids), 0
    for start in range(0, len(ids), BATCH):
        machines = list(_with_history(ids[start : start + BATCH]))
        before = [_concluded(machine) for machine in machines]
        for machine in machines:
            _conclude(machine)
        _conclude_ends([machine for machine in machines if machine.protection == Protection.DELETED])
        changed = [machine for machine, was in zip(machines, before, strict=True) if _concluded(machine) != was]
        Machine.across_tenants.bulk_update(changed, CONCLUDED)
        written += len(changed)
    return written


def _concluded(machine: Machine) -> tuple[object, ...]:
    return tuple(getattr(machine, name) for name in CONCLUDED)


def _conclude(machine: Machine) -> None:
    machine.late_at = machine.should_be_late_at  # type: ignore[attr-defined]
    is_overdue = machine.is_late or machine.has_missed_a_run  # type: ignore[attr-defined]
    machine.last_success_at = machine.success_at  # type: ignore[attr-defined]
    history = History(
        machine.last_status or "",  # type: ignore[attr-defined]
        machine.is_restorable,  # type: ignore[attr-defined]
        machine.last_success_at,
        is_overdue,
        targets.is_new(machine),
    )
    machine.protection = conclude(machine, history, machine.standing or "")  # type: ignore[attr-defined]
    machine.newest_point_at = machine.restorable_until = None


def _conclude_ends(deleted: list[Machine]) -> None:
    """Two statements, only where machines were deleted."""
    if not deleted:
        return
    points, rules = aging.restorable_points(deleted), aging.acting_rules(deleted)
    for machine in deleted:
        own = points[machine.pk]
        machine.newest_point_at = max((point.sort_at for point in own), default=None)
        machine.restorable_until = aging.restorable_until(own, rules.get(machine.policy_guid))


def _with_history(ids: list[int]) -> QuerySet[Machine]:
    # Only the present owner's backups count: history does not follow the machine. Compared so that PostgreSQL looks
    # at the machine's own few, and does not gather all that this tenant has.
    is_foreign = Q(targets.is_not("tenant", OuterRef("tenant")))
    backups = Backup.across_tenants.filter(~is_foreign, machine=OuterRef("pk")).order_by("-sort_at")
    present = backups.filter(vanished_at__isnull=True)
    success_at = Subquery(backups.filter(status__in=SUCCEEDED).values("sort_at")[:1])
    return (
        Machine.across_tenants.filter(pk__in=ids)
        .defer("details", "tags")
        .annotate(
            standing=Subquery(Policy.objects.filter(guid=OuterRef("policy_guid")).values("standing")[:1]),
            last_status=Subquery(present.filter(status__in=FINAL_BACKUP_STATUSES).values("status")[:1]),
            is_restorable=Exists(present.filter(status__in=RESTORABLE)),
            success_at=success_at,
        )
        .annotate(
            should_be_late_at=targets.late_at(F("success_at")),
            has_missed_a_run=_open_alerts("success_at"),
        )
    )


def update_lateness() -> None:
    """Follows targets that were set or changed, and machines that are new; one statement."""
    should_be = targets.late_at(F("last_success_at"))
    Machine.across_tenants.filter(targets.is_not("late_at", should_be)).update(late_at=should_be)


def conclude_again() -> None:
    """For machines that fare otherwise since time passed or an alert came; one statement while there are none."""
    late, missed, new = Q(late_at__lte=timezone.now()), _open_alerts("last_success_at"), targets.new_ones()
    # Whom an alert may be about is found from the few alerts, and not asked of every machine.
    told = Q(pk__in=_told().values("machine")) | Q(policy_guid__in=_told().values("plan__policy_guid"))
    fares_worse = Q(protection__in=[Protection.PROTECTED, Protection.UNKNOWN, Protection.NEW]) & (late | told & missed)
    is_new_no_more = Q(protection=Protection.NEW) & ~new
    fares_better = Q(protection=Protection.OVERDUE) & ~Q(backup_up_to_date=False) & ~late & ~missed
    is_new_again = Q(protection__in=[Protection.OVERDUE, Protection.UNKNOWN]) & new & ~missed
    others = fares_worse | is_new_no_more | fares_better | is_new_again
    changed = Machine.across_tenants.filter(others).order_by("pk")
    update_protection(changed.values_list("pk", flat=True)[:MOST_CONCLUDED])


def _told() -> QuerySet[Alert]:
    return Alert.across_tenants.filter(kind__in=Alert.OF_RUNS, closed_at=None)


def _open_alerts(success_at: str) -> Q:
    """Of machines: a run of its plan did not happen for it, and it has no good backup since (the field says when)."""
    never = datetime.fromtimestamp(0, UTC)
    alerts = _told().filter(tenant=OuterRef("tenant"), began_at__gt=Coalesce(OuterRef(success_at), never))
    of_plan = alerts.filter(machine=None, plan__policy_guid=OuterRef("policy_guid"))
    return Q(Exists(alerts.filter(machine=OuterRef("pk")))) | Q(Exists(of_plan))
