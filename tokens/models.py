"""What a program shows instead of signing in."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_scopes import ScopedManager

from tenants.models import Membership, Role, Tenant, guid_validator
from tenants.uuid7 import uuid7

# No token administers: it never changes members, tokens, plans or settings.
TOKEN_ROLES = (Role.VIEWER, Role.MEMBER, Role.RESTORER)


class Token(models.Model):
    """Of a person in a tenant, or with no `membership` of the tenant itself. The row holds the secret's SHA-256 only.

    `role` and `machine_guids` (null = every machine of its owner) are the most that it may; what its owner may at the
    time of a request narrows them (`tokens.bearer`). A person's tokens go with the membership. `hint` is how the secret
    begins, to know it again. `provider_key`, `has_second_factor`: how who made it was signed in.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    membership = models.ForeignKey(Membership, models.CASCADE, null=True, related_name="tokens")
    name = models.CharField(_("name"), max_length=80)
    role = models.CharField(_("role"), max_length=10, choices=[(role.value, role.label) for role in TOKEN_ROLES])
    machine_guids = ArrayField(models.CharField(max_length=64, validators=[guid_validator]), null=True)
    token_hash = models.CharField(max_length=64)
    hint = models.CharField(max_length=12)
    client_key = models.UUIDField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    provider_key = models.CharField(max_length=64, blank=True)
    has_second_factor = models.BooleanField(default=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    last_used_address = models.GenericIPAddressField(null=True)

    objects: ClassVar[models.Manager[Token]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["token_hash"], name="one_token_per_hash"),
            models.UniqueConstraint(fields=["tenant", "client_key"], name="one_token_per_click"),
            models.CheckConstraint(
                condition=Q(role__in=[role.value for role in TOKEN_ROLES]), name="no_token_administers"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def role_now(self) -> Role:
        """Never more than its owner may, whatever it was made for."""
        owner = self.membership
        return Role(self.role if owner is None or owner.may(Role(self.role)) else owner.role)

    @property
    def is_expired(self) -> bool:
        return self.expires_at <= timezone.now()
