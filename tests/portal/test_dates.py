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
        ("en", timedelta(hours=14, minutes=1), "in 14 hours"),
        ("de", timedelta(days=-1, hours=-9), "vor 1 Tag"),
        ("de", timedelta(days=-3, hours=-8), "vor 3 Tagen"),
        ("de", timedelta(days=10), "in 1 Woche"),
    ],
)
def test_how_long_ago_is_said_in_its_largest_unit(language: str, passed: timedelta, words: str):
    with translation.override(language):
        assert dates.ago(timezone.now() + passed) == words


def test_a_language_without_grammar_of_times_gets_the_english_one():
    with translation.override("tlh"):
        assert dates.ago(timezone.now() - timedelta(hours=2)) == "2 hours ago"
