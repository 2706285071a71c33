"""Inviting, changing and removing people; the invited from the mail to their first page."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from unittest.mock import patch

import pytest
from bs4 import BeautifulSoup
from django.core import mail
from django.test import Client
from django.utils import timezone
from django_scopes import scope

from tenants.models import AuditEntry, Brand, Invitation, Membership, Role, Tenant, User
from tenants.people import Refused, change_member, remove_member
from tests.conftest import machine_of, person

pytestmark = pytest.mark.django_db

NEW = "new@sunflower.example"
MEMBERS = "/t/sunflower/members/"
PASSWORD = "a password for tests"


@pytest.fixture
def administrator(owner: User, as_web: Callable[[User], Client]) -> Client:
    return as_web(owner)


def _invite(browser: Client, **changes: object) -> object:
    form = {"email": NEW, "role": "viewer", "scope": "all"}
    return browser.post(f"{MEMBERS}invite/", {**form, **changes})


def _link(number: int = -1) -> str:
    (link,) = re.findall(r"http://testserver(/invitation/\S+)", str(mail.outbox[number].body))
    return link


def _join(browser: Client, **changes: str) -> object:
    browser.get(_link())
    form = {"name": "New Person", "password": PASSWORD, "again": PASSWORD}
    return browser.post("/invitation/", {**form, **changes})


# ── Invited ──────────────────────────────────────────────────────────────────


def test_an_invited_person_joins_with_the_role_and_machines_chosen(
    administrator: Client, sunflower: Tenant, as_web: Callable[[None], Client]
):
    machine_of(sunflower, "vm-1")
    machine_of(sunflower, "vm-2")
    assert _invite(administrator, email="New@Sunflower.example", role="member", scope="some", machines=["vm-1"]).url
    assert mail.outbox[0].to == [NEW] and "owner" in mail.outbox[0].body
    browser = as_web(None)
    answer = _join(browser)
    assert answer.status_code == 302 and answer.url == "/t/sunflower/"
    page = browser.get("/t/sunflower/machines/").content.decode()
    assert "machine vm-1" in page and "machine vm-2" not in page
    member = Membership.objects.get(user__email=NEW)
    assert (member.role, member.machine_guids, member.user.name) == ("member", ["vm-1"], "New Person")
    assert AuditEntry.across_tenants.filter(action="invitation_accepted", actor=member.user).count() == 1
    assert Client().login(email=NEW, password=PASSWORD)


def test_a_link_works_once(administrator: Client, as_web: Callable[[None], Client]):
    _invite(administrator)
    _join(as_web(None))
    again = as_web(None)
    again.get(_link())
    assert again.get("/invitation/").status_code == 404
    assert "no longer works" in again.get("/invitation/").content.decode()


@pytest.mark.parametrize(
    "changes",
    [{"expires_at": timezone.now() - timedelta(seconds=1)}, {"revoked_at": timezone.now()}],
    ids=["too old", "taken back"],
)
def test_a_link_that_is_over_admits_nobody(
    changes: dict[str, object], administrator: Client, as_web: Callable[[None], Client]
):
    _invite(administrator)
    Invitation.across_tenants.update(**changes)
    assert _join(as_web(None)).status_code == 404
    assert not User.objects.filter(email=NEW).exists()


def test_a_link_to_a_tenant_that_left_admits_nobody(
    administrator: Client, sunflower: Tenant, as_web: Callable[[None], Client]
):
    _invite(administrator)
    Tenant.objects.update(is_active=False)
    assert _join(as_web(None)).status_code == 404


def test_the_token_is_in_no_row_and_not_in_the_address_for_long(
    administrator: Client, as_web: Callable[[None], Client]
):
    _invite(administrator)
    token = _link().split("/")[2]
    assert token not in str(list(Invitation.across_tenants.values()))
    assert as_web(None).get(_link()).url == "/invitation/"


def test_an_invitation_taken_back_at_the_last_moment_leaves_nobody_behind(
    administrator: Client, as_web: Callable[[None], Client]
):
    _invite(administrator)
    with patch("portal.views.invitations.accept", return_value=False):
        assert _join(as_web(None)).status_code == 404
    assert not User.objects.filter(email=NEW).exists()


def test_guessing_links_is_slowed_down(as_web: Callable[[None], Client]):
    answers = [as_web(None).get(f"/invitation/guess-{number}/").status_code for number in range(22)]
    assert answers[0] == 302 and answers[-1] == 429


def test_a_newer_invitation_takes_the_place_of_the_older(administrator: Client, as_web: Callable[[None], Client]):
    _invite(administrator, role="viewer")
    _invite(administrator, role="member")
    browser = as_web(None)
    browser.get(_link(0))
    assert browser.get("/invitation/").status_code == 404
    _join(browser)
    assert Membership.objects.get(user__email=NEW).role == "member"


def test_who_has_an_account_signs_in_and_accepts(administrator: Client, pine: Tenant, as_web: Callable[..., Client]):
    known = person(pine, "known", Role.VIEWER)
    _invite(administrator, email=known.email)
    stranger = as_web(None)
    stranger.get(_link())
    assert "Sign in as known@pine.example" in stranger.get("/invitation/").content.decode()
    form = {"name": "x", "password": PASSWORD, "again": PASSWORD}
    stranger.post("/invitation/", form)
    assert not Membership.objects.filter(user=known, tenant__slug="sunflower").exists(), "the link alone is no login"
    browser = as_web(known)
    browser.get(_link())
    assert browser.post("/invitation/").url == "/t/sunflower/"
    assert browser.get("/t/sunflower/machines/").status_code == 200


def test_who_is_invited_sees_whose_portal_it_is(
    administrator: Client, sunflower: Tenant, as_web: Callable[[None], Client]
):
    brand = {"name": "Sun Backups", "accent": "plum", "logo": b"a picture", "logo_digest": "digest"}
    Brand.across_tenants.create(tenant=sunflower, **brand)
    _invite(administrator)
    browser = as_web(None)
    browser.get(_link())
    page = BeautifulSoup(browser.get("/invitation/").content, "html.parser")
    assert page.html["data-accent"] == "plum"
    assert page.select_one(".brand").get_text(strip=True) == "Sun Backups"
    assert page.select_one(".brand img")["src"] == "data:image/png;base64,YSBwaWN0dXJl"
    assert "Sun Backups" not in browser.get("/accounts/login/").content.decode()


def test_an_invitation_is_for_its_address_alone(administrator: Client, stranger: User, as_web: Callable[..., Client]):
    _invite(administrator)
    browser = as_web(stranger)
    browser.get(_link())
    assert "for another address" in browser.post("/invitation/").content.decode()
    assert browser.get("/t/sunflower/machines/").status_code == 404


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"again": "another password"}, "The two passwords differ."),
        ({"password": "short", "again": "short"}, "too short"),
        ({"name": ""}, "This field is required."),
    ],
)
def test_a_mistake_in_joining_is_said_and_harms_nothing(
    changes: dict[str, str], sentence: str, administrator: Client, as_web: Callable[[None], Client]
):
    _invite(administrator)
    browser = as_web(None)
    answer = _join(browser, **changes)
    assert answer.status_code == 422 and sentence in answer.content.decode()
    assert _join(browser).status_code == 302


def test_without_the_mail_nobody_is_invited(administrator: Client):
    with patch("django.core.mail.EmailMessage.send", side_effect=OSError):
        answer = _invite(administrator)
    page = answer.content.decode()
    assert answer.status_code == 422 and "The mail could not be sent" in page and NEW in page
    assert not Invitation.across_tenants.exists() and not AuditEntry.across_tenants.exists()


def test_a_member_is_not_invited_again(administrator: Client, owner: User):
    assert "a member already" in _invite(administrator, email=owner.email).content.decode()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scope": "some"}, "Tick at least one machine."),
        ({"scope": "some", "machines": ["vm-1"], "role": "admin"}, "An administrator sees every machine."),
        ({"scope": "some", "machines": ["vm-9"]}, "One of the machines is not yours any more."),
        ({"scope": "some", "machines": ["vm-1", "vm-9"]}, "One of the machines is not yours any more."),
        ({"role": "owner"}, "Select a valid choice."),
        ({"email": "nobody"}, "Enter a valid email address."),
    ],
)
def test_an_odd_invitation_is_refused(
    changes: dict[str, object], sentence: str, administrator: Client, sunflower: Tenant, pine: Tenant
):
    machine_of(sunflower, "vm-1")
    machine_of(pine, "vm-9")
    answer = _invite(administrator, **changes)
    assert answer.status_code == 422 and sentence in answer.content.decode()
    assert not Invitation.across_tenants.exists() and mail.outbox == []


def test_an_invitation_is_taken_back(administrator: Client):
    _invite(administrator)
    invitation = Invitation.across_tenants.get()
    page = administrator.get(MEMBERS).content.decode()
    assert NEW in page and "The link in the mail stops working at once." in page
    answer = administrator.post(f"/t/sunflower/invitations/{invitation.pk}/revoke/", follow=True)
    assert "no longer works" in answer.content.decode()
    assert not Invitation.across_tenants.get().is_open


# ── Members ──────────────────────────────────────────────────────────────────


def test_a_changed_role_acts_on_the_next_request(administrator: Client, sunflower: Tenant, as_web: Callable):
    member = person(sunflower, "member", Role.VIEWER)
    browser = as_web(member)
    assert browser.get(MEMBERS).status_code == 403
    membership = Membership.objects.get(user=member)
    administrator.post(f"{MEMBERS}{membership.pk}/", {"role": "admin", "scope": "all"})
    assert browser.get(MEMBERS).status_code == 200
    entry = AuditEntry.across_tenants.get(action="member_changed")
    assert (entry.detail["was"], entry.detail["now"]) == ("viewer", "admin")


def test_a_removed_person_sees_nothing_at_the_next_request(administrator: Client, sunflower: Tenant, as_web: Callable):
    member = person(sunflower, "member", Role.RESTORER)
    browser = as_web(member)
    assert browser.get("/t/sunflower/machines/").status_code == 200
    administrator.post(f"{MEMBERS}{Membership.objects.get(user=member).pk}/remove/")
    assert browser.get("/t/sunflower/machines/").status_code == 404
    assert User.objects.filter(pk=member.pk).exists()
    assert AuditEntry.across_tenants.get(action="member_removed").detail["email"] == member.email


@pytest.mark.parametrize("others", ["nobody", "limited", "switched off"])
def test_the_last_administrator_stays(others: str, administrator: Client, owner: User, sunflower: Tenant):
    if others != "nobody":
        other = person(sunflower, "other", Role.ADMIN)
        if others == "limited":
            Membership.objects.filter(user=other).update(machine_guids=["vm-1"])
        else:
            User.objects.filter(pk=other.pk).update(is_active=False)
    membership = Membership.objects.get(user=owner)
    lowered = administrator.post(f"{MEMBERS}{membership.pk}/", {"role": "viewer", "scope": "all"})
    removed = administrator.post(f"{MEMBERS}{membership.pk}/remove/")
    assert (lowered.status_code, removed.status_code) == (422, 422)
    assert "Somebody has to be the administrator" in lowered.content.decode()
    assert Membership.objects.get(user=owner).role == "admin"


def test_who_became_the_last_administrator_meanwhile_stays(owner: User, sunflower: Tenant):
    """What the page showed is old: the colleague was a viewer then, and is the only administrator now."""
    colleague = Membership.objects.get(user=person(sunflower, "colleague", Role.VIEWER))
    as_shown = Membership.objects.get(pk=colleague.pk)
    Membership.objects.filter(pk=colleague.pk).update(role="admin")
    Membership.objects.filter(user=owner).update(role="viewer")
    by = Membership.objects.get(user=owner)
    with scope(tenant=sunflower), pytest.raises(Refused):
        remove_member(by, as_shown, address=None)
    with scope(tenant=sunflower), pytest.raises(Refused):
        change_member(by, as_shown, "viewer", None, address=None)
    assert Membership.objects.get(pk=colleague.pk).role == "admin"


def test_the_audit_names_whom_it_was_about(administrator: Client):
    _invite(administrator)
    assert NEW in administrator.get("/t/sunflower/audit/").content.decode()


def test_an_administrator_leaves_when_there_is_another(administrator: Client, owner: User, sunflower: Tenant):
    person(sunflower, "other", Role.ADMIN)
    assert administrator.post(f"{MEMBERS}{Membership.objects.get(user=owner).pk}/remove/").url == "/"
    assert administrator.get(MEMBERS).status_code == 404


def test_last_seen_is_of_this_tenant_and_not_of_a_poll(administrator: Client, owner: User):
    administrator.get("/t/sunflower/machines/", headers={"HX-Request": "true"})
    assert Membership.objects.get(user=owner).last_seen_at is None
    administrator.get("/t/sunflower/machines/")
    seen = Membership.objects.get(user=owner).last_seen_at
    administrator.get("/t/sunflower/machines/")
    assert seen and Membership.objects.get(user=owner).last_seen_at == seen


def test_a_foreign_member_and_invitation_are_not_there(administrator: Client, stranger: User, pine: Tenant):
    theirs = Membership.objects.get(user=stranger)
    invitation = Invitation.across_tenants.create(
        tenant=pine, email=NEW, role="viewer", token_hash="t", expires_at=timezone.now() + timedelta(hours=1)
    )
    for end in ("", "remove/"):
        foreign = administrator.post(f"{MEMBERS}{theirs.pk}/{end}", {"role": "viewer", "scope": "all"})
        assert foreign.status_code == administrator.post(f"{MEMBERS}{10**18}/{end}").status_code == 404
        assert administrator.post(f"{MEMBERS}{10**30}/{end}").status_code == 404
    assert administrator.post(f"/t/sunflower/invitations/{invitation.pk}/revoke/").status_code == 404
    theirs.refresh_from_db()
    assert theirs.role == "admin" and Invitation.across_tenants.get().revoked_at is None


def test_an_administrator_of_some_machines_manages_nobody(sunflower: Tenant, as_web: Callable[[User], Client]):
    some = person(sunflower, "some", Role.ADMIN)
    Membership.objects.filter(user=some).update(machine_guids=["vm-1"])
    assert as_web(some).get(MEMBERS).status_code == 403
    assert _invite(as_web(some)).status_code == 403
