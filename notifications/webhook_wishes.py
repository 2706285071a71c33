"""What administrators decide about webhooks: each in one transaction with its audit entry, in a request's scope."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from notifications import signing
from notifications.models import TenantChoices, Webhook, WebhookDelivery
from tenants.audit import record_of
from tenants.models import Membership, Tenant
from tenants.people import Refused

MOST_WEBHOOKS = 10
MOST_WAITING_TESTS = 3
State = WebhookDelivery.State


def add(by: Membership, wanted: dict[str, Any], *, address: str | None) -> tuple[Webhook, str]:
    """Returns the webhook and its secret, which is shown once. Raises `Refused`."""
    with transaction.atomic():
        _take_turns(by)
        if Webhook.objects.count() >= MOST_WEBHOOKS:
            raise Refused(_("There are as many webhooks as there can be. Remove one first."))
        _check_address(wanted["url"])
        webhook = Webhook(tenant=by.tenant, **wanted)
        secret = signing.give_secret(webhook)
        webhook.save(force_insert=True)
        record_of(by, "webhook_added", address=address, url=webhook.url)
    return webhook, secret


def change(by: Membership, webhook: Webhook, wanted: dict[str, Any], *, address: str | None) -> None:
    """`wanted`: url, is_active, topics. One that is switched off forgets what waits. Raises `Refused`."""
    changed = {name: value for name, value in wanted.items() if getattr(webhook, name) != value}
    if not changed:
        return
    with transaction.atomic():
        _take_turns(by)
        if "url" in changed:
            _check_address(changed["url"])
        # From its new state on it has a fresh start.
        Webhook.objects.filter(pk=webhook.pk).update(**changed, failures=0, next_at=timezone.now(), gone_at=None)
        if changed.get("is_active") is False:
            waiting = WebhookDelivery.objects.filter(webhook=webhook, state=State.WAITING)
            waiting.update(state=State.GIVEN_UP, problem=WebhookDelivery.Problem.SWITCHED_OFF)
        record_of(by, "webhook_changed", address=address, **{"url": webhook.url} | changed)


def _take_turns(by: Membership) -> None:
    """Two who type the same address at the same moment."""
    Tenant.objects.select_for_update(no_key=True).get(pk=by.tenant_id)


def _check_address(url: str) -> None:
    if Webhook.objects.filter(url=url).exists():
        raise Refused(_("There is a webhook with this address already."), "url")


def give_new_secret(by: Membership, webhook: Webhook, *, address: str | None) -> str:
    with transaction.atomic():
        secret = signing.give_secret(webhook)
        webhook.save(update_fields=["encrypted_secret", "encrypted_former_secret", "former_until"])
        record_of(by, "webhook_secret_changed", address=address, url=webhook.url)
    return secret


def remove(by: Membership, webhook: Webhook, *, address: str | None) -> None:
    with transaction.atomic():
        webhook.delete()
        record_of(by, "webhook_removed", address=address, url=webhook.url)


def send_test(by: Membership, webhook: Webhook) -> bool:
    """False = as many as can be are on their way."""
    waiting = WebhookDelivery.objects.filter(webhook=webhook, event=None, state=State.WAITING)
    if waiting.count() >= MOST_WAITING_TESTS:
        return False
    WebhookDelivery.objects.create(tenant=by.tenant, webhook=webhook)
    Webhook.objects.filter(pk=webhook.pk).update(failures=0, next_at=timezone.now())
    return True


def send_again(webhook: Webhook, delivery: WebhookDelivery) -> None:
    """Under the same id: who had it already sees that. From the first pause on."""
    ended = WebhookDelivery.objects.filter(pk=delivery.pk).exclude(state=State.WAITING)
    ended.update(state=State.WAITING, attempts=0, next_at=timezone.now())
    Webhook.objects.filter(pk=webhook.pk).update(failures=0, next_at=timezone.now())


def choose_for_tenant(by: Membership, wanted: dict[str, str], *, address: str | None) -> None:
    """`wanted`: topics and by_mail, for the people who chose nothing themselves."""
    with transaction.atomic():
        TenantChoices.objects.update_or_create(tenant=by.tenant, defaults=wanted)
        record_of(by, "notifications_chosen", address=address, **wanted)
