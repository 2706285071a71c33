"""What the simulator does with time, against chapter 7 and the duties 16–24 of the API reference."""

from typing import Any

import pytest

from tests.simulator.conftest import DB, NEW, WEB, PlainClient
from vprotect_simulator.server import SimulatorServer


def names(*rows: dict[str, Any]) -> list[str]:
    return [(row.get("status") or row["state"])["name"] for row in rows]


def test_a_backup_is_an_export_a_gap_and_a_store(simulator: SimulatorServer, client: PlainClient):
    made = client.export(WEB).data[0]
    backup = made["backup"]["guid"]
    assert names(made, client.get(f"/backups/{backup}")) == ["QUEUED", "QUEUED"] and "node" not in made

    simulator.control.advance(60)
    export = client.task_of(WEB, "EXPORT")
    assert names(export, client.get(f"/backups/{backup}")) == ["RUNNING", "INPROGRESS"]
    assert 0 < export["progress"] < 100 and export["node"]["name"] == "node1" and export["startTime"]

    simulator.control.advance(140)
    assert names(*client.get("/tasks")) == ["FINISHED"], "the gap in which nothing is active"
    assert names(client.get(f"/backups/{backup}")) == ["INPROGRESS"]

    simulator.control.advance(50)
    store = client.task_of(WEB, "STORE")
    assert names(store) == ["RUNNING"] and store["guid"] != made["guid"] and store["backup"]["guid"] == backup

    simulator.control.advance(200)
    done = client.get(f"/backups/{backup}")
    assert names(done) == ["SUCCESS"] and done["size"] > 0
    assert done["backupLocations"][0]["status"]["name"] == "PRESENT"
    assert set(done["taskTimeStats"]) == {"queuedExportTime", "exportTime", "queuedStoreTime", "storeTime"}
    vm = client.get(f"/virtual-machines/{WEB}")
    assert (vm["lastBackup"], vm["lastSuccessfulBackupSize"]) == (done["snapshotTime"], done["size"])
    assert vm["backupUpToDate"] is True


def test_faster_than_life_moves_durations_not_the_clock(simulator: SimulatorServer, client: PlainClient):
    simulator.control.change_settings(speed=100)
    made = client.export(WEB).data[0]
    simulator.control.advance(10)
    done = client.get(f"/backups/{made['backup']['guid']}")
    assert names(done) == ["SUCCESS"]
    assert done["snapshotTime"] - done["backupTime"] < 1000


@pytest.mark.parametrize(("vm", "made"), [(WEB, "INCREMENTAL"), (DB, "FULL"), (NEW, "FULL")])
def test_an_incremental_needs_a_schedule_and_a_base(vm: str, made: str, client: PlainClient):
    task = client.export(vm, backupType="INCREMENTAL").data[0]
    backup = client.get(f"/backups/{task['backup']['guid']}")
    assert backup["type"]["name"] == made
    assert ("parentBackup" in backup) == (made == "INCREMENTAL")


def test_an_incremental_without_a_schedule_may_be_refused(simulator: SimulatorServer, client: PlainClient):
    simulator.control.change_settings(incremental_without_schedule="refuse")
    assert client.export(DB, backupType="INCREMENTAL").status == 400


def test_what_does_not_start_in_its_window_fails(simulator: SimulatorServer, client: PlainClient):
    simulator.control.change_settings(max_running=0)
    now = simulator.state.clock.now_ms()
    made = client.export(WEB, windowStart=now, windowEnd=now + 60_000).data[0]
    simulator.control.advance(61)
    assert names(client.task_of(WEB, "EXPORT"), client.get(f"/backups/{made['backup']['guid']}")) == [
        "FAILED",
        "FAILED",
    ]


