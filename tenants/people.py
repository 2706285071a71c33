"""Who belongs to a tenant: inviting, changing, removing. Each is audited, and a tenant never loses its last admin."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.audit import record, record_of
from tenants.models import IdentityProvider, Invitation, Membership, Role, Tenant, User
from tenants.wall import set_tenant, show_invitation

INVITATION_LASTS = timedelta(hours=24)
LAST_ADMINISTRATOR = _("Somebody has to be the administrator: make another person one first.")
ADMINISTRATOR_OF_SOME = _("An administrator sees every machine. Choose all machines, or another role.")


COME_BY_THEMSELVES = _("People come through your organisation's sign-in here. Let them in there.")
NO_SECOND_FACTOR_THERE = _(
    "Your organisation's sign-in is not known to ask for a second factor, so nobody who comes through it could go on. "
    "Your provider can change that."
)


class Refused(Exception):
    """Cannot be; `field` of the form is where it is said, empty for the form as a whole."""

    def __init__(self, user_message: object, field: str = "") -> None:
        super().__init__(str(user_message))
        self.user_message, self.field = user_message, field


# ── Invitations ──────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Inviter:
    """Who invites to a tenant: one of its administrators, or an operator. `address`: from where, an IP address."""

    tenant: Tenant
    user: AbstractBaseUser | AnonymousUser
    role: str
    address: str | None

    @classmethod
    def member(cls, membership: Membership, address: str | None) -> Inviter:
        return cls(membership.tenant, membership.user, membership.role, address)

    def record(self, action: str, **detail: Any) -> None:
        record(self.tenant, self.user, self.role, action, address=self.address, **detail)


def invite(
    by: Inviter, email: str, role: str, machine_guids: Sequence[str] | None, *, may_open_backups: bool = False
) -> tuple[Invitation, str]:
    """The invitation and its token, which is in no row. An open one for the same address stops to work.

    Raises `Refused` for somebody who is a member already.
    """
    email = email.lower()
    _check_scope(role, machine_guids)
    if is_only_way_in(by.tenant):
        raise Refused(COME_BY_THEMSELVES)
    if Membership.objects.filter(tenant=by.tenant, user__email=email).exists():
        raise Refused(_("This person is a member already."), "email")
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        lock(by.tenant)
        unused_invitations(by.tenant).filter(email=email).update(revoked_at=timezone.now())
        invitation = Invitation.across_tenants.create(
            tenant=by.tenant,
            email=email,
            role=role,
            machine_guids=list(machine_guids) if machine_guids is not None else None,
            may_open_backups=may_open_backups,
            token_hash=_hash(token),
            invited_by_id=by.user.pk,
            expires_at=timezone.now() + INVITATION_LASTS,
        )
        by.record("member_invited", email=email, invited_as=role, machines=machine_guids, files=may_open_backups)
    return invitation, token


def revoke(by: Inviter, invitation: Invitation) -> bool:
    """False = it was accepted or revoked before."""
    with transaction.atomic():
        unused = unused_invitations(by.tenant).filter(pk=invitation.pk)
        if not unused.update(revoked_at=timezone.now()):
            return False
        by.record("invitation_revoked", email=invitation.email)
    return True


def unused_invitations(tenant: Tenant) -> QuerySet[Invitation]:
    """Neither accepted nor taken back; also those whose time is over."""
    return Invitation.across_tenants.filter(tenant=tenant, accepted_at=None, revoked_at=None)


def invitation_of(token: str) -> Invitation | None:
    """The open invitation to an active tenant with this token. Needs a transaction, see `tenants.wall`."""
    token_hash = _hash(token)
    show_invitation(token_hash)
    found = Invitation.across_tenants.filter(token_hash=token_hash).first()
    if found is None or not found.is_open:
        return None
    # Only now, with the token proven, is the tenant itself shown to web.
    set_tenant(found.tenant_id)
    return found if found.tenant.is_active else None


def accept(invitation: Invitation, user: User, *, address: str | None) -> bool:
    """Makes the person a member; False = used, revoked or over since it was shown. Raises `Refused` for others.

    The statement that spends it decides; what `invitation_of` found open was for the page.
    """
    if user.email != invitation.email:
        raise Refused(_("This invitation is for another address."))
    with transaction.atomic():
        unused = Invitation.across_tenants.filter(
            pk=invitation.pk, accepted_at=None, revoked_at=None, expires_at__gt=timezone.now()
        )
        if not unused.update(accepted_at=timezone.now(), accepted_by=user):
            return False
        Membership.objects.get_or_create(
            user=user,
            tenant=invitation.tenant,
            defaults={
                "role": invitation.role,
                "machine_guids": invitation.machine_guids,
                "may_open_backups": invitation.may_open_backups,
            },
        )
        record(invitation.tenant, user, invitation.role, "invitation_accepted", address=address, email=user.email)
    return True


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


# ── Members ──────────────────────────────────────────────────────────────────


def change_member(
    by: Membership,
    member: Membership,
    role: str,
    machine_guids: Sequence[str] | None,
    *,
    address: str | None,
    may_open_backups: bool = False,
) -> None:
    """Raises `Refused` for the last administrator or who is gone. Acts on the person's next request."""
    _check_scope(role, machine_guids)
    guids = list(machine_guids) if machine_guids is not None else None
    with transaction.atomic():
        lock(by.tenant)
        member = _as_it_is_now(member)
        if role != Role.ADMIN:
            _check_not_last(member)
        changes = {"role": role, "machine_guids": guids, "may_open_backups": may_open_backups}
        Membership.objects.filter(pk=member.pk, tenant=by.tenant).update(**changes)
        record_of(
            by,
            "member_changed",
            address=address,
            email=member.user.email,
            was=member.role,
            now=role,
            machines=guids,
            files=may_open_backups,
        )


