"""Times as people read them: in the zone that is theirs (`tenants.preferences`), in the order of their language."""

from __future__ import annotations

from datetime import date, datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import pgettext

# For translators: formats of Django's date filter; "j. M Y, H:i" is 5. Jan. 2026, 14:03 in German.


def full(moment: datetime) -> str:
    """5 Jan 2026, 14:03:09 CET"""
    local = timezone.localtime(moment)
    text = date_format(local, pgettext("format of a date", "j M Y, H:i:s"))
    return f"{text} {local.tzname()}"


def to_the_minute(moment: datetime) -> str:
    """5 Jan 2026, 14:03"""
    return date_format(timezone.localtime(moment), pgettext("format of a date", "j M Y, H:i"))


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
