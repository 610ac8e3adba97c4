"""A system that is down, as the breaker leaves it and people are told."""

from __future__ import annotations

import msgspec


class Outage(msgspec.Struct, frozen=True):
    """What must not be forgotten about a system that is down. Times are seconds since 1970 (UTC)."""

    since: float
    until: float
    """When it is probed next."""
    rests: int
    """How many times it was probed in vain; each doubles the rest."""
    why: str
    """The failure that opened the breaker, or the latest probe's."""
