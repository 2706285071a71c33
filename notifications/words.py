"""Events in words, for pages, mails and webhooks alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from notifications.models import Event, Webhook, WebhookDelivery
from portal import dates, plan_words
from portal.operation_words import capitalised
from portal.words import OUTCOME, TURN, WAITING, Chip, Text, title_of_work, visible_name
from vprotect_bridge.models import Alert, Operation, PlanChange

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
_ALERT_TITLES: dict[str, Text] = {
    Alert.Kind.LATE: _("%(name)s: the newest good backup is too old"),
    Alert.Kind.SKIPPED: _("%(name)s was left out of a run of its plan"),
    Alert.Kind.STUCK: _("%(name)s is stuck in the queue"),
    Alert.Kind.MISSED: _("%(name)s missed its start window"),
    Alert.Kind.NEVER_FIRED: _("The plan “%(name)s” did not run"),
    Alert.Kind.WITHOUT_PLAN: _("%(name)s is new and has no plan"),
}
_OPENED: dict[str, Chip] = {
    Alert.Kind.LATE: Chip("overdue", "clock-history", _("Too old")),
    Alert.Kind.SKIPPED: Chip("overdue", "exclamation-triangle", _("Left out")),
    Alert.Kind.STUCK: Chip("overdue", "hourglass-split", _("Stuck")),
    Alert.Kind.MISSED: Chip("overdue", "clock-history", _("Missed")),
    Alert.Kind.NEVER_FIRED: Chip("failed", "x-circle", _("Did not run")),
    Alert.Kind.WITHOUT_PLAN: Chip("unprotected", "shield-slash", _("No plan")),
}
# In short, for a choice among them.
ALERTS: dict[str, Text] = {
    Alert.Kind.LATE: _("Late"),
    Alert.Kind.SKIPPED: _("Left out"),
    Alert.Kind.STUCK: _("Stuck in the queue"),
    Alert.Kind.MISSED: _("Missed the start window"),
    Alert.Kind.NEVER_FIRED: _("Plan did not run"),
    Alert.Kind.WITHOUT_PLAN: _("New without a plan"),
}
CLOSED = Chip("protected", "check-circle", _("Over"))


_MANY: dict[str, Any] = {
    Alert.Kind.LATE: ngettext_lazy("%(count)d machine is late", "%(count)d machines are late", "count"),
    Alert.Kind.SKIPPED: ngettext_lazy(
        "%(count)d machine was left out of a run of its plan",
        "%(count)d machines were left out of a run of their plan",
        "count",
    ),
    Alert.Kind.STUCK: ngettext_lazy(
        "%(count)d machine is stuck in the queue", "%(count)d machines are stuck in the queue", "count"
    ),
    Alert.Kind.MISSED: ngettext_lazy(
        "%(count)d machine missed its start window", "%(count)d machines missed their start window", "count"
    ),
    Alert.Kind.NEVER_FIRED: ngettext_lazy("%(count)d plan did not run", "%(count)d plans did not run", "count"),
    Alert.Kind.WITHOUT_PLAN: ngettext_lazy(
        "%(count)d machine is new and has no plan", "%(count)d machines are new and have no plan", "count"
    ),
}


def title(event: Event) -> str:
    """What it is about: "Backup of web-01"."""
    match event.source:
        case Event.Source.ALERT:
            return alert_title(event.facts["kind"], event.machine_name or event.plan_name)
        case Event.Source.PLAN_CHANGE:
            return str(_PLAN_TITLES[event.facts["kind"]]) % {"name": short_name(event.plan_name)}
        case _:
            return title_of_work(event.facts["kind"], short_name(event.machine_name), event.facts["task_type"])


def alert_title(kind: str, name: str) -> str:
    """`name`: of the machine, or of the plan where it is about all of its machines."""
    return str(_ALERT_TITLES.get(kind, "%(name)s")) % {"name": short_name(name)}


def chip(event: Event) -> Chip:
    """What became of it."""
    if event.what == Operation.Submission.NEEDS_ATTENTION:
        return NEEDS_ATTENTION
    if event.source == Event.Source.ALERT:
        return alert_chip(event.facts["kind"], is_over=bool(event.settled_at) or not event.is_problem)
    if event.source == Event.Source.PLAN_CHANGE:
        return plan_words.CHANGE[PlanChange.State(event.what)]
    return OUTCOME[Operation.Outcome(event.what)]


def reason(event: Event) -> str:
    """Why, or whose turn it is, in the reader's language; empty where nothing is known or it went well."""
    if tells_of_alert(event):
        facts = event.facts
        return reason_of_alert(facts["kind"], facts["turn"], facts, event.happened_at, event.settled_at)
    return " ".join(filter(None, (_now(event.reason) if event.reason else "", turn(event))))


def alert_chip(kind: str, *, is_over: bool) -> Chip:
    return CLOSED if is_over else _OPENED.get(kind, NEEDS_ATTENTION)


