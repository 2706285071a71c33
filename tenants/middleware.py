"""The first wall: the tenant comes from the address, membership is read at every request.

It also lowers the second wall to this tenant only: one transaction around the whole response, in which
`app.tenant` is set for PostgreSQL's row-level security (works behind a pooler, where a session's setting leaks).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from django.db import connection, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django_scopes import scope

from tenants.models import Membership, Tenant

TENANT_ADDRESS = re.compile(r"^/t/(?P<slug>[^/]*)/")


class TenantRequest(HttpRequest):
    """A request below /t/<tenant>/, after the middleware let it in."""

    tenant: Tenant
    membership: Membership


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
            membership = _membership(request.user.pk, address["slug"])
            request.membership = membership  # type: ignore[attr-defined]
            if membership is None:
                return self.get_response(request)
            request.tenant = membership.tenant  # type: ignore[attr-defined]
            with scope(tenant=membership.tenant):
                return self.get_response(request)

    def process_view(self, request: HttpRequest, *args: object) -> None:
        """A stranger's tenant and one that does not exist look alike."""
        is_tenant_page = TENANT_ADDRESS.match(request.path_info)
        if is_tenant_page and request.user.is_authenticated and request.tenant is None:  # type: ignore[attr-defined]
            raise Http404


def _membership(user_id: int, slug: str) -> Membership | None:
    """Reads the membership and sets the tenant for row-level security; for nobody, sets none."""
    membership = (
        Membership.objects.select_related("tenant")
        .filter(user_id=user_id, tenant__slug=slug, tenant__is_active=True)
        .first()
    )
    with connection.cursor() as cursor:
        tenant_id = membership.tenant_id if membership else ""
        cursor.execute("SELECT set_config('app.tenant', %s, true)", [str(tenant_id)])
    return membership
