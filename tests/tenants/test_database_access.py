"""What the database's catalog says must be what the apps declare, no more and no less."""

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import DatabaseError, connection
from django.db.models import Model
from django.utils import timezone

from api.models import IdempotencyKey
from notifications.models import (
    DigestClock,
    Event,
    Mail,
    Notice,
    PersonalChoices,
    TenantChoices,
    Webhook,
    WebhookDelivery,
)
from reports.models import MachineMonth, MachineUsage, ReportFile, ReportMail, ReportSubscription, TenantUsage
from tenants.database_access import TABLES
from tenants.database_roles import OF_CURRENT_TENANT, OPERATOR, WEB, WORKER, apply_access, declared_access
from tenants.models import AuditEntry, Claim, Grant, Tenant, User
from tests.conftest import AsRole, machine_of, operation_on
from tests.tokens.conftest import token_of
from vprotect_bridge.models import (
    Alert,
    Backup,
    BackupDay,
    BulkRequest,
    ChosenEntry,
    Download,
    FileEntry,
    Folder,
    Machine,
    Mount,
    Operation,
    OperationEvent,
    OperationTask,
    Plan,
    PlanChange,
    Question,
)

pytestmark = pytest.mark.django_db

_GRANTED = """
    SELECT c.relname, g.rolname, a.privilege_type, ''
    FROM pg_class c, aclexplode(c.relacl) a JOIN pg_roles g ON g.oid = a.grantee
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'm')
    UNION ALL
    SELECT c.relname, g.rolname, a.privilege_type, k.attname
    FROM pg_class c JOIN pg_attribute k ON k.attrelid = c.oid, aclexplode(k.attacl) a
    JOIN pg_roles g ON g.oid = a.grantee
    WHERE c.relnamespace = 'public'::regnamespace
"""
_PUBLIC = "SELECT relname FROM pg_class, aclexplode(relacl) WHERE grantee = 0 AND relnamespace = 'public'::regnamespace"

Right = tuple[str, str, str, str]


def _declared() -> set[Right]:
    return {
        (table, role, right, column)
        for table, access in declared_access().items()
        for role, rights in ((WEB, access.web), (OPERATOR, access.operator), (WORKER, access.worker))
        for right, columns in re.findall(r"(\w+)(?: \(([^)]*)\))?(?:, |$)", rights)
        for column in columns.split(", ")
    }


def _granted() -> set[Right]:
    with connection.cursor() as cursor:
        cursor.execute(_GRANTED)
        return {row for row in cursor.fetchall() if row[1] in {WEB, OPERATOR, WORKER}}


def test_the_catalog_grants_what_is_declared():
    assert _granted() == _declared()


def test_nobody_else_has_a_right():
    with connection.cursor() as cursor:
        cursor.execute(_PUBLIC)
        assert cursor.fetchall() == []


def test_a_right_given_by_hand_is_taken_back_by_the_next_migration():
    with connection.cursor() as cursor:
        cursor.execute("GRANT ALL ON vprotect_bridge_upstreamsession TO portal_web")
        cursor.execute("GRANT UPDATE (role) ON tenants_membership TO portal_web")
    assert _granted() != _declared()
    apply_access()
    assert _granted() == _declared()


def test_a_table_declared_twice_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(TABLES, "vprotect_bridge_machine", TABLES["tenants_claim"])
    with pytest.raises(ValueError, match="vprotect_bridge_machine is declared twice"):
        declared_access()


def test_each_table_without_row_level_security_has_a_reason():
    assert [table for table, access in declared_access().items() if access.rows is None and not access.reason] == []


# ── Every tenant-owned table, each with one row of its own ───────────────────


def _event(tenant: Tenant) -> OperationEvent:
    return OperationEvent(tenant=tenant, operation=_operation(tenant), moved_to="pending")


def _operation(tenant: Tenant) -> Operation:
    return operation_on(_machine(tenant))


def _machine(tenant: Tenant) -> Machine:
    return machine_of(tenant, f"vm-of-{tenant.slug}")


def _backup(tenant: Tenant) -> Backup:
    machine = _machine(tenant)
    return Backup(guid=f"b-{tenant.slug}", tenant=tenant, machine=machine, status="SUCCESS", sort_at=timezone.now())


def _plan(tenant: Tenant) -> Plan:
    return Plan(tenant=tenant, name=tenant.slug, is_made_here=True)


