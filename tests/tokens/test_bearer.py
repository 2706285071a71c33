"""What a token may do now: never more than its owner, and nothing when either is gone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_scopes import scope

from tenants.models import IdentityProvider, Membership, Role, Tenant, User
from tenants.people import remove_member
from tests.conftest import AsRole, person
from tests.tokens.conftest import token_of
from tokens.bearer import Bearer, NoBearer, ShutOut, bearer_of, note_use
from tokens.models import Token
from tokens.secret import new_secret

pytestmark = pytest.mark.django_db


@pytest.fixture
def bearer(as_role: AsRole) -> Callable[[str], Bearer]:
    """As web, before any tenant is known."""

    def find(secret: str) -> Bearer:
        with as_role("portal_web"):
            return bearer_of(f"Bearer {secret}")

    return find


def may_now(bearer: Bearer) -> tuple[str, list[str] | None]:
    return bearer.membership.role, bearer.membership.machine_guids


@pytest.mark.parametrize(
    ("token", "owner", "now"),
    [
        (("restorer", None), ("admin", None), ("restorer", None)),
        (("member", None), ("restorer", None), ("member", None)),
        (("restorer", None), ("viewer", None), ("viewer", None)),
        (("viewer", ["vm-1"]), ("member", None), ("viewer", ["vm-1"])),
        (("viewer", None), ("viewer", ["vm-1", "vm-2"]), ("viewer", ["vm-1", "vm-2"])),
        (("viewer", ["vm-1", "vm-3"]), ("viewer", ["vm-1", "vm-2"]), ("viewer", ["vm-1"])),
        (("viewer", ["vm-1"]), ("viewer", []), ("viewer", [])),
    ],
)
def test_it_may_what_both_it_and_its_owner_may(
    token: Any, owner: Any, now: Any, sunflower: Tenant, bearer: Callable[[str], Bearer]
):
    user = person(sunflower, "somebody", Role.ADMIN)
    _token, secret = token_of(sunflower, user, role=token[0], machine_guids=token[1])
    Membership.objects.filter(user=user).update(role=owner[0], machine_guids=owner[1])
    found = bearer(secret)
    assert may_now(found) == now and found.membership.user == user
    assert not found.membership.may_open_backups and not found.membership.may(Role.ADMIN)


def test_a_tenants_token_is_nobodys(sunflower: Tenant, owner: User, bearer: Callable[[str], Bearer]):
    """It goes on when who made it leaves."""
    _token, secret = token_of(sunflower, role="member", machine_guids=["vm-1"], created_by=owner)
    Membership.objects.filter(user=owner).delete()
    found = bearer(secret)
    assert may_now(found) == ("member", ["vm-1"]) and found.membership.user_id is None


def test_it_dies_with_its_owners_membership(
    sunflower: Tenant, owner: User, as_role: AsRole, bearer: Callable[[str], Bearer]
):
    """Removed by an administrator, as web's role. Who comes back has none of them."""
    user = person(sunflower, "leaver", Role.MEMBER)
    _token, secret = token_of(sunflower, user)
    member = Membership.objects.get(user=user)
    with as_role("portal_web", sunflower):
        remove_member(Membership.objects.get(user=owner), member, address=None)
    Membership.objects.create(user=user, tenant=sunflower, role=Role.ADMIN)
    with pytest.raises(NoBearer):
        bearer(secret)


