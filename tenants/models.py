"""Who exists, what they own and what they may do. Upstream things are named by GUID, never by foreign key."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any, ClassVar
from zoneinfo import available_timezones

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator, URLValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_scopes import ScopedManager

from tenants.encryption import decrypt, encrypt
from tenants.uuid7 import uuid7

# A year, in hours.
LONGEST_TARGET = 366 * 24
GUID = r"[A-Za-z0-9-]{1,64}"
guid_validator = RegexValidator(rf"^{GUID}\Z", _("This is not a GUID."))


def validate_time_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(_("“%(name)s” is not a time zone."), params={"name": name})


def _groups(label: Any) -> ArrayField:
    return ArrayField(models.CharField(max_length=255), default=list, blank=True, verbose_name=label)


def _number(label: Any) -> models.PositiveIntegerField:
    """Of a limit: empty = none."""
    return models.PositiveIntegerField(label, null=True, blank=True)


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class Theme(models.TextChoices):
    SYSTEM = "system", _("As the device")
    LIGHT = "light", _("Light")
    DARK = "dark", _("Dark")


class User(AbstractUser):
    """A person who signs in, by e-mail address. What they may do is in their memberships, nowhere else.

    How pages and mails look to them: `language` as in LANGUAGES, "" = as their browser wants; `time_zone` an IANA
    name, "" = the tenant's.
    """

    username = None  # type: ignore[assignment]
    email = models.EmailField(_("e-mail address"), unique=True)
    name = models.CharField(_("name"), max_length=120, blank=True)
    language = models.CharField(_("language"), max_length=10, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, validators=[validate_time_zone])
    theme = models.CharField(_("light or dark"), max_length=6, choices=Theme, default=Theme.SYSTEM)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_any_case")]

    def __str__(self) -> str:
        return self.name or self.email


class Tenant(models.Model):
    """A customer of the provider. `time_zone` is an IANA name.

    `target_hours`: how old the newest good backup of each machine may be (`vprotect_bridge.targets`), null = no target.
    Caps and warnings are the operator's (`vprotect_bridge.limits`), null = none. One that leaves is inactive, and from
    `leaves_at` on an operator may remove what it has. Its row stays, with `removed_at`.
    """

    name = models.CharField(_("name"), max_length=120)
    slug = models.SlugField(_("address"), unique=True, max_length=40)
    is_active = models.BooleanField(_("active"), default=True)
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC", validators=[validate_time_zone])
    second_factor_required = models.BooleanField(_("everybody needs a second factor"), default=False)
    priority_cap = models.PositiveSmallIntegerField(
        _("highest priority"), default=50, validators=[MaxValueValidator(100)]
    )
    running_cap = models.PositiveSmallIntegerField(
        _("most operations at once"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    mount_cap = models.PositiveSmallIntegerField(
        _("most backups open for single files at once"), default=2, help_text=_("0: nobody opens any.")
    )
    download_cap_gib = models.PositiveIntegerField(
        _("GiB of single files a day"), default=20, help_text=_("Of the tenant's own day, for all its people together.")
    )
    daily_backup_warning = _number(_("backups on demand a day: warn from"))
    daily_backup_cap = _number(_("backups on demand a day: at most"))
    daily_restore_warning = _number(_("restores a day: warn from"))
    daily_restore_cap = _number(_("restores a day: at most"))
    planned_machine_warning = _number(_("machines in plans: warn from"))
    planned_machine_cap = _number(_("machines in plans: at most"))
    stored_gib_warning = _number(_("GiB of backups kept: warn from"))
    stored_gib_cap = _number(_("GiB of backups kept: at most"))
    target_hours = models.PositiveSmallIntegerField(
        _("protection target, in hours"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_TARGET)],
        help_text=_("How old the newest good backup of a machine may be. Empty: none. A plan can have its own."),
    )
    leaves_at = models.DateTimeField(_("leaves"), null=True, editable=False)
    removed_at = models.DateTimeField(_("removed"), null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=models.Q(priority_cap__lte=100), name="tenant_priority_cap_0_to_100")
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """A warning that comes after the refusal would never be seen."""
        for field in ("daily_backup", "daily_restore", "planned_machine", "stored_gib"):
            warning, cap = getattr(self, f"{field}_warning"), getattr(self, f"{field}_cap")
            if warning is not None and cap is not None and warning > cap:
                raise ValidationError({f"{field}_warning": _("The warning must come before the limit.")})


class Role(models.TextChoices):
    """Each role may do what the ones before it may, and more."""

    VIEWER = "viewer", _("Viewer")
    MEMBER = "member", _("Member")
    RESTORER = "restorer", _("Restorer")
    ADMIN = "admin", _("Administrator")

    def includes(self, other: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(other)


class Membership(models.Model):
    """What a person may do in a tenant. `machine_guids` null = every machine of the tenant; a list limits to it.

    `may_open_backups`, to take single files out of them, is in no role: who reads a machine's disks needs no account
    on the machine.
    """

    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=10, choices=Role, default=Role.VIEWER)
    machine_guids = ArrayField(
        models.CharField(max_length=64, validators=[guid_validator]),
        null=True,
        blank=True,
        verbose_name=_("only these machines"),
    )
    may_open_backups = models.BooleanField(_("takes single files out of backups"), default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(_("last seen"), null=True, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "tenant"], name="one_membership_per_tenant")]

    def __str__(self) -> str:
        return f"{self.user} · {self.tenant} · {self.get_role_display()}"

    def may(self, role: Role) -> bool:
        return Role(self.role).includes(role)

    @property
    def administers_all(self) -> bool:
        """An administrator of the tenant, not of some of its machines only."""
        return self.may(Role.ADMIN) and self.machine_guids is None


class Invitation(models.Model):
    """To a tenant, for one address, once and until `expires_at`. The mail holds the token, the row only its SHA-256."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="invitations")
    email = models.EmailField(_("e-mail address"))
    role = models.CharField(_("role"), max_length=10, choices=Role)
    machine_guids = ArrayField(models.CharField(max_length=64, validators=[guid_validator]), null=True, blank=True)
    may_open_backups = models.BooleanField(_("takes single files out of backups"), default=False)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    revoked_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Invitation]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        ordering = ["-created_at"]
        constraints = [
            # A newer invitation of the same address takes the place of the open one.
            models.UniqueConstraint(
                Lower("email"),
                "tenant",
                condition=models.Q(accepted_at=None, revoked_at=None),
                name="one_open_invitation_per_address",
            )
        ]

    def __str__(self) -> str:
        return f"{self.email} · {self.tenant}"

    @property
    def inviter(self) -> str:
        """As the invited know them: an operator is their provider, not a person."""
        by = self.invited_by
        return str(by) if by and not by.is_staff else gettext("Your backup provider")

    @property
    def is_open(self) -> bool:
        return self.accepted_at is None and self.revoked_at is None and self.expires_at > timezone.now()


