"""Automatic backups: see, make, change, pause and delete plans. Everything is read from the mirror."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import available_timezones

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal import access, plan_words
from portal.machine_picker import MachinePicker
from portal.plan_forms import (
    NEW_SCHEDULE,
    READY_MADE,
    PlanForm,
    ScheduleForm,
    ScheduleFormSet,
    initial_of,
    initial_plan,
    initial_retention,
    shown_schedules,
    wish_shown,
)
from portal.plan_words import plan_name
from tenants.audit import address_of
from tenants.middleware import TenantRequest
from tenants.models import Role
from vprotect_bridge import limits
from vprotect_bridge.backup_rules import goes_by_rules
from vprotect_bridge.doorbell import ring_plans
from vprotect_bridge.models import Alert, Destination, Plan, PlanChange, Standing
from vprotect_bridge.plan_facts import USUAL_RETENTION, Held, retention_of
from vprotect_bridge.plan_preview import Preview, next_runs_of, preview
from vprotect_bridge.plan_wishes import (
    MOST_SCHEDULES,
    PlanWish,
    check_plan,
    decide_stuck,
    is_changed_elsewhere,
    machines_of,
    may_change_plans,
    open_change,
    request_new_plan,
    request_plan_change,
)
from vprotect_bridge.services import WishRefused

FRESH = timedelta(seconds=30)
PATIENCE = timedelta(seconds=10)
CHANGES_SHOWN = 10
MACHINES_SHOWN = 100
BUTTONS = {"csrfmiddlewaretoken", "confirmed", "again", "add", "remove", "pick"}


# ── Looking ──────────────────────────────────────────────────────────────────


@require_safe
@never_cache
def plan_list(request: TenantRequest, tenant: str) -> HttpResponse:
    plans = list(access.visible_plans(request.membership).order_by("name", "pk"))
    open_changes = {change.plan_id: change for change in PlanChange.objects.filter(state__in=PlanChange.OPEN)}
    visible = access.visible_machines(request.membership).exclude(policy_guid="")
    counts = Counter(visible.values_list("policy_guid", flat=True))
    now = timezone.now()
    rows = [
        {
            "plan": plan,
            "change": open_changes.get(plan.pk),
            "schedules": shown_schedules(plan),
            "machines": counts[plan.policy_guid],
            "next_run": next(iter(next_runs_of(Held.from_json(plan.held), now, 1)), None),
        }
        for plan in plans
    ]
    context = {
        "rows": rows,
        "may_change": may_change_plans(request.membership),
        "without_plan": access.visible_machines(request.membership).filter(policy_guid="", present=True).count(),
    }
    return render(request, "portal/plans.html", context)


@require_safe
@never_cache
def plan_detail(request: TenantRequest, tenant: str, plan_id: UUID) -> HttpResponse:
    plan = access.plan_for(request, plan_id, with_gone=True)
    _want_fresh(plan)
    held = Held.from_json(plan.held)
    machines = machines_of(plan, access.visible_machines(request.membership))
    stored = {place["guid"] for rule in held.rules for place in rule.get("destinations", ())} | {held.destination_guid}
    names = dict(Destination.objects.filter(guid__in=stored).values_list("guid", "name"))
    context = {
        "plan": plan,
        "schedules": shown_schedules(plan),
        "zone": wish_shown(plan).time_zone,
        "is_changed_elsewhere": is_changed_elsewhere(plan),
        "next_runs": next_runs_of(held, timezone.now()),
        "machines": machines[:MACHINES_SHOWN],
        "machine_count": machines.count(),
        "destination": names.get(held.destination_guid, ""),
        "rules": plan_words.rule_rows(held.rules, names),
        "may_change": may_change_plans(request.membership),
        "client_key": uuid4(),
        "missed_run": access.visible_alerts(request.membership)
        .filter(plan=plan, kind=Alert.Kind.NEVER_FIRED, closed_at=None)
        .first(),
        "changes": plan.changes.select_related("created_by").order_by("-created_at")[:CHANGES_SHOWN],
        **change_context(plan, request),
    }
    return render(request, "portal/plan.html", context)


@require_safe
@never_cache
def plan_change_poll(request: TenantRequest, tenant: str, plan_id: UUID) -> HttpResponse:
    """The change that is on its way; 204 = as it was. When it has ended the page is opened anew."""
    plan = access.plan_for(request, plan_id, with_gone=True)
    context = change_context(plan, request)
    if context["change"] is None:
        response = HttpResponse(status=204)
        response["HX-Refresh"] = "true"
        return response
    if request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=204)
    return render(request, "portal/partials/plan_change.html", {"plan": plan, **context})


def change_context(plan: Plan, request: TenantRequest) -> dict[str, Any]:
    change = open_change(plan)
    seen = f"{change.state}-{len(change.steps)}" if change else ""
    return {"change": change, "seen": seen, "may_decide": may_change_plans(request.membership)}


def _want_fresh(plan: Plan) -> None:
    """Asks a worker to look, at most twice a minute for all who look."""
    is_fresh = plan.held_at is not None and plan.held_at > timezone.now() - FRESH
    if plan.policy_guid and plan.vanished_at is None and not is_fresh and plan.look_wanted_at is None:
        Plan.objects.filter(pk=plan.pk).update(look_wanted_at=timezone.now())
        ring_plans()


# ── Making and changing ──────────────────────────────────────────────────────


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@access.needs(Role.ADMIN)
def plan_create(request: TenantRequest, tenant: str) -> HttpResponse:
    access.needs_every_machine(request)
    destinations = list(access.granted_destinations())
    named = [guid for guid in request.GET.getlist("machine") if re.fullmatch(access.GuidConverter.regex, guid)]
    chosen = list(access.visible_machines(request.membership).filter(guid__in=named).values_list("guid", flat=True))
    initial = {**initial_plan(request.tenant, destinations), "machines": chosen, "client_key": uuid4()}
    return _form_page(request, None, initial, READY_MADE)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@access.needs(Role.ADMIN)
def plan_edit(request: TenantRequest, tenant: str, plan_id: UUID) -> HttpResponse:
    """Starts from what vProtect holds now: first a worker looks, unless it has just done so."""
    access.needs_every_machine(request)
    plan = access.plan_for(request, plan_id)
    _refuse_what_is_only_looked_at(plan)
    if request.method != "POST" and (waiting := _wait_for_a_look(request, plan)):
        return waiting
    wish = _wish_of_change(request, plan) or wish_shown(plan)
    schedules = wish.schedules
    if request.GET.get("add") == "incremental" and len(schedules) < MOST_SCHEDULES:
        schedules = (*schedules, NEW_SCHEDULE)
    initial = {**initial_of(wish), "client_key": uuid4(), "based_on": plan.held_digest}
    return _form_page(request, plan, initial, schedules)


def _refuse_what_is_only_looked_at(plan: Plan) -> None:
    if not plan.is_editable:
        raise PermissionDenied(_("Your provider manages this plan, or it is gone: you can look at it, not change it."))


def _wait_for_a_look(request: TenantRequest, plan: Plan) -> HttpResponse | None:
    since = plan.look_wanted_at
    is_fresh = plan.held_at is not None and plan.held_at > timezone.now() - FRESH
    if is_fresh or not plan.policy_guid or "anyway" in request.GET:
        return None
    _want_fresh(plan)
    is_late = since is not None and since < timezone.now() - PATIENCE
    return render(request, "portal/plan_waiting.html", {"plan": plan, "is_late": is_late})


def _wish_of_change(request: TenantRequest, plan: Plan) -> PlanWish | None:
    """What somebody wanted and did not get: `?change=<id>` starts from there."""
    try:
        change = plan.changes.filter(pk=UUID(request.GET.get("change", "")), wanted__isnull=False).first()
    except ValueError:
        return None
    return PlanWish.from_json(change.wanted) if change and change.wanted else None


def _form_page(request: TenantRequest, plan: Plan | None, initial: dict[str, Any], schedules: Any) -> HttpResponse:
    destinations = list(access.granted_destinations())
    data = _with_schedules_changed(request.POST) if request.method == "POST" else None
    plans = access.visible_plans(request.membership).exclude(policy_guid="").defer("held", "put", "schedules")
    picker = MachinePicker(
        *(data, access.visible_machines(request.membership), initial["machines"]),
        plan_names={other.policy_guid: plan_name(other) for other in plans},
        own_policy=plan.policy_guid if plan else "",
    )
    held = Held.from_json(plan.held) if plan else Held()
    retention = (retention_of(held) or USUAL_RETENTION) if goes_by_rules() else None
    initial = {**initial_retention(initial.pop("retention", None) or retention), **initial}
    form = PlanForm(
        data,
        retention=retention,
        initial=initial,
        tenant=request.tenant,
        picker=picker,
        destinations=destinations,
        plan=plan,
    )
    formset = ScheduleFormSet(data, prefix="schedule", initial=[ScheduleForm.initial_of(row) for row in schedules])
    is_arranging = bool({"add", "remove", "again", "pick"} & set(request.POST))
    if data is not None and not is_arranging and form.is_valid() and formset.is_valid():
        if response := _answer(request, plan, form, formset):
            return response
    elif data is not None and is_arranging:
        form.errors.clear()
        formset = ScheduleFormSet(data, prefix="schedule")
    has_errors = data is not None and not is_arranging
    context = {
        "plan": plan,
        "form": form,
        "formset": formset,
        "picker": picker,
        "usages": limits.usages(request.tenant, limits.OF_PLANS),
        "has_machines": picker.total or picker.is_arranging,
        "destinations": destinations,
        "zones": sorted(available_timezones()),
        "may_add": formset.total_form_count() < MOST_SCHEDULES,
        "hides_errors": is_arranging,
    }
    return render(request, "portal/plan_form.html", context, status=422 if has_errors else 200)


def _with_schedules_changed(post: QueryDict) -> QueryDict:
    """One schedule more, or one less, without a script: the form is sent and comes back with it."""
    data = post.copy()
    count = data.get("schedule-TOTAL_FORMS", "")
    total = int(count) if count.isdecimal() and len(count) < 3 else 0
    if "add" in post and total < MOST_SCHEDULES:
        for name, value in ScheduleForm.initial_of(NEW_SCHEDULE).items():
            values = [str(item) for item in (value if isinstance(value, list | tuple) else [value]) if item is not None]
            data.setlist(f"schedule-{total}-{name}", values)
        data["schedule-TOTAL_FORMS"] = str(total + 1)
    gone = post.get("remove", "")
    if gone.isdecimal() and int(gone) < total:
        for number in range(int(gone), total):
            for name in ScheduleForm.base_fields:
                data.setlist(f"schedule-{number}-{name}", data.getlist(f"schedule-{number + 1}-{name}"))
        data["schedule-TOTAL_FORMS"] = str(total - 1)
    return data


def _answer(request: TenantRequest, plan: Plan | None, form: PlanForm, formset: Any) -> HttpResponse | None:
    """The preview, after the confirmation the plan's page; None = show the form again."""
    wish = form.wish([row.schedule for row in formset], is_paused=plan is not None and plan.standing == Standing.PAUSED)
    try:
        if "confirmed" in request.POST:
            return _keep(request, plan, form, wish)
        return _preview(request, plan, form, wish)
    except WishRefused as refused:
        if refused.field == "changed" and plan is not None:
            return _conflict(request, plan, wish, refused)
        form.refuse(refused, formset)
        return None


