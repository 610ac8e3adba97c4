"""Conflicts of two-way integrations, for people: which wait for someone, what a policy decided, and a person's rulings.

A ruling is written into the letter that holds the conflict. The next decision of its pair goes by it, as long as both sides still say what
they said when they were held; whoever rules has the integration run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from tieline.model.errors import Refused, TielineError
from tieline.model.records import Values, decode_json, encode_json
from tieline.store import journal, letters, outbox, runs
from tieline.store.database import Database, Transaction
from tieline.store.delivery import Delivery
from tieline.store.journal import Event
from tieline.store.letters import Chosen
from tieline.store.pairs import OTHER, Side

KINDS: Final = ("conflict", "bounce", "deleted")
DECIDED: Final = "conflict decided"
RESTORED: Final = "restored by hand"
_TOGETHER: Final = 200


class Conflict(msgspec.Struct):
    """A conflict that waits for a person."""

    id: int
    """The number of its dead letter."""
    integration: str
    kind: str
    """conflict: both sides have changed; bounce: a system rewrites what it is sent; deleted: one side was deleted, the other edited."""
    left_id: str | None
    right_id: str | None
    fields: list[str]
    left: Values
    """What the left says in these fields, in its own spelling."""
    right: Values
    gone: Side | None
    """The side that was deleted."""
    since: float
    message: str
    next_step: str
    state: str
    ruling: Side | None
    """What a person has said, if that has not been carried out yet."""


class DecidedConflict(msgspec.Struct):
    """A conflict that was decided, and what it overwrote."""

    event: int
    integration: str
    field: str
    side: Side
    """The side that lost."""
    record: str
    """The id of its record."""
    kept: Side
    lost: Values
    """What that side said."""
    why: str | None
    by: str | None
    """A person's reason, if one decided; otherwise the policy did."""
    at: float
    run: int | None
    restored_at: float | None = None


def held(db: Database, *, integration: str | None = None, field: str | None = None) -> Iterator[Conflict]:
    """Yield the conflicts that wait for a person, those of one integration after the other, oldest first."""
    for number, name in _outboxes(db, integration):
        for delivery in letters.read(db, number, Chosen(causes=KINDS)):
            conflict = _conflict(name, delivery)
            if field is None or field in conflict.fields:
                yield conflict


def get(db: Database, id: int) -> Conflict:
    """Return one. Raises `TielineError` for a number that is of no conflict."""
    found = outbox.get(db, id)
    if found is None or found[1].why.get("kind") not in KINDS or found[0] not in runs.sides(db):
        raise TielineError(
            f"{id} is no conflict" + (f", but a dead letter: {found[1].why.get('kind')}" if found is not None and found[1].why else ""),
            next_step=f"`tieline dead-letters show {id}`" if found is not None and found[1].why else "see `tieline conflicts list`",
        )
    conflict = _conflict(runs.names(db)[found[0]], found[1])
    if conflict.state != "held":
        conflict.next_step = "nothing: it needs no one any more"
    return conflict


def rule(db: Database, ids: Sequence[int], keep: Side, reason: str, *, now: float) -> dict[str, tuple[int, ...]]:
    """Write down which side holds, of all of them or, when one isn't open, of none; return their numbers by integration."""
    by_integration: dict[str, tuple[int, ...]] = {}
    found = []
    for id in dict.fromkeys(ids):
        conflict = get(db, id)
        if conflict.state != "held":
            raise Refused(f"conflict {id} is not open any more: it is {conflict.state}", next_step="see `tieline conflicts list`")
        by_integration[conflict.integration] = (*by_integration.get(conflict.integration, ()), id)
        found.append(outbox.get(db, id))
    say(db, [each for each in found if each is not None], {"ruling": keep}, reason, now=now)
    return by_integration


