"""Many machines at once, from the ticks in the list to a result for each, as the role of web."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from tenants.models import AuditEntry, Grant, Membership, Role, Tenant, User
from tests.conftest import machine_of, operation_on, person
from tests.portal.conftest import ARCHIVE, STORE, counted
from tests.portal.test_backups import wish, words
from tests.portal.test_machines import DAILY, HTMX, LIST, many
from vprotect_bridge.models import (
    BulkRequest,
    Machine,
    Operation,
    OperationEvent,
    Plan,
    PlanChange,
    Protection,
    Question,
    Standing,
)

pytestmark = pytest.mark.django_db

BACKUP, PLAN = "/t/sunflower/bulk/backup/", "/t/sunflower/bulk/plan/"
Browser = Callable[[User | None], Client]


@pytest.fixture
def machines(tenant: Tenant, machine: Machine) -> list[Machine]:
    """vm-1 in Nightly, which has an incremental schedule; vm-2 and vm-3 in no plan."""
    return [machine, machine_of(tenant, "vm-2"), machine_of(tenant, "vm-3")]


def chosen(*guids: str, **changes: Any) -> dict[str, Any]:
    return {**wish(), "machines": guids or ["vm-1", "vm-2", "vm-3"], **changes}


def prospects(answer: Any) -> dict[str, str]:
    """What the look says of each machine."""
    rows = BeautifulSoup(answer.content, "html.parser").select(".prospects li")
    said = [
        [part.get_text(" ", strip=True) for part in row.find_all(["span", "small"], recursive=False)] for row in rows
    ]
    return {name: " ".join(words_of) for name, *words_of in said}


def results(answer: Any) -> dict[str, str]:
    rows = BeautifulSoup(answer.content, "html.parser").select("#bulk-result tbody tr")
    return {row.select_one(".machine-name").get_text(): " ".join(row.get_text(" ").split()[2:]) for row in rows}


def know_destinations(machine: Machine, *guids: str, **fields: Any) -> None:
    now = timezone.now()
    Question.across_tenants.create(
        tenant=machine.tenant,
        machine=machine,
        kind=Question.Kind.USABLE_DESTINATIONS,
        **{"answer": {"guids": guids}, "answered_at": now, **fields},
    )


# ── Choosing ─────────────────────────────────────────────────────────────────


def test_the_form_is_that_of_one_machine_for_those_that_were_ticked(browser: Client, machines: list[Machine]):
    answer = browser.post(BACKUP, {"machines": ["vm-3", "vm-1", "vm-1"]})
    soup = BeautifulSoup(answer.content, "html.parser")
    assert answer.status_code == 200 and "Back up 2 machines" in words(answer)
    assert [box["value"] for box in soup.select('input[name="machines"][checked]')] == ["vm-1", "vm-3"]
    assert {"backup_type", "destination", "window_start", "window_end", "priority", "client_key"} <= {
        field["name"] for field in soup.select("form.wish [name]")
    }
    assert browser.get(BACKUP + "?machines=vm-1&machines=vm-2").status_code == 200


def test_all_that_match_are_a_question_not_a_list(browser: Client, tenant: Tenant):
    many(tenant, 60)
    answer = browser.post(BACKUP, {"matching": "q=machine-0000&sort=-name", "machines": ["m-30", "m-3"]})
    soup = BeautifulSoup(answer.content, "html.parser")
    names = [tag.get_text(strip=True) for tag in soup.select(".pick-list .tick")]
    assert names == [
        *(f"machine-{n:05d}" for n in range(10)),
        "machine-00030",
    ]


@pytest.mark.parametrize("how", [{"matching": "sort=name"}, {"machines": [f"m-{n}" for n in range(201)]}])
def test_more_than_two_hundred_are_refused_whole(how: dict[str, Any], browser: Client, tenant: Tenant):
    many(tenant, 201)
    answer = browser.post(BACKUP, {**wish(), **how, "confirmed": "yes"})
    assert answer.status_code == 422 and "You selected 201 machines; 200 can be asked for at once" in words(answer)
    assert not Operation.across_tenants.exists()


def test_nothing_ticked_is_said(browser: Client, machines: list[Machine]):
    assert "No machine is selected" in words(browser.post(BACKUP, {}))
    assert "No machine is selected" in words(browser.get(BACKUP))


def test_one_foreign_machine_takes_the_whole_request_with_it(browser: Client, machines: list[Machine], pine: Tenant):
    machine_of(pine, "vm-9")
    for extra in ("vm-9", "vm-7", "vm-1 ", "", "vm-1\x00", "x" * 500):
        answer = browser.post(BACKUP, chosen("vm-1", "vm-2", extra, confirmed="yes"))
        assert answer.status_code == 404, extra
    assert not Operation.across_tenants.exists() and not BulkRequest.across_tenants.exists()


def test_who_is_limited_to_some_machines_asks_for_those_only(browser: Client, machines: list[Machine], member: User):
    Membership.objects.filter(user=member).update(machine_guids=["vm-1", "vm-2"])
    assert browser.post(BACKUP, chosen("vm-1", "vm-3", confirmed="yes")).status_code == 404
    answer = browser.post(BACKUP, chosen(matching="sort=name", machines=[]))
    assert set(prospects(answer)) == {"machine vm-1", "machine vm-2"}


def test_without_a_script_the_ticks_come_along_from_page_to_page(browser: Client, tenant: Tenant):
    many(tenant, 60)
    answer = browser.post(LIST + "?sort=-name", {"machines": ["m-59", "m-1"], "page": "2"})
    soup = BeautifulSoup(answer.content, "html.parser")
    assert "26–50 of 60" in words(answer) and "Selected: 2" in words(answer)
    assert {field["value"] for field in soup.select('#bulk input[name="machines"]')} == {"m-59", "m-1"}
    found = browser.post(LIST, {"machines": ["m-59", "m-1", "foreign"], "q": "00001", "page": "1"})
    assert BeautifulSoup(found.content, "html.parser").select_one("#pick-m-1").has_attr("checked")
    assert "Selected: 2" in words(found)


def test_a_viewer_has_nothing_to_tick(browser: Client, machines: list[Machine]):
    assert b"pick-vm-1" in browser.get(LIST).content and b"Put into a plan" not in browser.get(LIST).content
    Membership.objects.update(role=Role.VIEWER)
    assert b"pick-" not in browser.get(LIST).content and b'id="bulk"' not in browser.get(LIST).content
    assert browser.post(BACKUP, chosen(confirmed="yes")).status_code == 403


def test_the_form_finds_more_machines_on_the_server(browser: Client, tenant: Tenant):
    many(tenant, 120)
    page = BeautifulSoup(browser.post(BACKUP, {"machines": ["m-3", "m-77"]}).content, "html.parser")
    form = {**wish(), **fields_of(page), "pick": "search", "pick_q": "machine-0001"}
    found = BeautifulSoup(browser.post(BACKUP, {**form, "pick_only": ""}).content, "html.parser")
    assert "2 machines chosen. Shown: 1–10 of 10." in " ".join(found.get_text(" ").split())
    ticked = {**wish(), **fields_of(found), "machines": ["m-10", "m-11"]}
    assert set(prospects(browser.post(BACKUP, ticked))) == {
        *("machine-00003", "machine-00010", "machine-00011", "machine-00077"),
    }


def fields_of(page: BeautifulSoup) -> dict[str, list[str]]:
    """What a browser would send of the picker."""
    boxes = page.select('.picker input[type="hidden"], .picker input[checked]')
    return {name: [box["value"] for box in boxes if box["name"] == name] for name in {box["name"] for box in boxes}}


# ── A look before ────────────────────────────────────────────────────────────


def test_the_look_says_for_each_machine_what_will_happen_and_does_nothing(browser: Client, tenant: Tenant):
    gone, running, other, good = (machine_of(tenant, f"vm-{n}") for n in range(1, 5))
    Machine.across_tenants.filter(pk=gone.pk).update(present=False, protection=Protection.DELETED)
    operation_on(running)
    know_destinations(other, ARCHIVE)
    know_destinations(good, STORE, ARCHIVE)
    answer = browser.post(BACKUP, chosen(*(f"vm-{n}" for n in range(1, 5))))
    assert prospects(answer) == {
        "machine vm-4": "Will be backed up",
        "machine vm-1": "Left out It no longer exists.",
        "machine vm-2": "Left out It is being backed up already.",
        "machine vm-3": "Left out It cannot use this destination.",
    }
    assert "1 machine will be backed up. 3 are left out." in words(answer)
    assert Operation.across_tenants.count() == 1 and not AuditEntry.across_tenants.exists()


def test_incremental_is_only_for_machines_whose_plan_has_it(browser: Client, tenant: Tenant, machines: list[Machine]):
    Plan.across_tenants.create(tenant=tenant, is_made_here=True, name="Weekly", policy_guid="policy-2")
    Machine.across_tenants.filter(guid="vm-2").update(policy_guid="policy-2")
    said = prospects(browser.post(BACKUP, chosen(backup_type="INCREMENTAL")))
    assert said["machine vm-2"] == "Left out Its plan has no incremental schedule."
    assert said["machine vm-3"] == "Left out It has no plan, which an incremental backup needs."
    assert "Left out" not in said["machine vm-1"]


def test_the_look_follows_what_vprotect_says_of_the_destinations(browser: Client, machines: list[Machine]):
    form = chosen("vm-1", "vm-2")
    soup = BeautifulSoup(browser.post(BACKUP, form).content, "html.parser")
    assert Question.across_tenants.count() == 2, "one for each, asked once"
    assert "Being checked" in soup.get_text()
    seen = soup.select_one("#prospects")["hx-vals"].split('"')[3]
    assert browser.post(BACKUP, {**form, "seen": seen}, headers=HTMX).status_code == 204
    Question.across_tenants.filter(machine__guid="vm-1").update(answer={"guids": [ARCHIVE]}, answered_at=timezone.now())
    Question.across_tenants.filter(machine__guid="vm-2").update(
        answer={"guids": []}, failed=True, answered_at=timezone.now()
    )
    answer = browser.post(BACKUP, {**form, "seen": seen}, headers=HTMX)
    assert prospects(answer) == {
        "machine vm-2": "Will be backed up",
        "machine vm-1": "Left out It cannot use this destination.",
    }
    assert b"hx-post" not in answer.content and Question.across_tenants.count() == 2


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("destination", "store-9", "Choose one of the destinations that are offered."),
        ("priority", "81", "The priority must be from 0 to 80."),
        ("window_end", "", "This field is required."),
        ("backup_type", "HALF", "Select a valid choice"),
    ],
)
def test_bad_input_is_said_and_the_machines_stay_chosen(
    field: str, value: str, sentence: str, browser: Client, machines: list[Machine]
):
    answer = browser.post(BACKUP, chosen(**{field: value}))
    assert answer.status_code == 422 and sentence in words(answer)
    assert len(BeautifulSoup(answer.content, "html.parser").select('input[name="machines"][checked]')) == 3


def test_choosing_differently_loses_nothing(browser: Client, machines: list[Machine]):
    look = BeautifulSoup(browser.post(BACKUP, chosen(priority="33")).content, "html.parser")
    carried = [(field["name"], field["value"]) for field in look.select("#look input")]
    form = {name: [value for n, value in carried if n == name] for name, _value in carried}
    answer = browser.post(BACKUP, {**form, "again": "yes"})
    page = BeautifulSoup(answer.content, "html.parser")
    assert answer.status_code == 200 and page.select_one("#id_priority")["value"] == "33"
    assert len(page.select('input[name="machines"][checked]')) == 3


# ── Done ─────────────────────────────────────────────────────────────────────


def test_each_machine_gets_an_operation_of_its_own_in_one_transaction(
    browser: Client,
    machines: list[Machine],
    member: User,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
):
    with django_capture_on_commit_callbacks() as callbacks:
        answer = browser.post(BACKUP, chosen(confirmed="yes"))
    bulk = BulkRequest.across_tenants.get()
    assert answer["Location"] == f"/t/sunflower/bulk/{bulk.pk}/"
    operations = Operation.across_tenants.all()
    assert {operation.subject_guid for operation in operations} == {"vm-1", "vm-2", "vm-3"}
    assert all(row.is_bulk and row.bulk_request == bulk and row.created_by == member for row in operations)
    entries = AuditEntry.across_tenants.filter(action="backup_requested")
    assert {entry.machine_guid for entry in entries} == {"vm-1", "vm-2", "vm-3"}
    assert {row.correlation_id for row in [*operations, *entries]} == {answer["X-Correlation-Id"]}
    assert OperationEvent.across_tenants.count() == 3 and len(callbacks) == 2, "rung once, and asked once"


def test_the_same_form_again_makes_nothing_twice(browser: Client, machines: list[Machine]):
    form = chosen(confirmed="yes")
    first = browser.post(BACKUP, form)
    Operation.across_tenants.update(outcome="succeeded")
    assert browser.post(BACKUP, form)["Location"] == first["Location"]
    assert Operation.across_tenants.count() == AuditEntry.across_tenants.count() == 3


def test_another_form_for_machines_that_are_running_makes_nothing(browser: Client, machines: list[Machine]):
    browser.post(BACKUP, chosen("vm-1", "vm-2", confirmed="yes"))
    answer = browser.post(BACKUP, chosen("vm-1", "vm-2", "vm-3", confirmed="yes"), follow=True)
    assert Operation.across_tenants.count() == 3
    assert results(answer) == {
        "machine vm-3": "Waiting Waiting to be started.",
        "machine vm-1": "Left out It is being backed up already.",
        "machine vm-2": "Left out It is being backed up already.",
    }
    nothing = browser.post(BACKUP, chosen("vm-1", "vm-2", confirmed="yes"))
    assert nothing.status_code == 422 and "None of these machines can be backed up" in words(nothing)


def test_two_hundred_machines_cost_a_bounded_number_of_statements(browser: Client, tenant: Tenant):
    many(tenant, 200)
    guids = [f"m-{n}" for n in range(200)]
    browser.get(LIST)
    with counted() as statements:
        answer = browser.post(BACKUP, chosen(*guids, confirmed="yes"))
    assert Operation.across_tenants.count() == 200
    assert len([sql for sql in statements if "auditentry" not in sql]) <= 25, "beside one audit entry for each"
    with counted() as statements:
        page = browser.get(answer["Location"])
    assert len(statements) <= 8 and len(results(page)) == 200


# ── The result ───────────────────────────────────────────────────────────────


def test_the_result_is_live_with_one_poll_for_all(browser: Client, machines: list[Machine]):
    page = browser.post(BACKUP, chosen(confirmed="yes"), follow=True)
    polls = BeautifulSoup(page.content, "html.parser").select("main [hx-get]")
    assert len(polls) == 1
    with counted() as statements:
        assert browser.get(polls[0]["hx-get"]).status_code == 204
    assert len(statements) <= 5, "\n".join(statements)
    Operation.across_tenants.filter(subject_guid="vm-1").update(
        submission="rejected", outcome="refused", user_message="This machine no longer exists."
    )
    Operation.across_tenants.exclude(subject_guid="vm-1").update(submission="accepted", outcome="succeeded")
    news = browser.get(polls[0]["hx-get"])
    assert results(news) == {
        "machine vm-1": "Refused This machine no longer exists.",
        "machine vm-2": "Succeeded The backup is done.",
        "machine vm-3": "Succeeded The backup is done.",
    }
    assert b"hx-get" not in news.content and "Try 1 machine again" in words(news)


def test_a_result_can_be_shared_in_the_tenant(
    browser: Client, machines: list[Machine], tenant: Tenant, as_web: Browser
):
    address = browser.post(BACKUP, chosen(confirmed="yes"))["Location"]
    assert set(results(as_web(person(tenant, "viewer", Role.VIEWER)).get(address))) == {m.name for m in machines}


def test_who_is_limited_sees_their_own_part_of_a_result(
    browser: Client, machines: list[Machine], tenant: Tenant, as_web: Browser
):
    address = browser.post(BACKUP, chosen("vm-1", "vm-2", confirmed="yes"))["Location"]
    limited = person(tenant, "limited", Role.VIEWER)
    for own, status in ((["vm-2"], 200), (["vm-3"], 404)):
        Membership.objects.filter(user=limited).update(machine_guids=own)
        for end in ("", "poll"):
            answer = as_web(limited).get(address + end)
            assert answer.status_code == status and b"vm-1" not in answer.content


# ── Into a plan ──────────────────────────────────────────────────────────────


@pytest.fixture
def admin(browser: Client, machines: list[Machine], tenant: Tenant) -> Client:
    """An administrator's browser; the plan Daily can be changed and holds vm-1, vm-2 is in Nightly."""
    Membership.objects.update(role=Role.ADMIN)
    held = DAILY.to_json()
    Plan.across_tenants.create(
        tenant=tenant,
        is_made_here=True,
        is_editable=True,
        name="Daily",
        policy_guid="policy-daily",
        destination_guid=STORE,
        held={**held, "policy": {**held["policy"], "priority": 50, "removes_absent_machines": False}},
        held_digest="as it was seen",
        standing=Standing.ACTING,
        schedules=[
            {
                **{"backup_type": "FULL", "weekdays": ["MONDAY"], "at": "02:00", "starts": "", "ends": ""},
                **{"every_minutes": 0, "window_minutes": 360, "months": [], "occurrences": []},
            }
        ],
    )
    Machine.across_tenants.filter(guid="vm-2").update(policy_guid="policy-1")
    Machine.across_tenants.filter(guid="vm-1").update(policy_guid="policy-daily")
    return browser


