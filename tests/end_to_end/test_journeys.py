"""The journeys that the product is for, in a real browser, each a story from its first click to its end."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from demo import answers
from tests.chromium import OpenPage, launched, press, sign_in_as, skip_without_chromium, tab_to, watched
from tests.end_to_end.conftest import MEMBER, Stack, until, with_current
from vprotect_simulator.names import guid_of

pytestmark = [
    pytest.mark.processes,
    pytest.mark.browser,
    pytest.mark.xdist_group("end_to_end"),
    skip_without_chromium,
]

PHONE = {"width": 360, "height": 740}
# Work goes on by itself, and takes a while on a busy machine.
DONE_BY = 45_000


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def accepted_complaints() -> list[str]:
    return []


@pytest.fixture
def open_page(chromium: Browser, stack: Stack, accepted_complaints: list[str]) -> Iterator[OpenPage]:
    with watched(chromium, stack.programs.portal_url, accepted_complaints) as open_one:
        yield open_one


def sign_in(page: Page, stack: Stack, email: str = MEMBER) -> None:
    sign_in_as(page, email, stack.programs.passwords.people)


def go_to(page: Page, part: str) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name=part).click()


def find_machine(page: Page, name: str) -> None:
    go_to(page, "Machines")
    page.get_by_label("Search by name").fill(name)
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()


def operation_in(page: Page) -> str:
    return page.url.rstrip("/").rpartition("/")[2]


def row(page: Page, text: str) -> Locator:
    return page.locator("tbody tr", has_text=text)


def test_from_the_first_login_to_a_finished_backup(open_page: OpenPage, stack: Stack):
    stack.control("PATCH", "settings", {"max_running": 0})
    page = open_page()
    sign_in(page, stack, MEMBER)
    expect(page).to_have_url(re.compile(r"/t/aurora-books/$"))
    expect(page.locator(".hero h1")).to_contain_text("need attention")

    find_machine(page, "büro-datei_server")
    expect(page.locator("#history tbody tr")).not_to_have_count(0, timeout=DONE_BY)
    page.get_by_role("link", name="Back up now").click()
    if stack.programs.dialect == "classic":
        expect(page.get_by_text("These are the destinations that this machine can use.")).to_be_visible()
        expect(page.get_by_label("Destination").locator("option")).to_have_count(2)
    else:
        expect(page.get_by_text("The machine's plan says where its backups go.")).to_be_visible()
    page.get_by_role("button", name="Back up now").dblclick()
    expect(page.get_by_role("heading", name="Backup of büro-datei_server")).to_be_visible()
    expect(page.locator(".operation-state")).to_contain_text("Place 1 in the queue", timeout=15_000)

    # From another tab the machine's page shows it live, and the new backup appears without a reload.
    machine_page = page.context.new_page()
    machine_page.goto(f"/t/aurora-books/machines/{guid_of('vm/büro-datei_server')}/")
    expect(machine_page.get_by_text("It is being backed up now.")).to_be_visible()
    machine_page.evaluate("window.neverReloaded = true")
    stack.control("PATCH", "settings", {"max_running": 4})
    expect(page.get_by_text("The backup is done.")).to_be_visible(timeout=DONE_BY)
    expect(page.locator("[hx-trigger^='every']")).to_have_count(0)
    expect(machine_page.locator("#history tbody tr").first).to_contain_text("Succeeded", timeout=DONE_BY)
    expect(machine_page.get_by_role("link", name="Back up now")).to_be_visible()
    assert machine_page.evaluate("window.neverReloaded")

    go_to(page, "Activity")
    expect(row(page, "Backup of büro-datei_server").first).to_contain_text("Succeeded")
    assert len(stack.tasks_made(guid_of("vm/büro-datei_server"))) == 1, "of two clicks"


def mailed_invitation(stack: Stack) -> str:
    """The demo keeps its mails as files."""
    link = re.compile(re.escape(stack.programs.portal_url) + r"/invitation/[\w-]+/")
    mails = sorted((stack.programs.folder / "mails").glob("*.html"), key=lambda mail: mail.stat().st_mtime)
    found = [address for mail in mails for address in link.findall(mail.read_text())]
    assert found, "no mail with a link"
    return str(found[-1])


def offered(page: Page) -> set[str]:
    """Where this page's own links lead: one of each kind."""
    links = page.locator("main a[href]").evaluate_all("links => links.map(link => link.href)")
    kinds = {re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<id>", urlsplit(link).path): link for link in links}
    return set(kinds.values())


def test_an_invited_viewer_sees_and_cannot_touch(open_page: OpenPage, stack: Stack):
    admin = open_page()
    sign_in(admin, stack, "admin@borealis-clinic.example")
    go_to(admin, "Organisation")
    admin.get_by_role("link", name="Invite a person").click()
    admin.get_by_label("E-mail address").fill("guest@visitors.example")
    expect(admin.get_by_role("radio", name="Viewer")).to_be_checked()
    admin.get_by_role("button", name="Send the invitation").click()
    expect(row(admin, "guest@visitors.example")).to_be_visible()

    page = open_page()
    page.goto(mailed_invitation(stack))
    page.get_by_label("Your name").fill("A Guest")
    page.get_by_label("Password", exact=True).fill("look-but-do-not-touch")
    page.get_by_label("The same password again").fill("look-but-do-not-touch")
    page.get_by_role("button", name="Join").click()
    expect(page).to_have_url(re.compile(r"/t/borealis-clinic/$"))
    expect(page.get_by_role("link", name="Organisation")).to_have_count(0)

    leads_to = offered(page)
    for part in ("Plans", "Activity", "Machines"):
        go_to(page, part)
        expect(page.get_by_role("heading", name=part, exact=True)).to_be_visible()
        expect(page.locator("main [name=machines]:visible, main form[method=post]:visible")).to_have_count(0)
        leads_to |= offered(page)
    find_machine(page, "labor-app")
    expect(page.get_by_role("button", name="Back up now")).to_be_disabled()
    expect(page.get_by_text("Your role lets you look, not back up.")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("^(Restore|Change plan|Put into)"))).to_have_count(0)
    leads_to |= offered(page)
    assert [link for link in leads_to if page.request.get(link).status != 200] == []

    # Who knows the address gets no further.
    token = page.locator("[name=csrfmiddlewaretoken]").first.input_value()
    wish = {"csrfmiddlewaretoken": token, "backup_type": "FULL", "client_key": guid_of("a wish")}
    for action in ("backup", "restore"):
        address = f"/t/borealis-clinic/machines/{guid_of('vm/labor-app')}/{action}/"
        assert page.request.post(address, form=wish).status == 403
    assert stack.tasks_made(guid_of("vm/labor-app")) == []


