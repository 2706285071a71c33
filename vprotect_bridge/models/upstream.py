"""The one connection to vProtect, shared by all workers through PostgreSQL."""

from __future__ import annotations

from django.db import models


class UpstreamSession(models.Model):
    """The shared session of the service account and the breaker of its login; web has no right on this table."""

    generation = models.BigIntegerField(default=0)
    cookies = models.JSONField(null=True)
    logged_in_at = models.DateTimeField(null=True)
    refused_logins = models.PositiveIntegerField(default=0)
    login_paused_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"session {self.generation}"


class UpstreamStatus(models.Model):
    """How vProtect is, for the pages' banner. One row, pk 1. `marker_fidelity`: docs/submit-protocol.md, 3.

    `inventory_refused_count`: so many machines the refused inventory lacked; `inventory_accepted_count`: so many may
    be gone, an operator said.
    """

    class Fidelity(models.TextChoices):
        UNKNOWN = "", "not seen yet"
        MS = "ms", "milliseconds"
        SECONDS = "s", "seconds"
        MINUTES = "min", "minutes"
        NONE = "none", "not echoed"

    unreachable_since = models.DateTimeField(null=True)
    problem = models.CharField(max_length=20, blank=True)
    inventory_at = models.DateTimeField(null=True)
    inventory_refused_at = models.DateTimeField(null=True)
    inventory_refused_count = models.PositiveIntegerField(null=True)
    inventory_accepted_count = models.PositiveIntegerField(null=True)
    followed_at = models.DateTimeField(null=True)
    clock_skew_ms = models.BigIntegerField(default=0)
    marker_fidelity = models.CharField(max_length=4, choices=Fidelity, blank=True, default=Fidelity.UNKNOWN)

    class Meta:
        verbose_name_plural = "upstream status"

    def __str__(self) -> str:
        return "unreachable" if self.unreachable_since else "reachable"
