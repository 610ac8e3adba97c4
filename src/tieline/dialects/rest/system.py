"""REST with JSON, as a connector declares it.

An answer that is not JSON, or has no records where they should be, is an error; how a list is read whole is `reading`'s to know.
Writing sends once and returns a receipt; whether to try again is the engine's to decide.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

import msgspec

from tieline.config.models.connectors import (
    Batch,
    Change,
    Connector,
    Deleted,
    Find,
    Get,
    Listing,
    Request,
    Resource,
    Upsert,
    Write,
)
from tieline.config.models.paging import CursorInBody, LinkHeader, NextUrl
from tieline.config.models.success import Says, conditions
from tieline.config.models.zones import with_zones
from tieline.dialects.decoding import FAILURES, Unreadable, decode, decode_leniently, entries_apart, has_half_characters
from tieline.dialects.dialect import Features, Item, Page, Receipt, Since, Waiting
from tieline.dialects.ids import IdReader, id_reader, one_spelling
from tieline.dialects.rest.batch_results import Answer, read_results
from tieline.dialects.rest.batched_gets import Question
from tieline.dialects.rest.bodies import MakeBody, as_form, compile_body, compile_entries, with_more, writable, written_into
from tieline.dialects.rest.deletion_feed import read_with_deleted
from tieline.dialects.rest.entries import list_requests, prepared
from tieline.dialects.rest.listing import Asked, ListReader, Place, kind_of, survivor_of
from tieline.dialects.rest.pagination import Step, pager
from tieline.dialects.rest.points import points_of
from tieline.dialects.rest.templates import Gaps, Shape, Template, compile_json, encode, fill_header, well_formed
from tieline.dialects.rest.tombstones import burial
from tieline.mapping.access import compile_get
from tieline.mapping.keys import normalise_key
from tieline.model.errors import (
    AnotherRecord,
    Expired,
    Garbled,
    NotThere,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    RemoteError,
    Stale,
    Unavailable,
    Undecodable,
    Untold,
)
from tieline.model.lists import ListChange
from tieline.model.paths import get, put
from tieline.model.records import ABSENT, Record, Values, decode_json, encode_json
from tieline.model.tasks import side_by_side
from tieline.transport.caller import READ_RETRIES, Caller
from tieline.transport.classify import is_already, vendor_text
from tieline.transport.ports import HttpResponse
from tieline.transport.recording import Purpose
from tieline.transport.retry import TRANSIENT, wait_seconds

_T = TypeVar("_T")
_OF_A_MARK = {"fields", "field", "header", "at", "format", "field_format", "zone", "url"}
"""What of `changed_since` a mark belongs to, beside what is asked."""
_MOST_FOUND_PAGES = 20
_MOST_MERGED = 10
"""So many records that were merged into the next are followed."""
_MOST_STALE = 3
"""So many times a record is read again and written, when somebody was faster than we who had just read it."""
_BEGINS = (b"{", b"[", b"<")
"""How JSON and a page begin."""
_NO_GAPS: Mapping[str, Any] = {}
_JSON = {"Content-Type": "application/json"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class RestSystem:
    """A connection to a REST API."""

    def __init__(self, name: str, connector: Connector, variables: Mapping[str, str], caller: Caller) -> None:
        """`variables` are the connection's, with `version` among them."""
        self.name, self.concurrency = name, caller.account.concurrency
        self._connector, self._caller, self._clock = connector, caller, caller.clock
        self._variables = dict(variables)
        self._version_query = (
            {connector.version.param: connector.version.name}
            if connector.version and connector.version.send == "query" and connector.version.param
            else {}
        )
        self._calls: dict[int, _Call] = {}
        self._questions: dict[int, Question] = {}
        self._places: dict[int, Place] = {}
        self._same_place = frozenset(host.lower() for host in connector.same_place)
        self._bodies: dict[int, MakeBody] = {}
        self._bodies_of_get: dict[str, Shape] = {}
        self._entries_of: dict[int, tuple[Shape | None, Callable[[list[Any]], Any]]] = {}
        self._resources = {name: with_zones(r, variables) for name, r in connector.resources.items()}
        self._personal = {
            name: frozenset(address for address, field in r.fields.items() if field.personal) for name, r in connector.resources.items()
        }
        self._read_id = {name: id_reader(r) for name, r in connector.resources.items()}
        self._spell = {name: one_spelling(r) for name, r in connector.resources.items()}
        self._answer_ids: dict[int, IdReader] = {}
        self._id_at = {name: compile_get(r.id) for name, r in connector.resources.items()}
        self._deleted_id_at = {name: compile_get(r.deleted.id or r.id) for name, r in connector.resources.items() if r.deleted is not None}
        self._tombstones = {name: r.list.tombstone if r.list is not None else None for name, r in connector.resources.items()}
        self._is_buried = {name: burial(tombstone) for name, tombstone in self._tombstones.items()}

    @property
    def caller(self) -> Caller:
        """What sends the requests: budget, waits, journal."""
        return self._caller

    def features(self, resource: str) -> Features:
        """Say what a resource can do."""
        r = self._resources[resource]
        batch = {name: b.size for name in ("create", "update", "upsert", "delete") if (b := getattr(r.batch, _way(r, name))) is not None}
        for name in ("update", "delete"):  # such a write needs the record as it is, so each goes alone
            one = getattr(r, name)
            if one is not None and ((name == "update" and r.merges_updates) or (one.condition is not None and one.condition.always)):
                batch.pop(name, None)
        upsert = r.upsert.by if r.upsert else (r.id if r.batch.upsert else None)
        by_upsert = _way(r, "update") == "upsert"
        return Features(
            list=r.list is not None,
            changed_since=r.list is not None and r.list.changed_since is not None,
            get=r.get is not None,
            find=frozenset(r.find),
            create=r.create is not None or upsert is not None or "create" in batch,
            update=r.update is not None or upsert is not None or "update" in batch,
            upsert=upsert,
            delete=r.delete is not None or "delete" in batch,
            idempotency=self._connector.idempotency is not None,
            key_life=self._connector.idempotency.keeps if self._connector.idempotency is not None else None,
            whole_update=by_upsert or (r.update is not None and r.update.whole and not r.merges_updates),
            update_by=upsert if by_upsert else None,
            merged_update=not by_upsert and r.merges_updates,
            batch=batch,
            list_calls=frozenset(r.lists),
            conditional={
                name: declared.condition.field
                for name in ("update", "delete")
                if (declared := getattr(r, name)) is not None and declared.condition is not None and r.get is not None
            },
        )

    def id_of(self, resource: str, record: Record | Values) -> str | None:
        """Return a record's id as text, or None when it has none that can be used."""
        return self._read_id[resource](self._id_at[resource](record))

    def _spelled(self, resource: str, record: Any) -> Any:
        """Return a record with its id in the one spelling."""
        if (spell := self._spell[resource]) is not None and isinstance(record, dict):
            spell(record, self.id_of(resource, record))
        return record

    def read_id(self, resource: str, value: Any) -> str | None:
        """Return an id that a person or another system has written in the spelling of this one; None where it can't be one."""
        return self._read_id[resource](value)

    # -- reading

    async def read(self, resource: str, since: Since | None, *, strict: bool = False, deletions: bool = False) -> AsyncIterator[Page]:
        """Yield pages until the list ends, and the feed of deletions where it is wanted. Raises `RemoteError`; never ends early without one."""
        r = self._resources[resource]
        assert r.list is not None
        place = self._place(resource, r.list, "list")
        if r.deleted is None or not deletions:
            pages = ListReader(place, since, strict=strict).pages()
        else:
            feed = self._place(resource, r.deleted, "deleted")
            pages = read_with_deleted(place, feed, since, strict=strict, asked=r.get is not None)
        async for page in pages:
            yield page

    def holds(self, resource: str, since: Since | None) -> bool:
        """Whether a point from which changes are wanted still means what it did when it was made, by the connector as it is now.

        A point of an earlier version of tieline does not say of what it is, and is believed while changes can be asked for at all.
        """
        r = self._resources[resource]
        if since is None or r.list is None:
            return True
        if since.deleted is not None and r.deleted is None:
            return False  # what was deleted is not told any more, so that only a whole read can tell
        if since.mark is None:
            return True
        return r.list.changed_since is not None and since.of in (None, self._place(resource, r.list, "list").of)

    def _place(self, resource: str, listing: Listing, declared: str) -> Place:
        place = self._places.get(id(listing))
        if place is None:
            place = self._places[id(listing)] = self._new_place(resource, listing, declared)
        return place

    def _new_place(self, resource: str, listing: Listing, declared: str) -> Place:
        r = self._resources[resource]
        changed, caller = listing.changed_since, self._caller
        plain = self._question(listing)
        pointed = (
            Question(listing, caller.account.base_url, self._variables, self._version_query, self._connector.escapes, changed)
            if changed is not None
            else plain
        )
        apart = isinstance(listing, Deleted)
        name = f"{self.name}.{resource}{' (deleted)' if apart else ''}"
        zone = points_of(r, changed) if changed is not None else None

        checks = _checks(listing)

        async def ask(
            number: int, step: Step, asked: Asked, conditions: dict[str, str], what: str
        ) -> tuple[str, HttpResponse, Any, list[Any]]:
            further, question = step.further, plain
            if asked.since is not None:
                assert zone is not None
                now = zone.write(dt.datetime.fromtimestamp(self._clock.now(), dt.UTC)) if "until" in pointed.gaps else ""
                points = {"since": zone.as_sent(asked.since), "until": zone.as_sent(now)}
                further, question = msgspec.structs.replace(further, gaps={**further.gaps, **points}), pointed
            if asked.params:
                further = msgspec.structs.replace(further, params={**asked.params, **further.params})
            url, headers, body = question.ask(further, self._at_home(step.url) if step.url is not None else None)
            accept = listing.empty
            if conditions or (asked.since is not None and changed is not None and changed.headers):
                headers, accept = {**headers, **conditions}, (*accept, 304)
            purpose = Purpose("list", resource, number)
            try:
                response, (answer, entries) = await self._read(
                    lambda response: self._list_of(response, listing, what, accept, r),
                    listing.method, url, headers, body, listing.cost, accept, purpose=purpose, in_success=checks,
                )  # fmt: skip
            except RemoteError as error:
                if asked.by_mark and changed is not None and is_already(error, changed.expired):
                    raise Expired(f"{name}: the point of the last read is too old for the vendor: {error}", feed=apart) from error
                raise
            return url, response, answer, entries

        key = f"{plain.shape} {sorted(self._variables.items())}"
        how = changed.model_dump(include=_OF_A_MARK) if changed is not None else None
        of = f"{key}\n{pointed.shape}\n{how}\n{listing.records} {listing.record} {zone.zones if zone else ''}"
        return Place(
            name, r, listing, declared, key, hashlib.sha256(of.encode()).hexdigest()[:16], plain.gaps | pointed.gaps, ask,
            self._deleted_id_at[resource] if apart else self._id_at[resource], self._read_id[resource], self._clock.now, caller.misread,
        )  # fmt: skip

    async def _read(self, parse: Callable[[HttpResponse], _T], *request: Any, **more: Any) -> tuple[HttpResponse, _T]:
        """Send a call that reads, and take its answer apart; rubbish is asked for again, as often as `retry` says.

        Rubbish is an answer that is cut off, a page of a proxy, not what is declared, or about another record. What can be understood, and
        comes twice in a row word for word, is the vendor's own word, and is not asked for a third time.
        """
        caller, retries, attempt, said = self._caller, READ_RETRIES.get(), 0, None
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
            await self._clock.sleep(wait_seconds(attempt, retries, self._clock.random()))

    def _at_home(self, url: str) -> str:
        """Return an address that names the same place by another name (`same_place`) at the environment's own; others as they are."""
        if not self._connector.same_place:
            return url
        parts = urlsplit(url)
        if parts.netloc.lower() not in self._same_place and (parts.hostname or "") not in self._same_place:
            return url
        home = urlsplit(self._caller.account.base_url)
        return urlunsplit((home.scheme, home.netloc, parts.path, parts.query, ""))

    def _list_of(self, response: HttpResponse, listing: Listing, what: str, empty: tuple[int, ...], r: Resource) -> tuple[Any, list[Any]]:
        if response.status in empty:
            return None, []
        try:
            answer = self._decode(response, what)
        except Undecodable:
            # One entry that can't be decoded must not stop the others.
            apart = entries_apart(response.body, listing.records)
            if apart is None or not (any(not isinstance(entry, Unreadable) for entry in apart[1]) or has_half_characters(response.body)):
                raise
            return apart
        return answer, self._entries(answer, listing, what, response, r)

    async def get(self, resource: str, id: str) -> Record | None:
        """Return a record, or None when there is none; for one that was merged into another, that one.

        A vendor that shows deleted records when they are asked for marks them as its list does (`list.tombstone`).
        """
        asked: list[str] = []
        wanted: str | None = id
        # Records that were merged into each other in a ring, or a chain without an end, are nowhere.
        while wanted is not None and wanted not in asked and len(asked) < _MOST_MERGED:
            asked.append(wanted)
            record = await self._get(resource, wanted)
            if record is None or not self._is_buried[resource](record):
                return record
            wanted = survivor_of(record, self._tombstones[resource], self._read_id[resource])
        return None

    async def _get(self, resource: str, id: str) -> Record | None:
        r = self._resources[resource]
        declared = r.get
        assert declared is not None
        call = self._call(declared)
        try:
            purpose = Purpose("get", resource, private=self._private(resource, {r.id: id}))
            accepted = tuple(status for status in declared.none if status not in (404, 410))
            headers, body = call.headers_for(id), None
            if declared.body is not None:
                headers, body = {**headers, **_JSON}, encode_json(self._asked_for(resource, declared)(Gaps({"id": _as_json(r, id)}, {})))

            def told(response: HttpResponse) -> Record | None:
                return None if response.status in accepted else self._record_of(response, resource, id, declared)

            _, record = await self._read(
                told,
                declared.method, call.url({"id": id}, {}), headers, body, declared.cost, accepted, purpose=purpose, patient=False,
                in_success=_checks(declared),
            )  # fmt: skip
        except NotThere as error:
            if error.status not in declared.none:
                raise
            return None
        return record

    def _record_of(self, response: HttpResponse, resource: str, id: str, declared: Get) -> Record | None:
        """Return the record that was asked for, None where the answer says that there is none. Raises `Undecodable`."""
        answer = self._decode(response, f"{resource} {id}")
        found = get(answer, declared.record) if declared.record else answer
        if found == []:
            return None
        records = found if isinstance(found, list) else [found]
        wanted = self._read_id[resource](id)
        mine = [record for record in records if isinstance(record, dict) and self.id_of(resource, record) == wanted]
        if len(mine) == 1:
            self._spelled(resource, mine[0])
            return mine[0]
        one: Any = records[0]
        if len(records) == 1 and isinstance(one, dict) and declared.merged == "survivor" and self.id_of(resource, one) is not None:
            self._spelled(resource, one)
            return one
        raise self._caller.misread(response, self._not_that(resource, id, records))

    def _asked_for(self, resource: str, declared: Get) -> Shape:
        """Return what makes the body that asks for a record by its id."""
        shape = self._bodies_of_get.get(resource)
        if shape is None:
            shape = compile_json(declared.body, self._variables, self._connector.escapes, lambda name: name == "id")
            self._bodies_of_get[resource] = shape
        return shape

    def _not_that(self, resource: str, id: str, records: Sequence[Any]) -> Undecodable:
        """Return why an answer is not the record that was asked for."""
        what, at = f"{self.name}: {resource} {id}", self._resources[resource].id
        if len(records) > 1:
            return AnotherRecord(f"{what}: none, or several, of the {len(records)} records of the answer have that id")
        if not isinstance(records[0], dict):
            return Undecodable(f"{what} is {kind_of(records[0])}, not an object", next_step="correct `get.record` in the connector")
        other = self.id_of(resource, records[0])
        if other is None:
            return AnotherRecord(
                f"{what}: the answer has no id at `{at}`, so it is not known to be the record that was asked for",
                next_step="correct `get.record` or `id` in the connector",
            )
        return AnotherRecord(
            f"{what}: the answer is about {other}, not about the record that was asked for",
            next_step="ask the vendor for it yourself, then correct `get` in the connector. If the vendor shows the record into which "
            "that one was merged, declare `get: { merged: survivor }`",
        )

    async def find(self, resource: str, field: str, value: Any) -> list[Record]:
        """Return the records whose field has this value; deleted ones are not among them, whatever the vendor shows."""
        declared = self._resources[resource].find[field]
        question = self._question(declared)
        what = f"{resource} with {field} {value!r}"
        r = self._resources[resource]
        # A search of the list's own address comes in pages as the list does; what stands on a further one counts as well.
        alike = r.list is not None and (r.list.path, r.list.method) == (declared.path, declared.method)
        paging = declared.paging or (r.list.paging if r.list is not None and alike else None)
        walk = pager(paging, question.gaps)
        step = walk.first()
        records: list[Record] = []
        purpose = Purpose("find", resource, private=self._private(resource, {field: value}))
        for _ in range(_MOST_FOUND_PAGES):
            further = msgspec.structs.replace(step.further, gaps={**step.further.gaps, "value": value})
            url, headers, body = question.ask(further, self._at_home(step.url) if step.url is not None else None)
            response, (answer, entries) = await self._read(
                lambda response: self._found_in(response, declared, what, field, r),
                declared.method, url, headers, body, declared.cost, declared.none, purpose=purpose, patient=False,
                in_success=_checks(declared),
            )  # fmt: skip
            found = [get(entry, declared.record) if declared.record else entry for entry in entries]
            records += [self._spelled(resource, record) for record in found if not self._is_buried[resource](record)]
            if paging is None or response.status in declared.none:
                return records
            size, flagged = getattr(paging, "size", None), paging.more is not None or paging.end is not None
            told = flagged or isinstance(paging, (CursorInBody, NextUrl, LinkHeader)) or getattr(paging, "next", None) is not None
            if not told and (not entries or (size is not None and len(entries) < size)):
                return records
            last = found[-1] if found else None
            following = walk.after(url, response, answer, entries, last, self.id_of(resource, last) if last is not None else None)
            if following is None:
                return records
            step = following
        raise Undecodable(
            f"{self.name}: {what} fills more than {_MOST_FOUND_PAGES} pages: the vendor seems to ignore what was searched for",
            next_step="correct `find` in the connector",
        )

    def _found_in(self, response: HttpResponse, declared: Find, what: str, field: str, r: Resource) -> tuple[Any, list[Any]]:
        if response.status in declared.none:
            return None, []
        answer = self._decode(response, what)
        entries = self._entries(answer, declared, what, response, r)
        for entry in entries:
            record = get(entry, declared.record) if declared.record else entry
            if not isinstance(record, dict):  # passed over, it could be the very one, and another would be made
                why = f"{self.name}: {what}: an entry of the answer is {kind_of(record)}, not an object"
                next_step = f"correct `find.{field}.records` or `record` in the connector"
                raise self._caller.misread(response, Undecodable(why, next_step=next_step))
        return answer, entries

    def lag(self, resource: str) -> float | None:
        """Return how many seconds a list or `get` can be behind what was written, as declared; None where nothing is."""
        r = self._resources[resource]
        declared = [one.lag for one in (r, r.list, r.get) if one is not None and one.lag is not None]
        return max(declared, default=None)

    def find_lag(self, resource: str, field: str) -> float | None:
        """Return how many seconds a new record can be missing from `find`, as declared; None where nothing is."""
        return self._resources[resource].find[field].lag

    @property
    def is_down(self) -> bool:
        """Whether the system is known not to answer at the moment."""
        return self._caller.breaker.outage is not None

    @property
    def is_down_for_long(self) -> bool:
        """Whether it has not answered for a while, so that it is for the next run to try again."""
        return self._caller.breaker.is_open_for_long

    def waiting(self) -> Waiting | None:
        """Return until when no call of the present priority leaves for it, and why; None while they may."""
        if (outage := self._caller.breaker.outage) is not None:
            return Waiting(self.name, outage.until, outage.why, down=True)
        closed = self._caller.budget.waiting()
        return Waiting(self.name, closed.until, closed.why, down=False) if closed is not None else None

    async def until_it_may_pass(self) -> None:
        """Wait until a call may be tried, because it is time for a probe, or the system is back."""
        await self._caller.breaker.until_it_may_pass()

    def find_cache(self, resource: str, field: str) -> float | None:
        """Return how many seconds what `find` showed may be remembered; None for not at all."""
        return self._resources[resource].find[field].cache

    async def ping(self) -> str:
        """Make a cheap call with the credentials, once, because somebody is waiting; return what was asked."""
        declared: Request | None = self._connector.ping
        if declared is not None:
            call = self._call(declared)
            url = call.url({}, {})
            checks = _checks(declared)
            await self._caller.read(
                declared.method, url, call.headers, None, declared.cost, once=True, purpose=Purpose("ping"), in_success=checks
            )
            return f"{declared.method} {declared.path}"
        for name, r in self._resources.items():
            if r.list is not None and r.list.method == "GET":
                question, listing = self._question(r.list), r.list
                url, headers, _ = question.ask(pager(listing.paging, question.gaps).first().further)
                response = await self._caller.read(
                    "GET",
                    url,
                    headers,
                    None,
                    listing.cost,
                    listing.empty,
                    once=True,
                    purpose=Purpose("ping", name),
                    in_success=_checks(listing),
                )
                self._list_of(response, listing, name, listing.empty, r)
                return f"GET {r.list.path}"
        return "nothing: the connector declares no ping and no list"

    # -- writing

    async def write(self, resource: str, operation: str, item: Item) -> Receipt:
        """Create, update, upsert or delete one record, once."""
        r = self._resources[resource]
        meant, operation = operation, _way(r, operation)
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
            return await self._write(resource, operation, declared, item, item.record, version)
        receipt = Receipt()
        for _ in range(_MOST_STALE):
            receipt = await self._write_what_was_read(resource, operation, declared, item, merges=merges)
            if condition is None or item.version is not None or not isinstance(receipt.error, Stale):
                break  # else somebody was faster than we, and nothing is lost by looking again
        return receipt

    async def _another_hit(self, resource: str, meant: str, operation: str, item: Item) -> RemoteError | None:
        """Say why an upsert would not write the record that is meant, where that can be known before; None when it would.

        An update hits the record that has the key there now, and a creation the one that has it already, unless the key is what was looked up.
        """
        r = self._resources[resource]
        if operation != "upsert" or meant == "upsert" or (meant == "create" and item.looked_up):
            return None
        by = r.upsert.by if r.upsert is not None else r.id
        if (item.id is not None and by == r.id) or (value := get(item.record, by)) in (ABSENT, None, ""):
            return None
        try:
            if item.id is not None and r.get is not None:
                there = await self._get(resource, item.id)
                if there is None:
                    return NotThere(f"{self.name}: {resource} {item.id} is not there any more", status=404)
                says = get(there, by)
                if says is ABSENT or normalise_key(says) == normalise_key(value):
                    return None
                why = f"`{by}`, by which the vendor knows {resource} {item.id}, is {says!r} there"
            elif by == r.id and r.get is not None:
                if await self._get(resource, str(value)) is None:
                    return None
                why = f"there is a record {value} of {resource} already"
            elif by in r.find:
                ids = [self.id_of(resource, one) for one in await self.find(resource, by, value)]
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
            f"{self.name}: {why}: an upsert by {value!r} would write another record",
            next_step=f"say which record it is, or correct `{by}` in one of both systems; then redrive it",
        )

    async def _write_lists_unread(self, resource: str, operation: str, item: Item) -> Receipt:
        """Write a record that is made, or can't be read before: lists that have calls of their own get them after it."""
        r = self._resources[resource]
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
            why = f"{self.name}: {resource} {receipt.id} was made, and its lists are not filled: {filled.error}"
        else:
            why = f"{self.name}: a record of {resource} was made, and its lists are not filled: its id is not known"
        # It is looked for, and what is missing is written to it.
        return Receipt(None, OutcomeUnknown(why), receipt.call)

    async def _change_lists(self, r: Resource, resource: str, item: Item, apart: Mapping[str, ListChange], call: int | None) -> Receipt:
        """Make the calls that add entries to lists, and take them out. The first that fails ends it: all of them can be made again."""
        number = 0
        for address, wanted in apart.items():
            for declared, some, taken_out in ((r.lists[address].add, wanted.add, False), (r.lists[address].remove, wanted.remove, True)):
                where = self._call(declared)
                try:
                    requests = [
                        (where.url(request.values, {}), request.body)
                        for request in list_requests(declared, some, item, self._variables, self._connector.escapes)
                    ]
                except Rejected as unsayable:
                    return Receipt(None, unsayable, call)
                for url, body in requests:
                    number += 1
                    headers = {**where.headers_for(item.id), **(_JSON if body is not None else {})}
                    headers |= self._key_header(f"{item.key}-{number}") if item.key else {}
                    purpose = Purpose("update", resource)
                    _, error, call = await self._caller.write(
                        declared.method, url, headers, body, declared.cost, item.attempt, purpose, _checks(declared)
                    )
                    if error is None:
                        continue
                    if not is_already(error, declared.already) and not (taken_out and isinstance(error, NotThere)):
                        return Receipt(None, error, call)
                    self._caller.amend(call, None, None)
        return Receipt(item.id, None, call)

    async def _write_what_was_read(self, resource: str, operation: str, declared: Write | None, item: Item, *, merges: bool) -> Receipt:
        """Read a record just before it is written: for its version, because what is not sent would be emptied, or to merge its lists."""
        assert item.id is not None
        condition = declared.condition if isinstance(declared, Change) else None
        try:
            there = await self._get(resource, item.id)
        except (OutcomeUnknown, Undecodable) as unread:  # of the write nothing has left
            return Receipt(
                None, Unavailable(f"it could not be read before it is written: {unread}", status=unread.status, text=unread.text)
            )
        except RemoteError as unread:
            return Receipt(None, unread)
        if there is None:
            if operation == "delete":
                return Receipt(item.id, already=True)
            return Receipt(None, NotThere(f"{self.name}: {resource} {item.id} is not there any more", status=404))
        if item.is_late is not None and (late := item.is_late(there)) is not None:
            # Merged into it, the update would put back what we have just written.
            why = f"{self.name}: {resource} {item.id} is shown as it was before our last write to `{late}`: it is read again later"
            return Receipt(None, Unavailable(why))
        version: Any = get(there, condition.field) if condition is not None else ABSENT
        if condition is not None and item.version is not None and version != decode_json(item.version):
            return Receipt(None, Stale(f"{self.name}: {resource} {item.id} has changed since it was read"))
        if version in (ABSENT, None, ""):
            if condition is not None and condition.always:
                return Receipt(
                    None, Rejected(f"{self.name}: {resource} {item.id} shows no `{condition.field}`, and no change is taken without")
                )
            version = None
        r = self._resources[resource]
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
            receipt = await self._write(resource, operation, declared, item, record, version)
        if receipt.error is None and apart:
            receipt = await self._change_lists(r, resource, item, apart, receipt.call)
        receipt.found = found
        return receipt

    async def _write(self, resource: str, operation: str, declared: Write, item: Item, record: Record, version: Any) -> Receipt:
        """Send one record, on condition of a version where there is one."""
        r, call = self._resources[resource], self._call(declared)
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
        headers = {**call.headers_for(item.id), **content, **self._key_header(item.key)}
        if condition is not None and condition.header is not None:
            headers[condition.header] = fill_header(condition.value or f"{{{condition.field}}}", {condition.field: str(version)})
        purpose = Purpose(
            operation, resource, private=self._private(resource, {r.id: item.id, **fields}) if self._personal[resource] else ()
        )
        response, error, journaled = await self._caller.write(
            declared.method, url, headers, body, declared.cost, item.attempt, purpose, _checks(declared)
        )
        if condition is not None and error is not None and is_already(error, condition.stale):
            error = error if isinstance(error, (Stale, RateLimited)) else Stale(str(error), status=error.status, text=error.text)
            return Receipt(None, error, journaled)
        if is_already(error, declared.already):
            self._caller.amend(journaled, None, None)
            return Receipt(item.id, None, journaled, already=True)
        if error is not None:
            if operation == "delete" and error.status in declared.gone:
                if error.perhaps_done and r.get is not None and (doubt := await self._still_there(resource, item.id or "")) is not None:
                    return Receipt(None, doubt, journaled)
                self._caller.amend(journaled, None, None)
                return Receipt(item.id, None, journaled, already=True)
            return Receipt(None, error, journaled)
        assert response is not None
        try:
            answer = self._told(response)
            if declared.record and operation != "delete" and (nothing := self._nothing_stored(declared, response, answer)) is not None:
                return Receipt(None, self._caller.misread(response, nothing), journaled)
            if (
                item.id is not None
                and operation != "delete"
                and (other := self._other_shown(resource, declared, answer, item.id)) is not None
            ):
                why = f"{self.name}: the answer is about {other}, not about {resource} {item.id}, which was to be written"
                return Receipt(None, self._caller.misread(response, Untold(why, status=response.status)), journaled)
            if item.show and operation != "delete":
                id = item.id or self._new_id(resource, declared, response, answer, item.record)
                stored = self._spelled(resource, get(answer, declared.record) if declared.record else answer)
                return Receipt(id, None, journaled, record=stored if isinstance(stored, dict) else None)
            return Receipt(item.id or self._new_id(resource, declared, response, answer, item.record), None, journaled)
        except Undecodable as undecodable:
            self._caller.misread(response, undecodable)
            # The write was accepted, but the answer can't be read: whether and as what it exists has to be looked up.
            return Receipt(None, OutcomeUnknown(str(undecodable), status=response.status), journaled)

    async def _still_there(self, resource: str, id: str) -> RemoteError | None:
        """Say why a deletion that was answered with `gone`, and not plainly by the vendor, is not done; None when the record is not there."""
        try:
            there = await self.get(resource, id)
        except RemoteError as error:
            return (
                error if isinstance(error, TRANSIENT) else OutcomeUnknown(f"whether it is gone can't be told: {error}", status=error.status)
            )
        return None if there is None else Unavailable(f"{self.name}: {resource} {id} was said to be gone, and is there", status=404)

    async def write_many(self, resource: str, operation: str, items: Sequence[Item]) -> list[Receipt]:
        """Write many records in one call; one receipt each, in order."""
        r = self._resources[resource]
        meant, operation = operation, _way(r, operation)
        if operation == "upsert" and meant != "upsert":
            hits = await side_by_side(self._another_hit(resource, meant, operation, item) for item in items)
            if any(hits):
                others = [item for item, another in zip(items, hits, strict=True) if another is None]
                told = iter(await self.write_many(resource, "upsert", others) if others else ())
                return [next(told) if another is None else Receipt(None, another) for another in hits]
        declared: Batch = getattr(r.batch, operation)
        call = self._call(declared)
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
            told = iter(await self.write_many(resource, operation, others) if others else ())  # whom they hit is known by now
            return [refused[index] if index in refused else next(told) for index in range(len(items))]
        headers = {**call.headers, **_JSON, **(self._key_header(_key_of(items)) if self._connector.idempotency else {})}
        response, error, journaled = await self._caller.write(
            declared.method,
            call.url({}, {}),
            headers,
            encode_json(whole(entries)),
            declared.cost,
            items[0].attempt,
            Purpose(operation, resource),
            _checks(declared),
        )
        if error is not None or response is None:
            of_each = self._told_of_each(response, error, declared, items, r, journaled) if response is not None else None
            return of_each or [Receipt(None, error, journaled) for _ in items]
        try:
            if declared.results is None:
                self._told(response, f"the batch answer for {resource}")
                return [Receipt(item.id or self.id_of(resource, item.record), None, journaled) for item in items]
            answer = self._decode(response, f"the batch answer for {resource}")
            read_id, account = self._read_id[resource], self._caller.account
            errors = account.errors
            receipts = read_results(answer, declared.results, items, Answer(r.id, read_id, errors, journaled, account.mask))
            if operation == "delete":  # what is not there any more is deleted, as it is for a single delete
                return [
                    Receipt(item.id, None, journaled, already=True) if isinstance(receipt.error, NotThere) else receipt
                    for item, receipt in zip(items, receipts, strict=True)
                ]
            return receipts
        except Undecodable as undecodable:
            self._caller.misread(response, undecodable)
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
            account = self._caller.account
            how = Answer(r.id, id_reader(r), account.errors, call, account.mask)
            receipts = read_results(decode_leniently(response.body), declared.results, items, how)
            if any(receipt.error is None for receipt in receipts):
                return receipts
        return None

    # -- details

    def _private(self, resource: str, values: Mapping[str, Any]) -> tuple[str, ...]:
        """Return those of the fields in a URL that are personal data, as they stand there."""
        personal = self._personal[resource]
        return tuple(encode(value) for address, value in values.items() if address in personal and value) if personal else ()

    def _call(self, declared: Request) -> _Call:
        call = self._calls.get(id(declared))
        if call is None:
            call = self._calls[id(declared)] = _Call(
                declared, self._caller.account.base_url, self._variables, self._version_query, self._connector.escapes
            )
        return call

    def _question(self, declared: Listing | Find) -> Question:
        question = self._questions.get(id(declared))
        if question is None:
            question = Question(declared, self._caller.account.base_url, self._variables, self._version_query, self._connector.escapes)
            self._questions[id(declared)] = question
        return question

    def _key_header(self, key: str) -> dict[str, str]:
        return {self._connector.idempotency.header: key} if self._connector.idempotency else {}

    def _body(
        self, r: Resource, declared: Write, item: Item, record: Record, operation: str, more: Values
    ) -> tuple[bytes | None, dict[str, str]]:
        """Return the body, and the header that says what it is; `more` goes into it, by address."""
        if operation == "delete" and not declared.constants and declared.body is None and not more:
            return None, {}
        make = self._bodies.get(id(declared))
        if make is None:
            make = self._bodies[id(declared)] = compile_body(declared, self._variables, self._connector.escapes)
        body = make(record, self._gaps(r, item, record))
        if more:
            body = with_more(body, more)
        if declared.form:
            return as_form(body, declared.form, declared.form_lists), _FORM
        return encode_json(body), _JSON

    def _gaps(self, r: Resource, item: Item, record: Record) -> Gaps:
        return Gaps({"id": _as_json(r, item.id), "record": record, "changed_fields": list(item.record)}, record)

    def _entries_shape(self, declared: Batch) -> tuple[Shape | None, Callable[[list[Any]], Any]]:
        known = self._entries_of.get(id(declared))
        if known is None:
            escapes = self._connector.escapes
            shape = compile_json(declared.item, self._variables, escapes) if declared.item is not None else None
            known = self._entries_of[id(declared)] = shape, compile_entries(declared, self._variables, escapes)
        return known

    def _entry(self, shape: Shape | None, r: Resource, item: Item, operation: str, index: str) -> Any:
        if shape is not None:
            gaps = self._gaps(r, item, item.record)
            if "index" not in r.fields:
                gaps["index"] = index
            return shape(gaps)
        if item.id is None or operation == "create" or (operation == "upsert" and r.upsert is not None and r.upsert.by != r.id):
            return item.record
        if operation == "delete":
            return _as_json(r, item.id)
        return with_more(item.record, {r.id: _as_json(r, item.id)})

    def _other_shown(self, resource: str, declared: Write, answer: Any, id: str) -> str | None:
        """Return the id of the record that the answer to an update shows, if that is another one.

        An object that has no field of the resource but the id is no record: some vendors answer with that of a job. A vendor that
        shows the record into which one was merged does so here as well.
        """
        r = self._resources[resource]
        tombstone = self._tombstones[resource]
        if (r.get is not None and r.get.merged == "survivor") or (tombstone is not None and tombstone.into is not None):
            return None
        stored = get(answer, declared.record) if declared.record else answer
        if not isinstance(stored, dict) or all(get(stored, address) is ABSENT for address in r.fields if address != r.id):
            return None
        shown = self.id_of(resource, stored)
        return shown if shown is not None and shown != self._read_id[resource](id) else None

    def _new_id(self, resource: str, declared: Write, response: HttpResponse, answer: Any, sent: Record) -> str | None:
        r = self._resources[resource]
        read_id = self._answer_ids.get(id(declared))
        if read_id is None:
            part = declared.id.part or ("last_segment" if declared.id.header is not None else None)
            read_id = self._answer_ids[id(declared)] = id_reader(r, part)
        if declared.id.header is not None:
            new = read_id(response.headers.get(declared.id.header, ""))
            if new is None:
                raise Undecodable(f"{self.name}: the answer has no `{declared.id.header}` header with the new record's id")
            return new
        if answer is not ABSENT:
            if declared.id.body is not None:
                found = get(answer, declared.id.body)
                new = read_id(found[0] if isinstance(found, list) and len(found) == 1 else found)
                if new is None:
                    raise Undecodable(f"{self.name}: the answer has no id at `{declared.id.body}`")
                return new
            stored = get(answer, declared.record) if declared.record else answer
            if isinstance(stored, dict) and (new := read_id(get(stored, r.id))) is not None:
                return new
        if (own := self._read_id[resource](get(sent, r.id))) is not None:
            return own
        raise Undecodable(
            f"{self.name}: the answer does not tell the id of the record",
            next_step="declare `id:` for this write in the connector",
        )

    def _nothing_stored(self, declared: Write, response: HttpResponse, answer: Any) -> Untold | None:
        """Return what a success is that does not show the record where it should: none. An empty answer shows nothing, and is one."""
        if not isinstance(answer, (dict, list)) or get(cast("dict[str, Any]", answer), declared.record) not in (
            ABSENT,
            None,
            False,
            [],
            {},
        ):
            return None
        account = self._caller.account
        text = account.mask(vendor_text(response, account.errors))
        why = f"{self.name}: {response.status}, and the answer has no record at `{declared.record}`" + (f": {text}" if text else "")
        return Untold(why, status=response.status, text=text)

    def _told(self, response: HttpResponse, what: str = "the answer to a write") -> Any:
        """Return what an answer to a write says; `ABSENT` for nothing, or a word such as `OK`: what was written needs no more.

        Raises `Undecodable` for a page where the vendor's word is awaited: a proxy or a log-in page says 200 as well, and has done nothing. So
        does an answer that was cut off.
        """
        body = response.body
        first = body[:1] if body[:1] in _BEGINS else body[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if first in _BEGINS:
            return self._decode(response, what, decode_leniently)
        if first:
            with contextlib.suppress(*FAILURES):
                return decode_leniently(body)
        return ABSENT

    def _decode(self, response: HttpResponse, what: str, decoded: Callable[[bytes], Any] = decode) -> Any:
        body = response.body
        try:
            return decoded(body)
        except FAILURES as error:
            start = body[:80].decode("utf-8", "replace").strip()
            shape = "an HTML page" if start[:1] == "<" else "empty" if not start else "not JSON"
            why = self._caller.account.mask(f"{self.name}: {what} is {shape} ({error}); it begins {start!r}")
            raise self._caller.misread(response, Garbled(why, status=response.status)) from None

    def _entries(self, answer: Any, declared: Listing | Find, what: str, response: HttpResponse, r: Resource) -> list[Any]:
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
        raise self._caller.misread(response, Undecodable(why, next_step=next_step))


def _with_id(key: str, entry: Any, record_at: str, r: Resource) -> Any:
    """Return an entry that stands under its id, with the id in it where it does not say it itself."""
    record = get(entry, record_at) if record_at and isinstance(entry, dict) else entry
    if isinstance(record, dict) and get(record, r.id) in (ABSENT, None):
        put(record, r.id, _as_json(r, key))
    return entry


class _Call:
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


def _checks(declared: Request) -> tuple[Says, ...] | None:
    """Return when 2xx to this call is a failure, if it says so itself."""
    return None if declared.in_success is None else conditions(declared.in_success)


def _way(r: Resource, operation: str) -> str:
    """Return the call that does it: where neither one record nor many can be created, or updated, an upsert does."""
    if operation not in ("create", "update") or getattr(r, operation) is not None or getattr(r.batch, operation) is not None:
        return operation
    return "upsert" if r.upsert is not None or r.batch.upsert is not None else operation


def _key_of(items: Sequence[Item]) -> str:
    # A batch is repeated only with the same records: another composition must not get this one's answer.
    return items[0].key if len(items) == 1 else hashlib.sha256("\n".join(item.key for item in items).encode()).hexdigest()[:32]


def _fields_for(call: _Call, declared: Write, item: Item) -> dict[str, Any]:
    if not isinstance(declared, Upsert):
        return {}
    return {name: value for name in call.names if (value := get(item.record, name)) is not ABSENT}


def _as_json(r: Resource, id: str | None) -> Any:
    """Return an id as it is written in JSON: a number where the vendor's ids are declared so."""
    declared = r.fields.get(r.id)
    return int(id) if id is not None and declared is not None and declared.type == "integer" and id.removeprefix("-").isdecimal() else id
