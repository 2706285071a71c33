"""The list of machines and one machine. Everything is read from the mirror."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Case, Count, F, IntegerField, Prefetch, Q, QuerySet, Value, When
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal import access, words
from portal.forms import MachineFilter
from portal.views.operations import operation_context
from tenants.middleware import TenantRequest
from tenants.models import Role
from vprotect_bridge.models import Backup, Machine, Operation, Plan, Protection
from vprotect_bridge.restore_wishes import restore_points

PAGE_SIZE = 25
HISTORY_SIZE = 20
FRESH = timedelta(minutes=1)
AHEAD_OF_THE_SYNC = timedelta(hours=1)
WORST_FIRST = [
    Protection.FAILED,
    Protection.OVERDUE,
    Protection.UNPROTECTED,
    Protection.PAUSED,
    Protection.UNKNOWN,
    Protection.PROTECTED,
    Protection.DELETED,
    Protection.GONE,
]
_SEVERITY = Case(
    *(When(protection=name, then=Value(place)) for place, name in enumerate(WORST_FIRST)),
    default=Value(len(WORST_FIRST)),
    output_field=IntegerField(),
)
ORDER: dict[str, tuple[Any, ...]] = {
    MachineFilter.Sort.NAME: ("name", "guid"),
    MachineFilter.Sort.STATUS: (_SEVERITY, "name", "guid"),
    MachineFilter.Sort.LAST_BACKUP: (F("last_success_at").desc(nulls_last=True), "name", "guid"),
    MachineFilter.Sort.OLDEST_BACKUP: (F("last_success_at").asc(nulls_first=True), "name", "guid"),
    MachineFilter.Sort.SIZE: (F("last_full_size").desc(nulls_last=True), "name", "guid"),
}


# ── The list ─────────────────────────────────────────────────────────────────


@require_safe
@never_cache
def machine_list(request: TenantRequest, tenant: str) -> HttpResponse:
    form = MachineFilter(request.GET)
    chosen = form.chosen
    named = access.visible_machines(request.membership)
    if chosen["q"]:
        named = named.filter(name__icontains=chosen["q"])
    # The counts of the chips are the length of the list as well: no other count is asked for.
    counts = dict(named.values_list("protection").annotate(count=Count("pk")).order_by())
    total = counts.get(chosen["status"], 0) if chosen["status"] else sum(counts.values())
    page = min(chosen["page"], max(-(-total // PAGE_SIZE), 1))
    context = {
        "form": form,
        "chosen": chosen,
        "filters": _filters(counts, chosen["status"]),
        "machines": _page_of(named, chosen, page),
        "total": total,
        "page": page,
        "first": (page - 1) * PAGE_SIZE + 1,
        "last": min(page * PAGE_SIZE, total),
        "previous_page": page - 1 if page > 1 else None,
        "next_page": page + 1 if page * PAGE_SIZE < total else None,
        "has_any": bool(counts) or bool(chosen["q"]),
    }
    return render(request, "portal/machines.html", context)


def _filters(counts: dict[str, int], chosen: str) -> list[dict[str, Any]]:
    """A chip for each status that there is, worst first, and the chosen one also when it is empty."""
    shown = [name for name in WORST_FIRST if counts.get(name) or name == chosen]
    return [
        {"value": n, "chip": words.PROTECTION[n], "count": counts.get(n, 0), "is_chosen": n == chosen} for n in shown
    ]


def _page_of(named: QuerySet[Machine], chosen: dict[str, Any], page: int) -> QuerySet[Machine]:
    running = Operation.objects.filter(outcome=Operation.Outcome.OPEN)
    machines = named.filter(protection=chosen["status"]) if chosen["status"] else named
    rows = machines.defer("details", "tags").prefetch_related(Prefetch("operations", running, to_attr="running"))
    return rows.order_by(*ORDER[chosen["sort"]])[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]


# ── One machine ──────────────────────────────────────────────────────────────


@require_safe
@never_cache
def machine_detail(request: TenantRequest, tenant: str, guid: str) -> HttpResponse:
    machine = access.machine_for(request, guid)
    _want_fresh(machine)
    running = list(Operation.objects.filter(machine=machine, outcome=Operation.Outcome.OPEN).order_by("kind"))
    backups = [operation for operation in running if operation.kind == Operation.Kind.BACKUP]
    ours = [operation for operation in backups if operation.origin == Operation.Origin.PORTAL]
    context = {
        "machine": machine,
        "chip": words.protection_chip(machine),
        "plan": _plan_of(machine),
        "running": [operation_context(operation, request.membership) for operation in running],
        "why_not": _why_no_backup(request, machine, is_running=bool(ours)),
        "has_restore_points": restore_points(machine).exists(),
        **_history(request, machine, is_running=bool(backups)),
    }
    return render(request, "portal/machine.html", context)


def _plan_of(machine: Machine) -> Plan | None:
    return Plan.objects.filter(policy_guid=machine.policy_guid).first() if machine.policy_guid else None


def _want_fresh(machine: Machine) -> None:
    """Asks a worker for details and history, at most once a minute for all who look.

    Wishes are answered oldest first: one of a person's counts as if it had waited, and so comes before a sync's own.
    """
    now = timezone.now()
    waited = now - AHEAD_OF_THE_SYNC
    for read_at, wanted_at in (("details_at", "details_wanted_at"), ("backups_at", "backups_wanted_at")):
        is_fresh = (getattr(machine, read_at) or waited) > now - FRESH
        if not is_fresh and (getattr(machine, wanted_at) or now) > waited:
            newer = Q(**{f"{wanted_at}__isnull": True}) | Q(**{f"{wanted_at}__gt": waited})
            Machine.objects.filter(newer, pk=machine.pk).update(**{wanted_at: waited})
            setattr(machine, wanted_at, waited)


def _why_no_backup(request: TenantRequest, machine: Machine, *, is_running: bool) -> str:
    """The key of the reason for which no backup can be asked for now; empty = it can."""
    if not machine.exists:
        return "gone"
    if is_running:
        return "running"
    if not request.membership.may(Role.MEMBER):
        return "role"
    return "" if access.granted_destinations().exists() else "no_destination"


@require_safe
@never_cache
def machine_history(request: TenantRequest, tenant: str, guid: str) -> HttpResponse:
    """The history alone, for a page that is open. 204 = as it was, ask again; without news to come it asks no more."""
    machine = access.machine_for(request, guid)
    open_backups = Operation.objects.filter(machine=machine, kind=Operation.Kind.BACKUP, outcome=Operation.Outcome.OPEN)
    history = _history(request, machine, is_running=open_backups.exists())
    if history["is_live"] and request.GET.get("seen") == history["seen"]:
        return HttpResponse(status=204)
    return render(request, "portal/partials/history.html", {"machine": machine, **history})


def _history(request: TenantRequest, machine: Machine, *, is_running: bool) -> dict[str, Any]:
    page = _page_number(request.GET.get("page"))
    backups = Backup.objects.filter(Q(vanished_at__isnull=True), machine=machine).order_by("-sort_at", "-guid")
    rows = list(backups[(page - 1) * HISTORY_SIZE : page * HISTORY_SIZE + 1])
    return {
        "backups": rows[:HISTORY_SIZE],
        "newer_page": page - 1 if page > 1 else None,
        "older_page": page + 1 if len(rows) > HISTORY_SIZE else None,
        "history_page": page,
        "may_restore": request.membership.may(Role.RESTORER),
        # News is to come while a backup runs or a worker was asked to look.
        "is_live": is_running or machine.backups_wanted_at is not None,
        "seen": str(int(machine.backups_at.timestamp() * 1000)) if machine.backups_at else "never",
    }


def _page_number(text: str | None) -> int:
    digits = (text or "")[:6]
    return max(int(digits), 1) if digits.isascii() and digits.isdigit() else 1
