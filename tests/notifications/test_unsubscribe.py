"""One click ends a person's mails of one tenant: with a link that nobody can guess, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import settings
from django.core import signing
from django.test import Client

from notifications.models import PersonalChoices, TenantChoices
from notifications.unsubscribing import SALT, link
from tenants.models import Membership, Role, Tenant, User
from tests.conftest import WebClient, is_under_the_policy, person

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def address(owner: User) -> str:
    return link(owner.memberships.get()).removeprefix(settings.PORTAL_URL)


def by_mail() -> dict[str, str]:
    return dict(PersonalChoices.across_tenants.values_list("user__email", "by_mail"))


def test_a_look_changes_nothing(address: str, as_web: Browser):
    answer = as_web(None).get(address)
    assert answer.status_code == 200 and is_under_the_policy(answer.content.decode())
    assert "owner@sunflower.example" in answer.content.decode() and by_mail() == {}


def test_a_mail_program_does_it_without_cookie_and_token(address: str, sunflower: Tenant):
    TenantChoices.across_tenants.create(tenant=sunflower, backups="always", by_mail="at_once")
    program = WebClient(enforce_csrf_checks=True)
    answer = program.post(address, ONE_CLICK, headers={"Origin": "https://mail.example"})
    assert answer.status_code == 200 and not answer.cookies
    chosen = PersonalChoices.across_tenants.get()
    assert (chosen.by_mail, chosen.backups) == ("off", "always"), "what is told in the portal stays"
    assert program.post(address, ONE_CLICK).status_code == 200


def test_it_is_about_this_person_and_this_tenant(address: str, owner: User, sunflower: Tenant, pine: Tenant):
    colleague = person(sunflower, "colleague", Role.VIEWER)
    for user, tenant in ((owner, pine), (colleague, sunflower)):
        PersonalChoices.across_tenants.create(user=user, tenant=tenant, by_mail="at_once")
    WebClient().post(address, ONE_CLICK)
    off = PersonalChoices.across_tenants.get(by_mail="off")
    assert (off.user, off.tenant) == (owner, sunflower) and PersonalChoices.across_tenants.count() == 3


def test_whoever_is_signed_in_it_is_about_whom_the_link_names(address: str, stranger: User, as_web: Browser):
    as_web(stranger).post(address, ONE_CLICK)
    assert by_mail() == {"owner@sunflower.example": "off"}


def test_a_link_cannot_be_made_or_bent(address: str, owner: User):
    *_, token, _end = address.split("/")
    _body, *rest = token.split(":")
    other = signing.dumps([owner.pk + 1, 1], salt=SALT).split(":")[0]
    bent = [f"{other}:{':'.join(rest)}", token[:-1], token + "x", token.upper(), "x"]
    bent += [signing.dumps([owner.pk, 1]), signing.dumps([owner.pk, 1], salt=SALT, key="another key")]
    for wrong in bent:
        for method in ("get", "post"):
            assert getattr(WebClient(), method)(f"/notifications/unsubscribe/{wrong}/").status_code == 404
    assert by_mail() == {}


def test_a_link_of_before_the_key_was_changed_still_works(address: str, settings: object):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]  # type: ignore[attr-defined]
    settings.SECRET_KEY = "another key for tests only, worth nothing, 0123456789"  # type: ignore[attr-defined]
    assert WebClient().post(address, ONE_CLICK).status_code == 200
    assert by_mail() == {"owner@sunflower.example": "off"}


def test_who_belongs_there_no_more_is_told_no_name(address: str, owner: User):
    Membership.objects.filter(user=owner).delete()
    for method in ("get", "post"):
        answer = getattr(WebClient(), method)(address)
        assert answer.status_code == 200 and "Sunflower" not in answer.content.decode()
    assert by_mail() == {}
