"""One reason and one button for a machine that is not protected: the next step that this person can take."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from portal.words import TURN, Text, failure_reason
from tenants.models import Membership, Role
from vprotect_bridge.failures import Failure, failure_of, turn_of
from vprotect_bridge.models import Machine, Operation
from vprotect_bridge.plan_wishes import may_change_plans
from vprotect_bridge.unprotected import Reason, Shortcoming

REASON: dict[Reason, Text] = {
    Reason.DELETED: _("The machine no longer exists; its backups can be restored."),
    Reason.GONE: _("The machine no longer exists, and no backup of it is left."),
    Reason.DESTINATION_UNUSABLE: _("The destination of its backups cannot be reached from where this machine runs."),
    Reason.NO_PLAN: _("No plan backs it up."),
    Reason.NO_SCHEDULE: _("Its plan has no schedule, so it never runs."),
    Reason.NO_DESTINATION: _("Its plan has no destination, so it never runs."),
    Reason.PLAN_PAUSED: _("Its plan is paused."),
    Reason.STALE: _("Nothing new is known of it: the backup system has not been heard for a while."),
    Reason.NEVER_FIRED: _("Its plan did not run when it should have. Your provider has to look at it."),
    Reason.SKIPPED: _("Its plan ran, but left it out. Your provider has to look at it."),
    Reason.STUCK: _("Its backup is stuck in the queue. Your provider has to look at it."),
    Reason.MISSED: _("Its backup did not start within its window."),
    Reason.NEW: _("It is new: its plan has not run for it yet."),
    Reason.NEVER_RAN: _("Its plan has not run for it yet."),
    Reason.LATE: _("Its newest good backup is older than its protection target."),
    Reason.OVERDUE: _("Its plan wants a more recent backup than there is."),
    Reason.UNKNOWN: _("The backup system does not say whether its backups are recent enough."),
}
ASK_ADMINISTRATOR = _("Ask your administrator.")
ASK_PROVIDER = _("Ask your provider.")
NO_DESTINATION_GRANTED = _("Your provider has not offered you a destination for backups yet.")


@dataclass(frozen=True)
class Button:
    """A link, or with `fields` a form that is sent."""

    text: Text
    icon: str
    url: str
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Advice:
    """`instead` says what to do where there is no button that this person could use."""

    reason: Text
    button: Button | None = None
    instead: Text = ""


def advise(machine: Machine, found: Shortcoming, membership: Membership) -> Advice:
    reason = _why_it_failed(found.said) if found.reason == Reason.FAILED else REASON[found.reason]
    if found.reason == Reason.STUCK:
        return Advice(reason)
    if found.is_running:
        return Advice(reason, instead=_("It is being backed up now."))
    match found.reason:
        case Reason.GONE:
            return Advice(reason)
        case Reason.DELETED:
            return _for(Role.RESTORER, membership, reason, _machine_button("restore", machine, membership))
        case Reason.STALE:
            return Advice(reason, _machine_button("look", machine, membership))
        case Reason.NO_PLAN:
            return _for_planners(membership, reason, _assign(machine, membership))
        case Reason.NO_SCHEDULE | Reason.NO_DESTINATION | Reason.PLAN_PAUSED | Reason.DESTINATION_UNUSABLE:
            return _about_its_plan(machine, found, membership, reason)
        case _ if not found.has_destination:
            return Advice(reason, instead=NO_DESTINATION_GRANTED)
        case Reason.FAILED if failure_of(found.said) == Failure.QUOTA:
            return Advice(reason, instead=ASK_PROVIDER)
        case Reason.FAILED:
            return _for(Role.MEMBER, membership, reason, _machine_button("again", machine, membership))
        case _:
            return _for(Role.MEMBER, membership, reason, _machine_button("backup", machine, membership))


def _why_it_failed(said: str) -> str:
    """And whose turn it is, or that nobody can say."""
    return f"{failure_reason(said)} {TURN[turn_of(said)]}"


def _about_its_plan(machine: Machine, found: Shortcoming, membership: Membership, reason: Text) -> Advice:
    plan = found.plan
    if not may_change_plans(membership):
        return Advice(reason, instead=ASK_ADMINISTRATOR)
    if plan is None or not plan.is_editable:
        # Its provider's. Paused by them, it is theirs to resume; one that can never act is better left.
        is_empty = found.reason in {Reason.NO_SCHEDULE, Reason.NO_DESTINATION}
        return Advice(reason, _assign(machine, membership)) if is_empty else Advice(reason, instead=ASK_PROVIDER)
    if found.reason == Reason.PLAN_PAUSED:
        url = reverse("plan-switch", args=[membership.tenant.slug, plan.id])
        fields = (("to", "acting"), ("based_on", plan.held_digest))
        return Advice(reason, Button(_("Resume the plan"), "arrow-clockwise", url, fields))
    url = reverse("plan-edit", args=[membership.tenant.slug, plan.id])
    return Advice(reason, Button(_("Change the plan"), "sliders", url))


def _for(role: Role, membership: Membership, reason: Text, button: Button) -> Advice:
    return Advice(reason, button) if membership.may(role) else Advice(reason, instead=ASK_ADMINISTRATOR)


def _for_planners(membership: Membership, reason: Text, button: Button) -> Advice:
    return Advice(reason, button) if may_change_plans(membership) else Advice(reason, instead=ASK_ADMINISTRATOR)


def _assign(machine: Machine, membership: Membership) -> Button:
    url = reverse("bulk-plan", args=[membership.tenant.slug])
    return Button(_("Assign a plan"), "clock-history", f"{url}?{urlencode({'machines': machine.guid})}")


_OF_MACHINE: dict[str, tuple[str, Text, str]] = {
    "again": ("backup-create", _("Try again"), "arrow-clockwise"),
    "backup": ("backup-create", _("Back up now"), "cloud-arrow-up"),
    "restore": ("restore-create", _("Restore"), "arrow-counterclockwise"),
    "look": ("machine", _("Look again"), "arrow-clockwise"),
}


def _machine_button(what: str, machine: Machine, membership: Membership) -> Button:
    name, text, icon = _OF_MACHINE[what]
    return Button(text, icon, reverse(name, args=[membership.tenant.slug, machine.guid]))


def try_again(machine: Machine, kind: str, membership: Membership) -> str:
    """Where a failed backup or restore is asked for again; empty where this person or nobody can."""
    if kind == Operation.Kind.MOUNT:
        may_open = membership.may_open_backups
        return reverse("mount-create", args=[membership.tenant.slug, machine.guid]) if may_open else ""
    if kind == Operation.Kind.RESTORE:
        name, role = "restore-create", Role.RESTORER
    else:
        name, role = "backup-create", Role.MEMBER
    can_work = kind == Operation.Kind.RESTORE or (kind == Operation.Kind.BACKUP and machine.exists)
    return reverse(name, args=[membership.tenant.slug, machine.guid]) if can_work and membership.may(role) else ""
