"""How fast one person, and one tenant's people together, may ask: far above what pages and their polls need.

Counted in the memory of each web process, so that a poll does not pay for it with a statement. A proxy that limits by
address stands before it for those who are not signed in.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from threading import Lock


class Allowance:
    """So many at once, and from then on so many a second; each key has its own."""

    MOST_KEYS = 10_000

    def __init__(self, at_once: int, a_second: float, clock: Callable[[], float] = time.monotonic):
        self.at_once, self.a_second, self._clock = at_once, a_second, clock
        self._left: dict[Hashable, tuple[float, float]] = {}
        self._lock = Lock()

    def take(self, key: Hashable) -> int:
        """0 = taken; else the whole seconds until there is one. Asking in vain costs nothing of what comes later."""
        with self._lock:
            now = self._clock()
            left = self._left_at(key, now)
            self._left[key] = (left - 1 if left >= 1 else left, now)
            if len(self._left) > self.MOST_KEYS:
                # Who has everything left again need not be remembered.
                self._left = {key: kept for key, kept in self._left.items() if self._left_at(key, now) < self.at_once}
            return 0 if left >= 1 else max(math.ceil((1 - left) / self.a_second), 1)

    def _left_at(self, key: Hashable, now: float) -> float:
        left, at = self._left.get(key, (self.at_once, now))
        return min(self.at_once, left + (now - at) * self.a_second)


OF_A_PERSON = Allowance(at_once=300, a_second=30)
OF_A_TENANT = Allowance(at_once=1500, a_second=150)

# Programs: apart from people, who have their pages still while a pipeline asks without end.
OF_A_TOKEN = Allowance(at_once=60, a_second=5)
OF_A_TENANTS_TOKENS = Allowance(at_once=300, a_second=30)
# Of an address that comes without a good token.
OF_A_STRANGER = Allowance(at_once=30, a_second=0.5)


# Each says how many seconds to wait, for Retry-After; 0 = none.


def wait_of_person(user_id: int, tenant_id: int) -> int:
    return OF_A_PERSON.take(user_id) or OF_A_TENANT.take(tenant_id)


def wait_of_token(token_id: str, tenant_id: int) -> int:
    return OF_A_TOKEN.take(token_id) or OF_A_TENANTS_TOKENS.take(tenant_id)


def wait_of_stranger(address: str | None) -> int:
    return OF_A_STRANGER.take(address)
