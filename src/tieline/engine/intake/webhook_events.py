"""What webhooks have told of one side, taken up by a run: which records to ask for, in addition to those that its list shows.

A webhook proves nothing about a record; it only says where to look. So their order does not matter, many about one record cost one question,
and what an answer leads to is what it would have led to had a list shown it: the same decisions, policies and brakes. A record that the list
has shown needs no question, unless it is said to be gone. Where the system can't be asked for one record, a deletion is believed, as the
list's own telling would be; anything else waits for the list.

Receiving them is `engine.intake.webhooks`. The place in the inbox moves in the commit that makes durable what they led to.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from tieline.dialects.dialect import System
from tieline.engine.core.ledger import Ledger
from tieline.engine.lookup.fetching import ask_for
from tieline.model.errors import RemoteError
from tieline.model.records import Record, encode_json
from tieline.store import inbox
from tieline.store.database import Transaction, scratch
from tieline.store.journal import Event

_TOGETHER: Final = 200
_READ_TOGETHER: Final = 5000


class Hint(NamedTuple):
    """All that was told of one record."""

    id: str
    gone: bool
    """Something says that it was deleted, or merged into another."""
    into: str | None
    type: str
    """Of the last event, in the vendor's words."""
    at: float
    """When that was received."""
    number: int
    """How many events there were."""
    shown: bool
    """Whether the list has shown the record in this run."""


class Portion(NamedTuple):
    """Some of them."""

    hints: list[Hint]
    upto: int
    """Once these are dealt with, all events up to this one are."""

    @property
    def number(self) -> int:
        """How many events they are."""
        return sum(hint.number for hint in self.hints)


class Answers(NamedTuple):
    """What a system has answered about the records that were asked for."""

    there: dict[str, Record]
    gone: list[str]
    refused: dict[str, str]
    """By id, why it does not answer about a record, and will not the next time."""


class Hints:
    """What the inbox holds for one side, in one run."""

    def __init__(self, ledger: Ledger, connection: str, resource: str) -> None:
        self._ledger, self._connection, self._resource = ledger, connection, resource
        self._table: Transaction | None = None
        """A file of its own that vanishes with the connection; none while there is nothing to be told."""
        self._end = 0

    def begin(self) -> None:
        """Look into the inbox, before the list is read: what comes later is the next run's."""
        db, after = self._ledger.db, inbox.position(self._ledger.db, self._ledger.integration)
        self._end = inbox.end(db)
        while found := inbox.portion(db, self._connection, self._resource, after=after, until=self._end, limit=_READ_TOGETHER):
            after = found[-1].seq
            if self._table is None:
                self._table = scratch()
                self._table.execute(
                    """CREATE TABLE hint (id TEXT PRIMARY KEY, first INTEGER NOT NULL, gone INTEGER NOT NULL, into_id TEXT, type TEXT NOT NULL,
                       at REAL NOT NULL, number INTEGER NOT NULL DEFAULT 1, shown INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID"""
                )
                self._table.execute("CREATE INDEX hint_first ON hint (first)")
            self._table.executemany(
                """INSERT INTO hint (id, first, gone, into_id, type, at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
                   gone = max(gone, excluded.gone), into_id = coalesce(excluded.into_id, into_id), type = excluded.type, at = excluded.at,
                   number = number + 1""",
                [(one.id, one.seq, one.kind != "changed", one.into, one.type, one.at) for one in found],
            )

    def close(self) -> None:
        """Forget them."""
        if self._table is not None:
            self._table.close()
            self._table = None

    def are_shown(self, ids: Collection[str | None]) -> None:
        """Note which records the list has shown."""
        if self._table is not None:
            self._table.execute(
                "UPDATE hint SET shown = 1 WHERE id IN (SELECT value FROM json_each(?))", (encode_json([id for id in ids if id]).decode(),)
            )

    def portions(self) -> Iterator[Portion]:
        """Yield them in the order in which each record was first told of."""
        if self._table is None:
            return
        first = 0
        while True:
            rows = self._table.execute(
                "SELECT first, id, gone, into_id, type, at, number, shown FROM hint WHERE first > ? ORDER BY first LIMIT ?",
                (first, _TOGETHER + 1),
            ).fetchall()
            if not rows:
                return
            upto = rows[_TOGETHER][0] - 1 if len(rows) > _TOGETHER else self._end
            first = rows[:_TOGETHER][-1][0]
            hints = [
                Hint(id, bool(gone), into, type_, at, number, bool(shown))
                for _, id, gone, into, type_, at, number, shown in rows[:_TOGETHER]
            ]
            yield Portion(hints, upto)

    async def ask(self, system: System, hints: Sequence[Hint]) -> Answers:
        """Ask for records, some at the same time. Raises `RemoteError` where a later question may be answered."""
        refused: dict[str, RemoteError] = {}
        # However many they are: they would be refused the next time, too, and must not stop all that comes after them.
        answers = await ask_for(system, self._resource, [hint.id for hint in hints], refused=refused, most=None)
        there = {id: record for id, record in answers.items() if record is not None}
        return Answers(there, [id for id in answers if id not in there], {id: str(error) for id, error in refused.items()})

    def events(self, hints: Sequence[Hint], known: Collection[str], answers: Answers) -> list[Event]:
        """Return what the journal keeps: of records that anybody knows, or that are there."""
        found = []
        for hint in hints:
            if why := answers.refused.get(hint.id):
                found.append(self._ledger.event(hint.id, "told by a webhook, and can't be asked for", type=hint.type, why=why))
            elif hint.shown or hint.id in known or hint.id in answers.there:
                received = dt.datetime.fromtimestamp(hint.at, dt.UTC).isoformat(timespec="seconds")
                more = {"events": hint.number} if hint.number > 1 else {}
                found.append(self._ledger.event(hint.id, "told by a webhook", type=hint.type, received=received, **more))
        return found


NO_ANSWERS: Final = Answers({}, [], {})


def told_gone(hints: Sequence[Hint]) -> set[str]:
    """Return which records were said to be gone, and have not been shown by a list since: what a list shows, only a list can tell to be gone."""
    return {hint.id for hint in hints if hint.gone and not hint.shown}


def wanted(hints: Sequence[Hint], known: Collection[str]) -> list[Hint]:
    """Return which records are to be asked for: what the list did not show, and what is said to be gone of what is known to be there."""
    return [hint for hint in hints if (hint.id in known if hint.gone else not hint.shown)]