def reason_of_alert(
    kind: str, turn: str, details: dict[str, Any], noticed_at: datetime, closed_at: datetime | None
) -> str:
    """How it was when it was noticed, and whose turn it is; since when it is over, once it is."""
    if closed_at:
        sentence = _now("Back on time since %(moment)s.") if kind == Alert.Kind.LATE else _now("Over since %(moment)s.")
        return sentence % {"moment": dates.with_zone(closed_at)}
    about = _about_late(details, noticed_at) if kind == Alert.Kind.LATE else ""
    return f"{about} {TURN[turn]}".lstrip()


def _about_late(details: dict[str, Any], noticed_at: datetime) -> str:
    """How old the newest good backup was, and what the target is."""
    if "target_hours" not in details:
        return ""
    said = {"target": plan_words.target_words(details["target_hours"])}
    if not details.get("last_success_at"):
        return _now("It had no good backup yet; its target is %(target)s.") % said
    newest = datetime.fromisoformat(details["last_success_at"])
    said |= {"age": dates.length(noticed_at - newest), "moment": dates.with_zone(newest)}
    return _now("Its newest good backup was %(age)s old (%(moment)s); its target is %(target)s.") % said


def turn(event: Event) -> str:
    """Who can put it right, as far as that is known; empty of what has no turn."""
    return str(TURN.get(event.facts.get("turn", ""), ""))


def tells_of_alert(event: Event) -> bool:
    """That it tells of an alert, and not that one is over: it happened when it was noticed, no backup is of then."""
    return event.source == Event.Source.ALERT and event.is_problem


def noticed(event: Event) -> str:
    """When it happened."""
    moment = dates.with_zone(event.happened_at)
    return _now("noticed %(moment)s") % {"moment": moment} if tells_of_alert(event) else moment


def title_of_many(events: Sequence[Event]) -> str:
    """Of what is alike (`group`): "16 machines are late"."""
    event = events[0]
    if tells_of_alert(event) and event.facts["kind"] in _MANY:
        return str(_MANY[event.facts["kind"]] % {"count": len(events)})
    return f"{group(event)} ({len(events)})"


def group(event: Event) -> str:
    """What many of its like have in common: "Backup: Failed"."""
    match event.source:
        case Event.Source.ALERT:
            kind = dict(Alert.Kind.choices).get(event.facts["kind"], "")
        case Event.Source.PLAN_CHANGE:
            kind = _("Plan")
        case _:
            kind = Operation.Kind(event.facts["kind"]).label
    return _with_outcome(capitalised(str(kind)), event)


def subject(event: Event) -> str:
    return short_name(event.machine_name or event.plan_name)


def headline(event: Event) -> str:
    """Both in one line: "Backup of web-01: Failed"."""
    return _with_outcome(title(event), event)


def _with_outcome(what: str, event: Event) -> str:
    """An alert says it all by itself, until it is over."""
    if event.source == Event.Source.ALERT and event.is_problem:
        return what
    return _now("%(title)s: %(outcome)s") % {"title": what, "outcome": chip(event).word}


def address(event: Event, tenant: str) -> str:
    """Where to look; `tenant` is a slug."""
    match event.source:
        case Event.Source.ALERT if event.machine_guid:
            return reverse("machine", args=[tenant, event.machine_guid])
        case Event.Source.ALERT | Event.Source.PLAN_CHANGE:
            return reverse("plan", args=[tenant, event.plan_id])
        case _:
            return reverse("operation", args=[tenant, event.source_id])


def address_of_alert(alert: Alert, tenant: str) -> str:
    if alert.machine:
        return reverse("machine", args=[tenant, alert.machine.guid])
    return reverse("plan", args=[tenant, alert.plan_id])


def short_name(name: str) -> str:
    """A machine may be called anything: nothing hidden, nothing endless."""
    shown = visible_name(name)
    return shown if len(shown) <= LONGEST_NAME else shown[: LONGEST_NAME - 1] + "…"


# ── Webhooks ─────────────────────────────────────────────────────────────────

_DELIVERY = {
    WebhookDelivery.State.WAITING: WAITING,
    WebhookDelivery.State.DELIVERED: Chip("protected", "check-circle", _("Delivered")),
    WebhookDelivery.State.GIVEN_UP: Chip("failed", "x-circle", _("Given up")),
}
_TRYING = Chip("overdue", "arrow-repeat", _("Trying again"))


def delivery_chip(delivery: WebhookDelivery) -> Chip:
    if delivery.state == WebhookDelivery.State.WAITING and delivery.attempts:
        return _TRYING
    return _DELIVERY[WebhookDelivery.State(delivery.state)]


def webhook_chip(webhook: Webhook) -> Chip:
    if webhook.gone_at:
        return Chip("failed", "slash-circle", _("It wants no more"))
    if not webhook.is_active:
        return Chip("gone", "dash-circle", _("Switched off"))
    if webhook.failures:
        return Chip("overdue", "exclamation-triangle", _("Does not answer"))
    return Chip("protected", "check-circle", _("Active"))
