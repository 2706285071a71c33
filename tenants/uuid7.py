"""UUIDs that sort by time (RFC 9562): new rows land at the end of the index."""

import os
import time
from datetime import datetime
from uuid import UUID


def uuid7() -> UUID:
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds << 80) | (0x7 << 76) | ((random >> 68) & 0xFFF) << 64
    return UUID(int=value | (0b10 << 62) | (random & ((1 << 62) - 1)))


def first_uuid7_of(moment: datetime) -> UUID:
    """No key made before `moment` (aware) is larger: what is older, or newer, is read from the primary key's index."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
