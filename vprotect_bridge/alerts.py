"""Notices that nothing happened where something should have, and that it is over: a worker's look at the mirror.

Each kind costs a statement or two for all machines together, and rows are written only for what changed. While what is
known of vProtect is old nothing is opened or closed: a silence of our own is nobody's fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone
from django_scopes import scope

from tenants.models import Grant
from vprotect_bridge import failures
from vprotect_bridge.client.types import FINAL_BACKUP_STATUSES
from vprotect_bridge.missed_runs import Missed, Run, look_for_missed_runs
from vprotect_bridge.models import Alert, Backup, Machine, Protection, UpstreamStatus
from vprotect_bridge.protection import conclude_again, update_lateness
from vprotect_bridge.targets import target_hours
from vprotect_bridge.unprotected import Reason, is_stale, why, with_causes

Kind = Alert.Kind
Turn = Alert.Turn

BATCH = 500
# A look ends within seconds, whatever happened; the next one goes on.
MOST_OPENED = 5000
# While nothing is open, tasks are looked at once a minute.
FOLLOWED = timedelta(minutes=5)
# Plans that take machines in by themselves have this long for it.
SETTLED_AFTER = timedelta(minutes=15)
EXISTS = Q(present=True, vanished_at=None)


def watch() -> None:
    """One look. The beat begins it once a minute."""
    status = UpstreamStatus.objects.filter(pk=1).first()
    if status is None or is_stale(status):
        return
    update_lateness()
    if _is_followed(status):
        _note_missed_runs(look_for_missed_runs(status))
    _close(_open(Kind.LATE).exclude(_still(Machine.across_tenants.filter(late_at__lte=timezone.now()))))
    _open_all(_late())
    _tell_whose_turn()
    _close(_open(Kind.WITHOUT_PLAN).exclude(_still(Machine.across_tenants.filter(EXISTS, policy_guid=""))))
    _open_all(_without_plan())
    conclude_again()


def _is_followed(status: UpstreamStatus) -> bool:
    """Tasks were looked at lately: what was not seen was not there."""
    followed_at = status.followed_at
    return status.unreachable_since is None and followed_at is not None and followed_at > timezone.now() - FOLLOWED


def _open(kind: Kind) -> QuerySet[Alert]:
    return Alert.across_tenants.filter(kind=kind, closed_at=None)


def _still(machines: QuerySet[Machine]) -> Exists:
    """That the alert's machine is one of these, and its tenant's."""
    return Exists(machines.filter(pk=OuterRef("machine"), tenant=OuterRef("tenant")))


def _close(alerts: QuerySet[Alert]) -> None:
    alerts.update(closed_at=timezone.now())


def _open_all(alerts: Iterable[Alert]) -> None:
    Alert.across_tenants.bulk_create(alerts, batch_size=BATCH, ignore_conflicts=True)


# ── Runs that did not happen ─────────────────────────────────────────────────

# Shorter, it is the customer's own choice that little fits into it.
SHORT_WINDOW = timedelta(hours=1)


def _note_missed_runs(missed: Missed) -> None:
    open_ones = Alert.across_tenants.filter(kind__in=Alert.OF_RUNS, closed_at=None).select_related("machine")
    told = {(alert.plan_id, alert.machine_id, alert.kind): alert for alert in open_ones}
    over = [alert.pk for about, alert in told.items() if about not in missed.found and _is_over(alert, missed)]
    if over:
        _close(Alert.across_tenants.filter(pk__in=over))
    _open_all(
        _of_run(missed.runs[about[0]], *about[1:], details)
        for about, details in missed.found.items()
        if about not in told
    )


def _is_over(alert: Alert, missed: Missed) -> bool:
    """Its plan ran since, or is expected to no longer. A plan that was changed meanwhile has to run once more first."""
    machine, plan = alert.machine, alert.plan_id
    if plan not in missed.acting or (machine and (not machine.exists or machine.tenant_id != alert.tenant_id)):
        return True
    if machine and machine.last_success_at and machine.last_success_at > alert.began_at:
        return True
    return plan in missed.runs and (plan, alert.machine_id) not in missed.doubtful


def _of_run(run: Run, machine: int | None, kind: str, details: dict[str, Any]) -> Alert:
    is_short = run.is_editable and run.window is not None and run.window < SHORT_WINDOW
    return Alert(
        tenant_id=run.tenant,
        plan_id=run.plan,
        machine_id=machine,
        kind=kind,
        turn=Turn.CUSTOMER if kind == Kind.MISSED and is_short else Turn.PROVIDER,
        began_at=run.here,
        details=details,
    )


# ── Machines that are late ───────────────────────────────────────────────────

_OF_THE_CUSTOMER = {Reason.NO_PLAN, Reason.NO_SCHEDULE, Reason.NO_DESTINATION, Reason.PLAN_PAUSED}
_OF_THE_PROVIDER = {Reason.DESTINATION_UNUSABLE, Reason.NEVER_FIRED, Reason.SKIPPED, Reason.STUCK}


def _late() -> Iterator[Alert]:
    """A statement for each tenant that has news: what stands in the way is read in its scope, as its pages do."""
    told = _open(Kind.LATE).filter(machine=OuterRef("pk"), tenant=OuterRef("tenant"))
    new = Machine.across_tenants.filter(EXISTS, tenant__is_active=True, late_at__lte=timezone.now())
    rows = new.exclude(Exists(told)).order_by("tenant", "late_at").values_list("tenant", "pk")[:MOST_OPENED]
    for tenant, of_tenant in groupby(rows, itemgetter(0)):
        with scope(tenant=tenant):
            machines: Any = with_causes(Machine.objects.filter(pk__in=[pk for _tenant, pk in of_tenant]))
            for machine in machines.annotate(target_hours=target_hours()).defer("details", "tags"):
                yield Alert(
                    tenant_id=tenant,
                    machine_id=machine.pk,
                    kind=Kind.LATE,
                    turn=_turn_of_late(machine),
                    began_at=machine.late_at,
                    details={
                        "last_success_at": _said(machine.last_success_at),
                        "target_hours": machine.target_hours,
                    },
                )


def _turn_of_late(machine: Any) -> str:
    """By what stands in the way, as pages say it."""
    found = why(machine)
    if found is None:
        return Turn.UNKNOWN
    is_the_customers_plan = found.plan is None or found.plan.is_editable
    if found.reason in _OF_THE_CUSTOMER:
        return Turn.CUSTOMER if is_the_customers_plan and found.has_destination else Turn.PROVIDER
    if found.reason == Reason.FAILED:
        return failures.turn_of(found.said)
    return Turn.PROVIDER if found.reason in _OF_THE_PROVIDER else Turn.UNKNOWN


def _tell_whose_turn() -> None:
    """Of machines that were late before it was known why: once their backups fail with a reason that says it."""
    ended = Backup.across_tenants.filter(
        machine=OuterRef("machine"), tenant=OuterRef("tenant"), vanished_at=None, status__in=FINAL_BACKUP_STATUSES
    )
    unknown = _open(Kind.LATE).filter(turn=Turn.UNKNOWN, machine__protection=Protection.FAILED)
    said = Subquery(ended.order_by("-sort_at").values("status_info")[:1])
    rows = unknown.annotate(said=said).values_list("pk", "said")[:MOST_OPENED]
    providers = [pk for pk, said in rows if failures.turn_of(said or "") == Turn.PROVIDER]
    if providers:
        Alert.across_tenants.filter(pk__in=providers).update(turn=Turn.PROVIDER)


def _said(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None


# ── Machines that appear without a plan ──────────────────────────────────────


def _without_plan() -> list[Alert]:
    """Once for each: what was told is not told again, also if it vanished, came back, or was inventoried anew."""
    told = Alert.across_tenants.filter(kind=Kind.WITHOUT_PLAN, tenant=OuterRef("tenant"))
    is_told = Exists(told.filter(machine=OuterRef("pk")))
    is_told_by_another_name = Exists(told.filter(machine__uuid=OuterRef("uuid")).exclude(machine__uuid=""))
    may_have_plans = Grant.across_tenants.filter(kind=Grant.Kind.DESTINATION, tenant=OuterRef("tenant"))
    new = Machine.across_tenants.filter(
        EXISTS, tenant__is_active=True, policy_guid="", owned_at__lte=timezone.now() - SETTLED_AFTER
    ).exclude(is_told | is_told_by_another_name)
    rows = new.annotate(may_have_plans=Exists(may_have_plans)).order_by("pk")
    facts: QuerySet[Any, Any] = rows.values_list("pk", "tenant", "owned_at", "may_have_plans")
    return [
        Alert(
            tenant_id=tenant,
            machine_id=machine,
            kind=Kind.WITHOUT_PLAN,
            turn=Turn.CUSTOMER if may_have_plans else Turn.PROVIDER,
            began_at=owned_at,
        )
        for machine, tenant, owned_at, may_have_plans in facts[:MOST_OPENED]
    ]
