"""What people may ask of vProtect. A wish becomes a row, in one transaction with its audit entry; a worker sends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tenants.audit import acting_token, record_of
from tenants.correlation import correlation_id
from tenants.models import Grant, Membership, Role
from vprotect_bridge import limits
from vprotect_bridge.backup_rules import goes_by_rules, place_of, rule_for, rules_of
from vprotect_bridge.doorbell import ring_answer, ring_submit
from vprotect_bridge.models import Machine, Operation, OperationEvent, Plan, Question, UpstreamStatus
from vprotect_bridge.plan_facts import Facts
from vprotect_bridge.refusal import WishRefused
from vprotect_bridge.submit import choose_marker

SHORTEST_WINDOW = timedelta(minutes=15)
LONGEST_WINDOW = timedelta(days=7)
SENT_AT_LATEST_BEFORE_END = timedelta(minutes=10)
AN_ANSWER_IS_FRESH_FOR = timedelta(minutes=1)


@dataclass(frozen=True)
class BackupWish:
    """What a person chose. `backup_type` FULL or INCREMENTAL, window as aware times (`start` None = now).

    `rule_guid` is for servers where a backup goes by a rule of the machine's plan: empty = the first of them. There
    `destination_guid` is not asked.
    """

    backup_type: str
    destination_guid: str
    window_end: datetime
    window_start: datetime | None = None
    priority: int = 50
    rule_guid: str = ""


def request_backup(
    membership: Membership, machine: Machine, wish: BackupWish, *, client_key: UUID, address: str | None
) -> tuple[Operation, bool]:
    """Keeps the wish and rings for a worker; returns its operation and whether this call made it.

    The same `client_key` again, and a wish for a machine that is being backed up, return the operation that is there.
    Raises `WishRefused` for what can never work.
    """
    start = wish.window_start or timezone.now()
    if there := operation_there(membership, machine, client_key):
        return there, False
    _check(membership, machine, wish, start)
    return keep_once(
        *(membership, machine, client_key, Operation.Kind.BACKUP),
        keep=lambda: _keep(membership, machine, wish, start, client_key, address),
        otherwise=_("This machine is being backed up already. Wait until it has finished."),
    )


def keep_once(
    membership: Membership,
    machine: Machine,
    client_key: UUID,
    kind: str,
    *,
    keep: Callable[[], Operation],
    otherwise: str | Promise,
) -> tuple[Operation, bool]:
    """Keeps a wish and rings for a worker, or returns the operation that was faster; and whether this call made it.

    Raises `WishRefused` for what is above the tenant's limits, and with `otherwise` for one of another tenant, who
    owned the machine until lately.
    """
    own = limits.OF_OPERATIONS.get(kind, ())
    try:
        with transaction.atomic():
            if limits.wait_for_turn(membership.tenant, own) and (
                there := operation_there(membership, machine, client_key, kind)
            ):
                return there, False
            limits.check(membership.tenant, own)
            operation = keep()
    except IntegrityError:
        # A second click was faster; the database allows one of them.
        there = operation_there(membership, machine, client_key, kind)
        if there is None:
            _check_click(membership, client_key)
            raise WishRefused(otherwise) from None
        return there, False
    transaction.on_commit(ring_submit, robust=True)
    return operation, True


def operation_there(
    membership: Membership, machine: Machine, client_key: UUID, kind: str = Operation.Kind.BACKUP
) -> Operation | None:
    same_click = Operation.objects.filter(tenant=membership.tenant, client_key=client_key, machine=machine).first()
    return same_click or open_operation(machine, kind)


def _check_click(membership: Membership, client_key: UUID) -> None:
    """Raises `WishRefused` when the click was one for another machine: a form's address was changed by hand."""
    if Operation.objects.filter(tenant=membership.tenant, client_key=client_key).exists():
        raise WishRefused(_("This form was sent before for another machine. Open it again."))


