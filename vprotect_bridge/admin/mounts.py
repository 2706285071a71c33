"""Backups that are open, and what is fetched out of them. What is inside machines is for their tenants alone."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tenants.admin.read_only import ReadOnlyAdmin
from vprotect_bridge.models import Download, Mount


class IsOpen(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("Open")), ("closing", _("Being closed")), ("closed", _("Closed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        match self.value():
            case "open":
                return queryset.filter(closed_at=None)
            case "closing":
                return queryset.filter(closed_at=None, close_sent_at__isnull=False)
            case "closed":
                return queryset.exclude(closed_at=None)
        return queryset


@admin.register(Mount)
class MountAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    """`close_sent_at` long ago and not closed: vProtect does not unmount it, see its console."""

    list_display = ["machine_name", "tenant", "opened_at", "closes_at", "close_sent_at", "closed_at", "closed_by"]
    list_filter = [IsOpen, "closed_by", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["guid", "machine_name", "machine_guid", "backup__guid", "operation__id"]
    ordering = ["-opened_at"]


@admin.register(Download)
class DownloadAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = [
        *("created_at", "tenant", "machine", "created_by", "state", "problem"),
        *("file_count", "received_bytes", "expected_bytes", "reserved_bytes", "finished_at", "taken_at"),
    ]
    list_filter = ["state", "problem", "tenant"]
    list_select_related = ["tenant", "mount", "created_by"]
    search_fields = ["id", "correlation_id", "mount__machine_name", "mount__guid", "created_by__email"]
    ordering = ["-created_at"]
    exclude = ["name", "items", "left_out"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Download]:
        return super().get_queryset(request).defer("name", "items", "left_out")

    @admin.display(description=_("machine"))
    def machine(self, download: Download) -> str:
        return download.mount.machine_name
