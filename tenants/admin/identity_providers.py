"""How people of a tenant sign in, where that is not by password."""

from typing import Any, ClassVar
from urllib.parse import urlsplit

import requests
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.postgres.forms import SimpleArrayField
from django.core.validators import URLValidator
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tenants.admin.audited import AuditedAdmin
from tenants.models import IdentityProvider, Role
from tenants.openid_connect import read_configuration


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
class IdentityProviderAdmin(AuditedAdmin):
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
        try:
            read_configuration(provider.issuer)
        except (OAuth2Error, requests.RequestException, ValueError) as error:
            problem = _("Saved, but its discovery document cannot be used from here: %(error)s")
            self.message_user(request, problem % {"error": error}, messages.WARNING)
