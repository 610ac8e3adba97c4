"""One pass of an integration: take the lease, send what is still owed, read page by page, deliver, and balance the books."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping

import msgspec

from tieline.dialects.decoding import Unreadable
from tieline.dialects.dialect import Page, Since, System, Waiting
from tieline.engine.compiled import CompiledIntegration
from tieline.engine.delivery import Sender
from tieline.engine.destination import Destination, Nowhere
from tieline.engine.failures import PASSING, needs_a_person
from tieline.engine.ledger import LEASE_SECONDS, Counts, Ledger, about
from tieline.engine.matching import Matcher
from tieline.engine.mending import Mender, Mending
from tieline.engine.pipeline import Braked, Guard, Pipeline
from tieline.engine.redriving import Redriver, Settlement
from tieline.model import events
from tieline.model.clock import Clock
from tieline.model.errors import Incomplete, Refused, RemoteError, SafetyStop, StoreError, TielineError, Unauthorized
from tieline.model.holder import has_ended, holder_name
from tieline.model.records import Record
from tieline.store import links, outbox, retention, runs
from tieline.store import state as shared
from tieline.store.database import Database
from tieline.store.letters import Chosen
from tieline.store.retention import Retention
from tieline.transport.caller import READ_RETRIES
from tieline.transport.priority import PRIORITY, Priority
from tieline.transport.recording import CallRecord, Said

_LEDGER: contextvars.ContextVar[Ledger | None] = contextvars.ContextVar("ledger", default=None)


def observe(record: CallRecord) -> int | None:
    """Journal a call with the run on whose behalf it was made; return None when it was made for none."""
    ledger = _LEDGER.get()
    return ledger.observe(record) if ledger is not None else None


def amend(call: int | None, failure: str | None, said: Said | None) -> None:
    """Correct the class of a call that was journaled just now."""
    ledger = _LEDGER.get()
    if ledger is not None:
        ledger.amend(call, failure, said)


async def check_lease() -> None:
    """See that the run on whose behalf a write is about to leave has not been taken over. Raises `SafetyStop`."""
    ledger = _LEDGER.get()
    if ledger is not None:
        await ledger.check_lease()


_PATIENCE_SECONDS = 10.0
_LAST_SECONDS = 2 * _PATIENCE_SECONDS
"""What a run gets to end in good order once it is over time."""
_ENDS = "ends"
_GOES_ON = "nothing was lost; the next run goes on where this one stopped"
_RECORDS_AHEAD = 3000
_RECORDS_TOGETHER = 1000


class Outcome(msgspec.Struct):
    """How a run ended."""

    integration: str
    run: int
    state: str
    """green; attention (something is parked or held, whatever else is owed); owed (a system could not be reached or not take all; the next
    run goes on); failed; halted; stopped."""
    counts: Counts
    seconds: float
    error: str | None = None
    next_step: str = ""
    open: dict[str, int] = {}
    """Open deliveries by state, over all runs."""
    brake: Braked | None = None
    """Of a plan: the brake that would hold the run."""
    waiting: list[Waiting] = []
    """Of a run that leaves something owed: its systems from which nothing leaves for now, each with the end of that."""
    next_try_at: float | None = None
    """When the first of what is owed is tried again, in seconds since 1970 (UTC); None when nothing is owed, or it is due already."""
    store_failed: bool = False
    """It failed because the store could not be used."""


class Wanted(msgspec.Struct, frozen=True):
    """What a run is asked to do."""

    limit: int | None = None
    """Stop after so many records; the cursor stays."""
    only: str | None = None
    """Only the record with this id; the cursor stays."""
    redrive: tuple[int, ...] | Chosen = ()
    """Decide these dead letters again, and read nothing; `limit` is of them then."""
    pace: float | None = None
    """Of a redrive: so many a second, whatever the connection's limits would allow."""
    settlement: Settlement | None = None
    """Of a redrive: what a person says about them first."""
    send: bool = True
    """Without it the run stops at the outbox: a plan."""
    full: bool = False
    """Read the whole source, whatever was read before."""
    allow_deletes: int | None = None
    """The most deletions of this run, in place of `brakes: {deletes: N}`."""
    moved: bool = False
    """The systems are those that the links are about, though they are declared otherwise now."""
    mend: Mending | None = None
    """Send again what a verification found to have gone astray, and read nothing."""


EVERYTHING = Wanted()
"""A whole run."""


