"""What people type and choose. Fields are named one by one; nothing else of a request is ever read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from portal import dates, words
from tenants.models import Tenant
from vprotect_bridge import targets
from vprotect_bridge.models import Backup, Hypervisor, Machine, Plan, Protection
from vprotect_bridge.restore_wishes import PLATFORMS, RestoreWish, clusters_of, data_centers, storages_of
from vprotect_bridge.services import BackupWish, WishRefused

DEFAULT_PRIORITY = 50


class MachineFilter(forms.Form):
    """The list's address. Anything odd in it falls back, so that a shared link always opens."""

    class Sort(TextChoices):
        NAME = "name", _("Name, A to Z")
        NAME_DOWN = "-name", _("Name, Z to A")
        STATUS = "status", _("Status, worst first")
        STATUS_DOWN = "-status", _("Status, best first")
        LAST_BACKUP_DOWN = "-last", _("Last backup, newest first")
        LAST_BACKUP = "last", _("Last backup, oldest first")
        SIZE_DOWN = "-size", _("Size, largest first")
        SIZE = "size", _("Size, smallest first")

    class Presence(TextChoices):
        HERE = "here", _("Still there")
        GONE = "gone", _("Deleted")

    q = forms.CharField(max_length=100, required=False, label=_("Search by name, project or id"))
    status = forms.ChoiceField(choices=Protection.choices, required=False, label=_("Status"))
    plan = forms.RegexField(r"^(none|[0-9a-f-]{36})$", required=False, label=_("Plan"))
    platform = forms.RegexField(r"^[A-Za-z0-9_-]{1,40}$", required=False, label=_("Platform"))
    presence = forms.ChoiceField(choices=Presence.choices, required=False, label=_("There or deleted"))
    target = forms.ChoiceField(choices=targets.State.choices, required=False, label=_("Protection target"))
    sort = forms.ChoiceField(choices=Sort.choices, required=False, label=_("Sort by"))
    page = forms.IntegerField(min_value=1, max_value=1_000_000, required=False)

    def clean_plan(self) -> str:
        plan: str = self.cleaned_data["plan"]
        if plan and plan != "none":
            try:
                UUID(plan)
            except ValueError as error:
                raise ValidationError("") from error
        return plan


class LocalDateTimeInput(forms.DateTimeInput):
    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class LocalDateTimeField(forms.DateTimeField):
    """In the tenant's time zone, to the minute."""

    widget = LocalDateTimeInput
    default_error_messages = {
        "invalid": _("Enter a date and a time."),
        "ambiguous_timezone": _(
            "The clocks change at that time: it does not exist, or exists twice. Choose an earlier or a later one."
        ),
    }

    def to_python(self, value: Any) -> Any:
        try:
            return super().to_python(value)
        except ValidationError as error:
            if error.code == "ambiguous_timezone":
                raise ValidationError(self.error_messages[error.code], code=error.code) from error
            raise


@dataclass(frozen=True)
class Place:
    """Where a backup can go: a destination, or on servers where the plan decides a rule by the name of its own."""

    guid: str
    name: str
    is_default: bool = False


class BackupForm(forms.Form):
    """`places`: what is offered as destination, by value. By rules a value is that of a rule, not of a destination."""

    backup_type = forms.ChoiceField(
        choices=[(name, words.BACKUP_TYPE[name]) for name in ("FULL", "INCREMENTAL")],
        widget=forms.RadioSelect,
        initial="FULL",
        label=_("Type"),
        error_messages={"required": _("Choose a full or an incremental backup.")},
    )
    destination = forms.ChoiceField(
        label=_("Destination"),
        error_messages={
            "required": _("Choose a destination."),
            "invalid_choice": _("Choose one of the destinations that are offered."),
        },
    )
    window_start = LocalDateTimeField(required=False, label=_("Start"))
    window_end = LocalDateTimeField(label=_("Must have started by"))
    priority = forms.IntegerField(min_value=0, label=_("Priority"))
    client_key = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(
        self, *args: Any, can_be_incremental: bool, tenant: Tenant, places: list[Place], by_rules: bool, **kwargs: Any
    ):
        super().__init__(*args, **kwargs)
        self.by_rules = by_rules
        self.can_be_incremental = can_be_incremental
        if by_rules and not places:
            # Each machine's own plan decides.
            del self.fields["destination"]
        else:
            self.fields["destination"].choices = [(p.guid, p.name) for p in places]  # type: ignore[attr-defined]
        priority = self.fields["priority"]
        priority.max_value = tenant.priority_cap  # type: ignore[attr-defined]
        priority.widget.attrs["max"] = tenant.priority_cap
        priority.initial = min(DEFAULT_PRIORITY, tenant.priority_cap)
        for name, field in self.fields.items():
            if name not in {"backup_type", "client_key"}:
                field.widget.attrs["class"] = "form-select" if name == "destination" else "form-control"

    @property
    def wish(self) -> BackupWish:
        chosen = self.cleaned_data
        return BackupWish(
            backup_type=chosen["backup_type"],
            destination_guid="" if self.by_rules else chosen["destination"],
            rule_guid=chosen.get("destination", "") if self.by_rules else "",
            window_start=chosen["window_start"],
            window_end=chosen["window_end"],
            priority=chosen["priority"],
        )


