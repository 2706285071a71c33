"""Why a run failed, out of vProtect's own words for it, and whose turn that makes it."""

from __future__ import annotations

import re
from enum import StrEnum

from vprotect_bridge.models import Alert

Turn = Alert.Turn


class Failure(StrEnum):
    QUOTA = "quota"
    NO_SPACE = "no_space"
    DESTINATION = "destination"
    WINDOW = "window"
    UNREACHABLE = "unreachable"
    MACHINE_GONE = "machine_gone"
    CANCELLED = "cancelled"
    SNAPSHOT = "snapshot"
    UNKNOWN = "unknown"


# API reference, 6.3, 7.7 and 20 (trap 36); the first that fits.
_WORDS: tuple[tuple[str, Failure], ...] = (
    (r"quota", Failure.QUOTA),
    (r"not enough space|no space|disk full", Failure.NO_SPACE),
    (r"destination is not assigned", Failure.DESTINATION),
    (r"window passed|not started", Failure.WINDOW),
    (r"timed? ?out|cannot connect|connection refused|unreachable", Failure.UNREACHABLE),
    (r"not present|does not exist", Failure.MACHINE_GONE),
    (r"cancel", Failure.CANCELLED),
    (r"snapshot", Failure.SNAPSHOT),
)
# The room, the nodes and the way to the platform are the provider's. Of the others nobody can tell from here.
_OF_THE_PROVIDER = {Failure.QUOTA, Failure.NO_SPACE, Failure.DESTINATION, Failure.UNREACHABLE}


def failure_of(said: str) -> Failure:
    """`said`: a backup's `statusInfo`."""
    return next((failure for words, failure in _WORDS if re.search(words, said, re.IGNORECASE)), Failure.UNKNOWN)


def turn_of(said: str) -> Turn:
    return Turn.PROVIDER if failure_of(said) in _OF_THE_PROVIDER else Turn.UNKNOWN
