"""What lost a conflict, given back: the value is written to the side that had said it, and what the mapping makes of it to the other.

Both systems are read first, and what has changed there is decided, so that nothing is overwritten that no one has seen. What is replaced
stays in the record's history, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tieline.engine.core.ledger import Ledger
from tieline.engine.core.two_sides import TwoWayIntegration
from tieline.engine.decide.decided import Decided
from tieline.engine.decide.updating import CannotWrite, update_of
from tieline.engine.lookup.references import Lookups
from tieline.engine.review import conflicts
from tieline.engine.review.conflicts import DecidedConflict
from tieline.engine.runs.passes import Restoring
from tieline.model.errors import Refused
from tieline.model.paths import put
from tieline.model.records import ABSENT, Record, Values, encode_json
from tieline.store import outbox, pairs, staged
from tieline.store.delivery import Delivery
from tieline.store.pairs import OTHER, SIDES, Pair, Side
from tieline.sync.decide import same
from tieline.sync.reconcile import Strand
from tieline.sync.rewriting import is_rewriting


class Restorer:
    """Gives back, within a run."""

    def __init__(self, job: TwoWayIntegration, ledgers: Mapping[Side, Ledger], send: Any, wanted: Restoring) -> None:
        """`send` is given what is durable, by the side whose changes they are. Raises `Refused` when one can't be given back."""
        self._job, self._ledgers, self._send, self._reason = job, ledgers, send, wanted.reason
        self._db, self._integration = ledgers["left"].db, ledgers["left"].integration
        self._conflicts = [conflicts.get_decided(self._db, event) for event in dict.fromkeys(wanted.events)]
        self._stood = {one.event: self._stands(one, self._pair(one)) for one in self._conflicts}
        """What both sides of each said before anything was read in this run: that much someone may have seen."""

    def records(self) -> list[tuple[Side, str]]:
        """Return the records that lost."""
        return [(one.side, one.record) for one in self._conflicts]

    async def restore(self) -> None:
        """Write all of it. Raises `Refused` before anything is written."""
        decided = Decided(self._ledgers)
        for one in self._conflicts:
            self._give_back(one, self._pair(one), decided)
        ready = await decided.commit(self._integration)
        for side in SIDES:
            await self._send(side, ready[side])

    def _pair(self, one: DecidedConflict) -> Pair:
        name = self._job.name
        pair = pairs.of(self._db, self._integration, one.side, [one.record]).get(one.record)
        if one.integration != name:
            raise Refused(f"event {one.event} is of {one.integration}, not of {name}", next_step="see `tieline conflicts list --decided`")
        if pair is None or not pair.linked or pair.left_shadow is None or pair.right_shadow is None:
            raise Refused(
                f"{self._job.halves[one.side].place} {one.record} has no counterpart any more: there are no two sides to give {one.field} back to",
                next_step="write it in the system itself: `tieline conflicts list --decided` shows what it was",
            )
        return pair

    def _strand(self, one: DecidedConflict) -> Strand:
        strand = next((strand for strand in self._job.terms.strands if strand.name == one.field), None)
        if strand is None:
            raise Refused(f"{self._job.name} has no rule for {one.field} any more", next_step="write it in the system itself")
        return strand

    def _stands(self, one: DecidedConflict, pair: Pair) -> dict[Side, Values]:
        """Return what both sides say where the conflict was."""
        strand = self._strand(one)
        says = {side: half.says(half.standing(pair)) for side, half in self._job.halves.items()}
        return {side: {a: says[side].get(a) for a in getattr(strand, side)} for side in SIDES}

    def _give_back(self, one: DecidedConflict, pair: Pair, decided: Decided) -> None:
        half, there = self._job.halves[one.side], self._job.halves[OTHER[one.side]]
        strand = self._strand(one)
        self._check_at_rest(one, pair)
        self._check_seen(one, pair)
        record, source = half.standing(pair), there.standing(pair)
        says, other = half.says(record), there.says(source)
        for address, value in one.lost.items():
            put(record, address, value)
        goes = strand.forward if one.side == "left" else strand.back
        links = Lookups(self._db, half.job).of([record])
        made = half.made(record, links, pair) if goes else {}
        writes: dict[Side, Values] = {
            half.side: {a: v for a, v in one.lost.items() if not same(v, says.get(a, ABSENT))},
            there.side: {
                a: made[a]
                for a in getattr(strand, there.side)
                if a in made and a not in half.job.only_create and not same(made[a], other.get(a, ABSENT))
            },
        }
        if not any(writes.values()):
            raise Refused(
                f"{half.place} {one.record} and its counterpart say that already, in `{one.field}`; nothing was given back",
                next_step=f"`tieline explain {half.place.replace('.', ' ')} {one.record}` tells what was written, and when",
            )
        for side, before, counterpart in ((half.side, says, source), (there.side, other, record)):
            if writes[side]:
                decided.send(OTHER[side], self._delivery(side, pair, writes[side], before, counterpart))
        decided.written.append((pair.left_id or "", strand.name))
        was = {side: {a: before[a] for a in writes[side] if a in before} for side, before in ((half.side, says), (there.side, other))}
        decided.note(
            one.side, one.record, conflicts.RESTORED, event=one.event, field=one.field, value=one.lost, reason=self._reason, was=was
        )

    def _delivery(self, side: Side, pair: Pair, write: Values, before: Values, source: Record) -> Delivery:
        """Return the update of a side's record; its record on the other side is the `source`."""
        try:
            return update_of(self._job.halves[OTHER[side]], pair, write, before, source)
        except CannotWrite as error:
            raise Refused(
                f"{self._job.halves[side].place} would not take it: {error}",
                next_step="write it in the system itself, as it is accepted there",
            ) from None

    def _check_seen(self, one: DecidedConflict, pair: Pair) -> None:
        for side, now in self._stands(one, pair).items():
            edited = [address for address, value in now.items() if not is_rewriting(self._stood[one.event][side][address], value)]
            if edited:
                said = ", ".join(f"`{address}` says {encode_json(now[address]).decode()}" for address in edited)
                raise Refused(
                    f"{self._job.halves[side].place} {pair.id_of(side)} was edited since the run before: {said} now; nothing was given back",
                    next_step=f"`tieline conflicts restore {one.event}` again, if that shall be overwritten",
                )

    def _check_at_rest(self, one: DecidedConflict, pair: Pair) -> None:
        for side in SIDES:
            id = pair.id_of(side) or ""
            place = f"{self._job.halves[side].place} {id}"
            open_ = outbox.open_by_record(self._db, self._ledgers[side].integration, [id]).get(id, [])
            if letter := next((each for each in open_ if each.state in ("held", "dead")), None):
                raise Refused(f"{place} has an open dead letter, {letter.id}; nothing was given back", next_step="resolve that one first")
            if open_ or staged.of(self._db, self._integration, side, [id]):
                raise Refused(
                    f"something of {place} is still owed or not decided; nothing was given back",
                    next_step=f"`tieline run {self._job.name}` first",
                )
