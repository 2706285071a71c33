"""Schedules, policies and rules, against chapters 10–12 and 20 and the duties 10–15 and 27 of the API reference."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.simulator.conftest import DB, GONE, NEW, PASSWORD, PRIMARY, WEB, Answer, PlainClient, as_if_nobody_had_called
from vprotect_simulator.firing import firing_times
from vprotect_simulator.names import enum, guid_of
from vprotect_simulator.server import SimulatorServer

HOUR, DAY = 3_600_000, 24 * 3_600_000
EVERY_DAY = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"]
NOBODY = "00000000-0000-0000-0000-000000000000"


def a_schedule(**members: Any) -> dict[str, Any]:
    return {
        "name": "aurora-nightly",
        "type": {"name": "VM_BACKUP"},
        "backupType": {"name": "FULL"},
        "executionType": {"name": "TIME"},
        "active": True,
        "hour": 3 * HOUR,
        "startWindowLength": 2 * HOUR,
        "daysOfWeek": [{"name": day} for day in EVERY_DAY],
        "tenantId": "aurora",
        **members,
    }


def an_interval(start: int, end: int, frequency: int) -> dict[str, Any]:
    interval = {"startHour": start, "endHour": end, "frequency": frequency}
    return a_schedule(executionType="INTERVAL", interval=interval, hour=None, startWindowLength=None)


def a_policy(*vms: str, **members: Any) -> dict[str, Any]:
    return {
        "name": "aurora-daily",
        "priority": 70,
        "autoRemoveNonPresent": False,
        "autoAssignSettings": {"mode": {"name": "DISABLED"}},
        "vms": [{"guid": vm} for vm in vms],
        "tenantId": "aurora",
        **members,
    }


class PlanClient(PlainClient):
    def send(self, method: str, path: str, body: Any = None) -> Answer:
        answer = self.call(method, f"/api{path}", body)
        if answer.status == 401:  # the clock was moved past the session's end
            self.log_in()
            answer = self.call(method, f"/api{path}", body)
        return answer

    def make(self, path: str, body: Any) -> dict[str, Any]:
        answer = self.send("POST", path, body)
        assert answer.status == 201, answer.text
        return answer.data

    def make_plan(self, *vms: str, schedule: dict[str, Any] | None = None, **rule: Any) -> tuple[str, str, str]:
        """Schedule, policy and rule as the guide makes them. Returns their GUIDs."""
        made = self.make("/schedules", schedule or a_schedule())
        policy = self.make("/policies/vm-backup", a_policy(*vms))
        body = {"name": "Default", "policy": {"guid": policy["guid"]}, "schedules": [{"guid": made["guid"]}]}
        rule = self.make("/rules/vm-backup", {**body, "backupDestinations": [{"guid": PRIMARY}], **rule})
        return made["guid"], policy["guid"], rule["guid"]

    def policy_of(self, vm: str) -> Any:
        return self.get(f"/virtual-machines/{vm}").get("vmBackupPolicy")


@pytest.fixture
def client(simulator: SimulatorServer) -> PlanClient:
    client = PlanClient(simulator)
    client.log_in()
    return client


@pytest.fixture
def current(simulator_of_the_run: SimulatorServer) -> PlanClient:
    client = PlanClient(as_if_nobody_had_called(simulator_of_the_run, "current"))
    client.log_in()
    return client


def run_past(simulator: SimulatorServer, moment: int) -> None:
    simulator.control.run_until(moment + 1000)


def exports(simulator: SimulatorServer, schedule: str) -> list[dict[str, Any]]:
    """The EXPORT tasks that a schedule made; nobody else starts any at its moment."""
    made = [task for task in simulator.control.made_tasks() if task["origin"] == schedule]
    return [task for task in made if task["type"] == "EXPORT"]


def next_run(simulator: SimulatorServer, schedule: str) -> int:
    now = simulator.state.clock.now_ms()
    return simulator.control.firings(schedule, now, now + 400 * DAY)[0]


# ── When a schedule fires ────────────────────────────────────────────────────


def moments(schedule: dict[str, Any], start: str, days: int) -> list[str]:
    """The firings from a day on, as `Mon 2026-03-02 03:00`."""
    first = int(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp()) * 1000
    times = firing_times(schedule, first, first + days * DAY)
    return [(datetime.fromtimestamp(at / 1000, UTC)).strftime("%a %Y-%m-%d %H:%M") for at in times]


def test_a_schedule_fires_on_its_weekdays_in_utc():
    weekend = a_schedule(daysOfWeek=["SATURDAY", "SUNDAY"])
    assert moments(weekend, "2026-03-02", 7) == ["Sat 2026-03-07 03:00", "Sun 2026-03-08 03:00"]


def test_a_schedule_knows_no_daylight_saving():
    days = moments(a_schedule(), "2026-03-27", 4)
    assert [day[-5:] for day in days] == ["03:00"] * 4


def test_no_months_and_no_occurrences_mean_all():
    assert len(moments(a_schedule(months=[], dayOfWeekOccurrences=[]), "2026-01-01", 365)) == 365


def test_a_schedule_fires_in_its_months():
    summer = a_schedule(months=["JULY", {"name": "FEBRUARY"}])
    assert len(moments(summer, "2026-01-01", 365)) == 28 + 31


@pytest.mark.parametrize(
    ("occurrence", "expected"),
    [
        ("FIRST_IN_MONTH", ["02", "06", "04"]),
        ("SECOND_IN_MONTH", ["09", "13", "11"]),
        ("FOURTH_IN_MONTH", ["23", "27", "25"]),
        ("LAST_IN_MONTH", ["30", "27", "25"]),
    ],
)
def test_a_schedule_fires_at_the_occurrence_of_a_weekday(occurrence: str, expected: list[str]):
    monday = a_schedule(daysOfWeek=["MONDAY"], dayOfWeekOccurrences=[occurrence])
    assert [moment[12:14] for moment in moments(monday, "2026-03-01", 92)] == expected


def test_a_fifth_weekday_is_only_the_last():
    wanted = ["FIRST_IN_MONTH", "SECOND_IN_MONTH", "THIRD_IN_MONTH", "FOURTH_IN_MONTH"]
    mondays = a_schedule(daysOfWeek=["MONDAY"], dayOfWeekOccurrences=wanted)
    assert "Mon 2026-03-30 03:00" not in moments(mondays, "2026-03-01", 31)


def test_an_interval_fires_from_its_start_to_its_end():
    every_two_hours = an_interval(HOUR, 6 * HOUR, 2 * HOUR)
    assert moments(every_two_hours, "2026-03-02", 1) == [f"Mon 2026-03-02 0{hour}:00" for hour in (1, 3, 5)]


def test_an_interval_fires_at_its_very_end():
    assert len(moments(an_interval(0, 4 * HOUR, 2 * HOUR), "2026-03-02", 1)) == 3


@pytest.mark.parametrize("hour", [-21 * HOUR, 27 * HOUR])
def test_an_hour_outside_the_day_is_one_within(hour: int):
    assert moments(a_schedule(hour=hour), "2026-03-02", 1) == ["Mon 2026-03-02 03:00"]


def test_the_span_asked_for_has_its_start_and_not_its_end():
    at = 20_000 * DAY + 3 * HOUR
    assert list(firing_times(a_schedule(), at, at + DAY)) == [at]
    assert list(firing_times(a_schedule(), at + 1, at + DAY)) == []


@pytest.mark.parametrize("members", [{"active": False}, {"daysOfWeek": []}])
def test_a_schedule_that_is_off_or_has_no_day_never_fires(members: dict[str, Any]):
    assert moments(a_schedule(**members), "2026-01-01", 730) == []


def test_two_years_are_told_at_once():
    started = time.monotonic()
    assert len(moments(an_interval(0, 23 * HOUR, HOUR), "2026-01-01", 730)) == 730 * 24
    assert time.monotonic() - started < 2


# ── What happens then ────────────────────────────────────────────────────────


def test_a_schedule_backs_up_every_machine_of_its_policy(simulator: SimulatorServer, client: PlanClient):
    schedule, _policy, _rule = client.make_plan(WEB, DB)
    at = next_run(simulator, schedule)
    simulator.control.run_until(at - 5000)
    assert exports(simulator, schedule) == []
    run_past(simulator, at)
    tasks = client.get("/tasks", schedule=schedule)
    assert {task["protectedEntity"]["guid"] for task in tasks} == {WEB, DB}
    assert [(task["windowStart"], task["windowEnd"], task["priority"]) for task in tasks] == [
        (at, at + 2 * HOUR, 70)
    ] * 2
    assert tasks[0]["originEntity"] == {"guid": schedule, "name": "aurora-nightly", "type": enum("SCHEDULE")}
    assert client.get(f"/schedules/{schedule}")["lastRun"] == at


def test_what_a_schedule_starts_ends_as_a_backup(simulator: SimulatorServer, client: PlanClient):
    schedule, _policy, _rule = client.make_plan(NEW)
    run_past(simulator, next_run(simulator, schedule) + HOUR)
    (backup,) = client.get("/backups", **{"protected-entity": NEW})
    assert (backup["status"]["name"], backup["originEntity"]["guid"]) == ("SUCCESS", schedule)
    assert backup["backupLocations"][0]["backupDestination"]["guid"] == PRIMARY
    assert [task["type"]["name"] for task in client.get("/tasks", schedule=schedule)] == ["EXPORT", "STORE"]
    assert client.get(f"/virtual-machines/{NEW}")["backupUpToDate"] is True


def test_a_week_of_clock_is_a_week_of_backups(simulator: SimulatorServer, client: PlanClient):
    schedule, _policy, _rule = client.make_plan(NEW)
    first = next_run(simulator, schedule)
    expected = simulator.control.firings(schedule, first, first + 7 * DAY)
    simulator.control.run_until(first + 7 * DAY - HOUR)
    assert [task["at"] for task in exports(simulator, schedule)] == expected == [first + n * DAY for n in range(7)]
    assert len(client.get("/backups", **{"protected-entity": NEW})) == 7


def test_what_was_missed_is_not_made_up_for(simulator: SimulatorServer, client: PlanClient):
    client.make_plan(WEB)
    just_gone = (simulator.state.clock.now_ms() - 60_000) % DAY
    schedule = client.make("/schedules", a_schedule(name="late", hour=just_gone))["guid"]
    assert next_run(simulator, schedule) > simulator.state.clock.now_ms() + 23 * HOUR


def test_a_schedule_that_is_put_fires_by_what_it_says_now(simulator: SimulatorServer, client: PlanClient):
    schedule, _policy, rule = client.make_plan(WEB)
    old = next_run(simulator, schedule)
    client.send("PUT", f"/schedules/{schedule}", a_schedule(hour=9 * HOUR, rules=[{"guid": rule}]))
    run_past(simulator, old + DAY)
    assert {task["at"] % DAY for task in exports(simulator, schedule)} == {9 * HOUR}


@pytest.mark.parametrize("change", [{"active": False}, {"rules": []}])
def test_a_schedule_that_is_off_or_in_no_rule_starts_nothing(
    change: dict[str, Any], simulator: SimulatorServer, client: PlanClient
):
    schedule, _policy, rule = client.make_plan(WEB)
    client.send("PUT", f"/schedules/{schedule}", {**a_schedule(rules=[{"guid": rule}]), **change})
    simulator.control.advance(3 * 24 * 3600)
    assert exports(simulator, schedule) == []


@pytest.mark.odd_requests
def test_a_rule_without_a_destination_never_backs_up(simulator: SimulatorServer, client: PlanClient):
    schedule, _policy, _rule = client.make_plan(WEB, backupDestinations=[])
    simulator.control.advance(3 * 24 * 3600)
    assert exports(simulator, schedule) == []


def test_of_two_rules_only_the_first_has_effect(simulator: SimulatorServer, client: PlanClient):
    first, policy, rule = client.make_plan(WEB)
    second = client.make("/schedules", a_schedule(name="second"))["guid"]
    destinations = {"backupDestinations": [{"guid": PRIMARY}]}
    client.make("/rules/vm-backup", {"name": "Second", "policy": policy, "schedules": [second], **destinations})
    run_past(simulator, next_run(simulator, first))
    assert (len(exports(simulator, first)), len(exports(simulator, second))) == (1, 0)
    client.send("DELETE", f"/rules/vm-backup/{rule}")
    run_past(simulator, next_run(simulator, second))
    assert (len(exports(simulator, first)), len(exports(simulator, second))) == (1, 1)


def test_what_does_not_start_in_the_window_of_its_schedule_fails(simulator: SimulatorServer, client: PlanClient):
    simulator.control.change_settings(max_running=0)
    schedule, _policy, _rule = client.make_plan(NEW)
    run_past(simulator, next_run(simulator, schedule) + 2 * HOUR)
    assert client.task_of(NEW, "EXPORT")["state"]["name"] == "FAILED"
    assert client.get(f"/virtual-machines/{NEW}")["backupUpToDate"] is False


def test_a_machine_that_is_gone_is_tried_or_left_out(simulator: SimulatorServer, client: PlanClient):
    schedule, _policy, _rule = client.make_plan(GONE)
    run_past(simulator, next_run(simulator, schedule))
    simulator.control.change_settings(absent_machine="refuse")
    run_past(simulator, next_run(simulator, schedule))
    assert len(exports(simulator, schedule)) == 1


def test_an_incremental_on_demand_needs_an_incremental_schedule_in_the_plan(client: PlanClient):
    schedule, _policy, rule = client.make_plan(WEB)

    def made() -> str:
        task = client.export(WEB, backupType="INCREMENTAL").data[0]
        return client.get(f"/backups/{task['backup']['guid']}")["type"]["name"]

    assert made() == "FULL"
    client.send("PUT", f"/schedules/{schedule}", a_schedule(backupType="INCREMENTAL", rules=[{"guid": rule}]))
    assert made() == "INCREMENTAL"


def test_an_incremental_schedule_without_a_base_makes_a_full_one(simulator: SimulatorServer, client: PlanClient):
    schedule, _policy, _rule = client.make_plan(NEW, schedule=a_schedule(backupType="INCREMENTAL"))
    simulator.control.run_until(next_run(simulator, schedule) + DAY + HOUR)
    types = [backup["type"]["name"] for backup in client.get("/backups", **{"protected-entity": NEW})]
    assert types == ["FULL", "INCREMENTAL"]


def test_the_clock_does_not_go_back(simulator: SimulatorServer, client: PlanClient):
    now = simulator.state.clock.now_ms()
    assert client.call("POST", "/control/clock", {"until": now - DAY}).status == 400
    assert client.call("POST", "/control/clock", {"until": now + DAY}).status == 204
    assert simulator.state.clock.now_ms() >= now + DAY


def test_firings_are_told_over_http(client: PlanClient):
    schedule = client.make("/schedules", a_schedule())["guid"]
    path = f"/control/schedules/{schedule}/firings"
    assert client.call("GET", f"{path}?start=0&end={2 * DAY}").data == [3 * HOUR, DAY + 3 * HOUR]
    assert client.call("GET", path).status == 400
    assert client.call("GET", f"/control/schedules/{NOBODY}/firings?start=0&end=1").status == 400


def test_the_demo_is_backed_up_by_night(tmp_path: Path):
    simulator = SimulatorServer(tmp_path, password=PASSWORD, landscape_name="demo", speed=30)
    nightly = guid_of("schedule/nightly")
    at = next_run(simulator, nightly)
    run_past(simulator, at)
    tonight = [task for task in exports(simulator, nightly) if task["at"] == at]
    assert len(tonight) > 30 and datetime.fromtimestamp(at / 1000, UTC).hour == 2


def test_what_was_planned_before_a_restart_fires_after_it(tmp_path: Path):
    def start() -> SimulatorServer:
        return SimulatorServer(tmp_path, password=PASSWORD, state_file=tmp_path / "state.json")

    start().state.save(tmp_path / "state.json")
    again = start()
    nightly = guid_of("schedule/nightly")
    at = next_run(again, nightly)
    run_past(again, at)
    assert [task for task in exports(again, nightly) if task["at"] == at]


def test_nothing_fires_by_itself_in_the_small_landscape(simulator: SimulatorServer):
    simulator.control.advance(timedelta(days=9).total_seconds())
    assert simulator.control.made_tasks() == []


# ── Schedules ────────────────────────────────────────────────────────────────


def test_a_schedule_is_answered_with_objects_and_without_nulls(client: PlanClient):
    made = client.make("/schedules", a_schedule(daysOfWeek=["MONDAY"], vmCount=3))
    assert made == client.get(f"/schedules/{made['guid']}") == client.get("/schedules", tenantid="aurora")[0]
    assert made["daysOfWeek"] == [{"name": "MONDAY", "description": "Monday"}]
    assert (made["months"], made["dayOfWeekOccurrences"], made["rules"]) == ([], [], [])
    assert not {"interval", "lastRun", "vmCount"} & set(made)


def test_an_interval_has_no_hour(client: PlanClient):
    made = client.make("/schedules", an_interval(0, 79_140_000, 2 * HOUR))
    assert made["interval"] == {"startHour": 0, "endHour": 79_140_000, "frequency": 2 * HOUR}
    assert "hour" not in made and "startWindowLength" not in made


@pytest.mark.parametrize(("reading", "off"), [("negative", -DAY), ("over", DAY)])
def test_hours_may_read_back_outside_the_day(reading: str, off: int, simulator: SimulatorServer, client: PlanClient):
    simulator.control.change_settings(hour_reading=reading)
    made = client.make("/schedules", a_schedule())
    assert made["hour"] == 3 * HOUR + off
    assert client.send("PUT", f"/schedules/{made['guid']}", made).status == 200
    interval = client.make("/schedules", {**an_interval(HOUR, 9 * HOUR, HOUR), "name": "other"})["interval"]
    assert (interval["startHour"], interval["endHour"]) == (HOUR + off, 9 * HOUR + off)


@pytest.mark.parametrize(
    "members",
    [
        {"name": ""},
        {"name": "x" * 256},
        {"name": 7},
        {"type": "YEARLY"},
        {"backupType": None},
        {"executionType": {"name": "NEVER"}},
        {"active": "yes"},
        {"hour": None},
        {"hour": "03:00"},
        {"startWindowLength": -1},
        {"daysOfWeek": None},
        {"daysOfWeek": ["FUNDAY"]},
        {"months": "MAY"},
        {"dayOfWeekOccurrences": ["FIFTH_IN_MONTH"]},
        {"executionType": "INTERVAL"},
        {"executionType": "INTERVAL", "interval": {"startHour": HOUR, "endHour": 0, "frequency": HOUR}},
        {"executionType": "INTERVAL", "interval": {"startHour": 0, "endHour": HOUR, "frequency": 0}},
        {"executionType": "INTERVAL", "interval": {"startHour": 0, "endHour": HOUR, "frequency": 7200}},
    ],
)
def test_a_bad_schedule_is_refused(members: dict[str, Any], client: PlanClient):
    before = client.get("/schedules")
    answer = client.send("POST", "/schedules", a_schedule(**members))
    assert answer.status == 400 and answer.data["message"]
    assert client.get("/schedules") == before


def test_a_put_of_a_schedule_loses_what_it_does_not_send(client: PlanClient):
    schedule, _policy, rule = client.make_plan(WEB, schedule=a_schedule(months=["MAY"]))
    body = a_schedule()
    del body["tenantId"], body["active"]
    put = client.send("PUT", f"/schedules/{schedule}", body).data
    assert (put["months"], put["rules"], put["active"], "tenantId" in put) == ([], [], False, False)
    assert client.get(f"/rules/vm-backup/{rule}")["schedules"] == []
    assert client.get("/schedules", tenantid="aurora") == []


def test_a_put_may_keep_the_tenant(simulator: SimulatorServer, client: PlanClient):
    simulator.control.change_settings(tenant_not_sent="keep")
    guid = client.make("/schedules", a_schedule())["guid"]
    assert client.send("PUT", f"/schedules/{guid}", a_schedule(tenantId=None)).data["tenantId"] == "aurora"


def test_what_was_read_can_be_put_back(client: PlanClient):
    schedule, policy, rule = client.make_plan(WEB)
    for path in (f"/schedules/{schedule}", f"/policies/vm-backup/{policy}", f"/rules/vm-backup/{rule}"):
        read = client.get(path)
        assert client.send("PUT", path, read).data == read == client.get(path)


def test_a_put_may_answer_nothing(simulator: SimulatorServer, client: PlanClient):
    simulator.control.change_settings(put_answer="nothing")
    schedule, _policy, _rule = client.make_plan(WEB)
    answer = client.send("PUT", f"/schedules/{schedule}", a_schedule(name="renamed"))
    assert (answer.status, answer.text) == (204, "")
    assert client.get(f"/schedules/{schedule}")["name"] == "renamed"


@pytest.mark.parametrize(("reaction", "status", "left"), [("refuse", 409, 1), ("unassign", 204, 0)])
def test_a_schedule_in_use_is_kept_or_taken_out(
    reaction: str, status: int, left: int, simulator: SimulatorServer, client: PlanClient
):
    simulator.control.change_settings(schedule_in_use=reaction)
    schedule, _policy, rule = client.make_plan(WEB)
    assert client.send("DELETE", f"/schedules/{schedule}").status == status
    assert len(client.get(f"/rules/vm-backup/{rule}")["schedules"]) == left
    assert len(client.get("/schedules", tenantid="aurora")) == left


def test_a_deleted_schedule_never_fires_again(simulator: SimulatorServer, client: PlanClient):
    schedule, _policy, _rule = client.make_plan(WEB)
    client.send("PUT", f"/schedules/{schedule}", a_schedule())
    assert client.send("DELETE", f"/schedules/{schedule}").status == 204
    simulator.control.advance(2 * 24 * 3600)
    assert client.send("GET", f"/schedules/{schedule}").status == 404
    assert exports(simulator, schedule) == []


# ── Names, tenants, strangers ────────────────────────────────────────────────


@pytest.mark.parametrize(("path", "body"), [("/schedules", a_schedule()), ("/policies/vm-backup", a_policy())])
def test_a_name_is_taken_for_everybody(path: str, body: dict[str, Any], simulator: SimulatorServer, client: PlanClient):
    made = client.make(path, body)
    taken = client.send("POST", path, {**body, "tenantId": "somebody else"})
    assert taken.status == 409 and taken.data["message"].endswith("with given name already exists")
    simulator.control.change_settings(name_clash_status=500)
    assert client.send("POST", path, body).status == 500
    assert client.send("PUT", f"{path}/{made['guid']}", body).status == 200, "its own name is free"
    other = client.make(path, {**body, "name": "other"})
    assert client.send("PUT", f"{path}/{other['guid']}", body).status == 500


@pytest.mark.parametrize("path", ["/schedules", "/policies/vm-backup"])
@pytest.mark.parametrize(
    ("spelling", "is_known"), [("tenantid", True), ("tenant-id", True), ("tenantId", False), ("project-uuid", False)]
)
def test_a_misspelt_tenant_filter_returns_everybodys_plans(
    path: str, spelling: str, is_known: bool, client: PlanClient
):
    client.make_plan(WEB)
    everybodys = len(client.get(path))
    assert everybodys > 1
    assert len(client.get(path, **{spelling: "aurora"})) == (1 if is_known else everybodys)
    assert len(client.get(path, **{spelling: "nobody"})) == (0 if is_known else everybodys)


def test_lists_of_plans_are_paged_and_filtered(client: PlanClient):
    schedule, policy, rule = client.make_plan(WEB)
    answer = client.send("GET", "/policies/vm-backup?page=1&size=2&orderBy=name")
    assert (len(answer.data), answer.headers["X-Total-Count"]) == (2, "4")
    assert [row["guid"] for row in client.get("/schedules", **{"protected-entity": WEB})] == [schedule]
    assert [row["guid"] for row in client.get("/policies/vm-backup", **{"virtual-machine": WEB})] == [policy]
    assert [row["guid"] for row in client.get("/policies/vm-backup", filter="aurora")] == [policy]
    assert [row["guid"] for row in client.get("/rules/vm-backup", policy=policy)] == [rule]
    assert client.get("/schedules", type="SNAPSHOT") == []


def test_the_wrong_filter_of_rules_returns_all(client: PlanClient):
    _schedule, policy, _rule = client.make_plan(WEB)
    assert len(client.get("/rules/vm-backup", rule=policy)) == len(client.get("/rules/vm-backup")) > 1


@pytest.mark.parametrize("path", ["/schedules", "/policies/vm-backup", "/rules/vm-backup"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_unknown_plan_is_not_found(method: str, path: str, client: PlanClient):
    assert client.send(method, f"{path}/{NOBODY}", {} if method == "PUT" else None).status == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/schedules", a_schedule(rules=[{"guid": NOBODY}])),
        ("/policies/vm-backup", a_policy(NOBODY)),
        ("/rules/vm-backup", {"name": "Default", "policy": {"guid": NOBODY}}),
        ("/rules/vm-backup", {"name": "Default", "policy": guid_of("policy/daily"), "schedules": [NOBODY]}),
        ("/rules/vm-backup", {"name": "Default", "policy": guid_of("policy/daily"), "backupDestinations": [NOBODY]}),
    ],
)
def test_what_names_the_unknown_makes_nothing(path: str, body: dict[str, Any], client: PlanClient):
    before = client.get(path)
    assert client.send("POST", path, body).status == 404
    assert client.get(path) == before


@pytest.mark.parametrize(("when", "count"), [("before", 0), ("after", 1)])
def test_faults_hit_plans_before_or_after_the_work(
    when: str, count: int, simulator: SimulatorServer, client: PlanClient
):
    simulator.control.fault("status", method="POST", path="/schedules", when=when, status=503)
    assert client.send("POST", "/schedules", a_schedule()).status == 503
    assert len(client.get("/schedules", tenantid="aurora")) == count


def test_every_body_of_a_plan_is_in_the_ledger(simulator: SimulatorServer, client: PlanClient):
    schedule, policy, _rule = client.make_plan(WEB)
    client.send("PUT", f"/schedules/{schedule}", a_schedule(name="renamed"))
    client.send("DELETE", f"/policies/vm-backup/{policy}")
    calls = [call for call in simulator.control.ledger() if call["path"] != "/session/login"]
    assert [(call["method"], call["path"]) for call in calls] == [
        ("POST", "/schedules"),
        ("POST", "/policies/vm-backup"),
        ("POST", "/rules/vm-backup"),
        ("PUT", f"/schedules/{schedule}"),
        ("DELETE", f"/policies/vm-backup/{policy}"),
    ]
    assert [(call["body"] or {}).get("name") for call in calls] == [
        *("aurora-nightly", "aurora-daily", "Default", "renamed", None)
    ]


# ── Policies ─────────────────────────────────────────────────────────────────


def test_rows_of_policies_have_less_than_details(client: PlanClient):
    _schedule, policy, rule = client.make_plan(WEB, DB)
    row = client.get("/policies/vm-backup", tenantid="aurora")[0]
    assert (row["autoAssignMode"]["name"], row["vmCount"], row["ruleCount"]) == ("DISABLED", 2, 1)
    assert not {"vms", "autoAssignSettings", "active"} & set(row)
    details = client.get(f"/policies/vm-backup/{policy}")
    assert details["autoAssignSettings"]["mode"]["name"] == "DISABLED" and "autoAssignMode" not in details
    assert {vm["name"] for vm in details["vms"]} == {"web-01", "db_01 übergröße"}
    assert details["vms"][0]["present"] is True and "sshHost" not in details["vms"][0]
    assert details["rules"][0]["guid"] == rule


def test_a_machine_has_one_policy_and_moves_silently(client: PlanClient):
    first = client.make("/policies/vm-backup", a_policy(WEB, DB))["guid"]
    second = client.make("/policies/vm-backup", a_policy(WEB, name="second"))["guid"]
    assert client.policy_of(WEB) == {"guid": second, "name": "second"}
    assert [vm["guid"] for vm in client.get(f"/policies/vm-backup/{first}")["vms"]] == [DB]
    assert [vm["guid"] for vm in client.get(f"/policies/vm-backup/{second}")["vms"]] == [WEB]


def test_a_put_of_a_policy_loses_what_it_does_not_send(client: PlanClient):
    _schedule, policy, rule = client.make_plan(WEB)
    body = {"name": "renamed", "autoAssignSettings": {"mode": "DISABLED"}}
    put = client.send("PUT", f"/policies/vm-backup/{policy}", body).data
    assert (put["vms"], put["priority"], "tenantId" in put) == ([], 50, False)
    assert client.policy_of(WEB) is None
    assert [row["guid"] for row in put["rules"]] == [rule], "classic servers ignore the rules of a policy"


def test_a_policy_that_is_renamed_is_renamed_at_its_machines(client: PlanClient):
    policy = client.make("/policies/vm-backup", a_policy(WEB))["guid"]
    client.send("PUT", f"/policies/vm-backup/{policy}", a_policy(WEB, name="renamed"))
    assert client.policy_of(WEB)["name"] == "renamed"


@pytest.mark.parametrize(
    "members",
    [
        {"name": None},
        {"priority": 101},
        {"priority": "high"},
        {"autoAssignSettings": None},
        {"autoAssignSettings": {"mode": "SOMETIMES"}},
        {"autoRemoveNonPresent": 1},
        {"vms": WEB},
    ],
)
def test_a_bad_policy_is_refused(members: dict[str, Any], client: PlanClient):
    before = client.get("/policies/vm-backup")
    assert client.send("POST", "/policies/vm-backup", a_policy(**members)).status == 400
    assert client.get("/policies/vm-backup") == before


def test_a_policy_takes_its_rules_along_and_leaves_schedules(client: PlanClient):
    schedule, policy, rule = client.make_plan(WEB)
    assert client.send("DELETE", f"/policies/vm-backup/{policy}").status == 204
    assert client.call("GET", f"/api/rules/vm-backup/{rule}").status == 404
    assert client.policy_of(WEB) is None
    assert client.get(f"/schedules/{schedule}")["rules"] == []


def test_vanished_machines_leave_a_policy_that_wants_it(simulator: SimulatorServer, client: PlanClient):
    client.make("/policies/vm-backup", a_policy(WEB, autoRemoveNonPresent=True))
    client.make("/policies/vm-backup", a_policy(DB, name="keeps", autoRemoveNonPresent=False))
    for vm in (WEB, DB):
        simulator.control.change_machine(vm, {"present": False})
    assert client.policy_of(WEB) is None and client.policy_of(DB)["name"] == "keeps"


def test_only_a_machine_with_a_schedule_can_be_up_to_date(client: PlanClient):
    policy = client.make("/policies/vm-backup", a_policy(WEB))["guid"]
    assert "backupUpToDate" not in client.get(f"/virtual-machines/{WEB}"), "a policy without a rule protects nothing"
    schedule = client.make("/schedules", a_schedule())["guid"]
    rule = {"name": "Default", "policy": policy, "schedules": [schedule], "backupDestinations": [PRIMARY]}
    client.make("/rules/vm-backup", rule)
    assert "backupUpToDate" in client.get(f"/virtual-machines/{WEB}")


# ── Rules ────────────────────────────────────────────────────────────────────


def test_both_ends_of_a_rule_agree(client: PlanClient):
    schedule, policy, rule = client.make_plan(WEB)
    assert client.get(f"/rules/vm-backup/{rule}") == {
        "guid": rule,
        "name": "Default",
        "policy": {"guid": policy, "name": "aurora-daily"},
        "schedules": [{"guid": schedule, "name": "aurora-nightly"}],
        "backupDestinations": [{"guid": PRIMARY, "name": "primary-fs"}],
    }
    shown = client.get(f"/schedules/{schedule}")
    assert shown["rules"] == [{"guid": rule, "name": "Default"}]
    assert shown["policies"] == [{"guid": policy, "name": "aurora-daily"}]


@pytest.mark.odd_requests
def test_a_put_of_a_rule_loses_what_it_does_not_send(client: PlanClient):
    _schedule, policy, rule = client.make_plan(WEB)
    put = client.send("PUT", f"/rules/vm-backup/{rule}", {"name": "Default", "policy": policy}).data
    assert (put["schedules"], put["backupDestinations"]) == ([], [])


def test_a_schedule_is_in_one_rule_of_a_policy(client: PlanClient):
    schedule, policy, rule = client.make_plan(WEB)
    body = {"name": "Second", "policy": policy, "backupDestinations": [PRIMARY]}
    assert client.send("POST", "/rules/vm-backup", {**body, "schedules": [schedule]}).status == 400
    second = client.make("/rules/vm-backup", {**body, "schedules": []})["guid"]
    rules = [{"guid": rule}, {"guid": second}]
    assert client.send("PUT", f"/schedules/{schedule}", a_schedule(rules=rules)).status == 400


def test_a_schedule_of_another_kind_fits_no_rule(client: PlanClient):
    schedule = client.make("/schedules", a_schedule(type="SNAPSHOT"))["guid"]
    body = {"name": "Default", "policy": guid_of("policy/daily"), "schedules": [schedule]}
    assert client.send("POST", "/rules/vm-backup", body).status == 400


# ── The current dialect ──────────────────────────────────────────────────────


def a_current_policy(*vms: str, **members: Any) -> dict[str, Any]:
    destination = {
        "roleType": {"name": "PRIMARY"},
        "active": True,
        "daysToKeepRetentionLock": 0,
        "backupDestination": {"guid": PRIMARY},
        "backupRetentionSettings": {"retentionKeepLastNFull": 4},
    }
    rule = {"name": "Default", "active": True, "position": 0, "ruleBackupDestinations": [destination], "schedules": []}
    flags = {"active": True, "backupRetryCount": 1}
    return {**a_policy(*vms), **flags, "rules": [rule], **members}


def test_current_servers_want_the_rules_with_the_policy(current: PlanClient):
    assert current.send("POST", "/policies/vm-backup", a_current_policy(rules=[])).status == 400
    made = current.make("/policies/vm-backup?project-uuid=p1", a_current_policy(WEB))
    assert made["rules"][0]["ruleBackupDestinations"][0]["backupDestination"]["guid"] == PRIMARY
    assert made["rules"][0]["removable"] is True and made["rules"][0]["vmCount"] == 1
    assert [row["guid"] for row in current.get("/policies/vm-backup", **{"project-uuid": "p1"})] == [made["guid"]]
    assert "rules" not in current.get("/policies/vm-backup")[0]
    assert "rules" in current.get("/policies/vm-backup", extended="true")[0]


def test_a_rule_that_a_current_put_leaves_out_is_gone(current: PlanClient):
    made = current.make("/policies/vm-backup", a_current_policy(WEB))
    put = current.send("PUT", f"/policies/vm-backup/{made['guid']}", a_current_policy(WEB)).data
    assert len(put["rules"]) == 1 and put["rules"][0]["guid"] != made["rules"][0]["guid"]
    again = current.send("PUT", f"/policies/vm-backup/{made['guid']}", put).data
    assert again == put


def test_a_rule_with_backups_stays_marked(current: PlanClient):
    made = current.make("/policies/vm-backup", a_current_policy(NEW))
    rule = made["rules"][0]["guid"]
    schedule = current.make("/schedules", a_schedule(rules=[{"guid": rule}]))["guid"]
    run_past(current.simulator, next_run(current.simulator, schedule) + HOUR)
    assert current.get(f"/rules/vm-backup/{rule}")["backupCount"] == 1
    assert current.send("DELETE", f"/rules/vm-backup/{rule}").status == 204
    assert current.get(f"/rules/vm-backup/{rule}")["markedForDeletion"] is True
    assert current.get(f"/schedules/{schedule}")["rules"] == []


@pytest.mark.parametrize("is_on", [True, False])
def test_a_current_policy_can_be_switched_off(is_on: bool, current: PlanClient):
    made = current.make("/policies/vm-backup", a_current_policy(WEB, active=is_on))
    rule = made["rules"][0]["guid"]
    schedule = current.make("/schedules", a_schedule(rules=[{"guid": rule}]))["guid"]
    run_past(current.simulator, next_run(current.simulator, schedule))
    assert len(exports(current.simulator, schedule)) == int(is_on)
    if is_on:
        assert current.get("/tasks", schedule=schedule)[0]["retryCount"] == 1
