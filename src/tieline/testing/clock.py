"""Time that passes only when everybody waits: a year of retries in a second, and always the same year.

`ManualClock.run` runs a coroutine in an event loop whose time is the clock's. When no task can go on, the clock jumps to the moment at
which the next one wakes, so that sleeps, `asyncio.timeout` and deadlines agree with each other. When no one will ever wake, `Stuck` says who
waits where; with the real clock that would be a test that hangs.

A store has to be opened with `threaded=False`: a loop that jumps can't know that a thread is at work.
"""

from __future__ import annotations

import asyncio
import io
import random
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

T = TypeVar("T")

_MOST_TURNS: Final = 500_000
"""Turns of the loop without time passing, after which it is said to spin."""


class Stuck(RuntimeError):
    """Every task waits for something that will not happen, or the loop spins without time passing."""


class ManualClock:
    """A `Clock` that is moved by hand, or by the loop that it runs."""

    def __init__(self, start: float = 1_780_000_000.0, *, seed: int = 0) -> None:
        """`start` is seconds since 1970 (UTC); `seed` decides what `random` returns."""
        self._start = start
        self._set_back_seconds = 0.0
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.elapsed_seconds = 0.0
        """How much time has passed since the clock was made."""

    def now(self) -> float:
        """Return seconds since 1970 (UTC)."""
        return self._start + self.elapsed_seconds

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return self.elapsed_seconds

    def random(self) -> float:
        """Return a number in [0, 1)."""
        return self._random.random()

    async def sleep(self, seconds: float) -> None:
        """Wait until the time has come; nothing happens in reality."""
        until = self.elapsed_seconds + max(0.0, seconds)
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop) or loop.clock is not self:
            raise RuntimeError("this clock does not move by itself: use `clock.run(…)`, or `await` within it")
        await asyncio.sleep(seconds)
        # A loop wakes its sleepers up to a nanosecond early; whoever computes with the difference would wait for ever.
        self.elapsed_seconds = max(self.elapsed_seconds, until)

    def advance(self, seconds: float) -> None:
        """Let time pass between two runs."""
        self.elapsed_seconds += seconds

    def set_back(self, seconds: float) -> None:
        """Set the wall clock back, as a careless administrator does; `monotonic` goes on, and so do the clocks of other machines."""
        self._start -= seconds
        self._set_back_seconds += seconds

    @property
    def elsewhere(self) -> Elsewhere:
        """The clock of another machine: the same time, but whoever sets this one back does not touch that one."""
        return Elsewhere(self)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end in the time of this clock and return what it returns."""
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(self)) as runner:
            return runner.run(main)


class Elsewhere:
    """Another machine's clock, moved by the same hand; see `ManualClock.elsewhere`."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.monotonic, self.random, self.sleep = clock.monotonic, clock.random, clock.sleep

    def now(self) -> float:
        """Return seconds since 1970 (UTC)."""
        return self._clock.now() + self._clock._set_back_seconds


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that never waits: where another would sleep, it moves its clock."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        super().__init__(_Jumping(clock, self._who_waits))

    def time(self) -> float:
        """Return the clock's time."""
        return self.clock.elapsed_seconds

    def _who_waits(self) -> str:
        text = io.StringIO()
        for task in asyncio.all_tasks(self):
            task.print_stack(limit=4, file=text)
        return text.getvalue()


class _Jumping(selectors.BaseSelector):
    """A selector that does not wait."""

    def __init__(self, clock: ManualClock, who_waits: Callable[[], str]) -> None:
        self._clock, self._who_waits = clock, who_waits
        self._real = selectors.DefaultSelector()
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            ready = self._real.select(0)
            if ready:
                return ready
            if timeout is None:
                raise Stuck(f"everybody waits, and nothing will wake them:\n{self._who_waits()}")
            self._clock.elapsed_seconds += timeout
            self._turns = 0
            return ready
        self._turns += 1
        if self._turns > _MOST_TURNS:
            raise Stuck(f"the loop turns without time passing:\n{self._who_waits()}")
        return self._real.select(0)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()
