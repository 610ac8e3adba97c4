"""Which record of one side is which of the other, and what follows for those that only one side has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tieline.engine.decide.context import Desk, Work
from tieline.engine.decide.decided import Decided
from tieline.engine.decide.page import delivery_of
from tieline.engine.decide.waiting import NEXT, Waiting
from tieline.model.errors import MappingError
from tieline.model.records import encode_json
from tieline.store import outbox, pairs, staged
from tieline.store.delivery import Delivery
from tieline.store.pairs import OTHER, SIDES, Pair, Side
from tieline.sync.identity import Known, Meeting, meet
from tieline.sync.perhaps import may_be

_MOST_CANDIDATES: Final = 5
_PERHAPS_OURS: Final = "it may be what a creation has made whose answer was lost, renamed since: see the dead letter of its candidate"


class Meetings:
    """Finds counterparts, in one run."""

    def __init__(self, desk: Desk, waiting: Waiting) -> None:
        self._desk, self._job, self._ledgers, self._waiting = desk, desk.job, desk.ledgers, waiting
        self._db, self._integration, self._by = desk.db, desk.integration, desk.job.spec.matched
        self._doubted: Mapping[Side, Sequence[Delivery]] | None = None
        """Creations of which it is not known whether they were done, by the side whose records they are of; looked up once."""

    def meet(self, alone: Sequence[Work], decided: Decided) -> list[Work]:
        """Decide about records without a counterpart; return those that have found one."""
        met: list[tuple[Work, Work | None, Pair]] = []
        waiting: list[Work] = []
        gone: set[int] = set()
        """Records that no one can meet any more."""
        for one in alone:
            side = one.pair.alone
            if one.is_gone(side):
                self._forget(one, side, decided)
                gone.add(one.pair.id)
            else:
                waiting.append(one)
        if not waiting:
            return []
        keys = {key for one in waiting if (key := one.pair.key_of(one.pair.alone)) is not None}
        with_key = pairs.with_keys(self._db, self._integration, list(keys)) if keys else {}
        gone |= self._known_to_be_gone([pair for some in with_key.values() for pair in some if not pair.linked])
        here = {one.pair.id: one for one in waiting}
        fresh: list[tuple[Work, Side]] = []
        for one in waiting:
            if one.pair.id in gone:
                continue
            side = one.pair.alone
            key = one.pair.key_of(side)
            same_key = {pair.id: pair for pair in with_key.get(key or "", ()) if pair.id not in gone}
            if one.pair.verdict == "alone":  # two that stand for themselves do so because someone said so
                same_key = {id: pair for id, pair in same_key.items() if pair.verdict != "alone" or id == one.pair.id}
            known = [self._known(pair) for pair in same_key.values()]
            meeting = meet(one.pair.id, side, key, known, declared=bool(self._job.spec.match))
            if meeting.kind == "waits":
                self._desk.put_off(one)
            elif meeting.kind == "matched":
                other = same_key[meeting.other]
                gone |= {one.pair.id, other.id}
                met.append((one, here.get(other.id), other))
            elif meeting.kind == "held":
                self._hold_unmatched(one, side, meeting, decided)
            else:
                fresh.append((one, side))
        self._without_counterpart(fresh, decided)
        return self._join(met, decided)

    def _known_to_be_gone(self, alone: Sequence[Pair]) -> set[int]:
        """Return the pairs, by their own ids, whose only record was deleted, which is still to be decided."""
        found: set[int] = set()
        for side in SIDES:
            by_id = {id: pair.id for pair in alone if (id := pair.id_of(side)) is not None}
            there = staged.of(self._db, self._integration, side, list(by_id)) if by_id else {}
            found.update(by_id[id] for id, one in there.items() if one.kind == "gone")
        return found

    def _known(self, pair: Pair) -> Known:
        """Return a pair as others meet it: a record that is gone is no one's counterpart, unless something is to follow from that yet."""
        if pair.verdict not in ("gone", "alone"):
            return Known(pair.id, pair.left_id, pair.right_id, pair.verdict == "queued")
        opens = self._opens_of(pair)
        if pair.verdict == "alone":
            # Its counterpart may still be there: what deletes it is owed.
            return Known(pair.id, pair.left_id, pair.right_id, any(self._desk.is_on_its_way(letter) for letter in opens))
        if any(letter.state in ("held", "dead") for letter in opens):
            return Known(pair.id, pair.left_id, pair.right_id)
        there = {side: pair.id_of(side) if pair.shadow_of(side) is not None else None for side in SIDES}
        return Known(pair.id, there["left"], there["right"], bool(opens))

    def is_new(self, pair: Pair, side: Side) -> bool:
        """Whether nothing that is known can be the counterpart of a record that is to be made again."""
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

    def _join(self, met: Sequence[tuple[Work, Work | None, Pair]], decided: Decided) -> list[Work]:
        """Make one pair of each two that have one side each."""
        joined: list[Work] = []
        for one, work, other in met:
            if other.linked:
                other = pairs.without(other, one.pair.alone)  # it was deleted there, and someone has made it again
            left, right = (one.pair, other) if one.pair.alone == "left" else (other, one.pair)
            both = Work(
                msgspec.structs.replace(
                    left, verdict="linked", met=0, right_id=right.right_id, right_key=right.right_key, right_shadow=right.right_shadow,
                    right_at=right.right_at, right_version=right.right_version, right_unseen=right.right_unseen, right_sent=None,
                    left_sent=None, rounds=None,
                )
            )  # fmt: skip
            for found in (one.staged, work.staged if work is not None else {}):
                both.staged.update(found)
            decided.removed.append(right.id)
            joined.append(both)
        for side in SIDES:
            ids = {both.pair.id_of(side) or "": both for both in joined}
            unread = [id for id, both in ids.items() if side not in both.staged]
            for id, one_staged in (staged.of(self._db, self._integration, side, unread) if unread else {}).items():
                ids[id].staged[side] = one_staged
            opens = outbox.open_by_record(self._db, self._ledgers[side].integration, list(ids)) if ids else {}
            for id, both in ids.items():
                both.opens[side] = opens.get(id, [])
                decided.note(side, id, "matched", target_id=both.pair.id_of(OTHER[side]), by=self._by)
        self._ledgers["left"].counts.matched += len(joined)
        return joined

    def _forget(self, one: Work, side: Side, decided: Decided) -> None:
        """A record that has no counterpart is gone: nothing is left of it."""
        id, counts = one.pair.id_of(side) or "", self._ledgers[side].counts
        if one.pair.verdict == "unknown":
            self._desk.left_waiting.add(one.pair.id)  # whether it was made on the other side is still not known: that letter stays open
            return
        counts.read += 1
        counts.filtered += 1
        decided.removed.append(one.pair.id)
        decided.taken[side].append(id)
        decided.superseded += [letter.id for letter in one.opens[side]]
        decided.note(side, id, "deleted before it had a counterpart")

    def _hold_unmatched(self, one: Work, side: Side, meeting: Meeting, decided: Decided) -> None:
        if one.ruling in ("create", "ignore") or one.pair.verdict == "alone":
            self._without_counterpart([(one, side)], decided)
            return
        candidates = [*meeting.candidates[:_MOST_CANDIDATES]] or None
        why = outbox.reason("unmatched", meeting.why, NEXT["unmatched"], side=side, candidates=candidates, ambiguous=True)
        self._waiting.stays(one, decided, side, "held", why, verdict="held")

    def _without_counterpart(self, fresh: Sequence[tuple[Work, Side]], decided: Decided) -> None:
        """Decide about records that only one side has."""
        makes: dict[Side, list[Work]] = {side: [] for side in SIDES}
        for one, side in fresh:
            if not self._desk.is_looked_for(one.pair):
                self._desk.put_off(one)
                continue
            policy, ruling = (self._job.unmatched.left if side == "left" else self._job.unmatched.right), one.ruling
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
            elif policy == "create" and (doubted := self._made_by(one, side)):
                # Whether an answer that was lost has made it is for a person to say: made on the other side, it could be there twice.
                why = outbox.reason("unmatched", _PERHAPS_OURS, NEXT["unmatched"], side=side, candidates=doubted, ambiguous=True)
                self._waiting.stays(one, decided, side, "held", why, verdict="held")
            elif policy == "create":
                makes[side].append(one)
            else:
                other = self._desk.half(OTHER[side]).place
                why = outbox.reason("unmatched", f"{other} has no record with its match key", NEXT["unmatched"], side=side)
                self._waiting.stays(one, decided, side, "held", why, verdict="held")
        for side, work in makes.items():
            if work:
                self.make(work, side, decided)

    def _made_by(self, one: Work, side: Side) -> list[str]:
        """Return the records of the other side whose creation on this one is in doubt, and may have made this record under another key."""
        other = OTHER[side]
        if self._doubted is None:
            self._doubted = {each: self._creations_in_doubt(each) for each in SIDES}
        if not self._doubted[other]:
            return []
        self._desk.read_records(one)
        says, keys = one.says.get(side, {}), self._job.halves[other].job.forms
        return [letter.source_id for letter in self._doubted[other] if may_be(letter.fields, says, keys)][:_MOST_CANDIDATES]

    def _creations_in_doubt(self, side: Side) -> list[Delivery]:
        found: list[Delivery] = []
        after, integration = 0, self._ledgers[side].integration
        while chunk := outbox.open_of(self._db, integration, ("unknown", "held"), after=after):
            after = chunk[-1].id
            found += [one for one in chunk if one.operation == "create" and (one.state == "unknown" or one.why.get("kind") == "unknown")]
        return found

    def make(self, work: Sequence[Work], side: Side, decided: Decided) -> None:
        """Queue the creation of counterparts."""
        half = self._desk.half(side)
        for one in work:
            self._desk.read_records(one)
        links = self._desk.lookups[side].of(one.records[side] for one in work)
        for one in work:
            record, id = one.records[side], one.pair.id_of(side) or ""
            try:
                values = half.mapping(record, links)
            except MappingError as error:
                self._waiting.mapping_failed(one, side, error, decided)
                continue
            if problems := half.job.check(values, True):
                self._waiting.park(one, side, problems[0].address, "; ".join(f"`{p.address}` {p.text}" for p in problems), decided)
                continue
            if half.lacks_links(record, links):
                decided.waits[side].append(id)  # the field goes by a second write
            delivery = delivery_of(id, "create", None, values, {}, values)
            delivery.shadowed, delivery.source, delivery.match_key = True, record, one.pair.key_of(side)
            decided.send(side, delivery, one.opens[side])
            decided.taken[side].append(id)
            decided.superseded += [letter.id for letter in one.opens[side]]
            decided.pairs.append(self._as_seen(one, side, "queued"))

    def _as_seen(self, one: Work, side: Side, verdict: str) -> Pair:
        """Return the pair of a record without a counterpart, which says what is made of it if one is."""
        record = one.records.get(side)
        if record is None or verdict == "unknown":
            return msgspec.structs.replace(one.pair, verdict=verdict)
        half = self._desk.half(side)
        told = {f"{side}_shadow": encode_json(half.project(record)), f"{side}_key": half.key(record), f"{side}_at": half.at(record)}
        told[f"{side}_version"] = half.version_of(record)
        return msgspec.structs.replace(one.pair, verdict=verdict, **told)