@contextmanager
def vprotect_away(stack: Stack) -> Iterator[None]:
    stack.kill("simulator")
    try:
        yield
    finally:
        stack.start_again("simulator")


def test_vprotect_goes_away_and_comes_back(open_page: OpenPage, stack: Stack):
    unreachable = "SELECT 1 FROM vprotect_bridge_upstreamstatus WHERE unreachable_since IS NOT NULL"
    banner = "The backup system cannot be reached since"
    page = open_page()
    sign_in(page, stack)
    find_machine(page, "reports-old")
    expect(page.get_by_text(banner)).to_have_count(0)

    with vprotect_away(stack):
        answers.ring_inventory(stack.valkey.url)
        until(lambda: stack.rows(unreachable))
        page.locator(".page-action").get_by_role("link", name="Back up now").click()
        expect(page.get_by_text(banner)).to_be_visible()
        page.get_by_role("button", name="Back up now").click()
        expect(page.get_by_text("Your wish is kept and starts by itself when it is back")).to_be_visible()
        activity = page.context.new_page()
        activity.goto("/t/aurora-books/operations/")
        expect(row(activity, "Backup of reports-old").first).to_contain_text("Waiting")
        assert stack.operation(operation_in(page))["submission"] == "pending"

    expect(page.get_by_text("The backup is done.")).to_be_visible(timeout=DONE_BY)
    expect(row(activity, "Backup of reports-old").first).to_contain_text("Succeeded")
    until(lambda: not stack.rows(unreachable))
    page.reload()
    expect(page.get_by_text(banner)).to_have_count(0)
    assert len(stack.tasks_made(guid_of("vm/reports-old"))) == 1


