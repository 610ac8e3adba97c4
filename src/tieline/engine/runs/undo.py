"""Putting back what a run wrote, from what stood there before, except where someone has written since.

A field goes back to what it said, a record that was created is deleted, one that was deleted is made again (under another id, as a rule).
Each goes the way of every write: durable before it leaves, in a run of its own, which can be undone as well. What was put back stays so until
the record it came from changes in that field again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from tieline.engine.core.linked import Links
from tieline.engine.decide.page import delivery_of
from tieline.engine.deliver.dispositions import reason_of
from tieline.engine.lookup.fetching import ask_for
from tieline.engine.lookup.matching import Matcher
from tieline.engine.runs.passes import Way
from tieline.mapping import nest
from tieline.model.errors import Refused, RemoteError
from tieline.model.lists import change, entries, ours, within, without
from tieline.model.paths import get
from tieline.model.records import ABSENT, Record, Values, decode_json, encode_json
from tieline.store import journal, outbox, runs
from tieline.store.database import Transaction
from tieline.store.delivery import Delivery
from tieline.store.links import own_entries
from tieline.sync.decide import same
from tieline.sync.rewriting import is_rewriting

_TOGETHER: Final = 200
LEFT_ALONE: Final = "not undone"
"""Kind of the event that tells why something was not put back."""

Remember = Callable[[Transaction, Way, Delivery, Sequence[str]], None]
"""Called within the unit that queues a write which puts something back, with its fields: the links are to know that it was meant."""


class Undoer:
    """Undoes a run, within another."""

    def __init__(
        self,
        ways: Sequence[Way],
        links: Sequence[Links],
        remember: Remember,
        *,
        delete_filled: bool,
        check_stopped: Callable[[], None],
        progress: Callable[[], None],
    ) -> None:
        """`links` are those of each way; with `delete_filled`, records that were created go with what people have filled in since."""
        self._delete_filled = delete_filled
        self._ways, self._links, self._remember = ways, links, remember
        self._check_stopped, self._progress = check_stopped, progress

    async def undo(self, run: int) -> None:
        """Queue what puts everything back that a run wrote. Raises `Refused` for a run of another integration, or one that has not ended."""
        first = self._ways[0].ledger
        meant = runs.get(first.db, run)
        if meant is None or meant.integration != first.integration:
            raise Refused(
                f"{first.name} has no run {run}; nothing was written", next_step="`tieline status` and `tieline explain` tell their numbers"
            )
        if meant.ended_at is None or run == first.run:
            raise Refused(f"run {run} of {first.name} has not ended; nothing was written", next_step="wait until it has")
        # The latest comes first: a record that was written twice in one run goes back by both steps.
        for way, links in reversed([*zip(self._ways, self._links, strict=True)]):
            before = 0
            while written := outbox.written_by(way.ledger.db, way.ledger.integration, run, before=before, limit=_TOGETHER):
                before = written[-1].id
                made = [delivery.source_id for delivery in written if delivery.operation == "create"]
                known = links.of_sources(way.ledger.db, way.ledger.integration, made) if made else {}
                for delivery in written:
                    if delivery.target_id is None and delivery.source_id in known:
                        delivery.target_id = known[delivery.source_id].target_id
                await self._put_back(way, links, written)
                self._check_stopped()

    async def resume(self) -> bool:
        """Send what an earlier undo has left owed, as it was meant, but not over what someone has edited since; return whether there was any.

        It is not decided again: neither side has changed since, so that nothing would be left of it. While the destination does not answer,
        it stays owed.
        """
        any_ = False
        for way, links in zip(self._ways, self._links, strict=True):
            after, ledger = 0, way.ledger
            while chunk := outbox.open_of(ledger.db, ledger.integration, ("owed", "unknown"), after=after):
                after = chunk[-1].id
                # Whether a creation in doubt was done is found out like any other's.
                mine = [one for one in chunk if one.undoes is not None and not (one.operation == "create" and one.state == "unknown")]
                with contextlib.suppress(RemoteError):
                    any_ = await self._send_owed(way, links, mine) or any_
                self._check_stopped()
        return any_

    async def _send_owed(self, way: Way, links: Links, owed: Sequence[Delivery]) -> bool:
        if not owed:
            return False
        there, untold = await self._there(way, [one.target_id for one in owed if one.target_id is not None])
        entered, unsought = await self._entered_again(way, links, {one.id: one.fields for one in owed if one.operation == "create"})
        refused = {one.id: error for one in owed if (error := untold.get(one.target_id or "") or unsought.get(one.id)) is not None}
        for one in owed:
            if one.id in refused:
                one.reason = reason_of(refused[one.id])
        await way.ledger.set_states([one for one in owed if one.id in refused])
        owed = [one for one in owed if one.id not in refused]
        left: list[tuple[Delivery, str]] = []
        for one in owed:
            record = there.get(one.target_id or "")
            if one.id in entered:
                left.append((one, f"there is one with its match key: {entered[one.id]}"))
            elif one.operation != "create" and record is None:
                left.append((one, "it is gone"))
            elif record is not None and (edited := _edited_since(one, record, way.job.lists)):
                left.append((one, _told(edited)))
        ledger, now, dropped = way.ledger, way.ledger.clock.now(), {one.id for one, _ in left}
        events = [
            ledger.event(one.source_id, LEFT_ALONE, delivery=one.undoes, target_id=one.target_id, why=why)._replace(at=now)
            for one, why in left
        ]

        def unit(connection: Transaction) -> None:
            outbox.supersede_these(connection, list(dropped), run=ledger.run, now=now)
            journal.note(connection, events)

        if left:
            await ledger.commit(unit)
        still = [one for one in owed if one.id not in dropped]
        await way.sender.put(still)
        return bool(still)

    async def _put_back(self, way: Way, links: Links, written: Sequence[Delivery]) -> None:
        ledger = way.ledger
        there, untold = await self._there(way, [d.target_id for d in written if d.target_id is not None and d.operation != "delete"])
        deleted = {d.id: decode_json(d.before) for d in written if d.operation == "delete" and d.before}
        entered, unsought = await self._entered_again(way, links, deleted)
        opens = outbox.open_by_record(ledger.db, ledger.integration, [delivery.source_id for delivery in written])
        back: list[tuple[Delivery, Delivery, Sequence[str]]] = []
        events: list[journal.Event] = []
        for delivery in written:
            ledger.counts.read += 1
            if (refused := unsought.get(delivery.id) or untold.get(delivery.target_id or "")) is not None:
                made, why = None, f"what is there now can't be told: {refused}"
            else:
                made, why = self._step_back(way, delivery, there)
            if made is not None and delivery.id in entered:
                made, why = None, f"there is one with its match key: {entered[delivery.id]}"
            if any(other.state in ("owed", "sending", "unknown") for other in opens.get(delivery.source_id, ())):
                made, why = None, "something of it is owed, or on its way"
            if why:
                events.append(ledger.event(delivery.source_id, LEFT_ALONE, delivery=delivery.id, target_id=delivery.target_id, why=why))
            if made is not None:
                made.undoes = delivery.id
                back.append((delivery, made, sorted(made.fields)))
                events.append(ledger.event(delivery.source_id, "undone", delivery=delivery.id, run=delivery.run, by=made.operation))
            elif why:
                ledger.counts.filtered += 1
            else:
                ledger.counts.unchanged += 1
        now = ledger.clock.now()
        if back:
            for number, (_, made, _) in enumerate(back, ledger.ids("delivery", len(back))):
                made.id, made.run, made.accepted_at = number, ledger.run, now

        def unit(connection: Transaction) -> None:
            outbox.queue(connection, ledger.integration, ledger.run, now, [made for _, made, _ in back])
            for _, made, fields in back:
                self._remember(connection, way, made, fields)
            journal.note(connection, [event._replace(at=now) for event in events])

        await ledger.commit(unit)
        await way.sender.put([made for _, made, _ in back])
        self._progress()

    def _step_back(self, way: Way, delivery: Delivery, there: Mapping[str, Record]) -> tuple[Delivery | None, str]:
        """Return the write that puts a delivery back, if there is anything to put back; and why something of it can't be."""
        job, features = way.job, way.job.target
        before: Values = decode_json(delivery.before) if delivery.before else {}
        if delivery.operation == "delete":
            if not before:
                return None, "what it said before is not known any more"
            if not features.create:
                return None, f"the connector declares no `create` for {job.spec.target}"
            if self._is_made_again(way, delivery):
                return None, ""
            made = delivery_of(delivery.source_id, "create", None, before, {}, before)
            made.shadowed = True
            return made, "" if features.get else "made again as far as the mapping knows it: what else it said is not known"
        id = delivery.target_id or ""
        record = there.get(id)
        if record is None:
            return None, "" if self._is_undone(way, delivery) else "it is gone"
        # What archives a record need not be mapped.
        shown = {address: value for address in delivery.fields if (value := get(record, address)) is not ABSENT}
        says = {**job.project_written(record), **shown}
        edited = [address for address, value in delivery.fields.items() if address in says and not is_rewriting(value, says[address])]
        why = _told(edited) if edited else ""
        if delivery.operation == "update" and job.lists:
            edited = [address for address in edited if address not in job.lists]
            why = _told(edited) if edited else ""
        if delivery.operation == "create":
            if why or not features.delete:
                return None, why or f"the connector declares no `delete` for {job.spec.target}"
            if not self._delete_filled and (filled := _filled_since(way, delivery, record)):
                named = ", ".join(f"`{address}`" for address in filled)
                return (
                    None,
                    f"it has values in fields that tieline does not write: {named}; with `--delete-filled` it is deleted all the same",
                )
            gone = delivery_of(delivery.source_id, "delete", id, {}, {}, {})
            gone.before, gone.shadowed = encode_json({a: v for a, v in says.items() if a in delivery.fields}), True
            return gone, ""
        lists = self._entries_back(way, delivery, before, says)
        owed = [
            address
            for address in delivery.fields
            if (address in lists if address in job.lists else not is_rewriting(before.get(address), says.get(address)))
        ]
        write = {address: before.get(address) for address in owed if address not in edited}
        if not write:
            return None, why if owed else ""
        if (refused := job.cannot_update(write, says)) is not None:
            return None, refused
        # Of a list that keeps its own entries, what is there stays, but for what was added; what was taken out comes back.
        made = delivery_of(delivery.source_id, "update", id, job.with_rest(write, says), {**says, **lists}, {})
        made.shadowed = True
        return made, why if any(address in owed for address in edited) else ""

    def _entries_back(self, way: Way, delivery: Delivery, before: Values, says: Values) -> Values:
        """Return lists that keep their own entries and that a delivery has changed, each with what it wrote into it, but for what is others'."""
        lists = way.job.lists.keys() & delivery.fields.keys()
        if not lists:
            return {}
        own, found = own_entries(way.ledger.db, way.ledger.integration, delivery.source_id), {}
        for address in lists:
            had, wrote = entries(before.get(address)), entries(delivery.fields[address])
            put = ours(wrote, had, own.get(address, ()))
            back, there = change(put, had), entries(says.get(address))
            if within(back.remove, there) or without(back.add, there):
                found[address] = put
        return found

    async def _entered_again(self, way: Way, links: Links, deleted: Mapping[int, Values]) -> tuple[dict[int, str], dict[int, RemoteError]]:
        """Return {delivery: id} of records in the destination with the match key of one that was deleted: someone has entered it again.

        `deleted` has what each said, by delivery. Those for which the search is refused come with the refusal.
        """
        job, by_key, searched = way.job, dict[str, int](), dict[str, tuple[Any, ...]]()
        matcher = Matcher(job, way.target, way.ledger, links=links)
        for delivery, said in deleted.items():
            record = nest(said)
            if (key := job.target_key(record)) is not None:
                by_key[key], searched[key] = delivery, (matcher.searched_there(record),)
        refused: dict[str, RemoteError] = {}
        found = await matcher.candidates(searched, dict, fresh=True, refused=refused)
        return (
            {by_key[key]: candidates[0].id for key, candidates in found.items() if candidates},
            {by_key[key]: error for key, error in refused.items()},
        )

    def _is_undone(self, way: Way, created: Delivery) -> bool:
        """Whether an earlier undo has deleted what was created."""
        later = outbox.of_record(way.ledger.db, way.ledger.integration, created.source_id)
        return any(one.undoes == created.id and one.state == "delivered" for one in later)

    def _is_made_again(self, way: Way, deleted: Delivery) -> bool:
        """Whether a record that was deleted has been made again, or may have been, and was not deleted as well since."""
        since = (
            one
            for one in reversed(outbox.of_record(way.ledger.db, way.ledger.integration, deleted.source_id))
            if one.id > deleted.id and one.operation in ("create", "delete") and one.state in ("delivered", "owed", "sending", "unknown")
        )
        last = next(since, None)
        return last is not None and last.operation == "create"

    async def _there(self, way: Way, ids: Sequence[str]) -> tuple[dict[str, Record], dict[str, RemoteError]]:
        """Return the records that are there, and why it can't be told of others, by id."""
        target, resource = way.target, way.job.target_resource
        wanted = dict.fromkeys(ids)
        if way.job.target.get:
            refused: dict[str, RemoteError] = {}
            answers = await ask_for(target, resource, wanted, refused=refused)
            return {id: record for id, record in answers.items() if record is not None}, refused
        found: dict[str, Record] = {}
        async for page in target.read(resource, None, strict=True):
            found.update((id, record) for id, record in zip(page.ids, page.records, strict=True) if id is not None and id in wanted)
        return found, {}


