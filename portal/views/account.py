"""What a person does about their own account beside django-allauth's pages."""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from tenants.single_sign_on import opened_by, provider_key_of

BROWSERS = ("Firefox", "Edg", "OPR", "Chrome", "Safari")
SYSTEMS = ("Windows", "Android", "iPhone", "iPad", "Mac OS", "Linux")


@require_safe
@never_cache
def second_factor(request: HttpRequest) -> HttpResponse:
    """Who has one confirms it and goes on to `next`; who has none chooses one."""
    types = set(Authenticator.objects.filter(user=request.user).values_list("type", flat=True))
    if not types:
        return render(request, "portal/second_factor.html")
    confirm = "mfa_reauthenticate" if Authenticator.Type.TOTP in types else "mfa_reauthenticate_webauthn"
    after = request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(after, {request.get_host()}, require_https=request.is_secure())
    return redirect(f"{reverse(confirm)}?{urlencode({'next': after if is_ours else '/'})}")


@require_safe
@never_cache
def session_list(request: HttpRequest) -> HttpResponse:
    sessions = _sessions(request)
    sessions.sort(key=lambda session: session.created_at, reverse=True)
    for session in sessions:
        session.browser = _browser(session.user_agent)
        session.is_this = session.session_key == request.session.session_key
    return render(request, "portal/sessions.html", {"sessions": sessions})


@require_POST
def session_end(request: HttpRequest) -> HttpResponse:
    """One of the person's own, or all but this one."""
    wanted = request.POST.get("session", "")
    others = [session for session in _sessions(request) if session.session_key != request.session.session_key]
    chosen = [session for session in others if wanted in {str(session.pk), "others"}]
    if not chosen and wanted != "others":
        raise Http404
    for session in chosen:
        session.end()
    messages.success(request, _("Signed out there."))
    return redirect("sessions")


def _sessions(request: HttpRequest) -> list[UserSession]:
    """Of the person; through an identity provider only those that it opened too: it is no business of others'."""
    sessions: list[UserSession] = UserSession.objects.purge_and_list(request.user)
    provider_key = provider_key_of(request)
    if not provider_key:
        return sessions
    return [session for session in sessions if opened_by(provider_key, session.session_key)]


def _browser(user_agent: str) -> str:
    """ "Firefox, Windows"; as much as a person needs to know it again."""
    browser = next((name for name in BROWSERS if name in user_agent), _("A browser"))
    system = next((name for name in SYSTEMS if name in user_agent), "")
    return ", ".join(filter(None, ({"Edg": "Edge", "OPR": "Opera"}.get(browser, browser), system)))
