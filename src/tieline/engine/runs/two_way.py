"""A pass in both directions: send what is still owed, read what has changed on both sides, decide pair by pair, deliver.

Nothing is decided before both sides are read: what one of them says may be older than what the other has not told yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tieline.dialects.dialect import System
from tieline.engine.core.destination import Destination, Nowhere
from tieline.engine.core.ledger import Counts, Ledger, LedgerBeside, about
from tieline.engine.core.two_sides import TwoWayIntegration
from tieline.engine.decide.brakes import Braked, Brakes
from tieline.engine.decide.deciding import Decider
from tieline.engine.decide.pipeline import Guard
from tieline.engine.deliver.sender import Sender
from tieline.engine.intake.in_doubt import InDoubt
from tieline.engine.intake.side_reader import Intake
from tieline.engine.lookup.before_images import image_taker
from tieline.engine.lookup.matching import Matcher
from tieline.engine.runs.passes import Pass, Wanted, Way
from tieline.engine.runs.refetch import AskedAgain
from tieline.engine.runs.restore import Restorer
from tieline.engine.runs.undo import Undoer
from tieline.model.errors import Incomplete, Refused, SafetyStop, StoreError, TielineError
from tieline.model.paths import get
from tieline.model.records import ABSENT, Values, decode_json, encode_json
from tieline.model.tasks import side_by_side
from tieline.store import absent, links, outbox, pairs, runs, staged
from tieline.store.database import Transaction
from tieline.store.delivery import Delivery
from tieline.store.pair_links import PairLinks
from tieline.store.pairs import OTHER, SIDES, Side
from tieline.sync.decide import same
from tieline.sync.rewriting import answered, is_rewriting

_MOST_OVERTAKEN: Final = 3
"""So often in a run a record is decided, if someone changes it each time before it is written."""
_ASKED_TOGETHER: Final = 500
_MOST_NAMED: Final = 3


class TwoWayPass(Pass):
    """The steps of one run."""

    letters_next = "see `tieline conflicts`, `tieline unmatched` and `tieline dead-letters`"

    def __init__(
        self,
        job: TwoWayIntegration,
        systems: Mapping[Side, System],
        ledger: Ledger,
        state: runs.State,
        wanted: Wanted,
        guard: Guard | None,
        *,
        stopped: Callable[[], str | None],
        progress: Callable[[], None],
    ) -> None:
        super().__init__(job.name, state, wanted, stopped=stopped, progress=progress)
        db = ledger.db
        beside = runs.state_of(db, runs.back(job.name))
        assert beside is not None
        self._job, self._systems, self._guard = job, systems, guard
        self._ledgers: Mapping[Side, Ledger] = {"left": ledger, "right": LedgerBeside(ledger, beside.id)}
        """By the side whose changes they are about."""
        self._cursors: Mapping[Side, str | None] = {"left": state.cursor, "right": beside.cursor}
        store_id = db.read("SELECT value FROM meta WHERE key = 'store_id'")[0][0]
        self._integration = ledger.integration
        self._senders = {side: self._sender(side, store_id) if wanted.send else Nowhere() for side in SIDES}
        """By the side whose changes they send to the other."""
        self.ways = tuple(Way(job.halves[side].job, systems[OTHER[side]], self._ledgers[side], self._senders[side]) for side in SIDES)
        self._brakes = Brakes(job, db, self._integration, allow_deletes=wanted.allow_deletes, allow_clears=wanted.allow_clears)
        self._mapped_anew = state.mapping is not None and state.mapping != job.fingerprint
        self._intakes = {side: self._intake(side) for side in SIDES}
        self.judges = tuple((job.halves[side].place, self._intakes[side].absence) for side in SIDES)
        self._braked: Sequence[Braked] = ()
        self._both_read = False
        self._looked: set[int] | None = None

    def _sender(self, side: Side, store_id: str) -> Destination:
        half, there = self._job.halves[side], OTHER[side]
        links = PairLinks(self._integration, there)
        target, ledger = self._systems[there], self._ledgers[side]
        matcher = Matcher(half.job, target, ledger, links=links)
        if matcher.remembered is not None:
            ledger.later.append(matcher.remembered.pruning())
        return Sender(
            half.job, target, ledger, matcher, store_id=store_id, notify=self._progress, links=links,
            on_confirmed=lambda connection, confirmed: self._confirmed(connection, side, confirmed),
        )  # fmt: skip

    def _intake(self, side: Side) -> Intake:
        return Intake(
            self.name, self._job.halves[side], self._systems[side], self._ledgers[side], self._integration, self._cursors[side],
            whole=self.wanted.full or self._mapped_anew or self._state.complete_at is None,
            most_gone=self._brakes.most_deletes(side), approved=self.wanted.allow_deletes is not None, written_by=self._ledgers[OTHER[side]].integration, check_stopped=self._check_stopped, progress=self._progress,
        )  # fmt: skip

    @property
    def systems(self) -> Sequence[System]:
        """The systems that it speaks to."""
        return self._systems["left"], self._systems["right"]

    @property
    def brakes(self) -> Sequence[Braked]:
        """The brakes that would hold this run, of a plan."""
        return self._braked

    @property
    def counts(self) -> Counts:
        """What became of what was read, on both sides."""
        left, right = (self._ledgers[side].counts for side in SIDES)
        return Counts(**{name: getattr(left, name) + getattr(right, name) for name in Counts.__struct_fields__})

    async def close(self) -> None:
        """Stop reading and sending, whatever is still under way: nothing may outlive the run."""
        for side in SIDES:
            await self._intakes[side].close()
            await self._senders[side].close()

    async def go(self) -> None:
        """Do it all."""
        ledger, wanted = self._ledgers["left"], self.wanted
        await self._check_ends(self._job.ends, linked=pairs.is_any(ledger.db, self._integration))
        await self._settle_doubts()
        undoer = Undoer(
            self.ways,
            [PairLinks(self._integration, OTHER[side]) for side in SIDES],
            self._remember_undone,
            delete_filled=wanted.delete_filled,
            check_stopped=self._check_stopped,
            progress=self._progress,
        )
        failure: TielineError | None = None
        try:
            if self._mapped_anew:
                await ledger.commit(lambda connection: pairs.forget_meetings(connection, self._integration))
            if wanted.send and await undoer.resume():
                await self._drain()
            restorer = Restorer(self._job, self._ledgers, self._put, wanted.restore) if wanted.restore is not None else None
            again = AskedAgain(self._job, self._ledgers, self._systems, self._intakes, self._check_stopped)
            if wanted.only is not None:
                await self._read_one(wanted.side or "left", wanted.only, again)
            elif wanted.undo is not None:
                await undoer.undo(wanted.undo)
            else:
                meant = await again.stage(wanted.redrive, wanted.limit) if wanted.redrive else []
                if restorer is not None:
                    meant = restorer.records()
                if not await again.read(meant):
                    await side_by_side(self._intakes[side].read() for side in SIDES)
                    self._both_read = True
                    self.unseen = [text for side in SIDES for text in self._intakes[side].unseen()]
            if wanted.undo is None:
                await self._decide(again)
                self.complete = self._both_read and restorer is None
                self._check_proven()
            if restorer is not None:
                await self._drain()
                await restorer.restore()
        except StoreError:
            raise
        except TielineError as error:
            failure = error
            if isinstance(error, Incomplete):
                ledger.counts.missing += error.missing
        self.drained = await self._drain()
        if failure is None:
            try:
                await self._decide_overtaken()
            except StoreError:
                raise
            except TielineError as error:
                failure = error
                self.drained = await self._drain()
        for way in self.ways:
            await self._check_kept(way)
        if failure is not None:
            raise failure
        self._progress()

    async def _settle_doubts(self) -> None:
        """Find out what became of creations that may have been done: a record is there, or is not, before anything is decided about it."""
        doubtful = [await self._send_owed(way, which=lambda one: one.state == "unknown" and one.operation == "create") for way in self.ways]
        for way, any_ in zip(self.ways, doubtful, strict=True):
            if any_:
                await way.sender.drain(more=True)

    async def _read_one(self, side: Side, id: str, again: AskedAgain) -> None:
        """Read one record of a side, and its counterpart, or look for one."""
        for half in self._job.halves.values():
            if not half.features.get:
                raise Refused(
                    f"{half.place} can't be asked for one record", next_step="declare `get` for it in the connector, or run it whole"
                )
        half, there = self._job.halves[side], self._job.halves[OTHER[side]]
        id = self._systems[side].read_id(half.resource, id) or id
        with about(records=[id]):
            if await self._systems[side].get(half.resource, id) is None:
                raise TielineError(
                    f"{half.place} has no record {id}",
                    next_step=f"check the id (of {there.place}: `--side {there.side}`); a whole run finds what is gone",
                )
        if not await again.read([(side, id)]):
            raise Refused(
                f"{there.place} can't be searched by a match key: whether {id} has a counterpart there, only a whole run can tell",
                next_step=f"declare `find` for {' or '.join(self._job.spec.match)} in its connector, or `tieline run {self.name}`",
            )

    def _decider(self, **how: Any) -> Decider:
        images = {side: image_taker(self._job.halves[side].job, self._systems[OTHER[side]], self._ledgers[side]) for side in SIDES}
        return Decider(self._job, self._ledgers, self._put, self._guard, self._check_stopped, take_images=images, **how)

    async def _decide(self, again: AskedAgain) -> None:
        decider = self._decider(remake=self.wanted.remake, read_first=self.wanted.send)
        decider.looked = self._looked = None if self._both_read else again.looked
        decider.only = None if self._both_read else again.asked
        await InDoubt(self._job, self._systems, self._ledgers, self._intakes).look(decider.only)
        decider.missed = self._not_decided()
        if self._both_read:
            await decider.take_up()
        await decider.decide(braked_too=False)
        await self._read_first(decider)
        braked = decider.braked
        if not braked and not any(intake.missed for intake in self._intakes.values()):
            return
        stopped = self._brakes.more_than_allowed(braked)
        stops = self._brakes.told(stopped, {side: intake.missed for side, intake in self._intakes.items()})
        if self.wanted.send:
            decider.stop(stopped)
        else:
            self._braked = stops
        if braked:
            await decider.decide(braked_too=True)
        if stops and self.wanted.send:
            raise self._brakes.stop(stops)

    def _not_decided(self) -> Mapping[Side, frozenset[str]]:
        """Return the records of each side that are not shown, and of which no one can say now whether they are gone."""
        return {
            side: intake.missed | intake.absence.unproven.keys() | intake.absence.undecided.keys() for side, intake in self._intakes.items()
        }

    def _check_proven(self) -> None:
        """Raise `SafetyStop` where `get` proves nothing, or a person asked about a record of which one answer says that it is not there."""
        asked_for = self.wanted.only is not None or bool(self.wanted.redrive) or self.wanted.restore is not None
        for side in SIDES:
            absence, place = self._intakes[side].absence, self._job.halves[side].place
            if absence.unproven:
                raise absence.stop(place)
            if asked_for and (absent := [id for id in absence.undecided if id not in absence.untold]):
                some = ", ".join(absent[:_MOST_NAMED])
                raise SafetyStop(
                    f"{place} answers that it has no record {some}: one answer proves no deletion, and nothing was decided about it",
                    next_step=f"`tieline run {self.name} --full` reads both sides whole, and decides",
                )

    async def _read_first(self, decider: Decider) -> None:
        """Read records that are to be written on condition that they are as they were known, and of which it is not known which version that was.

        So it is after a write of ours whose answer did not tell, and until a list has shown the record. It is one call for each.
        """
        unread = decider.take_unread()
        if any(unread.values()):
            for side, ids in unread.items():
                for start in range(0, len(ids), _ASKED_TOGETHER):
                    await self._intakes[side].ask(ids[start : start + _ASKED_TOGETHER])
                    self._check_stopped()
            decider.missed = self._not_decided()
            await decider.decide_these(unread)

    async def _decide_overtaken(self) -> None:
        """Decide again what was not written because someone had changed the record meanwhile: both records are read, and what they say now holds.

        What meets that a third time stays owed, and the next run decides it. So does what is now a deletion, or empties a field: the brakes
        have not counted it.
        """
        for _ in range(_MOST_OVERTAKEN - 1):
            meant: dict[Side, list[str]] = {side: [] for side in SIDES}
            overtaken: dict[int, Side] = {}
            for side in SIDES:
                taken, self._senders[side].overtaken = self._senders[side].overtaken, []
                overtaken |= {delivery.id: side for delivery in taken}
                meant[side] += [delivery.source_id for delivery in taken]
                meant[OTHER[side]] += [delivery.target_id for delivery in taken if delivery.target_id is not None]
            if not overtaken or self.halted is not None:
                return
            meant = {side: list(dict.fromkeys(ids)) for side, ids in meant.items()}
            for side, ids in meant.items():
                if self._job.halves[side].features.get and ids:
                    await self._intakes[side].ask(ids)
            self.drained = False  # what is decided from here on is on its way, however this ends
            decider = self._decider(read_first=True, overtaken=overtaken)
            decider.looked, decider.missed = self._looked, self._not_decided()
            await decider.decide_these(meant)
            self.drained = await self._drain()

    async def _put(self, side: Side, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            await self._senders[side].put(deliveries)
        self._progress()

    def _confirmed(self, connection: Transaction, side: Side, confirmed: Sequence[tuple[Delivery, str]]) -> None:
        """Remember with the pairs what was written to the other side of `side`."""
        half = self._job.halves[OTHER[side]]
        watched, whole = {*half.job.watched}, self._job.halves[side].job.target.whole_update
        told: list[tuple[str, Values, Values, str | None]] = []
        strange: list[str] = []
        answers: list[tuple[str, staged.Kind, bytes | None]] = []
        for delivery, target_id in confirmed:
            if delivery.operation == "delete":
                continue
            ours = delivery.operation == "create" and delivery.adopted is not None
            if delivery.adopted is not None and not (
                ours and all(is_rewriting(v, delivery.adopted.get(a)) for a, v in delivery.fields.items())
            ):
                strange.append(target_id)  # someone else has made it: what it says is not ours
                continue
            before = decode_json(delivery.before) if delivery.before else {}
            # What stood there already, and was sent along with the whole record, is no write that anybody waits to see.
            along = {a for a, value in delivery.fields.items() if whole and a in before and same(before[a], value)}
            written = {address: value for address, value in delivery.fields.items() if address in watched and address not in along}
            shown = half.says(delivery.shown) if delivery.shown is not None else {}
            differs, untaken = answered(written, before, shown)
            if delivery.operation == "update" and untaken and not half.mapping.reads_all:
                # It says what it said before: that is no spelling of what was written, and someone has to know.
                answers.append((target_id, "seen", encode_json(delivery.shown)))
                spelled = {a: value for a, value in differs.items() if a not in untaken}
            else:
                spelled = differs
            # Only of what no one else can have touched is all known that the answer shows.
            untouched = delivery.version is not None or delivery.operation == "create"
            version = half.version_of(delivery.shown) if untouched and delivery.shown is not None else None
            told.append((target_id, {a: value for a, value in written.items() if a not in spelled}, spelled, version))
        # An undo is to know what people have filled in since.
        images = [
            (delivery.id, encode_json(image))
            for delivery, _ in confirmed
            if delivery.operation == "create" and delivery.shown is not None and (image := self._beside(side, delivery))
        ]
        outbox.note_before(connection, images)
        made = {target_id: delivery.id for delivery, target_id in confirmed if delivery.operation == "create"}
        alone = pairs.stand_alone(connection, self._integration, half.side, list(made)) if made else ()
        # No pair tells what such a delivery has made.
        outbox.name_targets(connection, [(made[target_id], target_id) for target_id in alone])
        pairs.written(connection, self._integration, half.side, told, made.keys(), self._ledgers["left"].clock.now())
        pairs.meet_again(connection, self._integration, half.side, strange, self._ledgers["left"].clock.now())
        if deleted := [target_id for delivery, target_id in confirmed if delivery.operation == "delete" and target_id]:
            absent.deleted(connection, self._ledgers[OTHER[side]].integration, deleted, self._ledgers[side].clock.now())
        ledger = self._ledgers["left"]
        staged.put(connection, self._integration, half.side, ledger.run, ledger.clock.now(), answers)
        pairs.part_from_gone(connection, self._integration, side, [target_id for _, target_id in confirmed])

    def _beside(self, side: Side, made: Delivery) -> Values:
        """Return what the answer to a creation shows in fields that the mapping does not write."""
        job = self._job.halves[side].job
        shown = {address: value for address in job.writable if (value := get(made.shown or {}, address)) is not ABSENT and value}
        return {address: value for address, value in shown.items() if address not in job.mapping.writes}

    def _remember_undone(self, connection: Transaction, way: Way, delivery: Delivery, fields: Sequence[str]) -> None:
        """Let what was put back stand: the pair agrees to differ, until one of its sides changes in these fields again."""
        side: Side = "left" if way is self.ways[0] else "right"
        pair = pairs.of(way.ledger.db, self._integration, side, [delivery.source_id]).get(delivery.source_id)
        if pair is None:
            return
        if delivery.operation == "delete":
            pairs.put(connection, [pairs.without(pair, OTHER[side])])
        elif delivery.operation == "update":
            there = set(fields)
            strands = [strand.name for strand in self._job.terms.strands if there.intersection(getattr(strand, OTHER[side]))]
            links.keep(connection, self._integration, [(pair.left_id or "", name, None) for name in strands])
