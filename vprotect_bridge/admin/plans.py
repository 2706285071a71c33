"""Plans and their changes."""

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.admin.read_only import ReadOnlyAdmin
from vprotect_bridge.admin.decisions import audit
from vprotect_bridge.models import (
    Plan,
    PlanChange,
)


@admin.register(Plan)
class PlanAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = [
        "name",
        "tenant",
        "standing",
        "is_made_here",
        "is_editable",
        "held_at",
        "put_again_at",
        "vanished_at",
    ]
    list_filter = ["standing", "is_made_here", "is_editable", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["name", "upstream_name", "policy_guid"]
    ordering = ["tenant", "name"]


@admin.register(PlanChange)
class PlanChangeAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    """`detail` holds vProtect's original words."""

    list_display = ["created_at", "tenant", "plan", "kind", "state", "user_message", "detail"]
    list_filter = ["state", "kind", "tenant"]
    list_select_related = ["tenant", "plan"]
    search_fields = ["plan__name", "plan__policy_guid", "correlation_id"]
    ordering = ["-created_at"]
    actions = ["finish", "take_back"]

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("vprotect_bridge.change_planchange")

    @admin.action(description=_("Half done: finish it"), permissions=["decide"])
    def finish(self, request: HttpRequest, queryset: QuerySet[PlanChange]) -> None:
        self._decide(request, queryset, PlanChange.State.WORKING)

    @admin.action(description=_("Half done: take it back"), permissions=["decide"])
    def take_back(self, request: HttpRequest, queryset: QuerySet[PlanChange]) -> None:
        self._decide(request, queryset, PlanChange.State.UNDOING)

    @transaction.atomic
    def _decide(self, request: HttpRequest, queryset: QuerySet[PlanChange], to: str) -> None:
        moved, now = 0, timezone.now()
        for change in queryset.filter(state=PlanChange.State.STUCK).select_related("tenant", "plan"):
            stuck = PlanChange.across_tenants.filter(pk=change.pk, state=PlanChange.State.STUCK)
            if stuck.update(state=to, next_at=now, decided_at=now):
                audit(request, change.tenant, f"plan_change_{to}", plan=str(change.plan_id), change=str(change.pk))
                moved += 1
        self.message_user(request, _("%(count)d changes moved.") % {"count": moved})
