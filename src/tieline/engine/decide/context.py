"""A pair on its way through a portion, and the desk at which those who decide about pairs in one run sit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from tieline.engine.core.ledger import Ledger
from tieline.engine.core.two_sides import Half, TwoWayIntegration
from tieline.engine.lookup.references import Lookups
from tieline.model.records import Record, Values, decode_json
from tieline.store.delivery import Delivery
from tieline.store.pairs import SIDES, Pair, Side
from tieline.store.staged import Staged
from tieline.sync.reconcile import Strand

OWED: Final = ("owed", "unknown")


class Work:
    """A pair on its way through a portion, and what is staged of its sides."""

    __slots__ = ("opens", "pair", "records", "says", "staged")

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.staged: dict[Side, Staged] = {}
        self.records: dict[Side, Record] = {}
        """What each side has now, as the mapping sees it."""
        self.says: dict[Side, Values] = {}
        """The same by address."""
        self.opens: dict[Side, list[Delivery]] = {"left": [], "right": []}

    @property
    def fresh(self) -> bool:
        """Whether anything happened since it was last decided, or a person asks for it."""
        return any(one.kind != "held" for one in self.staged.values())

    def is_gone(self, side: Side) -> bool:
        """Whether the record of a side was deleted."""
        one = self.staged.get(side)
        return one.kind == "gone" if one is not None and one.kind in ("seen", "gone") else self.pair.shadow_of(side) is None

    def letters(self) -> list[Delivery]:
        """Return what is open of either side."""
        return [*self.opens["left"], *self.opens["right"]]

    def says_in(self, strands: Sequence[Strand], side: Side) -> Values:
        """Return what a side says in some strands."""
        says = self.says.get(side, {})
        return {a: says[a] for strand in strands for a in getattr(strand, side) if a in says}

    @property
    def ruling(self) -> Any:
        """What a person has said of it, if anything."""
        return next((letter.why["ruling"] for letter in self.letters() if letter.state == "held" and "ruling" in letter.why), None)


class Desk:
    """What those who decide share. `ledgers` are by the side whose changes they are about."""

    def __init__(self, job: TwoWayIntegration, ledgers: Mapping[Side, Ledger], overtaken: Mapping[int, Side] = {}) -> None:
        """`overtaken`: see `Decider`."""
        first = ledgers["left"]
        self._overtaken = dict(overtaken)
        self.job, self.ledgers = job, ledgers
        self.db, self.integration, self.run = first.db, first.integration, first.run
        self.lookups = {side: Lookups(first.db, job.halves[side].job) for side in SIDES}
        self.looked: AbstractSet[int] | None = None
        """Pairs, by their own ids, whose counterparts were read or looked for in this run; None when both sides were read."""
        self.left_waiting: set[int] = set()
        """Pairs, by their own ids, that stay staged, and are not looked at twice."""

    def half(self, side: Side) -> Half:
        """Return a side of the integration."""
        return self.job.halves[side]

    def is_looked_for(self, pair: Pair) -> bool:
        """Whether what is to be made for a pair can't be there already, as far as this run has seen."""
        return self.looked is None or pair.id in self.looked

    def put_off(self, work: Work) -> None:
        """Leave a pair alone until what is on its way is settled."""
        self.left_waiting.add(work.pair.id)
        for side, one in work.staged.items():
            if one.run == self.run and one.kind in ("seen", "gone"):
                self.ledgers[side].counts.read += 1
                self.ledgers[side].counts.owed += 1

    def is_on_its_way(self, letter: Delivery) -> bool:
        """Whether what becomes of it is not known yet, or it is sent as it was decided: this run's own, and what an undo has left owed."""
        if letter.state == "unknown" and letter.operation == "create":
            return True
        if letter.id in self._overtaken:
            return False
        return letter.state == "sending" or (letter.state in OWED and (letter.run == self.run or letter.undoes is not None))

    def settle_overtaken(self, superseded: Sequence[int]) -> None:
        """Count what was decided again: it is not owed any more, another took its place."""
        for id in superseded:
            if (side := self._overtaken.pop(id, None)) is not None:
                counts = self.ledgers[side].counts
                counts.owed, counts.superseded = counts.owed - 1, counts.superseded + 1

    def read_records(self, work: Work) -> None:
        """Find what each side says now, as the mapping sees it: what was read, else what is remembered and was written since."""
        for side in SIDES:
            if work.is_gone(side) or work.pair.id_of(side) is None:
                continue
            half, one = self.half(side), work.staged.get(side)
            record = decode_json(one.record) if one is not None and one.record is not None else half.standing(work.pair)
            work.records[side], work.says[side] = record, half.says(record)
