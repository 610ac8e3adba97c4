"""A page of records on its way to the outbox: compare with the shadows, `when`, map, check, match, decide, and one commit.

Everything that a page leads to (links, deliveries, what is parked or held, and the cursor) is durable in that one commit or not at all.
After it the deliveries are handed to the sender, and only then the next page is decided.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from tieline.dialects.decoding import Unreadable
from tieline.dialects.dialect import System
from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.destination import Destination
from tieline.engine.core.failures import PASSING
from tieline.engine.core.ledger import Ledger, tell_set_aside
from tieline.engine.decide.brakes import Braked
from tieline.engine.decide.deletions import Deletions, Guard
from tieline.engine.decide.page import SET_ASIDE, Change, delivery_of
from tieline.engine.decide.page import Page as _Page
from tieline.engine.deliver.uncertain import UNKNOWN_NEXT
from tieline.engine.lookup.before_images import TakeImages
from tieline.engine.lookup.looks import may_look_again
from tieline.engine.lookup.matching import Matcher
from tieline.engine.lookup.references import Lookups
from tieline.model.errors import CircuitOpen, MappingError, RemoteError
from tieline.model.lists import differ, entries, once, ours, within
from tieline.model.records import Record, Values, decode_json, encode_json
from tieline.store import journal, letters, links, outbox
from tieline.store.database import Database
from tieline.store.links import Link
from tieline.sync.decide import Candidate, changed_fields, identify, meet

__all__ = ["Guard", "Pipeline"]

_AT_REST = ("linked", "noted")
"""Verdicts of records that have no delivery on its way, and no doubt about one. An earlier version of any other may be."""
_HELD_NEXT = "correct the cause, then `tieline dead-letters redrive` it"
_PARKED_NEXT = "correct the rule or the record; a later version of the record is tried by itself, or `tieline dead-letters redrive`"
_UNREADABLE_NEXT = "have it corrected where it comes from, which brings it again, then `tieline dead-letters discard` this"
_CALLS_TOGETHER = 100
"""So many calls of pages on which nothing changed are journaled in one commit."""
_MOST_CANDIDATES = 5
_NOTHING_FOUND: Mapping[str, bytes | None] = {}


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
        take_images: TakeImages,
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
        self._deletions = Deletions(job, ledger, sender, self._as_kept, guard, take_images)
        self._keeps = links.keeps_any(ledger.db, ledger.integration)
        """Whether any record's counterpart is to keep what the source says otherwise."""
        self._knows_any = links.is_any(ledger.db, ledger.integration)
        """Something is linked already, so that an upsert could hit another record's counterpart."""
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
        heard: int | None = None,
        found: Mapping[str, bytes | None] = _NOTHING_FOUND,
    ) -> None:
        """Decide records and begin to commit them together with the cursor and `events`; `settle` waits for it.

        With `again`, records are decided even if they are unchanged. With `repeated`, most of them were taken in this run already, and
        only what is new is counted. Up to `heard` the inbox is taken up with them. `found` has what was seen of the counterparts of linked records just now, by source id: their fields as
        JSON, or None where they are gone; the decision starts from there.
        """
        job, ledger = self._job, self._ledger
        now, run = ledger.clock.now(), ledger.run
        page = _Page()
        page.events += events
        page.heard = heard
        page.parted = [source_id for source_id, fields in found.items() if fields is None]
        page.seen = [(source_id, fields) for source_id, fields in found.items() if fields is not None]
        by_id = self._by_id(records, ids, page, repeated)
        for entry in unreadable:
            self._set_apart(page, "unreadable", entry.problem, {"unreadable": entry.text}, repeated)
        self._deletions.are_back(by_id.keys())
        if _overlap(self._under_way.ids, by_id):
            await self.settle()
        todo: list[Change] = []
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
            if not moves and job.leaves and link is not None and self._deletions.leaves(change):
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
                    if link.verdict in SET_ASIDE:
                        page.reopened.append(change.source_id)
                continue
            todo.append(change)
        if todo:
            await self._decide(todo, page, again)
        first = ledger.ids("delivery", len(page.deliveries)) if page.deliveries else 0
        for number, delivery in enumerate(page.deliveries, first):
            delivery.id, delivery.run, delivery.accepted_at = number, run, now
            if delivery.state not in ("sending", "owed", "unknown"):
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
        await self._sender.put([delivery for delivery in page.deliveries if delivery.state in ("sending", "unknown")])

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
        await self._deletions.take(source_ids, repeated=repeated)

    async def settle_deletions(self, cursor: str | None, heard: int | None = None) -> None:
        """Queue the deletions that were seen, and move the cursor and the place in the inbox with them. Raises `SafetyStop` when they are more than the brake allows."""
        await self.settle()
        await self._deletions.settle(cursor, heard, most=self.most_deletes, brake_holds=self.brake_holds)

    def too_many_missing(self, number: int) -> bool:
        """Whether so many deletions are more than the brake allows. Raises `SafetyStop` where it holds."""
        if number <= self.most_deletes:
            return False
        self._deletions.brake(number, self.most_deletes, holds=self.brake_holds)
        return True

    @property
    def braked(self) -> Braked | None:
        """The brake that held the deletions, or would hold those of a plan."""
        return self._deletions.braked

    # -- deciding

    def _moves(self, record: Record, shadow: bytes, link: Link | None) -> bool:
        assert self._job.when is not None
        if link is None or self._job.leaves:
            return self._job.when(record, None)
        if link.verdict == "ignored" and link.source_shadow == shadow:
            return self._job.when(record, None)
        if self.compare_all and (link.target_id is not None or link.source_shadow == shadow):
            # The mapping has changed: linked records are brought in line, others are seen as for the first time.
            return link.target_id is not None or self._job.when(record, None)
        return self._job.when(record, self._job.old_values(decode_json(link.source_shadow)))

    def _changes(self, by_id: Mapping[str, Record], page: _Page, again: bool, repeated: bool) -> list[Change]:
        """Return the records that are not as they were when they were last seen."""
        if not by_id:
            return []
        db, integration, run, project = self._db, self._ledger.integration, self._ledger.run, self._job.project
        seen = links.shadows_of(db, integration, run, list(by_id), mapped_anew=self.compare_all, look_again=self.look_again)
        changes = []
        for source_id, record in by_id.items():
            shadow = encode_json(project(record))
            if again or seen.get(source_id) != shadow:
                changes.append(Change(source_id, record, shadow))
        if repeated:
            page.repeated = len(by_id) - len(changes)
        else:
            page.unchanged = len(by_id) - len(changes)
        if known := [change.source_id for change in changes if change.source_id in seen]:
            linked = links.of_sources(db, integration, known)
            for change in changes:
                change.link = linked.get(change.source_id)
                if again and change.link is not None:
                    # One that was corrected by hand keeps the shadow of what its system says: the next read does not bring the old one back.
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
            change = Change(source_id, record, b"{}", None)
            self._park(page, change, kind, message, next_step=_UNREADABLE_NEXT if kind == "unreadable" else _PARKED_NEXT)

    async def _decide(self, todo: list[Change], page: _Page, again: bool) -> None:
        job = self._job
        found_links = self.lookups.of(change.record for change in todo)
        unlinked: list[Change] = []
        for change in todo:
            link = change.link
            try:
                change.values = job.mapping(change.record, found_links)
            except MappingError as error:
                self._mapping_failed(page, change, error)
                continue
            creating = link is None or link.target_id is None
            if creating and link is not None and link.verdict == "unknown" and not again:
                page.hold(change, "unknown", "whether an earlier version of it was created is not known", UNKNOWN_NEXT, verdict="unknown")
                continue
            problems = job.check(change.values, creating)
            if problems:
                self._park(
                    page,
                    change,
                    "refused by our check",
                    "; ".join(f"`{p.address}` {p.text}" for p in problems),
                    problem=problems[0].address,
                    value=change.values.get(problems[0].address),
                )
            elif link is not None and link.target_id is not None:
                there = decode_json(link.target_shadow) if link.target_shadow else {}
                self._update(page, change, link.target_id, there, look=again or self.compare_all)
            else:
                unlinked.append(change)
        if unlinked:
            await self._meet(unlinked, page, again)

    def mapped(self, record: Record) -> Values:
        """Return the destination's fields of a record. Raises `MappingError`."""
        return self._job.mapping(record, self.lookups.of([record]))

    async def _meet(self, unlinked: list[Change], page: _Page, again: bool) -> None:
        job, spec = self._job, self._job.spec
        if not job.match:
            for change in unlinked:
                self._unmatched(page, change)
            return
        for change in unlinked:
            change.key = job.source_key(change.record)
        wordings = self._matcher.wordings if self._matcher.searched is not None else lambda record, values: ()
        keys: dict[str, tuple[Any, ...]] = {
            change.key: wordings(change.record, change.values) for change in unlinked if change.key is not None
        }
        if _overlap(self._under_way.keys, keys):
            await self.settle()
        twins = links.of_match_keys(self._db, self._ledger.integration, list(keys)) if keys else {}
        refused: dict[str, RemoteError] = {}
        if (candidates := await self._candidates(keys, unlinked, again=again, refused=refused)) is None:
            for change in unlinked:
                self._leave_undecided(page, change)
            return
        if refused:
            for change in unlinked:
                if (error := refused.get(change.key or "")) is not None:
                    self._set_aside_unsearched(page, change, error)
            unlinked = [change for change in unlinked if change.key not in refused]
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
                here[change.key] = change.source_id  # no one has it: the common case of a first run
                page.create(change)
                continue
            twin = next((other for other in twins.get(change.key or "", ()) if other != change.source_id), None)
            if twin is None:
                twin = here.setdefault(change.key or "", change.source_id) if change.key is not None else None
            identity = identify(change.source_id, change.key, twin, candidates.get(change.key or "", ()))
            if identity.kind == "held":
                among = [candidate.id for candidate in candidates.get(change.key or "", ())][:_MOST_CANDIDATES]
                page.hold(
                    change,
                    "unmatched",
                    identity.reason,
                    "`tieline dead-letters resolve NO --as ID` says which record it is; or correct the records, then `redrive` it",
                    candidates=among or None,
                )
            elif identity.kind == "new":
                self._unmatched(page, change)
            else:
                assert identity.candidate is not None
                page.matched += 1
                there = identity.candidate
                self._leave_alone(change)
                meeting = meet(change.values, there.values, spec.conflict or "hold", job.agree, job.lists)
                if meeting.conflicts:
                    fields = ", ".join(f"`{address}` is {left!r} here, {right!r} there" for address, left, right in meeting.conflicts[:5])
                    page.hold(
                        change,
                        "conflict",
                        f"it matches {there.id}, but they differ: {fields}",
                        "`tieline dead-letters resolve NO --keep source` sends what is here, `--keep target` leaves what is there",
                        field=meeting.conflicts[0][0],
                        candidates=[there.id],
                    )
                    continue
                # Until the write is confirmed, the destination says what it said.
                says = {address: value for address, value in meeting.agreed.items() if address not in meeting.write}
                own = there.values
                says.update({address: own[address] for address in meeting.write if address in own})
                theirs = {a: within(value, entries(own.get(a))) for a, value in change.values.items() if a in job.lists}
                says.update(theirs)
                page.own += [(change.source_id, address, found) for address, found in theirs.items() if found]
                change.target_shadow = encode_json(says)
                page.events.append(self._ledger.event(change.source_id, "matched", target_id=there.id, by=dict(job.match)))
                page.kept += [(change.source_id, a, encode_json(own[a]) if a in own else None) for a in meeting.kept]
                self._keeps = self._keeps or bool(meeting.kept)
                self._queue(page, change, "update", there.id, meeting.write, {**own, **theirs}, meeting.agreed)

    async def can_match(self, record: Record) -> bool:
        """Whether the destination can be asked for the counterpart of a record at the moment."""
        key = self._job.source_key(record) if self._job.match else None
        wordings = self._matcher.wordings(record, {}) if self._matcher.searched is not None else ()
        return key is None or await self._candidates({key: wordings}, again=True, refused={}) is not None

    async def _candidates(
        self,
        keys: dict[str, tuple[Any, ...]],
        unlinked: Sequence[Change] = (),
        *,
        again: bool,
        refused: dict[str, RemoteError] | None = None,
    ) -> dict[str, list[Candidate]] | None:
        """Return the destination's records by match key; None when it can't be asked at the moment. `refused` takes searches that were refused."""
        if self._job.upsert and not self._knows_any:
            return {}  # whom an upsert hits is no one's counterpart yet
        whose = lambda: {change.key: change.source_id for change in unlinked if change.key is not None}  # noqa: E731
        while self.unanswered is None:
            try:
                return await self._matcher.candidates(keys, whose, fresh=again, refused=refused)
            except RemoteError as error:
                why = await self._matcher.ask_again(keys, error) if isinstance(error, CircuitOpen) else error
                if why is None:
                    continue
                if not self.accept_undecided or not isinstance(why, PASSING):
                    raise why from None
                self.unanswered = why
        return None

    def _set_aside_unsearched(self, page: _Page, change: Change, error: RemoteError) -> None:
        """Leave a record of which the destination does not say whether it has it: made, it could be there twice."""
        known = change.link is not None
        earlier = outbox.open_by_record(self._db, self._ledger.integration, [change.source_id]).get(change.source_id, ()) if known else ()
        again = may_look_again(error, earlier, self._job.spec.retry)
        why = outbox.reason(
            "halted" if again else "look-up", f"whether the destination has it already can't be told: {error}", error.next_step,
            likely=error.likely, status=error.status, answer=error.text, field=self._job.match[0][0], looked=error.looked,
        )  # fmt: skip
        if again:
            page.owe(change, why)
        else:
            page.park(change, why)

    def _leave_undecided(self, page: _Page, change: Change) -> None:
        error = self.unanswered
        assert error is not None
        # No write has left: the reason is none that leaves a write in doubt, nor one for a person.
        kind = error.kind if error.kind in letters.ON_ITS_WAY else "halted"
        why = outbox.reason(kind, f"whether the destination has it already can't be asked: {error}", error.next_step, likely=error.likely)
        page.owe(change, why)

    def _ours(self, change: Change, agreed: Values) -> Values:
        """Return what was agreed on of lists that keep their own entries, without those that are not ours to take out."""
        own = links.own_entries(self._db, self._ledger.integration, change.source_id)
        return {address: ours(agreed.get(address), change.values.get(address), own.get(address, ())) for address in self._job.lists}

    def _update(self, page: _Page, change: Change, target_id: str, agreed: Values, *, look: bool) -> None:
        """Queue what brings a counterpart in line. `look`: it may not say what was agreed on."""
        self._leave_alone(change)
        if self._job.match:
            change.key = self._job.source_key(change.record)
        # While an earlier version is under way, or its answer was lost, no one knows what the destination says: all fields are sent.
        uncertain = change.link is not None and change.link.verdict in ("queued", "unknown")
        write = changed_fields(change.values, agreed)
        before = {**agreed, **self._ours(change, agreed)} if self._job.lists else agreed
        for address, remove in self._job.lists.items():
            if address in write and not differ(agreed.get(address), write[address]) and not (remove and look):
                del write[address]
            elif remove and look and address in change.values:
                write[address] = change.values[address]  # what is to be taken out may be there, wherever it comes from
        kept = links.kept(self._db, self._ledger.integration, change.source_id) if self._keeps else {}
        if uncertain:
            write |= {address: value for address, value in change.values.items() if address not in kept}
        assert change.link is not None
        if change.link.verdict not in _AT_REST:
            # What is on its way will have changed these, though no one has agreed to it yet.
            for earlier in outbox.of_record(self._db, self._ledger.integration, change.source_id):
                if earlier.state in ("owed", "sending", "unknown"):
                    again = (address for address in earlier.fields if address in change.values and address not in kept)
                    write |= {address: change.values[address] for address in again}
                    if earlier.state != "owed":  # its entries may be there
                        for address in self._job.lists.keys() & earlier.fields.keys():
                            before[address] = once([*entries(before.get(address)), *entries(earlier.fields[address])])
        self._queue(page, change, "update", target_id, write, before, {**agreed, **change.values})

    def _as_kept(self, source_id: str, agreed: Values) -> Values:
        """Return what was agreed on, with what the destination was to keep as it stands there: an update of the whole record sends it along."""
        kept = links.kept(self._db, self._ledger.integration, source_id) if self._keeps else {}
        values = {address: value for address, value in agreed.items() if address not in kept}
        return values | {address: decode_json(value) for address, value in kept.items() if value is not None}

    def _leave_alone(self, change: Change) -> None:
        for address in self._job.only_create:
            change.values.pop(address, None)

    def _unmatched(self, page: _Page, change: Change) -> None:
        unmatched = self._job.spec.unmatched or "create"
        if unmatched == "create":
            self._queue(page, change, "create", None, change.values, {}, change.values)
        elif unmatched == "hold":
            page.hold(change, "unmatched", "the destination has no record with its match key", _HELD_NEXT)
        else:
            page.filtered += 1
            link = change.link
            if link is not None and link.verdict == "ignored" and link.source_shadow == change.shadow:
                return  # looked at again, and still without a counterpart
            if link is not None and link.verdict in SET_ASIDE:
                page.reopened.append(change.source_id)
            page.links.append(Link(change.source_id, None, change.key, change.shadow, None, "ignored"))
            page.events.append(self._ledger.event(change.source_id, "ignored", unmatched="ignore"))

    def _queue(
        self, page: _Page, change: Change, operation: str, target_id: str | None, write: Values, before: Values, agreed: Values
    ) -> None:
        link = change.link
        if operation == "update" and write and (why := self._job.cannot_update(write, before)) is not None:
            self._park(page, change, "no-update", why)
            return
        if link is not None and link.verdict in SET_ASIDE:
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
        delivery = delivery_of(change.source_id, operation, target_id, write, before, agreed)
        # While an earlier version is on its way, its shadow stays: this one writes its own when it is confirmed.
        delivery.behind = link is not None and link.verdict not in _AT_REST
        delivery.shadowed = operation == "create" and not delivery.behind
        if operation == "create" and link is not None and link.verdict == "unknown":
            # A person has it tried again, and has not said that it was never made: it is looked for first, also if this process dies now.
            delivery.state, delivery.fresh, delivery.doubt, delivery.inherited = "unknown", False, True, True
        target_shadow = delivery.agreed if delivery.shadowed else change.target_shadow
        page.links.append(Link(change.source_id, target_id, change.key, change.shadow, target_shadow, "queued"))
        delivery.source, delivery.match_key = change.record, change.key
        page.deliveries.append(delivery)

    def _mapping_failed(self, page: _Page, change: Change, error: MappingError) -> None:
        if error.lookup is not None:
            integration, id = error.lookup
            page.hold(
                change,
                "waiting",
                f"`{error.target}` needs the counterpart of {id} in {integration}, which has none yet",
                f"nothing, once {integration} has a counterpart for {id}: the next run after that sends it by itself",
                verdict="waiting",
                field=error.target,
                lookup=[integration, id],
            )
        else:
            self._park(page, change, "mapping", str(error), problem=error.target, value=error.value)

    def _park(
        self,
        page: _Page,
        change: Change,
        kind: str,
        message: str,
        *,
        problem: str | None = None,
        value: Any = None,
        next_step: str = _PARKED_NEXT,
    ) -> None:
        file, line = self._job.where(problem) if problem else (None, None)
        why = outbox.reason(
            kind, message, next_step,
            field=problem, rule=f"{file}:{line}" if file else None, value=value,
        )  # fmt: skip
        page.park(change, why)


def _overlap(left: AbstractSet[Any], right: Iterable[Any]) -> bool:
    return bool(left) and not left.isdisjoint(right)


def hash_of(record: Record) -> int:
    """Return a number that depends on the content alone."""
    return int.from_bytes(hashlib.sha256(encode_json(record)).digest()[:8], "big")
