"""The operator site: every page opens under the database rights of its own role and under the strict CSP."""

from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import ProgrammingError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tenants.models import AuditEntry, Claim, Grant, IdentityProvider, Membership, Tenant, User
from tests.conftest import is_under_the_policy, machine_of, operation_on, person
from vprotect_bridge.models import (
    Alert,
    Backup,
    Cluster,
    Destination,
    Download,
    Hypervisor,
    Machine,
    Mount,
    Operation,
    OperationEvent,
    Plan,
    PlanChange,
    Policy,
    Schedule,
    Storage,
    UpstreamSession,
    UpstreamStatus,
)

pytestmark = [pytest.mark.django_db, pytest.mark.urls("portal.operator_urls")]

PASSWORD = "a password for tests"
SECRET = "dismissals-of-next-month.docx"


@pytest.fixture
def landscape(sunflower: Tenant, owner: User) -> None:
    """At least one row behind every page."""
    Claim.across_tenants.create(tenant=sunflower, kind=Claim.Kind.MACHINE, value="vm-1")
    machine = machine_of(sunflower)
    now = machine.changed_at
    machine_of(None, "vm-unclaimed")
    operation = operation_on(machine, submission="needs_attention")
    OperationEvent.across_tenants.create(tenant=sunflower, operation=operation, moved_to="needs_attention")
    Backup.across_tenants.create(guid="b-1", tenant=sunflower, machine=machine, status="SUCCESS", sort_at=now)
    Destination.objects.create(guid="store-1", name="store")
    hypervisor = Hypervisor.objects.create(guid="host-1", name="host", is_manager=False)
    Cluster.objects.create(guid="cluster-1", uuid="c-1", name="cluster", hypervisor=hypervisor)
    Storage.objects.create(guid="storage-1", uuid="s-1", name="storage", hypervisor=hypervisor)
    Grant.across_tenants.create(tenant=sunflower, kind=Grant.Kind.DESTINATION, guid="store-1")
    Policy.objects.create(guid="policy-1", name="no rule", row_digest="")
    Schedule.objects.create(guid="schedule-1", name="in no rule", row_digest="", facts={"active": True})
    Policy.objects.create(guid="policy-2", name="works", row_digest="", standing="acting")
    Schedule.objects.create(guid="schedule-2", name="works", row_digest="", rule_guids=["r-1"])
    plan = Plan.across_tenants.create(tenant=sunflower, name="Nightly", is_made_here=True)
    PlanChange.across_tenants.create(tenant=sunflower, plan=plan, kind="edit", state="stuck", detail="HTTP 400")
    AuditEntry.across_tenants.create(tenant=sunflower, actor_name="owner", action="backup", outcome="accepted")
    provider = IdentityProvider(tenant=sunflower, slug="sunflower", issuer="https://localhost:1", client_id="portal")
    provider.client_secret = "a secret for tests"
    provider.save()


@pytest.fixture
def opened(landscape: None, sunflower: Tenant, owner: User) -> None:
    """A backup that is open, a file on its way out of it, and an alert."""
    backup = Backup.across_tenants.select_related("machine").get()
    machine, operation = backup.machine, Operation.across_tenants.get()
    mount = Mount.across_tenants.create(
        **{
            "tenant": sunflower,
            "operation": operation,
            "backup": backup,
            "guid": "mount-1",
            "closes_at": timezone.now(),
        },
        **{"machine_guid": machine.guid, "machine_name": machine.name},
    )
    Alert.across_tenants.create(tenant=sunflower, machine=machine, kind=Alert.Kind.LATE, began_at=timezone.now())
    Download.across_tenants.create(
        **{"tenant": sunflower, "mount": mount, "created_by": owner, "name": SECRET, "items": [{"path": SECRET}]},
        **{"is_archive": False, "reserved_bytes": 7, "left_out": [SECRET], "correlation_id": "a-request"},
    )


@pytest.fixture
def operator(client: Client, landscape: None) -> Iterator[Client]:
    User.objects.create_superuser("operator@provider.example", PASSWORD)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE portal_operator")
        client.login(email="operator@provider.example", password=PASSWORD)
        yield client
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("portal_operator",)
        cursor.execute("RESET ROLE")


def _pages() -> list[str]:
    return [f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist" for model in admin.site._registry]


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"kind": "data_center"}, "Type the data center's name."),
        ({"kind": "data_center", "name": "A", "guid": "store-1"}, "A data center is granted by its name."),
        ({"kind": "storage"}, "Enter the GUID."),
        ({"kind": "storage", "guid": "s-1", "name": "A"}, "Only a data center has a name here."),
    ],
)
def test_a_grant_is_by_guid_or_for_a_data_center_by_name(wish: dict[str, str], sentence: str, sunflower: Tenant):
    with pytest.raises(ValidationError) as refused:
        Grant(tenant=sunflower, **wish).full_clean()
    assert sentence in refused.value.messages


