"""Where a person lands, as the role of web."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bs4 import BeautifulSoup
from django.db import connection
from django.test import Client
from django.utils import timezone

from portal.charts import charts_of
from portal.dashboard import hero_of
from tenants.models import Membership, Role, Tenant, User
from tests.conftest import machine_of, operation_on, person
from tests.portal.conftest import STORE, counted
from vprotect_bridge.models import Backup, BackupDay, Machine, Operation, Plan, Protection, UpstreamStatus

pytestmark = pytest.mark.django_db

# Today in every zone, whenever the test is run.
JUST_NOW = timedelta(seconds=1)

HERE = "/t/sunflower/"
NOW = datetime(2026, 3, 30, 10, tzinfo=UTC)


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """In Warsaw, on a Monday after the clocks changed."""
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    UpstreamStatus.objects.update(inventory_at=NOW)
    return NOW


def page_of(browser: Client, query: str = "") -> BeautifulSoup:
    answer = browser.get(HERE + query)
    assert answer.status_code == 200
    return BeautifulSoup(answer.content, "html.parser")


def words_of(soup: Any) -> str:
    return " ".join(soup.get_text(" ").split())


def backup_of(machine: Machine, ago: timedelta, status: str = "SUCCESS", **fields: Any) -> Backup:
    at = timezone.now() - ago
    copies = (
        [] if status == "FAILED" else [{"guid": STORE, "name": "Main store", "role": "PRIMARY", "status": "PRESENT"}]
    )
    usual = {"tenant": machine.tenant, "type": "FULL", "sort_at": at, "size": 2 * 1024**3, "duration_ms": 600_000}
    guid = f"{machine.guid}-{at.isoformat()}-{status}"
    return Backup.across_tenants.create(
        guid=guid, machine=machine, status=status, **{**usual, "destinations": copies, **fields}
    )


def many(tenant: Tenant, count: int, protections: Sequence[str] = Protection.values) -> None:
    """Of these statuses in turn, each with three backups lately."""
    now = timezone.now()
    machines = Machine.across_tenants.bulk_create(
        Machine(
            guid=f"m-{n}",
            name=f"machine-{n:05d}",
            tenant=tenant,
            row_digest="",
            policy_guid="policy-1",
            first_seen_at=now,
            changed_at=now,
            protection=protections[n % len(protections)],
            last_success_at=now,
        )
        for n in range(count)
    )
    Backup.across_tenants.bulk_create(
        Backup(
            guid=f"b-{machine.guid}-{day}",
            machine=machine,
            tenant=tenant,
            status="FAILED" if day == 2 else "SUCCESS",
            type="FULL",
            sort_at=now - timedelta(days=day, hours=1),
            size=1024**3,
            destinations=[{"guid": STORE, "name": "Main store", "status": "PRESENT"}],
        )
        for machine in machines
        for day in range(3)
    )


# ── One sentence ─────────────────────────────────────────────────────────────

ASSIGNED = "Your provider assigns machines to your organisation; they appear here by themselves."
PROTECTED, FAILED, OVERDUE, NEW = Protection.PROTECTED, Protection.FAILED, Protection.OVERDUE, Protection.NEW


@pytest.mark.parametrize(
    ("counts", "has_success", "sentence", "more"),
    [
        ({PROTECTED: 42}, True, "All 42 machines are protected", ""),
        ({PROTECTED: 1}, True, "Your one machine is protected", ""),
        ({PROTECTED: 3, Protection.DELETED: 2, Protection.GONE: 4}, True, "All 3 machines are protected", ""),
        ({PROTECTED: 40, FAILED: 1, OVERDUE: 1}, True, "2 machines need attention", "40 of 42 are protected."),
        ({PROTECTED: 1, Protection.PAUSED: 1}, True, "1 machine needs attention", "1 of 2 are protected."),
        ({Protection.UNKNOWN: 3}, False, "Waiting for the first backup", "0 of 3 are protected."),
        ({NEW: 1}, False, "Waiting for the first backup", "0 of 1 is protected."),
        ({NEW: 1, PROTECTED: 4}, True, "1 new machine waits for its first backup", "4 of 5 are protected."),
        ({NEW: 2, PROTECTED: 4, FAILED: 1}, True, "1 machine needs attention", "4 of 7 are protected."),
        ({OVERDUE: 1}, False, "1 machine needs attention", "0 of 1 is protected."),
        ({PROTECTED: 2, OVERDUE: 1}, False, "1 machine needs attention", "2 of 3 are protected."),
        ({OVERDUE: 1, FAILED: 1}, False, "2 machines need attention", "0 of 2 are protected."),
        ({Protection.UNPROTECTED: 3}, False, "No machine is backed up yet", "They need a plan."),
        ({Protection.DELETED: 2}, True, "No machines, but 2 deleted ones can be restored", ""),
        ({Protection.GONE: 2}, False, "No machines yet", ASSIGNED),
        ({}, False, "No machines yet", ASSIGNED),
    ],
)
def test_one_sentence_says_how_it_stands(counts: dict[str, int], has_success: bool, sentence: str, more: str):
    status = UpstreamStatus(inventory_at=timezone.now())
    hero = hero_of(counts, status, has_success=has_success)
    assert (hero.sentence, hero.more) == (sentence, more)


def test_what_is_old_is_never_said_as_if_it_were_so_now():
    old = UpstreamStatus(inventory_at=timezone.now() - timedelta(hours=2))
    assert "were protected when last heard of" in hero_of({PROTECTED: 42}, old, has_success=True).sentence
    assert "read for the first time" in hero_of({}, UpstreamStatus(), has_success=False).sentence


def test_a_tenant_with_nothing_is_told_how_machines_get_here(browser: Client):
    page = page_of(browser)
    assert "No machines yet" in words_of(page.h1) and "I don't see my machine" in words_of(page)
    assert not page.select(".days, .charts, .filter-chip")


def test_each_chip_leads_to_its_machines(browser: Client, tenant: Tenant):
    many(tenant, 16)
    links = {link["href"]: words_of(link) for link in page_of(browser).select(".filter-chip")}
    assert links["/t/sunflower/machines/?status=failed"] == "Failed 2"
    assert len(links) == 8, "what is deleted for good is no machine any more"


# ── What it costs ────────────────────────────────────────────────────────────


def test_it_costs_the_same_however_many_machines_there_are(browser: Client, tenant: Tenant, machine: Machine):
    costs = []
    for count in (50, 1500):
        Machine.across_tenants.all().delete()
        many(tenant, count, [Protection.OVERDUE, Protection.PROTECTED])
        browser.get(HERE)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        with counted() as statements:
            answer = browser.get(HERE)
        costs.append((len(statements), len(answer.content) // 4096))
    assert costs[0] == costs[1] and costs[0][0] <= 20, costs


def test_a_poll_without_news_costs_five_statements(browser: Client, machine: Machine):
    operation_on(machine, submission="accepted", phase="exporting")
    poll = page_of(browser).select_one("#running")["hx-get"]
    with counted() as statements:
        assert browser.get(poll).status_code == 204
    assert len(statements) <= 5, "\n".join(statements)


# ── What is running ──────────────────────────────────────────────────────────


def test_running_work_is_followed_until_it_ends(browser: Client, machine: Machine):
    operation = operation_on(machine, submission="accepted", phase="exporting", progress=10)
    running = page_of(browser).select_one("#running")
    assert "Backup of machine vm-1" in words_of(running) and "10 %" in words_of(running)
    Operation.across_tenants.filter(pk=operation.pk).update(progress=30)
    answer = browser.get(running["hx-get"])
    assert "30 %" in answer.content.decode() and "HX-Trigger" not in answer
    Operation.across_tenants.filter(pk=operation.pk).update(outcome="succeeded", phase="", progress=100)
    answer = browser.get(running["hx-get"])
    assert answer["HX-Trigger"] == "operation-finished" and b"hx-get" not in answer.content


def test_of_much_running_work_a_part_is_shown_and_the_rest_is_said(browser: Client, tenant: Tenant):
    for number in range(8):
        operation_on(machine_of(tenant, f"vm-{number}"), submission="accepted", phase="exporting")
    running = page_of(browser).select_one("#running")
    assert len(running.select("li")) == 5 and "and 3 more" in words_of(running)


# ── Day by day ───────────────────────────────────────────────────────────────


def squares(browser: Client, query: str = "") -> dict[str, list[str]]:
    """The words of each machine's thirty squares, today's last."""
    rows = page_of(browser, query).select(".days tbody tr")
    return {words_of(row.th): [words_of(cell) for cell in row.select("td")] for row in rows}


def test_the_worst_of_a_day_is_shown_and_what_runs_before_all(browser: Client, machine: Machine, at_noon: datetime):
    hour = timedelta(hours=1)
    backup_of(machine, hour), backup_of(machine, 2 * hour, "FAILED")
    backup_of(machine, 25 * hour, "PARTIAL_SUCCESS"), backup_of(machine, 26 * hour)
    backup_of(machine, 49 * hour, "SUCCESS_REMOVED")
    (row,) = squares(browser).values()
    idle = "no backup, none due"
    assert row == [idle] * 27 + ["backed up", "backed up with warnings", "failed"]
    operation_on(machine, submission="accepted", phase="exporting")
    assert squares(browser)["machine vm-1"][-1] == "running now"


def test_days_are_the_tenants(browser: Client, machine: Machine, at_noon: datetime):
    """23:30 UTC of the 28th was half past midnight of the 29th in Warsaw; the day after has 23 hours."""
    backup_of(machine, NOW - datetime(2026, 3, 28, 23, 30, tzinfo=UTC))
    backup_of(machine, NOW - datetime(2026, 3, 29, 22, 30, tzinfo=UTC))
    (row,) = squares(browser).values()
    assert row[-3:] == ["no backup, none due", "backed up", "backed up"]


def test_overdue_are_the_days_on_which_the_plan_should_have_run(browser: Client, machine: Machine, at_noon: datetime):
    """At 02:00 UTC on Wednesdays and Fridays; the last good one was on the Monday before."""
    schedule = {"guid": "s-1", "active": True, "execution_type": "TIME", "hour_ms": 7_200_000, "backup_type": "FULL"}
    schedule |= {"days": ["WEDNESDAY", "FRIDAY"], "months": [], "occurrences": []}
    schedule |= {"start_ms": None, "end_ms": None, "frequency_ms": None}
    rule = {"guid": "r-1", "active": True, "schedule_guids": ["s-1"], "destination_guids": [STORE]}
    held = {"policy": {"active": True, "vm_guids": []}, "rules": [rule], "schedules": [schedule]}
    Plan.across_tenants.update(held=held)
    last = backup_of(machine, timedelta(days=7))
    Machine.across_tenants.update(protection=Protection.OVERDUE, last_success_at=last.sort_at)
    (row,) = squares(browser).values()
    due = "overdue: the plan wanted a backup"
    idle = "no backup, none due"
    assert row[-8:] == ["backed up", idle, due, idle, due, idle, idle, idle]
    Plan.across_tenants.update(held={})
    assert squares(browser)["machine vm-1"][-3:] == [idle, idle, due], "it is overdue, since when nobody knows"


def test_machines_are_worst_first_and_paged(browser: Client, tenant: Tenant):
    many(tenant, 40)
    first, second, far = (list(squares(browser, query)) for query in ("", "?page=2", "?page=999999"))
    assert len(first) == 12 and not set(first) & set(second)
    assert first[0] == "machine-00000" and len(far) == 12, "the last page of 36, those that are gone left out"


# ── What failed ──────────────────────────────────────────────────────────────


def test_failures_say_why_and_lead_to_another_try(browser: Client, machine: Machine):
    backup_of(machine, timedelta(hours=2), "FAILED", status_info="no space left on node1.internal")
    item = page_of(browser).select_one("[aria-labelledby=failures-title] li")
    assert "There was not enough free space" in words_of(item) and "node1" not in str(item)
    assert item.select_one(".advice-button")["href"] == "/t/sunflower/machines/vm-1/backup/"


def test_a_failure_that_a_later_backup_made_good_is_said_to_be_over(browser: Client, machine: Machine):
    backup_of(machine, timedelta(hours=2), "FAILED")
    Machine.across_tenants.update(last_success_at=timezone.now())
    item = page_of(browser).select_one("[aria-labelledby=failures-title] li")
    assert "A later backup succeeded." in words_of(item) and not item.select(".advice-button")


def test_a_refused_wish_is_told_once_and_with_its_reason(browser: Client, machine: Machine):
    operation_on(machine, outcome="refused", submission="rejected", user_message="The destination is full.")
    backup = backup_of(machine, timedelta(hours=1), "FAILED")
    operation_on(machine, outcome="failed", submission="accepted", backup_guid=backup.guid)
    items = page_of(browser).select("[aria-labelledby=failures-title] li")
    assert len(items) == 2 and "The destination is full." in words_of(items[0])


def test_a_viewer_is_shown_no_button(as_web: Callable[[User], Client], tenant: Tenant, machine: Machine):
    backup_of(machine, timedelta(hours=2), "FAILED")
    Machine.across_tenants.update(protection=Protection.FAILED)
    page = page_of(as_web(person(tenant, "viewer", Role.VIEWER)))
    assert not page.select(".advice-button") and "Ask your administrator" in words_of(page)


# ── Figures ──────────────────────────────────────────────────────────────────


def drawings(page: BeautifulSoup) -> dict[str, Any]:
    return {tag["id"]: json.loads(tag.string) for tag in page.select("script[type='application/json']")}


def test_a_chart_and_the_table_behind_it_say_the_same(browser: Client, machine: Machine):
    backup_of(machine, JUST_NOW), backup_of(machine, 2 * JUST_NOW, "FAILED")
    page = page_of(browser)
    drawn = drawings(page)
    assert [one["values"][-1] for one in drawn["chart-success"]["series"]] == [1, 0, 1]
    assert drawn["chart-size"]["series"] == [{"label": "Main store", "tone": "accent", "values": [0.0] * 29 + [2.0]}]
    assert drawn["chart-place"]["labels"] == ["Main store"] and drawn["chart-duration"]["series"][0]["values"][-1] == 10
    text = words_of(page.select_one(".charts"))
    assert "50.0 % of 2 backups succeeded." in text and "2.0 GiB were backed up" in text and "10 min 00 s" in text


def test_a_destination_that_the_tenant_was_not_granted_has_no_name(browser: Client, machine: Machine):
    backup_of(machine, timedelta(hours=1), destinations=[{"guid": "theirs", "name": "Pine's store"}])
    assert drawings(page_of(browser))["chart-place"]["labels"] == ["another destination"]


def test_who_sees_some_machines_sees_their_figures_only(
    browser: Client, member: User, tenant: Tenant, machine: Machine
):
    other = machine_of(tenant, "vm-2")
    backup_of(machine, JUST_NOW), backup_of(other, JUST_NOW, "FAILED")
    operation_on(other, submission="accepted", phase="exporting")
    Membership.objects.filter(user=member).update(machine_guids=["vm-1"])
    page = page_of(browser)
    assert [one["values"][-1] for one in drawings(page)["chart-success"]["series"]] == [1, 0, 0]
    assert "vm-2" not in str(page) and not page.select("#running li")


def test_what_is_kept_and_what_is_counted_draw_the_same(browser: Client, member: User, machine: Machine):
    for hours, status in ((1, "SUCCESS"), (30, "FAILED"), (31, "PARTIAL_SUCCESS"), (24 * 40, "SUCCESS")):
        backup_of(machine, timedelta(hours=hours), status)
    assert BackupDay.across_tenants.count() == 4
    kept = drawings(page_of(browser))
    Membership.objects.filter(user=member).update(machine_guids=["vm-1"])
    assert drawings(page_of(browser)) == kept


def test_names_are_text_never_markup(browser: Client, machine: Machine):
    evil = '</script><script>alert(1)</script>"><img src=x onerror=alert(2)>'
    backup_of(machine, timedelta(hours=1), "FAILED", status_info=evil)
    Machine.across_tenants.update(name=evil, protection=Protection.FAILED)
    operation_on(machine, submission="accepted", phase="exporting")
    page = page_of(browser)
    assert not page.select("img, script:not([src]):not([type='application/json'])")


def test_charts_of_nothing_divide_by_nothing():
    days = [datetime(2026, 3, 30, tzinfo=ZoneInfo("UTC")).date()]
    assert [chart.key for chart in charts_of([], days, {}, {})] == ["size", "place", "success", "duration"]
