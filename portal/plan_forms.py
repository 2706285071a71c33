"""The form of a plan: one page although vProtect needs a policy, a rule and schedules."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from portal import plan_words
from portal.forms import DEFAULT_PRIORITY
from portal.machine_picker import MachinePicker, PickedMachines
from portal.plan_words import target_words
from portal.target_forms import TargetForm, initial_target
from tenants.models import Tenant
from vprotect_bridge.models import Destination, Plan
from vprotect_bridge.plan_facts import DAY_MS, Held, Retention
from vprotect_bridge.plan_wishes import (
    MOST_SCHEDULES,
    PlanWish,
    WantedSchedule,
    is_changed_elsewhere,
    schedules_as_held,
)
from vprotect_bridge.services import WishRefused

WORKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY")
# Ready-made: a full one a week, incremental ones between.
READY_MADE = (
    WantedSchedule("FULL", ("SUNDAY",), at="01:00"),
    WantedSchedule("INCREMENTAL", (*WORKDAYS, "SATURDAY"), at="01:00"),
)
NEW_SCHEDULE = WantedSchedule("INCREMENTAL", WORKDAYS, at="12:00")


class ScheduleForm(forms.Form):
    """When and what kind. `how`: at one time of day, or again and again between two."""

    TIME, INTERVAL = "time", "interval"

    backup_type = forms.ChoiceField(label=_("What"), choices=list(plan_words.TYPE_NAME.items()))
    weekdays = forms.MultipleChoiceField(
        label=_("Days"),
        choices=list(plan_words.WEEKDAY_NAME.items()),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one day of the week.")},
    )
    how = forms.ChoiceField(
        label=_("How often"),
        choices=[(TIME, _("Once a day")), (INTERVAL, _("Again and again"))],
        widget=forms.RadioSelect,
    )
    at = forms.TimeField(label=_("At"), required=False, error_messages={"invalid": _("Enter a time, like 02:00.")})
    starts = forms.TimeField(
        label=_("From"), required=False, error_messages={"invalid": _("Enter a time, like 08:00.")}
    )
    ends = forms.TimeField(label=_("To"), required=False, error_messages={"invalid": _("Enter a time, like 18:00.")})
    every_minutes = forms.IntegerField(label=_("Every … minutes"), required=False, min_value=1, max_value=1440)
    window_minutes = forms.IntegerField(
        label=_("Must have started within … minutes"), min_value=15, max_value=1440, initial=360, required=False
    )
    occurrences = forms.MultipleChoiceField(
        label=_("Only in these weeks of the month"),
        choices=list(plan_words.OCCURRENCE_NAME.items()),
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )
    months = forms.MultipleChoiceField(
        label=_("Only in these months"),
        choices=list(plan_words.MONTH_NAME.items()),
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for name in ("at", "starts", "ends"):
            self.fields[name].widget = forms.TimeInput(format="%H:%M", attrs={"type": "time", "class": "form-control"})
        for name in ("every_minutes", "window_minutes"):
            self.fields[name].widget.attrs["class"] = "form-control"
        self.fields["backup_type"].widget.attrs["class"] = "form-select"

    def clean(self) -> dict[str, Any]:
        chosen = super().clean() or {}
        wanted = ("at",) if chosen.get("how") == self.TIME else ("starts", "ends", "every_minutes")
        for name in wanted:
            if chosen.get(name) is None and name not in self.errors:
                self.add_error(name, ValidationError(_("This is needed.")))
        return chosen

    @classmethod
    def initial_of(cls, schedule: WantedSchedule) -> dict[str, Any]:
        return {
            **{name: getattr(schedule, name) for name in ("backup_type", "weekdays", "at", "starts", "ends")},
            **{name: list(getattr(schedule, name)) for name in ("months", "occurrences")},
            "how": cls.TIME if schedule.at else cls.INTERVAL,
            "every_minutes": schedule.every_minutes or None,
            "window_minutes": schedule.window_minutes,
        }

    @property
    def schedule(self) -> WantedSchedule:
        chosen = self.cleaned_data
        common: dict[str, Any] = {
            "backup_type": chosen["backup_type"],
            **{name: _in_order(self.fields[name], chosen[name]) for name in ("weekdays", "months", "occurrences")},
            "window_minutes": chosen["window_minutes"] or 360,
        }
        if chosen["how"] == self.TIME:
            return WantedSchedule(**common, at=f"{chosen['at']:%H:%M}")
        common |= {"starts": f"{chosen['starts']:%H:%M}", "ends": f"{chosen['ends']:%H:%M}"}
        return WantedSchedule(**common, every_minutes=chosen["every_minutes"])


def _in_order(field: forms.Field, chosen: list[str]) -> tuple[str, ...]:
    return tuple(value for value, _label in field.choices if value in chosen)  # type: ignore[attr-defined]


ScheduleFormSet = forms.formset_factory(ScheduleForm, extra=0, max_num=MOST_SCHEDULES, validate_max=True)


RETENTION_FIELDS = ("full_count", "full_days", "incremental_count", "incremental_days", "keeps_last")


def initial_retention(retention: Retention | None) -> dict[str, Any]:
    if retention is None:
        return {}
    return {
        "full_count": retention.full_count,
        "full_days": plan_words.whole_days(retention.full_ms),
        "incremental_count": retention.incremental_count,
        "incremental_days": plan_words.whole_days(retention.incremental_ms),
        "keeps_last": retention.keeps_last,
    }


def _length(days: int | None, held_ms: int | None) -> int | None:
    if days is None or days == plan_words.whole_days(held_ms):
        return None if days is None else held_ms
    return days * DAY_MS


class DestinationSelect(forms.Select):
    """Marks those by which the page hides how long incremental backups are kept."""

    def __init__(self, synthetic: set[str]) -> None:
        super().__init__()
        self.is_required = True
        self.synthetic = synthetic

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        return option | {"attrs": option["attrs"] | ({"data-synthetic": ""} if value in self.synthetic else {})}


class PlanForm(TargetForm):
    """`schedules` is a formset of its own. `moves`: the tick that machines with a plan need to change it."""

    AS_TENANT, OWN, NONE = "tenant", "own", "none"

    name = forms.CharField(label=_("Name"), max_length=120, error_messages={"required": _("Give the plan a name.")})
    machines = PickedMachines(label=_("Machines"), empty=_("Choose at least one machine."))
    moves = forms.BooleanField(required=False)
    time_zone = forms.CharField(label=_("Time zone"), max_length=64)
    destination = forms.ChoiceField(
        label=_("Destination"),
        error_messages={"invalid_choice": _("Choose one of the destinations that are offered.")},
    )
    priority = forms.IntegerField(label=_("Priority"), min_value=0)
    full_count = forms.IntegerField(label=_("The last … full backups"), required=False, min_value=1)
    full_days = forms.IntegerField(label=_("and full backups of the last … days"), required=False, min_value=1)
    incremental_count = forms.IntegerField(label=_("The last … incremental backups"), required=False, min_value=1)
    incremental_days = forms.IntegerField(
        label=_("and incremental backups of the last … days"), required=False, min_value=1
    )
    keeps_last = forms.BooleanField(label=_("Always keep the last backup of a machine that exists"), required=False)
    removes_absent_machines = forms.BooleanField(label=_("Let go of machines that no longer exist"), required=False)
    target = forms.ChoiceField(
        label=_("Protection target"),
        choices=[(AS_TENANT, ""), (OWN, _("A target of its own")), (NONE, _("No target"))],
        widget=forms.RadioSelect,
        required=False,
    )
    client_key = forms.UUIDField(widget=forms.HiddenInput)
    based_on = forms.CharField(required=False, widget=forms.HiddenInput, max_length=64)

    def __init__(
        self,
        *args: Any,
        tenant: Tenant,
        picker: MachinePicker,
        destinations: list[Destination],
        plan: Plan | None = None,
        retention: Retention | None = None,
        **kwargs: Any,
    ):
        """`retention`: how long the plan keeps backups; None where that is not a plan's to say."""
        super().__init__(*args, **kwargs)
        self.retention = retention
        for name in RETENTION_FIELDS if retention is None else ():
            del self.fields[name]
        self.plan = plan
        self.picker = self.fields["machines"].picker = picker  # type: ignore[attr-defined]
        self.synthetic = {d.guid for d in destinations if d.is_synthetic}
        self.fields["destination"].widget = DestinationSelect(self.synthetic)
        self.fields["destination"].choices = [(d.guid, d.name) for d in destinations]  # type: ignore[attr-defined]
        priority = self.fields["priority"]
        priority.max_value = tenant.priority_cap  # type: ignore[attr-defined]
        priority.widget.attrs.update({"max": tenant.priority_cap})
        self.fields["time_zone"].widget.attrs.update({"list": "time-zones", "autocomplete": "off"})
        typed = {"name", "time_zone", "priority", *RETENTION_FIELDS} - {"keeps_last"}
        for name in typed & set(self.fields):
            self.fields[name].widget.attrs["class"] = "form-control"
        self.fields["destination"].widget.attrs["class"] = "form-select"
        as_tenant = _("As for the whole organisation: %(target)s") % {"target": target_words(tenant.target_hours)}
        choices = [(value, label or as_tenant) for value, label in self.fields["target"].choices]  # type: ignore[attr-defined]
        self.fields["target"].choices = choices  # type: ignore[attr-defined]

    @cached_property
    def moving(self) -> int:
        """How many of the chosen machines leave another plan."""
        try:
            chosen = self.picker.machines.filter(guid__in=self.picker.checked())
        except ValidationError:
            return 0
        return chosen.exclude(policy_guid__in=["", self.plan.policy_guid if self.plan else ""]).count()

    def clean_time_zone(self) -> str:
        name = self.cleaned_data["time_zone"].strip()
        if name not in available_timezones():
            raise ValidationError(_("This time zone is not known. Choose one like Europe/Warsaw."))
        return name

    def clean(self) -> dict[str, Any]:
        chosen = super().clean() or {}
        if self.moving and not chosen.get("moves") and "machines" not in self.errors:
            self.add_error(
                "moves", ValidationError(_("Some machines leave the plan that they have. Tick that you mean it."))
            )
        if chosen.get("target") == self.OWN and not self.typed_hours and "target_number" not in self.errors:
            self.add_error("target_number", ValidationError(_("This is needed.")))
        return chosen

    @property
    def target_hours(self) -> int | None:
        """As `Plan.target_hours`."""
        own = {self.OWN: self.typed_hours, self.NONE: 0}
        return own.get(self.cleaned_data["target"])

    def wish(self, schedules: list[WantedSchedule], *, is_paused: bool) -> PlanWish:
        chosen = self.cleaned_data
        return PlanWish(
            name=chosen["name"].strip(),
            time_zone=chosen["time_zone"],
            schedules=tuple(schedules),
            destination_guid=chosen["destination"],
            machine_guids=tuple(chosen["machines"]),
            priority=chosen["priority"],
            removes_absent_machines=chosen["removes_absent_machines"],
            is_paused=is_paused,
            retention=self._chosen_retention(chosen),
            target_hours=self.target_hours,
        )

    def _chosen_retention(self, chosen: dict[str, Any]) -> Retention | None:
        """Days that were not touched stay what vProtect holds, to the millisecond.

        A synthetic destination has no limits of its own for incremental backups (API reference, 12.2).
        """
        held = self.retention
        if held is None:
            return None
        if chosen["destination"] in self.synthetic:
            chosen = {**chosen, "incremental_count": None, "incremental_days": None}
        return Retention(
            full_count=chosen["full_count"],
            full_ms=_length(chosen["full_days"], held.full_ms),
            incremental_count=chosen["incremental_count"],
            incremental_ms=_length(chosen["incremental_days"], held.incremental_ms),
            keeps_last=chosen["keeps_last"],
        )

    def refuse(self, refused: WishRefused, schedules: Any) -> None:
        """Says it at the field that it is about."""
        sentence = str(refused.user_message)
        if refused.field.startswith("schedule-"):
            schedules[int(refused.field.removeprefix("schedule-"))].add_error(None, sentence)
        else:
            self.add_error(refused.field if refused.field in self.fields else None, sentence)


