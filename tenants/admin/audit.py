"""What people decided."""

from django.contrib import admin

from tenants.admin.read_only import ReadOnlyAdmin
from tenants.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = ["at", "tenant", "actor_name", "role", "action", "machine_name", "outcome"]
    list_filter = ["tenant", "action", "outcome"]
    list_select_related = ["tenant"]
    search_fields = ["actor_name", "machine_name", "machine_guid", "correlation_id", "detail"]
    date_hierarchy = "at"
    ordering = ["-at"]
