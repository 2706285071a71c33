"""What of the activity is looked at; the address of the page, with and without JavaScript."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from portal import access, words
from tenants.models import Membership, User
from vprotect_bridge.models import Machine, Operation

Outcome = Operation.Outcome
Phase = Operation.Phase
Submission = Operation.Submission
Origin = Operation.Origin

_OPEN = Q(outcome=Outcome.OPEN)
_CHECKED = Q(submission__in=[Submission.UNCERTAIN, Submission.NEEDS_ATTENTION])
# What a person looks for, beside each outcome by itself.
STATES = {
    "open": _OPEN,
    "waiting": _OPEN & ~_CHECKED & Q(phase__in=[Phase.NONE, Phase.QUEUED]),
    "running": _OPEN & ~_CHECKED & ~Q(phase__in=[Phase.NONE, Phase.QUEUED]),
    "checked": _OPEN & _CHECKED,
    "problem": Q(outcome__in=[Outcome.FAILED, Outcome.PARTIAL, Outcome.REFUSED, Outcome.MISSED]),
    **{outcome.value: Q(outcome=outcome) for outcome in Outcome if outcome},
}
BY = {
    "people": Q(origin=Origin.PORTAL),
    "schedule": Q(origin=Origin.SCHEDULE),
    "elsewhere": Q(origin=Origin.ELSEWHERE),
}


class ActivityFilter(forms.Form):
    """Anything odd in the address falls back, so that a shared link always opens."""

    q = forms.CharField(max_length=100, required=False, label=_("Machine or person"))
    kind = forms.ChoiceField(required=False, label=_("What"))
    state = forms.ChoiceField(required=False, label=_("State"))
    by = forms.ChoiceField(required=False, label=_("Who asked"))
    since = forms.DateField(required=False, label=_("From"), widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, label=_("To"), widget=forms.DateInput(attrs={"type": "date"}))
    machine = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)

    CHOICES = {
        "kind": [("", _("Everything")), *Operation.Kind.choices],
        "state": [("", _("Any state")), *words.ACTIVITY_STATES.items()],
        "by": [("", _("Anybody")), *words.ACTIVITY_BY.items()],
    }

    def __init__(self, *args: Any, membership: Membership, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._membership = membership
        for name, field in self.fields.items():
            field.widget.attrs["class"] = "form-select" if name in self.CHOICES else "form-control"
            if name in self.CHOICES:
                field.choices = self.CHOICES[name]  # type: ignore[attr-defined]

    @cached_property
    def chosen(self) -> dict[str, Any]:
        """What is not valid, or not chosen, is not in it."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}

    def query(self, **changes: str) -> str:
        """The address of this choice, or of one that differs from it."""
        return urlencode({name: value for name, value in {**self.chosen, **changes}.items() if value})

    def query_of_every_machine(self) -> str:
        return self.query(machine="")

    @cached_property
    def chosen_machine(self) -> Machine | None:
        """The one machine that is looked at, for those who may see it."""
        guid = self.chosen.get("machine")
        return access.visible_machines(self._membership).filter(guid=guid).first() if guid else None

    def operations(self, operations: QuerySet[Operation]) -> QuerySet[Operation]:
        """Those of `operations` that were chosen. Days are the tenant's, the last one included."""
        chosen = self.chosen
        if text := chosen.get("q"):
            operations = operations.filter(self._names(text))
        if guid := chosen.get("machine"):
            operations = operations.filter(subject_guid=guid)
        if kind := chosen.get("kind"):
            operations = operations.filter(kind=kind)
        if state := chosen.get("state"):
            operations = operations.filter(STATES[state])
        if by := chosen.get("by"):
            operations = operations.filter(Q(created_by=self._membership.user_id) if by == "me" else BY[by])
        if since := chosen.get("since"):
            operations = operations.filter(created_at__gte=_midnight(since))
        if until := chosen.get("until"):
            operations = operations.filter(created_at__lt=_midnight(until + timedelta(days=1)))
        return operations

    def _names(self, text: str) -> Q:
        """Looked up apart, so that the database reads the operations by an index instead of joining all of them."""
        people = User.objects.filter(Q(email__icontains=text) | Q(name__icontains=text))
        machines = access.visible_machines(self._membership).filter(name__icontains=text)
        return Q(machine__in=machines.values("pk")) | Q(created_by__in=people.values("pk"))


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime(day.year, day.month, day.day))
