"""The link that ends one report by mail of a person, and nothing else. It is signed: nobody makes one for another.

It has no end, as mails have none. Who wants the report again chooses it in the portal.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.core import signing
from django.db.models import Q
from django.urls import reverse
from django_scopes import scope

from reports.models import ReportFile, ReportSubscription
from tenants.audit import record_of
from tenants.models import Membership
from tenants.wall import set_tenant

SALT = "reports.unsubscribe"


@dataclass(frozen=True)
class Left:
    """`membership` None = they belong there no more."""

    membership: Membership | None
    kind: str


def link(membership: Membership, kind: str) -> str:
    token = signing.dumps([membership.user_id, membership.tenant_id, kind], salt=SALT)
    return settings.PORTAL_URL + reverse("report-unsubscribe", args=[token])


def read(token: str) -> Left:
    """Whose link it is. In a transaction, behind that tenant's wall from here on.

    Raises `django.core.signing.BadSignature`.
    """
    user_id, tenant_id, kind = signing.loads(token, salt=SALT)
    set_tenant(tenant_id)
    there = Q(user=user_id, tenant=tenant_id, tenant__is_active=True)
    memberships = Membership.objects.filter(there).select_related("user", "tenant__brand").defer("tenant__brand__logo")
    return Left(memberships.first(), ReportFile.Kind(kind))


def unsubscribe(membership: Membership, kind: str, *, address: str | None) -> None:
    """Twice is as good as once."""
    with scope(tenant=membership.tenant):
        rows, _models = ReportSubscription.objects.filter(user=membership.user_id, kind=kind).delete()
        if rows:
            record_of(membership, "report_mails_changed", address=address, reports={kind: "never"})
