"""The circuit breaker of a connection: while a system is down, it is probed by one call at a time instead of being hammered by all.

    closed ──(failures in a row, or half of the last calls)──▶ open ──(its rest is over)──▶ half-open: one probe
      ▲                                                         ▲                              │
      └──────────────(an answer, and room grows call by call)───┴──(the rest doubles)──────────┘

A failure is a call without an answer, or with one that says that the system can't (5xx). Any other answer, a refusal too, proves it alive.
What it knows is handed to `save` whenever the system goes down or comes back, so that a restart in the middle neither hurries nor forgets.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from tieline.config.models.limits import BreakerPolicy
from tieline.model.clock import Clock, believed, sleep_unless
from tieline.model.errors import CircuitOpen
from tieline.transport.limits.rate_budget import moment_in_words
from tieline.transport.outages import Outage

_JUDGED: Final = 20
"""So many of the latest calls are looked at for the share of failures."""
_LONG_SECONDS: Final = 60.0


class Breaker:
    """Says whether a call may leave, and learns from what came of it. One per connection, shared by everything that uses it."""

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        most_at_once: int,
        clock: Clock,
        *,
        known: Outage | None = None,
        save: Callable[[Outage | None], None] = lambda outage: None,
    ) -> None:
        """`most_at_once` is how many calls may be under way; `known` is the outage that an earlier process saw."""
        self._name, self._policy, self._most, self._clock = name, policy, most_at_once, clock
        self._save = save
        if known is not None:
            now = clock.now()
            until = believed(known.until, now, policy.longest)
            known = Outage(believed(known.since, now, 0.0), until, known.rests, known.why)
        self.outage: Outage | None = known
        """What is known while the system is down."""
        self._rest_until = 0.0
        if known is not None:
            self._rest_until = clock.monotonic() + max(0.0, known.until - clock.now())
        self._probe = self._probes = 0
        self._in_a_row = 0
        self._latest: deque[bool] = deque(maxlen=_JUDGED)
        self._room = most_at_once if known is None else 1
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._changed = asyncio.Event()

    async def enter(self, *, at_once: bool = False) -> int:
        """Wait for room, and take it; return the number of this probe, or 0. Raises `CircuitOpen` while the system is down and it is no probe.

        With `at_once`, it is the probe even if the rest is not over: someone asks whether the system is back.
        """
        while self._under_way >= self._room and self.outage is None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake(1)  # it was this one's turn: the next one takes it
                raise
        if self.outage is not None:
            rest = self._rest_until - self._clock.monotonic()
            if self._probe or (rest > 0 and not at_once):
                raise CircuitOpen(self._words(rest), wait_seconds=0.0 if self._probe else rest)
            self._probes += 1
            self._probe = self._probes
        self._under_way += 1
        return self._probe

    def answered(self) -> None:
        """Give the room back: the system has answered, if only with a refusal."""
        self._under_way -= 1
        if self.outage is not None:
            # The probe, or a call that was under way when the others failed: whatever answers is back.
            self.outage, self._probe, self._room = None, 0, 1
            self._latest.clear()
            self._save(None)
            self._tell()
        elif self._room < self._most:
            self._room += 1  # the end of an outage is no stampede: each answer makes room for one more
            self._wake(1)
        self._in_a_row = 0
        self._latest.append(False)
        self._wake(1)

    def failed(self, why: str, *, probe: int) -> None:
        """Give the room back: the system has not answered, or that it can't. The probe of an earlier outage says nothing about this one."""
        self._under_way -= 1
        self._in_a_row += 1
        self._latest.append(True)
        if probe and probe == self._probe and self.outage is not None:
            self._open(self.outage.since, self.outage.rests + 1, why)
        elif self.outage is None and self._is_down():
            self._open(self._clock.now(), 0, why)
        self._wake(1)

    def given_up(self, *, probe: int) -> None:
        """Give the room back: the caller did not wait for the answer, which proves nothing."""
        self._under_way -= 1
        if probe and probe == self._probe:
            self._probe = 0
            self._tell()
        self._wake(1)

    @property
    def is_open_for_long(self) -> bool:
        """Whether the system has been down for a while, and was probed in vain: it is for the next run to try again."""
        return self.outage is not None and self.outage.rests > 0 and self._clock.now() - self.outage.since >= _LONG_SECONDS

    async def until_it_may_pass(self) -> None:
        """Wait until a call may be tried: as a probe, or because the system is back."""
        while self.outage is not None:
            rest = self._rest_until - self._clock.monotonic()
            if self._probe:
                await self._changed.wait()
            elif rest > 0:
                await sleep_unless(self._clock, rest, self._changed)
            else:
                return

    # -- details

    def _is_down(self) -> bool:
        if self._in_a_row >= self._policy.failures:
            return True
        return len(self._latest) == _JUDGED and sum(self._latest) * 2 >= _JUDGED

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _open(self, since: float, rests: int, why: str) -> None:
        policy = self._policy
        full = min(policy.longest, policy.first * 2.0 ** min(rests, 32))
        rest = full * (0.5 + 0.5 * self._clock.random())
        self._rest_until = self._clock.monotonic() + rest
        self.outage = Outage(since, self._clock.now() + rest, rests, why)
        self._probe, self._room = 0, 1
        self._save(self.outage)
        self._tell()
        self._wake(len(self._waiting))

    def _wake(self, count: int) -> None:
        while self._waiting and count > 0:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    def _words(self, rest: float) -> str:
        outage = self.outage
        assert outage is not None
        due_at = self._clock.now() + max(0.0, rest)  # a time: what is said here may be read later
        when = "a probe is on its way" if self._probe else f"the next probe is due at {moment_in_words(due_at)}"
        return f"{self._name} is down ({outage.why}); nothing is sent to it before it answers again: {when}"
