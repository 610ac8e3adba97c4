"""Records of a two-way integration without a counterpart, for people: those that wait for someone, and those that stand for themselves.

What a person says is written into the letter that holds the record; the next decision goes by it. Who the counterpart is, is said in
`engine.review.linking`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec

from tieline.engine.review import conflicts
from tieline.engine.review.pairing import outboxes
from tieline.model.errors import Refused, TielineError
from tieline.model.records import Values, decode_json
from tieline.store import letters, outbox, pairs, runs, staged
from tieline.store.database import Database, Transaction, reserve
from tieline.store.delivery import Delivery
from tieline.store.letters import Chosen
from tieline.store.pairs import SIDES, Pair, Side

KIND: Final = "unmatched"
_ALONE: Final = ("ignored", "alone", "new")
_WAITING: Final = "waiting"
_TOGETHER: Final = 500


class Candidate(msgspec.Struct):
    """A record of the other side that may be the same thing."""

    id: str
    score: float
    """How much they are alike, up to 100."""
    says: Values


class Unmatched(msgspec.Struct):
    """A record without a counterpart."""

    id: int | None
    """The number of its dead letter; None when it waits for no one."""
    integration: str
    side: Side
    record: str
    state: str
    """held: it waits for a person; ignored: by the integration's `unmatched`; alone: its counterpart was deleted, they were unlinked, or a
    person ignores it; new: not decided yet; waiting: for the counterpart of a record that it refers to, and it goes on by itself then."""
    key: str
    says: Values
    """What it says, as the mapping reads it."""
    why: str
    candidates: list[str]
    """Records of the other side that have its match key."""
    since: float | None
    ruling: str | None
    alike: list[Candidate] | None = None
    """Records of the other side that resemble it, where that was asked for."""


def every(db: Database, *, integration: str | None = None, side: Side | None = None, settled: bool = True) -> Iterator[Unmatched]:
    """Yield them, those of one integration after the other; those that wait for a person come first, without `settled` they alone."""
    names, sides = runs.names(db), runs.sides(db)
    for number, name in sorted(((number, name) for number, name in names.items() if sides.get(number) == "left"), key=lambda e: e[1]):
        if integration not in (None, name):
            continue
        numbers = {sides[other]: other for other, known in names.items() if known == name and other in sides}
        for each in SIDES:
            if side in (None, each):
                for delivery in letters.read(db, numbers[each], Chosen(KIND)):
                    yield _held(db, name, number, each, delivery)
        for each in SIDES if settled else ():
            if side in (None, each):
                where = f"verdict IN {_ALONE} AND {each}_id IS NOT NULL AND {pairs.OTHER[each]}_id IS NULL"
                waiting = dict(_waiting(db, number, numbers[each], each))
                yield from (_alone(name, each, pair, waiting.get(pair.id_of(each) or "")) for pair in pairs.every(db, number, where))


def count_settled(db: Database, *, integration: str | None = None, side: Side | None = None) -> int:
    """Return how many records without a counterpart wait for no one."""
    names, sides = runs.names(db), runs.sides(db)
    found = 0
    for number, name in names.items():
        if sides.get(number) == "left" and integration in (None, name):
            for (verdict, left, right), pairs_ in pairs.counts(db, number).items():
                alone: Side = "left" if left else "right"
                found += pairs_ if verdict in _ALONE and left != right and side in (None, alone) else 0
            for other, each in sides.items():
                if names[other] == name and side in (None, each):
                    found -= sum(1 for _ in _waiting(db, number, other, each))
    return found


def _waiting(db: Database, number: int, outbox_number: int, side: Side) -> Iterator[tuple[str, Delivery]]:
    """Yield the records without a counterpart that wait for another one, to which they refer, to get its own; each with its letter."""
    rest = letters.read(db, outbox_number, Chosen(_WAITING))
    while portion := list(itertools.islice(rest, _TOGETHER)):
        known = pairs.of(db, number, side, [letter.source_id for letter in portion])
        for letter in portion:
            pair = known.get(letter.source_id)
            if pair is not None and not pair.linked and pair.verdict in _ALONE:
                yield letter.source_id, letter


def rule(db: Database, ids: Sequence[int], ruling: Literal["create", "ignore"], reason: str, *, now: float) -> dict[str, tuple[int, ...]]:
    """Write down what shall become of records, of all or, when one isn't open, of none; return the letters by integration."""
    by_integration: dict[str, tuple[int, ...]] = {}
    found = []
    for id in dict.fromkeys(ids):
        number, delivery = get_open(db, id)
        name = runs.names(db)[number]
        by_integration[name] = (*by_integration.get(name, ()), id)
        found.append((number, delivery))
    conflicts.say(db, found, {"ruling": ruling}, reason, now=now)
    return by_integration


