"""Activity shows whose work it is: a person's, a schedule's or the provider's."""

from __future__ import annotations

from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.test import Client

from tenants.models import AuditEntry, User
from tests.conftest import operation_on
from vprotect_bridge.models import Machine, Operation

pytestmark = pytest.mark.django_db

ACTIVITY = "/t/sunflower/operations/"


def from_elsewhere(machine: Machine, **fields: Any) -> Operation:
    """As a worker notes it: nobody here asked for it, so it has no marker and no deadline."""
    request = {"task_type": "EXPORT", "backup_type": "INCREMENTAL", "destination_guid": "", "name": "", "priority": 50}
    usual: dict[str, Any] = {
        **{"origin": "schedule", "submission": "accepted", "phase": "exporting", "progress": 20},
        **{"request": request, "marker_ws_ms": None, "marker_we_ms": None, "deadline_at": None, "task_guid": "t-1"},
    }
    return operation_on(machine, **{**usual, **fields})


def words(answer: Any) -> str:
    return " ".join(BeautifulSoup(answer.content, "html.parser").get_text(" ").split())


@pytest.mark.parametrize(("origin", "by"), [("schedule", "by a schedule"), ("elsewhere", "by your provider")])
def test_what_nobody_here_asked_for_is_shown_as_such(origin: str, by: str, browser: Client, machine: Machine):
    operation = from_elsewhere(machine, origin=origin)
    assert by in words(browser.get(ACTIVITY))
    page = words(browser.get(f"{ACTIVITY}{operation.pk}/"))
    assert by in page and "Reading the machine. 20 %" in page
    assert "Asked for by" not in page and "Must have started by" not in page and "None" not in page


def test_files_restored_by_the_provider_are_no_new_machine(browser: Client, machine: Machine):
    files = {"task_type": "RESTORE", "name": ""}
    operation = from_elsewhere(machine, origin="elsewhere", kind="task", phase="working", request=files)
    page = words(browser.get(f"{ACTIVITY}{operation.pk}/"))
    assert f"Restore of files by your provider: {machine.name}" in page and "It is under way." in page
    assert "New machine" not in page and "Cancel" not in page


def test_a_running_scheduled_backup_shows_on_the_machines_page_and_hinders_no_wish(browser: Client, machine: Machine):
    from_elsewhere(machine)
    page = browser.get(f"/t/sunflower/machines/{machine.guid}/")
    assert "Reading the machine." in words(page)
    assert browser.get(f"/t/sunflower/machines/{machine.guid}/backup/").status_code == 200


@pytest.mark.parametrize(("origin", "status"), [("schedule", 302), ("elsewhere", 403)])
def test_a_scheduled_backup_can_be_cancelled_but_not_the_providers_work(
    origin: str, status: int, browser: Client, machine: Machine, member: User
):
    operation = from_elsewhere(machine, origin=origin)
    assert browser.post(f"{ACTIVITY}{operation.pk}/cancel/").status_code == status
    assert AuditEntry.across_tenants.exists() == (status == 302)


def test_one_that_ended_out_of_sight_says_so(browser: Client, machine: Machine):
    operation = from_elsewhere(machine, outcome="unknown", phase="")
    assert "the backup system no longer tells how" in words(browser.get(f"{ACTIVITY}{operation.pk}/"))
