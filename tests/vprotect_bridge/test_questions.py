"""What only vProtect knows now is answered by a worker."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tenants.models import Tenant
from tests.conftest import machine_of
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.models import Question
from vprotect_bridge.questions import answer_questions
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

pytestmark = pytest.mark.django_db


def ask(tenant: Tenant, name: str) -> Question:
    machine = machine_of(tenant, guid_of(f"vm/{name}"))
    return Question.across_tenants.create(tenant=tenant, machine=machine, kind=Question.Kind.USABLE_DESTINATIONS)


def test_usable_destinations_are_answered_per_machine(api: VProtect, sunflower: Tenant):
    ask(sunflower, "web-01"), ask(sunflower, "bare-01")
    assert answer_questions(api) == 2
    answers = {q.machine.guid: q.answer["guids"] for q in Question.across_tenants.all() if q.answer}
    offsite, archive = (guid_of(f"destination/{name}") for name in ("offsite-s3", "archive-tape"))
    assert offsite in answers[guid_of("vm/web-01")] and archive not in answers[guid_of("vm/web-01")]
    assert archive in answers[guid_of("vm/bare-01")] and offsite not in answers[guid_of("vm/bare-01")]


@pytest.mark.parametrize("fault", ["status", "reset", "html", "empty"])
def test_a_question_that_cannot_be_answered_says_so(
    fault: str, api: VProtect, simulator: SimulatorServer, sunflower: Tenant
):
    question = ask(sunflower, "web-01")
    simulator.control.fault(fault, path="/backup-destinations/usable-for-vms", times=0)
    answer_questions(api)
    question.refresh_from_db()
    assert question.failed and question.answered_at


def test_one_bad_answer_fails_one_question(api: VProtect, simulator: SimulatorServer, sunflower: Tenant):
    first, second = ask(sunflower, "web-01"), ask(sunflower, "bare-01")
    simulator.control.fault("status", path="/backup-destinations/usable-for-vms")
    assert answer_questions(api) == 2
    assert [Question.across_tenants.get(pk=q.pk).failed for q in (first, second)] == [True, False]


def test_nobody_waits_for_one_time_out_after_the_other(api: VProtect, simulator: SimulatorServer, sunflower: Tenant):
    for name in ("web-01", "bare-01", "app-01"):
        ask(sunflower, name)
    simulator.control.fault("hang", path="/backup-destinations/usable-for-vms", seconds=3, times=0)
    assert answer_questions(api) == 3
    assert not Question.across_tenants.exclude(failed=True).exists()
    assert len(simulator.control.ledger(path="/backup-destinations")) == 1


def test_an_answered_question_is_not_asked_again(api: VProtect, simulator: SimulatorServer, sunflower: Tenant):
    ask(sunflower, "web-01")
    answer_questions(api)
    assert answer_questions(api) == 0
    assert len(simulator.control.ledger(path="/backup-destinations")) == 1


def test_old_questions_are_forgotten(api: VProtect, sunflower: Tenant):
    question = ask(sunflower, "web-01")
    Question.across_tenants.update(asked_at=timezone.now() - timedelta(hours=2), answered_at=timezone.now())
    answer_questions(api)
    assert not Question.across_tenants.filter(pk=question.pk).exists()
