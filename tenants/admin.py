"""The operator site: tenants, people and what they own."""

from typing import Any, ClassVar
from urllib.parse import urlsplit

import requests
from allauth.socialaccount import admin as socialaccount_admin  # noqa: F401 — registers what is taken away below
from allauth.socialaccount.models import SocialApp, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.postgres.forms import SimpleArrayField
from django.core.validators import URLValidator
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tenants.audit import address_of, record
from tenants.models import AuditEntry, Claim, Grant, IdentityProvider, Membership, Role, Tenant, User
from tenants.openid_connect import read_configuration
from tenants.people import LAST_ADMINISTRATOR, is_last_administrator

# Of django-allauth's own: identity providers belong to tenants, and no token is kept.
admin.site.unregister([SocialApp, SocialToken])


class ReadOnlyAdmin:
    """For rows that only workers or the application itself write."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class MembershipForm(forms.ModelForm):
    class Meta:
        model = Membership
        fields: ClassVar = ["user", "tenant", "role", "machine_guids"]
        help_texts: ClassVar = {"machine_guids": _("GUIDs, separated by commas. Empty: every machine of the tenant.")}

    def clean_machine_guids(self) -> list[str] | None:
        """An empty field means no limit, not "no machine"."""
        return self.cleaned_data["machine_guids"] or None

    def clean(self) -> dict[str, Any]:
        """The last administrator of a tenant stays what they are, also here."""
        chosen = super().clean() or {}
        before = Membership.objects.filter(pk=self.instance.pk).first()
        stays = chosen.get("role") == Role.ADMIN and chosen.get("machine_guids") is None
        moves = before is not None and chosen.get("tenant") not in {None, before.tenant}
        if before is not None and (not stays or moves) and is_last_administrator(before):
            raise forms.ValidationError(LAST_ADMINISTRATOR)
        return chosen


class MembershipInline(admin.TabularInline):
    model = Membership
    form = MembershipForm
    autocomplete_fields = ["user", "tenant"]
    extra = 0
    # A person is removed on the membership's own page, which knows the last administrator.
    can_delete = False


class ClaimInline(admin.TabularInline):
    model = Claim
    extra = 0


class GrantInline(admin.TabularInline):
    model = Grant
    extra = 0


@admin.register(Tenant)
class TenantAdmin(admin.ModelAdmin):
    list_display = ["name", "slug", "is_active", "time_zone", "priority_cap"]
    list_filter = ["is_active"]
    search_fields = ["name", "slug", "claims__value"]
    prepopulated_fields: ClassVar = {"slug": ["name"]}
    inlines = [ClaimInline, GrantInline, MembershipInline]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A tenant is made inactive: its history and audit stay."""
        return False


class GroupsField(SimpleArrayField):
    """Names of groups, one in a line: those of a directory have commas in them."""

    def __init__(self, base_field: forms.Field, **kwargs: Any):
        kwargs.pop("max_length", None)
        super().__init__(base_field, delimiter="\n", widget=forms.Textarea(attrs={"rows": 3}), **kwargs)

    def clean(self, value: str | None) -> list[str]:
        lines = [line.strip() for line in (value or "").splitlines()]
        return list(super().clean("\n".join(filter(None, lines))))


