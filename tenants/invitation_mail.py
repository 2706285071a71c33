"""The mail of an invitation, the only place that ever has its token beside the link."""

from __future__ import annotations

import smtplib

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from tenants import mails
from tenants.models import Invitation, User
from tenants.people import Refused
from tenants.preferences import as_read_by


def send(invitation: Invitation, token: str) -> None:
    """To be called in the transaction that made the invitation: raises `Refused`, for without it nobody could come."""
    # The operator site, which invites too, does not serve this address itself.
    link = f"{settings.PORTAL_URL}/invitation/{token}/"
    invited = User.objects.filter(email=invitation.email.lower()).first()
    with as_read_by(invited, invitation.tenant):
        mail = mails.message(mails.invitation(invitation, link), invitation.email, invitation.tenant)
    try:
        mail.send()
    except (OSError, smtplib.SMTPException) as error:
        raise Refused(_("The mail could not be sent, so nobody was invited. Try again in a moment.")) from error
