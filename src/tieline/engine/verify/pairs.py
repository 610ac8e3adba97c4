"""Proof of completeness of a two-way integration: both sides are read whole, and every record of either is accounted for.

Each pair is compared strand by strand, by what the mapping makes of either side now. Nothing is written. What is read is kept in a temporary
file, so memory does not grow. A pair that no one has changed since both last agreed, and that differs all the same, is `apart`: mending lets
it meet again, so that the integration's policies decide about it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from tieline.dialects.dialect import Since, System
from tieline.engine.core.two_sides import TwoWayIntegration
from tieline.engine.intake.absence import lag_of
from tieline.engine.intake.late import lately_written
from tieline.engine.lookup.references import Lookups
from tieline.engine.verify.sweep import TOO_NEW, Verification
from tieline.model.clock import Clock
from tieline.model.errors import MappingError, TielineError
from tieline.model.holder import has_ended
from tieline.model.records import Record, Values, decode_json, encode_json
from tieline.model.tasks import side_by_side
from tieline.model.verified import Verified
from tieline.store import links, outbox, pairs, runs, staged
from tieline.store.database import Database, Transaction, scratch
from tieline.store.pairs import OTHER, SIDES, Pair, Side
from tieline.sync import reconcile
from tieline.sync.reconcile import Strand
from tieline.sync.rewriting import is_rewriting, shown_late

_TOGETHER: Final = 500
_KEPT: Final = ("never", "fill_empty")
"""Policies under which both sides may say different things for good."""
_MEANT: Final = {"ignored": "it has no counterpart", "alone": "it stands for itself: its counterpart was deleted, or a person said so"}
"""Verdicts of records that have no counterpart on purpose."""
APART: Final = "apart"
UNTOLD: Final = "not in the list of changes"
"""Its system tells of what has changed, and has not told of this, nor will: only a run that reads everything finds it."""


async def verify_pairs(
    job: TwoWayIntegration,
    systems: Mapping[Side, System],
    db: Database,
    clock: Clock,
    *,
    progress: Callable[[Verified], None] = lambda verified: None,
) -> Verification:
    """Read both sides and compare. Raises `RemoteError` when one of them can't be read to the end."""
    for half in job.halves.values():
        if not half.features.list:
            raise TielineError(f"{half.place} can't be listed: nothing can be compared", next_step="declare `list` for it in the connector")
    found = scratch()  # a file of its own that vanishes with the connection
    try:
        sweep = _Sweep(job, systems, db, clock, found, progress)
        await side_by_side(sweep.read(side) for side in SIDES)
        sweep.compare()
        return Verification(sweep.finished(), found)
    except BaseException:
        found.close()
        raise


def apart(verification: Verification) -> Iterator[str]:
    """Yield the left ids of pairs that say different things though no one has changed either."""
    for finding in verification.findings():
        if finding.why == APART:
            yield finding.source_id


def meet_anew(db: Database, name: str, left_ids: Sequence[str], now: float) -> None:
    """Let pairs be decided as if both sides met for the first time, by the next run."""
    known = runs.state_of(db, name)
    assert known is not None
    number = known.id

    def unit(connection: Transaction) -> None:
        pairs.forget_meetings(connection, number, left_ids)
        staged.put(connection, number, "left", 0, now, [(id, "again", None) for id in left_ids])

    db.write(unit)


