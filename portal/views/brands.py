"""Logos. Each has its digest in its address, so a browser may keep it for good."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from tenants.brands import installation_logo
from tenants.middleware import TenantRequest
from tenants.models import Brand


@require_safe
@login_not_required
def portal_logo(request: HttpRequest, digest: str) -> HttpResponse:
    logo, its_digest = installation_logo()
    if not logo or digest != its_digest:
        raise Http404
    return _picture(logo, "public")


@require_safe
def tenant_logo(request: TenantRequest, tenant: str, digest: str) -> HttpResponse:
    """For its own people only: whether another tenant has a logo, and which, is no business of others'."""
    brand = get_object_or_404(Brand.objects.exclude(logo=None), logo_digest=digest)
    return _picture(bytes(brand.logo or b""), "private")


def _picture(logo: bytes, whose: str) -> HttpResponse:
    headers = {"Cache-Control": f"{whose}, max-age=31536000, immutable"}
    return HttpResponse(logo, content_type="image/png", headers=headers)