@pytest.mark.parametrize("page", ["admin:index", *_pages()])
def test_each_page_opens(page: str, opened: None, operator: Client):
    answer = operator.get(reverse(page))
    assert answer.status_code == 200
    assert is_under_the_policy(answer.content.decode())
    assert "script-src 'self'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize(
    "model", [m for m in admin.site._registry if m._meta.app_label in {"tenants", "vprotect_bridge"}]
)
def test_each_row_opens(model: type, opened: None, operator: Client):
    pk = model._default_manager.values_list("pk", flat=True)[0]
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    answer = operator.get(reverse(f"{name}_change", args=[pk]))
    assert answer.status_code == 200
    assert is_under_the_policy(answer.content.decode())
    if admin.site._registry[model].has_add_permission(answer.wsgi_request):
        assert operator.get(reverse(f"{name}_add")).status_code == 200


@pytest.mark.parametrize(
    "search", [Tenant, User, Membership, AuditEntry, Machine, Backup, Operation, Destination, Mount, Download]
)
def test_each_search_runs(search: type, operator: Client):
    name = f"admin:{search._meta.app_label}_{search._meta.model_name}_changelist"
    assert operator.get(reverse(name), {"q": "sun"}).status_code == 200


def test_what_is_fetched_out_of_machines_is_its_tenants_alone(opened: None, operator: Client):
    """Sizes and states are for operators, names and paths are not, neither on pages nor in the database."""
    row = Download.across_tenants.defer("name", "items", "left_out").get()
    pages = ("vprotect_bridge/download/", f"vprotect_bridge/download/{row.pk}/change/", "vprotect_bridge/mount/")
    for page in (*pages, "search/?q=a-request"):
        answer = operator.get(f"/{page}")
        assert answer.status_code == 200 and SECRET not in answer.content.decode(), page
    for column in ("name", "items", "left_out"):
        with pytest.raises(ProgrammingError), transaction.atomic():
            list(Download.across_tenants.values_list(column))


@pytest.mark.parametrize(("state", "count"), [("open", 1), ("closing", 0), ("closed", 0)])
def test_open_backups_are_found_by_their_state(state: str, count: int, opened: None, operator: Client):
    answer = operator.get("/vprotect_bridge/mount/", {"state": state})
    assert f"{count} mount" in " ".join(answer.content.decode().split())


# ── The search over everything ───────────────────────────────────────────────


def searched(operator: Client, text: str) -> dict[str, list[str]]:
    """What is found, by kind."""
    answer = operator.get(reverse("admin:search"), {"q": text})
    assert answer.status_code == 200 and is_under_the_policy(answer.content.decode())
    return {found.title: [name for _address, name, _apart in found.rows] for found in answer.context["found"]}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("id", "01a21200-0000-7000-8000-000000000001"), ("task_guid", "t-4711"), ("backup_guid", "b-4711")),
        *(("correlation_id", "c0ffee" * 5), ("restored_guid", "vm-4711"), ("restore_job_guid", "j-4711")),
    ],
)
def test_an_operation_is_found_by_whatever_names_it(field: str, value: str, operator: Client):
    OperationEvent.across_tenants.all().delete()
    Operation.across_tenants.update(**{field: value})
    assert searched(operator, f" {value.upper()}\n")["Operations"] == ["Backup of machine vm-1"]


def test_machines_people_and_decisions_are_found(operator: Client, sunflower: Tenant, owner: User):
    Machine.across_tenants.filter(guid="vm-1").update(uuid="5c0ffee5-0000")
    detail = {"email": "invited@sunflower.example"}
    entry = {"tenant": sunflower, "actor_name": owner.email, "action": "member_invited", "outcome": "accepted"}
    AuditEntry.across_tenants.create(**entry, detail=detail, correlation_id="c0ffee" * 5)
    for text in ("machine vm-1", "vm-1", "5C0FFEE5"):
        assert "machine vm-1" in searched(operator, text)["Machines"], text
    assert set(searched(operator, owner.email)) >= {"Tenants", "Users", "Audit entries"}
    for text in ("c0ffee" * 5, "invited@sunflower.example"):
        assert len(searched(operator, text)["Audit entries"]) == 1


@pytest.mark.parametrize("text", ["", " ", "\x00", "nothing of that name", "%", "'; --", "x" * 5000])
def test_an_odd_search_finds_nothing(text: str, operator: Client):
    assert searched(operator, text) == {}