class IdentityProviderForm(forms.ModelForm):
    issuer = forms.URLField(
        max_length=500,
        assume_scheme="https",
        validators=[URLValidator(schemes=["https"])],
        help_text=_("Exactly as its discovery document has it. With another one everybody's identity begins anew."),
    )
    client_secret = forms.CharField(
        required=False,
        strip=True,
        label=_("client secret"),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = IdentityProvider
        exclude: ClassVar[list[str]] = []
        field_classes: ClassVar = {f"{role.value}_groups": GroupsField for role in Role}
        help_texts: ClassVar = {
            "slug": _("What people type to sign in, and part of the address that the provider sends them back to."),
            "only_single_sign_on": _("Passwords and passkeys do not open this tenant any more, invitations end."),
            "vouches_for_second_factor": _("Who came through it needs none of the portal's."),
            "default_role": _("Empty: who is in none of the groups is not let in."),
            **{f"{role.value}_groups": _("One in a line. The strongest role counts.") for role in Role},
        }

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        is_kept = self.instance.pk is not None
        self.fields["client_secret"].required = not is_kept
        self.fields["client_secret"].help_text = _("Empty: the one that was set stays.") if is_kept else ""

    def clean_issuer(self) -> str:
        """It is compared sign by sign with what the provider says."""
        issuer = self.cleaned_data["issuer"].strip()
        if urlsplit(issuer).query or urlsplit(issuer).fragment:
            raise forms.ValidationError(_("An issuer has neither “?” nor “#” in it."))
        return issuer

    def clean(self) -> dict[str, Any]:
        chosen = super().clean() or {}
        tenant = chosen.get("tenant")
        if tenant and tenant.second_factor_required and not chosen.get("vouches_for_second_factor"):
            self.add_error("vouches_for_second_factor", _("This tenant asks for a second factor; nobody could go on."))
        if not any(chosen.get(f"{role.value}_groups") for role in Role) and not chosen.get("default_role"):
            self.add_error("default_role", _("Without groups and without this nobody new is let in."))
        return chosen

    def save(self, commit: bool = True) -> IdentityProvider:
        if secret := self.cleaned_data["client_secret"]:
            self.instance.client_secret = secret
        return super().save(commit)


@admin.register(IdentityProvider)
class IdentityProviderAdmin(admin.ModelAdmin):
    """Each tenant's own sign-in."""

    form = IdentityProviderForm
    list_display = ["slug", "tenant", "issuer", "only_single_sign_on", "vouches_for_second_factor"]
    list_select_related = ["tenant"]
    search_fields = ["slug", "tenant__name", "issuer"]
    autocomplete_fields = ["tenant"]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return ("callback_address", "tenant") if obj else ("callback_address",)

    @admin.display(description=_("address to set up at the provider"))
    def callback_address(self, provider: IdentityProvider) -> str:
        return f"{settings.PORTAL_URL}/accounts/sso/{provider.slug or '…'}/callback/"

    def save_model(self, request: HttpRequest, provider: IdentityProvider, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, provider, form, change)
        changed = [name for name in form.changed_data if name != "client_secret"]
        record(
            provider.tenant,
            request.user,
            "operator",
            "identity_provider_changed" if change else "identity_provider_added",
            address=address_of(request),
            **{name: str(form.cleaned_data[name]) for name in changed if name != "tenant"},
        )
        try:
            read_configuration(provider.issuer)
        except (OAuth2Error, requests.RequestException, ValueError) as error:
            problem = _("Saved, but its discovery document cannot be used from here: %(error)s")
            self.message_user(request, problem % {"error": error}, messages.WARNING)

    def delete_model(self, request: HttpRequest, provider: IdentityProvider) -> None:
        record(
            provider.tenant,
            request.user,
            "operator",
            "identity_provider_removed",
            address=address_of(request),
            issuer=provider.issuer,
        )
        super().delete_model(request, provider)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Removed one by one, each with its audit."""
        return {}


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin):
    form = MembershipForm
    list_display = ["user", "tenant", "role", "machine_guids"]
    list_filter = ["role", "tenant"]
    list_select_related = ["user", "tenant"]
    search_fields = ["user__email", "user__name", "tenant__name"]
    autocomplete_fields = ["user", "tenant"]
    actions = None

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        is_last = isinstance(obj, Membership) and is_last_administrator(obj)
        return not is_last and super().has_delete_permission(request, obj)


class LowerCaseEmail(forms.ModelForm):
    def clean_email(self) -> str:
        return self.cleaned_data["email"].lower()


class NewUserForm(LowerCaseEmail, AdminUserCreationForm):
    class Meta:
        model = User
        fields = ("email",)


class UserForm(LowerCaseEmail, UserChangeForm):
    class Meta:
        model = User
        fields = "__all__"  # noqa: DJ007 — the fieldsets below choose


@admin.register(User)
class PersonAdmin(UserAdmin):
    form = UserForm
    add_form = NewUserForm
    ordering = ["email"]
    list_display = ["email", "name", "is_active", "is_staff", "last_login"]
    list_filter = ["is_active", "is_staff", "memberships__tenant"]
    search_fields = ["email", "name"]
    inlines = [MembershipInline]
    fieldsets = (
        (None, {"fields": ["email", "password", "name", "is_active"]}),
        (_("Operator site"), {"fields": ["is_staff", "is_superuser", "groups", "user_permissions"]}),
        (_("Dates"), {"fields": ["last_login", "date_joined"]}),
    )
    add_fieldsets = ((None, {"fields": ["email", "name", "usable_password", "password1", "password2"]}),)
    readonly_fields = ["last_login", "date_joined"]


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin, admin.ModelAdmin):
    list_display = ["at", "tenant", "actor_name", "role", "action", "machine_name", "outcome"]
    list_filter = ["tenant", "action", "outcome"]
    list_select_related = ["tenant"]
    search_fields = ["actor_name", "machine_name", "machine_guid", "correlation_id"]
    date_hierarchy = "at"
    ordering = ["-at"]
