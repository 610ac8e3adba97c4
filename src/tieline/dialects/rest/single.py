"""One record, written by one call: its body, its address, its condition, and what the answer means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tieline.config.models.connectors import Resource
from tieline.config.models.operations import Change, Upsert, Write
from tieline.dialects.dialect import Item, Receipt
from tieline.dialects.rest.bodies import MakeBody, as_form, compile_body, with_more
from tieline.dialects.rest.reader import Reader
from tieline.dialects.rest.templates import Gaps, fill_header
from tieline.dialects.rest.wire import JSON, Call, Wire, checks_of, id_as_json
from tieline.dialects.rest.write_answers import WriteAnswers
from tieline.model.errors import (
    OutcomeUnknown,
    RateLimited,
    Rejected,
    RemoteError,
    Stale,
    Unavailable,
    Undecodable,
    Untold,
)
from tieline.model.paths import get
from tieline.model.records import ABSENT, Record, Values, encode_json
from tieline.transport.classify import is_already
from tieline.transport.recording import Purpose
from tieline.transport.retry import TRANSIENT

_NO_GAPS: Mapping[str, Any] = {}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class SingleWriter:
    """Sends one record, once."""

    def __init__(self, wire: Wire, reader: Reader) -> None:
        self._wire, self._reader = wire, reader
        self._answers = WriteAnswers(wire)
        self._bodies: dict[int, MakeBody] = {}

    async def send(self, resource: str, operation: str, declared: Write, item: Item, record: Record, version: Any) -> Receipt:
        """Send one record, on condition of a version where there is one."""
        r, call = self._wire.resources[resource], self._wire.call(declared)
        condition = declared.condition if isinstance(declared, Change) and version is not None else None
        fields = _fields_for(call, declared, item)
        try:
            values = Gaps({"id": item.id, "changed_fields": ",".join(item.record), **fields}, item.record) if call.names else _NO_GAPS
            more = {condition.body: version} if condition is not None and condition.body is not None else {}
            body, content = self._body(r, declared, item, record, operation, more)
            url = call.url(values, {condition.param: str(version)} if condition is not None and condition.param is not None else {})
        except Rejected as unsayable:
            return Receipt(None, unsayable)
        except UnicodeEncodeError:
            why = "a text of the record holds half a character, and can't be sent"
            return Receipt(None, Rejected(why, next_step="correct the record, then redrive it"))
        headers = {**call.headers_for(item.id), **content, **self._wire.key_header(item.key)}
        if condition is not None and condition.header is not None:
            headers[condition.header] = fill_header(condition.value or f"{{{condition.field}}}", {condition.field: str(version)})
        purpose = Purpose(operation, resource, private=self._wire.private(resource, {r.id: item.id, **fields}))
        response, error, journaled = await self._wire.caller.write(
            declared.method, url, headers, body, declared.cost, item.attempt, purpose, checks_of(declared)
        )
        if condition is not None and error is not None and is_already(error, condition.stale):
            error = error if isinstance(error, (Stale, RateLimited)) else Stale(str(error), status=error.status, text=error.text)
            return Receipt(None, error, journaled)
        if is_already(error, declared.already):
            self._wire.caller.amend(journaled, None, None)
            return Receipt(item.id, None, journaled, already=True)
        if error is not None:
            if operation == "delete" and error.status in declared.gone:
                if error.perhaps_done and r.get is not None and (doubt := await self._still_there(resource, item.id or "")) is not None:
                    return Receipt(None, doubt, journaled)
                self._wire.caller.amend(journaled, None, None)
                return Receipt(item.id, None, journaled, already=True)
            return Receipt(None, error, journaled)
        assert response is not None
        try:
            answer = self._wire.told(response)
            if (
                declared.record
                and operation != "delete"
                and (nothing := self._answers.nothing_stored(declared, response, answer)) is not None
            ):
                return Receipt(None, self._wire.caller.misread(response, nothing), journaled)
            if (
                item.id is not None
                and operation != "delete"
                and (other := self._answers.other_shown(resource, declared, answer, item.id)) is not None
            ):
                why = f"{self._wire.name}: the answer is about {other}, not about {resource} {item.id}, which was to be written"
                return Receipt(None, self._wire.caller.misread(response, Untold(why, status=response.status)), journaled)
            if item.show and operation != "delete":
                id = item.id or self._answers.new_id(resource, declared, response, answer, item.record)
                stored = self._wire.spelled(resource, get(answer, declared.record) if declared.record else answer)
                return Receipt(id, None, journaled, record=stored if isinstance(stored, dict) else None)
            return Receipt(item.id or self._answers.new_id(resource, declared, response, answer, item.record), None, journaled)
        except Undecodable as undecodable:
            self._wire.caller.misread(response, undecodable)
            # The write was accepted, but the answer can't be read: whether and as what it exists has to be looked up.
            return Receipt(None, OutcomeUnknown(str(undecodable), status=response.status), journaled)

    async def _still_there(self, resource: str, id: str) -> RemoteError | None:
        """Say why a deletion that was answered with `gone`, and not plainly by the vendor, is not done; None when the record is not there."""
        try:
            there = await self._reader.get(resource, id)
        except RemoteError as error:
            return (
                error if isinstance(error, TRANSIENT) else OutcomeUnknown(f"whether it is gone can't be told: {error}", status=error.status)
            )
        return None if there is None else Unavailable(f"{self._wire.name}: {resource} {id} was said to be gone, and is there", status=404)

    def _body(
        self, r: Resource, declared: Write, item: Item, record: Record, operation: str, more: Values
    ) -> tuple[bytes | None, dict[str, str]]:
        """Return the body, and the header that says what it is; `more` goes into it, by address."""
        if operation == "delete" and not declared.constants and declared.body is None and not more:
            return None, {}
        make = self._bodies.get(id(declared))
        if make is None:
            make = self._bodies[id(declared)] = compile_body(declared, self._wire.variables, self._wire.connector.escapes)
        body = make(record, gaps_of(r, item, record))
        if more:
            body = with_more(body, more)
        if declared.form:
            return as_form(body, declared.form, declared.form_lists), _FORM
        return encode_json(body), JSON


def gaps_of(r: Resource, item: Item, record: Record) -> Gaps:
    """Return what the gaps of a body are filled with."""
    return Gaps({"id": id_as_json(r, item.id), "record": record, "changed_fields": list(item.record)}, record)


def _fields_for(call: Call, declared: Write, item: Item) -> dict[str, Any]:
    if not isinstance(declared, Upsert):
        return {}
    return {name: value for name in call.names if (value := get(item.record, name)) is not ABSENT}
