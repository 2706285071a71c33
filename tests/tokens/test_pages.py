"""Making, listing and revoking tokens."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from tenants.logs import without_secrets
from tenants.models import AuditEntry, Membership, Role, Tenant, User
from tests.conftest import is_under_the_policy, machine_of, person
from tests.tokens.conftest import token_of
from tokens import making
from tokens.models import Token
from tokens.secret import hash_of, is_well_formed
from vprotect_bridge.leaving import tenant_removed

pytestmark = pytest.mark.django_db

Browser = Callable[[User], Client]
OWN, OF_TENANT = "/t/sunflower/tokens/", "/t/sunflower/settings/tokens/"


def wanted(**fields: Any) -> dict[str, Any]:
    return {"name": "Deploy", "role": "viewer", "scope": "all", "days": "30", "client_key": str(uuid4()), **fields}


def said(answer: Any) -> str:
    return answer.content.decode()


def secret_in(answer: Any) -> str:
    found = set(re.findall(r"vpt_[0-9A-Za-z]{38}", said(answer)))
    assert len(found) == 1
    return str(found.pop())


@pytest.mark.parametrize(("address", "is_personal"), [(OWN, True), (OF_TENANT, False)])
def test_a_token_is_shown_once_and_only_its_hash_is_kept(
    address: str, is_personal: bool, owner: User, confirmed: Browser
):
    browser = confirmed(owner)
    answer = browser.post(f"{address}new/", wanted())
    secret = secret_in(answer)
    token = Token.across_tenants.get()
    assert is_well_formed(secret) and token.token_hash == hash_of(secret) and secret.startswith(token.hint)
    assert (token.membership_id is not None) is is_personal and token.created_by == owner
    assert abs(token.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)
    assert "no-store" in answer["Cache-Control"] and is_under_the_policy(said(answer))
    listed = said(browser.get(address))
    assert secret not in listed and token.hint in listed and "not yet" in listed
    entry = AuditEntry.across_tenants.get(action="token_made")
    assert secret not in str(entry.__dict__) and entry.detail["token"] == "Deploy"
    assert "Deploy" in said(browser.get("/t/sunflower/audit/"))


def test_the_same_form_sent_again_makes_no_second_one(owner: User, confirmed: Browser):
    browser, form = confirmed(owner), wanted()
    browser.post(f"{OWN}new/", form)
    again = browser.post(f"{OWN}new/", form)
    assert again.status_code == 422 and "shown once" in said(again) and Token.across_tenants.count() == 1


def test_whoever_finds_an_open_browser_makes_none(owner: User, as_web: Browser):
    for page in (OWN, OF_TENANT):
        answer = as_web(owner).post(f"{page}new/", wanted())
        assert answer["Location"].startswith("/accounts/reauthenticate/?next=%2Ft%2Fsunflower%2F")
    assert not Token.across_tenants.exists()


@pytest.mark.parametrize(
    ("role", "offered"),
    [
        ("viewer", ["viewer"]),
        ("member", ["viewer", "member"]),
        ("restorer", ["viewer", "member", "restorer"]),
        ("admin", ["viewer", "member", "restorer"]),
    ],
)
def test_nobody_makes_one_that_may_more_than_they(role: str, offered: list[str], sunflower: Tenant, confirmed: Browser):
    browser = confirmed(person(sunflower, "somebody", role))
    assert re.findall(r'name="role" value="(\w+)"', said(browser.get(f"{OWN}new/"))) == offered
    for other in ("viewer", "member", "restorer", "admin"):
        answer = browser.post(f"{OWN}new/", wanted(role=other))
        assert answer.status_code == (200 if other in offered else 422), other


def test_machines_are_chosen_from_ones_own(sunflower: Tenant, pine: Tenant, confirmed: Browser):
    for tenant, guid in ((sunflower, "vm-1"), (sunflower, "vm-2"), (pine, "vm-9")):
        machine_of(tenant, guid)
    user = person(sunflower, "somebody", Role.VIEWER)
    Membership.objects.filter(user=user).update(machine_guids=["vm-1"])
    browser = confirmed(user)
    for guid in ("vm-2", "vm-9", "vm-7"):
        answer = browser.post(f"{OWN}new/", wanted(scope="some", machines=[guid]))
        assert answer.status_code == 422 and "not yours any more" in said(answer)
    assert browser.post(f"{OWN}new/", wanted(scope="some")).status_code == 422
    assert browser.post(f"{OWN}new/", wanted(scope="some", machines=["vm-1"])).status_code == 200
    assert Token.across_tenants.get().machine_guids == ["vm-1"]


def test_the_operator_says_how_long_one_works(owner: User, confirmed: Browser, settings: Any):
    settings.API_TOKEN_DAYS = 60
    browser = confirmed(owner)
    form = said(browser.get(f"{OWN}new/"))
    assert re.findall(r'<option value="(\d+)"', form) == ["7", "30", "60"] and "60 days at most" in form
    for days in ("61", "90", "0", "-1", "1e3", "forever"):
        assert browser.post(f"{OWN}new/", wanted(days=days)).status_code == 422
    assert browser.post(f"{OWN}new/", wanted(days="60")).status_code == 200


def test_so_many_and_no_more(owner: User, confirmed: Browser, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(making, "MOST_OF_A_PERSON", 1)
    browser = confirmed(owner)
    assert browser.post(f"{OWN}new/", wanted()).status_code == 200
    assert "1 tokens already" in said(browser.post(f"{OWN}new/", wanted()))
    Token.across_tenants.update(expires_at=timezone.now())
    assert browser.post(f"{OWN}new/", wanted()).status_code == 200, "one whose time is over does not count"


def test_what_was_typed_is_there_after_an_error(owner: User, confirmed: Browser):
    page = said(confirmed(owner).post(f"{OWN}new/", wanted(name="", role="member", days="7")))
    assert re.search(r'value="member"[^>]*checked', page)
    assert '<option value="7" selected>' in page and "Nothing was done yet" in page


def test_revoking_acts_at_once_and_is_in_the_audit(sunflower: Tenant, owner: User, as_web: Browser):
    token, _secret = token_of(sunflower, owner)
    browser = as_web(owner)
    browser.post(f"{OWN}{token.pk}/revoke/")
    token.refresh_from_db()
    assert token.revoked_at and token.name not in said(browser.get(OWN)).partition("no longer works")[2]
    assert browser.post(f"{OWN}{token.pk}/revoke/").status_code == 404
    assert AuditEntry.across_tenants.filter(action="token_revoked").count() == 1


def test_administrators_see_and_revoke_everybodys_and_others_their_own(sunflower: Tenant, owner: User, as_web: Browser):
    colleague = person(sunflower, "colleague", Role.MEMBER)
    theirs, _secret = token_of(sunflower, colleague, name="Of a colleague")
    tenants, _secret = token_of(sunflower, name="Of all", created_by=owner)
    mine, _secret = token_of(sunflower, owner, name="Of mine")
    assert [name in said(as_web(colleague).get(OWN)) for name in ("Of a colleague", "Of all", "Of mine")] == [
        *(True, False, False)
    ]
    page = said(as_web(owner).get(OF_TENANT))
    assert all(token.name in page for token in (theirs, tenants, mine)) and colleague.email in page
    assert as_web(colleague).post(f"{OWN}{mine.pk}/revoke/").status_code == 404
    assert as_web(owner).post(f"{OWN}{theirs.pk}/revoke/").status_code == 404
    assert as_web(owner).post(f"{OF_TENANT}{theirs.pk}/revoke/").status_code == 302
    theirs.refresh_from_db()
    entry = AuditEntry.across_tenants.get(action="token_revoked")
    assert theirs.revoked_at and entry.actor == owner and entry.detail["owner"] == colleague.email


def test_a_tenants_token_whose_maker_has_left_is_pointed_out(sunflower: Tenant, owner: User, as_web: Browser):
    maker = person(sunflower, "maker", Role.ADMIN)
    token_of(sunflower, created_by=maker)
    assert "may know it still" not in said(as_web(owner).get(OF_TENANT))
    Membership.objects.filter(user=maker).update(role=Role.MEMBER)
    assert "may know it still" in said(as_web(owner).get(OF_TENANT))


def test_a_list_of_tokens_costs_the_same_however_long(sunflower: Tenant, owner: User, as_web: Browser):
    from tests.portal.conftest import counted

    browser, costs = as_web(owner), []
    browser.get(OF_TENANT)
    for _ in range(2):
        for _ in range(3):
            token_of(sunflower, owner)
        with counted() as statements:
            browser.get(OF_TENANT)
        costs.append(len(statements))
    assert costs[0] == costs[1] <= 8


def test_the_account_leads_to_the_tokens_of_an_organisation(
    sunflower: Tenant, pine: Tenant, owner: User, as_web: Browser
):
    assert as_web(owner).get("/accounts/tokens/")["Location"] == OWN
    Membership.objects.create(user=owner, tenant=pine, role=Role.VIEWER)
    assert "/t/pine/tokens/" in said(as_web(owner).get("/accounts/tokens/"))


def test_the_organisations_tokens_are_under_organisation_and_ones_own_are_not(owner: User, as_web: Browser):
    marked = re.compile(r'<a href="/t/sunflower/members/" aria-current="page"')
    assert marked.search(said(as_web(owner).get(OF_TENANT))) and not marked.search(said(as_web(owner).get(OWN)))


def test_a_removed_tenants_tokens_go_with_it(sunflower: Tenant, pine: Tenant):
    token_of(sunflower)
    kept, _secret = token_of(pine)
    tenant_removed.send(Tenant, tenant=sunflower)
    assert list(Token.across_tenants.all()) == [kept]


@pytest.mark.parametrize("text", ["Authorization: Bearer {}", "GET /api?token={} HTTP/1.1", "{'token': '{}'}", "{}"])
def test_no_token_is_in_a_log(text: str, sunflower: Tenant):
    _token, secret = token_of(sunflower)
    assert secret[4:] not in without_secrets(text.replace("{}", secret))


def test_the_list_says_what_a_token_may_now(sunflower: Tenant, owner: User, confirmed: Browser):
    restorer = person(sunflower, "restorer", Role.RESTORER)
    token_of(sunflower, restorer)
    Membership.objects.filter(user=restorer).update(role=Role.VIEWER)
    listed = said(confirmed(owner).get(OF_TENANT))
    assert "Viewer<br><small>made for Restorer, more than its owner may now" in listed
