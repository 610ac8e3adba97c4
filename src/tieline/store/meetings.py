"""Which records of a two-way integration meet in a plan, read off the copy of the store on which it is made: what was decided before is left out."""

from __future__ import annotations

import sqlite3

from tieline.store.database import Database
from tieline.store.pairs import OTHER, Side


def remember_met(connection: sqlite3.Connection) -> None:
    """Note which pairs have been decided before. Only for a copy: it makes a table of its own."""
    connection.execute("CREATE TABLE met_before AS SELECT id FROM pair WHERE verdict <> 'new'")
    connection.execute("CREATE UNIQUE INDEX met_before_id ON met_before (id)")


def matched(db: Database, integration: int, run: int, limit: int) -> tuple[int, list[str]]:
    """Return how many records of the left have found their counterpart in a run, and the ids of the first."""
    where = "FROM event WHERE integration = ? AND run = ? AND kind = 'matched'"
    number = db.read(f"SELECT count(*) {where}", (integration, run))[0][0]
    return number, [id for (id,) in db.read(f"SELECT source_id {where} ORDER BY id LIMIT ?", (integration, run, limit))]


def ambiguous(db: Database, outbox: int, run: int, limit: int) -> tuple[int, list[int]]:
    """Return how many records of an outbox's side can't be told from others, and the numbers of the first letters."""
    where = f"FROM delivery {_AMBIGUOUS}"
    number = db.read(f"SELECT count(*) {where}", (outbox, run))[0][0]
    return number, [id for (id,) in db.read(f"SELECT id {where} ORDER BY id LIMIT ?", (outbox, run, limit))]


def alone(db: Database, integration: int, side: Side, outbox: int, run: int, limit: int) -> tuple[int, list[str]]:
    """Return how many records only a side has, and the ids of the first; `outbox` is that of its changes."""
    where = f"""FROM pair WHERE integration = ? AND {side}_id IS NOT NULL AND {OTHER[side]}_id IS NULL
                AND id NOT IN (SELECT id FROM met_before) AND {side}_id NOT IN (SELECT source_id FROM delivery {_AMBIGUOUS})"""
    number = db.read(f"SELECT count(*) {where}", (integration, outbox, run))[0][0]
    return number, [id for (id,) in db.read(f"SELECT {side}_id {where} ORDER BY id LIMIT ?", (integration, outbox, run, limit))]


_AMBIGUOUS = """WHERE integration = ? AND run = ? AND state = 'held' AND json_extract(CAST(reason AS TEXT), '$.ambiguous')"""
