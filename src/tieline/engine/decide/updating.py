"""The write that changes a field of one side of a pair, as the other side's mapping, its connector and its checks would have it."""

from __future__ import annotations

from collections.abc import Sequence

from tieline.engine.core.two_sides import Half
from tieline.engine.decide.page import delivery_of
from tieline.model.records import Record, Values
from tieline.store.delivery import Delivery
from tieline.store.pairs import Pair


class CannotWrite(Exception):
    """A record that can't be written so; `fields` are those that are in the way."""

    def __init__(self, fields: Sequence[str], why: str) -> None:
        self.fields = fields
        super().__init__(why)


def update_of(half: Half, pair: Pair, write: Values, says: Values, source: Record) -> Delivery:
    """Return the update of the counterpart of a record of `half`, which is the `source`; the counterpart `says` what stands there now.

    Raises `CannotWrite` where our own checks, or what the connector declares, are against it.
    """
    if problems := half.job.check(write, False):
        raise CannotWrite(
            [problem.address for problem in problems], "; ".join(f"`{problem.address}` {problem.text}" for problem in problems)
        )
    if (why := half.job.cannot_update(write, says)) is not None:
        raise CannotWrite(list(write), why)
    whole = half.job.with_rest(write, says)
    delivery = delivery_of(pair.id_of(half.side) or "", "update", pair.id_of(half.other), whole, says, whole)
    delivery.shadowed, delivery.source, delivery.match_key = True, source, pair.key_of(half.side)
    return delivery
