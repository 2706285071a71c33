"""One click ends one report by mail of a person: with a link that nobody can guess, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import settings
from django.core import signing
from django.test import Client
from django.utils import timezone

from reports.mailing import written
from reports.models import ReportMail, ReportSubscription
from reports.unsubscribing import SALT, link
from tenants.models import AuditEntry, Membership, Role, Tenant, User
from tests.conftest import WebClient, is_under_the_policy, person

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def subscribed(user: User, tenant: Tenant, kind: str = "protection") -> ReportSubscription:
    return ReportSubscription.across_tenants.create(
        user=user, tenant=tenant, kind=kind, every="month", next_at=timezone.now()
    )


@pytest.fixture
def address(owner: User, sunflower: Tenant) -> str:
    subscribed(owner, sunflower)
    return link(owner.memberships.get(), "protection").removeprefix(settings.PORTAL_URL)


def left() -> list[tuple[str, str, str]]:
    return sorted(ReportSubscription.across_tenants.values_list("user__email", "tenant__slug", "kind"))


def test_a_look_changes_nothing(address: str, as_web: Browser):
    html = as_web(None).get(address).content.decode()
    assert is_under_the_policy(html) and "owner@sunflower.example" in html and len(left()) == 1


def test_a_mail_program_does_it_without_cookie_and_token(address: str, owner: User, sunflower: Tenant, pine: Tenant):
    colleague = person(sunflower, "colleague", Role.VIEWER)
    for user, tenant, kind in (
        (owner, sunflower, "usage"),
        (owner, pine, "protection"),
        (colleague, sunflower, "protection"),
    ):
        subscribed(user, tenant, kind)
    before = left()
    program = WebClient(enforce_csrf_checks=True)
    answer = program.post(address, ONE_CLICK, headers={"Origin": "https://mail.example"})
    assert answer.status_code == 200 and not answer.cookies
    assert set(before) - set(left()) == {("owner@sunflower.example", "sunflower", "protection")}
    assert program.post(address, ONE_CLICK).status_code == 200
    entry = AuditEntry.across_tenants.get(action="report_mails_changed")
    assert entry.detail["reports"] == {"protection": "never"} and entry.actor == owner


def test_a_link_cannot_be_made_or_bent(address: str, owner: User):
    *_, token, _end = address.split("/")
    bent = [token[:-1], token + "x", "x", signing.dumps([owner.pk, 1, "usage"])]
    bent += [signing.dumps([owner.pk, 1, "usage"], salt=SALT, key="another key")]
    for wrong in bent:
        for method in ("get", "post"):
            assert getattr(WebClient(), method)(f"/reports/unsubscribe/{wrong}/").status_code == 404
    assert len(left()) == 1


def test_who_belongs_there_no_more_is_told_no_name(address: str, owner: User):
    Membership.objects.filter(user=owner).delete()
    for method in ("get", "post"):
        answer = getattr(WebClient(), method)(address)
        assert answer.status_code == 200 and "Sunflower" not in answer.content.decode()


def test_each_mail_has_the_link(owner: User, sunflower: Tenant):
    mail = ReportMail(
        user=owner, tenant=sunflower, kind="protection", first_day="2026-11-16", last_day="2026-11-22", enclosed="link"
    )
    mail.save()
    mail.refresh_from_db()
    message = written(mail)
    assert message is not None
    there = link(owner.memberships.get(), "protection")
    assert message.extra_headers["List-Unsubscribe"] == f"<{there}>" and there in str(message.body)
    assert message.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