def into_daily(*guids: str, **changes: Any) -> dict[str, Any]:
    plan = Plan.across_tenants.get(name="Daily")
    return {"plan": str(plan.pk), "client_key": str(uuid4()), "machines": guids or ["vm-1", "vm-2", "vm-3"], **changes}


def test_the_look_says_which_machines_leave_which_plan(admin: Client):
    assert "Daily" in words(admin.post(PLAN, {"machines": ["vm-2"]})), "the quick way from a machine's page"
    answer = admin.post(PLAN, into_daily())
    assert prospects(answer) == {
        "machine vm-2": "Will get the plan It leaves the plan Nightly.",
        "machine vm-3": "Will get the plan",
        "machine vm-1": "Left out It is in this plan already.",
    }
    assert "1 leaves the plan that it has now." in words(answer) and not PlanChange.across_tenants.exists()


def test_machines_are_put_into_a_plan_by_one_change_of_it(admin: Client):
    form = into_daily(based_on="as it was seen", confirmed="yes")
    answer = admin.post(PLAN, form, follow=True)
    change = PlanChange.across_tenants.get()
    assert change.kind == "edit" and change.wanted["machine_guids"] == ["vm-1", "vm-2", "vm-3"]
    assert change.wanted["schedules"][0]["at"] == "02:00" and change.based_on == "as it was seen"
    entries = AuditEntry.across_tenants.filter(action="plan_assigned")
    assert {entry.machine_guid for entry in entries} == {"vm-2", "vm-3"}
    assert set(results(answer)) == {"machine vm-1", "machine vm-2", "machine vm-3"}
    assert "Before: Nightly" in results(answer)["machine vm-2"]
    admin.post(PLAN, form)
    assert PlanChange.across_tenants.count() == BulkRequest.across_tenants.count() == 1


