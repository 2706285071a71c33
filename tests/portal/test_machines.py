"""The list of machines and one machine, as the role of web."""

from __future__ import annotations

from datetime import timedelta

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone

from tenants.models import Grant, Membership, Role, Tenant
from tests.conftest import machine_of, operation_on
from tests.portal.conftest import counted
from vprotect_bridge.models import Backup, Machine, Operation, Protection, UpstreamStatus

pytestmark = pytest.mark.django_db

LIST = "/t/sunflower/machines/"


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


@pytest.mark.parametrize("count", [10, 10_000])
def test_the_list_costs_eight_queries_however_long_it_is(count: int, browser: Client, tenant: Tenant):
    many(tenant, count)
    operation_on(Machine.across_tenants.get(guid="m-1"))
    browser.get(LIST)  # the first page in some minutes notes that its person was seen
    with counted() as statements:
        browser.get(LIST)
    assert len(statements) <= 8, "\n".join(statements)


def test_the_list_is_searched_filtered_sorted_and_paged(browser: Client, tenant: Tenant):
    many(tenant, 60)
    assert len(names(browser)) == 25 and len(names(browser, "?page=3")) == 10
    assert names(browser, "?q=0000") == [f"machine-{n:05d}" for n in range(10)]
    assert names(browser, "?q=MACHINE-00007") == ["machine-00007"]
    failed = names(browser, "?status=failed")
    assert failed == [f"machine-{n:05d}" for n in range(0, 60, 4)]
    assert names(browser, "?sort=status")[:15] == failed
    assert "26–50 of 60" in text(browser, LIST + "?page=2")


def test_a_percent_sign_is_looked_for_as_such(browser: Client, tenant: Tenant):
    many(tenant, 3)
    assert names(browser, "?q=%25") == []


@pytest.mark.parametrize(
    "query",
    [
        *("?page=0", "?page=-1", "?page=999999999999", "?page=x", "?page=1&page=2", "?sort=password", "?sort="),
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
    assert "No machine has “nothing” in its name" in page and "Show all machines" in page


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
