"""How the portal looks to a person: theirs alone, in every tenant, however they signed in."""

from __future__ import annotations

from zoneinfo import available_timezones

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from portal.people_forms import PreferencesForm
from tenants.audit import address_of
from tenants.middleware import active_memberships
from tenants.models import Theme, User
from tenants.preferences import change_preferences
from tenants.single_sign_on import provider_key_of

THEME_COOKIE = "theme"
A_YEAR = 365 * 24 * 3600


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def preferences(request: HttpRequest) -> HttpResponse:
    """A name is not changed by who came through an identity provider: it is seen where that has no say."""
    form = PreferencesForm(
        request.POST if request.method == "POST" else None,
        instance=User.objects.get(pk=request.user.pk),  # type: ignore[misc]
        has_name=not provider_key_of(request),
    )
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            memberships = active_memberships(request)
            change_preferences(request.user, memberships, form.cleaned_data, address=address_of(request))  # type: ignore[arg-type]
        language = form.cleaned_data["language"]
        with override(language or None):
            messages.success(request, _("Your preferences are saved."))
        answer = redirect("preferences")
        remember_theme(answer, form.cleaned_data["theme"])
        remember_language(answer, language)
        return answer
    return render(
        request,
        "portal/preferences.html",
        {"form": form, "zones": sorted(available_timezones())},
        status=422 if form.is_bound else 200,
    )


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
    _remember(response, THEME_COOKIE, "" if theme == Theme.SYSTEM else theme)


def remember_language(response: HttpResponse, language: str) -> None:
    """LocaleMiddleware reads it before it asks the browser."""
    _remember(response, settings.LANGUAGE_COOKIE_NAME, language)


def _remember(response: HttpResponse, cookie: str, value: str) -> None:
    if value:
        secure = settings.SESSION_COOKIE_SECURE
        response.set_cookie(cookie, value, max_age=A_YEAR, secure=secure, httponly=True, samesite="Lax")
    else:
        response.delete_cookie(cookie)


def theme_of(request: HttpRequest) -> str:
    """ "light", "dark" or "" for the system's setting."""
    user = getattr(request, "user", None)
    theme = user.theme if user and user.is_authenticated else request.COOKIES.get(THEME_COOKIE, "")
    return theme if theme in {Theme.LIGHT, Theme.DARK} else ""


def _came_from(request: HttpRequest) -> str:
    page = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(page, {request.get_host()}, require_https=request.is_secure())
    return page if is_ours else "/"
