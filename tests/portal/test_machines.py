"""The list of machines and one machine, as the role of web."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone
from django_scopes import scope

from portal.forms import MachineFilter
from portal.machine_list import PAGE_SIZE, page_of
from tenants.models import Grant, Membership, Role, Tenant
from tests.conftest import machine_of, operation_on
from tests.portal.conftest import counted
from vprotect_bridge.models import WORST_FIRST, Backup, Machine, Operation, Plan, Protection, UpstreamStatus
from vprotect_bridge.plan_facts import Held
from vprotect_bridge.plan_times import WEEKDAYS

pytestmark = pytest.mark.django_db

LIST = "/t/sunflower/machines/"
GIB = 1024**3
EVERY_DAY = {
    **{"guid": "s-1", "active": True, "backup_type": "FULL", "execution_type": "TIME", "rule_guids": ["r-1"]},
    **{"hour_ms": 7_200_000, "start_ms": None, "end_ms": None, "frequency_ms": None, "window_ms": None},
    **{"days": list(WEEKDAYS), "months": [], "occurrences": []},
}
DAILY = Held(
    policy={"active": True, "vm_guids": ["vm-1"]},
    rules=({"guid": "r-1", "active": True, "schedule_guids": ["s-1"], "destination_guids": ["store-1"]},),
    schedules=(EVERY_DAY,),
)


def many(tenant: Tenant, count: int) -> None:
    now = timezone.now()
    Machine.across_tenants.bulk_create(
        Machine(
            guid=f"m-{n}",
            name=f"machine-{n:05d}",
            tenant=tenant,
            row_digest="",
            first_seen_at=now,
            changed_at=now,
            protection=Protection.values[n % 4],
        )
        for n in range(count)
    )


def text(browser: Client, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200
    return " ".join(BeautifulSoup(answer.content, "html.parser").get_text(" ").split())


def names(browser: Client, query: str = "") -> list[str]:
    soup = BeautifulSoup(browser.get(LIST + query).content, "html.parser")
    return [link.get_text() for link in soup.select(".machine-name")]


def backup(machine: Machine, **fields: object) -> Backup:
    facts = {"guid": "b-1", "tenant": machine.tenant, "status": "SUCCESS", "type": "FULL", "sort_at": timezone.now()}
    return Backup.across_tenants.create(machine=machine, **{**facts, **fields})


# ── The list ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [10, 20_000])
def test_the_list_costs_eight_queries_however_long_it_is(count: int, browser: Client, tenant: Tenant, machine: Machine):
    many(tenant, count)
    Machine.across_tenants.update(policy_guid=machine.policy_guid)
    for number in range(5):
        operation_on(Machine.across_tenants.get(guid=f"m-{number}"))
    browser.get(LIST)  # the first page in some minutes notes that its person was seen
    costs = []
    for query in ("", f"?page={count // PAGE_SIZE + 1}", "?sort=-size&q=machine&presence=here"):
        with counted() as statements:
            browser.get(LIST + query)
        costs.append(len(statements))
    assert max(costs) <= 8, "\n".join(statements)


def test_the_last_page_is_counted_from_the_end(tenant: Tenant):
    many(tenant, 1000)
    with scope(tenant=tenant), counted() as statements:
        rows = page_of(Machine.objects.order_by("name"), 40, 1000)
    assert [row.name for row in rows] == [f"machine-{n:05d}" for n in range(975, 1000)]
    assert "OFFSET" not in statements[0]


def test_the_list_is_searched_filtered_sorted_and_paged(browser: Client, tenant: Tenant):
    many(tenant, 60)
    assert len(names(browser)) == 25 and len(names(browser, "?page=3")) == 10
    assert names(browser, "?q=0000") == [f"machine-{n:05d}" for n in range(10)]
    assert names(browser, "?q=MACHINE-00007") == ["machine-00007"]
    failed = names(browser, "?status=failed")
    assert failed == [f"machine-{n:05d}" for n in range(0, 60, 4)]
    assert names(browser, "?sort=status")[:15] == failed
    assert "26–50 of 60" in text(browser, LIST + "?page=2")


@pytest.mark.parametrize("sort", MachineFilter.Sort.values)
def test_every_order_shows_every_machine_once_and_turns_round(sort: str, browser: Client, tenant: Tenant):
    many(tenant, 60)
    for number in range(0, 60, 3):
        moment = timezone.now() - timedelta(days=number)
        Machine.across_tenants.filter(guid=f"m-{number}").update(last_success_at=moment, last_full_size=number % 7)
    found = [name for page in (1, 2, 3) for name in names(browser, f"?sort={sort}&page={page}")]
    assert sorted(found) == [f"machine-{n:05d}" for n in range(60)]
    key = {"status": "protection", "last": "last_success_at", "size": "last_full_size"}.get(sort.strip("-"), "name")
    values = dict(Machine.across_tenants.values_list("name", key))
    ordered = [values[name] for name in found]
    if key == "protection":
        ordered = [WORST_FIRST.index(value) for value in ordered]
    known = [value for value in ordered if value is not None]
    assert known == sorted(known, reverse=sort.startswith("-"))
    unknown_side = ordered[-40:] if sort.startswith("-") else ordered[:40]
    assert len(known) == 60 or set(unknown_side) == {None}, "never backed up is older than any backup"


def test_capital_letters_make_no_difference_to_the_order(browser: Client, tenant: Tenant):
    for guid, name in (("vm-1", "beta"), ("vm-2", "Alpha"), ("vm-3", "Gamma")):
        machine_of(tenant, guid)
        Machine.across_tenants.filter(guid=guid).update(name=name)
    assert names(browser) == ["Alpha", "beta", "Gamma"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=books", ["machine vm-1"]),
        ("q=0a1b2c3d-", ["machine vm-2"]),
        ("q=11111111-AA", ["machine 11111111-aaaa"]),
        ("q=0a1b2c3", []),
        ("platform=RHV", ["machine vm-2"]),
        ("platform=KVM&q=vm", ["machine vm-1"]),
        ("presence=gone", ["machine 11111111-aaaa"]),
        ("presence=here", ["machine vm-1", "machine vm-2"]),
        ("plan=none", ["machine 11111111-aaaa", "machine vm-2"]),
        ("plan=none&presence=here", ["machine vm-2"]),
        ("plan={plan}", ["machine vm-1"]),
        ("plan={plan}&status=failed", []),
    ],
)
def test_a_filter_leaves_what_fits(query: str, found: list[str], browser: Client, machine: Machine, tenant: Tenant):
    other, deleted = machine_of(tenant, "vm-2"), machine_of(tenant, "11111111-aaaa")
    facts = {machine: {"project_name": "Online Books"}, other: {"platform": "RHV", "uuid": "0a1b2c3d-4e5f"}}
    for row, changes in {**facts, deleted: {"present": False, "protection": Protection.DELETED}}.items():
        Machine.across_tenants.filter(pk=row.pk).update(**changes)
    assert names(browser, "?" + query.replace("{plan}", str(Plan.across_tenants.get().pk))) == found


def test_the_numbers_of_the_chips_go_with_the_other_filters(browser: Client, tenant: Tenant):
    many(tenant, 40)
    Machine.across_tenants.filter(guid__in=["m-0", "m-4", "m-5"]).update(platform="RHV")
    assert "Failed 2" in text(browser, LIST + "?platform=RHV") and "Failed 10" in text(browser, LIST)
    assert "Overdue 1" in text(browser, LIST + "?platform=RHV&status=failed"), "what else could be chosen"


def test_a_row_says_its_plan_and_when_that_runs_next(browser: Client, machine: Machine):
    Plan.across_tenants.update(held=DAILY.to_json())
    page = text(browser, LIST)
    assert re.search(r"Nightly next: \w{3} \d+ \w{3}, 0[34]:00 CES?T", page)


def test_what_is_deleted_and_has_no_restore_point_left_leaves_the_list(browser: Client, machine: Machine):
    Machine.across_tenants.update(present=False, protection=Protection.GONE)
    assert names(browser) == [] and "No machines yet" in text(browser, LIST)
    assert "no backup of it is left" in text(browser, f"{LIST}vm-1/")


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"restorable_until": "2099-12-24T12:00Z"}, "Its last restore point goes on 24 Dec 2099."),
        ({"restorable_until": "2026-01-01T12:00Z", "newest_point_at": "2025-12-01T12:00Z"}, "is of 1 Dec 2025 and may"),
        (
            {"newest_point_at": "2025-12-01T12:00Z"},
            "Its newest restore point is of 1 Dec 2025 and may be removed any day.",
        ),
        ({}, "Its restore points may be removed any day."),
    ],
)
def test_a_deleted_machine_warns_before_it_is_lost(
    facts: dict[str, str], sentence: str, browser: Client, machine: Machine
):
    Machine.across_tenants.update(present=False, protection=Protection.DELETED, **facts)
    for address in (LIST, f"{LIST}vm-1/"):
        assert sentence in text(browser, address)
    Machine.across_tenants.update(present=True, protection=Protection.PROTECTED)
    assert "restore point" not in text(browser, LIST)


# ── Live ─────────────────────────────────────────────────────────────────────

HTMX = {"HX-Request": "true"}


def test_htmx_gets_the_list_alone_and_the_address_for_the_browser(browser: Client, tenant: Tenant):
    many(tenant, 30)
    answer = browser.get(LIST + "?q=machine&plan=&platform=&sort=-name&page=2", headers=HTMX)
    page = answer.content.decode()
    assert "<html" not in page and "Now shown: 26 to 30" in page
    assert answer["HX-Push-Url"] == LIST + "?q=machine&sort=-name&page=2"
    typing = browser.get(LIST + "?q=machine", headers=HTMX | {"HX-Current-URL": "https://x" + LIST + "?q=mach"})
    assert typing["HX-Replace-Url"] == LIST + "?q=machine" and "HX-Push-Url" not in typing


def poll_of(browser: Client, query: str = "") -> str:
    return BeautifulSoup(browser.get(LIST + query).content, "html.parser").select_one("#machine-list")["hx-get"]


def test_a_list_asks_for_news_while_something_runs_in_it(browser: Client, machine: Machine):
    assert "every 3s" not in browser.get(LIST).content.decode()
    operation = operation_on(machine, submission="accepted", phase="exporting", progress=12)
    poll = poll_of(browser)
    with counted() as statements:
        assert browser.get(poll, headers=HTMX).status_code == 204
    assert len(statements) <= 5, "\n".join(statements)
    Operation.across_tenants.update(progress=34)
    assert "34 %" in browser.get(poll, headers=HTMX).content.decode()
    Operation.across_tenants.filter(pk=operation.pk).update(outcome="succeeded")
    last = browser.get(poll, headers=HTMX).content.decode()
    assert "Running" not in last and "every 3s" not in last


@pytest.mark.parametrize("page", [1, 4])
def test_the_news_of_a_page_are_of_that_page(page: int, browser: Client, tenant: Tenant):
    many(tenant, 100)
    operation_on(Machine.across_tenants.get(guid=f"m-{page * 25 - 1}"))
    poll = poll_of(browser, f"?page={page}")
    assert browser.get(poll, headers=HTMX).status_code == 204
    Machine.across_tenants.filter(guid="m-50").update(name="machine-00050b")
    assert browser.get(poll, headers=HTMX).status_code == 204
    Machine.across_tenants.filter(guid=f"m-{page * 25 - 2}").update(protection=Protection.PROTECTED)
    assert browser.get(poll, headers=HTMX).status_code == 200


def test_a_percent_sign_is_looked_for_as_such(browser: Client, tenant: Tenant):
    many(tenant, 3)
    assert names(browser, "?q=%25") == []


@pytest.mark.parametrize(
    "query",
    [
        *("?page=0", "?page=-1", "?page=999999999999", "?page=x", "?page=1&page=2", "?sort=password", "?sort="),
        *("?plan=x", "?plan=" + "-" * 36, "?platform=%27--", "?presence=maybe", "?seen=1&of=x", "?plan=none&plan=x"),
        *("?status=nothing", "?q=%00", "?q=(a%2B)%2B%24", "?q=" + "x" * 5000),
    ],
)
def test_an_odd_address_still_opens(query: str, browser: Client, machine: Machine):
    assert browser.get(LIST + query).status_code == 200


def test_only_the_tenants_machines_are_listed(browser: Client, machine: Machine, pine: Tenant):
    machine_of(pine, "vm-9"), machine_of(None, "vm-8")
    assert names(browser) == ["machine vm-1"]


def test_an_empty_list_says_how_machines_get_here(browser: Client):
    assert "No machines yet" in text(browser, LIST)


def test_a_search_without_result_offers_the_way_back(browser: Client, machine: Machine):
    page = text(browser, LIST + "?q=nothing")
    assert "No machine has “nothing” in its name, its project or its id" in page and "Show all machines" in page


def test_a_running_backup_is_shown_in_its_row(browser: Client, machine: Machine):
    operation_on(machine, submission="accepted", phase="exporting")
    assert "Running" in text(browser, LIST)


def test_names_are_text_never_markup(browser: Client, machine: Machine):
    evil = '"><img src=x onerror=alert(1)></script><script>alert(2)</script>'
    Machine.across_tenants.update(name=evil, project_name=evil)
    operation = operation_on(machine, user_message=evil)
    for address in (
        LIST,
        f"{LIST}vm-1/",
        f"{LIST}vm-1/backup/",
        "/t/sunflower/operations/",
        f"/t/sunflower/operations/{operation.pk}/",
    ):
        page = browser.get(address, follow=True).content.decode()
        assert "<img" not in page and "<script>" not in page, address


# ── How old it is, whether vProtect is there ─────────────────────────────────


def test_pages_say_how_old_they_are(browser: Client, machine: Machine):
    UpstreamStatus.objects.update(inventory_at="2026-06-01T12:03:12Z")
    page = text(browser, LIST)
    assert "Machines as of 1 Jun 2026, 14:03:12 CEST" in page and "What you see is old" in page


def test_pages_open_while_vprotect_is_away_and_say_so(browser: Client, machine: Machine):
    UpstreamStatus.objects.update(unreachable_since=timezone.now(), problem="unreachable")
    for address in (LIST, f"{LIST}vm-1/", f"{LIST}vm-1/backup/"):
        assert "The backup system cannot be reached since" in text(browser, address)


# ── One machine ──────────────────────────────────────────────────────────────


def test_a_machine_shows_its_backups(browser: Client, machine: Machine):
    backup(
        machine,
        size=20 * 1024**3,
        duration_ms=368_000,
        destinations=[{"guid": "d", "name": "Main store", "role": "PRIMARY", "status": "PRESENT"}],
    )
    page = text(browser, f"{LIST}vm-1/")
    for words in ("Protected", "Succeeded", "Full", "20.0 GiB", "6 min 08 s", "Main store"):
        assert words in page


def test_a_machine_says_how_it_is_protected_and_how_it_went(browser: Client, machine: Machine):
    Plan.across_tenants.update(held=DAILY.to_json())
    backup(machine, sort_at=timezone.now() - timedelta(days=1))
    backup(machine, guid="b-2", status="FAILED", sort_at=timezone.now() - timedelta(days=2))
    page = BeautifulSoup(browser.get(f"{LIST}vm-1/").content, "html.parser")
    facts = {dt.get_text(): dt.find_next("dd").get_text(" ", strip=True) for dt in page.select(".facts dt")}
    assert facts["Plan"] == "Nightly" and facts["Next run"].startswith("in ")
    days = [day["class"][1] for day in page.select(".strip .day")]
    assert len(days) == 30 and days[-3:] == ["failed", "good", "idle"]


def test_an_administrator_changes_the_plan_from_the_machines_page(browser: Client, machine: Machine):
    assert "Change plan" not in text(browser, f"{LIST}vm-1/")
    Membership.objects.update(role=Role.ADMIN)
    page = BeautifulSoup(browser.get(f"{LIST}vm-1/").content, "html.parser")
    assert "Change plan" in page.get_text()
    link = page.select_one('a[href*="bulk/plan"]')["href"]
    assert link == "/t/sunflower/bulk/plan/?machines=vm-1" and browser.get(link).status_code == 200


@pytest.mark.parametrize(
    ("status_info", "words"),
    [
        ("Backup destination is not assigned to the node", "cannot be reached from where this machine runs"),
        ("java.io.IOException: /vprotect_data/x on node1.internal", "The backup system reported an error"),
        ("Snapshot failed: not enough space on storage ssd-2 at hv-03.internal", "not enough free space"),
        ("", "The backup system reported an error"),
    ],
)
def test_a_failure_is_explained_without_names_of_hosts(status_info: str, words: str, browser: Client, machine: Machine):
    backup(machine, status="FAILED", status_info=status_info)
    page = text(browser, f"{LIST}vm-1/")
    assert words in page
    assert not [name for name in ("internal", "vprotect_data", "IOException", "ssd-2") if name in page]


def test_an_unknown_status_and_type_are_shown_as_they_are(browser: Client, machine: Machine):
    backup(machine, status="BRAND_NEW", type="MOON_PHASE")
    page = text(browser, f"{LIST}vm-1/")
    assert "Brand new" in page and "Moon phase" in page


def test_a_long_history_is_paged(browser: Client, machine: Machine):
    for number in range(45):
        backup(machine, guid=f"b-{number}", sort_at=timezone.now() - timedelta(days=number))
    pages = [BeautifulSoup(browser.get(f"{LIST}vm-1/?page={n}").content, "html.parser") for n in (1, 2, 3)]
    assert [len(page.select(".history tbody tr")) for page in pages] == [20, 20, 5]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("gone", "The machine no longer exists"),
        ("running", "It is being backed up now"),
        ("role", "Your role lets you look"),
        ("no_destination", "has not offered you a destination"),
    ],
)
def test_the_button_says_why_it_cannot_be_pressed(change: str, words: str, browser: Client, machine: Machine):
    match change:
        case "gone":
            Machine.across_tenants.update(present=False)
        case "running":
            operation_on(machine)
        case "role":
            Membership.objects.update(role=Role.VIEWER)
        case "no_destination":
            Grant.across_tenants.all().delete()
    soup = BeautifulSoup(browser.get(f"{LIST}vm-1/").content, "html.parser")
    assert words in soup.select_one("#why-not").get_text()
    assert not soup.select('a[href$="/backup/"]')


def test_looking_asks_a_worker_at_most_once_a_minute(browser: Client, machine: Machine):
    browser.get(f"{LIST}vm-1/")
    assert Machine.across_tenants.get().backups_wanted_at is None, "read just now"
    Machine.across_tenants.update(backups_at=timezone.now() - timedelta(minutes=2))
    browser.get(f"{LIST}vm-1/")
    wanted = Machine.across_tenants.get().backups_wanted_at
    assert wanted is not None
    browser.get(f"{LIST}vm-1/")
    assert Machine.across_tenants.get().backups_wanted_at == wanted


def test_the_history_asks_again_only_while_news_is_to_come(browser: Client, machine: Machine):
    address = f"{LIST}vm-1/history"
    assert b"hx-get" not in browser.get(address).content
    operation = operation_on(machine)
    live = BeautifulSoup(browser.get(address).content, "html.parser").select_one("#history")
    assert browser.get(live["hx-get"]).status_code == 204
    Machine.across_tenants.update(backups_at=timezone.now() + timedelta(seconds=1))
    assert browser.get(live["hx-get"]).status_code == 200
    Operation.across_tenants.filter(pk=operation.pk).update(outcome="succeeded")
    last = browser.get(live["hx-get"])
    assert last.status_code == 200 and b"hx-get" not in last.content


def test_what_the_head_offers_is_renewed_with_the_history(browser: Client, machine: Machine):
    head = BeautifulSoup(browser.get(f"{LIST}vm-1/").content, "html.parser").select_one("#machine-head")
    assert "history-read from:body" in head["hx-trigger"]
    operation = operation_on(machine)
    assert "HX-Trigger" not in browser.get(f"{LIST}vm-1/history").headers
    Operation.across_tenants.filter(pk=operation.pk).update(outcome="succeeded")
    assert browser.get(f"{LIST}vm-1/history")["HX-Trigger"] == "history-read"


def test_a_history_that_was_not_read_yet_is_not_called_empty(browser: Client, tenant: Tenant):
    machine = machine_of(tenant)
    assert "being read" in text(browser, LIST) and "never" not in text(browser, LIST)
    assert "Last good backup being read" in text(browser, f"{LIST}{machine.guid}/")
    Machine.across_tenants.update(backups_at=timezone.now())
    assert "never" in text(browser, LIST) and "being read" not in text(browser, LIST)
    assert "Last good backup none yet" in text(browser, f"{LIST}{machine.guid}/")


def test_a_history_that_was_read_later_than_the_machines_row_says_what_was_last(browser: Client, machine: Machine):
    now, hour = timezone.now(), timedelta(hours=1)
    Machine.across_tenants.update(last_backup_at=now - 17 * hour, last_size=GIB, last_full_size=9 * GIB)
    said = r"Last attempt {} hours ago \(.*\) Size of the last backup {} GiB Size of a full backup 9.0 GiB"
    assert re.search(said.format(17, "1.0"), text(browser, f"{LIST}{machine.guid}/"))
    for number, (ago, status, size) in enumerate([(3, "SUCCESS", 4 * GIB), (2, "FAILED", 0), (1, "INPROGRESS", 0)]):
        Backup.across_tenants.create(
            **{"guid": f"b-{number}", "machine": machine, "tenant": machine.tenant, "status": status, "size": size},
            **{"type": "INCREMENTAL", "sort_at": now - ago * hour},
        )
    assert re.search(said.format(2, "4.0"), text(browser, f"{LIST}{machine.guid}/"))
