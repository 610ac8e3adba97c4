"""What a record says before it is deleted or archived, read whole: an undo is to put back all of it, not only what the mapping knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from tieline.dialects.dialect import System
from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.ledger import Ledger, tell_set_aside
from tieline.engine.lookup.fetching import ask_for
from tieline.engine.lookup.looks import may_look_again
from tieline.mapping import compile_projection
from tieline.model.errors import RemoteError
from tieline.model.records import Values, decode_json, encode_json
from tieline.store import outbox
from tieline.store.database import Transaction
from tieline.store.delivery import Delivery

TakeImages = Callable[[Sequence[Delivery]], Awaitable[None]]
"""Adds to `before` of deliveries that take a record away what it says; others are left as they are.

One whose record can't be read does not leave: it stays owed until a later run has looked again, or is parked. Either is counted.
"""
_LATER, _AGAIN_NEXT = "unseen", "nothing; the next run looks again"


def image_taker(job: CompiledIntegration, target: System, ledger: Ledger) -> TakeImages:
    """Return what takes the images of records of the destination. Where it can't be asked by id, what both sides agreed on has to do.

    What it says must be known before it is gone. So a deletion is parked where its record is refused, or stays rubbish; raises `RemoteError`
    where the system does not answer.
    """
    image, resource = compile_projection(job.writable), job.target_resource

    async def take(deliveries: Sequence[Delivery]) -> None:
        meant = [delivery for delivery in deliveries if delivery.takes_away and delivery.target_id is not None]
        if not meant or not job.target.get:
            return
        refused: dict[str, RemoteError] = {}
        records = await ask_for(target, resource, [delivery.target_id or "" for delivery in meant], refused=refused)
        known = outbox.open_by_record(ledger.db, ledger.integration, [one.source_id for one in meant if one.target_id in refused])
        counts = ledger.counts
        for delivery in meant:
            id = delivery.target_id or ""
            if (error := refused.get(id)) is not None:
                again = may_look_again(error, known.get(delivery.source_id, ()), job.spec.retry)
                delivery.state, delivery.reason = "owed" if again else "dead", _not_shown(job.spec.target, delivery, error, again=again)
                ours = delivery.run in (0, ledger.run)
                counts.owed += again and ours
                counts.carried_owed += again and not ours
                counts.parked += not again and ours
                counts.carried_parked += not again and not ours
            elif (record := records[id]) is not None:
                before: Values = decode_json(delivery.before) if delivery.before else {}
                said = _said(image(record), delivery)
                if delivery.operation == "update":  # of a list that others fill, too, it says what is ours
                    said = {address: value for address, value in said.items() if address not in job.lists}
                delivery.before = encode_json({**before, **said})

    return take


async def look_again(deliveries: Sequence[Delivery], job: CompiledIntegration, target: System, ledger: Ledger) -> list[Delivery]:
    """Take the images that earlier runs could not, of deliveries that are owed; return those that may leave. Raises `RemoteError`."""
    unseen = [delivery for delivery in deliveries if delivery.why.get(_LATER)]
    if not unseen:
        return [*deliveries]
    for delivery in unseen:
        delivery.takes_away = True
    states = {delivery.id: delivery.state for delivery in unseen}
    for delivery in unseen:
        delivery.state = "sending"
    await image_taker(job, target, ledger)(unseen)
    stay = [delivery for delivery in unseen if delivery.state != "sending"]
    seen = [delivery for delivery in unseen if delivery.state == "sending"]
    for delivery in seen:
        delivery.state = states[delivery.id]

    def unit(connection: Transaction) -> None:
        for delivery in stay:
            outbox.set_state(connection, delivery, now=ledger.clock.now(), run=ledger.run)
        outbox.note_before(connection, [(delivery.id, delivery.before) for delivery in seen if delivery.before is not None])

    await ledger.commit(unit)
    for delivery in stay:
        if delivery.state == "dead":
            tell_set_aside(ledger, delivery)
    left = {delivery.id for delivery in stay}
    return [delivery for delivery in deliveries if delivery.id not in left]


def _not_shown(place: str, delivery: Delivery, error: RemoteError, *, again: bool) -> bytes:
    what = "deleted" if delivery.operation == "delete" else "archived"
    return outbox.reason(
        "halted" if again else error.kind,
        f"{place} {delivery.target_id} was not {what}: what it says must be known before, so that it can be put back: {error}",
        _AGAIN_NEXT if again else "let the credentials read the record, then redrive it; redriven as it is, it is sent without a look",
        likely=error.likely, status=error.status, answer=error.text, looked=error.looked, **{_LATER: again or None},
    )  # fmt: skip


def _said(image: Values, delivery: Delivery) -> Values:
    """Return what is worth putting back: of an update what it writes, of a deletion all that is not empty."""
    if delivery.operation == "update":
        return {address: image.get(address) for address in delivery.fields}
    return {address: value for address, value in image.items() if value not in (None, "", [])}
