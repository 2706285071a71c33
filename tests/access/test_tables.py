"""The second wall on every table: whatever web asks the database for, nothing of another tenant comes."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.db.models import Model
from django.utils import timezone

from api.models import IdempotencyKey
from reports.models import CalendarFeed, MachineMonth, MachineUsage, Price, ReportMail, ReportSubscription, TenantUsage
from tenants.database_roles import declared_access
from tenants.models import AuditEntry, Claim, IdentityProvider, Tenant, User
from tests.access.conftest import ids_of
from tests.conftest import AsRole, machine_of
from tests.notifications.happenings import people_are_told
from vprotect_bridge.models import Alert, Backup, Machine, OperationEvent, OperationTask, OwnerChange

pytestmark = pytest.mark.django_db

MODELS = {model._meta.db_table: model for model in apps.get_models()}
# Said here once more, so that a right given by mistake is not taken for one that was meant.
READABLE = {
    *("tenants_tenant", "tenants_membership", "tenants_invitation", "tenants_identityprovider", "tenants_grant"),
    *("tenants_brand", "tokens_token", "api_idempotencykey"),
    *("tenants_auditentry", "vprotect_bridge_machine", "vprotect_bridge_backup", "vprotect_bridge_operation"),
    "vprotect_bridge_operationtask",
    *("vprotect_bridge_backupday", "vprotect_bridge_plan", "vprotect_bridge_planchange", "vprotect_bridge_question"),
    *("vprotect_bridge_bulkrequest", "vprotect_bridge_alert"),
    *("vprotect_bridge_destination", "vprotect_bridge_hypervisor", "vprotect_bridge_cluster"),
    *("vprotect_bridge_mount", "vprotect_bridge_folder", "vprotect_bridge_fileentry", "vprotect_bridge_chosenentry"),
    *("vprotect_bridge_storage", "vprotect_bridge_download"),
    *("notifications_event", "notifications_notice", "notifications_tenantchoices", "notifications_personalchoices"),
    *("reports_machineusage", "reports_machinemonth", "reports_tenantusage", "reports_price", "reports_reportfile"),
    *("notifications_digestclock", "notifications_webhook", "notifications_webhookdelivery"),
    *("reports_calendarfeed", "reports_reportsubscription"),
}
OF_NO_TENANT = {
    *("tenants_user", "django_content_type", "django_migrations", "django_session", "portal_cache"),
    *("account_emailaddress", "account_emailconfirmation", "mfa_authenticator", "usersessions_usersession"),
    *("socialaccount_socialaccount", "vprotect_bridge_upstreamstatus", "notifications_mailtimes"),
}
NOT_FOR_WEB = sorted(set(declared_access()) - READABLE - OF_NO_TENANT)
OWNED = sorted(table for table, model in MODELS.items() if hasattr(model, "tenant_id"))


@pytest.fixture
def both(sunflower: Tenant, pine: Tenant, places: None, machine: Machine) -> None:
    """At least one row of each kind for each tenant."""
    for tenant in (sunflower, pine):
        ids = ids_of(tenant, machine_of(tenant, f"{tenant.slug}-1"), machine_of(tenant, f"{tenant.slug}-2"))
        OperationEvent.across_tenants.create(tenant=tenant, operation_id=ids["operation_id"], moved_to="pending")
        OperationTask.across_tenants.create(tenant=tenant, operation_id=ids["operation_id"], guid=f"t-{tenant.slug}")
        AuditEntry.across_tenants.create(tenant=tenant, actor_name="x", action="backup", outcome="accepted")
        IdempotencyKey.across_tenants.create(tenant=tenant, token_id=ids["token_id"], key="a", digest="-", answer="")
        Alert.across_tenants.create(
            tenant=tenant, plan_id=ids["plan_id"], kind=Alert.Kind.NEVER_FIRED, began_at=timezone.now()
        )
        Claim.across_tenants.create(tenant=tenant, kind=Claim.Kind.MACHINE, value=tenant.slug)
        provider = IdentityProvider(tenant=tenant, slug=tenant.slug, issuer="https://localhost:1", client_id="portal")
        provider.client_secret = "a secret for tests"
        provider.save()
        people_are_told(tenant)
        report_rows_of(tenant)
    OwnerChange.objects.create(machine=Machine.across_tenants.first(), was=sunflower, now=pine)


def report_rows_of(tenant: Tenant) -> None:
    usage: dict[str, Any] = {"tenant": tenant, "day": "2026-01-01", "stored_bytes": 1, "machines": 1}
    MachineUsage.across_tenants.create(**usage, machine_guid=f"{tenant.slug}-1")
    TenantUsage.across_tenants.create(**usage)
    month = {"tenant": tenant, "month": "2026-01-01", "byte_days": 1, "machine_days": 1}
    MachineMonth.across_tenants.create(**month, machine_guid=f"{tenant.slug}-1")
    user = User.objects.create_user(f"calendar@{tenant.slug}.example")
    CalendarFeed.across_tenants.create(tenant=tenant, user=user, token_hash=tenant.slug)
    subscribed = {"tenant": tenant, "user": user, "kind": "protection"}
    ReportSubscription.across_tenants.create(**subscribed, every="week", next_at=timezone.now())
    ReportMail.across_tenants.create(**subscribed, first_day="2026-01-05", last_day="2026-01-11", enclosed="link")
    Price.objects.create(tenant=tenant, counts_from="2026-01-01", currency="EUR")


def rows_of(table: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT row_to_json(t)::text FROM "{table}" t')  # noqa: S608 — names of our own tables
        return {row for (row,) in cursor.fetchall()}


@pytest.mark.parametrize("table", sorted(READABLE))
def test_web_sees_its_tenants_rows_and_no_others(
    table: str, both: None, sunflower: Tenant, pine: Tenant, as_role: AsRole
):
    everything = rows_of(table)
    seen = {}
    for tenant in (sunflower, pine):
        with as_role("portal_web", tenant):
            seen[tenant] = rows_of(table)
    assert seen[sunflower] and seen[pine], "a wall before nothing proves nothing"
    assert not seen[sunflower] & seen[pine] and seen[sunflower] | seen[pine] <= everything


@pytest.mark.parametrize("table", sorted(READABLE))
def test_web_sees_nothing_while_no_tenant_is_set(table: str, both: None, as_role: AsRole):
    with as_role("portal_web"):
        assert rows_of(table) == set()


@pytest.mark.parametrize("table", NOT_FOR_WEB)
def test_what_web_has_no_right_to_it_does_not_read(table: str, both: None, as_role: AsRole):
    with pytest.raises(DatabaseError, match="permission denied"), as_role("portal_web"):
        rows_of(table)


def test_web_reads_what_happened_to_its_own_and_never_how_vprotect_put_it(
    both: None, sunflower: Tenant, as_role: AsRole
):
    with as_role("portal_web", sunflower):
        assert set(OperationEvent.across_tenants.values_list("tenant", "moved_to")) == {(sunflower.pk, "pending")}
    with pytest.raises(DatabaseError, match="permission denied"), as_role("portal_web", sunflower):
        list(OperationEvent.across_tenants.values_list("detail"))


@pytest.mark.parametrize("table", OWNED)
def test_web_moves_no_row_to_or_from_another_tenant(
    table: str, both: None, sunflower: Tenant, pine: Tenant, as_role: AsRole
):
    """Neither by changing a row nor by making one; a right that it has not at all is refused as well."""
    model: Any = MODELS[table]
    theirs = model._base_manager.filter(tenant=pine).first()
    refused = "row-level security|permission denied|append-only"
    with as_role("portal_web", sunflower):
        for change in (update, delete):
            assert unable(change, model, theirs, sunflower)
    with pytest.raises(DatabaseError, match=refused), as_role("portal_web", sunflower):
        theirs.pk = None
        theirs._state.adding = True
        theirs.save(force_insert=True)


def update(model: Any, row: Model, tenant: Tenant) -> int:
    return int(model._base_manager.filter(pk=row.pk).update(tenant=tenant))


def delete(model: Any, row: Model, tenant: Tenant) -> int:
    rows = model._base_manager.filter(pk=row.pk)
    return int(rows._raw_delete(rows.db))


def unable(change: Any, model: Any, row: Model, tenant: Tenant) -> bool:
    try:
        with transaction.atomic():
            return change(model, row, tenant) == 0
    except DatabaseError:
        return True


def test_backups_of_a_machine_are_seen_by_who_owned_it_then(sunflower: Tenant, pine: Tenant, as_role: AsRole):
    machine = machine_of(pine)
    Backup.across_tenants.create(
        guid="then", machine=machine, tenant=sunflower, status="SUCCESS", sort_at="2026-01-01T00:00Z"
    )
    with as_role("portal_web", pine):
        assert not Backup.across_tenants.exists()
