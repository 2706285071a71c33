"""What was stored day by day and what it costs.

vProtect tells what is stored now, so figures over time need records of our own. They begin on the day on which the
portal begins to write them; nothing is made up for the time before.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_scopes import ScopedManager

from tenants.models import Tenant
from tenants.outbox import OutgoingMail
from tenants.uuid7 import uuid7


class DailyUsage(models.Model):
    """What is counted of a day (`reports.record`). `day` is the tenant's own; sizes are bytes, as of the last look.

    `plan_id`: of a `Plan`, as text without a foreign key, since the record outlives plans; empty = none.
    `destination_guid` empty = vProtect did not say where, or nothing is stored. `protected_machines` None = not known,
    of a day that was put together later.
    """

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    plan_id = models.CharField(max_length=36, blank=True)
    plan_name = models.TextField(blank=True)
    destination_guid = models.CharField(max_length=64, blank=True)
    stored_bytes = models.BigIntegerField()
    machines = models.IntegerField()
    protected_machines = models.IntegerField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.tenant} {self.day}"


class MachineUsage(DailyUsage):
    """Of one machine at one destination. It is counted in its first row of the day only: others say 0 machines.

    `machine_name` is empty of a machine that was somebody else's by then: its restore points stayed, its name did not.
    """

    machine_guid = models.CharField(max_length=64)
    machine_name = models.TextField(blank=True)

    objects: ClassVar[models.Manager[MachineUsage]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "day", "machine_guid", "destination_guid"], name="one_usage_per_machine_and_place"
            ),
        ]


class MachineMonth(models.Model):
    """Days of `MachineUsage` added up: of a machine in a plan at a destination, in the month that begins on `month`.

    `byte_days` and `machine_days` (those on which it was protected) are whole numbers, which lose nothing.
    """

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    month = models.DateField()
    machine_guid = models.CharField(max_length=64)
    machine_name = models.TextField(blank=True)
    plan_id = models.CharField(max_length=36, blank=True)
    plan_name = models.TextField(blank=True)
    destination_guid = models.CharField(max_length=64, blank=True)
    byte_days = models.BigIntegerField()
    machine_days = models.IntegerField()

    objects: ClassVar[models.Manager[MachineMonth]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "month", "machine_guid", "plan_id", "destination_guid"], name="one_sum_per_month"
            ),
        ]
        indexes = [
            # The page shows the largest first, however many machines there are.
            models.Index(fields=["tenant", "month", "-byte_days"], name="usage_largest_of_month"),
        ]

    def __str__(self) -> str:
        return f"{self.tenant} {self.month:%Y-%m}"


class TenantUsage(DailyUsage):
    """The same, added up over all machines: what a page costs does not depend on how many there are."""

    objects: ClassVar[models.Manager[TenantUsage]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "day", "plan_id", "destination_guid"], name="one_usage_per_plan_and_place"
            ),
        ]


def _price(label: Any) -> models.DecimalField:
    return models.DecimalField(
        label, max_digits=12, decimal_places=4, default=Decimal(0), validators=[MinValueValidator(Decimal(0))]
    )


class Price(models.Model):
    """What the operator asks for, from a month on and until a later price takes its place. Without a tenant: of all.

    A tenant's own price comes before that of all. Prices count for whole months, so that a month has one currency.
    """

    tenant = models.ForeignKey(
        Tenant, models.CASCADE, null=True, blank=True, related_name="+", help_text=_("Empty: for every tenant.")
    )
    counts_from = models.DateField(_("counts from"), help_text=_("The first day of a month."))
    currency = models.CharField(
        _("currency"), max_length=3, validators=[RegexValidator(r"^[A-Z]{3}\Z", _("Three letters, as EUR."))]
    )
    per_gib_month = _price(_("per GiB kept for a month"))
    per_machine_month = _price(_("per machine protected for a month"))

    # Those of all are nobody's: `reports.prices` is the only place that reads them.
    objects: ClassVar[models.Manager[Price]] = models.Manager()

    class Meta:
        verbose_name = _("price")
        verbose_name_plural = _("prices")
        ordering = ["-counts_from"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "counts_from"], name="one_price_per_month", nulls_distinct=False),
            models.CheckConstraint(condition=models.Q(counts_from__day=1), name="price_counts_for_whole_months"),
        ]

    def __str__(self) -> str:
        return f"{self.tenant or _('every tenant')}, {self.counts_from:%Y-%m}"

    def clean(self) -> None:
        if self.counts_from and self.counts_from.day != 1:
            raise ValidationError({"counts_from": _("Prices count for whole months: choose the first of one.")})


class ReportFile(models.Model):
    """A file that somebody asked for: the wish, and what became of it. A worker makes it (`reports.making`).

    `machine_guids`: the machines to which the person was limited when it was made, null = none; it is for who still is
    limited so. `first_day` and `last_day` are the tenant's, `operation_id` of the restore that is told of. `progress`
    in percent. The file lies in the spool until `expires_at`.
    """

    class Kind(models.TextChoices):
        PROTECTION = "protection", _("Protection")
        USAGE = "usage", _("Usage")
        RESTORE = "restore", _("Evidence of a restore")

    class Format(models.TextChoices):
        PDF = "pdf", "PDF"
        CSV = "csv", "CSV"

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        MAKING = "making", _("being made")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")
        REMOVED = "removed", _("removed")

    UNDER_WAY = (State.WAITING, State.MAKING)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    client_key = models.UUIDField()
    kind = models.CharField(max_length=10, choices=Kind)
    format = models.CharField(max_length=3, choices=Format)
    language = models.CharField(max_length=10, blank=True)
    first_day = models.DateField(null=True)
    last_day = models.DateField(null=True)
    operation_id = models.UUIDField(null=True)
    machine_guids = ArrayField(models.CharField(max_length=64), null=True)
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    progress = models.PositiveSmallIntegerField(default=0)
    size = models.BigIntegerField(null=True)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[ReportFile]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "client_key"], name="one_report_file_per_click"),
        ]
        indexes = [
            models.Index(
                fields=["next_at"], name="report_file_due", condition=models.Q(state__in=["waiting", "making"])
            ),
            # A person's own, newest first.
            models.Index(fields=["tenant", "created_by", "-created_at"], name="report_file_of_person"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.format} {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def is_under_way(self) -> bool:
        return self.state in self.UNDER_WAY


class CalendarFeed(models.Model):
    """The secret address at which a person's calendar program reads the coming runs of a tenant (`reports.feeds`).

    The row has the SHA-256 of its token. `provider_key`: of the identity provider through which the person was signed
    in when it was made, "" = by password; it opens what such a session opens.
    """

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False)
    token_hash = models.CharField(max_length=64, unique=True)
    provider_key = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[CalendarFeed]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [models.UniqueConstraint(fields=["user", "tenant"], name="one_calendar_per_person_and_tenant")]

    def __str__(self) -> str:
        return f"{self.user} · {self.tenant}"


class Every(models.TextChoices):
    WEEK = "week", _("Weekly, of the week before")
    MONTH = "month", _("Monthly, of the month before")


class Enclosed(models.TextChoices):
    """What a mail brings beside its figures."""

    LINK = "link", _("A link to the page")
    PDF = "pdf", _("Also the PDF")
    CSV = "csv", _("Also the CSV")


class ReportSubscription(models.Model):
    """A report that comes to a person by mail (`reports.mailing`). `next_at`: when the next one is due."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False)
    kind = models.CharField(max_length=10, choices=ReportFile.Kind)
    every = models.CharField(max_length=5, choices=Every)
    enclosed = models.CharField(max_length=4, choices=Enclosed, default=Enclosed.LINK)
    next_at = models.DateTimeField()

    objects: ClassVar[models.Manager[ReportSubscription]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(fields=["user", "tenant", "kind"], name="one_subscription_per_report"),
        ]
        indexes = [models.Index(fields=["next_at"], name="subscription_due")]

    def __str__(self) -> str:
        return f"{self.user} · {self.tenant} · {self.get_kind_display()}"


class ReportMail(OutgoingMail):
    """The one mail of a subscription about a period, whoever looks how often. `first_day` to `last_day` are the
    tenant's."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False)
    kind = models.CharField(max_length=10, choices=ReportFile.Kind)
    first_day = models.DateField()
    last_day = models.DateField()
    enclosed = models.CharField(max_length=4, choices=Enclosed)

    objects: ClassVar[models.Manager[ReportMail]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(
                fields=["user", "tenant", "kind", "first_day", "last_day"], name="one_report_mail_per_period"
            ),
        ]
        indexes = [
            models.Index(fields=["next_at"], name="report_mail_due", condition=models.Q(state="waiting")),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.first_day} · {self.user}"


class ChargebackSize(models.Model):
    """What vProtect says it keeps of a machine now, in bytes (API reference, 17): operators check our record by it.

    Of all tenants, and of machines that are nobody's.
    """

    machine_guid = models.CharField(max_length=64, unique=True)
    stored_bytes = models.BigIntegerField()
    read_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = _("usage checked against vProtect")

    def __str__(self) -> str:
        return self.machine_guid
