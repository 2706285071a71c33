"""Times in words, in the grammar of each language."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone, translation

from portal import dates


@pytest.mark.parametrize(
    ("language", "passed", "words"),
    [
        ("en", timedelta(seconds=-2), "now"),
        ("en", timedelta(hours=-1, minutes=-2), "1 hour ago"),
        ("en", timedelta(days=-3, hours=-8), "3 days ago"),
        ("en", timedelta(hours=-40), "40 hours ago"),
        ("de", timedelta(hours=-47, minutes=-59), "vor 47 Stunden"),
        ("en", timedelta(hours=-48, minutes=-1), "2 days ago"),
        ("en", timedelta(days=-13), "13 days ago"),
        ("en", timedelta(days=-59), "8 weeks ago"),
        ("en", timedelta(days=-700), "23 months ago"),
        ("en", timedelta(minutes=-59, seconds=-58), "59 minutes ago"),
        ("en", timedelta(hours=14, minutes=1), "in 14 hours"),
        ("de", timedelta(days=-1, hours=-9), "vor 33 Stunden"),
        ("en", timedelta(minutes=59, seconds=58), "in 60 minutes"),
        ("de", timedelta(days=-3, hours=-8), "vor 3 Tagen"),
        ("de", timedelta(days=10), "in 10 Tagen"),
        ("de", timedelta(days=21), "in 3 Wochen"),
    ],
)
def test_how_long_ago_is_said_in_its_largest_unit(language: str, passed: timedelta, words: str):
    with translation.override(language):
        assert dates.ago(timezone.now() + passed) == words


def test_a_language_without_grammar_of_times_gets_the_english_one():
    with translation.override("tlh"):
        assert dates.ago(timezone.now() - timedelta(hours=2)) == "2 hours ago"
