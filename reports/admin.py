"""What operators set of reports, and look at: prices, and whether our record is vProtect's."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

from reports.chargeback import check
from reports.models import ChargebackSize, Price
from tenants.admin.audited import AuditedAdmin
from tenants.admin.read_only import ReadOnlyAdmin


@admin.register(Price)
class PriceAdmin(AuditedAdmin):
    list_display = ["__str__", "currency", "per_gib_month", "per_machine_month"]
    list_filter = ["tenant"]
    list_select_related = ["tenant"]
    date_hierarchy = "counts_from"


@admin.register(ChargebackSize)
class ChargebackAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    """One page instead of a list: ours beside vProtect's."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": _("Usage checked against vProtect"),
            "check": check(),
        }
        return TemplateResponse(request, "operator/chargeback.html", context)
