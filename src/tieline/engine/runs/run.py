"""One pass of an integration: take the lease, send what is still owed, read page by page, deliver, and balance the books."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
from collections.abc import Callable, Mapping

import msgspec

from tieline.dialects.dialect import System, Waiting
from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.failures import PASSING
from tieline.engine.core.ledger import LEASE_SECONDS, Counts, Ledger
from tieline.engine.core.two_sides import TwoWayIntegration
from tieline.engine.decide.pipeline import Guard
from tieline.engine.intake.unseen import remember
from tieline.engine.runs.one_way import OneWayPass
from tieline.engine.runs.passes import EVERYTHING, GOES_ON, PATIENCE_SECONDS, Outcome, Pass, Wanted
from tieline.engine.runs.two_way import TwoWayPass
from tieline.model import events
from tieline.model.clock import Clock
from tieline.model.errors import Refused, SafetyStop, StoreError, TielineError
from tieline.model.holder import has_ended, holder_name
from tieline.model.ids import named
from tieline.store import links, outbox, retention, runs
from tieline.store.database import Database, Transaction
from tieline.store.retention import Retention
from tieline.transport.caller import READ_RETRIES
from tieline.transport.limits.priority import PRIORITY, Priority
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


_LAST_SECONDS = 2 * PATIENCE_SECONDS
"""What a run gets to end in good order once it is over time."""


class Engine:
    """Runs integrations over one store."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        systems: Mapping[str, System],
        jobs: Mapping[str, CompiledIntegration | TwoWayIntegration],
        *,
        keep: Retention = retention.USUAL,
        journal_db: Database | None = None,
        tell: events.Listener = events.nobody,
    ) -> None:
        """A plan has its calls journaled in `journal_db`, because its own store is thrown away; `tell` is called with what happens."""
        self._db, self._clock, self._systems, self._jobs = db, clock, systems, jobs
        self._keep, self._journal_db, self._tell = keep, journal_db, tell
        self._stop: str | None = None
        self._current: Pass | None = None

    def stop(self, why: str) -> None:
        """Ask the current run to end in good order: no new page, no new write; what is under way is waited for."""
        self._stop = why
        if self._current is not None:
            self._current.halt(SafetyStop(why))

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
        """Run an integration once.

        Raises `Refused` when it can't be run so: then nothing was begun; `SafetyStop` when another process is running it; `StoreError` when
        the store can't be used.
        """
        job, clock, db = self._jobs[name], self._clock, self._db
        _check_options(name, job, wanted)
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
                beside=runs.back(name) if isinstance(job, TwoWayIntegration) else None,
            )
        )
        ledger = Ledger(db, clock, state.id, run, state.fence, name=name, journal_db=self._journal_db, tell=self._tell)
        token, retries = _LEDGER.set(ledger), READ_RETRIES.set(job.spec.retry)
        urgency = PRIORITY.set(_priority(wanted, state, job.fingerprint))
        self._tell(events.RunStarted(integration=name, run=ledger.told_run))
        heartbeat = asyncio.create_task(self._keep_lease(ledger))
        pass_ = self._pass(job, ledger, state, wanted, guard, progress)
        ledger.told = lambda: pass_.counts
        self._current = pass_
        deadline = asyncio.create_task(self._end_in_time(pass_, job.spec.max_run))
        ended, error, next_step, store_failed = "failed", None, "", False
        waiting: list[Waiting] = []
        try:
            async with asyncio.timeout(job.spec.max_run + _LAST_SECONDS):
                await pass_.go()
            ended, error, next_step = pass_.verdict()
        except TimeoutError:  # it was told to end, and did not
            ended, error, next_step = "owed", pass_.overdue, GOES_ON
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
                ended, next_step = pass_.with_letters(ended, GOES_ON)
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
                self._close(
                    pass_,
                    ledger,
                    started,
                    ended,
                    error,
                    complete=pass_.complete and went_well and not pass_.counts.undated,
                    mapping=job.fingerprint,
                )
            except TielineError as failure:
                # A run that wrote nothing learns only here that it was taken over, or that the store takes nothing: then it has not gone well.
                if went_well:
                    ended = "halted" if isinstance(failure, SafetyStop) else "failed"
                    error, next_step, store_failed = str(failure), failure.next_step, isinstance(failure, StoreError)
            with contextlib.suppress(TielineError):
                ledger.close_journal()  # what could not be written a moment ago
            counts = {key: number for key, number in msgspec.to_builtins(pass_.counts).items() if number}
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
        seconds, open_ = clock.monotonic() - started_monotonic, pass_.open_states()
        owed = bool(open_.get("owed") or open_.get("unknown"))
        next_try_at = pass_.next_try_at(clock.now()) if owed or ended == "owed" else None
        waiting = waiting if owed or error is not None else []
        return Outcome(
            name, run, ended, pass_.counts, seconds, error, next_step, open_, pass_.brakes, pass_.wrong, waiting, next_try_at, store_failed
        )

    def _pass(
        self,
        job: CompiledIntegration | TwoWayIntegration,
        ledger: Ledger,
        state: runs.State,
        wanted: Wanted,
        guard: Guard | None,
        progress: Callable[[Counts], None],
    ) -> Pass:
        stopped, told = lambda: self._stop, lambda: progress(pass_.counts)
        pass_: Pass
        if isinstance(job, TwoWayIntegration):
            sides = {side: self._systems[half.connection] for side, half in job.halves.items()}
            pass_ = TwoWayPass(job, sides, ledger, state, wanted, guard, stopped=stopped, progress=told)
        else:
            source, target = self._systems[job.source_connection], self._systems[job.target_connection]
            pass_ = OneWayPass(job, source, target, ledger, state, wanted, guard, stopped=stopped, progress=told)
        return pass_

    def _close(self, pass_: Pass, ledger: Ledger, started: float, state: str, error: str | None, *, complete: bool, mapping: str) -> None:
        now, counts = self._clock.now(), msgspec.to_builtins(pass_.counts)
        outboxes = [way.ledger.integration for way in pass_.ways]
        later = ledger.take_later()
        first = runs.first_delivery(self._db, ledger.run) if not pass_.drained else 0

        def unit(connection: Transaction) -> None:
            runs.guard(connection, ledger.integration, ledger.fence, now)
            for other in later:
                other(connection)
            for number in outboxes:
                links.clear_directory(connection, number)
                if not pass_.drained:
                    why = "the run ended before it was known whether it had been done"
                    outbox.doubt_sending(connection, number, first, run=ledger.run, now=now, why=why)
                if complete:
                    runs.complete(connection, number, started, mapping)
            if pass_.unseen is not None:
                remember(connection, ledger.name, pass_.unseen)
            runs.end(connection, ledger.integration, ledger.run, now=now, state=state, counts=counts, error=error)

        self._db.write(unit)

    def _prune(self, ledger: Ledger) -> None:
        if self._journal_db is not None:
            return
        now, added = self._clock.now(), ledger.calls_made + ledger.counts.read
        dropped = retention.prune(self._db, self._keep, now=now, integration=ledger.integration, run=ledger.run, added=added)
        if dropped is not None:
            self._tell(events.CallsDropped(integration=ledger.name, run=ledger.run, calls=dropped.calls, bodies=dropped.bodies))

    async def _end_in_time(self, pass_: Pass, seconds: float) -> None:
        await self._clock.sleep(seconds)
        pass_.end(f"the run took longer than `max_run`, {seconds:g} s")

    async def _keep_lease(self, ledger: Ledger) -> None:
        while True:
            await self._clock.sleep(LEASE_SECONDS / 4)
            with contextlib.suppress(TielineError):
                await ledger.commit(lambda connection: None)


