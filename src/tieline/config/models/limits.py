"""How much an API takes: rate limits, their headers, timeouts, and when it counts as down."""

from __future__ import annotations

from typing import Annotated

from pydantic import PositiveInt, StringConstraints

from tieline.config.models.base import Declared, Length

Percent = Annotated[str, StringConstraints(pattern=r"^\d{1,2}(\.\d+)?\s*%$")]
"""A share of something: `10%`."""


class RateLimit(Declared):
    """How many requests a system accepts in a window."""

    requests: PositiveInt
    """Requests accepted per window."""
    per: Length = 60.0
    """Length of the window. Up to an hour calls are spread evenly over it; longer ones are counted."""
    burst: PositiveInt | None = None
    """How many may come at once, on top of the even spread, where the vendor takes that; unless stated, calls are spread evenly."""
    reserve: PositiveInt | Percent | None = None
    """Of a window longer than an hour: what is left for people who wait, as a number or a share (`10%`). First meetings of many records stop
    before it, ordinary runs leave half of it."""

    @property
    def reserved(self) -> int:
        """The reserve in requests."""
        if isinstance(self.reserve, str):
            return max(1, round(self.requests * float(self.reserve.strip().rstrip("%")) / 100.0))
        return self.reserve or 0


class LimitHeaders(Declared):
    """Headers of the vendor's own in which answers tell of a limit; the usual ones, such as `RateLimit` and `X-RateLimit-Remaining`, are known."""

    limit: str | None = None
    """Header that tells what a window takes."""
    remaining: str | None = None
    """Header that tells what is left of it."""
    used: str | None = None
    """Header that tells what is used; `32/40` in one header tells the limit too."""
    reset: str | None = None
    """Header that tells when the window ends: in seconds, or as a time (seconds or milliseconds since 1970, a date)."""
    per: Length | None = None
    """Length of the window."""
    cost: str | None = None
    """Header that tells what the call really took from the limits."""
    backoff: str | None = None
    """Header by which a vendor asks, on good answers too, to be left alone for so many seconds, such as `Backoff`."""


class Timeouts(Declared):
    """How long a call may take."""

    connect: Length = 10.0
    """Until the connection stands."""
    read: Length = 60.0
    """Between two parts of the answer."""
    total: Length = 300.0
    """For the whole call."""


class BreakerPolicy(Declared):
    """When a system counts as down, and how often it is probed then. While it is down, one call at a time is tried."""

    failures: PositiveInt = 5
    """So many failures in a row, or half of the last twenty calls: the system counts as down."""
    first: Length = 1.0
    """Rest before the first probe; it doubles with each that fails, and the upper half is by chance."""
    longest: Length = 60.0
    """Longest rest between two probes."""
