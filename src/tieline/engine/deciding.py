"""Pairs of a two-way integration, decided: what is staged of either side becomes writes to the other, or waits for somebody.

First which record is which (`sync.identity`), then what follows for a pair (`sync.reconcile`); both are pure. What a portion of pairs leads
to is one commit (`engine.decided`), and only then it is sent.

A pair of which something is on its way is left alone until that is settled. What is owed from earlier runs is decided anew: it was decided
before what both sides say now, and is not written over an edit that nobody has read. What can't be decided stays staged: a later run, or a
person's ruling, finds it there. Deletions and clears are decided last, under the brakes.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from tieline.engine.decided import Decided
from tieline.engine.deletions import Guard
from tieline.engine.ledger import Ledger
from tieline.engine.lookups import Lookups
from tieline.engine.page import delivery_of
from tieline.engine.two_sides import Half, TwoWayIntegration
from tieline.mapping import Links as FoundLinks
from tieline.model.errors import MappingError
from tieline.model.records import Record, Values, decode_json, encode_json
from tieline.store import outbox, pairs, staged
from tieline.store.outbox import Delivery
from tieline.store.pairs import OTHER, SIDES, Pair, Side
from tieline.store.staged import Staged
from tieline.sync import reconcile
from tieline.sync.decide import same
from tieline.sync.identity import Known, Meeting, meet
from tieline.sync.reconcile import Decision, Outcome, Strand
from tieline.sync.rewriting import is_rewriting

Send = Callable[[Side, Sequence[Delivery]], Any]
_OWED: Final = ("owed", "unknown")
_NEXT: Final = {
    "conflict": "`tieline conflicts resolve NO --keep left` or `--keep right` says which holds",
    "bounce": "find out which system rewrites the field, and have the mapping write it as that one spells it; then resolve the conflict",
    "deleted": "`tieline conflicts resolve NO --keep left` or `--keep right`: the side that holds, deletion or edit",
    "unmatched": "`tieline unmatched link NO ID`, `create NO` or `ignore NO` says what it is; or mend the records",
}
_PARKED_NEXT: Final = "mend the rule or the record: the next run tries it again by itself"
_SHOWN: Final = 60
_MOST_CANDIDATES: Final = 5


class _Work:
    """A pair on its way through a portion, and what is staged of its sides."""

    __slots__ = ("opens", "pair", "records", "staged")

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.staged: dict[Side, Staged] = {}
        self.records: dict[Side, Record] = {}
        self.opens: dict[Side, list[Delivery]] = {"left": [], "right": []}

    @property
    def fresh(self) -> bool:
        """Whether anything happened since it was last decided, or a person asks for it."""
        return any(one.kind != "held" for one in self.staged.values())

    def is_gone(self, side: Side) -> bool:
        one = self.staged.get(side)
        return one.kind == "gone" if one is not None and one.kind in ("seen", "gone") else self.pair.shadow_of(side) is None

    def letters(self) -> list[Delivery]:
        return [*self.opens["left"], *self.opens["right"]]


class Braked(NamedTuple):
    """What the brakes kept from being decided."""

    deletions: dict[Side, int]
    """By the side on which records would be deleted."""
    clears: dict[tuple[Side, str], int]
    """By side and field: in how many records it would be emptied."""

    def __bool__(self) -> bool:
        return bool(self.deletions or self.clears)


class Decider:
    """Decides what is staged, in one run."""

    def __init__(
        self, job: TwoWayIntegration, ledgers: Mapping[Side, Ledger], send: Send, guard: Guard | None, check_stopped: Callable[[], None]
    ) -> None:
        """`ledgers` are by the side whose changes they are about; `send` is given what is durable, by that side.

        `guard` looks at each delivery before its commit; it raises `SafetyStop` to refuse it. `check_stopped` raises when the run shall end.
        """
        self._job, self._ledgers, self._send, self._guard, self._check_stopped = job, ledgers, send, guard, check_stopped
        first = ledgers["left"]
        self._db, self._integration, self._run = first.db, first.integration, first.run
        self._lookups = {side: Lookups(first.db, job.halves[side].job) for side in SIDES}
        self._left_waiting: set[int] = set()
        """Pairs that stay staged, and are not looked at twice."""
        self.braked = Braked({}, {})
        self.put_off = 0
        """How many records of this run wait for something of theirs that is owed."""

    async def take_up(self) -> None:
        """Have decided anew, with what both sides say now, what is owed from earlier runs; not what may have made a record, that is looked for."""
        for side in SIDES:
            ledger, after = self._ledgers[side], 0
            while chunk := outbox.open_of(self._db, ledger.integration, _OWED, after=after):
                after = chunk[-1].id
                mine = [one for one in chunk if one.operation != "none" and not self._is_on_its_way(one)]
                await ledger.commit(functools.partial(self._stage_again, side=side, deliveries=mine))

    def _stage_again(self, connection: sqlite3.Connection, side: Side, deliveries: Sequence[Delivery]) -> None:
        rows: list[tuple[str, staged.Kind, bytes | None]] = [(one.source_id, "again", None) for one in deliveries]
        staged.put(connection, self._integration, side, self._run, self._ledgers[side].clock.now(), rows)
        pairs.reopen(connection, self._integration, side, [one.source_id for one in deliveries if one.operation == "create"])

    async def decide(self, *, braked_too: bool) -> None:
        """Decide all that is staged; with `braked_too`, also deletions and clears, which are only counted otherwise."""
        self.braked, self.put_off = Braked({}, {}), 0
        after = ("", "")
        while portion := staged.portion(self._db, self._integration, after=after):
            after = portion[-1].side, portion[-1].id
            decided = Decided(self._ledgers)
            await self._portion(portion, decided, braked_too=braked_too)
            if self._guard is not None:
                for delivery in decided.all_deliveries():
                    self._guard(delivery)
            ready = await decided.commit(self._integration)
            for side in SIDES:  # both, whatever happens: what is durable as on its way must be
                await self._send(side, ready[side])
            self._check_stopped()

    # -- a portion

    async def _portion(self, portion: Sequence[Staged], decided: Decided, *, braked_too: bool) -> None:
        work = self._gather(portion)
        linked: list[_Work] = []
        alone: list[_Work] = []
        for one in work:
            if any(self._is_on_its_way(letter) for letter in one.letters()):
                self._put_off(one)
            elif one.pair.linked:
                if self._is_read(one):
                    linked.append(one)
                else:
                    self._put_off(one)
            else:
                alone.append(one)
        linked += self._meet(alone, decided)
        for one in linked:
            self._read_records(one)
        links = {side: self._lookups[side].of(one.records[side] for one in linked if side in one.records) for side in SIDES}
        for one in linked:
            self._decide_pair(one, links, decided, braked_too=braked_too)

    def _is_on_its_way(self, letter: Delivery) -> bool:
        """Whether what becomes of it is not known yet, or it is this run's own to send."""
        if letter.state == "unknown" and letter.operation == "create":
            return True
        return letter.state == "sending" or (letter.state in _OWED and letter.run == self._run)

    def _is_read(self, work: _Work) -> bool:
        """Whether it is known what both records say, or what was written to them; or that they are gone."""
        pair = work.pair
        return bool(pair.met) or all(side in work.staged or pair.is_read(side) for side in SIDES)

    def _gather(self, portion: Iterable[Staged]) -> list[_Work]:
        """Return the pairs that a portion is about, with everything that is staged or open of them."""
        db, integration = self._db, self._integration
        by_side: dict[Side, dict[str, Staged]] = {side: {} for side in SIDES}
        for one in portion:
            by_side[one.side][one.id] = one
        found: dict[int, _Work] = {}
        for side in SIDES:
            for pair in pairs.of(db, integration, side, list(by_side[side])).values() if by_side[side] else ():
                if pair.id not in self._left_waiting:
                    found.setdefault(pair.id, _Work(pair))
        for side in SIDES:
            ids = {id: work for work in found.values() if (id := work.pair.id_of(side)) is not None}
            if not ids:
                continue
            there = {**staged.of(db, integration, side, [id for id in ids if id not in by_side[side]]), **by_side[side]}
            opens = outbox.open_by_record(db, self._ledgers[side].integration, list(ids))
            for id, work in ids.items():
                if id in there:
                    work.staged[side] = there[id]
                work.opens[side] = opens.get(id, [])
        return list(found.values())

    def _put_off(self, work: _Work) -> None:
        self._left_waiting.add(work.pair.id)
        for side, one in work.staged.items():
            if one.run == self._run and one.kind in ("seen", "gone"):
                self.put_off += 1
                self._ledgers[side].counts.read += 1
                self._ledgers[side].counts.owed += 1

    def _read_records(self, work: _Work) -> None:
        """Find what each side says now, as the mapping sees it: what was read, else what is remembered and was written since."""
        pair = work.pair
        for side in SIDES:
            one, shadow = work.staged.get(side), pair.shadow_of(side)
            if work.is_gone(side) or pair.id_of(side) is None:
                continue
            if one is not None and one.record is not None:
                work.records[side] = decode_json(one.record)
            else:
                sent = pair.sent_of(side)
                says = shadow or b"{}"
                work.records[side] = self._half(side).record_of(encode_json(decode_json(says) | decode_json(sent)) if sent else says)

    def _half(self, side: Side) -> Half:
        return self._job.halves[side]

    # -- which record is which

    def _meet(self, alone: Sequence[_Work], decided: Decided) -> list[_Work]:
        """Decide about records without a counterpart; return those that have found one."""
        matched: list[_Work] = []
        waiting: list[_Work] = []
        gone: set[int] = set()
        """Records that nobody can meet any more."""
        for one in alone:
            side = one.pair.alone
            if one.is_gone(side):
                self._forget(one, side, decided)
                gone.add(one.pair.id)
            else:
                waiting.append(one)
        if not waiting:
            return matched
        keys = {key for one in waiting if (key := one.pair.key_of(one.pair.alone)) is not None}
        with_key = pairs.with_keys(self._db, self._integration, list(keys)) if keys else {}
        gone |= self._known_to_be_gone([pair for some in with_key.values() for pair in some if not pair.linked])
        here = {one.pair.id: one for one in waiting}
        fresh: list[tuple[_Work, Side]] = []
        for one in waiting:
            if one.pair.id in gone:
                continue
            side = one.pair.alone
            key = one.pair.key_of(side)
            same_key = {pair.id: pair for pair in with_key.get(key or "", ()) if pair.id not in gone}
            if one.pair.verdict == "alone":  # two that stand for themselves do so because somebody said so
                same_key = {id: pair for id, pair in same_key.items() if pair.verdict != "alone" or id == one.pair.id}
            known = [self._known(pair) for pair in same_key.values()]
            meeting = meet(one.pair.id, side, key, known, declared=bool(self._job.spec.match))
            if meeting.kind == "waits":
                self._put_off(one)
            elif meeting.kind == "matched":
                other = same_key[meeting.other]
                gone |= {one.pair.id, other.id}
                matched.append(self._join(one, here.get(other.id), other, decided))
            elif meeting.kind == "held":
                self._hold_unmatched(one, side, meeting, decided)
            else:
                fresh.append((one, side))
        self._without_counterpart(fresh, decided)
        return matched

    def _known_to_be_gone(self, alone: Sequence[Pair]) -> set[int]:
        """Return the pairs, by their own ids, whose only record was deleted, which is still to be decided."""
        found: set[int] = set()
        for side in SIDES:
            by_id = {id: pair.id for pair in alone if (id := pair.id_of(side)) is not None}
            there = staged.of(self._db, self._integration, side, list(by_id)) if by_id else {}
            found.update(by_id[id] for id, one in there.items() if one.kind == "gone")
        return found

    def _known(self, pair: Pair) -> Known:
        """Return a pair as others meet it: a record that is gone is nobody's counterpart, unless something is to follow from that yet."""
        if pair.verdict != "gone":
            return Known(pair.id, pair.left_id, pair.right_id, pair.verdict == "queued")
        opens = self._opens_of(pair)
        if any(letter.state in ("held", "dead") for letter in opens):
            return Known(pair.id, pair.left_id, pair.right_id)
        there = {side: pair.id_of(side) if pair.shadow_of(side) is not None else None for side in SIDES}
        return Known(pair.id, there["left"], there["right"], bool(opens))

    def _is_new(self, pair: Pair, side: Side) -> bool:
        """Whether nothing that is known can be the counterpart of a record that is to be made anew."""
        key = pair.key_of(side)
        same_key = pairs.with_keys(self._db, self._integration, [key]).get(key, []) if key is not None else []
        known = [self._known(one) for one in same_key if one.id != pair.id]
        return meet(pair.id, side, key, known, declared=bool(self._job.spec.match)).kind == "new"

    def _opens_of(self, pair: Pair) -> list[Delivery]:
        found: list[Delivery] = []
        for side in SIDES:
            id = pair.id_of(side) or ""
            found += outbox.open_by_record(self._db, self._ledgers[side].integration, [id]).get(id, [])
        return found

    def _join(self, one: _Work, work: _Work | None, other: Pair, decided: Decided) -> _Work:
        """Make one pair of two that have one side each."""
        if other.linked:
            other = pairs.without(other, one.pair.alone)  # it was deleted there, and somebody has made it anew
        left, right = (one.pair, other) if one.pair.alone == "left" else (other, one.pair)
        joined = _Work(
            msgspec.structs.replace(
                left, verdict="linked", met=0, right_id=right.right_id, right_key=right.right_key, right_shadow=right.right_shadow,
                right_at=right.right_at, right_sent=None, left_sent=None, rounds=None,
            )
        )  # fmt: skip
        decided.removed.append(right.id)
        for side in SIDES:
            id = joined.pair.id_of(side) or ""
            for found in (one.staged, work.staged if work is not None else {}):
                if side in found:
                    joined.staged[side] = found[side]
            if side not in joined.staged and (found_staged := staged.of(self._db, self._integration, side, [id])):
                joined.staged[side] = found_staged[id]
            joined.opens[side] = outbox.open_by_record(self._db, self._ledgers[side].integration, [id]).get(id, [])
        self._ledgers["left"].counts.matched += 1
        decided.note("left", joined.pair.left_id or "", "matched", target_id=joined.pair.right_id, by=dict(self._job.spec.match))
        decided.note("right", joined.pair.right_id or "", "matched", target_id=joined.pair.left_id, by=dict(self._job.spec.match))
        return joined

    def _forget(self, one: _Work, side: Side, decided: Decided) -> None:
        """A record that has no counterpart is gone: nothing is left of it."""
        id, counts = one.pair.id_of(side) or "", self._ledgers[side].counts
        if one.pair.verdict == "unknown":
            self._left_waiting.add(one.pair.id)  # whether it was made on the other side is still not known: that letter stays open
            return
        counts.read += 1
        counts.filtered += 1
        decided.removed.append(one.pair.id)
        decided.taken[side].append(id)
        decided.superseded += [letter.id for letter in one.opens[side]]
        decided.note(side, id, "deleted before it had a counterpart")

    def _hold_unmatched(self, one: _Work, side: Side, meeting: Meeting, decided: Decided) -> None:
        if _ruling(one) in ("create", "ignore") or one.pair.verdict == "alone":
            self._without_counterpart([(one, side)], decided)
            return
        candidates = [*meeting.candidates[:_MOST_CANDIDATES]] or None
        why = outbox.reason("unmatched", meeting.why, _NEXT["unmatched"], side=side, candidates=candidates, ambiguous=True)
        self._stays(one, decided, side, "held", why, verdict="held")

    def _without_counterpart(self, fresh: Sequence[tuple[_Work, Side]], decided: Decided) -> None:
        """Decide about records that only one side has."""
        makes: dict[Side, list[_Work]] = {side: [] for side in SIDES}
        for one, side in fresh:
            policy, ruling = (self._job.unmatched.left if side == "left" else self._job.unmatched.right), _ruling(one)
            id, counts = one.pair.id_of(side) or "", self._ledgers[side].counts
            if ruling == "create":
                makes[side].append(one)
            elif one.pair.verdict in ("alone", "unknown") or ruling == "ignore" or policy == "ignore":
                counts.read += 1
                counts.filtered += 1
                decided.taken[side].append(id)
                verdict = one.pair.verdict if one.pair.verdict in ("alone", "unknown") else "alone" if ruling == "ignore" else "ignored"
                if verdict != "unknown":
                    decided.superseded += [letter.id for letter in one.opens[side]]
                decided.pairs.append(self._as_seen(one, side, verdict))
            elif policy == "create":
                makes[side].append(one)
            else:
                other = self._half(OTHER[side]).place
                why = outbox.reason("unmatched", f"{other} has no record with its match key", _NEXT["unmatched"], side=side)
                self._stays(one, decided, side, "held", why, verdict="held")
        for side, work in makes.items():
            if work:
                self._make(work, side, decided)

    def _make(self, work: Sequence[_Work], side: Side, decided: Decided) -> None:
        """Queue the creation of counterparts."""
        half = self._half(side)
        for one in work:
            self._read_records(one)
        links = self._lookups[side].of(one.records[side] for one in work)
        for one in work:
            record, id = one.records[side], one.pair.id_of(side) or ""
            try:
                values = half.mapping(record, links)
            except MappingError as error:
                self._mapping_failed(one, side, error, decided)
                continue
            if problems := half.job.check(values, True):
                self._park(one, side, problems[0].address, "; ".join(f"`{p.address}` {p.text}" for p in problems), decided)
                continue
            if half.lacks_links(record, links):
                decided.waits[side].append(id)  # the field goes by a second write
            delivery = delivery_of(id, "create", None, values, {}, values)
            delivery.shadowed, delivery.source, delivery.match_key = True, record, one.pair.key_of(side)
            decided.send(side, delivery, one.opens[side])
            decided.taken[side].append(id)
            decided.superseded += [letter.id for letter in one.opens[side]]
            decided.pairs.append(self._as_seen(one, side, "queued"))

    def _as_seen(self, one: _Work, side: Side, verdict: str) -> Pair:
        """Return the pair of a record without a counterpart, which says what is made of it if one is."""
        record = one.records.get(side)
        if record is None or verdict == "unknown":
            return msgspec.structs.replace(one.pair, verdict=verdict)
        half = self._half(side)
        told = {f"{side}_shadow": encode_json(half.project(record)), f"{side}_key": half.key(record), f"{side}_at": half.at(record)}
        return msgspec.structs.replace(one.pair, verdict=verdict, **told)

    # -- what follows for a pair

    def _decide_pair(self, work: _Work, links: Mapping[Side, FoundLinks], decided: Decided, *, braked_too: bool) -> None:
        pair = work.pair
        made: dict[Side, Values] = {"left": {}, "right": {}}
        for side in SIDES:
            if len(work.records) == 2:
                half = self._half(side)
                try:
                    values = half.mapping(work.records[side], links[side])
                except MappingError as error:
                    self._mapping_failed(work, side, error, decided)
                    return
                made[half.other] = {address: value for address, value in values.items() if address not in half.job.only_create}
        letters = work.letters()
        normal = {side: self._job.normal(side, made[OTHER[side]], links[OTHER[side]]) if made[side] else {} for side in SIDES}
        left, right = (self._side_of(work, side, made[side], normal[side], letters) for side in SIDES)
        rounds = decode_json(pair.rounds) if pair.rounds else {}
        rulings, terms = self._rulings(work, letters), self._job.terms
        if (deletion_ruled := rulings.pop("", None)) is not None:
            # Of an edit against a deletion: whoever says that the side holds which is gone wants the other gone too.
            terms = msgspec.structs.replace(terms, edited="delete" if work.is_gone(deletion_ruled) else "keep")
        if left.shadow is None and left.now is None and right.now is not None and not left.sent:
            left = msgspec.structs.replace(left, shadow={})
        if right.shadow is None and right.now is None and left.now is not None and not right.sent:
            right = msgspec.structs.replace(right, shadow={})
        decision = reconcile.reconcile(left, right, terms, rounds, rulings, mapped_anew=pair.met == pairs.MAPPED_OTHERWISE)
        if not braked_too and self._brakes(decision):
            self._left_waiting.discard(pair.id)
            return
        self._carry_out(work, decision, letters, links, decided)

    def _side_of(self, work: _Work, side: Side, made: Values, normal: Values, letters: Sequence[Delivery]) -> reconcile.Side:
        pair, half, one = work.pair, self._half(side), work.staged.get(side)
        shadow, sent = pair.shadow_of(side), pair.sent_of(side)
        seen = one is not None and one.kind == "seen" and side in work.records
        now: Values | None
        if work.is_gone(side):
            now = None
        elif seen:
            now = half.flat(half.project(work.records[side]))
        else:
            now = {} if pair.met else half.flat(decode_json(shadow or b"{}"))
        return reconcile.Side(
            now=now,
            shadow=half.flat(decode_json(shadow or b"{}")) if pair.met else None,
            made=made,
            normal=normal,
            sent={**(decode_json(sent) if sent else {}), **self._arrived(work, side)},
            unsettled=self._unsettled(work, side, letters),
            at=half.at(work.records[side]) if seen else pair.at_of(side),
        )

    def _unsettled(self, work: _Work, side: Side, letters: Sequence[Delivery]) -> frozenset[str]:
        """Return the strands in which a change of a side was decided before, and has not arrived: owed or refused there, or held."""
        found: set[str] = set()
        own = {letter.id for letter in work.opens[side]}
        for letter in letters:
            if letter.state == "held" and letter.operation == "none":
                found.update(letter.why.get("strands", ()))
            elif letter.operation == "update" and letter.id in own and (letter.state in _OWED or (letter.state == "dead" and work.fresh)):
                before = decode_json(letter.before) if letter.before else {}
                arrived = self._arrived(work, OTHER[side])
                written = {a for a, value in letter.fields.items() if a not in arrived and not (a in before and same(before[a], value))}
                there = "right" if side == "left" else "left"
                found.update(strand.name for strand in self._job.terms.strands if not written.isdisjoint(getattr(strand, there)))
        return frozenset(found)

    def _arrived(self, work: _Work, side: Side) -> Values:
        """Return what was written to a side without an answer, and stands there now."""
        letters = [letter for letter in work.opens[OTHER[side]] if letter.state == "unknown" and letter.operation == "update"]
        one = work.staged.get(side)
        if not letters or one is None or one.kind != "seen" or side not in work.records:
            return {}
        half = self._half(side)
        now = half.flat(half.project(work.records[side]))
        written = {address: value for letter in letters for address, value in letter.fields.items()}
        return {address: value for address, value in written.items() if address in now and is_rewriting(value, now[address])}

    def _rulings(self, work: _Work, letters: Sequence[Delivery]) -> dict[str, Side]:
        """Return what a person has said of strands, as long as both sides still say what they said then."""
        found: dict[str, Side] = {}
        for letter in letters:
            ruling = letter.why.get("ruling")
            if ruling in SIDES and self._says_the_same(work, letter.why):
                found.update(dict.fromkeys(letter.why["strands"] if letter.why["kind"] != "deleted" else ("",), ruling))
        return found

    def _says_the_same(self, work: _Work, why: Mapping[str, Any]) -> bool:
        """Return whether both sides still say what they said when somebody was asked."""
        strands = [strand for strand in self._job.terms.strands if strand.name in why["strands"]]
        return all(same(self._says(work, side, strands), why[side]) for side in SIDES)

    def _says(self, work: _Work, side: Side, strands: Sequence[Strand]) -> Values:
        """Return what a side says in some strands."""
        record = work.records.get(side)
        flat = self._half(side).flat(self._half(side).project(record)) if record is not None else {}
        return {a: flat[a] for strand in strands for a in getattr(strand, side) if a in flat}

    def _brakes(self, decision: Decision) -> bool:
        """Count what the brakes are about; return whether there is any."""
        deletions, clears = self.braked
        for side in SIDES:
            if decision.deletion in (f"delete_{side}", f"archive_{side}"):
                deletions[side] = deletions.get(side, 0) + 1
                return True
        cleared = [("left", address) for address in decision.clears_left] + [("right", address) for address in decision.clears_right]
        for side_, address in cleared:
            key: tuple[Side, str] = ("left" if side_ == "left" else "right", address)
            clears[key] = clears.get(key, 0) + 1
        return bool(cleared)

    def _carry_out(
        self, work: _Work, decision: Decision, letters: Sequence[Delivery], links: Mapping[Side, FoundLinks], decided: Decided
    ) -> None:
        pair = self._remembered(work, decision)
        held = [one for one in decision.outcomes if one.kind in ("held", "bounced")]
        sent: set[Side] = set()
        if decision.deletion:
            pair_kept = self._carry_out_deletion(work, decision, pair, decided, sent)
        else:
            pair_kept = pair
            for side, write in (("left", decision.write_right), ("right", decision.write_left)):
                if write and not self._update(work, side, write, decided, sent):  # type: ignore[arg-type]  # it is a side
                    return
        if pair_kept is not None:
            decided.pairs.append(pair_kept)
        self._tell(work, decision, letters, decided)
        considered = [letter for letter in letters if work.fresh or letter.operation == "none"]
        if held:
            self._hold(work, decision, held, considered, decided, sent)
            return
        decided.superseded += [letter.id for letter in considered]
        stays = {"remake_left": "right", "remake_right": "left"}.get(decision.deletion) if pair_kept is not None else None
        if stays is not None:
            self._left_waiting.add(pair.id)
        for side in SIDES:
            if side in work.records and self._half(side).lacks_links(work.records[side], links[side]):
                decided.waits[side].append(pair.id_of(side) or "")
                self._left_waiting.add(pair.id)
            if side == stays and side not in work.staged:
                decided.waits[side].append(pair.id_of(side) or "")
            if side in work.staged:
                if side != stays:
                    decided.taken[side].append(work.staged[side].id)
                if side not in sent:
                    self._ledgers[side].counts.read += 1
                    self._ledgers[side].counts.unchanged += 1

    def _remembered(self, work: _Work, decision: Decision) -> Pair:
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
        return msgspec.structs.replace(
            pair, met=1, verdict="linked", rounds=encode_json(decision.rounds) if decision.rounds else None, **told
        )

    def _update(self, work: _Work, side: Side, write: Values, decided: Decided, sent: set[Side]) -> bool:
        """Queue an update of the other side's record; return whether it may be written."""
        half, there = self._half(side), self._half(OTHER[side])
        says = there.flat(there.project(work.records[there.side]))
        if problems := half.job.check(write, False):
            self._park(work, side, problems[0].address, "; ".join(f"`{p.address}` {p.text}" for p in problems), decided)
            return False
        if (why := half.job.cannot_update(write, says)) is not None:
            self._park(work, side, next(iter(write)), why, decided)
            return False
        if half.job.target.whole_update:
            write = {**{a: says[a] for a in half.mapping.writes if a in says and a not in half.job.only_create}, **write}
        else:
            write = half.job.whole_lists(write, says)
        delivery = delivery_of(work.pair.id_of(side) or "", "update", work.pair.id_of(there.side), write, says, write)
        delivery.shadowed, delivery.source, delivery.match_key = True, work.records[side], work.pair.key_of(side)
        decided.send(side, delivery, work.opens[side])
        sent.add(side)
        return True

    def _carry_out_deletion(self, work: _Work, decision: Decision, pair: Pair, decided: Decided, sent: set[Side]) -> Pair | None:
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
            says = self._half(rest).flat(decode_json(work.pair.shadow_of(rest) or b"{}"))
            before = {**says, **(decode_json(work.pair.sent_of(rest) or b"{}"))}
            if values and self._half(gone).job.target.whole_update:
                values = {**{a: before[a] for a in self._half(gone).mapping.writes if a in before}, **values}
            delivery = delivery_of(gone_id, "update" if values else "delete", rest_id, values, before, values)
            if not values:
                delivery.before = encode_json(before)
            delivery.shadowed = True
            decided.send(gone, delivery, work.opens[gone])
            sent.add(gone)
            return msgspec.structs.replace(pair, verdict="gone")
        alone = msgspec.structs.replace(
            pair, met=0, rounds=None, left_sent=None, right_sent=None,
            **{f"{gone}_id": None, f"{gone}_key": None, f"{gone}_shadow": None, f"{gone}_at": None},
        )  # fmt: skip
        if what == "unlink":
            decided.note(rest, rest_id or "", "its counterpart was deleted: it stands for itself now", was=gone_id)
            return msgspec.structs.replace(alone, verdict="alone")
        if what in ("remake_left", "remake_right"):
            decided.note(rest, rest_id or "", "edited since its counterpart was deleted: it is made anew", was=gone_id)
            if not self._is_new(alone, rest):
                # Somebody may have made it anew already: it meets the others like any record without a counterpart, in the next run.
                return msgspec.structs.replace(alone, verdict="new")
            one = _Work(alone)
            one.staged, one.opens = {rest: work.staged[rest]} if rest in work.staged else {}, work.opens
            self._make([one], rest, decided)
            sent.add(rest)
            return None
        return msgspec.structs.replace(pair, verdict="gone")

    def _tell(self, work: _Work, decision: Decision, letters: Sequence[Delivery], decided: Decided) -> None:
        """Note what somebody may want back: what was overwritten although somebody had just written it."""
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

    # -- what waits for somebody

    def _hold(
        self, work: _Work, decision: Decision, held: Sequence[Outcome], letters: Sequence[Delivery], decided: Decided, sent: set[Side]
    ) -> None:
        pair = work.pair
        side: Side = "left" if pair.left_id is not None and not work.is_gone("left") else "right"
        kind = "deleted" if decision.deletion == "held" else "bounce" if any(one.kind == "bounced" for one in held) else "conflict"
        strands = [strand for strand in self._job.terms.strands if any(one.strand == strand.name for one in held)]
        says = {each: self._says(work, each, strands) for each in SIDES}
        if kind == "deleted":
            gone: Side = "left" if work.is_gone("left") else "right"
            message = (
                f"{pair.id_of(gone)} was deleted in {self._half(gone).place}, and its counterpart edited since: {_told(says[OTHER[gone]])}"
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
                sides = ", ".join(f"{self._half(each).place} {_told(of[each])}" for each in SIDES)
                told.append(f"{fields}: {because}: {sides}")
            message = "; ".join(told)
        why = outbox.reason(
            kind, message, _NEXT[kind], field=strands[0].name if strands else None, strands=[strand.name for strand in strands],
            left=says["left"], right=says["right"], left_id=pair.left_id, right_id=pair.right_id, side=side,
        )  # fmt: skip
        id = pair.id_of(side) or ""
        record = work.records.get(side)
        opens = [letter for letter in letters if letter in work.opens[side]]
        decided.superseded += [letter.id for letter in letters if letter not in opens]
        if side in sent:  # one record, one count: what is sent of it is counted when it has arrived
            counts = self._ledgers[side].counts
            counts.read, counts.held = counts.read - 1, counts.held - 1
        decided.set_aside(side, id, "held", why, encode_json(record) if record is not None else None, opens)
        decided.taken[OTHER[side]] += [one.id for each, one in work.staged.items() if each != side]
        for each in work.staged:
            if each != side and each not in sent:
                self._ledgers[each].counts.read += 1
                self._ledgers[each].counts.unchanged += 1
        if decision.deletion == "held":
            # The deletion stays known as such: nothing of the pair has been remembered.
            gone = OTHER[side]
            decided.taken[gone] = [one for one in decided.taken[gone] if one != pair.id_of(gone)]
        else:
            decided.taken[side].append(id)
            decided.waits[side].append(id)
        self._left_waiting.add(pair.id)

    def _mapping_failed(self, work: _Work, side: Side, error: MappingError, decided: Decided) -> None:
        if error.lookup is not None:
            integration, id = error.lookup
            name = integration.removesuffix("/back")
            why = outbox.reason(
                "waiting", f"`{error.target}` needs the counterpart of {id} in {name}, which has none yet",
                f"nothing, once {name} has a counterpart for {id}: the next run after that sends it by itself",
                field=error.target, lookup=[integration, id], side=side,
            )  # fmt: skip
            self._stays(work, decided, side, "held", why)
            return
        self._park(work, side, error.target, str(error), decided, kind="mapping", value=error.value)

    def _park(
        self, work: _Work, side: Side, field: str, message: str, decided: Decided, *, kind: str = "refused by our check", value: Any = None
    ) -> None:
        file, line = self._job.where(field)
        why = outbox.reason(
            kind, message, _PARKED_NEXT, field=field, rule=f"{file}:{line}" if line is not None else None, value=value, side=side
        )
        self._stays(work, decided, side, "dead", why, verdict="parked")

    def _stays(self, work: _Work, decided: Decided, side: Side, state: str, why: bytes, *, verdict: str | None = None) -> None:
        """Leave a pair undecided: what is staged stays, and the reason is told once."""
        id = work.pair.id_of(side) or ""
        record = work.records.get(side)
        if record is None and (one := work.staged.get(side)) is not None and one.record is not None:
            record = decode_json(one.record)
        decided.set_aside(side, id, state, why, encode_json(record) if record is not None else None, work.letters())
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
        self._left_waiting.add(work.pair.id)


def _ruling(one: _Work) -> Any:
    return next((letter.why["ruling"] for letter in one.letters() if letter.state == "held" and "ruling" in letter.why), None)


def _told(values: Values) -> str:
    told = ", ".join(f"{address}={_short(value)}" for address, value in values.items())
    return f"says {told}" if told else "says nothing"


def _short(value: Any) -> str:
    text = encode_json(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