def test_a_search_shows_few_and_leads_to_all(operator: Client, sunflower: Tenant):
    for number in range(7):
        Claim.across_tenants.create(tenant=sunflower, kind=Claim.Kind.MACHINE, value=f"web-{number}")
    answer = operator.get(reverse("admin:search"), {"q": "web-"})
    (found,) = [found for found in answer.context["found"] if found.title == "Claims"]
    assert len(found.rows) == 5 and len(operator.get(found.all_of_them).context["cl"].result_list) == 7


def test_a_search_shows_only_what_may_be_opened(operator: Client):
    User.objects.update(is_superuser=False)
    assert searched(operator, "vm-1") == {}


def test_the_front_page_names_every_list_once(operator: Client):
    page = operator.get(reverse("admin:index"))
    lists = [model["admin_url"] for section in page.context["app_list"] for model in section["models"]]
    assert sorted(lists) == sorted(reverse(page) for page in _pages())
    assert [section["name"] for section in page.context["app_list"]] == [
        "Customers",
        "Backups",
        "Notifications",
        "vProtect",
        "Signing in",
    ]


def test_the_session_of_the_service_account_is_not_shown():
    assert UpstreamSession not in admin.site._registry


@pytest.mark.parametrize("model", [Machine, Backup, Operation, Destination, AuditEntry])
def test_what_others_write_is_only_shown(model: type, operator: Client):
    row = model._default_manager.first()
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[row.pk])
    assert operator.post(address, {"name": "renamed"}).status_code == 403


def test_a_person_who_is_not_staff_stays_outside(client: Client, owner: User):
    client.force_login(owner)
    answer = client.get(reverse("admin:index"))
    assert answer.status_code == 302
    assert answer.url.startswith(reverse("admin:login"))


def test_the_first_operator_is_made_at_the_command_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command("createsuperuser", "--noinput", email="first@provider.example", verbosity=0)
    assert User.objects.get(email="first@provider.example", is_staff=True, is_superuser=True).check_password(PASSWORD)


def test_the_login_asks_for_an_email_address(client: Client):
    answer = client.get(reverse("admin:login"), follow=True)
    assert answer.request["PATH_INFO"] == "/accounts/login/" and "Email" in answer.content.decode()
    assert is_under_the_policy(answer.content.decode())


def test_a_person_is_added_with_a_small_address_and_a_password(operator: Client):
    form = {
        "email": "New.Person@Sunflower.example",
        "name": "",
        "usable_password": "true",
        "password1": "long enough to be one",
        "password2": "long enough to be one",
        **_no_rows("memberships"),
    }
    answer = operator.post(reverse("admin:tenants_user_add"), form)
    assert answer.status_code == 302, answer.context["errors"]
    assert User.objects.get(email="new.person@sunflower.example").check_password("long enough to be one")


@pytest.mark.parametrize(("typed", "meant"), [("", None), ("vm-1,vm-2", ["vm-1", "vm-2"])])
def test_an_empty_limit_means_every_machine(typed: str, meant: list[str] | None, owner: User, operator: Client):
    membership = Membership.objects.get(user=owner)
    person(membership.tenant, "other", "admin")
    form = {"user": owner.pk, "tenant": membership.tenant_id, "role": "member", "machine_guids": typed}
    operator.post(reverse("admin:tenants_membership_change", args=[membership.pk]), form)
    membership.refresh_from_db()
    assert (membership.role, membership.machine_guids) == ("member", meant)


@pytest.mark.parametrize("changes", [{"role": "viewer"}, {"machine_guids": "vm-1"}])
def test_operators_too_keep_the_last_administrator(changes: dict[str, str], owner: User, operator: Client):
    membership = Membership.objects.get(user=owner)
    page = reverse("admin:tenants_membership_change", args=[membership.pk])
    form = {"user": owner.pk, "tenant": membership.tenant_id, "role": "admin", "machine_guids": ""}
    assert "Somebody has to be the administrator" in operator.post(page, {**form, **changes}).content.decode()
    assert operator.post(page.replace("change", "delete"), {"post": "yes"}).status_code == 403
    assert Membership.objects.get(user=owner).role == "admin"
    person(membership.tenant, "other", "admin")
    assert operator.post(page, {**form, **changes}).status_code == 302


def test_an_unclaimed_machine_is_claimed_with_one_click(pine: Tenant, operator: Client):
    rows = [machine.pk for machine in Machine.across_tenants.all()]
    address = reverse("admin:vprotect_bridge_machine_changelist")
    operator.post(address, {"action": "claim", "tenant": pine.pk, "_selected_action": rows})
    owned = dict(Machine.across_tenants.values_list("guid", "tenant__slug"))
    assert owned == {"vm-1": "sunflower", "vm-unclaimed": "pine"}
    wanted = Machine.across_tenants.filter(backups_wanted_at__isnull=False)
    assert [machine.guid for machine in wanted] == ["vm-unclaimed"], "its history becomes theirs as well"
    assert Claim.across_tenants.get(tenant=pine).value == "vm-unclaimed"
    assert AuditEntry.across_tenants.get(tenant=pine).action == "claim_machine"


