"""A process that can end at any moment, and the store that outlives it.

Whatever a simulated process does to the world passes `Process.step`: a request that leaves, an answer that arrives, a commit. There it can
be ended. From then on nothing that it still tries has an effect, as after `kill -9`; what stands in the store and at the vendors stays, and
a new process goes on from there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from tieline.model.clock import Clock
from tieline.store.database import Database, Transaction, Unit, _Job

T = TypeVar("T")


class Crash(BaseException):
    """The process ended here. Not an `Exception`, because nothing in the process may catch it."""


class Process:
    """One life: from its start until its work is done or it is ended."""

    def __init__(self, dies: Callable[[int, str], bool] = lambda number, what: False) -> None:
        """`dies` is asked at each step, with its number from 1 and what it is, whether the process ends there."""
        self._dies = dies
        self._ended: asyncio.Future[None] | None = None
        self.steps: list[str] = []
        """What it did, step by step."""
        self.dead = False

    def step(self, what: str) -> None:
        """Do something that the world can see. Raises `Crash` when it ends the process, and always once it is dead."""
        if self.dead:
            raise Crash(what)
        self.steps.append(what)
        if self._dies(len(self.steps), what):
            self.end(what)

    def end(self, what: str) -> NoReturn:
        """End the process here."""
        self.dead = True
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        raise Crash(what)

    async def live(self, main: Coroutine[Any, Any, T]) -> T:
        """Do the work and return its result. Raises `Crash` when the process was ended before."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None if self.dead else loop.default_exception_handler(context))
        self._ended = loop.create_future()
        work = asyncio.ensure_future(main)
        ends: set[asyncio.Future[Any]] = {work, self._ended}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not self.dead:
            self._ended.cancel()
            return work.result()
        await _clear_away()
        raise Crash(self.steps[-1])


async def _clear_away() -> None:
    """Cancel all that the dead process left behind, until nothing is left; none of it can do anything any more."""
    tasks: set[asyncio.Task[Any]] = set()
    for _ in range(1000):
        tasks = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    raise RuntimeError(f"tasks that can't be cancelled: {tasks}")


class SimulatedDatabase(Database):
    """The real store, with commits that take virtual time, are made together as by the real writer, and can fail or end the process."""

    def __init__(self, path: Path | str, clock: Clock, process: Process | None = None, *, seconds: float = 0.004) -> None:
        """`seconds` is the longest time that a commit takes. The disk is not waited for: a crash of a process is no power cut."""
        super().__init__(path, threaded=False)
        self._writer.execute("PRAGMA synchronous = OFF")
        self._clock, self.process, self._seconds = clock, process or Process(), seconds
        self._jobs: deque[_Job] = deque()
        self._writing: asyncio.Task[None] | None = None
        self.fails: Callable[[], BaseException | None] = lambda: None
        """Asked before each commit for the error with which it fails."""
        self.committed: Callable[[SimulatedDatabase], None] = lambda db: None
        """Called after each commit, to look at what is durable now."""

    async def commit(self, unit: Unit[T]) -> T:
        """Run a unit and return what it returns, once it is committed."""
        loop = asyncio.get_running_loop()
        job = _Job(unit, loop, loop.create_future())
        self._jobs.append(job)
        if self._writing is None or self._writing.done():
            self._writing = loop.create_task(self._write_waiting())
        result: T = await asyncio.shield(job.done)
        return result

    def close(self) -> None:
        """Finish what was handed in, as the real writer does, then close. What a dead process had in hand is lost."""
        while self._jobs and not self.process.dead:
            self._together([self._jobs.popleft()])
        super().close()

    async def _write_waiting(self) -> None:
        while self._jobs:
            await self._clock.sleep(self._seconds * self._clock.random())
            jobs = list(self._jobs)[:64]
            for _ in jobs:
                self._jobs.popleft()
            self._together(jobs)

    def _one(self, unit: Unit[T]) -> T:
        self.process.step("before a commit")
        error = self.fails()
        if error is not None:
            raise error

        def watched(connection: Transaction) -> T:
            result = unit(connection)
            self.process.step("within a commit")
            return result

        result = super()._one(watched)
        self.committed(self)
        self.process.step("after a commit")
        return result
