"""Machines and whose they are."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.admin.read_only import ReadOnlyAdmin
from tenants.models import Claim, Tenant
from vprotect_bridge.admin.decisions import audit
from vprotect_bridge.models import (
    Machine,
)


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
    list_filter = [Ownership, "tenant", "platform", "protection", "present"]
    list_select_related = ["tenant"]
    search_fields = ["name", "guid", "uuid"]
    ordering = ["name", "guid"]
    action_form = ChooseTenant
    actions = ["claim"]

    def has_claim_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tenants.add_claim")

    @admin.action(description=_("Claim unclaimed machines for the tenant"), permissions=["claim"])
    def claim(self, request: HttpRequest, queryset: QuerySet[Machine]) -> None:
        """Machines that somebody owns are left alone: taking one away is done in the tenant's claims."""
        chosen = request.POST.get("tenant", "")
        tenant = Tenant.objects.filter(pk=int(chosen), is_active=True).first() if chosen.isdecimal() else None
        if tenant is None:
            self.message_user(request, _("Choose a tenant beside the action."), messages.ERROR)
            return
        machines = [machine for machine in queryset.filter(tenant=None) if self._claim(request, machine, tenant)]
        self.message_user(request, _("%(count)d machines claimed.") % {"count": len(machines)})

    @transaction.atomic
    def _claim(self, request: HttpRequest, machine: Machine, tenant: Tenant) -> bool:
        claim, _made = Claim.across_tenants.get_or_create(
            kind=Claim.Kind.MACHINE, value=machine.guid, defaults={"tenant": tenant}
        )
        if claim.tenant_id != tenant.pk:
            return False
        # The history too is the first owner's, but a worker has to read it again for that.
        Machine.across_tenants.filter(pk=machine.pk).update(
            tenant=tenant, owned_by=Machine.OwnedBy.CLAIM, backups_wanted_at=timezone.now()
        )
        audit(request, tenant, "claim_machine", machine)
        return True
