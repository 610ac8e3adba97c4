"""A second look at one delivery: was it done, what does its counterpart say now, and what does it not have yet?

`engine.deliver.uncertain` looks; here is decided what follows, and noted in the journal; `engine.deliver.sender` carries it out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.failures import PASSING, Reaction, reaction_to
from tieline.engine.core.ledger import Ledger
from tieline.engine.deliver.uncertain import Doubts, Found, Way
from tieline.engine.lookup.looks import may_look_again
from tieline.model.errors import NotThere, Rejected, RemoteError, Stale, Undecodable, Unshown
from tieline.model.records import encode_json
from tieline.store import journal, outbox
from tieline.store.database import Transaction
from tieline.store.delivery import Delivery
from tieline.sync.decide import changed_fields
from tieline.sync.rewriting import is_rewriting

OVERTAKEN: Final = "changed there while we were about to write"
"""What the journal says of a write that was refused because its condition did not hold."""
_EARLY: Final = "too early to believe, since what was made may not be known everywhere yet"
_LOST: Final = "the answer to its creation was lost"
LONGEST_FOR_LAG: Final = 60.0
"""A run waits no longer for reads that may be behind, in seconds; what waits for them stays owed."""
_MOST_SHOWN: Final = 5
_ENOUGH: Final = 3
"""So many attempts are enough, of which the last was answered without telling anything."""


class Send(NamedTuple):
    """It still has to be sent, as it is now."""


class Confirm(NamedTuple):
    """The destination has it all: this record is the counterpart."""

    target_id: str


class Hold(NamedTuple):
    """A person decides."""

    kind: str
    message: str
    candidates: tuple[str, ...] = ()
    """Ids in the destination that it may be about."""


class Fail(NamedTuple):
    """Looking failed, and what follows is as if the write had failed so."""

    error: RemoteError


class Retry(NamedTuple):
    """Try it again later."""

    error: RemoteError


class Later(NamedTuple):
    """It is too early to tell that there is no such record: it is tried again then, in seconds since 1970 (UTC)."""

    error: RemoteError
    at: float


class Wait(NamedTuple):
    """A look was answered with rubbish: the next run looks again, before anything is sent."""

    error: RemoteError


class Refuse(NamedTuple):
    """The destination does not let it be written."""

    error: RemoteError


class Park(NamedTuple):
    """It can't be written as it is."""

    error: RemoteError


class Overtaken(NamedTuple):
    """Someone has changed the record since it was read: what is to be written is decided again."""

    error: RemoteError


Outcome = Send | Confirm | Hold | Fail | Retry | Later | Wait | Refuse | Park | Overtaken
"""What follows from a look."""


