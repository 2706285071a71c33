"""Back up now, from the form to the page of the operation, as the role of web."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from bs4 import BeautifulSoup
from django.db import connections, transaction
from django.test import Client
from django.utils import timezone
from django_scopes import scope
from pytest_django import DjangoCaptureOnCommitCallbacks

from tenants.models import AuditEntry, Grant, Membership, Role, Tenant, User
from tenants.wall import set_tenant
from tests.conftest import machine_of, operation_on, person
from tests.portal.conftest import ARCHIVE, STORE, counted
from vprotect_bridge.models import Backup, Machine, Operation, OperationEvent, Plan, Question, UpstreamStatus
from vprotect_bridge.services import BackupWish, request_backup

pytestmark = pytest.mark.django_db

FORM = "/t/sunflower/machines/vm-1/backup/"
WARSAW = ZoneInfo("Europe/Warsaw")


def local(moment: datetime) -> str:
    return moment.astimezone(WARSAW).strftime("%Y-%m-%dT%H:%M")


def wish(**changes: Any) -> dict[str, str]:
    usual = {
        "backup_type": "FULL",
        "destination": STORE,
        "window_start": "",
        "window_end": local(timezone.now() + timedelta(hours=6)),
        "priority": "50",
        "client_key": str(uuid4()),
    }
    return {**usual, **changes}


def words(answer: Any) -> str:
    return " ".join(BeautifulSoup(answer.content, "html.parser").get_text(" ").split())


# ── The form ─────────────────────────────────────────────────────────────────


def test_a_wish_becomes_a_row_an_event_and_an_audit_entry(browser: Client, machine: Machine, member: User):
    answer = browser.post(FORM, wish(backup_type="INCREMENTAL", priority="80", destination=ARCHIVE))
    operation = Operation.across_tenants.get()
    assert answer.status_code == 302 and str(operation.pk) in answer["Location"]
    assert (operation.submission, operation.created_by, operation.machine) == ("pending", member, machine)
    assert operation.request["backup_type"] == "INCREMENTAL"
    assert (operation.request["destination_guid"], operation.request["priority"]) == (ARCHIVE, 80)
    assert OperationEvent.across_tenants.get().moved_to == "pending"
    entry = AuditEntry.across_tenants.get()
    assert (entry.action, entry.actor, entry.machine_guid) == ("backup_requested", member, "vm-1")
    assert entry.correlation_id == operation.correlation_id == answer["X-Correlation-Id"]


def test_the_worker_is_rung_for_after_the_commit(
    browser: Client, machine: Machine, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
):
    with django_capture_on_commit_callbacks() as callbacks:
        browser.post(FORM, wish())
    assert len(callbacks) == 1


def test_the_window_is_kept_inside_what_was_chosen(browser: Client, machine: Machine):
    start = timezone.now() + timedelta(hours=2)
    browser.post(FORM, wish(window_start=local(start), window_end=local(start + timedelta(hours=4))))
    operation = Operation.across_tenants.get()
    begins, ends = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (operation.marker_ws_ms, operation.marker_we_ms))
    assert start - timedelta(minutes=1) <= begins < ends <= start + timedelta(hours=4)
    assert operation.deadline_at < ends


@pytest.mark.parametrize("chosen", [True, False])
def test_the_page_shows_a_start_that_was_chosen(chosen: bool, browser: Client, machine: Machine):
    start = local(timezone.now() + timedelta(hours=2)) if chosen else ""
    page = browser.post(FORM, wish(window_start=start), follow=True)
    facts = [term.get_text() for term in BeautifulSoup(page.content, "html.parser").select(".facts dt")]
    assert ("Start" in facts) == chosen and "Must have started by" in facts


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_window_is_in_vprotects_time_the_deadline_in_ours(hours: int, browser: Client, machine: Machine):
    UpstreamStatus.objects.update(clock_skew_ms=hours * 3_600_000)
    browser.post(FORM, wish())
    operation = Operation.across_tenants.get()
    begins = datetime.fromtimestamp(operation.marker_ws_ms / 1000, UTC) - timezone.now()
    assert abs(begins - timedelta(hours=hours)) < timedelta(minutes=2)
    assert timedelta(hours=5) < operation.deadline_at - timezone.now() < timedelta(hours=6)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("backup_type", "HALF", "Select a valid choice"),
        ("destination", "store-9", "Choose one of the destinations that are offered."),
        ("destination", "", "Choose a destination."),
        ("priority", "81", "The priority must be from 0 to 80."),
        ("priority", "-1", "greater than or equal to 0"),
        ("priority", "high", "Enter a whole number."),
        ("window_end", "", "This field is required."),
        ("window_end", "tomorrow", "Enter a date and a time."),
        ("window_end", local(datetime.now(UTC) + timedelta(minutes=14)), "15 minutes long at least"),
        ("window_end", local(datetime.now(UTC) - timedelta(hours=5)), "must end after it starts"),
        ("window_end", local(datetime.now(UTC) + timedelta(days=9)), "7 days long at most"),
        ("window_start", local(datetime.now(UTC) - timedelta(hours=1)), "This time has passed"),
        ("window_start", local(datetime.now(UTC) + timedelta(days=40)), "within the next 30 days"),
        ("window_start", "2027-03-28T02:30", "The clocks change at that time"),
        ("window_end", "2027-10-31T02:30", "The clocks change at that time"),
        ("client_key", "", ""),
    ],
)
def test_bad_input_is_explained_and_nothing_typed_is_lost(
    field: str, value: str, sentence: str, browser: Client, machine: Machine
):
    answer = browser.post(FORM, wish(**{"priority": "33", field: value}))
    assert answer.status_code == 422 and sentence in words(answer)
    soup = BeautifulSoup(answer.content, "html.parser")
    typed = {tag["name"]: tag.get("value", "") for tag in soup.select("form.wish input.form-control")}
    if field in typed:
        assert typed[field] == value
    assert field == "priority" or typed["priority"] == "33"
    assert not Operation.across_tenants.exists() and not AuditEntry.across_tenants.exists()


def test_what_the_form_does_not_ask_for_is_ignored(browser: Client, machine: Machine, pine: Tenant):
    extra = {"tenant": pine.pk, "tenantId": "x", "state": "accepted", "submission": "accepted", "task_guid": "t-1"}
    browser.post(FORM, wish(**extra, subject_guid="vm-9", is_bulk="1"))
    operation = Operation.across_tenants.get()
    assert (operation.tenant.slug, operation.submission, operation.task_guid) == ("sunflower", "pending", None)
    assert (operation.subject_guid, operation.is_bulk) == ("vm-1", False)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("present", "no longer exists"),
        ("vanished", "no longer exists"),
        ("plan", "needs a plan with an"),
    ],
)
def test_what_can_never_work_is_refused(change: str, sentence: str, browser: Client, machine: Machine):
    changes = {"present": {"present": False}, "vanished": {"vanished_at": timezone.now()}, "plan": {"policy_guid": ""}}
    Machine.across_tenants.update(**changes[change])
    answer = browser.post(FORM, wish(backup_type="INCREMENTAL"))
    assert answer.status_code == 422 and sentence in words(answer)
    assert not Operation.across_tenants.exists()


def test_a_machine_that_is_being_backed_up_shows_that_backup(browser: Client, machine: Machine):
    running = operation_on(machine)
    for answer in (browser.get(FORM), browser.post(FORM, wish())):
        assert answer.status_code == 302 and str(running.pk) in answer["Location"]
    page = words(browser.get(answer["Location"]))
    assert "being backed up already" in page
    assert Operation.across_tenants.count() == 1


# ── Double clicks ────────────────────────────────────────────────────────────


def test_the_same_form_again_is_the_same_wish(browser: Client, machine: Machine):
    form = wish()
    first = browser.post(FORM, form)
    Operation.across_tenants.update(outcome="succeeded")
    assert browser.post(FORM, form)["Location"] == first["Location"]
    assert Operation.across_tenants.count() == AuditEntry.across_tenants.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("same_form", [True, False])
def test_ten_clicks_at_once_make_one_operation(same_form: bool, tenant: Tenant, machine: Machine, member: User):
    membership = Membership.objects.select_related("tenant", "user").get(user=member)
    chosen = BackupWish("FULL", STORE, timezone.now() + timedelta(hours=6))
    one_key = uuid4()

    def click(_number: int) -> tuple[Any, bool]:
        try:
            with transaction.atomic(), scope(tenant=tenant):
                set_tenant(tenant.pk)
                key = one_key if same_form else uuid4()
                operation, is_new = request_backup(membership, machine, chosen, client_key=key, address=None)
                return operation.pk, is_new
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as pool:
        results = list(pool.map(click, range(10)))
    assert len({pk for pk, _is_new in results}) == 1
    assert [is_new for _pk, is_new in results].count(True) == 1
    assert Operation.across_tenants.count() == AuditEntry.across_tenants.count() == 1


# ── The destinations that a machine can use ──────────────────────────────────


def test_opening_the_form_asks_once_and_offers_all_meanwhile(browser: Client, machine: Machine):
    browser.get(FORM)
    page = words(browser.get(FORM))
    assert Question.across_tenants.count() == 1
    assert "Main store" in page and "Archive" in page and "Finding out" in page


def test_the_answer_leaves_what_the_machine_can_use(browser: Client, machine: Machine):
    soup = BeautifulSoup(browser.get(FORM).content, "html.parser")
    poll = soup.select_one("#destinations")["hx-get"]
    assert browser.get(poll).status_code == 204
    Question.across_tenants.update(answer={"guids": [ARCHIVE, "not-granted"]}, answered_at=timezone.now())
    answer = browser.get(f"{poll}?destination={ARCHIVE}")
    offered = BeautifulSoup(answer.content, "html.parser").select("option")
    assert [option.get_text() for option in offered] == ["Archive"]
    assert b"hx-get" not in answer.content


@pytest.mark.parametrize("trouble", ["failed", "late"])
def test_without_an_answer_all_are_offered_with_a_warning(trouble: str, browser: Client, machine: Machine):
    poll = BeautifulSoup(browser.get(FORM).content, "html.parser").select_one("#destinations")["hx-get"]
    if trouble == "failed":
        Question.across_tenants.update(answer={"guids": []}, answered_at=timezone.now(), failed=True)
    else:
        Question.across_tenants.update(asked_at=timezone.now() - timedelta(seconds=20))
    page = words(browser.get(poll))
    assert "Main store" in page and "could not find out" in page


# ── The operation's page ─────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Waiting to be started."),
        ({"submission": "uncertain"}, "making sure that it was started once"),
        ({"submission": "needs_attention"}, "Your provider has to look at this one."),
        ({"submission": "accepted", "phase": "queued", "place_in_line": 3}, "Place 3 in the queue."),
        ({"submission": "accepted", "phase": "exporting", "progress": 20}, "Reading the machine. 20 %"),
        ({"submission": "accepted", "phase": "storing", "progress": 70}, "Storing the backup. 70 %"),
        ({"submission": "accepted", "outcome": "succeeded", "progress": 100}, "The backup is done."),
        ({"submission": "accepted", "outcome": "partial", "progress": 100}, "something was left out"),
        ({"submission": "accepted", "outcome": "failed"}, "Earlier backups are untouched."),
        ({"submission": "expired", "outcome": "missed"}, "The backup missed its window."),
        ({"submission": "rejected", "outcome": "refused", "user_message": "This is why."}, "This is why."),
    ],
)
def test_the_page_says_in_words_how_it_stands(fields: dict[str, Any], sentence: str, browser: Client, machine: Machine):
    operation = operation_on(machine, **fields)
    assert sentence in words(browser.get(f"/t/sunflower/operations/{operation.pk}/"))


def test_a_full_made_instead_is_said(browser: Client, machine: Machine):
    operation = operation_on(machine, submission="accepted", outcome="succeeded", made_type="FULL")
    Operation.across_tenants.update(request={**operation.request, "backup_type": "INCREMENTAL"})
    page = words(browser.get(f"/t/sunflower/operations/{operation.pk}/"))
    assert "Asked for: Incremental. Made instead: Full" in page


def test_a_failure_gives_the_reason_of_its_backup(browser: Client, machine: Machine):
    Backup.across_tenants.create(
        guid="b-1",
        tenant=machine.tenant,
        machine=machine,
        status="FAILED",
        type="FULL",
        sort_at=timezone.now(),
        status_info="Window passed: the task was not started in time",
    )
    operation = operation_on(machine, submission="accepted", outcome="failed", backup_guid="b-1")
    assert "It could not start inside its window." in words(browser.get(f"/t/sunflower/operations/{operation.pk}/"))


def test_waiting_for_vprotect_says_until_when(browser: Client, machine: Machine):
    operation = operation_on(machine)
    UpstreamStatus.objects.update(unreachable_since=timezone.now())
    assert "Your wish is kept and starts by itself" in words(browser.get(f"/t/sunflower/operations/{operation.pk}/"))


def poll_of(answer: Any) -> str:
    """The call by which the live part asks again."""
    return str(BeautifulSoup(answer.content, "html.parser").select_one(".operation")["hx-get"])


def test_an_unchanged_poll_costs_four_queries_and_no_text(browser: Client, machine: Machine):
    operation = operation_on(machine)
    poll = poll_of(browser.get(f"/t/sunflower/operations/{operation.pk}/"))
    with counted() as statements:
        answer = browser.get(poll, headers={"HX-Request": "true"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert len(statements) <= 4, "\n".join(statements)


def test_that_vprotect_is_away_is_news_for_who_watches(browser: Client, machine: Machine):
    operation = operation_on(machine)
    poll = poll_of(browser.get(f"/t/sunflower/operations/{operation.pk}/"))
    UpstreamStatus.objects.update(unreachable_since=timezone.now())
    assert "Your wish is kept" in words(browser.get(poll))


def test_a_poll_brings_what_is_new_and_ends_with_the_operation(browser: Client, machine: Machine):
    operation = operation_on(machine, submission="accepted")
    poll = poll_of(browser.get(f"/t/sunflower/operations/{operation.pk}/"))
    Operation.across_tenants.update(phase="exporting", progress=40)
    moved = browser.get(poll)
    assert moved.status_code == 200 and "40 %" in words(moved)
    Operation.across_tenants.update(outcome="succeeded", progress=100)
    last = browser.get(poll)
    assert "The backup is done." in words(last) and b"hx-get" not in last.content
    assert last["HX-Trigger"] == "operation-finished"


def test_the_first_load_and_the_poll_are_the_same_fragment(browser: Client, machine: Machine):
    operation = operation_on(machine)
    page, fragment = (
        BeautifulSoup(browser.get(f"/t/sunflower/operations/{operation.pk}/{end}").content, "html.parser")
        for end in ("", "poll?seen=0")
    )
    assert str(page.select_one(".operation")) == str(fragment.select_one(".operation"))


# ── Cancelling ───────────────────────────────────────────────────────────────


def test_a_backup_is_cancelled_with_the_consequence_said_first(browser: Client, machine: Machine, member: User):
    operation = operation_on(machine, submission="accepted", phase="exporting")
    address = f"/t/sunflower/operations/{operation.pk}/"
    assert "Cancel this backup What was read so far is thrown away." in words(browser.get(address))
    page = words(browser.post(f"{address}cancel/", follow=True))
    assert "Cancelling: the engine stops at its next safe point." in page and "Cancel this backup" not in page
    entry = AuditEntry.across_tenants.get()
    assert (entry.action, entry.actor, entry.machine_guid) == ("cancel_requested", member, "vm-1")


def test_asking_twice_is_asking_once(browser: Client, machine: Machine):
    operation = operation_on(machine)
    for _ in range(2):
        browser.post(f"/t/sunflower/operations/{operation.pk}/cancel/")
    assert AuditEntry.across_tenants.count() == 1


def test_what_has_ended_is_not_cancelled(browser: Client, machine: Machine):
    operation = operation_on(machine, submission="accepted", outcome="succeeded")
    page = words(browser.post(f"/t/sunflower/operations/{operation.pk}/cancel/", follow=True))
    assert "It has ended already" in page and not AuditEntry.across_tenants.exists()


def test_a_viewer_is_not_offered_to_cancel(browser: Client, machine: Machine):
    operation = operation_on(machine)
    Membership.objects.update(role=Role.VIEWER)
    assert "Cancel this backup" not in words(browser.get(f"/t/sunflower/operations/{operation.pk}/"))


def test_only_who_may_restore_cancels_a_restore(browser: Client, machine: Machine):
    operation = operation_on(machine, kind=Operation.Kind.RESTORE)
    address = f"/t/sunflower/operations/{operation.pk}/"
    assert browser.post(f"{address}cancel/").status_code == 403
    assert "Cancel this restore" not in words(browser.get(address))
    Membership.objects.update(role=Role.RESTORER)
    assert "Cancel this restore" in words(browser.get(address))
    assert browser.post(f"{address}cancel/").status_code == 302


def test_a_wish_to_cancel_is_news_for_who_watches(browser: Client, machine: Machine):
    operation = operation_on(machine)
    poll = poll_of(browser.get(f"/t/sunflower/operations/{operation.pk}/"))
    browser.post(f"/t/sunflower/operations/{operation.pk}/cancel/")
    assert "Cancelling" in words(browser.get(poll))


def test_activity_is_paged_newest_first(browser: Client, tenant: Tenant):
    for number in range(30):
        operation_on(machine_of(tenant, f"vm-{number}"), outcome="succeeded")
    soup = BeautifulSoup(browser.get("/t/sunflower/operations/").content, "html.parser")
    rows = [link.get_text() for link in soup.select(".machine-name")]
    assert len(rows) == 25 and rows[0] == "Backup of machine vm-29"
    older = browser.get("/t/sunflower/operations/" + soup.select_one('a[href*="before="]')["href"])
    assert "machine vm-0" in words(older)
    assert browser.get("/t/sunflower/operations/?before=x").status_code == 200


def test_an_empty_activity_says_what_appears_there(browser: Client):
    assert "Nothing has started here yet" in words(browser.get("/t/sunflower/operations/"))


def test_the_same_page_for_two_tenants_of_one_person(browser: Client, member: User, pine: Tenant, machine: Machine):
    Membership.objects.create(user=member, tenant=pine, role=Role.VIEWER)
    page = words(browser.get("/t/pine/machines/"))
    assert "Switch to" in page and "machine vm-1" not in page
    assert "Where do you want to go?" in words(browser.get("/"))


def test_who_belongs_nowhere_is_told(as_web: Any, tenant: Tenant):
    lonely = person(tenant, "lonely", Role.VIEWER)
    Membership.objects.filter(user=lonely).delete()
    assert "You belong to no organisation yet" in words(as_web(lonely).get("/"))


def test_nothing_granted_is_nothing_offered(browser: Client, machine: Machine):
    Grant.across_tenants.all().delete()
    page = words(browser.get(FORM))
    assert "has not offered you a destination" in page and "Main store" not in page


# ── Where the plan says where backups go ─────────────────────────────────────


@pytest.fixture
def by_rules(settings: Any, machine: Machine) -> Plan:
    """On a current server; the machine's plan stores on both, and has a second rule to a place nobody granted."""
    settings.VPROTECT_DIALECT = "current"
    usual = {"name": "Default", "active": True, "schedule_guids": [], "destinations": []}
    rules = [
        {**usual, "guid": "rule-1", "position": 0, "destination_guids": [STORE, ARCHIVE]},
        {**usual, "guid": "rule-2", "position": 1, "destination_guids": ["store-of-others"]},
    ]
    plan = Plan.across_tenants.get()
    Plan.across_tenants.update(held={"rules": rules})
    return plan


