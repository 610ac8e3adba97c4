"""What is not sent, and why: deliveries that stay owed, are parked or held, or need not be sent any more.

Each is written down with its reason and counted here; when that is to happen, and what it means for those behind, `engine.deliver.sender` knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.ledger import Ledger, tell_set_aside
from tieline.engine.core.linked import Links
from tieline.engine.deliver.uncertain import UNKNOWN_NEXT
from tieline.model import events
from tieline.model.errors import OutcomeUnknown, RemoteError, TielineError
from tieline.model.records import encode_json
from tieline.store import outbox, runs
from tieline.store.database import Transaction
from tieline.store.delivery import Delivery


class Unsent:
    """Settles, in the store and in the counts, what does not leave."""

    def __init__(self, job: CompiledIntegration, ledger: Ledger, links: Links) -> None:
        self._job, self._ledger, self._links = job, ledger, links

    async def leave_owed(self, deliveries: Sequence[Delivery], why: TielineError | None) -> None:
        """Let deliveries stay owed; without a `why`, for the reason for which they have been so far."""
        reason = reason_of(why) if why is not None else None
        # What was not sent is in no doubt, though the run ends at a call that is: the kind of a reason is how a doubt is remembered.
        unsent = reason_of(why, "halted") if isinstance(why, OutcomeUnknown) else reason
        ledger, now = self._ledger, self._ledger.clock.now()

        def unit(connection: Transaction) -> None:
            for delivery in deliveries:
                delivery.reason = (reason if delivery.doubt else unsent) or delivery.reason
                delivery.state = "unknown" if delivery.doubt else "owed"
                outbox.set_state(connection, delivery, now=now, run=ledger.run)

        await ledger.commit(unit)
        first, cause = deliveries[0], str(deliveries[0].why.get("kind", "halted"))
        ledger.tell(
            events.DeliveryOwed(
                integration=ledger.name, run=ledger.run, delivery=first.id, record=first.source_id, deliveries=len(deliveries), cause=cause
            )
        )
        ours = sum(1 for delivery in deliveries if delivery.run == ledger.run)
        ledger.counts.owed += ours
        ledger.counts.carried_owed += len(deliveries) - ours

    async def park(self, delivery: Delivery, error: RemoteError) -> None:
        """The destination does not take it as it is."""
        link = f"`{runs.front(self._job.name)}`: {delivery.operation} of {delivery.source_id}"
        delivery.state = "dead"
        call = self._call_of(delivery)
        delivery.reason = outbox.reason(
            error.kind, f"{link} was refused: {error}", error.next_step,
            likely=error.likely, status=error.status, answer=error.text, request=call,
        )  # fmt: skip
        await self._set_aside(delivery, "parked")

    async def hold(self, delivery: Delivery, kind: str, message: str, candidates: Sequence[str] = ()) -> None:
        """A person decides; of kind `unknown`, whether it was done. `candidates` are records there that it may be about."""
        delivery.state = "held"
        next_step = UNKNOWN_NEXT if kind == "unknown" else "look at both systems, then `tieline dead-letters redrive` or `discard` it"
        delivery.reason = outbox.reason(kind, message, next_step, request=self._call_of(delivery), candidates=[*candidates] or None)
        await self._set_aside(delivery, "unknown" if kind == "unknown" else "held")

    async def never_created(self, delivery: Delivery) -> None:
        """A record was deleted in the source, and is not in the destination: there is nothing to be done."""
        delivery.state = "superseded"
        delivery.reason = outbox.reason("never created", "it was deleted in the source before it was created")
        await self._ledger.set_states([delivery])
        self._ledger.counts.superseded += delivery.run == self._ledger.run

    async def _set_aside(self, delivery: Delivery, verdict: Literal["parked", "held", "unknown"]) -> None:
        ledger, links, now = self._ledger, self._links, self._ledger.clock.now()
        delivery.record = encode_json(delivery.source) if delivery.source is not None else delivery.record

        def unit(connection: Transaction) -> bool:
            followed = outbox.has_later(connection, ledger.integration, delivery)
            if followed:
                delivery.state = "superseded"  # a later version holds all that this one does
            # A later version that needs no write may have taken its place as well, while it was on its way.
            stands = outbox.set_state(connection, delivery, now=now, run=ledger.run) and not followed
            if stands:
                links.set_aside(connection, ledger.integration, delivery.source_id, verdict)
            return not stands

        followed = await ledger.commit(unit)
        if not followed:
            tell_set_aside(ledger, delivery)
        if followed:
            ledger.counts.superseded += delivery.run == ledger.run
        elif delivery.run != ledger.run:
            ledger.counts.carried_parked += 1
        elif verdict == "parked":
            ledger.counts.parked += 1
        else:
            ledger.counts.held += 1

    def _call_of(self, delivery: Delivery) -> dict[str, Any]:
        return {"operation": delivery.operation, "id": delivery.target_id, "body": self._job.nest(delivery.fields)}


def reason_of(why: TielineError, kind: str = "") -> bytes:
    """Return the reason of a delivery that is still owed, of another kind than the error's own if there is one."""
    likely = why.likely if isinstance(why, RemoteError) else None
    looked = why.looked if isinstance(why, RemoteError) else None
    return outbox.reason(kind or str(getattr(why, "kind", "halted")), str(why), why.next_step, likely=likely, looked=looked)
