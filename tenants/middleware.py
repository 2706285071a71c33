"""The first wall: the tenant comes from the address, membership is read at every request.

It also lowers the second wall to this person's memberships and this tenant only: one transaction around the whole
response, in which `app.user` and `app.tenant` are set for PostgreSQL's row-level security (works behind a pooler, where
a session's setting leaks).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django_scopes import scope

from tenants.models import Membership, Tenant
from tenants.people import identity_provider
from tenants.request_rates import wait_of_person
from tenants.second_factor import ask_for_second_factor, has_shown_second_factor
from tenants.single_sign_on import ask_for_single_sign_on, provider_key_of
from tenants.wall import lower_wall

SEEN_TO = timedelta(minutes=5)
TENANT_ADDRESS = re.compile(r"^/t/(?P<slug>[-a-zA-Z0-9_]+)/")


class TenantRequest(HttpRequest):
    """A request below /t/<tenant>/, after the middleware let it in. `memberships`: in all of the person's tenants, for
    pages that offer to switch; a poll never asks for them."""

    tenant: Tenant
    membership: Membership
    memberships: list[Membership]


class TenantMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.tenant = request.membership = None  # type: ignore[attr-defined]
        address = TENANT_ADDRESS.match(request.path_info)
        if address is None or not request.user.is_authenticated:
            # Nothing is shown without a person: LoginRequiredMiddleware sends them to the login.
            return self.get_response(request)
        with transaction.atomic():
            response = self._inside(request, address["slug"])
            if getattr(request, "has_failed", False):
                # Django has already made an answer of the exception, which would otherwise commit.
                transaction.set_rollback(True)
            return response

    def _inside(self, request: HttpRequest, slug: str) -> HttpResponse:
        provider_key = provider_key_of(request)
        membership = lower_wall(request.user, slug, provider_key)
        if membership is None:
            return self.get_response(request)
        provider = identity_provider(membership.tenant)
        if provider and provider.only_single_sign_on and not provider_key:
            return ask_for_single_sign_on(request, provider)
        request.tenant, request.membership = membership.tenant, membership  # type: ignore[attr-defined]
        request.memberships = SimpleLazyObject(  # type: ignore[attr-defined]
            lambda: memberships_of(request.user, provider_key)
        )
        if wait := wait_of_person(membership.user_id, membership.tenant_id):
            answer = render(request, "429.html", status=429)
            answer["Retry-After"] = str(wait)
            return answer
        if membership.tenant.second_factor_required and not has_shown_second_factor(request):
            if not provider_key:
                return ask_for_second_factor(request)
            if not (provider and provider.vouches_for_second_factor):
                return render(request, "portal/account_elsewhere.html", {"needs_factor": True}, status=403)
        _note_seen(request, membership)
        zone = request.user.time_zone or membership.tenant.time_zone  # type: ignore[union-attr]
        with scope(tenant=membership.tenant), timezone.override(zone):
            return self.get_response(request)

    def process_view(self, request: HttpRequest, *args: object) -> None:
        """A stranger's tenant and one that does not exist look alike."""
        is_tenant_page = TENANT_ADDRESS.match(request.path_info)
        if is_tenant_page and request.user.is_authenticated and request.tenant is None:  # type: ignore[attr-defined]
            raise Http404

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        request.has_failed = True  # type: ignore[attr-defined]


def _note_seen(request: HttpRequest, membership: Membership) -> None:
    """To some minutes, and only for pages: a tab that is left open polls on without its person."""
    now = timezone.now()
    is_known = membership.last_seen_at and membership.last_seen_at > now - SEEN_TO
    if not is_known and "HX-Request" not in request.headers:
        Membership.objects.filter(pk=membership.pk).update(last_seen_at=now)


def active_memberships(request: HttpRequest) -> list[Membership]:
    """That this session may open, in tenants that are active, by the tenants' names. For pages outside of a tenant."""
    provider_key = provider_key_of(request)
    with transaction.atomic():
        lower_wall(request.user, "", provider_key)
        return memberships_of(request.user, provider_key)


def memberships_of(user: AbstractBaseUser | AnonymousUser, provider_key: str) -> list[Membership]:
    memberships = Membership.objects.filter(user=user.pk, tenant__is_active=True)
    if provider_key:
        memberships = memberships.filter(tenant__identity_provider__key=provider_key)
    return list(
        memberships.select_related("tenant__identity_provider", "tenant__brand")
        .defer("tenant__brand__logo")
        .order_by("tenant__name")
    )
