"""How the pages show chips, times, sizes and durations."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from functools import cache, lru_cache
from urllib.parse import urlencode
from uuid import uuid4

from django import template
from django.template import Context
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils import formats
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from portal import audit_words, dates, file_words, operation_words, plan_words, polls, words
from portal.advice import advise
from portal.advice import try_again as again
from portal.machine_list import PlanInList
from portal.words import Chip
from tenants.models import AuditEntry, Role, Tenant
from vprotect_bridge import unprotected
from vprotect_bridge.download_wishes import readable_size
from vprotect_bridge.models import Backup, Download, Machine, Operation, OperationTask, Plan, PlanChange
from vprotect_bridge.plan_facts import Retention
from vprotect_bridge.plan_wishes import WantedSchedule
from vprotect_bridge.restoring import RESTORABLE

register = template.Library()

GIB, MIB = 1024**3, 1024**2


@register.simple_tag
@cache
def sprite() -> str:
    """The address of the icons: dozens are on a page."""
    return static("vendor/bootstrap-icons-1.13.2/sprite.svg")


@register.simple_tag
def chip(thing: Machine | Operation | OperationTask | Backup | Plan | PlanChange) -> SafeString:
    of = _chip_of(thing)
    return _drawn(of.kind, of.icon, str(of.word), str(of.why))


def _chip_of(thing: Machine | Operation | OperationTask | Backup | Plan | PlanChange) -> Chip:
    match thing:
        case Plan():
            return plan_words.plan_chip(thing)
        case PlanChange():
            return plan_words.change_chip(thing)
        case Machine():
            return words.protection_chip(thing)
        case OperationTask():
            return operation_words.task_chip(thing)
        case Operation():
            return words.operation_chip(thing)
        case _:
            return words.backup_status_chip(thing.status)


@lru_cache(maxsize=500)
def _drawn(kind: str, icon: str, word: str, why: str) -> SafeString:
    """By what is said, so that each language has its own. Of a list's rows most have the same few chips."""
    return render_to_string("portal/partials/chip.html", {"chip": Chip(kind, icon, word, why)})


@register.simple_tag(takes_context=True)
def advice(context: Context, machine: Machine) -> SafeString | str:
    """Why a machine is not protected and what this person can do about it; nothing for one that is."""
    request = context["request"]
    found = unprotected.why(machine, is_stale=unprotected.is_stale(context["upstream"]))
    if found is None:
        return ""
    said = advise(machine, found, request.membership)
    of_form = {"csrf_token": context.get("csrf_token"), "client_key": uuid4()}
    return render_to_string("portal/partials/advice.html", {"advice": said, "machine": machine, **of_form})


@register.simple_tag(takes_context=True)
def try_again(context: Context, operation: Operation) -> str:
    """Where what ended badly is asked for again, as it was; empty where it went well, or this person cannot."""
    ended_badly = operation.outcome in {"failed", "refused", "missed"}
    form = again(operation.machine, operation.kind, context["request"].membership) if ended_badly else ""
    point = operation.request.get("backup_guid")
    return f"{form}?{urlencode({'like': operation.pk} | ({'backup': point} if point else {}))}" if form else ""


@register.filter
def target_of_plan(hours: int | None, tenant: Tenant) -> str:
    """How old the newest good backup may be, of a plan or of a machine in none (null), and who says so."""
    if hours is not None:
        return plan_words.target_words(hours)
    if not tenant.target_hours:
        return plan_words.target_words(None)
    return _("%(target)s, as for the whole organisation") % {"target": plan_words.target_words(tenant.target_hours)}


@register.simple_tag
def when(moment: datetime | None, empty: str = "–") -> SafeString | str:
    """How long ago or until, with the full local time on hover and for screen readers."""
    if moment is None:
        return empty
    full = full_time(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}<span class="visually-hidden"> ({})</span></time>',
        moment.isoformat(),
        full,
        dates.ago(moment),
        full,
    )


@register.simple_tag
def new_key() -> str:
    """By which the same form sent again is known."""
    return str(uuid4())


@register.filter
def to_select(name: str) -> str:
    """What the box before a machine does; in each row a block of the template would take five times as long."""
    return _("Select %(name)s") % {"name": name}


@register.filter
def full_time(moment: datetime | None) -> str:
    return dates.full(moment) if moment else ""


register.filter("to_the_minute", dates.to_the_minute)
register.filter("day", dates.day)
register.filter("day_and_year", dates.day_and_year)
register.filter("weekday_and_day", dates.weekday_and_day)


