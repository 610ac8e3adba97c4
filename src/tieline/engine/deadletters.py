"""Deliveries that need a person: list, show, edit, discard. Redriving one is a run (`engine.run`, `Wanted.redrive`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tieline.model.errors import TielineError
from tieline.model.paths import put
from tieline.model.records import decode_json, encode_json
from tieline.store import journal, outbox, runs
from tieline.store.database import Database


class DeadLetter(msgspec.Struct):
    """A delivery that can't go on by itself."""

    id: int
    integration: str
    state: str
    """dead: refused; held: a decision is missing."""
    source_id: str
    target_id: str | None
    operation: str
    accepted_at: float
    settled_at: float | None
    attempts: int
    cause: str
    field: str | None
    message: str
    next_step: str
    record: dict[str, Any] | None
    fields: dict[str, Any]
    why: dict[str, Any]


def list_letters(db: Database, *, integration: str | None = None, cause: str | None = None, limit: int = 1000) -> list[DeadLetter]:
    """Return open dead letters, oldest first."""
    names = runs.names(db)
    letters: list[DeadLetter] = []
    for number, name in sorted(names.items(), key=lambda entry: entry[1]):
        if integration is None or name == integration:
            letters += [_letter(name, delivery) for delivery in outbox.open_of(db, number, ("dead", "held"), limit=limit)]
    return [letter for letter in letters if cause is None or letter.cause == cause][:limit]


def get_letter(db: Database, id: int) -> DeadLetter:
    """Return one, open or settled. Raises `TielineError` when there is none."""
    found = outbox.get(db, id)
    if found is None:
        raise TielineError(f"there is no dead letter {id}", next_step="see `tieline dead-letters list`")
    return _letter(runs.names(db)[found[0]], found[1])


def get_open_letter(db: Database, id: int) -> DeadLetter:
    """Return one that still needs a person. Raises `TielineError` when there is none."""
    number, delivery = _open(db, id)
    return _letter(runs.names(db)[number], delivery)


def edit(db: Database, id: int, changes: Mapping[str, Any], id_of: Callable[[dict[str, Any]], str | None], *, now: float) -> DeadLetter:
    """Change fields of the source record that a dead letter keeps. Nothing is sent before it is redriven."""
    number, delivery = _open(db, id)
    if delivery.record is None:
        raise TielineError(
            f"dead letter {id} keeps no source record to edit",
            next_step="mend the record in its system; its next version is tried by itself",
        )
    record = decode_json(delivery.record)
    for address, value in changes.items():
        try:
            put(record, address, value)
        except (ValueError, TypeError, LookupError) as error:
            raise TielineError(f"`{address}` can't be set in the record: {error}") from None
    if id_of(record) != delivery.source_id and not delivery.source_id.startswith("no-id-"):
        raise TielineError("a record's id can't be changed here: it would become another record", next_step="mend the other fields")
    edited = encode_json(record)

    def unit(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE delivery SET record = ? WHERE id = ?", (edited, id))
        detail = msgspec.json.encode({"delivery": id, "fields": dict(changes)}, enc_hook=str).decode()
        journal.note(connection, [journal.Event(now, number, None, delivery.source_id, "edited by hand", detail)])

    db.write(unit)
    return get_letter(db, id)


def discard(db: Database, ids: Sequence[int], reason: str, *, now: float) -> None:
    """Give up on dead letters, for a reason that stays in the record's history."""
    found = [(number, delivery) for number, delivery in (_open(db, id) for id in ids)]

    def unit(connection: sqlite3.Connection) -> None:
        for number, delivery in found:
            delivery.state = "discarded"
            why = {**delivery.why, "discarded": reason}
            delivery.reason = encode_json(why)
            outbox.set_state(connection, delivery, now=now, run=delivery.run)
            detail = msgspec.json.encode({"delivery": delivery.id, "reason": reason}).decode()
            journal.note(connection, [journal.Event(now, number, None, delivery.source_id, "discarded by hand", detail)])

    db.write(unit)


def _open(db: Database, id: int) -> tuple[int, outbox.Delivery]:
    found = outbox.get(db, id)
    if found is None or found[1].state not in ("dead", "held"):
        state = f": it is {found[1].state}" if found else ""
        raise TielineError(f"there is no open dead letter {id}{state}", next_step="see `tieline dead-letters list`")
    return found


def _letter(integration: str, delivery: outbox.Delivery) -> DeadLetter:
    why = delivery.why
    return DeadLetter(
        delivery.id, integration, delivery.state, delivery.source_id, delivery.target_id, delivery.operation, delivery.accepted_at,
        delivery.settled_at, delivery.attempts, str(why.get("kind", "unknown")), why.get("field"), str(why.get("message", "")),
        str(why.get("next", "")), decode_json(delivery.record) if delivery.record else None, delivery.fields, why,
    )  # fmt: skip
