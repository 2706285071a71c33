"""What happened is told once to each person who wanted it and may see it, whoever crashes and however late."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, transaction
from django.utils import timezone

from notifications import sorting
from notifications.models import ByMail, Event, Notice, PersonalChoices, TenantChoices, Topic, Wish
from tenants.models import Membership, Role, Tenant, User
from tests.conftest import AsRole, machine_of, operation_on, person
from tests.notifications.happenings import ended, seen
from vprotect_bridge.models import Backup, Machine, Operation, Plan, PlanChange

pytestmark = pytest.mark.django_db


@pytest.fixture
def machine(sunflower: Tenant, owner: User) -> Machine:
    seen(owner)
    return machine_of(sunflower)


def told(user: User) -> list[str]:
    return list(Notice.across_tenants.filter(user=user).order_by("pk").values_list("event__what", flat=True))


# ── Noticing ─────────────────────────────────────────────────────────────────


def test_an_end_is_noted_in_its_own_transaction(machine: Machine):
    operation = operation_on(machine, submission="accepted")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Operation.across_tenants.filter(pk=operation.pk).update(outcome="failed")
        raise ZeroDivisionError
    assert not Event.across_tenants.exists()
    Operation.across_tenants.filter(pk=operation.pk).update(outcome="failed")
    assert Event.across_tenants.get().what == "failed"


def test_what_ended_before_anybody_looked_is_news_for_two_days(machine: Machine):
    now = timezone.now()
    for days in (0, 1, 3):
        operation_on(machine, origin="schedule", outcome="failed", finished_at=now - timedelta(days=days))
    assert Event.across_tenants.count() == 2


def test_what_is_written_again_is_not_noted_again(machine: Machine):
    operation = ended(machine)
    Operation.across_tenants.filter(pk=operation.pk).update(outcome="failed", user_message="why")
    operation.save()
    assert Event.across_tenants.count() == 1


def test_who_notes_it_needs_no_right_of_its_own(machine: Machine, as_role: AsRole):
    operation = operation_on(machine, submission="accepted")
    with as_role("portal_operator"):
        Operation.across_tenants.filter(pk=operation.pk).update(outcome="refused")
    assert Event.across_tenants.get().what == "refused"
    with pytest.raises(DatabaseError, match="permission denied"), as_role("portal_operator"):
        Event.across_tenants.update(what="succeeded")


def test_one_that_needs_a_decision_is_noted_before_it_ends(machine: Machine, owner: User):
    operation = operation_on(machine, submission="uncertain")
    Operation.across_tenants.filter(pk=operation.pk).update(submission="needs_attention", user_message="Twice.")
    Operation.across_tenants.filter(pk=operation.pk).update(outcome="succeeded")
    sorting.sort()
    assert [event.what for event in Event.across_tenants.order_by("pk")] == ["needs_attention", "succeeded"]
    assert told(owner) == ["needs_attention"]
    assert Event.across_tenants.first().reason == "Twice."  # type: ignore[union-attr]


def test_a_change_of_a_plan_is_noted_when_it_ends_or_sticks(sunflower: Tenant, owner: User):
    plan = Plan.across_tenants.create(tenant=sunflower, name="Nightly", is_made_here=True)
    for kind, state in (("create", "done"), ("clock", "done"), ("edit", "refused")):
        change = PlanChange.across_tenants.create(tenant=sunflower, plan=plan, kind=kind)
        PlanChange.across_tenants.filter(pk=change.pk).update(state=state, user_message="Why.")
    sorting.sort()
    events = list(Event.across_tenants.order_by("pk"))
    assert [(event.what, event.plan_name, event.topic) for event in events] == [
        ("done", "Nightly", "plans"),
        ("refused", "Nightly", "plans"),
    ]
    assert told(owner) == ["refused"]


# ── Sorting ──────────────────────────────────────────────────────────────────


def test_it_is_told_once_however_often_it_is_sorted(machine: Machine, owner: User):
    ended(machine)
    assert (sorting.sort(), sorting.sort()) == (1, 0)
    Event.across_tenants.update(sorted_at=None)
    sorting.sort()
    assert told(owner) == ["failed"]


def told_and_lost(events: list[Event], notify: Any = sorting._notify) -> None:
    notify(events)
    raise OperationalError("the connection is gone")


def test_a_crash_leaves_it_to_be_sorted_again(machine: Machine, owner: User, monkeypatch: pytest.MonkeyPatch):
    ended(machine)
    with monkeypatch.context() as patch:
        patch.setattr(sorting, "_notify", lambda events: told_and_lost(events))
        with pytest.raises(OperationalError), transaction.atomic():
            sorting.sort()
    assert told(owner) == []
    sorting.sort()
    assert told(owner) == ["failed"]


def test_one_that_was_committed_late_is_not_lost(machine: Machine, owner: User):
    """Its number is lower than that of another, which was sorted before it could be seen."""
    ended(machine)
    late = Event.across_tenants.get()
    Event.across_tenants.all().delete()
    ended(machine, "partial")
    sorting.sort()
    late.save(force_insert=True)
    assert late.pk < Event.across_tenants.get(what="partial").pk
    sorting.sort()
    assert sorted(told(owner)) == ["failed", "partial"]


def test_one_that_is_not_understood_holds_up_nobody(machine: Machine, owner: User, monkeypatch: pytest.MonkeyPatch):
    ended(machine, kind="restore")
    ended(machine)
    monkeypatch.delitem(sorting.TOPIC_OF_KIND, Operation.Kind.RESTORE)
    assert sorting.sort() == 2 and sorting.sort() == 0
    assert told(owner) == ["failed"] and Notice.across_tenants.get().event.topic == Topic.BACKUPS


def test_what_it_was_about_may_be_gone(machine: Machine, owner: User):
    operation = ended(machine)
    Operation.across_tenants.filter(pk=operation.pk).delete()
    assert sorting.sort() == 1 and not Event.across_tenants.exists()


def test_a_failure_has_its_reason_in_our_words_and_never_in_vprotects(machine: Machine):
    Backup.across_tenants.create(
        guid="b-1",
        machine=machine,
        tenant=machine.tenant,
        status="FAILED",
        sort_at=timezone.now(),
        status_info="node-7.internal: not enough space in /vprotect_data",
    )
    ended(machine, backup_guid="b-1")
    sorting.sort()
    assert Event.across_tenants.get().reason == "There was not enough free space to prepare the backup."


# ── Whom it concerns ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wish", "heard"), [("always", ["succeeded", "failed"]), ("problems", ["failed"]), ("never", [])]
)
def test_a_person_hears_what_they_chose(wish: str, heard: list[str], machine: Machine, owner: User, sunflower: Tenant):
    PersonalChoices.across_tenants.create(user=owner, tenant=sunflower, backups=wish)
    ended(machine, "succeeded")
    ended(machine, "failed")
    sorting.sort()
    assert told(owner) == heard


def test_who_chose_nothing_hears_what_the_tenant_chose(machine: Machine, owner: User, sunflower: Tenant):
    TenantChoices.across_tenants.create(tenant=sunflower, backups=Wish.NEVER)
    ended(machine)
    ended(machine, kind="restore", outcome="succeeded")
    sorting.sort()
    assert told(owner) == ["succeeded"]


def test_nobody_hears_of_another_tenants_machine_or_of_one_that_is_not_theirs(
    machine: Machine, owner: User, stranger: User, sunflower: Tenant
):
    limited, other = (person(sunflower, name, Role.VIEWER) for name in ("limited", "other"))
    Membership.objects.filter(user=limited).update(machine_guids=["vm-1"])
    Membership.objects.filter(user=other).update(machine_guids=["vm-2"])
    plan = Plan.across_tenants.create(tenant=sunflower, name="Nightly", is_made_here=True)
    change = PlanChange.across_tenants.create(tenant=sunflower, plan=plan, kind="edit")
    PlanChange.across_tenants.filter(pk=change.pk).update(state="refused")
    ended(machine)
    sorting.sort()
    assert (told(owner), told(limited)) == (["refused", "failed"], ["failed"])
    assert (told(stranger), told(other)) == ([], [])


def test_nobody_hears_anything_in_a_tenant_that_is_suspended(machine: Machine, owner: User, sunflower: Tenant):
    Tenant.objects.filter(pk=sunflower.pk).update(is_active=False)
    ended(machine)
    sorting.sort()
    assert told(owner) == []


@pytest.mark.parametrize(
    ("by_mail", "at_once", "in_digest"),
    [(ByMail.AT_ONCE, True, False), (ByMail.DIGEST, False, True), (ByMail.OFF, False, False)],
)
def test_by_mail_it_comes_at_once_or_in_the_digest_or_not(
    by_mail: str, at_once: bool, in_digest: bool, machine: Machine, owner: User, sunflower: Tenant
):
    PersonalChoices.across_tenants.create(user=owner, tenant=sunflower, by_mail=by_mail)
    ended(machine)
    sorting.sort()
    notice = Notice.across_tenants.get()
    assert (notice.due_at is not None, notice.in_digest) == (at_once, in_digest)


def test_who_was_never_in_the_tenant_gets_no_mail(machine: Machine, sunflower: Tenant):
    """Nobody has proven yet that the address is theirs."""
    invited = person(sunflower, "invited", Role.VIEWER)
    ended(machine)
    sorting.sort()
    notice = Notice.across_tenants.get(user=invited)
    assert (notice.due_at, notice.in_digest) == (None, False)


def test_every_topic_can_be_chosen():
    assert {field for field in Topic.values if hasattr(TenantChoices(), field)} == set(Topic.values)
