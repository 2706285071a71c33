from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up by themselves: people come by invitation or from an operator."""
        return False

    def populate_username(self, request: HttpRequest, user: Any) -> None:
        """People have no user names, only e-mail addresses."""
