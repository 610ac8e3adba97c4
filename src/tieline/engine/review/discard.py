"""What giving up on a dead letter of a two-way integration does: both sides of the pair stand as they are, until one of them changes again."""

from __future__ import annotations

import functools
from collections.abc import Callable

import msgspec

from tieline.engine.core.two_sides import TwoWayIntegration
from tieline.model.records import decode_json, encode_json
from tieline.store import links, pairs, runs, staged
from tieline.store.database import Database, Transaction
from tieline.store.delivery import Delivery
from tieline.store.pairs import OTHER, SIDES, Pair, Side


class Standing:
    """Lets pairs stand as they are."""

    def __init__(self, db: Database, job_of: Callable[[str], TwoWayIntegration | None]) -> None:
        """`job_of` returns an integration by its name; None where it is not declared any more."""
        self._db, self._job_of = db, job_of
        self._names, self._sides = runs.names(db), runs.sides(db)

    def __call__(self, number: int, delivery: Delivery) -> Callable[[Transaction], None] | None:
        """Return what lets a letter's pair stand, in a unit; None where there is no pair."""
        side = self._sides.get(number)
        first = runs.state_of(self._db, self._names[number]) if side is not None else None
        if side is None or first is None:
            return None
        pair = pairs.of(self._db, first.id, side, [delivery.source_id]).get(delivery.source_id)
        if pair is None:
            return None
        job = self._job_of(self._names[number])
        taken: list[tuple[Side, str]] = []
        told: dict[str, bytes] = {}
        for each in SIDES:
            id = pair.id_of(each)
            one = staged.of(self._db, first.id, each, [id]).get(id) if id is not None else None
            if one is None or (one.kind == "gone" and delivery.why.get("kind") != "deleted"):
                continue  # a deletion that was not what the letter is about is still to be decided
            taken.append((each, one.id))
            if one.record is not None and job is not None:
                told[f"{each}_shadow"] = encode_json(job.halves[each].project(decode_json(one.record)))
        apart = _strands_of(job, side, delivery) if pair.linked and job is not None else []
        return functools.partial(_stand, integration=first.id, pair=_standing(pair, delivery, told), taken=taken, apart=apart)


def _standing(pair: Pair, delivery: Delivery, told: dict[str, bytes]) -> Pair:
    standing = msgspec.structs.replace(pair, **told)
    if delivery.why.get("kind") == "deleted":
        # The record that is left stands for itself.
        return pairs.without(standing, OTHER[_side_of(delivery)])
    if pair.linked:
        return msgspec.structs.replace(standing, met=1) if told else standing
    # It is tried again once it changes.
    return standing if pair.verdict == "unknown" else msgspec.structs.replace(standing, verdict="ignored")


def _side_of(delivery: Delivery) -> Side:
    side: Side = delivery.why.get("side", "left")
    return side


def _strands_of(job: TwoWayIntegration, side: Side, delivery: Delivery) -> list[str]:
    """Return the strands that a letter is about: in these both sides agree to differ."""
    if "strands" in delivery.why:
        return list(delivery.why["strands"])
    field = delivery.why.get("field")
    written = {*delivery.fields} or ({field} if field else set())
    return [strand.name for strand in job.terms.strands if not written.isdisjoint(getattr(strand, OTHER[side]))]


def _stand(connection: Transaction, *, integration: int, pair: Pair, taken: list[tuple[Side, str]], apart: list[str]) -> None:
    pairs.put(connection, [pair])
    links.keep(connection, integration, [(pair.left_id or "", strand, None) for strand in apart])
    for side, id in taken:
        staged.take(connection, integration, side, [id])
