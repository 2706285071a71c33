"""Times as people read them: in the zone that is theirs (`tenants.preferences`), in the order of their language."""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Literal

from babel import Locale, UnknownLocaleError
from babel.dates import format_timedelta
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language, pgettext, to_locale
from django.utils.translation import gettext as _

# How long each is and with how many of it it begins, as in static/js/portal.js.
_UNITS: tuple[tuple[Literal["year", "month", "week", "day", "hour", "minute", "second"], timedelta, int], ...] = (
    ("year", timedelta(days=365), 2),
    ("month", timedelta(days=30), 2),
    ("week", timedelta(days=7), 2),
    ("day", timedelta(days=1), 2),
    ("hour", timedelta(hours=1), 1),
    ("minute", timedelta(minutes=1), 1),
    ("second", timedelta(seconds=1), 1),
)
# For translators: formats of Django's date filter; "j. M Y, H:i" is 5. Jan. 2026, 14:03 in German.


def full(moment: datetime) -> str:
    """5 Jan 2026, 14:03:09 CET"""
    return _full(moment, timezone.get_current_timezone(), get_language())


@lru_cache(maxsize=20_000)
def _full(moment: datetime, zone: tzinfo, language: str | None) -> str:
    """Kept: every row of a list has one or two, and the next look at it has the same. `language` is the active one."""
    local = moment.astimezone(zone)
    text = date_format(local, pgettext("format of a date", "j M Y, H:i:s"))
    return f"{text} {local.tzname()}"


def to_the_minute(moment: datetime) -> str:
    """5 Jan 2026, 14:03"""
    return date_format(timezone.localtime(moment), pgettext("format of a date", "j M Y, H:i"))


def with_zone(moment: datetime) -> str:
    """5 Jan 2026, 14:03 CET"""
    return f"{to_the_minute(moment)} {timezone.localtime(moment).tzname()}"


def coming(moment: datetime) -> str:
    """Mon 5 Jan, 14:03 CET: a run soon enough to need no year."""
    local = timezone.localtime(moment)
    text = date_format(local, pgettext("format of a date", "D j M, H:i"))
    return f"{text} {local.tzname()}"


def day_and_year(of: date) -> str:
    """5 Jan 2026"""
    return date_format(of, pgettext("format of a date", "j M Y"))


def day(of: date) -> str:
    """5 Jan"""
    return date_format(of, pgettext("format of a date", "j M"))


def weekday_and_day(of: date) -> str:
    """Mon 5 Jan"""
    return date_format(of, pgettext("format of a date", "D j M"))


def ago(moment: datetime) -> str:
    """3 days ago, in 40 hours: one unit alone, since the exact time is always beside it.

    Never more than has passed: parts of a unit are left out. Days begin with two of them.
    """
    passed = moment - timezone.now()
    if abs(passed) < timedelta(seconds=5):
        return _("now")
    unit, one = next((unit, one) for unit, one, least in _UNITS if abs(passed) >= least * one)
    said = round(passed / one) * one if passed > timedelta(0) else -(-passed // one * one)
    # No other unit comes up to this threshold.
    return str(format_timedelta(said, granularity=unit, threshold=1e9, add_direction=True, locale=_locale()))


def length(passed: timedelta) -> str:
    """15 hours: in hours up to two days, then in days, rounded down."""
    unit: Any = "hour" if passed < timedelta(days=2) else "day"
    if passed < timedelta(hours=1):
        unit = "minute"
    whole = timedelta(**{f"{unit}s": passed // timedelta(**{f"{unit}s": 1})})
    return str(format_timedelta(whole, granularity=unit, threshold=1000, locale=_locale()))


def _locale() -> Locale:
    try:
        return Locale.parse(to_locale(get_language() or "en"))
    except UnknownLocaleError:
        return Locale("en")