def test_a_phone_does_it_all_without_sideways_scrolling(open_page: OpenPage, stack: Stack):
    page = open_page(viewport=PHONE, has_touch=True)

    def fits() -> None:
        assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"], page.url

    page.goto("/")
    fits()
    sign_in(page, stack, "member@borealis-clinic.example")
    expect(page.locator(".hero")).to_be_visible()
    fits()
    go_to(page, "Machines")
    expect(page.locator("#machine-list")).to_be_visible()
    fits()
    find_machine(page, "monitoring")
    fits()
    page.get_by_role("link", name="Back up now").tap()
    expect(page.get_by_text("Destination", exact=True)).to_be_visible()
    fits()
    page.get_by_role("button", name="Back up now").tap()
    expect(page.get_by_role("heading", name="Backup of monitoring")).to_be_visible()
    fits()
    expect(page.get_by_text("The backup is done.")).to_be_visible(timeout=DONE_BY)
    fits()
    go_to(page, "Activity")
    expect(row(page, "Backup of monitoring").first).to_contain_text("Succeeded")
    fits()


def test_the_keyboard_alone_starts_a_backup(open_page: OpenPage, accepted_complaints: list[str], stack: Stack):
    accepted_complaints.append("Failed to load resource: the server responded with a status of 422")
    page = open_page()
    page.goto("/")
    tab_to(page.get_by_label("Email"))
    page.keyboard.type("member@borealis-clinic.example")
    tab_to(page.get_by_label("Password"))
    page.keyboard.type(stack.programs.passwords.people)
    page.keyboard.press("Enter")
    expect(page.locator(".hero")).to_be_visible()
    press(page.get_by_role("navigation", name="Main").get_by_role("link", name="Machines"))
    expect(page.get_by_role("heading", name="Machines")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page.get_by_label("Search by name"))
    page.keyboard.type("print")
    expect(page.locator(".machine-name")).to_have_count(1)
    expect(page.get_by_label("Search by name")).to_be_focused()
    press(page.get_by_role("link", name="print-01", exact=True))
    press(page.get_by_role("link", name="Back up now"))
    press(page.get_by_role("radio", name="Full Everything"), "Space")

    # What is wrong is said where the focus is, and leads to where it is mended.
    priority = page.get_by_label("Priority")
    press(priority, "Control+A")
    page.keyboard.type("999")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    press(page.get_by_role("alert").get_by_role("link"))
    expect(priority).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("50")
    press(page.get_by_role("button", name="Back up now"), "Space")
    expect(page.get_by_role("heading", name="Backup of print-01")).to_be_visible()
    expect(page.locator(".operation")).to_be_visible()


def test_it_all_works_without_javascript(open_page: OpenPage, stack: Stack):
    page = open_page(java_script_enabled=False)
    sign_in(page, stack, "restorer@cumulus-foods.example")
    go_to(page, "Machines")
    page.get_by_label("Search by name, project or id").fill("backup-proxy")
    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("link", name="backup-proxy", exact=True).click()
    page.get_by_role("link", name="Back up now").click()
    page.get_by_role("button", name="Back up now").click()
    expect(page.get_by_role("heading", name="Backup of backup-proxy")).to_be_visible()
    done = page.get_by_text("The backup is done.")
    until(lambda: page.reload() and done.count())

    go_to(page, "Machines")
    for name in ("produktion-01", "etiketten"):
        page.get_by_label(f"Select {name}").check()
    page.get_by_role("button", name="Back up", exact=True).click()
    expect(page.get_by_role("heading", name="Back up 2 machines")).to_be_visible()
    page.get_by_role("button", name="See what will happen").click()
    page.get_by_role("button", name="Back up now").click()
    expect(page.get_by_role("heading", name="Backup of 2 machines")).to_be_visible()
    expect(page.locator("#bulk-result tbody tr")).to_have_count(2)

    go_to(page, "Machines")
    page.get_by_role("link", name="backup-proxy", exact=True).click()
    page.get_by_role("link", name="Restore", exact=True).click()
    page.get_by_label("Name of the new machine").fill("proxy-again")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".will-happen")).to_contain_text("A new machine proxy-again is made")
    expect(page.get_by_role("button", name="Restore as a new machine")).to_be_visible()
    page.locator(".menu summary").last.click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()


