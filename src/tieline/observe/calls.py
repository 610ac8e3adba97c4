"""The journal of calls for people and programs: which calls are meant, and one of them whole, with what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tieline.model.errors import RemoteError, TielineError
from tieline.store import calls, links, outbox, pairs, runs
from tieline.store.calls import Body, Call
from tieline.store.database import Database
from tieline.transport.recording import HIDDEN, hide

if TYPE_CHECKING:
    from tieline.config.models.integrations import Integration

_MOST_DELIVERIES = 1000


class DeliveryOfCall(msgspec.Struct):
    """A delivery that a call carried, and what became of it."""

    delivery: int
    record: str
    operation: str
    state: str
    attempts: int
    settled_by: int | None
    """The call that settled it, or that tried it last."""
    message: str | None


class CallStory(msgspec.Struct):
    """One call whole."""

    call: Call
    integration: str | None
    records: list[str]
    deliveries: list[DeliveryOfCall]
    body: Body | None
    likely: str
    """The likely cause of the failure."""
    next_step: str


def records_meant(db: Database, integrations: Mapping[str, Integration], place: str, id: str) -> tuple[tuple[int, str], ...]:
    """Return (integration's number, source id) of a record of either side, for each integration that has met it."""
    found: list[tuple[int, str]] = []
    for name, spec in sorted(integrations.items()):
        known = runs.state_of(db, name)
        if known is None:
            continue
        if spec.two_way:
            for side, end in zip(pairs.SIDES, (spec.source, spec.target), strict=True):
                if end == place:
                    pair = pairs.of(db, known.id, side, [id]).get(id)
                    other = pair.id_of(pairs.OTHER[side]) if pair is not None else None
                    found += [(known.id, each) for each in (id, other) if each is not None]
            continue
        if spec.source == place:
            found.append((known.id, id))
        if spec.target == place and (link := links.of_targets(db, known.id, [id]).get(id)) is not None:
            found.append((known.id, link.source_id))
    return tuple(dict.fromkeys(found))


def tell(db: Database, id: int) -> CallStory:
    """Return one call whole. Raises `TielineError` when it is not in the journal."""
    call = calls.by_id(db, [id]).get(id)
    if call is None:
        raise TielineError(f"there is no call {id}", next_step="see `tieline calls`; old ones are dropped (`retention: calls`)")
    names = runs.names(db)
    carried: list[DeliveryOfCall] = []
    for first, last in calls.ranges(call.deliveries):
        for number in range(first, last + 1):
            found = outbox.get(db, number) if len(carried) < _MOST_DELIVERIES else None
            if found is not None:
                d = found[1]
                message = d.why.get("message") if d.reason else None
                carried.append(DeliveryOfCall(d.id, d.source_id, d.operation, d.state, d.attempts, d.call, message))
    error = error_of_kind(call.failure) if call.failure else None
    next_step = error.next_step if error is not None else ""
    if letter := next((d for d in carried if d.state in ("dead", "held")), None):
        next_step = f"`tieline dead-letters show {letter.delivery}`"
    return CallStory(
        call, names.get(call.integration) if call.integration is not None else None, calls.records_of(db, call), carried,
        calls.body_of(db, id), getattr(error, "likely", "") if error is not None else "", next_step,
    )  # fmt: skip


def error_of_kind(kind: str) -> type[RemoteError] | None:
    """Return the class of error that a journaled class names; None for one that is no error's, a call that was cancelled."""
    waiting: list[type[RemoteError]] = [RemoteError]
    while waiting:
        error = waiting.pop()
        if error.kind == kind:
            return error
        waiting += error.__subclasses__()
    return None


def hide_in_call(call: Call, fields: frozenset[tuple[str, ...]]) -> None:
    """Take the values of personal fields out of a call; an address that was asked with values loses all of them."""
    values: set[str] = set()
    if (body := call.body) is not None:
        request, answer = hide(body.request, fields, values), hide(body.answer, fields, values)
        for value in sorted(values, key=len, reverse=True):
            request, answer = request.replace(value, HIDDEN), answer.replace(value, HIDDEN)
        call.body = Body(body.request_headers, request, body.answer_headers, answer)
    path, mark, query = call.url.partition("?")
    call.url = path + mark + "&".join(f"{pair.partition('=')[0]}={HIDDEN}" for pair in query.split("&")) if mark else path
    if call.answer:
        call.answer = HIDDEN


def as_json(call: Call, integration: str | None, records: list[str], body: Body | None = None) -> dict[str, Any]:
    """Return a call for programs: names say their units."""
    line: dict[str, Any] = {
        "call": call.id, "at": call.at, "connection": call.connection, "integration": integration, "run": call.run,
        "operation": call.operation, "resource": call.resource, "page": call.page, "records": records,
        "method": call.method, "url": call.url, "status": call.status, "class": call.failure, "refused": call.refused,
        "seconds": call.seconds, "waited_seconds": call.waited, "sent_bytes": call.sent, "received_bytes": call.received,
        "attempt": call.attempt, "answer": call.answer,
    }  # fmt: skip
    if body is not None:
        line["said"] = msgspec.to_builtins(body)
    return line
