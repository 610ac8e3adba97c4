"""What is new at the destination, and has no counterpart: where a record is that is not found under its match key any more.

That a search by a match key finds nothing proves that a record was not made only if no one can have changed the key since. So the destination's list is
read as well: what has changed since the doubted writes were accepted, where the list tells that by time, else all of it. One read answers for
every write whose answer was over before the read began.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from tieline.dialects.dialect import Since, System
from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.ledger import Ledger
from tieline.engine.core.linked import Links
from tieline.engine.intake.absence import lag_of
from tieline.model.errors import Undecodable, Unsettled
from tieline.model.records import Values
from tieline.store import outbox
from tieline.store.delivery import Delivery
from tieline.sync.decide import Candidate

_EARLIER_SECONDS = 3600.0
"""So far before a write was accepted the read begins: the vendor's clock may be behind ours."""


_MOST_WAIT_SECONDS = 300.0
"""What takes longer to be shown is for a later run."""


class _Read:
    """One read of the list: what it showed without a counterpart, by match key and by id."""

    def __init__(self, began: float, since: float | None) -> None:
        self.began, self.since = began, since
        self.records: dict[str, tuple[str | None, Values]] = {}

    def answers(self, accepted_at: float, over_at: float) -> bool:
        """Whether it must show what a write made that was accepted then, and was over then."""
        return self.began >= over_at and (self.since is None or self.since <= accepted_at - _EARLIER_SECONDS)


class News:
    """Reads what is new, for one integration, as seldom as can be."""

    def __init__(self, job: CompiledIntegration, target: System, ledger: Ledger, links: Links) -> None:
        self._job, self._target, self._ledger, self._links = job, target, ledger, links
        self._began = ledger.clock.monotonic()
        self.lag = max(job.list_lag, lag_of(ledger.db, target, job.target_resource).any)
        """For how many seconds the list need not show what was made."""
        self._read: _Read | None = None
        self._reading = asyncio.Lock()

    @property
    def can_be_read(self) -> bool:
        """Whether the destination has a list."""
        return self._job.target.list

    @property
    def is_cheap(self) -> bool:
        """Whether the list tells what has changed since a time, so that it need not be read whole."""
        points = self._job.target_points
        return points is not None and points.mark_at(0.0) is not None

    async def with_key(self, delivery: Delivery, since: float, key: str) -> list[Candidate]:
        """Return what is new under a match key, since its record was accepted first. Raises `RemoteError`."""
        read = await self._that_answers(delivery, since)
        return self._candidates(read, [id for id, (other, _) in read.records.items() if other == key])

    async def without_counterpart(self, delivery: Delivery, since: float) -> list[Candidate]:
        """Return what is new, since its record was accepted first, and is no one's counterpart. Raises `RemoteError`."""
        read = await self._that_answers(delivery, since)
        alone = [one for one in self._candidates(read, read.records) if one.linked_to is None]
        # What has the match key of a source record is that one's, perhaps made by a write that is in doubt as well.
        keys = {key for one in alone if (key := read.records[one.id][0]) is not None}
        meant = self._links.of_match_keys(self._ledger.db, self._ledger.integration, list(keys)) if keys else {}
        return [one for one in alone if read.records[one.id][0] not in meant]

    def keys_of(self, candidates: Collection[Candidate]) -> dict[str, str | None]:
        """Return {id: match key} of records that the last read showed."""
        return {one.id: self._read.records[one.id][0] for one in candidates if self._read is not None and one.id in self._read.records}

    def _candidates(self, read: _Read, ids: Collection[str]) -> list[Candidate]:
        owners = self._links.of_targets(self._ledger.db, self._ledger.integration, list(ids)) if ids else {}
        return [Candidate(id, read.records[id][1], owners[id].source_id if id in owners else None) for id in ids]

    async def _that_answers(self, delivery: Delivery, since: float) -> _Read:
        """Return a read that began after a write was over, once the list can show it."""
        clock = self._ledger.clock
        over_at = self._over_at(delivery) + self.lag
        if over_at - clock.monotonic() > _MOST_WAIT_SECONDS:
            raise Unsettled(f"{self._job.spec.target}: its list may not show yet what was made")
        async with self._reading:
            if self._read is None or not self._read.answers(since, over_at):
                if (early := over_at - clock.monotonic()) > 0:
                    await clock.sleep(early)
                oldest = outbox.oldest_owed(self._ledger.db, self._ledger.integration)
                self._read = await self._read_since(min(since, oldest) if oldest is not None else since)
            return self._read

    def _over_at(self, delivery: Delivery) -> float:
        """Return when the last attempt was over at the latest, by the clock that is never set: of an earlier run, before it was due again."""
        if delivery.answered_at is not None:
            return delivery.answered_at
        clock = self._ledger.clock
        return min(self._began, clock.monotonic() - max(0.0, clock.now() - delivery.due_at)) if delivery.due_at else self._began

    async def _read_since(self, accepted_at: float) -> _Read:
        job, points = self._job, self._job.target_points
        at = accepted_at - _EARLIER_SECONDS
        mark = points.mark_at(at) if points is not None else None
        read = _Read(self._ledger.clock.monotonic(), at if mark is not None else None)
        async for page in self._target.read(job.target_resource, Since(mark, mark) if mark is not None else None, strict=True):
            if page.unreadable or None in page.ids:
                raise Undecodable(
                    f"{job.spec.target}: a record on page {page.number} of the list can't be read or has no id: it may be the one that is looked for",
                    next_step="correct the resource in the connector",
                )
            for id, record in zip(page.ids, page.records, strict=True):
                if id is not None:
                    read.records[id] = job.target_key(record), job.project_target(record)
        return read
