"""The callers of one priority, in line: each leaves at its moment, in the order in which they came.

A lane asks for grants as they are needed: a little ahead while callers stand in line, so that no one waits for the store; otherwise when one
comes. What could not leave in time has lost its turn, and is told with the next request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from tieline.model.clock import Clock
from tieline.model.errors import RateLimited
from tieline.transport.limits.priority import Priority
from tieline.transport.limits.rate_budget import GRANT_SECONDS, Grant, Want, moment_in_words
from tieline.transport.limits.windows import LATE_SECONDS

MOST_WAIT_SECONDS: Final = 900.0
"""A longer wait is not held through by a process."""
_AHEAD_SECONDS: Final = 0.1
_ASK_AGAIN_SECONDS: Final = 5.0


class Source(Protocol):
    """Where a lane gets its calls. Moments are on this process's monotonic clock."""

    name: str
    paused_until: float
    pause_why: str
    latency: float
    """How long a grant takes, in seconds."""

    async def grant(self, want: Want) -> Grant:
        """Get calls."""


class Lane:
    """The callers of one priority, in line."""

    def __init__(self, source: Source, clock: Clock, priority: Priority) -> None:
        self._source, self._clock, self._priority = source, clock, priority
        self._turn = asyncio.Lock()
        self._moments: deque[float] = deque()
        self._waiting = 0
        """Calls, or points, that are wanted by those in line."""
        self._gone_by = 0
        self._fetching: asyncio.Task[Grant] | None = None
        self._closed: tuple[float, str] | None = None
        self._valid = LATE_SECONDS
        self._quarter, self._used, self._used_before = 0, 0, 0

    async def take(self, cost: int) -> None:
        """Wait for one's turn. Raises `RateLimited` when it is too far away."""
        self._waiting += cost
        try:
            if self._turn.locked() or not self._may_leave(self._clock.monotonic(), cost):
                async with self._turn:
                    await self._take(cost)
        finally:
            self._waiting -= cost

    def unused(self) -> int:
        """Give up what was granted and has not left; return how much it was."""
        unused = len(self._moments) + self._gone_by
        self._moments.clear()
        self._gone_by = 0
        return unused

    async def _take(self, cost: int) -> None:
        clock, moments, source = self._clock, self._moments, self._source
        while True:
            now = clock.monotonic()
            if self._closed is not None and self._closed[0] <= now:
                self._closed = None
            pause = source.paused_until
            if pause > now or self._closed is not None:
                until, why = (pause, source.pause_why) if pause > now else self._closed or (pause, "")
                if until - now > MOST_WAIT_SECONDS:
                    raise self._too_long(until - now, why)
                await clock.sleep(min(until - now, _ASK_AGAIN_SECONDS) if pause <= now else until - now)
                if pause <= now:
                    self._closed = None  # perhaps there is more by now
                continue
            if self._may_leave(now, cost):
                return
            if len(moments) < cost:
                await self._fetch(cost)
            else:
                if moments[-1] - now < _AHEAD_SECONDS + source.latency and self._waiting > cost:
                    self._fetch_ahead()
                await clock.sleep(moments[0] - now)

    def _may_leave(self, now: float, cost: int) -> bool:
        """Whether a call may leave now; it is accounted for then."""
        moments, source = self._moments, self._source
        if self._closed is not None or source.paused_until > now:
            return False
        while moments and moments[0] < now - self._valid:
            moments.popleft()
            self._gone_by += 1
        if len(moments) < cost or moments[0] > now:
            return False
        for _ in range(cost):
            moments.popleft()
        self._note_use(now, cost)
        if self._waiting > cost and (not moments or moments[-1] - now < _AHEAD_SECONDS + source.latency):
            self._fetch_ahead()
        return True

    def _note_use(self, now: float, cost: int) -> None:
        quarter = int(now / GRANT_SECONDS)
        if quarter != self._quarter:
            self._used_before = self._used if quarter == self._quarter + 1 else 0
            self._quarter, self._used = quarter, 0
        self._used += cost

    def _fetch_ahead(self) -> None:
        if len(self._moments) >= self._waiting:
            return
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._granted(1))

    async def _fetch(self, cost: int) -> None:
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._granted(cost - len(self._moments)))
        found = await asyncio.shield(self._fetching)
        if found.moments:
            now = self._clock.monotonic()
            if found.moments[-1] < now - self._valid and self._moments:
                for place in range(1, min(cost, len(self._moments)) + 1):
                    self._moments[-place] = now  # all of them are gone by: one call may leave, or none ever would
            return
        now = self._clock.monotonic()
        if found.why is None:
            await self._clock.sleep(max(0.01, found.until - now))
        elif found.until > now:
            self._closed = found.until, found.why

    async def _granted(self, least: int) -> Grant:
        recent = max(self._used, self._used_before)
        want = Want(
            self._priority,
            least=max(1, least),
            most=max(self._waiting - len(self._moments), recent, least),
            unused=self._gone_by,
            outstanding=len(self._moments),
        )
        self._gone_by = 0
        found = await self._source.grant(want)
        if found.moments:
            self._valid = found.valid_seconds
        self._moments.extend(found.moments)
        return found

    def _too_long(self, wait: float, why: str) -> RateLimited:
        until = self._clock.now() + wait
        error = RateLimited(f"{self._source.name} waits until {moment_in_words(until)}: {why}", retry_after=wait, text=why)
        error.next_step = "nothing; a run after that time goes on"
        return error