def _plan_change(tenant: Tenant) -> PlanChange:
    plan = _plan(tenant)
    plan.save()
    return PlanChange(tenant=tenant, plan=plan, kind=PlanChange.Kind.CREATE)


def _bulk_request(tenant: Tenant) -> BulkRequest:
    user = User.objects.create_user(f"somebody@{tenant.slug}.example")
    return BulkRequest(tenant=tenant, kind=BulkRequest.Kind.BACKUP, created_by=user, client_key=uuid4())


def _mount(tenant: Tenant) -> Mount:
    machine = _machine(tenant)
    backup = Backup(guid=f"o-{tenant.slug}", tenant=tenant, machine=machine, status="SUCCESS", sort_at=timezone.now())
    backup.save()
    operation = operation_on(machine, kind=Operation.Kind.MOUNT)
    return Mount(tenant=tenant, operation=operation, backup=backup, guid=tenant.slug, closes_at=timezone.now())


def _saved(row: Any) -> Any:
    row.save()
    return row


def _folder(tenant: Tenant) -> Folder:
    return Folder(tenant=tenant, mount=_saved(_mount(tenant)), file_system_guid="fs", path="/", path_digest="-")


def _entry(tenant: Tenant) -> FileEntry:
    return FileEntry(tenant=tenant, folder=_saved(_folder(tenant)), name="x", type="REGULAR_FILE")


def _chosen(tenant: Tenant) -> ChosenEntry:
    entry = _saved(_entry(tenant))
    user = User.objects.create_user(f"chooser@{tenant.slug}.example")
    return ChosenEntry(tenant=tenant, user=user, mount=entry.folder.mount, entry=entry)


def _download(tenant: Tenant) -> Download:
    user = User.objects.create_user(f"fetcher@{tenant.slug}.example")
    mount = _saved(_mount(tenant))
    return Download(tenant=tenant, mount=mount, created_by=user, name="x", items=[], is_archive=False, reserved_bytes=0)


def _event_of(tenant: Tenant) -> Event:
    return Event(tenant=tenant, source=Event.Source.OPERATION, source_id=uuid4(), what="failed")


def _reader(tenant: Tenant) -> User:
    return User.objects.create_user(f"reader@{tenant.slug}.example")


def _mail(tenant: Tenant) -> Mail:
    now = timezone.now()
    return Mail(tenant=tenant, user=_reader(tenant), kind=Mail.Kind.NEWS, since=now, until=now)


ROWS: dict[type[Model], Callable[[Tenant], Model]] = {
    Claim: lambda tenant: Claim(tenant=tenant, kind=Claim.Kind.MACHINE, value=tenant.slug),
    Grant: lambda tenant: Grant(tenant=tenant, kind=Grant.Kind.DESTINATION, guid=tenant.slug),
    AuditEntry: lambda tenant: AuditEntry(tenant=tenant, actor_name="x", action="x", outcome="x", correlation_id="-"),
    Machine: _machine,
    Backup: _backup,
    BackupDay: lambda tenant: BackupDay(tenant=tenant, day="2026-03-28"),
    Operation: _operation,
    OperationEvent: _event,
    OperationTask: lambda tenant: OperationTask(tenant=tenant, operation=_operation(tenant), guid="t-1"),
    BulkRequest: _bulk_request,
    Mount: _mount,
    Folder: _folder,
    FileEntry: _entry,
    ChosenEntry: _chosen,
    Download: _download,
    Plan: _plan,
    Alert: lambda tenant: Alert(tenant=tenant, machine=_machine(tenant), kind="late", began_at=timezone.now()),
    PlanChange: _plan_change,
    Event: _event_of,
    Notice: lambda tenant: Notice(tenant=tenant, user=_reader(tenant), event=_saved(_event_of(tenant))),
    TenantChoices: lambda tenant: TenantChoices(tenant=tenant),
    PersonalChoices: lambda tenant: PersonalChoices(tenant=tenant, user=_reader(tenant)),
    DigestClock: lambda tenant: DigestClock(tenant=tenant, user=_reader(tenant), next_at=timezone.now()),
    Mail: _mail,
    ReportFile: lambda tenant: ReportFile(
        tenant=tenant, created_by=_reader(tenant), client_key=uuid4(), kind="usage", format="pdf"
    ),
    Webhook: lambda tenant: Webhook(tenant=tenant, url=f"https://{tenant.slug}.example/"),
    WebhookDelivery: lambda tenant: WebhookDelivery(
        tenant=tenant, webhook=_saved(Webhook(tenant=tenant, url=f"https://{tenant.slug}.example/"))
    ),
    ReportSubscription: lambda tenant: ReportSubscription(
        tenant=tenant, user=_reader(tenant), kind="usage", every="month", next_at=timezone.now()
    ),
    ReportMail: lambda tenant: ReportMail(
        tenant=tenant, user=_reader(tenant), kind="usage", first_day="2026-01-01", last_day="2026-01-31", enclosed="pdf"
    ),
    MachineUsage: lambda tenant: MachineUsage(tenant=tenant, day="2026-03-28", stored_bytes=1, machines=1),
    MachineMonth: lambda tenant: MachineMonth(tenant=tenant, month="2026-03-01", byte_days=1, machine_days=1),
    TenantUsage: lambda tenant: TenantUsage(tenant=tenant, day="2026-03-28", stored_bytes=1, machines=1),
    IdempotencyKey: lambda tenant: IdempotencyKey(
        tenant=tenant, token=token_of(tenant)[0], key="a", digest="-", answer="{}"
    ),
    Question: lambda tenant: Question(tenant=tenant, kind="usable_destinations", machine=_machine(tenant)),
}
OWNED = {
    model
    for model in apps.get_models()
    if (access := declared_access().get(model._meta.db_table)) and access.rows == OF_CURRENT_TENANT
}


