"""Records that are gone from the source, or for which `when` does not hold any more: noted while it is read, carried out once all of it is, under the brake."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from tieline.config.models.integrations import Archive, Setting
from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.destination import Destination
from tieline.engine.core.ledger import Ledger, tell_set_aside
from tieline.engine.decide.brakes import Braked
from tieline.engine.decide.page import SET_ASIDE, Change, Page, delivery_of
from tieline.engine.lookup.before_images import TakeImages
from tieline.model.errors import SafetyStop
from tieline.model.lists import ours
from tieline.model.records import Values, decode_json, encode_json
from tieline.store import journal, links, outbox
from tieline.store.delivery import Delivery
from tieline.store.links import Link
from tieline.sync.decide import changed_fields

Guard = Callable[[Delivery], None]
"""Looks at each decision before its commit; raises `SafetyStop` to refuse it."""
_DELETIONS_TOGETHER = 1000


class Deletions:
    """The deletions of one run."""

    def __init__(
        self,
        job: CompiledIntegration,
        ledger: Ledger,
        sender: Destination,
        as_kept: Callable[[str, Values], Values],
        guard: Guard | None,
        take_images: TakeImages,
    ) -> None:
        """`as_kept` gives what was agreed on of a record, with what its counterpart was to keep as it stands there."""
        self._job, self._ledger, self._sender, self._as_kept, self._guard = job, ledger, sender, as_kept, guard
        self._take_images = take_images
        self._gone: dict[str, None] = {}
        """Records that were deleted in the source and may have a counterpart, in order."""
        self._leaving: dict[str, Change] = {}
        """Those of them that are still there, and for which `when` does not hold any more."""
        self.braked: Braked | None = None

    def are_back(self, source_ids: Collection[str]) -> None:
        """Forget the deletions of records that are there again."""
        for source_id in source_ids & self._gone.keys() if self._gone else ():
            del self._gone[source_id]
            self._leaving.pop(source_id, None)

    def leaves(self, change: Change) -> bool:
        """Note a record for which `when` does not hold any more, if anything follows from it in the destination."""
        link, policy = change.link, self._job.spec.otherwise
        assert link is not None
        if link.verdict == "deleted":  # its deletion is on its way
            return link.target_id is not None
        on_its_way = link.verdict in ("queued", "unknown")
        if link.target_id is None and not on_its_way:
            return False
        if isinstance(policy, Setting) and not on_its_way:
            agreed = decode_json(link.target_shadow) if link.target_shadow else {}
            if not changed_fields(policy.set, agreed):
                return False
        self._gone[change.source_id], self._leaving[change.source_id] = None, change
        return True

    async def take(self, source_ids: Sequence[str], *, repeated: bool = False) -> None:
        """Note records that the source says are gone; with `repeated`, most of them were noted in this run already."""
        ledger, policy = self._ledger, self._job.spec.deletes
        fresh = [source_id for source_id in dict.fromkeys(source_ids) if source_id not in self._gone]
        known = links.of_sources(ledger.db, ledger.integration, fresh) if fresh else {}
        if repeated:
            fresh = [source_id for source_id in fresh if source_id in known and known[source_id].verdict != "deleted"]
        gone = [link for link in known.values() if link.verdict != "deleted"]
        # One whose creation is on its way or in doubt may have a counterpart, whatever became of later versions: its deletion goes behind it.
        perhaps = [link.source_id for link in gone if link.target_id is None and link.verdict not in ("queued", "unknown")]
        perhaps = outbox.may_be_made(ledger.db, ledger.integration, perhaps) if perhaps and policy != "ignore" else []
        there = [link.source_id for link in gone if link.target_id is not None or link.verdict in ("queued", "unknown")] + perhaps
        if policy == "ignore":
            there = []
            # What is open of these stays so: ignored is the deletion, not what came before it.
            gone = [link for link in gone if link.verdict not in SET_ASIDE]
        never = [link.source_id for link in gone if link.source_id not in {*there}]
        ledger.counts.read += len(fresh) - len(there)
        ledger.counts.filtered += len(fresh) - len(there)
        ledger.counts.repeated += len(source_ids) - len(fresh)
        if never:
            page = Page()
            page.events = [ledger.event(source_id, "deleted in the source") for source_id in never]
            page.gone, page.reopened = never, [] if policy == "ignore" else never
            await ledger.commit(page.unit(ledger, ledger.clock.now(), None))
        self._gone.update(dict.fromkeys(there))

    async def settle(self, cursor: str | None, heard: int | None = None, *, most: int, brake_holds: bool) -> None:
        """Queue the deletions that were seen, and move the cursor and the place in the inbox (`heard`) with them.

        Raises `SafetyStop` when they are more than `most`; unless `brake_holds`, `braked` only says so.
        """
        ledger, gone = self._ledger, [*self._gone]
        number, usual = len(gone), self._job.spec.brakes.deletes
        if number > most:
            self.brake(number, most, holds=brake_holds)
        elif number > usual:
            allowed = ledger.event(None, "deletions allowed by hand", deletions=number, allowed=most, brake=usual)
            await ledger.commit(lambda connection: journal.note(connection, [allowed]))
        self._gone = {}
        leaving, self._leaving = self._leaving, {}
        for start in range(0, number, _DELETIONS_TOGETHER):
            last = start + _DELETIONS_TOGETHER >= number
            await self._settle(gone[start : start + _DELETIONS_TOGETHER], leaving, cursor if last else None, heard if last else None)
        if not gone and (cursor is not None or heard is not None):
            await self._settle([], {}, cursor, heard)

    def brake(self, number: int, most: int, *, holds: bool) -> None:
        """Note that so many deletions are more than the brake allows. Raises `SafetyStop` if it `holds`."""
        self.braked = Braked(number, most)
        if holds:
            raise SafetyStop(
                f"{self._job.name}: {self.braked}: none of the deletions was sent",
                next_step=f"look at them with `tieline plan {self._job.name}`; if they are meant, `tieline run {self._job.name} "
                f"--allow-deletes {number}`; `brakes: {{deletes: {self._job.spec.brakes.deletes}}}` in the integration holds for every run",
            )

    async def _settle(self, source_ids: Sequence[str], leaving: Mapping[str, Change], cursor: str | None, heard: int | None) -> None:
        ledger, spec = self._ledger, self._job.spec
        page, now = Page(), ledger.clock.now()
        page.heard = heard
        known = links.of_sources(ledger.db, ledger.integration, source_ids) if source_ids else {}
        ledger.counts.read += len(known) - sum(source_id in leaving for source_id in known)  # those were counted when they were read
        for link in known.values():
            change = leaving.get(link.source_id)
            policy = spec.deletes if change is None else spec.otherwise
            fields = policy.archive if isinstance(policy, Archive) else policy.set if isinstance(policy, Setting) else None
            agreed: Values = decode_json(link.target_shadow) if link.target_shadow else {}
            target_id = link.target_id
            if link.verdict == "queued" or target_id is None:
                for earlier in outbox.of_record(ledger.db, ledger.integration, link.source_id):
                    if earlier.state in ("owed", "sending", "unknown"):
                        agreed |= earlier.fields
                        # A creation whose answer was lost may have been found already, though nothing is confirmed yet.
                        target_id = target_id or earlier.target_id
            if fields is not None:
                values = (
                    {**self._as_kept(link.source_id, agreed), **fields}
                    if self._job.target.whole_update
                    else self._job.whole_lists(fields, agreed)
                )
                own = links.own_entries(ledger.db, ledger.integration, link.source_id) if self._job.lists else {}
                before = {**agreed, **{a: ours(agreed.get(a), values.get(a), own.get(a, ())) for a in self._job.lists}}
                delivery = delivery_of(link.source_id, "update", target_id, values, before, {**agreed, **values})
            else:
                delivery = delivery_of(link.source_id, "delete", target_id, {}, agreed, agreed)
                delivery.before = encode_json(agreed) if agreed else None
            delivery.id, delivery.run, delivery.accepted_at = ledger.ids("delivery", 1), ledger.run, now
            delivery.behind, delivery.takes_away = target_id is None, True
            if self._guard is not None:
                self._guard(delivery)
            page.deliveries.append(delivery)
            page.reopened.append(link.source_id)
            if change is not None:
                page.events.append(ledger.event(link.source_id, "left", when=spec.when))
            if change is not None and fields is not None:  # it keeps its counterpart: when the condition returns, that is updated
                delivery.source, delivery.match_key = change.record, link.match_key
                page.links.append(Link(link.source_id, link.target_id, link.match_key, change.shadow, None, "queued"))
            else:
                page.gone.append(link.source_id)
        await self._take_images(page.deliveries)
        leaving_now = [delivery for delivery in page.deliveries if delivery.state == "sending"]
        for delivery in page.deliveries:
            if delivery.state == "dead":
                delivery.settled_at, delivery.settled_run = now, ledger.run
        self._sender.expect([delivery.source_id for delivery in leaving_now])
        await ledger.commit(page.unit(ledger, now, cursor))
        for delivery in page.deliveries:
            if delivery.state == "dead":
                tell_set_aside(ledger, delivery)
        await self._sender.put(leaving_now)
