"""What workers share and a restart must know: small values by kind and name, as JSON.

A value is read and written in a unit of the store, so that two processes that change it at the same time do so one after the other.
"""

from __future__ import annotations

import sqlite3
from typing import TypeVar

import msgspec

from tieline.store.database import Database

T = TypeVar("T")

ENDS = "ends"
PLACES = "places"
"""Kinds of values that tell what an integration joins, by its name: as it was kept first, and as it is kept now."""
UNSEEN = "unseen"
"""Kind of values that tell which fields an integration reads and no record has: texts, by its name."""


def get(connection: sqlite3.Connection, kind: str, name: str, type_: type[T]) -> T | None:
    """Return a value inside a unit; None when there is none yet."""
    row = connection.execute("SELECT value FROM state WHERE kind = ? AND name = ?", (kind, name)).fetchone()
    return msgspec.json.decode(row[0], type=type_) if row else None


def put(connection: sqlite3.Connection, kind: str, name: str, value: object) -> None:
    """Write a value inside a unit."""
    connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", (kind, name, msgspec.json.encode(value)))


def drop(connection: sqlite3.Connection, kind: str, name: str) -> None:
    """Forget a value inside a unit."""
    connection.execute("DELETE FROM state WHERE kind = ? AND name = ?", (kind, name))


def all_of(db: Database, kind: str, type_: type[T]) -> dict[str, T]:
    """Return {name: value} of a kind, as committed."""
    return {
        name: msgspec.json.decode(value, type=type_) for name, value in db.read("SELECT name, value FROM state WHERE kind = ?", (kind,))
    }


def peek(db: Database, kind: str, name: str, type_: type[T]) -> T | None:
    """Return a value as committed, outside of a unit; None when there is none."""
    rows = db.read("SELECT value FROM state WHERE kind = ? AND name = ?", (kind, name))
    return msgspec.json.decode(rows[0][0], type=type_) if rows else None
