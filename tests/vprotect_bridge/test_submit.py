"""The submit protocol's steps against a server that keeps tasks and can lose answers (docs/submit-protocol.md)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from tenants.models import Grant, Membership, Role, Tenant
from tests.conftest import both_dialects, classic_only, machine_of, operation_on, person
from tests.vprotect_bridge.client.conftest import ScriptedServer, answer_with, transport_to
from vprotect_bridge import submit as protocol
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.models import Machine, Operation, OperationEvent, Plan
from vprotect_bridge.operation_session import locked, operation_session

pytestmark = pytest.mark.django_db(transaction=True)


class Upstream:
    """Lists the tasks it made; `fault` spoils the answer of an export before or after the task was made."""

    def __init__(self, server: ScriptedServer, dialect: str) -> None:
        self.tasks: list[dict[str, Any]] = []
        self.exports = 0
        self.before: Callable[..., None] | None = None
        self.after: Callable[..., None] | None = None
        self.api = VProtect(transport_to(server, timeout=1.0), dialect)
        server.script = self._answer

    def make_task(self, body: dict[str, Any]) -> dict[str, Any]:
        task = {
            "guid": f"task-{len(self.tasks) + 1}",
            "type": {"name": "EXPORT"},
            "state": {"name": "QUEUED"},
            "protectedEntity": body["protectedEntities"][0],
            "backup": {"guid": f"backup-{len(self.tasks) + 1}"},
            "windowStart": body["windowStart"],
            "windowEnd": body["windowEnd"],
        }
        self.tasks.append(task)
        return task

    def _answer(self, secure: Any, request: bytes) -> None:
        if request.startswith(b"POST /api/tasks/export"):
            self.exports += 1
            if self.before:
                self.before(secure, request)
                return
            task = self.make_task(json.loads(request.partition(b"\r\n\r\n")[2]))
            (self.after or answer_with(json.dumps([task]).encode(), "201 Created"))(secure, request)
        else:
            rows = self.tasks if request.startswith(b"GET /api/tasks") else []
            answer_with(json.dumps(rows).encode(), headers=f"X-Total-Count: {len(rows)}\r\n")(secure, request)


@pytest.fixture
def upstream(tmp_path: Path, dialect: str, settings: Any) -> Iterator[Upstream]:
    settings.VPROTECT_DIALECT = dialect
    server = ScriptedServer(tmp_path)
    yield Upstream(server, dialect)
    server.close()


@pytest.fixture(autouse=True)
def quick_settling(settings: Any) -> None:
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "settle": 0.0}


@pytest.fixture
def tenant() -> Tenant:
    tenant = Tenant.objects.create(name="Sunflower", slug="sunflower")
    Grant.across_tenants.create(tenant=tenant, kind=Grant.Kind.DESTINATION, guid="store-1")
    return tenant


@pytest.fixture
def wish(tenant: Tenant) -> Operation:
    """On current servers the machine's plan has a rule that stores there."""
    member = person(tenant, "member", Role.MEMBER)
    machine = machine_of(tenant)
    rule = {"guid": "rule-1", "position": 0, "active": True, "destination_guids": ["store-1"]}
    held = {"is_made_here": True, "held": {"rules": [rule]}}
    Plan.across_tenants.create(tenant=tenant, name="Nightly", policy_guid="policy-1", **held)
    Machine.across_tenants.filter(pk=machine.pk).update(policy_guid="policy-1")
    machine.refresh_from_db()
    return operation_on(machine, created_by=member)


def _reset(secure: Any, request: bytes) -> None:
    secure.close()


def _now(operation: Operation) -> Operation:
    return Operation.across_tenants.get(pk=operation.pk)


def _reconcile_until_settled(upstream: Upstream, wish: Operation) -> Operation:
    for _ in range(4):
        Operation.across_tenants.filter(pk=wish.pk).update(next_at=timezone.now())
        protocol.reconcile(upstream.api)
        if _now(wish).submission != "uncertain":
            break
    return _now(wish)


@both_dialects
def test_a_wish_is_sent_once_and_tied_to_its_task(upstream: Upstream, wish: Operation):
    protocol.submit(upstream.api)
    sent = _now(wish)
    assert (sent.submission, sent.task_guid, sent.backup_guid, sent.phase) == (
        "accepted",
        "task-1",
        "backup-1",
        "queued",
    )
    assert list(OperationEvent.across_tenants.order_by("at").values_list("moved_from", "moved_to")) == [
        ("pending", "sending"),
        ("sending", "accepted"),
    ]


