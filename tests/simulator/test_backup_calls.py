"""Backups beside their making: copies, files, notes, retention (API reference, 8 and duty 28)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.conftest import DB, GONE, PRIMARY, WEB, DirectClient
from vprotect_simulator.names import guid_of
from vprotect_simulator.retention import clean_machine

DAY = 24 * 3600


def of(direct: DirectClient, vm: str) -> list[dict[str, Any]]:
    return direct.get(f"/backups?protected-entity={vm}&orderBy=snapshotTime")


def states(rows: list[dict[str, Any]]) -> list[str]:
    return [row["status"]["name"] for row in rows]


def test_every_filter_of_backups_finds_its_own(direct: DirectClient):
    full, *others = of(direct, WEB)
    for query, expected in {
        f"parent-backup={full['guid']}": 1,
        f"root-backup={full['guid']}": 1 + len(others),
        f"backup-destination={PRIMARY}": 1 + len(others),
        f"backup-rule={full['backupRule']['guid']}": 1 + len(others),
        f"min-size={full['size']}": 1,
        f"from={full['snapshotTime']}&to={full['snapshotTime']}": 1,
        "type=FULL": 1,
        "in-progress=true": 0,
        "without-hidden=true": 1 + len(others),
        "only-mountable=false": 1 + len(others),
        "protected-entity-type=APP": 0,
        f"hypervisor-manager={guid_of('manager/RHV')}": 0,
    }.items():
        assert len(direct.get(f"/backups?protected-entity={WEB}&{query}")) == expected, query


def test_details_say_more_than_rows(direct: DirectClient):
    row = direct.newest_backup(WEB)
    details = direct.get(f"/backups/{row['guid']}")
    assert row.items() <= details.items()
    assert details["networkInterfaceCards"][0]["network"]["name"] == "private"
    assert details["mountable"] is True and details["fileFormats"][0]["name"] == "QCOW2"


def test_notes_are_kept(direct: DirectClient):
    guid = direct.newest_backup(WEB)["guid"]
    assert direct.put(f"/backups/{guid}/description", {"value": "before the upgrade"})["description"]
    assert direct.put(f"/backups/{guid}/warnings-acknowledged", {"value": True})["warningsAcknowledged"] is True
    assert "description" not in direct.put(f"/backups/{guid}/description", {"value": ""})
    other = direct.newest_backup(DB)["guid"]
    body = {"protectedEntities": [], "backups": [other], "snapshots": [], "restoreJobs": [], "backupDestinations": []}
    assert direct.call("PUT", "/backups/warnings-acknowledged", body).status == 204
    assert direct.get(f"/backups/{other}")["warningsAcknowledged"] is True


def test_copies_are_listed_by_themselves(direct: DirectClient):
    copies = direct.get(f"/backup-locations?protected-entity={WEB}&location-status=PRESENT")
    assert len(copies) == len(of(direct, WEB)) and all("statusInfo" in copy for copy in copies)
    slim = direct.get(f"/backup-locations/for-restore?protected-entity={WEB}&location-status=PRESENT")
    assert [copy["guid"] for copy in slim] == [copy["guid"] for copy in copies]
    assert direct.get(f"/backup-locations?protected-entity={WEB}&location-status=REMOVED") == []


def test_a_backup_has_a_file_for_each_disk(direct: DirectClient):
    backup = direct.newest_backup(WEB)
    [file] = direct.get(f"/backup-files?backup={backup['guid']}")
    assert (file["size"], file["mountable"]) == (backup["size"], True)
    query = f"backup={backup['guid']}&with-modified-configs=true"
    [detailed] = direct.get(f"/backup-files/detailed/for-restore?{query}")
    storages = {row["uuid"]: row["guid"] for row in direct.get("/hypervisor-storages")}
    assert storages[detailed["storageId"]] == detailed["vmDisk"]["originalStorage"]["guid"]
    assert detailed["backupFileType"]["name"] == {"FULL": "DISK", "INCREMENTAL": "DISK_INC"}[backup["type"]["name"]]
    assert detailed["path"].rpartition("/")[2].startswith("disk-0.")


def test_a_disk_that_was_left_out_has_no_file(direct: DirectClient):
    disk = next(disk for disk in direct.state.disks.values() if disk["_vm"] == WEB)
    made = direct.export(WEB)
    direct.advance(600), direct.get("/tasks")
    disk["excludedFromBackup"] = True
    assert len(direct.get(f"/backup-files?backup={made['backup']['guid']}")) == 1, "it was in this one"
    later = direct.export(WEB)
    direct.advance(600), direct.get("/tasks")
    assert direct.get(f"/backup-files?backup={later['backup']['guid']}") == []


def test_file_systems_are_those_that_are_mounted(direct: DirectClient):
    rows = direct.get(f"/file-systems?backup={direct.newest_backup(WEB)['guid']}")
    assert (rows[0]["volume"], rows[0]["type"]) == ("/dev/sda2", "ext4")


# ── Retention ────────────────────────────────────────────────────────────────


def age(direct: DirectClient, days: int) -> None:
    """As if all there is had been made so much earlier."""
    for backup in direct.state.backups.values():
        backup["snapshotTime"] -= days * DAY * 1000


def test_old_backups_are_removed_at_night(direct: DirectClient):
    direct.state.vms[WEB]["present"] = False
    for rule in direct.state.rules.values():
        for item in rule.get("ruleBackupDestinations", []):
            item["backupRetentionSettings"] = {"retentionKeepFullNewerThan": 0, "retentionKeepIncrementalNewerThan": 0}
    age(direct, 60)
    assert set(states(of(direct, WEB))) == {"SUCCESS"}
    direct.advance(DAY), direct.get("/tasks")
    left = of(direct, WEB)
    if direct.state.dialect == "current":
        assert set(states(left)) == {"SUCCESS_REMOVED"}
        assert {copy["status"]["name"] for row in left for copy in row["backupLocations"]} == {"REMOVED"}
        assert direct.get(f"/virtual-machines/{WEB}")["lastSuccessfulBackupSize"] == 0
    else:
        assert set(states(left)) == {"SUCCESS"}, "the last few are kept, however old"


def many(direct: DirectClient, count: int, backup_type: str = "FULL") -> None:
    for _ in range(count):
        direct.export(WEB, backupType=backup_type)
        direct.advance(600), direct.get("/tasks"), direct.get("/tasks")


def test_the_last_few_are_kept_and_what_they_stand_on(direct: DirectClient):
    age(direct, 60)
    old_full, *old_incrementals = of(direct, WEB)
    many(direct, 3)
    after = {row["guid"]: row["status"]["name"] for row in of(direct, WEB)}
    assert after[old_full["guid"]] == "SUCCESS", "its incrementals are among the last 18"
    for backup in direct.state.backups.values():
        if backup["guid"] in {row["guid"] for row in old_incrementals}:
            backup["type"] = {"name": "FULL", "description": "Full"}
            backup["parentBackup"] = None
    clean_machine(direct.state, WEB, direct.state.clock.now_ms())
    after = {row["guid"]: row["status"]["name"] for row in of(direct, WEB)}
    assert {after[row["guid"]] for row in (old_full, *old_incrementals)} == {"SUCCESS_REMOVED"}
    assert list(after.values()).count("SUCCESS") == 3


def test_a_locked_copy_stays(current: DirectClient):
    rule = current.state.rules[guid_of("rule/daily")]["ruleBackupDestinations"][0]
    rule["daysToKeepRetentionLock"] = 30
    backup = of(current, WEB)[0]
    current.post("/retention/mark-backups", [{"guid": backup["guid"], "retentionHint": "TO_REMOVE"}], status=200)
    current.advance(60)
    assert states(of(current, WEB))[0] == "SUCCESS"


def test_a_policy_may_keep_everything(current: DirectClient):
    current.state.policies[guid_of("policy/daily")]["disableCleanOldBackups"] = True
    age(current, 400)
    many(current, 4)
    assert set(states(of(current, WEB))) == {"SUCCESS"}


def test_marking_one_link_of_a_chain_changes_the_next(direct: DirectClient):
    full, child, *_rest = of(direct, WEB)
    copy = {**full["backupLocations"][0], "guid": full["guid"], "retentionHint": {"name": "TO_REMOVE"}}
    told = direct.post("/retention/mark-backups/preview", [copy], status=200)
    assert [(row["guid"], row["previousType"]["name"], row["type"]["name"]) for row in told] == [
        (full["guid"], "FULL", "FULL"),
        (child["guid"], "INCREMENTAL", "FULL"),
    ]
    assert told[1]["retentionHint"]["name"] == "RECREATE"
    assert states(of(direct, WEB))[0] == "SUCCESS", "a preview changes nothing"
    assert direct.post("/retention/mark-backups", [copy], status=200) == told
    direct.advance(60)
    after = of(direct, WEB)
    assert states(after)[:2] == ["SUCCESS_REMOVED", "SUCCESS"]
    assert after[1]["type"]["name"] == "FULL" and "parentBackup" not in after[1]


@pytest.mark.parametrize("expires", [4_102_444_800_000, "2100-01-01T00:00:00.000Z"])
def test_an_archived_backup_outlives_its_time(expires: object, current: DirectClient):
    settings = current.state.rules[guid_of("rule/daily")]["ruleBackupDestinations"][0]["backupRetentionSettings"]
    settings.update(retentionKeepLastNFull=1, retentionKeepFullNewerThan=0, retentionKeepLastNIncremental=0)
    first = of(current, WEB)[0]
    mark = {"guid": first["guid"], "retentionHint": "ARCHIVE"}
    assert current.call("POST", "/retention/mark-backups", [mark]).status == 400
    [told] = current.post("/retention/mark-backups", [{**mark, "archiveExpire": expires}], status=200)
    assert (told["previousHint"]["name"], told["archiveExpire"]) == ("STANDARD_RETENTION", 4_102_444_800_000)
    many(current, 2)
    assert next(row for row in of(current, WEB) if row["guid"] == first["guid"])["status"]["name"] == "SUCCESS"


@pytest.mark.parametrize("body", [{}, ["guid"], [{"guid": "unknown", "retentionHint": "TO_REMOVE"}]])
def test_nonsense_is_not_marked(body: object, direct: DirectClient):
    assert direct.call("POST", "/retention/mark-backups", body).status in {400, 404}


def test_what_is_gone_from_the_platform_keeps_its_backups(direct: DirectClient):
    direct.advance(2 * DAY), direct.get("/tasks")
    assert "SUCCESS" in states(of(direct, GONE))
