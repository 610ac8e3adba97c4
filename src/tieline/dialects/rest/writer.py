"""Writing to a REST API: each write is sent once and returns a receipt; whether to try again is the engine's to decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tieline.config.models.connectors import Resource
from tieline.config.models.operations import Change, Write
from tieline.dialects.dialect import Item, Receipt
from tieline.dialects.rest.batches import BatchWriter
from tieline.dialects.rest.bodies import writable, written_into
from tieline.dialects.rest.entries import list_requests, prepared
from tieline.dialects.rest.reader import Reader
from tieline.dialects.rest.single import SingleWriter
from tieline.dialects.rest.wire import JSON, Wire, checks_of
from tieline.mapping.keys import normalise_key
from tieline.model.errors import (
    NotThere,
    OutcomeUnknown,
    Rejected,
    RemoteError,
    Stale,
    Unavailable,
    Undecodable,
)
from tieline.model.lists import ListChange
from tieline.model.paths import get
from tieline.model.records import ABSENT, decode_json
from tieline.model.tasks import side_by_side
from tieline.transport.classify import is_already
from tieline.transport.recording import Purpose

_MOST_STALE = 3
"""So many times a record is read again and written, when someone was faster than we who had just read it."""


class Writer:
    """Writes records of one connection, each once; what it has to know before, it reads."""

    def __init__(self, wire: Wire, reader: Reader) -> None:
        self._wire, self._reader = wire, reader
        self._single, self._batches = SingleWriter(wire, reader), BatchWriter(wire)

    async def write(self, resource: str, operation: str, item: Item) -> Receipt:
        """Create, update, upsert or delete one record, once."""
        r = self._wire.resources[resource]
        meant, operation = operation, way_of(r, operation)
        declared: Write | None = getattr(r, operation)
        if declared is not None and (another := await self._another_hit(resource, meant, operation, item)) is not None:
            return Receipt(None, another)
        if item.lists and (item.id is None or r.get is None):
            return await self._write_lists_unread(resource, operation, item)
        if declared is None and not item.lists:
            return (await self.write_many(resource, meant, [item]))[0]
        condition = declared.condition if isinstance(declared, Change) else None
        merges = operation == "update" and r.merges_updates
        if (
            declared is not None
            and not merges
            and not item.lists
            and (condition is None or not condition.always or item.version is not None)
        ):
            version = decode_json(item.version) if condition is not None and item.version is not None else None
            return await self._single.send(resource, operation, declared, item, item.record, version)
        receipt = Receipt()
        for _ in range(_MOST_STALE):
            receipt = await self._write_what_was_read(resource, operation, declared, item, merges=merges)
            if condition is None or item.version is not None or not isinstance(receipt.error, Stale):
                break  # else someone was faster than we, and nothing is lost by looking again
        return receipt

    async def _another_hit(self, resource: str, meant: str, operation: str, item: Item) -> RemoteError | None:
        """Say why an upsert would not write the record that is meant, where that can be known before; None when it would.

        An update hits the record that has the key there now, and a creation the one that has it already, unless the key is what was looked up.
        """
        r = self._wire.resources[resource]
        if operation != "upsert" or meant == "upsert" or (meant == "create" and item.looked_up):
            return None
        by = r.upsert.by if r.upsert is not None else r.id
        if (item.id is not None and by == r.id) or (value := get(item.record, by)) in (ABSENT, None, ""):
            return None
        try:
            if item.id is not None and r.get is not None:
                there = await self._reader.get_one(resource, item.id)
                if there is None:
                    return NotThere(f"{self._wire.name}: {resource} {item.id} is not there any more", status=404)
                says = get(there, by)
                if says is ABSENT or normalise_key(says) == normalise_key(value):
                    return None
                why = f"`{by}`, by which the vendor knows {resource} {item.id}, is {says!r} there"
            elif by == r.id and r.get is not None:
                if await self._reader.get_one(resource, str(value)) is None:
                    return None
                why = f"there is a record {value} of {resource} already"
            elif by in r.find:
                ids = [self._wire.id_of(resource, one) for one in await self._reader.find(resource, by, value)]
                if ids == ([] if item.id is None else [item.id]):
                    return None
                who = ", ".join(id or "one without an id" for id in ids[:3])
                why = f"`{by}`, by which the vendor knows a record, is {value!r} of {who or 'none'} there"
            else:
                return None
        except (OutcomeUnknown, Undecodable) as unread:  # of the write nothing has left
            return Unavailable(f"whom an upsert would hit can't be told: {unread}", status=unread.status, text=unread.text)
        except RemoteError as unread:
            return unread
        return Rejected(
            f"{self._wire.name}: {why}: an upsert by {value!r} would write another record",
            next_step=f"say which record it is, or correct `{by}` in one of both systems; then redrive it",
        )

    async def _write_lists_unread(self, resource: str, operation: str, item: Item) -> Receipt:
        """Write a record that is made, or can't be read before: lists that have calls of their own get them after it."""
        r = self._wire.resources[resource]
        if item.id is not None and (unread := item.lists.keys() - r.lists.keys()):
            why = f"`{min(unread)}` is merged with what is there, and a record of {resource} can't be read by its id"
            return Receipt(None, Rejected(why, next_step="declare `get` for it in the connector, or the list's calls under `lists`"))
        bare, apart, _ = prepared(item, None, r.lists, whole=True)
        receipt = await self.write(resource, operation, bare) if bare.record or item.id is None else Receipt(item.id)
        if receipt.error is not None or not apart:
            return receipt
        if receipt.id is not None:
            filled = await self._change_lists(r, resource, msgspec.structs.replace(item, id=receipt.id), apart, receipt.call)
            if filled.error is None or item.id is not None:
                return filled
            why = f"{self._wire.name}: {resource} {receipt.id} was made, and its lists are not filled: {filled.error}"
        else:
            why = f"{self._wire.name}: a record of {resource} was made, and its lists are not filled: its id is not known"
        # It is looked for, and what is missing is written to it.
        return Receipt(None, OutcomeUnknown(why), receipt.call)

    async def _change_lists(self, r: Resource, resource: str, item: Item, apart: Mapping[str, ListChange], call: int | None) -> Receipt:
        """Make the calls that add entries to lists, and take them out. The first that fails ends it: all of them can be made again."""
        number = 0
        for address, wanted in apart.items():
            for declared, some, taken_out in ((r.lists[address].add, wanted.add, False), (r.lists[address].remove, wanted.remove, True)):
                where = self._wire.call(declared)
                try:
                    requests = [
                        (where.url(request.values, {}), request.body)
                        for request in list_requests(declared, some, item, self._wire.variables, self._wire.connector.escapes)
                    ]
                except Rejected as unsayable:
                    return Receipt(None, unsayable, call)
                for url, body in requests:
                    number += 1
                    headers = {**where.headers_for(item.id), **(JSON if body is not None else {})}
                    headers |= self._wire.key_header(f"{item.key}-{number}") if item.key else {}
                    purpose = Purpose("update", resource)
                    _, error, call = await self._wire.caller.write(
                        declared.method, url, headers, body, declared.cost, item.attempt, purpose, checks_of(declared)
                    )
                    if error is None:
                        continue
                    if not is_already(error, declared.already) and not (taken_out and isinstance(error, NotThere)):
                        return Receipt(None, error, call)
                    self._wire.caller.amend(call, None, None)
        return Receipt(item.id, None, call)

    async def _write_what_was_read(self, resource: str, operation: str, declared: Write | None, item: Item, *, merges: bool) -> Receipt:
        """Read a record just before it is written: for its version, because what is not sent would be emptied, or to merge its lists."""
        assert item.id is not None
        condition = declared.condition if isinstance(declared, Change) else None
        try:
            there = await self._reader.get_one(resource, item.id)
        except (OutcomeUnknown, Undecodable) as unread:  # of the write nothing has left
            return Receipt(
                None, Unavailable(f"it could not be read before it is written: {unread}", status=unread.status, text=unread.text)
            )
        except RemoteError as unread:
            return Receipt(None, unread)
        if there is None:
            if operation == "delete":
                return Receipt(item.id, already=True)
            return Receipt(None, NotThere(f"{self._wire.name}: {resource} {item.id} is not there any more", status=404))
        if item.is_late is not None and (late := item.is_late(there)) is not None:
            # Merged into it, the update would put back what we have just written.
            why = f"{self._wire.name}: {resource} {item.id} is shown as it was before our last write to `{late}`: it is read again later"
            return Receipt(None, Unavailable(why))
        version: Any = get(there, condition.field) if condition is not None else ABSENT
        if condition is not None and item.version is not None and version != decode_json(item.version):
            return Receipt(None, Stale(f"{self._wire.name}: {resource} {item.id} has changed since it was read"))
        if version in (ABSENT, None, ""):
            if condition is not None and condition.always:
                return Receipt(
                    None, Rejected(f"{self._wire.name}: {resource} {item.id} shows no `{condition.field}`, and no change is taken without")
                )
            version = None
        r = self._wire.resources[resource]
        apart, found = dict[str, ListChange](), dict[str, list[Any]]()
        if item.lists:
            try:
                item, apart, found = prepared(
                    item, there, r.lists, whole=operation == "upsert" or (declared is not None and declared.whole)
                )
            except Rejected as unfit:
                return Receipt(None, unfit)
        receipt = Receipt(item.id)
        if declared is None:
            if item.record:
                receipt = (await self.write_many(resource, operation, [item]))[0]
        elif item.record or not found:
            record = written_into(writable(there, r), item.record, item.fields) if merges else item.record
            receipt = await self._single.send(resource, operation, declared, item, record, version)
        if receipt.error is None and apart:
            receipt = await self._change_lists(r, resource, item, apart, receipt.call)
        receipt.found = found
        return receipt

    async def write_many(self, resource: str, operation: str, items: Sequence[Item]) -> list[Receipt]:
        """Write many records in one call; one receipt each, in order."""
        r = self._wire.resources[resource]
        meant, operation = operation, way_of(r, operation)
        if operation == "upsert" and meant != "upsert":
            hits = await side_by_side(self._another_hit(resource, meant, operation, item) for item in items)
            if any(hits):
                others = [item for item, another in zip(items, hits, strict=True) if another is None]
                told = iter(await self.write_many(resource, "upsert", others) if others else ())
                return [next(told) if another is None else Receipt(None, another) for another in hits]
        return await self._batches.send(resource, operation, items)


def way_of(r: Resource, operation: str) -> str:
    """Return the call that does it: where neither one record nor many can be created, or updated, an upsert does."""
    if operation not in ("create", "update") or getattr(r, operation) is not None or getattr(r.batch, operation) is not None:
        return operation
    return "upsert" if r.upsert is not None or r.batch.upsert is not None else operation
