"""Tenants: what they may use, what they have, and how one leaves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from tenants.admin.audited import AuditedAdmin
from tenants.admin.brands import BrandInline
from tenants.admin.invitations import InvitingAdmin
from tenants.admin.people import MembershipInline
from tenants.audit import address_of
from tenants.models import Role, Tenant
from vprotect_bridge import leaving, limits
from vprotect_bridge.admin.decisions import audit
from vprotect_bridge.admin.grants import GrantInline


@admin.register(Tenant)
class TenantAdmin(InvitingAdmin, AuditedAdmin):
    list_display = [
        "name",
        "slug",
        "is_active",
        "machine_count",
        "open_count",
        "priority_cap",
        "running_cap",
        "leaves_at",
    ]
    list_filter = ["is_active", ("leaves_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "slug", "claims__value", "memberships__user__email"]
    prepopulated_fields: ClassVar = {"slug": ["name"]}
    fieldsets = (
        (None, {"fields": ["name", "slug", "is_active", "time_zone", "second_factor_required", "target_hours"]}),
        (
            _("Limits"),
            {
                "description": _(
                    "From a warning on the tenant's people are told; what is above a limit is refused, with what "
                    "is left. Empty: no limit. Days are the tenant's own."
                ),
                "fields": [
                    "priority_cap",
                    "running_cap",
                    ("daily_backup_warning", "daily_backup_cap"),
                    ("daily_restore_warning", "daily_restore_cap"),
                    ("planned_machine_warning", "planned_machine_cap"),
                    ("stored_gib_warning", "stored_gib_cap"),
                    "mount_cap",
                    "download_cap_gib",
                ],
            },
        ),
    )
    inlines = [GrantInline, MembershipInline, BrandInline]
    change_form_template = "operator/tenant.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        return super().get_queryset(request).filter(removed_at=None)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("limits/", view(self.limits), name="tenant-limits"),
            path("<path:pk>/leave/", view(self.leave), name="tenant-leave"),
            path("<path:pk>/export/", view(require_POST(self.export)), name="tenant-export"),
            *super().get_urls(),
        ]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A tenant leaves in steps, on a page of its own; its row and its audit stay."""
        return False

    @admin.display(description=_("machines"))
    def machine_count(self, tenant: Tenant) -> int:
        return tenant.machines.filter(vanished_at=None).count()

    @admin.display(description=_("open operations"))
    def open_count(self, tenant: Tenant) -> int:
        return tenant.operations.filter(outcome="").count()

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        tenant = Tenant.objects.filter(pk=object_id if object_id.isdecimal() else 0)
        kwargs["extra_context"] = {"has": tenant.values().annotate(**_figures()).first()}
        return super().change_view(request, object_id, *args, **kwargs)

    def limits(self, request: HttpRequest) -> HttpResponse:
        """Who is near a limit or above it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": _("Limits"),
            "usages": limits.usages_of_all(),
        }
        return TemplateResponse(request, "operator/limits.html", context)

    def leave(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Suspended, exported, removed: each step says what it does, and only the last cannot be taken back."""
        tenant = self._tenant(request, pk)
        if request.method == "POST":
            if message := self._step(request, tenant):
                self.message_user(request, message, messages.ERROR)
            gone = Tenant.objects.filter(pk=tenant.pk, removed_at__isnull=False).exists()
            return redirect("admin:tenants_tenant_changelist") if gone else redirect("admin:tenant-leave", tenant.pk)
        context = {
            **self.admin_site.each_context(request),
            "title": _("How this tenant leaves"),
            "tenant": tenant,
            "has": Tenant.objects.filter(pk=tenant.pk).values().annotate(**_figures()).get(),
            "running_plans": leaving.running_plans(tenant),
            "days": settings.TENANT_RETENTION_DAYS,
            "is_due": leaving.is_due(tenant),
        }
        return TemplateResponse(request, "operator/leave.html", context)

    def _step(self, request: HttpRequest, tenant: Tenant) -> str:
        step, now = request.POST.get("step"), timezone.now()
        if step == "suspend":
            leaves_at = now + timedelta(days=settings.TENANT_RETENTION_DAYS)
            Tenant.objects.filter(pk=tenant.pk).update(is_active=False, leaves_at=leaves_at)
            audit(request, tenant, "tenant_suspended", leaves_at=leaves_at.isoformat())
        elif step == "stay":
            Tenant.objects.filter(pk=tenant.pk).update(is_active=True, leaves_at=None)
            audit(request, tenant, "tenant_stays")
        elif step == "remove":
            if request.POST.get("slug") != tenant.slug:
                return str(_("Type the tenant's address exactly, so that no other one is removed."))
            try:
                leaving.remove(tenant, by=request.user, address=address_of(request))
            except leaving.NotYet as not_yet:
                return str(not_yet.user_message)
            self.message_user(request, _("%(tenant)s is removed.") % {"tenant": tenant})
        return ""

    def export(self, request: HttpRequest, pk: str) -> HttpResponse:
        tenant = self._tenant(request, pk)
        audit(request, tenant, "tenant_exported")
        answer = HttpResponse(leaving.export(tenant), content_type="application/zip")
        answer["Content-Disposition"] = f'attachment; filename="{tenant.slug}.zip"'
        return answer

    def _tenant(self, request: HttpRequest, pk: str) -> Tenant:
        if not self.has_change_permission(request):
            raise PermissionDenied
        return get_object_or_404(Tenant, pk=pk if pk.isdecimal() else 0, removed_at=None)


def _figures() -> dict[str, Any]:
    return {
        "machine_count": Count("machines", distinct=True, filter=Q(machines__vanished_at=None)),
        "claim_count": Count("claims", distinct=True),
        "member_count": Count("memberships", distinct=True),
        "administrator_count": Count(
            "memberships",
            distinct=True,
            filter=Q(memberships__role=Role.ADMIN, memberships__machine_guids=None, memberships__user__is_active=True),
        ),
        "plan_count": Count("plans", distinct=True, filter=Q(plans__vanished_at=None)),
        "open_count": Count("operations", distinct=True, filter=Q(operations__outcome="")),
    }