class IdentityProvider(models.Model):
    """Through which a tenant's people sign in, by OpenID Connect. Set up by an operator, for one tenant.

    `key` names tenant and issuer together in sessions and identities: another issuer begins with none of them.
    The groups of the token, from `groups_claim`, decide the role at every sign-in, the strongest one; without any
    groups here roles are the tenant's own affair. `default_role`: for who is new and in none, "" = not let in.
    """

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="identity_provider")
    slug = models.SlugField(_("name to sign in with"), unique=True, max_length=40)
    issuer = models.URLField(_("issuer"), max_length=500, validators=[URLValidator(schemes=["https"])])
    client_id = models.CharField(_("client id"), max_length=191)
    encrypted_secret = models.TextField(editable=False)
    key = models.CharField(max_length=64, unique=True, editable=False)
    only_single_sign_on = models.BooleanField(_("no other way in"), default=False)
    vouches_for_second_factor = models.BooleanField(_("asks for a second factor itself"), default=False)
    groups_claim = models.CharField(_("claim with the groups"), max_length=100, default="groups", blank=True)
    viewer_groups = _groups(_("viewers"))
    member_groups = _groups(_("members"))
    restorer_groups = _groups(_("restorers"))
    admin_groups = _groups(_("administrators"))
    default_role = models.CharField(_("role of who is in no group"), max_length=10, choices=Role, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[IdentityProvider]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"

    def __str__(self) -> str:
        return f"{self.issuer} · {self.tenant}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.key = f"{self.tenant_id}-{hashlib.sha256(self.issuer.encode()).hexdigest()[:32]}"
        super().save(*args, **kwargs)

    @property
    def client_secret(self) -> str:
        return decrypt(self.encrypted_secret, "identity provider")

    @client_secret.setter
    def client_secret(self, secret: str) -> None:
        self.encrypted_secret = encrypt(secret, "identity provider")

    @property
    def groups_of_roles(self) -> dict[Role, list[str]]:
        return {role: getattr(self, f"{role.value}_groups") for role in Role}

    @property
    def decides_roles(self) -> bool:
        return any(self.groups_of_roles.values())

    def role_of(self, groups: Collection[str]) -> str:
        """The strongest role of any of the groups; else the default, "" = not let in."""
        roles = [role for role, its_groups in self.groups_of_roles.items() if set(its_groups) & set(groups)]
        return roles[-1] if roles else self.default_role


class Accent(models.TextChoices):
    """Each can be read by day and by night (static/css/tokens.css)."""

    TEAL = "teal", _("Teal")
    OCEAN = "ocean", _("Ocean")
    INDIGO = "indigo", _("Indigo")
    VIOLET = "violet", _("Violet")
    PLUM = "plum", _("Plum")
    BRONZE = "bronze", _("Bronze")
    FOREST = "forest", _("Forest")
    GRAPHITE = "graphite", _("Graphite")


class Brand(models.Model):
    """How the portal looks to a tenant's people. What is empty is as the installation has it.

    `logo`: a PNG that `tenants.logos` drew, in the database because every web host shows it.
    """

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="brand")
    name = models.CharField(_("name of the portal"), max_length=60, blank=True)
    accent = models.CharField(_("accent"), max_length=10, choices=Accent, blank=True)
    support_url = models.URLField(
        _("page for support"), max_length=500, blank=True, validators=[URLValidator(schemes=["https"])]
    )
    support_email = models.EmailField(_("e-mail address for support"), blank=True)
    logo = models.BinaryField(null=True, editable=False)
    logo_digest = models.CharField(max_length=32, blank=True, editable=False)

    objects: ClassVar[models.Manager[Brand]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"

    def __str__(self) -> str:
        return self.name or str(self.tenant)


class Claim(models.Model):
    """What makes an upstream object a tenant's: a machine's GUID, or a tenantId value (an OpenStack project)."""

    class Kind(models.TextChoices):
        MACHINE = "machine", _("machine GUID")
        TENANT_VALUE = "tenant_value", _("tenantId value")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="claims")
    kind = models.CharField(max_length=12, choices=Kind)
    value = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[Claim]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(fields=["kind", "value"], name="one_owner_per_claim"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.value}"


