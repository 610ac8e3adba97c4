"""What the store has under the name of an integration, and how that becomes another name."""

from __future__ import annotations

import sqlite3

from tieline.store import runs
from tieline.store.database import Database

_TABLES = ("link", "pair", "delivery")
"""What an integration has if it has met anything."""


def numbers(db: Database, name: str) -> list[int]:
    """Return the outboxes of an integration."""
    return [id for id, known in runs.names(db).items() if known == name]


def has_met(db: Database, name: str) -> bool:
    """Whether an integration has met any record."""
    return any(
        db.read(f"SELECT 1 FROM {table} WHERE integration = ? LIMIT 1", (number,)) for number in numbers(db, name) for table in _TABLES
    )


def counted(db: Database, name: str) -> tuple[int, int]:
    """Return how many links and pairs an integration has, and how many deliveries that wait for a person or a system."""
    linked = open_ = 0
    for number in numbers(db, name):
        linked += db.read("SELECT count(*) FROM link WHERE integration = ? AND target_id IS NOT NULL", (number,))[0][0]
        both = "left_id IS NOT NULL AND right_id IS NOT NULL"
        linked += db.read(f"SELECT count(*) FROM pair WHERE integration = ? AND {both}", (number,))[0][0]
        open_ += db.read("SELECT count(*) FROM delivery WHERE integration = ? AND state IN ('owed', 'unknown', 'held', 'dead')", (number,))[
            0
        ][0]
    return linked, open_


def rename(connection: sqlite3.Connection, old: str, new: str) -> None:
    """Let all that an integration has be another's, which has met nothing: its runs and calls become history of the same."""
    for was, becomes in ((old, new), (runs.back(old), runs.back(new))):
        rows = dict(connection.execute("SELECT name, id FROM integration WHERE name IN (?, ?)", (was, becomes)).fetchall())
        if was in rows:
            if becomes in rows:
                _replace(connection, rows[becomes], rows[was])
            connection.execute("UPDATE integration SET name = ? WHERE id = ?", (becomes, rows[was]))


def _replace(connection: sqlite3.Connection, empty: int, number: int) -> None:
    tables = connection.execute(
        "SELECT m.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table' AND c.name = 'integration'"
    ).fetchall()
    for (table,) in tables:
        connection.execute(f"UPDATE OR IGNORE {table} SET integration = ? WHERE integration = ?", (number, empty))
        connection.execute(f"DELETE FROM {table} WHERE integration = ?", (empty,))
    connection.execute("DELETE FROM integration WHERE id = ?", (empty,))
