"""Many records, written by one call: its entries, and what the answer says of each."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from tieline.config.models.connectors import Resource
from tieline.config.models.operations import Batch
from tieline.dialects.decoding import FAILURES, decode_leniently
from tieline.dialects.dialect import Item, Receipt
from tieline.dialects.ids import id_reader
from tieline.dialects.rest.batch_results import Answer, read_results
from tieline.dialects.rest.bodies import compile_entries, with_more
from tieline.dialects.rest.single import gaps_of
from tieline.dialects.rest.templates import Shape, compile_json
from tieline.dialects.rest.wire import JSON, Wire, checks_of, id_as_json
from tieline.model.errors import (
    NotThere,
    OutcomeUnknown,
    Rejected,
    RemoteError,
    Stale,
    Undecodable,
)
from tieline.model.records import encode_json
from tieline.transport.ports import HttpResponse
from tieline.transport.recording import Purpose


class BatchWriter:
    """Sends many records in one call, once."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._entries_of: dict[int, tuple[Shape | None, Callable[[list[Any]], Any]]] = {}

    async def send(self, resource: str, operation: str, items: Sequence[Item]) -> list[Receipt]:
        """Write many records in one call; one receipt each, in order."""
        r = self._wire.resources[resource]
        declared: Batch = getattr(r.batch, operation)
        call = self._wire.call(declared)
        entries: list[Any] = []
        refused: dict[int, Receipt] = {}
        shape, whole = self._entries_shape(declared)
        first = declared.results.first if declared.results is not None else 0
        for index, item in enumerate(items):
            try:
                entries.append(self._entry(shape, r, item, operation, str(index + first)))
            except Rejected as unsayable:
                refused[index] = Receipt(None, unsayable)
        if refused:  # what an entry needs is missing there: the others go without it
            others = [item for index, item in enumerate(items) if index not in refused]
            told = iter(await self.send(resource, operation, others) if others else ())  # whom they hit is known by now
            return [refused[index] if index in refused else next(told) for index in range(len(items))]
        headers = {**call.headers, **JSON, **(self._wire.key_header(_key_of(items)) if self._wire.connector.idempotency else {})}
        response, error, journaled = await self._wire.caller.write(
            declared.method,
            call.url({}, {}),
            headers,
            encode_json(whole(entries)),
            declared.cost,
            items[0].attempt,
            Purpose(operation, resource),
            checks_of(declared),
        )
        if error is not None or response is None:
            of_each = self._told_of_each(response, error, declared, items, r, journaled) if response is not None else None
            return of_each or [Receipt(None, error, journaled) for _ in items]
        try:
            if declared.results is None:
                self._wire.told(response, f"the batch answer for {resource}")
                return [Receipt(item.id or self._wire.id_of(resource, item.record), None, journaled) for item in items]
            answer = self._wire.decode(response, f"the batch answer for {resource}")
            read_id, account = self._wire.read_ids[resource], self._wire.caller.account
            errors = account.errors
            receipts = read_results(answer, declared.results, items, Answer(r.id, read_id, errors, journaled, account.mask))
            if operation == "delete":  # what is not there any more is deleted, as it is for a single delete
                return [
                    Receipt(item.id, None, journaled, already=True) if isinstance(receipt.error, NotThere) else receipt
                    for item, receipt in zip(items, receipts, strict=True)
                ]
            return receipts
        except Undecodable as undecodable:
            self._wire.caller.misread(response, undecodable)
            return [Receipt(None, OutcomeUnknown(str(undecodable), status=response.status), journaled) for _ in items]

    def _told_of_each(
        self, response: HttpResponse, error: RemoteError | None, declared: Batch, items: Sequence[Item], r: Resource, call: int | None
    ) -> list[Receipt] | None:
        """Return what a refusal of a batch tells of each record, if it took some: sent again, those would be there twice.

        Where it took none it may be a refusal of the whole, whatever it says of each, and None is returned.
        """
        if declared.results is None or not isinstance(error, (Rejected, NotThere, Stale)):
            return None
        with contextlib.suppress(*FAILURES, Undecodable):
            account = self._wire.caller.account
            how = Answer(r.id, id_reader(r), account.errors, call, account.mask)
            receipts = read_results(decode_leniently(response.body), declared.results, items, how)
            if any(receipt.error is None for receipt in receipts):
                return receipts
        return None

    def _entries_shape(self, declared: Batch) -> tuple[Shape | None, Callable[[list[Any]], Any]]:
        known = self._entries_of.get(id(declared))
        if known is None:
            escapes = self._wire.connector.escapes
            shape = compile_json(declared.item, self._wire.variables, escapes) if declared.item is not None else None
            known = self._entries_of[id(declared)] = shape, compile_entries(declared, self._wire.variables, escapes)
        return known

    def _entry(self, shape: Shape | None, r: Resource, item: Item, operation: str, index: str) -> Any:
        if shape is not None:
            gaps = gaps_of(r, item, item.record)
            if "index" not in r.fields:
                gaps["index"] = index
            return shape(gaps)
        if item.id is None or operation == "create" or (operation == "upsert" and r.upsert is not None and r.upsert.by != r.id):
            return item.record
        if operation == "delete":
            return id_as_json(r, item.id)
        return with_more(item.record, {r.id: id_as_json(r, item.id)})


def _key_of(items: Sequence[Item]) -> str:
    # A batch is repeated only with the same records: another composition must not get this one's answer.
    return items[0].key if len(items) == 1 else hashlib.sha256("\n".join(item.key for item in items).encode()).hexdigest()[:32]
