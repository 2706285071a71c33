"""Quiet hours and mornings by a person's own clock, also on the two odd days of a year."""

from __future__ import annotations

from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest

from notifications.models import MailTimes
from notifications.times import after_quiet, next_digest

WARSAW, NEW_YORK = ZoneInfo("Europe/Warsaw"), ZoneInfo("America/New_York")


def quiet(begin: str, end: str) -> MailTimes:
    return MailTimes(quiet_from=time.fromisoformat(begin), quiet_until=time.fromisoformat(end))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}:00+00:00")


@pytest.mark.parametrize(
    ("moment", "comes"),
    [
        ("2026-01-10 20:59", "2026-01-10 20:59"),  # 21:59 there
        ("2026-01-10 21:00", "2026-01-11 06:00"),
        ("2026-01-10 23:30", "2026-01-11 06:00"),
        ("2026-01-11 05:59", "2026-01-11 06:00"),
        ("2026-01-11 06:00", "2026-01-11 06:00"),
    ],
)
def test_quiet_hours_go_across_midnight(moment: str, comes: str):
    assert after_quiet(quiet("22:00", "07:00"), WARSAW, utc(moment)) == utc(comes)


def test_they_may_lie_within_a_day():
    lunch = quiet("12:00", "14:00")
    assert after_quiet(lunch, WARSAW, utc("2026-07-01 10:30")) == utc("2026-07-01 12:00")
    assert after_quiet(lunch, WARSAW, utc("2026-07-01 13:00")) == utc("2026-07-01 13:00")


def test_without_quiet_hours_mail_comes_at_any_time():
    assert after_quiet(MailTimes(), WARSAW, utc("2026-01-10 23:30")) == utc("2026-01-10 23:30")


def test_they_are_the_persons_own():
    night = quiet("22:00", "07:00")
    assert after_quiet(night, NEW_YORK, utc("2026-01-10 23:30")) == utc("2026-01-10 23:30")


@pytest.mark.parametrize(
    ("moment", "comes"),
    [
        ("2026-03-28 23:00", "2026-03-29 05:00"),  # the night has an hour less: 07:00 is at +02:00
        ("2026-10-24 22:00", "2026-10-25 06:00"),  # and an hour more
    ],
)
def test_a_night_in_which_the_clocks_change_ends_by_the_clock(moment: str, comes: str):
    assert after_quiet(quiet("22:00", "07:00"), WARSAW, utc(moment)) == utc(comes)


def test_an_end_that_the_night_skips_comes_as_much_later():
    assert after_quiet(quiet("22:00", "02:30"), WARSAW, utc("2026-03-28 23:00")) == utc("2026-03-29 01:30")


def test_an_end_that_comes_twice_is_never_a_day_away():
    """02:10 for the second time: the clock shows 02:30 in twenty minutes, not tomorrow."""
    assert after_quiet(quiet("22:00", "02:30"), WARSAW, utc("2026-10-25 01:10")) == utc("2026-10-25 01:30")


@pytest.mark.parametrize(
    ("moment", "comes"),
    [
        ("2026-01-10 05:59", "2026-01-10 06:00"),
        ("2026-01-10 06:00", "2026-01-11 06:00"),
        ("2026-03-28 06:00", "2026-03-29 05:00"),
        ("2026-10-24 05:00", "2026-10-25 06:00"),
    ],
)
def test_every_morning_has_one_digest(moment: str, comes: str):
    assert next_digest(MailTimes(), WARSAW, utc(moment)) == utc(comes)
