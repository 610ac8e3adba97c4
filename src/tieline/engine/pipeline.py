"""A page of records on its way to the outbox: compare with the shadows, `when`, map, check, match, decide, and one commit.

Everything that a page leads to (links, deliveries, what is parked or held, and the cursor) is durable in that one commit or not at all.
After it the deliveries are handed to the sender, and only then the next page is decided.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from tieline.dialects.decoding import Unreadable
from tieline.dialects.dialect import System
from tieline.engine.compiled import CompiledIntegration
from tieline.engine.destination import Destination
from tieline.engine.doubt import UNKNOWN_NEXT
from tieline.engine.failures import PASSING
from tieline.engine.ledger import Ledger, tell_set_aside
from tieline.engine.lookups import Lookups
from tieline.engine.matching import Matcher
from tieline.model.errors import CircuitOpen, MappingError, RemoteError, SafetyStop
from tieline.model.records import Record, Values, decode_json, encode_json
from tieline.spec.integrations import Archive
from tieline.store import journal, links, outbox, runs
from tieline.store.database import Database
from tieline.store.links import Link
from tieline.store.outbox import Delivery
from tieline.sync.decide import Candidate, changed_fields, identify, meet

Guard = Callable[[Delivery], None]
"""Looks at each decision before its commit; raises `SafetyStop` to refuse it."""

_SET_ASIDE = ("queued", "parked", "held", "unknown", "waiting", "deleted")
"""Verdicts of records that may have an open delivery, which a later version supersedes."""
_AT_REST = ("linked", "noted")
"""Verdicts of records that have no delivery on its way, and no doubt about one. An earlier version of any other may be."""
_PARKED_NEXT = "mend the rule or the record; a later version of the record is tried by itself, or `tieline dead-letters redrive`"
_UNREADABLE_NEXT = "have it mended where it comes from, which brings it anew, then `tieline dead-letters discard` this"
_CALLS_TOGETHER = 100
"""So many calls of pages on which nothing changed are journaled in one commit."""
_DELETIONS_TOGETHER = 1000
_MOST_CANDIDATES = 5
_NOTHING_FOUND: Mapping[str, bytes | None] = {}


class Braked(msgspec.Struct, frozen=True):
    """More deletions than a run may send."""

    deletions: int
    allowed: int

    def __str__(self) -> str:
        return f"{self.deletions} records were deleted in the source, more than the {self.allowed} that the brake on deletions allows"


class Pipeline:
    """Decides what a run must write."""

    def __init__(
        self,
        job: CompiledIntegration,
        source: System,
        ledger: Ledger,
        matcher: Matcher,
        sender: Destination,
        *,
        guard: Guard | None = None,
    ) -> None:
        self._job, self._source, self._ledger, self._matcher, self._sender = job, source, ledger, matcher, sender
        self._db: Database = ledger.db
        self.lookups, self._guard = Lookups(ledger.db, job), guard
        self.note_only = False
        """`start: now`: what is seen for the first time is only noted."""
        self.look_again = False
        """The source is read whole: what was ignored for want of a counterpart is looked at again."""
        self.compare_all = False
        """The mapping has changed since the shadows were made: nothing counts as unchanged before it is mapped again."""
        self.accept_undecided = True
        """What can't be matched, because the destination does not answer, is accepted and stays owed; otherwise the run fails."""
        self.unanswered: RemoteError | None = None
        """Why the destination can't be asked in this run."""
        self.most_deletes: int = job.spec.brakes.deletes
        """The most deletions that this run may send."""
        self.brake_holds = True
        """A plan only says in `braked` that the brake would hold."""
        self.braked: Braked | None = None
        self.deleted: dict[str, None] = {}
        """Records that were deleted in the source and may have a counterpart, in order."""
        self._keeps = links.keeps_any(ledger.db, ledger.integration)
        """Whether any record's counterpart is to keep what the source says otherwise."""
        self._under_way = _Page()
        """What was taken last; its commit may still be going on while the next records are decided."""
        self._committing: asyncio.Task[None] | None = None

    async def take(
        self,
        records: Sequence[Record],
        ids: Sequence[str | None],
        *,
        cursor: str | None = None,
        again: bool = False,
        repeated: bool = False,
        unreadable: Sequence[Unreadable] = (),
        pages: int = 1,
        events: Sequence[journal.Event] = (),
        found: Mapping[str, bytes | None] = _NOTHING_FOUND,
    ) -> None:
        """Decide records and begin to commit them together with the cursor and `events`; `settle` waits for it.

        With `again`, records are decided even if they are unchanged. With `repeated`, most of them were taken in this run already, and
        only what is new is counted. `found` has what was seen of the counterparts of linked records just now, by source id: their fields as
        JSON, or None where they are gone; the decision starts from there.
        """
        job, ledger = self._job, self._ledger
        now, run = ledger.clock.now(), ledger.run
        page = _Page()
        page.events += events
        page.parted = [source_id for source_id, fields in found.items() if fields is None]
        page.seen = [(source_id, fields) for source_id, fields in found.items() if fields is not None]
        by_id = self._by_id(records, ids, page, repeated)
        for entry in unreadable:
            self._set_apart(page, "unreadable", entry.problem, {"unreadable": entry.text}, repeated)
        for source_id in by_id.keys() & self.deleted.keys() if self.deleted else ():
            del self.deleted[source_id]  # it is there again
        if _overlap(self._under_way.ids, by_id):
            await self.settle()
        todo: list[_Change] = []
        for change in self._changes(by_id, page, again, repeated):
            link = change.link
            if link is not None and change.source_id in found:
                says = found[change.source_id]
                link = change.link = msgspec.structs.replace(
                    link, target_id=link.target_id if says is not None else None, target_shadow=says
                )
            if self._keeps and not again:
                page.kept_no_more.append((change.source_id, links.BY_HAND))  # from now on it is what the source makes of it
            if link is None and self.note_only:
                page.links.append(Link(change.source_id, None, None, change.shadow, None, "noted"))
                page.filtered += 1
                continue
            try:
                moves = job.when is None or again or self._moves(change.record, change.shadow, link)
            except MappingError as error:
                self._park(page, change, "when", str(error), problem="when")
                continue
            if not moves:
                page.filtered += 1
                if link is not None and link.verdict == "unknown" and link.target_id is None:
                    # Whether an earlier version was made is still not known: that letter stays open.
                    page.links.append(Link(change.source_id, None, None, change.shadow, None, "unknown"))
                    continue
                page.links.append(Link(change.source_id, None, None, change.shadow, None, "filtered"))
                if link is not None:
                    page.events.append(ledger.event(change.source_id, "filtered", when=job.spec.when))
                    if link.verdict in _SET_ASIDE:
                        page.reopened.append(change.source_id)
                continue
            todo.append(change)
        if todo:
            await self._decide(todo, page, again)
        first = ledger.ids("delivery", len(page.deliveries)) if page.deliveries else 0
        for number, delivery in enumerate(page.deliveries, first):
            delivery.id, delivery.run, delivery.accepted_at = number, run, now
            if delivery.state not in ("sending", "owed"):
                delivery.settled_at, delivery.settled_run = now, run
            if self._guard is not None:
                self._guard(delivery)
        await self.settle()  # one commit at a time, in order: the cursor never passes a page that is not durable
        page.pages, page.read = pages, len(by_id) + page.apart - page.repeated
        page.repeated += len(records) + len(unreadable) - len(by_id) - page.apart
        if page.changes_nothing and cursor is None and ledger.calls_waiting < _CALLS_TOGETHER:
            self._count(page)
            return
        page.ids, page.keys = by_id.keys(), {link.match_key for link in page.links}
        self._under_way = page
        if behind := [delivery.source_id for delivery in page.deliveries if delivery.behind]:
            self._sender.expect(behind)
        self._committing = asyncio.create_task(ledger.commit(page.unit(ledger, now, cursor)))

    async def settle(self) -> None:
        """Wait until what was taken last is durable, count it, and hand it to the sender."""
        if self._committing is None:
            return
        page, committing = self._under_way, self._committing
        self._under_way, self._committing = _Page(), None
        await committing
        self._count(page)
        await self._sender.put([delivery for delivery in page.deliveries if delivery.state == "sending"])

    def _count(self, page: _Page) -> None:
        counts = self._ledger.counts
        counts.pages += page.pages
        counts.read += page.read
        counts.unchanged += page.unchanged
        counts.filtered += page.filtered
        counts.held += page.held
        counts.parked += page.parked
        counts.owed += page.owed
        counts.matched += page.matched
        counts.repeated += page.repeated
        if page.held or page.parked:
            for delivery in page.deliveries:
                if delivery.state in ("dead", "held"):
                    tell_set_aside(self._ledger, delivery)

    async def take_deletions(self, source_ids: Sequence[str], *, repeated: bool = False) -> None:
        """Note records that the source says are gone. What is to be done waits for `settle_deletions`, under the brake."""
        await self.settle()
        ledger, policy = self._ledger, self._job.spec.deletes
        fresh = [source_id for source_id in dict.fromkeys(source_ids) if source_id not in self.deleted]
        known = links.of_sources(self._db, ledger.integration, fresh) if fresh else {}
        if repeated:
            fresh = [source_id for source_id in fresh if source_id in known and known[source_id].verdict != "deleted"]
        gone = [link for link in known.values() if link.verdict != "deleted"]
        # One whose creation is on its way or in doubt may have a counterpart, whatever became of later versions: its deletion goes behind it.
        perhaps = [link.source_id for link in gone if link.target_id is None and link.verdict not in ("queued", "unknown")]
        perhaps = outbox.may_be_made(self._db, ledger.integration, perhaps) if perhaps and policy != "ignore" else []
        there = [link.source_id for link in gone if link.target_id is not None or link.verdict in ("queued", "unknown")] + perhaps
        if policy == "ignore":
            there = []
            # What is open of these stays so: ignored is the deletion, not what came before it.
            gone = [link for link in gone if link.verdict not in _SET_ASIDE]
        never = [link.source_id for link in gone if link.source_id not in {*there}]
        ledger.counts.read += len(fresh) - len(there)
        ledger.counts.filtered += len(fresh) - len(there)
        ledger.counts.repeated += len(source_ids) - len(fresh)
        if never:
            page = _Page()
            page.events = [ledger.event(source_id, "deleted in the source") for source_id in never]
            page.gone, page.reopened = never, [] if policy == "ignore" else never
            await ledger.commit(page.unit(ledger, ledger.clock.now(), None))
        self.deleted.update(dict.fromkeys(there))

    async def settle_deletions(self, cursor: str | None) -> None:
        """Queue the deletions that were seen, and move the cursor with them. Raises `SafetyStop` when they are more than the brake allows."""
        await self.settle()
        ledger, gone = self._ledger, [*self.deleted]
        number, most, usual = len(gone), self.most_deletes, self._job.spec.brakes.deletes
        if number > most:
            self.braked = Braked(number, most)
            if self.brake_holds:
                raise SafetyStop(
                    f"{self._job.name}: {self.braked}: none of the deletions was sent",
                    next_step=f"look at them with `tieline plan {self._job.name}`; if they are meant, `tieline run {self._job.name} "
                    f"--allow-deletes {number}`; `brakes: {{deletes: {usual}}}` in the integration holds for every run",
                )
        elif number > usual:
            allowed = ledger.event(None, "deletions allowed by hand", deletions=number, allowed=most, brake=usual)
            await ledger.commit(lambda connection: journal.note(connection, [allowed]))
        self.deleted = {}
        for start in range(0, number, _DELETIONS_TOGETHER):
            last = start + _DELETIONS_TOGETHER >= number
            await self._settle_deletions(gone[start : start + _DELETIONS_TOGETHER], cursor if last else None)
        if not gone and cursor is not None:
            await self._settle_deletions([], cursor)

    async def _settle_deletions(self, source_ids: Sequence[str], cursor: str | None) -> None:
        ledger, policy = self._ledger, self._job.spec.deletes
        page, now = _Page(), ledger.clock.now()
        known = links.of_sources(self._db, ledger.integration, source_ids) if source_ids else {}
        ledger.counts.read += len(known)
        for link in known.values():
            agreed: Values = decode_json(link.target_shadow) if link.target_shadow else {}
            target_id = link.target_id
            if link.verdict == "queued" or target_id is None:
                for earlier in outbox.of_record(self._db, ledger.integration, link.source_id):
                    if earlier.state in ("owed", "sending", "unknown"):
                        agreed |= earlier.fields
                        # A creation whose answer was lost may have been found already, though nothing is confirmed yet.
                        target_id = target_id or earlier.target_id
            if isinstance(policy, Archive):
                values = (
                    {**self._as_kept(link.source_id, agreed), **policy.archive}
                    if self._job.target.whole_update
                    else self._job.whole_lists(policy.archive, agreed)
                )
                delivery = self._delivery(link.source_id, "update", target_id, values, agreed, {**agreed, **values})
            else:
                delivery = self._delivery(link.source_id, "delete", target_id, {}, agreed, agreed)
            delivery.id, delivery.run, delivery.accepted_at = ledger.ids("delivery", 1), ledger.run, now
            delivery.behind = target_id is None
            if self._guard is not None:
                self._guard(delivery)
            page.deliveries.append(delivery)
            page.reopened.append(link.source_id)
            page.gone.append(link.source_id)
        self._sender.expect([delivery.source_id for delivery in page.deliveries])
        await ledger.commit(page.unit(ledger, now, cursor))
        await self._sender.put(page.deliveries)

    # -- deciding

    def _moves(self, record: Record, shadow: bytes, link: Link | None) -> bool:
        assert self._job.when is not None
        if link is None:
            return self._job.when(record, None)
        if link.verdict == "ignored" and link.source_shadow == shadow:
            return self._job.when(record, None)
        if self.compare_all and (link.target_id is not None or link.source_shadow == shadow):
            # The mapping has changed: linked records are brought in line, others are seen as for the first time.
            return link.target_id is not None or self._job.when(record, None)
        return self._job.when(record, self._job.old_values(decode_json(link.source_shadow)))

    def _changes(self, by_id: Mapping[str, Record], page: _Page, again: bool, repeated: bool) -> list[_Change]:
        """Return the records that are not as they were when they were last seen."""
        if not by_id:
            return []
        db, integration, run, project = self._db, self._ledger.integration, self._ledger.run, self._job.project
        seen = links.shadows_of(db, integration, run, list(by_id), mapped_anew=self.compare_all, look_again=self.look_again)
        changes = []
        for source_id, record in by_id.items():
            shadow = encode_json(project(record))
            if again or seen.get(source_id) != shadow:
                changes.append(_Change(source_id, record, shadow))
        if repeated:
            page.repeated = len(by_id) - len(changes)
        else:
            page.unchanged = len(by_id) - len(changes)
        if known := [change.source_id for change in changes if change.source_id in seen]:
            linked = links.of_sources(db, integration, known)
            for change in changes:
                change.link = linked.get(change.source_id)
                if again and change.link is not None:
                    # One that was mended by hand keeps the shadow of what its system says: the next read does not bring the old one back.
                    change.shadow = change.link.source_shadow
        return changes

    def _by_id(self, records: Sequence[Record], ids: Sequence[str | None], page: _Page, repeated: bool) -> dict[str, Record]:
        if None not in ids:
            return dict(zip(ids, records, strict=True))  # type: ignore[arg-type]  # a record that comes twice counts once, in its last form
        by_id: dict[str, Record] = {}
        for source_id, record in zip(ids, records, strict=True):
            if source_id is None:
                self._set_apart(page, "no-id", "the record has no id that can be used", record, repeated)
            else:
                by_id[source_id] = record
        return by_id

    def _set_apart(self, page: _Page, kind: str, message: str, record: Record, repeated: bool) -> None:
        """Park what can't be told from others by an id. It is named by its content, so that the next run meets the same dead letter."""
        source_id = f"{kind}-{abs(hash_of(record)):x}"[: len(kind) + 13]
        known = any(link.source_id == source_id for link in page.links) or bool(
            links.of_sources(self._db, self._ledger.integration, [source_id])
        )
        if known and repeated:
            return
        page.apart += 1
        if known:
            page.parked += 1
        else:
            change = _Change(source_id, record, b"{}", None)
            self._park(page, change, kind, message, next_step=_UNREADABLE_NEXT if kind == "unreadable" else _PARKED_NEXT)

    async def _decide(self, todo: list[_Change], page: _Page, again: bool) -> None:
        job = self._job
        found_links = self.lookups.of(change.record for change in todo)
        unlinked: list[_Change] = []
        for change in todo:
            link = change.link
            try:
                change.values = job.mapping(change.record, found_links)
            except MappingError as error:
                self._mapping_failed(page, change, error)
                continue
            creating = link is None or link.target_id is None
            if creating and link is not None and link.verdict == "unknown" and not again:
                self._hold(
                    page,
                    change,
                    "unknown",
                    "whether an earlier version of it was created is not known",
                    verdict="unknown",
                    next_step=UNKNOWN_NEXT,
                )
                continue
            problems = job.check(change.values, creating)
            if problems:
                self._park(
                    page,
                    change,
                    "refused by our check",
                    "; ".join(f"`{p.address}` {p.text}" for p in problems),
                    problem=problems[0].address,
                )
            elif link is not None and link.target_id is not None:
                self._update(page, change, link.target_id, decode_json(link.target_shadow) if link.target_shadow else {})
            else:
                unlinked.append(change)
        if unlinked:
            await self._meet(unlinked, page, again)

    def mapped(self, record: Record) -> Values:
        """Return the destination's fields of a record. Raises `MappingError`."""
        return self._job.mapping(record, self.lookups.of([record]))

    async def _meet(self, unlinked: list[_Change], page: _Page, again: bool) -> None:
        job, spec = self._job, self._job.spec
        if not job.match:
            for change in unlinked:
                self._unmatched(page, change)
            return
        for change in unlinked:
            change.key = job.source_key(change.record)
        if (searched := self._matcher.searched) is None:
            keys: dict[str, Any] = {change.key: None for change in unlinked if change.key is not None}
        else:
            keys = {change.key: searched(change.record) for change in unlinked if change.key is not None}
        if _overlap(self._under_way.keys, keys):
            await self.settle()
        twins = links.of_match_keys(self._db, self._ledger.integration, list(keys)) if keys else {}
        if (candidates := await self._candidates(keys, unlinked, again=again)) is None:
            for change in unlinked:
                self._leave_undecided(page, change)
            return
        here: dict[str, str] = {}
        create_all = (spec.unmatched or "create") == "create"
        for change in unlinked:
            if (
                create_all
                and change.link is None
                and change.key is not None
                and change.key not in candidates
                and change.key not in twins
                and change.key not in here
            ):
                here[change.key] = change.source_id  # nobody has it: the common case of a first run
                self._create(page, change)
                continue
            twin = next((other for other in twins.get(change.key or "", ()) if other != change.source_id), None)
            if twin is None:
                twin = here.setdefault(change.key or "", change.source_id) if change.key is not None else None
            identity = identify(change.source_id, change.key, twin, candidates.get(change.key or "", ()))
            if identity.kind == "held":
                among = [candidate.id for candidate in candidates.get(change.key or "", ())][:_MOST_CANDIDATES]
                self._hold(
                    page,
                    change,
                    "unmatched",
                    identity.reason,
                    next_step="`tieline dead-letters resolve NO --as ID` says which record it is; or mend the records, then `redrive` it",
                    candidates=among or None,
                )
            elif identity.kind == "new":
                self._unmatched(page, change)
            else:
                assert identity.candidate is not None
                page.matched += 1
                there = identity.candidate
                self._leave_alone(change)
                meeting = meet(change.values, there.values, spec.conflict or "hold", job.agree)
                if meeting.conflicts:
                    fields = ", ".join(f"`{address}` is {left!r} here, {right!r} there" for address, left, right in meeting.conflicts[:5])
                    self._hold(
                        page,
                        change,
                        "conflict",
                        f"it matches {there.id}, but they differ: {fields}",
                        next_step="`tieline dead-letters resolve NO --keep source` sends what is here, `--keep target` leaves what is there",
                        field=meeting.conflicts[0][0],
                        candidates=[there.id],
                    )
                    continue
                # Until the write is confirmed, the destination says what it said.
                says = {address: value for address, value in meeting.agreed.items() if address not in meeting.write}
                says.update({address: there.values[address] for address in meeting.write if address in there.values})
                change.target_shadow = encode_json(says)
                page.events.append(self._ledger.event(change.source_id, "matched", target_id=there.id, by=dict(job.match)))
                own = there.values
                page.kept += [(change.source_id, a, encode_json(own[a]) if a in own else None) for a in meeting.kept]
                self._keeps = self._keeps or bool(meeting.kept)
                self._queue(page, change, "update", there.id, meeting.write, there.values, meeting.agreed)

    async def can_match(self, record: Record) -> bool:
        """Whether the destination can be asked for the counterpart of a record at the moment."""
        key = self._job.source_key(record) if self._job.match else None
        searched = self._matcher.searched
        return key is None or await self._candidates({key: searched(record) if searched is not None else None}, again=True) is not None

    async def _candidates(
        self, keys: dict[str, Any], unlinked: Sequence[_Change] = (), *, again: bool
    ) -> dict[str, list[Candidate]] | None:
        """Return the destination's records by match key; None when it can't be asked at the moment."""
        if self._job.upsert:
            return {}
        whose = lambda: {change.key: change.source_id for change in unlinked if change.key is not None}  # noqa: E731
        while self.unanswered is None:
            try:
                return await self._matcher.candidates(keys, whose, fresh=again)
            except RemoteError as error:
                why = await self._matcher.ask_again(keys, error) if isinstance(error, CircuitOpen) else error
                if why is None:
                    continue
                if not self.accept_undecided or not isinstance(why, PASSING):
                    raise why from None
                self.unanswered = why
        return None

    def _leave_undecided(self, page: _Page, change: _Change) -> None:
        error = self.unanswered
        assert error is not None
        page.owed += 1
        why = outbox.reason(
            error.kind, f"whether the destination has it already can't be asked: {error}", error.next_step, likely=error.likely
        )
        self._set_aside(page, change, "owed", "waiting", why)

    def _update(self, page: _Page, change: _Change, target_id: str, agreed: Values) -> None:
        self._leave_alone(change)
        if self._job.match:
            change.key = self._job.source_key(change.record)
        # While an earlier version is under way, or its answer was lost, nobody knows what the destination says: all fields are sent.
        uncertain = change.link is not None and change.link.verdict in ("queued", "unknown")
        write = changed_fields(change.values, agreed)
        kept = links.kept(self._db, self._ledger.integration, change.source_id) if self._keeps else {}
        if uncertain:
            write |= {address: value for address, value in change.values.items() if address not in kept}
        assert change.link is not None
        if change.link.verdict not in _AT_REST:
            # What is on its way will have changed these, though nobody has agreed to it yet.
            for earlier in outbox.of_record(self._db, self._ledger.integration, change.source_id):
                if earlier.state in ("owed", "sending", "unknown"):
                    again = (address for address in earlier.fields if address in change.values and address not in kept)
                    write |= {address: change.values[address] for address in again}
        self._queue(page, change, "update", target_id, write, agreed, {**agreed, **change.values})

    def _as_kept(self, source_id: str, agreed: Values) -> Values:
        """Return what was agreed on, with what the destination was to keep as it stands there: an update of the whole record sends it along."""
        kept = links.kept(self._db, self._ledger.integration, source_id) if self._keeps else {}
        values = {address: value for address, value in agreed.items() if address not in kept}
        return values | {address: decode_json(value) for address, value in kept.items() if value is not None}

    def _leave_alone(self, change: _Change) -> None:
        for address in self._job.only_create:
            change.values.pop(address, None)

    def _unmatched(self, page: _Page, change: _Change) -> None:
        unmatched = self._job.spec.unmatched or "create"
        if unmatched == "create":
            self._queue(page, change, "create", None, change.values, {}, change.values)
        elif unmatched == "hold":
            self._hold(page, change, "unmatched", "the destination has no record with its match key")
        else:
            page.filtered += 1
            link = change.link
            if link is not None and link.verdict == "ignored" and link.source_shadow == change.shadow:
                return  # looked at again, and still without a counterpart
            if link is not None and link.verdict in _SET_ASIDE:
                page.reopened.append(change.source_id)
            page.links.append(Link(change.source_id, None, change.key, change.shadow, None, "ignored"))
            page.events.append(self._ledger.event(change.source_id, "ignored", unmatched="ignore"))

    def _create(self, page: _Page, change: _Change) -> None:
        """Queue the creation of a record that neither side has met: nothing of it is under way, set aside, or there already."""
        changed = encode_json(change.values)
        page.links.append(Link(change.source_id, None, change.key, change.shadow, changed, "queued"))
        page.deliveries.append(
            Delivery(
                0, change.source_id, None, "create", "sending", 0, 0.0,
                changed=changed, agreed=changed, shadowed=True, values=change.values, source=change.record, match_key=change.key, fresh=True,
            )
        )  # fmt: skip

    def _queue(
        self, page: _Page, change: _Change, operation: str, target_id: str | None, write: Values, before: Values, agreed: Values
    ) -> None:
        link = change.link
        if operation == "update" and write and (why := self._job.cannot_update(write, before)) is not None:
            self._park(page, change, "no-update", why)
            return
        if link is not None and link.verdict in _SET_ASIDE:
            page.reopened.append(change.source_id)
        if operation == "update" and not write:
            page.unchanged += 1
            page.links.append(Link(change.source_id, target_id, change.key, change.shadow, encode_json(agreed), "linked"))
            if link is not None and link.source_shadow != change.shadow:
                page.events.append(self._ledger.event(change.source_id, "changed, but nothing to send"))
            return
        if self._keeps:
            page.kept_no_more += [(change.source_id, address) for address in write]
        if operation == "update":
            # What is left out would be cleared.
            whole = self._job.target.whole_update
            write = {**self._as_kept(change.source_id, before), **write} if whole else self._job.whole_lists(write, {**agreed, **before})
        delivery = self._delivery(change.source_id, operation, target_id, write, before, agreed)
        # While an earlier version is on its way, its shadow stays: this one writes its own when it is confirmed.
        delivery.behind = link is not None and link.verdict not in _AT_REST
        delivery.shadowed = operation == "create" and not delivery.behind
        target_shadow = delivery.agreed if delivery.shadowed else change.target_shadow
        page.links.append(Link(change.source_id, target_id, change.key, change.shadow, target_shadow, "queued"))
        delivery.source, delivery.match_key = change.record, change.key
        page.deliveries.append(delivery)

    def _delivery(self, source_id: str, operation: str, target_id: str | None, write: Values, before: Values, agreed: Values) -> Delivery:
        replaced = {address: before[address] for address in write if address in before} if before else None
        changed = encode_json(write)
        return Delivery(
            0, source_id, target_id, operation, "sending", 0, 0.0,
            changed=changed, before=encode_json(replaced) if replaced else None,
            agreed=changed if agreed is write else encode_json(agreed), values=write, fresh=True,
        )  # fmt: skip

    def _mapping_failed(self, page: _Page, change: _Change, error: MappingError) -> None:
        if error.lookup is not None:
            integration, id = error.lookup
            self._hold(
                page,
                change,
                "waiting",
                f"`{error.target}` needs the counterpart of {id} in {integration}, which has none yet",
                verdict="waiting",
                next_step=f"nothing, once {integration} has a counterpart for {id}: the next run after that sends it by itself",
                field=error.target,
                lookup=[integration, id],
            )
        else:
            self._park(page, change, "mapping", str(error), problem=error.target, value=error.value)

    def _hold(
        self,
        page: _Page,
        change: _Change,
        kind: str,
        message: str,
        *,
        verdict: str = "held",
        next_step: str = "mend the cause, then `tieline dead-letters redrive` it",
        **more: Any,
    ) -> None:
        page.held += 1
        self._set_aside(page, change, "held", verdict, outbox.reason(kind, message, next_step, **more))

    def _park(
        self,
        page: _Page,
        change: _Change,
        kind: str,
        message: str,
        *,
        problem: str | None = None,
        value: Any = None,
        next_step: str = _PARKED_NEXT,
    ) -> None:
        page.parked += 1
        file, line = self._job.where(problem) if problem else (None, None)
        why = outbox.reason(
            kind, message, next_step,
            field=problem, rule=f"{file}:{line}" if file else None, value=value,
        )  # fmt: skip
        self._set_aside(page, change, "dead", "parked", why)

    def _set_aside(self, page: _Page, change: _Change, state: str, verdict: str, why: bytes) -> None:
        link = change.link
        if link is not None:
            page.reopened.append(change.source_id)
            if link.verdict == "unknown" and link.target_id is None:
                verdict = "unknown"  # a later version must not forget that an earlier one may have been made
        page.links.append(Link(change.source_id, None, change.key, change.shadow, None, verdict))
        page.deliveries.append(
            Delivery(
                0, change.source_id, link.target_id if link else None, "none", state, 0, 0.0,
                changed=encode_json(change.values) if change.values else None, record=encode_json(change.record), reason=why,
            )
        )  # fmt: skip


