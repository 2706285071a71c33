"""What an operation's page and its details tell: how long, what happened, which tasks, what to do next."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone, translation

from portal.operation_words import about, estimate
from portal.words import operation_sentence
from tenants.models import Membership, Role, Tenant, User
from tests.conftest import AsRole, machine_of, operation_on
from tests.portal.conftest import STORE, counted
from tests.portal.test_activity import from_elsewhere, words
from vprotect_bridge.client.types import Task
from vprotect_bridge.models import Backup, Machine, Operation, OperationEvent, OperationTask
from vprotect_bridge.task_chain import note_task

pytestmark = pytest.mark.django_db

MINUTE, NOW = 60_000, timezone.now()


def page_of(operation: Operation, end: str = "") -> str:
    return f"/t/sunflower/operations/{operation.pk}/{end}"


# ── How long ─────────────────────────────────────────────────────────────────


def working(minutes: float | None, **fields: Any) -> Operation:
    """One that began so long ago; its machine's last five took 6 minutes, the longest 12."""
    usual: dict[str, Any] = {
        **{"kind": "backup", "submission": "accepted", "request": {"backup_type": "FULL"}},
        **{"usual_ms": 6 * MINUTE, "usual_from": 5, "longest_ms": 12 * MINUTE},
        "started_at": None if minutes is None else NOW - timedelta(minutes=minutes),
    }
    return Operation(**usual | fields)


@pytest.mark.parametrize(
    ("operation", "sentence"),
    [
        (working(None), "Usually takes about 6 minutes, from its last 5 full backups."),
        (working(1.9), "About 5 minutes left, from its last 5 full backups."),
        (working(5.5), "Less than a minute left, from its last 5 full backups."),
        (working(8), "Longer than usual: about 6 minutes, from its last 5 full backups."),
        (working(13), "Longer than ever before; the longest took about 12 minutes, from its last 5 full backups."),
        (working(1.9, usual_from=1), "About 5 minutes left, from its last full backup."),
        (working(1.9, kind="restore"), "About 5 minutes left, from its last 5 restores."),
        # Without a history, after the end, and where it will not be finished, nothing is guessed.
        (working(2, usual_from=0, usual_ms=None), ""),
        (working(2, usual_from=None, usual_ms=None), ""),
        (working(2, outcome="succeeded"), ""),
        (working(2, cancel_wanted_at=NOW), ""),
        (working(2, submission="needs_attention"), ""),
    ],
)
def test_an_estimate_is_from_the_machines_own_history(operation: Operation, sentence: str):
    assert estimate(operation, NOW) == sentence


def test_an_estimate_is_a_sentence_in_german_too():
    with translation.override("de"):
        assert estimate(working(1.9), NOW).startswith("Noch etwa 5 Minuten, nach ")


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(0.5, "less than a minute"), (1, "about 1 minute"), (89, "about 89 minutes"), (170, "about 3 hours")],
)
def test_it_is_coarse(minutes: float, text: str):
    assert about(minutes * MINUTE) == text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"phase": "queued", "place_in_line": 3}, "Place 3 in the queue."),
        ({"phase": "queued", "place_in_line": 40}, "About place 40 in the queue."),
        (
            {"submission": "pending", "place_in_line": 2},
            "Place 2 of your organisation's own that wait to be started.",
        ),
        (
            {"submission": "pending", "place_in_line": 20},
            "Among the first 20 of your organisation's own that wait to be started.",
        ),
        ({"phase": "queued"}, "Waiting in line."),
    ],
)
def test_a_place_in_line_is_told_with_its_line(fields: dict[str, Any], sentence: str):
    assert operation_sentence(Operation(**{"kind": "backup", "submission": "accepted", **fields})) == sentence


def test_an_estimate_is_no_news_but_a_place_is(machine: Machine):
    operation = operation_on(machine)
    rows = Operation.across_tenants.filter(pk=operation.pk)
    rows.update(usual_ms=1, usual_from=2, longest_ms=3)
    assert rows.get().version == operation.version
    rows.update(place_in_line=4)
    assert rows.get().version == operation.version + 1


# ── Details ──────────────────────────────────────────────────────────────────


@pytest.fixture
def told(machine: Machine) -> Operation:
    """A backup whose export was repeated, with vProtect's own words in the journal."""
    operation = operation_on(
        machine, submission="accepted", phase="storing", progress=60, backup_guid="b-guid", correlation_id="c-id"
    )
    for guid, kind, state in (
        ("t-first", "EXPORT", "FAILED"),
        ("t-second", "EXPORT", "FINISHED"),
        ("t-third", "STORE", "RUNNING"),
    ):
        OperationTask.across_tenants.create(
            tenant=machine.tenant, operation=operation, guid=guid, type=kind, state=state, started_at=timezone.now()
        )
    for was, becomes in (("", "pending"), ("pending", "sending"), ("exporting", "storing")):
        OperationEvent.across_tenants.create(
            tenant=machine.tenant,
            operation=operation,
            moved_from=was,
            moved_to=becomes,
            detail="host node-7.internal",
        )
    return operation


def test_details_show_the_chain_the_events_and_every_id(browser: Client, told: Operation):
    page = browser.get(page_of(told, "details/"))
    soup = BeautifulSoup(page.content, "html.parser")
    chain = [" ".join(item.select_one("p").get_text(" ").split()) for item in soup.select(".chain li")]
    assert chain == [
        "Reading the machine EXPORT Failed",
        "Reading the machine EXPORT Done",
        "Storing the backup STORE Running",
    ]
    happened = [" ".join(item.find("time").next_sibling.split()) for item in soup.select(".happened li")]
    assert happened == ["It was asked for.", "It was sent to the backup system.", "Storing the backup."]
    copyable = {code.get_text() for code in soup.select(".copyable")}
    assert copyable == {"t-first", "t-second", "t-third", "b-guid", "c-id", str(told.pk)}
    assert "node-7" not in page.content.decode(), "vProtect's own words are the operator's"


