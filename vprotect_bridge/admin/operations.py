"""Operations, and those that need a decision."""

import re
from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import ActionForm
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.admin.read_only import ReadOnlyAdmin
from vprotect_bridge.admin.decisions import audit, name_restored
from vprotect_bridge.models import (
    Operation,
    OperationEvent,
)


class EventInline(ReadOnlyAdmin, admin.TabularInline):
    model = OperationEvent
    fields = ["at", "moved_from", "moved_to", "fence", "detail"]
    ordering = ["at"]
    extra = 0


class NameTask(ActionForm):
    task = forms.CharField(required=False, label=_("Task or machine GUID:"))


class OutcomeFilter(admin.ChoicesFieldListFilter):
    """An operation without an outcome is under way; its link needs a name like the others."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield {**choice, "display": choice["display"] or _("under way")}


@admin.register(Operation)
class OperationAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = ["created_at", "tenant", "machine", "kind", "origin", "submission", "phase", "outcome", "progress"]
    list_filter = ["submission", ("outcome", OutcomeFilter), "kind", "origin", "tenant"]
    list_select_related = ["tenant", "machine"]
    search_fields = [
        *("id", "machine__name", "subject_guid", "task_guid", "correlation_id"),
        *("backup_guid", "restored_guid", "restore_job_guid", "created_by__email", "tenant__name"),
    ]
    ordering = ["-created_at"]
    inlines = [EventInline]
    action_form = NameTask
    actions = ["link", "send_again", "mark_not_sent", "name_restored"]

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

    @admin.action(description=_("Restored: it became this machine"), permissions=["decide"])
    def name_restored(self, request: HttpRequest, queryset: QuerySet[Operation]) -> None:
        """For a restore whose machine waits for an owner, one at a time; the machine has to be nobody's."""
        self.message_user(request, *name_restored(request, queryset, request.POST.get("task", "").strip()))

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
        audit(request, operation.tenant, f"operation_{to}", operation.machine, operation=str(operation.pk))
        return True
