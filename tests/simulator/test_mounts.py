"""Mounting, looking into folders, downloading and unmounting, as the reference tells it (API reference, 15)."""

from __future__ import annotations

import http.client
import io
import zipfile
from typing import Any

import pytest

from tests.simulator.conftest import WEB, Answer, PlainClient
from vprotect_simulator.file_tree import OF_THE_NODE
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

NODE = guid_of("node/node1")
FOREVER = 7 * 24 * 3600


def wish(client: PlainClient, vm: str = WEB, **changes: Any) -> dict[str, Any]:
    newest = client.get("/backups", **{"protected-entity": vm, "only-mountable": "true"})[-1]
    if client.simulator.state.dialect == "current":
        source: dict[str, Any] = {"backupLocation": {"guid": newest["backupLocations"][0]["guid"]}}
    else:
        source = {"backup": {"guid": newest["guid"]}, "node": {"guid": NODE}}
    return {**source, "mode": {"name": "AUTO"}, "mountedFileSystems": [{"mountPath": "/mnt/vprotect/x"}], **changes}


def mounted(client: PlainClient, **changes: Any) -> dict[str, Any]:
    """A mounted backup, a minute after it was asked for."""
    assert client.call("POST", "/api/tasks/restore-and-mount", wish(client, **changes)).status == 201
    client.simulator.control.advance(300)
    client.get("/tasks")
    client.simulator.control.advance(60)
    return client.get("/mounted-backups")[-1]


@pytest.fixture
def mount(client: PlainClient) -> dict[str, Any]:
    return mounted(client)


@pytest.fixture
def current(simulator: SimulatorServer) -> None:
    simulator.state.dialect = "current"


@pytest.fixture
def root(client: PlainClient, mount: dict[str, Any]) -> str:
    """The GUID of its first file system."""
    return client.get("/mounted-file-systems/detailed", **{"mounted-backup": mount["guid"]})[0]["guid"]


def listing(client: PlainClient, file_system: str, path: str) -> Answer:
    return client.call("POST", f"/api/mounted-file-systems/{file_system}/listing", {"path": path})


def download(client: PlainClient, file_system: str, *paths: str, **headers: str) -> Answer:
    return client.call("POST", f"/api/mounted-file-systems/{file_system}/download", {"paths": paths}, **headers)


# ── Mounting ─────────────────────────────────────────────────────────────────


def test_restore_is_followed_by_mount_and_its_job_tells_the_end(client: PlainClient, simulator: SimulatorServer):
    client.call("POST", "/api/tasks/restore-and-mount", wish(client))
    job = client.get("/restore-jobs", **{"protected-entity": WEB})[-1]
    kinds = []
    for _ in range(30):
        simulator.control.advance(20)
        tasks = client.get("/tasks", **{"restore-job": job["guid"]})
        kinds.append(tuple((task["type"]["name"], task["state"]["name"]) for task in tasks))
    assert kinds[0][0][0] == "RESTORE" and (("RESTORE", "FINISHED"),) in kinds, "a gap in which none is active"
    assert kinds[-1] == (("RESTORE", "FINISHED"), ("MOUNT", "FINISHED"))
    job = client.get("/restore-jobs", **{"protected-entity": WEB})[-1]
    assert (job["restoreType"]["name"], job["status"]["name"]) == ("RESTORE_AND_MOUNT", "SUCCESS")
    assert {"restoreTime", "mountTime", "queuedMountTime"} <= set(job["taskTimeStats"])


def test_its_row_names_backup_machine_and_node_and_a_classic_state_is_a_string(mount: dict[str, Any]):
    assert (mount["state"], mount["mode"]["name"], mount["node"]["name"]) == ("MOUNTED", "AUTO", "node1")
    assert mount["backup"]["protectedEntity"]["guid"] == WEB and mount["mountedFileSystemCount"] == 3


def test_current_servers_want_a_location_and_tell_the_state_as_an_object(current: None, client: PlainClient):
    assert mounted(client)["state"] == {"name": "MOUNTED", "description": "Mounted"}
    refused = client.call("POST", "/api/tasks/restore-and-mount", wish(client, backupLocation=None, backup="x"))
    assert refused.status == 400


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"node": None}, 400),
        ({"backup": {"guid": "unknown"}}, 404),
        ({"mode": {"name": "SOMEHOW"}}, 400),
        ({"mountedFileSystems": []}, 400),
        ({"mountedFileSystems": [{"mountPath": "relative"}]}, 400),
        ({"mode": "ISCSI"}, 400),
    ],
)
def test_what_cannot_be_mounted_is_refused(changes: dict[str, Any], status: int, client: PlainClient):
    assert client.call("POST", "/api/tasks/restore-and-mount", wish(client, **changes)).status == status


