"""Figures, reports and what is charged for: each recomputed from what is listed (API reference, 17 and duty 30)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.simulator.conftest import DB, WEB, DirectClient
from vprotect_simulator.figures import text_of_bytes
from vprotect_simulator.landscape import PROJECT_UUIDS
from vprotect_simulator.names import guid_of

DAY_MS = 24 * 3_600_000
GOOD = {"SUCCESS", "PARTIAL_SUCCESS"}
CHARGEBACK: dict[str, Any] = {
    "groupBy": "virtual-machine",
    **{name: [] for name in ("virtualMachineGuids", "projectGuids", "backupDestinationGuids", "backupPolicyGuids")},
    **{name: [] for name in ("hypervisorGuids", "hypervisorClusterGuids", "hypervisorManagerGuids")},
}


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0.00 B"), (1024, "1.00 KB"), (13_314_398_618, "12.40 GB"), (2**50, "1.00 PB")]
)
def test_sizes_are_written_with_a_base_of_1024(size: int, text: str):
    assert text_of_bytes(size) == text


def test_protection_counts_what_is_listed(direct: DirectClient):
    here = [row for row in direct.get("/virtual-machines") if row["present"]]
    told = direct.get("/dashboard/protection")
    assert told["vm"] == {
        "protectedNo": sum(row.get("backupUpToDate") is True for row in here),
        "notProtected": sum(row.get("backupUpToDate") is False for row in here),
        "noSchedule": sum("backupUpToDate" not in row for row in here),
    }
    assert set(told) == {
        *("allEntities", "vm", "app", "storage", "cloud", "cloudUser", "cloudSite", "cloudGroup", "endpoints")
    }


def test_the_last_day_is_counted_and_any_other_span(direct: DirectClient):
    direct.export(WEB)
    now = direct.state.clock.now_ms()
    rows = direct.get("/backups")
    for query, start in (("", now - DAY_MS), (f"?from=0&to={now + 1000}", 0)):
        counted = [row for row in rows if row["backupTime"] >= start]
        told = direct.get(f"/dashboard/backup-stats{query}")
        assert told["queued"] == 1 and told["failed"] == sum(row["status"]["name"] == "FAILED" for row in counted)
        good = [row["size"] for row in counted if row["status"]["name"] in GOOD]
        assert (told["successful"], told["totalData"]) == (len(good), text_of_bytes(sum(good)))


def test_sizes_of_fifteen_days_in_their_order(direct: DirectClient):
    told = direct.get("/dashboard/vm-backup-size-stats")
    days = list(told["backupSizeStatsResponses"])
    assert len(days) == 15 and days == sorted(days)
    rows = [row for row in direct.get("/backups") if row["status"]["name"] in GOOD]
    recent = [row for row in rows if row["backupTime"] > direct.state.clock.now_ms() - 13 * DAY_MS]
    assert sum(told["backupSizeStatsResponses"].values()) == sum(row["size"] for row in recent)
    assert set(told["restoreSizeStatsResponses"].values()) == {0}


def test_space_is_what_nodes_and_destinations_say(direct: DirectClient):
    node, staging = direct.get("/nodes")[0], direct.get("/dashboard/staging-space")[0]
    space = node["stagingSpace"]
    assert staging["availableSpace"] == space["totalSpace"] - space["usedSpace"]
    told, rows = direct.get("/dashboard/backup-destination-stats"), direct.get("/backup-destinations")
    assert told["totalUsedSpace"] == sum(row["totalUsedSpace"] for row in rows)
    assert len(told["backupDestinations"]) == len(rows)


def test_a_report_lists_what_it_counts(direct: DirectClient):
    restored = direct.newest_backup(WEB)
    direct.post("/tasks/restore", {"backup": restored["guid"], "node": guid_of("node/node1")})
    told = direct.get("/dashboard/report?from=0&protectedEntityType=VM")
    assert told["backups"]["total"] == len(told["backups"]["elements"]) == len(direct.get("/backups"))
    element = next(row for row in told["backups"]["elements"] if row["protectedEntityGuid"] == WEB)
    assert (element["protectedEntity"], element["policy"], element["status"]["name"]) == ("web-01", "daily", "SUCCESS")
    [restore] = told["restores"]["elements"]
    assert restore["size"] == restored["size"] and restore["restoreTime"]
    assert direct.call("GET", "/dashboard/report?protectedEntityType=APP").status == 400


def test_figures_of_a_project_are_its_own_on_current_servers(classic: DirectClient, current: DirectClient):
    query = f"from=0&project-uuid={PROJECT_UUIDS['borealis-clinic']}"
    of_project = current.get(f"/dashboard/report?{query}")["backups"]["elements"]
    assert {row["protectedEntity"] for row in of_project} == {"app-01", "app-02"}
    everybodys = {row["protectedEntity"] for row in classic.get(f"/dashboard/report?{query}")["backups"]["elements"]}
    assert {"web-01", "app-01"} <= everybodys


# ── Files and letters ────────────────────────────────────────────────────────


def body(**members: Any) -> dict[str, Any]:
    return {"backupSize": CHARGEBACK, "transferSize": CHARGEBACK, "value": "", **members}


def test_a_report_is_a_pdf_that_readers_can_read(direct: DirectClient):
    reply = direct.call("POST", "/dashboard/report-pdf?from=0&protectedEntityType=VM", body())
    assert reply.headers == {
        "Content-Type": "application/pdf",
        "Content-Disposition": "attachment; filename=report.pdf",
    }
    content = reply.content or b""
    assert content.startswith(b"%PDF-1.4") and content.endswith(b"%%EOF\n")
    table = int(content.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
    places = re.findall(rb"^(\d{10}) 00000 n", content[table:], re.MULTILINE)
    for number, place in enumerate(places, 1):
        assert content[int(place) :].startswith(b"%d 0 obj" % number)


def test_a_report_is_a_page_without_anybodys_markup(direct: DirectClient):
    direct.state.vms[WEB]["name"] = "<script>"
    for backup in direct.state.backups.values():
        if backup["protectedEntity"]["guid"] == WEB:
            backup["protectedEntity"]["name"] = "<script>"
    reply = direct.call("POST", "/dashboard/report-html?from=0", body())
    page = (reply.content or b"").decode()
    assert reply.headers["Content-Disposition"] == "attachment; filename=report.html"
    assert "übergröße" in page and "&lt;script&gt;" in page and "<script>" not in page
    assert "Transfer size" in page


def test_a_report_by_mail_is_kept_to_be_looked_at(direct: DirectClient):
    wanted = body(value="a@example.test, b@example.test")
    assert direct.call("POST", "/dashboard/report-email?from=0", wanted).status == 204
    [letter] = direct.state.letters
    assert letter["to"] == ["a@example.test", "b@example.test"] and "web-01" in letter["html"]
    assert direct.call("POST", "/dashboard/report-email", body(value="nobody")).status == 400


# ── Chargeback ───────────────────────────────────────────────────────────────


def charged(direct: DirectClient, address: str, **wish: Any) -> dict[str, int]:
    rows = direct.post(f"/chargeback-reporting/{address}", {**CHARGEBACK, **wish}, status=200)
    return {row["name"]: row["size"] for row in rows}


def test_what_is_stored_now_is_charged(direct: DirectClient):
    of_web = [row["size"] for row in direct.get(f"/backups?protected-entity={WEB}&status=SUCCESS")]
    assert charged(direct, "backup-size/vm")["web-01"] == sum(of_web)
    assert charged(direct, "backup-size/vm?from=0&to=1") == charged(direct, "backup-size/vm"), "whatever the time"
    for backup in direct.state.backups.values():
        backup["status"] = {"name": "SUCCESS_REMOVED", "description": "Removed"}
    assert charged(direct, "backup-size/vm") == {}


def test_what_was_transferred_in_a_time_is_charged(direct: DirectClient):
    first = direct.get(f"/backups?protected-entity={WEB}&orderBy=backupTime")[0]
    span = {"from": first["backupTime"], "to": first["backupTime"]}
    in_query = charged(direct, f"transfer-size/vm?from={span['from']}&to={span['to']}")
    assert in_query == charged(direct, "transfer-size/vm", **span) == {"web-01": first["size"]}


@pytest.mark.parametrize(
    ("group_by", "names"),
    [
        ("project", {"aurora-books", "borealis-clinic"}),
        ("backup-destination", {"primary-fs"}),
        ("backup-policy", {"daily", "weekly-full"}),
        ("hypervisor-manager", {"https://keystone.example.test:5000/v3"}),
        ("hypervisor-cluster", {"nova", "kvm-01"}),
    ],
)
def test_sizes_are_grouped_and_add_up(group_by: str, names: set[str], direct: DirectClient):
    grouped = charged(direct, "backup-size/vm", groupBy=group_by)
    assert set(grouped) == names
    if group_by in {"backup-destination", "hypervisor-cluster"}:
        assert sum(grouped.values()) == sum(charged(direct, "backup-size/vm").values())


@pytest.mark.odd_requests
def test_without_a_body_everything_is_meant(direct: DirectClient):
    assert direct.call("POST", "/chargeback-reporting/backup-size/vm").data
    assert direct.call("POST", "/dashboard/report-html").status == 200


def test_only_what_is_named_is_charged(direct: DirectClient):
    assert set(charged(direct, "backup-size/vm", virtualMachineGuids=[WEB, DB])) == {"web-01", "db_01 übergröße"}
    project = guid_of("project/borealis-clinic")
    assert set(charged(direct, "backup-size/vm", projectGuids=[project])) == {"app-01", "app-02"}
    assert charged(direct, "backup-size/vm", backupDestinationGuids=[guid_of("destination/offsite-s3")]) == {}
    assert direct.call("POST", "/chargeback-reporting/backup-size/vm", {"groupBy": "colour"}).status == 400
