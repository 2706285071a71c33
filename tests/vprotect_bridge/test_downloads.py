"""Files out of an open backup into the spool: limits, broken transfers, what must never come, against the simulator."""

from __future__ import annotations

import tracemalloc
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from django.utils import timezone

from tenants.models import AuditEntry, Membership, Tenant
from tests.vprotect_bridge.opened import clicked, entry
from vprotect_bridge import fetching, spool
from vprotect_bridge.browsing import answer_folders, root_of
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.download_wishes import allowance_of, choose, request_download, request_removal
from vprotect_bridge.models import Download, FileEntry, Folder, Mount
from vprotect_bridge.services import WishRefused
from vprotect_simulator.file_tree import OF_THE_NODE
from vprotect_simulator.server import SimulatorServer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("one_connection")]


@pytest.fixture(autouse=True)
def small_spool(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.SPOOL_FOLDER = tmp_path / "spool"
    settings.SPOOL_FILE_BYTES, settings.SPOOL_BYTES, settings.SPOOL_HOURS = 10**9, 2 * 10**9, 1
    monkeypatch.setattr(fetching, "PAUSE_SECONDS", 0.0)
    return tmp_path / "spool"


def asked(api: VProtect, opener: Membership, mount: Mount, *paths: str) -> Download:
    entries = [entry(api, opener, mount, path) for path in paths]
    return clicked(opener, lambda: request_download(opener, mount, entries, client_key=uuid4(), address=None))


def fetched(api: VProtect, download: Download) -> Download:
    for _ in range(fetching.MOST_ATTEMPTS):
        Download.across_tenants.update(next_at=timezone.now())
        fetching.fetch(api)
    download.refresh_from_db()
    return download


def transfers(simulator: SimulatorServer) -> list[Any]:
    calls = simulator.control.ledger("POST", "/mounted-file-systems")
    return [call["body"]["paths"] for call in calls if call["path"].endswith("/download")]


# ── What comes ───────────────────────────────────────────────────────────────


def test_a_file_comes_as_it_is(api: VProtect, opener: Membership, mount: Mount):
    download = fetched(api, asked(api, opener, mount, "/etc/hosts"))
    assert (download.state, download.name, download.is_archive) == ("ready", "hosts", False)
    path = spool.path_of(download.pk)
    assert path.read_bytes().startswith(b"127.0.0.1") and path.stat().st_mode & 0o777 == 0o600
    assert download.expected_bytes == download.reserved_bytes == path.stat().st_size
    assert not list(path.parent.glob("*.part"))
    entry = AuditEntry.across_tenants.get(action="download_requested")
    assert entry.detail["paths"] == ["/etc/hosts"] and entry.machine_name == "web-01"


def test_an_empty_file_comes_too(api: VProtect, opener: Membership, mount: Mount):
    download = fetched(api, asked(api, opener, mount, "/srv/odd/sizes/empty.txt"))
    assert download.state == "ready" and spool.path_of(download.pk).stat().st_size == 0


def test_folders_come_as_a_zip_without_links_and_without_names_that_nobody_finds(
    api: VProtect, simulator: SimulatorServer, opener: Membership, mount: Mount
):
    download = fetched(api, asked(api, opener, mount, "/srv/odd/names", "/srv/odd/links"))
    with zipfile.ZipFile(spool.path_of(download.pk)) as archive:
        names, whole = set(archive.namelist()), archive.testzip()
    assert whole is None and {"names/日本語のファイル.txt", "names/two\nlines.txt", "names/..."} <= names
    assert not [name for name in names if name.startswith("links/") or "\\" in name or "\ufffd" in name]
    assert {"links/to-the-node", "links/broken", "names/back\\slash.txt", "names/%2e%2e"} <= set(download.left_out)
    asked_for = [path for paths in transfers(simulator) for path in paths]
    assert all(len(paths) == 1 for paths in transfers(simulator)) and asked_for
    assert not [path for path in asked_for if ".." in path.split("/") or "links" in path or "%2e" in path]
    assert OF_THE_NODE.encode() not in spool.path_of(download.pk).read_bytes()


def test_places_in_a_zip_tell_apart_what_lies_in_different_folders(api: VProtect, opener: Membership, mount: Mount):
    download = fetched(api, asked(api, opener, mount, "/etc/hosts", "/usr/bin/ls"))
    with zipfile.ZipFile(spool.path_of(download.pk)) as archive:
        assert set(archive.namelist()) == {"etc/hosts", "usr/bin/ls"}
        hosts, ls = archive.getinfo("etc/hosts"), archive.getinfo("usr/bin/ls")
    # As the machine had them, as for what lies in a chosen folder.
    assert hosts.date_time == ls.date_time == (2024, 3, 21, 5, 46, 40)
    assert (hosts.external_attr >> 16, ls.external_attr >> 16) == (0o100644, 0o100755)


def test_a_large_file_is_never_in_memory(
    api: VProtect, simulator: SimulatorServer, opener: Membership, mount: Mount, monkeypatch: pytest.MonkeyPatch
):
    """Of five gigabytes as much is fetched as fits into a second; then it is cancelled."""
    monkeypatch.setattr(fetching, "TOLD_EVERY_SECONDS", 0.05)
    monkeypatch.setattr("vprotect_bridge.spool.LEFT_FREE", 0)
    Tenant.objects.update(download_cap_gib=100)
    five = entry(api, opener, mount, "/srv/odd/sizes/five-gigabytes.img")
    with pytest.raises(WishRefused, match=r"These are 5.0 GiB; one download may be 953.7 MiB"):
        clicked(opener, lambda: request_download(opener, mount, [five], client_key=uuid4(), address=None))
    FileEntry.across_tenants.filter(pk=five.pk).update(size=900_000_000)
    download = asked(api, opener, mount, "/srv/odd/sizes/five-gigabytes.img")
    assert fetched(api, download).problem == "different", "the size that was announced is not the one that was listed"


def test_memory_stays_small_while_megabytes_come(api: VProtect, opener: Membership, mount: Mount):
    Tenant.objects.update(download_cap_gib=100)
    part = entry(api, opener, mount, "/volume-1/part-000.bin", system=1)
    parts = FileEntry.across_tenants.select_related("folder__mount").filter(folder=part.folder)
    large = parts.filter(size__gt=10_000_000).order_by("size")[0]
    download = clicked(opener, lambda: request_download(opener, mount, [large], client_key=uuid4(), address=None))
    tracemalloc.start()
    fetching.fetch(api)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    download.refresh_from_db()
    assert download.state == "ready" and peak < 5_000_000


# ── What breaks ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("path", ["/usr/bin/bash", "/usr/bin"])
def test_a_broken_transfer_goes_on(
    path: str, ranges: bool, api: VProtect, simulator: SimulatorServer, opener: Membership, mount: Mount
):
    simulator.control.change_settings(download_ranges=ranges)
    whole = api.mounts.download
    download = asked(api, opener, mount, path)
    simulator.control.fault("truncated", path=".*/download", times=2)
    assert fetched(api, download).state == "ready"
    content = spool.path_of(download.pk)
    if download.is_archive:
        with zipfile.ZipFile(content) as archive:
            got = archive.read("bin/bash")
    else:
        got = content.read_bytes()
    with whole(mount.file_systems[0]["guid"], "/usr/bin/bash") as transfer:
        assert got == b"".join(transfer.pieces())


def test_one_that_breaks_again_and_again_is_said(
    api: VProtect, simulator: SimulatorServer, opener: Membership, mount: Mount, small_spool: Path
):
    download = asked(api, opener, mount, "/usr/bin/bash")
    simulator.control.fault("reset", path=".*/download", times=0)
    assert (fetched(api, download).state, download.problem) == ("failed", "broken")
    assert list(small_spool.iterdir()) == [] and download.reserved_bytes == 0, "given back to the day"


def test_what_is_longer_or_shorter_than_listed_is_thrown_away(
    api: VProtect, opener: Membership, mount: Mount, small_spool: Path
):
    for size in (10, 10_000):
        hosts = entry(api, opener, mount, "/etc/hosts")
        FileEntry.across_tenants.filter(pk=hosts.pk).update(size=size)
        download = fetched(api, asked(api, opener, mount, "/etc/hosts"))
        assert (download.state, download.problem) == ("failed", "different")
    assert list(small_spool.iterdir()) == []


def test_of_what_is_announced_with_another_size_no_byte_is_read(
    api: VProtect, opener: Membership, mount: Mount, monkeypatch: pytest.MonkeyPatch
):
    pieces = Mock(side_effect=AssertionError("read"))
    monkeypatch.setattr("vprotect_bridge.client.download.Download.pieces", pieces)
    hosts = entry(api, opener, mount, "/etc/hosts")
    FileEntry.across_tenants.filter(pk=hosts.pk).update(size=10_000)
    assert fetched(api, asked(api, opener, mount, "/etc/hosts")).problem == "different"
    assert not pieces.called


@pytest.mark.parametrize("lost", ["file", "mount"])
def test_what_went_away_meanwhile_is_said(
    lost: str, api: VProtect, simulator: SimulatorServer, opener: Membership, mount: Mount
):
    download = asked(api, opener, mount, "/etc/hosts")
    if lost == "mount":
        simulator.control.close_mount(mount.guid)
    else:
        simulator.control.fault("status", status=404, path=".*/download")
    problem = fetched(api, download).problem
    mount.refresh_from_db()
    assert (problem, mount.closed_at is not None) == (("closed", True) if lost == "mount" else ("gone", False))


def test_a_worker_that_died_leaves_it_to_another(api: VProtect, opener: Membership, mount: Mount, small_spool: Path):
    download = asked(api, opener, mount, "/etc/hosts")
    Download.across_tenants.update(state="fetching", received_bytes=50, attempts=1)
    spool.open_part(download.pk).write_bytes(b"half")
    assert fetched(api, download).state == "ready"
    assert spool.path_of(download.pk).read_bytes().startswith(b"127.0.0.1")


@pytest.mark.parametrize("loss", ["right", "scope", "owner", "cancelled"])
def test_what_was_lost_since_the_click_stops_it(
    loss: str, api: VProtect, simulator: SimulatorServer, opener: Membership, mount: Mount
):
    download = asked(api, opener, mount, "/etc/hosts")
    match loss:
        case "right":
            Membership.objects.update(may_open_backups=False)
        case "scope":
            Membership.objects.update(machine_guids=["another"])
        case "owner":
            mount.backup.tenant = Tenant.objects.create(name="Pine", slug="pine")
            mount.backup.save()
        case "cancelled":
            clicked(opener, lambda: request_removal(opener, download, address=None))
    assert fetched(api, download).state == ("cancelled" if loss == "cancelled" else "failed")
    assert not transfers(simulator)


# ── Limits ───────────────────────────────────────────────────────────────────


def test_the_day_of_a_tenant_is_a_hard_limit(api: VProtect, opener: Membership, mount: Mount):
    bash = entry(api, opener, mount, "/usr/bin/bash")
    Download.across_tenants.all().delete()
    used = 20 * 1024**3 - 100_000
    request = {"mount": mount, "created_by": opener.user, "name": "x", "items": [], "is_archive": False}
    Download.across_tenants.create(tenant=opener.tenant, state="ready", reserved_bytes=used, **request)

    def ask(key: Any) -> Download:
        return clicked(opener, lambda: request_download(opener, mount, [bash], client_key=key, address=None))

    key = uuid4()
    assert ask(key) == ask(key), "the same click is one download"
    with pytest.raises(WishRefused, match=r"These are 87\.9 KiB, and 9\.8 KiB are left of today's files"):
        ask(uuid4())
    Download.across_tenants.filter(reserved_bytes=used).update(created_at=timezone.now() - timedelta(days=1))
    assert ask(uuid4())


def test_a_folder_takes_what_may_come_at_most_until_it_is_added_up(
    api: VProtect, opener: Membership, mount: Mount, settings: Any
):
    download = asked(api, opener, mount, "/usr/bin")
    assert download.reserved_bytes == settings.SPOOL_FILE_BYTES
    assert fetched(api, download).reserved_bytes == download.expected_bytes == 270_000


@pytest.mark.parametrize("cap", ["file", "spool", "disk", "day", "files"])
def test_what_does_not_fit_is_refused_before_a_byte_is_asked_for(
    cap: str,
    api: VProtect,
    simulator: SimulatorServer,
    opener: Membership,
    mount: Mount,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
):
    download = asked(api, opener, mount, "/usr/bin")
    match cap:
        case "file":
            settings.SPOOL_FILE_BYTES = 1000
        case "spool":
            settings.SPOOL_BYTES = 1000
        case "disk":
            monkeypatch.setattr("vprotect_bridge.spool.LEFT_FREE", 2**62)
        case "day":
            Download.across_tenants.update(reserved_bytes=1000)
        case "files":
            monkeypatch.setattr(fetching, "MOST_FILES", 2)
    problems = {"file": "too_large", "spool": "no_room", "disk": "no_room", "day": "day_is_over", "files": "too_many"}
    assert (fetched(api, download).state, download.problem) == ("refused", problems[cap])
    assert not transfers(simulator) and download.reserved_bytes == 0


def test_choosing_has_an_end_and_takes_no_links(
    api: VProtect, opener: Membership, mount: Mount, monkeypatch: pytest.MonkeyPatch
):
    link = entry(api, opener, mount, "/srv/odd/links/to-hosts")
    assert clicked(opener, lambda: choose(opener, mount, [link])) == 0
    with pytest.raises(WishRefused, match="at least one"):
        clicked(opener, lambda: request_download(opener, mount, [link], client_key=uuid4(), address=None))
    monkeypatch.setattr("vprotect_bridge.download_wishes.MOST_CHOSEN", 0)
    with pytest.raises(WishRefused, match="at once"):
        clicked(opener, lambda: choose(opener, mount, [entry(api, opener, mount, "/etc/hosts")]))


# ── The spool ────────────────────────────────────────────────────────────────


def test_the_sweep_removes_what_is_over_and_nothing_else(
    api: VProtect, opener: Membership, mount: Mount, small_spool: Path
):
    kept, old, taken, gone = (fetched(api, asked(api, opener, mount, "/etc/hosts")) for _ in range(4))
    waiting = asked(api, opener, mount, "/etc/hosts")
    part = spool.open_part(waiting.pk)
    orphan, foreign = small_spool / str(uuid4()), small_spool / "README"
    orphan.write_text("x"), foreign.write_text("x")
    rows, now = Download.across_tenants, timezone.now()
    rows.filter(pk=old.pk).update(expires_at=now)
    rows.filter(pk=taken.pk).update(taken_at=now - timedelta(hours=2))
    rows.filter(pk=gone.pk).update(cancel_wanted_at=now)
    assert spool.sweep() == 4
    assert set(small_spool.iterdir()) == {spool.path_of(kept.pk), part, foreign}
    assert rows.filter(state="removed").count() == 3
    assert allowance_of_(opener) == sum(rows.values_list("reserved_bytes", flat=True)), "what was taken stays counted"


def allowance_of_(opener: Membership) -> int:
    return clicked(opener, lambda: allowance_of(opener.tenant)).used


def test_a_path_changed_in_the_database_is_not_sent(
    api: VProtect, simulator: SimulatorServer, opener: Membership, mount: Mount
):
    """The last look is right before the call."""
    clicked(opener, lambda: root_of(mount, mount.file_systems[0]["guid"]))
    Folder.across_tenants.update(path="/../../etc/")
    answer_folders(api)
    assert Folder.across_tenants.get().problem == "gone"
    assert not simulator.control.ledger("POST", "/mounted-file-systems")
