"""What happened, who wants to be told of it and how, and what became of telling them."""

from __future__ import annotations

from datetime import datetime, time
from typing import ClassVar

from django.conf import settings
from django.core.validators import URLValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_scopes import ScopedManager

from tenants.models import Tenant
from tenants.outbox import OutgoingMail
from tenants.uuid7 import uuid7
from vprotect_bridge.models import Operation, PlanChange


class Topic(models.TextChoices):
    PROTECTION = "protection", _("Late and forgotten machines")
    BACKUPS = "backups", _("Backups")
    RESTORES = "restores", _("Restores and opened backups")
    PLANS = "plans", _("Changes of plans")
    OTHER = "other", _("Other work by your provider")


class Wish(models.TextChoices):
    ALWAYS = "always", _("Always")
    PROBLEMS = "problems", _("Problems only")
    NEVER = "never", _("Never")


class ByMail(models.TextChoices):
    DIGEST = "digest", _("Once a day")
    AT_ONCE = "at_once", _("As it happens")
    OFF = "off", _("No mail")


class Event(models.Model):
    """Something that ended, got stuck, or did not happen where it should have.

    Triggers make the row in the transaction in which it happened: `source` and `source_id` name what it is about,
    `what` is an outcome of an operation, "needs_attention", a state of a plan change, or "opened"/"closed" of an
    alert. A worker fills in the rest when it sorts it (`sorting`); from then on nothing else has to be there still.
    `reason` is a text of ours, untranslated. `facts`: "kind", as its source calls it, and what a sentence needs; of an
    alert its "turn" and details, and "closed_at" (ISO 8601, UTC) once it is over.
    """

    class Source(models.TextChoices):
        OPERATION = "operation", _("operation")
        PLAN_CHANGE = "plan_change", _("change of a plan")
        ALERT = "alert", _("alert")

    GOOD: ClassVar[set[str]] = {
        *(Operation.Outcome.SUCCEEDED, Operation.Outcome.CANCELLED, Operation.Outcome.UNKNOWN),
        *(PlanChange.State.DONE, PlanChange.State.UNDONE, "closed"),
    }

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    source = models.CharField(max_length=12, choices=Source)
    source_id = models.UUIDField()
    what = models.CharField(max_length=16)
    happened_at = models.DateTimeField(default=timezone.now)
    sorted_at = models.DateTimeField(null=True)

    topic = models.CharField(max_length=12, choices=Topic, blank=True)
    machine_guid = models.CharField(max_length=64, blank=True)
    machine_name = models.TextField(blank=True)
    plan_id = models.UUIDField(null=True)
    plan_name = models.TextField(blank=True)
    reason = models.TextField(blank=True)
    facts = models.JSONField(default=dict)

    objects: ClassVar[models.Manager[Event]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(fields=["source_id", "what", "source"], name="one_event_per_happening"),
        ]
        indexes = [
            models.Index(fields=["id"], name="event_unsorted", condition=Q(sorted_at=None)),
            models.Index(fields=["tenant", "sorted_at"], name="event_tenant_sorted"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.source_id}: {self.what}"

    @property
    def is_problem(self) -> bool:
        return self.what not in self.GOOD

    @property
    def settled_at(self) -> datetime | None:
        """When the alert that was opened was over."""
        closed_at = self.facts.get("closed_at") if self.is_problem else None
        return datetime.fromisoformat(closed_at) if closed_at else None


class TopicChoices(models.Model):
    """Of what somebody or something is told."""

    protection = models.CharField(Topic.PROTECTION.label, max_length=8, choices=Wish, default=Wish.PROBLEMS)
    backups = models.CharField(Topic.BACKUPS.label, max_length=8, choices=Wish, default=Wish.PROBLEMS)
    restores = models.CharField(Topic.RESTORES.label, max_length=8, choices=Wish, default=Wish.ALWAYS)
    plans = models.CharField(Topic.PLANS.label, max_length=8, choices=Wish, default=Wish.PROBLEMS)
    other = models.CharField(Topic.OTHER.label, max_length=8, choices=Wish, default=Wish.PROBLEMS)

    class Meta:
        abstract = True

    def wants(self, event: Event) -> bool:
        wish = getattr(self, event.topic)
        return wish == Wish.ALWAYS or (wish == Wish.PROBLEMS and event.is_problem)


class Choices(TopicChoices):
    """The same of a person, in the portal and by mail, and how by mail. Late machines come at once in any case."""

    by_mail = models.CharField(_("By mail"), max_length=8, choices=ByMail, default=ByMail.DIGEST)

    class Meta:
        abstract = True


class TenantChoices(Choices):
    """What holds for the people of a tenant who chose nothing themselves. No row = the defaults above."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="+")

    objects: ClassVar[models.Manager[TenantChoices]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"

    def __str__(self) -> str:
        return str(self.tenant)


class PersonalChoices(Choices):
    """What a person chose in a tenant."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")

    objects: ClassVar[models.Manager[PersonalChoices]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [models.UniqueConstraint(fields=["user", "tenant"], name="one_choice_per_person_and_tenant")]

    def __str__(self) -> str:
        return f"{self.user} · {self.tenant}"


class MailTimes(models.Model):
    """When mail may come to a person: times of their own day, in their time zone or the tenant's.

    `quiet_from` later than `quiet_until` = across midnight; both null = at any time.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    digest_at = models.TimeField(_("Daily summary at"), default=time(7))
    quiet_from = models.TimeField(_("Quiet from"), null=True, blank=True)
    quiet_until = models.TimeField(_("until"), null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(quiet_from=None, quiet_until=None)
                | Q(quiet_from__isnull=False, quiet_until__isnull=False) & ~Q(quiet_from=models.F("quiet_until")),
                name="quiet_hours_begin_and_end",
            )
        ]

    def __str__(self) -> str:
        return str(self.user)


class Mail(OutgoingMail):
    """Of what happened from `since` to `until`, for one person about one tenant."""

    class Kind(models.TextChoices):
        NEWS = "news", _("as it happened")
        DIGEST = "digest", _("daily summary")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    kind = models.CharField(max_length=6, choices=Kind)
    since = models.DateTimeField()
    until = models.DateTimeField()

    objects: ClassVar[models.Manager[Mail]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(fields=["user", "tenant", "kind", "until"], name="one_mail_per_person_and_moment"),
        ]
        indexes = [
            models.Index(fields=["next_at"], name="mail_due", condition=Q(state="waiting")),
            models.Index(fields=["user", "tenant", "-created_at"], name="mail_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} · {self.user} · {self.tenant}"


class Notice(models.Model):
    """That one person is told of one event: on the page, and by mail `due_at` or in the next digest, or not by mail."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False)
    event = models.ForeignKey(Event, models.CASCADE, related_name="notices")
    read_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    in_digest = models.BooleanField(default=False)
    mail = models.ForeignKey(Mail, models.CASCADE, null=True, related_name="notices")

    objects: ClassVar[models.Manager[Notice]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(fields=["user", "event"], name="one_notice_per_person_and_event"),
        ]
        indexes = [
            models.Index(fields=["user", "tenant", "-id"], name="notice_newest"),
            # The bell on every page.
            models.Index(fields=["user", "tenant"], name="notice_unread", condition=Q(read_at=None)),
            models.Index(fields=["due_at"], name="notice_due", condition=Q(due_at__isnull=False, mail=None)),
            models.Index(fields=["user", "tenant"], name="notice_digest", condition=Q(in_digest=True, mail=None)),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.event}"


class DigestClock(models.Model):
    """When a person's next daily summary of a tenant is due. Made and moved on by workers; gone = to be set anew."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    next_at = models.DateTimeField(db_index=True)

    objects: ClassVar[models.Manager[DigestClock]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [models.UniqueConstraint(fields=["user", "tenant"], name="one_clock_per_person_and_tenant")]

    def __str__(self) -> str:
        return f"{self.user} · {self.tenant}"


class Webhook(TopicChoices):
    """An address of a tenant's that is called with what happens, signed with a secret that both know.

    `former_secret` signs along until `former_until`, so that the receiver has time to take the new one. Whoever calls
    it puts `next_at` into the future first; after failures in a row it stays there for a while. `gone_at`: it answered
    that it wants no more.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    url = models.URLField(_("Address"), max_length=500, validators=[URLValidator(schemes=["https"])])
    is_active = models.BooleanField(_("Switched on"), default=True)
    encrypted_secret = models.TextField(editable=False)
    encrypted_former_secret = models.TextField(blank=True, editable=False)
    former_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)
    failures = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    gone_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Webhook]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [models.UniqueConstraint(fields=["tenant", "url"], name="one_webhook_per_address")]

    def __str__(self) -> str:
        return self.url


