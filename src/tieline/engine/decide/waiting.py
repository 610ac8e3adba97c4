"""Pairs of a two-way integration that can't be decided: why, told once, while what is staged of them stays.

Every run looks at them again, so that a person's ruling, a corrected rule or the record that was waited for is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tieline.engine.decide.context import Desk, Work
from tieline.engine.decide.decided import Decided
from tieline.model.errors import MappingError
from tieline.model.records import Values, decode_json, encode_json
from tieline.store import outbox
from tieline.store.delivery import Delivery
from tieline.store.pairs import OTHER, SIDES, Side
from tieline.sync.reconcile import NEVER_SEEN, Decision, Outcome

NEXT: Final = {
    "conflict": "`tieline conflicts resolve NO --keep left` or `--keep right` says which holds",
    "bounce": "find out which system rewrites the field, and have the mapping write it as that one spells it; then resolve the conflict",
    "deleted": "`tieline conflicts resolve NO --keep left` or `--keep right`: the side that holds, deletion or edit",
    "unmatched": "`tieline unmatched link NO ID`, `create NO` or `ignore NO` says what it is; or correct the records",
}
REFUSED: Final = "refused by our check"
_PARKED_NEXT: Final = "correct the rule or the record: the next run tries it again by itself"
_SHOWN: Final = 60


class Waiting:
    """Sets pairs aside, in one run."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._job, self._ledgers = desk, desk.job, desk.ledgers

    def hold(
        self, work: Work, decision: Decision, held: Sequence[Outcome], letters: Sequence[Delivery], decided: Decided, sent: set[Side]
    ) -> None:
        """Let a person decide about strands, or about an edit against a deletion; `sent` are the sides of which a change goes all the same."""
        pair = work.pair
        side: Side = "left" if pair.left_id is not None and not work.is_gone("left") else "right"
        kind = "deleted" if decision.deletion == "held" else "bounce" if any(one.kind == "bounced" for one in held) else "conflict"
        strands = [strand for strand in self._job.terms.strands if any(one.strand == strand.name for one in held)]
        says = {each: work.says_in(strands, each) for each in SIDES}
        if kind == "deleted":
            gone: Side = "left" if work.is_gone("left") else "right"
            never_seen = (
                f"{pair.id_of(gone)} is not in {self._desk.half(gone).place}, and {NEVER_SEEN}: whether it was deleted can't be told"
            )
            message = (
                never_seen
                if held[0].why == NEVER_SEEN
                else f"{pair.id_of(gone)} was deleted in {self._desk.half(gone).place}, and its counterpart edited since: {_told(says[OTHER[gone]])}"
            )
        else:
            told = [one.why for one in held if one.kind == "bounced"]
            if apart := [one for one in held if one.kind == "held"]:
                names = {one.strand for one in apart}
                fields = ", ".join(f"`{one.strand}`" for one in apart)
                because = next((one.why for one in apart if one.why), "both sides have changed")
                of = {
                    each: {a: says[each][a] for strand in strands if strand.name in names for a in getattr(strand, each) if a in says[each]}
                    for each in SIDES
                }
                if not pair.met:
                    because = because.replace("both sides have changed", "they differ where they meet")
                sides = ", ".join(f"{self._desk.half(each).place} {_told(of[each])}" for each in SIDES)
                told.append(f"{fields}: {because}: {sides}")
            message = "; ".join(told)
        why = outbox.reason(
            kind, message, NEXT[kind], field=strands[0].name if strands else None, strands=[strand.name for strand in strands],
            left=says["left"], right=says["right"], left_id=pair.left_id, right_id=pair.right_id, side=side,
        )  # fmt: skip
        self._set_part_aside(work, side, "held", why, letters, decided, sent)
        if decision.deletion == "held":
            # The deletion stays known as such: nothing of the pair has been remembered.
            gone, id = OTHER[side], pair.id_of(side) or ""
            decided.taken[gone] = [one for one in decided.taken[gone] if one != pair.id_of(gone)]
            decided.taken[side].remove(id)
            decided.waits[side].remove(id)

    def park_strands(
        self, work: Work, side: Side, field: str, message: str, names: Sequence[str], letters: Sequence[Delivery], decided: Decided,
        sent: set[Side],
    ) -> None:  # fmt: skip
        """Park what a side can't bring to the other in some strands; every run tries it again, and the rest of the pair goes on."""
        strands = [strand for strand in self._job.terms.strands if strand.name in names]
        file, line = self._job.halves[side].job.where(field)
        why = outbox.reason(
            REFUSED, message, _PARKED_NEXT, field=field, rule=f"{file}:{line}" if line is not None else None, side=side,
            strands=list(names), left=work.says_in(strands, "left"), right=work.says_in(strands, "right"),
        )  # fmt: skip
        self._set_part_aside(work, side, "dead", why, letters, decided, sent)

    def _set_part_aside(
        self, work: Work, side: Side, state: str, why: bytes, letters: Sequence[Delivery], decided: Decided, sent: set[Side]
    ) -> None:
        """Let a part of a pair have a dead letter, of one of its sides, and be looked at again by the next run."""
        id = work.pair.id_of(side) or ""
        record = work.records.get(side)
        opens = [letter for letter in letters if letter in work.opens[side]]
        decided.superseded += [letter.id for letter in letters if letter not in opens]
        if side in sent:  # one record, one count: what is sent of it is counted when it has arrived
            counts = self._ledgers[side].counts
            counts.read -= 1
            if state == "held":
                counts.held -= 1
            else:
                counts.parked -= 1
        decided.set_aside(side, id, state, why, encode_json(record) if record is not None else None, opens)
        decided.taken[OTHER[side]] += [one.id for each, one in work.staged.items() if each != side]
        for each in work.staged:
            if each != side and each not in sent:
                self._ledgers[each].counts.read += 1
                self._ledgers[each].counts.unchanged += 1
        decided.taken[side].append(id)
        decided.waits[side].append(id)
        self._desk.left_waiting.add(work.pair.id)

    def mapping_failed(self, work: Work, side: Side, error: MappingError, decided: Decided) -> None:
        """Let a pair wait for the record that it refers to, or park it with what its mapping says."""
        if error.lookup is not None:
            integration, id = error.lookup
            name = integration.removesuffix("/back")
            why = outbox.reason(
                "waiting", f"`{error.target}` needs the counterpart of {id} in {name}, which has none yet",
                f"nothing, once {name} has a counterpart for {id}: the next run after that sends it by itself",
                field=error.target, lookup=[integration, id], side=side,
            )  # fmt: skip
            self.stays(work, decided, side, "held", why)
            return
        self.park(work, side, error.target, str(error), decided, kind="mapping", value=error.value)

    def park(self, work: Work, side: Side, field: str, message: str, decided: Decided, *, kind: str = REFUSED, value: Any = None) -> None:
        """Park a pair of which a side can't be written as the mapping would have it."""
        file, line = self._job.halves[side].job.where(field)
        why = outbox.reason(
            kind, message, _PARKED_NEXT, field=field, rule=f"{file}:{line}" if line is not None else None, value=value, side=side
        )
        self.stays(work, decided, side, "dead", why, verdict="parked")

    def stays(self, work: Work, decided: Decided, side: Side, state: str, why: bytes, *, verdict: str | None = None) -> None:
        """Leave a pair undecided: what is staged stays, and the reason is told once."""
        id = work.pair.id_of(side) or ""
        record = work.records.get(side)
        if record is None and (one := work.staged.get(side)) is not None and one.record is not None:
            record = decode_json(one.record)
        # A write that is owed, or was refused, is of a change that is not told any other way: it stays.
        opens = [letter for letter in work.letters() if letter.operation == "none" or not work.pair.linked]
        decided.set_aside(side, id, state, why, encode_json(record) if record is not None else None, opens)
        for each in work.staged:
            if each != side:
                self._ledgers[each].counts.read += 1
                self._ledgers[each].counts.unchanged += 1
        if side not in work.staged:
            decided.waits[side].append(id)
        if verdict is not None and not work.pair.linked and work.pair.verdict != "unknown":
            decided.pairs.append(msgspec.structs.replace(work.pair, verdict=verdict))
        elif work.pair.linked and not work.pair.met:
            decided.pairs.append(work.pair)  # which record is which is known all the same
        self._desk.left_waiting.add(work.pair.id)


def _told(values: Values) -> str:
    told = ", ".join(f"{address}={_short(value)}" for address, value in values.items())
    return f"says {told}" if told else "says nothing"


def _short(value: Any) -> str:
    text = encode_json(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
