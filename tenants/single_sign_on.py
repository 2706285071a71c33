"""What a sign-in through a tenant's identity provider may do, and what it may not.

Somebody is who they are by issuer and subject, never by an e-mail address, which one customer's provider could assert
of another's people. Such a session opens the provider's own tenant, and nothing of the account itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from allauth.account.internal.flows.login import AUTHENTICATION_METHODS_SESSION_KEY, get_authentication_records
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from tenants.audit import record
from tenants.models import IdentityProvider, Membership, Role, User
from tenants.people import Refused, is_last_administrator, lock
from tenants.wall import set_tenant, show_identity_provider

# With them an identity provider could make itself a way in that does not lead through it.
CLOSED_PAGES = {"account_change_password", "account_reauthenticate", "second-factor"}
OPEN_TO_OPERATORS = {"account_logout", "healthz", "readyz"}
ADDRESS_TAKEN = _(
    "Somebody with your address has an account here already. If that is you, sign in with your password "
    "first, and then connect it with your organisation's sign-in."
)
NO_ADDRESS = _("Your organisation's sign-in does not tell your e-mail address. Its administrator can change that.")
NOT_LET_IN = _("Your organisation's sign-in knows you, but you are in none of the groups that are let in here.")
SOMEBODY_ELSES = _("This identity belongs to another account here.")
NOT_A_MEMBER = _("Only who belongs to this organisation here already can connect an account.")


@dataclass(frozen=True)
class Identity:
    """What a proven token says. `subject` is the issuer's name for the person, up to 191 characters."""

    subject: str
    email: str
    name: str
    groups: tuple[str, ...]


def provider_key_of(request: HttpRequest) -> str:
    """`IdentityProvider.key` that this session was signed in through, "" = by password or passkey. No query."""
    return provider_key_in(get_authentication_records(request, request.user))


def opened_by(provider_key: str, session_key: str) -> bool:
    """Whether this provider opened the session of this key."""
    records = SessionStore(session_key).get(AUTHENTICATION_METHODS_SESSION_KEY, [])
    return provider_key_in(records) == provider_key


def provider_key_in(records: list[dict[str, str]]) -> str:
    """Of a session's records of how it was signed in."""
    return next((record["provider"] for record in records if record["method"] == "socialaccount"), "")


def identity_provider_of(slug: str) -> IdentityProvider | None:
    """With its tenant, if that is active. Needs a transaction, see `tenants.wall`."""
    show_identity_provider(slug)
    found = IdentityProvider.across_tenants.filter(slug=slug).first()
    if found is None:
        return None
    set_tenant(found.tenant_id)
    return found if found.tenant.is_active else None


def ask_for_single_sign_on(request: HttpRequest, provider: IdentityProvider) -> HttpResponse:
    """To where a tenant that knows no other way in has its people sign in, and back again."""
    start = reverse("single-sign-on-start", args=[provider.slug])
    return redirect(f"{start}?{urlencode({'next': request.get_full_path()})}")


# ── Signing in ───────────────────────────────────────────────────────────────


def admit(provider: IdentityProvider, identity: Identity, *, address: str | None) -> User:
    """The person, made at the first time, with the role that the provider's groups give; both are audited.

    Raises `Refused`. Who was let in before and is no longer loses the membership; the last administrator keeps it.
    """
    with transaction.atomic():
        set_tenant(provider.tenant_id)
        lock(provider.tenant)
        known = _account(provider, identity)
        member = Membership.objects.filter(tenant=provider.tenant, user=known.user).first() if known else None
        is_own_affair = member is not None and not provider.decides_roles
        role = member.role if member and is_own_affair else provider.role_of(identity.groups)
        if role:
            user = known.user if known else _new_person(provider, identity)
            _give_role(provider, user, member, Role(role), address=address)
            return user
        if member and not is_last_administrator(member):
            member.delete()
            _record(provider, member.user, "member_removed", member.role, address=address, was=member.role)
    raise Refused(NOT_LET_IN)


def connect(provider: IdentityProvider, user: User | AnonymousUser, identity: Identity, *, address: str | None) -> None:
    """Lets a member, who is signed in by password, sign in through the provider from now on. Raises `Refused`."""
    with transaction.atomic():
        set_tenant(provider.tenant_id)
        lock(provider.tenant)
        member = Membership.objects.select_related("user").filter(tenant=provider.tenant, user=user.pk).first()
        known = _account(provider, identity)
        if member is None:
            raise Refused(NOT_A_MEMBER)
        if known and known.user_id != user.pk:
            raise Refused(SOMEBODY_ELSES)
        if known is None:
            SocialAccount.objects.create(user=member.user, provider=provider.key, uid=identity.subject)
            _record(provider, member.user, "identity_connected", member.role, address=address)


def _account(provider: IdentityProvider, identity: Identity) -> SocialAccount | None:
    accounts = SocialAccount.objects.select_related("user")
    return accounts.filter(provider=provider.key, uid=identity.subject).first()


def _new_person(provider: IdentityProvider, identity: Identity) -> User:
    if not identity.email:
        raise Refused(NO_ADDRESS)
    if User.objects.filter(email=identity.email).exists():
        raise Refused(ADDRESS_TAKEN)
    user = User.objects.create_user(identity.email, name=identity.name)
    # Not confirmed, whatever the token says of it: a password for this account needs its mailbox first.
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=False)
    SocialAccount.objects.create(user=user, provider=provider.key, uid=identity.subject)
    return user


def _give_role(
    provider: IdentityProvider, user: User, member: Membership | None, role: Role, *, address: str | None
) -> None:
    if member is None:
        Membership.objects.create(user=user, tenant=provider.tenant, role=role)
        _record(provider, user, "member_joined", role, address=address, email=user.email)
    elif member.role != role and (role == Role.ADMIN or not is_last_administrator(member)):
        # An administrator sees every machine; any other role keeps its limits.
        guids = None if role == Role.ADMIN else member.machine_guids
        Membership.objects.filter(pk=member.pk).update(role=role, machine_guids=guids)
        _record(provider, user, "member_changed", role, address=address, was=member.role, now=role)


def _record(
    provider: IdentityProvider, user: User, action: str, role: str, *, address: str | None, **detail: str
) -> None:
    record(provider.tenant, user, role, action, address=address, through=provider.issuer, **detail)


# ── Every request ────────────────────────────────────────────────────────────


class SingleSignOnMiddleware:
    """A session of an identity provider sees no page that changes the account, and nothing of the operator site."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *args: object) -> HttpResponse | None:
        name = (request.resolver_match.url_name if request.resolver_match else None) or ""
        changes_account = name in CLOSED_PAGES or (name.startswith("mfa_") and name != "mfa_authenticate")
        is_closed = changes_account or (settings.PROCESS == "operator" and name not in OPEN_TO_OPERATORS)
        if is_closed and request.user.is_authenticated and provider_key_of(request):
            return render(request, "portal/account_elsewhere.html", status=403)
        return None
