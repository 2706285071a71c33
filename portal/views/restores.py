"""Restore a machine as a new one: which point, where, a look at what will happen, then the click."""

from __future__ import annotations

import calendar
from datetime import date, timedelta
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
from portal.forms import RestoreForm
from tenants.audit import address_of
from tenants.middleware import TenantRequest
from tenants.models import Role
from vprotect_bridge import limits
from vprotect_bridge.models import Backup, Machine, Operation, Question
from vprotect_bridge.restore_names import suggested_name
from vprotect_bridge.restore_wishes import (
    PLATFORMS,
    check_restore,
    request_restore,
    restore_points,
    restore_targets,
)
from vprotect_bridge.services import WishRefused, ask, open_operation

PATIENCE = timedelta(seconds=10)
MOST_POINTS = 400

LIMITS = limits.OF_OPERATIONS[Operation.Kind.RESTORE]


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@access.needs(Role.RESTORER)
def restore_create(request: TenantRequest, tenant: str, guid: str) -> HttpResponse:
    machine = access.machine_for(request, guid)
    if request.method != "POST" and (running := open_operation(machine, Operation.Kind.RESTORE)):
        messages.info(request, _("This machine is being restored already."))
        return redirect("operation", tenant, running.pk)
    points = list(restore_points(machine)[:MOST_POINTS])
    form = _form(request, machine, points)
    wants_to_choose_again = "again" in request.POST
    if (
        request.method == "POST"
        and form.is_valid()
        and not wants_to_choose_again
        and (response := _answer(request, machine, form))
    ):
        return response
    usages = limits.usages(request.tenant, LIMITS)
    context = {"machine": machine, "form": form, "points": points, "usages": usages, **_months(request, points)}
    return render(request, "portal/restore.html", context, status=422 if form.errors else 200)


def _form(request: TenantRequest, machine: Machine, points: list[Backup]) -> RestoreForm:
    chosen = request.GET.get("backup") or (points[0].guid if points else "")
    name = suggested_name(request.membership, machine)
    initial = {"client_key": uuid4(), "backup": chosen, "name": name, **_as_before(request, machine)}
    data = request.POST if request.method == "POST" else None
    return RestoreForm(data, initial=initial, machine=machine, points=points, targets=list(restore_targets(machine)))


def _as_before(request: TenantRequest, machine: Machine) -> dict[str, Any]:
    """Where and as what an earlier one was asked for, to try it again."""
    earlier = access.operation_like(request, machine, Operation.Kind.RESTORE)
    wish = earlier.request if earlier else {}
    used = {kind: guid for kind, guid in wish.get("grants", [])}
    place = "/".join(filter(None, (used.get("hypervisor"), used.get("cluster"))))
    asked = {"place": place, "storage": used.get("storage"), "data_center": wish.get("data_center")}
    return {name: value for name, value in {**asked, "name": wish.get("name")}.items() if value}


def _answer(request: TenantRequest, machine: Machine, form: RestoreForm) -> HttpResponse | None:
    """The page that says what will happen, after the confirmation the operation; None = show the form again."""
    try:
        if "confirmed" in request.POST:
            return _keep(request, machine, form)
        return _review(request, machine, form)
    except WishRefused as refused:
        form.refuse(refused)
        return None


def _review(request: TenantRequest, machine: Machine, form: RestoreForm) -> HttpResponse:
    limits.check(request.tenant, LIMITS)
    place = check_restore(request.membership, machine, form.wish)
    question = ask(request.membership, machine, Question.Kind.RESTORE_TARGETS, place.backup.guid)
    context = {
        "machine": machine,
        "form": form,
        "place": place,
        "usages": limits.usages(request.tenant, LIMITS),
        "new_name": place.name or machine.name,
        "project": machine.project_name if PLATFORMS[machine.platform].needs_project else "",
        **target_context(question, place.hypervisor.guid),
    }
    return render(request, "portal/restore_review.html", context)


def _keep(request: TenantRequest, machine: Machine, form: RestoreForm) -> HttpResponse:
    key = form.cleaned_data["client_key"]
    address = address_of(request)
    operation, is_new = request_restore(request.membership, machine, form.wish, client_key=key, address=address)
    if not is_new and operation.client_key != key:
        messages.info(request, _("This machine is being restored already, so nothing new was started."))
    return redirect("operation", request.tenant.slug, operation.pk)


def target_context(question: Question, hypervisor_guid: str) -> dict[str, Any]:
    """Whether the backup may go there, as far as it is known."""
    allowed = question.answer["guids"] if question.answer and not question.failed else None
    is_late = timezone.now() - question.asked_at > PATIENCE
    return {
        "question": question,
        "is_asking": question.answered_at is None and not is_late,
        "is_refused": allowed is not None and hypervisor_guid not in allowed,
        "is_unknown": allowed is None,
        "hypervisor_guid": hypervisor_guid,
    }


def _months(request: TenantRequest, points: list[Backup]) -> dict[str, Any]:
    """The month of the chosen point as weeks of days, each with its newest point, and the months beside it."""
    by_day: dict[date, Backup] = {}
    for point in points:
        by_day.setdefault(timezone.localtime(point.sort_at).date(), point)
    if not by_day:
        return {"weeks": []}
    chosen = next((day for day, point in by_day.items() if point.guid == request.GET.get("backup")), max(by_day))
    weeks = calendar.Calendar().monthdatescalendar(chosen.year, chosen.month)
    this_month = (chosen.year, chosen.month)
    earlier = [point for day, point in by_day.items() if (day.year, day.month) < this_month]
    later = [point for day, point in by_day.items() if (day.year, day.month) > this_month]
    return {
        "month": chosen,
        "weeks": [[{"day": d, "point": by_day.get(d), "is_in": d.month == chosen.month} for d in w] for w in weeks],
        "earlier": earlier[0] if earlier else None,
        "later": later[-1] if later else None,
    }
