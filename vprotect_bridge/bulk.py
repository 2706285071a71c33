"""One thing for many machines at once: who gets it and who cannot, then all of it in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from django.db import IntegrityError, models, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.audit import record_of
from tenants.models import Membership
from vprotect_bridge import limits
from vprotect_bridge.backup_rules import goes_by_rules, rules_by_policy
from vprotect_bridge.doorbell import ring_answer, ring_submit
from vprotect_bridge.models import BulkRequest, Machine, Operation, OperationEvent, Plan, PlanChange, Question
from vprotect_bridge.plan_wishes import PlanWish, request_plan_change
from vprotect_bridge.services import (
    AN_ANSWER_IS_FRESH_FOR,
    BackupWish,
    WishRefused,
    audit,
    check_wish,
    clock_skew_ms,
    first_event,
    incremental_policies,
    new_operation,
)

MOST_MACHINES = 200
# What vProtect said of a machine's destinations before somebody read the whole list and decided.
AN_ANSWER_COUNTS_FOR = timedelta(minutes=10)
PATIENCE = timedelta(seconds=45)


class Reason(models.TextChoices):
    """Why a machine gets nothing."""

    GONE = "gone", _("It no longer exists.")
    RUNNING = "running", _("It is being backed up already.")
    NO_PLAN = "no_plan", _("It has no plan, which an incremental backup needs.")
    NO_INCREMENTAL = "no_incremental", _("Its plan has no incremental schedule.")
    NO_DESTINATION = "no_destination", _("It cannot use this destination.")
    NO_RULE = "no_rule", _("No plan says where its backups go.")
    IN_PLAN = "in_plan", _("It is in this plan already.")


@dataclass(frozen=True)
class Prospect:
    """What will happen to a machine. `reason` = it is left out; `is_asking` = vProtect has not answered yet.

    `moved_from`: the name of the plan that it leaves, None = none.
    """

    machine: Machine
    reason: str = ""
    is_asking: bool = False
    moved_from: str | None = None

    @property
    def left_out(self) -> dict[str, str]:
        return {"guid": self.machine.guid, "name": self.machine.name, "reason": self.reason}


def _same_click(membership: Membership, client_key: UUID) -> BulkRequest | None:
    return BulkRequest.objects.filter(tenant=membership.tenant, client_key=client_key).first()


# ── Backups ──────────────────────────────────────────────────────────────────


def backup_prospects(machines: Sequence[Machine], wish: BackupWish) -> list[Prospect]:
    """In the order of `machines`; three or four statements, however many they are."""
    open_ones = Operation.objects.filter(
        machine__in=machines, kind=Operation.Kind.BACKUP, origin=Operation.Origin.PORTAL, outcome=Operation.Outcome.OPEN
    )
    running = set(open_ones.values_list("machine_id", flat=True))
    incremental = incremental_policies(machines) if wish.backup_type == "INCREMENTAL" else None
    rules = rules_by_policy(machines) if goes_by_rules() else None
    answers = {} if goes_by_rules() else _answers(machines)

    def prospect(machine: Machine) -> Prospect:
        if not machine.exists:
            return Prospect(machine, Reason.GONE)
        if machine.pk in running:
            return Prospect(machine, Reason.RUNNING)
        if incremental is not None and machine.policy_guid not in incremental:
            return Prospect(machine, Reason.NO_INCREMENTAL if machine.policy_guid else Reason.NO_PLAN)
        if rules is not None and not rules.get(machine.policy_guid):
            return Prospect(machine, Reason.NO_RULE)
        question = answers.get(machine.pk)
        if question is None or question.failed:
            return Prospect(machine)
        if question.answer is None:
            return Prospect(machine, is_asking=question.asked_at > timezone.now() - PATIENCE)
        is_usable = wish.destination_guid in question.answer["guids"]
        return Prospect(machine, "" if is_usable else Reason.NO_DESTINATION)

    return list(map(prospect, machines))


def _answers(machines: Iterable[Machine]) -> dict[int, Question]:
    """The newest question about each machine's destinations, by the key of the machine."""
    since = timezone.now() - AN_ANSWER_COUNTS_FOR
    questions = Question.objects.filter(
        machine__in=machines, kind=Question.Kind.USABLE_DESTINATIONS, asked_at__gte=since
    )
    # A new one that waits does not take away what is known.
    return {question.machine_id: question for question in questions.order_by(F("answered_at").asc(nulls_first=True))}


def ask_for_destinations(membership: Membership, machines: Iterable[Machine]) -> None:
    """Asks vProtect which destinations each can use, unless that was asked a moment ago."""
    existing = [machine for machine in machines if machine.exists]
    since = timezone.now() - AN_ANSWER_IS_FRESH_FOR
    asked = Question.objects.filter(
        machine__in=existing, kind=Question.Kind.USABLE_DESTINATIONS, asked_at__gte=since, failed=False
    )
    known = set(asked.values_list("machine_id", flat=True))
    new = [
        Question(tenant=membership.tenant, machine=machine, kind=Question.Kind.USABLE_DESTINATIONS)
        for machine in existing
        if machine.pk not in known
    ]
    if new:
        Question.objects.bulk_create(new)
        transaction.on_commit(ring_answer, robust=True)


