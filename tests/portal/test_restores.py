"""Restore as a new machine: choose, look at what will happen, confirm; as the role of web."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone
from django_scopes import scope

from tenants.models import AuditEntry, Grant, Membership, Role, Tenant, User
from tests.conftest import machine_of, operation_on
from vprotect_bridge.models import Backup, Cluster, Hypervisor, Machine, Operation, Question, Storage
from vprotect_bridge.restore_names import suggested_name
from vprotect_bridge.restore_wishes import PLATFORMS

pytestmark = pytest.mark.django_db

FORM = "/t/sunflower/machines/vm-1/restore/"
GIB = 1024**3


@pytest.fixture
def restorer(member: User) -> User:
    Membership.objects.filter(user=member).update(role=Role.RESTORER)
    return member


@pytest.fixture
def point(machine: Machine, restorer: User, tenant: Tenant) -> Backup:
    """An oVirt machine with a backup, and a place where it can be made again."""
    Machine.across_tenants.update(platform="RHV", name="web")
    manager = Hypervisor.objects.create(guid="rhv-1", name="https://rhvm.internal", platform="RHV", is_manager=True)
    Cluster.objects.create(guid="c-1", uuid="c-uuid", name="East", hypervisor=manager)
    Storage.objects.create(
        guid="s-1", uuid="s-uuid", name="Fast", hypervisor=manager, capacity=100 * GIB, used=0, cluster_guids=["c-1"]
    )
    for kind, guid in ((Grant.Kind.HYPERVISOR, "rhv-1"), (Grant.Kind.CLUSTER, "c-1"), (Grant.Kind.STORAGE, "s-1")):
        Grant.across_tenants.create(tenant=tenant, kind=kind, guid=guid)
    return backup(machine, "b-1", timezone.now() - timedelta(days=1))


def backup(machine: Machine, guid: str, at: Any, **fields: Any) -> Backup:
    usual = {"tenant": machine.tenant, "status": "SUCCESS", "type": "FULL", "size": 20 * GIB, "sort_at": at}
    return Backup.across_tenants.create(machine=machine, guid=guid, **{**usual, **fields})


def wish(**changes: str) -> dict[str, str]:
    usual = {"backup": "b-1", "place": "rhv-1/c-1", "storage": "s-1", "name": "web-again", "client_key": str(uuid4())}
    return {**usual, **changes}


def words(answer: Any) -> str:
    return " ".join(BeautifulSoup(answer.content, "html.parser").get_text(" ").split())


def test_the_form_offers_points_and_places_without_addresses(browser: Client, point: Backup):
    page = words(browser.get(FORM))
    assert "Full" in page and "East" in page and "Fast" in page
    assert "internal" not in page


def test_the_calendar_marks_days_with_a_point(browser: Client, point: Backup, machine: Machine):
    middle = timezone.now().replace(day=15, hour=12)
    for days in (0, 1, 40):
        backup(machine, f"b-2{days}", middle - timedelta(days=days))
    soup = BeautifulSoup(browser.get(f"{FORM}?backup=b-20").content, "html.parser")
    assert {"14", "15"} <= {link.get_text() for link in soup.select(".calendar td a")}
    assert soup.select_one(".calendar a[aria-current=date]").get_text() == "15"
    assert soup.select_one(".calendar-head a")["href"] == "?backup=b-240"
    assert soup.select_one("#id_backup option[selected]")["value"] == "b-20"


def test_the_consequence_is_said_before_the_click(browser: Client, point: Backup):
    page = words(browser.post(FORM, wish()))
    assert "A new machine web-again is made from the backup of web of" in page
    assert "in the cluster East, on the storage Fast." in page
    assert "No existing machine and no backup is changed." in page
    assert not Operation.across_tenants.exists(), "nothing happens before the confirmation"


def test_the_confirmed_wish_becomes_an_operation(browser: Client, point: Backup, machine: Machine):
    review = BeautifulSoup(browser.post(FORM, wish()).content, "html.parser")
    form = {field["name"]: field["value"] for field in review.select("form.wish input[name]")}
    answer = browser.post(FORM, {**form, "confirmed": "yes"})
    operation = Operation.across_tenants.get()
    assert answer.status_code == 302 and str(operation.pk) in answer["Location"]
    sent = {name: operation.request[name] for name in ("backup_guid", "cluster_uuid", "storage_uuid", "name")}
    assert sent == {"backup_guid": "b-1", "cluster_uuid": "c-uuid", "storage_uuid": "s-uuid", "name": "web-again"}
    assert timedelta(minutes=58) < operation.deadline_at - timezone.now() <= timedelta(hours=1)
    assert AuditEntry.across_tenants.get().action == "restore_requested"
    page = words(browser.get(answer["Location"]))
    assert "Restore of web" in page and "web-again" in page and "fetching the backup" in page
    assert browser.post(FORM, {**form, "confirmed": "yes"})["Location"] == answer["Location"]
    assert Operation.across_tenants.count() == 1


def test_choosing_differently_keeps_what_was_chosen(browser: Client, point: Backup):
    answer = browser.post(FORM, wish(name="web-other") | {"again": "yes"})
    form = BeautifulSoup(answer.content, "html.parser")
    assert (answer.status_code, form.select_one("#id_name")["value"]) == (200, "web-other")
    assert not Operation.across_tenants.exists()


def test_a_vcenter_asks_for_one_of_the_data_centers_that_the_operator_typed(
    browser: Client, point: Backup, tenant: Tenant, pine: Tenant
):
    for rows in (Machine.across_tenants, Hypervisor.objects):
        rows.update(platform="VCENTER")
    for owner, name in ((tenant, "Kraków-1"), (pine, "Theirs")):
        Grant.across_tenants.create(tenant=owner, kind=Grant.Kind.DATA_CENTER, name=name)
    offered = BeautifulSoup(browser.get(FORM).content, "html.parser").select("#id_data_center option")
    assert [option["value"] for option in offered] == ["Kraków-1"]
    for data_center in ("", "Theirs"):
        refused = browser.post(FORM, wish(data_center=data_center))
        assert refused.status_code == 422 and "Choose one of the data centers that are offered." in words(refused)
    assert "in the data center Kraków-1" in words(browser.post(FORM, wish(data_center="Kraków-1")))
    browser.post(FORM, wish(data_center="Kraków-1") | {"confirmed": "yes"})
    request = Operation.across_tenants.get().request
    assert request["data_center"] == "Kraków-1" and ["data_center", "Kraków-1"] in request["grants"]


def test_other_platforms_are_not_asked_for_a_data_center(browser: Client, point: Backup, tenant: Tenant):
    Grant.across_tenants.create(tenant=tenant, kind=Grant.Kind.DATA_CENTER, name="Kraków-1")
    assert "Data center" not in words(browser.get(FORM))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"backup": "b-9"}, "Choose one of the restore points that are offered."),
        ({"place": "rhv-1"}, "Choose one of the places that are offered."),
        ({"place": "rhv-9/c-1"}, "Choose one of the places that are offered."),
        ({"storage": "s-9"}, "Choose one of the storages that are offered."),
        ({"storage": ""}, "Choose one of the storages that are offered."),
        ({"name": "web"}, "There is a machine of this name."),
        ({"name": "we/b"}, "The platform does not allow this name."),
        ({"client_key": "x"}, ""),
    ],
)
@pytest.mark.parametrize("confirmed", [False, True])
def test_bad_input_is_explained_and_nothing_is_asked_for(
    changes: dict[str, str], sentence: str, confirmed: bool, browser: Client, point: Backup
):
    answer = browser.post(FORM, wish(**changes) | ({"confirmed": "yes"} if confirmed else {}))
    assert answer.status_code == 422 and sentence in words(answer)
    assert not Operation.across_tenants.exists()


def test_foreign_backups_and_places_are_not_there(browser: Client, point: Backup, pine: Tenant, machine: Machine):
    other = machine_of(pine, "vm-9")
    backup(other, "b-9", timezone.now())
    theirs = Hypervisor.objects.create(guid="rhv-9", name="theirs", platform="RHV", is_manager=True)
    Cluster.objects.create(guid="c-9", uuid="c9", name="Theirs", hypervisor=theirs)
    for kind, guid in ((Grant.Kind.HYPERVISOR, "rhv-9"), (Grant.Kind.CLUSTER, "c-9")):
        Grant.across_tenants.create(tenant=pine, kind=kind, guid=guid)
    assert "Theirs" not in words(browser.get(FORM))
    for changes in ({"backup": "b-9"}, {"place": "rhv-9/c-9"}, {"place": "rhv-1/c-9"}):
        assert browser.post(FORM, wish(**changes)).status_code == 422


def test_without_points_or_places_the_page_says_so(browser: Client, point: Backup):
    Grant.across_tenants.filter(kind=Grant.Kind.HYPERVISOR).delete()
    assert "There is no place to restore to" in words(browser.get(FORM))
    Backup.across_tenants.update(status="FAILED")
    assert "There is no restore point" in words(browser.get(FORM))


def test_a_name_outside_ones_limits_is_not_told(browser: Client, point: Backup, tenant: Tenant, restorer: User):
    machine_of(tenant, "vm-2")
    Membership.objects.filter(user=restorer).update(machine_guids=["vm-1"])
    assert browser.post(FORM, wish(name="machine vm-2")).status_code in {200, 422}
    assert "There is a machine of this name." not in words(browser.post(FORM, wish(name="machine vm-2")))
    assert "There is a machine of this name." in words(browser.post(FORM, wish(name="web")))


def test_a_form_sent_for_another_machine_says_so(browser: Client, point: Backup, machine: Machine, tenant: Tenant):
    key = uuid4()
    operation_on(machine_of(tenant, "vm-2"), client_key=key)
    page = browser.post(FORM, wish(client_key=str(key)) | {"confirmed": "yes"})
    assert page.status_code == 422 and "sent before for another machine" in words(page)


def test_only_who_may_restore_reads_the_answer_about_places(browser: Client, point: Backup, restorer: User):
    browser.post(FORM, wish())
    poll = f"/t/sunflower/questions/{Question.across_tenants.get().pk}/?hypervisor=rhv-1"
    assert browser.get(poll).status_code == 204
    Membership.objects.filter(user=restorer).update(role=Role.MEMBER)
    assert browser.get(poll).status_code == 403


def test_a_running_restore_is_shown_instead(browser: Client, point: Backup, machine: Machine):
    running = operation_on(machine, kind=Operation.Kind.RESTORE)
    assert str(running.pk) in browser.get(FORM)["Location"]


# ── Whether it may go there ──────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "sentence", "is_offered"),
    [
        ({"guids": ["rhv-1"]}, "This backup can go there.", True),
        ({"guids": ["other"]}, "cannot be restored there", False),
        (None, "We could not check", True),
    ],
)
def test_the_answer_of_the_check(
    answer: dict[str, list[str]] | None, sentence: str, is_offered: bool, browser: Client, point: Backup
):
    review = BeautifulSoup(browser.post(FORM, wish()).content, "html.parser")
    poll = review.select_one("#restore-check")["hx-get"]
    assert browser.get(poll).status_code == 204
    Question.across_tenants.update(answer=answer, answered_at=timezone.now(), failed=answer is None)
    told = browser.get(poll)
    assert sentence in words(told)
    assert bool(BeautifulSoup(told.content, "html.parser").select("button[name=confirmed]")) == is_offered


# ── Who sees the way there ───────────────────────────────────────────────────


def test_the_machines_page_leads_to_a_restore(browser: Client, point: Backup):
    soup = BeautifulSoup(browser.get("/t/sunflower/machines/vm-1/").content, "html.parser")
    assert soup.select_one(f'.row-action[href="{FORM}?backup=b-1"]')
    Membership.objects.update(role=Role.MEMBER)
    soup = BeautifulSoup(browser.get("/t/sunflower/machines/vm-1/").content, "html.parser")
    assert not soup.select('a[href*="/restore/"]')


def test_a_deleted_machine_can_be_restored_under_its_name(browser: Client, point: Backup):
    Machine.across_tenants.update(present=False)
    browser.post(FORM, wish(name="") | {"confirmed": "yes"})
    assert Operation.across_tenants.get().request["name"] == ""


def test_the_finished_restore_leads_to_the_new_machine(browser: Client, point: Backup, machine: Machine):
    fields = {"kind": "restore", "submission": "accepted", "outcome": "succeeded", "progress": 100}
    operation = operation_on(machine, restored_guid="vm-new", **fields)
    address = f"/t/sunflower/operations/{operation.pk}/"
    assert "appears among your machines within a few minutes" in words(browser.get(address))
    machine_of(machine.tenant, "vm-new")
    assert "To the new machine machine vm-new" in words(browser.get(address))


# ── The name that is suggested ───────────────────────────────────────────────


@pytest.mark.parametrize(
    ("platform", "name", "expected"),
    [
        ("KVM", "web-01", "web-01-restored"),
        ("KVM", "küche-display", "kueche-display-restored"),
        ("KVM", "ku\u0308che", "kueche-restored"),
        ("KVM", "Łódź (старый) 01", "Lodz-01-restored"),
        ("KVM", "備份", "restored"),
        ("KVM", "x" * 64, f"{'x' * 55}-restored"),
        ("PROXMOX", "db_01", "db-01-restored"),
        ("RHV", "küche", "küche-restored"),
        ("KUBERNETES", "Web_01", "web-01-restored"),
        ("VCENTER", "küche display", "küche display-restored"),
    ],
)
def test_a_name_is_suggested_that_the_platform_allows(platform: str, name: str, expected: str, sunflower: Tenant):
    machine = machine_of(sunflower)
    machine.platform, machine.name = platform, name
    rules = PLATFORMS[platform]
    with scope(tenant=sunflower):
        suggested = suggested_name(Membership(tenant=sunflower), machine)
    assert suggested == expected
    assert re.fullmatch(rules.name, suggested) and len(suggested) <= rules.longest_name


def test_a_name_is_suggested_that_is_free_among_those_that_one_sees(sunflower: Tenant):
    machine = machine_of(sunflower)
    for number, name in enumerate(("MACHINE vm-1-restored", "machine-vm-1-restored", "Machine-VM-1-restored-2")):
        machine_of(sunflower, f"vm-{number + 2}")
        Machine.across_tenants.filter(guid=f"vm-{number + 2}").update(name=name)
    with scope(tenant=sunflower):
        assert suggested_name(Membership(tenant=sunflower), machine) == "machine-vm-1-restored-3"
        limited = Membership(tenant=sunflower, machine_guids=["vm-1"])
        assert suggested_name(limited, machine) == "machine-vm-1-restored"


def test_a_restore_that_ended_says_when_and_how_long_it_took(browser: Client, machine: Machine):
    began = timezone.now() - timedelta(hours=1)
    times = {"started_at": began, "finished_at": began + timedelta(minutes=42), "deadline_at": timezone.now()}
    over = operation_on(machine, kind="restore", outcome="succeeded", **times)
    html = browser.get(f"/t/sunflower/operations/{over.pk}/").content.decode()
    assert "<dt>Ended</dt>" in html and "<dt>Took</dt><dd>42 min 00 s</dd>" in html and "Must have started" not in html


def test_a_restore_that_waits_says_by_when_it_must_have_started(browser: Client, machine: Machine):
    waits = operation_on(machine, kind="restore", deadline_at=timezone.now())
    html = browser.get(f"/t/sunflower/operations/{waits.pk}/").content.decode()
    assert "Must have started by" in html and "<dt>Ended</dt>" not in html and "operation-finished from:body" in html
