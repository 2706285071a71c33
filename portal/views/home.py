from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from tenants.middleware import TenantRequest, active_memberships


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Straight to the machines of the only tenant; else a choice, or words for who belongs to none."""
    memberships = active_memberships(request)
    if len(memberships) == 1:
        return redirect("machines", memberships[0].tenant.slug)
    return render(request, "portal/home.html", {"memberships": memberships})


@require_safe
def tenant_home(request: TenantRequest, tenant: str) -> HttpResponse:
    return redirect("machines", tenant)