def request_bulk_backup(
    membership: Membership, machines: Sequence[Machine], wish: BackupWish, *, client_key: UUID, address: str | None
) -> tuple[BulkRequest, bool]:
    """One operation for each machine that can have one, and one ring; returns the request and whether it is new.

    The operations' own keys come from `client_key`, so that the same form makes nothing twice. Raises `WishRefused`
    for what works for no machine, and for more than the tenant's limits allow.
    """
    if there := _same_click(membership, client_key):
        return there, False
    start = wish.window_start or timezone.now()
    check_wish(membership, wish, start)
    prospects = backup_prospects(machines, wish)
    wanted = [prospect.machine for prospect in prospects if not prospect.reason]
    if not wanted:
        raise WishRefused(_("None of these machines can be backed up like this."))

    request = BulkRequest(
        tenant=membership.tenant, kind=BulkRequest.Kind.BACKUP, created_by=membership.user, client_key=client_key
    )
    try:
        with transaction.atomic():
            own = limits.OF_OPERATIONS[Operation.Kind.BACKUP]
            if limits.wait_for_turn(membership.tenant, own) and (there := _same_click(membership, client_key)):
                return there, False
            limits.check(membership.tenant, own, len(wanted))
            made = _keep_operations(request, membership, wanted, wish, start, address)
            late = [Prospect(machine, Reason.RUNNING) for machine in wanted if machine.guid not in made]
            request.machine_guids = made
            request.left_out = [prospect.left_out for prospect in [*prospects, *late] if prospect.reason]
            request.save(force_insert=True)
    except IntegrityError:
        # A second click was faster.
        if there := _same_click(membership, client_key):
            return there, False
        raise
    transaction.on_commit(ring_submit, robust=True)
    return request, True


def _keep_operations(
    request: BulkRequest,
    membership: Membership,
    machines: Sequence[Machine],
    wish: BackupWish,
    start: datetime,
    address: str | None,
) -> list[str]:
    """GUIDs of the machines that got one; the others have been asked for by somebody else this very moment."""
    skew_ms = clock_skew_ms()
    rules = rules_by_policy(machines) if goes_by_rules() else {}
    wanted = [
        new_operation(
            *(membership, machine, wish, start, uuid5(request.client_key, machine.guid), skew_ms),
            rule=next(iter(rules.get(machine.policy_guid, ())), None),
        )
        for machine in machines
    ]
    for operation in wanted:
        operation.is_bulk, operation.bulk_request = True, request
    Operation.objects.bulk_create(wanted, ignore_conflicts=True)
    kept = set(Operation.objects.filter(pk__in=[row.pk for row in wanted]).values_list("pk", flat=True))
    made = [operation for operation in wanted if operation.pk in kept]
    OperationEvent.objects.bulk_create(map(first_event, made))
    for operation in made:
        audit(membership, "backup_requested", operation, address, {**operation.request, "bulk": str(request.pk)})
    return [operation.subject_guid for operation in made]


# ── Plans ────────────────────────────────────────────────────────────────────


def plan_prospects(machines: Iterable[Machine], plan: Plan) -> list[Prospect]:
    """In the order of `machines`; one statement."""
    names = dict(Plan.objects.filter(vanished_at=None).exclude(policy_guid="").values_list("policy_guid", "name"))

    def prospect(machine: Machine) -> Prospect:
        if not machine.exists:
            return Prospect(machine, Reason.GONE)
        if plan.policy_guid and machine.policy_guid == plan.policy_guid:
            return Prospect(machine, Reason.IN_PLAN)
        return Prospect(machine, moved_from=names.get(machine.policy_guid, "") if machine.policy_guid else None)

    return list(map(prospect, machines))


def with_added(shown: PlanWish, prospects: Iterable[Prospect]) -> tuple[str, ...]:
    """The GUIDs of a plan's machines with those that it takes in."""
    added = {prospect.machine.guid for prospect in prospects if not prospect.reason}
    return tuple(sorted({*shown.machine_guids, *added}))


def request_bulk_plan(
    membership: Membership,
    machines: Sequence[Machine],
    plan: Plan,
    shown: PlanWish,
    *,
    based_on: str,
    client_key: UUID,
    address: str | None,
) -> tuple[BulkRequest, bool]:
    """Puts the machines into the plan beside those that it has: one change of the plan, as the plan's form makes it.

    `shown`: the plan as the person saw it, `based_on` its digest. Raises `WishRefused` as `request_plan_change` does.
    """
    if there := _same_click(membership, client_key):
        return there, False
    prospects = plan_prospects(machines, plan)
    wanted = [prospect for prospect in prospects if not prospect.reason]
    if not wanted:
        raise WishRefused(_("None of these machines can be put into this plan."))
    guids = [prospect.machine.guid for prospect in wanted]
    wish = replace(shown, machine_guids=with_added(shown, prospects))
    request = BulkRequest(
        tenant=membership.tenant,
        kind=BulkRequest.Kind.PLAN,
        created_by=membership.user,
        client_key=client_key,
        machine_guids=guids,
        left_out=[prospect.left_out for prospect in prospects if prospect.reason],
        moved_from={p.machine.guid: p.moved_from for p in wanted if p.moved_from is not None},
    )
    with transaction.atomic():
        request.plan_change, _made = request_plan_change(
            *(membership, plan, PlanChange.Kind.EDIT, wish), based_on=based_on, client_key=client_key, address=address
        )
        if there := _same_click(membership, client_key):
            return there, False
        request.save(force_insert=True)
        for prospect in wanted:
            record_of(
                membership,
                "plan_assigned",
                address=address,
                machine_guid=prospect.machine.guid,
                machine_name=prospect.machine.name,
                plan=str(plan.pk),
                plan_name=plan.name,
                bulk=str(request.pk),
            )
    return request, True