def _edited_since(owed: Delivery, record: Record, lists: Collection[str]) -> list[str]:
    """Return the fields that say neither what stood there when their undoing was decided, nor what it writes."""
    before: Values = decode_json(owed.before) if owed.before else {}
    edited = []
    for address, was in before.items():
        says = get(record, address)
        if address in lists:  # it keeps what others put there
            continue
        if says is not ABSENT and not is_rewriting(was, says) and not is_rewriting(owed.fields.get(address, was), says):
            edited.append(address)
    return edited


def _filled_since(way: Way, created: Delivery, record: Record) -> list[str]:
    """Return the fields that tieline has not written, and that say something now which they did not say when the record was made."""
    at_first: Values = decode_json(created.before) if created.before else {}
    filled = []
    for address in way.job.writable:
        says = get(record, address)
        if says is ABSENT or not says or _is_written(address, created.fields):
            continue
        if not same(says, at_first.get(address)):
            filled.append(address)
    return filled


def _is_written(address: str, fields: Values) -> bool:
    return any(written == address or written.startswith((f"{address}.", f"{address}[")) for written in fields)


def _told(edited: Sequence[str]) -> str:
    return f"edited since: {', '.join(f'`{address}`' for address in edited)}"


def left_alone(events: Sequence[journal.Event]) -> list[dict[str, Any]]:
    """Return what an undo did not put back, and why."""
    return [
        {"record": event.source_id, **(decode_json(event.detail.encode()) if event.detail else {})}
        for event in events
        if event.kind == LEFT_ALONE
    ]
