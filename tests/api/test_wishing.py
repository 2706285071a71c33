"""Backing up and restoring by program: the pages' own rules, once for each key, and named in audit and activity."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from api.idempotency import _number_of
from api.models import IdempotencyKey
from tenants.models import AuditEntry, Grant, Role, Tenant, User
from tests.api.conftest import Program, point_of, program_of
from tests.conftest import AsRole, machine_of, operation_on, person
from tests.tokens.conftest import token_of
from tokens.models import Token
from vprotect_bridge.models import Hypervisor, Machine, Operation, Plan
from vprotect_bridge.submit import no_longer_allowed

pytestmark = pytest.mark.django_db

BACKUPS, RESTORES = "machines/vm-1/backups", "machines/vm-1/restores"
FULL = {"type": "full"}


@pytest.fixture
def place(machine: Machine) -> str:
    point_of(machine, "point-1")
    Hypervisor.objects.create(guid="host-1", name="node", platform="KVM", is_manager=False)
    Grant.across_tenants.create(tenant=machine.tenant, kind="hypervisor", guid="host-1")
    return "host-1"


def test_a_backup_is_asked_for_with_what_is_usual(program: Program, machine: Machine, restorer: User):
    answer = program.wish(BACKUPS, FULL)
    operation = Operation.across_tenants.get()
    assert answer.status_code == 202 and answer["Location"] == f"/api/v1/operations/{operation.pk}"
    assert answer.json()["state"] == "waiting" and answer.json()["id"] == str(operation.pk)
    wish = operation.request
    assert (wish["backup_type"], wish["destination_guid"], wish["priority"]) == ("FULL", "store-1", 50)
    assert operation.created_by == restorer and operation.token_name == "Deploy"
    left = operation.deadline_at - timezone.now()  # type: ignore[operator]
    assert timedelta(hours=5) < left < timedelta(hours=6)


def test_each_choice_is_taken(program: Program, machine: Machine):
    start = (timezone.now() + timedelta(hours=1)).replace(microsecond=0)
    times = {"window_start": start.isoformat(), "window_end": (start + timedelta(hours=2)).isoformat()}
    assert program.wish(BACKUPS, {**FULL, "destination": "store-2", "priority": 7, **times}).status_code == 202
    wish = Operation.across_tenants.get().request
    assert (wish["destination_guid"], wish["priority"], wish["window_start"]) == ("store-2", 7, start.isoformat())


def test_a_restore_is_asked_for(program: Program, machine: Machine, place: str):
    answer = program.wish(RESTORES, {"restore_point": "point-1", "place": place, "name": "again"})
    operation = Operation.across_tenants.get()
    assert answer.status_code == 202 and answer.json()["kind"] == "restore" == operation.kind
    assert operation.request["name"] == "again" and operation.token_name == "Deploy"


def test_where_the_plan_decides_a_destination_is_one_of_its_rules(program: Program, machine: Machine, settings: Any):
    settings.VPROTECT_DIALECT = "current"
    assert kind_of_problem(program.wish(BACKUPS, FULL)) == "not-possible", "it has no plan"
    rules = [
        {"guid": f"rule-{n}", "active": True, "position": n, "destination_guids": [store], "schedule_guids": []}
        for n, store in ((1, "store-2"), (2, "store-1"))
    ]
    Machine.across_tenants.update(policy_guid="policy-1")
    Plan.across_tenants.create(
        tenant=machine.tenant, name="Nightly", policy_guid="policy-1", is_made_here=True, held={"rules": rules}
    )
    offered = program.get("machines/vm-1/destinations").json()["items"]
    assert [(place["id"], place["name"]) for place in offered] == [("rule-1", "Archive"), ("rule-2", "Main store")]
    answer = program.wish(BACKUPS, {**FULL, "destination": "store-1"})
    assert [error["field"] for error in answer.json()["errors"]] == ["destination"]
    assert program.wish(BACKUPS, {**FULL, "destination": "rule-2"}).status_code == 202
    assert Operation.across_tenants.get().request["rule_guid"] == "rule-2"


def kind_of_problem(answer: Any) -> str:
    return str(answer.json()["type"].rpartition("#")[2])


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (BACKUPS, {"type": "incremental"}, "type"),
    (BACKUPS, {**FULL, "destination": "store-9"}, "destination"),
    (BACKUPS, {**FULL, "priority": 51}, "priority"),
    (BACKUPS, {**FULL, "window_start": "2026-01-01T00:00Z"}, "window_start"),
    (BACKUPS, {**FULL, "window_end": "2036-01-01T00:00:00+02:00"}, "window_end"),
    (RESTORES, {"restore_point": "point-9", "place": "host-1"}, "restore_point"),
    (RESTORES, {"restore_point": "point-1", "place": "host-9"}, "place"),
    (RESTORES, {"restore_point": "point-1", "place": "host-1/cluster-9"}, "place"),
    (RESTORES, {"restore_point": "point-1", "place": "host-1", "name": "a/../b"}, "name"),
    (RESTORES, {"restore_point": "point-1", "place": "host-1"}, "name"),
]


@pytest.mark.parametrize(("address", "body", "field"), REFUSED)
def test_what_the_pages_refuse_is_refused_at_its_field(
    address: str, body: dict[str, Any], field: str, program: Program, machine: Machine, place: str
):
    answer = program.wish(address, body)
    assert answer.status_code == 422 and [error["field"] for error in answer.json()["errors"]] == [field]
    assert not Operation.across_tenants.exists() and not IdempotencyKey.across_tenants.exists()


def test_above_a_limit_it_is_refused_with_what_is_left(program: Program, machine: Machine):
    Tenant.objects.update(daily_backup_cap=0)
    answer = program.wish(BACKUPS, FULL)
    assert answer.status_code == 422 and answer.json()["type"].endswith("#not-possible")


def test_while_one_runs_the_wish_is_refused_and_that_one_named(program: Program, machine: Machine):
    running = operation_on(machine)
    answer = program.wish(BACKUPS, FULL, key="mine")
    assert answer.status_code == 409 and answer.json()["operation"] == str(running.pk)
    Operation.across_tenants.update(outcome="succeeded")
    assert program.wish(BACKUPS, FULL, key="mine").status_code == 202, "the same key may be tried again"


# ── Once ─────────────────────────────────────────────────────────────────────


def test_the_same_wish_again_is_answered_again(program: Program, machine: Machine):
    first = program.wish(BACKUPS, {"type": "full", "priority": 5}, key="one")
    Operation.across_tenants.update(outcome="succeeded", submission="accepted")
    again = program.wish(BACKUPS, {"priority": 5, "type": "full"}, key="one")
    assert again.content == first.content and again["Location"] == first["Location"]
    assert again["Idempotency-Replayed"] == "true" and "Idempotency-Replayed" not in first
    assert Operation.across_tenants.count() == 1
    assert AuditEntry.across_tenants.filter(action="backup_requested").count() == 1


@pytest.mark.parametrize("other", [{"type": "full", "priority": 6}, {"type": "incremental"}])
def test_a_key_is_for_one_wish(other: dict[str, Any], program: Program, machine: Machine):
    program.wish(BACKUPS, FULL, key="one")
    answer = program.wish(BACKUPS, other, key="one")
    assert answer.status_code == 422 and answer.json()["type"].endswith("#key-reused")
    machine_of(machine.tenant, "vm-2")
    assert program.wish("machines/vm-2/backups", FULL, key="one").status_code == 422


def test_keys_are_each_tokens_own(program: Program, machine: Machine, tenant: Tenant, restorer: User):
    program.wish(BACKUPS, FULL, key="one")
    Operation.across_tenants.update(outcome="succeeded")
    other = program_of(tenant, restorer).wish(BACKUPS, {**FULL, "priority": 1}, key="one")
    assert other.status_code == 202 and Operation.across_tenants.count() == 2


def test_a_key_is_kept_for_a_day(program: Program, machine: Machine):
    program.wish(BACKUPS, FULL, key="one")
    Operation.across_tenants.update(outcome="succeeded")
    IdempotencyKey.across_tenants.update(created_at=timezone.now() - timedelta(hours=23, minutes=59))
    assert program.wish(BACKUPS, FULL, key="one")["Idempotency-Replayed"] == "true"
    IdempotencyKey.across_tenants.update(created_at=timezone.now() - timedelta(hours=24, minutes=1))
    assert program.wish(BACKUPS, {**FULL, "priority": 1}, key="one").status_code == 202
    assert Operation.across_tenants.count() == 2 and IdempotencyKey.across_tenants.count() == 1


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "a" * 256])
def test_a_wish_needs_a_key(key: str, program: Program, machine: Machine):
    answer = program.ask("POST", BACKUPS, FULL, **({"Idempotency-Key": key} if key else {}))
    assert answer.status_code == 400 and answer.json()["type"].endswith("#key-missing")


def test_while_the_same_is_worked_on_it_is_to_be_asked_again(program: Program, machine: Machine):
    """Somebody else holds the key, in a transaction of their own."""
    other = connections.create_connection("default")
    other.settings_dict["NAME"] = connection.settings_dict["NAME"]
    number = _number_of(Token.across_tenants.get(), "one")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [number])
        answer = program.wish(BACKUPS, FULL, key="one")
        assert answer.status_code == 409 and answer["Retry-After"] == "1"
        assert answer.json()["type"].endswith("#in-flight") and not Operation.across_tenants.exists()
    finally:
        other.close()
    assert program.wish(BACKUPS, FULL, key="one").status_code == 202


@pytest.mark.django_db(transaction=True)
def test_two_at_the_same_moment_make_one(program: Program, machine: Machine):
    start, answers = Barrier(4), []

    def ask() -> None:
        start.wait()
        answers.append(Program(program.secret).wish(BACKUPS, FULL, key="one"))
        connections.close_all()

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {202, 409} and Operation.across_tenants.count() == 1
    assert len({answer.content for answer in answers if answer.status_code == 202}) == 1


def test_who_may_no_longer_is_not_answered_again_either(tenant: Tenant, restorer: User, machine: Machine):
    program = program_of(tenant, restorer)
    assert program.wish(BACKUPS, FULL, key="one").status_code == 202
    restorer.memberships.update(machine_guids=["vm-7"])
    assert program.wish(BACKUPS, FULL, key="one").status_code == 404
    restorer.memberships.update(machine_guids=None, role=Role.VIEWER)
    assert program.wish(BACKUPS, FULL, key="one").status_code == 403


# ── Until it is sent ─────────────────────────────────────────────────────────

LATER: dict[str, tuple[Callable[[Token, User], object], bool]] = {
    "nothing changed": (lambda token, owner: None, True),
    "its time is over": (lambda token, owner: Token.across_tenants.update(expires_at=timezone.now()), True),
    "revoked": (lambda token, owner: Token.across_tenants.update(revoked_at=timezone.now()), False),
    "its owner lowered": (lambda token, owner: owner.memberships.update(role=Role.VIEWER), False),
    "its owner limited": (lambda token, owner: owner.memberships.update(machine_guids=["vm-7"]), False),
    "its owner removed": (lambda token, owner: owner.memberships.all().delete(), False),
}


@pytest.mark.parametrize("wish", ["backup", "restore"])
@pytest.mark.parametrize("change", LATER)
def test_a_worker_sends_what_the_token_may_ask_for_still(
    change: str, wish: str, tenant: Tenant, restorer: User, machine: Machine, place: str, as_role: AsRole
):
    token, secret = token_of(tenant, restorer)
    body = FULL if wish == "backup" else {"restore_point": "point-1", "place": place, "name": "again"}
    assert Program(secret).wish(f"machines/vm-1/{wish}s", body).status_code == 202
    LATER[change][0](token, restorer)
    with as_role("portal_worker"):
        refusal = no_longer_allowed(Operation.across_tenants.select_related("tenant", "machine").get())
    assert bool(refusal) is not LATER[change][1] and (not refusal or "token" in refusal)


@pytest.mark.parametrize("is_revoked", [False, True])
def test_a_tenants_own_token_is_asked_itself(is_revoked: bool, tenant: Tenant, machine: Machine, as_role: AsRole):
    """Nobody's membership stands behind it."""
    token, secret = token_of(tenant)
    assert Program(secret).wish(BACKUPS, FULL).status_code == 202
    Token.across_tenants.update(revoked_at=timezone.now() if is_revoked else None)
    with as_role("portal_worker"):
        assert bool(no_longer_allowed(Operation.across_tenants.get())) is is_revoked
    assert Operation.across_tenants.get().token_id == token.pk


