"""Deliveries that wait for a person, chosen and grouped by what their reason says.

Everything is read in portions or counted by the database, so that ten thousand of them cost no more memory than ten. What a person decides
about one is `engine.review.dead_letters`; the rows are `store.outbox`.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from tieline.store import outbox
from tieline.store.database import Database
from tieline.store.delivery import Delivery
from tieline.store.outbox import IS_OPEN

STATES = ("dead", "held")
SETTLED = "settled"
"""The kind of a letter of which a person has said what became of it."""
ON_ITS_WAY = ("unreachable", "circuit-open", "unavailable", "rate-limited", "unauthorized", "halted", "never created")
"""Kinds of reasons that leave a delivery owed, and make it no dead letter."""
_PORTION = 200
_SAID = "json_extract(CAST(reason AS TEXT), '$.{}')"


class Chosen(msgspec.Struct, frozen=True):
    """Which dead letters of an integration are meant; all, as it stands."""

    cause: str | None = None
    field: str | None = None
    """The destination's field, or the source's where the reason names that one."""
    causes: tuple[str, ...] = ()
    """Any of these causes."""
    up_to: int | None = None
    """None with a larger number."""


ALL = Chosen()


class Group(NamedTuple):
    """Dead letters of one state, cause, field and rule."""

    state: str
    cause: str
    field: str | None
    rule: str | None
    number: int
    """How many there are."""
    since: float
    """When the oldest was accepted."""
    example: int
    """The number of the oldest."""


def groups(db: Database, integration: int, chosen: Chosen = ALL) -> list[Group]:
    """Return an integration's dead letters in groups, the largest first."""
    where, parameters = _where(chosen)
    rows = db.read(
        f"""SELECT state, json_extract(CAST(reason AS TEXT), '$.kind', '$.field', '$.rule') AS said, count(*), min(accepted_at), min(id)
            FROM delivery WHERE integration = ? AND state IN ('dead', 'held') AND {IS_OPEN} {where} GROUP BY state, said ORDER BY 3 DESC, 5""",
        (integration, *parameters),
    )
    return [Group(row[0], *_said(row[1]), *row[2:]) for row in rows]


def count(db: Database, integration: int, chosen: Chosen = ALL) -> int:
    """Return how many are meant."""
    where, parameters = _where(chosen)
    return int(
        db.read(
            f"SELECT count(*) FROM delivery WHERE integration = ? AND state IN ('dead', 'held') AND {IS_OPEN} {where}",
            (integration, *parameters),
        )[0][0]
    )


def newest(db: Database, integration: int) -> int:
    """Return the largest number of a dead letter, 0 without one."""
    rows = [
        db.read(f"SELECT max(id) FROM delivery WHERE integration = ? AND state = ? AND {IS_OPEN}", (integration, state))[0][0]
        for state in STATES
    ]
    return max(row or 0 for row in rows)


def ids(db: Database, integration: int, chosen: Chosen = ALL, *, after: int = 0, limit: int = _PORTION) -> list[int]:
    """Return the numbers of those that are meant, oldest first, `limit` at a time, after one of them."""
    where, parameters = _where(chosen)
    # One state at a time: so the index gives them in order, and no portion costs more for what comes after it.
    found = [
        [
            row[0]
            for row in db.read(
                f"SELECT id FROM delivery WHERE integration = ? AND state = ? AND {IS_OPEN} AND id > ? {where} ORDER BY id LIMIT ?",
                (integration, state, after, *parameters, limit),
            )
        ]
        for state in STATES
    ]
    return list(heapq.merge(*found))[:limit]


def read(db: Database, integration: int, chosen: Chosen = ALL) -> Iterator[Delivery]:
    """Yield those that are meant, oldest first; a portion is held at a time."""
    after = 0
    while portion := ids(db, integration, chosen, after=after):
        after = portion[-1]
        yield from sorted(outbox.get_many(db, integration, portion), key=lambda delivery: delivery.id)


def was_letter(state: str, why: Mapping[str, Any]) -> bool:
    """Say whether a delivery in this state, for this reason, is a dead letter, or was one until it was settled."""
    return state in (*STATES, "discarded") or (state == "superseded" and bool(why) and why.get("kind") not in ON_ITS_WAY)


def settle(connection: sqlite3.Connection, integration: int, id: int, source_id: str) -> None:
    """Record that a person has said what became of a letter, and so of any earlier creation of its record: no doubt is left.

    It waits to be redriven; a run that comes after a crash does it.
    """
    connection.execute(
        f"""UPDATE delivery SET reason = json_set(CAST(reason AS TEXT), '$.kind', '{SETTLED}'), state = CASE id WHEN ?1 THEN 'held' ELSE state END
            WHERE integration = ?2 AND source_id = ?3 AND (id = ?1 AND state IN ('dead', 'held') OR {_SAID.format("kind")} = 'unknown')""",
        (id, integration, source_id),
    )


def _where(chosen: Chosen) -> tuple[str, list[Any]]:
    text = ""
    parameters: list[Any] = []
    for name, value in (("kind", chosen.cause), ("field", chosen.field)):
        if value is not None:
            text += f" AND {_SAID.format(name)} = ?"
            parameters.append(value)
    if chosen.causes:
        text += f" AND {_SAID.format('kind')} IN ({', '.join('?' * len(chosen.causes))})"
        parameters += chosen.causes
    if chosen.up_to is not None:
        text += " AND id <= ?"
        parameters.append(chosen.up_to)
    return text, parameters


def _said(said: str | None) -> tuple[str, str | None, str | None]:
    kind, field, rule = msgspec.json.decode(said) if said else (None, None, None)
    return kind or "unknown", field, rule