def test_the_drawer_and_its_poll_are_parts_of_that_page(browser: Client, told: Operation):
    drawer = browser.get(page_of(told, "details/"), headers={"HX-Request": "true", "HX-Target": "drawer-body"})
    soup = BeautifulSoup(drawer.content, "html.parser")
    assert not soup.select("html") and soup.select_one("#drawer-title")
    poll = str(soup.select_one("#operation-details")["hx-get"])
    with counted() as statements:
        assert browser.get(poll, headers={"HX-Request": "true"}).status_code == 204
    assert len(statements) <= 4
    with counted() as statements:
        fragment = browser.get(page_of(told, "details/"), headers={"HX-Request": "true"})
    assert len(statements) <= 8, "\n".join(statements)
    page = BeautifulSoup(browser.get(page_of(told, "details/")).content, "html.parser")
    part = BeautifulSoup(fragment.content, "html.parser")
    assert str(page.select_one("#operation-details")) == str(part.select_one("#operation-details"))


def test_details_of_what_had_ended_before_it_was_seen(browser: Client, machine: Machine):
    operation = from_elsewhere(machine, outcome="succeeded", phase="")
    assert "it had ended when it was first seen" in words(browser.get(page_of(operation, "details/")))


def test_the_next_task_is_news_while_the_operation_stays_as_it_was(machine: Machine):
    operation = operation_on(machine, kind="restore", submission="accepted", phase="restoring", progress=50)
    version = lambda: Operation.across_tenants.values_list("version", flat=True).get(pk=operation.pk)  # noqa: E731
    for task in (task_of("t-1", "RESTORE", "RUNNING"), task_of("t-2", "IMPORT", "QUEUED")):
        before = version()
        note_task(operation, task, 0)
        assert version() == before + 1
        note_task(operation, task, 0)
        assert version() == before + 1, "nothing is new"


def task_of(guid: str, kind: str, state: str) -> Task:
    return Task.from_json({"guid": guid, "type": {"name": kind}, "state": {"name": state}})


def test_a_chain_is_its_tenants_alone(told: Operation, pine: Tenant, as_role: AsRole):
    with as_role("portal_web", told.tenant):
        assert OperationTask.across_tenants.count() == 3
    with as_role("portal_web", pine):
        assert not OperationTask.across_tenants.exists()


# ── What became of it, and what to do next ───────────────────────────────────


def test_what_was_made_says_where_it_lies_and_leads_to_its_restore(browser: Client, machine: Machine, member: User):
    Backup.across_tenants.create(
        guid="made",
        tenant=machine.tenant,
        machine=machine,
        status="SUCCESS",
        type="FULL",
        size=3 * 1024**3,
        sort_at=timezone.now(),
        destinations=[{"guid": STORE, "name": "Main store", "status": "PRESENT"}],
    )
    operation = operation_on(machine, submission="accepted", outcome="succeeded", progress=100, backup_guid="made")
    page = words(browser.get(page_of(operation)))
    assert "Made: Full, 3.0 GiB. It lies in: Main store." in page and "Restore from it" not in page
    Membership.objects.filter(user=member).update(role=Role.RESTORER)
    assert "Restore from it" in words(browser.get(page_of(operation)))


def test_what_failed_is_tried_again_with_the_form_filled_in(browser: Client, machine: Machine, member: User):
    wish = {"backup_type": "INCREMENTAL", "destination_guid": "store-2", "priority": 12}
    operation = operation_on(machine, submission="accepted", outcome="failed", request=wish)
    page = BeautifulSoup(browser.get(page_of(operation)).content, "html.parser")
    again = next(link["href"] for link in page.select("a") if "Try again" in link.get_text())
    form = BeautifulSoup(browser.get(again).content, "html.parser")
    assert form.select_one("[name=backup_type][checked]")["value"] == "INCREMENTAL"
    assert form.select_one("[name=priority]")["value"] == "12"
    assert form.select_one("[name=destination] [selected], [name=destination][checked]")["value"] == "store-2"
    Membership.objects.filter(user=member).update(role=Role.VIEWER)
    assert "Try again" not in words(browser.get(page_of(operation)))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"submission": "expired", "outcome": "missed"}, "Nothing was started. Ask for it again with a longer window."),
        ({"submission": "rejected", "outcome": "refused", "user_message": "It is gone."}, "It is gone."),
        ({"submission": "uncertain"}, "Nothing is lost and nothing is started twice"),
        ({"submission": "needs_attention"}, "Your provider has to look at this one."),
        ({"submission": "accepted", "outcome": "failed"}, "Earlier backups are untouched."),
        ({"submission": "cancelled", "outcome": "cancelled"}, "The backup was cancelled."),
    ],
)
def test_each_end_says_what_it_means(fields: dict[str, Any], said: str, browser: Client, machine: Machine):
    assert said in words(browser.get(page_of(operation_on(machine, **fields))))


def test_what_belongs_to_another_machine_fills_in_no_form(browser: Client, machine: Machine, tenant: Tenant):
    wish = {"backup_type": "FULL", "destination_guid": "store-2", "priority": 12}
    other = operation_on(machine_of(tenant, "vm-2"), outcome="failed", request=wish)
    form = BeautifulSoup(browser.get(f"/t/sunflower/machines/vm-1/backup/?like={other.pk}").content, "html.parser")
    assert form.select_one("[name=priority]")["value"] != "12"
