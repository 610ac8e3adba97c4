"""Pairs of a two-way integration, decided: what is staged of either side becomes writes to the other, or waits for someone.

First which record is which (`engine.decide.meetings`), then what follows for a pair (`engine.decide.reconciling`); what can't be decided waits
(`engine.decide.waiting`). What a portion of pairs leads to is one commit (`engine.decide.decided`), and only then it is sent.

A pair of which something is on its way is left alone until that is settled. What is owed from earlier runs is decided again: it was decided
before what both sides say now, and is not written over an edit that no one has read. What can't be decided stays staged: a later run, or a
person's ruling, finds it there. Deletions and clears are decided last, under the brakes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from tieline.engine.core.ledger import Ledger
from tieline.engine.core.two_sides import TwoWayIntegration
from tieline.engine.decide.brakes import Counted
from tieline.engine.decide.context import OWED, Desk, Work
from tieline.engine.decide.decided import Decided
from tieline.engine.decide.deletions import Guard
from tieline.engine.decide.meetings import Meetings
from tieline.engine.decide.reconciling import Reconciler
from tieline.engine.decide.waiting import Waiting
from tieline.engine.lookup.before_images import TakeImages
from tieline.store import outbox, pairs, staged
from tieline.store.database import Transaction
from tieline.store.delivery import Delivery
from tieline.store.pairs import SIDES, Pair, Side
from tieline.store.staged import Staged

_TOGETHER: Final = 500
Send = Callable[[Side, Sequence[Delivery]], Any]


class Decider:
    """Decides what is staged, in one run."""

    def __init__(
        self,
        job: TwoWayIntegration,
        ledgers: Mapping[Side, Ledger],
        send: Send,
        guard: Guard | None,
        check_stopped: Callable[[], None],
        *,
        take_images: Mapping[Side, TakeImages],
        remake: bool = False,
        read_first: bool = False,
        overtaken: Mapping[int, Side] = {},
    ) -> None:
        """`ledgers` are by the side whose changes they are about; `send` is given what is durable, by that side.

        `guard` looks at each delivery before its commit; it raises `SafetyStop` to refuse it. `check_stopped` raises when the run shall end.
        `take_images` takes those of records that one side's changes delete or archive on the other. `remake`: see `Wanted`. `read_first`: what
        would be written without its condition is left to be read, see `take_unread`. `overtaken` are deliveries of this run that are decided
        again, by id, each with its side.
        """
        self._ledgers, self._send, self._guard, self._check_stopped = ledgers, send, guard, check_stopped
        self._take_images = take_images
        desk = self._desk = Desk(job, ledgers, overtaken)
        self._db, self._integration, self._run = desk.db, desk.integration, desk.run
        waiting = Waiting(desk)
        self._meetings = Meetings(desk, waiting)
        self._reconciler = Reconciler(desk, self._meetings, waiting, remake=remake, read_first=read_first)

        self.missed: Mapping[Side, frozenset[str]] = {side: frozenset() for side in SIDES}
        """Records of each side that were not shown, and that no one believes to be gone: nothing is decided about them."""
        self.only: Mapping[Side, AbstractSet[str]] | None = None
        """In a run that has read some records alone: these. Of any other, no one knows what both sides say now."""

    @property
    def looked(self) -> AbstractSet[int] | None:
        """Pairs, by their own ids, whose counterparts were read or looked for in this run; None when both sides were read."""
        return self._desk.looked

    @looked.setter
    def looked(self, ids: AbstractSet[int] | None) -> None:
        self._desk.looked = ids

    @property
    def braked(self) -> Counted:
        """What the brakes kept from being decided the last time."""
        return self._reconciler.braked

    def stop(self, stopped: Counted) -> None:
        """Carry out nothing of what is more than the brakes allow."""
        self._reconciler.stopped = stopped

    async def take_up(self) -> None:
        """Have decided again, with what both sides say now, what is owed from earlier runs; not what may have made a record, that is looked for."""
        for side in SIDES:
            ledger, after = self._ledgers[side], 0
            while chunk := outbox.open_of(self._db, ledger.integration, OWED, after=after):
                after = chunk[-1].id
                mine = [one for one in chunk if one.operation != "none" and not self._desk.is_on_its_way(one)]
                known = pairs.known(self._db, self._integration, side, [one.source_id for one in mine]) if mine else {}
                await ledger.commit(
                    functools.partial(self._stage_again, side=side, deliveries=[one for one in mine if one.source_id in known])
                )
                # Its record has another id by now, under which the pair is decided.
                adrift = [one.id for one in mine if one.source_id not in known]
                if adrift:
                    await ledger.commit(functools.partial(outbox.supersede_these, ids=adrift, run=self._run, now=ledger.clock.now()))

    def _stage_again(self, connection: Transaction, side: Side, deliveries: Sequence[Delivery]) -> None:
        rows: list[tuple[str, staged.Kind, bytes | None]] = [(one.source_id, "again", None) for one in deliveries]
        staged.put(connection, self._integration, side, self._run, self._ledgers[side].clock.now(), rows)
        pairs.reopen(connection, self._integration, side, [one.source_id for one in deliveries if one.operation == "create"])

    async def decide(self, *, braked_too: bool) -> None:
        """Decide all that is staged; with `braked_too`, also deletions and clears, which are only counted otherwise."""
        self._reconciler.braked = Counted({}, {}, {})
        after = ("", "")
        while portion := staged.portion(self._db, self._integration, after=after):
            after = portion[-1].side, portion[-1].id
            await self._decide_portion(portion, braked_too=braked_too)

    def take_unread(self) -> dict[Side, list[str]]:
        """Return, once, the records of each side that are to be read before they are written, by id."""
        found, self._reconciler.unread = self._reconciler.unread, {side: [] for side in SIDES}
        return found

    async def decide_these(self, ids: Mapping[Side, Sequence[str]]) -> None:
        """Decide what is staged of the pairs of these records; deletions and clears are only counted, with those that were counted before."""
        found: dict[int, Pair] = {}
        for side in SIDES:
            for start in range(0, len(ids[side]), _TOGETHER):
                some = pairs.of(self._db, self._integration, side, ids[side][start : start + _TOGETHER])
                found.update((pair.id, pair) for pair in some.values())
        self._desk.left_waiting.difference_update(found)
        meant = list(found.values())
        for start in range(0, len(meant), _TOGETHER):
            portion: list[Staged] = []
            for side in SIDES:
                known = [id for pair in meant[start : start + _TOGETHER] if (id := pair.id_of(side)) is not None]
                portion += staged.of(self._db, self._integration, side, known).values()
            await self._decide_portion(portion, braked_too=False)

    async def _decide_portion(self, portion: Sequence[Staged], *, braked_too: bool) -> None:
        decided = Decided(self._ledgers)
        await self._portion(portion, decided, braked_too=braked_too)
        if self._guard is not None:
            for delivery in decided.all_deliveries():
                self._guard(delivery)
        for side, take in self._take_images.items():
            await take(decided.deliveries[side])
        ready = await decided.commit(self._integration)
        self._desk.settle_overtaken(decided.superseded)
        for side in SIDES:  # both, whatever happens: what is durable as on its way must be
            await self._send(side, ready[side])
        self._check_stopped()

    # -- a portion

    async def _portion(self, portion: Sequence[Staged], decided: Decided, *, braked_too: bool) -> None:
        work = self._gather(portion)
        linked: list[Work] = []
        alone: list[Work] = []
        for one in work:
            if self._must_wait(one):
                self._desk.put_off(one)
            elif one.pair.linked:
                if self._is_read(one):
                    linked.append(one)
                else:
                    self._desk.put_off(one)
            else:
                alone.append(one)
        linked += self._meetings.meet(alone, decided)
        for one in linked:
            self._desk.read_records(one)
        links = {side: self._desk.lookups[side].of(one.records[side] for one in linked if side in one.records) for side in SIDES}
        for one in linked:
            self._reconciler.decide(one, links, decided, braked_too=braked_too)

    def _must_wait(self, work: Work) -> bool:
        """Whether something of a pair is on its way, or no one knows in this run what both of its sides say."""
        ids = {side: work.pair.id_of(side) for side in SIDES}
        unknown = self.only is not None and not any(ids[side] in self.only[side] for side in SIDES)
        return unknown or any(ids[side] in self.missed[side] for side in SIDES) or any(map(self._desk.is_on_its_way, work.letters()))

    def _is_read(self, work: Work) -> bool:
        """Whether it is known what both records say, or what was written to them; or that they are gone."""
        pair = work.pair
        return bool(pair.met) or all(side in work.staged or pair.is_read(side) for side in SIDES)

    def _gather(self, portion: Iterable[Staged]) -> list[Work]:
        """Return the pairs that a portion is about, with everything that is staged or open of them."""
        db, integration = self._db, self._integration
        by_side: dict[Side, dict[str, Staged]] = {side: {} for side in SIDES}
        for one in portion:
            by_side[one.side][one.id] = one
        found: dict[int, Work] = {}
        for side in SIDES:
            for pair in pairs.of(db, integration, side, list(by_side[side])).values() if by_side[side] else ():
                if pair.id not in self._desk.left_waiting:
                    found.setdefault(pair.id, Work(pair))
        for side in SIDES:
            ids = {id: work for work in found.values() if (id := work.pair.id_of(side)) is not None}
            if not ids:
                continue
            there = {**staged.of(db, integration, side, [id for id in ids if id not in by_side[side]]), **by_side[side]}
            opens = outbox.open_by_record(db, self._ledgers[side].integration, list(ids))
            for id, work in ids.items():
                if id in there:
                    work.staged[side] = there[id]
                work.opens[side] = opens.get(id, [])
        return list(found.values())
