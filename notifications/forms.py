"""What people choose: of what they are told, and when."""

from __future__ import annotations

from datetime import time
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _

from notifications.models import ByMail, Choices, MailTimes, PersonalChoices, TenantChoices, Topic, Wish

TOPIC_HELP = {
    Topic.PROTECTION: _("A backup is too old, a run was left out, a machine has no plan. Comes at once."),
    Topic.BACKUPS: _("Done, failed, or waiting for your provider's decision."),
    Topic.RESTORES: _("Whole machines, and backups opened for single files."),
    Topic.PLANS: _("Made, changed, paused or deleted, and what went wrong with it."),
    Topic.OTHER: _("Work on your machines that was begun in the backup system itself."),
}


class ChoicesForm(forms.ModelForm):
    by_mail = forms.ChoiceField(choices=ByMail.choices, widget=forms.RadioSelect, label=_("By mail"))

    class Meta:
        fields = (*Topic.values, "by_mail")

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for topic in Topic:
            self.fields[topic] = forms.ChoiceField(
                choices=Wish.choices, widget=forms.RadioSelect, label=topic.label, help_text=TOPIC_HELP[topic]
            )

    wishes = Wish.choices

    def topics(self) -> list[forms.BoundField]:
        return [self[topic] for topic in Topic]

    def filled_in(self, row: Choices) -> Choices:
        """`row` with what was chosen; not saved."""
        for name in self.Meta.fields:
            setattr(row, name, self.cleaned_data[name])
        return row


class PersonalChoicesForm(ChoicesForm):
    class Meta(ChoicesForm.Meta):
        model = PersonalChoices


class TenantChoicesForm(ChoicesForm):
    class Meta(ChoicesForm.Meta):
        model = TenantChoices


class MailTimesForm(forms.ModelForm):
    class Meta:
        model = MailTimes
        fields = ("digest_at", "quiet_from", "quiet_until")
        widgets: ClassVar[dict[str, Any]] = {
            name: forms.TimeInput(format="%H:%M", attrs={"type": "time", "class": "form-control"})
            for name in ("digest_at", "quiet_from", "quiet_until")
        }

    def clean(self) -> dict[str, Any]:
        chosen = super().clean() or {}
        begin, end = (chosen.get(name) for name in ("quiet_from", "quiet_until"))
        if {"quiet_from", "quiet_until"} & set(self.errors):
            return chosen
        if (begin is None) != (end is None):
            self.add_error("quiet_until" if begin else "quiet_from", _("Quiet hours need a beginning and an end."))
        elif isinstance(begin, time) and begin == end:
            self.add_error("quiet_until", _("They end when they begin. Leave both empty for none."))
        return chosen
