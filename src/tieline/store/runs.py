"""Integrations as the store knows them: cursor, mapping fingerprint, the lease of the one runner; and their runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from tieline.model.errors import SafetyStop
from tieline.store import outbox
from tieline.store.database import Database


class State(msgspec.Struct):
    """What the store knows of an integration."""

    id: int
    name: str
    cursor: str | None
    mapping: str | None
    complete_at: float | None
    fence: int
    holder: str | None
    lease_until: float


class Run(msgspec.Struct):
    """One pass of an integration."""

    id: int
    integration: int
    started_at: float
    ended_at: float | None
    state: str
    counts: dict[str, int]
    error: str | None


def back(name: str) -> str:
    """Return the name of the second outbox of a two-way integration: what is owed to its left side. No integration can be called so."""
    return f"{name}/back"


def front(name: str) -> str:
    """Return the name that people know an integration by, of either of its outboxes."""
    return name.removesuffix("/back")


MIXED = "mixed"
"""Stands for a mapping's fingerprint while the shadows were made with more than one."""
_STATE = "id, name, cursor, mapping, complete_at, fence, holder, lease_until"


def state_of(db: Database, name: str) -> State | None:
    """Return what is known of an integration, if it has ever run."""
    rows = db.read(f"SELECT {_STATE} FROM integration WHERE name = ?", (name,))
    return State(*rows[0]) if rows else None


def names(db: Database) -> dict[int, str]:
    """Return {id: name} of every integration that has ever run; both outboxes of a two-way one have its name."""
    return {id: front(name) for id, name in db.read("SELECT id, name FROM integration")}


def sides(db: Database) -> dict[int, Literal["left", "right"]]:
    """Return {id: side} of the outboxes of two-way integrations: the side whose changes are in them."""
    numbers = {name: id for id, name in db.read("SELECT id, name FROM integration")}
    found: dict[int, Literal["left", "right"]] = {}
    for name, id in numbers.items():
        if back(name) in numbers:
            found[id], found[numbers[back(name)]] = "left", "right"
    return found


def both_outboxes(db: Database, name: str) -> dict[Literal["left", "right"], int] | None:
    """Return {side: id} of the outboxes of a two-way integration, by the side whose changes are in them; None until it has run both ways.

    The left one is the integration's own number: pairs and runs are of that.
    """
    numbers: dict[str, int] = dict(db.read("SELECT name, id FROM integration WHERE name IN (?, ?)", (name, back(name))))
    return {"left": numbers[name], "right": numbers[back(name)]} if len(numbers) == 2 else None


def begin(
    connection: sqlite3.Connection,
    name: str,
    *,
    mapping: str,
    holder: str,
    now: float,
    lease_seconds: float,
    gone: Callable[[str], bool],
    beside: str | None = None,
) -> tuple[State, int]:
    """Take the lease and open a run; return the state as it was and the run's id. Raises `SafetyStop` while another process runs it.

    From here on shadows are made with this mapping too: until a run has read everything with it, no single one holds for all.
    `gone` says whether a holder is known to have ended, so that its lease need not run out. `beside` is the name of a second outbox that
    the lease and the run are of as well.
    """
    connection.executemany("INSERT INTO integration (name) VALUES (?) ON CONFLICT DO NOTHING", [(one,) for one in (name, beside) if one])
    row = connection.execute(f"SELECT {_STATE} FROM integration WHERE name = ?", (name,)).fetchone()
    state = State(*row)
    if state.holder is not None and state.lease_until > now and not gone(state.holder):
        raise SafetyStop(
            f"{name} is being run by {state.holder} (seen {max(0.0, lease_seconds - (state.lease_until - now)):.0f} s ago)",
            next_step=f"wait until it ends; if that process is dead, its lease ends in {state.lease_until - now:.0f} s",
        )
    outboxes = connection.execute("SELECT id FROM integration WHERE name IN (?, ?)", (name, beside)).fetchall()
    for crashed, first in connection.execute(
        "SELECT id, first_delivery FROM run WHERE integration = ? AND ended_at IS NULL", (state.id,)
    ).fetchall():
        for (number,) in outboxes:
            outbox.doubt_sending(connection, number, first, run=crashed, now=now, why="the process ended while it was on its way")
        connection.execute(
            "UPDATE run SET state = 'stopped', ended_at = ?, error = 'the process ended in the middle' WHERE id = ?", (now, crashed)
        )
    connection.execute(
        "UPDATE integration SET fence = fence + 1, holder = ?, lease_until = ?, mapping = ? WHERE id = ?",
        (holder, now + lease_seconds, mapping if state.mapping in (None, mapping) else MIXED, state.id),
    )
    run = connection.execute(
        """INSERT INTO run (integration, started_at, first_delivery, state)
           VALUES (?, ?, (SELECT next FROM sequence WHERE name = 'delivery'), 'running') RETURNING id""",
        (state.id, now),
    ).fetchone()[0]
    for (number,) in outboxes:
        outbox.may_leave(connection, number, int(run), 0)
    state.fence += 1
    return state, int(run)


