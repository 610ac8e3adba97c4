"""Proof of completeness: both systems are read whole, and every record of either side is accounted for.

The destination is read first. Then each record of the source is compared with its counterpart, field by field, by what the mapping makes of
it now. Nothing is written: `engine.runs.repair` sends what has gone astray. What is read is kept in a temporary file, so memory does not grow.

A record that changes while both are read can't be told from one that went astray, unless something of it is on its way, or arrived
meanwhile: a finding of a busy system is worth a second look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from tieline.config.models.integrations import Archive
from tieline.dialects.dialect import Page, System
from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.intake.absence import lag_of, shows_any
from tieline.engine.lookup.fetching import MOST_REFUSED, ask_for
from tieline.engine.lookup.references import Lookups
from tieline.engine.runs.repair import Mend, Mending
from tieline.model.clock import Clock
from tieline.model.errors import MappingError, RemoteError, TielineError, Undecodable
from tieline.model.holder import has_ended
from tieline.model.lists import entries, within
from tieline.model.records import ABSENT, Record, Values, decode_json, encode_json
from tieline.model.verified import ON_PURPOSE, Finding, Verified
from tieline.store import links, outbox, runs, spellings
from tieline.store.database import Database, Transaction, scratch
from tieline.store.links import Link
from tieline.store.spellings import Spelled
from tieline.sync.decide import differing, same
from tieline.sync.rewriting import as_learned, is_rewriting

_TOGETHER: Final = 500
_MOST_ASKED: Final = 200
"""So many that a list does not show are asked for by id; a list that lacks more is not believed anyway."""
_GIVEN_UP: Final = "given up by hand"
_TRIED: Final = 3
TOO_NEW: Final = "too new to tell: it was written within the system's lag"
UNPROVEN: Final = "not listed, and `get` finds nothing that is"
"""No one can say whether it is gone: what the list shows is not found by its id either."""
REFUSED: Final = "`get` is refused for it"
"""No one can say whether it is there, nor what it says."""
_MEANT: Final = {
    "filtered": "`when` leaves it out",
    "noted": "it was there at the start",
    "ignored": "it has no counterpart",
    "discarded": _GIVEN_UP,
}
"""Verdicts of records that are left out on purpose."""


class Verification:
    """A finished verification. Use as a context: it holds a temporary file."""

    def __init__(self, verified: Verified, found: Transaction) -> None:
        self.verified, self._found = verified, found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._found.close()

    def findings(self, limit: int = -1) -> Iterator[Finding]:
        """Yield what is not as it should be, what needs someone first; at most `limit`."""
        for row in self._found.execute(
            """SELECT kind, why, source_id, target_id, fields FROM found
               ORDER BY why IN ('owed', 'not read yet'), kind, why, number LIMIT ?""",
            (limit,),
        ):
            kind, why, source_id, target_id, fields = row
            yield Finding(
                kind, why, source_id, target_id, {address: (here, there) for address, (here, there) in decode_json(fields).items()}
            )

    def mending(self, most_gone: int) -> Mending:
        """Return what can be corrected: what was changed or is gone in the destination. At most `most_gone` may be gone."""
        gone, changed = (
            self._found.execute("SELECT count(*) FROM found WHERE why = ?", (why,)).fetchone()[0] for why in ("gone there", "changed there")
        )
        return Mending(gone, changed, most_gone, self._mends)

    def _mends(self) -> Iterator[list[Mend]]:
        rows = self._found.execute(
            "SELECT source_id, target_id, record, seen, shadow, fields FROM found WHERE why IN ('gone there', 'changed there') ORDER BY number"
        )
        while portion := rows.fetchmany(_TOGETHER):
            yield [
                Mend(id, target_id, decode_json(record), seen, shadow, decode_json(fields))
                for id, target_id, record, seen, shadow, fields in portion
            ]


async def verify(
    job: CompiledIntegration,
    source: System,
    target: System,
    db: Database,
    clock: Clock,
    *,
    progress: Callable[[Verified], None] = lambda verified: None,
) -> Verification:
    """Read both systems and compare. Raises `RemoteError` when one of them can't be read to the end."""
    features = job.target
    if not features.list and not features.get:
        raise TielineError(
            f"{job.spec.target} can neither be listed nor asked for a record by its id: nothing can be compared",
            next_step="declare `list` or `get` for it in the connector",
        )
    found = scratch()  # a file of its own that vanishes with the connection
    try:
        sweep = _Sweep(job, source, target, db, clock, found, progress)
        if features.list:
            await sweep.read_target()
        await sweep.read_source()
        if features.list:
            sweep.account_for_the_rest()
        return Verification(sweep.finished(), found)
    except BaseException:
        found.close()
        raise