class BulkPlanForm(forms.Form):
    """Into which plan. `based_on`: the digest of the plan that the person saw, once they have seen what will happen."""

    plan = forms.ChoiceField(
        label=_("Plan"),
        error_messages={
            "required": _("Choose a plan."),
            "invalid_choice": _("Choose one of the plans that are offered."),
        },
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    client_key = forms.UUIDField(widget=forms.HiddenInput)
    based_on = forms.CharField(required=False, widget=forms.HiddenInput, max_length=64)

    def __init__(self, *args: Any, plans: Iterable[Plan], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.plans = {str(plan.pk): plan for plan in plans}
        choices = [(pk, plan.name) for pk, plan in self.plans.items()]
        self.fields["plan"].choices = choices  # type: ignore[attr-defined]

    @property
    def chosen_plan(self) -> Plan:
        return self.plans[self.cleaned_data["plan"]]


class RestoreForm(forms.Form):
    """`place` names a cluster and its hypervisor, or a hypervisor alone: `<hypervisor>` or `<hypervisor>/<cluster>`."""

    backup = forms.ChoiceField(
        label=_("Restore point"),
        error_messages={"invalid_choice": _("Choose one of the restore points that are offered.")},
    )
    place = forms.ChoiceField(
        label=_("Where"), error_messages={"invalid_choice": _("Choose one of the places that are offered.")}
    )
    storage = forms.ChoiceField(
        label=_("Storage"),
        required=False,
        error_messages={"invalid_choice": _("Choose one of the storages that are offered.")},
    )
    data_center = forms.ChoiceField(
        label=_("Data center"),
        required=False,
        error_messages={"invalid_choice": _("Choose one of the data centers that are offered.")},
    )
    name = forms.CharField(max_length=255, required=False, label=_("Name of the new machine"))
    client_key = forms.UUIDField(widget=forms.HiddenInput)

    # Fields of a wish that this form asks for under another name.
    FIELD_OF = {"hypervisor": "place", "cluster": "place"}

    def __init__(self, *args: Any, machine: Machine, points: list[Backup], targets: list[Hypervisor], **kwargs: Any):
        super().__init__(*args, **kwargs)
        platform = PLATFORMS.get(machine.platform)
        self.needs_storage = platform is not None and platform.needs_storage
        self.has_targets = bool(targets)
        self._choices("backup", [(p.guid, f"{full_minute(p.sort_at)} · {words.backup_type(p.type)}") for p in points])
        self._choices("place", [place for target in targets for place in places_of(target)])
        storages = [(row.guid, row.name) for target in targets for row in storages_of(target)]
        self._choices("storage", storages if self.needs_storage else [("", _("the platform chooses")), *storages])
        if platform is not None and platform.needs_data_center:
            self._choices("data_center", [(name, name) for name in data_centers()])
        for name, field in self.fields.items():
            if name != "client_key":
                field.widget.attrs["class"] = "form-control" if name == "name" else "form-select"

    def _choices(self, name: str, choices: list[tuple[str, Any]]) -> None:
        self.fields[name].choices = choices  # type: ignore[attr-defined]

    @property
    def wish(self) -> RestoreWish:
        chosen = self.cleaned_data
        hypervisor, _slash, cluster = chosen["place"].partition("/")
        return RestoreWish(
            backup_guid=chosen["backup"],
            hypervisor_guid=hypervisor,
            cluster_guid=cluster,
            storage_guid=chosen["storage"],
            data_center=chosen["data_center"],
            name=chosen["name"],
        )

    def refuse(self, refused: WishRefused) -> None:
        self.add_error(self.FIELD_OF.get(refused.field, refused.field) or None, str(refused.user_message))


def places_of(target: Hypervisor) -> list[tuple[str, str]]:
    """A manager is chosen by its clusters: its own name is an address, which says nothing to a customer."""
    clusters = [(f"{target.guid}/{cluster.guid}", cluster.name) for cluster in clusters_of(target)]
    return clusters or [(target.guid, words.platform(target.platform) if target.is_manager else target.name)]


def full_minute(moment: datetime) -> str:
    return dates.to_the_minute(moment)