class _Sweep:
    def __init__(
        self,
        job: TwoWayIntegration,
        systems: Mapping[Side, System],
        db: Database,
        clock: Clock,
        found: Transaction,
        progress: Callable[[Verified], None],
    ) -> None:
        self._job, self._systems, self._db, self._clock, self._found = job, systems, db, clock, found
        self._progress, self._started = progress, clock.monotonic()
        self._lookups = {side: Lookups(db, job.halves[side].job) for side in SIDES}
        known = runs.state_of(db, job.name)
        self._numbers: Mapping[Side, int] = runs.both_outboxes(db, job.name) or dict.fromkeys(SIDES, -1)
        self._integration = self._numbers["left"]
        self._lag = {side: lag_of(db, systems[side], half.resource, half.overlap).ours for side, half in job.halves.items()}
        self._result = Verified(job.name, clock.now(), target_read=0, two_way=True)
        if known is not None and known.holder and known.lease_until > self._result.at and not has_ended(known.holder):
            self._result.running = known.holder
        whole = known is None or known.complete_at is None or known.mapping != job.fingerprint
        self._asked_from = {side: None if whole else self._asks_from(side) for side in SIDES}
        """From when on the next run asks a side for what has changed, in seconds; None where it reads everything, or that can't be told."""
        self._why: Counter[str] = Counter()
        self._fields: Counter[str] = Counter()
        found.executescript(
            """CREATE TABLE here (side TEXT, id TEXT, fields BLOB NOT NULL, at REAL, seen INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (side, id)) WITHOUT ROWID;
               CREATE TABLE found (number INTEGER PRIMARY KEY, kind TEXT, why TEXT, source_id TEXT, target_id TEXT, fields BLOB,
                                   record BLOB, seen BLOB, shadow BLOB);"""
        )

    async def read(self, side: Side) -> None:
        half, result = self._job.halves[side], self._result
        async for page in self._systems[side].read(half.resource, None, strict=True):
            rows = [
                (side, id, encode_json(half.project(record)), half.at(record))
                for id, record in zip(page.ids, page.records, strict=True)
                if id is not None
            ]
            unreadable = (len(page.unreadable) + page.ids.count(None)) if not page.again else 0
            self._found.executemany(
                "INSERT INTO here (side, id, fields, at) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET fields = excluded.fields, at = excluded.at",
                rows,
            )
            if side == "left":
                result.unreadable += unreadable
            else:
                result.target_unreadable += unreadable
            listed = self._found.execute("SELECT count(*) FROM here WHERE side = ?", (side,)).fetchone()[0]
            if side == "left":
                result.source_read = listed + result.unreadable
            else:
                result.target_read = listed + result.target_unreadable
            self._progress(result)

    def compare(self) -> None:
        """Account for every record of both sides."""
        after = 0
        while portion := pairs.portion(self._db, self._integration, after=after, limit=_TOGETHER):
            after = portion[-1].id
            self._compare(portion)
        for side, kind in (("left", "missing"), ("right", "left over")):
            for (id,) in self._found.execute("SELECT id FROM here WHERE side = ? AND seen = 0 ORDER BY id", (side,)).fetchall():
                here: Side = "left" if side == "left" else "right"
                self._without(here, kind, UNTOLD if self._is_untold(here, id) else "not read yet", id)

    def finished(self) -> Verified:
        result = self._result
        result.seconds = self._clock.monotonic() - self._started
        result.why, result.fields = dict(sorted(self._why.items())), dict(self._fields.most_common())
        return result

    # -- a portion

    def _compare(self, portion: Sequence[Pair]) -> None:
        here = {side: self._fields_of(side, [id for pair in portion if (id := pair.id_of(side)) is not None]) for side in SIDES}
        opens = {
            side: outbox.open_by_record(self._db, self._numbers[side], [id for pair in portion if (id := pair.id_of(side)) is not None])
            for side in SIDES
        }
        for pair in portion:
            for side in SIDES:
                if (id := pair.id_of(side) or "") in here[side]:
                    here[side][id] = self._standing(pair, side, here[side][id])
        records = {side: {id: self._job.halves[side].record_of(raw) for id, raw in here[side].items()} for side in SIDES}
        found_links = {side: self._lookups[side].of(records[side].values()) for side in SIDES}
        for pair in portion:
            there = {side: id for side in SIDES if (id := pair.id_of(side)) in records[side]}
            letters = [letter for side in SIDES for letter in opens[side].get(pair.id_of(side) or "", ())]
            states = {letter.state for letter in letters}
            state = "owed" if states & {"owed", "sending", "unknown"} else "parked" if "dead" in states else "held" if states else None
            if len(there) == 2:
                self._compare_pair(pair, {side: records[side][id or ""] for side, id in there.items()}, here, found_links, state)
            elif there:
                self._one_side(pair, "left" if "left" in there else "right", state)

    def _standing(self, pair: Pair, side: Side, fields: bytes) -> bytes:
        """Return what a record says with what it said before in fields that it does not show any more: left out is not emptied."""
        shadow, sent = pair.shadow_of(side), pair.sent_of(side)
        if not shadow or shadow == fields or self._job.halves[side].mapping.reads_all:
            return fields
        known, shown = {**decode_json(shadow), **(decode_json(sent) if sent else {})}, decode_json(fields)
        return fields if known.keys() <= shown.keys() else encode_json({**known, **shown})

    def _fields_of(self, side: Side, ids: Sequence[str]) -> dict[str, bytes]:
        rows = self._found.execute(
            "SELECT here.id, here.fields FROM json_each(?) AS wanted CROSS JOIN here ON here.side = ? AND here.id = wanted.value",
            (encode_json(ids).decode(), side),
        ).fetchall()
        self._found.executemany("UPDATE here SET seen = 1 WHERE side = ? AND id = ?", [(side, id) for id, _ in rows])
        return dict(rows)

    def _compare_pair(
        self,
        pair: Pair,
        records: Mapping[Side, Record],
        here: Mapping[Side, Mapping[str, bytes]],
        found_links: Mapping[Side, Mapping[tuple[str, str], str | int]],
        state: str | None,
    ) -> None:
        result, halves = self._result, self._job.halves
        result.counterparts += 1
        says: dict[Side, Values] = {}
        made: dict[Side, Values] = {}
        try:
            for side in SIDES:
                half = halves[side]
                says[side] = half.says(records[side])
                made[half.other] = half.made(records[side], found_links[side], pair)
        except MappingError:
            self._apart(pair, state or "not read yet", {})
            return
        left, right = (
            reconcile.Side(says[side], says[side], made[side], normal=self._job.normal(side, made[OTHER[side]], found_links[OTHER[side]]))
            for side in SIDES
        )
        strands = reconcile.differing(left, right, self._job.terms)
        if strands:
            strands = self._that_can_be_told(strands, pair, records, found_links)
        undone = links.kept(self._db, self._integration, pair.left_id or "") if strands else {}
        kept = [strand for strand in strands if strand.name in undone or (state is None and strand.policy in _KEPT)]
        strands = [strand for strand in strands if strand not in kept]
        if not strands:
            result.in_sync += 1
            result.kept += bool(kept)
            return
        if state is None and any(self._is_late(pair, side, says[side], strands) for side in SIDES):
            self._why[f"excluded: {TOO_NEW}"] += 1
            result.excluded += 1
            return
        changed = [side for side in SIDES if self._changed(pair, side, here[side][pair.id_of(side) or ""])]
        if state is None and not changed and pair.met == 1:
            strands = [strand for strand in strands if not _is_respelled(strand, says, made)]
            if not strands:
                result.in_sync += 1
                result.respelled += 1
                return
        fields = {address: [made["right"].get(address), says["right"].get(address)] for strand in strands for address in strand.right}
        self._fields.update(fields.keys())
        if state is None and pair.met == 1 and any(self._is_untold(side, pair.id_of(side) or "") for side in changed):
            state = UNTOLD
        self._apart(pair, state or ("not read yet" if changed or pair.met == pairs.MAPPED_OTHERWISE or not pair.met else APART), fields)

    def _is_late(self, pair: Pair, side: Side, says: Values, strands: Sequence[Strand]) -> bool:
        """Whether a side differs only in what it said before our own last writes to it, which it need not show yet."""
        since = self._result.at - self._lag[side]
        writes = lately_written(self._db, self._numbers[OTHER[side]], pair.id_of(OTHER[side]) or "", pair.id_of(side), since)
        late = {*shown_late(writes, says)} if writes else set()
        return bool(late) and all(late.issuperset(getattr(strand, side)) for strand in strands)

    def _that_can_be_told(
        self,
        strands: Sequence[Strand],
        pair: Pair,
        records: Mapping[Side, Record],
        found_links: Mapping[Side, Mapping[tuple[str, str], str | int]],
    ) -> list[Strand]:
        """Return the strands but those in which both sides refer to what they did when they agreed, and that has no counterpart any more."""
        dangling = {half.other: half.dangling(records[side], found_links[side], pair) for side, half in self._job.halves.items()}
        return [
            strand for strand in strands if not all(any(address in dangling[side] for address in getattr(strand, side)) for side in SIDES)
        ]

    def _asks_from(self, side: Side) -> float | None:
        known = runs.state_of(self._db, self._job.name if side == "left" else runs.back(self._job.name))
        mark = msgspec.json.decode(known.cursor, type=Since).mark if known is not None and known.cursor else None
        return self._job.halves[side].asked_from(mark) if mark is not None else None

    def _is_untold(self, side: Side, id: str) -> bool:
        """Whether a run that reads what has changed does not come upon a record as it is."""
        since = self._asked_from[side]
        if since is None:
            return False
        rows = self._found.execute("SELECT at FROM here WHERE side = ? AND id = ?", (side, id)).fetchall()
        return bool(rows) and rows[0][0] is not None and rows[0][0] < since

    def _changed(self, pair: Pair, side: Side, fields: bytes) -> bool:
        """Whether a side says something that no run has read yet."""
        half, sent = self._job.halves[side], pair.sent_of(side)
        remembered = half.remembered(pair)
        return half.flat(decode_json(fields)) not in (remembered, {**remembered, **(decode_json(sent) if sent else {})})

    def _apart(self, pair: Pair, why: str, fields: Mapping[str, Any]) -> None:
        self._result.differing += 1
        self._why[f"differing: {why}"] += 1
        self._note("differing", why, pair.left_id or "", pair.right_id, fields)

    def _one_side(self, pair: Pair, side: Side, state: str | None) -> None:
        id = pair.id_of(side) or ""
        reason = _MEANT.get(pair.verdict) if state is None else None
        if reason is None and pair.linked and pair.shadow_of(OTHER[side]) is None:
            policy = self._job.terms.left_gone if side == "right" else self._job.terms.right_gone
            reason = "its counterpart was deleted" if policy == "ignore" and state is None else None
        if reason is None and state is None and pair.linked and self._is_too_new(pair, side):
            reason = TOO_NEW
        if reason is not None:
            self._why[f"excluded: {reason}"] += 1
            if side == "left":
                self._result.excluded += 1
            else:
                self._result.only_there += 1
            return
        why = state or ("gone there" if pair.linked else "not read yet")
        self._without(side, "missing" if side == "left" else "left over", why, id)

    def _is_too_new(self, pair: Pair, side: Side) -> bool:
        """Whether the counterpart of a record on a side was made or written so lately that it may not be shown yet."""
        since = self._result.at - self._lag[OTHER[side]]
        if (pair.unseen_of(OTHER[side]) or 0.0) >= since:
            return True
        return bool(outbox.delivered_since(self._db, self._numbers[side], [pair.id_of(side) or ""], since))

    def _without(self, side: Side, kind: str, why: str, id: str) -> None:
        if side == "left":
            self._result.missing += 1
        else:
            self._result.left_over += 1
        self._why[f"{kind}: {why}"] += 1
        self._note(kind, why, id if side == "left" else "", id if side == "right" else None, {})

    def _note(self, kind: str, why: str, left_id: str, right_id: str | None, fields: Mapping[str, Any]) -> None:
        self._found.execute(
            "INSERT INTO found (kind, why, source_id, target_id, fields) VALUES (?, ?, ?, ?, ?)",
            (kind, why, left_id, right_id, encode_json(fields)),
        )


def _is_respelled(strand: Strand, says: Mapping[Side, Values], made: Mapping[Side, Values]) -> bool:
    """Whether a side, which no one has edited since, says what the other says in a spelling that its system could have given it."""
    ends: Mapping[Side, tuple[str, ...]] = {"left": strand.left, "right": strand.right}
    for side, addresses in ends.items():
        wanted = {address: made[side][address] for address in addresses if address in made[side]}
        if wanted and all(is_rewriting(value, says[side].get(address)) for address, value in wanted.items()):
            return True
    return False