class Engine:
    """Runs integrations over one store."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        systems: Mapping[str, System],
        jobs: Mapping[str, CompiledIntegration],
        *,
        keep: Retention = retention.USUAL,
        journal_db: Database | None = None,
        tell: events.Listener = events.nobody,
    ) -> None:
        """A plan has its calls journaled in `journal_db`, because its own store is thrown away; `tell` is called with what happens."""
        self._db, self._clock, self._systems, self._jobs = db, clock, systems, jobs
        self._keep, self._journal_db, self._tell = keep, journal_db, tell
        self._stop: str | None = None
        self._current: _Pass | None = None

    def stop(self, why: str) -> None:
        """Ask the current run to end in good order: no new page, no new write; what is under way is waited for."""
        self._stop = why
        if self._current is not None:
            self._current.sender.halt(SafetyStop(why))

    @property
    def stopped(self) -> str | None:
        """Why it was asked to end, if it was."""
        return self._stop

    async def run(
        self,
        name: str,
        wanted: Wanted = EVERYTHING,
        *,
        guard: Guard | None = None,
        progress: Callable[[Counts], None] = lambda counts: None,
    ) -> Outcome:
        """Run an integration once. Raises `SafetyStop` when another process is running it, `StoreError` when the store can't be used."""
        job, clock, db = self._jobs[name], self._clock, self._db
        started, started_monotonic = clock.now(), clock.monotonic()
        db.check_room()
        known, longest = runs.state_of(db, name), started + LEASE_SECONDS
        if known is not None and known.lease_until > longest:
            id = known.id
            await db.commit(lambda connection: runs.shorten_lease(connection, id, longest))
        state, run = await db.commit(
            lambda connection: runs.begin(
                connection,
                name,
                mapping=job.fingerprint,
                holder=holder_name(os.getpid()),
                now=started,
                lease_seconds=LEASE_SECONDS,
                gone=has_ended,
            )
        )
        ledger = Ledger(db, clock, state.id, run, state.fence, name=name, journal_db=self._journal_db, tell=self._tell)
        token, retries = _LEDGER.set(ledger), READ_RETRIES.set(job.spec.retry)
        urgency = PRIORITY.set(_priority(wanted, state, job))
        self._tell(events.RunStarted(integration=name, run=ledger.told_run))
        heartbeat = asyncio.create_task(self._keep_lease(ledger))
        pass_ = _Pass(self, job, ledger, state, wanted, guard, progress)
        self._current = pass_
        deadline = asyncio.create_task(self._end_in_time(pass_, job.spec.max_run))
        ended, error, next_step, store_failed = "failed", None, "", False
        waiting: list[Waiting] = []
        try:
            async with asyncio.timeout(job.spec.max_run + _LAST_SECONDS):
                await pass_.go()
            ended, error, next_step = pass_.verdict()
        except TimeoutError:  # it was told to end, and did not
            ended, error, next_step = "owed", pass_.overdue, _GOES_ON
        except asyncio.CancelledError:
            ended, error = "stopped", "cancelled"
            raise
        except Refused:
            ended = pass_.verdict()[0]
            raise
        except TielineError as failure:
            ended = (
                "stopped"
                if self._stop
                else "owed"
                if pass_.overdue or isinstance(failure, PASSING)
                else "halted"
                if isinstance(failure, SafetyStop)
                else "failed"
            )
            error, next_step, store_failed = str(failure), failure.next_step, isinstance(failure, StoreError)
            if ended == "owed":
                ended, next_step = pass_.with_letters(ended, _GOES_ON)
        except BaseException as failure:
            error = f"an error in tieline itself: {type(failure).__name__}: {failure}"
            raise
        finally:
            self._current = None
            heartbeat.cancel()
            deadline.cancel()
            await pass_.close()
            if ended in ("owed", "attention"):
                waiting = pass_.waiting()
            _LEDGER.reset(token)
            READ_RETRIES.reset(retries)
            PRIORITY.reset(urgency)
            with contextlib.suppress(TielineError):
                await ledger.settle()
            with contextlib.suppress(TielineError):
                ledger.close_journal()
            went_well = ended in ("green", "attention", "owed")
            try:
                self._close(ledger, started, ended, error, drained=pass_.drained, complete=pass_.complete and went_well, job=job)
            except TielineError as failure:
                # A run that wrote nothing learns only here that it was taken over, or that the store takes nothing: then it has not gone well.
                if went_well:
                    ended = "halted" if isinstance(failure, SafetyStop) else "failed"
                    error, next_step, store_failed = str(failure), failure.next_step, isinstance(failure, StoreError)
            with contextlib.suppress(TielineError):
                ledger.close_journal()  # what could not be written a moment ago
            counts = {key: number for key, number in msgspec.to_builtins(ledger.counts).items() if number}
            took = clock.monotonic() - started_monotonic
            self._tell(
                events.RunEnded(
                    integration=name,
                    run=ledger.told_run,
                    state=ended,
                    seconds=took,
                    counts=counts,
                    error=error,
                    next_step=next_step or None,
                )
            )
        with contextlib.suppress(TielineError):
            self._prune(ledger)
        seconds, open_ = clock.monotonic() - started_monotonic, outbox.count_states(db, state.id)
        owed = bool(open_.get("owed") or open_.get("unknown"))
        next_try_at = outbox.next_due(db, state.id, clock.now()) if owed else None
        waiting = waiting if owed or error is not None else []
        return Outcome(name, run, ended, ledger.counts, seconds, error, next_step, open_, pass_.brake, waiting, next_try_at, store_failed)

    def _close(
        self, ledger: Ledger, started: float, state: str, error: str | None, *, drained: bool, complete: bool, job: CompiledIntegration
    ) -> None:
        now, counts = self._clock.now(), msgspec.to_builtins(ledger.counts)
        later = ledger.take_later()
        first = runs.first_delivery(self._db, ledger.run) if not drained else 0

        def unit(connection: sqlite3.Connection) -> None:
            runs.guard(connection, ledger.integration, ledger.fence, now)
            for other in later:
                other(connection)
            links.clear_directory(connection, ledger.integration)
            if not drained:
                why = "the run ended before it was known whether it had been done"
                outbox.doubt_sending(connection, ledger.integration, first, run=ledger.run, now=now, why=why)
            if complete:
                runs.complete(connection, ledger.integration, started, job.fingerprint)
            runs.end(connection, ledger.integration, ledger.run, now=now, state=state, counts=counts, error=error)

        self._db.write(unit)

    def _prune(self, ledger: Ledger) -> None:
        if self._journal_db is not None:
            return
        now, added = self._clock.now(), ledger.calls_made + ledger.counts.read
        dropped = retention.prune(self._db, self._keep, now=now, integration=ledger.integration, run=ledger.run, added=added)
        if dropped is not None:
            self._tell(events.CallsDropped(integration=ledger.name, run=ledger.run, calls=dropped.calls, bodies=dropped.bodies))

    async def _end_in_time(self, pass_: _Pass, seconds: float) -> None:
        await self._clock.sleep(seconds)
        pass_.end(f"the run took longer than `max_run`, {seconds:g} s")

    async def _keep_lease(self, ledger: Ledger) -> None:
        while True:
            await self._clock.sleep(LEASE_SECONDS / 4)
            with contextlib.suppress(TielineError):
                await ledger.commit(lambda connection: None)


