"""What administrators set for everybody: of what people are told who chose nothing, and the tenant's webhooks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import OuterRef, Subquery
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from notifications import access, webhook_wishes, webhooks, words
from notifications.forms import TenantChoicesForm, WebhookForm
from notifications.models import TenantChoices, Webhook, WebhookDelivery
from portal import polls
from portal.access import for_administrators
from tenants.audit import address_of
from tenants.middleware import TenantRequest
from tenants.people import Refused

LOG_SIZE = 50


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@for_administrators
def notification_settings(request: TenantRequest, tenant: str) -> HttpResponse:
    chosen = TenantChoices.objects.first() or TenantChoices()
    initial = {name: getattr(chosen, name) for name in TenantChoicesForm.Meta.fields}
    form = TenantChoicesForm(_sent(request), initial=initial)
    if form.is_bound and form.is_valid():
        webhook_wishes.choose_for_tenant(request.membership, form.cleaned_data, address=address_of(request))
        messages.success(request, _("The settings are saved."))
        return redirect("notification-settings", tenant)
    newest = WebhookDelivery.objects.filter(webhook=OuterRef("pk")).order_by("-pk")
    hooks = Webhook.objects.annotate(newest_state=Subquery(newest.values("state")[:1])).order_by("created_at")
    context = {"form": form, "webhooks": [(hook, words.webhook_chip(hook)) for hook in hooks]}
    return render(request, "notifications/settings.html", context, status=422 if form.is_bound else 200)


def _sent(request: TenantRequest) -> Any:
    """What was typed; None = nothing yet."""
    return request.POST if request.method == "POST" else None


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@for_administrators
def webhook_create(request: TenantRequest, tenant: str) -> HttpResponse:
    form = WebhookForm(_sent(request), initial={"is_active": True})
    if form.is_bound and form.is_valid():
        try:
            hook, secret = webhook_wishes.add(request.membership, form.cleaned_data, address=address_of(request))
        except Refused as refused:
            form.refuse(refused)
        else:
            return _secret_page(request, hook, secret)
    return render(request, "notifications/webhook_new.html", {"form": form}, status=422 if form.is_bound else 200)


def _secret_page(request: TenantRequest, hook: Webhook, secret: str) -> HttpResponse:
    """In the answer itself: it is written down nowhere that could be asked again."""
    return render(request, "notifications/webhook_secret.html", {"webhook": hook, "secret": secret})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@for_administrators
def webhook(request: TenantRequest, tenant: str, webhook_id: UUID) -> HttpResponse:
    hook = access.webhook_for(request, webhook_id)
    form = WebhookForm(None, instance=hook)
    if request.method == "POST":
        by, address = request.membership, address_of(request)
        if "again" in request.POST:
            webhook_wishes.send_again(hook, access.delivery_for(hook, request.POST["again"]))
            return redirect("webhook", tenant, hook.pk)
        if "test" in request.POST:
            if not webhook_wishes.send_test(by, hook):
                messages.warning(request, _("Some tests are on their way. Wait for what becomes of them."))
            return redirect("webhook", tenant, hook.pk)
        if "secret" in request.POST:
            return _secret_page(request, hook, webhook_wishes.give_new_secret(by, hook, address=address))
        # A form that is filled in would change the row that is shown.
        form = WebhookForm(request.POST, instance=Webhook.objects.get(pk=hook.pk))
        if form.is_valid():
            try:
                webhook_wishes.change(by, hook, form.cleaned_data, address=address)
            except Refused as refused:
                form.refuse(refused)
            else:
                messages.success(request, _("The webhook is saved."))
                return redirect("webhook", tenant, hook.pk)
    return _webhook_page(request, hook, form)


def _webhook_page(request: TenantRequest, hook: Webhook, form: WebhookForm) -> HttpResponse:
    deliveries = list(WebhookDelivery.objects.filter(webhook=hook).select_related("event").order_by("-pk")[:LOG_SIZE])
    seen = polls.word_for([(row.pk, row.state, row.attempts) for row in deliveries])
    if request.htmx and (unchanged := polls.nothing_new(request, seen)):  # type: ignore[attr-defined]
        return unchanged
    context = {
        "webhook": hook,
        "form": form,
        "chip": words.webhook_chip(hook),
        "seen": seen,
        "is_moving": any(row.state == WebhookDelivery.State.WAITING and row.attempts < 2 for row in deliveries),
        "deliveries": [
            {"row": row, "type": webhooks.type_of(row.event) if row.event else "test", "chip": words.delivery_chip(row)}
            for row in deliveries
        ],
    }
    return render(request, "notifications/webhook.html", context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@for_administrators
def webhook_remove(request: TenantRequest, tenant: str, webhook_id: UUID) -> HttpResponse:
    hook = access.webhook_for(request, webhook_id)
    if request.method == "POST":
        webhook_wishes.remove(request.membership, hook, address=address_of(request))
        messages.success(request, _("The webhook is removed."))
        return redirect("notification-settings", tenant)
    return render(request, "notifications/webhook_remove.html", {"webhook": hook})