class Settler:
    """Decides, for one integration, what follows once there is reason to look."""

    def __init__(self, job: CompiledIntegration, ledger: Ledger, doubts: Doubts, agreed: Callable[[Delivery], bytes]) -> None:
        """`agreed` fixes the destination's shadow of a delivery before less of it is sent."""
        self._job, self._ledger, self._doubts, self._agreed = job, ledger, doubts, agreed

    async def of_doubt(self, delivery: Delivery, *, alone: bool, repeats: bool = True) -> Outcome:
        """Find out whether a write was done; `alone` says that it goes in a call of its own, `repeats` that a repetition would tell."""
        match self._doubts.way(delivery, alone=alone, repeats=repeats):
            case Way.REPEAT:
                await self._leaves_again(delivery)
                return Send()  # the doubt stays, lest a later version take its place
            case Way.RESEND:
                await self._leaves_again(delivery, "sent again without knowing", unknown="resend")
                return Send()
            case Way.HOLD:
                return Hold("unknown", f"{_LOST}, and the destination can't be asked whether it was done")
            case Way.LOOK:
                pass
        try:
            found = await self._doubts.look_for_made(delivery)
            others = await self._doubts.under_another_key(delivery, alone=alone) if not found.candidates else []
        except RemoteError as error:
            if self._may_look_again(delivery, error):
                return Wait(error)
            reaction = reaction_to(error)
            delivery.tries += reaction is not Reaction.WAIT
            if not isinstance(error, Undecodable) and reaction in (
                Reaction.RETRY,
                Reaction.RETRY_ALONE,
                Reaction.LOOK_FIRST,
                Reaction.LOOK_THEN_PARK,
                Reaction.WAIT,
                Reaction.HALT,
            ):
                return Fail(error)
            return Hold("unknown", f"{_LOST}, and asking whether it was done failed: {error}")
        if others is None:
            return Hold(
                "unknown",
                f"{_LOST}: no record there has its match key, but someone may have changed that since, and there is no list to see",
            )
        if others:
            ids = tuple(one.id for one in others[:_MOST_SHOWN])
            told = f"{_LOST}: no record there has its match key, but what is new there may be it, renamed since: {', '.join(ids)}"
            return Hold("unknown", told, ids)
        if not found.candidates and (at := self._doubts.look_again_at(delivery)) is not None:
            told = f"{delivery.failure or _LOST}: no record there has its match key yet, and reads may be behind what was made"
            return Later(Unshown(told), at)
        delivery.doubt = False
        if not found.candidates:
            if self._job.target.idempotency and delivery.unnamed and delivery.attempts > _ENOUGH:
                # Whoever knows the key has done it, and says so again and again: someone has deleted it since.
                return Hold("unknown", "the destination says that it was made, does not tell its id, and has no record with its match key")
            await self._leaves_again(delivery, "looked: it had not been done")
            return Send()
        delivery.made = True
        return await self._adopt(delivery, found, "looked: it had been done", perhaps_made=True)

    async def of_refused(self, delivery: Delivery, refused: Refuse | Park) -> Outcome:
        """A creation was refused, and not plainly by the vendor: it may have been made before. It is refused only where it is not there."""
        if self._doubts.way(delivery, alone=True) is Way.RESEND:
            return refused
        outcome = await self.of_doubt(delivery, alone=True, repeats=False)
        return refused if isinstance(outcome, (Send, Later)) and delivery.operation == "create" else outcome

    async def of_unnamed(self, delivery: Delivery) -> Outcome:
        """The write succeeded, or was so already, and the answer did not tell the id: look it up."""
        if not self._doubts.can_look:
            return Hold("unknown", "the destination did not tell the id of the record that it made, and can't be asked")
        try:
            found = await self._doubts.look(delivery)
        except RemoteError as error:
            delivery.doubt = delivery.doubt or not delivery.already
            if self._may_look_again(delivery, error):
                return Wait(error)
            if isinstance(error, Undecodable):
                return Hold("unknown", f"the destination did not tell the id of the record that it made, and asking for it failed: {error}")
            return Fail(error)
        if found.candidates:
            event = "it was there already" if delivery.already else "its id was looked up"
            return await self._adopt(delivery, found, event, perhaps_made=not delivery.already)
        return Hold("unknown", "the destination says that the record is there, but it can't be found by its match key")

    async def of_another(self, delivery: Delivery, id: str) -> Outcome:
        """A creation was answered with another record: whether and as what it was made has to be looked up, and it is not made again."""
        told = f"its creation was answered with another record, {id}"
        delivery.doubt, delivery.shown = True, None
        if not self._doubts.can_look:
            return Hold("unknown", f"{told}, and the destination can't be asked what it has made", (id,))
        try:
            found = await self._doubts.look(delivery)
        except RemoteError as error:
            return Hold("unknown", f"{told}, and asking what it has made failed: {error}", (id,))
        if not found.candidates:
            return Hold("unknown", f"{told}, and no record there has its match key", (id,))
        delivery.doubt, delivery.made = False, True
        return await self._adopt(delivery, found, "looked: it had been done", perhaps_made=True)

    def must_wait_long(self, delivery: Delivery, *, alone: bool) -> bool:
        """Whether a creation may only be made again once reads can't be behind what it may have made, and that is not soon."""
        if self._doubts.way(delivery, alone=alone) is not Way.LOOK:
            return False
        at = self._doubts.look_again_at(delivery)
        return at is not None and at - self._ledger.clock.now() > LONGEST_FOR_LAG

    async def of_untold_and_unshown(self, delivery: Delivery, error: RemoteError) -> Outcome:
        """The answer said that all is well and nothing of a creation, which is hardly done, and may not be shown yet: look, then ask a person."""
        try:
            found = await self._doubts.look(delivery)
        except RemoteError as failure:
            if self._may_look_again(delivery, failure):
                return Wait(failure)
            return Fail(failure) if isinstance(failure, PASSING) else Hold("unknown", f"{error}; and looking for it failed: {failure}")
        if found.candidates:
            return await self._adopt(delivery, found, "looked: it had been done", perhaps_made=True)
        return Hold("unknown", f"{error}; no record there has its match key, and reads may be behind what was made")

    async def of_untold(self, delivery: Delivery, error: RemoteError) -> Outcome:
        """It was sent as often as it may be, the last time alone, and each answer said that all is well and nothing of it: look, then park it."""
        times = f"sent {delivery.attempts} times, the last time alone"
        said = Rejected(f"{error}; {times}, and it is not there", status=error.status, text=error.text, next_step=error.next_step)
        if delivery.operation == "create" and not self._doubts.can_look:
            return Hold("unknown", f"{error}; {times}, and the destination can't be asked whether it was done")
        try:
            if delivery.operation == "create":
                found = await self._doubts.look(delivery)
                if found.candidates:
                    return await self._adopt(delivery, found, "looked: it had been done", perhaps_made=True)
                delivery.doubt = False
                return Park(said)
            there = await self._doubts.current(delivery)
        except RemoteError as failure:
            if self._may_look_again(delivery, failure):
                return Wait(failure)
            return Fail(failure) if isinstance(failure, PASSING) else Hold("unknown", f"{error}; {times}, and looking failed: {failure}")
        delivery.doubt = False
        if there is None:
            return Confirm(delivery.target_id or "") if delivery.operation == "delete" else await self.of_missing(delivery, error)
        differs = changed_fields(delivery.fields, there)
        if delivery.operation == "update" and all(a in there and is_rewriting(value, there[a]) for a, value in differs.items()):
            await self._note(delivery, "looked: it says so already")
            return Confirm(delivery.target_id or "")
        return Park(Rejected(f"{error}; {times}, and it was not done", status=error.status, text=error.text, next_step=error.next_step))

    async def of_stale(self, delivery: Delivery, error: RemoteError) -> Outcome:
        """Someone else was at the record, or had made it: see what it says now, and send what it does not have."""
        if delivery.version is not None and (overtaken := await self._if_overtaken(delivery, error)) is not None:
            return overtaken
        if delivery.tries >= self._job.spec.retry.attempts or (delivery.operation == "create" and not self._doubts.can_look):
            return Park(error)
        try:
            if delivery.operation == "create":
                found = await self._doubts.look(delivery)
                return await self._adopt(delivery, found, "it was there already") if found.candidates else Park(error)
            there = await self._doubts.current(delivery)
        except RemoteError as failure:
            return self._after_failed_look(delivery, failure, error)
        if there is None:
            return Retry(error)
        if delivery.operation == "update":
            differs = changed_fields(delivery.fields, there)
            if not differs:
                await self._note(delivery, "looked: it says so already")
                return Confirm(delivery.target_id or "")
            if not self._job.target.whole_update:
                self._narrow(delivery, self._job.whole_lists(differs, there))
        return Retry(error)

    async def _if_overtaken(self, delivery: Delivery, error: RemoteError) -> Outcome | None:
        """See whether a condition did not hold, or a write is refused for another reason: then None is returned."""
        try:
            record = await self._doubts.whole(delivery)
        except RemoteError as failure:
            return self._after_failed_look(delivery, failure, error)
        version_of = self._job.target_version
        if record is not None and version_of is not None and version_of(record) == delivery.version:
            return None
        if record is None and delivery.operation == "delete":
            return self.of_gone(delivery)
        if record is not None and delivery.operation == "update" and not changed_fields(delivery.fields, self._job.project_target(record)):
            await self._note(delivery, "looked: it says so already")
            return Confirm(delivery.target_id or "")
        await self._note(delivery, OVERTAKEN, target_id=delivery.target_id)
        return Overtaken(Stale(f"{OVERTAKEN}: it is decided again", status=error.status, text=error.text))

    async def of_missing(self, delivery: Delivery, error: RemoteError) -> Outcome:
        """The counterpart is not there under its id: it may have been merged or made again."""
        if delivery.operation == "create":
            return Refuse(error)
        if not self._doubts.can_look:
            return self._unless_early(delivery, error) or Refuse(error)
        try:
            found = await self._doubts.look(delivery)
        except RemoteError as failure:
            return self._after_failed_look(delivery, failure, error)
        if found.there is None or found.there.id == delivery.target_id:
            return self._unless_early(delivery, error) or Refuse(error)
        await self._note(delivery, "its counterpart has another id now", target_id=found.there.id, before=delivery.target_id)
        if self._job.both_write:
            delivery.adopted = found.there.values  # whoever made it wrote what it says: it is met, not written over
            return Confirm(found.there.id)
        delivery.target_id = found.there.id
        return Send()

    def of_gone(self, delivery: Delivery) -> Outcome:
        """It was to be deleted, and there is no such record: we have deleted it ourselves, or a person has, or it is not known yet."""
        asked_before = delivery.attempts > 1 and delivery.why.get("kind") != NotThere.kind
        if delivery.doubt or asked_before:
            return Confirm(delivery.target_id or "")
        gone = NotThere(f"there is no record {delivery.target_id} to delete")
        return self._unless_early(delivery, gone) or Confirm(delivery.target_id or "")

    def _unless_early(self, delivery: Delivery, error: RemoteError) -> Later | None:
        """Return what follows where the destination need not know the record yet."""
        at = self._doubts.known_by(delivery)
        if at <= self._ledger.clock.now():
            return None
        early = NotThere(f"{error}: {_EARLY}", status=error.status, text=error.text, next_step="nothing; tieline asks again")
        return Later(early, at)

    async def _adopt(self, delivery: Delivery, found: Found, event: str, *, perhaps_made: bool = False) -> Outcome:
        """Take what is there as the counterpart; what it has not yet still has to be sent."""
        there = found.there
        if there is None:
            # One of them may be what it has made: decided again, it would be made once more where reads are late.
            ids = tuple(candidate.id for candidate in found.candidates[:_MOST_SHOWN])
            return Hold("unknown", f"{_LOST}: {found.ambiguity}", ids) if perhaps_made else Hold("unmatched", found.ambiguity)
        await self._note(delivery, event, target_id=there.id)
        differs = self._doubts.still_owed(delivery, there)
        delivery.adopted = there.values
        if not differs:
            return Confirm(there.id)
        delivery.operation, delivery.target_id = "update", there.id
        if not self._job.target.whole_update:
            self._narrow(delivery, differs)
        return Send()

    def _narrow(self, delivery: Delivery, differs: dict[str, Any]) -> None:
        """Let a delivery write only what the destination does not say yet. What both agree on then is still all that it was to write."""
        self._agreed(delivery)
        delivery.values, delivery.changed = differs, encode_json(differs)

    def _after_failed_look(self, delivery: Delivery, failure: RemoteError, error: RemoteError) -> Outcome:
        """Return what follows when a write was refused with `error`, and a look at the record failed as well."""
        if self._may_look_again(delivery, failure):
            return Wait(failure)
        return Retry(failure if isinstance(failure, PASSING) else error)

    def _may_look_again(self, delivery: Delivery, failure: RemoteError) -> bool:
        return may_look_again(failure, [delivery], self._job.spec.retry)

    async def _leaves_again(self, delivery: Delivery, kind: str = "", **detail: Any) -> None:
        """Note that a creation in doubt is about to leave once more, and why."""
        if not kind and delivery.why.get("left") is None:
            delivery.left_at = None
            return
        events = [self._ledger.event(delivery.source_id, kind, delivery=delivery.id, **detail)] if kind else []

        def unit(connection: Transaction) -> None:
            outbox.leaves_again(connection, delivery)
            journal.note(connection, events)

        await self._ledger.commit(unit)

    async def _note(self, delivery: Delivery, kind: str, **detail: Any) -> None:
        event = self._ledger.event(delivery.source_id, kind, delivery=delivery.id, **detail)
        await self._ledger.commit(lambda connection: journal.note(connection, [event]))