def test_ringing_ten_times_sends_once(upstream: Upstream, wish: Operation):
    for _ in range(10):
        protocol.submit(upstream.api)
    assert upstream.exports == 1


@both_dialects
@pytest.mark.parametrize("fault", [_reset, answer_with(b"", "500 E"), answer_with(b"<html>"), answer_with(b"[]")])
def test_a_task_whose_answer_was_lost_is_adopted_not_sent_again(fault: Any, upstream: Upstream, wish: Operation):
    upstream.after = fault
    protocol.submit(upstream.api)
    assert _now(wish).submission == "uncertain"
    settled = _reconcile_until_settled(upstream, wish)
    assert (settled.submission, settled.task_guid, settled.adopted) == ("accepted", "task-1", True)
    assert upstream.exports == 1


@both_dialects
def test_a_request_that_never_arrived_is_sent_again_after_settling(upstream: Upstream, wish: Operation):
    upstream.before = _reset
    protocol.submit(upstream.api)
    assert _reconcile_until_settled(upstream, wish).submission == "pending"
    upstream.before = None
    protocol.submit(upstream.api)
    assert (_now(wish).submission, len(upstream.tasks)) == ("accepted", 1)


def test_nothing_is_sent_again_while_it_may_still_be_on_its_way(upstream: Upstream, wish: Operation, settings: Any):
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "settle": 3600.0}
    upstream.before = _reset
    protocol.submit(upstream.api)
    assert _reconcile_until_settled(upstream, wish).submission == "uncertain"


def test_after_three_sends_a_person_decides(upstream: Upstream, wish: Operation):
    upstream.before = _reset
    for _ in range(3):
        protocol.submit(upstream.api)
        _reconcile_until_settled(upstream, wish)
    assert (_now(wish).submission, upstream.exports) == ("needs_attention", 3)


def test_two_tasks_with_one_marker_raise_the_alarm(upstream: Upstream, wish: Operation):
    upstream.after = _reset
    protocol.submit(upstream.api)
    upstream.tasks.append({**upstream.tasks[0], "guid": "task-twin"})
    assert _reconcile_until_settled(upstream, wish).submission == "needs_attention"


@both_dialects
def test_a_refusal_ends_the_wish(upstream: Upstream, wish: Operation):
    upstream.before = answer_with(b'{"message": "path /opt/vprotect"}', "422 No")
    protocol.submit(upstream.api)
    refused = _now(wish)
    assert (refused.submission, refused.outcome) == ("rejected", "refused")
    assert "/opt/vprotect" not in refused.user_message


def test_a_wish_past_its_deadline_is_never_sent(upstream: Upstream, wish: Operation):
    Operation.across_tenants.update(deadline_at=timezone.now() - timedelta(seconds=1))
    protocol.submit(upstream.api)
    assert (_now(wish).submission, _now(wish).outcome, upstream.exports) == ("expired", "missed", 0)


@pytest.mark.parametrize("who", [protocol.submit, protocol.reconcile])
def test_what_was_not_sent_is_cancelled_at_once(who: Any, upstream: Upstream, wish: Operation):
    Operation.across_tenants.update(cancel_wanted_at=timezone.now())
    who(upstream.api)
    assert (_now(wish).submission, _now(wish).outcome, upstream.exports) == ("cancelled", "cancelled", 0)


def test_what_may_be_on_its_way_is_settled_before_it_is_cancelled(upstream: Upstream, wish: Operation):
    upstream.after = _reset
    protocol.submit(upstream.api)
    Operation.across_tenants.update(cancel_wanted_at=timezone.now())
    settled = _reconcile_until_settled(upstream, wish)
    assert (settled.submission, settled.outcome) == ("accepted", ""), "then its task is cancelled"


@classic_only
@pytest.mark.parametrize("loss", ["role", "machine", "grant", "scope", "membership"])
def test_a_right_lost_since_the_click_stops_the_wish(loss: str, upstream: Upstream, wish: Operation):
    match loss:
        case "role":
            Membership.objects.update(role=Role.VIEWER)
        case "machine":
            wish.machine.present = False
            wish.machine.save()
        case "grant":
            Grant.across_tenants.all().delete()
        case "scope":
            Membership.objects.update(machine_guids=["another"])
        case "membership":
            Membership.objects.all().delete()
    protocol.submit(upstream.api)
    assert (_now(wish).submission, upstream.exports) == ("rejected", 0)


