"""Searches of the destination that need not be made again: what was found is remembered for as long as the connector says.

It must never lead to a second record, nor to an update of the wrong one. So:

- that there is none is never remembered: someone else may have made it meanwhile;
- only a single counterpart is used from memory; several, or none of the key that is looked for, are searched for again;
- what we write ourselves is forgotten before the write leaves, and again once it is answered, with every search that was under way then;
- a doubt about a write, and a record that a person had decided again, always ask again: they don't come here.

What others change meanwhile is seen late, by as much as `find: cache` says. It is kept in the store, by connection and resource, so that
later runs and other integrations profit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from tieline.engine.core.ledger import Ledger
from tieline.model.records import Record, Values, decode_json, encode_json
from tieline.store import lookups
from tieline.store.database import Transaction

_MOST_OF_ONE_SEARCH = 5
_MOST_NOTED = 20_000


class Remembered:
    """The memory of one destination's searches by one field, as one run uses it."""

    def __init__(self, ledger: Ledger, place: str, field: str, seconds: float) -> None:
        """`place` is `CONNECTION.RESOURCE`."""
        self._ledger, self._place, self._field, self._seconds = ledger, f"{place}, {field}", field, seconds
        self._writes = self._floor = 0
        self._written: dict[str, int] = {}
        """What was written in this run, by value and by id, with the number of the write: a search that began before it is not noted."""
        self._noted: set[str] = set()
        """Values and ids that this run has noted; perhaps not committed yet."""

    @property
    def mark(self) -> int:
        """What to hand to `note` with the answer of a search that begins now."""
        return self._writes

    def recall(self, value: Any) -> list[Record]:
        """Return what a search for a value showed lately; nothing when it has to be made."""
        now = self._ledger.clock.now()
        return [decode_json(record) for record in lookups.recall(self._ledger.db, self._place, _folded(value), now - self._seconds, now)]

    def note(self, value: Any, found: Sequence[tuple[str | None, Record]], began: float, mark: int) -> None:
        """Remember (id, record) of what a search showed that began then."""
        rows = [(id, encode_json(record)) for id, record in found if id is not None]
        place, folded = self._place, _folded(value)
        names = [folded, *(id for id, _ in rows)]
        if not rows or len(rows) != len(found) or len(rows) > _MOST_OF_ONE_SEARCH or len(self._noted) > _MOST_NOTED:
            return
        self._noted.update(names)

        def unit(connection: Transaction) -> None:
            if mark >= self._floor and all(self._written.get(name, 0) <= mark for name in names):
                lookups.remember(connection, place, folded, began, rows)

        self._ledger.later.append(unit)

    async def forget(self, written: Collection[tuple[str | None, Values]]) -> None:
        """Forget what is known of records that are being written: (id there, fields)."""
        ids = [id for id, _ in written if id is not None]
        values = [_folded(fields[self._field]) for _, fields in written if fields.get(self._field) is not None]
        if len(self._written) > _MOST_NOTED:
            self._written.clear()
            self._floor = self._writes + 1
        self._writes += 1
        self._written.update(dict.fromkeys([*ids, *values], self._writes))
        if not self._noted.isdisjoint([*ids, *values]) or lookups.knows(self._ledger.db, self._place, values, ids):
            await self._ledger.commit(lambda connection: lookups.forget(connection, self._place, values, ids))

    def pruning(self) -> Callable[[Transaction], None]:
        """Return a unit that lets go of what is too old."""
        before = self._ledger.clock.now() - self._seconds
        return lambda connection: lookups.prune(connection, self._place, before)


def _folded(value: Any) -> str:
    return str(value).casefold()
