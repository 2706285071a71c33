"""What can be asked for. Lookups are `portal.access`'s, rules the bridge's: the same as behind the pages."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models.functions import Lower
from django.http import HttpResponse
from django.utils import timezone

from api.bodies import moment_of
from api.http import Endpoint
from api.idempotency import once
from api.paging import page
from api.problems import Problem
from api.request import ApiRequest
from api.shapes import (
    Shape,
    kind_of,
    machine_shape,
    operation_shape,
    plan_shape,
    plans_named,
    restore_point_shape,
    token_shape,
)
from portal import access
from portal.forms import DEFAULT_PRIORITY, Place, places_of
from portal.machine_list import MachineQuery
from portal.views.backups import DEFAULT_WINDOW, granted_places, places_by_rules
from tenants.audit import address_of
from tenants.models import Role
from tokens.bearer import Bearer
from vprotect_bridge.backup_rules import goes_by_rules
from vprotect_bridge.models import Hypervisor, Machine, Operation
from vprotect_bridge.restore_wishes import (
    PLATFORMS,
    Platform,
    RestoreWish,
    data_centers,
    request_restore,
    restore_points,
    restore_targets,
    storages_of,
)
from vprotect_bridge.services import BackupWish, request_backup

# ── What there is ────────────────────────────────────────────────────────────


def show_token(request: ApiRequest) -> Shape:
    return token_shape(Bearer(request.token, request.membership))


def list_machines(request: ApiRequest) -> Shape:
    chosen: dict[str, Any] = {name: value for name, value in request.query.items() if name in {"q", "status", "plan"}}
    machines = MachineQuery(**chosen).machines(request.membership).defer("details", "tags")

    def shapes(found: list[Machine]) -> list[Shape]:
        plans = _plans_of(request, found)
        return [machine_shape(machine, plans) for machine in found]

    rows = machines.annotate(lower_name=Lower("name"))
    return page(rows, request.query, by=("lower_name", "guid"), shape=shapes)


def show_machine(request: ApiRequest, guid: str) -> Shape:
    machine = access.machine_for(request, guid)
    running = Operation.objects.filter(machine=machine, outcome=Operation.Outcome.OPEN).order_by("created_at")
    return {
        **machine_shape(machine, _plans_of(request, [machine])),
        "running": [{"id": str(operation.pk), "kind": kind_of(operation)} for operation in running],
    }


def _plans_of(request: ApiRequest, machines: Iterable[Machine]) -> dict[str, Shape]:
    policies = {machine.policy_guid for machine in machines} - {""}
    plans = access.visible_plans(request.membership).filter(policy_guid__in=policies)
    return plans_named(plans.only("pk", "name", "policy_guid"))


def list_restore_points(request: ApiRequest, guid: str) -> Shape:
    points = restore_points(access.machine_for(request, guid))
    return page(
        points, request.query, by=("-sort_at", "-guid"), shape=lambda found: [restore_point_shape(p) for p in found]
    )


def list_destinations(request: ApiRequest, guid: str) -> Shape:
    places = _destinations(access.machine_for(request, guid))
    usual = _usual(places)
    return {"items": [{"id": p.guid, "name": p.name, "is_usual": p.guid == usual} for p in places]}


def list_restore_places(request: ApiRequest, guid: str) -> Shape:
    machine = access.machine_for(request, guid)
    platform = PLATFORMS.get(machine.platform, Platform())
    return {
        "items": [place for target in restore_targets(machine) for place in _places(target)],
        "data_centers": data_centers() if platform.needs_data_center else [],
        "needs_storage": platform.needs_storage,
        "needs_data_center": platform.needs_data_center,
    }


def _places(target: Hypervisor) -> list[Shape]:
    storages = [{"id": row.guid, "name": row.name, "free_bytes": row.free} for row in storages_of(target)]
    return [{"id": place, "name": str(name), "storages": storages} for place, name in places_of(target)]


def list_plans(request: ApiRequest) -> Shape:
    plans = access.visible_plans(request.membership).annotate(lower_name=Lower("name"))
    return page(plans, request.query, by=("lower_name", "pk"), shape=lambda found: [plan_shape(plan) for plan in found])


def show_operation(request: ApiRequest, operation_id: UUID) -> Shape:
    return operation_shape(access.operation_for(request, operation_id), request.membership)


# ── What is wished for ───────────────────────────────────────────────────────


def start_backup(request: ApiRequest, guid: str, body: dict[str, Any]) -> HttpResponse:
    machine = access.machine_for(request, guid)

    def act(client_key: UUID) -> Shape:
        wish = _backup_wish(request, machine, body)
        address = address_of(request)
        return _made(
            request,
            client_key,
            *request_backup(request.membership, machine, wish, client_key=client_key, address=address),
        )

    return _accepted(*once(request, body, act))


def _backup_wish(request: ApiRequest, machine: Machine, body: dict[str, Any]) -> BackupWish:
    destination = body.get("destination") or _usual(_destinations(machine))
    by_rules = goes_by_rules()
    priority = body.get("priority", min(DEFAULT_PRIORITY, request.tenant.priority_cap))
    start = moment_of(body, "window_start")
    return BackupWish(
        backup_type=body["type"].upper(),
        destination_guid="" if by_rules else destination,
        rule_guid=destination if by_rules else "",
        window_start=start,
        window_end=moment_of(body, "window_end") or (start or timezone.now()) + DEFAULT_WINDOW,
        priority=int(priority),
    )


def _destinations(machine: Machine) -> list[Place]:
    """Where backups of it may go; on servers where the plan says it, the rules of its plan."""
    return places_by_rules(machine) if goes_by_rules() else granted_places()


def _usual(places: list[Place]) -> str:
    return next((place.guid for place in places if place.is_default), places[0].guid if places else "")


def start_restore(request: ApiRequest, guid: str, body: dict[str, Any]) -> HttpResponse:
    machine = access.machine_for(request, guid)

    def act(client_key: UUID) -> Shape:
        hypervisor, _slash, cluster = body["place"].partition("/")
        wish = RestoreWish(
            backup_guid=body["restore_point"],
            hypervisor_guid=hypervisor,
            cluster_guid=cluster,
            storage_guid=body.get("storage", ""),
            data_center=body.get("data_center", ""),
            name=body.get("name", ""),
        )
        address = address_of(request)
        return _made(
            request,
            client_key,
            *request_restore(request.membership, machine, wish, client_key=client_key, address=address),
        )

    return _accepted(*once(request, body, act))


def _made(request: ApiRequest, client_key: UUID, operation: Operation, is_new: bool) -> Shape:
    """Raises `Problem` for an operation that somebody else asked for: this wish was not fulfilled."""
    if not is_new or operation.client_key != client_key:
        raise Problem(
            "already-running", "Follow that one, or ask again when it has ended.", operation=str(operation.pk)
        )
    return operation_shape(operation, request.membership)


def _accepted(answer: str, was_answered: bool) -> HttpResponse:
    headers = {"Location": f"/api/v1/operations/{json.loads(answer)['id']}", "Cache-Control": "no-store"}
    if was_answered:
        headers["Idempotency-Replayed"] = "true"
    return HttpResponse(answer, "application/json", status=202, headers=headers)


# ── The list of it all ───────────────────────────────────────────────────────

PAGED = ("limit", "cursor")
REFUSED = ("already-running", "in-flight", "key-missing", "key-reused", "not-possible")

SHOW_TOKEN = Endpoint("showToken", "Whose this token is and what it may do now", Role.VIEWER, show_token, "Token")
LIST_MACHINES = Endpoint(
    "listMachines",
    "Machines by name, those that are deleted and can be restored too",
    *(Role.VIEWER, list_machines, "Machines"),
    query=(*PAGED, "q", "status", "plan"),
)
SHOW_MACHINE = Endpoint(
    "showMachine", "One machine", Role.VIEWER, show_machine, "MachineDetail", problems=("not-found",)
)
LIST_RESTORE_POINTS = Endpoint(
    "listRestorePoints",
    "Backups of a machine that can be restored, newest first",
    *(Role.VIEWER, list_restore_points, "RestorePoints"),
    query=PAGED,
    problems=("not-found",),
)
LIST_DESTINATIONS = Endpoint(
    "listDestinations",
    "Where a backup of this machine may go",
    *(Role.MEMBER, list_destinations, "Destinations"),
    problems=("not-found",),
)
START_BACKUP = Endpoint(
    "startBackup",
    "Back up a machine",
    *(Role.MEMBER, start_backup, "Operation"),
    body="BackupWish",
    status=202,
    problems=("not-found", *REFUSED),
)
LIST_RESTORE_PLACES = Endpoint(
    "listRestorePlaces",
    "Where this machine can be restored to",
    *(Role.RESTORER, list_restore_places, "RestorePlaces"),
    problems=("not-found",),
)
START_RESTORE = Endpoint(
    "startRestore",
    "Restore a machine as a new one; nothing is replaced",
    *(Role.RESTORER, start_restore, "Operation"),
    body="RestoreWish",
    status=202,
    problems=("not-found", *REFUSED),
)
SHOW_OPERATION = Endpoint(
    "showOperation", "How an operation stands", Role.VIEWER, show_operation, "Operation", problems=("not-found",)
)
LIST_PLANS = Endpoint("listPlans", "Automatic backups", Role.VIEWER, list_plans, "Plans", query=PAGED)

# Address below /api/v1/, name of the route, and what each method does.
ROUTES: tuple[tuple[str, str, dict[str, Endpoint]], ...] = (
    ("token", "api-token", {"GET": SHOW_TOKEN}),
    ("machines", "api-machines", {"GET": LIST_MACHINES}),
    ("machines/<guid:guid>", "api-machine", {"GET": SHOW_MACHINE}),
    ("machines/<guid:guid>/restore-points", "api-restore-points", {"GET": LIST_RESTORE_POINTS}),
    ("machines/<guid:guid>/destinations", "api-destinations", {"GET": LIST_DESTINATIONS}),
    ("machines/<guid:guid>/backups", "api-backups", {"POST": START_BACKUP}),
    ("machines/<guid:guid>/restore-places", "api-restore-places", {"GET": LIST_RESTORE_PLACES}),
    ("machines/<guid:guid>/restores", "api-restores", {"POST": START_RESTORE}),
    ("operations/<uuid:operation_id>", "api-operation", {"GET": SHOW_OPERATION}),
    ("plans", "api-plans", {"GET": LIST_PLANS}),
)
