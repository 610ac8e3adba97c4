"""A pass in one direction: send what is still owed, read page by page, decide, deliver."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from typing import Final

import msgspec

from tieline.dialects.dialect import Page, Since, System
from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.destination import Destination, Nowhere
from tieline.engine.core.ledger import Ledger, about
from tieline.engine.decide.brakes import Braked
from tieline.engine.decide.missing import Missing
from tieline.engine.decide.pipeline import Guard, Pipeline
from tieline.engine.deliver.sender import Sender
from tieline.engine.intake.absence import Absence
from tieline.engine.intake.deletion_feed import Told
from tieline.engine.intake.prefetch import Taken, ahead
from tieline.engine.intake.unseen import Unseen
from tieline.engine.intake.webhook_events import NO_ANSWERS, Hints, told_gone, wanted
from tieline.engine.lookup.before_images import image_taker
from tieline.engine.lookup.fetching import ask_for
from tieline.engine.lookup.matching import Matcher
from tieline.engine.lookup.points import begin, left_by, read_from
from tieline.engine.runs.passes import Pass, Wanted, Way
from tieline.engine.runs.redrive import Redriver
from tieline.engine.runs.repair import Mender
from tieline.engine.runs.undo import Undoer
from tieline.model.errors import Incomplete, RemoteError, SafetyStop, StoreError, TielineError, Unauthorized
from tieline.model.records import Record, encode_json
from tieline.store import absent, journal, links, outbox, runs
from tieline.store.database import Transaction
from tieline.store.delivery import Delivery

_OTHERS: Final = 50
"""Of so many known records some are tried, to see whether the system can be asked for one."""


class OneWayPass(Pass):
    """The steps of one run."""

    def __init__(
        self,
        job: CompiledIntegration,
        source: System,
        target: System,
        ledger: Ledger,
        state: runs.State,
        wanted: Wanted,
        guard: Guard | None,
        *,
        stopped: Callable[[], str | None],
        progress: Callable[[], None],
    ) -> None:
        super().__init__(job.name, state, wanted, stopped=stopped, progress=progress)
        self._job, self._ledger, self._source, self._target = job, ledger, source, target
        self._matcher = Matcher(job, target, ledger)
        if self._matcher.remembered is not None:
            ledger.later.append(self._matcher.remembered.pruning())
        self._matcher.first_meeting = state.complete_at is None
        db = ledger.db
        store_id = db.read("SELECT value FROM meta WHERE key = 'store_id'")[0][0]
        self.sender: Destination = (
            Sender(job, target, ledger, self._matcher, store_id=store_id, notify=progress) if wanted.send else Nowhere()
        )
        self.ways = (Way(job, target, ledger, self.sender),)
        self._pipeline = Pipeline(
            job, source, ledger, self._matcher, self.sender, guard=guard, take_images=image_taker(job, target, ledger)
        )
        self._redriver = Redriver(
            job, source, target, ledger, self._pipeline, self.sender, check_stopped=self._check_stopped, progress=progress
        )
        self._mender = Mender(job.name, ledger, self._pipeline, self.sender, check_stopped=self._check_stopped, progress=progress)
        # Also when no run was complete yet: its links may be of an older mapping.
        self._pipeline.compare_all = state.mapping != job.fingerprint
        self._pipeline.accept_undecided = wanted.send
        self._pipeline.note_only = job.spec.start == "now" and state.complete_at is None
        self._pipeline.brake_holds = wanted.send
        if wanted.allow_deletes is not None:
            self._pipeline.most_deletes = wanted.allow_deletes
        self._reading: AsyncGenerator[list[Page], None] | None = None
        self._hints = Hints(ledger, job.source_connection, job.source_resource)
        self._unseen = Unseen(job, db, job.sparse)
        self._absence = Absence(
            source, job.source_resource, ledger,
            decided_by_list=job.by_absence and not job.reads_changes, others=self._others,
        )  # fmt: skip
        self.judges = ((job.spec.source, self._absence),)
        self._missing = Missing(
            job, source, ledger, self._pipeline, self._absence,
            allowed=wanted.allow_deletes, name_untold=self._name_untold, check_stopped=self._check_stopped,
        )  # fmt: skip

    @property
    def systems(self) -> Sequence[System]:
        """The systems that it speaks to."""
        return self._source, self._target

    @property
    def brakes(self) -> Sequence[Braked]:
        """The brakes that would hold this run, of a plan."""
        return [self._pipeline.braked] if self._pipeline.braked is not None else []

    def verdict(self) -> tuple[str, str | None, str]:
        """Return how the run ended: state, error, next step."""
        self.unanswered = self._pipeline.unanswered
        return super().verdict()

    async def close(self) -> None:
        """Stop reading and sending, whatever is still under way: nothing may outlive the run."""
        if self._reading is not None:
            await self._reading.aclose()
        self._hints.close()
        self._missing.close()
        await self.sender.close()

    async def go(self) -> None:
        """Do it all."""
        (way,), ledger = self.ways, self._ledger
        await self._check_ends(self._job.ends, linked=links.is_any(ledger.db, ledger.integration))
        failure: TielineError | None = None
        try:
            wanted, owed = self.wanted, await self._send_owed(way, self._meant())
            if wanted.redrive:
                if owed:
                    await self._check_kept(way)
                await self._redriver.redrive(wanted.redrive, pace=wanted.pace, limit=wanted.limit, settlement=wanted.settlement)
            elif wanted.mend is not None:
                if owed:
                    await self._check_kept(way)
                await self._mender.mend(wanted.mend)
            elif wanted.undo is not None:
                undoer = Undoer(
                    self.ways, (links,), _remember_undone,
                    delete_filled=wanted.delete_filled, check_stopped=self._check_stopped, progress=self._progress,
                )  # fmt: skip
                await undoer.undo(wanted.undo)
            else:
                await self._redriver.take_waiting()
                if owed:
                    await self._check_kept(way)
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
        self.drained = await self._drain()
        if failure is not None:
            raise failure
        self._progress()

    def _meant(self) -> set[str] | None:
        """Return the records that a person asked for, if it was some: they do not wait for all that is owed, nor use up what is kept for them."""
        if self.wanted.only is not None:
            return {self.wanted.only}
        if self.wanted.redrive and isinstance(self.wanted.redrive, tuple):
            letters = (outbox.get(self._ledger.db, id) for id in self.wanted.redrive)
            return {letter[1].source_id for letter in letters if letter is not None}
        return None

    async def _read(self) -> None:
        job, wanted, ledger = self._job, self.wanted, self._ledger
        if wanted.only is not None:
            await self._read_one(self._source.read_id(job.source_resource, wanted.only) or wanted.only)
            return
        since = msgspec.json.decode(self._state.cursor, type=Since) if self._state.cursor else None
        whole = wanted.full or self._pipeline.compare_all or job.fingerprint != self._state.mapping or self._absence.waits_for_list
        since = begin(self._source, job.source_resource, since, ledger, whole=whole)
        deletes = job.spec.deletes != "ignore" or job.leaves
        self._pipeline.look_again = since is None or since.mark is None
        left = wanted.limit
        last_since: Since | None = None
        may_move = left is None and not deletes and job.fingerprint == self._state.mapping
        if left is None:
            self._hints.begin()
        told = Told(self._source, job.source_resource)
        deletions, missing = left is None, self._missing
        missing.begin(whole=deletions and self._pipeline.look_again)

        def pages_from(since: Since | None) -> AsyncGenerator[list[Page], None]:
            return ahead(self._source.read(job.source_resource, since, strict=missing.whole, deletions=deletions), self._while_waiting)

        def from_the_beginning(point: Since | None) -> None:
            nonlocal since
            since, self._pipeline.look_again = point, True
            missing.begin(whole=deletions)

        self._reading = read_from(since, pages_from, from_the_beginning, ledger)
        async for pages in self._reading:
            cursor: str | None = None
            first, again = Taken(), Taken()
            for page in pages:
                (again if page.again else first).add(page)
                if page.since is not None:
                    last_since = page.since
                    if page.told is None:  # that of a feed of deletions moves at the end, with what was told
                        cursor = _encoded(page.since) if may_move else None
                if page.total is not None:
                    ledger.counts.total = page.total
                ledger.counts.not_modified += page.not_modified
                ledger.counts.undated += 0 if page.again else page.undated
            for taken in (first, again) if again.pages else (first,):
                self._hints.are_shown(taken.ids)
                missing.are_shown(taken.ids, unreadable=bool(taken.unreadable), unchanged=any(page.not_modified for page in pages))
                self._unseen.look(taken.records)
                await self._are_shown([id for id in taken.ids if id is not None])
                await self._pipeline.take(
                    taken.records[:left], taken.ids[:left], unreadable=taken.unreadable, pages=taken.pages,
                    repeated=taken is again, cursor=cursor if taken is again or not again.pages else None,
                )  # fmt: skip
                if taken.deleted and left is None:
                    await self._pipeline.take_deletions(taken.deleted, repeated=taken is again)
                if taken.told:
                    await self._pipeline.settle()  # a record that was taken just now is known by then
                    told.note(taken.told, self._there(taken.told))
            self._progress()
            self._check_stopped()
            if isinstance(self.sender.halted, Unauthorized):
                return
            if left is not None:
                left -= len(first.records)
                if left <= 0:
                    return
        if left is not None:
            return
        heard = await self._take_hints()
        for ids in told.ids():
            found = await told.ask(ids, self._check_stopped)
            await self._name_untold(found.refused, "feed")
            await self._pipeline.take(list(found.survivors.values()), list(found.survivors), pages=0)
            self._absence.answered([*found.there, *found.survivors])
            await self._absence.still_there(found.there, "feed")
            gone = await self._absence.judge([id for id in found.gone if id not in found.merged], "feed")
            if gone := list(dict.fromkeys([*gone, *found.merged])):
                await self._pipeline.take_deletions(gone)
        await self._ask_again()
        await missing.find()
        # The last page's mark, or the whole list was read with a new mapping: only now the cursor may move.
        last_since = left_by(last_since, ledger)
        await self._pipeline.settle_deletions(_encoded(last_since) if last_since else None, heard)
        if self._absence.unproven:
            raise self._absence.stop(job.spec.source)
        self.complete = True
        self.unseen = self._unseen.finish(whole=since is None or since.mark is None)

    async def _are_shown(self, ids: Sequence[str]) -> None:
        if back := self._absence.are_shown(ids):
            await self._absence.see(back, {})

    async def _ask_again(self) -> None:
        """Ask again for what earlier runs did not believe to be gone, or was said to be and was still there."""
        absence, resource = self._absence, self._job.source_resource
        if told := absence.told_before():
            await self._pipeline.settle()
            there = self._there(told)
            await absence.forget([id for id in told if id not in there])
            shown = absence.are_listed(told)
            await absence.still_there([id for id in there if id in shown])
            if gone := await absence.judge([id for id in told if id in there and id not in shown], "feed"):
                await self._pipeline.take_deletions(gone)
        if not (ids := absence.pending(whole=self._missing.whole)):
            return
        await self._pipeline.settle()
        there = self._there(ids)
        await absence.forget([id for id in ids if id not in there])
        refused: dict[str, RemoteError] = {}
        answers = await ask_for(self._source, resource, [id for id in ids if id in there], refused=refused)
        await self._name_untold(refused)
        records = {id: record for id, record in answers.items() if record is not None}
        back = absence.answered(list(records))
        await absence.see([id for id in back if id in records], {})
        await absence.still_there(list(records))
        await self._pipeline.take(list(records.values()), [self._source.id_of(resource, record) for record in records.values()], pages=0)
        if gone := await absence.judge([id for id in answers if id not in records], "get"):
            await self._pipeline.take_deletions(gone)

    async def _name_untold(self, refused: Mapping[str, RemoteError], told: absent.Told | None = None) -> None:
        """Note records for which the source refuses to say whether they are there: nothing is decided about them, and each run asks again."""
        if not refused:
            return
        ledger = self._ledger
        await self._absence.refused(refused, told)
        self.untold |= {id: str(error) for id, error in refused.items()}
        events = [ledger.event(id, "whether it is there can't be told", why=str(error)) for id, error in refused.items()]
        await ledger.commit(lambda connection: journal.note(connection, events))

    def _others(self, ids: Collection[str]) -> list[str]:
        """Return some records that are known to be there, but for these."""
        some = links.portion(self._ledger.db, self._ledger.integration, after="", unlinked=False, limit=_OTHERS + len(ids))
        return [link.source_id for link in some if link.verdict != "deleted" and link.source_id not in ids]

    def _there(self, ids: Collection[str]) -> set[str]:
        """Return which of these records are known to be there."""
        found = links.of_sources(self._ledger.db, self._ledger.integration, list(ids))
        return {id for id, link in found.items() if link.verdict != "deleted"}

    async def _take_hints(self) -> int | None:
        """Take what webhooks have told of, where it is so; return up to where the inbox is taken up once deletions are settled, if there are any."""
        ledger, source, resource = self._ledger, self._source, self._job.source_resource
        deleted, upto = self._job.leaves, None
        for portion in self._hints.portions():
            await self._pipeline.settle()
            there = self._there([hint.id for hint in portion.hints])
            answers = NO_ANSWERS
            if source.features(resource).get:
                answers = await self._hints.ask(source, wanted(portion.hints, there))
                told = {hint.id for hint in portion.hints if hint.gone}
                self._absence.answered(list(answers.there))
                await self._absence.still_there([id for id in answers.there if id in told and id in there], "webhook")
                told = told_gone(portion.hints)
                gone = await self._absence.judge([id for id in answers.gone if id in there and id in told], "webhook")
                gone += await self._absence.judge([id for id in answers.gone if id in there and id not in told], "get")
            else:
                gone = [id for id in told_gone(portion.hints) if id in there]
            records: dict[str | None, Record] = {source.id_of(resource, record): record for record in answers.there.values()}
            gone += [id for id, record in answers.there.items() if id in there and id not in records]  # it was merged into another
            ledger.counts.webhooks += portion.number
            deleted, upto = deleted or bool(gone), portion.upto
            await self._pipeline.take(
                list(records.values()), list(records), pages=0,
                events=self._hints.events(portion.hints, there, answers), heard=None if deleted else upto,
            )  # fmt: skip
            if gone:
                await self._pipeline.take_deletions(gone)
            self._check_stopped()
        return upto if deleted else None

    async def _read_one(self, id: str) -> None:
        job, source = self._job, self._source
        self._pipeline.look_again = True
        if source.features(job.source_resource).get:
            with about(records=[id]):
                record = await source.get(job.source_resource, id)
            if record is None:
                raise TielineError(f"{job.spec.source} has no record {id}", next_step="check the id")
            await self._pipeline.take([record], [source.id_of(job.source_resource, record)])
            await self._pipeline.settle_deletions(None)
            return
        async for page in source.read(job.source_resource, None):
            if id in page.ids:
                await self._pipeline.take([page.records[page.ids.index(id)]], [id])
                await self._pipeline.settle_deletions(None)
                return
        raise TielineError(f"{job.spec.source} has no record {id}", next_step="check the id")

    async def _while_waiting(self) -> None:
        self._check_stopped()
        await self._pipeline.settle()  # what was accepted goes out, however long the next page takes
        self.sender.flush()


def _remember_undone(connection: Transaction, way: Way, delivery: Delivery, fields: Sequence[str]) -> None:
    """Let what was put back stand, until the source record changes in these fields again."""
    number, source_id = way.ledger.integration, delivery.source_id
    if delivery.operation == "delete":
        links.judge(connection, number, [source_id], "discarded")
    elif delivery.operation == "update":
        links.keep(connection, number, [(source_id, address, encode_json(delivery.fields[address])) for address in fields])


def _encoded(since: Since) -> str:
    return msgspec.json.encode(since).decode()