def test_only_mountable_leaves_out_what_cannot(client: PlainClient, simulator: SimulatorServer):
    everything = client.get("/backups", **{"protected-entity": WEB})
    simulator.state.backups[everything[0]["guid"]]["backupLocations"][0]["status"]["name"] = "REMOVED"
    candidates = client.get("/backups", **{"protected-entity": WEB, "only-mountable": "true"})
    assert len(candidates) == len(everything) - 1
    simulator.control.change_machine(WEB, {"_mountable": False})
    assert client.get("/backups", **{"protected-entity": WEB, "only-mountable": "true"}) == []
    assert client.get(f"/backups/{candidates[0]['guid']}")["mountable"] is False


def test_manual_has_a_path_for_each_file_system_and_iscsi_has_disks(client: PlainClient):
    paths = [{"mountPath": "/mnt/a"}, {"mountPath": "/mnt/b"}]
    manual = mounted(client, mode="MANUAL", mountedFileSystems=paths)
    shown = client.get("/mounted-file-systems/detailed", **{"mounted-backup": manual["guid"]})
    assert [row["mountPath"] for row in shown] == ["/mnt/a", "/mnt/b"]
    disks = [{"backupFile": {"guid": "disk-1", "name": "disk"}}]
    iscsi = mounted(client, mode="ISCSI", mountedFileSystems=[], mountedDisks=disks)
    assert client.get("/mounted-files", **{"mounted-backup": iscsi["guid"]})[0]["randomAccess"] is True


def test_a_mount_that_fails_leaves_no_row(client: PlainClient, simulator: SimulatorServer):
    simulator.control.change_machine(WEB, {"_behaviour": {"MOUNT": "fail"}})
    client.call("POST", "/api/tasks/restore-and-mount", wish(client))
    simulator.control.advance(300)
    client.get("/tasks")
    simulator.control.advance(60)
    assert client.get("/mounted-backups") == []
    assert client.get("/restore-jobs", **{"protected-entity": WEB})[-1]["status"]["name"] == "FAILED"


# ── Unmounting ───────────────────────────────────────────────────────────────


def states_after(client: PlainClient, seconds: float) -> list[str]:
    client.simulator.control.advance(seconds)
    client.get("/tasks"), client.simulator.control.advance(60)
    return [
        row["state"] if isinstance(row["state"], str) else row["state"]["name"]
        for row in client.get("/mounted-backups")
    ]


def test_unmounting_ends_it_and_its_folders(client: PlainClient, mount: dict[str, Any], root: str):
    body = {"mountedBackup": {"guid": mount["guid"]}}
    assert client.call("POST", "/api/tasks/unmount", body).data["type"]["name"] == "UNMOUNT"
    assert states_after(client, 60) == ["UNMOUNTED"]
    assert listing(client, root, "/").status == 404
    assert client.call("POST", "/api/tasks/unmount", body).status == 409
    client.call("POST", "/api/tasks/mount", body)
    assert states_after(client, 60) == ["MOUNTED"], "and it can be mounted again"


def test_an_unmounted_one_may_be_gone_from_the_list(client: PlainClient, mount: dict[str, Any]):
    client.simulator.control.change_settings(unmounted_mounts="remove")
    client.call("POST", "/api/tasks/unmount", {"mountedBackup": {"guid": mount["guid"]}})
    assert states_after(client, 60) == []


def test_classic_servers_unmount_after_their_own_time(client: PlainClient):
    mounted(client, unmountTime=1000)
    assert states_after(client, 3600) == ["MOUNTED"] and states_after(client, 24 * 3600) == ["UNMOUNTED"]
    last = client.get("/tasks")[-1]
    assert (last["type"]["name"], last["originEntity"]["type"]["name"]) == ("UNMOUNT", "SYSTEM_SCHEDULE")


@pytest.mark.parametrize("meaning", ["duration", "absolute"])
def test_current_servers_read_the_time_in_one_of_two_ways(meaning: str, current: None, client: PlainClient):
    client.simulator.control.change_settings(unmount_time=meaning)
    hours = 2 * 3600 * 1000
    in_two_hours = client.simulator.state.clock.now_ms() + hours
    mounted(client, unmountTime=hours if meaning == "duration" else in_two_hours)
    assert states_after(client, 3600) == ["MOUNTED"] and states_after(client, 3700) == ["UNMOUNTED"]


def test_a_length_read_as_a_moment_is_long_over(current: None, client: PlainClient):
    """What happens to who sends a duration to 5.0: it is unmounted as soon as it is mounted (20, trap 21)."""
    client.simulator.control.change_settings(unmount_time="absolute")
    mounted(client, unmountTime=2 * 3600 * 1000)
    assert states_after(client, 60) == ["UNMOUNTED"]


# ── Folders ──────────────────────────────────────────────────────────────────


