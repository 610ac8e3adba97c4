"""How a destination says what was written to it, where it says it in its own way. One way; a pair keeps what both of its sides say."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from tieline.model.records import encode_json
from tieline.store.database import Database, insert


class Spelled(msgspec.Struct, frozen=True, gc=False):
    """What a field says after a write: see the migration for the columns."""

    source_id: str
    address: str
    sent: bytes
    seen: bytes | None
    taken: bool = True


def is_any(db: Database, integration: int) -> bool:
    """Whether anything is known of how the destination spells what it is sent."""
    return bool(db.read("SELECT 1 FROM spelled WHERE integration = ? LIMIT 1", (integration,)))


def of(db: Database, integration: int, source_ids: Sequence[str]) -> dict[str, dict[str, Spelled]]:
    """Return what is known of the counterparts of these records, by source id and address."""
    found: dict[str, dict[str, Spelled]] = {}
    rows = db.read(
        """SELECT source_id, address, sent, seen, taken FROM json_each(?2) AS wanted
           CROSS JOIN spelled ON spelled.integration = ?1 AND spelled.source_id = wanted.value""",
        (integration, encode_json(source_ids).decode()),
    )
    for source_id, address, sent, seen, taken in rows:
        found.setdefault(source_id, {})[address] = Spelled(source_id, address, sent, seen, bool(taken))
    return found


def learn(connection: sqlite3.Connection, integration: int, rows: Sequence[Spelled]) -> None:
    """Note how fields are spelled from now on."""
    tail = "ON CONFLICT DO UPDATE SET sent = excluded.sent, seen = excluded.seen, taken = excluded.taken"
    values = [(one.source_id, one.address, one.sent, one.seen, int(one.taken)) for one in rows]
    into = "INTO spelled (integration, source_id, address, sent, seen, taken)"
    insert(connection, into, "(?1, {}, {}, {}, {}, {})", values, (integration,), tail)


def forget(connection: sqlite3.Connection, integration: int, fields: Sequence[tuple[str, str]]) -> None:
    """Forget (source id, address): the destination says it as it is written."""
    connection.executemany(
        "DELETE FROM spelled WHERE integration = ? AND source_id = ? AND address = ?", [(integration, *field) for field in fields]
    )
