"""A connection's budget: what may still be called, over all its limits at once.

Short windows are paced evenly with a small burst (GCRA, the leaky bucket as a meter), because vendors count in windows of their own and
a burst at a boundary is what earns a 429. Windows longer than an hour are counted. A 429 pauses the whole connection for as long as the
vendor said, and, where the declared limits did not prevent it, teaches a pace of its own (`_Learned`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from tieline.model.clock import Clock
from tieline.spec.connectors import RateLimit

_COUNTED_FROM = 3600.0


class Budget:
    """Says how long to wait before the next call. One per connection, shared by everything that uses it."""

    def __init__(self, limits: Sequence[RateLimit], clock: Clock) -> None:
        self._clock = clock
        self._learned = _Learned()
        self._windows: list[_Counted | _Paced] = [_Counted(limit) if limit.per > _COUNTED_FROM else _Paced(limit) for limit in limits]
        self._paused_until = 0.0
        self.waited_seconds = 0.0

    async def take(self, cost: int = 1) -> float:
        """Wait until a call may leave, account for it, and return the seconds waited."""
        waited = 0.0
        while (wait := self._wait(cost)) > 0:
            waited += wait
            await self._clock.sleep(wait)
        now = self._clock.monotonic()
        for window in self._windows:
            window.take(now, cost)
        self._learned.take(now, cost)
        self.waited_seconds += waited
        return waited

    def throttled(self, seconds: float) -> None:
        """Let nothing leave for some seconds, because the vendor said so, and go slower from then on."""
        now = self._clock.monotonic()
        self._paused_until = max(self._paused_until, now + seconds)
        self._learned.throttled(now, self._paused_until)

    def accepted(self) -> None:
        """Note that a call was not throttled."""
        self._learned.accepted(self._clock.monotonic())

    @property
    def paused_seconds(self) -> float:
        """How long the pause still lasts."""
        return max(0.0, self._paused_until - self._clock.monotonic())

    def _wait(self, cost: int) -> float:
        if not self._windows and not self._paused_until:
            return 0.0
        now = self._clock.monotonic()
        return max([self._paused_until - now, self._learned.wait(now), *(window.wait(now, cost) for window in self._windows)])


class _Paced:
    """GCRA: calls are `per / requests` apart, and up to `burst` may come early."""

    def __init__(self, limit: RateLimit) -> None:
        self._interval = limit.per / limit.requests
        burst = limit.burst or max(1, limit.requests // 10)
        self._tolerance = self._interval * (burst - 1)
        self._next = 0.0

    def wait(self, now: float, cost: int) -> float:
        return self._next - self._tolerance - now

    def take(self, now: float, cost: int) -> None:
        self._next = max(self._next, now) + self._interval * cost


class _Counted:
    """At most `requests` in any window of `per` seconds."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._taken: deque[tuple[float, int]] = deque()
        self._total = 0

    def wait(self, now: float, cost: int) -> float:
        while self._taken and self._taken[0][0] <= now - self._limit.per:
            self._total -= self._taken.popleft()[1]
        if self._total + cost <= self._limit.requests or not self._taken:
            return 0.0
        return self._taken[0][0] + self._limit.per - now

    def take(self, now: float, cost: int) -> None:
        # Calls of the same second share an entry: the deque is bounded by the window's seconds.
        if self._taken and now - self._taken[-1][0] < 1.0:
            at, sum_ = self._taken[-1]
            self._taken[-1] = (at, sum_ + cost)
        else:
            self._taken.append((now, cost))
        self._total += cost


class _Learned:
    """A pace found from 429s, for vendors that declare nothing, or less than they enforce.

    Until the first 429 there is none. Then the calls that were accepted in the second before it are the first guess; while no further 429
    comes it grows each second, by half at first, by a hundredth once a 429 has shown where the limit is. Each 429 takes a tenth off.
    """

    def __init__(self) -> None:
        self._rate: float | None = None
        self._found = False
        self._next = 0.0
        self._judged_at = 0.0
        self._accepted: deque[float] = deque(maxlen=1000)

    def accepted(self, now: float) -> None:
        if self._rate is None:
            self._accepted.append(now)

    def throttled(self, now: float, resume_at: float) -> None:
        if self._rate is None:
            self._rate = float(max(1, sum(1 for at in self._accepted if at > now - 1.0)))
        elif now > self._judged_at:  # calls that were under way together are one lesson
            self._rate = max(0.1, self._rate * (0.9 if self._found else 0.7))
            self._found = True
        self._judged_at = resume_at + 0.1
        self._next = max(self._next, resume_at)

    def wait(self, now: float) -> float:
        return 0.0 if self._rate is None else self._next - now

    def take(self, now: float, cost: int) -> None:
        if self._rate is None:
            return
        if now - self._judged_at >= 1.0:
            self._rate *= 1.01 if self._found else 1.5
            self._judged_at = now
        self._next = max(self._next, now) + cost / self._rate
