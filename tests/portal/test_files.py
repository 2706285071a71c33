"""Single files: the pages, as the role of web. What workers do is in tests/vprotect_bridge/test_mounts.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from portal.files_forms import MountForm
from portal.streams import Stream
from portal.views.downloads import disposition
from tenants.models import AuditEntry, Membership, Role, Tenant, User
from tests.conftest import machine_of, operation_on, person
from tests.portal.conftest import counted
from vprotect_bridge import spool
from vprotect_bridge.models import Backup, ChosenEntry, Download, FileEntry, Folder, Machine, Mount, Operation
from vprotect_bridge.mounts import note_closed

pytestmark = pytest.mark.django_db

Browser = Callable[[User], Client]
NAMES = [
    *('quoted "twice".txt', "two\nlines.txt", "<script>alert(1)</script>.html", "\u202egnp.exe", "x" * 255),
    *("日本語.txt", "caf\ufffd.txt", " space ", "%2e%2e"),
]


@pytest.fixture
def opener(member: User) -> User:
    """A viewer with the right, which is in no role."""
    Membership.objects.filter(user=member).update(may_open_backups=True, role=Role.VIEWER)
    return member


@pytest.fixture
def point(machine: Machine, tenant: Tenant) -> Backup:
    now = timezone.now()
    return Backup.across_tenants.create(
        guid="b-1", machine=machine, tenant=tenant, status="SUCCESS", type="FULL", sort_at=now - timedelta(days=1)
    )


@pytest.fixture
def mount(point: Backup, opener: User) -> Mount:
    machine = point.machine
    return Mount.across_tenants.create(
        tenant=point.tenant,
        operation=operation_on(machine, kind=Operation.Kind.MOUNT, outcome="succeeded"),
        backup=point,
        machine_guid=machine.guid,
        machine_name=machine.name,
        guid="mount-1",
        file_systems=[{"guid": "fs-1", "volume": "/dev/sda1", "label": "root", "type": "ext4", "size": 10**9}],
        closes_at=timezone.now() + timedelta(hours=2),
    )


@pytest.fixture
def folder(mount: Mount) -> Folder:
    folder = Folder.across_tenants.create(
        tenant=mount.tenant,
        mount=mount,
        file_system_guid="fs-1",
        path="/",
        path_digest="-",
        answered_at=timezone.now(),
        count=len(NAMES) + 2,
    )
    add(folder, "etc", type="DIRECTORY")
    add(folder, "link", type="SYMLINK")
    for place, name in enumerate(NAMES):
        add(folder, name, size=place * 100)
    return folder


def add(folder: Folder, name: str, **fields: Any) -> FileEntry:
    usual = {"type": "REGULAR_FILE", "mode": 0o640, "owner": "root", "group": "root", "modified_at": timezone.now()}
    return FileEntry.across_tenants.create(tenant=folder.tenant, folder=folder, name=name, **{**usual, **fields})


def address(name: str, mount: Mount, *ids: Any) -> str:
    return reverse(name, args=["sunflower", mount.pk, *ids])


def words(answer: Any) -> str:
    return " ".join(BeautifulSoup(answer.content, "html.parser").get_text(" ").split())


# ── Opening and closing ──────────────────────────────────────────────────────


def test_the_right_is_in_no_role(tenant: Tenant, point: Backup, as_web: Browser):
    for role in Role:
        browser = as_web(person(tenant, f"a-{role.value}", role))
        assert browser.get("/t/sunflower/files/").status_code == 403, role
        assert browser.get("/t/sunflower/machines/vm-1/files/").status_code == 403, role
        assert "Single files" not in words(browser.get("/t/sunflower/machines/vm-1/"))


def test_a_restore_point_is_opened(browser: Client, opener: User, point: Backup):
    machine = words(browser.get("/t/sunflower/machines/vm-1/"))
    assert "Single files" in machine
    form = BeautifulSoup(browser.get("/t/sunflower/machines/vm-1/files/?backup=b-1").content, "html.parser")
    fields = {field["name"]: field["value"] for field in form.select("form.wish input[name]")}
    answer = browser.post("/t/sunflower/machines/vm-1/files/", {**fields, "backup": "b-1", "hours": "8"})
    operation = Operation.across_tenants.get(kind="mount")
    assert answer.status_code == 302 and str(operation.pk) in answer["Location"]
    assert (operation.request["hours"], operation.backup_guid) == (8, "b-1")
    page = words(browser.get(answer["Location"]))
    assert "Opening of a backup of machine vm-1" in page and "opening the backup" in page
    again = browser.post("/t/sunflower/machines/vm-1/files/", {**fields, "backup": "b-1", "hours": "8"})
    assert again["Location"] == answer["Location"] and Operation.across_tenants.filter(kind="mount").count() == 1


def test_what_is_open_is_listed_and_not_opened_twice(browser: Client, mount: Mount):
    page = words(browser.get("/t/sunflower/files/"))
    assert "1 of 2 backups are open" in page and "machine vm-1" in page and "20.0 GiB of 20.0 GiB are left" in page
    key = "00000000-0000-4000-8000-000000000001"
    answer = browser.post("/t/sunflower/machines/vm-1/files/", {"backup": "b-1", "hours": "4", "client_key": key})
    assert answer["Location"] == address("mount", mount)


def test_closing_is_a_wish_and_ends_the_view_at_once(browser: Client, mount: Mount, folder: Folder):
    assert browser.post(address("mount-close", mount)).status_code == 302
    assert AuditEntry.across_tenants.get().action == "close_requested"
    assert browser.get(address("folder", mount, folder.pk))["Location"] == address("mount", mount)
    assert "being closed" in words(browser.get(address("mount", mount)))


def test_when_its_time_is_up_nobody_looks_into_it(browser: Client, mount: Mount, folder: Folder):
    Mount.across_tenants.update(closes_at=timezone.now())
    assert browser.get(address("folder", mount, folder.pk)).status_code == 302


def test_a_backup_that_changed_hands_is_not_there(browser: Client, mount: Mount, folder: Folder, pine: Tenant):
    Backup.across_tenants.update(tenant=pine)
    for page in (address("mount", mount), address("folder", mount, folder.pk)):
        assert browser.get(page).status_code == 404
    assert "machine vm-1" not in words(browser.get("/t/sunflower/files/"))


def test_a_machine_that_moved_away_leaves_its_open_backup(browser: Client, mount: Mount, pine: Tenant):
    Machine.across_tenants.update(tenant=pine)
    assert "machine vm-1" in words(browser.get(address("mount", mount)))


def test_who_is_limited_to_other_machines_sees_nothing(browser: Client, opener: User, mount: Mount, folder: Folder):
    Membership.objects.filter(user=opener).update(machine_guids=["another"])
    assert browser.get(address("mount", mount)).status_code == 404
    assert browser.get(address("folder", mount, folder.pk)).status_code == 404
    assert "machine vm-1" not in words(browser.get("/t/sunflower/files/"))


# ── Folders ──────────────────────────────────────────────────────────────────


def test_names_are_text_and_nothing_in_them_is_hidden(browser: Client, mount: Mount, folder: Folder):
    answer = browser.get(address("folder", mount, folder.pk))
    page = words(answer)
    assert "two↵lines.txt" in page and "⟨202E⟩gnp.exe" in page and "␣space␣" in page
    assert "<script>alert" not in answer.content.decode()
    assert "owner: read, change" in page.lower() and "rw-r-----" in answer.content.decode()


def test_what_cannot_be_asked_for_says_why(browser: Client, mount: Mount, folder: Folder):
    soup = BeautifulSoup(browser.get(address("folder", mount, folder.pk)).content, "html.parser")
    rows = {row.select_one("bdi").get_text(): row for row in soup.select("table.files tbody tr")}
    for name, reason in (
        ("caf\ufffd.txt", "not UTF-8"),
        ("%2e%2e", "a path that leads elsewhere"),
        ("link", "Links are not followed"),
    ):
        assert reason in rows[name].get_text() and not rows[name].select("input, button, a")
    assert rows["etc"].select_one("a") and rows["日本語.txt"].select_one("button[name=entry]")


@pytest.mark.parametrize(
    ("query", "first"),
    [("", "etc"), ("?sort=-size", "etc"), ("?q=lines", "two↵lines.txt"), ("?sort=odd&page=999999999&q=lines", "two↵")],
)
def test_a_folder_is_sorted_and_searched(query: str, first: str, browser: Client, mount: Mount, folder: Folder):
    soup = BeautifulSoup(browser.get(address("folder", mount, folder.pk) + query).content, "html.parser")
    assert soup.select_one("table.files tbody bdi").get_text().startswith(first)


def test_a_large_folder_costs_no_more_than_a_small_one(browser: Client, mount: Mount, folder: Folder):
    page = address("folder", mount, folder.pk)
    browser.get(page)
    with counted() as small:
        browser.get(page)
    rows = [FileEntry(tenant=mount.tenant, folder=folder, name=f"f{n}", type="REGULAR_FILE") for n in range(3000)]
    FileEntry.across_tenants.bulk_create(rows)
    Folder.across_tenants.update(count=3000 + len(NAMES) + 2)
    with counted() as large:
        answer = browser.get(f"{page}?page=30")
    assert len(large) == len(small) <= 14
    assert len(BeautifulSoup(answer.content, "html.parser").select("table.files tbody tr")) == 100


def test_a_folder_that_is_being_read_is_polled(browser: Client, mount: Mount, folder: Folder):
    Folder.across_tenants.update(answered_at=None)
    page = address("folder", mount, folder.pk)
    soup = BeautifulSoup(browser.get(page).content, "html.parser")
    poll = str(soup.select_one("#folder")["hx-get"])
    assert browser.get(poll).status_code == 204
    Folder.across_tenants.update(answered_at=timezone.now())
    answer = browser.get(poll)
    assert answer.status_code == 200 and not BeautifulSoup(answer.content, "html.parser").select("#folder[hx-get]")


def test_a_folder_that_takes_long_says_so_and_is_still_polled(browser: Client, mount: Mount, folder: Folder):
    Folder.across_tenants.update(answered_at=None)
    page = address("folder", mount, folder.pk)
    seen = str(BeautifulSoup(browser.get(page).content, "html.parser").select_one("#folder")["hx-get"])
    Folder.across_tenants.update(asked_at=timezone.now() - timedelta(minutes=2))
    late = browser.get(seen)
    assert "It takes longer than usual" in words(late)
    poll = str(BeautifulSoup(late.content, "html.parser").select_one("#folder")["hx-get"])
    assert browser.get(poll).status_code == 204
    Folder.across_tenants.update(answered_at=timezone.now())
    assert BeautifulSoup(browser.get(poll).content, "html.parser").select("table.files")


@pytest.mark.parametrize("problem", Folder.Problem.values)
def test_what_is_the_matter_is_said(problem: str, browser: Client, mount: Mount, folder: Folder):
    Folder.across_tenants.update(problem=problem)
    assert "This folder cannot be shown" in words(browser.get(address("folder", mount, folder.pk)))


def test_a_folder_is_opened_by_what_was_listed(browser: Client, mount: Mount, folder: Folder):
    etc = FileEntry.across_tenants.get(name="etc")
    answer = browser.get(f"{address('folder-open', mount)}?entry={etc.pk}")
    opened = Folder.across_tenants.get(path="/etc/")
    assert answer["Location"] == address("folder", mount, opened.pk) and opened.parent == folder
    for entry in FileEntry.across_tenants.exclude(name="etc"):
        assert browser.get(f"{address('folder-open', mount)}?entry={entry.pk}").status_code == 404
    for odd in ("../etc", "0", "-1", "9" * 30, "", "Ⅷ"):
        assert browser.get(f"{address('folder-open', mount)}", {"entry": odd}).status_code == 404
    assert Folder.across_tenants.count() == 2


def test_a_folder_that_could_not_be_read_is_asked_for_again(browser: Client, mount: Mount, folder: Folder):
    Folder.across_tenants.update(problem=Folder.Problem.AWAY)
    page = BeautifulSoup(browser.get(address("folder", mount, folder.pk)).content, "html.parser")
    [again] = page.find_all("a", string="Try again")
    assert browser.get(str(again["href"]))["Location"] == address("folder", mount, folder.pk)
    folder.refresh_from_db()
    assert (folder.answered_at, folder.problem) == (None, "")
    for odd in ("", "1", str(mount.pk), "x" * 40):
        assert browser.get(f"{address('folder-open', mount)}?again={odd}").status_code == 404


def test_who_looks_into_one_that_was_closed_meanwhile_is_told(browser: Client, mount: Mount, folder: Folder):
    """All that was read of it is forgotten by then; what is of another mount stays unknown."""
    note_closed(mount)
    answer = browser.get(address("folder", mount, folder.pk), follow=True)
    assert answer.status_code == 200 and "This backup is closed" in words(answer)


def test_the_list_tells_by_itself_when_it_is_closed(browser: Client, mount: Mount):
    page = "/t/sunflower/files/"
    assert "hx-get" not in str(BeautifulSoup(browser.get(page).content, "html.parser").find(id="mounts").attrs)
    browser.post(address("mount-close", mount))
    poll = BeautifulSoup(browser.get(page).content, "html.parser").find(id="mounts")["hx-get"]
    assert browser.get(poll).status_code == 204
    note_closed(Mount.across_tenants.get())
    assert "closed by" in words(browser.get(poll)) and "No backup is open" in words(browser.get(poll))


# ── Choosing and downloading ─────────────────────────────────────────────────


def test_what_is_chosen_stays_chosen(browser: Client, opener: User, mount: Mount, folder: Folder):
    page = address("folder", mount, folder.pk)
    etc, lines = (FileEntry.across_tenants.get(name=name) for name in ("etc", "two\nlines.txt"))
    browser.post(page, {"put": [etc.pk, lines.pk]})
    assert "2 chosen" in words(browser.get(page)) and ChosenEntry.across_tenants.filter(user=opener).count() == 2
    browser.post(page, {"drop": etc.pk})
    assert "1 chosen" in words(browser.get(page))
    assert browser.post(page, {"drop": [lines.pk, 7777777]}).status_code == 404
    ticked = BeautifulSoup(browser.get(page).content, "html.parser").select("input[name=put][checked]")
    assert [tick["value"] for tick in ticked] == [str(lines.pk)]
    browser.post(page, {"clear": "yes"})
    assert BeautifulSoup(browser.get(page).content, "html.parser").select_one("#tray").get_text(strip=True) == ""
    assert browser.post(page, {"put": [etc.pk, 7777777]}).status_code == 404
    assert not ChosenEntry.across_tenants.exists()


def test_a_file_is_asked_for_with_one_click(browser: Client, mount: Mount, folder: Folder):
    lines = FileEntry.across_tenants.get(name="two\nlines.txt")
    answer = browser.post(address("download-create", mount), {"entry": lines.pk, "folder": folder.pk})
    download = Download.across_tenants.get()
    assert answer["Location"] == address("download", mount, download.pk)
    assert download.items[0]["path"] == "/two\nlines.txt" and not download.is_archive
    entry = AuditEntry.across_tenants.get(action="download_requested")
    assert entry.detail["paths"] == ["/two\nlines.txt"] and "Waiting to be fetched" in words(
        browser.get(answer["Location"])
    )


def ready(mount: Mount, user: User, name: str, content: bytes, settings: Any, folder: Path) -> Download:
    settings.SPOOL_FOLDER = folder
    now = timezone.now()
    download = Download.across_tenants.create(
        tenant=mount.tenant,
        mount=mount,
        created_by=user,
        name=name,
        items=[{"path": f"/{name}"}],
        is_archive=False,
        state="ready",
        reserved_bytes=len(content),
        expected_bytes=len(content),
        expires_at=now + timedelta(hours=1),
    )
    spool.path_of(download.pk).write_bytes(content)
    return download


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_handed_out_to_be_saved(
    name: str, browser: Client, opener: User, mount: Mount, settings: Any, tmp_path: Path
):
    download = ready(mount, opener, name, b"<script>", settings, tmp_path)
    answer = browser.get(address("download-file", mount, download.pk))
    assert (answer.status_code, b"".join(answer.streaming_content)) == (200, b"<script>")
    assert answer["Content-Type"] == "application/octet-stream" and answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Disposition"].startswith("attachment; ") and "\n" not in answer["Content-Disposition"]
    assert AuditEntry.across_tenants.get().action == "download_taken"
    download.refresh_from_db()
    assert download.taken_at is not None and "removed from here an hour after" in words(
        browser.get(address("download", mount, download.pk))
    )


def test_what_only_waits_to_be_swept_away_is_told_as_removed(
    browser: Client, opener: User, mount: Mount, settings: Any, tmp_path: Path
):
    download = ready(mount, opener, "hosts", b"0123456789", settings, tmp_path)
    page = address("download", mount, download.pk)
    poll = str(BeautifulSoup(browser.get(page).content, "html.parser").select_one("#download")["hx-get"])
    assert browser.get(poll).status_code == 204
    Download.across_tenants.update(taken_at=timezone.now() - Download.KEPT_WHEN_TAKEN)
    assert "It is removed from here" in words(browser.get(poll))
    assert browser.get(address("download-file", mount, download.pk)).status_code == 404


def test_a_browser_goes_on_where_it_lost_it(browser: Client, opener: User, mount: Mount, settings: Any, tmp_path: Path):
    download = ready(mount, opener, "hosts", b"0123456789", settings, tmp_path)
    page = address("download-file", mount, download.pk)
    rest = browser.get(page, headers={"Range": "bytes=4-"})
    assert (rest.status_code, b"".join(rest.streaming_content)) == (206, b"456789")
    assert (rest["Content-Range"], rest["Content-Length"]) == ("bytes 4-9/10", "6")
    for odd in ("bytes=99-", "bytes=-1", "bytes=1-2,4-5", "lines=1-"):
        whole = browser.get(page, headers={"Range": odd})
        assert (whole.status_code, b"".join(whole.streaming_content)) == (200, b"0123456789")


def test_only_so_many_files_at_once_hold_threads_of_web(
    browser: Client, opener: User, mount: Mount, settings: Any, tmp_path: Path
):
    settings.SPOOL_STREAMS = 1
    download = ready(mount, opener, "hosts", b"0123456789", settings, tmp_path)
    page = address("download-file", mount, download.pk)
    first = browser.get(page)
    busy = browser.get(page)
    assert (busy.status_code, busy["Retry-After"]) == (503, "30")
    assert "Try again in half a minute" in words(busy) and "Content-Disposition" not in busy
    assert AuditEntry.across_tenants.filter(action="download_taken").count() == 1
    assert b"".join(first.streaming_content) == b"0123456789"
    left_half_way = Stream(spool.path_of(download.pk), 4)
    assert next(iter(left_half_way)) == b"456789" and browser.get(page).status_code == 503
    left_half_way.close()
    assert b"".join(browser.get(page).streaming_content) == b"0123456789"


def test_a_proxy_may_hand_it_out(browser: Client, opener: User, mount: Mount, settings: Any, tmp_path: Path):
    settings.SPOOL_ACCEL = "/spool/"
    download = ready(mount, opener, "日本.txt", b"0123456789", settings, tmp_path)
    answer = browser.get(address("download-file", mount, download.pk))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer["X-Accel-Redirect"] == f"/spool/{download.pk}"
    assert answer["Content-Disposition"] == disposition("日本.txt") and answer["X-Content-Type-Options"] == "nosniff"
    assert AuditEntry.across_tenants.filter(action="download_taken").count() == 1


def test_nobody_takes_a_colleagues_file(
    browser: Client, opener: User, mount: Mount, tenant: Tenant, settings: Any, tmp_path: Path, as_web: Browser
):
    download = ready(mount, opener, "hosts", b"x", settings, tmp_path)
    colleague = person(tenant, "colleague", Role.ADMIN)
    Membership.objects.filter(user=colleague).update(may_open_backups=True)
    for page in ("download", "download-file"):
        assert as_web(colleague).get(address(page, mount, download.pk)).status_code == 404
    Membership.objects.filter(user=opener).update(machine_guids=["another"])
    assert browser.get(address("download-file", mount, download.pk)).status_code == 404


def test_a_removed_one_is_not_handed_out_any_more(
    browser: Client, opener: User, mount: Mount, settings: Any, tmp_path: Path
):
    download = ready(mount, opener, "hosts", b"x", settings, tmp_path)
    assert browser.post(address("download-remove", mount, download.pk)).status_code == 302
    assert browser.get(address("download-file", mount, download.pk)).status_code == 404


@pytest.mark.parametrize(
    ("name", "plain", "encoded"),
    [
        ("hosts", "hosts", "hosts"),
        ('a "b".txt', "a _b_.txt", "a%20%22b%22.txt"),
        ("two\nlines", "two_lines", "two%0Alines"),
        ("日本", "__", "%E6%97%A5%E6%9C%AC"),
        ("\u202egnp.exe", "_gnp.exe", "_gnp.exe"),
        ("", "file", "file"),
    ],
)
def test_the_name_of_a_file_ends_no_header(name: str, plain: str, encoded: str):
    told = re.fullmatch(r"attachment; filename=\"([^\"]*)\"; filename\*=UTF-8''(\S*)", disposition(name))
    assert told and (told[1], told[2]) == (plain, encoded)


def test_the_day_that_is_over_is_told_with_what_is_left(browser: Client, mount: Mount, folder: Folder):
    Tenant.objects.update(download_cap_gib=0)
    lines = FileEntry.across_tenants.get(name="two\nlines.txt")
    answer = browser.post(address("download-create", mount), {"entry": lines.pk, "folder": folder.pk}, follow=True)
    assert "Nothing is left" in words(answer) and not Download.across_tenants.exists()


def test_somebody_elses_machine_opens_nothing(browser: Client, opener: User, pine: Tenant, point: Backup):
    machine_of(pine, "theirs")
    assert browser.get("/t/sunflower/machines/theirs/files/").status_code == 404


def test_how_long_a_backup_stays_open_is_said_in_the_language_of_the_page():
    with translation.override("de"):
        assert "4 Stunden" in str(MountForm(points=[])["hours"])
