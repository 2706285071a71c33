"""Lists: paged, sorted, filtered, and never with a member that has no value (API reference, 3.4–3.7)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.conftest import DB, WEB, DirectClient
from vprotect_simulator.api import ROUTES
from vprotect_simulator.names import guid_of

ORDINARY = [route for route in ROUTES if route.method == "GET" and "logout" not in route.path]


def without_a_value(value: Any, where: str = "") -> list[str]:
    if isinstance(value, dict):
        found = [f"{where}.{name}" for name, inner in value.items() if inner is None or name.startswith("_")]
        return found + [place for name, inner in value.items() for place in without_a_value(inner, f"{where}.{name}")]
    return [place for item in value for place in without_a_value(item, where)] if isinstance(value, list) else []


def test_no_answer_has_a_member_without_a_value_or_of_our_own(direct: DirectClient):
    direct.export(WEB)
    backup = direct.newest_backup(WEB)["guid"]
    restore = {"backup": backup, "node": guid_of("node/node1"), "restorePath": "/vprotect_data"}
    direct.post("/tasks/restore", restore)
    direct.post("/credential", {"name": "root of all", "user": "root", "password": "geheim"})
    asked = 0
    for route in ORDINARY:
        if route.dialect not in {"", direct.state.dialect} or route.path == "/session":
            continue
        path = route.path
        if "{guid}" in path:
            rows = direct.get(path.partition("/{guid}")[0])
            path = path.replace("{guid}", rows[0]["guid"]) if rows else ""
        if path and "restore-settings" not in path:
            assert without_a_value(direct.get(path)) == [], route.path
            asked += 1
    assert asked > 40


def test_the_vendors_pages_page_sort_and_filter(direct: DirectClient):
    reply = direct.call("GET", "/virtual-machines?page=0&size=3&orderBy=name&direction=asc")
    everybody = sorted((row["name"] for row in direct.get("/virtual-machines")), key=str.casefold)
    assert [row["name"] for row in reply.data] == everybody[:3]
    assert reply.headers["X-Total-Count"] == "8"
    backwards = direct.get("/virtual-machines?page=0&size=10&orderBy=name&direction=desc")
    assert [row["name"] for row in backwards] == everybody[::-1]
    assert direct.call("GET", "/virtual-machines?page=9&size=10").data == []


@pytest.mark.parametrize("member", ["size", "status", "protectedEntity", "snapshotTime", "taskTimeStats.exportTime"])
def test_any_member_sorts(member: str, direct: DirectClient):
    def value(row: Any) -> Any:
        for part in member.split("."):
            row = row[part]
        return row["name"] if isinstance(row, dict) else row

    rows = direct.get(f"/backups?orderBy={member}&direction=desc")
    assert [value(row) for row in rows] == sorted((value(row) for row in rows), reverse=True)


def test_what_has_no_value_comes_last_in_both_directions(direct: DirectClient):
    for direction in ("asc", "desc"):
        rows = direct.get(f"/virtual-machines?orderBy=lastBackup&direction={direction}")
        assert [("lastBackup" in row) for row in rows] == sorted((("lastBackup" in row) for row in rows), reverse=True)


@pytest.mark.parametrize(
    ("query", "count"),
    [("filter=WEB-0", 1), ("filter=nova", 6), ("filter=daily", 5), (f"filter={DB}", 1), ("nameLike=-01", 6)],
)
def test_a_text_is_looked_for_in_names_and_ids(query: str, count: int, direct: DirectClient):
    assert len(direct.get(f"/virtual-machines?{query}")) == count


def test_repeated_parameters_mean_any_of_them(direct: DirectClient):
    both = direct.get("/backups?status=FAILED&status=SUCCESS")
    assert {row["status"]["name"] for row in both} == {"FAILED", "SUCCESS"}
    assert {row["status"]["name"] for row in direct.get("/backups?status=FAILED")} == {"FAILED"}


@pytest.mark.parametrize("path", ["/backups/", "/hypervisor-managers/", "/virtual-machines/", "/policies/vm-backup/"])
def test_a_slash_at_the_end_is_tolerated(path: str, direct: DirectClient):
    assert direct.get(path) == direct.get(path.rstrip("/"))


def test_unknown_parameters_change_nothing(direct: DirectClient):
    known = direct.get("/policies/vm-backup")
    assert direct.get("/policies/vm-backup?showLoader=true&colour=red") == known


def test_a_known_path_with_another_method_is_refused(direct: DirectClient):
    assert direct.call("POST", "/backups", {}).status == 405
    assert direct.call("GET", "/quotas").status == 404
