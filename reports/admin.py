"""What operators set of reports: prices."""

from __future__ import annotations

from django.contrib import admin

from reports.models import Price
from tenants.admin.audited import AuditedAdmin


@admin.register(Price)
class PriceAdmin(AuditedAdmin):
    list_display = ["__str__", "currency", "per_gib_month", "per_machine_month"]
    list_filter = ["tenant"]
    list_select_related = ["tenant"]
    date_hierarchy = "counts_from"