def get_open(db: Database, id: int) -> tuple[int, Delivery]:
    """Return an outbox and a letter in it that holds a record without a counterpart. Raises `TielineError` for another number."""
    found = outbox.get(db, id)
    if found is None or found[1].why.get("kind") != KIND or found[0] not in runs.sides(db):
        raise TielineError(f"{id} is no unmatched record", next_step="see `tieline unmatched list`")
    if found[1].state != "held":
        raise Refused(f"unmatched record {id} does not wait for anybody any more: it is {found[1].state}", next_step="see the list")
    return found


def hold(db: Database, name: str, side: Side, records: Sequence[str], *, now: float) -> list[int]:
    """Let records that wait for no one wait for a person after all, who is about to say something; return the numbers of their letters."""
    numbers = outboxes(db, name)
    number, integration = numbers[side], numbers["left"]
    known = pairs.of(db, integration, side, records)
    for record in records:
        pair = known.get(record)
        if pair is None or pair.linked or pair.verdict not in _ALONE:
            state = "not known" if pair is None else f"linked to {pair.id_of(pairs.OTHER[side])}" if pair.linked else pair.verdict
            raise Refused(f"{side} record {record} is {state}; nothing was changed", next_step=f"see `tieline unmatched list {name}`")
    latest = runs.latest(db, integration)[0].id
    why = outbox.reason(KIND, "a person decides about it", "", side=side)

    def unit(connection: Transaction) -> list[int]:
        start = reserve(connection, "delivery", len(records))
        deliveries = [
            Delivery(
                id, record, None, "none", "held", latest, now, record=known[record].shadow_of(side), settled_at=now, settled_run=latest,
                reason=why,
            )
            for id, record in enumerate(records, start)
        ]  # fmt: skip
        outbox.queue(connection, number, latest, now, deliveries)
        staged.put(connection, integration, side, latest, now, [(record, "again", None) for record in records])
        return [delivery.id for delivery in deliveries]

    return db.write(unit)


def never_made(db: Database, id: int, reason: str, *, now: float) -> None:
    """Write down that the counterpart whose making was in doubt was never made. Raises `Refused` where no one doubts it."""
    found = outbox.get(db, id)
    if found is None or found[1].why.get("kind") != "unknown" or found[1].operation != "create":
        raise Refused(
            f"of dead letter {id} no one doubts that it was not done: {found[1].why.get('kind') if found else 'it is not there'}",
            next_step=f"`tieline dead-letters redrive {id}` tries again",
        )
    conflicts.say(db, [found], {"ruling": "create"}, reason, now=now)


def _held(db: Database, name: str, number: int, side: Side, delivery: Delivery) -> Unmatched:
    pair = pairs.of(db, number, side, [delivery.source_id]).get(delivery.source_id)
    why = delivery.why
    return Unmatched(
        delivery.id, name, side, delivery.source_id, "held", pair.shown_key(side) if pair is not None else "",
        decode_json((pair.shadow_of(side) if pair is not None else None) or b"{}"), str(why.get("message", "")),
        list(why.get("candidates") or ()), delivery.accepted_at, why.get("ruling"),
    )  # fmt: skip


def _alone(name: str, side: Side, pair: Pair, letter: Delivery | None) -> Unmatched:
    says = decode_json(pair.shadow_of(side) or b"{}")
    if letter is not None:
        message = str(letter.why.get("message", ""))
        return Unmatched(None, name, side, letter.source_id, "waiting", pair.shown_key(side), says, message, [], letter.accepted_at, None)
    return Unmatched(None, name, side, pair.id_of(side) or "", pair.verdict, pair.shown_key(side), says, "", [], None, None)
