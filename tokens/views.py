"""A person's own tokens in a tenant, and for administrators the tenant's."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from allauth.account.internal.flows.reauthentication import did_recently_reauthenticate
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.access import for_administrators, visible_machines
from portal.machine_picker import MachinePicker
from tenants.audit import address_of
from tenants.middleware import TenantRequest, active_memberships
from tenants.people import Refused, identity_provider
from tenants.second_factor import has_shown_second_factor
from tenants.single_sign_on import provider_key_of
from tokens import access
from tokens.forms import TokenForm
from tokens.making import SignedIn, make, revoke
from tokens.models import Token


@require_safe
@never_cache
def account_tokens(request: HttpRequest) -> HttpResponse:
    """A token is for one organisation: which?"""
    memberships = active_memberships(request)
    if len(memberships) == 1:
        return redirect("tokens", memberships[0].tenant.slug)
    return render(request, "tokens/account.html", {"memberships": memberships})


@require_safe
@never_cache
def token_list(request: TenantRequest, tenant: str) -> HttpResponse:
    return render(request, "tokens/own.html", {"tokens": access.own_tokens(request)})


@require_safe
@never_cache
@for_administrators
def tenant_token_list(request: TenantRequest, tenant: str) -> HttpResponse:
    tokens = list(access.tokens_of_tenant(request))
    administrators = {
        member.user_id for member in request.tenant.memberships.select_related(None) if member.administers_all
    }
    for token in tokens:
        token.is_known_outside = token.membership_id is None and token.created_by_id not in administrators  # type: ignore[attr-defined]
    return render(request, "tokens/of_tenant.html", {"tokens": tokens})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def token_create(request: TenantRequest, tenant: str) -> HttpResponse:
    return _create(request, is_personal=True, done="tokens")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@for_administrators
def tenant_token_create(request: TenantRequest, tenant: str) -> HttpResponse:
    return _create(request, is_personal=False, done="tenant-tokens")


def _create(request: TenantRequest, *, is_personal: bool, done: str) -> HttpResponse:
    if not _was_just_confirmed(request):
        return redirect(f"{reverse('account_reauthenticate')}?{urlencode({'next': request.get_full_path()})}")
    sent = request.POST if request.method == "POST" else None
    picker = MachinePicker(sent, visible_machines(request.membership))
    form = TokenForm(sent, by=request.membership, picker=picker)
    context: dict[str, Any] = {"form": form, "picker": picker, "is_personal": is_personal, "done": done}
    context["most_days"] = settings.API_TOKEN_DAYS
    if form.is_bound and not picker.is_arranging and form.is_valid():
        try:
            token, secret = make(
                request.membership,
                form.wish,
                is_personal=is_personal,
                signed_in=_how_signed_in(request),
                address=address_of(request),
            )
        except Refused as refused:
            form.refuse(refused)
        else:
            # Not redirected: what is shown once is nowhere kept in between.
            return render(request, "tokens/made.html", {**context, "token": token, "secret": secret})
    if picker.is_arranging:
        form.errors.clear()
    is_refused = form.is_bound and not picker.is_arranging
    return render(request, "tokens/new.html", context, status=422 if is_refused else 200)


def _was_just_confirmed(request: TenantRequest) -> bool:
    """Who finds an open browser makes nothing that outlives it. A sign-in elsewhere cannot be asked for again here."""
    return bool(provider_key_of(request)) or did_recently_reauthenticate(request)


def _how_signed_in(request: TenantRequest) -> SignedIn:
    provider_key, provider = provider_key_of(request), identity_provider(request.tenant)
    is_vouched_for = bool(provider_key and provider and provider.vouches_for_second_factor)
    return SignedIn(provider_key, is_vouched_for or has_shown_second_factor(request))


@require_POST
def token_revoke(request: TenantRequest, tenant: str, token_id: UUID) -> HttpResponse:
    return _revoke(request, access.own_token_for(request, token_id), "tokens")


@require_POST
@for_administrators
def tenant_token_revoke(request: TenantRequest, tenant: str, token_id: UUID) -> HttpResponse:
    return _revoke(request, access.token_for(request, token_id), "tenant-tokens")


def _revoke(request: TenantRequest, token: Token, done: str) -> HttpResponse:
    if revoke(request.membership, token, address=address_of(request)):
        messages.success(request, _("The token %(name)s no longer works.") % {"name": token.name})
    return redirect(done, request.tenant.slug)
