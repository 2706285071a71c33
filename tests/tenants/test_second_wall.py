"""PostgreSQL's own wall: it holds when the application forgets its scope."""

import pytest
from django.apps import apps
from django.db import DatabaseError, connection
from django.db.models import Model
from django.utils import timezone

from tenants.database_roles import declared_access
from tenants.models import AuditEntry, Grant, Invitation, Membership, Tenant, User
from tenants.wall import lower_wall
from tests.conftest import AsRole, machine_of, operation_on
from vprotect_bridge.models import Destination, Machine, Operation, OperationEvent, UpstreamSession

pytestmark = pytest.mark.django_db


def test_every_table_of_the_database_says_who_may_touch_it():
    undeclared = set(connection.introspection.table_names()) - set(declared_access())
    assert undeclared == set()


def test_every_table_with_a_tenant_has_row_level_security():
    owned = {model._meta.db_table for model in apps.get_models() if hasattr(model, "tenant_id")}
    reasoned = {name for name, access in declared_access().items() if access.reason}
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relrowsecurity")
        protected = {name for (name,) in cursor.fetchall()}
    assert owned - reasoned - protected == set()


def test_web_sees_only_the_rows_of_the_tenant_that_is_set(sunflower: Tenant, pine: Tenant, as_role: AsRole):
    operation_on(machine_of(sunflower, "ours"))
    operation_on(machine_of(pine, "theirs"))
    with as_role("portal_web", sunflower):
        assert [machine.guid for machine in Machine.across_tenants.all()] == ["ours"]
        assert [operation.subject_guid for operation in Operation.across_tenants.all()] == ["ours"]


def test_web_sees_nothing_while_no_tenant_is_set(sunflower: Tenant, as_role: AsRole):
    machine_of(sunflower)
    with as_role("portal_web"):
        assert not Machine.across_tenants.exists()


def test_a_machine_of_nobody_is_seen_by_no_tenant(sunflower: Tenant, as_role: AsRole):
    machine_of(None)
    with as_role("portal_web", sunflower):
        assert not Machine.across_tenants.exists()


def test_web_cannot_write_a_wish_for_another_tenant(sunflower: Tenant, pine: Tenant, as_role: AsRole):
    theirs = machine_of(pine)
    with pytest.raises(DatabaseError, match="row-level security"), as_role("portal_web", sunflower):
        operation_on(theirs)


def test_web_sees_only_destinations_granted_to_the_tenant(sunflower: Tenant, pine: Tenant, as_role: AsRole):

    for guid in ("store-1", "store-2"):
        Destination.objects.create(guid=guid, name=guid)
    Grant.across_tenants.create(tenant=sunflower, kind=Grant.Kind.DESTINATION, guid="store-1")
    Grant.across_tenants.create(tenant=pine, kind=Grant.Kind.DESTINATION, guid="store-2")
    with as_role("portal_web", sunflower):
        assert [destination.guid for destination in Destination.objects.all()] == ["store-1"]


@pytest.mark.parametrize("model", [UpstreamSession, OperationEvent])
def test_web_may_not_read(model: type, sunflower: Tenant, as_role: AsRole):
    with pytest.raises(DatabaseError, match="permission denied"), as_role("portal_web", sunflower):
        list(model._default_manager.all())


def test_the_operator_site_may_not_read_the_session_of_the_service_account(as_role: AsRole):
    with pytest.raises(DatabaseError, match="permission denied"), as_role("portal_operator"):
        list(UpstreamSession.objects.all())


def test_web_cannot_raise_a_role_in_another_tenant(owner: User, pine: Tenant, as_role: AsRole):
    theirs = owner.memberships.get().tenant_id
    with as_role("portal_web", pine):
        assert owner.memberships.update(role="admin") == 0
        assert owner.memberships.all().delete()[0] == 0
    with pytest.raises(DatabaseError, match="row-level security"), as_role("portal_web", pine):
        Membership.objects.create(user=User.objects.create_user("x@x.example"), tenant_id=theirs)


def test_web_cannot_make_an_operator(as_role: AsRole):
    with pytest.raises(DatabaseError, match="row-level security"), as_role("portal_web"):
        User.objects.create_superuser("thief@sunflower.example", "a password for tests")


@pytest.mark.parametrize(
    "changes", [{"is_staff": True}, {"is_superuser": True}, {"email": "thief@x.example"}, {"is_active": False}]
)
def test_web_cannot_change_who_somebody_is(changes: dict[str, object], owner: User, as_role: AsRole):
    with as_role("portal_web"):
        assert User.objects.filter(pk=owner.pk).update(name="New name") == 1
    with pytest.raises(DatabaseError, match="web may not change who somebody is"), as_role("portal_web"):
        User.objects.filter(pk=owner.pk).update(**changes)


def test_web_cannot_change_what_vprotect_said(sunflower: Tenant, as_role: AsRole):
    machine_of(sunflower)
    with as_role("portal_web", sunflower):
        assert Machine.across_tenants.update(details_wanted_at="2026-01-01T00:00Z") == 1
    with pytest.raises(DatabaseError, match="permission denied"), as_role("portal_web", sunflower):
        Machine.across_tenants.update(name="renamed")


@pytest.mark.parametrize("change", ["update", "delete"])
def test_nobody_changes_the_audit(change: str, sunflower: Tenant):
    AuditEntry.across_tenants.create(
        tenant=sunflower, actor_name="owner", action="backup", outcome="accepted", correlation_id="-"
    )
    entries = AuditEntry.across_tenants.all()
    with pytest.raises(DatabaseError, match="append-only"):
        entries.update(outcome="refused") if change == "update" else entries._raw_delete(entries.db)


@pytest.mark.parametrize("model", [Tenant, Membership, Invitation])
def test_tenants_and_their_people_are_behind_the_wall(
    model: type[Model], owner: User, stranger: User, sunflower: Tenant, pine: Tenant, as_role: AsRole
):
    for tenant in (sunflower, pine):
        Invitation.across_tenants.create(
            tenant=tenant, email="new@x.example", role="viewer", token_hash=tenant.slug, expires_at=timezone.now()
        )
    rows = model._default_manager.all()
    with as_role("portal_web"):
        assert not rows.exists()
    with as_role("portal_web", sunflower):
        assert rows.get() == model._default_manager.get(**{"slug" if model is Tenant else "tenant__slug": "sunflower"})
    if model is not Invitation:
        with as_role("portal_web"):
            lower_wall(stranger, "sunflower")
            assert getattr(rows.get(), "slug", "pine") == "pine", "one's own, and no tenant that is only named"


def test_web_sees_an_invitation_whose_link_is_known(sunflower: Tenant, pine: Tenant, as_role: AsRole):
    for tenant in (sunflower, pine):
        Invitation.across_tenants.create(
            tenant=tenant, email="new@x.example", role="viewer", token_hash=tenant.slug, expires_at=timezone.now()
        )
    with as_role("portal_web"), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.invitation', 'pine', true)")
        assert Invitation.across_tenants.get().token_hash == "pine"