def test_the_tree_of_a_machine_is_the_same_every_time(client: PlainClient, root: str):
    first = listing(client, root, "/").data
    assert [entry["name"] for entry in first] == ["bin", "usr", "etc", "home", "srv", "var"]
    assert first == listing(client, root, "/").data
    hosts = next(entry for entry in listing(client, root, "/etc/").data if entry["name"] == "hosts")
    assert hosts["fileType"]["name"] == "REGULAR_FILE" and hosts["size"] > 20
    assert hosts["permissions"] == ["OWNER_READ", "OWNER_WRITE", "GROUP_READ", "OTHERS_READ"]


def test_odd_names_come_as_java_reads_them(client: PlainClient, root: str):
    names = [entry["name"] for entry in listing(client, root, "/srv/odd/names/").data]
    assert names.count("caf\ufffd latin-1.txt") == 2 and "two\nlines.txt" in names and "x" * 255 in names
    assert download(client, root, "/srv/odd/names/caf\ufffd latin-1.txt").status == 404
    assert download(client, root, "/srv/odd/names/日本語のファイル.txt").status == 200


def test_a_folder_of_a_hundred_thousand(client: PlainClient, root: str):
    assert len(listing(client, root, "/srv/odd/sizes/many/").data) == 100_000


@pytest.mark.parametrize("path", ["/nowhere/", "/etc/hosts/", "relative", None, "/srv/odd/links/broken"])
def test_what_is_no_folder_is_refused(path: Any, client: PlainClient, root: str):
    assert listing(client, root, path).status in {400, 404}


@pytest.mark.parametrize(
    "path", ["/../../../../../etc/shadow", "/srv/odd/links/to-the-node", "/srv/odd/links/up-and-out"]
)
def test_dots_and_links_lead_to_the_node_as_on_a_careless_server(path: str, client: PlainClient, root: str):
    assert download(client, root, path).text == OF_THE_NODE


# ── Downloads ────────────────────────────────────────────────────────────────


def test_a_file_comes_with_its_name_sometimes_in_underscores(client: PlainClient, root: str):
    named = {}
    for path in ("/usr/bin/bash", "/etc/hosts"):
        answer, name = download(client, root, path), path.rpartition("/")[2]
        named[name] = answer.headers["Content-Disposition"]
        assert answer.headers["Content-Type"] == "application/octet-stream" and answer.raw
    assert {f'filename="{name}"' in text for name, text in named.items()} == {True, False}
    assert all(name in text for name, text in named.items())


def test_an_empty_file_is_empty(client: PlainClient, root: str):
    answer = download(client, root, "/srv/odd/sizes/empty.txt")
    assert (answer.status, answer.headers["Content-Length"], answer.raw) == (200, "0", b"")


def test_five_gigabytes_are_made_while_they_are_read(client: PlainClient, root: str):
    path = f"/api/mounted-file-systems/{root}/download"
    body = b'{"paths": ["/srv/odd/sizes/five-gigabytes.img"]}'
    client.connection.request("POST", path, body, {"Cookie": client.cookie})
    answer = client.connection.getresponse()
    assert answer.headers["Content-Length"] == str(5 * 1024**3) and len(answer.read(1_000_000)) == 1_000_000
    client.connection.close()


def test_several_paths_or_a_folder_come_as_an_archive(client: PlainClient, root: str):
    several = download(client, root, "/etc/hosts", "/etc/hostname")
    folder = download(client, root, "/etc/ssh/")
    with zipfile.ZipFile(io.BytesIO(several.raw)) as archive:
        assert archive.namelist() == ["hosts", "hostname"]
    with zipfile.ZipFile(io.BytesIO(folder.raw)) as archive:
        assert archive.namelist() == ["ssh/sshd_config"] and archive.testzip() is None


def test_a_transfer_is_taken_up_where_the_server_can(client: PlainClient, root: str):
    whole = download(client, root, "/etc/hosts").raw
    again = download(client, root, "/etc/hosts", Range="bytes=10-")
    assert (again.status, again.raw) == (200, whole)
    client.simulator.control.change_settings(download_ranges=True)
    rest = download(client, root, "/etc/hosts", Range="bytes=10-")
    assert (rest.status, rest.raw) == (206, whole[10:])
    assert rest.headers["Content-Range"] == f"bytes 10-{len(whole) - 1}/{len(whole)}"


def test_a_transfer_can_break_half_way(client: PlainClient, root: str):
    client.simulator.control.fault("truncated", path=".*/download")
    with pytest.raises(http.client.IncompleteRead) as broken:
        download(client, root, "/usr/bin/bash")
    assert len(broken.value.partial) == 45_000


def test_it_can_be_unmounted_under_ones_feet(client: PlainClient, mount: dict[str, Any], root: str):
    assert client.call("DELETE", f"/control/mounts/{mount['guid']}").status == 204
    assert listing(client, root, "/").status == 404 and download(client, root, "/etc/hosts").status == 404


def test_a_connection_that_ends_with_the_answer_brings_all_of_it(client: PlainClient, root: str):
    whole = download(client, root, "/etc/hosts").raw
    assert whole and download(client, root, "/etc/hosts", Connection="close").raw == whole
