"""How people sign in: what operators look at, and take away when somebody has lost it. Never made or changed here."""

from __future__ import annotations

from typing import Any

from allauth.account import admin as account_admin  # noqa: F401 — these register what is taken away below
from allauth.account.models import EmailAddress
from allauth.mfa import admin as mfa_admin  # noqa: F401
from allauth.mfa.models import Authenticator
from allauth.socialaccount import admin as socialaccount_admin  # noqa: F401
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions import admin as usersessions_admin  # noqa: F401
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from tenants.admin.audited import AuditedAdmin

# django-allauth's own pages show secrets' ciphers and leave nothing in our audit; two of its tables stay unused.
admin.site.unregister([EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken, UserSession, Group])


class TakenAwayAdmin(AuditedAdmin):
    list_select_related = ["user"]
    search_fields = ["user__email", "user__name"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Authenticator)
class AuthenticatorAdmin(TakenAwayAdmin):
    """Who lost theirs, and the recovery codes, has it taken away here and sets up another one."""

    list_display = ["user", "type", "created_at", "last_used_at"]
    list_filter = ["type"]
    fields = ("user", "type", "created_at", "last_used_at")


@admin.register(SocialAccount)
class SocialAccountAdmin(TakenAwayAdmin):
    list_display = ["user", "provider", "uid", "last_login"]
    fields = ("user", "provider", "uid", "last_login", "date_joined")


@admin.register(UserSession)
class UserSessionAdmin(TakenAwayAdmin):
    list_display = ["user", "ip", "user_agent", "created_at"]
    fields = ("user", "ip", "user_agent", "created_at")

    def delete_model(self, request: HttpRequest, obj: UserSession) -> None:
        obj.end()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for session in queryset:
            session.end()


@admin.register(EmailAddress)
class EmailAddressAdmin(AuditedAdmin):
    """An address is who somebody is: only that it is confirmed may be said, for who gets no mail."""

    list_display = ["email", "user", "verified", "primary"]
    list_filter = ["verified"]
    list_select_related = ["user"]
    search_fields = ["email", "user__name"]
    fields = ("user", "email", "primary", "verified")
    readonly_fields = ["user", "email", "primary"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Group)
class AuditedGroupAdmin(AuditedAdmin, GroupAdmin):
    """What operators may do, by groups of them."""
