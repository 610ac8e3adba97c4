"""Two-way integrations: what was read of either side and is not decided yet.

A change is durable here in the commit that moves the cursor past it. It leaves in the commit that decides it; what can't be decided, because
a person or another system must act first, stays, and is looked at again by every run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from tieline.store.database import Database, insert, marks
from tieline.store.pairs import Side

Kind = Literal["seen", "gone", "again", "held"]


class Staged(msgspec.Struct, frozen=True, gc=False):
    """One record as it was read."""

    side: Side
    id: str
    kind: Kind
    """seen; gone: it was deleted; again: a person wants it decided again, as it was last seen; held: so does every run, because it could not
    be decided."""
    at: float
    """When it was accepted, in seconds since 1970 (UTC)."""
    run: int
    record: bytes | None
    """JSON, of a seen one."""


_COLUMNS: Final = "side, id, kind, at, run, record"


def put(
    connection: sqlite3.Connection,
    integration: int,
    side: Side,
    run: int,
    now: float,
    rows: Sequence[tuple[str, Kind, bytes | None]],
) -> None:
    """Stage (id, kind, record) of a side; the latest version of a record holds, since when the first was accepted."""
    insert(
        connection,
        "INTO staged (integration, side, run, at, id, kind, record)",
        "(?1, ?2, ?3, ?4, {}, {}, {})",
        [(id, kind, bytearray(record) if record is not None else None) for id, kind, record in rows],
        (integration, side, run, now),
        # To decide again what was read and not decided is to decide what was read.
        """ON CONFLICT DO UPDATE SET kind = excluded.kind, record = excluded.record, run = excluded.run
           WHERE excluded.kind IN ('seen', 'gone') OR kind = 'held'""",
    )


def take(connection: sqlite3.Connection, integration: int, side: Side, ids: Sequence[str]) -> None:
    """Let go of what is decided."""
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        connection.execute(
            f"DELETE FROM staged WHERE integration = ? AND side = ? AND id IN ({marks(len(some))})", (integration, side, *some)
        )


def portion(db: Database, integration: int, *, after: tuple[str, str] = ("", ""), limit: int = 500) -> list[Staged]:
    """Return what is staged, by side and id, `limit` at a time, after one."""
    rows = db.read(
        f"SELECT {_COLUMNS} FROM staged WHERE integration = ? AND (side, id) > (?, ?) ORDER BY side, id LIMIT ?",
        (integration, *after, limit),
    )
    return [Staged(*row) for row in rows]


def of(db: Database, integration: int, side: Side, ids: Sequence[str]) -> dict[str, Staged]:
    """Return what is staged of these records of a side."""
    rows = db.read(
        f"SELECT {_COLUMNS} FROM staged WHERE integration = ? AND side = ? AND id IN ({marks(len(ids))})", (integration, side, *ids)
    )
    return {row[1]: Staged(*row) for row in rows}


def is_any(db: Database, integration: int, side: Side | None = None) -> bool:
    """Return whether anything is staged, of a side or of both."""
    where = "" if side is None else f"AND side = '{side}'"
    return bool(db.read(f"SELECT 1 FROM staged WHERE integration = ? {where} LIMIT 1", (integration,)))


def count(db: Database, integration: int) -> dict[tuple[str, str], int]:
    """Return {(side, kind): how many are staged}."""
    rows = db.read("SELECT side, kind, count(*) FROM staged WHERE integration = ? GROUP BY side, kind", (integration,))
    return {(side, kind): number for side, kind, number in rows}


def oldest(db: Database, integration: int) -> float | None:
    """Return when the oldest was accepted."""
    at: float | None = db.read("SELECT min(at) FROM staged WHERE integration = ?", (integration,))[0][0]
    return at