def _preview(request: TenantRequest, plan: Plan | None, form: PlanForm, wish: PlanWish) -> HttpResponse:
    check_plan(request.membership, wish, plan)
    if plan is not None and form.cleaned_data["based_on"] != plan.held_digest:
        raise WishRefused(_("The plan was changed meanwhile. Look at both, then decide."), "changed")
    destination = access.granted_destinations().get(guid=wish.destination_guid)
    change = preview(wish, plan)
    context = {
        "plan": plan,
        "wish": wish,
        "destination": destination,
        "preview": change,
        "usages": limits.machines_after(request.tenant, wish.machine_guids, plan),
        "carried": _carried(request.POST),
        **_slower_than_its_target(request, wish, change),
    }
    return render(request, "portal/plan_preview.html", context)


def _slower_than_its_target(request: TenantRequest, wish: PlanWish, change: Preview) -> dict[str, Any]:
    hours = request.tenant.target_hours if wish.target_hours is None else wish.target_hours
    pause = change.longest_pause
    if not hours or pause is None or pause <= timedelta(hours=hours):
        return {}
    pause_hours = -(-pause // timedelta(hours=1))
    return {
        "is_slower_than_its_target": True,
        "pause": plan_words.target_words(pause_hours),
        "target": plan_words.target_words(hours),
    }


def _carried(post: QueryDict) -> list[tuple[str, str]]:
    """Everything that was typed, for the next step."""
    return [(name, value) for name, values in post.lists() if name not in BUTTONS for value in values]


def _conflict(request: TenantRequest, plan: Plan, wish: PlanWish, refused: WishRefused) -> HttpResponse:
    """Both, side by side; the person decides."""
    kept = [(name, value) for name, value in _carried(request.POST) if name not in {"based_on", "client_key"}]
    carried = [*kept, ("based_on", plan.held_digest), ("client_key", str(uuid4()))]
    there = wish_shown(plan)
    context = {
        "plan": plan,
        "sentence": refused.user_message,
        "is_on_its_way": open_change(plan) is not None,
        "sides": [
            {"title": _("What is there now"), **_side(there)},
            {"title": _("What you wanted"), **_side(wish)},
        ],
        "carried": carried,
    }
    return render(request, "portal/plan_conflict.html", context, status=409)


def _side(wish: PlanWish) -> dict[str, Any]:
    return {
        "wish": wish,
        "destination": access.granted_destinations().filter(guid=wish.destination_guid).first(),
        "count": len(wish.machine_guids),
    }


def _keep(request: TenantRequest, plan: Plan | None, form: PlanForm, wish: PlanWish) -> HttpResponse:
    key, address = form.cleaned_data["client_key"], address_of(request)
    if plan is None:
        change, _made = request_new_plan(request.membership, wish, client_key=key, address=address)
    else:
        change, _made = request_plan_change(
            *(request.membership, plan, PlanChange.Kind.EDIT, wish),
            based_on=form.cleaned_data["based_on"],
            client_key=key,
            address=address,
        )
    return redirect("plan", request.tenant.slug, change.plan_id)


# ── Pause, resume, delete, decide ────────────────────────────────────────────


@require_POST
@access.needs(Role.ADMIN)
def plan_switch(request: TenantRequest, tenant: str, plan_id: UUID) -> HttpResponse:
    """Pauses a plan that acts, resumes one that is paused."""
    plan = access.plan_for(request, plan_id)
    kind = PlanChange.Kind.PAUSE if request.POST.get("to") == "paused" else PlanChange.Kind.RESUME
    return _change(request, plan, kind)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@access.needs(Role.ADMIN)
def plan_delete(request: TenantRequest, tenant: str, plan_id: UUID) -> HttpResponse:
    """The consequence first; the name is typed, since protection is lost."""
    access.needs_every_machine(request)
    plan = access.plan_for(request, plan_id)
    _refuse_what_is_only_looked_at(plan)
    typed = request.POST.get("name", "").strip()
    if request.method == "POST" and typed.casefold() == plan.name.strip().casefold():
        return _change(request, plan, PlanChange.Kind.DELETE)
    machines = machines_of(plan, access.visible_machines(request.membership))
    context = {
        "plan": plan,
        "machines": machines[:MACHINES_SHOWN],
        "machine_count": machines.count(),
        "client_key": uuid4(),
        "typed": typed,
        "is_wrong": request.method == "POST",
    }
    return render(request, "portal/plan_delete.html", context, status=422 if request.method == "POST" else 200)


def _change(request: TenantRequest, plan: Plan, kind: str) -> HttpResponse:
    access.needs_every_machine(request)
    try:
        key = UUID(request.POST.get("client_key", ""))
    except ValueError:
        key = uuid4()
    based_on = request.POST.get("based_on", "")
    try:
        request_plan_change(
            *(request.membership, plan, kind),
            based_on=based_on,
            client_key=key,
            address=address_of(request),
        )
    except WishRefused as refused:
        messages.warning(request, str(refused.user_message))
    return redirect("plan", request.tenant.slug, plan.pk)


@require_POST
@access.needs(Role.ADMIN)
def plan_decide(request: TenantRequest, tenant: str, plan_id: UUID) -> HttpResponse:
    """Finishes what is half done, or takes it back."""
    access.needs_every_machine(request)
    plan = access.plan_for(request, plan_id)
    change = open_change(plan)
    address = address_of(request)
    is_finish = request.POST.get("decision") == "finish"
    if change is None or not decide_stuck(request.membership, change, finish=is_finish, address=address):
        messages.info(request, _("It is not half done any more."))
    return redirect("plan", request.tenant.slug, plan.pk)
