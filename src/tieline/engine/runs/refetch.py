"""Records of a two-way integration that a person wants decided, or decided again, by themselves: staged, and read again with their counterparts.

Nothing is decided that is out of date. What has no counterpart is looked for on the other side by its match key: since the last whole run
someone may have entered it there, and none is to be made that is there already.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tieline.dialects.dialect import System
from tieline.engine.core.ledger import Ledger
from tieline.engine.core.two_sides import Half, TwoWayIntegration
from tieline.engine.intake.side_reader import Intake
from tieline.engine.lookup.fetching import ask_for
from tieline.engine.lookup.matching import Matcher
from tieline.engine.runs import redrive
from tieline.model.errors import MappingError, Refused, RemoteError
from tieline.model.records import Record, Values
from tieline.model.tasks import side_by_side
from tieline.store import journal, pairs, staged
from tieline.store.database import Transaction
from tieline.store.journal import Event
from tieline.store.letters import Chosen
from tieline.store.pair_links import PairLinks
from tieline.store.pairs import OTHER, SIDES, Side

MOST: Final = 50
"""So many records are asked for one by one, rather than everything that has changed."""


class AskedAgain:
    """What is decided again within a run. Everything is by the side that a record is on."""

    def __init__(
        self,
        job: TwoWayIntegration,
        ledgers: Mapping[Side, Ledger],
        systems: Mapping[Side, System],
        intakes: Mapping[Side, Intake],
        check_stopped: Callable[[], None],
    ) -> None:
        self._job, self._ledgers, self._systems, self._intakes, self._check_stopped = job, ledgers, systems, intakes, check_stopped
        self._integration = ledgers["left"].integration
        self.looked: set[int] = set()
        """Pairs, by their own ids, whose counterparts were read, or looked for in vain."""
        self.asked: dict[Side, set[str]] = {side: set() for side in SIDES}
        """Records that were asked for, by id."""

    async def stage(self, wanted: Sequence[int] | Chosen, limit: int | None) -> list[tuple[Side, str]]:
        """Let the pairs of these dead letters be decided again; return the records that the letters are of."""
        meant: list[tuple[Side, str]] = []
        left = limit
        for side, ledger in self._ledgers.items():
            for portion in redrive.portions(ledger.db, ledger.integration, wanted, left):
                left = left - len(portion) if left is not None else None
                ids = list(dict.fromkeys(delivery.source_id for delivery in portion))
                known = pairs.known(ledger.db, self._integration, side, ids)
                ids = [id for id in ids if id in known]
                meant += [(side, id) for id in ids]
                if not isinstance(wanted, Chosen) and (strange := next((d for d in portion if d.source_id not in known), None)):
                    raise Refused(
                        f"dead letter {strange.id} is of an entry that no run could read, or of a record that is gone: there is nothing to decide",
                        next_step=f"have it corrected where it comes from, then `tieline dead-letters discard {strange.id}`",
                    )
                asked = [d for d in portion if d.source_id in known and "ruling" not in d.why]
                events = [ledger.event(delivery.source_id, "redriven by hand", delivery=delivery.id) for delivery in asked]
                await ledger.commit(functools.partial(self._put, side=side, ids=ids, events=events))
        return meant

    def _put(self, connection: Transaction, *, side: Side, ids: Sequence[str], events: Sequence[Event]) -> None:
        ledger = self._ledgers[side]
        staged.put(connection, self._integration, side, ledger.run, ledger.clock.now(), [(id, "again", None) for id in ids])
        journal.note(connection, events)

    async def read(self, records: Sequence[tuple[Side, str]]) -> bool:
        """Read these records and their counterparts; return False where that can't be, or there are too many: then both sides must be read."""
        if not records or len(records) > MOST or not all(half.features.get for half in self._job.halves.values()):
            return False
        wanted: dict[Side, dict[str, None]] = {side: {} for side in SIDES}
        for side, id in records:
            wanted[side][id] = None
            pair = pairs.of(self._ledgers["left"].db, self._integration, side, [id]).get(id)
            if pair is not None and (other := pair.id_of(OTHER[side])) is not None:
                wanted[OTHER[side]][other] = None
        read = dict(zip(SIDES, await side_by_side(self._read(side, list(wanted[side])) for side in SIDES), strict=True))
        looked = [await self._look(side, read[side], read[OTHER[side]]) for side in SIDES]
        return all(looked)

    async def _read(self, side: Side, ids: Sequence[str]) -> dict[str, Record]:
        half, system = self._job.halves[side], self._systems[side]
        found: dict[str, Record] = {}
        self.asked[side].update(ids)
        refused: dict[str, RemoteError] = {}
        for id, record in (await ask_for(system, half.resource, ids, refused=refused)).items():
            if record is not None:
                found[id] = record
            await self._intakes[side].take_answer(id, record)
            self._check_stopped()
        await self._intakes[side].are_untold(refused)
        return found

    async def _look(self, side: Side, here: Mapping[str, Record], there: Mapping[str, Record]) -> bool:
        """Look on the other side for those of these records whose counterparts are not known or gone; return whether that could be done."""
        other, half = OTHER[side], self._job.halves[side]
        known = pairs.of(self._ledgers["left"].db, self._integration, side, list(here)) if here else {}
        alone = {id: pair for id, pair in known.items() if pair.id_of(other) not in there}
        self.looked.update(pair.id for id, pair in known.items() if id not in alone)
        keys = {key: (id, pair) for id, pair in alone.items() if (key := half.key(here[id])) is not None}
        if not self._job.spec.match or not alone:
            return True
        matcher = Matcher(half.job, self._systems[other], self._ledgers[side], links=PairLinks(self._integration, other))
        if matcher.searched is None or not self._job.halves[other].features.get:
            return False
        found = await matcher.candidates(
            {key: matcher.wordings(here[id], self._written(half, here[id])) for key, (id, _) in keys.items()},
            lambda: {key: id for key, (id, _) in keys.items()},
            fresh=True,
        )
        wanted = list({candidate.id: None for some in found.values() for candidate in some if candidate.id not in there})
        # What a search shows and `get` does not is there all the same: nothing is made in its place.
        hidden = set(wanted) - (await self._read(other, wanted)).keys()
        self._intakes[other].absence.undecided.update(dict.fromkeys(hidden))
        open_ = {keys[key][0] for key, some in found.items() if any(candidate.id in hidden for candidate in some)}
        self.looked.update(pair.id for id, pair in alone.items() if id not in open_)  # what has no match key can't be looked for
        return True

    def _written(self, half: Half, record: Record) -> Values:
        """Return what the mapping would write of a record, as far as it can be told without its links."""
        try:
            return half.mapping(record, {})
        except MappingError:
            return {}
