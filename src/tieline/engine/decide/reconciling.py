"""What follows for a pair of a two-way integration: `sync.reconcile` decides, and here it is asked and carried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from tieline.engine.decide.brakes import Counted
from tieline.engine.decide.context import OWED, Desk, Work
from tieline.engine.decide.decided import Decided
from tieline.engine.decide.meetings import Meetings
from tieline.engine.decide.page import delivery_of
from tieline.engine.decide.updating import CannotWrite, update_of
from tieline.engine.decide.waiting import Waiting
from tieline.mapping import Links as FoundLinks
from tieline.model.errors import MappingError
from tieline.model.records import Values, decode_json, encode_json
from tieline.store import links, pairs
from tieline.store.delivery import Delivery
from tieline.store.pairs import OTHER, SIDES, Pair, Side
from tieline.sync import reconcile
from tieline.sync.decide import same
from tieline.sync.reconcile import Decision
from tieline.sync.rewriting import is_rewriting


class Reconciler:
    """Decides about pairs, in one run."""

    def __init__(self, desk: Desk, meetings: Meetings, waiting: Waiting, *, remake: bool, read_first: bool) -> None:
        """`remake`: see `Wanted`; `read_first`: see `Decider`."""
        self._desk, self._job, self._ledgers = desk, desk.job, desk.ledgers
        self._meetings, self._waiting = meetings, waiting
        self._read_first = read_first
        self._remake, terms = remake, desk.job.terms
        self._terms = msgspec.structs.replace(terms, left_gone="remake", right_gone="remake") if remake else terms
        self._any_differ = links.keeps_any(desk.db, desk.integration)
        self.braked = Counted({}, {}, {})
        self.stopped = Counted({}, {}, {})
        """What is more than the brakes allow, and is never carried out."""
        self.unread: dict[Side, list[str]] = {side: [] for side in SIDES}
        """Records that would be written, and of which it is not known which version of them is known: they are read first."""

    def decide(self, work: Work, found_links: Mapping[Side, FoundLinks], decided: Decided, *, braked_too: bool) -> None:
        """Decide about a pair whose records were read; without `braked_too`, deletions and clears are only counted."""
        pair = work.pair
        made: dict[Side, Values] = {"left": {}, "right": {}}
        for side in SIDES:
            if len(work.records) == 2:
                half = self._desk.half(side)
                try:
                    values = half.made(work.records[side], found_links[side], pair)
                except MappingError as error:
                    self._waiting.mapping_failed(work, side, error, decided)
                    return
                made[half.other] = {address: value for address, value in values.items() if address not in half.job.only_create}
        letters = work.letters()
        normal: dict[Side, Values] = {"left": {}, "right": {}}
        for side in SIDES:
            if any(value != work.says[side].get(address) for address, value in made[side].items()):
                normal[side] = self._job.normal(side, made[OTHER[side]], found_links[OTHER[side]])
        left, right = (self._side_of(work, side, made[side], normal[side], letters) for side in SIDES)
        rounds = decode_json(pair.rounds) if pair.rounds else {}
        rulings, terms = self._rulings(work, letters), self._terms
        if (deletion_ruled := rulings.pop("", None)) is not None:
            # Of an edit against a deletion: whoever says that the side holds which is gone wants the other gone too.
            terms = msgspec.structs.replace(terms, edited="delete" if work.is_gone(deletion_ruled) else "keep")
            if not work.is_gone(deletion_ruled) and (left.doubted or right.doubted):
                terms = msgspec.structs.replace(terms, **{f"{OTHER[deletion_ruled]}_gone": "remake"})
            left, right = (msgspec.structs.replace(one, doubted=False) for one in (left, right))
        parked = self._parked(work, letters)
        if parked:
            terms = msgspec.structs.replace(terms, strands=tuple(one for one in terms.strands if one.name not in parked))

        def decided_on(terms: reconcile.Terms) -> Decision:
            return reconcile.reconcile(
                left, right, terms, rounds, rulings, apart=self._let_differ(pair), mapped_anew=pair.met == pairs.MAPPED_OTHERWISE
            )

        decision = decided_on(terms)
        updates, refused = self._updates(work, decision)
        stuck: dict[Side, tuple[CannotWrite, list[str]]] = {}
        if len(refused) == 1:
            # What a field of one side can't become on the other keeps nothing else of the pair from being written.
            ((side, problem),) = refused.items()
            names = [strand.name for strand in terms.strands if not set(problem.fields).isdisjoint(getattr(strand, OTHER[side]))]
            rest = decided_on(msgspec.structs.replace(terms, strands=tuple(one for one in terms.strands if one.name not in names)))
            updates, refused_too = self._updates(work, rest)
            if names and not refused_too and not any(one.kind in ("held", "bounced") for one in rest.outcomes):
                decision, refused, stuck = rest, {}, {side: (problem, names)}
                parked |= {*names}
        if parked:
            decision = msgspec.structs.replace(decision, rounds={**rounds, **decision.rounds})
        if self._read_first and self._is_to_be_read(work, decision):
            if not pair.met:
                decided.pairs.append(pair)  # which record is which is known all the same
            self._desk.left_waiting.add(pair.id)
            return
        if self._brakes(decision, holds_all=not braked_too):
            self._desk.left_waiting.discard(pair.id)
            return
        for side, problem in refused.items():
            self._waiting.park(work, side, problem.fields[0], str(problem), decided, value=made[OTHER[side]].get(problem.fields[0]))
            return
        self._carry_out(work, decision, updates, stuck, letters, found_links, decided)

    def _let_differ(self, pair: Pair) -> AbstractSet[str]:
        """Return the strands in which both sides were let differ, by policy or by a person."""
        return links.kept(self._desk.db, self._desk.integration, pair.left_id or "").keys() if self._any_differ else frozenset()

    def _is_to_be_read(self, work: Work, decision: Decision) -> bool:
        """Whether a write would go without its condition, because the version of a record is not known. One just read has none to tell."""
        writes: dict[Side, bool] = {"left": bool(decision.write_left), "right": bool(decision.write_right)}
        for side in SIDES:
            if decision.deletion in (f"delete_{side}", f"archive_{side}"):
                writes[side] = True
        unread = [
            side
            for side in SIDES
            if writes[side]
            and self._job.halves[side].version is not None
            and not self._is_read(work, side)
            and work.pair.version_of(side) is None
        ]
        for side in unread:
            self.unread[side].append(work.pair.id_of(side) or "")
        return bool(unread)

    def _is_read(self, work: Work, side: Side) -> bool:
        one = work.staged.get(side)
        return one is not None and one.kind == "seen" and side in work.records

    def _version(self, work: Work, side: Side, operation: str) -> str | None:
        """Return the version that a record must still have to be written; None where its system knows no such condition."""
        half = self._job.halves[side]
        if operation not in half.features.conditional:
            return None
        return half.version_of(work.records[side]) if self._is_read(work, side) else work.pair.version_of(side)

    def _side_of(self, work: Work, side: Side, made: Values, normal: Values, letters: Sequence[Delivery]) -> reconcile.Side:
        pair, half, one = work.pair, self._desk.half(side), work.staged.get(side)
        seen = one is not None and one.kind == "seen" and side in work.records
        sent: Values = {**decode_json(pair.sent_of(side) or b"{}"), **self._arrived(work, side)}
        now: Values | None
        if work.is_gone(side):
            now = None
        elif seen:
            now = work.says[side]
        else:
            now = {} if pair.met else half.remembered(pair)
        shadow = half.remembered(pair) if pair.met else None
        if shadow is None and now is None and not sent and not work.is_gone(OTHER[side]):
            shadow = {}  # it was deleted before both have met: that is a deletion, not a side that was never there
        return reconcile.Side(
            now=now,
            shadow=shadow,
            made=made,
            normal=normal,
            sent=sent,
            unsettled=self._unsettled(work, side, letters),
            at=half.at(work.records[side]) if seen else pair.at_of(side),
            doubted=pair.unseen_of(side) is not None and work.is_gone(side),
        )

    def _parked(self, work: Work, letters: Sequence[Delivery]) -> set[str]:
        """Return the strands that a system has refused: where nothing new was said since, they are not tried again before someone asks for it."""
        if work.fresh:
            return set()
        own = {letter.id: side for side in SIDES for letter in work.opens[side]}
        return {
            strand.name
            for letter in letters
            if letter.state == "dead" and letter.operation == "update"
            for strand in self._job.terms.strands
            # What only went along with the whole record was not refused; a conflict about it may be held.
            if not _news(letter).keys().isdisjoint(getattr(strand, OTHER[own[letter.id]]))
        }

    def _unsettled(self, work: Work, side: Side, letters: Sequence[Delivery]) -> frozenset[str]:
        """Return the strands in which a change of a side was decided before, and has not arrived: owed or refused there, or held."""
        found: set[str] = set()
        own = {letter.id for letter in work.opens[side]}
        for letter in letters:
            if letter.operation == "none" and (letter.state == "held" or letter.id in own):
                found.update(letter.why.get("strands", ()))
            elif letter.operation == "update" and letter.id in own and (letter.state in OWED or (letter.state == "dead" and work.fresh)):
                written = _news(letter).keys() - self._arrived(work, OTHER[side]).keys()
                there = "right" if side == "left" else "left"
                found.update(strand.name for strand in self._job.terms.strands if not written.isdisjoint(getattr(strand, there)))
        return frozenset(found)

    def _arrived(self, work: Work, side: Side) -> Values:
        """Return what was written to a side without an answer, and stands there now."""
        letters = [letter for letter in work.opens[OTHER[side]] if letter.state in OWED and letter.operation == "update"]
        one = work.staged.get(side)
        if not letters or one is None or one.kind != "seen" or side not in work.records:
            return {}
        now = work.says[side]
        written = {address: value for letter in letters for address, value in _news(letter).items()}
        return {address: value for address, value in written.items() if address in now and is_rewriting(value, now[address])}

    def _rulings(self, work: Work, letters: Sequence[Delivery]) -> dict[str, Side]:
        """Return what a person has said of strands, as long as both sides still say what they said then."""
        found: dict[str, Side] = {}
        for letter in letters:
            ruling = letter.why.get("ruling")
            if ruling in SIDES and self._says_the_same(work, letter.why):
                found.update(dict.fromkeys(letter.why["strands"] if letter.why["kind"] != "deleted" else ("",), ruling))
        return found

    def _says_the_same(self, work: Work, why: Mapping[str, Any]) -> bool:
        """Return whether both sides still say what they said when someone was asked."""
        strands = [strand for strand in self._job.terms.strands if strand.name in why["strands"]]
        return all(same(work.says_in(strands, side), why[side]) for side in SIDES)

    def _brakes(self, decision: Decision, *, holds_all: bool) -> bool:
        """Count what the brakes are about; return whether it is held: with `holds_all` whatever it is, otherwise what is stopped."""
        deletions, clears, remakes = self.braked
        for side in SIDES:
            if decision.deletion in (f"delete_{side}", f"archive_{side}"):
                deletions[side] = deletions.get(side, 0) + 1
                return holds_all or side in self.stopped.deletions
            if self._remake and decision.deletion == f"remake_{side}":
                remakes[side] = remakes.get(side, 0) + 1
                return holds_all or side in self.stopped.remakes
        cleared = [("left", address) for address in decision.clears_left] + [("right", address) for address in decision.clears_right]
        for side_, address in cleared:
            key: tuple[Side, str] = ("left" if side_ == "left" else "right", address)
            clears[key] = clears.get(key, 0) + 1
        return bool(cleared) and (holds_all or any(key in self.stopped.clears for key in cleared))

    def _carry_out(
        self,
        work: Work,
        decision: Decision,
        updates: Mapping[Side, Delivery],
        stuck: Mapping[Side, tuple[CannotWrite, list[str]]],
        letters: Sequence[Delivery],
        found_links: Mapping[Side, FoundLinks],
        decided: Decided,
    ) -> None:
        """Carry a decision out; `stuck` are strands that one side can't bring to the other, and why."""
        pair = self._remembered(work, decision)
        held = [one for one in decision.outcomes if one.kind in ("held", "bounced")]
        sent: set[Side] = set()
        if decision.deletion:
            pair_kept = self._carry_out_deletion(work, decision, pair, decided, sent)
        else:
            pair_kept = pair
            for side, delivery in updates.items():
                decided.send(side, delivery, work.opens[side])
            sent.update(updates)
        if pair_kept is not None:
            decided.pairs.append(pair_kept)
        self._tell(work, decision, letters, decided)
        considered = [letter for letter in letters if work.fresh or letter.operation == "none"]
        if held:
            self._waiting.hold(work, decision, held, considered, decided, sent)
            return
        for side, (problem, names) in stuck.items():
            self._waiting.park_strands(work, side, problem.fields[0], str(problem), names, considered, decided, sent)
            return
        decided.superseded += [letter.id for letter in considered]
        stays = {"remake_left": "right", "remake_right": "left"}.get(decision.deletion) if pair_kept is not None else None
        if stays is not None:
            self._desk.left_waiting.add(pair.id)
        for side in SIDES:
            if side in work.records and self._desk.half(side).lacks_links(work.records[side], found_links[side]):
                decided.waits[side].append(pair.id_of(side) or "")
                self._desk.left_waiting.add(pair.id)
            if side == stays and side not in work.staged:
                decided.waits[side].append(pair.id_of(side) or "")
            if side in work.staged:
                if side != stays:
                    decided.taken[side].append(work.staged[side].id)
                if side not in sent:
                    self._ledgers[side].counts.read += 1
                    self._ledgers[side].counts.unchanged += 1

    def _remembered(self, work: Work, decision: Decision) -> Pair:
        pair = work.pair
        told: dict[str, Any] = {}
        for side, shadow, sent in (
            ("left", decision.left_shadow, decision.left_sent),
            ("right", decision.right_shadow, decision.right_sent),
        ):
            half = self._job.halves[side]  # type: ignore[index]  # it is a side
            one = work.staged.get(half.side)
            told[f"{side}_sent"] = encode_json(sent) if sent else None
            if work.is_gone(half.side):
                told[f"{side}_shadow"] = told[f"{side}_sent"] = None
            elif one is not None and one.kind == "seen":
                record = work.records[half.side]
                projected = half.project(record)
                # As the next read would tell it, so that what is unchanged is the same bytes; and what it does not show, as it was.
                unshown = {} if half.mapping.reads_all else {a: v for a, v in (shadow or {}).items() if a not in projected}
                told[f"{side}_shadow"] = encode_json({**projected, **unshown})
                told[f"{side}_at"], told[f"{side}_key"] = half.at(record), half.key(record)
                told[f"{side}_version"] = half.version_of(record)
        return msgspec.structs.replace(
            pair, met=1, verdict="linked", rounds=encode_json(decision.rounds) if decision.rounds else None, **told
        )

    def _updates(self, work: Work, decision: Decision) -> tuple[dict[Side, Delivery], dict[Side, CannotWrite]]:
        """Return the writes that are decided, by the side whose changes they are, and why one can't be made."""
        writes: dict[Side, Values] = {"left": decision.write_right, "right": decision.write_left}
        found: dict[Side, Delivery] = {}
        refused: dict[Side, CannotWrite] = {}
        for side, write in writes.items():
            if not write:
                continue
            try:
                found[side] = update_of(self._desk.half(side), work.pair, write, work.says[OTHER[side]], work.records[side])
            except CannotWrite as error:
                refused[side] = error
            else:
                found[side].version = self._version(work, OTHER[side], "update")
        return found, refused

    def _carry_out_deletion(self, work: Work, decision: Decision, pair: Pair, decided: Decided, sent: set[Side]) -> Pair | None:
        """Queue what a deletion leads to; return the pair as it is then, None when there is none any more."""
        what = decision.deletion
        gone: Side = "left" if work.is_gone("left") else "right"
        rest = OTHER[gone]
        gone_id, rest_id = pair.id_of(gone) or "", pair.id_of(rest)
        if what == "both_gone":
            decided.removed.append(pair.id)
            decided.note(gone, gone_id, "deleted on both sides")
            return None
        if what == "held":
            # It is decided again from what each side said when both last agreed.
            return work.pair
        if what in ("delete_left", "delete_right", "archive_left", "archive_right"):
            values = self._job.archives[rest] if what.startswith("archive") else {}
            there = self._desk.half(rest)
            before = {**there.says(there.standing(work.pair)), **work.says[rest]}  # someone may have edited it since
            if values:
                values = self._desk.half(gone).job.with_rest(values, before)
            delivery = delivery_of(gone_id, "update" if values else "delete", rest_id, values, before, values)
            if not values:
                delivery.before = encode_json(before)
            delivery.shadowed = delivery.takes_away = True
            delivery.version = self._version(work, rest, delivery.operation)
            decided.send(gone, delivery, work.opens[gone])
            sent.add(gone)
            return msgspec.structs.replace(pair, verdict="gone")
        alone = pairs.without(pair, gone)
        if what == "unlink":
            decided.note(rest, rest_id or "", "its counterpart was deleted: it stands for itself now", was=gone_id)
            return alone
        if what in ("remake_left", "remake_right"):
            decided.note(rest, rest_id or "", "edited since its counterpart was deleted: it is made again", was=gone_id)
            if not self._desk.is_looked_for(pair) or not self._meetings.is_new(alone, rest):
                # Someone may have made it again already: it meets the others like any record without a counterpart, in the next run.
                return msgspec.structs.replace(alone, verdict="new")
            one = Work(alone)
            one.staged, one.opens = {rest: work.staged[rest]} if rest in work.staged else {}, work.opens
            self._meetings.make([one], rest, decided)
            sent.add(rest)
            return None
        return msgspec.structs.replace(pair, verdict="gone")

    def _tell(self, work: Work, decision: Decision, letters: Sequence[Delivery], decided: Decided) -> None:
        """Note what someone may want back: what was overwritten although someone had just written it."""
        decided.let_differ += [(work.pair.left_id or "", one.strand) for one in decision.outcomes if one.why == reconcile.APART]
        decided.written += [(work.pair.left_id or "", one.strand) for one in decision.outcomes if one.kind in ("to_left", "to_right")]
        for outcome in decision.outcomes:
            if outcome.lost is None:
                continue
            loser: Side = "right" if outcome.kind == "to_right" else "left"
            id = work.pair.id_of(loser) or work.pair.id_of(OTHER[loser]) or ""
            # A person's reason stays with it; without one, the policy decided.
            said = (letter.why for letter in letters if outcome.strand in letter.why.get("strands", ()))
            by = next((why.get("ruled") for why in said if why.get("ruling") == OTHER[loser]), None)
            decided.note(
                loser, id, "conflict decided", field=outcome.strand, kept=OTHER[loser], lost=outcome.lost, why=outcome.why or None, by=by
            )


def _news(letter: Delivery) -> Values:
    """Return what a write changes, without what stood there already and is sent along with the whole record."""
    before: Values = decode_json(letter.before) if letter.before else {}
    return {address: value for address, value in letter.fields.items() if not (address in before and same(before[address], value))}
