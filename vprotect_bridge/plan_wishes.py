"""What tenant admins may ask of their plans, and what a change would mean before it is made."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from datetime import datetime, time, timedelta
from typing import Any, Self
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.audit import record_of
from tenants.correlation import correlation_id
from tenants.models import LONGEST_TARGET, Grant, Membership, Role, Tenant
from vprotect_bridge import limits, plan_times
from vprotect_bridge.client.plans import DAY_MS, Retention
from vprotect_bridge.doorbell import ring_plans
from vprotect_bridge.models import Machine, Plan, PlanChange, Standing
from vprotect_bridge.plan_facts import Facts, Held
from vprotect_bridge.plan_times import CannotBeExact, Interval, LocalTiming, UpstreamTiming
from vprotect_bridge.services import WishRefused

MOST_SCHEDULES = 6
MOST_KEPT, MOST_DAYS = 999, 3650
SHORTEST_FREQUENCY = timedelta(minutes=15)
IDENTITY = {"guid", "name", "rule_guids", "tenant_value"}


# ── The wish ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class WantedSchedule:
    """When and what kind, in local time: `at` one time of day, or from `starts` to `ends` once `every_minutes`.

    Times are "HH:MM"; weekdays, months and occurrences are vProtect's names, empty months and occurrences mean all.
    """

    backup_type: str
    weekdays: tuple[str, ...]
    at: str = ""
    starts: str = ""
    ends: str = ""
    every_minutes: int = 0
    window_minutes: int = 360
    months: tuple[str, ...] = ()
    occurrences: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        lists = {name: tuple(kept[name]) for name in ("weekdays", "months", "occurrences")}
        return cls(**{**kept, **lists})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def timing(self, zone: str) -> LocalTiming:
        """Raises `ValueError` for what no clock or calendar can show."""
        when: time | Interval
        if self.at:
            when = time.fromisoformat(self.at)
        else:
            starts, ends = time.fromisoformat(self.starts), time.fromisoformat(self.ends)
            when = Interval(starts, ends, timedelta(minutes=self.every_minutes))
        return LocalTiming(zone, when, frozenset(self.weekdays), frozenset(self.months), frozenset(self.occurrences))


@dataclass(frozen=True)
class PlanWish:
    """A whole plan as it shall be. `machine_guids` are all of its machines; `retention` None leaves what is there.

    `target_hours` is kept here and never sent: None = the tenant's target, 0 = none.
    """

    name: str
    time_zone: str
    schedules: tuple[WantedSchedule, ...]
    destination_guid: str
    machine_guids: tuple[str, ...]
    priority: int = 50
    removes_absent_machines: bool = False
    is_paused: bool = False
    retention: Retention | None = None
    target_hours: int | None = None

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        schedules = tuple(map(WantedSchedule.from_json, kept["schedules"]))
        retention = Retention(**kept["retention"]) if kept.get("retention") else None
        lists = {"schedules": schedules, "machine_guids": tuple(kept["machine_guids"])}
        return cls(**{**kept, **lists, "retention": retention})

    @classmethod
    def of_plan(cls, plan: Plan) -> Self:
        """What the plan says now, with the machines that it holds."""
        return cls(
            name=plan.name,
            time_zone=plan.time_zone,
            schedules=tuple(map(WantedSchedule.from_json, plan.schedules)),
            destination_guid=plan.destination_guid,
            machine_guids=tuple(Held.from_json(plan.held).machine_guids),
            priority=plan.priority,
            removes_absent_machines=plan.removes_absent_machines,
            # Also one that was paused in vProtect's own console stays so.
            is_paused=plan.standing == Standing.PAUSED,
            target_hours=plan.target_hours,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def timings(self) -> list[LocalTiming]:
        return [schedule.timing(self.time_zone) for schedule in self.schedules]


# ── In vProtect's terms ──────────────────────────────────────────────────────


def derived_schedules(wish: PlanWish, now: datetime) -> list[Facts]:
    """What vProtect has to hold at `now`, as in `plan_facts`; one of ours may need several there."""
    return [
        {
            "backup_type": schedule.backup_type,
            "window_ms": schedule.window_minutes * 60_000 if timing.execution_type == "TIME" else None,
            **_facts_of_timing(timing),
        }
        for schedule in wish.schedules
        for timing in plan_times.upstream_for(schedule.timing(wish.time_zone), now)
    ]


def _facts_of_timing(timing: UpstreamTiming) -> Facts:
    return {
        "execution_type": timing.execution_type,
        "hour_ms": timing.hour_ms,
        "start_ms": timing.start_ms,
        "end_ms": timing.end_ms,
        "frequency_ms": timing.frequency_ms,
        "days": sorted(timing.days),
        "months": sorted(timing.months),
        "occurrences": sorted(timing.occurrences),
    }


def timing_of(facts: Facts) -> UpstreamTiming:
    """When a schedule that vProtect holds runs."""
    is_time = facts["execution_type"] == "TIME"
    return UpstreamTiming(
        execution_type=facts["execution_type"],
        days=frozenset(facts["days"]),
        months=frozenset(facts["months"]),
        occurrences=frozenset(facts["occurrences"]),
        hour_ms=facts["hour_ms"] if is_time else None,
        start_ms=None if is_time else facts["start_ms"],
        end_ms=None if is_time else facts["end_ms"],
        frequency_ms=None if is_time else facts["frequency_ms"],
    )


def without_identity(facts: Facts) -> Facts:
    """What a schedule does, whatever it is called."""
    return {name: value for name, value in facts.items() if name not in IDENTITY}


def put_again_at(wish: PlanWish, now: datetime) -> datetime | None:
    """When vProtect has to hold something else for the same local times."""
    return min((at for timing in wish.timings() if (at := plan_times.put_again_at(timing, now))), default=None)


def schedules_as_held(held: Held) -> tuple[WantedSchedule, ...]:
    """What vProtect holds, said in UTC: exact whatever it is. For plans that were made or changed elsewhere."""
    return tuple(found for facts in held.own_schedules if (found := _as_wanted(facts)))


def _as_wanted(facts: Facts) -> WantedSchedule | None:
    common: dict[str, Any] = {
        "backup_type": facts["backup_type"],
        "weekdays": tuple(day for day in plan_times.WEEKDAYS if day in facts["days"]),
        "months": tuple(month for month in plan_times.MONTHS if month in facts["months"]),
        "occurrences": tuple(name for name in plan_times.OCCURRENCES if name in facts["occurrences"]),
    }
    if facts["execution_type"] == "TIME" and facts["hour_ms"] is not None:
        window = (facts["window_ms"] or 360 * 60_000) // 60_000
        return WantedSchedule(**common, at=_clock(facts["hour_ms"]), window_minutes=window)
    if None in (facts["start_ms"], facts["end_ms"], facts["frequency_ms"]):
        return None
    every = facts["frequency_ms"] // 60_000
    return WantedSchedule(**common, starts=_clock(facts["start_ms"]), ends=_clock(facts["end_ms"]), every_minutes=every)


def _clock(milliseconds: int) -> str:
    minutes = milliseconds // 60_000
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def is_changed_elsewhere(plan: Plan) -> bool:
    """Whether vProtect holds other times than we put there."""
    if plan.put is None:
        return False
    held, put = (
        [{name: value for name, value in without_identity(row).items() if name != "active"} for row in state.schedules]
        for state in (Held.from_json(plan.held), Held.from_json(plan.put))
    )
    return held != put


# ── Checking ─────────────────────────────────────────────────────────────────


def may_change_plans(membership: Membership) -> bool:
    """Who is limited to some machines would change plans of machines that they do not see."""
    return membership.may(Role.ADMIN) and membership.machine_guids is None


def open_change(plan: Plan) -> PlanChange | None:
    return PlanChange.objects.filter(plan=plan, state__in=PlanChange.OPEN).first()


def _check_retention(retention: Retention) -> None:
    """What is not said does not limit."""
    counts = {"full_count": retention.full_count, "incremental_count": retention.incremental_count}
    lengths = {"full_days": retention.full_ms, "incremental_days": retention.incremental_ms}
    for field, count in counts.items():
        if count is not None and not 1 <= count <= MOST_KEPT:
            raise WishRefused(_("From 1 to %(most)d backups can be kept.") % {"most": MOST_KEPT}, field)
    for field, length in lengths.items():
        if length is not None and not DAY_MS <= length <= MOST_DAYS * DAY_MS:
            raise WishRefused(_("Backups can be kept from 1 to %(most)d days.") % {"most": MOST_DAYS}, field)


def check_plan(membership: Membership, wish: PlanWish, plan: Plan | None = None) -> None:
    """Raises `WishRefused`, with the field, for what can never work. A field of a schedule is `schedule-<n>`."""
    if not may_change_plans(membership):
        raise WishRefused(_("Your role does not allow you to change plans."))
    if plan is not None and not plan.is_editable:
        raise WishRefused(_("Only your provider can change this plan."))
    _check_name(wish, plan)
    _check_machines(wish)
    limits.check_plan(membership.tenant, wish.machine_guids, plan)
    granted = Grant.objects.filter(kind=Grant.Kind.DESTINATION, guid=wish.destination_guid)
    if not granted.exists():
        raise WishRefused(_("Choose one of the destinations that are offered."), "destination")
    cap = membership.tenant.priority_cap
    if not 0 <= wish.priority <= cap:
        raise WishRefused(_("The priority must be from 0 to %(highest)d.") % {"highest": cap}, "priority")
    if wish.target_hours is not None and not 0 <= wish.target_hours <= LONGEST_TARGET:
        raise WishRefused(_("A target can be a year at most."), "target_number")
    if wish.retention:
        _check_retention(wish.retention)
    if not wish.schedules:
        raise WishRefused(_("Say when it shall back up: a plan needs at least one schedule."), "schedules")
    if len(wish.schedules) > MOST_SCHEDULES:
        raise WishRefused(_("A plan can have %(most)d schedules at most.") % {"most": MOST_SCHEDULES}, "schedules")
    for number, schedule in enumerate(wish.schedules):
        _check_schedule(schedule, wish.time_zone, f"schedule-{number}")


def _check_name(wish: PlanWish, plan: Plan | None) -> None:
    if not wish.name.strip():
        raise WishRefused(_("Give the plan a name."), "name")
    if len(wish.name) > 120:
        raise WishRefused(_("The name may have 120 characters at most."), "name")
    same = Plan.objects.filter(name__iexact=wish.name, vanished_at=None)
    if (same.exclude(pk=plan.pk) if plan else same).exists():
        raise WishRefused(_("There is a plan of this name already."), "name")


def _check_machines(wish: PlanWish) -> None:
    if not wish.machine_guids:
        raise WishRefused(_("Choose at least one machine."), "machines")
    found = Machine.objects.filter(guid__in=wish.machine_guids).count()
    if found < len(set(wish.machine_guids)):
        raise WishRefused(_("One of the machines is not yours any more. Choose again."), "machines")


def _check_schedule(schedule: WantedSchedule, zone: str, field: str) -> None:
    if schedule.backup_type not in {"FULL", "INCREMENTAL"}:
        raise WishRefused(_("Choose a full or an incremental backup."), field)
    if not schedule.weekdays:
        raise WishRefused(_("Choose at least one day of the week."), field)
    if not schedule.at:
        _check_interval(schedule, field)
    if not 15 <= schedule.window_minutes <= 24 * 60:
        raise WishRefused(_("The start window must be from 15 minutes to 24 hours."), field)
    try:
        plan_times.check_exact(schedule.timing(zone), timezone.now())
    except CannotBeExact:
        raise WishRefused(
            _(
                "The backup system counts days in UTC, where some of these runs fall on the day before or after. "
                "Choose fewer days, months or weeks of the month, or another time of day."
            ),
            field,
        ) from None
    except ValueError:
        raise WishRefused(_("This time cannot be read."), field) from None


def _check_interval(schedule: WantedSchedule, field: str) -> None:
    try:
        starts, ends = time.fromisoformat(schedule.starts), time.fromisoformat(schedule.ends)
    except ValueError:
        raise WishRefused(_("Say from when until when."), field) from None
    length = timedelta(hours=ends.hour - starts.hour, minutes=ends.minute - starts.minute)
    every = timedelta(minutes=schedule.every_minutes)
    if length <= timedelta(0):
        raise WishRefused(_("The end must be after the start."), field)
    if every < SHORTEST_FREQUENCY:
        raise WishRefused(_("It can run every 15 minutes at most."), field)
    if every > length:
        raise WishRefused(_("It would run only once: the time between two runs is longer than the whole span."), field)


# ── Asking ───────────────────────────────────────────────────────────────────


def request_new_plan(
    membership: Membership, wish: PlanWish, *, client_key: UUID, address: str | None
) -> tuple[PlanChange, bool]:
    """Keeps a new plan and rings for a worker; returns its change and whether this call made it.

    Raises `WishRefused` for what can never work.
    """
    if there := _same_click(membership, client_key):
        return there, False
    check_plan(membership, wish)
    try:
        with transaction.atomic():
            plan = Plan.objects.create(
                tenant=membership.tenant,
                is_made_here=True,
                name=wish.name,
                upstream_name=generated_name(membership.tenant),
                time_zone=wish.time_zone,
                schedules=[schedule.to_json() for schedule in wish.schedules],
                destination_guid=wish.destination_guid,
                priority=wish.priority,
                removes_absent_machines=wish.removes_absent_machines,
                target_hours=wish.target_hours,
                is_editable=True,
            )
            change = _keep(membership, plan, PlanChange.Kind.CREATE, wish, "", client_key, address)
    except IntegrityError:
        if there := _same_click(membership, client_key):
            return there, False
        raise WishRefused(_("There is a plan of this name already."), "name") from None
    transaction.on_commit(ring_plans, robust=True)
    return change, True


def request_plan_change(
    membership: Membership,
    plan: Plan,
    kind: str,
    wish: PlanWish | None = None,
    *,
    based_on: str,
    client_key: UUID,
    address: str | None,
) -> tuple[PlanChange, bool]:
    """Keeps a change of a plan that is there and rings for a worker.

    `based_on` is the digest of what the person saw. Raises `WishRefused`, with the field `changed` when vProtect holds
    something else by now, or somebody else's change is on its way.
    """
    if there := _same_click(membership, client_key):
        return there, False
    if not may_change_plans(membership):
        raise WishRefused(_("Your role does not allow you to change plans."))
    if not plan.is_editable:
        raise WishRefused(_("Only your provider can change this plan."))
    if wish is not None:
        check_plan(membership, wish, plan)
    if based_on != plan.held_digest:
        raise WishRefused(_("The plan was changed meanwhile. Look at both, then decide."), "changed")
    try:
        with transaction.atomic():
            change = _keep(membership, plan, kind, wish, based_on, client_key, address)
    except IntegrityError:
        if there := _same_click(membership, client_key):
            return there, False
        raise WishRefused(_("Another change of this plan is on its way. Wait until it is done."), "changed") from None
    transaction.on_commit(ring_plans, robust=True)
    return change, True


def _same_click(membership: Membership, client_key: UUID) -> PlanChange | None:
    return PlanChange.objects.filter(tenant=membership.tenant, client_key=client_key).first()


def _keep(
    membership: Membership,
    plan: Plan,
    kind: str,
    wish: PlanWish | None,
    based_on: str,
    client_key: UUID,
    address: str | None,
) -> PlanChange:
    # Looked at before without waiting; two changes at the same moment count each other here.
    if wish and limits.wait_for_turn(membership.tenant, limits.OF_PLANS):
        limits.check_plan(membership.tenant, wish.machine_guids, plan)
    change = PlanChange.objects.create(
        tenant=membership.tenant,
        plan=plan,
        kind=kind,
        created_by=membership.user,
        client_key=client_key,
        correlation_id=correlation_id.get(),
        wanted=wish.to_json() if wish else None,
        based_on=based_on,
    )
    audit_plan(membership, plan, f"plan_{kind}", address, {"wanted": change.wanted} if wish else {})
    return change


def decide_stuck(membership: Membership, change: PlanChange, *, finish: bool, address: str | None) -> bool:
    """Goes on with what is half done, or takes it back; False = it is not stuck any more."""
    if not may_change_plans(membership):
        raise WishRefused(_("Your role does not allow you to change plans."))
    to = PlanChange.State.WORKING if finish else PlanChange.State.UNDOING
    stuck = PlanChange.objects.filter(pk=change.pk, state=PlanChange.State.STUCK)
    with transaction.atomic():
        if not stuck.update(state=to, next_at=timezone.now(), decided_at=timezone.now()):
            return False
        audit_plan(membership, change.plan, "plan_finish" if finish else "plan_undo", address, {})
    transaction.on_commit(ring_plans, robust=True)
    return True


def audit_plan(membership: Membership, plan: Plan, action: str, address: str | None, detail: dict[str, Any]) -> None:
    record_of(membership, action, address=address, plan=str(plan.pk), plan_name=plan.name, **detail)


def generated_name(tenant: Tenant) -> str:
    """Unique over all tenants, and telling nobody anything (API reference, 20, trap 15)."""
    return f"{tenant.slug}-{secrets.token_hex(5)}"


def machines_of(plan: Plan, visible: QuerySet[Machine]) -> QuerySet[Machine]:
    """The plan's machines among those that the person may see."""
    return visible.filter(policy_guid=plan.policy_guid).exclude(policy_guid="").order_by("name", "guid")