def initial_plan(tenant: Tenant, destinations: list[Destination]) -> dict[str, Any]:
    usual = next((d.guid for d in destinations if d.is_default), destinations[0].guid if destinations else "")
    return {
        "time_zone": tenant.time_zone,
        "destination": usual,
        "priority": min(DEFAULT_PRIORITY, tenant.priority_cap),
        **_initial_target(None),
    }


def _initial_target(hours: int | None) -> dict[str, Any]:
    which = PlanForm.AS_TENANT if hours is None else PlanForm.OWN if hours else PlanForm.NONE
    return {"target": which, **initial_target(hours)}


def wish_shown(plan: Plan) -> PlanWish:
    """What the form starts from: what was meant, as long as vProtect holds it; else what vProtect holds, in UTC."""
    held = Held.from_json(plan.held)
    meant = PlanWish.of_plan(plan)
    if plan.schedules and not is_changed_elsewhere(plan):
        return meant
    facts = held.policy or {"priority": plan.priority, "removes_absent_machines": False}
    return PlanWish(
        name=plan.name,
        time_zone="UTC",
        schedules=schedules_as_held(held),
        destination_guid=held.destination_guid,
        machine_guids=tuple(held.machine_guids),
        priority=facts["priority"] or 0,
        removes_absent_machines=facts["removes_absent_machines"],
        is_paused=meant.is_paused,
        target_hours=plan.target_hours,
    )


def shown_schedules(plan: Plan) -> tuple[Any, ...]:
    """What was meant while vProtect holds it, else what it holds."""
    held = Held.from_json(plan.held)
    return wish_shown(plan).schedules if plan.schedules or held.policy else ()


def initial_of(wish: PlanWish) -> dict[str, Any]:
    return {
        "name": wish.name,
        "machines": list(wish.machine_guids),
        "time_zone": wish.time_zone,
        "destination": wish.destination_guid,
        "priority": wish.priority,
        "removes_absent_machines": wish.removes_absent_machines,
        "retention": wish.retention,
        **_initial_target(wish.target_hours),
    }
