"""A connection's budget: who may call when, within this process and together with every other one that shares the store.

Each priority has a lane, in which callers stand in line. A lane takes small grants (`transport.limits.rate_budget`) from what is shared, a quarter of
a second's worth of calls at most, and lets its callers leave one by one, each at its moment. So a limited connection costs the store a
few short transactions a second, and one without a limit, declared or learned, none: it looks once a second whether another process was told
to wait. A pause is durable before it is waited for, and seen by others with their next grant or look.

A store that is locked, full or slow must not lose a record, and pacing is no reason to stop: this process then goes on with what it last
knew, by itself, and tries the store again after a second. Its limits are kept; those of several processes together may overlap for so long.
A pause that could not be written is tried again each second.

What a wait means for a run is decided above: `take` waits for up to 15 minutes, and raises `RateLimited` when it would be longer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from tieline.config.models.limits import LimitHeaders, RateLimit
from tieline.model.clock import Clock
from tieline.model.errors import StoreError
from tieline.transport.limits import rate_budget
from tieline.transport.limits.headers import NOTHING, Heard, Told, read_limits
from tieline.transport.limits.priority import PRIORITY, Priority
from tieline.transport.limits.priority_queue import Lane
from tieline.transport.limits.rate_budget import Allowance, Closed, Grant, Want
from tieline.transport.limits.windows import LATE_SECONDS, rules_of

T = TypeVar("T")

_LOOK_SECONDS: Final = 1.0
_STORE_SECONDS: Final = 2.0
_RAMP: Final = 4
_GROWTH: Final = 0.25
"""Calls more at once for each that was accepted."""


class SharedAllowances(Protocol):
    """Where allowances are kept, by connection. Each change is alone with its value, and durable when it returns."""

    def peek(self, name: str) -> Allowance | None:
        """Return what is kept, if anything is. Raises `StoreError`."""

    async def change(self, name: str, change: Callable[[Allowance], T]) -> T:
        """Apply a change and return what it returns. Raises `StoreError`."""


class InMemory:
    """Allowances of this process alone."""

    def __init__(self) -> None:
        self.kept: dict[str, Allowance] = {}

    def peek(self, name: str) -> Allowance | None:
        """Return a copy of what is kept."""
        kept = self.kept.get(name)
        return None if kept is None else msgspec.json.decode(msgspec.json.encode(kept), type=Allowance)

    async def change(self, name: str, change: Callable[[Allowance], T]) -> T:
        """Apply a change."""
        return change(self.kept.setdefault(name, Allowance()))


class Budget:
    """Says when a call may leave. One per connection and process."""

    def __init__(
        self,
        limits: Sequence[RateLimit],
        clock: Clock,
        *,
        name: str = "",
        shared: SharedAllowances | None = None,
        headers: Sequence[LimitHeaders] = (),
        concurrency: int = 1000,
    ) -> None:
        """`name` is the connection's in `shared`; `headers` are the vendor's own; `concurrency` is how many calls there are at once."""
        self._rules, self._clock, self.name, self._headers = rules_of(limits), clock, name or "the connection", tuple(headers)
        self._shared = shared or InMemory()
        self._last = Allowance()
        """The allowance as this process last saw it: what it goes on with when the store fails."""
        self._alone_until = 0.0
        self._limited = self._rules.any
        self._looked_at = float("-inf")
        self.paused_until = 0.0
        self.pause_why = ""
        self._unwritten: tuple[float, str] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._lanes: dict[Priority, Lane] = {}
        self._heard: dict[str, Told] = {}
        self._extra = 0.0
        self._in_flight = 0
        self._most_in_flight = float(min(_RAMP, concurrency))
        self._concurrency = concurrency
        self._ramping: deque[asyncio.Future[None]] = deque()
        self._accepted: deque[float] = deque(maxlen=1000)
        self.latency = 0.0

    async def take(self, cost: int = 1) -> float:
        """Wait until a call may leave, account for it, and return the seconds waited. Each is followed by `answered` or `throttled`.

        Raises `RateLimited`, when nothing may leave for so long that no one should wait for it.
        """
        started = self._clock.monotonic()
        if not self._limited:
            if started - self._looked_at >= _LOOK_SECONDS:
                self._look(started)
            while self._unknown and self._in_flight + 1 > self._most_in_flight:
                # Until it is known to take many at once, a vendor without declared limits gets a few, then twice as many, and so on:
                # where there is a limit after all, few meet it.
                waiter = asyncio.get_running_loop().create_future()
                self._ramping.append(waiter)
                await waiter
            if self._unknown:
                self._in_flight += 1
                return self._clock.monotonic() - started
        priority = PRIORITY.get()
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = Lane(self, self._clock, priority)
        await lane.take(cost)
        self._in_flight += 1
        return self._clock.monotonic() - started

    def answered(self, headers: Mapping[str, str] | None, cost: int = 1) -> float | None:
        """Note that a call has ended, without being throttled; return for how long the vendor wants to be left alone, if it says so."""
        self._ended()
        if headers is None:
            return None
        self._accepted.append(self._clock.monotonic())
        if self._most_in_flight < self._concurrency:
            self._most_in_flight += _GROWTH
            self._let_on()
        heard = self.hear(headers)
        if heard.cost is not None:
            self._extra += heard.cost - cost
        return heard.backoff

    def abandoned(self) -> None:
        """Note that a call that was taken has not been made, or no one waits for it any more."""
        self._ended()

    def hear(self, headers: Mapping[str, str]) -> Heard:
        """Take in what headers tell of limits."""
        heard = read_limits(headers, self._headers, self._clock.now())
        if heard is not NOTHING and heard.limits:
            for told in heard.limits:
                self._heard[told.name] = _lower(self._heard.get(told.name), told)
            self._limit()
        return heard

    async def throttled(
        self, seconds: float, why: str = "told to wait", *, took_seconds: float = 0.0, lesson: bool = True, ended: bool = True
    ) -> None:
        """Let nothing leave for some seconds, because the vendor said so; with `lesson`, go slower from then on.

        It holds at once here, and is durable when this returns. `took_seconds` is how long ago the call left; `ended` whether this is the
        end of a call that was taken.
        """
        if ended:
            self._ended()
        now = self._clock.monotonic()
        within = max(1.0, seconds)
        accepted = sum(1 for at in self._accepted if at > now - within) if lesson else None
        if now + seconds > self.paused_until:
            self.paused_until, self.pause_why = now + seconds, why
        elif not lesson:
            return  # what holds already is durable already
        self._limit()
        ends, sent = now + seconds, now - took_seconds

        def change(state: Allowance) -> None:
            left = max(0.0, ends - self._clock.monotonic())
            at = self._clock.now()
            rate_budget.pause(state, at, left, why, accepted=accepted, sent_at=at - (self._clock.monotonic() - sent), rules=self._rules)

        await self._change(change)
        if self._is_alone:
            self._unwritten = ends, why
            if self._writing is None or self._writing.done():
                self._writing = asyncio.create_task(self._write_later())

    async def close(self) -> None:
        """Give back what was granted and not used."""
        unused = sum(lane.unused() for lane in self._lanes.values())
        if (unused and (self._rules.counted or self._last.told)) or self._heard:
            want = Want("backfill", unused=unused, heard=[*self._heard.values()], outstanding=0)
            self._heard.clear()

            def change(state: Allowance) -> None:
                now = self._clock.now()
                rate_budget.touch(state, now)
                rate_budget.settle(state, self._rules, now, want)

            await self._change(change)

    def waiting(self) -> Closed | None:
        """Return until when calls of the present priority wait, and why, as all processes know it; None while they may leave."""
        now, kept = self._clock.now(), None
        with contextlib.suppress(StoreError):
            kept = self._shared.peek(self.name)
        kept = kept or self._last
        rate_budget.touch(kept, now)
        own = Closed(now + self.paused_seconds, self.pause_why) if self.paused_seconds > 0 else None
        waits = (own, kept.pause, kept.waits.get(PRIORITY.get()))
        return max((closed for closed in waits if closed is not None), key=lambda closed: closed.until, default=None)

    @property
    def paused_seconds(self) -> float:
        """How long the pause still lasts, as this process knows it."""
        return max(0.0, self.paused_until - self._clock.monotonic())

    # -- details

    @property
    def _unknown(self) -> bool:
        """Whether no limit is known; another task may learn of one."""
        return not self._limited

    def _ended(self) -> None:
        self._in_flight = max(0, self._in_flight - 1)
        if self._ramping:
            self._let_on()

    def _let_on(self) -> None:
        free = self._most_in_flight - self._in_flight
        while self._ramping and (free >= 1 or self._limited):
            waiter = self._ramping.popleft()
            if not waiter.done():
                waiter.set_result(None)
                free -= 1

    def _limit(self) -> None:
        if not self._limited:
            self._limited = True
            self._let_on()

    def _look(self, now: float) -> None:
        """See whether another process, or an earlier one, has learned of a limit."""
        self._looked_at = now
        with contextlib.suppress(StoreError):
            kept = self._shared.peek(self.name)
            if kept is not None:
                rate_budget.touch(kept, self._clock.now())
                if kept.limited:
                    self._last = kept
                    self._limit()

    def _pause_as_kept(self, state: Allowance) -> None:
        """Take over a pause that another process was told."""
        if state.pause is not None:
            until = self._clock.monotonic() + state.pause.until - self._clock.now()
            if until > self.paused_until:
                self.paused_until, self.pause_why = until, state.pause.why

    async def _write_later(self) -> None:
        """Tell the others of a pause, once the store can be written again."""
        while self._unwritten is not None and self._unwritten[0] > self._clock.monotonic():
            await self._clock.sleep(_LOOK_SECONDS)
            await self._change(lambda state: None)

    async def _change(self, change: Callable[[Allowance], T]) -> T:
        """Change what is shared and return the result; where that fails, change what this process knows (`_is_alone`)."""
        clock = self._clock
        started = clock.monotonic()
        if started >= self._alone_until:

            def shared(state: Allowance) -> tuple[T, Allowance]:
                if self._unwritten is not None:
                    ends, why = self._unwritten
                    if (left := ends - clock.monotonic()) > 0:
                        rate_budget.pause(state, clock.now(), left, why)
                return change(state), state

            try:
                async with asyncio.timeout(_STORE_SECONDS):
                    result, self._last = await self._shared.change(self.name, shared)
            except (StoreError, TimeoutError):
                self._alone_until = clock.monotonic() + _LOOK_SECONDS
            else:
                self._unwritten = None
                self.latency = max(min(clock.monotonic() - started, 1.0), 0.9 * self.latency)
                self._pause_as_kept(self._last)
                return result
        return change(self._last)

    @property
    def _is_alone(self) -> bool:
        return self._clock.monotonic() < self._alone_until

    async def grant(self, want: Want) -> Grant:
        """Get calls for a lane; the moments are on this process's monotonic clock."""
        clock = self._clock
        want.heard, self._heard = [*self._heard.values()], {}
        want.extra, self._extra = self._extra, 0.0
        want.outstanding += self._in_flight
        want.lead_seconds = max(0.0, self.latency - LATE_SECONDS / 2)

        def change(state: Allowance) -> tuple[Grant, float]:
            now = clock.now()
            return rate_budget.grant(state, self._rules, now, want), clock.monotonic() - now

        found, offset = await self._change(change)
        return Grant([at + offset for at in found.moments], found.until + offset, found.why, found.valid_seconds)


def _lower(before: Told | None, told: Told) -> Told:
    """Return what was told last, or before it: answers overtake each other, and the one with less left is the later one of a window."""
    if before is None or before.remaining is None or told.remaining is None or told.remaining <= before.remaining:
        return told
    return before if abs((before.reset or 0.0) - (told.reset or 0.0)) < 1.5 else told