class _Pass:
    """The steps of one run."""

    def __init__(
        self,
        engine: Engine,
        job: CompiledIntegration,
        ledger: Ledger,
        state: runs.State,
        wanted: Wanted,
        guard: Guard | None,
        progress: Callable[[Counts], None],
    ) -> None:
        self._engine, self._job, self._ledger, self._state, self._wanted = engine, job, ledger, state, wanted
        self._progress = progress
        source, target = engine._systems[job.source_connection], engine._systems[job.target_connection]
        self._source, self._target = source, target
        self._matcher = Matcher(job, target, ledger)
        if self._matcher.remembered is not None:
            ledger.later.append(self._matcher.remembered.pruning())
        self._matcher.first_meeting = state.complete_at is None
        db = ledger.db
        store_id = db.read("SELECT value FROM meta WHERE key = 'store_id'")[0][0]
        self.sender: Destination = (
            Sender(job, target, ledger, self._matcher, store_id=store_id, notify=lambda: progress(ledger.counts))
            if wanted.send
            else Nowhere()
        )
        self._pipeline = Pipeline(job, source, ledger, self._matcher, self.sender, guard=guard)
        self._redriver = Redriver(
            job,
            source,
            target,
            ledger,
            self._pipeline,
            self.sender,
            check_stopped=self._check_stopped,
            progress=lambda: progress(ledger.counts),
        )
        self._mender = Mender(
            job.name, ledger, self._pipeline, self.sender, check_stopped=self._check_stopped, progress=lambda: progress(ledger.counts)
        )
        # Also when no run was complete yet: its links may be of an older mapping.
        self._pipeline.compare_all = state.mapping != job.fingerprint
        self._pipeline.accept_undecided = wanted.send
        self._pipeline.note_only = job.spec.start == "now" and state.complete_at is None
        self._pipeline.brake_holds = wanted.send
        if wanted.allow_deletes is not None:
            self._pipeline.most_deletes = wanted.allow_deletes
        self.complete = self.drained = False
        self.overdue: str | None = None
        """Why it has to end, when it takes too long."""
        self._reading: AsyncGenerator[list[Page], None] | None = None

    async def close(self) -> None:
        """Stop reading and sending, whatever is still under way: nothing may outlive the run."""
        if self._reading is not None:
            await self._reading.aclose()
        await self.sender.close()

    async def go(self) -> None:
        """Do it all."""
        await self._check_ends()
        failure: TielineError | None = None
        try:
            wanted, owed = self._wanted, await self._send_owed()
            if wanted.redrive:
                if owed:
                    await self._check_kept()
                await self._redriver.redrive(wanted.redrive, pace=wanted.pace, limit=wanted.limit, settlement=wanted.settlement)
            elif wanted.mend is not None:
                if owed:
                    await self._check_kept()
                await self._mender.mend(wanted.mend)
            else:
                await self._redriver.take_waiting()
                if owed:
                    await self._check_kept()
                await self._read()
            await self._pipeline.settle()
        except StoreError:
            raise
        except TielineError as error:
            failure = error  # the source failed: what was accepted is delivered all the same
            with contextlib.suppress(SafetyStop):
                await self._pipeline.settle()
                if isinstance(error, Incomplete):
                    # A list that moves its cursor page by page may have passed what is missing: the next run reads from where this one did.
                    self._ledger.counts.missing += error.missing
                    await self._ledger.commit(lambda connection: runs.move_cursor(connection, self._ledger.integration, self._state.cursor))
        self.drained = await self.sender.drain(_PATIENCE_SECONDS if self._engine.stopped or self.overdue else None)
        if failure is not None:
            raise failure
        self._progress(self._ledger.counts)

    def end(self, why: str) -> None:
        """End in good order: no new page, no new write; what is under way is waited for."""
        self.overdue = why
        self.sender.halt(SafetyStop(why))

    def verdict(self) -> tuple[str, str | None, str]:
        """Return how the run ended: state, error, next step."""
        counts, halted = self._ledger.counts, self.sender.halted
        if self._engine.stopped is not None:
            return "stopped", self._engine.stopped, "run again: it goes on where it stopped"
        if self.overdue is not None:
            return "owed", self.overdue, _GOES_ON
        if self._wanted.send and not counts.balances:
            return (
                "failed",
                f"the books don't balance: read {counts.read}, accounted for {counts.settled}",
                "please report this as a bug of tieline",
            )
        if isinstance(halted, RemoteError) and needs_a_person(halted):
            return "failed", str(halted), halted.next_step
        if halted is not None:
            ended, next_step = self.with_letters("owed", "nothing was lost; the next run sends what is owed")
            return ended, str(halted), next_step
        open_ = outbox.count_states(self._ledger.db, self._ledger.integration)
        if self._wanted.send and (open_.get("owed") or open_.get("unknown")):
            ended, next_step = self.with_letters("owed", "the next run sends what is owed")
            (first,) = outbox.open_of(self._ledger.db, self._ledger.integration, ("owed", "unknown"), limit=1)
            unanswered = self._pipeline.unanswered  # what is owed undecided since earlier runs says what was so then
            now_known = first.operation == "none" and unanswered is not None
            return ended, str(unanswered) if now_known else first.why.get("message"), next_step
        ended, next_step = self.with_letters("green", "")
        return ended, None, next_step

    def with_letters(self, ended: str, next_step: str) -> tuple[str, str]:
        """Return a run's end and next step as they are when a person may have to act: that comes first, and hides nothing."""
        open_ = outbox.count_states(self._ledger.db, self._ledger.integration)
        if open_.get("held") or open_.get("dead"):
            return "attention", "; ".join(text for text in ("see `tieline dead-letters`", next_step) if text)
        return ended, next_step

    def waiting(self) -> list[Waiting]:
        """Return until when nothing leaves for the systems, and why."""
        systems = {system.name: system for system in (self._source, self._target)}.values()
        return [waiting for system in systems if (waiting := system.waiting()) is not None]

    @property
    def brake(self) -> Braked | None:
        """The brake that would hold this run, of a plan."""
        return self._pipeline.braked

    async def _send_owed(self) -> bool:
        """Hand what is owed from earlier runs to the sender; return whether anything was, of all records."""
        if not self._wanted.send:
            return False
        ledger, after, any_ = self._ledger, 0, False
        now = ledger.clock.now()
        last = runs.latest(ledger.db, ledger.integration, 2)[-1]
        clock_was_set_back = max(last.started_at, last.ended_at or 0.0) > now
        meant = self._meant()
        while chunk := outbox.open_of(ledger.db, ledger.integration, ("owed", "unknown"), after=after):
            after, any_ = chunk[-1].id, meant is None
            if meant is not None:
                chunk = [delivery for delivery in chunk if delivery.source_id in meant]
            chunk = [delivery for delivery in chunk if delivery.operation != "none"]  # those are undecided: `_take_waiting`
            for delivery in chunk:
                delivery.doubt = delivery.state == "unknown"
                if clock_was_set_back:
                    delivery.due_at = min(delivery.due_at, now + self._job.spec.retry.most)
            await self.sender.put(chunk)
            self._check_stopped()
        return any_

    async def _check_ends(self) -> None:
        """Raise `SafetyStop` when the links are about another system: ids of a sandbox mean other records in production, or none."""
        ledger, job = self._ledger, self._job
        known, now = shared.peek(ledger.db, _ENDS, job.name, list[str]), list(job.ends)
        if known == now:
            return
        if known is not None and not self._wanted.moved and links.is_any(ledger.db, ledger.integration):
            changed = "; ".join(
                f"`{key}` was {old}, and is {new}" for key, old, new in zip(("from", "to"), known, now, strict=True) if old != new
            )
            raise SafetyStop(
                f"{job.name}: what is linked was linked elsewhere: {changed}",
                next_step="another system needs a store of its own (`store` in tieline.yaml) or an integration of another name; "
                f"if it is the same one, which has moved: `tieline run {job.name} --moved`",
            )
        await ledger.commit(lambda connection: shared.put(connection, _ENDS, job.name, now))

    async def _check_kept(self) -> None:
        """Raise `SafetyStop` when the destination has not taken something for too long, and does not take it now either."""
        keep, ledger = self._job.spec.unavailable.keep if self._job.spec.unavailable else None, self._ledger

        def is_too_old() -> bool:
            oldest = outbox.oldest_owed(ledger.db, ledger.integration)
            return keep is not None and oldest is not None and ledger.clock.now() - oldest > keep

        if is_too_old():
            await self.sender.drain()
            if is_too_old():
                raise SafetyStop(
                    f"{self._job.spec.target} has not taken what is owed for longer than `unavailable: keep` allows; nothing was dropped, nothing new is read",
                    next_step="find out with the system's owner why it does not answer, or raise `keep`",
                )

    def _meant(self) -> set[str] | None:
        """Return the records that a person asked for, if it was some: they do not wait for all that is owed, nor use up what is kept for them."""
        if self._wanted.only is not None:
            return {self._wanted.only}
        if self._wanted.redrive and isinstance(self._wanted.redrive, tuple):
            letters = (outbox.get(self._ledger.db, id) for id in self._wanted.redrive)
            return {letter[1].source_id for letter in letters if letter is not None}
        return None

    async def _read(self) -> None:
        job, wanted, ledger = self._job, self._wanted, self._ledger
        if wanted.only is not None:
            await self._read_one(wanted.only)
            return
        since = None
        if self._state.cursor and not wanted.full and not self._pipeline.compare_all and job.fingerprint == self._state.mapping:
            since = msgspec.json.decode(self._state.cursor, type=Since)
        deletes = job.spec.deletes != "ignore"
        self._pipeline.look_again = since is None or since.mark is None
        left = wanted.limit
        last_since: Since | None = None
        may_move = left is None and not deletes and job.fingerprint == self._state.mapping
        self._reading = _ahead(self._source.read(job.source_resource, since), self._while_waiting)
        async for pages in self._reading:
            cursor: str | None = None
            first, again = _Taken(), _Taken()
            for page in pages:
                (again if page.again else first).add(page)
                if page.since is not None:
                    last_since = page.since
                    cursor = _encoded(page.since) if may_move else None
                if page.total is not None:
                    ledger.counts.total = page.total
                ledger.counts.not_modified += page.not_modified
            for taken in (first, again) if again.pages else (first,):
                await self._pipeline.take(
                    taken.records[:left], taken.ids[:left], unreadable=taken.unreadable, pages=taken.pages,
                    repeated=taken is again, cursor=cursor if taken is again or not again.pages else None,
                )  # fmt: skip
                if taken.deleted and left is None:
                    await self._pipeline.take_deletions(taken.deleted, repeated=taken is again)
            self._progress(ledger.counts)
            self._check_stopped()
            if isinstance(self.sender.halted, Unauthorized):
                return
            if left is not None:
                left -= len(first.records)
                if left <= 0:
                    return
        if left is not None:
            return
        # The last page's mark, or the whole list was read with a new mapping: only now the cursor may move.
        await self._pipeline.settle_deletions(_encoded(last_since) if last_since else None)
        self.complete = True

    async def _read_one(self, id: str) -> None:
        job, source = self._job, self._source
        self._pipeline.look_again = True
        if source.features(job.source_resource).get:
            with about(records=[id]):
                record = await source.get(job.source_resource, id)
            if record is None:
                raise TielineError(f"{job.spec.source} has no record {id}", next_step="check the id")
            await self._pipeline.take([record], [source.id_of(job.source_resource, record)])
            return
        async for page in source.read(job.source_resource, None):
            if id in page.ids:
                await self._pipeline.take([page.records[page.ids.index(id)]], [id])
                return
        raise TielineError(f"{job.spec.source} has no record {id}", next_step="check the id")

    async def _while_waiting(self) -> None:
        self._check_stopped()
        await self._pipeline.settle()  # what was accepted goes out, however long the next page takes
        self.sender.flush()

    def _check_stopped(self) -> None:
        if self._engine.stopped is not None:
            raise SafetyStop(self._engine.stopped, next_step="run again: it goes on where it stopped")
        if self.overdue is not None:
            raise SafetyStop(self.overdue, next_step=_GOES_ON)


