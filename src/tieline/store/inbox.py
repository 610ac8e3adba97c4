"""What vendors have told by webhooks, each event accepted once, until the runs of every integration have taken it up.

An event is a hint: it says which record to ask for, never what is in it. Each integration keeps its place, for each of its sides, and moves it
in the commit that makes durable what the events led to; so several integrations use one event, and a crash loses none.

Verifying and reading what comes is `dialects.webhooks`; what is old goes with `store.retention`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from tieline.store import state
from tieline.store.database import Database

Kind = Literal["changed", "deleted", "merged"]
BY_CONTENT: Final = "="
"""How the name of an event begins to which the vendor gives none."""
_TALLY: Final = "webhooks"


class Event(NamedTuple):
    """A record that a vendor has told of."""

    event: str
    """What the vendor calls the event; with `BY_CONTENT` before it, a hash of its content."""
    resource: str
    id: str
    kind: Kind
    into: str | None
    type: str


class Hint(NamedTuple):
    """An event as it waits in the inbox."""

    seq: int
    id: str
    kind: Kind
    into: str | None
    type: str
    at: float


class Tally(msgspec.Struct):
    """How many events came for a connection, and what became of them."""

    accepted: int = 0
    repeated: int = 0
    """Came once more, and were known already."""
    ignored: int = 0
    """Of a type that no resource declares."""
    unusable: int = 0
    """Verified, and not what the connector says that they look like."""
    refused: int = 0
    """Not verified: nothing of them was kept."""
    last_at: float | None = None
    """When the last one came that was verified, in seconds since 1970 (UTC)."""
    refused_at: float | None = None
    """When the last one was refused."""


def accept(connection: sqlite3.Connection, name: str, events: Sequence[Event], now: float) -> int:
    """Keep events of a connection; return how many were new.

    Under the vendor's name an event counts once. One that is only known by its content may be the same event sent again, or the same thing
    happening again: it takes the place of the earlier one at the end of the inbox, so that it is looked at once more.
    """
    new = 0
    for one in events:
        if one.event.startswith(BY_CONTENT):
            new -= connection.execute("DELETE FROM inbox WHERE connection = ? AND event = ?", (name, one.event)).rowcount
        new += connection.execute(
            """INSERT INTO inbox (connection, event, resource, id, kind, into_id, type, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT (connection, event) DO NOTHING""",
            (name, one.event, one.resource, one.id, one.kind, one.into, one.type, now),
        ).rowcount
    return new


def count(connection: sqlite3.Connection, name: str, counted: Tally) -> None:
    """Add to the tally of a connection."""
    tally = state.get(connection, _TALLY, name, Tally) or Tally()
    for field in ("accepted", "repeated", "ignored", "unusable", "refused"):
        setattr(tally, field, getattr(tally, field) + getattr(counted, field))
    tally.last_at = counted.last_at if counted.last_at is not None else tally.last_at
    tally.refused_at = counted.refused_at if counted.refused_at is not None else tally.refused_at
    state.put(connection, _TALLY, name, tally)


def tallies(db: Database) -> dict[str, Tally]:
    """Return the tallies by connection."""
    return state.all_of(db, _TALLY, Tally)


def end(db: Database) -> int:
    """Return the number of the last event that was accepted."""
    return int(db.read("SELECT coalesce(max(seq), 0) FROM inbox")[0][0])


def position(db: Database, integration: int) -> int:
    """Return the number of the last event that an integration has taken up, of the side whose changes are in this outbox."""
    rows = db.read("SELECT inbox_seq FROM integration WHERE id = ?", (integration,))
    return int(rows[0][0]) if rows else 0


def move(connection: sqlite3.Connection, integration: int, seq: int) -> None:
    """Note within a unit that all events up to one are taken up."""
    connection.execute("UPDATE integration SET inbox_seq = ? WHERE id = ? AND inbox_seq < ?", (seq, integration, seq))


def portion(db: Database, connection: str, resource: str, *, after: int, until: int, limit: int) -> list[Hint]:
    """Return events about a resource by their numbers, `limit` at a time, after one and up to another."""
    rows = db.read(
        "SELECT seq, id, kind, into_id, type, at FROM inbox WHERE connection = ? AND resource = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        (connection, resource, after, until, limit),
    )
    return [Hint(*row) for row in rows]


def waiting(db: Database, connection: str, resource: str, after: int) -> int:
    """Return how many events about a resource came after one."""
    return int(db.read("SELECT count(*) FROM inbox WHERE connection = ? AND resource = ? AND seq > ?", (connection, resource, after))[0][0])