def _may(right: str) -> list[type[Model]]:
    return [model for model in ROWS if right in declared_access()[model._meta.db_table].web]


def test_each_tenant_owned_table_is_tried_here():
    assert set(ROWS) == OWNED


@pytest.mark.parametrize("model", _may("SELECT"))
def test_web_reads_the_tenant_that_is_set_and_no_other(model: type, sunflower: Tenant, pine: Tenant, as_role: AsRole):
    row = ROWS[model](sunflower)
    row.save()
    rows = model._default_manager.filter(pk=row.pk)
    with as_role(WEB, sunflower):
        assert rows.count() == 1
    with as_role(WEB, pine):
        assert rows.count() == 0
    with as_role(WEB):
        assert rows.count() == 0


@pytest.mark.parametrize("model", [model for model in ROWS if model not in _may("SELECT")])
def test_web_may_not_read_what_it_does_not_need(model: type, sunflower: Tenant, as_role: AsRole):
    with pytest.raises(DatabaseError, match="permission denied"), as_role(WEB, sunflower):
        model._default_manager.count()


@pytest.mark.parametrize("model", _may("INSERT"))
@pytest.mark.parametrize("is_set", [True, False], ids=["another tenant", "no tenant"])
def test_web_writes_for_no_other_tenant(model: type, is_set: bool, sunflower: Tenant, pine: Tenant, as_role: AsRole):
    row = ROWS[model](pine)
    copy = model(**{field.attname: getattr(row, field.attname) for field in model._meta.concrete_fields})
    if not row._state.adding:  # it was saved by its maker: clear the way for the copy
        row.delete()
    with pytest.raises(DatabaseError, match="row-level security"), as_role(WEB, sunflower if is_set else None):
        model._default_manager.bulk_create([copy])


@pytest.mark.parametrize("role", [OPERATOR, WORKER])
def test_operators_and_workers_see_every_tenant(role: str, sunflower: Tenant, pine: Tenant, as_role: AsRole):
    operation_on(_machine(sunflower))
    operation_on(_machine(pine))
    with as_role(role):
        assert Operation.across_tenants.count() == 2


@pytest.mark.parametrize("role", [None, OPERATOR, WORKER, WEB])
@pytest.mark.parametrize("statement", ["UPDATE tenants_auditentry SET outcome = ''", "DELETE FROM tenants_auditentry"])
def test_audit_entries_stay_whoever_asks(role: str | None, statement: str, sunflower: Tenant, as_role: AsRole):
    ROWS[AuditEntry](sunflower).save()
    wall = "append-only" if role is None else "permission denied"
    with (
        pytest.raises(DatabaseError, match=wall),
        as_role(role or "portal_test", sunflower),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_audit_entries_cannot_be_emptied_by_the_owner(sunflower: Tenant):
    ROWS[AuditEntry](sunflower).save()
    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE tenants_auditentry")