def remove_member(by: Membership, member: Membership, *, address: str | None) -> None:
    """The person stays, with their other tenants. Raises `Refused` for the last administrator or who is gone."""
    with transaction.atomic():
        lock(by.tenant)
        member = _as_it_is_now(member)
        _check_not_last(member)
        Membership.objects.filter(pk=member.pk, tenant=by.tenant).delete()
        record_of(by, "member_removed", address=address, email=member.user.email, was=member.role)


def identity_provider(tenant: Tenant) -> IdentityProvider | None:
    return getattr(tenant, "identity_provider", None)


def is_only_way_in(tenant: Tenant) -> bool:
    provider = identity_provider(tenant)
    return provider is not None and provider.only_single_sign_on


def is_last_administrator(member: Membership) -> bool:
    """The only active person who is administrator of every machine of the tenant."""
    if member.role != Role.ADMIN or member.machine_guids is not None:
        return False
    others = Membership.objects.filter(
        tenant=member.tenant_id, role=Role.ADMIN, machine_guids=None, user__is_active=True
    ).exclude(pk=member.pk)
    return not others.exists()


def only_administrator_of(user: User) -> list[Tenant]:
    """Active tenants that would have no administrator without this person."""
    if user.pk is None:
        return []
    administered = Membership.objects.filter(user=user, role=Role.ADMIN, tenant__is_active=True)
    return [member.tenant for member in administered.select_related("tenant") if is_last_administrator(member)]


def _as_it_is_now(member: Membership) -> Membership:
    """Read again while nobody else can change it: what a page showed may be old."""
    found = Membership.objects.select_related("user", "tenant").filter(pk=member.pk).first()
    if found is None:
        raise Refused(_("This person was removed meanwhile."))
    return found


def _check_not_last(member: Membership) -> None:
    if is_last_administrator(member):
        raise Refused(LAST_ADMINISTRATOR)


def _check_scope(role: str, machine_guids: Sequence[str] | None) -> None:
    if role == Role.ADMIN and machine_guids is not None:
        raise Refused(ADMINISTRATOR_OF_SOME, "scope")


def lock(tenant: Tenant) -> None:
    """Two administrators who lower each other take turns."""
    Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)


# ── The tenant ───────────────────────────────────────────────────────────────


def change_settings(by: Membership, wanted: Mapping[str, object], *, address: str | None) -> None:
    """`wanted`: time_zone, second_factor_required, target_hours. What is as it was is not audited. Raises `Refused`."""
    provider = identity_provider(by.tenant)
    if wanted["second_factor_required"] and provider and not provider.vouches_for_second_factor:
        raise Refused(NO_SECOND_FACTOR_THERE, "second_factor_required")
    changed = {name: value for name, value in wanted.items() if getattr(by.tenant, name) != value}
    if changed:
        with transaction.atomic():
            Tenant.objects.filter(pk=by.tenant.pk).update(**changed)
            record_of(by, "settings_changed", address=address, **changed)