def test_an_operator_says_that_so_many_machines_are_gone(operator: Client):
    UpstreamStatus.objects.update(inventory_refused_at=timezone.now(), inventory_refused_count=7)
    address = reverse("admin:vprotect_bridge_upstreamstatus_changelist")
    assert "lacked 7 machines" in operator.get(address).content.decode()
    operator.post(address, {"decide": "accept-inventory"})
    assert UpstreamStatus.objects.get(pk=1).inventory_accepted_count == 7
    entry = AuditEntry.across_tenants.get(action="accept_inventory")
    assert (entry.tenant, entry.detail) == (None, {"machines": 7})


def test_unclaimed_machines_have_a_list(operator: Client):
    answer = operator.get(reverse("admin:vprotect_bridge_machine_changelist"), {"owner": "none"})
    assert [machine.guid for machine in answer.context["cl"].result_list] == ["vm-unclaimed"]


@pytest.mark.parametrize(
    ("action", "submission", "outcome"), [("send_again", "pending", ""), ("mark_not_sent", "rejected", "refused")]
)
def test_an_operator_decides_what_needs_attention(action: str, submission: str, outcome: str, operator: Client):
    operation = _decide(operator, action)
    assert (operation.submission, operation.outcome) == (submission, outcome)
    assert operation.events.filter(moved_to=submission).exists()
    assert AuditEntry.across_tenants.filter(action=f"operation_{submission}").exists()


def _decide(operator: Client, action: str, **more: str) -> Operation:
    operation = Operation.across_tenants.get()
    address = reverse("admin:vprotect_bridge_operation_changelist")
    operator.post(address, {"action": action, "_selected_action": [operation.pk], **more})
    return Operation.across_tenants.get()


@pytest.mark.parametrize(
    ("task", "submission"),
    [
        ("t-2", "accepted"),
        ("t-1", "accepted"),
        ("t", "needs_attention"),
        ("", "needs_attention"),
        (".*", "needs_attention"),
    ],
)
def test_an_operator_names_one_of_two_tasks(task: str, submission: str, operator: Client):
    operation = Operation.across_tenants.get()
    operation.events.create(tenant=operation.tenant, moved_to="needs_attention", detail="double: t-1, t-2")
    operation = _decide(operator, "link", task=task)
    assert (operation.submission, operation.task_guid) == (submission, task if submission == "accepted" else None)


@pytest.mark.parametrize("action", ["send_again", "mark_not_sent"])
def test_what_is_followed_already_is_left_alone(action: str, operator: Client):
    Operation.across_tenants.update(task_guid="t-1")
    assert _decide(operator, action).submission == "needs_attention"


@pytest.mark.parametrize(("action", "state"), [("finish", "working"), ("take_back", "undoing")])
def test_an_operator_decides_about_a_plan_that_is_half_done(action: str, state: str, operator: Client):
    address = reverse("admin:vprotect_bridge_planchange_changelist")
    chosen = {"action": action, "_selected_action": [PlanChange.across_tenants.get().pk]}
    operator.post(address, chosen)
    change = PlanChange.across_tenants.get()
    assert change.state == state and change.decided_at
    assert AuditEntry.across_tenants.filter(action=f"plan_change_{state}").count() == 1
    operator.post(address, chosen)
    assert AuditEntry.across_tenants.filter(action=f"plan_change_{state}").count() == 1, "only what is half done"


@pytest.mark.parametrize(
    ("page", "query", "found"),
    [("policy", "standing__exact=idle", "no rule"), ("schedule", "rule=none", "in no rule")],
)
def test_what_never_backs_anything_up_is_found(page: str, query: str, found: str, operator: Client):
    answer = operator.get(f"{reverse(f'admin:vprotect_bridge_{page}_changelist')}?{query}")
    assert [row.name for row in answer.context["cl"].result_list] == [found]


def test_a_tenant_is_never_deleted(sunflower: Tenant, operator: Client):
    assert operator.post(reverse("admin:tenants_tenant_delete", args=[sunflower.pk])).status_code == 403


def test_tenants_pages_are_not_on_the_operators_address(operator: Client):
    assert operator.get("/t/sunflower/machines/").status_code == 404


def _no_rows(prefix: str) -> dict[str, int]:
    return {f"{prefix}-{name}": 0 for name in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS", "MAX_NUM_FORMS")}
