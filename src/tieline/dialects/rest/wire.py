"""One connection to a REST API: its declaration made ready, its calls sent, their answers decoded.

An answer that is not JSON, or has no records where they should be, is an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from tieline.config.models.connectors import Connector, Resource
from tieline.config.models.operations import Find, Listing, Request
from tieline.config.models.success import Says, conditions
from tieline.config.models.zones import with_zones
from tieline.dialects.decoding import FAILURES, decode, decode_leniently
from tieline.dialects.ids import id_reader, one_spelling
from tieline.dialects.rest.batched_gets import Question
from tieline.dialects.rest.listing import kind_of
from tieline.dialects.rest.templates import Template, encode, fill_header, well_formed
from tieline.dialects.rest.tombstones import burial
from tieline.mapping.access import compile_get
from tieline.model.errors import (
    Garbled,
    Undecodable,
)
from tieline.model.paths import get, put
from tieline.model.records import ABSENT, Record, Values
from tieline.transport.caller import READ_RETRIES, Caller
from tieline.transport.ports import HttpResponse
from tieline.transport.retry import wait_seconds

_T = TypeVar("_T")
_BEGINS = (b"{", b"[", b"<")
"""How JSON and a page begin."""
JSON = {"Content-Type": "application/json"}


class Call:
    """A declared call with the connection's variables filled in."""

    __slots__ = ("_base", "_params", "_path", "_with_id", "headers", "names")

    def __init__(
        self,
        declared: Request,
        base_url: str,
        variables: Mapping[str, str],
        extra: Mapping[str, str],
        escapes: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._base = base_url.rstrip("/")
        self._path = Template(declared.path, variables, escapes)
        self._params = [
            (well_formed(name, ""), Template(text, variables, escapes, "query")) for name, text in (*extra.items(), *declared.query)
        ]
        self.headers = {name: fill_header(value, variables) for name, value in declared.headers.items()}
        self._with_id = {name: value for name, value in self.headers.items() if "{id}" in value}
        self.names = self._path.names + [name for _, template in self._params for name in template.names]

    def headers_for(self, id: str | None) -> dict[str, str]:
        """Return the headers of a call that is about one record."""
        if not self._with_id or id is None:
            return self.headers
        return {**self.headers, **{name: value.replace("{id}", id) for name, value in self._with_id.items()}}

    def url(self, values: Mapping[str, Any], further: Mapping[str, str]) -> str:
        """Return the address. Raises `Rejected` where a value is missing, or would lead to another place."""
        query = "&".join(
            [f"{name}={template.fill(values)}" for name, template in self._params]
            + [f"{encode(name)}={encode(value)}" for name, value in further.items()]
        )
        address = self._base + self._path.fill(values)
        if not query:
            return address
        return f"{address}{'&' if '?' in address else '?'}{query}"


class Wire:
    """What reading and writing share: the declaration made ready, calls, and answers decoded."""

    def __init__(self, name: str, connector: Connector, variables: Mapping[str, str], caller: Caller) -> None:
        self.name, self.connector, self.caller, self.clock = name, connector, caller, caller.clock
        self.variables = dict(variables)
        self.version_query = (
            {connector.version.param: connector.version.name}
            if connector.version and connector.version.send == "query" and connector.version.param
            else {}
        )
        self.resources = {name: with_zones(r, variables) for name, r in connector.resources.items()}
        self.read_ids = {name: id_reader(r) for name, r in connector.resources.items()}
        self.id_at = {name: compile_get(r.id) for name, r in connector.resources.items()}
        self.tombstones = {name: r.list.tombstone if r.list is not None else None for name, r in connector.resources.items()}
        self.is_buried = {name: burial(tombstone) for name, tombstone in self.tombstones.items()}
        self._calls: dict[int, Call] = {}
        self._questions: dict[int, Question] = {}
        self._same_place = frozenset(host.lower() for host in connector.same_place)
        self._spell = {name: one_spelling(r) for name, r in connector.resources.items()}
        self._personal = {
            name: frozenset(address for address, field in r.fields.items() if field.personal) for name, r in connector.resources.items()
        }

    async def read(self, parse: Callable[[HttpResponse], _T], *request: Any, **more: Any) -> tuple[HttpResponse, _T]:
        """Send a call that reads, and take its answer apart; rubbish is asked for again, as often as `retry` says.

        Rubbish is an answer that is cut off, a page of a proxy, not what is declared, or about another record. What can be understood, and
        comes twice in a row word for word, is the vendor's own word, and is not asked for a third time.
        """
        caller, retries, attempt, said = self.caller, READ_RETRIES.get(), 0, None
        while True:
            attempt += 1
            response = await caller.read(*request, **more)
            try:
                return response, parse(response)
            except Undecodable as error:
                stays = not isinstance(error, Garbled) and response.body == said
                if stays or attempt >= retries.attempts or more.get("once"):
                    raise
                said = response.body
            await self.clock.sleep(wait_seconds(attempt, retries, self.clock.random()))

    def at_home(self, url: str) -> str:
        """Return an address that names the same place by another name (`same_place`) at the environment's own; others as they are."""
        if not self.connector.same_place:
            return url
        parts = urlsplit(url)
        if parts.netloc.lower() not in self._same_place and (parts.hostname or "") not in self._same_place:
            return url
        home = urlsplit(self.caller.account.base_url)
        return urlunsplit((home.scheme, home.netloc, parts.path, parts.query, ""))

    def private(self, resource: str, values: Mapping[str, Any]) -> tuple[str, ...]:
        """Return those of the fields in a URL that are personal data, as they stand there."""
        personal = self._personal[resource]
        return tuple(encode(value) for address, value in values.items() if address in personal and value) if personal else ()

    def call(self, declared: Request) -> Call:
        call = self._calls.get(id(declared))
        if call is None:
            call = self._calls[id(declared)] = Call(
                declared, self.caller.account.base_url, self.variables, self.version_query, self.connector.escapes
            )
        return call

    def question(self, declared: Listing | Find) -> Question:
        question = self._questions.get(id(declared))
        if question is None:
            question = Question(declared, self.caller.account.base_url, self.variables, self.version_query, self.connector.escapes)
            self._questions[id(declared)] = question
        return question

    def decode(self, response: HttpResponse, what: str, decoded: Callable[[bytes], Any] = decode) -> Any:
        body = response.body
        try:
            return decoded(body)
        except FAILURES as error:
            start = body[:80].decode("utf-8", "replace").strip()
            shape = "an HTML page" if start[:1] == "<" else "empty" if not start else "not JSON"
            why = self.caller.account.mask(f"{self.name}: {what} is {shape} ({error}); it begins {start!r}")
            raise self.caller.misread(response, Garbled(why, status=response.status)) from None

    def entries(self, answer: Any, declared: Listing | Find, what: str, response: HttpResponse, r: Resource) -> list[Any]:
        found = get(answer, declared.records) if declared.records else answer
        if isinstance(found, list):
            return found
        if found in (ABSENT, None) and declared.when_missing == "empty":
            return []
        if isinstance(found, dict):
            if declared.shape == "one_or_list":
                return [found]
            if declared.shape == "by_id":
                return [_with_id(key, value, declared.record, r) for key, value in found.items()]
        place = f"no list at `{declared.records}`" if declared.records else "no list"
        why = f"{self.name}: {what} has {place}, but {kind_of(found)}"
        next_step = "correct `records` in the connector; if the vendor leaves it out when there are none, add `when_missing: empty`"
        if isinstance(found, dict):
            next_step = "correct `records` in the connector; `shape: one_or_list` if this is a record, `shape: by_id` if it holds records by their ids"
        raise self.caller.misread(response, Undecodable(why, next_step=next_step))

    def told(self, response: HttpResponse, what: str = "the answer to a write") -> Any:
        """Return what an answer to a write says; `ABSENT` for nothing, or a word such as `OK`: what was written needs no more.

        Raises `Undecodable` for a page where the vendor's word is awaited: a proxy or a log-in page says 200 as well, and has done nothing. So
        does an answer that was cut off.
        """
        body = response.body
        first = body[:1] if body[:1] in _BEGINS else body[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if first in _BEGINS:
            return self.decode(response, what, decode_leniently)
        if first:
            with contextlib.suppress(*FAILURES):
                return decode_leniently(body)
        return ABSENT

    def key_header(self, key: str) -> dict[str, str]:
        """Return the header that carries an idempotency key, where the vendor takes one."""
        return {self.connector.idempotency.header: key} if self.connector.idempotency else {}

    def id_of(self, resource: str, record: Record | Values) -> str | None:
        """Return a record's id as text, or None when it has none that can be used."""
        return self.read_ids[resource](self.id_at[resource](record))

    def spelled(self, resource: str, record: Any) -> Any:
        """Return a record with its id in the one spelling."""
        if (spell := self._spell[resource]) is not None and isinstance(record, dict):
            spell(record, self.id_of(resource, record))
        return record


def checks_of(declared: Request) -> tuple[Says, ...] | None:
    """Return when 2xx to this call is a failure, if it says so itself."""
    return None if declared.in_success is None else conditions(declared.in_success)


def id_as_json(r: Resource, id: str | None) -> Any:
    """Return an id as it is written in JSON: a number where the vendor's ids are declared so."""
    declared = r.fields.get(r.id)
    return int(id) if id is not None and declared is not None and declared.type == "integer" and id.removeprefix("-").isdecimal() else id


def _with_id(key: str, entry: Any, record_at: str, r: Resource) -> Any:
    """Return an entry that stands under its id, with the id in it where it does not say it itself."""
    record = get(entry, record_at) if record_at and isinstance(entry, dict) else entry
    if isinstance(record, dict) and get(record, r.id) in (ABSENT, None):
        put(record, r.id, id_as_json(r, key))
    return entry
