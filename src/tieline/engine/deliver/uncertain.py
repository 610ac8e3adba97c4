"""Was it done? What may have been written is looked for before it is written again.

In this order: a write that says the same twice is simply sent again (updates, deletions, the same idempotency key); otherwise the
destination is asked for the record by its match key; where it can't be asked, the integration's `unknown` decides.

That nothing is found under the key proves only then that nothing was made when no one can have changed the key since. `engine.deliver.news` shows what is
new there and has no counterpart: what may be it is shown to a person.

Looking is all that happens here: what follows from what was found is for `engine.deliver.resolution` to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

from tieline.dialects.dialect import System
from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.ledger import Ledger, about
from tieline.engine.core.linked import Links
from tieline.engine.deliver.news import News
from tieline.engine.intake.absence import known_by, lag_of
from tieline.engine.lookup.matching import Matcher
from tieline.model.records import Record, Values, decode_json
from tieline.store import links, outbox
from tieline.store.delivery import Delivery
from tieline.sync.decide import Candidate, changed_fields
from tieline.sync.perhaps import may_be

UNKNOWN_NEXT = "look into the destination; then `tieline dead-letters resolve NO --as ID` says which record it became, `--not-done` that it was never made"
"""What a person does about a creation of which no one knows whether it was done."""

_PROMPT_SECONDS = 60.0
"""A look that comes so soon after an attempt of this process is early enough: no one has renamed what it may have made."""


_GAP_SECONDS = 120.0
"""So long after the first look comes the second; each later gap is as long as all before it."""


class Way(Enum):
    """How a doubt about a write can be settled."""

    REPEAT = auto()
    """Send it again: a second time changes nothing that was not wanted."""
    LOOK = auto()
    """Ask the destination whether the record is there."""
    RESEND = auto()
    """No one can tell; the integration says that a double is the lesser evil."""
    HOLD = auto()
    """No one can tell: a person decides."""


class Found(NamedTuple):
    """What the destination has under a delivery's match key."""

    candidates: list[Candidate]
    there: Candidate | None
    """The one that can only be this record's counterpart."""

    @property
    def ambiguity(self) -> str:
        """Why none of them can be taken as the counterpart."""
        ids = ", ".join(candidate.id for candidate in self.candidates)
        return f"the destination has {len(self.candidates)} records with its match key: {ids}"