def _check_options(name: str, job: CompiledIntegration | TwoWayIntegration, wanted: Wanted) -> None:
    """Raise `Refused` when an integration can't be run with what is wanted."""
    why = ""
    if isinstance(job, TwoWayIntegration):
        if wanted.limit is not None and not wanted.redrive:
            why = "is two-way, and nothing is decided before both sides were read whole: `--limit` has no place here"
    elif wanted.side is not None:
        why = "goes one way, and is run for records of its source: `--side` has no place here"
    elif wanted.allow_clears is not None:
        why = "goes one way, where no brake is on emptied fields: `--allow-clears` has no place here"
    if why:
        raise Refused(f"{name} {why}", next_step="leave it out")
    if wanted.only is not None:
        named(wanted.only, "of the record")
    if wanted.settlement is not None and wanted.settlement.target_id is not None:
        named(wanted.settlement.target_id, "of the destination's record")


def _priority(wanted: Wanted, state: runs.State, mapping: str) -> Priority:
    """Whose calls go first: a person's, then what keeps both systems alike, then what fills up what was there before."""
    if not wanted.send or wanted.only is not None or (wanted.redrive and isinstance(wanted.redrive, tuple)):
        return "interactive"
    if wanted.redrive or wanted.mend is not None:
        return "live"  # all of a cause may be a great many
    return "backfill" if state.complete_at is None or state.mapping != mapping else "live"