# ── By whom ──────────────────────────────────────────────────────────────────


def test_what_a_token_did_is_named_in_audit_and_activity(
    tenant: Tenant, restorer: User, machine: Machine, as_web: Callable[[User], Client]
):
    admin = as_web(person(tenant, "admin", Role.ADMIN))
    for owner, name, who in ((restorer, "Of mine", "restorer@sunflower.example"), (None, "Of ours", "Of ours")):
        token, secret = token_of(tenant, owner, name=name)
        assert Program(secret).wish(BACKUPS, FULL).status_code == 202
        entry = AuditEntry.across_tenants.get(detail__token_id=str(token.pk))
        assert (entry.actor, entry.actor_name, entry.detail["token"]) == (owner, who, name)
        assert entry.action == "backup_requested" and entry.role == "restorer" and entry.address == "127.0.0.1"
        assert entry.tenants_token == ("" if owner else name)
        operation = Operation.across_tenants.get(token_name=name)
        assert operation.created_by == owner
        for page in ("audit/", "operations/", f"operations/{operation.pk}/"):
            assert name in admin.get(f"/t/sunflower/{page}").content.decode(), page
        Operation.across_tenants.update(outcome="succeeded", submission="accepted")


def test_a_token_of_the_organisation_does_not_look_like_a_person(
    tenant: Tenant, machine: Machine, as_web: Callable[[User], Client]
):
    maker = person(tenant, "admin", Role.ADMIN)
    _token, secret = token_of(tenant, name="deploy@pipeline.example")
    Token.across_tenants.update(created_by=maker)
    assert Program(secret).wish(BACKUPS, FULL).status_code == 202
    said, operation = "API token deploy@pipeline.example (of the organisation)", Operation.across_tenants.get()
    for page in ("audit/", "operations/", f"operations/{operation.pk}/"):
        assert said in as_web(maker).get(f"/t/sunflower/{page}").content.decode(), page
    assert f"made by {maker.email}" in as_web(maker).get("/t/sunflower/audit/").content.decode()
    (row,) = csv.DictReader(as_web(maker).get("/t/sunflower/audit/file.csv").content.decode().splitlines())
    assert row["who"] == said
    detail = json.loads(row["detail"])
    assert (detail["token_made_by"], detail["operation"]) == (maker.email, str(operation.pk))


def test_pages_name_no_token(tenant: Tenant, machine: Machine, program: Program):
    """What one request was done with is not told of the next."""
    program.wish(BACKUPS, FULL)
    from tenants.audit import NO_TOKEN, acting_token

    assert acting_token.get() == NO_TOKEN