def test_the_result_of_a_plan_follows_its_change(admin: Client):
    page = admin.post(PLAN, into_daily(based_on="as it was seen", confirmed="yes"), follow=True)
    poll = BeautifulSoup(page.content, "html.parser").select_one("#bulk-result")["hx-get"]
    with counted() as statements:
        assert admin.get(poll).status_code == 204
    assert len(statements) <= 5
    PlanChange.across_tenants.update(state="done", finished_at=timezone.now())
    news = admin.get(poll)
    assert results(news)["machine vm-3"].startswith("Done") and b"hx-get" not in news.content


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"based_on": "older"}, "The plan was changed meanwhile."),
        ({"machines": ["vm-1"]}, "None of these machines can be put into this plan."),
        ({"plan": str(uuid4())}, "Choose one of the plans that are offered."),
        ({"plan": "Nightly"}, "Choose one of the plans that are offered."),
    ],
)
def test_what_cannot_be_is_said_and_nothing_changes(change: dict[str, Any], sentence: str, admin: Client):
    answer = admin.post(PLAN, into_daily(**{"based_on": "as it was seen", "confirmed": "yes", **change}))
    assert answer.status_code == 422 and sentence in words(answer)
    assert not PlanChange.across_tenants.exists() and not AuditEntry.across_tenants.exists()


