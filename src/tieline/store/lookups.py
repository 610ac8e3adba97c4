"""What searches of a destination have shown, remembered over runs. Whether it may be used is `engine.lookup.find_cache`'s to judge."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from tieline.store.database import Database, insert, marks

_MOST_ROWS = 100_000
"""For each place; the oldest go first."""


def recall(db: Database, place: str, value: str, since: float, now: float) -> list[bytes]:
    """Return the records that a search for a value showed, as JSON; none when it is too long ago, or not yet: the clock was ahead."""
    rows = db.read(
        "SELECT record FROM lookup WHERE place = ? AND value = ? AND at BETWEEN ? AND ? ORDER BY number", (place, value, since, now)
    )
    return [row[0] for row in rows]


def remember(connection: sqlite3.Connection, place: str, value: str, at: float, found: Sequence[tuple[str, bytes]]) -> None:
    """Note (target id, record as JSON) of what a search showed."""
    connection.execute("DELETE FROM lookup WHERE place = ? AND value = ?", (place, value))
    rows = [(number, target_id, record) for number, (target_id, record) in enumerate(found)]
    insert(connection, "INTO lookup (place, value, at, number, target_id, record)", "(?1, ?2, ?3, {}, {}, {})", rows, (place, value, at))


def knows(db: Database, place: str, values: Collection[str], target_ids: Collection[str]) -> bool:
    """Whether anything is remembered of these values or records."""
    return bool(
        db.read(
            f"SELECT 1 FROM lookup WHERE place = ? AND (value IN ({marks(len(values))}) OR target_id IN ({marks(len(target_ids))})) LIMIT 1",
            (place, *values, *target_ids),
        )
    )


def forget(connection: sqlite3.Connection, place: str, values: Collection[str], target_ids: Collection[str]) -> None:
    """Forget every search that was for one of these values, or showed one of these records."""
    connection.execute(f"DELETE FROM lookup WHERE place = ? AND value IN ({marks(len(values))})", (place, *values))
    connection.execute(
        f"""DELETE FROM lookup WHERE place = ?1 AND value IN
            (SELECT value FROM lookup WHERE place = ?1 AND target_id IN ({",".join(f"?{n}" for n in range(2, len(target_ids) + 2))}))""",
        (place, *target_ids),
    )


def prune(connection: sqlite3.Connection, place: str, before: float) -> None:
    """Forget what is too old, and the oldest of what is too much."""
    connection.execute("DELETE FROM lookup WHERE place = ? AND at < ?", (place, before))
    row = connection.execute("SELECT at FROM lookup WHERE place = ? ORDER BY at DESC LIMIT 1 OFFSET ?", (place, _MOST_ROWS)).fetchone()
    if row is not None:
        connection.execute("DELETE FROM lookup WHERE place = ? AND at <= ?", (place, row[0]))
