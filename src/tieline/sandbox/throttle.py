"""How a vendor limits its callers: requests a second with a burst, and so many at once.

A pure count; the clock's time is handed in. A refused call takes nothing from the budget.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final

_TINY: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Limit:
    """What a vendor accepts."""

    per_second: float
    burst: int
    at_once: int = 1000


class Throttle:
    """A bucket that fills with time; each call takes one out."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.at_once = 0
        self.refused = 0
        self._left = float(limit.burst)
        self._filled_at: float | None = None

    def take(self, now: float) -> float:
        """Take one call out of the budget. Return 0, or the seconds to wait when none is left."""
        if self._filled_at is not None:
            self._left = min(self.limit.burst, self._left + max(0.0, now - self._filled_at) * self.limit.per_second)
        self._filled_at = now
        if self._left < 1 - _TINY:
            return (1 - self._left) / self.limit.per_second
        self._left -= 1
        return 0.0

    def headers(self) -> dict[str, str]:
        """Return what every answer tells about the budget; the reset is in seconds from now."""
        full_in = (self.limit.burst - self._left) / self.limit.per_second
        return {
            "X-RateLimit-Limit": str(self.limit.burst),
            "X-RateLimit-Remaining": str(int(self._left + _TINY)),
            "X-RateLimit-Reset": str(math.ceil(full_in)),
        }

    def retry_after(self, wait_seconds: float, now: float) -> str:
        """Return how long to wait: as whole seconds and as an HTTP date in turn, because both are allowed."""
        self.refused += 1
        if self.refused % 2:
            return str(max(1, math.ceil(wait_seconds)))
        return formatdate(math.ceil(now + wait_seconds), usegmt=True)
