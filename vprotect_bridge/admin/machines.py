"""Machines and whose they are, drift, and handing over history."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from tenants.admin.read_only import ReadOnlyAdmin
from tenants.audit import address_of
from tenants.models import Claim, Tenant
from vprotect_bridge import claims, drift
from vprotect_bridge.admin.decisions import audit, name_restored
from vprotect_bridge.hand_over import hand_over, history_by_owner
from vprotect_bridge.models import Machine, OwnerChange

FEW = 50


class Ownership(admin.SimpleListFilter):
    title = _("owner")
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("none", _("Unclaimed machines")), ("some", _("Owned machines"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() in {"none", "some"}:
            return queryset.filter(tenant__isnull=self.value() == "none")
        return queryset


class ChooseTenant(ActionForm):
    tenant = forms.ModelChoiceField(Tenant.objects.filter(is_active=True), required=False, label=_("Tenant:"))


@admin.register(Machine)
class MachineAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = ["name", "tenant", "owned_by", "platform", "protection", "present", "last_backup_at", "vanished_at"]
    list_filter = [Ownership, "platform", "protection", "present", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["name", "guid", "uuid", "tenant__name", "project_name"]
    ordering = ["name", "guid"]
    action_form = ChooseTenant
    actions = ["claim"]
    change_form_template = "operator/machine.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("drift/", view(self.drift), name="drift"),
            path("<path:pk>/hand-over/", view(self.hand_over), name="hand-over"),
            *super().get_urls(),
        ]

    def has_claim_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tenants.add_claim")

    @admin.action(description=_("Claim unclaimed machines for the tenant"), permissions=["claim"])
    def claim(self, request: HttpRequest, queryset: QuerySet[Machine]) -> None:
        """Machines that somebody owns are left alone: taking one away is done in the tenant's claims."""
        chosen = ChooseTenant.base_fields["tenant"]
        try:
            tenant = chosen.clean(request.POST.get("tenant"))
        except forms.ValidationError:
            tenant = None
        if tenant is None:
            self.message_user(request, _("Choose a tenant first."), messages.ERROR)
            return
        machines = [machine for machine in queryset.filter(tenant=None) if self._claim(request, machine, tenant)]
        count = len(machines)
        message = ngettext("%(count)d machine claimed.", "%(count)d machines claimed.", count) % {"count": count}
        self.message_user(request, message, messages.SUCCESS if count else messages.WARNING)

    @transaction.atomic
    def _claim(self, request: HttpRequest, machine: Machine, tenant: Tenant) -> bool:
        claim, _made = Claim.across_tenants.get_or_create(
            kind=Claim.Kind.MACHINE, value=machine.guid, defaults={"tenant": tenant}
        )
        if claim.tenant_id != tenant.pk:
            return False
        claims.give_machine(claim)
        audit(request, tenant, "claim_machine", machine)
        return True

    def drift(self, request: HttpRequest) -> HttpResponse:
        """What came apart, in one page: each kind with what puts it right."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST" and self.has_claim_permission(request):
            self._put_right(request)
            return redirect("admin:drift")
        restores = list(drift.restores_without_owner()[:FEW])
        context = {
            **self.admin_site.each_context(request),
            "title": _("Drift"),
            "unclaimed": drift.unclaimed_machines()[:FEW],
            "unclaimed_count": drift.unclaimed_machines().count(),
            "claims": drift.claims_of_nothing()[:FEW],
            "claim_count": drift.claims_of_nothing().count(),
            "changes": drift.owner_changes()[:FEW],
            "change_count": drift.owner_changes().count(),
            "restores": [(restore, drift.candidates(restore)[:3]) for restore in restores],
            "restore_count": drift.restores_without_owner().count(),
            "tenants": Tenant.objects.filter(is_active=True),
            "may_claim": self.has_claim_permission(request),
        }
        return TemplateResponse(request, "operator/drift.html", context)

    def _put_right(self, request: HttpRequest) -> None:
        if "claim" in request.POST:
            chosen = [int(pk) for pk in request.POST.getlist("machine") if pk.isdecimal()]
            self.claim(request, drift.unclaimed_machines().filter(pk__in=chosen))
        elif "became" in request.POST:
            operation, _space, guid = request.POST["became"].partition(" ")
            self._name_restored(request, operation, guid)
        else:
            self._settle(request, request.POST.get("settle", ""))

    def _name_restored(self, request: HttpRequest, operation: str, guid: str) -> None:
        try:
            restores = drift.restores_without_owner().filter(pk=UUID(operation))
        except ValueError:
            restores = drift.restores_without_owner().none()
        self.message_user(request, *name_restored(request, restores, guid))

    def _settle(self, request: HttpRequest, pk: str) -> None:
        change = OwnerChange.objects.filter(pk=int(pk), settled_at=None).first() if pk.isdecimal() else None
        if change is not None:
            OwnerChange.objects.filter(pk=change.pk).update(settled_at=timezone.now())
            audit(request, None, "owner_change_settled", change.machine, change=str(change))

    def hand_over(self, request: HttpRequest, pk: str) -> HttpResponse:
        if not self.has_claim_permission(request):
            raise PermissionDenied
        machine = get_object_or_404(Machine.across_tenants, pk=pk if pk.isdecimal() else 0)
        form = HandOverForm(request.POST or None, rows=history_by_owner(machine), initial={"now": machine.tenant})
        if request.method == "POST" and form.is_valid():
            chosen = form.cleaned_data
            count = hand_over(machine, chosen["was"], chosen["now"], by=request.user, address=address_of(request))
            message = _("%(count)d restore points belong to %(tenant)s now.")
            self.message_user(request, message % {"count": count, "tenant": chosen["now"]})
            return redirect("admin:vprotect_bridge_machine_change", machine.pk)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Hand over history"),
            "subtitle": machine.name,
            "machine": machine,
            "rows": history_by_owner(machine),
            "form": form,
        }
        return TemplateResponse(request, "operator/hand_over.html", context)


class HandOverForm(forms.Form):
    """From whom (one of those who have some of it; "nobody" as well) to whom."""

    was = forms.TypedChoiceField(label=_("Restore points of"))
    now = forms.ModelChoiceField(Tenant.objects.filter(is_active=True), label=_("become those of"))
    understood = forms.BooleanField(label=_("The new owner may restore what was in the machine then."))

    def __init__(self, *args: Any, rows: list[dict[str, Any]], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["was"].choices = [  # type: ignore[attr-defined]
            (str(row["tenant_id"] or 0), f"{row['tenant'] or _('nobody')} ({row['count']})") for row in rows
        ]

    def clean_was(self) -> Tenant | None:
        return Tenant.objects.filter(pk=int(self.cleaned_data["was"])).first()

    def clean(self) -> dict[str, Any]:
        chosen = super().clean() or {}
        if "was" in chosen and chosen.get("now") and chosen["was"] == chosen["now"]:
            self.add_error("now", _("They are this tenant's already."))
        return chosen
