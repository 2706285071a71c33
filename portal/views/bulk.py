"""Many machines at once: the form, a look at what will happen to each, and what became of each."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from portal import access, plan_words, polls, words
from portal.forms import BackupForm, BulkPlanForm
from portal.machine_picker import MachinePicker
from portal.plan_forms import wish_shown
from portal.selection import Selection
from portal.views.backups import backup_form, granted_places
from tenants.audit import address_of
from tenants.middleware import TenantRequest
from tenants.models import Role
from vprotect_bridge import limits
from vprotect_bridge.backup_rules import goes_by_rules
from vprotect_bridge.bulk import (
    MOST_MACHINES,
    Prospect,
    Reason,
    ask_for_destinations,
    backup_prospects,
    plan_prospects,
    request_bulk_backup,
    request_bulk_plan,
    with_added,
)
from vprotect_bridge.models import Backup, BulkRequest, Operation
from vprotect_bridge.plan_wishes import may_change_plans
from vprotect_bridge.services import WishRefused, check_wish, incremental_policies

# What the picker sends beside the machines: the next step has those that were seen, and no others.
PICKER = {"picker", "shown", "every", "added", "removed", "pick", "pick_q", "pick_only"}
LIMITS = limits.OF_OPERATIONS[Operation.Kind.BACKUP]
FAILED = {Operation.Outcome.FAILED, Operation.Outcome.REFUSED, Operation.Outcome.MISSED}


# ── Back up ──────────────────────────────────────────────────────────────────


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@access.needs(Role.MEMBER)
def bulk_backup(request: TenantRequest, tenant: str) -> HttpResponse:
    selection = Selection.of(request)
    if selection.is_too_large or not (selection.machines or "pick" in request.POST):
        return _nothing_to_do(request, selection)
    by_rules = goes_by_rules()
    destinations = [] if by_rules else granted_places()
    form = backup_form(
        request,
        destinations,
        by_rules=by_rules,
        can_be_incremental=bool(incremental_policies(selection.machines)),
        data=_sent(request),
    )
    if destinations and not request.htmx:  # type: ignore[attr-defined]
        ask_for_destinations(request.membership, selection.machines)
    if _is_sent(request, form):
        try:
            return (
                _kept_backups(request, selection, form)
                if "confirmed" in request.POST
                else _look(request, selection, form)
            )
        except WishRefused as refused:
            form.add_error(refused.field or None, str(refused.user_message))
    more = {"destinations": destinations, "by_rules": by_rules, "usages": limits.usages(request.tenant, LIMITS)}
    return _form_page(request, "portal/bulk_backup.html", selection, form, **more)


def _is_sent(request: TenantRequest, form: forms.Form) -> bool:
    """Not only to choose other machines, or to come back to the form."""
    return form.is_bound and not {"again", "pick"} & set(request.POST) and form.is_valid()


def _form_page(
    request: TenantRequest, template: str, selection: Selection, form: forms.Form, **more: Any
) -> HttpResponse:
    picker = MachinePicker(
        request.POST if "picker" in request.POST else None,
        access.listed_machines(request.membership),
        chosen=[machine.guid for machine in selection.machines],
        most=MOST_MACHINES,
    )
    if picker.is_arranging:
        form.errors.clear()
    context = {"selection": selection, "form": form, "picker": picker, **more}
    return render(request, template, context, status=422 if form.errors else 200)


def _sent(request: TenantRequest) -> Any:
    """What was typed, or None where the list sent nothing but machines."""
    return request.POST if "client_key" in request.POST else None


def _nothing_to_do(request: TenantRequest, selection: Selection) -> HttpResponse:
    context = {"selection": selection, "most": MOST_MACHINES}
    return render(request, "portal/bulk_nothing.html", context, status=422 if request.method == "POST" else 200)


def _look(request: TenantRequest, selection: Selection, form: BackupForm) -> HttpResponse:
    """For htmx the machines alone, while vProtect still tells which of them can use the destination."""
    wish = form.wish
    check_wish(request.membership, wish, wish.window_start or timezone.now())
    context = _prospects_context(backup_prospects(selection.machines, wish))
    if request.htmx:  # type: ignore[attr-defined]
        if request.POST.get("seen") == context["seen"]:
            return HttpResponse(status=204)
        return render(request, "portal/partials/bulk_prospects.html", context)
    limits.check(request.tenant, LIMITS, context["taken"])
    names = {d.guid: d.name for d in access.granted_destinations()}
    context |= {"wish": wish, "destination": names.get(wish.destination_guid), "carried": _carried(request, selection)}
    return render(request, "portal/bulk_backup_look.html", context)


def _prospects_context(prospects: list[Prospect]) -> dict[str, Any]:
    taken = [prospect for prospect in prospects if not prospect.reason]
    return {
        "prospects": sorted(prospects, key=lambda prospect: not prospect.reason),
        "taken": len(taken),
        "left_out": len(prospects) - len(taken),
        "moved": sum(prospect.moved_from is not None for prospect in taken),
        "is_asking": any(prospect.is_asking for prospect in prospects),
        "seen": polls.word_for([(p.machine.guid, p.reason, p.is_asking) for p in prospects]),
    }


def _carried(request: TenantRequest, selection: Selection, **changes: str) -> list[tuple[str, str]]:
    """Everything that was typed, and the machines that were seen, for the next step."""
    buttons = {"csrfmiddlewaretoken", "machines", "matching", "confirmed", "again", "seen", *PICKER, *changes}
    typed = [(name, value) for name, values in request.POST.lists() if name not in buttons for value in values]
    return [*typed, *changes.items(), *(("machines", machine.guid) for machine in selection.machines)]


def _kept_backups(request: TenantRequest, selection: Selection, form: BackupForm) -> HttpResponse:
    bulk, _is_new = request_bulk_backup(
        request.membership,
        selection.machines,
        form.wish,
        client_key=form.cleaned_data["client_key"],
        address=address_of(request),
    )
    return redirect("bulk", request.tenant.slug, bulk.pk)


# ── Put into a plan ──────────────────────────────────────────────────────────


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@access.for_administrators
def bulk_plan(request: TenantRequest, tenant: str) -> HttpResponse:
    selection = Selection.of(request)
    if selection.is_too_large or not (selection.machines or "pick" in request.POST):
        return _nothing_to_do(request, selection)
    plans = list(access.visible_plans(request.membership).filter(is_editable=True).order_by("name", "pk"))
    form = BulkPlanForm(_sent(request), plans=plans, initial={"client_key": uuid4()})
    if _is_sent(request, form):
        try:
            return (
                _kept_plan(request, selection, form)
                if "confirmed" in request.POST
                else _look_at_plan(request, selection, form)
            )
        except WishRefused as refused:
            form.add_error(None, _refusal(refused))
    return _form_page(request, "portal/bulk_plan.html", selection, form)


def _refusal(refused: WishRefused) -> str:
    if refused.field in {"", "changed", "machines"}:
        return str(refused.user_message)
    sentence = _("The plan cannot be changed as it is: %(reason)s Open the plan and put that right first.")
    return sentence % {"reason": refused.user_message}


def _look_at_plan(request: TenantRequest, selection: Selection, form: BulkPlanForm) -> HttpResponse:
    plan = form.chosen_plan
    wish, prospects = wish_shown(plan), plan_prospects(selection.machines, plan)
    machines = with_added(wish, prospects)
    limits.check_plan(request.tenant, machines, plan)
    context = {
        **_prospects_context(prospects),
        "usages": limits.machines_after(request.tenant, machines, plan),
        "plan": plan,
        "wish": wish,
        "carried": _carried(request, selection, based_on=plan.held_digest),
    }
    return render(request, "portal/bulk_plan_look.html", context)


def _kept_plan(request: TenantRequest, selection: Selection, form: BulkPlanForm) -> HttpResponse:
    plan = form.chosen_plan
    bulk, _is_new = request_bulk_plan(
        *(request.membership, selection.machines, plan, wish_shown(plan)),
        based_on=form.cleaned_data["based_on"],
        client_key=form.cleaned_data["client_key"],
        address=address_of(request),
    )
    return redirect("bulk", request.tenant.slug, bulk.pk)


# ── What became of it ────────────────────────────────────────────────────────


@require_safe
@never_cache
def bulk_result(request: TenantRequest, tenant: str, bulk_id: UUID) -> HttpResponse:
    return render(request, "portal/bulk.html", _result_context(request, bulk_id))


@require_safe
@never_cache
def bulk_poll(request: TenantRequest, tenant: str, bulk_id: UUID) -> HttpResponse:
    """All of its machines in one answer; 204 while nothing is new."""
    if unchanged := polls.nothing_new(request, access.bulk_request_shown(request, bulk_id)):
        return unchanged
    return render(request, "portal/partials/bulk_result.html", _result_context(request, bulk_id))


def _result_context(request: TenantRequest, bulk_id: UUID) -> dict[str, Any]:
    seen = access.bulk_request_shown(request, bulk_id)
    bulk = access.bulk_request_for(request, bulk_id)
    is_backup = bulk.kind == BulkRequest.Kind.BACKUP
    rows = _backup_rows(request, bulk) if is_backup else _plan_rows(request, bulk)
    counts = Counter(row["chip"] for row in rows)
    left_out = _left_out(request, bulk)
    return {
        "bulk": bulk,
        "seen": seen,
        "rows": rows,
        "left_out": left_out,
        "counts": [{"chip": chip, "count": count} for chip, count in counts.most_common()],
        "total": len(rows) + len(left_out),
        "is_live": any(not row["is_finished"] for row in rows),
        "failed": [row["machine"].guid for row in rows if row.get("outcome") in FAILED],
        "may_back_up": request.membership.may(Role.MEMBER),
        "may_change_plans": may_change_plans(request.membership),
    }


def _backup_rows(request: TenantRequest, bulk: BulkRequest) -> list[dict[str, Any]]:
    operations = list(access.visible_operations(request.membership).filter(bulk_request=bulk))
    guids = [row.backup_guid for row in operations if row.outcome == Operation.Outcome.FAILED and row.backup_guid]
    said = dict(Backup.objects.filter(guid__in=guids).values_list("guid", "status_info")) if guids else {}
    rows = [
        {
            "machine": operation.machine,
            "operation": operation,
            "chip": words.operation_chip(operation),
            "sentence": _sentence(operation, said),
            "is_finished": operation.is_finished,
            "outcome": operation.outcome,
        }
        for operation in operations
    ]
    return sorted(rows, key=lambda row: (row["machine"].name.lower(), row["machine"].guid))


def _sentence(operation: Operation, said: dict[str, str]) -> words.Text:
    if operation.user_message:
        return _(operation.user_message)
    if operation.outcome == Operation.Outcome.FAILED:
        return words.failure_reason(said.get(operation.backup_guid, ""))
    return words.operation_sentence(operation)


def _plan_rows(request: TenantRequest, bulk: BulkRequest) -> list[dict[str, Any]]:
    change = bulk.plan_change
    if change is None:
        return []
    machines = access.visible_machines(request.membership).filter(guid__in=bulk.machine_guids)
    return [
        {
            "machine": machine,
            "chip": plan_words.change_chip(change),
            "sentence": plan_words.change_sentence(change),
            "moved_from": bulk.moved_from.get(machine.guid),
            "is_finished": not change.is_open,
        }
        for machine in machines.defer("details").order_by(*access.BY_NAME)
    ]


def _left_out(request: TenantRequest, bulk: BulkRequest) -> list[dict[str, Any]]:
    own = request.membership.machine_guids
    return [
        {**row, "reason": Reason(row["reason"]).label} for row in bulk.left_out if own is None or row["guid"] in own
    ]
