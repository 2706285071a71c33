"""What an administrator types about people, and what the invited type about themselves."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from portal.machine_picker import MachinePicker, PickedMachines
from portal.target_forms import TargetForm, initial_target
from tenants.models import Membership, Role, Tenant, User, validate_time_zone
from tenants.people import ADMINISTRATOR_OF_SOME, Refused

ALL, SOME = "all", "some"


class RefusableForm(forms.Form):
    def refuse(self, refused: Refused) -> None:
        self.add_error(refused.field or None, str(refused.user_message))


class MemberForm(RefusableForm):
    """A role, and all machines or some. `scope` some = those that are ticked, of `machines` that are offered."""

    role = forms.ChoiceField(choices=Role.choices, widget=forms.RadioSelect, initial=Role.VIEWER, label=_("Role"))
    scope = forms.ChoiceField(
        choices=[(ALL, _("Every machine, also later ones")), (SOME, _("Only the machines ticked below"))],
        widget=forms.RadioSelect,
        initial=ALL,
        label=_("Machines"),
    )
    may_open_backups = forms.BooleanField(required=False, label=_("Takes single files out of backups"))
    machines = PickedMachines(label=_("Only these machines"))

    def __init__(self, *args: Any, picker: MachinePicker, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.picker = self.fields["machines"].picker = picker  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        chosen = super().clean() or {}
        if chosen.get("scope") == SOME:
            if chosen.get("role") == Role.ADMIN:
                self.add_error("scope", ADMINISTRATOR_OF_SOME)
            elif not chosen.get("machines") and "machines" not in self.errors:
                self.add_error("machines", ValidationError(_("Tick at least one machine.")))
        return chosen

    @property
    def machine_guids(self) -> list[str] | None:
        """None = every machine."""
        return self.cleaned_data["machines"] if self.cleaned_data["scope"] == SOME else None


class InviteForm(MemberForm):
    email = forms.EmailField(
        max_length=254,
        label=_("E-mail address"),
        widget=forms.EmailInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )


def initial_of(member: Membership) -> dict[str, Any]:
    guids = member.machine_guids
    return {
        "role": member.role,
        "scope": ALL if guids is None else SOME,
        "machines": guids or [],
        "may_open_backups": member.may_open_backups,
    }


class SettingsForm(RefusableForm, TargetForm):
    """What an administrator sets for the whole tenant."""

    time_zone = forms.CharField(
        max_length=64,
        validators=[validate_time_zone],
        label=_("Time zone"),
        widget=forms.TextInput(attrs={"class": "form-control", "list": "time-zones", "autocomplete": "off"}),
    )
    second_factor_required = forms.BooleanField(required=False, label=_("Everybody needs a second factor"))

    @classmethod
    def initial_of(cls, tenant: Tenant) -> dict[str, Any]:
        own = {name: getattr(tenant, name) for name in ("time_zone", "second_factor_required")}
        return own | initial_target(tenant.target_hours)

    @property
    def settings(self) -> dict[str, Any]:
        own = {name: self.cleaned_data[name] for name in ("time_zone", "second_factor_required")}
        return own | {"target_hours": self.typed_hours}


class PreferencesForm(forms.ModelForm):
    """What a person sets for themselves. `has_name`: whether the name is theirs to change."""

    language = forms.ChoiceField(required=False, label=_("Language"))

    class Meta:
        model = User
        fields = ("name", "language", "time_zone", "theme")
        widgets: ClassVar[dict[str, Any]] = {
            "name": forms.TextInput(attrs={"autocomplete": "name"}),
            "time_zone": forms.TextInput(attrs={"list": "time-zones", "autocomplete": "off"}),
            "theme": forms.RadioSelect,
        }
        help_texts: ClassVar[dict[str, Any]] = {
            "name": _("As others in your organisations see you."),
            "time_zone": _("Empty: the one of the organisation that you are looking at."),
        }
        labels: ClassVar[dict[str, Any]] = {
            "name": _("Name"),
            "time_zone": _("Time zone"),
            "theme": _("Light or dark"),
        }

    def __init__(self, *args: Any, has_name: bool, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["language"].choices = [("", _("As your browser wants")), *settings.LANGUAGES]  # type: ignore[attr-defined]
        if not has_name:
            del self.fields["name"]


class JoinForm(forms.Form):
    """The first visit of somebody invited, whose address the link has proven."""

    name = forms.CharField(max_length=120, label=_("Your name"), widget=forms.TextInput(attrs={"autocomplete": "name"}))
    password = forms.CharField(
        strip=False, label=_("Password"), widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )
    again = forms.CharField(
        strip=False,
        label=_("The same password again"),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, email: str, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.email = email

    def clean(self) -> dict[str, Any]:
        chosen = super().clean() or {}
        password, again = chosen.get("password"), chosen.get("again")
        if password and again and password != again:
            self.add_error("again", _("The two passwords differ."))
        elif password:
            try:
                validate_password(password, User(email=self.email, name=chosen.get("name", "")))
            except ValidationError as error:
                self.add_error("password", error)
        return chosen
