"""Mails and calls of webhooks on their way, and those that were given up. What they say is their readers' alone."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from notifications.models import Mail, WebhookDelivery
from tenants.admin.read_only import ReadOnlyAdmin
from tenants.audit import address_of, record
from tenants.outbox import failing


class FailingFilter(admin.SimpleListFilter):
    """As the front page counts them."""

    title, parameter_name = _("trouble"), "failing"

    def lookups(self, _request: HttpRequest, _admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("fails again and again, or was given up since yesterday"))]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return failing(queryset) if self.value() == "yes" else queryset


class SentAgain(ReadOnlyAdmin, admin.ModelAdmin):
    """With an action that begins the tries anew for what was given up."""

    actions = ["send_again"]
    ordering = ["-created_at"]

    def has_send_permission(self, request: HttpRequest) -> bool:
        label = self.opts.label_lower.replace(".", ".change_")
        return request.user.has_perm(label)

    @admin.action(description=_("Given up: send again"), permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        again = 0
        for row in queryset.filter(state="given_up").select_related("tenant"):
            moved = queryset.model.across_tenants.filter(pk=row.pk, state="given_up").update(
                state="waiting", attempts=0, next_at=timezone.now()
            )
            if moved:
                action = f"{self.opts.model_name}_sent_again"
                record(row.tenant, request.user, "operator", action, address=address_of(request), id=str(row.pk))
            again += moved
        self.message_user(request, _("%(count)d are sent again.") % {"count": again})


@admin.register(Mail)
class MailAdmin(SentAgain):
    list_display = ["created_at", "tenant", "user", "kind", "state", "attempts", "next_at", "sent_at", "problem"]
    list_filter = [FailingFilter, "state", "kind", "tenant"]
    list_select_related = ["tenant", "user"]
    search_fields = ["user__email", "tenant__name"]


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(SentAgain):
    list_display = [
        *("created_at", "tenant", "address", "state", "attempts", "next_at", "tried_at", "status_code", "problem"),
    ]
    list_filter = [FailingFilter, "state", "problem", "tenant"]
    list_select_related = ["tenant", "webhook"]
    search_fields = ["id", "webhook__url", "tenant__name"]
    exclude = ["event"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookDelivery]:
        secrets = ("webhook__encrypted_secret", "webhook__encrypted_former_secret")
        return super().get_queryset(request).defer(*secrets)

    @admin.display(description=_("address"))
    def address(self, delivery: WebhookDelivery) -> str:
        return delivery.webhook.url
