"""Sending what has gone astray in the destination: a run over what a verification found there.

A record that was changed there gets those fields again; one that is gone meets the destination again. Both go the way of every change, so
they are matched, checked, paced and journaled as such. What has moved on since it was looked at is left alone: another run may have sent a
newer version meanwhile, or deleted the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tieline.engine.core.destination import Destination
from tieline.engine.core.ledger import Ledger
from tieline.engine.decide.pipeline import Pipeline
from tieline.model.errors import SafetyStop
from tieline.model.records import Record, encode_json
from tieline.store import journal, links, outbox, spellings
from tieline.store.links import Link
from tieline.store.spellings import Spelled


class Mend(msgspec.Struct):
    """A record to be sent again."""

    source_id: str
    target_id: str
    record: Record
    source_shadow: bytes
    """JSON: the source's fields, as they were when it was looked at."""
    shadow: bytes | None
    """JSON: the mapped fields, as the destination says them now; None of a record that is gone there."""
    fields: dict[str, tuple[Any, Any]] = {}
    """The fields that differ: what the mapping makes, what the destination says."""


class Mending(msgspec.Struct, frozen=True):
    """All that is to be corrected, in portions."""

    gone: int
    changed: int
    most_gone: int
    """The brake: more than so many records that are gone are not believed."""
    portions: Callable[[], Iterator[list[Mend]]]


class Mender:
    """Repairs within a run."""

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        pipeline: Pipeline,
        sender: Destination,
        *,
        check_stopped: Callable[[], None],
        progress: Callable[[], None],
    ) -> None:
        """`check_stopped` raises when the run shall end; `progress` is called when counts have moved."""
        self._name, self._ledger, self._pipeline, self._sender = name, ledger, pipeline, sender
        self._check_stopped, self._progress = check_stopped, progress

    async def mend(self, wanted: Mending) -> None:
        """Decide the records again and hand them over. Raises `SafetyStop` when more are gone than the brake allows: nothing is sent then."""
        if wanted.gone > wanted.most_gone:
            raise SafetyStop(
                f"{self._name}: {wanted.gone} records are gone from the destination, more than the {wanted.most_gone} that the brake allows: "
                "nothing was corrected",
                next_step=f"find out why they are gone; if they are to be made again, `tieline verify {self._name} --repair --allow {wanted.gone}`",
            )
        ledger = self._ledger
        ledger.counts.total = wanted.gone + wanted.changed
        for portion in wanted.portions():
            portion = await self._still_astray(portion)
            events = [
                ledger.event(
                    mend.source_id,
                    "mended",
                    why="gone there" if mend.shadow is None else "changed there",
                    fields=sorted(mend.fields) or None,
                )
                for mend in portion
            ]
            await self._expect(portion)
            found = {mend.source_id: mend.shadow for mend in portion}
            await self._pipeline.take([mend.record for mend in portion], [*found], again=True, events=events, found=found)
            await self._pipeline.settle()
            self._progress()
            self._check_stopped()
            if self._sender.halted is not None:
                return

    async def _expect(self, portion: list[Mend]) -> None:
        """Note what the destination says before it is written again: if it says so still, it does not take it, and is not sent it for ever."""
        before = [
            Spelled(mend.source_id, address, encode_json(here), encode_json(says) if says is not None else None, taken=False)
            for mend in portion
            if mend.shadow is not None
            for address, (here, says) in mend.fields.items()
        ]
        integration = self._ledger.integration
        await self._ledger.commit(lambda connection: spellings.learn(connection, integration, before))

    async def _still_astray(self, portion: list[Mend]) -> list[Mend]:
        """Return what is as it was when it was looked at; the rest is counted as superseded, and noted."""
        ledger = self._ledger
        known = links.of_sources(ledger.db, ledger.integration, [mend.source_id for mend in portion])
        still = [mend for mend in portion if self._is_as_it_was(mend, known.get(mend.source_id))]
        moved_on = {mend.source_id for mend in portion} - {mend.source_id for mend in still}
        if moved_on:
            ledger.counts.read += len(moved_on)
            ledger.counts.superseded += len(moved_on)
            notes = [ledger.event(source_id, "not mended", why="it has changed since it was looked at") for source_id in sorted(moved_on)]
            await ledger.commit(lambda connection: journal.note(connection, notes))
        return still

    def _is_as_it_was(self, mend: Mend, link: Link | None) -> bool:
        if link is None or link.target_id != mend.target_id or link.source_shadow != mend.source_shadow or link.verdict == "deleted":
            return False
        deliveries = outbox.of_record(self._ledger.db, self._ledger.integration, mend.source_id)
        return all(delivery.state in ("delivered", "superseded", "discarded") for delivery in deliveries)
