"""Declared limits as rules: short windows are paced, long ones counted.

Paced evenly (GCRA, the leaky bucket as a meter: ITU-T I.371), because vendors count in windows of a phase of their own, and a burst at a
boundary is what earns a 429; only a declared burst comes on top. The pace is a touch slower than declared, so that calls which the network bunches do
not make a vendor's window overflow. Counted in rolling buckets, a hundredth of the window each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from tieline.model.clock import COUNTED_FROM_SECONDS
from tieline.transport.limits.priority import Priority

if TYPE_CHECKING:
    from tieline.config.models.limits import RateLimit

LATE_SECONDS: Final = 0.1
"""How late a call may leave without losing its turn."""
_BUCKETS: Final = 100
_SLACK: Final = 0.015
_MOST_SLACK_SECONDS: Final = 0.05


class Paced(msgspec.Struct, frozen=True):
    """Calls are `interval` seconds apart."""

    key: str
    interval: float
    early: float = 0.0
    """Seconds that a call may come before its turn: a declared burst."""
    late: float = 0.0
    """Seconds of lateness that are made up for; who comes later was idle, and begins again."""
    requests: float = 0.0
    per: float = 0.0

    def moment(self, turn: float, start: float) -> float:
        """Return when a call whose turn it is may leave, not before `start`."""
        return max(start, turn - self.early)

    def following(self, turn: float, at: float) -> float:
        """Return the turn of the next call, after one that leaves at `at`."""
        return (turn if turn >= at - self.late else at) + self.interval


class Counted(msgspec.Struct, frozen=True):
    """At most `requests` in any window of `per` seconds, of which some are kept for who is more urgent."""

    key: str
    requests: int
    per: float
    reserve: int

    @property
    def bucket_seconds(self) -> float:
        """Length of a bucket."""
        return self.per / _BUCKETS

    def kept(self, priority: Priority) -> int:
        """Return how much is not for this priority: the reserve for backfill, half of it for what is live."""
        return {"interactive": 0, "live": self.reserve // 2, "backfill": self.reserve}[priority]


class Rules(msgspec.Struct, frozen=True):
    """The declared limits of a connection."""

    paced: tuple[Paced, ...] = ()
    counted: tuple[Counted, ...] = ()

    @property
    def any(self) -> bool:
        """Whether anything is declared."""
        return bool(self.paced or self.counted)


NO_RULES: Final = Rules()
"""Nothing is declared."""


def rules_of(limits: Sequence[RateLimit]) -> Rules:
    """Return the rules of declared limits. Their keys are their lengths, so that a changed number of requests forgets nothing."""
    paced: list[Paced] = []
    counted: list[Counted] = []
    for limit in limits:
        key = f"{limit.per:g}"
        if limit.per > COUNTED_FROM_SECONDS:
            counted.append(Counted(key, limit.requests, limit.per, limit.reserved))
        else:
            paced.append(paced_at(key, limit.requests, limit.per, limit.burst))
    return Rules(tuple(paced), tuple(counted))


def paced_at(key: str, requests: float, per: float, burst: int | None = None) -> Paced:
    """Return the rule of a paced window. Without a `burst` calls are evenly spread, and only lateness is made up for."""
    interval = (per + min(_SLACK * per, _MOST_SLACK_SECONDS)) / requests
    return Paced(
        key, interval, early=interval * (burst - 1) if burst else 0.0, late=min(per / 10.0, LATE_SECONDS), requests=requests, per=per
    )
