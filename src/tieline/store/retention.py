"""What is kept: history, calls and what was said in them go when they are old, calls also when they take more room than they may.

Every step is a commit of its own over a bounded number of rows, and a run does a bounded number of them: what is left over, the next run
does. A page of the file that becomes free is used again; the file itself does not shrink.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

import msgspec

from tieline.store import calls
from tieline.store.database import Database
from tieline.store.journal import Event, note


class Retention(msgspec.Struct, frozen=True):
    """How much is kept."""

    history_seconds: float = 90 * 86400.0
    calls_seconds: float = 30 * 86400.0
    bodies_seconds: float = 7 * 86400.0
    calls_bytes: float = 500 * 2.0**20


USUAL: Final = Retention()


class Dropped(msgspec.Struct, frozen=True):
    """Calls that went because they took too much room, not because they were old."""

    calls: int
    bodies: int
    until: float
    """The youngest of them was made then."""


_STEP_ROWS: Final = 5_000
_STEP_BODIES: Final = 500
_LEAST_STEPS: Final = 10
_ALL: Final = 1e18
_LOWERED_TO: Final = 0.9
"""Of the room that there is: so that not every run has to drop some."""


def prune(db: Database, keep: Retention, *, now: float, integration: int, run: int | None, added: int = 0) -> Dropped | None:
    """Drop what is older than it is kept, then what takes too much room, in bounded steps.

    `added` is how many rows the run has added: at least twice as many may go, so that the store keeps up.
    """
    steps = _LEAST_STEPS + 2 * added // _STEP_ROWS
    for step in _steps_by_age(db, keep, now):
        for _ in range(steps):
            if not db.write(step):
                break
    return _by_size(db, keep, now, steps, integration, run)


Step = Callable[[sqlite3.Connection], bool]
"""Drops some rows; returns whether there may be more."""


def _steps_by_age(db: Database, keep: Retention, now: float) -> list[Step]:
    steps: list[Step] = [
        lambda connection: _drop_bodies(connection, now - keep.bodies_seconds, _STEP_BODIES)[0] >= _STEP_BODIES,
        lambda connection: _drop_calls(connection, now - keep.calls_seconds, _STEP_ROWS)[0] >= _STEP_ROWS,
    ]
    last = db.read("SELECT value FROM meta WHERE key = 'pruned_at'")
    if last and now - float(last[0][0]) < 86_400.0:
        return steps
    before = now - keep.history_seconds

    def history(connection: sqlite3.Connection) -> bool:
        # Rows come in the order of their ids: what is younger than the first run after that time is not looked at.
        gone = connection.execute(
            """DELETE FROM delivery WHERE id IN (
                 SELECT id FROM delivery WHERE id < coalesce((SELECT min(first_delivery) FROM run WHERE started_at >= ?1), 1e18)
                   AND settled_at < ?1 AND state IN ('delivered', 'superseded', 'discarded') LIMIT ?2)""",
            (before, _STEP_ROWS),
        ).rowcount
        gone += connection.execute(
            """DELETE FROM event WHERE id IN (
                 SELECT id FROM event WHERE id < coalesce((SELECT id FROM event WHERE at >= ?1 ORDER BY id LIMIT 1), 1e18) ORDER BY id LIMIT ?2)""",
            (before, _STEP_ROWS),
        ).rowcount
        gone += connection.execute(
            """DELETE FROM run WHERE id IN (
                 SELECT id FROM run WHERE ended_at < ?1 AND id < (SELECT max(id) FROM run AS later WHERE later.integration = run.integration)
                   LIMIT ?2)""",
            (before, _STEP_ROWS),
        ).rowcount
        gone += connection.execute(
            """DELETE FROM inbox WHERE seq IN (
                 SELECT seq FROM inbox WHERE seq < coalesce((SELECT seq FROM inbox WHERE at >= ?1 ORDER BY seq LIMIT 1), 1e18) ORDER BY seq LIMIT ?2)""",
            (before, _STEP_ROWS),
        ).rowcount
        if gone < _STEP_ROWS:
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('pruned_at', ?)", (str(now),))
        return gone >= _STEP_ROWS

    return [*steps, history]


def _by_size(db: Database, keep: Retention, now: float, steps: int, integration: int, run: int | None) -> Dropped | None:
    bodies = dropped = 0
    until, wanted = 0.0, keep.calls_bytes
    while steps > 0:
        sums = calls.tally(db)
        if sums["call bytes"] + sums["body bytes"] <= wanted:
            break
        wanted, steps = keep.calls_bytes * _LOWERED_TO, steps - 1
        if sums["body bytes"] > 0:  # what was said goes sooner than that it was said
            gone, _ = db.write(lambda connection: _drop_bodies(connection, _ALL, _STEP_BODIES))
            bodies += gone
            if gone:
                continue
            db.write(lambda connection: _set_tally(connection, "body bytes", 0.0))
        gone, until = db.write(lambda connection: _drop_calls(connection, _ALL, _STEP_ROWS))
        dropped += gone
        if not gone:
            db.write(lambda connection: _set_tally(connection, "call bytes", 0.0))
    if not (dropped or bodies):
        return None
    found = Dropped(dropped, bodies, until)

    def unit(connection: sqlite3.Connection) -> None:
        detail = {"calls": dropped, "bodies": bodies, "kept": f"{keep.calls_bytes / 2**20:g} MiB"}
        note(connection, [Event(now, integration, run, None, "calls dropped", msgspec.json.encode(detail).decode())])
        calls.add_to_tally(connection, "calls dropped", dropped)
        if until:
            _set_tally(connection, "calls dropped until", until)

    db.write(unit)
    return found


def _drop_bodies(connection: sqlite3.Connection, before: float, most: int) -> tuple[int, float]:
    return _drop(connection, "call_body", "call", calls.BYTES_OF_BODIES, "body bytes", before, most)


def _drop_calls(connection: sqlite3.Connection, before: float, most: int) -> tuple[int, float]:
    chosen = f"(SELECT id FROM call WHERE at < {before!r} ORDER BY at LIMIT {most:d})"
    named = connection.execute(f"{calls.BYTES_OF_RECORDS} WHERE call IN {chosen}").fetchone()[0]
    if named:
        connection.execute(f"DELETE FROM call_record WHERE call IN {chosen}")
        calls.add_to_tally(connection, "call bytes", -named)
    said = connection.execute(f"{calls.BYTES_OF_BODIES} WHERE call IN {chosen}").fetchone()[0]
    if said:
        connection.execute(f"DELETE FROM call_body WHERE call IN {chosen}")
        calls.add_to_tally(connection, "body bytes", -said)
    return _drop(connection, "call", "id", calls.BYTES_OF_CALLS, "call bytes", before, most)


def _drop(connection: sqlite3.Connection, table: str, key: str, size: str, tally: str, before: float, most: int) -> tuple[int, float]:
    """Drop the oldest rows of a table; return how many, and when the youngest of them was made."""
    chosen = f"(SELECT {key} FROM {table} WHERE at < ? ORDER BY at LIMIT ?)"
    parameters = (before, most)
    rows = connection.execute(f"SELECT count(*), max(at) FROM {table} WHERE {key} IN {chosen}", parameters).fetchone()
    if not rows[0]:
        return 0, 0.0
    connection.execute(f"UPDATE tally SET value = max(0, value - ({size} WHERE {key} IN {chosen})) WHERE name = ?", (*parameters, tally))
    connection.execute(f"DELETE FROM {table} WHERE {key} IN {chosen}", parameters)
    return int(rows[0]), float(rows[1])


def _set_tally(connection: sqlite3.Connection, name: str, value: float) -> None:
    connection.execute("UPDATE tally SET value = ? WHERE name = ?", (value, name))
