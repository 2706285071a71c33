"""How vProtect is."""

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tenants.admin.read_only import ReadOnlyAdmin
from vprotect_bridge.admin.decisions import audit
from vprotect_bridge.models import (
    UpstreamStatus,
)


@admin.register(UpstreamStatus)
class UpstreamStatusAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = [
        *("__str__", "unreachable_since", "problem", "inventory_at", "inventory_refused_at"),
        *("inventory_refused_count", "inventory_accepted_count", "followed_at"),
    ]
    actions = ["accept_inventory"]

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("vprotect_bridge.change_upstreamstatus")

    @admin.action(description=_("Refused inventory: so many machines are really gone"), permissions=["decide"])
    @transaction.atomic
    def accept_inventory(self, request: HttpRequest, queryset: QuerySet[UpstreamStatus]) -> None:
        """The next inventory may lack as many machines as the refused one, and no more."""
        for status in queryset.filter(inventory_refused_count__isnull=False).select_for_update():
            status.inventory_accepted_count = status.inventory_refused_count
            status.save(update_fields=["inventory_accepted_count"])
            audit(request, None, "accept_inventory", None, machines=status.inventory_refused_count or 0)
