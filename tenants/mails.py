"""Every mail that leaves, as HTML and as text from the same words, in the language and time zone of who gets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from tenants.brands import Look, look_of
from tenants.models import Invitation, Tenant


@dataclass(frozen=True)
class Listing:
    """Several things of one kind under a title, each with what else is to say of it; `more`: how many are left out."""

    title: str
    rows: tuple[tuple[str, str], ...]
    more: int = 0


@dataclass(frozen=True)
class Letter:
    """`button` and `link`: the one thing to do, if there is one. `closing`: what else is good to know, small.

    `leave`: where a reader says that no more of these shall come.
    """

    subject: str
    paragraphs: tuple[str, ...]
    listings: tuple[Listing, ...] = ()
    button: str = ""
    link: str = ""
    closing: tuple[str, ...] = ()
    leave: str = ""


def message(
    letter: Letter, to: str, tenant: Tenant | None = None, headers: dict[str, str] | None = None
) -> EmailMultiAlternatives:
    look: Look = look_of(tenant)
    context = {"letter": letter, "look": look, "language": get_language()}
    # A header has one line, whatever a name may hold.
    subject = " ".join(letter.subject.split())
    mail = EmailMultiAlternatives(subject, render_to_string("mail/letter.txt", context), to=[to], headers=headers)
    mail.attach_alternative(render_to_string("mail/letter.html", context), "text/html")
    return mail


def invitation(of: Invitation, link: str) -> Letter:
    names = {"by": of.inviter, "tenant": of.tenant.name}
    return Letter(
        subject=_("You are invited to the backups of %(tenant)s") % names,
        paragraphs=(_("%(by)s invites you to the backups of %(tenant)s.") % names,),
        button=_("Open the invitation"),
        link=link,
        closing=(
            _("The link works for 24 hours, once, and for you alone."),
            _("If you did not expect this, do nothing: nobody gets in without the link."),
        ),
    )


def password_reset(context: dict[str, Any]) -> Letter:
    return Letter(
        subject=_("A new password"),
        paragraphs=(_("You, or somebody else, asked for a new password for your account."),),
        button=_("Choose a new password"),
        link=context["password_reset_url"],
        closing=(
            _("The link works once. Until then your password stays as it is."),
            _("If it was not you, there is nothing to do."),
        ),
    )


def email_confirmation(context: dict[str, Any]) -> Letter:
    return Letter(
        subject=_("Confirm your address"),
        paragraphs=(_("An account here has this e-mail address. Confirm that it is yours, then you can sign in."),),
        button=_("Confirm the address"),
        link=context["activate_url"],
        closing=(_("If you have no account here, do nothing."),),
    )


def unknown_account(context: dict[str, Any]) -> Letter:
    asked_for = _("Somebody asked for a new password for %(email)s. There is no account with this address.")
    return Letter(
        subject=_("No account with this address"),
        paragraphs=(
            asked_for % {"email": context["email"]},
            _(
                "If it was you: perhaps your account has another address. The administrator of your organisation can "
                "tell you, or add you."
            ),
        ),
        closing=(_("If it was not you, there is nothing to do."),),
    )


# What django-allauth sends, by its own name for it. Any other mail of its is in its own words, as text.
OF_ALLAUTH = {
    "account/email/password_reset_key": password_reset,
    "account/email/email_confirmation": email_confirmation,
    "account/email/email_confirmation_signup": email_confirmation,
    "account/email/unknown_account": unknown_account,
}
