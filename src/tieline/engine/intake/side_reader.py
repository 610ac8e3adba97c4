"""One side of a two-way integration, read into the store: what has changed there waits for its decision in `store.staged`.

A record that says what it said is only counted. The cursor moves in the commit that stages what it passes, and so does the place in the inbox:
records that webhooks have told of and the list did not show are asked for by id. A side that is read whole also tells what is gone: what it
does not show is asked for by id where the system can be asked, and believed to be gone only then.
"""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from tieline.dialects.dialect import Page, Since, System
from tieline.engine.core.ledger import Ledger, tell_set_aside
from tieline.engine.core.two_sides import Half
from tieline.engine.intake.absence import Absence
from tieline.engine.intake.deletion_feed import Told, ends_of
from tieline.engine.intake.late import lately_written
from tieline.engine.intake.prefetch import Taken, ahead
from tieline.engine.intake.shown import Shown, check_not_empty
from tieline.engine.intake.unseen import Unseen
from tieline.engine.intake.webhook_events import NO_ANSWERS, Hints, Portion, told_gone, wanted
from tieline.engine.lookup.fetching import ask_for
from tieline.engine.lookup.points import begin, left_by, read_from
from tieline.model.errors import RemoteError
from tieline.model.paths import put
from tieline.model.records import Record, encode_json
from tieline.store import inbox, journal, outbox, pairs, runs, staged
from tieline.store.absent import Told as Witness
from tieline.store.database import Transaction
from tieline.store.delivery import Delivery
from tieline.store.pairs import OTHER
from tieline.sync.rewriting import shown_late

_TOGETHER: Final = 500
_OTHERS: Final = 50
"""Of so many known records some are tried, to see whether the system can be asked for one."""
_UNREADABLE_NEXT: Final = "have it corrected where it comes from, then `tieline dead-letters discard` this"


