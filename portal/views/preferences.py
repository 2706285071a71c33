"""How the portal looks to a person: theirs alone, in every tenant, however they signed in."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from tenants.models import Theme, User

THEME_COOKIE = "theme"
A_YEAR = 365 * 24 * 3600


@require_POST
def choose_theme(request: HttpRequest) -> HttpResponse:
    """With a click of its own, from any page: back there, or nothing to swap for HTMX, whose page turned by itself."""
    chosen = request.POST.get("theme")
    if chosen not in Theme.values:
        return HttpResponseBadRequest()
    User.objects.filter(pk=request.user.pk).update(theme=chosen)  # type: ignore[misc]
    answer = HttpResponse(status=204) if request.htmx else redirect(_came_from(request))  # type: ignore[attr-defined]
    remember_theme(answer, chosen)
    return answer


def remember_theme(response: HttpResponse, theme: str) -> None:
    """Also for the pages before signing in, on this device."""
    if theme == Theme.SYSTEM:
        response.delete_cookie(THEME_COOKIE)
    else:
        secure = settings.SESSION_COOKIE_SECURE
        response.set_cookie(THEME_COOKIE, theme, max_age=A_YEAR, secure=secure, httponly=True, samesite="Lax")


def theme_of(request: HttpRequest) -> str:
    """ "light", "dark" or "" for the system's setting."""
    user = getattr(request, "user", None)
    theme = user.theme if user and user.is_authenticated else request.COOKIES.get(THEME_COOKIE, "")
    return theme if theme in {Theme.LIGHT, Theme.DARK} else ""


def _came_from(request: HttpRequest) -> str:
    page = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(page, {request.get_host()}, require_https=request.is_secure())
    return page if is_ours else "/"
