"""What was answered to a wish, for the program that asks again because it did not hear."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone
from django_scopes import ScopedManager

from tenants.models import Tenant
from tenants.uuid7 import uuid7
from tokens.models import Token


class IdempotencyKey(models.Model):
    """A key of a token's, as its header has it; `digest` of what was asked for with it, `answer` the JSON.

    `client_key` is the operation's (`vprotect_bridge.models.Operation`), which the database allows once.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    token = models.ForeignKey(Token, models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)
    client_key = models.UUIDField(default=uuid.uuid4)
    answer = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager[IdempotencyKey]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [models.UniqueConstraint(fields=["token", "key"], name="one_wish_per_idempotency_key")]

    def __str__(self) -> str:
        return self.key
