"""Pairs of a two-way integration that a person wants decided again: staged, and read anew, so that nothing is decided that is out of date."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tieline.dialects.dialect import System
from tieline.engine import redriving
from tieline.engine.intake import Intake
from tieline.engine.ledger import Ledger, about
from tieline.engine.two_sides import TwoWayIntegration
from tieline.model.errors import Refused
from tieline.model.tasks import side_by_side
from tieline.store import journal, pairs, staged
from tieline.store.journal import Event
from tieline.store.letters import Chosen
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

    async def stage(self, wanted: Sequence[int] | Chosen, limit: int | None) -> list[tuple[Side, str]]:
        """Let the pairs of these dead letters be decided again; return the records that the letters are of."""
        meant: list[tuple[Side, str]] = []
        left = limit
        for side, ledger in self._ledgers.items():
            for portion in redriving.portions(ledger.db, ledger.integration, wanted, left):
                left = left - len(portion) if left is not None else None
                ids = list(dict.fromkeys(delivery.source_id for delivery in portion))
                known = pairs.known(ledger.db, self._integration, side, ids)
                ids = [id for id in ids if id in known]
                meant += [(side, id) for id in ids]
                if not isinstance(wanted, Chosen) and (strange := next((d for d in portion if d.source_id not in known), None)):
                    raise Refused(
                        f"dead letter {strange.id} is of an entry that no run could read, or of a record that is gone: there is nothing to decide",
                        next_step=f"have it mended where it comes from, then `tieline dead-letters discard {strange.id}`",
                    )
                asked = [d for d in portion if d.source_id in known and "ruling" not in d.why]
                events = [ledger.event(delivery.source_id, "redriven by hand", delivery=delivery.id) for delivery in asked]
                await ledger.commit(functools.partial(self._put, side=side, ids=ids, events=events))
        return meant

    def _put(self, connection: sqlite3.Connection, *, side: Side, ids: Sequence[str], events: Sequence[Event]) -> None:
        ledger = self._ledgers[side]
        staged.put(connection, self._integration, side, ledger.run, ledger.clock.now(), [(id, "again", None) for id in ids])
        journal.note(connection, events)

    async def read(self, records: Sequence[tuple[Side, str]]) -> bool:
        """Read these records and their counterparts; return False, having read none, where that can't be, or there are too many."""
        if not records or len(records) > MOST or not all(half.features.get for half in self._job.halves.values()):
            return False
        wanted: dict[Side, dict[str, None]] = {side: {} for side in SIDES}
        for side, id in records:
            wanted[side][id] = None
            pair = pairs.of(self._ledgers["left"].db, self._integration, side, [id]).get(id)
            if pair is not None and (other := pair.id_of(OTHER[side])) is not None:
                wanted[OTHER[side]][other] = None
        await side_by_side(self._read(side, list(wanted[side])) for side in SIDES)
        return True

    async def _read(self, side: Side, ids: Sequence[str]) -> None:
        half, system = self._job.halves[side], self._systems[side]
        for id in ids:
            with about(records=[id]):
                record = await system.get(half.resource, id)
            await self._intakes[side].stage([record] if record is not None else [], [id] if record is None else [])
            self._check_stopped()
