"""What lies in an open backup is read once, shown as it is and never followed out of it, against the simulator."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django_scopes import scope

from tenants.models import Membership
from tests.vprotect_bridge.opened import clicked
from vprotect_bridge.browsing import answer_folders, folder_in, has_waiting, root_of
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.connection import own_connection, try_lock
from vprotect_bridge.models import FileEntry, Folder, Mount
from vprotect_simulator import file_tree
from vprotect_simulator.server import SimulatorServer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("one_connection")]


def opened(api: VProtect, opener: Membership, mount: Mount, *names: str) -> Folder:
    """The folder to which these names lead, read."""
    folder = clicked(opener, lambda: root_of(mount, mount.file_systems[0]["guid"]))
    answer_folders(api)
    for name in names:
        entry = FileEntry.across_tenants.select_related("folder__mount").get(folder=folder, name=name)
        folder = clicked(opener, lambda entry=entry: folder_in(entry))
        answer_folders(api)
    return Folder.across_tenants.get(pk=folder.pk)


def test_folders_are_read_once(api: VProtect, simulator: SimulatorServer, opener: Membership, mount: Mount):
    etc = opened(api, opener, mount, "etc")
    assert (etc.path, etc.count, etc.problem, etc.parent.path) == ("/etc/", 6, "", "/")
    asked = len(simulator.control.ledger("POST", "/mounted-file-systems"))
    assert opened(api, opener, mount, "etc") == etc
    assert len(simulator.control.ledger("POST", "/mounted-file-systems")) == asked == 2
    hosts = FileEntry.across_tenants.get(folder=etc, name="hosts")
    assert (hosts.mode, hosts.owner, hosts.type, hosts.tenant) == (0o644, "root", "REGULAR_FILE", opener.tenant)


@pytest.mark.parametrize("count", [1_000, pytest.param(file_tree.MANY, marks=pytest.mark.slow)])
def test_a_folder_of_very_many_is_kept_in_batches(
    count: int, api: VProtect, opener: Membership, mount: Mount, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("vprotect_bridge.browsing.BATCH", 300)
    monkeypatch.setattr(file_tree, "MANY", count)
    api.transport._timeout = 20.0
    many = opened(api, opener, mount, "srv", "odd", "sizes", "many")
    assert many.count == FileEntry.across_tenants.filter(folder=many).count() == count


def test_odd_names_are_kept_and_those_that_nobody_finds_are_not_opened(api: VProtect, opener: Membership, mount: Mount):
    names = opened(api, opener, mount, "srv", "odd", "names")
    kept = set(FileEntry.across_tenants.filter(folder=names).values_list("name", flat=True))
    assert {"two\nlines.txt", "日本語のファイル.txt", "\u202egnp.exe", "x" * 255, "caf\ufffd latin-1.txt"} <= kept


@pytest.mark.parametrize("name", ["to-a-folder", "loop", "broken", "to-the-node"])
def test_links_are_shown_and_never_followed(
    name: str, api: VProtect, simulator: SimulatorServer, opener: Membership, mount: Mount
):
    links = opened(api, opener, mount, "srv", "odd", "links")
    entry = FileEntry.across_tenants.select_related("folder__mount").get(folder=links, name=name)
    assert clicked(opener, lambda: folder_in(entry)) is None


def test_a_file_system_of_another_mount_is_not_opened(opener: Membership, mount: Mount):
    assert clicked(opener, lambda: root_of(mount, "another")) is None
    assert not Folder.across_tenants.exists()


def test_unmounted_under_ones_feet(api: VProtect, simulator: SimulatorServer, opener: Membership, mount: Mount):
    folder = clicked(opener, lambda: root_of(mount, mount.file_systems[0]["guid"]))
    simulator.control.close_mount(mount.guid)
    answer_folders(api)
    mount.refresh_from_db()
    assert mount.closed_by == "upstream" and not Folder.across_tenants.filter(pk=folder.pk).exists()


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"kind": "status", "status": 404}, "gone"),
        ({"kind": "status", "status": 400}, "gone"),
        ({"kind": "status", "status": 500}, "away"),
        ({"kind": "garbage"}, "away"),
        ({"kind": "html"}, "away"),
        ({"kind": "reset"}, "away"),
    ],
)
def test_what_cannot_be_read_is_said_and_can_be_asked_again(
    fault: dict[str, Any], problem: str, api: VProtect, simulator: SimulatorServer, opener: Membership, mount: Mount
):
    simulator.control.fault(**fault, path=".*/listing")
    folder = opened(api, opener, mount)
    assert folder.problem == problem
    again = opened(api, opener, mount)
    assert again.problem == ("" if problem == "away" else problem)


def test_when_vprotect_is_away_all_who_wait_are_told(
    api: VProtect, simulator: SimulatorServer, opener: Membership, mount: Mount
):
    with scope(tenant=opener.tenant):
        for system in mount.file_systems:
            root_of(mount, system["guid"])
    simulator.control.fault("reset", path=".*/listing", times=0)
    answer_folders(api)
    assert set(Folder.across_tenants.values_list("problem", flat=True)) == {"away"}
    assert len(simulator.control.ledger("POST", "/mounted-file-systems")) == 1


def test_what_is_not_read_in_time_is_said_once_and_can_be_asked_again(
    api: VProtect, opener: Membership, mount: Mount, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr("vprotect_bridge.browsing._keep", Mock(side_effect=SoftTimeLimitExceeded))
        assert opened(api, opener, mount).problem == "away"
    assert not has_waiting()
    assert opened(api, opener, mount).problem == ""


def test_a_folder_is_read_by_one_worker_at_a_time(api: VProtect, opener: Membership, mount: Mount):
    folder = clicked(opener, lambda: root_of(mount, mount.file_systems[0]["guid"]))
    with own_connection() as another:
        assert try_lock(another, f"folder {folder.pk}")
        assert answer_folders(api) == 0 and has_waiting()
    assert answer_folders(api) == 1 and not has_waiting()


def test_a_folder_too_large_is_said(api: VProtect, opener: Membership, mount: Mount, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vprotect_bridge.browsing.MOST_ENTRIES", 3)
    assert opened(api, opener, mount).problem == "too_large"