class _Change(msgspec.Struct, gc=False):
    """A record that is not what it was, on its way through the page."""

    source_id: str
    record: Record
    shadow: bytes
    link: Link | None = None
    values: Values = {}
    key: str | None = None
    target_shadow: bytes | None = None


class _Page:
    """What a page leads to; `unit` makes it durable."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.deliveries: list[Delivery] = []
        self.events: list[journal.Event] = []
        self.reopened: list[str] = []
        self.gone: list[str] = []
        """Records that are not in the source any more."""
        self.parted: list[str] = []
        """Records whose counterparts are not there any more."""
        self.seen: list[tuple[str, bytes]] = []
        """What counterparts were seen to say."""
        self.kept: list[tuple[str, str, bytes | None]] = []
        """(Source id, field, what it says as JSON) of what counterparts are to keep."""
        self.kept_no_more: list[tuple[str, str]] = []
        """(Source id, field) of what is written, and so not kept any more."""
        self.ids: AbstractSet[str] = frozenset()
        self.keys: AbstractSet[str | None] = frozenset()
        self.read = self.pages = self.repeated = 0
        self.unchanged = self.filtered = self.held = self.parked = self.owed = self.matched = self.apart = 0

    @property
    def changes_nothing(self) -> bool:
        """Whether there is nothing to make durable: what is unchanged is only counted."""
        return not (self.links or self.gone or self.reopened or self.deliveries or self.events)

    def unit(self, ledger: Ledger, now: float, cursor: str | None) -> Callable[[sqlite3.Connection], None]:
        integration, run = ledger.integration, ledger.run

        def commit(connection: sqlite3.Connection) -> None:
            if self.parted:
                links.part(connection, integration, self.parted)
            if self.seen:
                links.see(connection, integration, self.seen)
            if self.kept:
                links.keep(connection, integration, self.kept)
            if self.kept_no_more:
                links.keep_no_more(connection, integration, self.kept_no_more)
            if self.links:
                links.put(connection, integration, run, self.links)
            if self.gone:
                links.judge(connection, integration, self.gone, "deleted")
            since: dict[str, float] = {}
            if self.reopened:
                since = outbox.owed_since(connection, integration, self.reopened)
                outbox.supersede(connection, integration, self.reopened, run=run, now=now)
            if self.deliveries:
                outbox.queue(connection, integration, run, now, self.deliveries)
                if since:
                    outbox.inherit_age(connection, self.deliveries, since)
            if self.events:
                journal.note(connection, [event._replace(at=now) for event in self.events])
            if cursor is not None:
                runs.move_cursor(connection, integration, cursor)

        return commit


def _overlap(left: AbstractSet[Any], right: Iterable[Any]) -> bool:
    return bool(left) and not left.isdisjoint(right)


def hash_of(record: Record) -> int:
    """Return a number that depends on the content alone."""
    return int.from_bytes(hashlib.sha256(encode_json(record)).digest()[:8], "big")
