"""Records that we made, that nothing has shown since, and that are not there: each is looked for by its match key before a person is asked about it.

A search may know what a list and `get` don't show yet, and the vendor may have given the record another id. What is found under the same id is
there, and nothing follows from its absence; a single record under another id, which is the counterpart of none, is the record from now on. Where
nothing is found, or several are, `sync.reconcile` holds the pair as in doubt.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from tieline.dialects.dialect import System
from tieline.engine.core.ledger import Ledger
from tieline.engine.core.two_sides import TwoWayIntegration
from tieline.engine.intake.side_reader import Intake
from tieline.engine.lookup.matching import Matcher
from tieline.model.errors import RemoteError
from tieline.store import journal, pairs, staged
from tieline.store.database import Transaction
from tieline.store.journal import Event
from tieline.store.pair_links import PairLinks
from tieline.store.pairs import OTHER, SIDES, Pair, Side

FOUND: Final = "not shown by a list or by its id, and found by its match key"
"""What the journal says of a record that is there after all."""


class InDoubt:
    """Looks for them, in one run. Everything is by the side that a record is on."""

    def __init__(
        self, job: TwoWayIntegration, systems: Mapping[Side, System], ledgers: Mapping[Side, Ledger], intakes: Mapping[Side, Intake]
    ) -> None:
        self._job, self._systems, self._ledgers, self._intakes = job, systems, ledgers, intakes
        self._db, self._integration = ledgers["left"].db, ledgers["left"].integration

    async def look(self, only: Mapping[Side, Collection[str]] | None) -> None:
        """Look for all that wait for a decision, or for `only` some, by id. Raises `RemoteError` where a search may be answered later."""
        if not self._job.spec.match:
            return
        for side in SIDES:
            doubted = pairs.in_doubt(self._db, self._integration, side)
            if only is not None:
                doubted = [pair for pair in doubted if pair.id_of(side) in only[side]]
            if doubted:
                await self._look(side, doubted)

    async def _look(self, side: Side, doubted: Sequence[Pair]) -> None:
        other, half = OTHER[side], self._job.halves[side]
        job, links = self._job.halves[other].job, PairLinks(self._integration, side)
        standing = {pair.id: half.standing(pair) for pair in doubted}
        keys = {key: pair for pair in doubted if (key := job.target_key(standing[pair.id])) is not None}
        found = {key: self._listed(side, pairs_) for key, pairs_ in pairs.with_keys(self._db, self._integration, list(keys)).items()}
        sought = {key: pair for key, pair in keys.items() if not found.get(key)}
        matcher = Matcher(job, self._systems[side], self._ledgers[other], links=links)
        if sought and matcher.searched is not None:
            refused: dict[str, RemoteError] = {}
            wordings = {key: (matcher.searched_there(standing[pair.id]),) for key, pair in sought.items()}
            candidates = await matcher.candidates(wordings, dict, fresh=True, refused=refused)
            for key, some in candidates.items():
                mine = keys[key].id_of(other)
                found[key] = [one.id for one in some if one.linked_to in (None, mine)]
        for key, pair in keys.items():
            ids = found.get(key, [])
            if pair.id_of(side) in ids:
                await self._is_there(side, pair)
            elif len(ids) == 1:
                await self._is_now(side, pair, ids[0])

    def _listed(self, side: Side, same_key: Sequence[Pair]) -> list[str]:
        """Return the records of a side among these that a list has shown, and that may be a counterpart."""
        alone = {id: pair for pair in same_key if not pair.linked and (id := pair.id_of(side)) is not None and pair.verdict != "alone"}
        there = staged.of(self._db, self._integration, side, list(alone)) if alone else {}
        return [id for id in alone if id not in there or there[id].kind != "gone"]

    async def _is_there(self, side: Side, pair: Pair) -> None:
        id = pair.id_of(side) or ""
        await self._commit(side, [self._ledgers[side].event(id, FOUND)], functools.partial(_let_go, self._integration, side, id))

    async def _is_now(self, side: Side, pair: Pair, id: str) -> None:
        was = pair.id_of(side) or ""
        events = [self._ledgers[side].event(was, FOUND, into=id), self._ledgers[side].event(id, FOUND, other=was)]
        await self._commit(side, events, functools.partial(_is_another, self._integration, side, was, id))
        if self._job.halves[side].features.get:
            await self._intakes[side].ask([id])

    async def _commit(self, side: Side, events: Sequence[Event], what: Callable[[Transaction], None]) -> None:
        def unit(connection: Transaction) -> None:
            what(connection)
            journal.note(connection, events)

        await self._ledgers[side].commit(unit)


def _let_go(integration: int, side: Side, id: str, connection: Transaction) -> None:
    staged.take(connection, integration, side, [id])


def _is_another(integration: int, side: Side, was: str, id: str, connection: Transaction) -> None:
    pairs.merge(connection, integration, side, was, id)
    pairs.are_seen(connection, integration, side, [id])
