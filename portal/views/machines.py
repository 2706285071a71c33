"""The list of machines and one machine. Everything is read from the mirror."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

from django.db.models import Q
from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from portal import access, polls, words
from portal.dashboard import SQUARE, matrix_of
from portal.forms import MachineFilter
from portal.machine_list import (
    PAGE_SIZE,
    Kind,
    MachineQuery,
    counts_by,
    facts_of,
    kinds_of,
    page_of,
    plans_in_list,
    policy_of,
)
from portal.operation_story import operation_context
from tenants.middleware import TenantRequest
from tenants.models import Role
from vprotect_bridge.backup_rules import goes_by_rules
from vprotect_bridge.bulk import MOST_MACHINES
from vprotect_bridge.models import WORST_FIRST, Backup, Machine, Operation
from vprotect_bridge.plan_wishes import may_change_plans
from vprotect_bridge.protection import last_backups
from vprotect_bridge.restore_wishes import restore_points
from vprotect_bridge.services import why_no_rule
from vprotect_bridge.targets import State
from vprotect_bridge.unprotected import with_causes

HISTORY_SIZE = 20
FRESH = timedelta(minutes=1)
AHEAD_OF_THE_SYNC = timedelta(hours=1)

# ── The list ─────────────────────────────────────────────────────────────────


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def machine_list(request: TenantRequest, tenant: str) -> HttpResponse:
    """The page; for htmx the list alone, and 204 while what an open page shows is as it was.

    Without a script its selection comes along by POST, and nothing else does: it changes nothing.
    """
    query = MachineQuery.of(_address(request))
    if request.htmx and "seen" in request.GET:  # type: ignore[attr-defined]
        return _news(request, query)
    context = _list_context(request, query) | _selection_context(request)
    if not request.htmx:  # type: ignore[attr-defined]
        return render(request, "portal/machines.html", context)
    response = render(request, "portal/partials/machine_list.html", context | {"announces": True})
    left = QueryDict(urlsplit(request.htmx.current_url or "").query)  # type: ignore[attr-defined]
    is_typing = MachineQuery.of(left).is_search_of(query)
    # Typing is one visit, however many letters it has; a click is a visit of its own.
    response["HX-Replace-Url" if is_typing else "HX-Push-Url"] = request.path + context["query"].here
    return response


def _address(request: TenantRequest) -> QueryDict:
    """Of the list that is wanted; the buttons that take a selection along name what changes in it."""
    address = request.GET.copy()
    for name in ("q", "page"):
        if name in request.POST:
            address[name] = request.POST[name]
    return address


def _selection_context(request: TenantRequest) -> dict[str, Any]:
    """`carried`: GUIDs that were chosen, on this page and on others."""
    guids = set(request.POST.getlist("machines")[:MOST_MACHINES])
    found = access.listed_machines(request.membership).filter(guid__in=guids) if guids else None
    return {
        "carried": set(found.values_list("guid", flat=True)) if found is not None else set(),
        "may_select": request.membership.may(Role.MEMBER),
        "may_change_plans": may_change_plans(request.membership),
    }


def _news(request: TenantRequest, query: MachineQuery) -> HttpResponse:
    """`of`: how long the list was, which says where the page lies in it without counting again."""
    total = page_number(request.GET.get("of"))
    shown = page_of(query.machines(request.membership), query.page, total)
    if unchanged := polls.nothing_new(request, polls.words_for(map(facts_of, shown))):
        return unchanged
    context = _list_context(request, query, request.GET["seen"]) | _selection_context(request)
    return render(request, "portal/partials/machine_list.html", context)


def _list_context(request: TenantRequest, query: MachineQuery, seen: str = "") -> dict[str, Any]:
    kinds = kinds_of(query.named(request.membership))
    plans = plans_in_list(request.membership)
    policy = policy_of(query, plans)
    total = sum(kind.count for kind in kinds if kind.fits(query, policy))
    query = replace(query, page=min(query.page, max(-(-total // PAGE_SIZE), 1)))
    machines = page_of(query.machines(request.membership), query.page, total)
    for machine in machines:
        machine.plan = plans.get(machine.policy_guid)  # type: ignore[attr-defined]
        machine.is_shown = polls.is_in_words(facts_of(machine), seen)  # type: ignore[attr-defined]
    return {
        "query": query,
        "labels": MachineFilter(),
        "columns": [_column(query, *column) for column in COLUMNS],
        "filters": _filters(kinds, query, policy),
        "target_filters": _target_filters(kinds, query, policy),
        "plans": plans.values(),
        "platforms": sorted({*counts_by("platform", kinds), query.platform} - {""}, key=words.platform),
        "machines": machines,
        "total": total,
        "matching": query.address().removeprefix("?") or "sort=name",
        "first": (query.page - 1) * PAGE_SIZE + 1,
        "last": min(query.page * PAGE_SIZE, total),
        "previous": query.address(page=query.page - 1) if query.page > 1 else "",
        "next": query.address(page=query.page + 1) if query.page * PAGE_SIZE < total else "",
        "has_any": bool(kinds) or query.is_narrowed,
        "is_live": any(machine.running for machine in machines),  # type: ignore[attr-defined]
        "poll": "?" + urlencode({**query.parameters(), "seen": polls.words_for(map(facts_of, machines)), "of": total}),
    }


# Name of the column, its label, and the way in which it is sorted at the first click.
COLUMNS = (
    ("name", _("Machine"), "name"),
    ("status", _("Status"), "status"),
    ("", _("Plan"), ""),
    ("last", _("Last good backup"), "-last"),
    ("size", _("Full size"), "-size"),
)


def _column(query: MachineQuery, name: str, label: words.Text, first: str) -> dict[str, Any]:
    if not name:
        return {"label": label}
    is_sorted, is_down = query.sort.removeprefix("-") == name, query.sort.startswith("-")
    turned = name if is_down else f"-{name}"
    direction = "descending" if is_down else "ascending"
    address = query.address(sort=turned if is_sorted else first)
    return {"name": name, "label": label, "address": address, "direction": direction if is_sorted else ""}


def _filters(kinds: list[Kind], query: MachineQuery, policy: str | None) -> list[dict[str, Any]]:
    """A chip for each status that there is, worst first, and the chosen one also when it is empty."""
    of_any_status = replace(query, status="")
    counts = counts_by("status", (kind for kind in kinds if kind.fits(of_any_status, policy)))
    return [
        {
            "value": name,
            "chip": words.PROTECTION[name],
            "count": counts[name],
            "is_chosen": name == query.status,
            "address": query.address(status="" if name == query.status else name),
        }
        for name in WORST_FIRST
        if counts[name] or name == query.status
    ]


def _target_filters(kinds: list[Kind], query: MachineQuery, policy: str | None) -> list[dict[str, Any]]:
    """A chip for each way to stand to a target; none where nothing has one."""
    if not query.target and not counts_by("target", kinds).keys() - {State.NONE, ""}:
        return []
    of_any_target = replace(query, target="")
    counts = counts_by("target", (kind for kind in kinds if kind.fits(of_any_target, policy)))
    return [
        {
            "value": name,
            "chip": words.TARGET[name],
            "count": counts[name],
            "is_chosen": name == query.target,
            "address": query.address(target="" if name == query.target else name.value),
        }
        for name in State
        if counts[name] or name == query.target
    ]


# ── One machine ──────────────────────────────────────────────────────────────


@require_safe
@never_cache
def machine_detail(request: TenantRequest, tenant: str, guid: str) -> HttpResponse:
    machine = access.machine_for(request, guid, with_causes)
    _want_fresh(machine)
    running = list(Operation.objects.filter(machine=machine, outcome=Operation.Outcome.OPEN).order_by("kind"))
    plan = plans_in_list(request.membership, machine.policy_guid).get(machine.policy_guid)
    backups = [operation for operation in running if operation.kind == Operation.Kind.BACKUP]
    ours = [operation for operation in backups if operation.origin == Operation.Origin.PORTAL]
    context = {
        "machine": machine,
        "chip": words.protection_chip(machine),
        "plan": plan,
        "target_hours": plan.target_hours if plan else None,
        "may_change_plans": may_change_plans(request.membership),
        "last": last_backups(machine),
        **_days(request, machine),
        "running": [operation_context(operation, request.membership) for operation in running],
        "why_not": _why_no_backup(request, machine, is_running=bool(ours)),
        "has_restore_points": restore_points(machine).exists(),
        **_history(request, machine, is_running=bool(backups)),
    }
    return render(request, "portal/machine.html", context)


def _days(request: TenantRequest, machine: Machine) -> dict[str, Any]:
    """The last thirty days, the square of each as on the overview."""
    zone = ZoneInfo(request.tenant.time_zone)
    [row] = matrix_of([machine], zone)
    squares = {cell.square for cell in row.cells}
    return {"cells": row.cells, "zone": zone.key, "legend": [pair for pair in SQUARE.items() if pair[0] in squares]}


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
            # A page never waits for the worker that is just writing what it would ask for.
            free = Machine.objects.select_for_update(skip_locked=True, no_key=True).filter(newer, pk=machine.pk)
            Machine.objects.filter(pk__in=free.values("pk")).update(**{wanted_at: waited})
            setattr(machine, wanted_at, waited)


def _why_no_backup(request: TenantRequest, machine: Machine, *, is_running: bool) -> str:
    """The key of the reason for which no backup can be asked for now, or the reason itself; empty = it can."""
    if not machine.exists:
        return "gone"
    if is_running:
        return "running"
    if not request.membership.may(Role.MEMBER):
        return "role"
    if goes_by_rules():
        return str(why_no_rule(machine))
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
    response = render(request, "portal/partials/history.html", {"machine": machine, **history})
    if not history["is_live"]:
        # What the page's head offers, a restore above all, follows from it.
        response["HX-Trigger"] = "history-read"
    return response


def _history(request: TenantRequest, machine: Machine, *, is_running: bool) -> dict[str, Any]:
    page = page_number(request.GET.get("page"))
    backups = Backup.objects.filter(Q(vanished_at__isnull=True), machine=machine).order_by("-sort_at", "-guid")
    rows = list(backups[(page - 1) * HISTORY_SIZE : page * HISTORY_SIZE + 1])
    return {
        "backups": rows[:HISTORY_SIZE],
        "newer_page": page - 1 if page > 1 else None,
        "older_page": page + 1 if len(rows) > HISTORY_SIZE else None,
        "history_page": page,
        "may_restore": request.membership.may(Role.RESTORER),
        "may_open": request.membership.may_open_backups,
        # News is to come while a backup runs or a worker was asked to look.
        "is_live": is_running or machine.backups_wanted_at is not None,
        "seen": str(int(machine.backups_at.timestamp() * 1000)) if machine.backups_at else "never",
    }


def page_number(text: str | None) -> int:
    digits = (text or "")[:6]
    return max(int(digits), 1) if digits.isascii() and digits.isdigit() else 1
