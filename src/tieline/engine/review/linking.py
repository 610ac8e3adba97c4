"""Which record is which, by hand: for a pair that was matched wrongly, or that no one but a person can recognise.

What is linked or unlinked is decided again when its source record is read the next time: `tieline run NAME --only ID` does so at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tieline.model.errors import Refused, SafetyStop
from tieline.model.records import Values, encode_json
from tieline.store import journal, links, outbox, runs
from tieline.store.database import AlreadyLinked, Database, Transaction
from tieline.store.links import Link

_PORTION = 500
_NOTHING_SEEN = b"{}"
"""A source shadow that no record has: it is decided again."""


def pairs(db: Database, name: str, *, unlinked: bool = False) -> Iterator[Link]:
    """Yield an integration's links, by source id; with `unlinked`, the records that have no counterpart instead."""
    known, after = runs.state_of(db, name), ""
    while known is not None and (portion := links.portion(db, known.id, after=after, unlinked=unlinked, limit=_PORTION)):
        after = portion[-1].source_id
        yield from portion


def link(db: Database, name: str, source_id: str, target_id: str, there: Values | None, reason: str, *, now: float) -> None:
    """Say that a source record's counterpart is `target_id`, which says `there` (None where it can't be read).

    Raises `Refused` for a record that is not known, is linked already, or has something open; and when the counterpart is another's.
    """
    number, known = _known(db, name, source_id)
    if known.target_id is not None:
        raise Refused(
            f"{source_id} is linked to {known.target_id} already; nothing was changed",
            next_step=f"`tieline links unlink {name} {source_id}` first, if that is wrong",
        )
    shadow = encode_json(there) if there is not None else None
    event = _event(number, source_id, "linked by hand", now, to=target_id, reason=reason)

    def unit(connection: Transaction) -> None:
        _check_at_rest(connection, number, name, source_id)
        links.pair(connection, number, source_id, target_id, _NOTHING_SEEN, shadow)
        journal.note(connection, [event])

    try:
        db.write(unit)
    except AlreadyLinked:
        owner = links.of_targets(db, number, [target_id])[target_id].source_id
        raise Refused(
            f"{target_id} is the counterpart of source record {owner} already; nothing was changed",
            next_step=f"`tieline links unlink {name} {owner}` first, if that is wrong",
        ) from None


def unlink(db: Database, name: str, source_id: str, reason: str, *, now: float) -> str:
    """Forget a record's counterpart, and return its id. Raises `Refused` for a record without one, or with something open."""
    number, known = _known(db, name, source_id)
    if known.target_id is None:
        raise Refused(
            f"{source_id} has no counterpart in {name}", next_step=f"`tieline links list {name} --unlinked` shows those without one"
        )
    event = _event(number, source_id, "unlinked by hand", now, was=known.target_id, reason=reason)

    def unit(connection: Transaction) -> None:
        _check_at_rest(connection, number, name, source_id)
        links.pair(connection, number, source_id, None, _NOTHING_SEEN, None)
        journal.note(connection, [event])

    db.write(unit)
    return known.target_id


def _known(db: Database, name: str, source_id: str) -> tuple[int, Link]:
    state = runs.state_of(db, name)
    known = links.of_sources(db, state.id, [source_id]).get(source_id) if state is not None else None
    if state is None or known is None or known.verdict == "deleted":
        raise Refused(
            f"{name} knows no source record {source_id}" + ("; it is gone from the source" if known is not None else ""),
            next_step="it is known once a run has read it: check the id, or run first",
        )
    return state.id, known


def _check_at_rest(connection: Transaction, number: int, name: str, source_id: str) -> None:
    found = outbox.open_for(connection, number, source_id)
    if found is None:
        return
    id, state = found
    if state in ("held", "dead"):
        raise Refused(
            f"{source_id} has an open dead letter, {id}; nothing was changed",
            next_step=f"`tieline dead-letters resolve {id} --as ID` says which record it is; `discard {id}` gives it up",
        )
    raise SafetyStop(
        f"something of {source_id} is owed or on its way; nothing was changed",
        next_step=f"`tieline run {name}` first, or wait for the one that runs",
    )


def _event(number: int, source_id: str, kind: str, now: float, **detail: str) -> journal.Event:
    return journal.Event(now, number, None, source_id, kind, msgspec.json.encode(detail).decode())
