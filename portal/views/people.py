"""The administrator's pages about people: who belongs here, who is invited, what each may do."""

from __future__ import annotations

from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal import access
from portal.machine_picker import MachinePicker
from portal.people_forms import InviteForm, MemberForm, SettingsForm, initial_of
from tenants import invitation_mail
from tenants.audit import address_of
from tenants.middleware import TenantRequest
from tenants.models import Invitation, Membership
from tenants.people import (
    Inviter,
    Refused,
    change_member,
    change_settings,
    identity_provider,
    invite,
    is_last_administrator,
    remove_member,
    revoke,
)
from vprotect_bridge import limits
from vprotect_bridge.doorbell import ring_watch


@require_safe
@never_cache
@access.for_administrators
def member_list(request: TenantRequest, tenant: str) -> HttpResponse:
    invitations = Invitation.objects.filter(accepted_at=None, revoked_at=None).select_related("invited_by")
    context = {
        "members": access.visible_members(request).order_by("user__email"),
        "invitations": invitations,
        "provider": identity_provider(request.tenant),
    }
    return render(request, "portal/members.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@access.for_administrators
def member_invite(request: TenantRequest, tenant: str) -> HttpResponse:
    picker = MachinePicker(_sent(request), access.visible_machines(request.membership))
    form = InviteForm(_sent(request), picker=picker)
    if form.is_bound and not picker.is_arranging and form.is_valid():
        try:
            email = _invite(request, form)
        except Refused as refused:
            form.refuse(refused)
        else:
            messages.success(request, _("An invitation is on its way to %(email)s.") % {"email": email})
            return redirect("members", tenant)
    return _form_page(request, form, "portal/member_invite.html")


@transaction.atomic
def _invite(request: TenantRequest, form: InviteForm) -> str:
    """Kept only together with its mail: without the mail nobody could use it."""
    chosen = form.cleaned_data
    by = Inviter.member(request.membership, address_of(request))
    opens = chosen["may_open_backups"]
    invitation, token = invite(by, chosen["email"], chosen["role"], form.machine_guids, may_open_backups=opens)
    invitation_mail.send(invitation, token)
    return invitation.email


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@access.for_administrators
def member_edit(request: TenantRequest, tenant: str, member_id: int) -> HttpResponse:
    member = access.member_for(request, member_id)
    machines = access.visible_machines(request.membership)
    base = machines.filter(guid__in=member.machine_guids or []).values_list("guid", flat=True)
    picker = MachinePicker(_sent(request), machines, base)
    form = MemberForm(_sent(request), picker=picker, initial=initial_of(member))
    if form.is_bound and not picker.is_arranging and form.is_valid():
        try:
            change_member(
                request.membership,
                member,
                form.cleaned_data["role"],
                form.machine_guids,
                address=address_of(request),
                may_open_backups=form.cleaned_data["may_open_backups"],
            )
        except Refused as refused:
            form.refuse(refused)
        else:
            messages.success(request, _("What %(person)s may do is changed.") % {"person": member.user})
            return redirect("members" if member.user_id != request.user.pk else "tenant-home", tenant)
    return _form_page(request, form, "portal/member_edit.html", member)


def _sent(request: TenantRequest) -> Any:
    """What was typed; None = nothing yet."""
    return request.POST if request.method == "POST" else None


def _form_page(
    request: TenantRequest, form: MemberForm, template: str, member: Membership | None = None
) -> HttpResponse:
    context = {
        "form": form,
        "member": member,
        "provider": identity_provider(request.tenant),
        "is_last_administrator": member is not None and is_last_administrator(member),
        "picker": form.picker,
    }
    if form.picker.is_arranging:
        form.errors.clear()
    return render(request, template, context, status=422 if form.is_bound and not form.picker.is_arranging else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@access.for_administrators
def member_remove(request: TenantRequest, tenant: str, member_id: int) -> HttpResponse:
    member = access.member_for(request, member_id)
    problem = ""
    if request.method == "POST":
        try:
            remove_member(request.membership, member, address=address_of(request))
        except Refused as refused:
            problem = str(refused.user_message)
        else:
            messages.success(request, _("%(person)s does not belong here any more.") % {"person": member.user})
            return redirect("home") if member.user_id == request.user.pk else redirect("members", tenant)
    context = {
        "member": member,
        "problem": problem,
        "provider": identity_provider(request.tenant),
        "is_last_administrator": is_last_administrator(member),
    }
    return render(request, "portal/member_remove.html", context, status=422 if problem else 200)


@require_POST
@access.for_administrators
def invitation_revoke(request: TenantRequest, tenant: str, invitation_id: UUID) -> HttpResponse:
    invitation = access.invitation_for(request, invitation_id)
    if revoke(Inviter.member(request.membership, address_of(request)), invitation):
        messages.success(request, _("The invitation of %(email)s no longer works.") % {"email": invitation.email})
    return redirect("members", tenant)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@access.for_administrators
def tenant_settings(request: TenantRequest, tenant: str) -> HttpResponse:
    form = SettingsForm(_sent(request), initial=SettingsForm.initial_of(request.tenant))
    if request.method == "POST" and form.is_valid():
        try:
            change_settings(request.membership, form.settings, address=address_of(request))
        except Refused as refused:
            form.refuse(refused)
        else:
            transaction.on_commit(ring_watch, robust=True)
            messages.success(request, _("The settings are saved."))
            return redirect("settings", tenant)
    context = {"form": form, "zones": sorted(available_timezones()), "usages": limits.usages(request.tenant)}
    return render(request, "portal/settings.html", context, status=422 if form.is_bound else 200)
