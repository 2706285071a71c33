"""Mounting, folders and downloads: against the simulator, and against servers that behave oddly."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest

from tests.conftest import both_dialects
from tests.vprotect_bridge.client.conftest import ScriptedServer, answer_with, transport_to
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.dialects import MountRequest
from vprotect_bridge.client.errors import Ambiguous, BadAnswer, NotFound, Rejected
from vprotect_bridge.client.mounts import FileEntry
from vprotect_bridge.client.transport import Transport
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

WEB = guid_of("vm/web-01")
PATH = "/mnt/vprotect/x"


@pytest.fixture
def root(api: VProtect, simulator: SimulatorServer) -> str:
    """The first file system of a mounted backup."""
    mounted(api, simulator)
    return api.mounts.file_systems(api.mounts.list().items[0].guid).items[0].guid


def mounted(api: VProtect, simulator: SimulatorServer, **changes: Any) -> None:
    newest = api.mounts.candidates(WEB).items[-1]
    place = {"node_guid": api.mounts.nodes(newest.guid).items[0].guid, "location_guid": newest.copies[0].guid}
    task = api.mounts.restore_and_mount(MountRequest(newest.guid, PATH, **{**place, **changes}))
    assert (task.type, task.restore_type) == ("RESTORE", "RESTORE_AND_MOUNT")
    for _ in range(2):
        simulator.control.advance(300)
        api.list_tasks()


def received(api: VProtect, file_system: str, path: str, start: int = 0) -> bytes:
    with api.mounts.download(file_system, path, start=start) as download:
        assert download.start == start
        return b"".join(download.pieces())


@both_dialects
def test_a_backup_is_mounted_and_unmounted(dialect: str, simulator: SimulatorServer, api: VProtect):
    mounted(api, simulator)
    [mount] = api.mounts.list().items
    assert (mount.state, mount.is_unmounted, bool(mount.backup_guid)) == ("MOUNTED", False, True)
    systems = api.mounts.file_systems(mount.guid).items
    assert [system.volume for system in systems] == ["/dev/sda2", "/dev/sdb1", "/dev/sda1"]
    assert all(system.mount_path.startswith(f"{PATH}/") for system in systems)
    body = simulator.control.ledger("POST", "/tasks/restore-and-mount")[0]["body"]
    assert ({"backup", "node"} <= set(body)) == (dialect == "classic") and "unmountTime" not in body
    api.mounts.unmount(mount.guid)
    for _ in range(2):
        simulator.control.advance(60)
        api.list_tasks()
    assert api.mounts.get(mount.guid).is_unmounted
    api.mounts.unmount("gone-already")


def test_a_folder_is_read_with_owner_rights_and_links(api: VProtect, root: str):
    entries = {entry.name: entry for entry in api.mounts.folder(root, "/").items}
    assert entries["bin"].type == "SYMLINK" and entries["etc"].type == "DIRECTORY"
    hosts = {entry.name: entry for entry in api.mounts.folder(root, "/etc/").items}["hosts"]
    assert (hosts.owner, hosts.mode) == ("root", 0o644) and hosts.modified is not None


def test_a_folder_of_a_hundred_thousand_is_read(api: VProtect, root: str):
    api.transport._timeout = 20.0
    listing = api.mounts.folder(root, "/srv/odd/sizes/many/")
    assert (len(listing.items), listing.complete, listing.dropped) == (100_000, True, 0)


def test_what_is_not_there_is_told_as_such(api: VProtect, simulator: SimulatorServer, root: str):
    with pytest.raises(NotFound):
        api.mounts.folder(root, "/nowhere/")
    with pytest.raises(Rejected):
        api.mounts.folder(root, "/etc/hosts/")
    simulator.control.close_mount(api.mounts.list().items[0].guid)
    with pytest.raises(NotFound):
        received(api, root, "/etc/hosts")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "nul\0", None, 7])
def test_a_name_that_leads_elsewhere_is_no_name(name: Any):
    with pytest.raises(ValueError):
        FileEntry.from_json({"name": name, "fileType": "REGULAR_FILE"})


@pytest.mark.parametrize(
    ("name", "kept"), [("a\ud800b", "a\ufffdb"), ("\ud83d\ude00", "😀"), ("caf\ufffd", "caf\ufffd")]
)
def test_halves_of_signs_are_no_signs(name: str, kept: str):
    assert FileEntry.from_json({"name": name, "fileType": {"name": "REGULAR_FILE"}}).name == kept


# ── Downloads ────────────────────────────────────────────────────────────────


def test_a_file_comes_whole_with_its_name_and_length(api: VProtect, simulator: SimulatorServer, root: str):
    with api.mounts.download(root, "/usr/bin/bash") as download:
        assert (download.name, download.length) == ("bash", 90_000)
        assert len(b"".join(download.pieces())) == 90_000
    assert received(api, root, "/srv/odd/sizes/empty.txt") == b""


def test_a_session_that_ended_is_opened_again(api: VProtect, simulator: SimulatorServer, root: str):
    simulator.control.expire_sessions()
    assert received(api, root, "/etc/hosts").startswith(b"127.0.0.1")


def test_a_broken_transfer_is_told_and_taken_up(api: VProtect, simulator: SimulatorServer, root: str):
    whole = received(api, root, "/usr/bin/bash")
    simulator.control.change_settings(download_ranges=True)
    simulator.control.fault("truncated", path=".*/download")
    got = b""
    with pytest.raises(Ambiguous, match="broke"), api.mounts.download(root, "/usr/bin/bash") as download:
        for piece in download.pieces():
            got += piece
    assert received(api, root, "/usr/bin/bash", start=45_000) == whole[45_000:]


def test_a_server_without_ranges_begins_at_the_beginning(api: VProtect, root: str):
    with api.mounts.download(root, "/usr/bin/bash", start=100) as download:
        assert download.start == 0


def test_a_dripping_transfer_is_cut(api: VProtect, simulator: SimulatorServer, root: str):
    simulator.control.fault("drip", path=".*/download", seconds=0.02)
    api.transport._timeout = 1.0
    began = time.monotonic()
    with pytest.raises(Ambiguous):
        received(api, root, "/usr/bin/bash")
    assert time.monotonic() - began < 5


def test_a_slow_body_of_unknown_length_is_no_short_file(server: ScriptedServer):
    """Cut by us, the connection looks as if the server had closed it at the end."""

    def drip(secure: Any, request: bytes) -> None:
        secure.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for _ in range(40):
            secure.sendall(b"x")
            time.sleep(0.1)

    server.script = drip
    with pytest.raises(Ambiguous, match=r"too slow|broke"):
        received(VProtect(transport_to(server, timeout=0.7)), "fs-1", "/x")


def test_five_gigabytes_are_never_in_memory(api: VProtect, root: str):
    """A part of them is read; what is held at any time is a few pieces."""
    with api.mounts.download(root, "/srv/odd/sizes/five-gigabytes.img") as download:
        assert download.length == 5 * 1024**3
        pieces = download.pieces()
        next(pieces)
        tracemalloc.start()
        read = sum(len(next(pieces)) for _ in range(400))
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert read > 50_000_000 and peak < 8_000_000


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Content-Encoding: gzip\r\n", "200 OK"),
        ("Content-Range: bytes 7-9/10\r\n", "206 Partial Content"),
        ("", "206 Partial Content"),
    ],
)
def test_another_part_or_a_compressed_one_is_refused(
    headers: str, status: str, server: ScriptedServer, transport: Transport
):
    server.script = answer_with(b"abc", status, headers)
    with pytest.raises(BadAnswer), VProtect(transport).mounts.download("fs-1", "/x", start=5):
        pass
    assert b"Range: bytes=5-" in server.requests[-1] and b"Accept-Encoding: identity" in server.requests[-1]


@pytest.mark.parametrize("guid", ["../tasks", "a/b", "", "x?y", "a" * 65])
def test_only_a_guid_stands_in_a_path(guid: str, server: ScriptedServer, transport: Transport):
    mounts = VProtect(transport).mounts
    with pytest.raises(ValueError, match="not a GUID"):
        mounts.folder(guid, "/")
    with pytest.raises(ValueError, match="not a GUID"), mounts.download(guid, "/x"):
        pass
    assert not server.requests


def test_a_name_with_quotes_is_read(server: ScriptedServer, transport: Transport):
    server.script = answer_with(b"", headers='Content-Disposition: attachment; filename="_a \\"b\\".txt_"\r\n')
    with VProtect(transport).mounts.download("fs-1", "/x") as download:
        assert download.name == '_a \\"b\\".txt_' and list(download.pieces()) == []
