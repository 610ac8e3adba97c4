"""Which records of the two sides are the same thing: one, none, or not to be told. Ambiguous is never created."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

Way = Literal["left", "right"]


class Known(NamedTuple):
    """A pair, as far as it matters here; with one id, a record without a counterpart."""

    number: int
    left: str | None
    right: str | None
    on_its_way: bool = False
    """Its counterpart is being made."""

    def on(self, side: Way) -> str | None:
        """Return the id on a side."""
        return self.left if side == "left" else self.right


class Meeting(NamedTuple):
    """The answer to: which record of the other side is this?"""

    kind: Literal["matched", "new", "held", "waits"]
    """waits: a counterpart of another record with the same key is being made; after that more is known."""
    other: int = 0
    """The number of the one that it is the same thing as."""
    why: str = ""
    candidates: tuple[str, ...] = ()
    """Ids on the other side that it may be the same thing as."""


def meet(number: int, side: Way, key: str | None, same_key: Sequence[Known], *, declared: bool) -> Meeting:
    """Decide who is the counterpart of a record of `side`; `same_key` are all that have its match key on either side, itself included.

    Where no match fields are `declared`, nothing can have a counterpart yet.
    """
    if not declared:
        return Meeting("new")
    if key is None:
        return Meeting("held", why="it has no match key: no one can tell whether the other side has it already")
    there: Way = "right" if side == "left" else "left"
    others = [known for known in same_key if known.number != number]
    free = [known for known in others if known.on(side) is None and not known.on_its_way]
    candidates = tuple(id for known in others if (id := known.on(there)) is not None)
    if any(known.on_its_way for known in others):
        return Meeting("waits")
    twin = next((known for known in others if known.on(side) is not None), None)
    if twin is not None:
        linked = twin.on(there)
        words = f", which is linked to {linked}," if linked is not None else ""
        return Meeting("held", why=f"{side} record {twin.on(side)}{words} has the same match key", candidates=candidates)
    if len(free) == 1:
        return Meeting("matched", free[0].number, candidates=candidates)
    if not free:
        return Meeting("new")
    return Meeting(
        "held", why=f"{len(free)} records of the other side have the same match key: {', '.join(candidates)}", candidates=candidates
    )
