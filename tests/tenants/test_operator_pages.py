"""The operator's own pages, as the operator's database role: claims, drift, hand-over, connection, leaving."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from bs4 import BeautifulSoup
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from PIL import Image

from tenants.models import AuditEntry, Brand, Claim, Grant, Invitation, Membership, Tenant, User
from tests.conftest import AsRole, OperatorClient, WebClient, is_under_the_policy, machine_of, operation_on, person
from vprotect_bridge import limits
from vprotect_bridge.models import (
    Alert,
    Backup,
    Cluster,
    Destination,
    Hypervisor,
    Machine,
    Operation,
    OwnerChange,
    Plan,
    Storage,
    UpstreamSession,
    UpstreamStatus,
)

pytestmark = [pytest.mark.django_db, pytest.mark.urls("portal.operator_urls")]


@pytest.fixture
def operator(db: None) -> Client:
    client = OperatorClient()
    client.force_login(User.objects.create_superuser("operator@provider.example", "a password for tests"))
    return client


def said(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def backup_of(machine: Machine, guid: str, tenant: Tenant | None) -> Backup:
    return Backup.across_tenants.create(
        guid=guid, machine=machine, tenant=tenant, status="SUCCESS", type="FULL", sort_at=timezone.now(), size=7
    )


# ── A new tenant ─────────────────────────────────────────────────────────────


def test_a_tenant_begins_with_an_administrator_who_is_invited(operator: Client, mailoutbox: list[Any]):
    form = tenant_form(Tenant(name="New", slug="new"), **no_rows("grants"))
    assert operator.post("/tenants/tenant/add/", form).status_code == 302
    tenant = Tenant.objects.get(slug="new")
    assert "no administrator yet" in said(operator.get(f"/tenants/tenant/{tenant.pk}/change/"))
    invite = f"/tenants/tenant/{tenant.pk}/invite/"
    assert operator.post(invite, {"email": "First@New.example", "role": "admin"}).status_code == 302
    (sent,) = mailoutbox
    assert sent.to == ["first@new.example"] and "Your backup provider invites you" in sent.body
    entry = AuditEntry.across_tenants.get(tenant=tenant, action="member_invited")
    assert (entry.role, entry.detail["invited_as"]) == ("operator", "admin")
    (link,) = re.findall(r"http://testserver(/invitation/\S+)", sent.body)
    with override_settings(ROOT_URLCONF="portal.urls"):
        browser = WebClient()
        browser.get(link)
        password = "a password for tests"
        answer = browser.post("/invitation/", {"name": "First", "password": password, "again": password})
    assert answer.url == "/t/new/"
    assert Membership.objects.get(tenant=tenant).role == "admin"
    assert "no administrator yet" not in said(operator.get(f"/tenants/tenant/{tenant.pk}/change/"))


def test_an_operator_takes_an_invitation_back(sunflower: Tenant, pine: Tenant, operator: Client):
    for tenant in (sunflower, pine):
        operator.post(f"/tenants/tenant/{tenant.pk}/invite/", {"email": "new@x.example", "role": "viewer"})
    wanted, other = (Invitation.across_tenants.get(tenant=tenant) for tenant in (sunflower, pine))
    for chosen in ("", "x", other.pk, wanted.pk):
        operator.post(f"/tenants/tenant/{sunflower.pk}/invite/", {"take_back": chosen})
    wanted.refresh_from_db(), other.refresh_from_db()
    assert not wanted.is_open and other.is_open


@pytest.mark.parametrize(("email", "role"), [("owner@sunflower.example", "admin"), ("x", "admin"), ("x@y.example", "")])
def test_who_cannot_be_invited_is_said_at_the_form(
    email: str, role: str, owner: User, sunflower: Tenant, operator: Client, mailoutbox: list[Any]
):
    answer = operator.post(f"/tenants/tenant/{sunflower.pk}/invite/", {"email": email, "role": role})
    assert answer.status_code == 200 and "errorlist" in said(answer) and not mailoutbox


def test_nobody_is_invited_to_a_tenant_that_leaves(leaving: Tenant, operator: Client):
    assert operator.get(f"/tenants/tenant/{leaving.pk}/invite/").status_code == 404


# ── Claims ───────────────────────────────────────────────────────────────────


def paste(operator: Client, tenant: Tenant, values: str, **more: str) -> Any:
    form = {"tenant": tenant.pk, "kind": "machine", "values": values, **more}
    return operator.post("/tenants/claim/paste/", form)


@pytest.fixture
def pasted(sunflower: Tenant, pine: Tenant) -> str:
    """One of each standing, with odd separators and one of them twice."""
    for value, tenant in (("own", sunflower), ("others", pine)):
        Claim.across_tenants.create(tenant=tenant, kind=Claim.Kind.MACHINE, value=value)
    machine_of(None, "free")
    taken = machine_of(pine, "taken")
    Machine.across_tenants.filter(pk=taken.pk).update(owned_by="project", owner_value="p")
    return "free, own;others\r\n  taken\tunknown free a/b"


def test_pasted_claims_are_looked_at_before_anything_is_claimed(pasted: str, sunflower: Tenant, operator: Client):
    page = said(paste(operator, sunflower, pasted))
    for sentence in (
        "1 will be claimed",
        "take it back there first. (Pine)",
        "(Pine)",
        "Not a GUID",
        "no such machine",
    ):
        assert sentence in page, sentence
    assert page.count("<code>free</code>") == 1
    assert Claim.across_tenants.filter(tenant=sunflower).count() == 1


@pytest.mark.parametrize(
    ("ticked", "claimed"),
    [
        ({}, {"free"}),
        ({"also_unknown": "on"}, {"free", "unknown"}),
        ({"also_taken": "on"}, {"free", "taken"}),
    ],
)
def test_only_what_is_free_or_ticked_is_claimed(
    ticked: dict[str, str], claimed: set[str], pasted: str, sunflower: Tenant, pine: Tenant, operator: Client
):
    answer = paste(operator, sunflower, pasted, claim="yes", **ticked)
    assert answer.status_code == 302
    own = set(Claim.across_tenants.filter(tenant=sunflower).values_list("value", flat=True))
    assert own == claimed | {"own"}
    assert Claim.across_tenants.get(value="others").tenant == pine
    audited = AuditEntry.across_tenants.filter(tenant=sunflower, action="claim_machine")
    assert audited.count() == len(claimed)
    assert AuditEntry.across_tenants.filter(tenant=pine, action="machine_taken").exists() == ("taken" in claimed)


def test_a_claim_acts_at_once_and_so_does_taking_it_back(sunflower: Tenant, operator: Client):
    machine_of(None, "vm-1")
    operator.post("/tenants/claim/add/", {"tenant": sunflower.pk, "kind": "machine", "value": "vm-1"})
    claimed = Machine.across_tenants.get()
    assert (claimed.tenant, claimed.owned_by, claimed.owner_value) == (sunflower, "claim", "vm-1")
    operator.post(f"/tenants/claim/{Claim.across_tenants.get().pk}/delete/", {"post": "yes"})
    assert Machine.across_tenants.get().tenant is None
    actions = AuditEntry.across_tenants.filter(tenant=sunflower).order_by("at").values_list("action", flat=True)
    assert list(actions) == ["claim_added", "claim_removed"]


def test_a_project_that_is_taken_back_takes_its_machines_and_no_others(sunflower: Tenant, operator: Client):
    claim = Claim.across_tenants.create(tenant=sunflower, kind=Claim.Kind.TENANT_VALUE, value="project")
    for guid, owned_by, value in (("a", "project", "project"), ("b", "claim", "b"), ("c", "listing", "other")):
        machine_of(sunflower, guid)
        Machine.across_tenants.filter(guid=guid).update(owned_by=owned_by, owner_value=value)
    operator.post(f"/tenants/claim/{claim.pk}/delete/", {"post": "yes"})
    assert list(Machine.across_tenants.filter(tenant=None).values_list("guid", flat=True)) == ["a"]


# ── Drift ────────────────────────────────────────────────────────────────────


def test_drift_says_when_everything_fits(operator: Client):
    assert "fit together" in said(operator.get("/vprotect_bridge/machine/drift/"))


def test_drift_shows_what_came_apart(sunflower: Tenant, pine: Tenant, operator: Client):
    machine_of(None, "vm-nobodys")
    moved = machine_of(pine, "vm-moved")
    OwnerChange.objects.create(machine=moved, was=sunflower, now=pine, was_project="one", now_project="two")
    Claim.across_tenants.create(tenant=pine, kind=Claim.Kind.TENANT_VALUE, value="mistyped")
    machine = machine_of(sunflower, "vm-source")
    restore = operation_on(machine, kind="restore", submission="accepted", outcome="succeeded")
    Operation.across_tenants.filter(pk=restore.pk).update(request={"name": "machine vm-nobodys"})
    page = said(operator.get("/vprotect_bridge/machine/drift/"))
    for found in ("1 machine that nobody owns", "Sunflower · one", "Pine · two", "mistyped", "vm-nobodys</code>"):
        assert found in page, found
    front = said(operator.get("/"))
    for found in ("1 machine that nobody owns", "1 machine that moved", "1 restored machine", "1 claim of nothing"):
        assert found in front, found


def test_a_change_of_owner_is_settled_once(sunflower: Tenant, pine: Tenant, operator: Client):
    change = OwnerChange.objects.create(machine=machine_of(pine), was=sunflower, now=pine)
    for _ in range(2):
        operator.post("/vprotect_bridge/machine/drift/", {"settle": change.pk})
    assert "fit together" in said(operator.get("/vprotect_bridge/machine/drift/"))
    assert AuditEntry.across_tenants.filter(action="owner_change_settled").count() == 1


@pytest.mark.parametrize(("guid", "is_taken"), [("vm-new", True), ("vm-theirs", False), ("", False), ("vm", False)])
def test_a_restored_machine_is_given_by_its_guid(
    guid: str, is_taken: bool, sunflower: Tenant, pine: Tenant, operator: Client
):
    machine_of(None, "vm-new")
    machine_of(pine, "vm-theirs")
    restore = operation_on(machine_of(sunflower), kind="restore", submission="accepted", outcome="succeeded")
    chosen = {"action": "name_restored", "_selected_action": [restore.pk], "task": guid}
    operator.post("/vprotect_bridge/operation/", chosen)
    assert Claim.across_tenants.filter(tenant=sunflower, value="vm-new").exists() == is_taken
    assert Machine.across_tenants.get(guid="vm-theirs").tenant == pine


DRIFT = "/vprotect_bridge/machine/drift/"


def test_machines_are_claimed_where_they_are_listed(sunflower: Tenant, pine: Tenant, operator: Client):
    one, two, theirs = machine_of(None, "vm-1"), machine_of(None, "vm-2"), machine_of(pine, "vm-9")
    ticked = {"claim": "", "tenant": sunflower.pk, "machine": [one.pk, theirs.pk, "x", "1e9"]}
    assert "1 machine claimed." in said(operator.post(DRIFT, ticked, follow=True))
    owners = dict(Machine.across_tenants.values_list("guid", "tenant__slug"))
    assert owners == {"vm-1": "sunflower", "vm-2": None, "vm-9": "pine"}
    assert AuditEntry.across_tenants.get().machine_guid == "vm-1"
    for tenant in ("", "x", "0", "9" * 30):
        nothing = {"claim": "", "tenant": tenant, "machine": [two.pk]}
        assert "Choose a tenant first." in said(operator.post(DRIFT, nothing, follow=True)), tenant


@pytest.mark.parametrize(("named", "is_taken"), [("{} vm-new", True), ("{} vm-theirs", False), ("x vm-new", False)])
def test_a_restored_machine_is_given_where_it_is_listed(
    named: str, is_taken: bool, sunflower: Tenant, pine: Tenant, operator: Client
):
    machine_of(None, "vm-new")
    machine_of(pine, "vm-theirs")
    restore = operation_on(machine_of(sunflower), kind="restore", submission="accepted", outcome="succeeded")
    restore.request |= {"name": "machine vm-new"}
    restore.save()
    assert f'value="{restore.pk} vm-new"' in said(operator.get(DRIFT))
    operator.post(DRIFT, {"became": named.format(restore.pk)})
    assert Claim.across_tenants.filter(tenant=sunflower, value="vm-new").exists() == is_taken
    assert ("fit together" in said(operator.get(DRIFT))) == is_taken


def test_a_restored_machine_that_is_theirs_by_its_project_waits_no_longer(sunflower: Tenant, operator: Client):
    restore = operation_on(machine_of(sunflower), kind="restore", submission="accepted", outcome="succeeded")
    restore.request |= {"name": "machine vm-new"}
    restore.save()
    machine_of(sunflower, "vm-new")
    assert "It is this one" in said(operator.get(DRIFT))
    operator.post(DRIFT, {"became": f"{restore.pk} vm-new"})
    assert Operation.across_tenants.get().restored_guid == "vm-new" and not Claim.across_tenants.exists()


def test_who_only_looks_puts_nothing_right(sunflower: Tenant, operator: Client):
    machine = machine_of(None, "vm-1")
    looker = User.objects.create_user("looker@provider.example", "a password for tests", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename="view_machine"))
    operator.force_login(looker)
    page = said(operator.get(DRIFT))
    assert "1 machine that nobody owns" in page and "checkbox" not in page and 'name="claim"' not in page
    operator.post(DRIFT, {"claim": "", "tenant": sunflower.pk, "machine": [machine.pk]})
    assert not Claim.across_tenants.exists()


# ── History ──────────────────────────────────────────────────────────────────


@pytest.fixture
def moved(sunflower: Tenant, pine: Tenant) -> Machine:
    """It is Pine's now, and was Sunflower's."""
    machine = machine_of(pine)
    for guid, tenant in (("b-1", sunflower), ("b-2", sunflower), ("b-3", pine), ("b-4", None)):
        backup_of(machine, guid, tenant)
    return machine


def owners_of_history() -> dict[str, str | None]:
    return dict(Backup.across_tenants.values_list("guid", "tenant__slug"))


def test_history_is_handed_over_explicitly(moved: Machine, sunflower: Tenant, pine: Tenant, operator: Client):
    address = f"/vprotect_bridge/machine/{moved.pk}/hand-over/"
    assert "Sunflower (2)" in said(operator.get(address))
    form = {"was": sunflower.pk, "now": pine.pk}
    assert "This field is required" in said(operator.post(address, form)), "it is not enough to click"
    assert operator.post(address, {**form, "understood": "on"}).status_code == 302
    assert owners_of_history() == {"b-1": "pine", "b-2": "pine", "b-3": "pine", "b-4": None}
    for tenant, action in ((sunflower, "history_handed_over"), (pine, "history_received")):
        entry = AuditEntry.across_tenants.get(tenant=tenant, action=action)
        assert entry.detail["backups"] == 2
        assert not {"Sunflower", "Pine"} & set(str(entry.detail).split("'")), "the other side is not named"


def test_what_was_nobodys_goes_alone(moved: Machine, sunflower: Tenant, operator: Client):
    form = {"was": "0", "now": sunflower.pk, "understood": "on"}
    operator.post(f"/vprotect_bridge/machine/{moved.pk}/hand-over/", form)
    assert owners_of_history() == {"b-1": "sunflower", "b-2": "sunflower", "b-3": "pine", "b-4": "sunflower"}


def test_an_owner_who_has_none_of_it_cannot_hand_it_over(moved: Machine, pine: Tenant, operator: Client):
    other = Tenant.objects.create(name="Other", slug="other")
    form = {"was": other.pk, "now": pine.pk, "understood": "on"}
    assert "Select a valid choice" in said(operator.post(f"/vprotect_bridge/machine/{moved.pk}/hand-over/", form))


# ── Connection ───────────────────────────────────────────────────────────────


def test_the_connection_is_told_without_the_session(operator: Client, sunflower: Tenant):
    now = timezone.now()
    paused = now + timedelta(minutes=30)
    UpstreamSession.objects.update_or_create(
        pk=1, defaults={"cookies": {"JSESSIONID": "canary"}, "refused_logins": 5, "login_paused_until": paused}
    )
    UpstreamStatus.objects.filter(pk=1).update(unreachable_since=now, problem="refused_login")
    operation_on(machine_of(sunflower))
    page = said(operator.get("/vprotect_bridge/upstreamstatus/"))
    for found in ("refuses the login", "no login before", "Operations to be sent</td><td>1</td>"):
        assert found in page, found
    assert "canary" not in page
    operator.post("/vprotect_bridge/upstreamstatus/", {"decide": "login"})
    assert UpstreamSession.objects.get(pk=1).login_paused_until is None
    assert AuditEntry.across_tenants.filter(action="login_unpaused").exists()


@pytest.mark.parametrize("column", ["cookies", "generation"])
def test_the_operators_role_cannot_read_the_session(column: str, as_role: AsRole):
    with pytest.raises(DatabaseError, match="permission denied"), as_role("portal_operator"):
        UpstreamSession.objects.values(column).first()


# ── A tenant leaves ──────────────────────────────────────────────────────────


@pytest.fixture
def leaving(sunflower: Tenant, owner: User, pine: Tenant, stranger: User) -> Tenant:
    """Suspended, its retention over, with a machine, history, activity, people, one of them also in Pine."""
    machine = machine_of(sunflower)
    Claim.across_tenants.create(tenant=sunflower, kind=Claim.Kind.MACHINE, value="vm-1")
    backup_of(machine, "b-1", sunflower)
    operation_on(machine, submission="accepted", outcome="succeeded", user_message="=1+1")
    Plan.across_tenants.create(tenant=sunflower, name="Nightly", is_made_here=True, standing="acting")
    Grant.across_tenants.create(tenant=sunflower, kind=Grant.Kind.DESTINATION, guid="store-1")
    Membership.objects.create(user=stranger, tenant=sunflower, role="viewer")
    Tenant.objects.filter(pk=sunflower.pk).update(is_active=False, leaves_at=timezone.now())
    return sunflower


def step(operator: Client, tenant: Tenant, name: str, **more: str) -> str:
    return said(operator.post(f"/tenants/tenant/{tenant.pk}/leave/", {"step": name, **more}, follow=True))


def test_a_tenant_is_suspended_and_may_stay_after_all(sunflower: Tenant, operator: Client):
    page = step(operator, sunflower, "suspend")
    sunflower.refresh_from_db()
    assert not sunflower.is_active and "Possible from" in page
    step(operator, sunflower, "stay")
    sunflower.refresh_from_db()
    assert sunflower.is_active and sunflower.leaves_at is None


def test_plans_that_go_on_by_themselves_are_named(leaving: Tenant, operator: Client):
    assert "vProtect goes on with 1 plan by itself" in said(operator.get(f"/tenants/tenant/{leaving.pk}/leave/"))


def test_its_export_has_everything_and_no_formulas(leaving: Tenant, operator: Client):
    answer = operator.post(f"/tenants/tenant/{leaving.pk}/export/")
    assert answer["Content-Disposition"] == 'attachment; filename="sunflower.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as zipped:
        tables = {name: zipped.read(name).decode() for name in zipped.namelist()}
    rows = {name: list(csv.reader(io.StringIO(text))) for name, text in tables.items() if name.endswith(".csv")}
    filled = {name: len(lines) - 1 for name, lines in rows.items()}
    assert filled["restore-points.csv"] == filled["machines.csv"] == filled["activity.csv"] == 1
    assert filled["members.csv"] == 2 and "'=1+1" in rows["activity.csv"][1]
    assert AuditEntry.across_tenants.filter(tenant=leaving, action="tenant_exported").exists()


def test_it_is_removed_after_its_retention(leaving: Tenant, operator: Client, pine: Tenant, as_role: AsRole):
    assert "Type the tenant" in step(operator, leaving, "remove", slug="pine")
    assert Membership.objects.filter(tenant=leaving).exists()
    assert "Sunflower is removed" in step(operator, leaving, "remove", slug="sunflower")
    for model in (Membership, Invitation, Grant, Claim, Operation, Plan):
        assert not model._default_manager.filter(tenant=leaving).exists(), model
    assert Machine.across_tenants.get(guid="vm-1").tenant is None
    people = dict(User.objects.filter(is_staff=False).values_list("email", "is_active"))
    assert people["stranger@pine.example"] and len(people) == 2
    assert not any(name.startswith("owner@") for name in people) and False in people.values()
    assert not Tenant.objects.filter(slug="sunflower").exists(), "its address is free"
    assert AuditEntry.across_tenants.filter(tenant=leaving, action="tenant_removed").exists()


def test_its_machines_next_owner_inherits_nothing(leaving: Tenant, operator: Client, pine: Tenant):
    step(operator, leaving, "remove", slug="sunflower")
    Claim.across_tenants.create(tenant=pine, kind=Claim.Kind.MACHINE, value="vm-1")
    assert Machine.across_tenants.get(guid="vm-1").tenant == pine
    assert Backup.across_tenants.get(guid="b-1").tenant_id == leaving.pk


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"is_active": True}, "has not come yet"),
        ({"leaves_at": None}, "has not come yet"),
        ({"leaves_at": "2999-01-01T00:00Z"}, "has not come yet"),
    ],
)
def test_it_is_not_removed_before_its_time(changes: dict[str, Any], problem: str, leaving: Tenant, operator: Client):
    Tenant.objects.filter(pk=leaving.pk).update(**changes)
    assert problem in step(operator, leaving, "remove", slug="sunflower")
    assert Claim.across_tenants.filter(tenant=leaving).exists()


def test_it_is_not_removed_while_something_runs(leaving: Tenant, operator: Client):
    operation_on(Machine.across_tenants.get(), submission="uncertain")
    assert "1 operations are not finished" in step(operator, leaving, "remove", slug="sunflower")


# ── People and what is audited ───────────────────────────────────────────────


def no_rows(prefix: str) -> dict[str, int]:
    return {f"{prefix}-{name}": 0 for name in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS", "MAX_NUM_FORMS")}


def tenant_form(tenant: Tenant, **changes: Any) -> dict[str, Any]:
    names = ("name", "slug", "time_zone", "priority_cap", "mount_cap", "download_cap_gib")
    kept = {name: getattr(tenant, name) for name in names}
    return {**kept, "is_active": "on", **no_rows("memberships"), **no_rows("brand"), **changes}


def person_form(user: User, **changes: str) -> dict[str, Any]:
    joined = timezone.localtime(user.date_joined)
    return {"email": user.email, "name": user.name, **no_rows("memberships"), "date_joined": joined, **changes}


def test_the_only_administrator_is_not_switched_off(owner: User, operator: Client):
    address = f"/tenants/user/{owner.pk}/change/"
    assert "The only administrator of Sunflower" in said(operator.post(address, person_form(owner)))
    person(Tenant.objects.get(slug="sunflower"), "other", "admin")
    assert operator.post(address, person_form(owner)).status_code == 302
    assert not User.objects.get(pk=owner.pk).is_active


def test_nobody_is_deleted(owner: User, operator: Client):
    assert operator.post(f"/tenants/user/{owner.pk}/delete/", {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [owner.pk], "post": "yes"}
    operator.post("/tenants/user/", chosen)
    assert User.objects.filter(pk=owner.pk).exists()


def test_what_an_operator_changes_is_audited_with_its_values(sunflower: Tenant, operator: Client):
    Destination.objects.create(guid="s-1", name="Store")
    grants = {"grants-TOTAL_FORMS": 1, "grants-INITIAL_FORMS": 0, "grants-0-what": "destination s-1"}
    form = tenant_form(sunflower, priority_cap="80", running_cap="3", **grants)
    answer = operator.post(f"/tenants/tenant/{sunflower.pk}/change/", form)
    assert answer.status_code == 302, said(answer)
    entry = AuditEntry.across_tenants.get(action="tenant_changed")
    assert entry.tenant == sunflower and entry.role == "operator"
    assert entry.detail["changed"]["priority_cap"] == "80" and entry.detail["changed"]["running_cap"] == "3"
    assert entry.detail["changed"]["grants-0"]["what"] == "destination s-1"


def granting(operator: Client, tenant: Tenant, *rows: dict[str, Any]) -> Any:
    """Saves the tenant with these rows of grants; `id` is of one that is there."""
    grants = {f"grants-{number}-{name}": value for number, row in enumerate(rows) for name, value in row.items()}
    counts = {"grants-TOTAL_FORMS": len(rows), "grants-INITIAL_FORMS": sum("id" in row for row in rows)}
    grants |= {f"grants-{number}-tenant": tenant.pk for number in range(len(rows))}
    return operator.post(f"/tenants/tenant/{tenant.pk}/change/", tenant_form(tenant, **counts, **grants))


def grants_of(tenant: Tenant) -> set[tuple[str, str]]:
    return {(grant.kind, grant.guid or grant.name) for grant in Grant.across_tenants.filter(tenant=tenant)}


def test_what_a_tenant_may_use_is_chosen_by_its_name(sunflower: Tenant, operator: Client):
    host = Hypervisor.objects.create(guid="h-1", name="Main", platform="RHV", is_manager=True)
    Destination.objects.create(guid="s-1", name="Store")
    Cluster.objects.create(guid="c-1", uuid="c", name="Blue", hypervisor=host)
    Storage.objects.create(guid="d-1", uuid="d", name="Fast", hypervisor=host)
    gone = Grant.across_tenants.create(tenant=sunflower, kind="destination", guid="s-gone")
    page = said(operator.get(f"/tenants/tenant/{sunflower.pk}/change/"))
    for name in ("Store", "Main · RHV", "Blue · Main", "Fast · Main", "s-gone, gone from vProtect"):
        assert f">{name}</option>" in page, name
    new = ["destination s-1", "hypervisor h-1", "cluster c-1", "storage d-1"]
    rows = [{"id": gone.pk, "what": "destination s-gone"}, *({"what": what} for what in new)]
    answer = granting(operator, sunflower, *rows, {"what": "data_center ", "name": "Paris"})
    assert answer.status_code == 302, said(answer)
    wanted = {tuple(what.split()) for what in (*new, "destination s-gone", "data_center Paris")}
    assert grants_of(sunflower) == wanted


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([{"what": "destination s-1"}] * 2, "Granted twice"),
        ([{"what": "destination s-unknown"}], "Select a valid choice"),
        ([{"what": "destination s-1", "name": "Paris"}], "Only a data center has a name here"),
        ([{"what": "data_center "}], "Type the data center"),
    ],
)
def test_what_cannot_be_granted_is_said_in_its_row(
    rows: list[dict[str, Any]], problem: str, sunflower: Tenant, operator: Client
):
    Destination.objects.create(guid="s-1", name="Store")
    assert problem in said(granting(operator, sunflower, *rows)) and not grants_of(sunflower)


def test_what_a_person_signs_in_with_is_one_click_away(owner: User, operator: Client):
    page = operator.get(f"/tenants/user/{owner.pk}/change/").content.decode()
    links = re.findall(rf'href="(/[^"]+\?\w+__id__exact={owner.pk})"', page)
    assert len(links) == 6 and all(operator.get(link).status_code == 200 for link in links)


def test_a_lost_second_factor_is_taken_away_and_its_secret_not_shown(owner: User, operator: Client):
    lost = Authenticator.objects.create(user=owner, type="totp", data={"secret": "canary"})
    address = f"/mfa/authenticator/{lost.pk}"
    assert "canary" not in said(operator.get(f"{address}/change/"))
    assert operator.post(f"{address}/change/", {"data": "{}"}).status_code == 403
    operator.post(f"{address}/delete/", {"post": "yes"})
    assert not Authenticator.objects.exists()
    assert AuditEntry.across_tenants.get(action="authenticator_removed").actor_name == "operator@provider.example"


def test_a_session_that_an_operator_ends_is_over(owner: User, operator: Client, settings: Any):
    settings.ROOT_URLCONF = "portal.urls"
    browser = WebClient()
    browser.post("/accounts/login/", {"login": owner.email, "password": "a password for tests"})
    assert browser.get("/t/sunflower/machines/").status_code == 200
    settings.ROOT_URLCONF = "portal.operator_urls"
    operator.post(f"/usersessions/usersession/{UserSession.objects.get(user=owner).pk}/delete/", {"post": "yes"})
    settings.ROOT_URLCONF = "portal.urls"
    assert browser.get("/t/sunflower/machines/").status_code == 302


def test_an_address_is_confirmed_and_never_changed(owner: User, operator: Client):
    EmailAddress.objects.update(verified=False)
    own = EmailAddress.objects.get(user=owner)
    operator.post(f"/account/emailaddress/{own.pk}/change/", {"verified": "on", "email": "thief@x.example"})
    own.refresh_from_db()
    assert own.verified and own.email == owner.email
    assert AuditEntry.across_tenants.filter(action="email_address_changed").exists()


def test_the_audit_is_a_file_as_it_is_filtered(sunflower: Tenant, pine: Tenant, operator: Client):
    for tenant, action in ((sunflower, "plan_create"), (pine, "plan_create"), (sunflower, "backup_requested")):
        AuditEntry.across_tenants.create(tenant=tenant, actor_name="=1+1", action=action, outcome="accepted")
    wanted = f"?action=plan_create&tenant__id__exact={sunflower.pk}"
    page = said(operator.get(f"/tenants/auditentry/{wanted}"))
    assert f"/tenants/auditentry/file.csv{wanted}".replace("&", "&amp;") in page
    answer = operator.get(f"/tenants/auditentry/file.csv{wanted}")
    (row,) = csv.DictReader(io.StringIO(answer.content.decode()))
    assert (row["tenant"], row["who"], row["action"]) == ("Sunflower", "'=1+1", "plan_create")
    assert len(operator.get("/tenants/auditentry/file.csv").content.splitlines()) == 4
    assert operator.get("/tenants/auditentry/file.csv?nonsense=1").url == "/tenants/auditentry/"


def test_a_password_is_not_audited(owner: User, operator: Client):
    form = {"password1": "the new canary password", "password2": "the new canary password", "usable_password": "true"}
    operator.post(f"/tenants/user/{owner.pk}/password/", form)
    assert User.objects.get(pk=owner.pk).check_password("the new canary password")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tenants_auditentry a WHERE row_to_json(a)::text LIKE '%canary%'")
        assert cursor.fetchone()[0] == 0


@pytest.mark.parametrize(
    "address",
    [
        *("/vprotect_bridge/machine/drift/", "/tenants/claim/paste/", "/vprotect_bridge/upstreamstatus/"),
        *("/vprotect_bridge/machine/{machine}/hand-over/", "/tenants/tenant/{tenant}/leave/"),
        *("/tenants/tenant/{tenant}/export/", "/tenants/tenant/{tenant}/invite/"),
        *("/tenants/auditentry/file.csv", "/tenants/tenant/limits/"),
    ],
)
def test_only_operators_with_the_right_come_here(address: str, owner: User, sunflower: Tenant):
    machine = machine_of(sunflower)
    powerless = User.objects.create_user("clerk@provider.example", "a password for tests", is_staff=True)
    for user, statuses in ((None, {302}), (owner, {302}), (powerless, {403})):
        client = OperatorClient()
        if user:
            client.force_login(user)
        for method in (client.get, client.post):
            answer = method(address.format(machine=machine.pk, tenant=sunflower.pk))
            assert answer.status_code in statuses | ({405} if "export" in address else set()), (address, user)


@pytest.mark.parametrize(
    "address", ["/vprotect_bridge/machine/drift/", "/tenants/claim/paste/", "/tenants/tenant/limits/", "/"]
)
def test_its_pages_are_under_the_policy(address: str, operator: Client, sunflower: Tenant):
    machine_of(None)
    assert is_under_the_policy(operator.get(address).content.decode())


# ── Limits ───────────────────────────────────────────────────────────────────


def test_who_is_near_a_limit_is_listed_first(operator: Client, sunflower: Tenant, pine: Tenant):
    machines = [machine_of(pine, f"vm-{number}") for number in range(9)]
    for machine in machines:
        operation_on(machine, outcome="succeeded")
    operation_on(machine_of(sunflower, "vm-s"), outcome="succeeded")
    Tenant.objects.filter(pk=pine.pk).update(daily_backup_cap=10, daily_restore_cap=0, stored_gib_warning=0)
    Tenant.objects.filter(pk=sunflower.pk).update(daily_backup_cap=10)
    rows = BeautifulSoup(operator.get("/tenants/tenant/limits/").content, "html.parser").select(".page tbody tr")
    assert [[cell.get_text() for cell in row.select("td")] for row in rows] == [
        ["Pine", "Restores today", "0 of 0", "0", "–", "used up"],
        ["Pine", "Backups on demand today", "9 of 10", "1", "–", "near"],
        ["Pine", "GiB of backups kept", "0", "–", "0", "warned"],
        ["Sunflower", "Backups on demand today", "1 of 10", "9", "–", "room"],
    ]


def test_limits_of_many_tenants_cost_no_more_than_of_one(operator: Client, sunflower: Tenant):
    costs = []
    for count in (1, 20):
        for number in range(count):
            Tenant.objects.create(name="x", slug=f"x-{count}-{number}", daily_backup_cap=1, planned_machine_cap=1)
        operator.get("/tenants/tenant/limits/")
        with CaptureQueriesContext(connection) as queries:
            operator.get("/tenants/tenant/limits/")
        costs.append(len(queries))
    assert costs[0] == costs[1]


def test_a_day_ends_at_each_tenants_own_midnight(operator: Client, sunflower: Tenant, pine: Tenant):
    """Of two at the same moment, one is of today where it is early and the other of yesterday where it is late."""
    Tenant.objects.filter(pk=sunflower.pk).update(time_zone="Etc/GMT+12", daily_backup_cap=5)
    Tenant.objects.filter(pk=pine.pk).update(time_zone="Etc/GMT-14", daily_backup_cap=5)
    now = timezone.now()
    for tenant in (sunflower, pine):
        tenant.refresh_from_db()
        machine = machine_of(tenant, f"vm-{tenant.slug}")
        for minutes in (-1, 1):
            at = min(limits.midnight_of(tenant) + timedelta(minutes=minutes), now)
            operation_on(machine, created_at=at, outcome="succeeded")
    page = said(operator.get("/tenants/tenant/limits/"))
    assert page.count("1 of 5") == 2


def test_alerts_of_all_are_listed_with_whose_turn_it_is(operator: Client, sunflower: Tenant):
    machine = machine_of(sunflower)
    Alert.across_tenants.create(
        tenant=sunflower, machine=machine, kind="late", turn="provider", began_at=timezone.now()
    )
    page = said(operator.get("/vprotect_bridge/alert/?turn__exact=provider"))
    assert "machine vm-1" in page and "the newest good backup is too old" in page and "the provider" in page


# ── Brand ────────────────────────────────────────────────────────────────────


def test_an_operator_gives_a_tenant_its_brand_and_the_audit_says_so(operator: Client, sunflower: Tenant):
    address = f"/tenants/tenant/{sunflower.pk}/change/"
    form = BeautifulSoup(operator.get(address).content, "html.parser").select_one("#tenant_form")
    assert form and form["enctype"] == "multipart/form-data"
    fields = {field["name"]: field.get("value", "") for field in form.select("input[name]:not([type=checkbox])")}
    fields |= {"is_active": "on", "brand-0-name": "Sun Backups", "brand-0-accent": "plum"}
    picture = io.BytesIO()
    Image.new("RGB", (90, 30), "#a33").save(picture, "PNG")
    fields["brand-0-logo_file"] = SimpleUploadedFile("sun.png", picture.getvalue())
    assert operator.post(address, fields).status_code == 302
    brand = Brand.across_tenants.get(tenant=sunflower)
    assert (brand.name, brand.accent, bool(brand.logo)) == ("Sun Backups", "plum", True)
    changed = AuditEntry.across_tenants.get(tenant=sunflower).detail["changed"]
    assert changed["brand-0"] == {"name": "Sun Backups", "accent": "plum", "logo_file": "sun.png"}
