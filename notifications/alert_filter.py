"""Which alerts are looked at; the address of their page."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from notifications import words
from vprotect_bridge.models import Alert

STATES: dict[str, Any] = {"": _("All"), "open": _("Open"), "over": _("Over")}


class AlertFilter(forms.Form):
    """Anything odd in the address falls back, so that a shared link always opens."""

    q = forms.CharField(max_length=100, required=False, label=_("Machine or plan"))
    kind = forms.ChoiceField(required=False, label=_("What"), choices=[("", _("Everything")), *words.ALERTS.items()])
    state = forms.ChoiceField(required=False, choices=STATES.items())
    since = forms.DateField(required=False, label=_("From"), widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, label=_("To"), widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.widget.attrs["class"] = "form-select" if name == "kind" else "form-control"

    @cached_property
    def chosen(self) -> dict[str, Any]:
        """What is not valid, or not chosen, is not in it."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}

    def query(self, **changes: str) -> str:
        """The address of this choice, or of one that differs from it."""
        return urlencode({name: value for name, value in {**self.chosen, **changes}.items() if value})

    def alerts(self, alerts: QuerySet[Alert]) -> QuerySet[Alert]:
        """Those of `alerts` that were chosen: by when they were noticed, the last day included."""
        chosen = self.chosen
        if text := chosen.get("q"):
            alerts = alerts.filter(Q(machine__name__icontains=text) | Q(machine=None, plan__name__icontains=text))
        if kind := chosen.get("kind"):
            alerts = alerts.filter(kind=kind)
        if state := chosen.get("state"):
            alerts = alerts.filter(closed_at__isnull=state == "open")
        if since := chosen.get("since"):
            alerts = alerts.filter(opened_at__gte=_midnight(since))
        if until := chosen.get("until"):
            alerts = alerts.filter(opened_at__lt=_midnight(until + timedelta(days=1)))
        return alerts


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime(day.year, day.month, day.day))
