"""Tasks that take work side by side, as many as there is work for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Workers(Generic[T]):
    """At most so many tasks, begun when they are wanted; one that finds nothing to do waits to be woken."""

    def __init__(
        self, most: int, take: Callable[[], T | None], work: Callable[[T], Awaitable[None]], fail: Callable[[BaseException], None]
    ) -> None:
        """`take` gives what to work on next, or None; `fail` is told the error with which a worker ended."""
        self._most, self._take, self._do, self._fail = most, take, work, fail
        self._idle: deque[asyncio.Future[None]] = deque()
        self.tasks: list[asyncio.Task[None]] = []

    def wake(self, wanted: int) -> None:
        """See that there are so many who look for work now, those that are idle first."""
        while wanted and self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                wanted -= 1
        for _ in range(min(wanted, self._most - len(self.tasks))):
            self.tasks.append(asyncio.create_task(self._work()))

    async def _work(self) -> None:
        try:
            while True:
                taken = self._take()
                if taken is None:
                    waiter = asyncio.get_running_loop().create_future()
                    self._idle.append(waiter)
                    await waiter
                else:
                    await self._do(taken)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run must end and say so
            self._fail(error)
