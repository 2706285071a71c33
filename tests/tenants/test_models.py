import time

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django_scopes import scope
from django_scopes.exceptions import ScopeError

from tenants.models import Claim, Membership, Role, Tenant, User
from tenants.uuid7 import uuid7
from tests.conftest import machine_of
from vprotect_bridge.models import Machine

ORDER = [Role.VIEWER, Role.MEMBER, Role.RESTORER, Role.ADMIN]


@pytest.mark.parametrize("role", ORDER)
@pytest.mark.parametrize("needed", ORDER)
def test_a_role_includes_the_ones_before_it(role: Role, needed: Role):
    assert role.includes(needed) == (ORDER.index(role) >= ORDER.index(needed))
    assert Membership(role=role.value).may(needed) == role.includes(needed)


@pytest.mark.django_db
def test_one_address_in_any_case_is_one_person():
    User.objects.create_user("Someone@Sunflower.example")
    with pytest.raises(IntegrityError, match="user_email_any_case"):
        User(email="SOMEONE@sunflower.example").save()


@pytest.mark.django_db
def test_a_claim_has_one_owner(sunflower: Tenant, pine: Tenant):
    Claim.across_tenants.create(tenant=sunflower, kind=Claim.Kind.MACHINE, value="vm-1")
    with pytest.raises(IntegrityError, match="one_owner_per_claim"):
        Claim.across_tenants.create(tenant=pine, kind=Claim.Kind.MACHINE, value="vm-1")


@pytest.mark.django_db
def test_a_person_has_one_membership_in_a_tenant(sunflower: Tenant, owner: User):
    with pytest.raises(IntegrityError, match="one_membership_per_tenant"):
        Membership.objects.create(user=owner, tenant=sunflower, role=Role.VIEWER)


@pytest.mark.django_db
def test_a_query_without_a_scope_fails(sunflower: Tenant, pine: Tenant):
    machine_of(sunflower, "ours")
    machine_of(pine, "theirs")
    with pytest.raises(ScopeError):
        Machine.objects.count()
    with scope(tenant=sunflower):
        assert [machine.guid for machine in Machine.objects.all()] == ["ours"]


@pytest.mark.parametrize(("field", "value"), [("time_zone", "Europe/Atlantis"), ("priority_cap", 101), ("slug", "a/b")])
def test_a_tenant_is_checked(field: str, value: object):
    tenant = Tenant(**{"name": "Sunflower", "slug": "sunflower", field: value})
    with pytest.raises(ValidationError) as refusal:
        tenant.clean_fields()
    assert list(refusal.value.message_dict) == [field]


@pytest.mark.parametrize("guid", ["../tasks", "a b", "a\n", "", "x" * 65, "vm%2e"])
def test_a_guid_is_an_opaque_plain_word(guid: str):
    with pytest.raises(ValidationError):
        Membership(machine_guids=[guid]).clean_fields(exclude=["user", "tenant"])


def test_uuids_sort_by_time():
    first = uuid7()
    time.sleep(0.002)
    second = uuid7()
    assert first < second
    assert (first.version, first.variant) == (7, second.variant)
