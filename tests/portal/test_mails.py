"""Each mail in both of its parts: the same words, nothing that is fetched, in the reader's language and our colours."""

from __future__ import annotations

import re
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.core import mail
from django.test import Client

from tenants import invitation_mail, mails
from tenants.models import Brand, Invitation, Role, Tenant, User

LINK = "https://portal.example/somewhere/?a=1&b=2"
CONTEXT = {"password_reset_url": LINK, "activate_url": LINK, "email": "somebody@x.example"}


def parts(message: Any) -> tuple[str, str]:
    """As text and as HTML."""
    ((html, kind),) = message.alternatives
    assert kind == "text/html"
    return str(message.body), str(html)


@pytest.mark.parametrize("name", sorted(mails.OF_ALLAUTH))
def test_both_parts_say_the_same_and_fetch_nothing(name: str):
    letter = mails.OF_ALLAUTH[name](CONTEXT)
    text, html = parts(mails.message(letter, "somebody@x.example"))
    soup = BeautifulSoup(html, "html.parser")
    read = " ".join(soup.get_text().split())
    for sentence in (*letter.paragraphs, *letter.closing):
        assert sentence in text and sentence in read
    if letter.link:
        assert letter.link in text and soup.select_one(f'a[href="{LINK}"]'), "its text is no HTML"
    assert not soup.select("img, link, script") and not re.search(r"url\(|@import", html)


def test_an_invitation_is_in_the_name_and_colour_of_its_tenant(sunflower: Tenant, owner: User):
    Brand.across_tenants.create(tenant=sunflower, name="Sun Backups", accent="plum", support_email="help@sun.example")
    invited = invitation_of(sunflower, owner)
    invitation_mail.send(invited, "a-token")
    text, html = parts(mail.outbox[0])
    assert mail.outbox[0].subject == "You are invited to the backups of Sunflower"
    assert "/invitation/a-token/" in text and "/invitation/a-token/" in html
    assert "Sun Backups" in text and "Sun Backups" in html and "#84266c" in html and "mailto:help@sun.example" in text


def test_a_name_is_text_in_html_and_as_it_is_in_text(sunflower: Tenant, owner: User):
    sunflower.name = "<b>Sun</b> & Sons\r\nBcc: x@y.example"
    invitation_mail.send(invitation_of(sunflower, owner), "a-token")
    text, html = parts(mail.outbox[0])
    assert "\n" not in mail.outbox[0].subject and "<b>Sun" not in html and "&lt;b&gt;Sun" in html
    assert "<b>Sun</b> & Sons" in text


def test_a_mail_is_in_the_language_of_who_gets_it(owner: User, settings: Any, client: Client):
    settings.LANGUAGES = [("en", "English"), ("de", "Deutsch")]
    User.objects.filter(pk=owner.pk).update(language="de")
    client.post("/accounts/password/reset/", {"email": owner.email}, headers={"Accept-Language": "en"})
    assert '<html lang="de">' in parts(mail.outbox[0])[1]


def invitation_of(tenant: Tenant, by: User) -> Invitation:
    return Invitation(tenant=tenant, email="new@x.example", role=Role.VIEWER, invited_by=by)