def shorten_lease(connection: sqlite3.Connection, integration: int, most: float) -> None:
    """Let no lease end later than `most`: one that does is from before the clock was set back, and no one would wait for its end.

    A holder that is alive renews it soon.
    """
    connection.execute("UPDATE integration SET lease_until = ? WHERE id = ? AND lease_until > ?", (most, integration, most))


def guard(connection: sqlite3.Connection, integration: int, fence: int, lease_until: float) -> None:
    """Renew the lease inside a commit. Raises `SafetyStop` when another process has taken it: the commit must not happen."""
    changed = connection.execute(
        "UPDATE integration SET lease_until = ? WHERE id = ? AND fence = ? AND holder IS NOT NULL",
        (lease_until, integration, fence),
    ).rowcount
    if changed != 1:
        raise SafetyStop(
            "another process has taken over this integration; this one stops and commits nothing more",
            next_step="see `tieline status`; make sure that only one runner is scheduled",
        )


def move_cursor(connection: sqlite3.Connection, integration: int, cursor: str | None) -> None:
    """Record how far the source has been read."""
    connection.execute("UPDATE integration SET cursor = ? WHERE id = ?", (cursor, integration))


def complete(connection: sqlite3.Connection, integration: int, started_at: float, mapping: str) -> None:
    """Record that a run which started then has read everything, with this mapping."""
    connection.execute("UPDATE integration SET complete_at = ?, mapping = ? WHERE id = ?", (started_at, mapping, integration))


def note_counts(connection: sqlite3.Connection, run: int, counts: dict[str, int]) -> None:
    """Write down what a run that is going on has done so far."""
    connection.execute("UPDATE run SET counts = ? WHERE id = ?", (msgspec.json.encode(counts).decode(), run))


def end(
    connection: sqlite3.Connection,
    integration: int,
    run: int,
    *,
    now: float,
    state: str,
    counts: dict[str, int],
    error: str | None,
) -> None:
    """Close a run and give the lease back."""
    connection.execute(
        "UPDATE run SET ended_at = ?, state = ?, counts = ?, error = ? WHERE id = ?",
        (now, state, msgspec.json.encode(counts).decode(), error, run),
    )
    connection.execute("UPDATE integration SET holder = NULL, lease_until = 0 WHERE id = ?", (integration,))


def latest(db: Database, integration: int, count: int = 1) -> list[Run]:
    """Return the latest runs, newest first."""
    rows = db.read(
        "SELECT id, integration, started_at, ended_at, state, counts, error FROM run WHERE integration = ? ORDER BY id DESC LIMIT ?",
        (integration, count),
    )
    return [_run(row) for row in rows]


def first_delivery(db: Database, run: int) -> int:
    """Return the id below which there is no delivery of a run."""
    return int(db.read("SELECT first_delivery FROM run WHERE id = ?", (run,))[0][0])


def last_delivery(db: Database) -> int:
    """Return the largest id that any delivery has."""
    return int(db.read("SELECT coalesce(max(id), 0) FROM delivery")[0][0])


def get(db: Database, run: int) -> Run | None:
    """Return a run."""
    rows = db.read("SELECT id, integration, started_at, ended_at, state, counts, error FROM run WHERE id = ?", (run,))
    return _run(rows[0]) if rows else None


def _run(row: tuple[Any, ...]) -> Run:
    id, integration, started_at, ended_at, state, counts, error = row
    return Run(id, integration, started_at, ended_at, state, msgspec.json.decode(counts), error)
