"""What the address of the list of machines means: which machines, in which order, which page of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import (
    Count,
    ExpressionWrapper,
    F,
    Func,
    OrderBy,
    OuterRef,
    Q,
    QuerySet,
)
from django.db.models.fields import BooleanField
from django.db.models.functions import JSONObject, Lower
from django.utils import timezone
from django.utils.translation import gettext as _

from portal import access, dates
from portal.forms import MachineFilter
from tenants.models import Membership
from vprotect_bridge import targets
from vprotect_bridge.models import SEVERITY, Machine, Operation, Protection, Standing
from vprotect_bridge.plan_facts import Held
from vprotect_bridge.plan_preview import next_runs_of
from vprotect_bridge.unprotected import with_causes

PAGE_SIZE = 25
# Shorter ones would be found by chance in the hexadecimal digits of every other machine.
SHORTEST_PART_OF_AN_ID = 8
NO_PLAN = "none"
HERE, GONE = "here", "gone"
EXISTS = Q(present=True, vanished_at__isnull=True)
_KEYS: dict[str, Any] = {"status": SEVERITY, "last": F("last_success_at"), "size": F("last_full_size")}


# ── The address ──────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class MachineQuery:
    """What the list shows, as its address says it. `plan`: an id, or "none"; `sort`: a column, "-" before it = down."""

    q: str = ""
    status: str = ""
    plan: str = ""
    platform: str = ""
    presence: str = ""
    target: str = ""
    sort: str = "name"
    page: int = 1

    @classmethod
    def of(cls, given: Any) -> MachineQuery:
        """From an address or a form; what is odd in it is as if it were not there."""
        form = MachineFilter(given)
        form.is_valid()
        chosen = {name: form.cleaned_data.get(name) for name in MachineFilter.base_fields}
        return cls(**{name: value for name, value in chosen.items() if value})

    def parameters(self) -> dict[str, Any]:
        """Without what goes without saying."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    def address(self, **changes: Any) -> str:
        """Of another list; of its first page unless a page is named."""
        return "?" + urlencode(replace(self, **{"page": 1, **changes}).parameters())

    @property
    def here(self) -> str:
        return self.address(page=self.page)

    @property
    def is_narrowed(self) -> bool:
        return bool(self.q or self.status or self.plan or self.platform or self.presence or self.target)

    def is_search_of(self, other: MachineQuery) -> bool:
        """The same list, searched for something else."""
        return self.q != other.q and replace(self, q="", page=1) == replace(other, q="", page=1)

    def named(self, membership: Membership) -> QuerySet[Machine]:
        """The machines that fit what is searched for, whatever else is filtered."""
        is_gone = self.status == Protection.GONE
        machines = access.visible_machines(membership) if is_gone else access.listed_machines(membership)
        if not self.q:
            return machines
        fits = Q(name__icontains=self.q) | Q(project_name__icontains=self.q)
        if len(self.q) >= SHORTEST_PART_OF_AN_ID:
            fits |= Q(guid__istartswith=self.q) | Q(uuid__istartswith=self.q)
        return machines.filter(fits)

    def machines(self, membership: Membership) -> QuerySet[Machine]:
        """All that match, in order."""
        machines = self.named(membership)
        if self.status:
            machines = machines.filter(protection=self.status)
        if self.platform:
            machines = machines.filter(platform=self.platform)
        if self.presence:
            machines = machines.filter(EXISTS) if self.presence == HERE else machines.exclude(EXISTS)
        if self.target:
            machines = machines.alias(target=targets.state()).filter(target=self.target)
        if self.plan == NO_PLAN:
            machines = machines.filter(policy_guid="")
        elif self.plan:
            plans = access.visible_plans(membership).exclude(policy_guid="")
            machines = machines.filter(policy_guid__in=plans.filter(pk=self.plan).values("policy_guid"))
        return machines.order_by(*self.order())

    def order(self) -> list[OrderBy]:
        """Every order ends with the name and the GUID, so that no machine is on two pages."""
        column, is_down = self.sort.removeprefix("-"), self.sort.startswith("-")
        if column == "name" and is_down:
            return [Lower("name").desc(), F("guid").desc()]
        by_name = [Lower("name").asc(), F("guid").asc()]
        if column == "name":
            return by_name
        key = _KEYS[column]
        return [key.desc(nulls_last=True) if is_down else key.asc(nulls_first=True), *by_name]


# ── How many of what ─────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Kind:
    """Machines that are alike in everything that can be filtered, and how many they are."""

    status: str
    platform: str
    policy_guid: str
    presence: str
    target: str
    count: int

    def fits(self, query: MachineQuery, policy_guid: str | None) -> bool:
        return (
            query.status in {"", self.status}
            and query.platform in {"", self.platform}
            and query.presence in {"", self.presence}
            and query.target in {"", self.target}
            and (not query.plan or self.policy_guid == policy_guid)
        )


