"""People of a tenant invited by an operator: its first administrator, or whoever comes when nobody there can invite."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _

from tenants import invitation_mail
from tenants.audit import address_of
from tenants.models import Role, Tenant
from tenants.people import Inviter, Refused, invite, revoke, unused_invitations


class InviteForm(forms.Form):
    email = forms.EmailField(max_length=254, label=_("E-mail address"))
    role = forms.ChoiceField(choices=Role.choices, initial=Role.ADMIN, label=_("Role"))


class InvitingAdmin(admin.ModelAdmin):
    """For a `ModelAdmin` of tenants: a page that invites by mail, and takes invitations back."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.invite)
        return [path("<path:pk>/invite/", view, name="tenant-invite"), *super().get_urls()]

    def invite(self, request: HttpRequest, pk: str) -> HttpResponse:
        if not request.user.has_perm("tenants.add_membership"):
            raise PermissionDenied
        tenant = get_object_or_404(Tenant, pk=pk if pk.isdecimal() else 0, is_active=True)
        by = Inviter(tenant, request.user, "operator", address_of(request))
        if "take_back" in request.POST:
            self._take_back(request, by)
            return redirect("admin:tenant-invite", tenant.pk)
        form = InviteForm(request.POST if request.method == "POST" else None)
        if form.is_valid() and self._invited(request, by, form):
            return redirect("admin:tenant-invite", tenant.pk)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": _("Invite somebody"),
            "tenant": tenant,
            "form": form,
            "invitations": unused_invitations(tenant).select_related("invited_by"),
        }
        return TemplateResponse(request, "operator/invite.html", context)

    def _invited(self, request: HttpRequest, by: Inviter, form: InviteForm) -> bool:
        try:
            with transaction.atomic():
                invitation, token = invite(by, form.cleaned_data["email"], form.cleaned_data["role"], None)
                invitation_mail.send(invitation, token)
        except Refused as refused:
            form.add_error(refused.field or None, str(refused.user_message))
            return False
        self.message_user(request, _("An invitation is on its way to %(email)s.") % {"email": invitation.email})
        return True

    def _take_back(self, request: HttpRequest, by: Inviter) -> None:
        for invitation in unused_invitations(by.tenant):
            if str(invitation.pk) == request.POST["take_back"] and revoke(by, invitation):
                message = _("The invitation of %(email)s no longer works.")
                self.message_user(request, message % {"email": invitation.email})
