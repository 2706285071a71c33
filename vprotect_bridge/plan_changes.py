"""Puts changes of plans into vProtect, until it holds what is wanted (docs/architecture.md, "Plans").

vProtect has no transaction over a policy, its rule and its schedules. So every step is chosen by looking at what it
holds now: the first thing that differs from what is wanted is put right, then it is looked at again. A crash, a lost
answer or a late one change nothing: names of policies and schedules are unique there, and ours are generated, so that
what was made is found again and never made twice. What acts comes last: a new plan has its schedules switched off
until everything else is there.

One process works at a time (`tasks._alone`).
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import asdict, replace
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from tenants.correlation import correlated
from tenants.models import Claim, Grant, Membership, Role, Tenant
from vprotect_bridge.client import plans as upstream
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import Rejected, UpstreamError
from vprotect_bridge.doorbell import ring_watch
from vprotect_bridge.models import Machine, Plan, PlanChange
from vprotect_bridge.ownership import read_claims
from vprotect_bridge.plan_facts import Facts, Held, primary_retention
from vprotect_bridge.plan_steps import NOTHING, Refused, Sight, Target, next_step, see
from vprotect_bridge.plan_sync import look_at_policy, show_to_tenants
from vprotect_bridge.plan_wishes import (
    PlanWish,
    derived_schedules,
    generated_name,
    is_changed_elsewhere,
    put_again_at,
    without_identity,
)
from vprotect_bridge.protection import update_protection

logger = logging.getLogger(__name__)

Kind = PlanChange.Kind
State = PlanChange.State

MOST_STEPS = 100
TRIED_AGAIN_AFTER = timedelta(hours=1)


# ── What it shall hold ───────────────────────────────────────────────────────


def target_of(change: PlanChange, held: Held, tenant_value: str) -> Target:
    """Raises `Refused` for what vProtect cannot hold exactly."""
    if change.kind == Kind.DELETE:
        return NOTHING
    if change.kind in {Kind.PAUSE, Kind.RESUME}:
        is_on = change.kind == Kind.RESUME
        return _as_held(held, schedules=tuple({**row, "active": is_on} for row in held.own_schedules))
    wish = PlanWish.from_json(change.wanted or {})
    if change.kind == Kind.CLOCK:
        wish = replace(wish, machine_guids=tuple(held.machine_guids))
    schedules = _wanted_schedules(change.plan, wish, tenant_value)
    policy: Facts = {
        "name": held.policy["name"] if held.policy else change.plan.upstream_name,
        "priority": wish.priority,
        "removes_absent_machines": wish.removes_absent_machines,
        "vm_guids": sorted(wish.machine_guids),
        "tenant_value": tenant_value,
    }
    rule: Facts = {
        **{"name": "Default", "destination_guids": [wish.destination_guid]},
        "retention": wish.retention and asdict(wish.retention),
    }
    if held.rule:
        rule["name"] = held.rule["name"]
    return Target(policy, rule, schedules)


def _wanted_schedules(plan: Plan, wish: PlanWish, tenant_value: str) -> tuple[Facts, ...]:
    """The schedules that are there are used again in their order; others get the next generated names."""
    wanted = []
    for place, facts in enumerate(derived_schedules(wish, timezone.now())):
        guid = plan.schedule_guids[place] if place < len(plan.schedule_guids) else ""
        identity = {"guid": guid, "name": f"{plan.upstream_name}-{place}", "tenant_value": tenant_value}
        wanted.append({**facts, **identity, "active": not wish.is_paused})
    return tuple(wanted)


def _as_held(held: Held, schedules: tuple[Facts, ...]) -> Target:
    if held.rule is None:
        return Target(held.policy, None, schedules)
    rule = {name: held.rule[name] for name in ("name", "destination_guids")}
    return Target(held.policy, {**rule, "retention": primary_retention(held.rule)}, schedules)


# ── Working on a change ──────────────────────────────────────────────────────


def work_on_changes(api: VProtect) -> int:
    """Works on every change that is due, oldest first; returns how many. One's trouble holds up no other.

    Raises the `UpstreamError` when vProtect does not answer at all.
    """
    due = PlanChange.across_tenants.filter(state__in=PlanChange.DUE, next_at__lte=timezone.now())
    changes = list(due.select_related("plan", "tenant").order_by("created_at"))
    for change in changes:
        with correlated(change.correlation_id):
            try:
                carry_out(api, change)
            except UpstreamError as error:
                _try_later(change, error)
                if not error.was_answered:
                    raise
    return len(changes)


def carry_out(api: VProtect, change: PlanChange) -> None:
    """Takes the change to its end. Raises `UpstreamError` when it has to be gone on with later."""
    plan, tenant_value = change.plan, tenant_value_of(change.tenant)
    sight = see(api, plan, tenant_value)
    if change.state == State.WAITING and not _begin(change, sight.held):
        return
    try:
        if change.steps or change.attempts:
            _check_again(change, sight.held, tenant_value)
        _converge(api, change, sight, tenant_value)
    except Refused as refused:
        _give_up(change, str(refused), str(refused))
    except Rejected as rejected:
        sentence = _("The backup system refused this. Your provider can see its reason.")
        _give_up(change, sentence, str(rejected))


def _begin(change: PlanChange, held: Held) -> bool:
    """The last look before anything is written: may it still be done, and is it still what the person saw?"""
    if refusal := no_longer_allowed(change, held):
        _end(change, State.REFUSED, refusal)
        return False
    if change.kind != Kind.CREATE and held.digest != change.based_on:
        change.plan.look_wanted_at = timezone.now()
        Plan.across_tenants.filter(pk=change.plan_id).update(look_wanted_at=change.plan.look_wanted_at)
        _end(change, State.CONFLICT, _("It was changed in the backup system meanwhile. Nothing was overwritten."))
        return False
    change.base, change.state = held.to_json(), State.WORKING
    change.save(update_fields=["base", "state"])
    return True


def _check_again(change: PlanChange, held: Held, tenant_value: str) -> None:
    """Before it is gone on with after a break: others may have been at it. Raises `Refused`."""
    if change.state == State.WORKING and (refusal := no_longer_allowed(change, held)):
        raise Refused(refusal)
    base, target = Held.from_json(change.base or {}), _target_now(change, held, tenant_value)
    # Who decided about what is stuck has seen it.
    is_watched = change.state == State.WORKING and change.decided_at is None
    if is_watched and base.policy and held.policy and target.policy and not _is_between(base, held, target):
        raise Refused(_("It was changed in the backup system while it was being put in place."))


def _is_between(base: Held, held: Held, target: Target) -> bool:
    """Whether everything is either as it was or as it shall be."""
    assert base.policy and held.policy and target.policy  # noqa: S101
    was, wanted, now = base.policy, target.policy, held.policy
    if any(now[name] not in (was[name], wanted[name]) for name in ("priority", "removes_absent_machines", "vm_guids")):
        return False
    allowed: dict[str, list[Facts]] = {}
    for facts in (*base.schedules, *target.schedules):
        allowed.setdefault(facts["guid"], []).append(without_identity(facts))
    known = {facts["guid"] for facts in base.schedules}
    return all(without_identity(row) in allowed[row["guid"]] for row in held.schedules if row["guid"] in known)


def _converge(api: VProtect, change: PlanChange, sight: Sight, tenant_value: str) -> None:
    plan = change.plan
    for _step in range(MOST_STEPS):
        _record_guids(plan, sight)
        if sight.foreign_names and not sight.policy:
            _choose_another_name(plan)
            sight = see(api, plan, tenant_value)
        step = next_step(api, plan, sight, _target_now(change, sight.held, tenant_value))
        if step is None:
            _finish(change, sight.held)
            return
        try:
            step.call()
        except Rejected:
            # Refused for its name, perhaps: by ours that came late, or by somebody else's of the same name.
            seen = see(api, plan, tenant_value)
            if seen.is_like(sight):
                raise
            sight = seen
            continue
        _note_step(change, step.what)
        sight = see(api, plan, tenant_value)
    raise Refused(_("It took too many steps. Your provider has to look at this one."))


def _target_now(change: PlanChange, held: Held, tenant_value: str) -> Target:
    base = Held.from_json(change.base or {})
    if change.state == State.UNDOING:
        return NOTHING if change.kind == Kind.CREATE else _as_held(base, base.schedules)
    if change.kind in {Kind.PAUSE, Kind.RESUME}:
        return target_of(change, base, tenant_value)
    return target_of(change, held if held.policy else base, tenant_value)


def _record_guids(plan: Plan, sight: Sight) -> None:
    """As soon as something is known to be there, so that it is found again whatever happens to its name."""
    by_place = sorted(sight.schedules.values(), key=lambda row: _place(plan, row))
    recorded = {
        "policy_guid": sight.policy.guid if sight.policy else plan.policy_guid,
        "rule_guid": sight.rules[0].guid if sight.rules else plan.rule_guid,
        "schedule_guids": [row.guid for row in by_place],
    }
    if any(getattr(plan, name) != value for name, value in recorded.items()):
        for name, value in recorded.items():
            setattr(plan, name, value)
        plan.save(update_fields=list(recorded))


def _place(plan: Plan, row: upstream.Schedule) -> tuple[int, str]:
    """Known ones keep their place; new ones follow by their generated number."""
    if row.guid in plan.schedule_guids:
        return plan.schedule_guids.index(row.guid), ""
    number = row.name.rpartition("-")[2]
    return len(plan.schedule_guids) + (int(number) if number.isdigit() else MOST_STEPS), row.guid


def _choose_another_name(plan: Plan) -> None:
    plan.upstream_name = generated_name(plan.tenant)
    plan.save(update_fields=["upstream_name"])


# ── How it ends ──────────────────────────────────────────────────────────────


@transaction.atomic
def _finish(change: PlanChange, held: Held) -> None:
    """Everything is as wanted: the plan says so."""
    plan = change.plan
    if change.state == State.UNDOING and change.kind == Kind.CREATE:
        _end_plan(plan)
        _end(change, State.REFUSED, change.user_message)
        return
    if change.kind == Kind.DELETE and change.state != State.UNDOING:
        _free_machines(plan)
        _end_plan(plan)
        _end(change, State.DONE, "")
        return
    if change.state == State.WORKING:
        _take_over_wish(plan, change, held)
    _mirror_membership(plan, held)
    show_to_tenants(held)
    _end(change, State.UNDONE if change.state == State.UNDOING else State.DONE, change.user_message)


def _take_over_wish(plan: Plan, change: PlanChange, held: Held) -> None:
    plan.put = held.to_json()
    if change.wanted:
        wish = PlanWish.from_json(change.wanted)
        plan.name, plan.time_zone = wish.name, wish.time_zone
        plan.schedules = [schedule.to_json() for schedule in wish.schedules]
        plan.destination_guid, plan.priority = wish.destination_guid, wish.priority
        plan.removes_absent_machines = wish.removes_absent_machines
        if plan.target_hours != wish.target_hours:
            plan.target_hours = wish.target_hours
            transaction.on_commit(ring_watch, robust=True)
        plan.put_again_at = put_again_at(wish, timezone.now())
    plan.save()


def _mirror_membership(plan: Plan, held: Held) -> None:
    """The pages know at once; the next inventory says the same. Plans that lost machines are looked at again."""
    machines = Machine.across_tenants
    gained = machines.filter(guid__in=held.machine_guids).exclude(policy_guid=plan.policy_guid)
    losers = set(gained.exclude(policy_guid="").values_list("policy_guid", flat=True))
    lost = machines.filter(policy_guid=plan.policy_guid).exclude(guid__in=held.machine_guids)
    moved = [*gained.values_list("pk", flat=True), *lost.values_list("pk", flat=True)]
    lost.update(policy_guid="", policy_name="")
    name = held.policy["name"] if held.policy else ""
    gained.update(policy_guid=plan.policy_guid, policy_name=name)
    now = timezone.now()
    Plan.across_tenants.filter(policy_guid__in=losers).update(look_wanted_at=now)
    update_protection(moved)


def _free_machines(plan: Plan) -> None:
    machines = Machine.across_tenants.filter(policy_guid=plan.policy_guid).exclude(policy_guid="")
    ids = list(machines.values_list("pk", flat=True))
    machines.update(policy_guid="", policy_name="")
    update_protection(ids)


def _end_plan(plan: Plan) -> None:
    Plan.across_tenants.filter(pk=plan.pk).update(vanished_at=timezone.now(), put_again_at=None)


def _end(change: PlanChange, state: str, sentence: str) -> None:
    change.state, change.user_message, change.finished_at = State(state), sentence, timezone.now()
    change.save(update_fields=["state", "user_message", "finished_at"])
    if state == State.REFUSED and change.kind == Kind.CREATE:
        _end_plan(change.plan)


def _give_up(change: PlanChange, sentence: str, detail: str) -> None:
    """A final refusal: what is new is taken back; what is half changed waits for a person."""
    change.user_message, change.detail = sentence, detail[:4000]
    if change.state == State.UNDOING:
        change.state = State.STUCK
    elif change.kind == Kind.CREATE:
        change.state = State.UNDOING
    elif not change.steps:
        _end(change, State.REFUSED, sentence)
        return
    else:
        change.state = State.STUCK
    change.next_at = timezone.now()
    change.save(update_fields=["state", "user_message", "detail", "next_at"])


def _note_step(change: PlanChange, what: str) -> None:
    change.steps = [*change.steps, {"at": timezone.now().isoformat(), "what": what}]
    change.save(update_fields=["steps"])


def _try_later(change: PlanChange, error: UpstreamError) -> None:
    logger.warning("plan change %s: %s", change.pk, error)
    change.attempts += 1
    pause = min(5 * change.attempts, 60)
    change.next_at, change.detail = timezone.now() + timedelta(seconds=pause), str(error)[:4000]
    change.save(update_fields=["attempts", "next_at", "detail"])


# ── What may be done ─────────────────────────────────────────────────────────


def no_longer_allowed(change: PlanChange, held: Held) -> str:
    """Why the change may not be made any more, in words for its owner; empty = it may."""
    tenant_id = change.tenant_id
    if not change.tenant.is_active:
        return _("Your organisation is suspended.")
    if change.kind != Kind.CLOCK:
        membership = Membership.objects.filter(user=change.created_by_id, tenant=tenant_id).first()
        if membership is None or not membership.may(Role.ADMIN) or membership.machine_guids is not None:
            return _("The person who asked for it may not change plans any more.")
    wish = PlanWish.from_json(change.wanted) if change.wanted else None
    wanted = set(wish.machine_guids) if wish and change.kind != Kind.CLOCK else set()
    owned = set(Machine.across_tenants.filter(tenant=tenant_id).values_list("guid", flat=True))
    if not wanted <= owned:
        return _("One of the machines is not yours any more.")
    if not set(held.machine_guids) <= owned:
        return _("This plan holds machines that are not yours, so only your provider can change it.")
    if held.policy and read_claims().values.get(held.policy["tenant_value"], tenant_id) != tenant_id:
        return _("This plan is not yours any more.")
    if held.policy and held.policy["auto_assign_mode"] not in {"", "DISABLED"}:
        return _("This plan adds machines by itself, so only your provider can change it.")
    if wish and change.kind in {Kind.CREATE, Kind.EDIT} and not _is_granted(tenant_id, wish.destination_guid):
        return _("The destination is not available to you any more.")
    return ""


def _is_granted(tenant_id: int, destination_guid: str) -> bool:
    granted = Grant.across_tenants.filter(tenant=tenant_id, kind=Grant.Kind.DESTINATION)
    return granted.filter(guid=destination_guid).exists()


def tenant_value_of(tenant: Tenant) -> str:
    """The one `tenantId` of all that we make for this tenant: its first value, or one made for it."""
    values = Claim.across_tenants.filter(tenant=tenant, kind=Claim.Kind.TENANT_VALUE).order_by("pk")
    if claim := values.first():
        return claim.value
    made = f"portal-{secrets.token_hex(16)}"
    Claim.across_tenants.create(tenant=tenant, kind=Claim.Kind.TENANT_VALUE, value=made)
    return made


# ── Looking again, and clock changes ─────────────────────────────────────────


def look_at_wanted(api: VProtect) -> int:
    """Reads the plans that pages asked for; returns how many."""
    wanted = Plan.across_tenants.filter(look_wanted_at__lte=timezone.now()).exclude(policy_guid="")
    plans = list(wanted.order_by("look_wanted_at")[:20])
    for plan in plans:
        held = look_at_policy(api, plan.policy_guid)
        if held is not None:
            show_to_tenants(held)
        Plan.across_tenants.filter(pk=plan.pk, look_wanted_at=plan.look_wanted_at).update(look_wanted_at=None)
    return len(plans)


def follow_clocks() -> int:
    """Makes a change of every plan whose zone's offset is about to change; returns how many."""
    now = timezone.now()
    due = Plan.across_tenants.filter(put_again_at__lte=now, vanished_at=None).select_related("tenant")
    of_plan = PlanChange.across_tenants.filter(plan=OuterRef("pk"))
    is_open = Exists(of_plan.filter(state__in=PlanChange.OPEN))
    # One that was refused is tried again, but not all the time.
    was_tried = Exists(of_plan.filter(kind=Kind.CLOCK, created_at__gt=now - TRIED_AGAIN_AFTER))
    return sum(_put_again(plan) for plan in due.exclude(is_open).exclude(was_tried))


@transaction.atomic
def _put_again(plan: Plan) -> bool:
    """Only while vProtect holds what we put: what somebody changed there is not changed back unseen."""
    wish = PlanWish.of_plan(plan)
    if is_changed_elsewhere(plan) or not plan.is_editable:
        Plan.across_tenants.filter(pk=plan.pk).update(put_again_at=None)
        logger.warning("plan %s was changed elsewhere: it does not follow the clock change", plan.pk)
        return False
    PlanChange.across_tenants.create(
        tenant=plan.tenant, plan=plan, kind=Kind.CLOCK, wanted=wish.to_json(), based_on=plan.held_digest
    )
    return True
