from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from tenants.middleware import active_memberships


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Straight to the only tenant; else a choice, or words for who belongs to none."""
    memberships = active_memberships(request)
    if len(memberships) == 1:
        return redirect("tenant-home", memberships[0].tenant.slug)
    return render(request, "portal/home.html", {"memberships": memberships})
