"""What did not happen and should have, of every tenant."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tenants.admin.read_only import ReadOnlyAdmin
from vprotect_bridge.models import Alert


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = ["opened_at", "tenant", "about", "kind", "turn", "began_at", "closed_at"]
    list_filter = [("closed_at", admin.EmptyFieldListFilter), "turn", "kind", "tenant"]
    list_select_related = ["tenant", "machine", "plan"]
    search_fields = ["machine__name", "machine__guid", "plan__name", "plan__policy_guid"]
    ordering = ["-opened_at"]

    @admin.display(description=_("machine or plan"))
    def about(self, alert: Alert) -> str:
        return str(alert.machine or alert.plan or "–")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        # Neither a row of details nor what a plan holds is shown in a list.
        return super().get_queryset(request).defer("plan__held", "plan__put", "machine__details", "machine__tags")
