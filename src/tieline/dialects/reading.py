"""One list, read whole or not at all: page by page, window by window, and again where it did not hold still.

A *walk* takes one window from its first page to its last. Three things can make a walk less than the list:

- The vendor shows no more than so many (`ceiling`): the window is split, and its halves are read.
- Records changed places meanwhile (`shifts`): what slipped from a page to come to one that was read is in no page. Such a walk counts only
  when another shows the same, or when everything that the vendor tells proves that nothing has moved.
- It says itself that there are more (`total`).

What can't be read raises `Incomplete`, after all that could be read was handed on; the mark from which the next read starts is given with
the last page only when the list was read whole. How pages follow each other is `pagination`; marks are `since`, windows `windows`.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from tieline.dialects.decoding import Unreadable, unreadable
from tieline.dialects.dialect import Page, Since
from tieline.dialects.ids import IdReader
from tieline.dialects.pagination import Step, pager
from tieline.dialects.since import SinceTracker, lowered_mark
from tieline.dialects.tombstones import burial
from tieline.dialects.windows import ALL, Window, Windows, tells_little
from tieline.model.errors import Incomplete, RemoteError, Undecodable, Unsettled
from tieline.model.paths import get
from tieline.model.records import ABSENT, Record
from tieline.spec.connectors import Deleted, List, Listing, Offset, PageNumber, Resource, Tombstone
from tieline.transport.ports import HttpResponse

_MOST_WALKS = 5
_MOST_REPEATS, _MOST_ALIKE = 3, 50
"""So many pages in a row may be the very same as some that came before, or hold the same records."""
_LEAST_AGE_SECONDS = 2.0
"""A `Last-Modified` that is younger can stand for more than one state (RFC 9110, 8.8.2.2)."""


class Place(msgspec.Struct, frozen=True):
    """Where a list is read: what the reader needs of a connection."""

    name: str
    """`CONNECTION.RESOURCE`, for messages."""
    resource: Resource
    listing: Listing
    declared: str
    """Under what it is declared: `list`, `deleted`."""
    key: str
    """What it is that is asked for: the list's address, with all that is filled in, and its headers."""
    ask: Callable[[int, Step, dict[str, str], dict[str, str]], Awaitable[tuple[str, HttpResponse]]]
    """(page, step, further parameters, conditions) → (url, response); with a condition, 304 is an answer."""
    entries: Callable[[HttpResponse, str], tuple[Any, list[Any]]]
    """(response, what it is) → (answer, entries)."""
    id_at: Callable[[Record], Any]
    """Takes the id's value out of a record."""
    read_id: IdReader
    """Reads that value."""
    now: Callable[[], float]
    misread: Callable[[HttpResponse, RemoteError], RemoteError]
    """Notes in the journal that an answer turned out to be none; returns the error."""


class _Walk(msgspec.Struct):
    """What one walk has shown."""

    prints: list[int] = []
    """One for each page, of what was on it."""
    seen: int = 0
    pages_with_records: int = 0
    totals: set[int] = set()
    total: int | None = None
    """What the vendor says of exactly these records; None when it does not."""
    repeats: int = 0
    full: bool = False
    """The ceiling was reached."""
    places: list[int] = []
    unmodified: bool = False

    @property
    def missing(self) -> int:
        return max(0, self.total - self.seen) if self.total is not None else 0