class Intake:
    """Reads one side within a run."""

    def __init__(
        self,
        name: str,
        half: Half,
        system: System,
        ledger: Ledger,
        integration: int,
        cursor: str | None,
        *,
        whole: bool,
        most_gone: int,
        approved: bool,
        written_by: int,
        check_stopped: Callable[[], None],
        progress: Callable[[], None],
    ) -> None:
        """`ledger` is that of what this side's changes owe to the other; `integration` is the one that the pairs belong to.

        `most_gone` is how many records may be gone, `approved` whether a person has said so. `written_by` is the integration by which writes to this side are owed.
        """
        self._written_by = written_by
        self._name, self._half, self._system, self._ledger, self._integration = name, half, system, ledger, integration
        self.absence = Absence(
            system,
            half.resource,
            ledger,
            overlap=half.overlap,
            decided_by_list=True,
            others=self._others,
            written_since=self._written_since,
        )
        since = msgspec.json.decode(cursor, type=Since) if cursor else None
        self._since = begin(system, half.resource, since, ledger, whole=whole or self.absence.waits_for_list)
        self._whole = self._since is None or self._since.mark is None
        self._approved, self._most_gone, self._check_stopped, self._progress = approved, most_gone, check_stopped, progress
        self._reading: AsyncGenerator[list[Page], None] | None = None
        self._shown = Shown()
        self._hints = Hints(ledger, half.connection, half.resource)
        self._told = Told(system, half.resource)
        self._unseen = Unseen(half.job, ledger.db, half.job.sparse)
        self._listed = 0
        """How many records a whole list has shown."""
        self._unreadable = self._back_again = False
        self.missed: frozenset[str] = frozenset()
        """Known records that a whole read did not show, by id, when they are more than the brake lets one believe."""

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            await self._reading.aclose()
        self._shown.close()
        self._hints.close()

    async def read(self) -> None:
        """Read what has changed, or everything. Raises `RemoteError` when the side can't be read to the end."""
        last: Since | None = None
        listed: Since | None = None
        self._hints.begin()
        self._reading = read_from(self._since, self._pages_from, self._from_the_beginning, self._ledger)
        async for pages in self._reading:
            first, again = Taken(), Taken()
            for page in pages:
                (again if page.again else first).add(page)
                last = page.since or last
                listed = listed if page.told is not None else last  # that of the feed moves at the end, with what was told
                self._ledger.counts.not_modified += page.not_modified
                self._ledger.counts.undated += 0 if page.again else page.undated
                if page.total is not None:
                    self._ledger.counts.total += page.total
            if page.not_modified:
                self._whole = False  # nothing was shown, so nothing is missed
            self._unseen.look(first.records)
            for taken in (first, again) if again.pages else (first,):
                moves = taken is again or not again.pages
                await self._take(taken, _encoded(listed) if listed is not None and moves and not self._whole else None)
                self._note_told(taken)
            self._progress()
            self._check_stopped()
        self._listed = self._shown.count()
        for portion in self._hints.portions():
            await self._take_hints(portion)
            self._check_stopped()
        for ids in self._told.ids():
            await self._take_told(ids)
        await self._ask_again()
        await self._find_gone()
        last = left_by(last, self._ledger)
        if last is not None:
            cursor = _encoded(last)
            await self._ledger.commit(lambda connection: runs.move_cursor(connection, self._ledger.integration, cursor))

    def unseen(self) -> list[str]:
        """Return what is to be told of fields that are read and that no record has, once all was read."""
        return self._unseen.finish(whole=self._whole)

    def _pages_from(self, since: Since | None) -> AsyncGenerator[list[Page], None]:
        return ahead(self._system.read(self._half.resource, since, strict=self._whole, deletions=True), self._idle)

    def _from_the_beginning(self, since: Since | None) -> None:
        self._since, self._whole = since, True
        self._shown.clear()

    async def stage(self, records: Sequence[Record], gone: Sequence[str] = ()) -> None:
        """Stage these records, whether they have changed or not, and the ids of those that are gone."""
        rows = {id: record for record in records if (id := self._system.id_of(self._half.resource, record)) is not None}
        await self._are_answered(rows)
        rows = self._as_they_are(rows, pairs.known(self._ledger.db, self._integration, self._half.side, list(rows)))
        await self._stage(rows, gone, None)

    async def take_answer(self, id: str, record: Record | None) -> None:
        """Stage a record that was asked for by its id, as it is now; what is not there is gone only if that is proven."""
        if record is not None:
            await self.stage([record])
        elif gone := await self._judged([id], "get"):
            await self._stage({}, gone, None)

    async def ask(self, ids: Sequence[str], told: Witness = "get") -> list[str]:
        """Ask for records by id, and stage them as they are now, or gone; `told` says how else it is known that they may be.

        Return the ids of those that are there.
        """
        gone, there = await self._asked(ids)
        now_called = {id: self._system.id_of(self._half.resource, record) for id, record in there.items()}
        await self._merge({id: into for id, into in now_called.items() if into is not None and into != id})
        if there:
            await self.stage(list(there.values()))
        if gone := await self._judged(gone, told):
            await self._stage({}, gone, None)
        return list(there)

    async def _ask_again(self) -> None:
        """Ask again for what earlier runs did not believe to be gone, or was said to be and was still there."""
        absence, half = self.absence, self._half
        shown, others = absence.deleted_by_us()
        await absence.forget([*shown, *others])
        for start in range(0, len(shown) if half.features.get else 0, _TOGETHER):
            await self.ask(shown[start : start + _TOGETHER])  # someone may have restored it
        if told := await self._known_of(absence.told_before()):
            listed = absence.are_listed(told)
            await absence.still_there([id for id in told if id in listed])
            if gone := await self._judged([id for id in told if id not in listed], "feed"):
                await self._stage({}, gone, None)
        there = await self._known_of(absence.pending(whole=self._whole))
        for start in range(0, len(there), _TOGETHER):
            await absence.still_there(await self.ask(there[start : start + _TOGETHER]))
            self._check_stopped()

    async def _known_of(self, ids: Sequence[str]) -> list[str]:
        """Return which of these records, that may be gone, are known to have been there; forget the others."""
        known = pairs.known(self._ledger.db, self._integration, self._half.side, ids) if ids else {}
        there = [id for id in ids if id in known and known[id].shadow is not None]
        await self.absence.forget([id for id in ids if id not in there])
        return there

    async def _judged(self, ids: Sequence[str], told: Witness) -> list[str]:
        """Return which of these records are gone, that are not shown."""
        if len(ids) > _TOGETHER:
            return [id for start in range(0, len(ids), _TOGETHER) for id in await self._judged(ids[start : start + _TOGETHER], told)]
        if not ids:
            return []
        db, side = self._ledger.db, self._half.side
        known = pairs.known(db, self._integration, side, ids)
        waiting = staged.of(db, self._integration, side, ids)
        already = [id for id in ids if id in waiting and waiting[id].kind == "gone"]  # it was proven, and waits for its decision
        self.absence.are_believed(already)
        open_ = [id for id in ids if id in known and known[id].shadow is not None and id not in already]
        gone = await self.absence.judge(open_, told)
        if said := self.absence.were_there(gone, told):
            await self._ledger.commit(lambda connection: pairs.are_seen(connection, self._integration, side, said))
        return [*already, *gone, *(id for id in ids if id not in known or known[id].shadow is None)]

    async def _are_shown(self, ids: Collection[str], known: Mapping[str, pairs.Known], back: Sequence[str]) -> None:
        """Note that records were seen that we made, or that were not shown before."""
        if written := {id: at for id, one in known.items() if id in ids and (at := one.unseen) is not None}:
            side = self._half.side
            await self._ledger.commit(lambda connection: pairs.are_seen(connection, self._integration, side, list(written)))
        if back:
            await self.absence.see(back, written)

    async def _are_answered(self, ids: Collection[str]) -> None:
        if ids:
            known = pairs.known(self._ledger.db, self._integration, self._half.side, list(ids))
            await self._are_shown(ids, known, self.absence.answered(ids))

    def _others(self, ids: Collection[str]) -> list[str]:
        """Return some records that are known to be there, but for these."""
        some = pairs.there(self._ledger.db, self._integration, self._half.side, after=0, limit=_OTHERS + len(ids))
        return [id for _, id, _, unseen in some if not unseen and id not in ids]

    def _written_since(self, ids: Sequence[str], since: float) -> set[str]:
        """Return which of these records we have made or written since then."""
        known = pairs.of(self._ledger.db, self._integration, self._half.side, ids)
        sources = {other: id for id, pair in known.items() if (other := pair.id_of(OTHER[self._half.side])) is not None}
        found = (
            {sources[one] for one in outbox.delivered_since(self._ledger.db, self._written_by, list(sources), since)} if sources else set()
        )
        return found | {id for id, pair in known.items() if (pair.unseen_of(self._half.side) or 0.0) >= since}

    async def _idle(self) -> None:
        self._check_stopped()

    async def _take_hints(self, portion: Portion) -> None:
        """Stage what webhooks have told of, where it is so."""
        half, ledger = self._half, self._ledger
        known = pairs.known(ledger.db, self._integration, half.side, [hint.id for hint in portion.hints])
        there = {id for id, one in known.items() if one.shadow is not None}
        taken, answers = Taken(), NO_ANSWERS
        into = {hint.id: hint.into for hint in portion.hints if hint.into is not None}
        if half.features.get:
            answers = await self._hints.ask(self._system, wanted(portion.hints, there))
            for id, record in answers.there.items():
                now_called = self._system.id_of(half.resource, record)
                if now_called is not None and now_called != id:
                    taken.merged[id] = now_called
                else:
                    taken.records.append(record)
                    taken.ids.append(now_called)
            told, gone = {hint.id for hint in portion.hints if hint.gone}, told_gone(portion.hints)
            await self._are_answered([id for id in taken.ids if id is not None])
            taken.deleted = await self._judged([id for id in answers.gone if id in gone], "webhook")
            taken.deleted += await self._judged([id for id in answers.gone if id not in gone], "get")
            await self.absence.still_there([id for id in taken.ids if id in told and id in there], "webhook")
        else:
            taken.deleted = [*told_gone(portion.hints)]
        taken.merged |= {id: into[id] for id in taken.deleted if id in into}
        events = self._hints.events(portion.hints, known, answers)
        ledger.counts.webhooks += portion.number

        def unit(connection: Transaction) -> None:
            journal.note(connection, events)
            inbox.move(connection, ledger.integration, portion.upto)

        await self._take(taken, None, unit)

    def _note_told(self, taken: Taken) -> None:
        if taken.told:
            known = pairs.known(self._ledger.db, self._integration, self._half.side, list(taken.told))
            self._told.note(taken.told, (id for id, one in known.items() if one.shadow is not None))

    async def _take_told(self, ids: list[str]) -> None:
        """Stage what a feed of deletions has told of, where it is so."""
        found = await self._told.ask(ids, self._check_stopped)
        await self.are_untold(found.refused, "feed")
        merged, rings = ends_of(found.merged, found.survivors)
        await self._merge(merged)
        await self._are_answered(found.there)
        await self.absence.still_there(found.there, "feed")
        if gone := await self._judged([id for id in dict.fromkeys([*found.gone, *rings]) if id not in merged], "feed"):
            await self._stage({}, gone, None)

    async def _take(self, taken: Taken, cursor: str | None, also: Callable[[Transaction], None] | None = None) -> None:
        half, ledger = self._half, self._ledger
        self._unreadable = self._unreadable or bool(taken.unreadable) or None in taken.ids
        await self._park_unreadable(taken)
        rows = {id: record for id, record in zip(taken.ids, taken.records, strict=True) if id is not None}
        self._hints.are_shown(rows)
        if self._whole:
            self._shown.add(rows)
        known = pairs.known(ledger.db, self._integration, half.side, list(rows)) if rows else {}
        await self._are_shown(rows, known, self.absence.are_shown(rows.keys(), known.keys()))
        waiting = staged.of(ledger.db, self._integration, half.side, list(rows)) if self._any_staged() else {}
        rows = self._as_they_are(rows, known)
        changed: dict[str, Record] = {}
        version, moved = half.version, list[tuple[str, str | None]]()
        for id, record in rows.items():
            one = known.get(id)
            self._back_again = self._back_again or (one is not None and one.shadow is None)
            # What waits undecided gets its latest version; what was decided and is held has not changed by being shown once more.
            undecided = id in waiting and waiting[id].kind != "held"
            if one is None or one.shadow != encode_json(half.project(record)) or undecided or (one.linked and not one.agreed):
                changed[id] = record
            elif one.sent:
                at = half.at(record)
                # It says what it said before we wrote to it: from before our write, or someone has set it back since.
                if (at > one.at) if at is not None and one.at is not None else (not self._whole or id not in self._too_new([id])):
                    changed[id] = record
            elif version is not None and one.version != (now := version(record)):
                moved.append((id, now))  # someone was at it, and at no field that is mapped
        ledger.counts.pages += taken.pages
        unchanged = len(rows) - len(changed)
        ledger.counts.read += unchanged
        ledger.counts.unchanged += unchanged
        merged, rings = ends_of({id: into for id, into in taken.merged.items() if id not in rows}, rows)
        await self._merge(merged)
        gone = [id for id in dict.fromkeys([*taken.deleted, *rings]) if id not in rows and id not in merged]
        if gone:  # what is said to have been deleted was there, whether it was shown or not
            await ledger.commit(lambda connection: pairs.are_seen(connection, self._integration, half.side, gone))
        if moved:
            await ledger.commit(lambda connection: pairs.set_versions(connection, self._integration, half.side, moved))
        if changed or gone or cursor is not None or also is not None:
            await self._stage(changed, gone, cursor, also)

    def _as_they_are(self, rows: dict[str, Record], known: Mapping[str, pairs.Known]) -> dict[str, Record]:
        """Return records with what they last said in fields that show what stood there before our own last writes.

        That is an older copy, and no edit. A person may have set a field back, though: that counts as soon as the vendor tells a later time
        of change, or once the lag is over. A list of changes that tells no time shows it once only, and is believed.
        """
        half, db, lag = self._half, self._ledger.db, self.absence.lag.ours
        some = [
            id
            for id, record in rows.items()
            if (one := known.get(id)) is not None and one.linked and one.agreed and lag and one.shadow != encode_json(half.project(record))
        ]
        if not some:
            return rows
        found, as_they_are = pairs.of(db, self._integration, half.side, some), dict(rows)
        for id, pair in found.items():
            at, before = half.at(rows[id]), known[id].at
            if (at is None and not self._whole) or (at is not None and before is not None and at > before):
                continue
            writes = lately_written(db, self._written_by, pair.id_of(OTHER[half.side]) or "", id, self._ledger.clock.now() - lag)
            if not writes:
                continue
            was, says = half.remembered(pair), half.flat(half.project(rows[id]))
            if late := [address for address in shown_late(writes, says) if address in was]:
                as_they_are[id] = copy.deepcopy(rows[id])
                for address in late:
                    put(as_they_are[id], address, was[address])
        return as_they_are

    def _too_new(self, ids: Sequence[str]) -> set[str]:
        """Return which of these records we have written to so lately that it need not be shown; the next whole read tells."""
        lag = self.absence.lag.ours
        return self._written_since(ids, self._ledger.clock.now() - lag) if lag else set()

    def _any_staged(self) -> bool:
        return staged.is_any(self._ledger.db, self._integration, self._half.side)

    async def _stage(
        self,
        changed: dict[str, Record],
        gone: Sequence[str],
        cursor: str | None,
        also: Callable[[Transaction], None] | None = None,
    ) -> None:
        half, ledger, integration = self._half, self._ledger, self._integration
        ids = [*changed, *gone]
        known = pairs.known(ledger.db, integration, half.side, ids) if ids else {}
        if late := [id for id in self.absence.late(changed.keys()) if id not in known]:
            await self.absence.are_late(late)
            ledger.counts.read += len(late)
            ledger.counts.filtered += len(late)
            changed = {id: record for id, record in changed.items() if id not in late}
        rows: list[tuple[str, staged.Kind, bytes | None]] = [(id, "seen", encode_json(record)) for id, record in changed.items()]
        rows += [(id, "gone", None) for id in gone if id in known and known[id].shadow is not None]
        single = [
            (id, half.key(record), encode_json(half.project(record)), half.at(record), half.version_of(record))
            for id, record in changed.items()
            if id not in known or not known[id].linked
        ]
        others = [(id, half.key(record)) for id, record in changed.items() if id in known and known[id].linked]
        now = ledger.clock.now()

        def unit(connection: Transaction) -> None:
            pairs.meet_first(connection, integration, half.side, single)
            pairs.rekey(connection, integration, half.side, others)
            staged.put(connection, integration, half.side, ledger.run, now, rows)
            if cursor is not None:
                runs.move_cursor(connection, ledger.integration, cursor)
            if also is not None:
                also(connection)

        await ledger.commit(unit)

    async def _find_gone(self) -> None:
        """Stage what a whole read did not show. Raises `SafetyStop` when it showed nothing of what is known to be there."""
        if not self._whole or self._unreadable:
            return
        half = self._half
        if not self._back_again and self._shown.count() == pairs.count(self._ledger.db, self._integration, half.side):
            return  # whatever was shown is known by now: nothing is missing
        missing = [id for portion in self._absent() for id in portion]
        if not missing:
            return
        # What is too new to tell is not missing: it is noted, and neither the brake nor an empty list is about it.
        new = {id for start in range(0, len(missing), _TOGETHER) for id in self.absence.too_new(missing[start : start + _TOGETHER])}
        if new:
            await self._judged([id for id in missing if id in new], "list")
            missing = [id for id in missing if id not in new]
            if not missing:
                return
        check_not_empty(self._name, half.place, self._listed, len(missing), self._most_gone if self._approved else None)
        if len(missing) > self._most_gone:
            self.missed = frozenset(missing)
            return
        for start in range(0, len(missing), _TOGETHER):
            some = missing[start : start + _TOGETHER]
            if half.features.get:
                await self.ask(some, "list")
            elif gone := await self._judged(some, "list"):
                await self._stage({}, gone, None)

    def _absent(self) -> Iterator[list[str]]:
        """Yield the ids of records that are known to be there, and were not shown."""
        side = self._half.side
        after, any_staged = 0, self._any_staged()
        while found := pairs.there(self._ledger.db, self._integration, side, after=after, limit=_TOGETHER):
            after = found[-1][0]
            ids = [id for _, id, _, _ in found]
            present = self._shown.among(ids)
            # What is known to be gone, and not decided yet, is not gone once more.
            waiting = staged.of(self._ledger.db, self._integration, side, ids) if any_staged else {}
            gone = {id for id, one in waiting.items() if one.kind == "gone"}
            yield [id for id in ids if id not in present and id not in gone]

    async def _merge(self, merged: Mapping[str, str]) -> None:
        """Let the pairs of records that were merged into others go on with those, by id; read these where they can be asked for."""
        half, ledger = self._half, self._ledger
        known = pairs.known(ledger.db, self._integration, half.side, list(merged)) if merged else {}
        merged = {id: into for id, into in merged.items() if id in known}
        if not merged:
            return
        now = ledger.clock.now()
        events = self._told_of_merges(merged)

        def unit(connection: Transaction) -> None:
            for id, into in merged.items():
                pairs.merge(connection, self._integration, half.side, id, into)
            journal.note(connection, [event._replace(at=now) for event in events])

        await ledger.commit(unit)
        if half.features.get:
            _, there = await self._asked(list(dict.fromkeys(merged.values())))
            await self.stage(list(there.values()))

    def _told_of_merges(self, merged: Mapping[str, str]) -> list[journal.Event]:
        """Return what every record concerned tells of these merges: either record, and the counterpart that is left over where both had one."""
        ledger, side = self._ledger, self._half.side
        found = pairs.of(ledger.db, self._integration, side, [*merged, *merged.values()])
        events = []
        for id, into in merged.items():
            events += [ledger.event(id, "merged", into=into), ledger.event(into, "merged", other=id)]
            left_over = found[id].id_of(OTHER[side]) if id in found else None
            if left_over is not None and into in found and found[into].linked:
                told = ledger.event(left_over, "its counterpart was merged: it stands for itself now", was=id, into=into)
                events.append(told._replace(integration=self._written_by))
        return events

    async def _asked(self, ids: Sequence[str]) -> tuple[list[str], dict[str, Record]]:
        """Ask for records by id; return the ids of those that are gone, and what comes for the others: of a merged one, that which it is now."""
        refused: dict[str, RemoteError] = {}
        answers = await ask_for(self._system, self._half.resource, ids, refused=refused)
        await self.are_untold(refused)
        gone = [id for id, record in answers.items() if record is None]
        return gone, {id: record for id, record in answers.items() if record is not None}

    async def are_untold(self, refused: Mapping[str, RemoteError], told: Witness | None = None) -> None:
        """Park records of which their system does not tell whether they are there: nothing is decided about them."""
        await self.absence.refused(refused, told)
        for id, error in refused.items():
            ledger = self._ledger
            ledger.counts.read += 1
            ledger.counts.parked += 1
            if any(one.state in outbox.OPEN for one in outbox.of_record(ledger.db, ledger.integration, id)):
                continue  # it waits for something already
            await self._set_apart(
                id, None, error.kind, f"{self._half.place}: whether {id} is there can't be told: {error}", error.next_step
            )

    async def _set_apart(self, source_id: str, record: bytes | None, kind: str, message: str, next_step: str) -> None:
        ledger, now = self._ledger, self._ledger.clock.now()
        delivery = Delivery(
            ledger.ids("delivery", 1), source_id, None, "none", "dead", ledger.run, now,
            record=record, settled_at=now, settled_run=ledger.run, reason=outbox.reason(kind, message, next_step),
        )  # fmt: skip
        await ledger.commit(functools.partial(outbox.queue, integration=ledger.integration, run=ledger.run, now=now, deliveries=[delivery]))
        tell_set_aside(ledger, delivery)

    async def _park_unreadable(self, taken: Taken) -> None:
        """Park what can't be told from others by an id, named by its content, so that the next run meets the same dead letter."""
        entries = [("unreadable", one.problem, {"unreadable": one.text}) for one in taken.unreadable]
        entries += [
            ("no-id", "the record has no id that can be used", record)
            for id, record in zip(taken.ids, taken.records, strict=True)
            if id is None
        ]
        ledger = self._ledger
        ledger.counts.read += len(entries)
        ledger.counts.parked += len(entries)
        for kind, problem, record in entries:
            source_id = f"{kind}-{hashlib.sha256(encode_json(record)).hexdigest()[:12]}"
            if any(one.state == "dead" for one in outbox.of_record(ledger.db, ledger.integration, source_id)):
                continue
            await self._set_apart(source_id, encode_json(record), kind, f"{self._half.place}: {problem}", _UNREADABLE_NEXT)


def _encoded(since: Since) -> str:
    return msgspec.json.encode(since).decode()
