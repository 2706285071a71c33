"""The access matrix of programs, walked: every address of the API and every kind of token, with each wall alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tenants.models import Membership, Role, Tenant, User
from tests.access.conftest import Cast, asked
from tests.access.matrix import API_LOOKS, API_MATRIX, API_WISHES, BEARERS
from tests.conftest import WebClient, person
from tests.tokens.conftest import token_of
from tokens.models import Token
from tokens.secret import new_secret
from vprotect_bridge.models import Operation

pytestmark = pytest.mark.django_db

# Well formed, and impossible: what is asked for is looked up, and nothing is made.
BODIES = {"api-backups": b'{"type":"incremental"}', "api-restores": b'{"restore_point":"none","place":"nowhere"}'}


@pytest.fixture
def secrets(sunflower: Tenant, pine: Tenant, cast: Cast) -> dict[str, str]:
    """One of each kind, by its name in the matrix."""
    people: dict[str, Any] = cast
    shrunk: User = person(sunflower, "shrunk", Role.RESTORER)
    found = {
        **{role: token_of(sunflower, people[role])[1] for role in ("viewer", "member", "restorer")},
        "shrunk": token_of(sunflower, shrunk)[1],
        "limited": token_of(sunflower, people["admin"], machine_guids=["vm-7"])[1],
        "ours": token_of(sunflower)[1],
        "abroad": token_of(pine, people["stranger"])[1],
        "revoked": token_of(sunflower, people["admin"], revoked_at=timezone.now())[1],
        "expired": token_of(sunflower, people["admin"], expires_at=timezone.now() - timedelta(seconds=1))[1],
        "unknown": new_secret(),
    }
    Membership.objects.filter(user=shrunk).update(role=Role.VIEWER)
    gone = person(sunflower, "gone", Role.RESTORER)
    found["removed"] = token_of(sunflower, gone)[1]
    Membership.objects.filter(user=gone).delete()
    return found


def test_every_address_of_the_api_is_in_it():
    assert set(API_MATRIX) == {*API_LOOKS, *API_WISHES}


@pytest.mark.parametrize("name", API_MATRIX)
def test_every_token_gets_what_is_its_own(name: str, wall: str, secrets: dict[str, str], addresses: dict[str, str]):
    method, expected = API_MATRIX[name]
    wrong = []
    for bearer in BEARERS:
        for asks in (method, "HEAD" if method == "GET" else method, "DELETE"):
            headers = {"Authorization": f"Bearer {secrets[bearer]}", "Idempotency-Key": bearer}
            body = BODIES.get(name, b"")
            answer = asked(WebClient(), asks, addresses[name], body, "application/json", **headers)
            if answer.status_code != (405 if asks == "DELETE" else expected[bearer]):
                wrong.append(f"{bearer}: {asks} {addresses[name]} → {answer.status_code}")
            if bearer == "abroad" and b"sunflower" in answer.content.lower():
                wrong.append(f"{bearer}: {asks} {addresses[name]} tells of Sunflower")
    assert not wrong, wall
    assert not Operation.across_tenants.filter(token_name__gt="").exists()
    assert Token.across_tenants.filter(revoked_at=None).count() >= 8, "nothing of it touched a token"
