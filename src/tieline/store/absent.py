"""Records that may be gone: an answer that one is not there, or a telling that it was deleted, until it is believed or refuted.

An integration is that whose outbox holds the changes of the record's side. What follows from them is `engine.intake.absence`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Literal, NamedTuple

from tieline.model.records import encode_json
from tieline.store.database import Database, insert

Told = Literal["list", "get", "webhook", "feed", "refuted", "ours", "shown"]
"""ours: we have deleted it; shown: so it was, and was shown since. list: a whole list did not show it; get: asked for it, the system had none; webhook, feed: it was said to be deleted; refuted: so it was, and
it was there all the same for as long as that could have been late."""


class Absent(NamedTuple):
    """A record that may be gone."""

    id: str
    told: Told
    since: float
    """When it was first noted."""
    last: float
    """When it was last found so."""


def all_of(db: Database, integration: int) -> dict[str, Absent]:
    """Return all of an integration, by id."""
    rows = db.read("SELECT id, told, since, last FROM absent WHERE integration = ?", (integration,))
    return {row[0]: Absent(*row) for row in rows}


def told_since(db: Database, integration: int) -> float | None:
    """Return since when the oldest deletion that was told of waits to be believed; None when none does."""
    rows = db.read("SELECT min(since) FROM absent WHERE integration = ? AND told IN ('webhook', 'feed')", (integration,))
    at: float | None = rows[0][0]
    return at


def note(connection: sqlite3.Connection, integration: int, told: Sequence[tuple[str, Told]], now: float) -> None:
    """Note (id, how it is known); since when stays, and a telling is not forgotten because a list says the same."""
    insert(
        connection,
        "INTO absent (integration, since, last, id, told)",
        "(?1, ?2, ?2, {}, {})",
        told,
        (integration, now),
        """ON CONFLICT DO UPDATE SET last = excluded.last,
           told = CASE WHEN excluded.told = 'get' AND told <> 'refuted' THEN told ELSE excluded.told END,
           since = CASE WHEN told = 'refuted' THEN excluded.since ELSE since END""",
    )


def deleted(connection: sqlite3.Connection, integration: int, ids: Sequence[str], now: float) -> None:
    """Note records that we have deleted ourselves, just now."""
    insert(
        connection,
        "INTO absent (integration, since, last, told, id)",
        "(?1, ?2, ?2, 'ours', {})",
        [(id,) for id in ids],
        (integration, now),
        "ON CONFLICT DO UPDATE SET since = excluded.since, last = excluded.last, told = excluded.told",
    )


def forget(connection: sqlite3.Connection, integration: int, ids: Sequence[str]) -> None:
    """Forget records that were seen, or are known to be gone."""
    connection.execute(
        "DELETE FROM absent WHERE integration = ? AND id IN (SELECT value FROM json_each(?))", (integration, encode_json(ids).decode())
    )
