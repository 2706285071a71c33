"""The link that ends a person's mails of one tenant, and nothing else. It is signed: nobody makes one for another.

It has no end, as mails have none. Who may change their choices for good signs in.
"""

from __future__ import annotations

from django.conf import settings
from django.core import signing
from django.urls import reverse
from django_scopes import scope

from notifications.models import ByMail, PersonalChoices, TenantChoices
from tenants.models import Membership
from tenants.wall import set_tenant

SALT = "notifications.unsubscribe"


def link(membership: Membership) -> str:
    token = signing.dumps([membership.user_id, membership.tenant_id], salt=SALT)
    return settings.PORTAL_URL + reverse("unsubscribe", args=[token])


def membership_of(token: str) -> Membership | None:
    """Whose link it is; None = they belong there no more. In a transaction, behind that tenant's wall from here on.

    Raises `django.core.signing.BadSignature`.
    """
    user_id, tenant_id = signing.loads(token, salt=SALT)
    set_tenant(tenant_id)
    memberships = Membership.objects.filter(user=user_id, tenant=tenant_id, tenant__is_active=True)
    return memberships.select_related("user", "tenant__brand").defer("tenant__brand__logo").first()


def unsubscribe(membership: Membership) -> None:
    with scope(tenant=membership.tenant):
        own = PersonalChoices.objects.filter(user=membership.user_id).first()
        if own is None:
            was = TenantChoices.objects.first() or TenantChoices()
            kept = {field.name: getattr(was, field.name) for field in was._meta.fields if field.choices}
            own = PersonalChoices(user_id=membership.user_id, tenant=membership.tenant, **kept)
        own.by_mail = ByMail.OFF
        own.save()
