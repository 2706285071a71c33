"""Policies beside their making: by machines, assigned by themselves, who gets reports (API reference, 11 and 18)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.conftest import DB, NEW, WEB, DirectClient
from vprotect_simulator.landscape import PROJECT_UUIDS
from vprotect_simulator.names import guid_of

DAILY = guid_of("policy/daily")
OPERATORS = guid_of("mailing-list/operators")


def policy(direct: DirectClient, **members: Any) -> dict[str, Any]:
    """With the rules of another one, where they come with it."""
    usual = {"name": "new", "priority": 50, "backupRetryCount": 0, "active": True}
    rules = direct.get(f"/policies/vm-backup/{DAILY}")["rules"] if direct.state.dialect == "current" else []
    new_rules = [{**rule, "guid": None, "schedules": []} for rule in rules]
    return {**usual, "autoAssignSettings": {"mode": "DISABLED"}, "rules": new_rules, **members}


def test_policies_are_found_by_their_machines(direct: DirectClient):
    body = {"protectedEntities": [WEB, DB]}
    [row] = direct.post("/policies/vm-backup/list-by-entities", body, status=200)
    assert row["guid"] == DAILY and row["rules"][0]["schedules"]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"includeRegExps": ["db.*"]}, {"db_01 übergröße"}),
        ({"includeRegExps": [".*"], "excludeRegExps": ["db.*"]}, {"lab-01"}),
        ({"hvClusters": [{"guid": guid_of("cluster/RHV")}]}, {"lab-01"}),
        ({"projects": [{"guid": guid_of("project/aurora-books")}]}, {"db_01 übergröße"}),
        ({}, set()),
    ],
)
def test_a_preview_tells_who_would_be_assigned(settings: dict[str, Any], names: set[str], direct: DirectClient):
    body = policy(direct, autoAssignSettings={"mode": {"name": "ASSIGN_ONLY"}, **settings})
    told = direct.post("/policies/vm-backup/auto-assignment-preview", body, status=200)
    assert {row["protectedEntity"]["name"] for row in told} == names
    assert {row["changeType"]["name"] for row in told} <= {"ASSIGN"}
    assert "vmBackupPolicy" not in direct.get(f"/virtual-machines/{DB}"), "a preview changes nothing"


def test_who_does_not_fit_any_more_would_be_taken_out(direct: DirectClient):
    settings = {"mode": {"name": "ASSIGN_AND_REMOVE"}, "includeRegExps": ["web.*"]}
    body = policy(direct, autoAssignSettings=settings)
    told = direct.post(f"/policies/vm-backup/{DAILY}/auto-assignment-preview", body, status=200)
    removed = {row["protectedEntity"]["name"] for row in told if row["changeType"]["name"] == "REMOVE"}
    assert "app-01" in removed and "web-01" not in removed


def test_saving_assigns_on_demand(direct: DirectClient):
    settings = {"mode": {"name": "ASSIGN_ONLY"}, "includeRegExps": ["db.*"]}
    wish = policy(direct, autoAssignSettings=settings, executeAutoAssignmentAfterSavingPolicy=True)
    made = direct.post("/policies/vm-backup", wish)
    assert direct.get(f"/virtual-machines/{DB}")["vmBackupPolicy"]["guid"] == made["guid"]


@pytest.mark.parametrize("pattern", ["(", "(.*)" * 14 + r"\12\11\d\d\d\d"])
def test_a_bad_pattern_is_refused(pattern: str, direct: DirectClient):
    body = policy(direct, autoAssignSettings={"mode": "ASSIGN_ONLY", "includeRegExps": [pattern]})
    assert direct.call("POST", "/policies/vm-backup/auto-assignment-preview", body).status == 400


def test_a_policy_reports_to_a_list(current: DirectClient):
    made = current.post("/policies/vm-backup", policy(current, mailingList={"guid": OPERATORS}, vms=[NEW]))
    assert made["mailingList"]["name"] == "operators"
    current.delete(f"/mailing-lists/{OPERATORS}")
    assert "mailingList" not in current.get(f"/policies/vm-backup/{made['guid']}")


def test_mailing_lists_are_kept(direct: DirectClient):
    made = direct.post("/mailing-lists", {"name": "us", "recipients": ["a@example.test"]})
    assert {row["name"]: row["recipientCount"] for row in direct.get("/mailing-lists")} == {"operators": 2, "us": 1}
    changed = {**made, "recipients": ["a@example.test", "b@example.test"]}
    assert len(direct.put(f"/mailing-lists/{made['guid']}", changed)["recipients"]) == 2
    assert direct.call("POST", "/mailing-lists", {"name": "us", "recipients": []}).status == 409
    assert direct.call("POST", "/mailing-lists", {"name": "x", "recipients": ["nobody"]}).status == 400


def test_a_credential_never_tells_its_password(direct: DirectClient):
    made = direct.post("/credential", {"name": "root", "user": "root", "password": "geheim"})
    assert direct.get(f"/credential/{made['guid']}") == {"guid": made["guid"], "name": "root", "user": "root"}
    direct.delete(f"/credential/{made['guid']}")
    assert direct.get("/credential") == []


def test_what_is_made_for_a_project_may_carry_its_id(current: DirectClient):
    project = PROJECT_UUIDS["aurora-books"]
    current.state.settings.change({"prefixes_names": True})
    made = current.post(f"/policies/vm-backup?project-uuid={project}", policy(current, name="nightly_db"))
    assert made["name"] == f"uuid_{project}_nightly_db"