class WebhookDelivery(models.Model):
    """One message to one webhook: of an event, or a test (`event` null). Its id is the message's at every try."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        DELIVERED = "delivered", _("Delivered")
        GIVEN_UP = "given_up", _("Given up")

    class Problem(models.TextChoices):
        UNREACHABLE = "unreachable", _("It could not be reached.")
        NOT_PUBLIC = "not_public", _("Its address is not a public one.")
        CERTIFICATE = "certificate", _("Its certificate is not trusted.")
        TIMEOUT = "timeout", _("It did not answer in time.")
        REDIRECT = "redirect", _("It redirected, which is not followed.")
        TOO_LARGE = "too_large", _("Its answer was too large.")
        STATUS = "status", _("It answered with an error.")
        GONE = "gone", _("It answered that it wants no more.")
        SWITCHED_OFF = "switched_off", _("The webhook was switched off.")
        OURS = "ours", _("It could not be written; your provider can see why.")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(Event, models.CASCADE, null=True, related_name="deliveries")
    created_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=9, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    tried_at = models.DateTimeField(null=True)
    took_ms = models.PositiveIntegerField(null=True)
    status_code = models.PositiveSmallIntegerField(null=True)
    problem = models.CharField(max_length=12, choices=Problem, blank=True)

    objects: ClassVar[models.Manager[WebhookDelivery]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        verbose_name, verbose_name_plural = _("call of a webhook"), _("calls of webhooks")
        constraints = [models.UniqueConstraint(fields=["webhook", "event"], name="one_delivery_per_webhook_and_event")]
        indexes = [
            models.Index(fields=["webhook", "next_at"], name="delivery_due", condition=Q(state="waiting")),
            models.Index(fields=["webhook", "-id"], name="delivery_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.webhook}: {self.event or 'test'}"