class Doubts:
    """Answers, for one integration: how can a doubt be settled, and what is there?"""

    def __init__(self, job: CompiledIntegration, target: System, ledger: Ledger, matcher: Matcher, *, links: Links = links) -> None:
        self._job, self._target, self._ledger, self._matcher, self._links = job, target, ledger, matcher, links
        self._news = News(job, target, ledger, links)

    @property
    def can_look(self) -> bool:
        """Whether the destination can be asked for a record by its match key."""
        return self._matcher.can_look

    def way(self, delivery: Delivery, *, alone: bool, repeats: bool = True) -> Way:
        """Return how to find out whether a delivery was done; `alone` says that it goes in a call of its own, under a key of its own.

        Without `repeats`, a repetition was refused, and tells no more.
        """
        if delivery.operation != "create":
            return Way.REPEAT
        # It was repeated, and the answer still does not tell the id: then looking tells more. So it does where someone may have made the
        # record since: a key keeps our own from being made twice, and not theirs.
        late = self._job.both_write and delivery.run != self._ledger.run
        # What has no match key can't be looked for: that it is not found says nothing.
        can_look = self.can_look and self._key_of(delivery)[0] is not None
        if self._has_key(delivery, alone=alone) and repeats and not ((delivery.attempts > 1 or late) and can_look):
            return Way.REPEAT
        if self._job.upsert and not can_look:
            return Way.REPEAT  # the vendor recognises it by its key, as long as no one has changed that
        if can_look:
            return Way.LOOK
        return Way.RESEND if self._job.spec.unknown == "resend" else Way.HOLD

    def _has_key(self, delivery: Delivery, *, alone: bool) -> bool:
        """Whether the vendor recognises a repetition by an idempotency key, which it may have forgotten by now."""
        life = self._job.target.key_life
        known = life is None or self._ledger.clock.now() - delivery.accepted_at < life
        return self._job.target.idempotency and alone and not delivery.inherited and known

    async def look_for_made(self, delivery: Delivery) -> Found:
        """Ask the destination for what a creation may have made. Raises `RemoteError`."""
        key, news = self._key_of(delivery)[0], self._news
        if key is not None and news.can_be_read and ((news.is_cheap and not news.lag) or self._matcher.searched is None):
            with about(records=[delivery.source_id]):
                found = self._found(delivery, await news.with_key(delivery, self._accepted_first(delivery), key))
            if found.candidates or self._matcher.searched is None:
                return found
        return await self.look(delivery)

    async def under_another_key(self, delivery: Delivery, *, alone: bool) -> Sequence[Candidate] | None:
        """Return what a creation may have made that is not found under its key: someone may have changed that since.

        None where no one can tell. Raises `RemoteError`.
        """
        news, clock = self._news, self._ledger.clock
        if news.can_be_read:
            with about(records=[delivery.source_id]):
                alone_there = await news.without_counterpart(delivery, self._accepted_first(delivery))
            keys = {target for target, _ in self._job.match}
            perhaps = [one for one in alone_there if may_be(delivery.fields, one.values, keys)]
            earlier = self._matcher.shown_before(self._creations(delivery)[0].id, news.keys_of(perhaps)) if perhaps else set()
            return [one for one in perhaps if one.id not in earlier]
        if self._has_key(delivery, alone=alone) or self._job.spec.unknown == "resend":
            return []
        over_at = delivery.answered_at
        return [] if over_at is not None and clock.monotonic() - over_at <= _PROMPT_SECONDS + (self._matcher.lag or 0.0) else None

    def _accepted_first(self, delivery: Delivery) -> float:
        """Return since when one of the versions of a record may have made it."""
        return min(one.accepted_at for one in self._creations(delivery))

    def _creations(self, delivery: Delivery) -> list[Delivery]:
        """Return the creations of a delivery's record, oldest first."""
        versions = outbox.of_record(self._ledger.db, self._ledger.integration, delivery.source_id)
        return [one for one in versions if one.operation == "create"] or [delivery]

    async def look(self, delivery: Delivery) -> Found:
        """Ask the destination, once it can know of a write that was made just now. Raises `RemoteError`."""
        job, values = self._job, delivery.fields
        key, seen = self._key_of(delivery)
        if key is None:
            return Found([], None)
        searched = {**{target: seen[source] for target, source in job.match if source in seen}, **values}
        with about(records=[delivery.source_id]):
            candidates = await self._matcher.look(key, searched, fresh=True)
        return self._found(delivery, candidates)

    def _found(self, delivery: Delivery, candidates: list[Candidate]) -> Found:
        free = [candidate for candidate in candidates if candidate.linked_to in (None, delivery.source_id)]
        return Found(candidates, free[0] if len(candidates) == 1 and free else None)

    def _key_of(self, delivery: Delivery) -> tuple[str | None, Mapping[str, Any]]:
        """Return a delivery's match key, and what its source said when it was read last."""
        job = self._job
        # A match field that isn't mapped is not among the fields that were sent: what it was matched by stands with the link.
        link = self._links.of_sources(self._ledger.db, self._ledger.integration, [delivery.source_id]).get(delivery.source_id)
        seen = job.old_values(decode_json(link.source_shadow)) if link else {}
        return delivery.match_key or job.target_key(job.nest(delivery.fields)) or (link.match_key if link else None), seen

    def look_again_at(self, delivery: Delivery) -> float | None:
        """Return when to look again for what a creation in doubt may have made, in seconds since 1970 (UTC); None when a read must show it by now."""
        if not self._news.can_be_read and self._matcher.lag is not None:
            return None  # the look has waited as long as the search can be behind
        now = self._ledger.clock.now()
        if (
            delivery.left_at is None or delivery.left_at > now
        ):  # its process died, or the clock was set back: it may have left as late as now
            delivery.left_at = now
        shown_by = delivery.left_at + lag_of(self._ledger.db, self._target, self._job.target_resource).ours
        return min(shown_by, now + max(_GAP_SECONDS, now - delivery.left_at)) if shown_by > now else None

    def known_by(self, delivery: Delivery) -> float:
        """Return from when on it is to be believed that a delivery's counterpart is not there."""
        ledger = self._ledger
        return known_by(ledger.db, self._target, self._job.target_resource, ledger.integration, delivery)

    async def current(self, delivery: Delivery) -> Values | None:
        """Return what a delivery's counterpart says now; None when it can't be read, or is not there. Raises `RemoteError`."""
        job = self._job
        assert delivery.target_id is not None
        if job.target.get:
            with about(records=[delivery.source_id]):
                record = await self._target.get(job.target_resource, delivery.target_id)
            return job.project_target(record) if record is not None else None
        if not self.can_look:
            return None
        there = (await self.look(delivery)).there
        return there.values if there is not None and there.id == delivery.target_id else None

    async def whole(self, delivery: Delivery) -> Record | None:
        """Return a delivery's counterpart as it is now, by its id; None when it is not there. Raises `RemoteError`."""
        with about(records=[delivery.source_id]):
            return await self._target.get(self._job.target_resource, delivery.target_id or "")

    def still_owed(self, delivery: Delivery, there: Candidate) -> Values:
        """Return the fields that a record which is there does not have yet; none where its own values are to stay."""
        if not self._job.target.update or self._job.spec.meeting != "source":
            return {}
        return self._job.whole_lists(changed_fields(delivery.fields, there.values), there.values)
