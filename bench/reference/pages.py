"""A view of one statement, and the list of machines as one writes it who does not count statements."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import Q
from django.db.models.functions import Lower
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone

from portal import dates, machine_list, polls, words
from portal.forms import MachineFilter
from portal.machine_list import MachineQuery, facts_of
from portal.views.machines import COLUMNS, _column
from tenants.middleware import TenantRequest
from tenants.models import Grant, Role
from vprotect_bridge.client.types import FINAL_BACKUP_STATUSES
from vprotect_bridge.models import WORST_FIRST, Alert, Backup, Destination, Machine, Operation, Plan, Protection
from vprotect_bridge.plan_facts import Held
from vprotect_bridge.plan_preview import next_runs_of
from vprotect_bridge.plan_wishes import may_change_plans
from vprotect_bridge.targets import State, state


def one_query(request: TenantRequest, tenant: str) -> HttpResponse:
    """Behind the same middleware and walls as every page."""
    return HttpResponse(Machine.objects.values_list("guid", flat=True)[:1])


def straightforward_machines(request: TenantRequest, tenant: str) -> HttpResponse:
    """The same page by the same template, each thing asked for where it is needed."""
    query = MachineQuery.of(request.GET)
    listed = Machine.objects.exclude(protection=Protection.GONE)
    page = Paginator(listed.order_by(Lower("name"), "guid"), machine_list.PAGE_SIZE).get_page(query.page)
    machines = [_with_all_that_its_row_shows(machine) for machine in page]
    plans = [_with_next_run(plan) for plan in Plan.objects.filter(vanished_at=None).order_by("name")]
    total = listed.count()
    context = {
        "query": query,
        "labels": MachineFilter(),
        "columns": [_column(query, *column) for column in COLUMNS],
        "filters": [
            {
                "value": name,
                "chip": words.PROTECTION[name],
                "count": listed.filter(protection=name).count(),
                "is_chosen": False,
                "address": query.address(status=name),
            }
            for name in WORST_FIRST
            if listed.filter(protection=name).exists()
        ],
        "target_filters": [
            {
                "value": name,
                "chip": words.TARGET[name],
                "count": listed.alias(target=state()).filter(target=name).count(),
                "is_chosen": False,
                "address": query.address(target=name.value),
            }
            for name in State
            if listed.alias(target=state()).filter(target=name).exists()
        ],
        "plans": plans,
        "platforms": sorted(set(listed.values_list("platform", flat=True).distinct()) - {""}, key=words.platform),
        "machines": machines,
        "total": total,
        "matching": query.address().removeprefix("?") or "sort=name",
        "first": page.start_index(),
        "last": page.end_index(),
        "previous": query.address(page=page.number - 1) if page.has_previous() else "",
        "next": query.address(page=page.number + 1) if page.has_next() else "",
        "has_any": listed.exists(),
        "is_live": any(machine.running for machine in machines),
        "poll": "?" + urlencode({**query.parameters(), "seen": polls.words_for(map(facts_of, machines)), "of": total}),
        "carried": set(),
        "may_select": request.membership.may(Role.MEMBER),
        "may_change_plans": may_change_plans(request.membership),
    }
    return render(request, "portal/machines.html", context)


def _with_all_that_its_row_shows(machine: Any) -> Any:
    machine.running = list(machine.operations.filter(outcome=Operation.Outcome.OPEN))
    machine.plan = Plan.objects.filter(policy_guid=machine.policy_guid, vanished_at=None).first()
    newest = Backup.objects.filter(machine=machine, vanished_at=None, status__in=FINAL_BACKUP_STATUSES)
    last = newest.order_by("-sort_at").first()
    machine.last_words = last.status_info if last else ""
    machine.is_being_backed_up = machine.operations.filter(kind=Operation.Kind.BACKUP, outcome="").exists()
    granted = Grant.objects.filter(kind=Grant.Kind.DESTINATION).values_list("guid", flat=True)
    machine.has_destination = Destination.objects.filter(guid__in=list(granted), vanished_at=None).exists()
    machine.plan_facts = _plan_facts(machine.plan) if machine.plan else None
    missed = Alert.objects.filter(kind__in=Alert.OF_RUNS, closed_at=None).order_by("-opened_at")
    alert = missed.filter(Q(machine=machine) | Q(machine=None, plan=machine.plan)).first()
    machine.missed_run = alert.kind if alert else None
    return machine


def _plan_facts(plan: Any) -> dict[str, Any]:
    held = Held.from_json(_with_next_run(plan).held)
    gone = Destination.objects.filter(guid=plan.destination_guid, vanished_at__isnull=False)
    return {
        "id": plan.id,
        "name": plan.name,
        "is_editable": plan.is_editable,
        "held_digest": plan.held_digest,
        "first_schedule": next(iter(held.rule["schedule_guids"]), None) if held.rule else None,
        "destination": held.destination_guid,
        "is_destination_gone": gone.exists(),
    }


def _with_next_run(plan: Any) -> Any:
    run = next(iter(next_runs_of(Held.from_json(plan.held), timezone.now(), 1)), None)
    plan.next_run_said = f"next: {dates.coming(run)}" if run else ""
    return plan
