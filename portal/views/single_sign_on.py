"""Signing in through an organisation's own identity provider, and connecting an account with it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import requests
from allauth.account.decorators import reauthentication_required
from allauth.core.internal import ratelimit
from allauth.socialaccount.models import SocialAccount
from allauth.socialaccount.providers.base.constants import AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from tenants.models import IdentityProvider
from tenants.openid_connect import TenantProvider
from tenants.single_sign_on import identity_provider_of, provider_key_of

View = Callable[..., HttpResponse]


def _in_moderation(view: View) -> View:
    """Each of these makes a call to somewhere else, or tells whether a name is known."""

    @functools.wraps(view)
    def limited(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not ratelimit.consume(request, app="allauth.account", action="single_sign_on", limit_get=True):
            return ratelimit.respond_429(request)
        return view(request, *args, **kwargs)

    return limited


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_not_required
@_in_moderation
def find(request: HttpRequest) -> HttpResponse:
    """By the name that the provider and the organisation agreed on."""
    name, problem = request.POST.get("organisation", "").strip().lower(), ""
    if request.method == "POST":
        with transaction.atomic():
            found = identity_provider_of(name[:40].replace("\x00", ""))
        if found:
            return redirect(_with_next(reverse("single-sign-on-start", args=[found.slug]), request))
        problem = _("We know no organisation of this name that signs in this way.")
    context = {"name": name[:40], "problem": problem, "next": request.GET.get("next", "")}
    return render(request, "portal/single_sign_on.html", context, status=422 if problem else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_not_required
@_in_moderation
def start(request: HttpRequest, slug: str) -> HttpResponse:
    identity_provider = _provider_or_404(slug)
    if request.method == "POST":
        return _go(request, identity_provider, AuthProcess.LOGIN)
    context = {"provider": identity_provider, "can_connect": _can_connect(request, identity_provider)}
    return render(request, "portal/single_sign_on_start.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@reauthentication_required
@_in_moderation
def connect(request: HttpRequest, slug: str) -> HttpResponse:
    """For who has an account with a password: the provider's identity opens it too, in this organisation."""
    identity_provider = _provider_or_404(slug)
    if not _can_connect(request, identity_provider):
        raise Http404
    if request.method == "POST":
        return _go(request, identity_provider, AuthProcess.CONNECT)
    return render(request, "portal/single_sign_on_connect.html", {"provider": identity_provider})


@require_safe
@never_cache
@login_not_required
@_in_moderation
def callback(request: HttpRequest, slug: str) -> HttpResponse:
    provider = TenantProvider(request, _provider_or_404(slug))
    view = OAuth2CallbackView.adapter_view(provider.get_oauth2_adapter(request))
    return view(request)


def _go(request: HttpRequest, identity_provider: IdentityProvider, process: str) -> HttpResponse:
    """A page that leads on by itself: a form's own redirect to another host is against the content security policy."""
    provider = TenantProvider(request, identity_provider)
    try:
        leads_to = provider.redirect(request, process, next_url=_after(request, identity_provider))["Location"]
    except (OAuth2Error, requests.RequestException, ValueError):
        context = {"slug": identity_provider.slug, "is_away": True}
        return render(request, "portal/single_sign_on_failed.html", context, status=502)
    return render(request, "portal/single_sign_on_go.html", {"leads_to": leads_to})


def _provider_or_404(slug: str) -> IdentityProvider:
    with transaction.atomic():
        found = identity_provider_of(slug)
    if found is None:
        raise Http404
    return found


def _can_connect(request: HttpRequest, identity_provider: IdentityProvider) -> bool:
    if not request.user.is_authenticated or provider_key_of(request):
        return False
    return not SocialAccount.objects.filter(user=request.user, provider=identity_provider.key).exists()


def _after(request: HttpRequest, identity_provider: IdentityProvider) -> str:
    """Only to a page of the organisation itself."""
    home = reverse("tenant-home", args=[identity_provider.tenant.slug])
    wanted = request.POST.get("next", "")
    return wanted if wanted.startswith(home) and "\\" not in wanted and wanted.isprintable() else home


def _with_next(address: str, request: HttpRequest) -> str:
    after = request.POST.get("next", "")
    return f"{address}?{urlencode({'next': after})}" if after else address
