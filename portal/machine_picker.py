"""Ticks for machines in a form, found on the server and shown page by page, so that thousands cost what ten do.

The form carries what was chosen as changes: the ticks of the page that is shown, the GUIDs that this page shows, and
what was added and removed on others. What the form began with (`base`) is not carried, however much it is, and of "all
that are found" only what was searched for (`every`): five thousand chosen are a few letters. Searching
and paging send the form and bring it back; with htmx only this part of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cached_property, reduce
from operator import or_
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from portal.access import BY_NAME, GuidConverter
from portal.words import Text
from vprotect_bridge.models import Machine

PAGE_SIZE = 50
MOST_SEARCHES = 10
NOT_YOURS = _("One of the machines is not yours any more. Choose again.")


class MachinePicker:
    """`data` is what was sent, None = nothing yet. `machines`: those that may be chosen.

    `chosen` is what stands before anything is sent and has to be sent along; `most` may be chosen at all. `plan_names`,
    by the GUID of their policy, say which machine is in another plan than that of `own_policy`.
    """

    def __init__(
        self,
        data: Any,
        machines: QuerySet[Machine],
        base: Collection[str] = (),
        *,
        chosen: Collection[str] = (),
        most: int = 0,
        plan_names: Mapping[str, Text] | None = None,
        own_policy: str = "",
    ) -> None:
        self.data = data
        self.machines = machines
        self.before = frozenset(chosen)
        self.most = most
        self.plan_names = plan_names or {}
        self.own_policy = own_policy
        # A form that names its machines outright, without this part, means those and no others.
        self.base = frozenset(base) if data is None or "picker" in data else frozenset()

    @property
    def is_arranging(self) -> bool:
        """The form was sent only to see other machines."""
        return self.data is not None and "pick" in self.data

    @cached_property
    def chosen(self) -> frozenset[str]:
        """GUIDs; also foreign ones that somebody wrote into the form, until `checked`."""
        if self.data is None:
            return self.base | self.before
        ticked, shown = (frozenset(self.data.getlist(name)) for name in ("machines", "shown"))
        added, removed = (frozenset(self.data.get(name, "").split()) for name in ("added", "removed"))
        chosen = ((self.ground | added) - removed - shown) | ticked
        if self.data.get("pick") == "all":
            chosen |= frozenset(self.found.values_list("guid", flat=True))
        return chosen

    @cached_property
    def every(self) -> list[str]:
        """The searches of which all that was found was chosen; "" = every machine."""
        if self.data is None:
            return []
        searches = [line.removeprefix("=") for line in self.data.get("every", "").replace("\0", "").splitlines()]
        if self.data.get("pick") == "all":
            searches.append(self.q)
        return list(dict.fromkeys(searches))[:MOST_SEARCHES]

    @cached_property
    def ground(self) -> frozenset[str]:
        """What is chosen before any tick of this form: what it began with, and all that those searches find."""
        if not self.every:
            return self.base
        fits = reduce(or_, (Q(name__icontains=search) for search in self.every))
        return self.base | frozenset(self.machines.filter(fits).values_list("guid", flat=True))

    def checked(self) -> list[str]:
        """The same, of which every one may be chosen. Raises `ValidationError`."""
        well_formed = all(re.fullmatch(GuidConverter.regex, guid) for guid in self.chosen)
        if not well_formed or self.machines.filter(guid__in=self.chosen).count() < len(self.chosen):
            raise ValidationError(NOT_YOURS, code="invalid_choice")
        return sorted(self.chosen)

    @property
    def carried(self) -> dict[str, str]:
        """What the form sends along beside the page that it shows."""
        shown = {row.guid for row in self.rows}
        return {
            "picker": "yes",
            "every": "\n".join(f"={search}" for search in self.every),
            "added": " ".join(sorted(self.chosen - self.ground - shown)),
            "removed": " ".join(sorted(self.ground - self.chosen - shown)),
        }

    # ── What is shown ────────────────────────────────────────────────────────

    @property
    def q(self) -> str:
        return str(self.data.get("pick_q", ""))[:100].replace("\0", "") if self.data else ""

    @property
    def only_chosen(self) -> bool:
        return bool(self.before) if self.data is None else self.data.get("pick_only") == "chosen"

    @property
    def offers_all(self) -> bool:
        return not self.only_chosen and self.total > 1 and (not self.most or self.total <= self.most)

    @cached_property
    def found(self) -> QuerySet[Machine]:
        found = self.machines.filter(name__icontains=self.q) if self.q else self.machines
        return found.order_by(*BY_NAME).defer("details", "tags")

    @cached_property
    def _offered(self) -> QuerySet[Machine]:
        if not self.only_chosen:
            return self.found
        return self.found.filter(guid__in=[guid for guid in self.chosen if re.fullmatch(GuidConverter.regex, guid)])

    @cached_property
    def total(self) -> int:
        return self._offered.count()

    @cached_property
    def page(self) -> int:
        wanted = str(self.data.get("pick", "")) if self.data else ""
        asked = int(wanted) if re.fullmatch(r"[0-9]{1,6}", wanted) else 1
        return min(max(asked, 1), max(-(-self.total // PAGE_SIZE), 1))

    @cached_property
    def rows(self) -> list[Machine]:
        rows: list[Any] = list(self._offered[(self.page - 1) * PAGE_SIZE : self.page * PAGE_SIZE])
        for row in rows:
            row.now_in = "" if row.policy_guid == self.own_policy else self.plan_names.get(row.policy_guid, "")
        return rows

    @property
    def first(self) -> int:
        return (self.page - 1) * PAGE_SIZE + 1

    @property
    def last(self) -> int:
        return min(self.page * PAGE_SIZE, self.total)

    @property
    def previous(self) -> int | None:
        return self.page - 1 if self.page > 1 else None

    @property
    def next(self) -> int | None:
        return self.page + 1 if self.last < self.total else None


class PickedMachines(forms.Field):
    """GUIDs out of the form's `MachinePicker`, which the form sets as `picker`."""

    picker: MachinePicker
    widget = forms.MultipleHiddenInput

    def __init__(self, *, label: Any, empty: Any = "") -> None:
        super().__init__(required=False, label=label)
        self.empty = empty

    def clean(self, value: Any) -> list[str]:
        if self.empty and not self.picker.chosen:
            raise ValidationError(self.empty, code="required")
        return self.picker.checked()
