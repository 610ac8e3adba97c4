"""What one run shares: its lease, its counts, its calls, and the ids it hands out.

Every commit of a run goes through `Ledger.commit`, which renews the lease inside it: a run that was taken over can't commit. Calls made
since the last commit are written with the next.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from tieline.model.clock import Clock
from tieline.store import journal, outbox, runs
from tieline.store.database import Database, reserve
from tieline.store.journal import Event
from tieline.transport.caller import CallRecord

T = TypeVar("T")
LEASE_SECONDS = 60.0
_IDS_AT_ONCE = 10_000


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
    """Came twice on one page; not counted as read."""
    carried_delivered: int = 0
    """Owed from earlier runs, and delivered in this one."""
    carried_parked: int = 0
    carried_owed: int = 0
    pages: int = 0
    total: int = 0
    """How many records there are, when the source said so; 0 otherwise."""

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

    def __init__(self, db: Database, clock: Clock, integration: int, run: int, fence: int) -> None:
        self.db, self.clock, self.integration, self.run, self.fence = db, clock, integration, run, fence
        self.counts = Counts()
        self._calls: list[journal.Call] = []
        self._next: dict[str, tuple[int, int]] = {}
        self._block = 4

    def ids(self, sequence: str, count: int) -> int:
        """Reserve `count` fresh ids, known before their rows are written, and return the first."""
        first, end = self._next.get(sequence, (0, 0))
        if first + count > end:
            # A short run gives out small numbers, which people have to type; a long one asks seldom.
            self._block = min(self._block * 4, _IDS_AT_ONCE)
            more = max(count, self._block)
            first = self.db.write(lambda connection: reserve(connection, sequence, more))
            end = first + more
        self._next[sequence] = (first + count, end)
        return first

    def observe(self, record: CallRecord) -> int:
        """Note a call for the journal and return its id."""
        call = self.ids("call", 1)
        self._calls.append(
            journal.Call(
                call, record.at, record.connection, self.integration, self.run, record.method, record.url, record.status, record.seconds,
                record.waited, record.sent, record.received, record.attempt, record.failure, record.answer,
            )
        )  # fmt: skip
        return call

    @property
    def calls_waiting(self) -> int:
        """How many calls are not in the journal yet: they go with the next commit."""
        return len(self._calls)

    def take_calls(self) -> list[journal.Call]:
        """Return the calls that are not in the journal yet; the caller writes them."""
        calls, self._calls = self._calls, []
        return calls

    async def commit(self, unit: Callable[[sqlite3.Connection], T]) -> T:
        """Run a unit in a commit that holds only while the lease does. Raises `SafetyStop` when it was lost."""
        calls = self.take_calls()
        lease_until = self.clock.now() + LEASE_SECONDS

        def guarded(connection: sqlite3.Connection) -> T:
            runs.guard(connection, self.integration, self.fence, lease_until)
            if calls:
                journal.record_calls(connection, calls)
            return unit(connection)

        try:
            return await self.db.commit(guarded)
        except sqlite3.IntegrityError:
            self._calls = calls + self._calls  # the unit is taken apart and tried again
            raise

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

    async def set_state(self, delivery: outbox.Delivery) -> None:
        """Write the state that a delivery has now."""
        now = self.clock.now()
        await self.commit(lambda connection: outbox.set_state(connection, delivery, now=now, run=self.run))
