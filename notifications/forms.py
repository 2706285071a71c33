"""What people choose: of what they are told, and when."""

from __future__ import annotations

from datetime import time
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from notifications.models import ByMail, Choices, MailTimes, PersonalChoices, TenantChoices, Topic, Webhook, Wish
from tenants.outbound import may_be_called
from tenants.people import Refused

TOPIC_HELP = {
    Topic.PROTECTION: _("A backup is too old, a run was left out, a machine has no plan."),
    Topic.BACKUPS: _("Done, failed, or waiting for your provider's decision."),
    Topic.RESTORES: _("Whole machines, and backups opened for single files."),
    Topic.PLANS: _("Made, changed, paused or deleted, and what went wrong with it."),
    Topic.OTHER: _("Work on your machines that was begun in the backup system itself."),
}


class TopicsForm(forms.ModelForm):
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for topic in Topic:
            self.fields[topic] = forms.ChoiceField(
                choices=Wish.choices,
                widget=forms.RadioSelect,
                label=topic.label,
                help_text=TOPIC_HELP[topic],
                initial=getattr(self.instance, topic),
            )

    wishes = Wish.choices

    def topics(self) -> list[forms.BoundField]:
        return [self[topic] for topic in Topic]


class ChoicesForm(TopicsForm):
    by_mail = forms.ChoiceField(choices=ByMail.choices, widget=forms.RadioSelect, label=_("By mail"))

    class Meta:
        fields = (*Topic.values, "by_mail")

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


class WebhookForm(TopicsForm):
    url = forms.URLField(
        max_length=500,
        assume_scheme="https",
        label=_("Address"),
        error_messages={"invalid": _("Type a whole address that begins with https://.")},
        widget=forms.URLInput(attrs={"class": "form-control", "autocomplete": "off", "placeholder": "https://"}),
    )

    class Meta:
        model = Webhook
        fields = ("url", "is_active", *Topic.values)

    def clean_url(self) -> str:
        """A password in an address would be read by everybody who administers here."""
        url: str = self.cleaned_data["url"]
        parts = urlsplit(url)
        if parts.username or parts.password or parts.fragment or not parts.hostname:
            raise ValidationError(_("Type an address without a user, a password or a #."))
        if not _may_be_public(parts.hostname):
            raise ValidationError(_("Type an address that can be reached from outside: this one is not a public one."))
        return url

    def refuse(self, refused: Refused) -> None:
        self.add_error(refused.field or None, str(refused.user_message))


def _may_be_public(host: str) -> bool:
    """What can be told of an address by looking at it; a name is looked up when it is called (`tenants.outbound`)."""
    try:
        return may_be_called("127.0.0.1" if host == "localhost" or host.endswith(".localhost") else host)
    except ValueError:
        return True


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