def kinds_of(machines: QuerySet[Machine]) -> list[Kind]:
    """One statement that every count of the page is taken from."""
    exists = ExpressionWrapper(EXISTS, output_field=BooleanField())
    alike = ("protection", "platform", "policy_guid", "exists_now", "target")
    rows = machines.annotate(exists_now=exists, target=targets.state()).values_list(*alike)
    return [
        Kind(status, platform, policy, HERE if exists_now else GONE, target, count)
        for status, platform, policy, exists_now, target, count in rows.annotate(count=Count("*")).order_by()
    ]


def counts_by(name: str, kinds: Iterable[Kind]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for kind in kinds:
        counts[getattr(kind, name)] += kind.count
    return counts


# ── The plans beside them ────────────────────────────────────────────────────


@dataclass
class PlanInList:
    """A plan as the list shows it, without the names of the machines in it, which may be thousands."""

    id: UUID
    name: str
    policy_guid: str
    standing: str
    target_hours: int | None
    held: Held = field(repr=False)

    @cached_property
    def next_run(self) -> datetime | None:
        """Aware UTC, by what vProtect holds."""
        return (
            next(iter(next_runs_of(self.held, timezone.now(), 1)), None) if self.standing == Standing.ACTING else None
        )

    @cached_property
    def next_run_said(self) -> str:
        """Once for all rows of its machines: said in each of them it was a tenth of the page."""
        return _("next: %(at)s") % {"at": dates.coming(self.next_run)} if self.next_run else ""


def plans_in_list(membership: Membership, policy_guid: str = "") -> dict[str, PlanInList]:
    """All of them, or that of one policy, by the GUID of the policy, in the order of their names."""
    plans = access.visible_plans(membership).exclude(policy_guid="").order_by(Lower("name"), "pk")
    if policy_guid:
        plans = plans.filter(policy_guid=policy_guid)
    parts = ("held__rules", "held__schedules", "held__policy__active")
    return {
        policy: PlanInList(pk, name, policy, standing, target_hours, _held(rules, schedules, active))
        for pk, name, policy, standing, target_hours, rules, schedules, active in plans.values_list(
            "pk", "name", "policy_guid", "standing", "target_hours", *parts
        )
    }


def _held(rules: Any, schedules: Any, active: Any) -> Held:
    return Held({"active": active, "vm_guids": []}, tuple(rules or ()), tuple(schedules or ()))


def policy_of(query: MachineQuery, plans: dict[str, PlanInList]) -> str | None:
    """Of the plan that is filtered by; None = there is no such plan."""
    if query.plan == NO_PLAN:
        return ""
    return next((plan.policy_guid for plan in plans.values() if str(plan.id) == query.plan), None)


# ── One page ─────────────────────────────────────────────────────────────────

_LIVE_PARTS = ("id", "kind", "origin", "submission", "phase", "outcome", "progress", "place_in_line", "version")


def page_of(machines: QuerySet[Machine], page: int, total: int) -> list[Machine]:
    """The rows of a page, each with its open operations as `running`; one statement.

    Counted from the nearer end: the last page costs what the first does. Which rows they are is found first, so that
    what a row shows is asked of them alone and not of all that are skipped.
    """
    first, last = (page - 1) * PAGE_SIZE, min(page * PAGE_SIZE, total)
    live = Func(F("cancel_wanted_at"), function="to_json", template="%(function)s(%(expressions)s IS NOT NULL)")
    open_ones = (
        Operation.objects.filter(machine=OuterRef("pk"), outcome=Operation.Outcome.OPEN)
        .order_by("created_at")
        .values(facts=JSONObject(**{name: name for name in _LIVE_PARTS}, is_cancelling=live))
    )
    is_near = first <= total - last
    shown = machines[first:last] if is_near else machines.reverse()[max(total - last, 0) : max(total - first, 0)]
    rows: QuerySet[Any] = with_causes(machines.filter(pk__in=shown.values("pk"))).defer("details", "tags")
    found = list(rows.annotate(open_operations=ArraySubquery(open_ones)))
    for machine in found:
        machine.running = [_operation(facts) for facts in machine.open_operations]
    return found


def _operation(facts: dict[str, Any]) -> Operation:
    wants_to_end = timezone.now() if facts.pop("is_cancelling") else None
    return Operation(**facts, cancel_wanted_at=wants_to_end)


def facts_of(machine: Machine) -> tuple[Any, ...]:
    """What a row shows of it, for `portal.polls`."""
    own = (
        "guid",
        "name",
        "protection",
        "last_success_at",
        "last_full_size",
        "policy_guid",
        "exists",
        "restorable_until",
        "late_at",
        "is_late",
    )
    working = [(operation.pk, operation.version) for operation in machine.running]  # type: ignore[attr-defined]
    return (*(getattr(machine, name) for name in own), working)
