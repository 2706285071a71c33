"""A protection target as people type it: a number of hours or of days."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from tenants.models import LONGEST_TARGET

HOURS, DAYS = "hours", "days"


class TargetForm(forms.Form):
    target_number = forms.IntegerField(
        label=_("The newest good backup of a machine may be as old as"),
        required=False,
        min_value=1,
        error_messages={"min_value": _("It must be an hour at least.")},
    )
    target_unit = forms.ChoiceField(
        label=_("Hours or days"), choices=[(HOURS, _("hours")), (DAYS, _("days"))], required=False
    )

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["target_number"].widget.attrs["class"] = "form-control"
        self.fields["target_unit"].widget.attrs["class"] = "form-select"

    def clean_target_unit(self) -> str:
        if (self.typed_hours or 0) > LONGEST_TARGET:
            self.add_error("target_number", ValidationError(_("It can be a year at most.")))
        return str(self.cleaned_data["target_unit"])

    @property
    def typed_hours(self) -> int | None:
        """None = no number was typed."""
        number: int | None = self.cleaned_data.get("target_number")
        return number and number * (24 if self.cleaned_data.get("target_unit") == DAYS else 1)


def initial_target(hours: int | None) -> dict[str, Any]:
    """In days where they are whole and more than one."""
    if not hours:
        return {"target_number": None, "target_unit": HOURS}
    is_days = hours % 24 == 0 and hours > 24
    return {"target_number": hours // 24 if is_days else hours, "target_unit": DAYS if is_days else HOURS}
