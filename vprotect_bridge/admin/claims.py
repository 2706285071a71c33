"""What makes machines somebody's: one by one, or many pasted."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from tenants.admin.audited import AuditedAdmin
from tenants.models import Claim, Tenant
from vprotect_bridge import claims, drift
from vprotect_bridge.admin.decisions import audit
from vprotect_bridge.models import Machine


class Matches(admin.SimpleListFilter):
    title = _("machines")
    parameter_name = "matches"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("nothing", _("Of nothing"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "nothing":
            return queryset.filter(pk__in=drift.claims_of_nothing().order_by().values("pk"))
        return queryset


@admin.register(Claim)
class ClaimAdmin(AuditedAdmin):
    """What makes a machine a tenant's. Made and taken back, never changed: another value is another claim."""

    list_display = ["value", "kind", "tenant", "machine", "created_at"]
    list_filter = ["kind", Matches, "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["value", "tenant__name", "tenant__slug"]
    autocomplete_fields = ["tenant"]
    ordering = ["-created_at"]
    change_list_template = "operator/claims.html"
    fields = ("tenant", "kind", "value")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        return [path("paste/", self.admin_site.admin_view(self.paste), name="claims-paste"), *super().get_urls()]

    @admin.display(description=_("machine"))
    def machine(self, claim: Claim) -> str:
        if claim.kind == Claim.Kind.MACHINE:
            machine = Machine.across_tenants.filter(guid=claim.value).only("pk", "name").first()
            if machine is None:
                return str(_("none that vProtect lists"))
            return format_html(
                '<a href="{}">{}</a>', reverse("admin:vprotect_bridge_machine_change", args=[machine.pk]), machine.name
            )
        made = Machine.across_tenants.filter(owner_value=claim.value, vanished_at=None)
        figures = made.aggregate(count=Count("pk", filter=~Q(owned_by=Machine.OwnedBy.CLAIM)))
        return str(_("%(count)d machines") % figures)

    def paste(self, request: HttpRequest) -> HttpResponse:
        """Looked at first, then claimed, each value with a word of what becomes of it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = PasteForm(request.POST or None, initial={"tenant": request.GET.get("tenant")})
        pasted: list[claims.Pasted] = []
        if request.method == "POST" and form.is_valid():
            chosen = form.cleaned_data
            pasted = claims.sort_pasted(chosen["tenant"], chosen["kind"], chosen["values"])
            if "claim" in request.POST:
                return self._claim_all(request, chosen, pasted)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Paste claims"),
            "form": form,
            "pasted": pasted,
            "new_count": sum(one.standing in form.standings for one in pasted) if pasted else 0,
        }
        return TemplateResponse(request, "operator/paste_claims.html", context)

    @transaction.atomic
    def _claim_all(self, request: HttpRequest, chosen: dict[str, Any], pasted: list[claims.Pasted]) -> HttpResponse:
        claimed = claims.claim_all(chosen["tenant"], chosen["kind"], pasted, PasteForm.standings_of(chosen))
        for one in claimed:
            if one.other:
                audit(request, one.other, "machine_taken", one.machine)
            audit(request, chosen["tenant"], "claim_machine", one.machine, value=one.value)
        message = _("%(claimed)d claimed for %(tenant)s, %(left)d left alone.")
        left = len(pasted) - len(claimed)
        self.message_user(request, message % {"claimed": len(claimed), "tenant": chosen["tenant"], "left": left})
        return redirect(f"{reverse('admin:tenants_claim_changelist')}?tenant__id__exact={chosen['tenant'].pk}")


class PasteForm(forms.Form):
    tenant = forms.ModelChoiceField(Tenant.objects.all(), label=_("Tenant"))
    kind = forms.ChoiceField(choices=Claim.Kind.choices, label=_("They are"), widget=forms.RadioSelect)
    values = forms.CharField(
        max_length=400_000,
        label=_("Values"),
        help_text=_("Separated by spaces, commas or lines, up to 5,000."),
        widget=forms.Textarea(attrs={"rows": 10, "cols": 70, "spellcheck": "false"}),
    )
    also_unknown = forms.BooleanField(required=False, label=_("Also those of which vProtect has not told yet"))
    also_taken = forms.BooleanField(required=False, label=_("Also those that another tenant has by its project"))

    @staticmethod
    def standings_of(chosen: dict[str, Any]) -> set[str]:
        also = (("also_unknown", claims.Standing.UNKNOWN), ("also_taken", claims.Standing.TAKES))
        return {claims.Standing.FREE, *(standing for name, standing in also if chosen.get(name))}

    @property
    def standings(self) -> set[str]:
        """What will be claimed, as it is ticked."""
        return self.standings_of(self.cleaned_data)
