"""Back up now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from portal import access
from portal.forms import BackupForm, Place
from tenants.audit import address_of
from tenants.middleware import TenantRequest
from tenants.models import Role
from vprotect_bridge import limits
from vprotect_bridge.backup_rules import goes_by_rules, rules_of
from vprotect_bridge.models import Machine, Operation, Plan, Question
from vprotect_bridge.plan_wishes import may_change_plans
from vprotect_bridge.services import (
    WishRefused,
    ask,
    can_be_incremental,
    open_backup,
    request_backup,
    why_no_rule,
)

DEFAULT_WINDOW = timedelta(hours=6)
PATIENCE = timedelta(seconds=10)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@access.needs(Role.MEMBER)
def backup_create(request: TenantRequest, tenant: str, guid: str) -> HttpResponse:
    machine = access.machine_for(request, guid)
    if request.method != "POST" and (running := open_backup(machine)):
        messages.info(request, _("This machine is being backed up already."))
        return redirect("operation", tenant, running.pk)
    by_rules = goes_by_rules()
    places = places_by_rules(machine) if by_rules else granted_places()
    data = request.POST if request.method == "POST" else None
    form = backup_form(request, places, by_rules=by_rules, can_be_incremental=can_be_incremental(machine), data=data)
    form.initial.update(_as_before(request, machine, by_rules=by_rules))
    if request.method == "POST" and form.is_valid() and (response := _keep(request, machine, form)):
        return response
    question = None
    if machine.exists and places and not by_rules:
        question = ask(request.membership, machine, Question.Kind.USABLE_DESTINATIONS)
    context = {
        "machine": machine,
        "form": form,
        "plan_to_extend": _plan_to_extend(request, machine),
        "why_no_rule": why_no_rule(machine) if by_rules else "",
        "usages": limits.usages(request.tenant, limits.OF_OPERATIONS[Operation.Kind.BACKUP]),
        "may_plan": may_change_plans(request.membership),
        **destination_context(question, places, form["destination"].value() if places else "", by_rules=by_rules),
    }
    return render(request, "portal/backup.html", context, status=422 if form.errors else 200)


def _plan_to_extend(request: TenantRequest, machine: Machine) -> Plan | None:
    """Where an administrator can add the incremental schedule that an incremental backup needs."""
    if not machine.policy_guid or not may_change_plans(request.membership):
        return None
    return Plan.objects.filter(policy_guid=machine.policy_guid, is_editable=True, has_incremental=False).first()


def granted_places() -> list[Place]:
    return [Place(row.guid, row.name, row.is_default) for row in access.granted_destinations()]


def places_by_rules(machine: Machine) -> list[Place]:
    """The rules of the machine's plan by where they store. A destination that was not granted has no name here."""
    rules = rules_of(machine)
    guids = {guid for rule in rules for guid in rule["destination_guids"]}
    names = dict(access.granted_destinations().filter(guid__in=guids).values_list("guid", "name"))
    return [Place(rule["guid"], _where(rule["destination_guids"], names)) for rule in rules]


def _where(guids: list[str], names: dict[str, str]) -> str:
    return " + ".join(names.get(guid, _("a destination of your provider")) for guid in guids)


def backup_form(
    request: TenantRequest, places: list[Place], *, by_rules: bool, can_be_incremental: bool, data: Any = None
) -> BackupForm:
    """With what is usual; `data` None = nothing was sent yet."""
    usual = next((place.guid for place in places if place.is_default), places[0].guid if places else "")
    end = timezone.localtime(timezone.now() + DEFAULT_WINDOW).replace(second=0, microsecond=0)
    initial = {"client_key": uuid4(), "destination": usual, "window_end": end}
    return BackupForm(
        data,
        initial=initial,
        can_be_incremental=can_be_incremental,
        tenant=request.tenant,
        places=places,
        by_rules=by_rules,
    )


def _as_before(request: TenantRequest, machine: Machine, *, by_rules: bool) -> dict[str, Any]:
    """What an earlier one was asked for with, to try it again. Its window has passed."""
    earlier = access.operation_like(request, machine, Operation.Kind.BACKUP)
    wish = earlier.request if earlier else {}
    place = "rule_guid" if by_rules else "destination_guid"
    asked = {"backup_type": "backup_type", "destination": place, "priority": "priority"}
    return {field: wish[name] for field, name in asked.items() if wish.get(name) is not None}


def _keep(request: TenantRequest, machine: Machine, form: BackupForm) -> HttpResponse | None:
    """The page of the operation, or None when the form has to be shown again with the reason."""
    try:
        operation, is_new = request_backup(
            request.membership,
            machine,
            form.wish,
            client_key=form.cleaned_data["client_key"],
            address=address_of(request),
        )
    except WishRefused as refused:
        form.add_error(refused.field or None, str(refused.user_message))
        return None
    if not is_new and operation.client_key != form.cleaned_data["client_key"]:
        messages.info(request, _("This machine is being backed up already, so nothing new was started."))
    return redirect("operation", request.tenant.slug, operation.pk)


def destination_context(
    question: Question | None, granted: list[Place], chosen: str, *, by_rules: bool = False
) -> dict[str, Any]:
    """What to offer: all that is granted until the answer is there, and when there will be none."""
    usable = question.answer["guids"] if question and question.answer and not question.failed else None
    offered = granted if usable is None else [d for d in granted if d.guid in usable]
    is_late = question is not None and timezone.now() - question.asked_at > PATIENCE
    return {
        "question": question,
        "is_asking": question is not None and question.answered_at is None and not is_late,
        "is_unknown": usable is None,
        "by_rules": by_rules,
        "destinations": offered,
        "granted": granted,
        "chosen_destination": chosen,
    }
