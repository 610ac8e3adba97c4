"""Writes that hit another record's counterpart: an upsert lands where the vendor says that its key is, and two keys may be one there.

Such a write is seen by the id in its answer, when it is done. What it has written over is named; and later versions under the same key are not sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.ledger import Ledger
from tieline.engine.core.linked import Links
from tieline.store import outbox
from tieline.store.delivery import Delivery

Hold = Callable[[Delivery, str, str, Sequence[str]], Awaitable[None]]
"""(delivery, kind, message, candidates): sets a delivery aside for a person."""


class Hits:
    """What is known of them, for one integration."""

    def __init__(self, job: CompiledIntegration, ledger: Ledger, links: Links, hold: Hold) -> None:
        self._ledger, self._links, self._hold = ledger, links, hold
        self._by = job.target.upsert

    async def happened(self, delivery: Delivery, id: str) -> None:
        """Hold a write that was answered with the id of another record's counterpart."""
        owner = self._links.of_targets(self._ledger.db, self._ledger.integration, [id]).get(id)
        whose = f"the counterpart of record {owner.source_id}" if owner is not None else "the counterpart of another record"
        over = f". What that said was written over: see `tieline verify {self._ledger.name}`" if self._by is not None else ""
        await self._hold(delivery, outbox.ALREADY_LINKED, f"the destination answered with the id {id}, which is {whose}{over}", (id,))

    async def unless_known(self, chunk: list[Delivery]) -> list[Delivery]:
        """Hold the creations that would hit what an earlier version under the same key has hit; return the others."""
        by = self._by
        if by is None:
            return chunk
        made = {delivery.source_id for delivery in chunk if delivery.operation == "create" and delivery.target_id is None}
        db, integration = self._ledger.db, self._ledger.integration
        earlier = outbox.hits_of(db, integration, list(made)) if made else {}
        if not earlier:
            return chunk
        hits = {source_id: str(one.why["candidates"][0]) for source_id, one in earlier.items() if one.why.get("candidates")}
        owners = self._links.of_targets(db, integration, list(hits.values()))
        free = []
        for delivery in chunk:
            hit = hits.get(delivery.source_id)
            owner = owners.get(hit) if hit is not None else None
            if (
                hit is not None
                and owner is not None
                and owner.source_id != delivery.source_id
                and delivery.fields.get(by) == earlier[delivery.source_id].fields.get(by)
            ):
                why = f"under its `{by}` the destination has {hit}, the counterpart of record {owner.source_id}: nothing was sent"
                await self._hold(delivery, outbox.ALREADY_LINKED, why, (hit,))
            else:
                free.append(delivery)
        return free
