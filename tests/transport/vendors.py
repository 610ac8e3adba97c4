"""Vendors that count calls in ways of their own, and processes that call them as fast as their budgets let them, in virtual time."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from tieline.config.models.limits import RateLimit
from tieline.model.errors import StoreError
from tieline.testing import ManualClock
from tieline.testing.vendor import Headers
from tieline.transport.limits.budget import Budget, InMemory
from tieline.transport.limits.rate_budget import Allowance

T = TypeVar("T")


class Counts(Protocol):
    """A way of counting."""

    def takes(self, now: float) -> bool:
        """Whether a call that arrives now is accepted."""

    def retry_after(self, now: float) -> float:
        """How long a refused one is told to wait."""

    def headers(self, now: float) -> dict[str, str]:
        """What an answer tells."""


class FixedWindow:
    """So many in each window, which begin at whole multiples of their length."""

    def __init__(self, requests: int, per: float) -> None:
        self.requests, self.per, self.counts = requests, per, Counter[int]()

    def takes(self, now: float) -> bool:
        if self.counts[int(now / self.per)] >= self.requests:
            return False
        self.counts[int(now / self.per)] += 1
        return True

    def retry_after(self, now: float) -> float:
        return float(math.ceil(self.per - now % self.per))

    def headers(self, now: float) -> dict[str, str]:
        left = self.requests - self.counts[int(now / self.per)]
        reset = math.ceil(self.per - now % self.per)
        return {"X-RateLimit-Limit": str(self.requests), "X-RateLimit-Remaining": str(left), "X-RateLimit-Reset": str(reset)}


class LeakyBucket:
    """nginx's limit_req: a steady drain, and so many above it."""

    def __init__(self, requests: int, burst: int) -> None:
        self.requests, self.burst, self.excess, self.at = requests, burst, -1.0, 0.0

    def takes(self, now: float) -> bool:
        excess = max(0.0, self.excess - (now - self.at) * self.requests + 1.0)
        if excess > self.burst:
            return False
        self.excess, self.at = excess, now
        return True

    def retry_after(self, now: float) -> float:
        return 1.0

    def headers(self, now: float) -> dict[str, str]:
        return {}


class SlowStore(InMemory):
    """A store whose commits take a while, and which can fail."""

    def __init__(self, clock: ManualClock, seconds: float = 0.02) -> None:
        super().__init__()
        self.clock, self.seconds, self.random = clock, seconds, random.Random(1)
        self.changes = self.peeks = 0
        self.fails = False

    def peek(self, name: str) -> Allowance | None:
        self.peeks += 1
        if self.fails:
            raise StoreError("the store is locked (pretended)")
        return super().peek(name)

    async def change(self, name: str, change: Callable[[Allowance], T]) -> T:
        await self.clock.sleep(self.random.uniform(0.1, 1.0) * self.seconds)
        if self.fails:
            raise StoreError("the store is locked (pretended)")
        self.changes += 1
        result = await super().change(name, change)
        self.kept[name] = self.peek_copy(name)
        await self.clock.sleep(self.random.uniform(0.1, 1.0) * self.seconds)
        return result

    def peek_copy(self, name: str) -> Allowance:
        kept = super().peek(name)
        assert kept is not None
        return kept


class Trial:
    """A vendor, and processes that call it for some time."""

    def __init__(
        self, vendor: Counts, *limits: RateLimit, processes: int = 1, workers: int = 32, tells: bool = False, seed: int = 1
    ) -> None:
        self.vendor, self.limits, self.processes, self.workers, self.tells = vendor, limits, processes, workers, tells
        self.clock, self.random = ManualClock(seed=seed), random.Random(seed)
        self.store = SlowStore(self.clock)
        self.accepted = self.refused = 0
        self.by_process: Counter[int] = Counter()

    def run(self, seconds: float) -> Trial:
        """Let them call."""
        self.clock.run(self._run(seconds))
        return self

    @property
    def share_refused(self) -> float:
        """Share of the answers that were 429."""
        return self.refused / (self.accepted + self.refused)

    async def _run(self, seconds: float) -> None:
        until = self.clock.monotonic() + seconds
        budgets = [self.budget() for _ in range(self.processes)]
        await asyncio.gather(*(self._work(number, budget, until) for number, budget in enumerate(budgets) for _ in range(self.workers)))

    def budget(self, limits: Sequence[RateLimit] | None = None, **more: Any) -> Budget:
        """Make the budget of another process."""
        declared = self.limits if limits is None else limits
        return Budget(declared, self.clock, name="vendor", shared=self.store, **{"concurrency": self.workers, **more})

    async def _work(self, number: int, budget: Budget, until: float) -> None:
        clock = self.clock
        while True:
            await budget.take()
            sent = clock.monotonic()
            if sent >= until:
                return
            await clock.sleep(self.random.uniform(0.001, 0.01))
            accepted = self.vendor.takes(clock.monotonic())
            headers = Headers(self.vendor.headers(clock.monotonic()) if self.tells else {})
            wait = self.vendor.retry_after(clock.monotonic())
            await clock.sleep(self.random.uniform(0.001, 0.01))
            if accepted:
                self.accepted += 1
                self.by_process[number] += 1
                budget.answered(headers)
            else:
                self.refused += 1
                budget.hear(headers)
                await budget.throttled(wait, took_seconds=clock.monotonic() - sent)