@register.filter
def size(count: int | None) -> str:
    """Bytes as GiB (MiB when small); a dash for nothing."""
    if not count:
        return "–"
    if count < GIB:
        return f"{formats.number_format(max(count / MIB, 0.1), 1)} MiB"
    return f"{formats.number_format(count / GIB, 1)} GiB"


@register.filter
def duration(milliseconds: int | None) -> str:
    """1 h 02 min, 3 min 05 s, 12 s; a dash for nothing."""
    if milliseconds is None:
        return "–"
    seconds = round(milliseconds / 1000)
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


@register.filter
def took(operation: Operation) -> str:
    """From its start to its end; "" while either is not known."""
    began, ended = operation.started_at, operation.finished_at
    return duration(int((ended - began).total_seconds() * 1000)) if began and ended else ""


@register.filter
def platform(name: str) -> str:
    return words.platform(name)


@register.filter
def backup_type(name: str) -> str:
    return str(words.backup_type(name))


@register.filter
def failure_reason(backup: Backup) -> str:
    return str(words.failure_reason(backup.status_info))


@register.filter
def last_point(machine: Machine) -> str:
    """The warning before a deleted machine can no longer be restored."""
    return words.last_point_sentence(machine)


register.filter("lateness", words.lateness)


@register.filter
def sentence(operation: Operation) -> str:
    return str(words.operation_sentence(operation))


@register.simple_tag(takes_context=True)
def seen(context: Context, what: Operation | list[Operation]) -> str:
    """The word by which a poll names what is shown of them (`portal.polls`)."""
    upstream = context.get("upstream")
    away_since = upstream.unreachable_since if upstream else None
    if isinstance(what, Operation):
        return polls.word_for(polls.shown([what], away_since))
    return polls.words_for(polls.shown(what, away_since))


@register.filter
def cancel_consequence(operation: Operation) -> str:
    return str(words.cancel_consequence(operation))


@register.filter
def estimate(operation: Operation) -> str:
    return operation_words.estimate(operation)


@register.filter
def task_name(task_type: str) -> words.Text:
    return words.TASK_TYPE.get(task_type) or words.readable(task_type)


@register.filter
def title(operation: Operation) -> str:
    return words.operation_title(operation)


@register.filter
def plan_name(plan: Plan | PlanInList) -> words.Text:
    return plan_words.plan_name(plan)


@register.filter
def default_plan_name(plan: Plan | None) -> words.Text:
    """Of the plan that a machine has, also if this person does not see it."""
    return plan_words.plan_name(plan or Plan())


@register.filter
def schedule_sentence(schedule: WantedSchedule) -> str:
    return plan_words.schedule_sentence(schedule)


@register.filter
def retention_sentences(retention: Retention) -> list[str]:
    return plan_words.retention_sentences(asdict(retention))


@register.filter
def step_name(what: str) -> words.Text:
    return plan_words.STEP_NAME.get(what, what)


@register.filter
def change_sentence(change: PlanChange) -> words.Text:
    return plan_words.change_sentence(change)


@register.filter
def minute(moment: datetime) -> str:
    """A coming run."""
    return dates.coming(moment)


@register.filter
def action_name(action: str) -> words.Text:
    return audit_words.AUDIT_ACTION.get(action) or words.readable(action)


@register.filter
def asked_by(operation: Operation) -> words.Text:
    return words.asked_by(operation)


@register.filter
def who(entry: AuditEntry) -> words.Text:
    return audit_words.who(entry)


@register.filter
def role_name(role: str) -> words.Text:
    """Of an audit entry, which may be of a role that is no more."""
    return Role(role).label if role in Role.values else words.readable(role)


@register.filter
def is_restorable(backup: Backup) -> bool:
    """A good one, with a copy present where the server tells of copies."""
    copies = [copy["status"] for copy in backup.destinations]
    return backup.status in RESTORABLE and (not copies or "PRESENT" in copies)


@register.filter
def visible_name(name: str) -> str:
    return words.visible_name(name)


@register.inclusion_tag("portal/partials/chip.html")
def download_chip(download: Download) -> dict[str, Chip]:
    return {"chip": file_words.download(download)}


@register.filter
def file_type(name: str) -> Chip:
    return file_words.file_type(name)


@register.filter
def file_size(count: int) -> str:
    """To the byte where it is small, since a file may be empty."""
    return readable_size(count)


@register.filter
def rights(mode: int | None) -> str:
    return "–" if mode is None else file_words.rights(mode)


@register.filter
def rights_sentence(mode: int | None) -> str:
    return _("not known") if mode is None else file_words.rights_sentence(mode)
