"""The secret itself: `vpt_`, 32 random signs, and six by which a scanner knows a real one from a look-alike.

    vpt_[0-9A-Za-z]{38}

190 bits of chance. Only its SHA-256 is kept: with so much chance nobody finds it again, however fast the hash is.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib

PREFIX = "vpt_"
HINT_LENGTH = len(PREFIX) + 4
_SIGNS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM, _CHECKSUM = 32, 6
_SHAPE = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{_RANDOM}}})([0-9A-Za-z]{{{_CHECKSUM}}})")


def new_secret() -> str:
    chance = "".join(secrets.choice(_SIGNS) for _ in range(_RANDOM))
    return f"{PREFIX}{chance}{_checksum(chance)}"


def is_well_formed(text: str) -> bool:
    """Whether it could be one of ours; tells nothing of whether it is."""
    found = _SHAPE.fullmatch(text)
    return found is not None and _checksum(found[1]) == found[2]


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(chance: str) -> str:
    """The CRC-32 of the random signs, in the same alphabet."""
    number, signs = zlib.crc32(chance.encode()), ""
    for _ in range(_CHECKSUM):
        number, place = divmod(number, len(_SIGNS))
        signs = _SIGNS[place] + signs
    return signs
