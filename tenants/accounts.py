from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.internal import ratelimit
from allauth.usersessions.models import UserSession
from django.http import HttpRequest

from tenants import mails
from tenants.audit import address_of
from tenants.preferences import as_read_by


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up by themselves: people come by invitation or from an operator."""
        return False

    def populate_username(self, request: HttpRequest, user: Any) -> None:
        """People have no user names, only e-mail addresses."""

    def render_mail(self, template_prefix: str, email: Any, context: dict[str, Any], headers: Any = None) -> Any:
        """In our words, and in the language of who gets it."""
        with as_read_by(context.get("user")):
            letter = mails.OF_ALLAUTH.get(template_prefix)
            if letter is None:
                return super().render_mail(template_prefix, email, context, headers)
            return mails.message(letter({**context, "email": email}), email)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Tries are counted by account and address together: by the account alone anybody could lock anybody out.

        Many addresses together are limited too, but never one from which this person is signed in.
        """
        super().pre_authenticate(request, **credentials)
        login = credentials.get("email", "").lower()
        if UserSession.objects.filter(user__email=login, ip=address_of(request)).exists():
            return
        limit = {"app": "allauth.account", "action": "login_failed_anywhere", "key": login}
        usage = ratelimit.consume(request, **limit)
        if not usage:
            raise self.validation_error("too_many_login_attempts")
        self._login_failed_rl_usage.usage.extend(usage.usage)

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        return f"{super()._get_login_attempts_cache_key(request, **credentials)}:{address_of(request)}"