def test_vprotect_being_away_keeps_the_wish_waiting(upstream: Upstream, wish: Operation, tmp_path: Path):
    gone = ScriptedServer(tmp_path)
    gone.close()
    protocol.submit(VProtect(transport_to(gone)))
    waiting = _now(wish)
    assert (waiting.submission, waiting.outcome) == ("pending", "")
    assert waiting.next_at > timezone.now()


def test_a_frozen_sender_is_left_alone(upstream: Upstream, wish: Operation):
    Operation.across_tenants.update(submission="sending", sent_at=timezone.now())
    with operation_session() as frozen, locked(frozen, wish.pk):
        protocol.reconcile(upstream.api)
        assert _now(wish).submission == "sending"


def test_a_dead_senders_clock_starts_when_its_lock_is_free(upstream: Upstream, wish: Operation, settings: Any):
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "settle": 3600.0}
    long_ago = timezone.now() - timedelta(days=1)
    Operation.across_tenants.update(submission="sending", sent_at=long_ago)
    protocol.reconcile(upstream.api)
    taken_over = _now(wish)
    assert taken_over.submission == "uncertain"
    assert taken_over.uncertain_at > timezone.now() - timedelta(minutes=1)


def test_tenants_take_turns(upstream: Upstream, tenant: Tenant):
    member = person(tenant, "member", Role.MEMBER)
    many = [operation_on(machine_of(tenant, f"many-{n}"), created_by=member) for n in range(3)]
    pine = Tenant.objects.create(name="Pine", slug="pine")
    Grant.across_tenants.create(tenant=pine, kind=Grant.Kind.DESTINATION, guid="store-1")
    single = operation_on(machine_of(pine, "single"), created_by=person(pine, "member", Role.MEMBER))
    order = [protocol.submit(upstream.api) for _ in range(4)]
    assert [wish.pk for wish in order if wish] == [many[0].pk, single.pk, many[1].pk, many[2].pk]


@classic_only
def test_no_more_run_at_once_than_the_operator_allows(upstream: Upstream, tenant: Tenant):
    Tenant.objects.update(running_cap=2)
    member = person(tenant, "member", Role.MEMBER)
    wishes = [operation_on(machine_of(tenant, f"many-{n}"), created_by=member) for n in range(4)]
    sent = [protocol.submit(upstream.api) for _ in range(4)]
    assert [wish is not None for wish in sent] == [True, True, False, False]
    Operation.across_tenants.filter(pk=wishes[0].pk).update(outcome="succeeded")
    assert protocol.submit(upstream.api) == wishes[2] and upstream.exports == 3


def test_two_that_are_claimed_at_the_same_moment_do_not_run_above_it(upstream: Upstream, tenant: Tenant):
    Tenant.objects.update(running_cap=1)
    member = person(tenant, "member", Role.MEMBER)
    wishes = [operation_on(machine_of(tenant, f"many-{n}"), created_by=member) for n in range(2)]
    with operation_session() as one, operation_session() as other:
        claimed = [(session, protocol.claim(session)) for session in (one, other)]
        assert [operation for _session, operation in claimed] == wishes, "both saw that there is room"
        for session, operation in claimed:
            assert operation is not None
            protocol._send(session, upstream.api, operation)
    assert [_now(wish).submission for wish in wishes] == ["accepted", "pending"] and upstream.exports == 1
    Operation.across_tenants.filter(pk=wishes[0].pk).update(outcome="succeeded")
    assert protocol.submit(upstream.api) == wishes[1] and upstream.exports == 2


def test_who_waits_for_others_can_still_be_cancelled_or_end_in_time(upstream: Upstream, tenant: Tenant):
    Tenant.objects.update(running_cap=1)
    member = person(tenant, "member", Role.MEMBER)
    running, late, unwanted = (operation_on(machine_of(tenant, f"vm-{n}"), created_by=member) for n in range(3))
    assert protocol.submit(upstream.api) == running
    Operation.across_tenants.filter(pk=late.pk).update(deadline_at=timezone.now())
    Operation.across_tenants.filter(pk=unwanted.pk).update(cancel_wanted_at=timezone.now())
    for _ in range(2):
        protocol.submit(upstream.api)
    assert (_now(late).submission, _now(unwanted).submission) == ("expired", "cancelled")


def test_a_marker_lies_inside_the_window_that_was_chosen():
    start = timezone.now() + timedelta(hours=1)
    end = start + timedelta(hours=6)
    for _ in range(200):
        ws, we = protocol.choose_marker(start, end)
        assert int(start.timestamp()) * 1000 <= ws < we <= end.timestamp() * 1000
        assert we - ws >= 0.7 * 6 * 3_600_000
