"""What happens to machines, and what people are told of it, for the tests of notifications."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from notifications import signing
from notifications.models import (
    DigestClock,
    Event,
    Mail,
    Notice,
    PersonalChoices,
    TenantChoices,
    Webhook,
    WebhookDelivery,
)
from tenants.models import Membership, Tenant, User
from tests.conftest import machine_of, operation_on
from vprotect_bridge.models import Machine, Operation


def ended(machine: Machine, outcome: str = "failed", **fields: Any) -> Operation:
    """An operation that went its way and has ended, as a worker would have written it."""
    operation = operation_on(machine, submission="accepted", **fields)
    Operation.across_tenants.filter(pk=operation.pk).update(outcome=outcome, finished_at=timezone.now())
    operation.refresh_from_db()
    return operation


def machines(tenant: Tenant, count: int) -> list[Machine]:
    return [machine_of(tenant, f"vm-{number}") for number in range(1, count + 1)]


def seen(user: User) -> Membership:
    """A member who has been in the tenant: mail goes to nobody else."""
    Membership.objects.filter(user=user).update(last_seen_at=timezone.now())
    return Membership.objects.select_related("user", "tenant").get(user=user)


def webhook_of(tenant: Tenant, url: str = "https://hooks.example/portal") -> Webhook:
    webhook = Webhook(tenant=tenant, url=url, backups="always")
    signing.give_secret(webhook)
    webhook.save()
    return webhook


def people_are_told(tenant: Tenant) -> Notice:
    """One row of everything that web may read of it, for one of the tenant's people."""
    member = Membership.objects.filter(tenant=tenant).order_by("pk").first()
    user = member.user if member else User.objects.create_user(f"told@{tenant.slug}.example")
    event = Event.across_tenants.create(
        tenant=tenant,
        source=Event.Source.OPERATION,
        source_id=operation_on(machine_of(tenant, f"told-{tenant.slug}")).pk,
        what="failed",
        topic="backups",
        machine_guid=f"told-{tenant.slug}",
        machine_name=f"told of {tenant.slug}",
        facts={"kind": "backup", "task_type": ""},
    )
    TenantChoices.across_tenants.create(tenant=tenant)
    PersonalChoices.across_tenants.create(tenant=tenant, user=user)
    now = timezone.now()
    Mail.across_tenants.create(tenant=tenant, user=user, kind=Mail.Kind.NEWS, since=now, until=now)
    DigestClock.across_tenants.create(tenant=tenant, user=user, next_at=timezone.now())
    webhook = Webhook.across_tenants.filter(tenant=tenant).first() or webhook_of(tenant)
    WebhookDelivery.across_tenants.create(tenant=tenant, webhook=webhook, event=event)
    return Notice.across_tenants.create(tenant=tenant, user=user, event=event)
