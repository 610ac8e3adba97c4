"""What one run shares: its lease, its counts, its calls, and the ids it hands out.

Every commit of a run goes through `Ledger.commit`, which renews the lease inside it: a run that was taken over can't commit. Calls made
since the last commit are written with the next; a process that dies in between loses their lines, never what they were about: a delivery
that may have left says so in its own row before it leaves.

Which records a call is about is told by `about`, around whatever makes it.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from tieline.model import events
from tieline.model.clock import Clock
from tieline.store import calls, outbox, runs
from tieline.store.database import Database, Transaction, reserve
from tieline.store.delivery import Delivery
from tieline.store.journal import Event
from tieline.transport.recording import CallRecord, Said

T = TypeVar("T")
LEASE_SECONDS = 60.0
_IDS_AT_ONCE = 10_000
_MOST_TOLD = 10
_MOST_RECENT = 256
_NOTE_SECONDS = 1.0
"""How often a run that is going on says what it has done so far."""


class About(NamedTuple):
    """What the calls that are being made are about: deliveries, or records by their source ids."""

    deliveries: Sequence[Delivery] = ()
    records: Sequence[str] = ()


_NOTHING = About()
_ABOUT: contextvars.ContextVar[About] = contextvars.ContextVar("about", default=_NOTHING)


@contextlib.contextmanager
def about(*, deliveries: Sequence[Delivery] = (), records: Sequence[str] = ()) -> Iterator[None]:
    """Let the calls that are made within be journaled with the records that they are about."""
    token = _ABOUT.set(About(deliveries, records))
    try:
        yield
    finally:
        _ABOUT.reset(token)


def journaled(id: int, record: CallRecord, integration: int | None, run: int | None, concern: About = _NOTHING) -> calls.Call:
    """Return a call as the journal keeps it. A delivery will name the call that settles it, so its record is only named of a failure."""
    deliveries, purpose = concern.deliveries, record.purpose
    call = calls.Call(
        id, record.at, record.connection, integration, run, record.method, record.url, record.status, record.seconds,
        record.waited, record.sent, record.received, record.attempt, record.failure, record.answer,
        purpose.operation, purpose.resource, purpose.page,
        calls.spans([delivery.id for delivery in deliveries]) if deliveries else None,
    )  # fmt: skip
    if record.failure is not None or concern.records:
        call.records = (*concern.records, *(delivery.source_id for delivery in deliveries))
    if record.said is not None:
        call.body = body_of(record.said)
    return call


def body_of(said: Said) -> calls.Body:
    """Return what was said as the journal keeps it."""
    return calls.Body(said.request_headers, said.request, said.answer_headers, said.answer)


class Counts(msgspec.Struct):
    """What became of what was read. `read` is the sum of the others up to `superseded`, or the run is not green."""

    read: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    filtered: int = 0
    held: int = 0
    parked: int = 0
    owed: int = 0
    superseded: int = 0
    matched: int = 0
    """Found their counterpart in this run; counted among the others as well."""
    repeated: int = 0
    """Came once more, on one page or because a list was read again; not counted as read."""
    carried_delivered: int = 0
    """Owed from earlier runs, and delivered in this one."""
    carried_parked: int = 0
    carried_owed: int = 0
    pages: int = 0
    total: int = 0
    """How many records there are, when the source said so; 0 otherwise."""
    missing: int = 0
    """How many records a system says that it has, and did not show: they could not be read, and the run is not green."""
    undated: int = 0
    """Records that don't say when they changed, though the connector names a field for it: a list of changes would not show them, and the run
    is not green."""
    expired: int = 0
    """How many times a system said that the point of the last read is too old, so that everything was read."""
    redeclared: int = 0
    """How many times the connector asked for changes otherwise than when the last read left its point, so that everything was read."""
    remembered: int = 0
    """Searches of the destination that were answered from memory."""
    not_modified: int = 0
    """1 when the source said that nothing has changed, so that nothing was read."""
    webhooks: int = 0
    """How many webhooks the run has taken up; what became of their records is counted among the others."""

    @property
    def written(self) -> int:
        """Records that were created, updated or deleted in the destination."""
        return self.created + self.updated + self.deleted

    @property
    def settled(self) -> int:
        """Records of which it is known what became of them."""
        return self.written + self.unchanged + self.filtered + self.held + self.parked + self.owed + self.superseded

    @property
    def balances(self) -> bool:
        """Whether everything that was read is accounted for."""
        return self.read == self.settled


class Ledger:
    """The books of one run."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        integration: int,
        run: int,
        fence: int,
        *,
        name: str = "",
        lease: int | None = None,
        journal_db: Database | None = None,
        tell: events.Listener = events.nobody,
    ) -> None:
        """`name` is the integration's; `lease` is the integration whose lease guards the commits, where several share that of one.

        Calls are journaled in `journal_db`, where that is another store: a plan's calls are real.
        """
        self.db, self.clock, self.integration, self.run, self.fence, self.name = db, clock, integration, run, fence, name
        self.lease = integration if lease is None else lease
        self.tell = tell
        """Called with what happens, for whoever listens."""
        self.told_run = run if journal_db is None else None
        """The run's number, for people; None of a plan, whose number is gone with its store."""
        self._renewed = clock.now(), clock.monotonic()
        self._counts_noted = clock.monotonic()
        self.told: Callable[[], Counts] = lambda: self.counts
        """What the run has done so far, for `status`: of both ways, where there are two."""
        self._under_way = 0
        """Commits that were begun and whose end no one has seen: who was cancelled stopped waiting, and the store goes on."""
        self.counts = Counts()
        self.calls_made = 0
        self._journal_db = journal_db
        self._calls: list[calls.Call] = []
        self._recent: deque[calls.Call] = deque(maxlen=_MOST_RECENT)
        """What an answer means may be known a moment later, when its call is written already."""
        self.later: list[Callable[[Transaction], None]] = []
        """Units that are in no hurry: they are committed with the next one."""
        self._next: dict[str, tuple[int, int]] = {}
        self._blocks: dict[str, int] = {}

    def ids(self, sequence: str, count: int) -> int:
        """Reserve `count` fresh ids, known before their rows are written, and return the first."""
        first, end = self._next.get(sequence, (0, 0))
        if first + count > end:
            # A short run gives out small numbers, which people have to type; a long one asks seldom.
            block = self._blocks[sequence] = min(self._blocks.get(sequence, 4) * 4, _IDS_AT_ONCE)
            more = max(count, block)
            db = self._journal_db if self._journal_db is not None and sequence == "call" else self.db
            first = db.write(lambda connection: reserve(connection, sequence, more))
            end = first + more
        self._next[sequence] = (first + count, end)
        return first

    def observe(self, record: CallRecord) -> int:
        """Note a call for the journal and return its id."""
        id, concern = self.ids("call", 1), _ABOUT.get()
        call = journaled(id, record, self.integration, self.told_run, concern)
        self._calls.append(call)
        self._recent.append(call)
        self.calls_made += 1
        if call.failure is not None and self.tell is not events.nobody:
            self._tell_failed(call, record.told_url or call.url)
        return id

    @property
    def calls_waiting(self) -> int:
        """How many calls are not in the journal yet: they go with the next commit."""
        return len(self._calls)

    def amend(self, id: int | None, failure: str | None, said: Said | None) -> None:
        """Correct the class of a call that was noted just now: its answer is a failure after all, or none."""
        call = self._noted(id)
        if call is None:
            return
        call.failure, call.body = failure, body_of(said) if said is not None else None
        call.records = tuple(delivery.source_id for delivery in _ABOUT.get().deliveries) if failure else ()
        if failure is None:
            call.answer = None
        elif self.tell is not events.nobody:
            self._tell_failed(call, call.url)

    def refused(self, id: int | None, source_ids: Sequence[str]) -> None:
        """Note that records were refused in a call that went well otherwise."""
        call = self._noted(id)
        if call is not None and call.failure is None:
            call.refused, call.records = len(source_ids), (*call.records, *source_ids)

    def take_calls(self) -> list[calls.Call]:
        """Return the calls that are not in the journal yet; the caller writes them."""
        taken, self._calls = self._calls, []
        return taken

    def take_later(self) -> list[Callable[[Transaction], None]]:
        """Return the units that were in no hurry; the caller runs them."""
        later, self.later = self.later, []
        return later

    async def commit(self, unit: Callable[[Transaction], T]) -> T:
        """Run a unit in a commit that holds only while the lease does. Raises `SafetyStop` when it was lost."""
        made, later = self.take_calls(), self.take_later() if self.later else ()
        if self._journal_db is not None:
            made, self._calls = [], made
            self.close_journal()
        lease_until = self.clock.now() + LEASE_SECONDS
        counts = self._counts_to_note()

        def guarded(connection: Transaction) -> T:
            runs.guard(connection, self.lease, self.fence, lease_until)
            if made:
                calls.record(connection, made)
            if counts is not None:
                runs.note_counts(connection, self.run, counts)
            for other in later:
                other(connection)
            return unit(connection)

        self._under_way += 1
        try:
            result = await self.db.commit(guarded)
        except Exception:
            self._under_way -= 1
            self._calls = made + self._calls  # nothing of it was written: they go with the next
            self.later = [*later, *self.later]
            raise
        self._under_way -= 1
        self._renewed = lease_until - LEASE_SECONDS, self.clock.monotonic()
        return result

    def _counts_to_note(self) -> dict[str, int] | None:
        """Return what `status` shows of a run that is going on, about once a second; a plan is shown nowhere."""
        now = self.clock.monotonic()
        if self._journal_db is not None or now - self._counts_noted < _NOTE_SECONDS:
            return None
        self._counts_noted = now
        return {key: number for key, number in msgspec.to_builtins(self.told()).items() if number}

    async def settle(self) -> None:
        """Wait for the commits that no one waits for any more: once the lease is given up they would fail, and take calls along."""
        if self._under_way:
            await self.db.commit(lambda connection: None)

    async def check_lease(self) -> None:
        """Raise `SafetyStop` when another process has taken over; the store is only asked when the lease was not renewed for long.

        A process that was asleep finds in its memory what it was about to send, and the other one may have sent it meanwhile.
        """
        at, at_monotonic = self._renewed
        clock = self.clock
        # Both clocks: one stands still while the machine sleeps, the other may be set back.
        if max(clock.now() - at, clock.monotonic() - at_monotonic) > LEASE_SECONDS / 2:
            await self.commit(lambda connection: None)

    def close_journal(self) -> None:
        """Write the calls that no commit took with it. Also without the lease: who lost it made them all the same."""
        made = self.take_calls()
        try:
            if made:
                (self._journal_db or self.db).write(lambda connection: calls.record(connection, made))
        except Exception:
            self._calls = made + self._calls
            raise

    def _noted(self, id: int | None) -> calls.Call | None:
        """Return a call that was noted just now. One that is written already is written again, with what has changed."""
        for call in reversed(self._calls):
            if call.id == id:
                return call
        recent = next((call for call in reversed(self._recent) if call.id == id), None)
        if recent is not None:
            self._calls.append(recent)
        return recent

    def _tell_failed(self, call: calls.Call, url: str) -> None:
        assert call.failure is not None
        self.tell(
            events.CallFailed(
                integration=self.name, run=self.told_run, call=call.id, connection=call.connection, method=call.method, url=url,
                status=call.status, kind=call.failure, attempt=call.attempt, seconds=call.seconds, waited_seconds=call.waited,
                records=call.records[:_MOST_TOLD], more_records=max(0, len(call.records) - _MOST_TOLD),
            )
        )  # fmt: skip

    def event(self, source_id: str | None, kind: str, **detail: Any) -> Event:
        """Return an event of this run."""
        return Event(
            self.clock.now(),
            self.integration,
            self.run,
            source_id,
            kind,
            msgspec.json.encode(detail, enc_hook=str).decode() if detail else None,
        )

    async def set_states(self, deliveries: Sequence[Delivery]) -> None:
        """Write the states that deliveries have now."""
        now = self.clock.now()

        def unit(connection: Transaction) -> None:
            for delivery in deliveries:
                outbox.set_state(connection, delivery, now=now, run=self.run)

        await self.commit(unit)


