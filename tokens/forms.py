"""What somebody chooses for a token. Fields are named one by one; nothing else of a request is read."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from portal.machine_picker import MachinePicker, PickedMachines
from portal.people_forms import ALL, SOME, RefusableForm
from tenants.models import Membership, Role
from tokens.making import TokenWish
from tokens.models import TOKEN_ROLES

USUAL_DAYS = (7, 30, 90, 180, 365)


class TokenForm(RefusableForm):
    """A role that `by` includes, and all machines or some. `scope` some = those that are ticked."""

    name = forms.CharField(
        max_length=80,
        label=_("Name"),
        help_text=_("What it is for: it is in the audit with everything that is done by it."),
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )
    role = forms.ChoiceField(widget=forms.RadioSelect, initial=Role.VIEWER, label=_("What it may do"))
    days = forms.TypedChoiceField(
        coerce=int, label=_("It works for"), widget=forms.Select(attrs={"class": "form-select"})
    )
    scope = forms.ChoiceField(
        choices=[(ALL, _("Every machine, also later ones")), (SOME, _("Only the machines ticked below"))],
        widget=forms.RadioSelect,
        initial=ALL,
        label=_("Machines"),
    )
    machines = PickedMachines(label=_("Only these machines"))
    client_key = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, data: Any, *, by: Membership, picker: MachinePicker):
        super().__init__(data, initial={"client_key": uuid4(), "days": min(90, settings.API_TOKEN_DAYS)})
        self.picker = self.fields["machines"].picker = picker  # type: ignore[attr-defined]
        self.fields["role"].choices = [(role.value, role.label) for role in TOKEN_ROLES if by.may(role)]  # type: ignore[attr-defined]
        self.fields["days"].choices = days_offered()  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        chosen = super().clean() or {}
        if chosen.get("scope") == SOME and not chosen.get("machines") and "machines" not in self.errors:
            self.add_error("machines", ValidationError(_("Tick at least one machine.")))
        return chosen

    @property
    def wish(self) -> TokenWish:
        chosen = self.cleaned_data
        machine_guids = chosen["machines"] if chosen["scope"] == SOME else None
        return TokenWish(chosen["name"], chosen["role"], machine_guids, chosen["days"], chosen["client_key"])


def days_offered() -> list[tuple[int, str]]:
    """What is usual and allowed here, and the longest that is."""
    days = sorted({*(days for days in USUAL_DAYS if days < settings.API_TOKEN_DAYS), settings.API_TOKEN_DAYS})
    return [(count, ngettext("%(count)d day", "%(count)d days", count) % {"count": count}) for count in days]
