"""Deliveries that need a person: list, group, show, edit, discard.

Deciding one again is a run (`engine.runs.redrive`), and so is settling it by hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from tieline.model.errors import TielineError
from tieline.model.paths import put
from tieline.model.records import decode_json, encode_json
from tieline.store import journal, letters, links, outbox, runs
from tieline.store.database import Database, Transaction
from tieline.store.delivery import Delivery
from tieline.store.letters import ALL, STATES, Chosen

_OF_PAIRS: Final = ("conflict", "bounce", "deleted", "unmatched")
"""What only an integration that goes both ways can settle, where it was one that set it aside."""


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
    call: int | None = None
    """The last call that was made for it, in the journal."""
    side: Literal["left", "right"] | None = None
    """Of a two-way integration: the side whose record it is; the other one is where it goes."""

    @property
    def rule(self) -> str | None:
        """File and line of the mapping's rule, as they were when it was set aside."""
        return self.why.get("rule")

    @property
    def value(self) -> Any:
        """What the rule was given, or would have written; None where it is not about one value."""
        return self.why.get("value")

    @property
    def candidates(self) -> list[str]:
        """The destination's records that it may belong to."""
        return self.why.get("candidates") or []


class LetterGroup(msgspec.Struct):
    """Dead letters that have one cause, field and rule."""

    integration: str
    state: str
    cause: str
    field: str | None
    rule: str | None
    number: int
    """How many there are."""
    since: float
    """When the oldest was accepted."""
    example: DeadLetter
    """The oldest."""
    command: str
    """The command that deals with all of them."""
    side: Literal["left", "right"] | None = None
    """Of a two-way integration: the side whose records they are."""


def group_letters(
    db: Database, *, integration: str | None = None, chosen: Chosen = ALL, one_way: Collection[str] = ()
) -> list[LetterGroup]:
    """Return open dead letters in groups, the largest first. They are counted by the database; one of each group is read.

    `one_way` are the integrations that go one way as they are declared now, here and below.
    """
    found, sides = [], runs.sides(db)
    for number, name in _integrations(db, integration):
        for group in letters.groups(db, number, chosen):
            example = outbox.get(db, group.example)
            if example is not None:
                side = sides.get(number)
                found.append(
                    LetterGroup(
                        name, group.state, group.cause, group.field, group.rule, group.number, group.since,
                        _letter(name, example[1], side, one_way), _command(name, group, side, one_way), side,
                    )
                )  # fmt: skip
    return sorted(found, key=lambda group: -group.number)


def read_letters(
    db: Database, *, integration: str | None = None, chosen: Chosen = ALL, one_way: Collection[str] = ()
) -> Iterator[DeadLetter]:
    """Yield open dead letters, those of one integration after the other, oldest first. A portion is held at a time."""
    sides = runs.sides(db)
    for number, name in _integrations(db, integration):
        for delivery in letters.read(db, number, chosen):
            yield _letter(name, delivery, sides.get(number), one_way)


def list_letters(
    db: Database, *, integration: str | None = None, cause: str | None = None, field: str | None = None, limit: int = 1000
) -> list[DeadLetter]:
    """Return open dead letters, at most `limit`."""
    return list(itertools.islice(read_letters(db, integration=integration, chosen=Chosen(cause, field)), limit))


def count_letters(db: Database, *, integration: str | None = None, chosen: Chosen = ALL) -> dict[str, int]:
    """Return how many are open of each integration that has any."""
    counts: dict[str, int] = {}
    for number, name in _integrations(db, integration):
        counts[name] = counts.get(name, 0) + letters.count(db, number, chosen)
    return {name: number for name, number in counts.items() if number}


def get_letter(db: Database, id: int, *, one_way: Collection[str] = ()) -> DeadLetter:
    """Return one, open or settled. Raises `TielineError` when there is none."""
    found = outbox.get(db, id)
    if found is None:
        raise TielineError(f"there is no dead letter {id}", next_step="see `tieline dead-letters list`")
    number, delivery = found
    letter = _letter(runs.names(db)[number], delivery, runs.sides(db).get(number), one_way)
    if letter.state not in STATES:
        later = next((d.id for d in outbox.of_record(db, number, delivery.source_id) if d.id > id and d.state in STATES), None)
        letter.next_step = (
            f"look at dead letter {later}, which has taken its place" if later is not None else "nothing: it needs no one any more"
        )
    return letter


def was_letter(letter: DeadLetter) -> bool:
    """Say whether a delivery needs a person, or did until it was settled; otherwise it was only on its way."""
    return letters.was_letter(letter.state, letter.why)


def get_open_letter(db: Database, id: int) -> DeadLetter:
    """Return one that still needs a person. Raises `TielineError` when there is none."""
    number, delivery = _open(db, id)
    return _letter(runs.names(db)[number], delivery, runs.sides(db).get(number))


def edit(db: Database, id: int, changes: Mapping[str, Any], id_of: Callable[[dict[str, Any]], str | None], *, now: float) -> DeadLetter:
    """Change fields of the source record that a dead letter keeps. Nothing is sent before it is redriven."""
    number, delivery = _open(db, id)
    if delivery.record is None:
        raise TielineError(
            f"dead letter {id} keeps no source record to edit",
            next_step="correct the record in its system; its next version is tried by itself",
        )
    record = decode_json(delivery.record)
    for address, value in changes.items():
        try:
            put(record, address, value)
        except (ValueError, TypeError, LookupError) as error:
            raise TielineError(f"`{address}` can't be set in the record: {error}") from None
    if id_of(record) != delivery.source_id and not delivery.source_id.startswith("no-id-"):
        raise TielineError("a record's id can't be changed here: it would become another record", next_step="correct the other fields")
    edited = encode_json(record)

    def unit(connection: Transaction) -> None:
        changed = connection.execute("UPDATE delivery SET record = ? WHERE id = ? AND state IN ('dead', 'held')", (edited, id)).rowcount
        if changed != 1:
            raise _not_open(id, "it has just been settled")
        links.keep(connection, number, [(delivery.source_id, links.BY_HAND, None)])
        detail = msgspec.json.encode({"delivery": id, "fields": dict(changes)}, enc_hook=str).decode()
        journal.note(connection, [journal.Event(now, number, None, delivery.source_id, "edited by hand", detail)])

    db.write(unit)
    return get_letter(db, id)


