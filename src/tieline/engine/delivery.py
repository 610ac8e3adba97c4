"""The sender: takes deliveries that are durable, writes them to the destination, and confirms each in a commit of its own kind.

Deliveries of different records go side by side, those of one record one after the other (`engine.line`). Batches where the connector has
them; a batch that is refused whole is halved, until the bad record stands alone. What follows a failure is in one table
(`engine.failures`); whether something was done is found out by `engine.doubt`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import zlib
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

from tieline.dialects.dialect import Item, System
from tieline.engine.compiled import CompiledIntegration
from tieline.engine.doubt import UNKNOWN_NEXT, Doubts, Found, Way
from tieline.engine.failures import PASSING, Reaction, reaction_to
from tieline.engine.ledger import Ledger, about, tell_set_aside
from tieline.engine.line import Line
from tieline.engine.linked import Links, OnConfirmed
from tieline.engine.matching import Matcher
from tieline.model import events
from tieline.model.clock import sleep_unless
from tieline.model.errors import (
    CircuitOpen,
    NotThere,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    RemoteError,
    Stale,
    TielineError,
)
from tieline.model.records import decode_json, encode_json
from tieline.model.tasks import side_by_side
from tieline.store import journal, links, outbox
from tieline.store.outbox import Delivery
from tieline.sync.decide import changed_fields
from tieline.transport.retry import wait_seconds

_MOST_REFUSED = 10
"""So many forbidden or misdirected writes in a row, without one that went well, are parked; then the run halts."""
_LONGEST_WAIT = 300.0
"""Seconds that one delivery may have to wait within a run; with more, it stays owed."""


class Sender:
    """Delivers what a run hands it. `put` waits when enough is under way, so memory is bounded."""

    def __init__(
        self,
        job: CompiledIntegration,
        target: System,
        ledger: Ledger,
        matcher: Matcher,
        *,
        store_id: str,
        notify: Callable[[], None] = lambda: None,
        links: Links = links,
        on_confirmed: OnConfirmed | None = None,
    ) -> None:
        """`store_id` makes idempotency keys unique; `notify` is called when the counts have moved.

        With `on_confirmed`, deliveries are confirmed with what the answers show of them.
        """
        self._job, self._target, self._ledger = job, target, ledger
        self._store_id, self._notify = store_id, notify
        self._resource = job.target_resource
        self._line = Line(self._batch_size)
        self._doubts = Doubts(job, target, ledger, matcher, links=links)
        self._links, self._on_confirmed = links, on_confirmed
        self._remembered = matcher.remembered
        self._retrying = 0
        self._flush = self._draining = False
        self._idle: deque[asyncio.Future[None]] = deque()
        self._waiting_puts: deque[asyncio.Future[None]] = deque()
        self._workers: list[asyncio.Task[None]] = []
        self._retries: set[asyncio.Task[None]] = set()
        self._confirming: asyncio.Task[None] | None = None
        self._to_confirm: list[tuple[Delivery, str, int | None]] = []
        self._resting: asyncio.Task[None] | None = None
        """Runs while the destination is down and it is not yet time to probe it."""
        self._refused_in_a_row = 0
        self.halted: TielineError | None = None
        """Why nothing more is sent in this run."""
        self._halt_seen = asyncio.Event()
        self.failed: BaseException | None = None
        """An error that is not the destination's: the store, or ours."""
        largest = max(job.target.batch.values(), default=1)
        self._most_open = max(4 * largest * min(target.concurrency, 16), 4 * target.concurrency, 1000)

    def expect(self, source_ids: Collection[str]) -> None:
        """Know of records of which something is on its way that another delivery follows: it is put once it is durable."""
        self._line.expect(source_ids)

    async def put(self, deliveries: Sequence[Delivery]) -> None:
        """Hand over deliveries that are durable. Returns when there is room for more."""
        self._flush = False
        line, run = self._line, self._ledger.run
        late = [d for d in deliveries if d.target_id is None and (d.behind or d.run != run) and d.source_id not in line]
        if late:
            self._catch_up(late)
        away: list[Delivery] = []
        if self._resting is not None and line.open > self._most_open:
            # The destination is down, and enough waits in memory: the rest waits in the store, and reading goes on.
            away = [delivery for delivery in deliveries if delivery.source_id not in line]
            deliveries = [delivery for delivery in deliveries if delivery.source_id in line]
            line.turn_away(away)
        left, early = line.put(deliveries, self._ledger.clock.now())
        left += away
        if left:
            why = f"{self._target.name} is down" if away else "an earlier change of the record is still owed"
            await self._leave_owed(left, TielineError(why))
        if early:
            await self._await_their_time(early)
        self._wake()
        while line.open > self._most_open and self.failed is None and self._resting is None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting_puts.append(waiter)
            await waiter
        if self.failed is not None:
            raise self.failed

    def _catch_up(self, late: Sequence[Delivery]) -> None:
        """What was on its way when these were decided may be settled by now: it made the record or did not, or it is in doubt whether it did."""
        db, integration = self._ledger.db, self._ledger.integration
        known = self._links.of_sources(db, integration, [delivery.source_id for delivery in late])
        for delivery in late:
            link = known.get(delivery.source_id)
            delivery.target_id = link.target_id if link is not None else None
            if delivery.target_id is None and (delivery.behind or delivery.doubt):
                earlier = [d for d in outbox.of_record(db, integration, delivery.source_id) if d.id < delivery.id]
                delivery.inherited = any(d.why.get("kind") == "unknown" for d in earlier)
                delivery.doubt = delivery.state == "unknown" or delivery.inherited

    def flush(self) -> None:
        """Send part-filled batches too: nothing more is expected soon."""
        self._flush = True
        self._wake()

    def halt(self, why: TielineError) -> None:
        """Send nothing more: what is under way is waited for, everything else stays owed."""
        if self.halted is None:
            self.halted = why
        self._halt_seen.set()
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        self._wake()

    async def drain(self, patience_seconds: float | None = None) -> bool:
        """Wait until everything that was handed over is settled or owed; return whether it is, within the patience there is.

        Raises what went wrong on our side.
        """
        self._draining = True
        self._wake()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_seconds):
                while self._line.open and self.failed is None:
                    waiter = asyncio.get_running_loop().create_future()
                    self._waiting_puts.append(waiter)
                    await waiter
        await self.close()
        if self.failed is not None:
            raise self.failed
        return not self._line.open

    async def close(self) -> None:
        """Stop the workers; what is not settled stays in the store as it is."""
        tasks = [*self._workers, *self._retries, *([self._resting] if self._resting is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._confirming is not None:
            await asyncio.gather(self._confirming, return_exceptions=True)
        self._workers.clear()
        self._retries.clear()

    # -- who does what when

    def _wake(self) -> None:
        if self._resting is not None:
            return
        wanted = self._line.chunks(partial=self._send_partial)
        while wanted and self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                wanted -= 1
        for _ in range(min(wanted, self._target.concurrency - len(self._workers))):
            self._workers.append(asyncio.create_task(self._work()))

    @property
    def _send_partial(self) -> bool:
        return self._draining or self._flush or self.halted is not None

    async def _work(self) -> None:
        try:
            while True:
                chunk = self._next_chunk()
                if chunk is None:
                    waiter = asyncio.get_running_loop().create_future()
                    self._idle.append(waiter)
                    await waiter
                else:
                    await self._deliver(chunk)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run must end and say so
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self.failed is None:
            self.failed = error
        self._release_puts()

    def _next_chunk(self) -> list[Delivery] | None:
        if self.halted is not None:
            return self._line.all_ready() or None
        if self._resting is not None or self._retrying > 2 * self._target.concurrency:
            return None
        return self._line.next_chunk(partial=self._send_partial)

    def _batch_size(self, operation: str) -> int:
        sizes = self._job.target.batch
        if operation == "create" and self._job.upsert:
            operation = "upsert"
        return sizes.get(operation, 1)

    def _done(self, deliveries: Sequence[Delivery]) -> None:
        self._line.done(deliveries)
        self._release_puts()
        self._wake()
        self._notify()

    def _release_puts(self) -> None:
        while self._waiting_puts:
            waiter = self._waiting_puts.popleft()
            if not waiter.done():
                waiter.set_result(None)

    async def _for_which(self, work: Callable[[Delivery], Coroutine[Any, Any, bool]], deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Do something with each, at the same time, so that they can share what they look at; return those for which it says yes."""
        said = await side_by_side(work(delivery) for delivery in deliveries)
        return [delivery for delivery, yes in zip(deliveries, said, strict=True) if yes]

    # -- one chunk

    async def _deliver(self, chunk: list[Delivery]) -> None:
        if self.halted is not None:
            await self._leave_owed(chunk, self.halted)
            return
        if len(chunk) <= self._batch_size("create") and all(
            d.fresh and d.operation == "create" and d.target_id is None and not d.doubt for d in chunk
        ):
            for delivery in chunk:
                delivery.fresh = False
            await self._send("create", chunk)  # the common case: nothing is known of them that would stand in the way
            return
        again = [delivery for delivery in chunk if not delivery.fresh]
        if again:
            owed = await self._ledger.commit(lambda connection: outbox.claim(connection, [delivery.id for delivery in again]))
            gone = [delivery for delivery in again if delivery.id not in owed]
            if gone:
                self._ledger.counts.superseded += sum(1 for delivery in gone if delivery.run == self._ledger.run)
                self._done(gone)
                chunk = [delivery for delivery in chunk if delivery.fresh or delivery.id in owed]
        ready = []
        for delivery in chunk:
            delivery.fresh = False
            if delivery.operation == "create" and delivery.target_id is not None:
                delivery.operation = "update"  # an earlier delivery of the same record has made it meanwhile
            if delivery.target_id is None and delivery.operation != "create":
                await self._nothing_there(delivery)
                continue
            if delivery.operation == "update" and (why := self._job.cannot_update(delivery.fields, {})) is not None:
                await self._park(delivery, Rejected(why, next_step="declare `update` in the connector, then redrive it"))
                continue
            ready.append(delivery)
        if doubtful := [delivery for delivery in ready if delivery.doubt]:
            # Looked for one by one, and what is left to be written goes together again.
            still_owed = {delivery.id for delivery in await self._for_which(self._settle_doubt, doubtful)}
            looked_for = {delivery.id for delivery in doubtful}
            ready = [delivery for delivery in ready if delivery.id in still_owed or delivery.id not in looked_for]
        by_operation: dict[str, list[Delivery]] = {}
        for delivery in ready:
            by_operation.setdefault(delivery.operation, []).append(delivery)
        for operation, group in by_operation.items():
            # Of updates it may be another size than of the creations that they were: what is too much here is for the others.
            self._again(group[self._batch_size(operation) :])
        for operation, group in by_operation.items():
            await self._send(operation, group[: self._batch_size(operation)])

    async def _send(self, operation: str, group: list[Delivery]) -> None:
        # A creation that became an update of what was found there is another request: its key must not get the old answer.
        keyed = f"{self._store_id}-{operation}" if self._job.target.idempotency else None
        nest = self._job.nest
        show = self._on_confirmed is not None
        items = [Item(nest(d.fields), d.target_id, _key(keyed, d) if keyed is not None else "", d.attempts + 1, show) for d in group]
        call = "upsert" if operation == "create" and self._job.upsert else operation
        if self._remembered is not None:
            await self._remembered.forget([(d.target_id, d.fields) for d in group])
        with about(deliveries=group):
            if self._batch_size(operation) > 1:
                receipts = await self._target.write_many(self._resource, call, items)
            else:
                receipts = [await self._target.write(self._resource, call, items[0])]
        if self._remembered is not None:
            await self._remembered.forget([(d.target_id, d.fields) for d in group])
        errors = [receipt.error for receipt in receipts]
        first = errors[0]
        if isinstance(first, CircuitOpen):
            for delivery in group:
                delivery.fresh = True  # what it needs to know stands in the store already
            self._line.put_back(group)
            self._rest()
            return
        if any(errors):
            refused = [delivery.source_id for delivery, error in zip(group, errors, strict=True) if error is not None]
            self._ledger.refused(receipts[0].call, refused)
        if len(group) > 1 and isinstance(first, (Rejected, NotThere, Stale)) and all(error is first for error in errors):
            for delivery in group:
                delivery.fresh = True  # what it needs to know stands in the store already
            self._line.halve(group)
            self._wake()
            return
        confirmed: list[tuple[Delivery, str, int | None]] = []
        failed: list[tuple[Delivery, RemoteError]] = []
        made: list[Delivery] = []
        for delivery, receipt in zip(group, receipts, strict=True):
            delivery.call, delivery.shown = receipt.call, receipt.record
            if receipt.error is None or reaction_to(receipt.error) is not Reaction.WAIT:
                delivery.attempts += 1
                delivery.tries += 1
            if receipt.error is None and receipt.id is not None and not (receipt.already and operation == "create"):
                confirmed.append((delivery, receipt.id, receipt.call))
            elif receipt.error is not None:
                failed.append((delivery, receipt.error))
            else:
                delivery.already = receipt.already
                made.append(delivery)
        await self._failed(failed)
        if made:
            self._again(await self._for_which(self._look_up_made, made))
        if confirmed:
            self._refused_in_a_row = 0
            self._confirm(confirmed)

    # -- confirming

    def _confirm(self, confirmed: list[tuple[Delivery, str, int | None]]) -> None:
        self._to_confirm += confirmed
        if self._confirming is None or self._confirming.done():
            self._confirming = asyncio.create_task(self._confirm_all())

    async def _confirm_all(self) -> None:
        # One commit at a time; what is answered meanwhile goes together into the next.
        try:
            while self._to_confirm:
                batch, self._to_confirm = self._to_confirm, []
                try:
                    await self._commit_confirmed(batch)
                except sqlite3.IntegrityError:
                    for one in batch:
                        try:
                            await self._commit_confirmed([one])
                        except sqlite3.IntegrityError:
                            await self._hold(
                                one[0], "already linked",
                                f"the destination answered with the id {one[1]}, which is the counterpart of another source record already",
                            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - whatever it is, the run must end and say so
            self._fail(error)

    async def _commit_confirmed(self, batch: list[tuple[Delivery, str, int | None]]) -> None:
        ledger, now = self._ledger, self._ledger.clock.now()
        integration, run = ledger.integration, ledger.run
        settled: list[tuple[int, int | None, int]] = []
        made: list[tuple[str, str]] = []
        changed: list[tuple[str, str, bytes]] = []
        deleted: list[str] = []
        for delivery, target_id, call in batch:
            settled.append((delivery.id, call, delivery.attempts))
            if delivery.operation == "delete":
                deleted.append(delivery.source_id)
            elif delivery.shadowed:
                made.append((delivery.source_id, target_id))
            else:
                changed.append((delivery.source_id, target_id, self._agreed(delivery)))
        followed = self._line.followed([delivery.source_id for delivery, _, _ in batch])

        def unit(connection: sqlite3.Connection) -> None:
            outbox.confirm(connection, settled, run=run, now=now)
            self._links.agree(connection, integration, made, changed)
            if followed:
                self._links.expect_more(connection, integration, followed)
            if deleted:
                self._links.remove(connection, integration, deleted)
            if self._on_confirmed is not None:
                self._on_confirmed(connection, [(delivery, target_id) for delivery, target_id, _ in batch])

        await ledger.commit(unit)
        counts = ledger.counts
        for delivery, target_id, _ in batch:
            delivery.target_id = target_id
            if delivery.run != run:
                counts.carried_delivered += 1
            elif delivery.operation == "create" or delivery.made:
                counts.created += 1
            elif delivery.operation == "delete":
                counts.deleted += 1
            else:
                counts.updated += 1
        self._done([delivery for delivery, _, _ in batch])

    def _agreed(self, delivery: Delivery) -> bytes:
        if delivery.agreed is None:
            link = self._links.of_sources(self._ledger.db, self._ledger.integration, [delivery.source_id]).get(delivery.source_id)
            before = decode_json(link.target_shadow) if link and link.target_shadow else {}
            kept = self._links.kept(self._ledger.db, self._ledger.integration, delivery.source_id)
            # What the destination keeps was sent along with the whole record: agreed is still what the source says.
            delivery.agreed = encode_json({**before, **{a: value for a, value in delivery.fields.items() if a not in kept}})
        return delivery.agreed

    # -- when it did not work

    async def _failed(self, failed: Sequence[tuple[Delivery, RemoteError]]) -> None:
        """Do what follows for each. Those that failed with the same error wait together, so that they go together again."""
        together: dict[int, tuple[RemoteError, list[Delivery]]] = {}
        for delivery, error in failed:
            together.setdefault(id(error), (error, []))[1].append(delivery)
        for error, deliveries in together.values():
            if isinstance(error, CircuitOpen):
                self._rest()
                self._again(deliveries)
                continue
            match reaction_to(error):
                case Reaction.RETRY | Reaction.LOOK_FIRST:
                    await self._try_again(deliveries, error)
                case Reaction.WAIT:
                    await self._wait_as_told(deliveries, error)
                case Reaction.HALT:
                    self.halt(error)
                    await self._leave_owed(deliveries, error)
                case reaction:
                    for delivery in deliveries:
                        await self._failed_alone(delivery, error, reaction)

    async def _failed_alone(self, delivery: Delivery, error: RemoteError, reaction: Reaction) -> None:
        match reaction:
            case Reaction.DECIDE_AGAIN:
                await self._decide_again(delivery, error)
            case Reaction.FIND_AGAIN:
                await self._find_again(delivery, error)
            case Reaction.PARK_OR_HALT:
                await self._refused(delivery, error)
            case _:
                await self._park(delivery, error)

    async def _wait_as_told(self, deliveries: Sequence[Delivery], error: RemoteError) -> None:
        wait = error.retry_after if isinstance(error, RateLimited) else None
        if wait is None:
            wait = wait_seconds(1, self._job.spec.retry, self._ledger.clock.random())
        if wait > _LONGEST_WAIT:
            due_at = self._ledger.clock.now() + wait
            for delivery in deliveries:
                delivery.due_at = due_at
            self.halt(error)
            await self._leave_owed(deliveries, error)
            return
        await self._wait(deliveries, error, wait)

    async def _try_again(self, deliveries: Sequence[Delivery], error: RemoteError) -> None:
        policy, clock = self._job.spec.retry, self._ledger.clock
        # Attempts of earlier runs count for the wait: a restart does not hurry.
        wait: Callable[[], float] = lambda: wait_seconds(max(1, *(d.attempts for d in deliveries)), policy, clock.random())  # noqa: E731
        due_at = clock.now() + wait()
        for delivery in deliveries:
            # A request that has left may have been done, even if the answer was an error page.
            delivery.doubt = (
                delivery.doubt or isinstance(error, OutcomeUnknown) or (delivery.operation == "create" and error.status is not None)
            )
            delivery.due_at = due_at
        again = [delivery for delivery in deliveries if delivery.tries < policy.attempts]
        if not again and len(deliveries) > 1:
            again = list(deliveries)  # none of them has been tried without the others, and one may be why all of them fail
        if self._target.is_down_for_long or (len(again) < len(deliveries) and self._target.is_down):
            self.halt(error)
        if self.halted is not None:
            again = []
        if len(again) < len(deliveries):
            going = {delivery.id for delivery in again}
            await self._leave_owed([delivery for delivery in deliveries if delivery.id not in going], error)
        # A batch goes again as it is, then in halves, and the last time each record alone; past that in halves until they are.
        tries, size = max((delivery.tries for delivery in again), default=0), len(again)
        size = 1 if tries + 1 == policy.attempts else (size + 1) // 2 if tries > 1 or tries >= policy.attempts else size
        for start in range(0, len(again), max(1, size)):
            await self._wait(again[start : start + size], error, wait(), apart=size < self._batch_size(again[0].operation))

    async def _wait(self, deliveries: Sequence[Delivery], error: RemoteError, wait: float, *, apart: bool = False) -> None:
        ledger, reason = self._ledger, _reason(error)
        due_at = ledger.clock.now() + wait
        for delivery in deliveries:
            delivery.reason, delivery.due_at, delivery.state = reason, due_at, "unknown" if delivery.doubt else "owed"
        await ledger.set_states(deliveries)
        self._schedule(deliveries, wait, apart=apart)

    async def _decide_again(self, delivery: Delivery, error: RemoteError) -> None:
        """Somebody else was at the record, or had made it: see what it says now, and send what it does not have."""
        if delivery.tries >= self._job.spec.retry.attempts or (delivery.operation == "create" and not self._doubts.can_look):
            await self._park(delivery, error)
            return
        try:
            if delivery.operation == "create":
                found = await self._doubts.look(delivery)
                if found.candidates:
                    if await self._adopt(delivery, found, "it was there already"):
                        self._again([delivery])
                else:
                    await self._park(delivery, error)
                return
            there = await self._doubts.current(delivery)
        except RemoteError as failure:
            await self._try_again([delivery], failure if isinstance(failure, PASSING) else error)
            return
        if there is None:
            await self._try_again([delivery], error)
        elif delivery.operation == "update" and not (differs := changed_fields(delivery.fields, there)):
            await self._note(delivery, "looked: it says so already")
            self._confirm([(delivery, delivery.target_id or "", delivery.call)])
        else:
            if delivery.operation == "update" and not self._job.target.whole_update:
                differs = self._job.whole_lists(differs, there)
                self._narrow(delivery, differs)
            await self._try_again([delivery], error)

    async def _find_again(self, delivery: Delivery, error: RemoteError) -> None:
        """The counterpart is not there under its id: it may have been merged or made anew."""
        if delivery.operation == "create" or not self._doubts.can_look:
            await self._refused(delivery, error)
            return
        try:
            found = await self._doubts.look(delivery)
        except RemoteError as failure:
            await self._try_again([delivery], failure if isinstance(failure, PASSING) else error)
            return
        if found.there is None or found.there.id == delivery.target_id:
            await self._refused(delivery, error)
            return
        await self._note(delivery, "its counterpart has another id now", target_id=found.there.id, before=delivery.target_id)
        delivery.target_id = found.there.id
        self._again([delivery])

    def _again(self, deliveries: Sequence[Delivery]) -> None:
        """Put deliveries back to the front, in their order; what they need to know stands in the store already."""
        for delivery in reversed(deliveries):
            delivery.fresh = True
            self._line.again(delivery)
        self._wake()

    async def _refused(self, delivery: Delivery, error: RemoteError) -> None:
        """One record that may not be written is that record's trouble; when none of many may be, it is the connection's."""
        self._refused_in_a_row += 1
        if self._refused_in_a_row > _MOST_REFUSED:
            self.halt(error)
            await self._leave_owed([delivery], error)
        else:
            await self._park(delivery, error)

    def _rest(self) -> None:
        """The destination is down: nothing leaves before it is time to probe it, or it is back."""
        if self._resting is None and self.halted is None:
            self._resting = asyncio.create_task(self._resting_until())
            self._release_puts()

    async def _resting_until(self) -> None:
        await self._target.until_it_may_pass()
        self._resting = None
        self._wake()

    async def _await_their_time(self, early: Sequence[Delivery]) -> None:
        """Let deliveries of earlier runs wait until they are due; those that are due too late stay owed."""
        now = self._ledger.clock.now()
        together: dict[float, list[Delivery]] = {}
        for delivery in early:
            together.setdefault(delivery.due_at, []).append(delivery)
        for due_at, deliveries in together.items():
            if due_at - now > _LONGEST_WAIT:
                await self._leave_owed(deliveries)  # why they wait, they say themselves
            else:
                self._schedule(deliveries, due_at - now, counts=False)

    def _schedule(self, deliveries: Sequence[Delivery], wait: float, *, counts: bool = True, apart: bool = False) -> None:
        """Put deliveries back to the front after a wait, to be sent in a call of their own if `apart`.

        Many that `counts` hold up new ones: the destination is in trouble.
        """
        ledger = self._ledger
        for delivery in deliveries:
            ledger.tell(
                events.DeliveryRetried(
                    integration=ledger.name, run=ledger.run, delivery=delivery.id, record=delivery.source_id, call=delivery.call,
                    attempt=delivery.attempts, wait_seconds=wait, cause=str(delivery.why.get("kind", "")),
                )
            )  # fmt: skip
        number = len(deliveries) if counts else 0
        self._retrying += number
        task = asyncio.create_task(self._later(deliveries, wait, number, apart=apart))
        self._retries.add(task)
        task.add_done_callback(self._retries.discard)

    async def _later(self, deliveries: Sequence[Delivery], wait: float, number: int, *, apart: bool) -> None:
        await sleep_unless(self._ledger.clock, wait, self._halt_seen)
        self._retrying -= number
        if apart:
            self._line.put_back(deliveries)
        else:
            for delivery in reversed(deliveries):
                self._line.again(delivery)
        self.flush()

    async def _leave_owed(self, deliveries: Sequence[Delivery], why: TielineError | None = None) -> None:
        """Let deliveries stay owed; without a `why`, for the reason for which they have been so far."""
        reason = _reason(why) if why is not None else None
        # What was not sent is in no doubt, though the run ends at a call that is: the kind of a reason is how a doubt is remembered.
        unsent = _reason(why, "halted") if isinstance(why, OutcomeUnknown) else reason
        now = self._ledger.clock.now()

        def unit(connection: sqlite3.Connection) -> None:
            for delivery in deliveries:
                delivery.reason = (reason if delivery.doubt else unsent) or delivery.reason
                delivery.state = "unknown" if delivery.doubt else "owed"
                outbox.set_state(connection, delivery, now=now, run=self._ledger.run)

        ledger = self._ledger
        await ledger.commit(unit)
        first, cause = deliveries[0], str(deliveries[0].why.get("kind", "halted"))
        ledger.tell(
            events.DeliveryOwed(
                integration=ledger.name, run=ledger.run, delivery=first.id, record=first.source_id, deliveries=len(deliveries), cause=cause
            )
        )
        counts = ledger.counts
        ours = sum(1 for delivery in deliveries if delivery.run == self._ledger.run)
        counts.owed += ours
        counts.carried_owed += len(deliveries) - ours
        # What waits behind them stays owed too, and what comes later: order within a record.
        behind = self._line.leave(deliveries, remember=self.halted is None)
        if behind:
            await self._leave_owed(behind, why or TielineError("an earlier change of the record is still owed"))
        self._release_puts()
        self._wake()
        self._notify()

    async def _park(self, delivery: Delivery, error: RemoteError) -> None:
        link = f"`{self._job.name}`: {delivery.operation} of {delivery.source_id}"
        delivery.state = "dead"
        delivery.record = encode_json(delivery.source) if delivery.source is not None else delivery.record
        call = self._call_of(delivery)
        delivery.reason = outbox.reason(
            error.kind, f"{link} was refused: {error}", error.next_step,
            likely=error.likely, status=error.status, answer=error.text, request=call,
        )  # fmt: skip
        await self._set_aside(delivery, "parked")

    async def _hold(self, delivery: Delivery, kind: str, message: str) -> None:
        delivery.state = "held"
        delivery.record = encode_json(delivery.source) if delivery.source is not None else delivery.record
        next_step = UNKNOWN_NEXT if kind == "unknown" else "look at both systems, then `tieline dead-letters redrive` or `discard` it"
        delivery.reason = outbox.reason(kind, message, next_step, request=self._call_of(delivery))
        for following in self._line.waiting_behind(delivery):
            following.doubt = following.inherited = True  # a later version must not make it a second time
        await self._set_aside(delivery, kind if kind == "unknown" else "held")

    async def _set_aside(self, delivery: Delivery, verdict: str) -> None:
        ledger, now = self._ledger, self._ledger.clock.now()

        def unit(connection: sqlite3.Connection) -> bool:
            followed = outbox.has_later(connection, ledger.integration, delivery)
            if followed:
                delivery.state = "superseded"  # a later version holds all that this one does
            else:
                self._links.set_aside(connection, ledger.integration, delivery.source_id, verdict)
            outbox.set_state(connection, delivery, now=now, run=ledger.run)
            return followed

        followed = await ledger.commit(unit)
        if not followed:
            tell_set_aside(ledger, delivery)
        if followed:
            ledger.counts.superseded += delivery.run == ledger.run
        elif delivery.run != ledger.run:
            ledger.counts.carried_parked += 1
        elif verdict == "parked":
            ledger.counts.parked += 1
        else:
            ledger.counts.held += 1
        if verdict == "parked":  # so it was not done, and what waits behind it inherits no doubt of it
            self._catch_up(self._line.waiting_behind(delivery))
        self._done([delivery])

    async def _nothing_there(self, delivery: Delivery) -> None:
        """A record was deleted in the source before it was known to be in the destination."""
        if delivery.doubt:
            await self._hold(delivery, "unknown", "it was deleted in the source, and whether it had been created is not known")
            return
        delivery.state = "superseded"
        delivery.reason = outbox.reason("never created", "it was deleted in the source before it was created")
        await self._ledger.set_states([delivery])
        self._ledger.counts.superseded += delivery.run == self._ledger.run
        self._done([delivery])

    def _call_of(self, delivery: Delivery) -> dict[str, Any]:
        return {"operation": delivery.operation, "id": delivery.target_id, "body": self._job.nest(delivery.fields)}

    # -- when it is not known whether it worked

    async def _settle_doubt(self, delivery: Delivery) -> bool:
        """Find out whether a write was done. Return whether it still has to be sent."""
        match self._doubts.way(delivery, alone=self._batch_size("create") == 1):
            case Way.REPEAT:
                return True  # the doubt stays, lest a later version take its place
            case Way.RESEND:
                await self._note(delivery, "sent again without knowing", unknown="resend")
                return True
            case Way.HOLD:
                await self._hold(
                    delivery, "unknown", "the answer to its creation was lost, and the destination can't be asked whether it was done"
                )
                return False
            case Way.LOOK:
                pass
        try:
            found = await self._doubts.look(delivery)
        except RemoteError as error:
            reaction = reaction_to(error)
            delivery.tries += reaction is not Reaction.WAIT
            if reaction in (Reaction.RETRY, Reaction.LOOK_FIRST, Reaction.WAIT, Reaction.HALT):
                await self._failed([(delivery, error)])
            else:
                await self._hold(
                    delivery, "unknown", f"the answer to its creation was lost, and asking whether it was done failed: {error}"
                )
            return False
        delivery.doubt = False
        if not found.candidates:
            await self._note(delivery, "looked: it had not been done")
            return True
        delivery.made = True
        return await self._adopt(delivery, found, "looked: it had been done")

    async def _look_up_made(self, delivery: Delivery) -> bool:
        """The write succeeded, or was so already, and the answer did not tell the id. Return whether something still has to be sent."""
        if not self._doubts.can_look:
            await self._hold(delivery, "unknown", "the destination did not tell the id of the record that it made, and can't be asked")
            return False
        try:
            found = await self._doubts.look(delivery)
        except RemoteError as error:
            await self._failed([(delivery, error)])
            return False
        if found.candidates:
            return await self._adopt(delivery, found, "it was there already" if delivery.already else "its id was looked up")
        await self._hold(delivery, "unknown", "the destination says that the record is there, but it can't be found by its match key")
        return False

    async def _adopt(self, delivery: Delivery, found: Found, event: str) -> bool:
        """Take what is there as the counterpart. Return whether it has not all yet, so that the rest still has to be sent."""
        there = found.there
        if there is None:
            await self._hold(delivery, "unmatched", found.ambiguity)
            return False
        await self._note(delivery, event, target_id=there.id)
        differs = self._doubts.still_owed(delivery, there)
        if not differs:
            self._confirm([(delivery, there.id, delivery.call)])
            return False
        delivery.operation, delivery.target_id = "update", there.id
        if not self._job.target.whole_update:
            self._narrow(delivery, differs)
        return True

    def _narrow(self, delivery: Delivery, differs: dict[str, Any]) -> None:
        """Let a delivery write only what the destination does not say yet. What both agree on then is still all that it was to write."""
        self._agreed(delivery)
        delivery.values, delivery.changed = differs, encode_json(differs)

    async def _note(self, delivery: Delivery, kind: str, **detail: Any) -> None:
        event = self._ledger.event(delivery.source_id, kind, delivery=delivery.id, **detail)
        await self._ledger.commit(lambda connection: journal.note(connection, [event]))


def _key(prefix: str, delivery: Delivery) -> str:
    # Vendors refuse a key that comes with another body; what an update must write can differ after a second look.
    return f"{prefix}-{delivery.id}-{zlib.crc32(delivery.changed or b''):x}"


def _reason(why: TielineError, kind: str = "") -> bytes:
    likely = why.likely if isinstance(why, RemoteError) else None
    return outbox.reason(kind or str(getattr(why, "kind", "halted")), str(why), why.next_step, likely=likely)
