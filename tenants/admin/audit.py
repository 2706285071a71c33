"""What people decided."""

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path

from tenants.admin.read_only import ReadOnlyAdmin
from tenants.audit_file import audit_file
from tenants.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = ["at", "tenant", "actor_name", "role", "action", "machine_name", "outcome"]
    list_filter = ["tenant", "action", "role"]
    list_select_related = ["tenant"]
    search_fields = ["actor_name", "machine_name", "machine_guid", "correlation_id", "detail"]
    date_hierarchy = "at"
    ordering = ["-at"]
    change_list_template = "operator/audit.html"

    def get_urls(self) -> list[URLPattern]:
        return [path("file.csv", self.admin_site.admin_view(self.file), name="audit-csv"), *super().get_urls()]

    def file(self, request: HttpRequest) -> HttpResponse:
        """What the list shows, filtered and searched as it is."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            entries = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return redirect("admin:tenants_auditentry_changelist")
        return audit_file(entries, "audit", names_tenants=True)