def test_the_plan_says_where_a_backup_goes(browser: Client, by_rules: Plan):
    page = browser.get(FORM)
    offered = [option.text for option in BeautifulSoup(page.content, "html.parser").select("#id_destination option")]
    assert offered == ["Main store + Archive", "a destination of your provider"]
    assert Question.across_tenants.count() == 0, "nobody needs to be asked which can be used"
    browser.post(FORM, wish(destination="rule-2"))
    request = Operation.across_tenants.get().request
    assert (request["rule_guid"], request["destination_guid"]) == ("rule-2", "store-of-others")


def test_a_destination_cannot_be_slipped_in_where_the_plan_decides(browser: Client, by_rules: Plan):
    assert browser.post(FORM, wish(destination=ARCHIVE)).status_code == 422
    assert not Operation.across_tenants.exists()


def test_one_rule_leaves_nothing_to_choose(browser: Client, by_rules: Plan):
    rules = Plan.across_tenants.get().held["rules"]
    Plan.across_tenants.update(held={"rules": rules[:1]})
    page = browser.get(FORM)
    assert "The machine's plan says where its backups go." in words(page) and "Main store + Archive" in words(page)
    assert not BeautifulSoup(page.content, "html.parser").select("select#id_destination")


def test_without_a_plan_the_button_says_why(browser: Client, by_rules: Plan):
    Machine.across_tenants.update(policy_guid="")
    for page in (browser.get("/t/sunflower/machines/vm-1/"), browser.get(FORM)):
        assert "It has no plan yet, and the plan says where backups go." in words(page)
        assert not BeautifulSoup(page.content, "html.parser").select(
            "a[href$='/backup/'], form input[name=backup_type]"
        )
    assert browser.post(FORM, wish(destination="rule-1")).status_code == 422


def test_many_machines_go_by_the_plan_of_each(browser: Client, tenant: Tenant, by_rules: Plan):
    machine_of(tenant, "vm-2")
    form = {"backup_type": "FULL", "window_end": local(timezone.now() + timedelta(hours=6)), "priority": "50"}
    form |= {"window_start": "", "client_key": str(uuid4()), "confirmed": "yes"}
    answer = browser.post("/t/sunflower/bulk/backup/", {**form, "machines": ["vm-1", "vm-2"]}, follow=True)
    [operation] = Operation.across_tenants.all()
    assert (operation.subject_guid, operation.request["rule_guid"]) == ("vm-1", "rule-1")
    assert "No plan says where its backups go." in words(answer)
