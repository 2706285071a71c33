"""Two workers at the same moment: none waits for the other, none takes what the other holds."""

from __future__ import annotations

import pytest
from django.db import connection
from django.utils import timezone

from notifications import mailing, sorting, webhooks
from notifications.models import Event, Mail, WebhookDelivery
from tenants.models import Role, Tenant
from tests.conftest import machine_of, person
from tests.notifications.happenings import ended, webhook_of
from vprotect_bridge.connection import own_connection


@pytest.mark.django_db(transaction=True)
def test_what_another_holds_is_left_to_it():
    tenant = Tenant.objects.create(name="Sunflower", slug="sunflower")
    now = timezone.now()
    user = person(tenant, "reader", Role.VIEWER)
    Mail.across_tenants.create(tenant=tenant, user=user, kind="news", since=now, until=now)
    WebhookDelivery.across_tenants.create(tenant=tenant, webhook=webhook_of(tenant))
    ended(machine_of(tenant))
    takers = {
        "notifications_mail": mailing.OUTBOX.claim,
        "notifications_webhook": webhooks.claim,
        "notifications_event": sorting.sort,
    }
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '2s'")
    for table, take in takers.items():
        with own_connection() as other, other.transaction():
            other.execute(f"SELECT 1 FROM {table} FOR UPDATE")  # type: ignore[arg-type]  # noqa: S608
            assert not take(), table
        assert take(), table
    assert not Event.across_tenants.filter(sorted_at=None).exists()
