"""What a plan of a two-way integration says of who is who: matched, ambiguous, only on the left, only on the right.

It is read off the pairs of the copy of the store on which the plan was made; what had been decided before is left out.
"""

from __future__ import annotations

import itertools
from typing import Final, Generic, TypeVar

import msgspec

from tieline.engine.review import conflicts
from tieline.engine.review.conflicts import Conflict
from tieline.model.records import Values, decode_json
from tieline.store import meetings, outbox, pairs, runs
from tieline.store.database import Database
from tieline.store.delivery import Delivery
from tieline.store.pairs import Side

T = TypeVar("T")
_FOLLOWS: Final = {"queued": "create", "held": "hold", "ignored": "ignore", "alone": "ignore", "parked": "park", "unknown": "hold"}
"""What follows for a record without a counterpart, by the verdict of its pair."""


class Matched(msgspec.Struct):
    """Two records that are the same thing."""

    left_id: str
    right_id: str
    key: str
    """What they agree in."""


class Ambiguous(msgspec.Struct):
    """A record of which no one can tell who its counterpart is."""

    side: Side
    id: str
    key: str
    why: str
    candidates: list[str]


class Alone(msgspec.Struct):
    """A record that only one side has."""

    id: str
    key: str
    says: Values
    """What it says, as the mapping reads it."""
    follows: str
    """create: it would be made on the other side; hold: a person would decide; ignore; park: it can't be made."""


class Listed(msgspec.Struct, Generic[T]):
    """One of the lists: how many there are, and the first of them."""

    count: int
    records: list[T]


class Meeting(msgspec.Struct):
    """Who is who, of what is new."""

    matched: Listed[Matched]
    ambiguous: Listed[Ambiguous]
    only_left: Listed[Alone]
    only_right: Listed[Alone]

    @property
    def is_any(self) -> bool:
        """Whether there is anything new."""
        return any(listed.count for listed in (self.matched, self.ambiguous, self.only_left, self.only_right))


def meeting_of(db: Database, name: str, run: int, limit: int) -> Meeting:
    """Return who is who, with the first `limit` of each list; `db` is the copy on which the plan was made, by this run of it."""
    numbers = runs.both_outboxes(db, name)
    assert numbers is not None
    integration = numbers["left"]
    count, ids = meetings.matched(db, integration, run, limit)
    found = pairs.of(db, integration, "left", ids)
    matched = [Matched(id, found[id].right_id or "", found[id].shown_key("left")) for id in ids if id in found]
    unclear: list[Ambiguous] = []
    unclear_count = 0
    for side, number in numbers.items():
        many, letters = meetings.ambiguous(db, number, run, limit - len(unclear))
        unclear_count += many
        unclear += [_ambiguous(db, integration, side, delivery) for delivery in outbox.get_many(db, number, letters)]
    left, right = (_alone(db, integration, side, number, run, limit) for side, number in numbers.items())
    return Meeting(Listed(count, matched), Listed(unclear_count, unclear), left, right)


def conflicts_of(db: Database, name: str, run: int, limit: int) -> Listed[Conflict]:
    """Return the conflicts that a plan holds, with what both sides say."""
    first = runs.first_delivery(db, run)
    found = (one for one in conflicts.held(db, integration=name) if one.id >= first)
    shown = list(itertools.islice(found, limit))
    return Listed(len(shown) + sum(1 for _ in found), shown)


def _ambiguous(db: Database, integration: int, side: Side, delivery: Delivery) -> Ambiguous:
    pair = pairs.of(db, integration, side, [delivery.source_id]).get(delivery.source_id)
    why = delivery.why
    key = pair.shown_key(side) if pair is not None else ""
    return Ambiguous(side, delivery.source_id, key, str(why.get("message", "")), list(why.get("candidates") or ()))


def _alone(db: Database, integration: int, side: Side, number: int, run: int, limit: int) -> Listed[Alone]:
    count, ids = meetings.alone(db, integration, side, number, run, limit)
    found = pairs.of(db, integration, side, ids)
    return Listed(
        count,
        [
            Alone(id, found[id].shown_key(side), decode_json(found[id].shadow_of(side) or b"{}"), _FOLLOWS.get(found[id].verdict, "hold"))
            for id in ids
        ],
    )