class _Sweep:
    def __init__(
        self,
        job: CompiledIntegration,
        source: System,
        target: System,
        db: Database,
        clock: Clock,
        found: Transaction,
        progress: Callable[[Verified], None],
    ) -> None:
        self._job, self._source, self._target, self._db, self._clock, self._found = job, source, target, db, clock, found
        self._progress, self._started = progress, clock.monotonic()
        self._lookups = Lookups(db, job)
        known = runs.state_of(db, job.name)
        self._integration = known.id if known is not None else -1
        self._mapped = known is not None and known.mapping == job.fingerprint
        """What is there was made by the mapping as it is now."""
        self._only_noted = job.spec.start == "now" and (known is None or known.complete_at is None)
        """The next run sends nothing of what it has not met: `start: now`."""
        self._result = Verified(job.name, clock.now(), target_read=0 if job.target.list else None)
        if known is not None and known.holder and known.lease_until > self._result.at and not has_ended(known.holder):
            self._result.running = known.holder
        self._why: Counter[str] = Counter()
        self._fields: Counter[str] = Counter()
        self._shown: set[str] = set()
        self._lag = lag_of(db, target, job.target_resource, job.list_lag).ours
        self._proven: bool | None = None
        """Whether `get` shows a record that the list shows; None before that was tried."""
        self._refused: set[str] = set()
        """Counterparts for which the destination refuses to say whether they are there."""
        self._not_listed = 0
        self._spells = spellings.is_any(db, self._integration)
        self._spelled: dict[str, dict[str, Spelled]] = {}
        self._learned: list[Spelled] = []
        self._plain: list[tuple[str, str]] = []
        """(Source id, address) of what the destination says as it is written, where a spelling of it was known."""
        found.executescript(
            """CREATE TABLE there (id TEXT PRIMARY KEY, fields BLOB NOT NULL, seen INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
               CREATE TABLE here (id TEXT PRIMARY KEY) WITHOUT ROWID;
               CREATE TABLE found (number INTEGER PRIMARY KEY, kind TEXT, why TEXT, source_id TEXT, target_id TEXT, fields BLOB,
                                   record BLOB, seen BLOB, shadow BLOB);"""
        )

    async def read_target(self) -> None:
        job, result = self._job, self._result
        async for page in self._target.read(job.target_resource, None, strict=True):
            rows = []
            for id, record in zip(page.ids, page.records, strict=True):
                if id is None:
                    result.target_unreadable += 1
                    continue
                fields = job.project_target(record)
                self._shown.update(fields)
                rows.append((id, encode_json(fields)))
            result.target_unreadable += len(page.unreadable) if not page.again else 0
            self._found.executemany("INSERT INTO there (id, fields) VALUES (?, ?) ON CONFLICT DO UPDATE SET fields = excluded.fields", rows)
            listed = self._found.execute("SELECT count(*) FROM there").fetchone()[0]
            result.target_read = listed + result.target_unreadable
            self._progress(result)

    async def read_source(self) -> None:
        job, result = self._job, self._result
        async for page in self._source.read(job.source_resource, None, strict=True):
            if not page.again:
                result.unreadable += len(page.unreadable) + page.ids.count(None)
            records = self._new_of(page)
            for start in range(0, len(records), _TOGETHER):
                await self._compare(dict(list(records.items())[start : start + _TOGETHER]))
            result.source_read += len(records)
            self._progress(result)
        result.source_read += result.unreadable

    def account_for_the_rest(self) -> None:
        """Say of each record of the destination that is no one's counterpart so far what it is."""
        after = ""
        while rows := self._found.execute(
            "SELECT id FROM there WHERE seen = 0 AND id > ? ORDER BY id LIMIT ?", (after, _TOGETHER)
        ).fetchall():
            after = rows[-1][0]
            owners = links.of_targets(self._db, self._integration, [row[0] for row in rows])
            self._result.only_there += len(rows) - len(owners)
            for target_id, link in owners.items():
                self._result.left_over += 1
                why = self._why_left_over(link)
                self._why[f"left over: {why}"] += 1
                if why not in ON_PURPOSE:
                    self._note("left over", why, link.source_id, target_id)

    def finished(self) -> Verified:
        result = self._result
        result.seconds = self._clock.monotonic() - self._started
        result.why, result.fields = dict(sorted(self._why.items())), dict(self._fields.most_common())
        result.counterparts = self._found.execute("SELECT count(*) FROM there WHERE seen = 1").fetchone()[0]
        if result.target_read:
            result.not_shown = [address for address in self._job.mapping.writes if address not in self._shown]
        return result

    # -- one record after the other

    def _new_of(self, page: Page) -> dict[str, Record]:
        """Return the records that have not been met before: a list that is read again shows some twice."""
        records = {id: record for id, record in zip(page.ids, page.records, strict=True) if id is not None}
        for id in list(records):
            if not self._found.execute("INSERT OR IGNORE INTO here VALUES (?)", (id,)).rowcount:
                del records[id]
        return records

    async def _compare(self, records: dict[str, Record]) -> None:
        known = links.of_sources(self._db, self._integration, list(records))
        self._spelled = spellings.of(self._db, self._integration, list(known)) if self._spells else {}
        there = await self._there([link.target_id for link in known.values() if link.target_id is not None])
        found_links = self._lookups.of(records.values())
        for id, record in records.items():
            link = known.get(id)
            try:
                self._judge(id, record, link, there, found_links)
            except MappingError:
                self._cannot_be_mapped(id, record, link, there)
        if self._learned or self._plain:
            self._note_spellings()

    def _note_spellings(self) -> None:
        learned, plain = self._learned, self._plain
        self._learned, self._plain, self._spells = [], [], True

        def unit(connection: Transaction) -> None:
            spellings.forget(connection, self._integration, plain)
            spellings.learn(connection, self._integration, learned)

        self._db.write(unit)

    def _cannot_be_mapped(self, id: str, record: Record, link: Link | None, there: dict[str, Values]) -> None:
        if link is None or link.target_id is None:
            self._set_apart("missing", self._state_of(id) or "not read yet", id, link)
        elif (state := self._state_of(id)) is None and self._shadow(record) == link.source_shadow and self._sent_by_hand(id):
            sent: Values = decode_json(link.target_shadow) if link.target_shadow else {}
            self._compare_fields(id, record, link, sent, there, by_hand=True)
        else:
            self._set_apart("differing", state or "not read yet", id, link)

    async def _there(self, ids: Sequence[str]) -> dict[str, Values]:
        """Return the destination's records by id, those that are there."""
        if self._job.target.list:
            rows = self._found.execute(
                "SELECT there.id, there.fields FROM json_each(?) AS wanted CROSS JOIN there ON there.id = wanted.value",
                (encode_json(ids).decode(),),
            ).fetchall()
            self._found.executemany("UPDATE there SET seen = 1 WHERE id = ?", [(id,) for id, _ in rows])
            listed = {id: decode_json(fields) for id, fields in rows}
            # What the list does not show may be there all the same (archived, perhaps): made again, it would be there twice.
            absent = [id for id in ids if id not in listed][: max(0, _MOST_ASKED - self._not_listed)] if self._job.target.get else []
            self._not_listed += len(absent)
            unlisted = await self._asked(absent, besides_list=True)
            if absent and self._proven is None:
                some = [id for (id,) in self._found.execute("SELECT id FROM there LIMIT ?", (_TRIED,))]
                self._proven = bool(unlisted) or not some or await shows_any(self._target, self._job.target_resource, some)
            self._result.unlisted += len(unlisted)
            return {**listed, **unlisted}
        return await self._asked(ids)

    async def _asked(self, ids: Sequence[str], *, besides_list: bool = False) -> dict[str, Values]:
        """Ask the destination for records one by one; return those that are there.

        With `besides_list` the list has said already that they are not: an answer that refuses to speak of one contradicts nothing. An answer
        about another record proves nothing either.
        """
        refused: dict[str, RemoteError] = {}
        answers = await ask_for(self._target, self._job.target_resource, ids, refused=refused, most=None if besides_list else MOST_REFUSED)
        self._refused.update(id for id, error in refused.items() if not besides_list or isinstance(error, Undecodable))
        return {id: self._job.project_target(record) for id, record in answers.items() if record is not None}

    def _judge(
        self, id: str, record: Record, link: Link | None, there: dict[str, Values], found_links: dict[tuple[str, str], str | int]
    ) -> None:
        job = self._job
        if (reason := self._left_out(record, link)) is not None:
            self._exclude(reason)
            return
        if link is None or link.target_id is None:
            state = self._state_of(id) if link is not None else None
            if state == _GIVEN_UP:  # though it is not known whether an earlier version arrived
                self._exclude(state)
            else:
                self._set_apart("missing", state or "not read yet", id, link)
            return
        values = {address: value for address, value in job.mapping(record, found_links).items() if address not in job.only_create}
        self._compare_fields(id, record, link, values, there)

    def _compare_fields(
        self, id: str, record: Record, link: Link, values: Values, there: dict[str, Values], *, by_hand: bool = False
    ) -> None:
        job = self._job
        fields = there.get(link.target_id or "")
        if fields is None:
            state = self._state_of(id)
            if not state and outbox.delivered_since(self._db, self._integration, [id], self._result.at - self._lag):
                self._exclude(TOO_NEW)
                return
            why = REFUSED if link.target_id in self._refused else "gone there" if self._proven is not False else UNPROVEN
            self._set_apart("missing", state if state and state != _GIVEN_UP else why, id, link, record=record)
            return
        shown = self._shown if job.target.list else fields.keys()
        differs = differing({a: v for a, v in values.items() if a in shown}, fields, job.agree)
        read = self._mapped and self._shadow(record) == link.source_shadow
        known = self._spelled.get(id, {})
        self._plain += [(id, address) for address in known if address in values and address not in differs]
        respelled = [address for address, (here, says) in differs.items() if self._is_spelling(id, address, here, says, known, read)]
        for address in respelled:
            self._result.spelled[address] = self._result.spelled.get(address, 0) + 1
            del differs[address]
        kept = self._kept(link, differs, read) if differs else []
        for address in kept:
            del differs[address]
        if not differs:
            self._result.in_sync += 1
            self._result.respelled += bool(respelled)
            self._result.kept += bool(kept) or by_hand
            return
        if (state := self._state_of(id)) == _GIVEN_UP and read:
            self._exclude(state)
            return
        why = state if state and state != _GIVEN_UP else "changed there" if read else "not read yet"
        if why == "changed there" and all(_was_not_taken(known.get(address), *both) for address, both in differs.items()):
            why = "not taken there"
        self._fields.update(differs.keys())
        shadow = {**values, **{address: says for address, (_, says) in differs.items()}}
        shadow.update({address: within(values[address], entries(shadow[address])) for address in job.lists.keys() & differs.keys()})
        self._set_apart("differing", why, id, link, differs, record=record, shadow={a: v for a, v in shadow.items() if v is not ABSENT})

    def _is_spelling(self, id: str, address: str, here: Any, says: Any, known: Mapping[str, Spelled], read: bool) -> bool:
        """Return whether the destination says what was written in its own way. Seen for the first time, the way is learned."""
        one = known.get(address)
        if one is not None and one.taken and one.seen is not None and same(decode_json(one.sent), here):
            return as_learned(here, decode_json(one.seen), says)
        if _was_not_taken(one, here, says) or says is ABSENT or (_is_blank(here) != _is_blank(says)) or not is_rewriting(here, says):
            return False
        if read and self._state_of(id) is None:
            self._learned.append(Spelled(id, address, encode_json(here), encode_json(says)))
        return True

    def _left_out(self, record: Record, link: Link | None) -> str | None:
        """Return why a record is left out on purpose, if it is."""
        job = self._job
        if link is None:
            if self._only_noted:
                return _MEANT["noted"]
            return _MEANT["filtered"] if job.when is not None and not job.when(record, None) else None
        same = self._shadow(record) == link.source_shadow
        # What an older mapping left out is decided again by the next run.
        if same and link.verdict in _MEANT and (self._mapped or link.verdict == "noted"):
            return _MEANT[link.verdict]
        if job.when is None:
            return None
        if job.leaves:
            return None if job.when(record, None) else _MEANT["filtered"]
        if not self._mapped and (same or link.target_id is not None):
            moves = link.target_id is not None or job.when(record, None)
        else:
            moves = same or job.when(record, job.old_values(decode_json(link.source_shadow)))
        return None if moves else _MEANT["filtered"]

    def _shadow(self, record: Record) -> bytes:
        return encode_json(self._job.project(record))

    def _state_of(self, source_id: str) -> str | None:
        """Return what becomes of a record that is not settled: owed, parked or held, or given up by hand; None of one that is."""
        deliveries = outbox.of_record(self._db, self._integration, source_id)
        states = {delivery.state for delivery in deliveries}
        if states & {"owed", "sending", "unknown"} or any(
            (d.settled_at or 0.0) >= self._result.at for d in deliveries if d.state == "delivered"
        ):
            return "owed"
        if "dead" in states or "held" in states:
            return "parked" if "dead" in states else "held"
        return _GIVEN_UP if deliveries and deliveries[-1].state == "discarded" else None

    def _kept(self, link: Link, differs: dict[str, tuple[Any, Any]], read: bool) -> list[str]:
        """Return the fields that are to differ: the destination keeps its own since both records met, or has what a person sent."""
        kept = links.kept(self._db, self._integration, link.source_id)
        if not kept:
            return []
        agreed: Values = decode_json(link.target_shadow) if link.target_shadow else {}
        by_hand = read and links.BY_HAND in kept
        return [
            address
            for address, (here, says) in differs.items()
            if address in agreed
            and ((address in kept and same(agreed[address], here)) or (by_hand and self._job.agree(address, agreed[address], says)))
        ]

    def _sent_by_hand(self, source_id: str) -> bool:
        return links.BY_HAND in links.kept(self._db, self._integration, source_id)

    def _why_left_over(self, link: Link) -> str:
        policy = self._job.spec.deletes
        state = self._state_of(link.source_id)
        if policy == "ignore":
            return "deletions are ignored"
        if state is not None:
            return state
        return "archived" if isinstance(policy, Archive) and link.verdict == "deleted" else "not read yet"

    # -- noting

    def _exclude(self, reason: str) -> None:
        self._result.excluded += 1
        self._why[f"excluded: {reason}"] += 1

    def _set_apart(
        self,
        kind: str,
        why: str,
        id: str,
        link: Link | None,
        fields: dict[str, tuple[Any, Any]] | None = None,
        *,
        record: Record | None = None,
        shadow: Values | None = None,
    ) -> None:
        if kind == "missing":
            self._result.missing += 1
        else:
            self._result.differing += 1
        self._why[f"{kind}: {why}"] += 1
        self._note(kind, why, id, link.target_id if link is not None else None, fields, record=record, shadow=shadow)

    def _note(
        self,
        kind: str,
        why: str,
        source_id: str,
        target_id: str | None,
        fields: dict[str, tuple[Any, Any]] | None = None,
        *,
        record: Record | None = None,
        shadow: Values | None = None,
    ) -> None:
        both = {address: [None if value is ABSENT else value for value in values] for address, values in (fields or {}).items()}
        mendable = why in ("gone there", "changed there")
        self._found.execute(
            "INSERT INTO found (kind, why, source_id, target_id, fields, record, seen, shadow) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                kind, why, source_id, target_id, encode_json(both),
                encode_json(record) if mendable and record is not None else None,
                self._shadow(record) if mendable and record is not None else None,
                encode_json(shadow) if mendable and shadow is not None else None,
            ),
        )  # fmt: skip


def _was_not_taken(known: Spelled | None, here: Any, says: Any) -> bool:
    """Return whether the destination was sent this, and says what it said before all the same."""
    if known is None or known.taken or not same(decode_json(known.sent), here):
        return False
    return same(decode_json(known.seen), says) if known.seen is not None else says in (ABSENT, None)


def _is_blank(value: Any) -> bool:
    return value is None or value == "" or value == []