ENDINGS: dict[str, Callable[[Token], object]] = {
    "revoked": lambda token: Token.across_tenants.update(revoked_at=timezone.now()),
    "expired": lambda token: Token.across_tenants.update(expires_at=timezone.now()),
    "tenant suspended": lambda token: Tenant.objects.update(is_active=False),
    "owner switched off": lambda token: User.objects.update(is_active=False),
    "never made": lambda token: Token.across_tenants.all().delete(),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_has_ended_is_told_like_what_never_was(
    ending: str, sunflower: Tenant, owner: User, bearer: Callable[[str], Bearer]
):
    token, secret = token_of(sunflower, owner)
    assert bearer(secret).token == token
    ENDINGS[ending](token)
    costs = []
    for shown in (secret, new_secret()):
        with CaptureQueriesContext(connection) as queries, pytest.raises(NoBearer):
            bearer(shown)
        costs.append(len(queries))
    assert costs[0] == costs[1]


def test_a_shorter_time_set_by_the_operator_holds_for_old_ones(
    sunflower: Tenant, owner: User, settings: Any, bearer: Callable[[str], Bearer]
):
    token, secret = token_of(sunflower, owner)
    Token.across_tenants.filter(pk=token.pk).update(created_at=timezone.now() - timedelta(days=8))
    settings.API_TOKEN_DAYS = 9
    assert bearer(secret)
    settings.API_TOKEN_DAYS = 7
    with pytest.raises(NoBearer):
        bearer(secret)


@pytest.mark.parametrize(
    "odd", ["", "Bearer", "Bearer ", "Basic {}", "{}", "Bearer {} x", "Bearer vpt_", "Bearer \x00"]
)
def test_another_header_is_no_bearer(odd: str, sunflower: Tenant, owner: User):
    _token, secret = token_of(sunflower, owner)
    with CaptureQueriesContext(connection) as queries, pytest.raises(NoBearer):
        bearer_of(odd.replace("{}", secret))
    assert not queries, "the database is not asked"


def test_where_a_second_factor_is_asked_for_it_has_to_be_made_with_one(
    sunflower: Tenant, owner: User, bearer: Callable[[str], Bearer]
):
    secrets = {shown: token_of(sunflower, owner, has_second_factor=shown)[1] for shown in (True, False)}
    Tenant.objects.update(second_factor_required=True)
    assert bearer(secrets[True])
    with pytest.raises(ShutOut, match="second factor"):
        bearer(secrets[False])


def test_where_an_organisation_signs_in_by_itself_it_has_to_be_made_so(
    sunflower: Tenant, owner: User, bearer: Callable[[str], Bearer]
):
    provider = IdentityProvider(tenant=sunflower, slug="sun", issuer="https://localhost:1", only_single_sign_on=True)
    provider.client_secret = "a secret for tests"
    provider.save()
    assert bearer(token_of(sunflower, owner, provider_key=provider.key)[1])
    for key in ("", "another"):
        with pytest.raises(ShutOut, match="sign-in"):
            bearer(token_of(sunflower, owner, provider_key=key)[1])
    assert bearer(token_of(sunflower)[1]), "the tenant's own are nobody's sign-in"


def test_use_is_noted_every_few_minutes(sunflower: Tenant, owner: User, as_role: AsRole):
    token, _secret = token_of(sunflower, owner)
    for minutes, address, noted in ((60, "203.0.113.1", True), (4, "203.0.113.2", False), (6, "203.0.113.3", True)):
        if minutes != 60:
            Token.across_tenants.update(last_used_at=timezone.now() - timedelta(minutes=minutes))
        token.refresh_from_db()
        with as_role("portal_web", sunflower), scope(tenant=sunflower):
            note_use(token, address)
        token.refresh_from_db()
        assert (token.last_used_address == address) is noted


def test_web_sees_the_one_row_whose_secret_was_shown(sunflower: Tenant, pine: Tenant, as_role: AsRole):
    token, secret = token_of(sunflower)
    token_of(pine)
    with as_role("portal_web"):
        assert not Token.across_tenants.exists()
    with as_role("portal_web"):
        bearer_of(f"Bearer {secret}")
        assert list(Token.across_tenants.all()) == [token]


def test_web_gives_no_token_more_than_it_was_made_with(sunflower: Tenant, as_role: AsRole):
    token_of(sunflower)
    for change in ({"role": "restorer"}, {"machine_guids": None}, {"expires_at": timezone.now()}, {"token_hash": "x"}):
        with pytest.raises(DatabaseError, match="permission denied"), as_role("portal_web", sunflower):
            Token.across_tenants.update(**change)