class LedgerBeside(Ledger):
    """The books of a run's second outbox: counts of its own; the lease, the calls and the ids are the first one's."""

    def __init__(self, first: Ledger, integration: int) -> None:
        super().__init__(
            first.db, first.clock, integration, first.run, first.fence, lease=first.integration, name=first.name, tell=first.tell
        )
        self._first, self.told_run = first, first.told_run

    def ids(self, sequence: str, count: int) -> int:
        """Reserve ids, out of the same blocks."""
        return self._first.ids(sequence, count)

    def observe(self, record: CallRecord) -> int:
        """Note a call with the first."""
        return self._first.observe(record)

    def amend(self, id: int | None, failure: str | None, said: Said | None) -> None:
        """Correct a call."""
        self._first.amend(id, failure, said)

    def refused(self, id: int | None, source_ids: Sequence[str]) -> None:
        """Note that records were refused in a call."""
        self._first.refused(id, source_ids)

    def take_calls(self) -> list[calls.Call]:
        """Return the calls that are not in the journal yet."""
        return self._first.take_calls()

    async def commit(self, unit: Callable[[Transaction], T]) -> T:
        """Run a unit in a commit of the first: one lease, one journal."""
        self._first.later += self.take_later()
        return await self._first.commit(unit)


def tell_set_aside(ledger: Ledger, delivery: Delivery) -> None:
    """Tell whoever listens that a delivery waits for a person."""
    if ledger.tell is events.nobody:
        return
    kind = events.DeliveryParked if delivery.state == "dead" else events.DeliveryHeld
    why = delivery.why
    ledger.tell(
        kind(
            integration=ledger.name, run=ledger.run, delivery=delivery.id, record=delivery.source_id, call=delivery.call,
            cause=str(why.get("kind", "")), field=why.get("field"),
        )
    )  # fmt: skip
