"""The secret: enough chance, and known by scanners."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tokens.secret import HINT_LENGTH, hash_of, is_well_formed, new_secret


def test_each_is_another_and_of_the_one_shape():
    made = {new_secret() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"vpt_[0-9A-Za-z]{38}", secret) and is_well_formed(secret) for secret in made)


def test_a_scanner_tells_a_look_alike_by_its_checksum():
    secret = new_secret()
    other = "A" if secret[10] != "A" else "B"
    assert not is_well_formed(secret[:10] + other + secret[11:])
    assert not is_well_formed("vpt_" + "0" * 38)
    assert is_well_formed("vpt_" + "0" * 32 + "2wjyrI"), "the checksum that docs/api.md tells scanners of"


@given(st.text(max_size=60))
def test_any_other_text_is_none(text: str):
    assert not is_well_formed(text)


def test_what_is_kept_says_nothing_of_the_secret():
    secret = new_secret()
    assert secret not in hash_of(secret) and len(hash_of(secret)) == 64
    assert len(secret) - HINT_LENGTH > 30, "what is shown to know it again leaves the most of it unknown"
