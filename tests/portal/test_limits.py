"""Limits on pages: what is left beside what is asked for, and all of them in the settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone

from portal.words import failure_reason
from tenants.models import Role, Tenant, User
from tests.conftest import is_under_the_policy, machine_of, operation_on, person
from tests.portal.conftest import STORE
from tests.portal.test_plans import plan
from tests.portal.test_restores import point, restorer
from tests.portal.test_restores import wish as restore_wish
from vprotect_bridge.limits import QUOTA_USED_UP
from vprotect_bridge.models import Backup, BackupDay, Machine, Operation, Plan, PlanChange

__all__ = ["plan", "point", "restorer"]
pytestmark = pytest.mark.django_db

FORM = "/t/sunflower/machines/vm-1/backup/"
RESTORE = "/t/sunflower/machines/vm-1/restore/"


def words(answer: Any) -> str:
    return " ".join(BeautifulSoup(answer.content, "html.parser").main.get_text(" ").split())  # type: ignore[union-attr]


def typed() -> dict[str, str]:
    end = timezone.localtime(timezone.now() + timedelta(hours=6), ZoneInfo("Europe/Warsaw"))
    usual = {"backup_type": "FULL", "destination": STORE, "window_end": f"{end:%Y-%m-%dT%H:%M}", "priority": "50"}
    return {**usual, "window_start": "", "client_key": str(uuid4())}


def test_without_limits_a_form_says_nothing_of_them(browser: Client, machine: Machine):
    assert "Backups on demand today" not in words(browser.get(FORM))


def test_the_form_says_what_is_left(browser: Client, machine: Machine, tenant: Tenant):
    Tenant.objects.update(daily_backup_cap=3)
    operation_on(machine_of(tenant, "vm-2"), outcome="succeeded")
    assert "Backups on demand today: 1 of 3, 2 left." in words(browser.get(FORM))


def test_a_warning_still_lets_it_through(browser: Client, machine: Machine, tenant: Tenant):
    Tenant.objects.update(daily_backup_warning=1)
    operation_on(machine_of(tenant, "vm-2"), outcome="succeeded")
    assert "your provider wants you to know from 1 on. Nothing is refused." in words(browser.get(FORM))
    Tenant.objects.update(daily_backup_cap=3)
    page = words(browser.get(FORM))
    assert "today: 1 of 3, 2 left. That is much: your provider wants you to know from 1 on. At 3 nothing more" in page
    assert browser.post(FORM, typed()).status_code == 302


def test_above_the_limit_the_form_stays_as_it_was_typed(browser: Client, machine: Machine):
    Tenant.objects.update(daily_backup_cap=0)
    answer = browser.post(FORM, {**typed(), "priority": "37"})
    assert answer.status_code == 422 and is_under_the_policy(answer.content.decode())
    assert "Your organisation may ask for 0 backups a day." in words(answer)
    assert BeautifulSoup(answer.content, "html.parser").select_one("#id_priority")["value"] == "37"  # type: ignore[index]
    assert not Operation.across_tenants.exists()


def test_many_machines_are_refused_before_the_look(browser: Client, machine: Machine, tenant: Tenant):
    Tenant.objects.update(daily_backup_cap=1)
    machines = {"machines": ["vm-1", machine_of(tenant, "vm-2").guid]}
    answer = browser.post("/t/sunflower/bulk/backup/", {**typed(), **machines})
    assert answer.status_code == 422 and "Left today: 1, needed: 2." in words(answer)


BULK_PLAN = "/t/sunflower/bulk/plan/"


def put(browser: Client, plan: Plan, *guids: str, **more: str) -> Any:
    typed = {"machines": guids, "plan": str(plan.pk), "client_key": str(uuid4()), **more}
    return browser.post(BULK_PLAN, typed)


def test_before_machines_are_put_into_a_plan_the_look_says_what_it_comes_to(
    tenant: Tenant, plan: Plan, as_web: Callable[[User], Client]
):
    admin = as_web(person(tenant, "administrator", Role.ADMIN))
    guids = [machine_of(tenant, f"vm-{number}").guid for number in range(5, 8)]
    assert "After this change" not in words(put(admin, plan, *guids))
    there = Machine.across_tenants.exclude(policy_guid="").count()
    Tenant.objects.update(planned_machine_warning=there + 2)
    look = words(put(admin, plan, *guids))
    assert f"After this change: Machines in plans: {there + 3}. That is much" in look and "Nothing is refused." in look
    Tenant.objects.update(planned_machine_warning=None, planned_machine_cap=there + 4)
    assert f"Machines in plans: {there + 3} of {there + 4}, 1 left." in words(put(admin, plan, *guids))
    Tenant.objects.update(planned_machine_cap=there + 2)
    refused = put(admin, plan, *guids)
    assert refused.status_code == 422 and "Room for: 2 more, needed: 3." in words(refused)
    assert not PlanChange.across_tenants.exists()


def test_settings_list_every_limit(tenant: Tenant, as_web: Callable[[User], Client]):
    Tenant.objects.update(daily_restore_cap=0, planned_machine_cap=7, stored_gib_warning=0, running_cap=4)
    page = words(as_web(person(tenant, "administrator", Role.ADMIN)).get("/t/sunflower/settings/"))
    for told in ("Restores today 0 of 0 used up", "Machines in plans 0 of 7, 7 left", "4; the others wait in line"):
        assert told in page
    assert "GiB of backups kept 0 a warning from 0 on" in page and "Backups on demand today" not in page


def test_restores_of_a_day_are_refused_by_the_form_as_it_was_typed(browser: Client, point: Backup, tenant: Tenant):
    Tenant.objects.update(daily_restore_cap=1)
    assert "Restores today: 0 of 1, 1 left." in words(browser.get(RESTORE))
    operation_on(machine_of(tenant, "vm-2"), kind="restore", outcome="succeeded")
    for step in ({}, {"confirmed": "yes"}):
        answer = browser.post(RESTORE, restore_wish(name="web-other", **step))
        assert answer.status_code == 422 and "Left today: 0, needed: 1." in words(answer)
        page = BeautifulSoup(answer.content, "html.parser")
        assert page.select_one("#id_name")["value"] == "web-other"  # type: ignore[index]
    assert Operation.across_tenants.count() == 1


def test_what_is_left_of_the_gib_is_told_before_and_at_the_refusal(browser: Client, machine: Machine, tenant: Tenant):
    Tenant.objects.update(stored_gib_cap=10)
    day = BackupDay.across_tenants.create(tenant=tenant, day=timezone.now().date(), restorable_size=7 * 1024**3)
    assert "GiB of backups kept: 7 of 10, 3 left." in words(browser.get(FORM))
    BackupDay.across_tenants.filter(pk=day.pk).update(restorable_size=10 * 1024**3)
    assert "keeps 10 GiB: 0 GiB are left" in words(browser.post(FORM, typed()))


@pytest.mark.parametrize("kind", ["backup", "restore", "mount"])
def test_the_page_of_what_a_quota_failed_says_so_and_offers_no_second_try(
    kind: str, browser: Client, machine: Machine, tenant: Tenant
):
    operation = operation_on(machine, kind=kind, outcome="failed", user_message=QUOTA_USED_UP)
    page = words(browser.get(f"/t/sunflower/operations/{operation.pk}/"))
    assert "A quota that your provider set in the backup system is used up." in page
    assert "ask them" in page and "Try again" not in page


def test_its_reason_is_told_in_the_readers_language(browser: Client, machine: Machine, member: User):
    operation = operation_on(machine, outcome="failed", user_message=QUOTA_USED_UP)
    User.objects.filter(pk=member.pk).update(language="de")
    assert "Ein Kontingent, das Ihr Anbieter" in words(browser.get(f"/t/sunflower/operations/{operation.pk}/"))


def test_a_quota_of_vprotect_is_told_as_such():
    assert "quota that your provider set" in str(failure_reason("HARD quota Daily exceeded: not enough space left"))
