"""The mail of an invitation, the only place that ever has its token beside the link."""

from __future__ import annotations

import smtplib

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _

from tenants.models import Invitation
from tenants.people import Refused


def send(invitation: Invitation, token: str) -> None:
    """To be called in the transaction that made the invitation: raises `Refused`, for without it nobody could come."""
    # The operator site, which invites too, does not serve this address itself.
    context = {"invitation": invitation, "link": f"{settings.PORTAL_URL}/invitation/{token}/"}
    subject = " ".join(render_to_string("mail/invitation_subject.txt", context).split())
    try:
        EmailMessage(subject, render_to_string("mail/invitation.txt", context), to=[invitation.email]).send()
    except (OSError, smtplib.SMTPException) as error:
        raise Refused(_("The mail could not be sent, so nobody was invited. Try again in a moment.")) from error
