"""Plans in words: "Full backup every Sunday at 00:30"."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from portal.machine_list import PlanInList
from portal.words import Chip, Text
from vprotect_bridge.models import Plan, PlanChange, Standing
from vprotect_bridge.plan_facts import DAY_MS, Facts
from vprotect_bridge.plan_times import MONTHS, OCCURRENCES, WEEKDAYS
from vprotect_bridge.plan_wishes import WantedSchedule

WEEKDAY_NAME = dict(
    zip(
        WEEKDAYS,
        [
            *(gettext_lazy("Monday"), gettext_lazy("Tuesday"), gettext_lazy("Wednesday"), gettext_lazy("Thursday")),
            *(gettext_lazy("Friday"), gettext_lazy("Saturday"), gettext_lazy("Sunday")),
        ],
        strict=True,
    )
)
MONTH_NAME = dict(
    zip(
        MONTHS,
        [
            *(gettext_lazy("January"), gettext_lazy("February"), gettext_lazy("March"), gettext_lazy("April")),
            *(gettext_lazy("May"), gettext_lazy("June"), gettext_lazy("July"), gettext_lazy("August")),
            *(gettext_lazy("September"), gettext_lazy("October"), gettext_lazy("November"), gettext_lazy("December")),
        ],
        strict=True,
    )
)
OCCURRENCE_NAME = dict(
    zip(
        OCCURRENCES,
        [
            *(gettext_lazy("first"), gettext_lazy("second"), gettext_lazy("third")),
            *(gettext_lazy("fourth"), gettext_lazy("last")),
        ],
        strict=True,
    )
)
TYPE_NAME = {"FULL": gettext_lazy("Full backup"), "INCREMENTAL": gettext_lazy("Incremental backup")}
WORKDAYS = set(WEEKDAYS[:5])

STANDING = {
    Standing.ACTING: Chip("protected", "check-circle", gettext_lazy("Active")),
    Standing.PAUSED: Chip(
        "gone", "dash-circle", gettext_lazy("Paused"), gettext_lazy("Nothing is backed up by it now.")
    ),
    Standing.IDLE: Chip(
        "failed",
        "exclamation-triangle",
        gettext_lazy("Never backs up"),
        gettext_lazy("It has no schedule or no destination, so nothing ever happens by it."),
    ),
}
IN_WORK = Chip("running", "arrow-repeat", gettext_lazy("Being changed"))
HALF_DONE = Chip("failed", "exclamation-triangle", gettext_lazy("Half done"))
CHANGE = {
    PlanChange.State.DONE: Chip("protected", "check-circle", gettext_lazy("Done")),
    PlanChange.State.REFUSED: Chip("failed", "x-circle", gettext_lazy("Refused")),
    PlanChange.State.CONFLICT: Chip("overdue", "exclamation-triangle", gettext_lazy("Not done")),
    PlanChange.State.UNDONE: Chip("gone", "arrow-counterclockwise", gettext_lazy("Taken back")),
    PlanChange.State.STUCK: HALF_DONE,
}


def plan_chip(plan: Plan, change: PlanChange | None = None) -> Chip:
    if change is not None and change.is_open:
        return change_chip(change)
    return STANDING[Standing(plan.standing)]


def change_chip(change: PlanChange) -> Chip:
    return CHANGE.get(PlanChange.State(change.state), IN_WORK)


def plan_name(plan: Plan | PlanInList) -> Text:
    """One that others share has no name of its own for this tenant."""
    return plan.name or gettext_lazy("Your provider's plan")


def schedule_sentence(schedule: WantedSchedule) -> str:
    """The time zone is said beside it, once for all."""
    parts = [str(TYPE_NAME[schedule.backup_type]), _days(schedule), _times(schedule)]
    if schedule.months:
        parts.append(_("only in %(months)s") % {"months": _listed([MONTH_NAME[name] for name in schedule.months])})
    return " ".join(parts)


def _days(schedule: WantedSchedule) -> str:
    days = [WEEKDAY_NAME[name] for name in schedule.weekdays]
    if schedule.occurrences:
        which = _listed([OCCURRENCE_NAME[name] for name in schedule.occurrences])
        return _("on the %(which)s %(days)s of the month") % {"which": which, "days": _listed(days)}
    chosen = set(schedule.weekdays)
    if len(chosen) == 7:
        return _("every day")
    if chosen == WORKDAYS:
        return _("every weekday")
    first, last = (WEEKDAYS.index(schedule.weekdays[place]) for place in (0, -1))
    if len(days) > 2 and len(days) == last - first + 1:
        return _("every day from %(first)s to %(last)s") % {"first": days[0], "last": days[-1]}
    return _("every %(days)s") % {"days": _listed(days)}


def _times(schedule: WantedSchedule) -> str:
    if schedule.at:
        return _("at %(time)s") % {"time": schedule.at}
    span = {"starts": schedule.starts, "ends": schedule.ends}
    if schedule.every_minutes % 60:
        minutes = ngettext("every minute", "every %(count)d minutes", schedule.every_minutes)
        every = minutes % {"count": schedule.every_minutes}
    else:
        hours = schedule.every_minutes // 60
        every = ngettext("every hour", "every %(count)d hours", hours) % {"count": hours}
    return _("%(every)s from %(starts)s to %(ends)s") % {"every": every, **span}


def _listed(names: Sequence[Text]) -> str:
    if len(names) == 1:
        return str(names[0])
    return _("%(most)s and %(last)s") % {"most": ", ".join(map(str, names[:-1])), "last": names[-1]}


STEP_NAME = {
    "schedule made": gettext_lazy("schedule made"),
    "policy made": gettext_lazy("plan made"),
    "rule made": gettext_lazy("destination set"),
    "rule changed": gettext_lazy("destination changed"),
    "second rule removed": gettext_lazy("tidied up"),
    "schedule changed": gettext_lazy("times changed"),
    "policy changed": gettext_lazy("machines set"),
    "schedule switched": gettext_lazy("schedule switched"),
    "schedule removed": gettext_lazy("schedule removed"),
    "policy removed": gettext_lazy("plan removed"),
}
STEP_NAME = {
    "schedule made": gettext_lazy("schedule made"),
    "policy made": gettext_lazy("plan made"),
    "rule made": gettext_lazy("destination set"),
    "rule changed": gettext_lazy("destination changed"),
    "second rule removed": gettext_lazy("tidied up"),
    "schedule changed": gettext_lazy("times changed"),
    "policy changed": gettext_lazy("machines set"),
    "schedule switched": gettext_lazy("schedule switched"),
    "schedule removed": gettext_lazy("schedule removed"),
    "policy removed": gettext_lazy("plan removed"),
}
CHANGE_SENTENCE = {
    PlanChange.State.WAITING: gettext_lazy("It is about to be put in place."),
    PlanChange.State.WORKING: gettext_lazy("It is being put in place."),
    PlanChange.State.UNDOING: gettext_lazy("It is being taken back."),
    PlanChange.State.STUCK: gettext_lazy("It is half done. You can let it be finished, or take it back."),
}


def change_sentence(change: PlanChange) -> Text:
    """How a change stands; its reason where there is one."""
    said = CHANGE_SENTENCE.get(PlanChange.State(change.state), "")
    reason = _(change.user_message) if change.user_message else ""
    return format_lazy("{} {}", said, reason) if said and reason else said or reason


# ── How old the newest may be ────────────────────────────────────────────────


def target_words(hours: int | None) -> str:
    """24 hours, 7 days; "none" of no target."""
    if not hours:
        return _("none")
    if hours % 24 == 0 and hours > 24:
        return ngettext("%(count)d day", "%(count)d days", hours // 24) % {"count": hours // 24}
    return ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours}


# ── How long backups are kept ────────────────────────────────────────────────

ROLE = {
    "PRIMARY": gettext_lazy("Main destination"),
    "SECONDARY": gettext_lazy("Second copy"),
    "ARCHIVE": gettext_lazy("Archive"),
}


def whole_days(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else max(round(milliseconds / DAY_MS), 1)


def retention_sentences(retention: Facts | None, lock_days: int = 0) -> list[str]:
    """What a destination of a plan keeps, as `client.plans.Retention` has it."""
    if not retention:
        return []
    full = _kept(retention["full_count"], retention["full_ms"])
    incremental = _kept(retention["incremental_count"], retention["incremental_ms"])
    sentences = [_("Full backups: %(kept)s") % {"kept": full}] if full else []
    sentences += [_("Incremental backups: %(kept)s") % {"kept": incremental}] if incremental else []
    if retention["keeps_last"]:
        sentences.append(_("The last backup of a machine that exists is always kept."))
    if lock_days:
        locked = ngettext(
            "Nobody can delete them for %(days)d day.", "Nobody can delete them for %(days)d days.", lock_days
        )
        sentences.append(locked % {"days": lock_days})
    return sentences


def _kept(count: int | None, milliseconds: int | None) -> str:
    days = whole_days(milliseconds)
    by_count = ngettext("the last %(count)d", "the last %(count)d", count or 0) % {"count": count} if count else ""
    by_days = ngettext("all of %(days)d day", "all of %(days)d days", days or 0) % {"days": days} if days else ""
    return (
        _("%(first)s and %(second)s") % {"first": by_count, "second": by_days}
        if by_count and by_days
        else by_count or by_days
    )


def rule_rows(rules: Sequence[Facts], names: dict[str, str]) -> list[dict[str, object]]:
    """Where the rules of a plan store and for how long; empty where rules do not say (classic servers)."""
    return [
        {
            "is_on": rule["active"],
            "places": [
                {
                    "name": names.get(place["guid"], _("a destination of your provider")),
                    "role": ROLE.get(place["role"], place["role"]),
                    "is_on": place["is_active"],
                    "sentences": retention_sentences(place["retention"], place["lock_days"]),
                }
                for place in rule["destinations"]
            ],
        }
        for rule in rules
        if rule.get("destinations")
    ]
