"""Trying again within a run: what waits, for how long, and in calls of which size; what can't wait stays owed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tieline.dialects.dialect import System
from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.ledger import Ledger
from tieline.engine.deliver.dispositions import reason_of
from tieline.engine.deliver.queue import Line
from tieline.engine.deliver.resolution import LONGEST_FOR_LAG
from tieline.model import events
from tieline.model.clock import sleep_unless
from tieline.model.errors import NotThere, OutcomeUnknown, Passing, RateLimited, RemoteError, TielineError, Unshown
from tieline.store.delivery import Delivery
from tieline.transport.retry import wait_seconds

LeaveOwed = Callable[[Sequence[Delivery], TielineError | None], Awaitable[None]]
"""Lets deliveries stay owed, and why; without a reason, for the one for which they have been so far."""

_LONGEST_WAIT = 300.0
"""Seconds that one delivery may have to wait within a run; with more, it stays owed."""


def waits_for_lag(delivery: Delivery) -> bool:
    """Whether a delivery is owed because reads may be behind."""
    return delivery.why.get("kind") in (Unshown.kind, NotThere.kind)


def waits_as_told(delivery: Delivery) -> bool:
    """Whether a delivery is owed because the vendor said when to try again, which may be later than any wait of ours."""
    return delivery.why.get("kind") in (Passing.kind, RateLimited.kind)


class Retries:
    """Puts deliveries back to the front of the line once their time has come."""

    def __init__(
        self,
        job: CompiledIntegration,
        target: System,
        ledger: Ledger,
        line: Line,
        *,
        batch_size: Callable[[str], int],
        halt: Callable[[TielineError], None],
        leave_owed: LeaveOwed,
        over: Callable[[], None],
    ) -> None:
        """`halt` ends the sending, and calls `cut_short`; `over` is called whenever a wait is over."""
        self._policy, self._target, self._ledger, self._line = job.spec.retry, target, ledger, line
        self._batch_size, self._halt, self._leave_owed, self._over = batch_size, halt, leave_owed, over
        self._halted = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        self.waiting = 0
        """How many wait because they failed: many of them hold up new ones, for the destination is in trouble."""

    def cut_short(self) -> None:
        """Let nothing wait any longer: no more is sent in this run."""
        self._halted.set()

    async def try_again(self, deliveries: Sequence[Delivery], error: RemoteError) -> None:
        """Let deliveries that failed together wait and go again, as often as `retry` says; the others stay owed."""
        policy, clock = self._policy, self._ledger.clock
        # Attempts of earlier runs count for the wait: a restart does not hurry.
        told = (error.retry_after or 0.0) if isinstance(error, Passing) else 0.0
        wait: Callable[[], float] = lambda: max(  # noqa: E731
            told, wait_seconds(max(1, *(d.attempts for d in deliveries)), policy, clock.random())
        )
        due_at = clock.now() + wait()
        for delivery in deliveries:
            # A request that has left may have been done, even if the answer was an error page.
            delivery.doubt = delivery.doubt or isinstance(error, OutcomeUnknown) or (delivery.operation == "create" and error.perhaps_done)
            delivery.due_at = due_at
        again = [delivery for delivery in deliveries if delivery.tries < policy.attempts]
        if not again and len(deliveries) > 1:
            again = list(deliveries)  # none of them has been tried without the others, and one may be why all of them fail
        if self._target.is_down_for_long or (len(again) < len(deliveries) and self._target.is_down):
            self._halt(error)
        if self._halted.is_set() or told > _LONGEST_WAIT:
            again = []
        if len(again) < len(deliveries):
            going = {delivery.id for delivery in again}
            await self._leave_owed([delivery for delivery in deliveries if delivery.id not in going], error)
        # A batch goes again as it is, then in halves, and the last time each record alone; past that in halves until they are.
        tries, size = max((delivery.tries for delivery in again), default=0), len(again)
        size = 1 if tries + 1 == policy.attempts else (size + 1) // 2 if tries > 1 or tries >= policy.attempts else size
        for start in range(0, len(again), max(1, size)):
            await self._wait(again[start : start + size], error, wait(), apart=size < self._batch_size(again[0].operation))

    async def once_more_alone(self, delivery: Delivery, error: RemoteError) -> None:
        """Let a delivery go once more, in a call of its own: it has only been tried together with others, and no answer spoke of it."""
        if self._halted.is_set():
            await self._leave_owed([delivery], error)
            return
        delivery.doubt = True
        await self._wait([delivery], error, wait_seconds(1, self._policy, self._ledger.clock.random()), apart=True)

    async def wait_as_told(self, deliveries: Sequence[Delivery], error: RemoteError) -> None:
        """Let deliveries wait as the destination asks; when that is too long, nothing more is sent in this run."""
        wait = error.retry_after if isinstance(error, RateLimited) else None
        if wait is None:
            wait = wait_seconds(1, self._policy, self._ledger.clock.random())
        if wait > _LONGEST_WAIT:
            due_at = self._ledger.clock.now() + wait
            for delivery in deliveries:
                delivery.due_at = due_at
            self._halt(error)
            await self._leave_owed(deliveries, error)
            return
        await self._wait(deliveries, error, wait)

    async def wait_until(self, deliveries: Sequence[Delivery], error: RemoteError, at: float) -> None:
        """Let deliveries wait until a time, in seconds since 1970 (UTC); when that is too long, they stay owed, and nothing else does."""
        wait = at - self._ledger.clock.now()
        if self._halted.is_set() or wait > LONGEST_FOR_LAG:
            for delivery in deliveries:
                delivery.due_at = at
            await self._leave_owed(deliveries, error)
            return
        await self._wait(deliveries, error, wait)

    async def await_their_time(self, early: Sequence[Delivery]) -> None:
        """Let deliveries of earlier runs wait until they are due; those that are due too late, or wait for the lag, stay owed."""
        now = self._ledger.clock.now()
        together: dict[tuple[float, bool], list[Delivery]] = {}
        for delivery in early:
            together.setdefault((delivery.due_at, waits_for_lag(delivery)), []).append(delivery)
        for (due_at, for_lag), deliveries in together.items():
            if due_at - now > (LONGEST_FOR_LAG if for_lag else _LONGEST_WAIT):
                await self._leave_owed(deliveries, None)  # why they wait, they say themselves
            else:
                self._start(deliveries, due_at - now, counts=False)

    async def _wait(self, deliveries: Sequence[Delivery], error: RemoteError, wait: float, *, apart: bool = False) -> None:
        ledger, reason = self._ledger, reason_of(error)
        due_at = ledger.clock.now() + wait
        for delivery in deliveries:
            delivery.reason, delivery.due_at, delivery.state = reason, due_at, "unknown" if delivery.doubt else "owed"
        await ledger.set_states(deliveries)
        self._start(deliveries, wait, apart=apart)

    def _start(self, deliveries: Sequence[Delivery], wait: float, *, counts: bool = True, apart: bool = False) -> None:
        """Put deliveries back after a wait, to be sent in a call of their own if `apart`."""
        ledger = self._ledger
        for delivery in deliveries:
            ledger.tell(
                events.DeliveryRetried(
                    integration=ledger.name, run=ledger.run, delivery=delivery.id, record=delivery.source_id, call=delivery.call,
                    attempt=delivery.attempts, wait_seconds=wait, cause=str(delivery.why.get("kind", "")),
                )
            )  # fmt: skip
        number = len(deliveries) if counts else 0
        self.waiting += number
        task = asyncio.create_task(self._put_back(deliveries, wait, number, apart=apart))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _put_back(self, deliveries: Sequence[Delivery], wait: float, number: int, *, apart: bool) -> None:
        await sleep_unless(self._ledger.clock, wait, self._halted)
        self.waiting -= number
        if apart:
            self._line.put_back(deliveries)
        else:
            for delivery in reversed(deliveries):
                self._line.again(delivery)
        self._over()