def test_work_waits_for_the_start_of_its_window(simulator: SimulatorServer, client: PlainClient):
    now = simulator.state.clock.now_ms()
    client.export(WEB, windowStart=now + 3_600_000, windowEnd=now + 7_200_000)
    simulator.control.advance(3500)
    assert names(client.task_of(WEB, "EXPORT")) == ["QUEUED"]
    simulator.control.advance(110)
    assert names(client.task_of(WEB, "EXPORT")) == ["RUNNING"]


def test_higher_priority_comes_first_and_slots_are_few(simulator: SimulatorServer, client: PlainClient):
    simulator.control.change_settings(max_running=0)
    client.export(WEB, priority=10), client.export(DB, priority=90)
    simulator.control.advance(21)
    simulator.control.change_settings(max_running=1)
    assert names(client.task_of(WEB, "EXPORT"), client.task_of(DB, "EXPORT")) == ["QUEUED", "RUNNING"]


@pytest.mark.parametrize("kind", ["EXPORT", "STORE"])
def test_work_fails_on_order(kind: str, simulator: SimulatorServer, client: PlainClient):
    simulator.control.change_machine(WEB, {"_behaviour": {kind: "fail", "reason": "No space on hv-01.internal"}})
    made = client.export(WEB).data[0]
    simulator.control.advance(600)
    backup = client.get(f"/backups/{made['backup']['guid']}")
    assert names(client.task_of(WEB, kind), backup) == ["FAILED", "FAILED"]
    assert backup["statusInfo"] == "No space on hv-01.internal"


@pytest.mark.parametrize(("behaviour", "state"), [("hang", "RUNNING"), ("hang_in_queue", "QUEUED")])
def test_work_hangs_on_order(behaviour: str, state: str, simulator: SimulatorServer, client: PlainClient):
    simulator.control.change_machine(WEB, {"_behaviour": {"EXPORT": behaviour}})
    client.export(WEB)
    simulator.control.advance(3600)
    assert names(client.task_of(WEB, "EXPORT")) == [state]


def test_a_failure_is_repeated_by_a_copy(simulator: SimulatorServer, client: PlainClient):
    simulator.control.change_machine(WEB, {"_behaviour": {"EXPORT": "fail"}})
    made = client.export(WEB, retryCount=2).data[0]
    simulator.control.advance(600)
    tasks = client.get("/tasks", protectedEntity=WEB)
    assert [task["retryCount"] for task in tasks] == [2, 1, 0]
    assert len({task["guid"] for task in tasks}) == 3
    assert names(client.get(f"/backups/{made['backup']['guid']}")) == ["FAILED"]


def test_a_cancelled_task_stops_at_once_and_its_backup_fails_later(simulator: SimulatorServer, client: PlainClient):
    made = client.export(WEB).data[0]
    simulator.control.advance(60)
    body = {"state": {"name": "CANCELLED"}, "statusInfo": "Canceled by user"}
    assert client.call("DELETE", f"/api/tasks/{made['guid']}").status == 409
    assert client.call("PUT", f"/api/tasks/{made['guid']}/state", body).data["state"]["name"] == "CANCELLED"
    assert names(client.get(f"/backups/{made['backup']['guid']}")) == ["INPROGRESS"]
    simulator.control.advance(11)
    assert names(client.get(f"/backups/{made['backup']['guid']}")) == ["FAILED"]
    assert client.call("PUT", f"/api/tasks/{made['guid']}/state", body).status == 409
    assert client.call("DELETE", f"/api/tasks/{made['guid']}").status == 204


def test_finished_tasks_vanish_and_backups_stay(simulator: SimulatorServer, client: PlainClient):
    simulator.control.change_settings(task_retention=3600)
    made = client.export(WEB).data[0]
    simulator.control.advance(600)
    assert len(client.get("/tasks")) == 2
    simulator.control.advance(3600)
    assert client.get("/tasks") == []
    assert client.call("GET", f"/api/tasks/{made['guid']}").status == 404
    assert names(client.get(f"/backups/{made['backup']['guid']}")) == ["SUCCESS"]
