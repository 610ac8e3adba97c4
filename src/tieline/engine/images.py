"""What a record says before it is deleted or archived, read whole: an undo is to put back all of it, not only what the mapping knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from tieline.dialects.dialect import System
from tieline.engine.asking import ask_for
from tieline.engine.compiled import CompiledIntegration
from tieline.mapping import compile_projection
from tieline.model.errors import RemoteError
from tieline.model.records import Values, decode_json, encode_json
from tieline.store import outbox
from tieline.store.outbox import Delivery

TakeImages = Callable[[Sequence[Delivery]], Awaitable[int]]
"""Adds to `before` of deliveries that take a record away what it says; others are left as they are.

One whose record can't be read is parked, and the number of these is returned.
"""


def image_taker(job: CompiledIntegration, target: System) -> TakeImages:
    """Return what takes the images of records of the destination. Where it can't be asked by id, what both sides agreed on has to do.

    What it says must be known before it is gone. So a deletion is parked where its record is refused; raises `RemoteError` where the system
    does not answer.
    """
    image, resource = compile_projection(job.writable), job.target_resource

    async def take(deliveries: Sequence[Delivery]) -> int:
        meant = [delivery for delivery in deliveries if delivery.takes_away and delivery.target_id is not None]
        if not meant or not job.target.get:
            return 0
        refused: dict[str, RemoteError] = {}
        records = await ask_for(target, resource, [delivery.target_id or "" for delivery in meant], refused=refused)
        parked = 0
        for delivery in meant:
            id = delivery.target_id or ""
            if (error := refused.get(id)) is not None:
                parked += 1
                delivery.state, delivery.reason = "dead", _not_shown(job.spec.target, delivery, error)
            elif (record := records[id]) is not None:
                before: Values = decode_json(delivery.before) if delivery.before else {}
                delivery.before = encode_json({**before, **_said(image(record), delivery)})
        return parked

    return take


def _not_shown(place: str, delivery: Delivery, error: RemoteError) -> bytes:
    what = "deleted" if delivery.operation == "delete" else "archived"
    return outbox.reason(
        error.kind, f"{place} {delivery.target_id} was not {what}: what it says must be known before, so that it can be put back: {error}",
        "let the credentials read the record, then redrive it; redriven as it is, it is sent without a look",
        likely=error.likely, status=error.status, answer=error.text,
    )  # fmt: skip


def _said(image: Values, delivery: Delivery) -> Values:
    """Return what is worth putting back: of an update what it writes, of a deletion all that is not empty."""
    if delivery.operation == "update":
        return {address: image.get(address) for address in delivery.fields}
    return {address: value for address, value in image.items() if value not in (None, "", [])}