Stand = Callable[[int, Delivery], Callable[[Transaction], None] | None]
"""Given an outbox and a letter in it: what lets both sides of its pair stand as they are, in a unit; None one way."""


def discard(db: Database, ids: Sequence[int], reason: str, *, now: float, stand: Stand = lambda number, delivery: None) -> int:
    """Give up on dead letters, for a reason that stays in the record's history; return how many. All of them or, when one isn't open, none.

    What is given up is this version of the record. A later one goes its way as any other; of a linked record it brings along whatever then
    differs from the destination. Where no one knows whether a record was created, that doubt stays: a later version is held too.
    """
    found = [(number, delivery, stand(number, delivery)) for number, delivery in (_open(db, id) for id in dict.fromkeys(ids))]

    def unit(connection: Transaction) -> None:
        for number, delivery, let_stand in found:
            if let_stand is not None:
                let_stand(connection)
            delivery.state = "discarded"
            delivery.reason = encode_json({**delivery.why, "discarded": reason})
            outbox.set_state(connection, delivery, now=now, run=delivery.run)
            links.give_up(connection, number, delivery.source_id)
            detail = msgspec.json.encode({"delivery": delivery.id, "reason": reason}).decode()
            journal.note(connection, [journal.Event(now, number, None, delivery.source_id, "discarded by hand", detail)])

    db.write(unit)
    return len(found)


def discard_all(
    db: Database, reason: str, *, integration: str | None, chosen: Chosen, now: float, stand: Stand = lambda number, delivery: None
) -> int:
    """Give up on all that are meant, in portions; return how many."""
    done = 0
    for number, _ in _integrations(db, integration):
        limited = msgspec.structs.replace(chosen, up_to=letters.newest(db, number))
        while portion := letters.ids(db, number, limited):
            done += discard(db, portion, reason, now=now, stand=stand)
    return done


def _integrations(db: Database, integration: str | None) -> list[tuple[int, str]]:
    known = sorted(runs.names(db).items(), key=lambda entry: entry[1])
    return [(number, name) for number, name in known if integration in (None, name)]


def of_other_direction(name: str) -> str:
    """Say what can be done about what an integration held while it went both ways, now that it goes one way."""
    return (
        f"{name} goes one way now, and nothing decides this any more: `tieline dead-letters discard NO --reason …` gives it up; "
        "`direction: two-way` again decides it"
    )


def _is_of_other_direction(integration: str, cause: str, side: str | None, one_way: Collection[str]) -> bool:
    """Whether only a two-way integration could settle a letter, and its own is none any more."""
    return integration in one_way and (side == "right" or (side is not None and cause in _OF_PAIRS))


def _command(integration: str, group: letters.Group, side: str | None, one_way: Collection[str]) -> str:
    if _is_of_other_direction(integration, group.cause, side, one_way):
        field = f" --field {_quoted(group.field)}" if group.field else ""
        return f"tieline dead-letters discard --integration {integration} --cause {_quoted(group.cause)}{field} --reason …"
    if side is not None and group.cause in ("conflict", "bounce", "deleted"):
        field = f" --field {_quoted(group.field)}" if group.field else ""
        return f"tieline conflicts resolve --all --integration {integration}{field} --keep left (or right) --reason …"
    if side is not None and group.cause == "unmatched":
        return f"tieline unmatched list {integration} --side {side}"
    which = f"--integration {integration} --cause {_quoted(group.cause)}" + (f" --field {_quoted(group.field)}" if group.field else "")
    if group.cause == "unknown":
        return f"tieline dead-letters resolve {group.example} --as ID (or --not-done) --reason …"
    if group.cause == "conflict":
        return f"tieline dead-letters resolve {which} --keep source (or target) --reason …"
    return f"tieline dead-letters redrive {which}"


def _quoted(word: str) -> str:
    return word if word.replace("-", "").replace("_", "").replace(".", "").isalnum() else "'" + word.replace("'", "'\\''") + "'"


def _not_open(id: int, why: str) -> TielineError:
    return TielineError(f"there is no open dead letter {id}: {why}", next_step="see `tieline dead-letters list`")


def _open(db: Database, id: int) -> tuple[int, Delivery]:
    found = outbox.get(db, id)
    if found is None:
        raise TielineError(f"there is no open dead letter {id}", next_step="see `tieline dead-letters list`")
    if found[1].state not in STATES:
        raise _not_open(id, f"it is {found[1].state}")
    return found


def _letter(
    integration: str, delivery: Delivery, side: Literal["left", "right"] | None = None, one_way: Collection[str] = ()
) -> DeadLetter:
    why = delivery.why
    next_step = str(why.get("next", ""))
    if _is_of_other_direction(integration, str(why.get("kind")), side, one_way):
        next_step = of_other_direction(integration)
    return DeadLetter(
        delivery.id, integration, delivery.state, delivery.source_id, delivery.target_id, delivery.operation, delivery.accepted_at,
        delivery.settled_at, delivery.attempts, str(why.get("kind", "unknown")), why.get("field"), str(why.get("message", "")),
        next_step, decode_json(delivery.record) if delivery.record else None, delivery.fields, why, delivery.call, side,
    )  # fmt: skip