class ListReader:
    """Reads a list once."""

    def __init__(self, place: Place, since: Since | None, *, strict: bool) -> None:
        """`strict`: nothing may be missing even if the next read would find it, because something is decided by its absence."""
        listing = place.listing
        self._place, self._listing, self._since = place, listing, since
        changed = self._changed = listing.changed_since
        declared = place.resource.fields.get(changed.field) if changed is not None and changed.field is not None else None
        zone = declared.zone if declared is not None else None
        asks_since = changed is not None and since is not None and since.mark is not None
        self._asked = {changed.param: lowered_mark(since.mark, changed, zone)} if asks_since else {}  # type: ignore[union-attr,arg-type]
        self._tracker = SinceTracker(changed, since, zone)
        shifts = listing.shifts if listing.shifts is not None else isinstance(listing.paging, PageNumber | Offset)
        self._shifts = shifts and listing.paging is not None
        self._proves = self._shifts and (strict or changed is not None)
        self._windows = Windows(place.name, place.resource, listing, listing.ceiling) if listing.ceiling is not None else None
        self._mark_comes_last = self._shifts or self._windows is not None or listing.total is not None
        """Whether only the end of the list tells whether it was whole."""
        self._number = 0
        self._again = False
        self._tag: str | None = None
        self._tag_at = 0.0
        self._is_buried = burial(listing.tombstone if isinstance(listing, List) else None)

    async def pages(self) -> AsyncIterator[Page]:
        """Yield pages until the list ends. Raises `RemoteError`; never ends early without one."""
        todo = [ALL]
        while todo:
            window, walk = todo.pop(), _Walk()
            async for page in self._settled(window, walk):
                yield page
            if walk.unmodified:
                yield Page(self._number, [], [], [], self._since, not_modified=True)
                return
            if walk.full:
                assert self._windows is not None
                self._again = self._again or not self._windows.goes_on
                todo += reversed(self._windows.split(window, walk.places))
        if self._mark_comes_last:
            yield Page(self._number, [], [], [], self._mark())

    async def _settled(self, window: Window, result: _Walk) -> AsyncIterator[Page]:
        """Walk a window until what was shown can be trusted."""
        before: _Walk | None = None
        again, walk = self._again, result
        for number in range(1, _MOST_WALKS + 1):
            walk = result if number == 1 else _Walk()
            async for page in self._walk(window, walk, before):
                yield page
            if walk.unmodified or (walk.full and self._windows is not None and not self._windows.goes_on):
                break
            if self._is_whole(walk, before):
                break
            if walk.missing and len(walk.totals) == 1 and before is not None and before.prints == walk.prints:
                raise _short(self._place.name, walk)
            before, self._again = walk, True
        else:
            if walk.missing and len(walk.totals) == 1:
                raise _short(self._place.name, walk)
            raise Unsettled(
                f"{self._place.name} changed each of the {_MOST_WALKS} times that it was read: records may have slipped from page to page"
            )
        self._again = again
        if walk is not result:
            result.full, result.places = walk.full, walk.places

    def _is_whole(self, walk: _Walk, before: _Walk | None) -> bool:
        if walk.missing and not walk.full:
            return False
        if not self._shifts:
            return True
        size = getattr(self._listing.paging, "size", None)
        if walk.pages_with_records <= 1 and not walk.full and (len(walk.prints) <= 1 or (size is not None and walk.seen < size)):
            return True  # there was but one page: nothing could slip
        if self._proves:
            return self._held_still(walk) or (before is not None and before.prints == walk.prints)
        return walk.repeats == 0 and len(walk.totals) <= 1

    def _held_still(self, walk: _Walk) -> bool:
        """Whether it is proven that nothing moved: a record that left would be missed in the total, unless another came, which would show."""
        return (
            walk.total is not None
            and len(walk.totals) == 1
            and walk.seen == walk.total
            and not walk.repeats
            and self._tracker.nothing_since_it_began()
        )

    async def _walk(self, window: Window, walk: _Walk, before: _Walk | None) -> AsyncIterator[Page]:
        listing, tracker, windows = self._listing, self._tracker, self._windows
        asked = {**self._asked, **(windows.asked(window) if windows is not None else {})}
        size = getattr(listing.paging, "size", None) or 1
        countable = listing.total is not None and (listing.total_counts == "asked" or (not self._asked and window == ALL))
        pager_ = pager(listing.paging)
        step = pager_.first()
        seen_prints: set[int] = set()
        seen_bodies: set[int] = set()
        repeats = 0
        while True:
            self._number += 1
            number = self._number
            what = f"page {number} of {self._place.name.partition('.')[2]}"
            first = number == 1
            asked_at = self._place.now()
            url, response = await self._place.ask(number, step, asked, self._condition() if first else {})
            if response.status == 304:
                walk.unmodified = True
                return
            if first:
                self._keep_tag(response, asked_at)
            answer, entries = self._place.entries(response, what)
            tracker.see_page(response, asked_at, self._place.now())
            page, digest, last, last_id = self._page(number, response, entries, walk)
            print_ = hash(tuple(digest) if any(digest) else response.body)
            repeats = repeats + 1 if entries and print_ in seen_prints else 0
            if repeats:
                # Pages of a few records can come again because the records moved; then they differ in something, and don't go on doing so.
                walk.repeats += 1
                if repeats > (_MOST_REPEATS if hash(response.body) in seen_bodies else _MOST_ALIKE):
                    why = f"{self._place.name}: page {number} repeats a page that came before: the list would never end"
                    next_step = "check the paging parameters in the connector; the vendor seems to ignore them"
                    raise self._place.misread(response, Undecodable(why, next_step=next_step))
            seen_prints.add(print_)
            seen_bodies.add(hash(response.body))
            walk.prints.append(print_)
            walk.seen += len(entries)
            walk.pages_with_records += bool(entries)
            total = get(answer, listing.total) if listing.total else None
            total = total if isinstance(total, int) and not isinstance(total, bool) else None
            if total is not None and countable:
                walk.total = total
                walk.totals.add(total)
            following = pager_.after(url, response, answer, entries, last, last_id)
            if windows is not None:
                most = windows.ceiling.records
                if walk.total is not None and walk.seen >= walk.total:
                    following = None  # to ask for more could be to ask beyond the ceiling
                told = walk.total is not None and walk.total >= most and not windows.goes_on and not tells_little(walk.places)
                walk.full = told or walk.seen >= most or (following is not None and walk.seen + size > most)
                following = None if walk.full else following
            known = before is not None and len(walk.prints) <= len(before.prints) and before.prints[len(walk.prints) - 1] == print_
            if not known:
                page.total = total if window == ALL else None
                if before is None and not self._shifts and windows is None and not (following is None and self._mark_comes_last):
                    page.since = self._mark(following is None)
                yield page
            if following is None:
                return
            step = following

    def _page(
        self, number: int, response: HttpResponse, entries: list[Any], walk: _Walk
    ) -> tuple[Page, list[Any], Record | None, str | None]:
        """Return a page, what it is known by, its last record, and the id of that."""
        listing, tracker, windows = self._listing, self._tracker, self._windows
        id_at, read_id = self._place.id_at, self._place.read_id
        bad: list[Unreadable] = []
        records: list[Any] = [get(entry, listing.record) for entry in entries] if listing.record else entries
        if any(record.__class__ is not dict for record in records):
            bad = [
                entry if isinstance(entry, Unreadable) else unreadable(entry, f"it is {kind_of(record)}, not an object")
                for entry, record in zip(entries, records, strict=True)
                if record.__class__ is not dict
            ]
            records = [record for record in records if record.__class__ is dict]
        ids = [read_id(id_at(record)) for record in records]
        digest: list[Any] = [*ids, *(entry.text for entry in bad)] if bad else ids
        if self._shifts and self._changed is not None and (version := self._changed.field) is not None:
            digest = [*digest, *(str(get(record, version)) for record in records)]
        if tracker.by_field:
            for record in records:
                tracker.see(record)
        if windows is not None:
            walk.places += [place for record in records if (place := windows.place(record)) is not None]
        deleted: list[str] = []
        merged: dict[str, str] = {}
        last, last_id = (records[-1], ids[-1]) if ids else (None, None)
        told: dict[str, str | None] | None = None
        gone = listing.tombstone if isinstance(listing, List) else None
        if isinstance(listing, Deleted):
            told = {id: _into(record, listing.into, read_id) for id, record in zip(ids, records, strict=True) if id is not None}
            bad += [
                unreadable(record, f"it has no id that can be used at `{listing.id or self._place.resource.id}`")
                for id, record in zip(ids, records, strict=True)
                if id is None
            ]
            records, ids = [], []
        elif gone is not None:
            buried = [self._is_buried(record) for record in records]
            deleted = [id for id, is_gone in zip(ids, buried, strict=True) if is_gone and id is not None]
            if gone.into is not None:
                survivors = (
                    survivor_of(record, gone, read_id) if is_gone else None for record, is_gone in zip(records, buried, strict=True)
                )
                merged = {id: into for id, into in zip(ids, survivors, strict=True) if id is not None and into is not None and into != id}
            records = [record for record, is_gone in zip(records, buried, strict=True) if not is_gone]
            ids = [id for id, is_gone in zip(ids, buried, strict=True) if not is_gone]
        if bad and len(bad) == len(entries) and not walk.seen:
            why = (
                f"{self._place.name}: no entry of page {number} is a record: of the first, {bad[0].problem}; it begins {bad[0].text[:80]!r}"
            )
            addresses = " or ".join(
                f"`{self._place.declared}.{name}`" for name in ("records", "record", *(("id",) if told is not None else ()))
            )
            next_step = f"correct {addresses} in the connector"
            raise self._place.misread(response, Undecodable(why, next_step=next_step))
        page = Page(number, records, ids, deleted, merged=merged, again=self._again, unreadable=bad, told=told)
        return page, digest, last, last_id

    # -- marks and conditions

    def _mark(self, last_page: bool = True) -> Since | None:
        since = self._tracker.safe(last_page=last_page)
        if not last_page or self._tag is None:
            return since
        base, before = since or self._since or Since(), self._since
        known = before is not None and before.tag == self._tag and before.asked == self._fingerprint
        at = before.tag_at if known and before is not None else self._tag_at
        # The vendor's mark can be younger than what its list shows yet: a change of which the list lags behind would never be asked for.
        overlap = self._changed.overlap if self._changed is not None else 0.0
        holds = self._tag_at - at >= overlap
        return msgspec.structs.replace(base, tag=self._tag, asked=self._fingerprint, tag_at=at, tag_holds=holds)

    def _condition(self) -> dict[str, str]:
        conditional, since = self._listing.conditional, self._since
        if conditional is None or since is None or since.tag is None or not since.tag_holds or since.asked != self._fingerprint:
            return {}
        return {"If-None-Match" if conditional.by == "etag" else "If-Modified-Since": since.tag}

    def _keep_tag(self, response: HttpResponse, asked_at: float) -> None:
        conditional = self._listing.conditional
        if conditional is None:
            return
        self._tag_at = asked_at
        if conditional.by == "etag":
            self._tag = response.headers.get("ETag") or None
        else:
            told, date = response.headers.get("Last-Modified", ""), response.headers.get("Date", "")
            try:
                age = (_moment(date) - _moment(told)).total_seconds()
            except ValueError:
                return
            self._tag = told if age >= _LEAST_AGE_SECONDS else None

    @property
    def _fingerprint(self) -> str:
        """What a mark of the vendor's speaks of: of the same list, and with `of: answer` of the same question."""
        conditional = self._listing.conditional
        asked = sorted(self._asked.items()) if conditional is not None and conditional.of == "answer" else []
        return hashlib.sha256(f"{self._place.key}\n{asked}".encode()).hexdigest()[:16]


def survivor_of(record: Record, tombstone: Tombstone | None, read_id: IdReader) -> str | None:
    """Return the id of the record into which a deleted one was merged; None where it was merged into none."""
    return _into(record, tombstone.into if tombstone is not None else None, read_id)


def _into(record: Record, address: str | None, read_id: IdReader) -> str | None:
    return read_id(get(record, address)) if address is not None else None


def kind_of(value: Any) -> str:
    """Return what a value is, in words."""
    if value is ABSENT:
        return "nothing there"
    if value is None:
        return "null"
    return {dict: "an object", list: "a list", str: "a text", bool: "true or false"}.get(type(value), "a number")


def _short(name: str, walk: _Walk) -> Incomplete:
    return Incomplete(
        f"{name}: the source says that it has {walk.total} records, but its pages held {walk.seen}: {walk.missing} could not be read",
        missing=walk.missing,
    )


def _moment(text: str) -> dt.datetime:
    moment = email.utils.parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