def open_operation(machine: Machine, kind: str) -> Operation | None:
    """The machine's unfinished operation of this kind that was asked for here: there is one at most."""
    wishes = Operation.objects.filter(machine=machine, origin=Operation.Origin.PORTAL)
    return wishes.filter(kind=kind, outcome=Operation.Outcome.OPEN).first()


def open_backup(machine: Machine) -> Operation | None:
    return open_operation(machine, Operation.Kind.BACKUP)


def _check(membership: Membership, machine: Machine, wish: BackupWish, start: datetime) -> None:
    check_wish(membership, wish, start)
    if not machine.exists:
        raise WishRefused(_("This machine no longer exists, so it cannot be backed up."))
    if wish.backup_type == "INCREMENTAL" and not can_be_incremental(machine):
        raise WishRefused(
            _("An incremental backup needs a plan with an incremental schedule; choose a full one."), "backup_type"
        )
    if goes_by_rules():
        if why_no_rule(machine):
            raise WishRefused(why_no_rule(machine))
        if rule_for(machine, wish.rule_guid) is None:
            raise WishRefused(_("Choose one of the destinations that are offered."), "destination")


def check_wish(membership: Membership, wish: BackupWish, start: datetime) -> None:
    """What is the same for every machine. Raises `WishRefused`."""
    if not membership.may(Role.MEMBER):
        raise WishRefused(_("Your role does not allow you to back up machines."))
    if wish.backup_type not in {"FULL", "INCREMENTAL"}:
        raise WishRefused(_("Choose a full or an incremental backup."), "backup_type")
    granted = Grant.objects.filter(kind=Grant.Kind.DESTINATION, guid=wish.destination_guid)
    if not goes_by_rules() and not granted.exists():
        raise WishRefused(_("Choose one of the destinations that are offered."), "destination")
    if not 0 <= wish.priority <= membership.tenant.priority_cap:
        highest = membership.tenant.priority_cap
        raise WishRefused(_("The priority must be from 0 to %(highest)d.") % {"highest": highest}, "priority")
    _check_window(start, wish.window_end)


def why_no_rule(machine: Machine) -> str | Promise:
    """Why nothing says where the machine's backups go; empty = a rule of its plan does."""
    if not machine.policy_guid:
        return _("It has no plan yet, and the plan says where backups go. Put it into a plan first.")
    if not rules_of(machine):
        return _("Its plan does not say where backups go, so it cannot be backed up. Ask your provider.")
    return ""


def can_be_incremental(machine: Machine) -> bool:
    """Its plan needs an incremental schedule, also for a backup on demand (guide, "Performing backup of a VM")."""
    return bool(machine.policy_guid) and machine.policy_guid in incremental_policies([machine])


def incremental_policies(machines: Iterable[Machine]) -> set[str]:
    """GUIDs of these machines' policies that have an incremental schedule."""
    guids = {machine.policy_guid for machine in machines} - {""}
    plans = Plan.objects.filter(policy_guid__in=guids, vanished_at=None, has_incremental=True)
    return set(plans.values_list("policy_guid", flat=True))


def _check_window(start: datetime, end: datetime) -> None:
    now = timezone.now()
    if start < now - timedelta(minutes=1):
        raise WishRefused(_("This time has passed. Leave it empty to start as soon as possible."), "window_start")
    if start > now + timedelta(days=30):
        raise WishRefused(_("It can start within the next 30 days."), "window_start")
    if end <= start:
        raise WishRefused(_("The window must end after it starts."), "window_end")
    if end - start < SHORTEST_WINDOW:
        raise WishRefused(_("The window must be 15 minutes long at least."), "window_end")
    if end - start > LONGEST_WINDOW:
        raise WishRefused(_("The window may be 7 days long at most."), "window_end")


def _keep(
    membership: Membership, machine: Machine, wish: BackupWish, start: datetime, client_key: UUID, address: str | None
) -> Operation:
    rule = rule_for(machine, wish.rule_guid) if goes_by_rules() else None
    operation = new_operation(membership, machine, wish, start, client_key, clock_skew_ms(), rule)
    operation.save(force_insert=True)
    first_event(operation).save(force_insert=True)
    audit(membership, "backup_requested", operation, address, operation.request)
    return operation


