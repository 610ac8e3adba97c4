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
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import msgspec

from tieline.config.models.connectors import Resource
from tieline.config.models.operations import Deleted, List, Listing, Tombstone
from tieline.config.models.paging import Offset, PageNumber
from tieline.dialects.decoding import Unreadable, unreadable
from tieline.dialects.dialect import Page, Since
from tieline.dialects.ids import IdReader, one_spelling
from tieline.dialects.rest.pagination import Pager, Step, pager
from tieline.dialects.rest.points import points_of
from tieline.dialects.rest.since import SinceTracker
from tieline.dialects.rest.tombstones import burial
from tieline.dialects.rest.windows import ALL, Window, Windows, tells_little
from tieline.model.errors import Incomplete, RemoteError, Undecodable, Unsettled
from tieline.model.paths import get
from tieline.model.records import ABSENT, Record
from tieline.transport.ports import HttpResponse

_MOST_WALKS = 5
_MOST_REPEATS, _MOST_ALIKE = 3, 50
"""So many pages in a row may be the very same as some that came before, or hold the same records."""
_LEAST_AGE_SECONDS = 2.0
"""A `Last-Modified` that is younger can stand for more than one state (RFC 9110, 8.8.2.2)."""


class Asked(msgspec.Struct, frozen=True):
    """From where on a list is asked for, and which part of it."""

    since: str | None = None
    """The point, as it is sent; None for the beginning."""
    url: str | None = None
    """The whole address of the first page, where the point is one."""
    params: dict[str, str] = {}
    """Further parameters: those of a window."""
    by_mark: bool = False
    """The point is the mark of an earlier read, and may have expired."""


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
    of: str
    """A fingerprint of how it is asked for what has changed: a mark belongs to the declaration that it was made with."""
    gaps: frozenset[str]
    """The gaps that the request itself has."""
    ask: Callable[[int, Step, Asked, dict[str, str], str], Awaitable[tuple[str, HttpResponse, Any, list[Any]]]]
    """(page, step, from where on, conditions, what it is) → (url, response, answer, entries); with a condition, 304 is an answer."""
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
        points = points_of(place.resource, changed) if changed is not None else None
        mark = since.mark if changed is not None and since is not None else None
        self._asked = Asked(changed.first) if changed is not None else Asked()
        if changed is not None and points is not None and mark is not None:
            self._asked = Asked(None, mark, by_mark=True) if changed.url else Asked(points.lowered(mark), by_mark=True)
        self._tracker = SinceTracker(points, since)
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
        self._spell = one_spelling(place.resource)

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
        asked = self._asked
        if windows is not None and window != ALL:
            start = windows.since(window)
            asked = Asked(start or asked.since, None, windows.asked(window), by_mark=asked.by_mark and start is None)
        size = getattr(listing.paging, "size", None) or 1
        countable = listing.total is not None and (listing.total_counts == "asked" or (not self._asked.by_mark and window == ALL))
        pager_ = pager(listing.paging, self._place.gaps)
        step = pager_.first() if asked.url is None else Step(url=asked.url)
        most_empty = listing.paging.empty_pages if listing.paging is not None else 1
        seen_prints: set[int] = set()
        seen_bodies: set[int] = set()
        repeats = empty = 0
        while True:
            self._number += 1
            number = self._number
            what = f"page {number} of {self._place.name.partition('.')[2]}"
            first = number == 1
            asked_at = self._place.now()
            conditions = self._condition() if first else {}
            url, response, answer, entries = await self._place.ask(number, step, asked, conditions, what)
            if response.status == 304 and conditions:
                walk.unmodified = True
                return
            if first:
                self._keep_tag(response, asked_at)
            tracker.see_page(response, asked_at, self._place.now(), answer)
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
            total = get(answer, listing.total) if listing.total and answer is not None else None
            total = total if isinstance(total, int) and not isinstance(total, bool) else None
            if total is not None and countable:
                walk.total = total
                walk.totals.add(total)
            following = self._after(pager_, response, (url, response, answer, entries, last, last_id))
            empty = 0 if entries else empty + 1
            if following is not None and empty >= most_empty:
                why = f"{self._place.name}: {empty} pages in a row hold no record, and the vendor says each time that more follow: page {number} is the last that was asked for"
                next_step = f"correct `{self._place.declared}.paging` in the connector: its mark, `more` or `end`; raise `empty_pages` where the vendor really does so"
                raise self._place.misread(response, Undecodable(why, next_step=next_step))
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

    def _after(
        self, pager_: Pager, response: HttpResponse, page: tuple[str, HttpResponse, Any, list[Any], Record | None, str | None]
    ) -> Step | None:
        try:
            return pager_.after(*page)
        except Undecodable as error:
            if not str(error).startswith(self._place.name):
                error.args = (f"{self._place.name}: {error}",)
            raise self._place.misread(response, error) from None

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
        if self._shifts and tracker.by_field and tracker.points is not None:
            digest = [*digest, *(str(tracker.points.value(record)) for record in records)]
        undated = 0
        if tracker.by_field:
            undated = tracker.undated
            for record in records:
                tracker.see(record)
            undated = tracker.undated - undated
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
            if undated:  # what is deleted often says no more than its id
                silent = sum(is_gone and not tracker.tells(record) for record, is_gone in zip(records, buried, strict=True))
                tracker.undated, undated = tracker.undated - silent, undated - silent
            if gone.into is not None:
                survivors = (
                    survivor_of(record, gone, read_id) if is_gone else None for record, is_gone in zip(records, buried, strict=True)
                )
                merged = {id: into for id, into in zip(ids, survivors, strict=True) if id is not None and into is not None and into != id}
            records = [record for record, is_gone in zip(records, buried, strict=True) if not is_gone]
            ids = [id for id, is_gone in zip(ids, buried, strict=True) if not is_gone]
        if told is None and len(set(ids)) < len(ids) and (self._since is None or self._since.mark is None):
            twins = _twins(ids, records)
            bad += [
                unreadable(record, f"another record of the same page has the id {id}: which of them is meant can't be told")
                for id, record in zip(ids, records, strict=True)
                if id in twins
            ]
            records = [record for id, record in zip(ids, records, strict=True) if id not in twins]
            ids = [id for id in ids if id not in twins]
        if self._spell is not None:
            for id, record in zip(ids, records, strict=True):
                self._spell(record, id)
        if bad and len(bad) == len(entries) and not walk.seen:
            why = (
                f"{self._place.name}: no entry of page {number} is a record: of the first, {bad[0].problem}; it begins {bad[0].text[:80]!r}"
            )
            addresses = " or ".join(
                f"`{self._place.declared}.{name}`" for name in ("records", "record", *(("id",) if told is not None else ()))
            )
            next_step = f"correct {addresses} in the connector"
            raise self._place.misread(response, Undecodable(why, next_step=next_step))
        page = Page(number, records, ids, deleted, merged=merged, again=self._again, unreadable=bad, told=told, undated=undated)
        return page, digest, last, last_id

    # -- marks and conditions

    def _mark(self, last_page: bool = True) -> Since | None:
        since = self._tracker.safe(last_page=last_page)
        if since is not None:
            since = msgspec.structs.replace(since, of=self._place.of)
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
        asked = [self._asked.since, self._asked.url] if conditional is not None and conditional.of == "answer" else []
        return hashlib.sha256(f"{self._place.key}\n{asked}".encode()).hexdigest()[:16]


def _twins(ids: Sequence[str | None], records: Sequence[Record]) -> set[str]:
    """Return the ids that several records of one page have, which differ: what `id` names is no id. A list of changes may tell of a record twice."""
    first: dict[str, Record] = {}
    twins: set[str] = set()
    for id, record in zip(ids, records, strict=True):
        if id is not None and first.setdefault(id, record) != record:
            twins.add(id)
    return twins


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
