"""Reading from a REST API: lists page by page, records by id, searches. How a list is read whole is `listing`'s to know."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from tieline.config.models.connectors import Resource
from tieline.config.models.operations import Deleted, Find, Get, Listing
from tieline.config.models.paging import CursorInBody, LinkHeader, NextUrl
from tieline.dialects.decoding import Unreadable, entries_apart, has_half_characters
from tieline.dialects.dialect import Page, Since
from tieline.dialects.rest.batched_gets import Question
from tieline.dialects.rest.deletion_feed import read_with_deleted
from tieline.dialects.rest.listing import Asked, ListReader, Place, kind_of, survivor_of
from tieline.dialects.rest.pagination import Step, pager
from tieline.dialects.rest.points import points_of
from tieline.dialects.rest.templates import Gaps, Shape, compile_json
from tieline.dialects.rest.wire import JSON, Wire, checks_of, id_as_json
from tieline.mapping.access import compile_get
from tieline.model.errors import (
    AnotherRecord,
    Expired,
    NotThere,
    Rejected,
    RemoteError,
    Stale,
    Undecodable,
)
from tieline.model.paths import get
from tieline.model.records import Record, encode_json
from tieline.transport.classify import is_already
from tieline.transport.ports import HttpResponse
from tieline.transport.recording import Purpose

_OF_A_MARK = {"fields", "field", "header", "at", "format", "field_format", "zone", "url"}
"""What of `changed_since` a mark belongs to, beside what is asked."""
_MOST_FOUND_PAGES = 20
_MOST_MERGED = 10
"""So many records that were merged into the next are followed."""


class Reader:
    """Reads lists, single records and searches of one connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._places: dict[int, Place] = {}
        self._bodies_of_get: dict[str, Shape] = {}
        resources = wire.resources
        self._deleted_id_at = {name: compile_get(r.deleted.id or r.id) for name, r in resources.items() if r.deleted is not None}

    async def read(self, resource: str, since: Since | None, *, strict: bool = False, deletions: bool = False) -> AsyncIterator[Page]:
        """Yield pages until the list ends, and the feed of deletions where it is wanted. Raises `RemoteError`; never ends early without one."""
        r = self._wire.resources[resource]
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
        r = self._wire.resources[resource]
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
        r = self._wire.resources[resource]
        changed, caller = listing.changed_since, self._wire.caller
        plain = self._wire.question(listing)
        pointed = (
            Question(
                listing, caller.account.base_url, self._wire.variables, self._wire.version_query, self._wire.connector.escapes, changed
            )
            if changed is not None
            else plain
        )
        apart = isinstance(listing, Deleted)
        name = f"{self._wire.name}.{resource}{' (deleted)' if apart else ''}"
        zone = points_of(r, changed) if changed is not None else None

        checks = checks_of(listing)

        async def ask(
            number: int, step: Step, asked: Asked, conditions: dict[str, str], what: str
        ) -> tuple[str, HttpResponse, Any, list[Any]]:
            further, question = step.further, plain
            if asked.since is not None:
                assert zone is not None
                now = zone.write(dt.datetime.fromtimestamp(self._wire.clock.now(), dt.UTC)) if "until" in pointed.gaps else ""
                points = {"since": zone.as_sent(asked.since), "until": zone.as_sent(now)}
                further, question = msgspec.structs.replace(further, gaps={**further.gaps, **points}), pointed
            if asked.params:
                further = msgspec.structs.replace(further, params={**asked.params, **further.params})
            url, headers, body = question.ask(further, self._wire.at_home(step.url) if step.url is not None else None)
            accept = listing.empty
            if conditions or (asked.since is not None and changed is not None and changed.headers):
                headers, accept = {**headers, **conditions}, (*accept, 304)
            purpose = Purpose("list", resource, number)
            try:
                response, (answer, entries) = await self._wire.read(
                    lambda response: self.list_of(response, listing, what, accept, r),
                    listing.method, url, headers, body, listing.cost, accept, purpose=purpose, in_success=checks,
                )  # fmt: skip
            except RemoteError as error:
                if asked.by_mark and changed is not None and is_already(error, changed.expired):
                    raise Expired(f"{name}: the point of the last read is too old for the vendor: {error}", feed=apart) from error
                if asked.by_mark and isinstance(error, (Rejected, NotThere, Stale)):
                    error.next_step = (
                        f"if the vendor says that the point of the last read is too old: name the status, or words of its text, under "
                        f"`{declared}.changed_since.expired` in the connector, or read once with `--full`; else correct the call there"
                    )
                raise
            return url, response, answer, entries

        key = f"{plain.shape} {sorted(self._wire.variables.items())}"
        how = changed.model_dump(include=_OF_A_MARK) if changed is not None else None
        of = f"{key}\n{pointed.shape}\n{how}\n{listing.records} {listing.record} {zone.zones if zone else ''}"
        return Place(
            name, r, listing, declared, key, hashlib.sha256(of.encode()).hexdigest()[:16], plain.gaps | pointed.gaps, ask,
            self._deleted_id_at[resource] if apart else self._wire.id_at[resource], self._wire.read_ids[resource], self._wire.clock.now, caller.misread,
        )  # fmt: skip

    def list_of(self, response: HttpResponse, listing: Listing, what: str, empty: tuple[int, ...], r: Resource) -> tuple[Any, list[Any]]:
        if response.status in empty:
            return None, []
        try:
            answer = self._wire.decode(response, what)
        except Undecodable:
            # One entry that can't be decoded must not stop the others.
            apart = entries_apart(response.body, listing.records)
            if apart is None or not (any(not isinstance(entry, Unreadable) for entry in apart[1]) or has_half_characters(response.body)):
                raise
            return apart
        return answer, self._wire.entries(answer, listing, what, response, r)

    async def get(self, resource: str, id: str) -> Record | None:
        """Return a record, or None when there is none; for one that was merged into another, that one.

        A vendor that shows deleted records when they are asked for marks them as its list does (`list.tombstone`).
        """
        asked: list[str] = []
        wanted: str | None = id
        # Records that were merged into each other in a ring, or a chain without an end, are nowhere.
        while wanted is not None and wanted not in asked and len(asked) < _MOST_MERGED:
            asked.append(wanted)
            record = await self.get_one(resource, wanted)
            if record is None or not self._wire.is_buried[resource](record):
                return record
            wanted = survivor_of(record, self._wire.tombstones[resource], self._wire.read_ids[resource])
        return None

    async def get_one(self, resource: str, id: str) -> Record | None:
        r = self._wire.resources[resource]
        declared = r.get
        assert declared is not None
        call = self._wire.call(declared)
        try:
            purpose = Purpose("get", resource, private=self._wire.private(resource, {r.id: id}))
            accepted = tuple(status for status in declared.none if status not in (404, 410))
            headers, body = call.headers_for(id), None
            if declared.body is not None:
                headers, body = {**headers, **JSON}, encode_json(self._asked_for(resource, declared)(Gaps({"id": id_as_json(r, id)}, {})))

            def told(response: HttpResponse) -> Record | None:
                return None if response.status in accepted else self._record_of(response, resource, id, declared)

            _, record = await self._wire.read(
                told,
                declared.method, call.url({"id": id}, {}), headers, body, declared.cost, accepted, purpose=purpose, patient=False,
                in_success=checks_of(declared),
            )  # fmt: skip
        except NotThere as error:
            if error.status not in declared.none:
                raise
            return None
        return record

    def _record_of(self, response: HttpResponse, resource: str, id: str, declared: Get) -> Record | None:
        """Return the record that was asked for, None where the answer says that there is none. Raises `Undecodable`."""
        answer = self._wire.decode(response, f"{resource} {id}")
        found = get(answer, declared.record) if declared.record else answer
        if found == []:
            return None
        records = found if isinstance(found, list) else [found]
        wanted = self._wire.read_ids[resource](id)
        mine = [record for record in records if isinstance(record, dict) and self._wire.id_of(resource, record) == wanted]
        if len(mine) == 1:
            self._wire.spelled(resource, mine[0])
            return mine[0]
        one: Any = records[0]
        if len(records) == 1 and isinstance(one, dict) and declared.merged == "survivor" and self._wire.id_of(resource, one) is not None:
            self._wire.spelled(resource, one)
            return one
        raise self._wire.caller.misread(response, self._not_that(resource, id, records))

    def _asked_for(self, resource: str, declared: Get) -> Shape:
        """Return what makes the body that asks for a record by its id."""
        shape = self._bodies_of_get.get(resource)
        if shape is None:
            shape = compile_json(declared.body, self._wire.variables, self._wire.connector.escapes, lambda name: name == "id")
            self._bodies_of_get[resource] = shape
        return shape

    def _not_that(self, resource: str, id: str, records: Sequence[Any]) -> Undecodable:
        """Return why an answer is not the record that was asked for."""
        what, at = f"{self._wire.name}: {resource} {id}", self._wire.resources[resource].id
        if len(records) > 1:
            return AnotherRecord(f"{what}: none, or several, of the {len(records)} records of the answer have that id")
        if not isinstance(records[0], dict):
            return Undecodable(f"{what} is {kind_of(records[0])}, not an object", next_step="correct `get.record` in the connector")
        other = self._wire.id_of(resource, records[0])
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
        declared = self._wire.resources[resource].find[field]
        question = self._wire.question(declared)
        what = f"{resource} with {field} {value!r}"
        r = self._wire.resources[resource]
        # A search of the list's own address comes in pages as the list does; what stands on a further one counts as well.
        alike = r.list is not None and (r.list.path, r.list.method) == (declared.path, declared.method)
        paging = declared.paging or (r.list.paging if r.list is not None and alike else None)
        walk = pager(paging, question.gaps)
        step = walk.first()
        records: list[Record] = []
        purpose = Purpose("find", resource, private=self._wire.private(resource, {field: value}))
        for _ in range(_MOST_FOUND_PAGES):
            further = msgspec.structs.replace(step.further, gaps={**step.further.gaps, "value": value})
            url, headers, body = question.ask(further, self._wire.at_home(step.url) if step.url is not None else None)
            response, (answer, entries) = await self._wire.read(
                lambda response: self._found_in(response, declared, what, field, r),
                declared.method, url, headers, body, declared.cost, declared.none, purpose=purpose, patient=False,
                in_success=checks_of(declared),
            )  # fmt: skip
            found = [get(entry, declared.record) if declared.record else entry for entry in entries]
            records += [self._wire.spelled(resource, record) for record in found if not self._wire.is_buried[resource](record)]
            if paging is None or response.status in declared.none:
                return records
            size, flagged = getattr(paging, "size", None), paging.more is not None or paging.end is not None
            told = flagged or isinstance(paging, (CursorInBody, NextUrl, LinkHeader)) or getattr(paging, "next", None) is not None
            if not told and (not entries or (size is not None and len(entries) < size)):
                return records
            last = found[-1] if found else None
            following = walk.after(url, response, answer, entries, last, self._wire.id_of(resource, last) if last is not None else None)
            if following is None:
                return records
            step = following
        raise Undecodable(
            f"{self._wire.name}: {what} fills more than {_MOST_FOUND_PAGES} pages: the vendor seems to ignore what was searched for",
            next_step="correct `find` in the connector",
        )

    def _found_in(self, response: HttpResponse, declared: Find, what: str, field: str, r: Resource) -> tuple[Any, list[Any]]:
        if response.status in declared.none:
            return None, []
        answer = self._wire.decode(response, what)
        entries = self._wire.entries(answer, declared, what, response, r)
        for entry in entries:
            record = get(entry, declared.record) if declared.record else entry
            if not isinstance(record, dict):  # passed over, it could be the very one, and another would be made
                why = f"{self._wire.name}: {what}: an entry of the answer is {kind_of(record)}, not an object"
                next_step = f"correct `find.{field}.records` or `record` in the connector"
                raise self._wire.caller.misread(response, Undecodable(why, next_step=next_step))
        return answer, entries