def clock_skew_ms() -> int:
    """vProtect judges a window by its own clock (docs/submit-protocol.md, "Marker")."""
    return UpstreamStatus.objects.values_list("clock_skew_ms", flat=True).get(pk=1)


def new_operation(
    membership: Membership,
    machine: Machine,
    wish: BackupWish,
    start: datetime,
    client_key: UUID,
    skew_ms: int,
    rule: Facts | None = None,
) -> Operation:
    """The wish as a row, not saved yet; `rule` where a backup goes by one."""
    marker_ws_ms, marker_we_ms = choose_marker(start, wish.window_end)
    return Operation(
        tenant=membership.tenant,
        kind=Operation.Kind.BACKUP,
        machine=machine,
        subject_guid=machine.guid,
        created_by_id=membership.user_id,
        token_id=acting_token.get().id,
        token_name=acting_token.get().name,
        client_key=client_key,
        correlation_id=correlation_id.get(),
        request={
            "backup_type": wish.backup_type,
            **(place_of(rule) if rule else {"destination_guid": wish.destination_guid}),
            "priority": wish.priority,
            "window_start": start.isoformat() if wish.window_start else None,
            "window_end": wish.window_end.isoformat(),
        },
        marker_ws_ms=marker_ws_ms + skew_ms,
        marker_we_ms=marker_we_ms + skew_ms,
        deadline_at=datetime.fromtimestamp(marker_we_ms / 1000, UTC) - SENT_AT_LATEST_BEFORE_END,
    )


def first_event(operation: Operation) -> OperationEvent:
    return OperationEvent(
        tenant=operation.tenant, operation=operation, moved_to=operation.submission, detail="asked for"
    )


def request_cancel(membership: Membership, operation: Operation, *, address: str | None) -> bool:
    """Keeps the wish to cancel; a worker acts on it. False = it has ended, or somebody asked before.

    Told honestly: what waits is cancelled at once, what runs stops at the engine's next safe point (API reference,
    6.8). Raises `WishRefused` for a role that may not.
    """
    if not may_cancel(membership, operation):
        raise WishRefused(_("Your role does not allow you to cancel this."))
    open_row = Operation.objects.filter(pk=operation.pk, outcome=Operation.Outcome.OPEN, cancel_wanted_at=None)
    with transaction.atomic():
        if not open_row.update(cancel_wanted_at=timezone.now()):
            return False
        audit(membership, "cancel_requested", operation, address, {})
    return True


def may_cancel(membership: Membership, operation: Operation) -> bool:
    """Who may ask for such an operation may also take it back. What the provider started is not theirs."""
    if operation.origin == Operation.Origin.ELSEWHERE or operation.kind == Operation.Kind.TASK:
        return False
    if operation.kind == Operation.Kind.MOUNT:
        return membership.may_open_backups
    return membership.may(Role.RESTORER if operation.kind == Operation.Kind.RESTORE else Role.MEMBER)


def audit(
    membership: Membership, action: str, operation: Operation, address: str | None, detail: dict[str, Any]
) -> None:
    machine = operation.machine
    record_of(
        membership,
        action,
        address=address,
        machine_guid=machine.guid,
        machine_name=machine.name,
        operation=str(operation.pk),
        **detail,
    )


def ask(membership: Membership, machine: Machine, kind: str, backup_guid: str = "") -> Question:
    """The newest question of this kind if it is fresh, else a new one that a worker answers."""
    since = timezone.now() - AN_ANSWER_IS_FRESH_FOR
    same = Question.objects.filter(machine=machine, kind=kind, backup_guid=backup_guid)
    fresh = same.filter(asked_at__gte=since, failed=False)
    if question := fresh.order_by("-asked_at").first():
        return question
    question = Question.objects.create(tenant=membership.tenant, machine=machine, kind=kind, backup_guid=backup_guid)
    transaction.on_commit(ring_answer, robust=True)
    return question
