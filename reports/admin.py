"""What operators set of reports, and look at: prices, and whether our record is vProtect's."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from reports.chargeback import check
from reports.models import ChargebackSize, Price
from tenants.admin.audited import AuditedAdmin
from tenants.admin.read_only import ReadOnlyAdmin


class PriceForm(forms.ModelForm):
    """What tenants were shown of months that are over changes only if somebody means it."""

    changes_the_past = forms.BooleanField(
        label=_("also for months that are over"),
        required=False,
        help_text=_("Tenants who look at them again find other amounts, without a word of why."),
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        counts_from = cleaned.get("counts_from")
        is_past = counts_from is not None and counts_from < timezone.localdate().replace(day=1)
        if is_past and self.has_changed() and not cleaned["changes_the_past"]:
            problem = _(
                "This changes what months that are over come to: choose a later month, or tick that you mean it."
            )
            self.add_error("changes_the_past", problem)
        return cleaned


@admin.register(Price)
class PriceAdmin(AuditedAdmin):
    form = PriceForm
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
