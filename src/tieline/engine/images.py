"""What a record says before it is deleted or archived, read whole: an undo is to put back all of it, not only what the mapping knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from tieline.dialects.dialect import System
from tieline.engine.asking import ask_for
from tieline.engine.compiled import CompiledIntegration
from tieline.mapping import compile_projection
from tieline.model.records import Values, decode_json, encode_json
from tieline.store.outbox import Delivery

TakeImages = Callable[[Sequence[Delivery]], Awaitable[None]]
"""Adds to `before` of deliveries that take a record away what it says; others are left as they are."""


def image_taker(job: CompiledIntegration, target: System) -> TakeImages:
    """Return what takes the images of records of the destination. Where it can't be asked by id, what both sides agreed on has to do.

    Raises `RemoteError` when it does not answer: what it says must be known before it is gone.
    """
    image, resource = compile_projection(job.writable), job.target_resource

    async def take(deliveries: Sequence[Delivery]) -> None:
        meant = [delivery for delivery in deliveries if delivery.takes_away and delivery.target_id is not None]
        if not meant or not job.target.get:
            return
        records = await ask_for(target, resource, [delivery.target_id or "" for delivery in meant])
        for delivery in meant:
            if (record := records[delivery.target_id or ""]) is not None:
                before: Values = decode_json(delivery.before) if delivery.before else {}
                delivery.before = encode_json({**before, **_said(image(record), delivery)})

    return take


def _said(image: Values, delivery: Delivery) -> Values:
    """Return what is worth putting back: of an update what it writes, of a deletion all that is not empty."""
    if delivery.operation == "update":
        return {address: image.get(address) for address in delivery.fields}
    return {address: value for address, value in image.items() if value not in (None, "", [])}
