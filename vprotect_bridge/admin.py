"""The operator site: the mirror, operations and how vProtect is. Only decisions of operators change anything."""

import re
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.admin import ReadOnlyAdmin
from tenants.audit import address_of, record
from tenants.models import Claim, Tenant
from vprotect_bridge.models import (
    Backup,
    Cluster,
    Destination,
    Hypervisor,
    Machine,
    Operation,
    OperationEvent,
    Plan,
    PlanChange,
    Policy,
    Schedule,
    Storage,
    UpstreamStatus,
)


def _audit(
    request: HttpRequest, tenant: Tenant | None, action: str, machine: Machine | None = None, **detail: str | int
) -> None:
    record(
        tenant,
        request.user,
        "operator",
        action,
        address=address_of(request),
        machine_guid=machine.guid if machine else "",
        machine_name=machine.name if machine else "",
        **detail,
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
        _audit(request, tenant, "claim_machine", machine)
        return True


@admin.register(Backup)
class BackupAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = ["machine", "tenant", "status", "type", "sort_at", "size", "vanished_at"]
    list_filter = ["status", "type", "tenant"]
    list_select_related = ["machine", "tenant"]
    search_fields = ["guid", "machine__name", "machine__guid"]
    ordering = ["-sort_at"]


class EventInline(ReadOnlyAdmin, admin.TabularInline):
    model = OperationEvent
    fields = ["at", "moved_from", "moved_to", "fence", "detail"]
    ordering = ["at"]
    extra = 0


class NameTask(ActionForm):
    task = forms.CharField(required=False, label=_("Task GUID:"))


@admin.register(Operation)
class OperationAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = ["created_at", "tenant", "machine", "kind", "origin", "submission", "phase", "outcome", "progress"]
    list_filter = ["submission", "outcome", "kind", "origin", "tenant"]
    list_select_related = ["tenant", "machine"]
    search_fields = ["id", "machine__name", "subject_guid", "task_guid", "correlation_id"]
    ordering = ["-created_at"]
    inlines = [EventInline]
    action_form = NameTask
    actions = ["link", "send_again", "mark_not_sent"]

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("vprotect_bridge.change_operation")

    @admin.action(description=_("Needs attention: it is this task"), permissions=["decide"])
    def link(self, request: HttpRequest, queryset: QuerySet[Operation]) -> None:
        """Only a task that was found for this very operation and its machine when the alarm was raised."""
        task = request.POST.get("task", "").strip()
        named = OperationEvent.across_tenants.filter(detail__regex=rf"^double: (.*, )?{re.escape(task)}(,|$)")
        found = queryset.filter(pk__in=named.values("operation")) if task else queryset.none()
        changes = {"task_guid": task, "phase": Operation.Phase.QUEUED, "user_message": ""}
        self._decide(request, found, Operation.Submission.ACCEPTED, **changes)

    @admin.action(description=_("Needs attention: send again"), permissions=["decide"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Operation]) -> None:
        now = timezone.now()
        changes = {"attempts": 0, "absent_seen": 0, "next_at": now, "user_message": ""}
        self._decide(request, queryset, Operation.Submission.PENDING, **changes)

    @admin.action(description=_("Needs attention: it was never sent, refuse it"), permissions=["decide"])
    def mark_not_sent(self, request: HttpRequest, queryset: QuerySet[Operation]) -> None:
        message = _("This was not started. You can ask for it again.")
        changes = {"outcome": Operation.Outcome.REFUSED, "user_message": message, "finished_at": timezone.now()}
        self._decide(request, queryset, Operation.Submission.REJECTED, **changes)

    def _decide(self, request: HttpRequest, queryset: QuerySet[Operation], to: str, **changes: Any) -> None:
        # One whose task is known is followed to its end by itself.
        needs_attention = Operation.Submission.NEEDS_ATTENTION
        stuck = queryset.filter(submission=needs_attention, outcome="", task_guid=None, backup_guid="")
        moved = sum(self._move(request, operation, to, **changes) for operation in stuck)
        self.message_user(request, _("%(count)d operations moved.") % {"count": moved})

    @transaction.atomic
    def _move(self, request: HttpRequest, operation: Operation, to: str, **changes: Any) -> bool:
        unmoved = Operation.across_tenants.filter(pk=operation.pk, submission=operation.submission)
        if not unmoved.update(submission=to, **changes):
            return False
        OperationEvent.across_tenants.create(
            tenant=operation.tenant,
            operation=operation,
            moved_from=operation.submission,
            moved_to=to,
            fence=operation.fence,
            detail="decided by an operator",
        )
        _audit(request, operation.tenant, f"operation_{to}", operation.machine, operation=str(operation.pk))
        return True


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


@admin.register(UpstreamStatus)
class UpstreamStatusAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = [
        *("__str__", "unreachable_since", "problem", "inventory_at", "inventory_refused_at"),
        *("inventory_refused_count", "inventory_accepted_count", "followed_at"),
    ]
    actions = ["accept_inventory"]

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("vprotect_bridge.change_upstreamstatus")

    @admin.action(description=_("Refused inventory: so many machines are really gone"), permissions=["decide"])
    @transaction.atomic
    def accept_inventory(self, request: HttpRequest, queryset: QuerySet[UpstreamStatus]) -> None:
        """The next inventory may lack as many machines as the refused one, and no more."""
        for status in queryset.filter(inventory_refused_count__isnull=False).select_for_update():
            status.inventory_accepted_count = status.inventory_refused_count
            status.save(update_fields=["inventory_accepted_count"])
            _audit(request, None, "accept_inventory", None, machines=status.inventory_refused_count or 0)


# ── Plans ────────────────────────────────────────────────────────────────────


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
                _audit(request, change.tenant, f"plan_change_{to}", plan=str(change.plan_id), change=str(change.pk))
                moved += 1
        self.message_user(request, _("%(count)d changes moved.") % {"count": moved})
