"""Dead letters on their way again: decided again with today's mapping, in portions, at a pace; and what a person says about one.

A letter that is redriven is superseded in the commit that accepts what follows from it, so an interruption at any moment leaves each of
them either as it was or done. They go oldest first, and one that is set aside again gets a new number: whoever begins again goes on where
it stopped.

A person may know what tieline can't find out (`Settlement`): which destination record a source record is, that it was never made, or
whose values hold. That is written down, with the reason, and then the letter is redriven like any other.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from tieline.dialects.decoding import Unreadable
from tieline.dialects.dialect import System
from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.destination import Destination
from tieline.engine.core.ledger import Ledger
from tieline.engine.decide.pipeline import Pipeline
from tieline.model.errors import MappingError, NotThere, Refused
from tieline.model.records import Record, Values, decode_json, encode_json
from tieline.model.tasks import side_by_side
from tieline.store import journal, letters, links, outbox, runs
from tieline.store.database import AlreadyLinked, Database, Transaction
from tieline.store.delivery import Delivery
from tieline.store.letters import STATES, Chosen
from tieline.sync.decide import ConflictPolicy, meet

Kept = list[tuple[str, bytes | None]]
"""Fields that a counterpart is to keep, with what it has there as JSON."""
_TOGETHER = 200
"""Letters that are decided together."""
_LONGEST_SLEEP = 1.0
"""Seconds: a run at a slow pace hears within this time that it shall stop."""


class Settlement(msgspec.Struct, frozen=True):
    """What a person says about dead letters; exactly one of the first three."""

    reason: str
    target_id: str | None = None
    """This is the record's counterpart."""
    not_done: bool = False
    """It was never created."""
    keep: Literal["source", "target"] | None = None
    """Whose values hold where they differ; may come with `target_id`."""


def portions(db: Database, integration: int, wanted: Sequence[int] | Chosen, limit: int | None = None) -> Iterator[list[Delivery]]:
    """Yield the open letters of an outbox that are meant, in portions, oldest first; those of another are left out."""
    left = limit if limit is not None else 2**62
    if isinstance(wanted, Chosen):
        chosen = msgspec.structs.replace(wanted, up_to=wanted.up_to or letters.newest(db, integration))
        after = 0
        while left > 0 and (ids := letters.ids(db, integration, chosen, after=after, limit=min(_TOGETHER, left))):
            after, left = ids[-1], left - len(ids)
            yield sorted(outbox.get_many(db, integration, ids), key=lambda delivery: delivery.id)
        return
    ids = list(dict.fromkeys(wanted))
    for start in range(0, len(ids), _TOGETHER):
        found = [d for d in outbox.get_many(db, integration, ids[start : start + _TOGETHER]) if d.state in STATES]
        some = sorted(found, key=lambda delivery: delivery.id)[:left]
        left -= len(some)
        yield some