def held_again(db: Database, ruled: Sequence[Conflict]) -> Iterator[tuple[Conflict, Conflict]]:
    """Yield those of some conflicts that were ruled, and are held under another number all the same: as ruled, and as held now."""
    again: dict[tuple[str, str | None, str | None], list[Conflict]] = {}
    numbers = {one.id for one in ruled}
    for name in dict.fromkeys(one.integration for one in ruled):
        for one in held(db, integration=name):
            if one.id not in numbers:
                again.setdefault((name, one.left_id, one.right_id), []).append(one)
    for was in ruled:
        for now in again.get((was.integration, was.left_id, was.right_id), ()):
            if was.kind == now.kind == "deleted" or not {*was.fields}.isdisjoint(now.fields):
                yield was, now
                break


def say(db: Database, found: Sequence[tuple[int, Delivery]], said: Mapping[str, Any], reason: str, *, now: float) -> None:
    """Write what a person says into letters, and into the history of their records. Raises `Refused` when one was settled meanwhile."""

    def unit(connection: Transaction) -> None:
        for number, delivery in found:
            why = encode_json({**delivery.why, **said, "ruled": reason})
            changed = connection.execute("UPDATE delivery SET reason = ? WHERE id = ? AND state IN ('held', 'dead')", (why, delivery.id))
            if changed.rowcount != 1:
                raise Refused(f"{delivery.id} has just been settled; nothing was changed", next_step="look at the list again")
            detail = encode_json({"letter": delivery.id, **said, "reason": reason}).decode()
            journal.note(connection, [Event(now, number, None, delivery.source_id, "ruled by hand", detail)])

    db.write(unit)


def decided(db: Database, *, integration: str | None = None, field: str | None = None) -> Iterator[DecidedConflict]:
    """Yield what was decided, newest first."""
    names, before = runs.names(db), None
    numbers = [number for number, _ in _outboxes(db, integration)]
    restored = _restored(db, numbers)
    while numbers and (portion := journal.of_kind(db, numbers, DECIDED, before=before, limit=_TOGETHER)):
        before = portion[-1][0]
        for id, event in portion:
            one = _decided(names[event.integration], id, event)
            if field is None or one.field == field:
                one.restored_at = restored.get(id)
                yield one


def get_decided(db: Database, event: int) -> DecidedConflict:
    """Return one that was decided. Raises `TielineError` for another event."""
    found = journal.get(db, event)
    if found is None or found.kind != DECIDED:
        raise TielineError(f"event {event} is no decided conflict", next_step="see `tieline conflicts list --decided`")
    return _decided(runs.names(db)[found.integration], event, found)


def _restored(db: Database, numbers: Sequence[int]) -> dict[int, float]:
    found: dict[int, float] = {}
    before = None
    while numbers and (portion := journal.of_kind(db, numbers, RESTORED, before=before, limit=_TOGETHER)):
        before = portion[-1][0]
        for _, event in portion:
            found.setdefault(decode_json((event.detail or "{}").encode()).get("event"), event.at)
    return found


def _decided(name: str, id: int, event: Event) -> DecidedConflict:
    detail = decode_json((event.detail or "{}").encode())
    kept: Side = detail["kept"]
    return DecidedConflict(
        id, name, detail["field"], OTHER[kept], event.source_id or "", kept, detail.get("lost") or {}, detail.get("why"), detail.get("by"),
        event.at, event.run,
    )  # fmt: skip


def _outboxes(db: Database, integration: str | None) -> list[tuple[int, str]]:
    names, sides = runs.names(db), runs.sides(db)
    found = [(number, names[number]) for number in sides if integration in (None, names[number])]
    return sorted(found, key=lambda entry: (entry[1], entry[0]))


def _conflict(name: str, delivery: Delivery) -> Conflict:
    why = delivery.why
    kind = str(why.get("kind"))
    side: Side = why.get("side", "left")
    return Conflict(
        delivery.id, name, kind, why.get("left_id"), why.get("right_id"), list(why.get("strands", ())), why.get("left") or {},
        why.get("right") or {}, OTHER[side] if kind == "deleted" else None, delivery.accepted_at, str(why.get("message", "")),
        str(why.get("next", "")), delivery.state, why.get("ruling"),
    )  # fmt: skip
