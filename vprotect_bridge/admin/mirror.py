"""What vProtect told."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tenants.admin.read_only import ReadOnlyAdmin
from vprotect_bridge.models import (
    Backup,
    Cluster,
    Destination,
    Hypervisor,
    Policy,
    Schedule,
    Storage,
)


@admin.register(Backup)
class BackupAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = ["machine", "tenant", "status", "type", "sort_at", "size", "vanished_at"]
    list_filter = ["status", "type", "tenant"]
    list_select_related = ["machine", "tenant"]
    search_fields = ["guid", "machine__name", "machine__guid"]
    ordering = ["-sort_at"]


@admin.register(Destination)
class DestinationAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = ["name", "guid", "type", "is_default", "used", "capacity", "vanished_at"]
    search_fields = ["name", "guid"]


@admin.register(Hypervisor)
class HypervisorAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = ["name", "platform", "is_manager", "guid", "vanished_at"]
    search_fields = ["name", "guid"]


@admin.register(Cluster)
class ClusterAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = ["name", "hypervisor", "guid", "vanished_at"]
    list_select_related = ["hypervisor"]
    search_fields = ["name", "guid"]


@admin.register(Storage)
class StorageAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = ["name", "hypervisor", "capacity", "used", "guid", "vanished_at"]
    list_select_related = ["hypervisor"]
    search_fields = ["name", "guid"]


@admin.register(Policy)
class PolicyAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    """Every policy of vProtect. "Never backs up": it has no rule, or its rule no schedule or no destination."""

    list_display = ["name", "standing", "tenant_value", "auto_assign_mode", "rule_count", "vanished_at"]
    list_filter = ["standing", "auto_assign_mode", ("vanished_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "guid", "tenant_value"]

    @admin.display(description=_("rules"))
    def rule_count(self, policy: Policy) -> int:
        return len(policy.rules)


class InARule(admin.SimpleListFilter):
    title = _("rule")
    parameter_name = "rule"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("none", _("In no rule")), ("some", _("In a rule"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "none":
            return queryset.filter(rule_guids=[])
        return queryset.exclude(rule_guids=[]) if self.value() == "some" else queryset


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    """Every schedule of vProtect. One in no rule does nothing."""

    list_display = ["name", "is_on", "tenant_value", "rule_count", "vanished_at"]
    list_filter = [InARule, ("vanished_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "guid", "tenant_value"]

    @admin.display(boolean=True, description=_("on"))
    def is_on(self, schedule: Schedule) -> bool:
        return bool(schedule.facts.get("active"))

    @admin.display(description=_("rules"))
    def rule_count(self, schedule: Schedule) -> int:
        return len(schedule.rule_guids)