class Redriver:
    """Redrives the dead letters of one run."""

    def __init__(
        self,
        job: CompiledIntegration,
        source: System,
        target: System,
        ledger: Ledger,
        pipeline: Pipeline,
        sender: Destination,
        *,
        check_stopped: Callable[[], None],
        progress: Callable[[], None],
    ) -> None:
        """`check_stopped` raises when the run shall end; `progress` is called when counts have moved."""
        self._job, self._source, self._target, self._ledger = job, source, target, ledger
        self._pipeline, self._sender = pipeline, sender
        self._check_stopped, self._progress = check_stopped, progress

    async def take_waiting(self) -> None:
        """Decide again what waited for a link that may be there by now, for a destination that could not be asked, or for the end of a redrive.

        The last is what a person has said something about, in a process that died before it was redriven.
        """
        ledger, after = self._ledger, 0
        last, can_match = runs.last_delivery(ledger.db), True
        while chunk := outbox.open_of(ledger.db, ledger.integration, ("held", "owed"), after=after):
            after = chunk[-1].id
            waiting = [(d, tuple(d.why["lookup"])) for d in chunk if d.record and d.why.get("kind") == "waiting"]
            there = self._pipeline.lookups.linked({lookup for _, lookup in waiting})
            ready = [delivery for delivery, lookup in waiting if lookup in there]
            await self._again(ready, "the record that it waited for is there")
            # What was reopened by a process that died stays owed under the same reason, and is on its way already.
            settled = [d for d in chunk if d.state == "held" and d.why.get("kind") == letters.SETTLED]
            await self._again([d for d in settled if d.record is not None])
            for delivery in settled:
                if delivery.record is None:
                    await self._reopen(delivery)
            undecided = [d for d in chunk if d.record and d.state == "owed" and d.operation == "none" and d.id <= last]
            if undecided and can_match:
                # While it can't be asked, they stay as they are: how long they have been owed goes on counting.
                can_match = await self._pipeline.can_match(decode_json(undecided[0].record or b"{}"))
            if can_match:
                await self._again(undecided)
        await self._pipeline.settle()

    async def redrive(
        self,
        wanted: Sequence[int] | Chosen,
        *,
        pace: float | None = None,
        limit: int | None = None,
        settlement: Settlement | None = None,
    ) -> None:
        """Decide dead letters again and hand them over, at most `limit`; with a `pace`, so many a second.

        Ends early, without a word, when the destination does not take anything: the rest stay dead letters. Raises `Refused` when a
        number is not that of an open one.
        """
        clock, counts = self._ledger.clock, self._ledger.counts
        size = _TOGETHER if pace is None else max(1, min(_TOGETHER, int(pace)))
        started, done = clock.monotonic(), 0
        if settlement is not None and settlement.target_id is not None and (isinstance(wanted, Chosen) or len(wanted) != 1):
            raise Refused("a destination record is the counterpart of one source record", next_step="name one dead letter")
        async for portion in self._portions(wanted, size, limit):
            if settlement is not None:
                portion = await self._settle(portion, settlement)
            gone = [d.source_id for d in portion if d.record is not None and d.why.get("kind") == NotThere.kind]
            if gone:  # a person has said that it should be there again
                await self._part(gone)
            await self._again([delivery for delivery in portion if delivery.record is not None], "redriven by hand")
            for delivery in portion:
                if delivery.record is None:
                    await self._reopen(delivery)
            await self._pipeline.settle()
            done += len(portion)
            if pace is not None:
                self._sender.flush()
                await self._wait_until(started + done / pace, more=done < counts.total)
            self._progress()
            self._check_stopped()
            if self._sender.halted is not None:
                return

    async def _portions(self, wanted: Sequence[int] | Chosen, size: int, limit: int | None) -> AsyncIterator[list[Delivery]]:
        db, integration, counts = self._ledger.db, self._ledger.integration, self._ledger.counts
        if isinstance(wanted, Chosen):
            # What is set aside again in this run has a larger number, and is not taken twice.
            chosen = msgspec.structs.replace(wanted, up_to=wanted.up_to or letters.newest(db, integration))
            number, after = letters.count(db, integration, chosen), 0
            counts.total = left = number if limit is None else min(number, limit)
            while left > 0 and (ids := letters.ids(db, integration, chosen, after=after, limit=min(size, left))):
                after, left = ids[-1], left - len(ids)
                yield self._open(ids)
            return
        ids = list(dict.fromkeys(wanted))[:limit]
        counts.total = len(ids)
        open_ = {delivery.id for delivery in self._open(ids)}
        if missing := [id for id in ids if id not in open_]:
            raise Refused(f"there is no open dead letter {missing[0]} in {self._job.name}", next_step="see `tieline dead-letters`")
        for start in range(0, len(ids), size):
            yield self._open(ids[start : start + size])

    def _open(self, ids: Sequence[int]) -> list[Delivery]:
        found = [
            delivery
            for start in range(0, len(ids), 1000)
            for delivery in outbox.get_many(self._ledger.db, self._ledger.integration, ids[start : start + 1000])
            if delivery.state in STATES
        ]
        return sorted(found, key=lambda delivery: delivery.id)

    async def _again(self, deliveries: Sequence[Delivery], why: str | None = None) -> None:
        if not deliveries:
            return
        ledger, resource = self._ledger, self._job.source_resource
        events = [ledger.event(delivery.source_id, why, delivery=delivery.id) for delivery in deliveries] if why else []
        # An entry that could not be read is no record yet: it stays the letter that it is.
        entries = [d for d in deliveries if d.why.get("kind") == "unreadable"]
        unreadable = [Unreadable(str(decode_json(d.record or b"{}").get("unreadable")), str(d.why.get("message"))) for d in entries]
        deliveries = [d for d in deliveries if d.why.get("kind") != "unreadable"]
        records: list[Record] = [decode_json(delivery.record or b"{}") for delivery in deliveries]
        ids = [self._source.id_of(resource, record) for record in records]
        await self._pipeline.take(records, ids, again=True, unreadable=unreadable, events=events)
        renamed = [d for d, id in zip(deliveries, ids, strict=True) if id is not None and id != d.source_id]
        if renamed:
            # It had no id, and got one by hand: it goes on under that.
            await self._pipeline.settle()
            now, gone = ledger.clock.now(), [delivery.source_id for delivery in renamed]
            await ledger.commit(lambda connection: outbox.supersede(connection, ledger.integration, gone, run=ledger.run, now=now))

    async def _part(self, source_ids: Sequence[str]) -> None:
        ledger = self._ledger
        await ledger.commit(lambda connection: links.part(connection, ledger.integration, source_ids))

    async def _reopen(self, delivery: Delivery) -> None:
        """Owed since an earlier run: its source record is not at hand any more, but what was to be written is."""
        ledger = self._ledger
        delivery.doubt = delivery.why.get("kind") == "unknown"
        delivery.state = "unknown" if delivery.doubt else "owed"
        event, now = ledger.event(delivery.source_id, "redriven by hand", delivery=delivery.id), ledger.clock.now()

        def unit(connection: Transaction) -> None:
            outbox.set_state(connection, delivery, now=now, run=ledger.run)
            links.set_aside(connection, ledger.integration, delivery.source_id, "queued")
            journal.note(connection, [event])

        await ledger.commit(unit)
        await self._sender.put([delivery])

    async def _wait_until(self, moment: float, *, more: bool) -> None:
        clock = self._ledger.clock
        while more and self._sender.halted is None and (left := moment - clock.monotonic()) > 0:
            await clock.sleep(min(left, _LONGEST_SLEEP))
            self._check_stopped()

    # -- what a person says

    async def _settle(self, portion: list[Delivery], settlement: Settlement) -> list[Delivery]:
        """Write down what a person says of each; return those of which it could be. Raises `Refused` before anything is written."""
        answers = await side_by_side(self._heard(delivery, settlement) for delivery in portion)
        settled = []
        for delivery, (target_id, shadow, kept) in zip(portion, answers, strict=True):
            if await self._write_down(delivery, target_id, shadow, kept, settlement):
                settled.append(delivery)
        return settled

    async def _heard(self, delivery: Delivery, settlement: Settlement) -> tuple[str | None, bytes | None, Kept]:
        """Return the counterpart that a letter's record has, its shadow, and the fields that it keeps; None when it has none."""
        cause, db, job = delivery.why.get("kind"), self._ledger.db, self._job
        link = links.of_sources(db, self._ledger.integration, [delivery.source_id]).get(delivery.source_id)
        target_id = settlement.target_id
        if target_id is not None:
            target_id = self._target.read_id(job.target_resource, target_id) or target_id
        if settlement.not_done:
            if cause != "unknown":
                raise Refused(
                    f"of dead letter {delivery.id} no one doubts that it was not done: {cause}",
                    next_step=f"`tieline dead-letters redrive {delivery.id}` tries again",
                )
            return None, None, []
        if target_id is None:
            candidates = delivery.why.get("candidates") or []
            if cause != "conflict" or len(candidates) != 1:
                raise Refused(
                    f"dead letter {delivery.id} is no conflict between two records, but: {cause}",
                    next_step="say with --as ID which record of the destination it is",
                )
            target_id = str(candidates[0])
        if link is None or link.target_id not in (None, target_id):
            whose = f"whose counterpart is {link.target_id} already" if link else "that is not known any more"
            raise Refused(
                f"dead letter {delivery.id} is of a record {whose}; nothing was changed",
                next_step=f"`tieline dead-letters redrive {delivery.id}` tries again, `discard {delivery.id}` gives it up",
            )
        owner = links.of_targets(db, self._ledger.integration, [target_id]).get(target_id)
        if owner is not None and owner.source_id != delivery.source_id:
            raise Refused(
                f"{job.spec.target} {target_id} is the counterpart of source record {owner.source_id} already; nothing was changed",
                next_step=f"`tieline explain {job.source_connection} {job.source_resource} {owner.source_id}` tells why",
            )
        there = await self._read(target_id)
        if there is None and job.target.get:
            if settlement.target_id is None:
                return None, None, []  # it is gone meanwhile: decided as if it had never been met
            raise Refused(f"{job.spec.target} has no record {target_id}; nothing was changed", next_step="look up its id there")
        return target_id, *self._shadow(delivery, there, settlement.keep)

    async def _read(self, target_id: str) -> Values | None:
        if not self._job.target.get:
            return None
        record = await self._target.get(self._job.target_resource, target_id)
        return self._job.project_target(record) if record is not None else None

    async def _write_down(
        self, delivery: Delivery, target_id: str | None, shadow: bytes | None, kept: Kept, settlement: Settlement
    ) -> bool:
        ledger = self._ledger
        said: dict[str, Any] = (
            {"as": target_id} if target_id else {"not_done": True} if settlement.not_done else {"counterpart": "it is gone"}
        )
        if settlement.keep is not None:
            said["keep"] = settlement.keep
        event = ledger.event(delivery.source_id, "settled by hand", delivery=delivery.id, **said, reason=settlement.reason)

        def unit(connection: Transaction) -> None:
            if target_id is not None:
                links.adopt(connection, ledger.integration, delivery.source_id, target_id, shadow)
                links.keep(connection, ledger.integration, [(delivery.source_id, *field) for field in kept])
            else:
                links.set_aside(connection, ledger.integration, delivery.source_id, "held")
            letters.settle(connection, ledger.integration, delivery.id, delivery.source_id)
            journal.note(connection, [event])

        try:
            await ledger.commit(unit)
        except AlreadyLinked:  # two letters of this portion name the same counterpart: the first has it
            return False
        delivery.target_id = target_id if delivery.target_id is None else delivery.target_id
        delivery.reason = encode_json({**delivery.why, "kind": letters.SETTLED})
        return True

    def _shadow(self, delivery: Delivery, there: Values | None, keep: str | None) -> tuple[bytes | None, Kept]:
        """Return the destination's shadow with which the record is decided as the person, or else the integration, says; and what it keeps."""
        job = self._job
        policy: ConflictPolicy = job.spec.conflict or "hold"
        if keep is not None:
            policy = "source" if keep == "source" else "target"
        if policy == "source":
            return (encode_json(job.without_lists(there)) if there is not None else None), []
        values = self._mapped(delivery)
        if there is None:
            if policy == "hold":
                raise Refused(
                    f"{job.spec.target} can't be read by id, so no one knows whether values differ; nothing was changed",
                    next_step="say whose values hold: --keep source, or --keep target",
                )
            return encode_json(values), [(address, None) for address in values]
        for address in job.only_create:
            values.pop(address, None)
        meeting = meet(values, there, policy, job.agree, job.lists)
        if meeting.conflicts:
            fields = ", ".join(f"`{address}` is {left!r} here, {right!r} there" for address, left, right in meeting.conflicts[:5])
            raise Refused(f"they differ: {fields}; nothing was changed", next_step="say whose values hold: --keep source, or --keep target")
        agreed = {address: value for address, value in meeting.agreed.items() if address not in meeting.write}
        return encode_json(job.without_lists({**there, **agreed})), [
            (a, encode_json(there[a]) if a in there else None) for a in meeting.kept
        ]

    def _mapped(self, delivery: Delivery) -> Values:
        """Return the destination's fields as the record that the letter keeps makes them now; those it was set aside with, if it can't."""
        if delivery.record is not None:
            with contextlib.suppress(MappingError):
                return self._pipeline.mapped(decode_json(delivery.record))
        return dict(delivery.fields)
