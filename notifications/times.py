"""A person's own clock: their quiet hours and their morning, also on days that have a time twice or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from notifications.models import MailTimes


def after_quiet(times: MailTimes, zone: ZoneInfo, moment: datetime) -> datetime:
    """The same moment, or the end of the quiet hours that it falls into. Times are aware; the answer is too."""
    begin, end = times.quiet_from, times.quiet_until
    if begin is None or end is None:
        return moment
    clock = moment.astimezone(zone).time()
    is_quiet = begin <= clock < end if begin < end else clock >= begin or clock < end
    return next_time(end, zone, moment) if is_quiet else moment


def next_digest(times: MailTimes, zone: ZoneInfo, moment: datetime) -> datetime:
    return next_time(times.digest_at, zone, moment)


def next_time(clock: time, zone: ZoneInfo, moment: datetime) -> datetime:
    """When a clock in this zone next shows this time, after `moment`; one that a day skips comes as much later."""
    return min(shown for shown in _showings(clock, zone, moment) if shown > moment)


def _showings(clock: time, zone: ZoneInfo, moment: datetime) -> Iterator[datetime]:
    today = moment.astimezone(zone).date()
    for day in (today, today + timedelta(days=1), today + timedelta(days=2)):
        for fold in (0, 1):
            # Only in UTC are two moments of such a day compared as they follow each other.
            shown = datetime.combine(day, clock.replace(fold=fold), zone).astimezone(UTC)
            # Of a time that is skipped the second reading lies before the gap.
            if fold == 0 or shown.astimezone(zone).time() == clock:
                yield shown
