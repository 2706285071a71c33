"""Events in words, for pages, mails and webhooks alike."""

from __future__ import annotations

from django.urls import reverse
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from notifications.models import Event
from portal import plan_words
from portal.words import OUTCOME, Chip, Text, title_of_work, visible_name
from vprotect_bridge.models import Operation, PlanChange

NEEDS_ATTENTION = Chip("unknown", "exclamation-triangle", _("Needs attention"))
LONGEST_NAME = 80

_PLAN_TITLES: dict[str, Text] = {
    PlanChange.Kind.CREATE: _("New plan “%(name)s”"),
    PlanChange.Kind.EDIT: _("Change of the plan “%(name)s”"),
    PlanChange.Kind.PAUSE: _("Pausing the plan “%(name)s”"),
    PlanChange.Kind.RESUME: _("Resuming the plan “%(name)s”"),
    PlanChange.Kind.DELETE: _("Deleting the plan “%(name)s”"),
    PlanChange.Kind.CLOCK: _("Clock change of the plan “%(name)s”"),
}


def title(event: Event) -> str:
    """What it is about: "Backup of web-01"."""
    match event.source:
        case Event.Source.PLAN_CHANGE:
            return str(_PLAN_TITLES[event.facts["kind"]]) % {"name": short_name(event.plan_name)}
        case _:
            return title_of_work(event.facts["kind"], short_name(event.machine_name), event.facts["task_type"])


def chip(event: Event) -> Chip:
    """What became of it."""
    if event.what == Operation.Submission.NEEDS_ATTENTION:
        return NEEDS_ATTENTION
    if event.source == Event.Source.PLAN_CHANGE:
        return plan_words.CHANGE[PlanChange.State(event.what)]
    return OUTCOME[Operation.Outcome(event.what)]


def reason(event: Event) -> str:
    """Why, in the reader's language; empty where nothing is known or it went well."""
    return _now(event.reason) if event.reason else ""


def headline(event: Event) -> str:
    """Both in one line: "Backup of web-01: Failed"."""
    return _now("%(title)s: %(outcome)s") % {"title": title(event), "outcome": chip(event).word}


def address(event: Event, tenant: str) -> str:
    """Where to look; `tenant` is a slug."""
    match event.source:
        case Event.Source.PLAN_CHANGE:
            return reverse("plan", args=[tenant, event.plan_id])
        case _:
            return reverse("operation", args=[tenant, event.source_id])


def short_name(name: str) -> str:
    """A machine may be called anything: nothing hidden, nothing endless."""
    shown = visible_name(name)
    return shown if len(shown) <= LONGEST_NAME else shown[: LONGEST_NAME - 1] + "…"
