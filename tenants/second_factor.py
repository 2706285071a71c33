"""Who must show more than a password, and whether this session has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.account.internal.flows.login import get_authentication_records, record_authentication
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from tenants.encryption import decrypt, encrypt

PURPOSE = "second factor"


def has_shown_second_factor(request: HttpRequest) -> bool:
    """In this session: at the login, when asked again, or by setting one up. Costs no query."""
    return any(record["method"] == "mfa" for record in get_authentication_records(request, request.user))


def ask_for_second_factor(request: HttpRequest) -> HttpResponse:
    """To a page that has it confirmed or set up, and back again."""
    return redirect(f"{reverse('second-factor')}?{urlencode({'next': request.get_full_path()})}")


@receiver(authenticator_added, dispatch_uid="second_factor_was_shown")
def note_shown(request: HttpRequest, user: Any, authenticator: Authenticator, **kwargs: Any) -> None:
    """Setting one up needs a code or a ceremony, which is showing it."""
    if authenticator.type != Authenticator.Type.RECOVERY_CODES:
        record_authentication(request, user, method="mfa", type=authenticator.type, id=authenticator.pk)


class StaffSecondFactorMiddleware:
    """On the operator site nobody gets anywhere with a password alone but to the pages of their account."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_open = request.path_info.startswith("/accounts/") or request.path_info in {"/healthz", "/readyz"}
        if is_open or not request.user.is_authenticated or has_shown_second_factor(request):
            return self.get_response(request)
        return ask_for_second_factor(request)


class MFAAdapter(DefaultMFAAdapter):
    """Secrets of apps with codes and seeds of recovery codes are not readable in a copy of the database."""

    def encrypt(self, text: str) -> str:
        return encrypt(text, PURPOSE)

    def decrypt(self, encrypted_text: str) -> str:
        return decrypt(encrypted_text, PURPOSE)
