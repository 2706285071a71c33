"""The first wall: the tenant comes from the address, membership is read at every request.

It also lowers the second wall to this tenant only: one transaction around the whole response, in which
`app.tenant` is set for PostgreSQL's row-level security (works behind a pooler, where a session's setting leaks).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import connection, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django_scopes import scope

from tenants.models import Membership, Tenant

TENANT_ADDRESS = re.compile(r"^/t/(?P<slug>[^/]*)/")


class TenantRequest(HttpRequest):
    """A request below /t/<tenant>/, after the middleware let it in. `memberships`: in all of the person's tenants."""

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
        memberships = active_memberships(request.user)
        membership = next((one for one in memberships if one.tenant.slug == slug), None)
        set_tenant(membership.tenant if membership else None)
        if membership is None:
            return self.get_response(request)
        request.tenant, request.membership = membership.tenant, membership  # type: ignore[attr-defined]
        request.memberships = memberships  # type: ignore[attr-defined]
        with scope(tenant=membership.tenant), timezone.override(membership.tenant.time_zone):
            return self.get_response(request)

    def process_view(self, request: HttpRequest, *args: object) -> None:
        """A stranger's tenant and one that does not exist look alike."""
        is_tenant_page = TENANT_ADDRESS.match(request.path_info)
        if is_tenant_page and request.user.is_authenticated and request.tenant is None:  # type: ignore[attr-defined]
            raise Http404

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        request.has_failed = True  # type: ignore[attr-defined]


def active_memberships(user: AbstractBaseUser | AnonymousUser) -> list[Membership]:
    """Of one person, in tenants that are active, by the tenants' names."""
    memberships = Membership.objects.filter(user=user.pk, tenant__is_active=True)
    return list(memberships.select_related("tenant").order_by("tenant__name"))


def set_tenant(tenant: Tenant | None) -> None:
    """Tells row-level security whose rows this transaction may touch; None = nobody's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.tenant', %s, true)", [str(tenant.pk) if tenant else ""])
