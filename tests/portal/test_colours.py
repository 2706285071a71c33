"""Every colour that carries text can be read, by day and by night, in every accent: computed, not looked at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

TOKENS = (Path(settings.BASE_DIR) / "static" / "css" / "tokens.css").read_text()
COLOUR = re.compile(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
ACCENTS = re.findall(r'data-accent="(\w+)"', TOKENS)
AA_TEXT, AA_CONTROL = 4.5, 3.0


def palette(accent: str, theme: str) -> dict[str, str]:
    """A token's colour by its name."""
    common = TOKENS[: TOKENS.index("data-accent")]
    (own,) = re.findall(rf'data-accent="{accent}"\] {{(.*)}}', TOKENS)
    return {name: day if theme == "light" else night for name, day, night in COLOUR.findall(common + own)}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("accent", ACCENTS)
def test_colours_can_be_told_apart(accent: str, theme: str):
    colour = palette(accent, theme)
    inks = ("ink", "ink-soft", "accent", "accent-strong")
    texts = [(ink, ground) for ink in inks for ground in ("paper", "card")]
    texts += [(ink, "accent-soft") for ink in ("ink", "ink-soft", "accent-strong")]
    texts += [("on-accent", "accent"), ("on-accent", "accent-strong"), ("ink", "plain-soft"), ("card", "bad")]
    texts += [(tone, f"{tone}-soft") for tone in ("good", "warn", "bad", "info", "plain")]
    texts += [(tone, ground) for tone in ("good", "warn", "bad", "info") for ground in ("paper", "card")]
    assert [pair for pair in texts if _contrast(*(colour[one] for one in pair)) < AA_TEXT] == []
    controls = [("field-line", "card"), ("accent", "card"), ("accent", "paper"), ("accent", "plain-soft")]
    assert [pair for pair in controls if _contrast(*(colour[one] for one in pair)) < AA_CONTROL] == []


def test_scripts_read_every_colour_as_a_colour():
    assert {name for name, _day, _night in COLOUR.findall(TOKENS)} == set(re.findall(r"@property --([\w-]+)", TOKENS))


def _contrast(one: str, other: str) -> float:
    """By WCAG 2: from 1 (the same) to 21 (black on white)."""
    darker, lighter = sorted(map(_luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
