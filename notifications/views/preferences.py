"""Of what a person wants to be told, in each of their organisations, and when mail may come."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from django_scopes import scope

from notifications.forms import MailTimesForm, PersonalChoicesForm
from notifications.models import DigestClock, MailTimes, PersonalChoices, TenantChoices
from tenants.middleware import active_memberships
from tenants.models import Membership
from tenants.people import identity_provider
from tenants.second_factor import has_shown_second_factor
from tenants.single_sign_on import provider_key_of
from tenants.wall import lower_wall


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@transaction.atomic
def notification_preferences(request: HttpRequest) -> HttpResponse:
    sent = request.POST if request.method == "POST" else None
    memberships = _open_memberships(request)
    _stay_in_tenant(request, memberships)
    times = MailTimesForm(sent, instance=_times_of(request))
    choices = [(membership, _form(request, membership, sent)) for membership in memberships]
    # All of them, so that each says what is wrong with it.
    if sent is not None and all([times.is_valid(), *(form.is_valid() for _of, form in choices)]):
        times.save()
        for membership, form in choices:
            _keep(request, membership, form)
        messages.success(request, _("Your preferences are saved."))
        page = redirect("notification-preferences")
        page["Location"] += f"?tenant={request.tenant.slug}" if request.tenant else ""  # type: ignore[attr-defined]
        return page
    context = {"times": times, "choices": choices, "forms": [times, *(form for _of, form in choices)]}
    context["own_zone"] = request.user.time_zone  # type: ignore[union-attr]
    zone = request.user.time_zone or (request.tenant.time_zone if request.tenant else "UTC")  # type: ignore[union-attr, attr-defined]
    with timezone.override(zone):
        return render(request, "notifications/preferences.html", context, status=422 if sent is not None else 200)


def _open_memberships(request: HttpRequest) -> list[Membership]:
    """Those in tenants that this session may open as it is."""
    key, has_factor = provider_key_of(request), has_shown_second_factor(request)
    opened = []
    for membership in active_memberships(request):
        provider = identity_provider(membership.tenant)
        vouched = bool(key and provider and provider.vouches_for_second_factor)
        is_let_in = bool(key) or not (provider and provider.only_single_sign_on)
        if is_let_in and (has_factor or vouched or not membership.tenant.second_factor_required):
            opened.append(membership)
    return opened


def _stay_in_tenant(request: HttpRequest, memberships: list[Membership]) -> None:
    """The page keeps the navigation of the tenant that a person comes from, or of the only one they have."""
    named = [membership for membership in memberships if membership.tenant.slug == request.GET.get("tenant")]
    found = named or (memberships if len(memberships) == 1 else [])
    if found:
        request.tenant, request.membership = found[0].tenant, found[0]  # type: ignore[attr-defined]
        request.memberships = memberships  # type: ignore[attr-defined]


def _times_of(request: HttpRequest) -> MailTimes:
    """Behind the person's own wall, which is down since their memberships were read."""
    user: Any = request.user
    return MailTimes.objects.filter(user=user).first() or MailTimes(user=user)


def _form(request: HttpRequest, membership: Membership, sent: Any) -> PersonalChoicesForm:
    lower_wall(request.user, membership.tenant.slug, provider_key_of(request))
    with scope(tenant=membership.tenant):
        own = PersonalChoices.objects.filter(user=membership.user_id).first()
        shown = own or TenantChoices.objects.first() or TenantChoices()
    initial = {name: getattr(shown, name) for name in PersonalChoicesForm.Meta.fields}
    return PersonalChoicesForm(sent, prefix=membership.tenant.slug, initial=initial)


def _keep(request: HttpRequest, membership: Membership, form: PersonalChoicesForm) -> None:
    """What is as the tenant has it stays so, also when the tenant chooses anew."""
    lower_wall(request.user, membership.tenant.slug, provider_key_of(request))
    with scope(tenant=membership.tenant):
        own = PersonalChoices.objects.filter(user=membership.user_id).first()
        if own is not None or form.has_changed():
            row = own or PersonalChoices(user_id=membership.user_id, tenant=membership.tenant)
            form.filled_in(row).save()
        # By the times that hold now.
        DigestClock.objects.filter(user=membership.user_id).delete()
