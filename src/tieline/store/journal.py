"""What happened to records in addition to deliveries. Append-only; `store.calls` has the calls, `store.retention` drops what is old."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from tieline.store.database import Database, insert, marks


class Event(NamedTuple):
    """Something that happened to a record in addition to a delivery."""

    at: float
    integration: int
    run: int | None
    source_id: str | None
    kind: str
    detail: str | None


def note(connection: sqlite3.Connection, events: Sequence[Event]) -> None:
    """Append events."""
    insert(connection, "INTO event (at, integration, run, source_id, kind, detail)", "({}, {}, {}, {}, {}, {})", events)


def of_kind(
    db: Database, integrations: Sequence[int], kind: str, *, before: int | None = None, limit: int = 200
) -> list[tuple[int, Event]]:
    """Return (number, event) of a kind, newest first, `limit` at a time, before one of them."""
    rows = db.read(
        f"""SELECT id, at, integration, run, source_id, kind, detail FROM event
            WHERE integration IN ({marks(len(integrations))}) AND kind = ? AND id < ? ORDER BY id DESC LIMIT ?""",
        (*integrations, kind, before if before is not None else 2**63 - 1, limit),
    )
    return [(row[0], Event(*row[1:])) for row in rows]


def get(db: Database, id: int) -> Event | None:
    """Return an event."""
    rows = db.read("SELECT at, integration, run, source_id, kind, detail FROM event WHERE id = ?", (id,))
    return Event(*rows[0]) if rows else None


def events_of(db: Database, integration: int, source_id: str) -> list[Event]:
    """Return the events of a record, oldest first."""
    rows = db.read(
        "SELECT at, integration, run, source_id, kind, detail FROM event WHERE integration = ? AND source_id = ? ORDER BY id",
        (integration, source_id),
    )
    return [Event(*row) for row in rows]


def events_of_run(db: Database, run: int, kind: str) -> list[Event]:
    """Return the events of a kind of a run, oldest first."""
    rows = db.read("SELECT at, integration, run, source_id, kind, detail FROM event WHERE run = ? AND kind = ? ORDER BY id", (run, kind))
    return [Event(*row) for row in rows]
