"""The answer to a write: whose record it shows, under which id, and whether it shows one at all."""

from __future__ import annotations

from typing import Any, cast

from tieline.config.models.operations import Write
from tieline.dialects.ids import IdReader, id_reader
from tieline.dialects.rest.wire import Wire
from tieline.model.errors import (
    Undecodable,
    Untold,
)
from tieline.model.paths import get
from tieline.model.records import ABSENT, Record
from tieline.transport.classify import vendor_text
from tieline.transport.ports import HttpResponse


class WriteAnswers:
    """What the answers to single writes tell, for one connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._answer_ids: dict[int, IdReader] = {}

    def other_shown(self, resource: str, declared: Write, answer: Any, id: str) -> str | None:
        """Return the id of the record that the answer to an update shows, if that is another one.

        An object that has no field of the resource but the id is no record: some vendors answer with that of a job. A vendor that
        shows the record into which one was merged does so here as well.
        """
        r = self._wire.resources[resource]
        tombstone = self._wire.tombstones[resource]
        if (r.get is not None and r.get.merged == "survivor") or (tombstone is not None and tombstone.into is not None):
            return None
        stored = get(answer, declared.record) if declared.record else answer
        if not isinstance(stored, dict) or all(get(stored, address) is ABSENT for address in r.fields if address != r.id):
            return None
        shown = self._wire.id_of(resource, stored)
        return shown if shown is not None and shown != self._wire.read_ids[resource](id) else None

    def new_id(self, resource: str, declared: Write, response: HttpResponse, answer: Any, sent: Record) -> str | None:
        """Return the id of the record that was written. Raises `Undecodable` where the answer does not tell it."""
        r = self._wire.resources[resource]
        read_id = self._answer_ids.get(id(declared))
        if read_id is None:
            part = declared.id.part or ("last_segment" if declared.id.header is not None else None)
            read_id = self._answer_ids[id(declared)] = id_reader(r, part)
        if declared.id.header is not None:
            new = read_id(response.headers.get(declared.id.header, ""))
            if new is None:
                raise Undecodable(f"{self._wire.name}: the answer has no `{declared.id.header}` header with the new record's id")
            return new
        if answer is not ABSENT:
            if declared.id.body is not None:
                found = get(answer, declared.id.body)
                new = read_id(found[0] if isinstance(found, list) and len(found) == 1 else found)
                if new is None:
                    raise Undecodable(f"{self._wire.name}: the answer has no id at `{declared.id.body}`")
                return new
            stored = get(answer, declared.record) if declared.record else answer
            if isinstance(stored, dict) and (new := read_id(get(stored, r.id))) is not None:
                return new
        if (own := self._wire.read_ids[resource](get(sent, r.id))) is not None:
            return own
        raise Undecodable(
            f"{self._wire.name}: the answer does not tell the id of the record",
            next_step="declare `id:` for this write in the connector",
        )

    def nothing_stored(self, declared: Write, response: HttpResponse, answer: Any) -> Untold | None:
        """Return what a success is that does not show the record where it should: none. An empty answer shows nothing, and is one."""
        if not isinstance(answer, (dict, list)) or get(cast("dict[str, Any]", answer), declared.record) not in (
            ABSENT,
            None,
            False,
            [],
            {},
        ):
            return None
        account = self._wire.caller.account
        text = account.mask(vendor_text(response, account.errors))
        why = f"{self._wire.name}: {response.status}, and the answer has no record at `{declared.record}`" + (f": {text}" if text else "")
        return Untold(why, status=response.status, text=text)