class Grant(models.Model):
    """What of the shared infrastructure a tenant may use. Nothing granted = nothing offered.

    By its GUID; a data center, of which vProtect has no list, by the `name` that the operator types.
    """

    class Kind(models.TextChoices):
        DESTINATION = "destination", _("backup destination")
        HYPERVISOR = "hypervisor", _("hypervisor or manager to restore to")
        CLUSTER = "cluster", _("cluster to restore to")
        STORAGE = "storage", _("storage to restore to")
        DATA_CENTER = "data_center", _("data center to restore to")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="grants")
    kind = models.CharField(max_length=20, choices=Kind)
    guid = models.CharField("GUID", max_length=64, blank=True, validators=[guid_validator])
    name = models.CharField(_("name, of a data center"), max_length=255, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[Grant]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "kind", "guid", "name"], name="granted_once"),
            models.CheckConstraint(
                condition=models.Q(kind="data_center", guid="") & ~models.Q(name="")
                | ~models.Q(kind="data_center") & ~models.Q(guid="") & models.Q(name=""),
                name="granted_by_guid_or_data_center_by_name",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.guid or self.name}"

    def clean(self) -> None:
        """Says at the field what the database would refuse."""
        self.name = self.name.strip()
        is_data_center = self.kind == self.Kind.DATA_CENTER
        wanted, other = ("name", "guid") if is_data_center else ("guid", "name")
        problems = {}
        if not getattr(self, wanted):
            problems[wanted] = _("Type the data center's name.") if is_data_center else _("Enter the GUID.")
        if getattr(self, other):
            problems[other] = (
                _("A data center is granted by its name.")
                if is_data_center
                else _("Only a data center has a name here.")
            )
        if problems:
            raise ValidationError(problems)


class AuditEntry(models.Model):
    """What a person decided. Append-only: a trigger refuses UPDATE and DELETE, whoever asks."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, null=True, related_name="+")
    actor = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    actor_name = models.CharField(max_length=254)
    role = models.CharField(max_length=10, blank=True)
    action = models.CharField(max_length=60)
    machine_guid = models.CharField(max_length=64, blank=True)
    machine_name = models.TextField(blank=True)
    detail = models.JSONField(default=dict)
    outcome = models.CharField(max_length=20)
    address = models.GenericIPAddressField(null=True)
    correlation_id = models.CharField(max_length=32)
    at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[AuditEntry]] = ScopedManager(tenant="tenant")
    across_tenants = models.Manager()

    class Meta:
        base_manager_name = "across_tenants"
        default_manager_name = "across_tenants"
        verbose_name_plural = "audit entries"
        indexes = [
            # The tenant's audit page reads newest first.
            models.Index(fields=["tenant", "-at"], name="audit_tenant_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.actor_name} {self.action}"

    @property
    def tenants_token(self) -> str:
        """The name of the tenant's own API token by which it was decided; "" = by a person."""
        is_token = self.actor_id is None and self.detail.get("token_id") and self.detail.get("token") == self.actor_name
        return self.actor_name if is_token else ""
