"""What of the notifications an address or a form names, and who sees what of them (see `portal.access`)."""

from __future__ import annotations

from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Func, IntegerField, QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404

from notifications.models import Notice, Webhook, WebhookDelivery
from tenants.middleware import TenantRequest
from tenants.models import Membership


def visible_notices(membership: Membership) -> QuerySet[Notice]:
    """A person's own, of what they may see now: a machine that was taken from them takes its news along."""
    notices = Notice.objects.filter(user=membership.user_id)
    if membership.machine_guids is None:
        return notices
    return notices.filter(event__machine_guid__in=membership.machine_guids)


MOST_COUNTED = 99


def unread(membership: Membership) -> Func:
    """How many a person has not read; counting stops after `MOST_COUNTED`."""
    rows = visible_notices(membership).filter(read_at=None).order_by().values("pk")[: MOST_COUNTED + 1]
    return Func(ArraySubquery(rows), function="CARDINALITY", output_field=IntegerField())


def notices_for(request: TenantRequest, texts: list[str]) -> QuerySet[Notice]:
    """By their numbers as a form has them; where one is none, or not theirs, none is there."""
    if not all(text.isascii() and text.isdigit() and len(text) <= 18 for text in texts):
        raise Http404
    numbers = {int(text) for text in texts}
    notices = visible_notices(request.membership).filter(pk__in=numbers)
    if notices.count() != len(numbers):
        raise Http404
    return notices


def webhook_for(request: TenantRequest, webhook_id: UUID) -> Webhook:
    return get_object_or_404(Webhook, pk=webhook_id, tenant=request.tenant)


def delivery_for(webhook: Webhook, text: str) -> WebhookDelivery:
    """By its id as a form has it; what is none is not there."""
    try:
        named = UUID(text)
    except ValueError as error:
        raise Http404 from error
    return get_object_or_404(WebhookDelivery, pk=named, webhook=webhook)
