"""The sender: takes deliveries that are durable, writes them to the destination, and does what follows for each.

Deliveries of different records go side by side, those of one record one after the other (`engine.deliver.queue`). Batches where the connector has
them; a batch that is refused whole is halved, until the bad record stands alone. What follows a failure is in one table
(`engine.core.failures`), and when something is tried again is for `engine.deliver.retry`.

A call is made by `engine.deliver.calls`; what is confirmed becomes durable in `engine.deliver.confirming`, what is not sent in `engine.deliver.dispositions`. Whether
something was done is found out by `engine.deliver.uncertain`, and what follows from that is for `engine.deliver.resolution` to say.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

from tieline.dialects.dialect import System
from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.failures import Reaction, reaction_to
from tieline.engine.core.ledger import Ledger
from tieline.engine.core.linked import Links, OnConfirmed
from tieline.engine.core.pool import Workers
from tieline.engine.deliver.calls import Calls
from tieline.engine.deliver.confirming import Confirmed, Confirmer
from tieline.engine.deliver.dispositions import Unsent, reason_of
from tieline.engine.deliver.hits import Hits
from tieline.engine.deliver.moving import Moving
from tieline.engine.deliver.queue import Line
from tieline.engine.deliver.resolution import Confirm, Fail, Hold, Later, Outcome, Overtaken, Park, Refuse, Retry, Send, Settler, Wait
from tieline.engine.deliver.retry import Retries
from tieline.engine.deliver.uncertain import Doubts
from tieline.engine.lookup.matching import Matcher
from tieline.model.errors import CircuitOpen, NotThere, Rejected, RemoteError, Stale, TielineError
from tieline.model.tasks import side_by_side
from tieline.store import links, outbox
from tieline.store.database import AlreadyLinked
from tieline.store.delivery import Delivery

_MOST_REFUSED = 10
"""So many forbidden or misdirected writes in a row, without one that went well, are parked; then the run halts."""
_MOST_PASSING_RUNS = 3
"""In so many runs, with all attempts of each, a refusal that should pass by itself may come; then the delivery is parked."""


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

        What the answers show is for `on_confirmed`; without it, it is kept as the destination's own spelling of what was written.
        """
        self._job, self._target, self._ledger, self._links = job, target, ledger, links
        self._notify = notify
        self._calls = Calls(job, target, ledger, matcher.remembered, store_id=store_id)
        self._batch_size = self._calls.size
        self._line = Line(self._batch_size)
        self._confirmer = Confirmer(job, ledger, links, on_confirmed)
        self._unsent = Unsent(job, ledger, links)
        doubts = Doubts(job, target, ledger, matcher, links=links)
        self._hits = Hits(job, ledger, links, self._hold)
        self._settler = Settler(job, ledger, doubts, self._confirmer.agreed)
        self._retries = Retries(
            job, target, ledger, self._line, batch_size=self._batch_size, halt=self.halt, leave_owed=self._leave_owed, over=self.flush
        )
        self._workers = Workers(target.concurrency, self._next_chunk, self._deliver, self._fail)
        self._flush = self._draining = False
        self._waiting_puts: deque[asyncio.Future[None]] = deque()
        self._confirming: asyncio.Task[None] | None = None
        self._to_confirm: list[Confirmed] = []
        self._resting: asyncio.Task[None] | None = None
        """Runs while the destination is down and it is not yet time to probe it."""
        self._moving = Moving(ledger)
        """Refusals that are held back: a value that they are about may be free once the others are done."""
        self._refused_in_a_row = self._oldest = 0
        self._newest = self._may_leave = 0
        """The newest delivery that was taken to be sent, and up to which the store knows that it may have left."""
        self._leaving = asyncio.Lock()
        self.halted: TielineError | None = None
        """Why nothing more is sent in this run."""
        self.overtaken: list[Delivery] = []
        """What stays owed because someone has changed its counterpart since it was read; whoever decides it again takes it out."""
        self.failed: BaseException | None = None
        """An error that is not the destination's: the store, or ours."""
        largest = max(job.target.batch.values(), default=1)
        # A process that dies leaves in doubt what it had let leave: that is looked for, or held where it can't be.
        ahead = 4 if doubts.can_look or job.target.idempotency else 1
        self._wave = max(largest * min(target.concurrency, 16), ahead * target.concurrency)
        self._most_open = max(4 * largest * min(target.concurrency, 16), 4 * target.concurrency, 1000)

    def expect(self, source_ids: Collection[str]) -> None:
        """Know of records of which something is on its way that another delivery follows: it is put once it is durable."""
        self._line.expect(source_ids)

    async def put(self, deliveries: Sequence[Delivery]) -> None:
        """Hand over deliveries that are durable. Returns when there is room for more."""
        self._flush = False
        line, run = self._line, self._ledger.run
        if deliveries:
            self._oldest = min(self._oldest or deliveries[0].id, deliveries[0].id)
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
            await self._retries.await_their_time(early)
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
                # By a search that was not answered no record was made, whatever its failure is called.
                delivery.inherited = any(d.operation == "create" and d.why.get("kind") == "unknown" for d in earlier)
                delivery.doubt = delivery.state == "unknown" or delivery.inherited

    def flush(self) -> None:
        """Send part-filled batches too: nothing more is expected soon."""
        self._flush = True
        self._wake()

    def halt(self, why: TielineError) -> None:
        """Send nothing more: what is under way is waited for, everything else stays owed."""
        if self.halted is None:
            self.halted = why
        self._retries.cut_short()
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        self._wake()

    async def drain(self, patience_seconds: float | None = None, *, more: bool = False) -> bool:
        """Wait until everything that was handed over is settled or owed; return whether it is, within the patience there is.

        `more`: more is handed over afterwards, and refusals that are held back wait for that.

        Raises what went wrong on our side.
        """
        self._draining = True
        self._wake()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_seconds):
                while self._line.open and self.failed is None:
                    if self._moving and self._nothing_else_moves():
                        if more and self.halted is None:
                            break
                        await self._look_at_held_back()
                        continue
                    waiter = asyncio.get_running_loop().create_future()
                    self._waiting_puts.append(waiter)
                    await waiter
        await self.close()
        if self.failed is not None:
            raise self.failed
        return not self._line.open

    def _nothing_else_moves(self) -> bool:
        """Whether all that is open is held back, or waits behind what is."""
        held = self._moving.held
        return self._line.open <= len(held) + sum(len(self._line.waiting_behind(delivery)) for delivery in held)

    async def _look_at_held_back(self) -> None:
        """All else is settled: send again what may be free by now, and park the others; in a run that has ended, leave them owed."""
        if self.halted is not None:
            for delivery, error in self._moving.give_back():
                await self._leave_owed([delivery], error)
            return
        released = self._moving.take(self._oldest)
        self._again(released.again, known=False)  # the store has them as owed
        for delivery, error in released.owed:
            await self._leave_owed([delivery], error)
        for delivery, error in released.parked:
            await self._park(delivery, error)

    def _may_be_freed(self, delivery: Delivery, error: RemoteError) -> bool:
        # A later version of the record, where there is one, takes its place anyway.
        return (
            self.halted is None
            and not delivery.doubt
            and not self._line.waiting_behind(delivery)
            and self._moving.may_pass(delivery, error)
        )

    async def _hold_back(self, delivery: Delivery, error: RemoteError) -> None:
        delivery.reason, delivery.state = reason_of(error), "owed"
        await self._ledger.set_states([delivery])  # a crash leaves it owed
        self._moving.hold_back(delivery, error)
        self._release_puts()
        self._notify()

    async def close(self) -> None:
        """Stop the workers; what is not settled stays in the store as it is."""
        tasks = [*self._workers.tasks, *self._retries.tasks, *([self._resting] if self._resting is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._confirming is not None:
            await asyncio.gather(self._confirming, return_exceptions=True)
        self._workers.tasks.clear()
        self._retries.tasks.clear()

    # -- who does what when

    def _wake(self) -> None:
        if self._resting is not None:
            return
        self._workers.wake(self._line.chunks(partial=self._send_partial))

    @property
    def _send_partial(self) -> bool:
        return self._draining or self._flush or self.halted is not None

    def _fail(self, error: BaseException) -> None:
        if self.failed is None:
            self.failed = error
        self._release_puts()

    def _next_chunk(self) -> list[Delivery] | None:
        if self.halted is not None:
            return self._line.all_ready() or None
        if self._resting is not None or self._retries.waiting > 2 * self._target.concurrency:
            return None
        return self._line.next_chunk(partial=self._send_partial)

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

    def _not_wanted(self, delivery: Delivery) -> str | None:
        """Say why what was queued by an earlier run may not be sent by what the connector declares now; None when it may."""
        if delivery.run == self._ledger.run or delivery.operation not in ("create", "update"):
            return None
        problems = self._job.check(delivery.fields, delivery.operation == "create")
        return "; ".join(f"`{problem.address}` {problem.text}" for problem in problems) or None

    async def _for_which(self, work: Callable[[Delivery], Coroutine[Any, Any, bool]], deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Do something with each, at the same time, so that they can share what they look at; return those for which it says yes."""
        said = await side_by_side(work(delivery) for delivery in deliveries)
        return [delivery for delivery, yes in zip(deliveries, said, strict=True) if yes]

    # -- one chunk

    async def _let_leave(self, chunk: Sequence[Delivery]) -> None:
        """Note that deliveries may have left, before they do. What has waited is claimed one by one; of what is sent at once, up to where is enough."""
        self._newest = newest = max(self._newest, *(delivery.id for delivery in chunk))
        if newest <= self._may_leave:
            return
        async with self._leaving:
            if newest <= self._may_leave:
                return
            ledger, upto = self._ledger, self._up_to(newest)
            await ledger.commit(lambda connection: outbox.may_leave(connection, ledger.integration, ledger.run, upto))
            self._may_leave = upto

    def _up_to(self, newest: int) -> int:
        """Return up to where deliveries may leave: some more than do now, so that a commit for it is seldom needed."""
        return newest + self._wave

    async def _deliver(self, chunk: list[Delivery]) -> None:
        if self.halted is not None:
            await self._leave_owed(chunk, self.halted)
            return
        if not (chunk := await self._hits.unless_known(chunk)):
            return
        await self._let_leave(chunk)
        if len(chunk) <= self._batch_size("create") and all(
            d.fresh and d.operation == "create" and d.target_id is None and not d.doubt for d in chunk
        ):
            for delivery in chunk:
                delivery.fresh = False
            await self._send("create", chunk)  # the common case: nothing is known of them that would stand in the way
            return
        if gone := await self._calls.claim(chunk):
            self._done(gone)
            ids = {delivery.id for delivery in gone}
            chunk = [delivery for delivery in chunk if delivery.id not in ids]
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
            if (why := self._not_wanted(delivery)) is not None:
                await self._park(delivery, Rejected(why, next_step="correct the record or the mapping, then redrive it"))
                continue
            by_operation.setdefault(delivery.operation, []).append(delivery)
        for operation, group in by_operation.items():
            # Of updates it may be another size than of the creations that they were: what is too much here is for the others.
            self._again(group[self._batch_size(operation) :])
        for operation, group in by_operation.items():
            await self._send(operation, group[: self._batch_size(operation)])

    async def _send(self, operation: str, group: list[Delivery]) -> None:
        receipts = await self._calls.write(operation, group)
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
                # A refusal that is not plainly the vendor's may have come after the work: the halves are looked for before they go.
                delivery.doubt = delivery.doubt or (first.perhaps_done and delivery.operation == "create")
            self._line.halve(group)
            self._wake()
            return
        confirmed, failed, unnamed, gone, others = self._calls.read(operation, group, receipts)
        await self._failed(failed, alone=len(group) == 1)
        if unnamed:
            self._again(await self._for_which(self._look_up_made, unnamed))
        for delivery in gone:
            await self._carry_out(delivery, self._settler.of_gone(delivery))
        for delivery, id in others:
            if await self._carry_out(delivery, await self._settler.of_another(delivery, id)):
                self._again([delivery])
        if confirmed:
            self._refused_in_a_row = 0
            self._confirm(confirmed)

    # -- confirming

    def _confirm(self, confirmed: list[Confirmed]) -> None:
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
                except AlreadyLinked:
                    for one in batch:
                        try:
                            await self._commit_confirmed([one])
                        except AlreadyLinked:
                            await self._hits.happened(one[0], one[1])
        except Exception as error:  # noqa: BLE001 - whatever it is, the run must end and say so
            self._fail(error)

    async def _commit_confirmed(self, batch: list[Confirmed]) -> None:
        upto = self._up_to(self._newest)
        await self._confirmer.commit(batch, self._line.followed([delivery.source_id for delivery, _, _ in batch]), upto)
        if self._moving:
            self._moving.confirmed(delivery for delivery, _, _ in batch)
        self._may_leave = max(self._may_leave, upto)
        self._done([delivery for delivery, _, _ in batch])

    # -- when it did not work

    async def _failed(self, failed: Sequence[tuple[Delivery, RemoteError]], *, alone: bool = True) -> None:
        """Do what follows for each. Those that failed with the same error wait together, so that they go together again.

        `alone` says that the call was about one record only.
        """
        together: dict[int, tuple[RemoteError, list[Delivery]]] = {}
        for delivery, error in failed:
            together.setdefault(id(error), (error, []))[1].append(delivery)
        for error, deliveries in together.values():
            if isinstance(error, CircuitOpen):
                self._rest()
                self._again(deliveries)
                continue
            for delivery in deliveries:
                delivery.doubt = delivery.doubt or (error.perhaps_done and delivery.operation == "create")
            match reaction_to(error):
                case Reaction.RETRY | Reaction.LOOK_FIRST:
                    await self._try_again(deliveries, error)
                case Reaction.LOOK_THEN_PARK:
                    for delivery in deliveries:
                        if self._settler.must_wait_long(delivery, alone=alone):
                            if await self._carry_out(delivery, await self._settler.of_untold_and_unshown(delivery, error)):
                                self._again([delivery])
                        elif delivery.tries < self._job.spec.retry.attempts:
                            await self._try_again([delivery], error)
                        elif not alone:
                            await self._retries.once_more_alone(delivery, error)
                        elif await self._carry_out(delivery, await self._settler.of_untold(delivery, error)):
                            self._again([delivery])
                case Reaction.RETRY_ALONE:
                    most = _MOST_PASSING_RUNS * self._job.spec.retry.attempts
                    for delivery in deliveries:
                        # Each by itself: one that is locked holds up nothing else, and does not wait for ever.
                        await self._carry_out(delivery, Park(error) if delivery.attempts >= most else Retry(error))
                case Reaction.WAIT:
                    await self._retries.wait_as_told(deliveries, error)
                case Reaction.HALT:
                    self.halt(error)
                    await self._leave_owed(deliveries, error)
                case reaction:
                    for delivery in deliveries:
                        await self._failed_alone(delivery, error, reaction)

    async def _failed_alone(self, delivery: Delivery, error: RemoteError, reaction: Reaction) -> None:
        match reaction:
            case _ if error.perhaps_done and delivery.operation == "create":
                outcome = await self._settler.of_refused(delivery, Refuse(error) if reaction is Reaction.PARK_OR_HALT else Park(error))
            case Reaction.DECIDE_AGAIN:
                outcome = await self._settler.of_stale(delivery, error)
            case Reaction.FIND_AGAIN:
                outcome = await self._settler.of_missing(delivery, error)
            case Reaction.PARK_OR_HALT:
                outcome = Refuse(error)
            case _:
                outcome = Park(error)
        if await self._carry_out(delivery, outcome):
            self._again([delivery])

    async def _carry_out(self, delivery: Delivery, outcome: Outcome) -> bool:
        """Do what follows from a second look; return whether the delivery still has to be sent."""
        match outcome:
            case Send():
                return True
            case Confirm(target_id):
                self._confirm([(delivery, target_id, delivery.call)])
            case Hold(kind, message, candidates):
                await self._hold(delivery, kind, message, candidates)
            case Fail(error):
                await self._failed([(delivery, error)])
            case Retry(error):
                await self._try_again([delivery], error)
            case Later(error, at):
                await self._retries.wait_until([delivery], error, at)
            case Wait(error):
                await self._leave_owed([delivery], error)
            case Refuse(error):
                await self._refused(delivery, error)
            case Park(error):
                if self._may_be_freed(delivery, error):
                    await self._hold_back(delivery, error)
                else:
                    await self._park(delivery, error)
            case Overtaken(error):
                delivery.attempts -= 1  # it was not refused, it was late
                self.overtaken.append(delivery)
                await self._leave_owed([delivery], error, over=False)
        return False

    async def _try_again(self, deliveries: Sequence[Delivery], error: RemoteError) -> None:
        await self._retries.try_again(deliveries, error)

    def _again(self, deliveries: Sequence[Delivery], *, known: bool = True) -> None:
        """Put deliveries back to the front, in their order; `known`: the store knows already that they may leave."""
        for delivery in reversed(deliveries):
            delivery.fresh = known
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

    async def _leave_owed(self, deliveries: Sequence[Delivery], why: TielineError | None = None, *, over: bool = True) -> None:
        """Let deliveries stay owed; without a `why`, for the reason for which they have been so far. `over`: nothing more of them in this run."""
        await self._unsent.leave_owed(deliveries, why)
        # What waits behind them stays owed too, and what comes later: order within a record.
        behind = self._line.leave(deliveries, remember=over and self.halted is None)
        if behind:
            await self._leave_owed(behind, why or TielineError("an earlier change of the record is still owed"))
        self._release_puts()
        self._wake()
        self._notify()

    async def _park(self, delivery: Delivery, error: RemoteError) -> None:
        await self._unsent.park(delivery, error)
        self._catch_up(self._line.waiting_behind(delivery))  # it was not done, and what waits behind it inherits no doubt of it
        self._done([delivery])

    async def _hold(self, delivery: Delivery, kind: str, message: str, candidates: Sequence[str] = ()) -> None:
        for following in self._line.waiting_behind(delivery):
            following.doubt = following.inherited = True  # a later version must not make it a second time
        await self._unsent.hold(delivery, kind, message, candidates)
        self._done([delivery])

    async def _nothing_there(self, delivery: Delivery) -> None:
        """A record was deleted in the source before it was known to be in the destination."""
        if delivery.doubt:
            await self._hold(delivery, "unknown", "it was deleted in the source, and whether it had been created is not known")
            return
        await self._unsent.never_created(delivery)
        self._done([delivery])

    # -- when it is not known whether it worked

    async def _settle_doubt(self, delivery: Delivery) -> bool:
        """Find out whether a write was done. Return whether it still has to be sent."""
        return await self._carry_out(delivery, await self._settler.of_doubt(delivery, alone=self._batch_size("create") == 1))

    async def _look_up_made(self, delivery: Delivery) -> bool:
        """The answer did not tell the id. Return whether something still has to be sent."""
        return await self._carry_out(delivery, await self._settler.of_unnamed(delivery))