@with_current
def test_a_deleted_machine_comes_back_as_a_new_one(open_page: OpenPage, stack: Stack):
    page = open_page()
    sign_in(page, stack, "restorer@borealis-clinic.example")
    find_machine(page, "praxis-alt")
    expect(page.get_by_text("Deleted, restorable").first).to_be_visible()
    expect(page.get_by_role("button", name="Back up now")).to_be_disabled()
    expect(page.locator("#history tbody tr")).not_to_have_count(0, timeout=DONE_BY)

    # From here on with the keyboard alone.
    press(page.locator("#history").get_by_role("link", name="Restore").first)
    press(page.locator(".calendar td a").first)
    point = page.get_by_label("Restore point").input_value()
    expect(page.locator(".calendar [aria-current=date]")).to_have_attribute("href", f"?backup={point}")
    press(page.get_by_label("Name of the new machine"), "Control+A")
    page.keyboard.type("praxis-neu")
    press(page.get_by_role("button", name="Continue"))
    expect(page.get_by_role("heading", name="This will happen")).to_be_visible()
    expect(page.locator(".will-happen")).to_contain_text("A new machine praxis-neu is made")
    expect(page.get_by_text("This backup can go there.")).to_be_visible(timeout=15_000)
    press(page.get_by_role("button", name="Restore as a new machine"))

    expect(page.get_by_role("heading", name="Restore of praxis-alt")).to_be_visible()
    expect(page.locator(".operation")).to_contain_text("The machine is restored.", timeout=DONE_BY)
    answers.ring_inventory(stack.valkey.url)
    until(lambda: stack.rows("SELECT 1 FROM vprotect_bridge_machine WHERE name = 'praxis-neu' AND present"))
    find_machine(page, "praxis-neu")
    if stack.programs.dialect == "classic":
        expect(page.get_by_role("link", name="Back up now")).to_be_visible()
    else:  # there, only a plan says where a backup goes
        expect(page.get_by_text("No plan backs it up.")).to_be_visible()


@with_current
def test_a_plan_from_nothing_to_its_first_scheduled_backup(open_page: OpenPage, stack: Stack):
    page = open_page()
    sign_in(page, stack, "admin@aurora-books.example")
    go_to(page, "Plans")
    page.get_by_role("link", name="New plan").click()
    page.get_by_label("Name", exact=True).fill("Staging")
    page.get_by_role("button", name="Remove schedule 2").click()
    expect(page.get_by_role("group", name="Schedule 2")).to_have_count(0)
    soon = datetime.now(UTC) + timedelta(minutes=2)
    page.get_by_label("Time zone").fill("UTC")
    for day in calendar.day_name:
        page.get_by_role("checkbox", name=day).check()
    page.get_by_label("At", exact=True).fill(f"{soon:%H:%M}")
    page.get_by_placeholder("Search by name").fill("blog")
    # A tick that is set while the search is under way would be lost with the rows that it replaces.
    expect(page.get_by_text("Shown: 1–1 of 1.")).to_be_visible()
    page.get_by_role("checkbox", name="blog-staging").check()
    page.get_by_role("button", name="See what changes").click()
    expect(page.get_by_text("1 machine gets a plan: blog-staging")).to_be_visible()
    page.get_by_role("button", name="Make the plan").click()
    expect(page.locator(".under-title .chip")).to_have_text("Active", timeout=DONE_BY)

    # What was made before a machine's history is read for the first time is history, not activity.
    is_known = "SELECT 1 FROM vprotect_bridge_machine WHERE guid = %s AND backups_at IS NOT NULL"
    until(lambda: stack.rows(is_known, guid_of("vm/blog-staging")), seconds=150)
    minute = soon.replace(second=0, microsecond=0)
    stack.control("POST", "clock", {"until": int(minute.timestamp() * 1000) + 1000})
    seen = "SELECT 1 FROM vprotect_bridge_operation WHERE origin = 'schedule' AND subject_guid = %s"
    # It is over within seconds here: its history tells.
    answers.ring_inventory(stack.valkey.url)
    until(lambda: stack.rows(seen, guid_of("vm/blog-staging")), seconds=75)
    go_to(page, "Activity")
    scheduled = row(page, "by a schedule").filter(has_text="blog-staging")
    scheduled.get_by_role("link", name="Backup of blog-staging", exact=True).click()
    expect(page.get_by_text("The backup is done.")).to_be_visible(timeout=DONE_BY)
