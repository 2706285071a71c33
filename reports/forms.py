"""Which reports come by mail."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from reports.files import may_have
from reports.models import Enclosed, Every, ReportFile
from reports.subscriptions import CHOICES, own_subscriptions
from tenants.models import Membership


class SubscriptionsForm(forms.Form):
    """Two fields for each report that the person may have."""

    def __init__(self, data: Any, membership: Membership) -> None:
        there = own_subscriptions(membership)
        self.kinds = [kind for kind in CHOICES if may_have(membership, kind)]
        super().__init__(data)
        for kind in self.kinds:
            row, label = there.get(kind), ReportFile.Kind(kind).label
            every = [("", _("Never")), *((value, Every(value).label) for value in CHOICES[kind])]
            self.fields[f"{kind}_every"] = forms.ChoiceField(
                choices=every, required=False, label=label, initial=row.every if row else ""
            )
            self.fields[f"{kind}_enclosed"] = forms.ChoiceField(
                choices=Enclosed.choices, label=_("With"), initial=row.enclosed if row else Enclosed.LINK
            )
        for field in self.fields.values():
            field.widget.attrs["class"] = "form-select"

    def reports(self) -> list[tuple[forms.BoundField, forms.BoundField]]:
        return [(self[f"{kind}_every"], self[f"{kind}_enclosed"]) for kind in self.kinds]

    def wanted(self) -> dict[str, tuple[str, str]]:
        chosen = self.cleaned_data
        return {kind: (chosen[f"{kind}_every"], chosen[f"{kind}_enclosed"]) for kind in self.kinds}
