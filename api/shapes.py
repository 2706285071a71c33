"""Rows in the words of `api.schemas`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from portal import words
from portal.operation_story import operation_context
from portal.plan_forms import shown_schedules, wish_shown
from portal.plan_words import plan_name, schedule_sentence
from tenants.models import Membership
from tokens.bearer import Bearer
from vprotect_bridge.models import Backup, Machine, Operation, Plan, Standing
from vprotect_bridge.plan_facts import Held
from vprotect_bridge.plan_preview import next_runs_of

Shape = dict[str, Any]
KINDS = {"mount": "opening"}
PLAN_STATES = {Standing.ACTING: "active", Standing.PAUSED: "paused", Standing.IDLE: "idle"}


def moment(at: datetime | None) -> str | None:
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def token_shape(bearer: Bearer) -> Shape:
    token, may = bearer.token, bearer.membership
    owner = may.user.email if may.user_id else None
    return {
        "name": token.name,
        "organisation": token.tenant.name,
        "owner": owner,
        "role": may.role,
        "machines": may.machine_guids,
        "expires_at": moment(token.expires_at),
    }


def machine_shape(machine: Machine, plans: dict[str, Shape]) -> Shape:
    """`plans`: {"id", "name"} by the GUID of their policy."""
    return {
        "id": machine.guid,
        "name": machine.name,
        "platform": machine.platform,
        "status": machine.protection,
        "exists": machine.exists,
        "plan": plans.get(machine.policy_guid),
        "last_backup_at": moment(machine.last_success_at),
        "full_bytes": machine.last_full_size,
    }


def plans_named(plans: Iterable[Plan]) -> dict[str, Shape]:
    return {plan.policy_guid: {"id": str(plan.pk), "name": str(plan_name(plan))} for plan in plans}


def restore_point_shape(backup: Backup) -> Shape:
    return {
        "id": backup.guid,
        "at": moment(backup.sort_at),
        "type": backup.type.lower(),
        "bytes": backup.size,
        "has_warnings": backup.status == "PARTIAL_SUCCESS",
    }


def plan_shape(plan: Plan) -> Shape:
    runs = next_runs_of(Held.from_json(plan.held), timezone.now(), 1) if plan.standing == Standing.ACTING else []
    return {
        "id": str(plan.pk),
        "name": str(plan_name(plan)),
        "state": PLAN_STATES[Standing(plan.standing)],
        "schedules": [schedule_sentence(schedule) for schedule in shown_schedules(plan)],
        "time_zone": wish_shown(plan).time_zone,
        "next_run_at": moment(next(iter(runs), None)),
    }


def kind_of(operation: Operation) -> str:
    return KINDS.get(operation.kind, operation.kind)


def operation_shape(operation: Operation, membership: Membership) -> Shape:
    """Costs a few statements: for one, not for lists."""
    story = operation_context(operation, membership)
    made, restored = story["made"], story["restored"]
    page = reverse("operation", args=[membership.tenant.slug, operation.pk])
    return {
        "id": str(operation.pk),
        "kind": kind_of(operation),
        "machine": {"id": operation.machine.guid, "name": operation.machine.name},
        "state": _state(operation),
        "is_finished": operation.is_finished,
        "is_cancelling": operation.is_cancelling,
        "progress": operation.progress,
        "message": str(words.operation_sentence(operation)),
        "reason": str(story["reason"]) or None,
        "asked_by": str(words.asked_by(operation)),
        "created_at": moment(operation.created_at),
        "started_at": moment(operation.started_at),
        "finished_at": moment(operation.finished_at),
        "restore_point": _restore_point(operation, made),
        "restored_machine": restored.guid if restored else None,
        "page": f"{settings.PORTAL_URL}{page}",
    }


def _restore_point(operation: Operation, made: Backup | None) -> str | None:
    if operation.kind == Operation.Kind.RESTORE:
        return operation.request.get("backup_guid") or operation.backup_guid or None
    return made.guid if made else None


def _state(operation: Operation) -> str:
    if operation.is_finished:
        return operation.outcome
    chip = words.operation_chip(operation)
    return "waiting" if chip is words.WAITING else "running" if chip is words.RUNNING else "checking"
