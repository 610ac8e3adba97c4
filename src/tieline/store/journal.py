"""What happened: events of records, and calls. Append-only; `prune` drops what is older than the project keeps."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from tieline.store.database import Database, insert, marks


class Event(NamedTuple):
    """Something that happened to a record besides a delivery."""

    at: float
    integration: int
    run: int | None
    source_id: str | None
    kind: str
    detail: str | None


class Call(msgspec.Struct):
    """One request and what came of it. Times in seconds, sizes in bytes; the URL and the answer are masked."""

    id: int
    at: float
    connection: str
    integration: int | None
    run: int | None
    method: str
    url: str
    status: int | None
    seconds: float
    waited: float
    sent: int
    received: int
    attempt: int
    failure: str | None = None
    answer: str | None = None


def note(connection: sqlite3.Connection, events: Sequence[Event]) -> None:
    """Append events."""
    insert(connection, "INTO event (at, integration, run, source_id, kind, detail)", "({}, {}, {}, {}, {}, {})", events)


def record_calls(connection: sqlite3.Connection, calls: Sequence[Call]) -> None:
    """Append calls."""
    insert(
        connection,
        "INTO call",
        "(" + ", ".join(["{}"] * 15) + ")",
        [
            (
                c.id,
                c.at,
                c.connection,
                c.integration,
                c.run,
                c.method,
                c.url,
                c.status,
                c.seconds,
                c.waited,
                c.sent,
                c.received,
                c.attempt,
                c.failure,
                c.answer,
            )
            for c in calls
        ],
    )


def events_of(db: Database, integration: int, source_id: str) -> list[Event]:
    """Return the events of a record, oldest first."""
    rows = db.read(
        "SELECT at, integration, run, source_id, kind, detail FROM event WHERE integration = ? AND source_id = ? ORDER BY id",
        (integration, source_id),
    )
    return [Event(*row) for row in rows]


def calls_by_id(db: Database, ids: Sequence[int]) -> dict[int, Call]:
    """Return calls by id."""
    return {row[0]: Call(*row) for row in db.read(f"SELECT * FROM call WHERE id IN ({marks(len(ids))})", tuple(ids))}


def failures_of(db: Database, run: int, limit: int = 20) -> list[Call]:
    """Return the latest failed calls of a run."""
    return [
        Call(*row) for row in db.read("SELECT * FROM call WHERE run = ? AND failure IS NOT NULL ORDER BY id DESC LIMIT ?", (run, limit))
    ]


def call_figures(db: Database, run: int) -> dict[str, Any]:
    """Return how many calls a run made, how many failed, the mean seconds of an answer, and of waiting for a limit before it."""
    total, failed, mean, waited = db.read("SELECT count(*), count(failure), avg(seconds), avg(waited) FROM call WHERE run = ?", (run,))[0]
    return {"calls": total, "failed": failed, "mean_seconds": mean or 0.0, "mean_waited_seconds": waited or 0.0}


def prune(connection: sqlite3.Connection, before: float, now: float, limit: int = 50_000) -> int:
    """Drop settled history that is older, a bounded number of rows a time and once a day at most; return how many went."""
    last = connection.execute("SELECT value FROM meta WHERE key = 'pruned_at'").fetchone()
    if last is not None and now - float(last[0]) < 86_400.0:
        return 0
    gone = 0
    for statement in (
        "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE settled_at < ? AND state IN ('delivered', 'superseded', 'discarded') LIMIT ?)",
        "DELETE FROM call WHERE id IN (SELECT id FROM call WHERE at < ? LIMIT ?)",
        "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE at < ? LIMIT ?)",
    ):
        gone += connection.execute(statement, (before, limit)).rowcount
    if gone < limit:  # otherwise the next run goes on with it
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('pruned_at', ?)", (str(now),))
    return gone