def test_a_plan_whose_destination_was_taken_back_says_what_to_do(admin: Client):
    Grant.across_tenants.all().delete()
    answer = admin.post(PLAN, into_daily(based_on="as it was seen", confirmed="yes"))
    assert answer.status_code == 422 and "Open the plan and put that right first" in words(answer)


@pytest.mark.parametrize("limits", [{"role": Role.RESTORER}, {"machine_guids": ["vm-1", "vm-2"]}])
def test_only_an_administrator_of_all_machines_changes_plans(limits: dict[str, Any], admin: Client):
    Membership.objects.update(**limits)
    assert admin.post(PLAN, into_daily(confirmed="yes")).status_code == 403
    assert b"Put into a plan" not in admin.get(LIST).content


def test_a_foreign_machine_or_plan_takes_the_whole_request_with_it(admin: Client, pine: Tenant):
    machine_of(pine, "vm-9")
    assert admin.post(PLAN, into_daily("vm-2", "vm-9", confirmed="yes")).status_code == 404
    assert not PlanChange.across_tenants.exists()


def test_a_window_that_has_passed_since_the_look_is_said(browser: Client, machines: list[Machine]):
    late = (timezone.now() - timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M")
    answer = browser.post(BACKUP, chosen(window_end=late, confirmed="yes"))
    assert answer.status_code == 422 and not BulkRequest.across_tenants.exists()