class _Taken:
    """Pages that are taken together."""

    def __init__(self) -> None:
        self.pages = 0
        self.records: list[Record] = []
        self.ids: list[str | None] = []
        self.deleted: list[str] = []
        self.unreadable: list[Unreadable] = []

    def add(self, page: Page) -> None:
        """Add a page."""
        self.pages += 1
        if self.deleted and not {*self.deleted}.isdisjoint(page.ids):
            self.deleted = [id for id in self.deleted if id not in page.ids]  # it is there again
        self.records += page.records
        self.ids += page.ids
        self.deleted += page.deleted
        self.unreadable += page.unreadable


async def _ahead(pages: AsyncIterator[Page], idle: Callable[[], Awaitable[None]]) -> AsyncGenerator[list[Page], None]:
    """Yield the pages that have come while the last ones were dealt with; call `idle` when the next takes long.

    A fast source so gets few large commits, a slow one is never waited for. Not many more than `_RECORDS_AHEAD` are held.
    """
    queue: asyncio.Queue[Page | BaseException | None] = asyncio.Queue()
    held, room = 0, asyncio.Event()

    async def fetch() -> None:
        nonlocal held
        try:
            async for page in pages:
                queue.put_nowait(page)
                held += 1 + len(page.records)
                while held > _RECORDS_AHEAD:
                    room.clear()
                    await room.wait()
        except Exception as error:  # noqa: BLE001 - raised again where the pages are used
            queue.put_nowait(error)
        else:
            queue.put_nowait(None)

    fetching = asyncio.create_task(fetch())
    try:
        entry: Page | BaseException | None
        while True:
            if queue.empty():
                waiting = asyncio.ensure_future(queue.get())
                while not (await asyncio.wait({waiting}, timeout=1.0))[0]:
                    await idle()
                entry = waiting.result()
            else:
                entry = queue.get_nowait()
            together: list[Page] = []
            while isinstance(entry, Page):
                together.append(entry)
                held -= 1 + len(entry.records)
                room.set()
                if queue.empty() or sum(len(page.records) for page in together) >= _RECORDS_TOGETHER:
                    break
                entry = queue.get_nowait()
            if together:
                yield together
            if isinstance(entry, BaseException):
                raise entry
            if entry is None:
                return
    finally:
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)


def _priority(wanted: Wanted, state: runs.State, job: CompiledIntegration) -> Priority:
    """Whose calls go first: a person's, then what keeps both systems alike, then what fills up what was there before."""
    if not wanted.send or wanted.only is not None or (wanted.redrive and isinstance(wanted.redrive, tuple)):
        return "interactive"
    if wanted.redrive or wanted.mend is not None:
        return "live"  # all of a cause may be a great many
    return "backfill" if state.complete_at is None or state.mapping != job.fingerprint else "live"


def _encoded(since: Since) -> str:
    return msgspec.json.encode(since).decode()
