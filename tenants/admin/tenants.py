"""Tenants, with what they own and may use."""

from typing import ClassVar

from allauth.socialaccount import admin as socialaccount_admin  # noqa: F401 — registers what is taken away below
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from tenants.admin.people import MembershipInline
from tenants.models import Claim, Grant, Tenant


class ClaimInline(admin.TabularInline):
    model = Claim
    extra = 0


class GrantInline(admin.TabularInline):
    model = Grant
    extra = 0


@admin.register(Tenant)
class TenantAdmin(admin.ModelAdmin):
    list_display = ["name", "slug", "is_active", "time_zone", "priority_cap"]
    list_filter = ["is_active"]
    search_fields = ["name", "slug", "claims__value"]
    prepopulated_fields: ClassVar = {"slug": ["name"]}
    inlines = [ClaimInline, GrantInline, MembershipInline]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A tenant is made inactive: its history and audit stay."""
        return False
