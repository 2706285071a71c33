"""How vProtect is, and what operators decide about the connection."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.admin.read_only import ReadOnlyAdmin
from vprotect_bridge import doorbell
from vprotect_bridge.admin.decisions import audit
from vprotect_bridge.health import read_health
from vprotect_bridge.models import UpstreamSession, UpstreamStatus


@admin.register(UpstreamStatus)
class UpstreamStatusAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    """One row, so one page instead of a list."""

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("vprotect_bridge.change_upstreamstatus")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST" and self.has_decide_permission(request):
            self._decide(request)
            return redirect("admin:vprotect_bridge_upstreamstatus_changelist")
        context = {
            **self.admin_site.each_context(request),
            "title": _("Connection to vProtect"),
            "health": read_health(),
            "rings": doorbell.waiting(),
            "may_decide": self.has_decide_permission(request),
        }
        return TemplateResponse(request, "operator/connection.html", context)

    @transaction.atomic
    def _decide(self, request: HttpRequest) -> None:
        if request.POST.get("decide") == "accept-inventory":
            # The next inventory may lack as many machines as the refused one, and no more.
            for status in UpstreamStatus.objects.filter(inventory_refused_count__isnull=False).select_for_update():
                status.inventory_accepted_count = status.inventory_refused_count
                status.save(update_fields=["inventory_accepted_count"])
                audit(request, None, "accept_inventory", None, machines=status.inventory_refused_count or 0)
                self.message_user(request, _("The next inventory may lack so many machines."))
        elif request.POST.get("decide") == "login":
            paused = UpstreamSession.objects.filter(pk=1, login_paused_until__gt=timezone.now())
            if paused.update(login_paused_until=None):
                audit(request, None, "login_unpaused")
                self.message_user(request, _("The next call logs in again."))
