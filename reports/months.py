"""Months as reports name them: "2026-11" in addresses, and no others than could have a record."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

from django.utils.formats import date_format
from django.utils.translation import pgettext


@dataclass(frozen=True, order=True)
class Month:
    year: int
    number: int

    @classmethod
    def of(cls, day: date) -> Month:
        return cls(day.year, day.month)

    @classmethod
    def read(cls, text: str) -> Month | None:
        found = re.fullmatch(r"(20\d\d)-(0[1-9]|1[0-2])", text, re.ASCII)
        return cls(int(found[1]), int(found[2])) if found else None

    @property
    def first(self) -> date:
        return date(self.year, self.number, 1)

    @property
    def days(self) -> int:
        return monthrange(self.year, self.number)[1]

    @property
    def last(self) -> date:
        return self.first.replace(day=self.days)

    @property
    def before(self) -> Month:
        return Month.of(self.first - timedelta(days=1))

    @property
    def after(self) -> Month:
        return Month.of(self.last + timedelta(days=1))

    @property
    def key(self) -> str:
        return f"{self.year}-{self.number:02d}"

    def __str__(self) -> str:
        # For translators: a format of Django's date filter; "F Y" is November 2026.
        return date_format(self.first, pgettext("format of a month", "F Y"))
