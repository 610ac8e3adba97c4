"""Which record is which in a two-way integration, by hand: two records become one pair, or a pair two records that stand for themselves.

What is linked meets at the next run, as if it had been matched. What is unlinked is not matched again by itself, and no counterpart is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tieline.model.errors import Refused, SafetyStop
from tieline.model.records import encode_json
from tieline.store import journal, outbox, pairs, runs, staged
from tieline.store.database import Database, Transaction
from tieline.store.journal import Event
from tieline.store.pairs import OTHER, SIDES, Pair, Side


class Seen(NamedTuple):
    """A record that no run has read yet."""

    side: Side
    id: str
    key: str | None
    shadow: bytes
    at: float | None


def every(db: Database, name: str, *, unlinked: bool = False) -> Iterator[Pair]:
    """Yield an integration's pairs; with `unlinked`, the records that have no counterpart instead."""
    known = runs.state_of(db, name)
    linked = "left_id IS NOT NULL AND right_id IS NOT NULL"
    if known is not None:
        yield from pairs.every(db, known.id, f"NOT ({linked})" if unlinked else linked)


def unknown(db: Database, name: str, ids: Mapping[Side, str]) -> Iterator[tuple[Side, str]]:
    """Yield those of these records that no run has read yet."""
    number = outboxes(db, name)["left"]
    for side, id in ids.items():
        if id not in pairs.of(db, number, side, [id]):
            yield side, id


def link(db: Database, name: str, ids: Mapping[Side, str], seen: Sequence[Seen], reason: str, *, now: float) -> None:
    """Say that two records are the same thing; `seen` are those of them that no run has read.

    Raises `Refused` when one of them has another counterpart, `SafetyStop` when something of one is on its way.
    """
    numbers = outboxes(db, name)
    number = numbers["left"]
    for side, id in ids.items():
        known = pairs.of(db, number, side, [id]).get(id)
        if known is not None and known.linked:
            theirs = known.id_of(OTHER[side])
            what = "already" if theirs == ids[OTHER[side]] else "and no one else's"
            raise Refused(
                f"{side} record {id} is the counterpart of {theirs} {what}; nothing was changed",
                next_step=f"`tieline links unlink {name} {known.left_id}` first, if that is wrong",
            )
    run = _run(db, number)

    def unit(connection: Transaction) -> None:
        for each in seen:
            pairs.meet_first(connection, number, each.side, [(each.id, each.key, each.shadow, each.at, None)])
        for side in SIDES:
            _settle_letters(connection, numbers[side], name, side, ids[side], run, now)
        pairs.join(connection, number, ids["left"], ids["right"])
        for side in SIDES:
            staged.put(connection, number, side, run, now, [(ids[side], "again", None)])
            detail = encode_json({"to": ids[OTHER[side]], "reason": reason}).decode()
            journal.note(connection, [Event(now, numbers[side], None, ids[side], "linked by hand", detail)])

    db.write(unit)


def unlink(db: Database, name: str, left_id: str, reason: str, *, now: float) -> str:
    """Take a pair apart, and return the id of the right record. Raises `Refused` for a record without a counterpart."""
    numbers = outboxes(db, name)
    number = numbers["left"]
    pair = pairs.of(db, number, "left", [left_id]).get(left_id)
    if pair is None or pair.right_id is None:
        raise Refused(
            f"left record {left_id} has no counterpart in {name}" if pair is not None else f"{name} knows no left record {left_id}",
            next_step=f"see `tieline links list {name}`: the left id comes first",
        )
    run, ids = _run(db, number), {"left": left_id, "right": pair.right_id}

    def unit(connection: Transaction) -> None:
        for side in SIDES:
            _settle_letters(connection, numbers[side], name, side, ids[side], run, now)
            staged.take(connection, number, side, [ids[side]])
            detail = encode_json({"was": ids[OTHER[side]], "reason": reason}).decode()
            journal.note(connection, [Event(now, numbers[side], None, ids[side], "unlinked by hand", detail)])
        pairs.part(connection, number, pair)

    db.write(unit)
    return pair.right_id


def _settle_letters(connection: Transaction, outbox_number: int, name: str, side: Side, id: str, run: int, now: float) -> None:
    """Settle the letters of a record: what they were about is decided again. Raises `SafetyStop` when something of it is on its way."""
    while (found := outbox.open_for(connection, outbox_number, id)) is not None:
        if found[1] not in ("held", "dead"):
            raise SafetyStop(
                f"something of {side} record {id} is owed or on its way; nothing was changed",
                next_step=f"`tieline run {name}` first, or wait for the one that runs",
            )
        outbox.supersede_these(connection, [found[0]], run=run, now=now)


def outboxes(db: Database, name: str) -> dict[Side, int]:
    """Return {side: id} of an integration's outboxes. Raises `Refused` until it has run both ways."""
    numbers = runs.both_outboxes(db, name)
    if numbers is None:
        raise Refused(f"{name} has not run yet, both ways", next_step=f"`tieline run {name}` first")
    return numbers


def _run(db: Database, number: int) -> int:
    return runs.latest(db, number)[0].id
