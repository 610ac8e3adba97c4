"""What the engine asks of a system, whatever it speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from tieline.dialects.decoding import Unreadable
from tieline.model.errors import RemoteError
from tieline.model.lists import ListChange
from tieline.model.records import Record, Values


class Since(msgspec.Struct, frozen=True):
    """A point after which changes are wanted, in the source's own words; `None` values mean from the beginning."""

    mark: str | None = None
    """A time or version up to which everything has been read, or the server's own mark."""
    seen: str | None = None
    """The largest that the last read saw."""
    tag: str | None = None
    """By what the vendor knows whether anything has changed since: an `ETag` or a `Last-Modified`."""
    asked: str | None = None
    """A fingerprint of what was asked for when it gave that."""
    tag_at: float = 0.0
    """When it was first given, in seconds since 1970."""
    tag_holds: bool = False
    """Whether the list has been read since then when its index could not lag behind any more."""
    deleted: Since | None = None
    """The same for the feed of deletions that is read with the list."""
    of: str | None = None
    """A fingerprint of the list, or feed, that it is a point of, and of how that is asked for changes."""


def anew(since: Since | None) -> Since | None:
    """Return from where to read a list whole once more: what was deleted since the last read is told from there on all the same."""
    return Since(deleted=since.deleted) if since is not None and since.deleted is not None else None


class Page(msgspec.Struct):
    """Some records, in the order in which the source gave them."""

    number: int
    records: list[Record]
    ids: list[str | None]
    """The id of each, as text; None where it has none that can be used."""
    deleted: list[str]
    """Ids of records that the source says are gone."""
    since: Since | None = None
    """From where the next read can start once this page is durable; only set where that is safe."""
    total: int | None = None
    """How many records there are in all, when the source says so."""
    again: bool = False
    """It was read once more, because the list did not hold still or was split: most of it came before."""
    unreadable: list[Unreadable] = []
    """Entries that are no records."""
    not_modified: bool = False
    """The source said that nothing has changed; there is nothing on it."""
    merged: dict[str, str] = {}
    """Of the deleted ones, those that were merged into another record, each with its id."""
    told: dict[str, str | None] | None = None
    """On a page of the feed of deletions: ids of records that were deleted, each with that of the record into which it was merged, if any. They
    may have been made again since, so the system, asked for them, has the last word."""
    undated: int = 0
    """Records that don't say when they changed, though `changed_since` names a field for it."""


class Item(msgspec.Struct):
    """One record to be written: nested fields, and the id it has there already, if any."""

    record: Record
    id: str | None
    key: str
    """Idempotency key."""
    attempt: int = 1
    show: bool = False
    """Whether the receipt is to have the record as the answer shows it."""
    version: str | None = None
    """Of a single write that is to be made only if the record is still as it was: its version, as JSON. It is refused as `Stale` if not."""
    fields: Values | None = None
    """The record's fields by address, where they are known: `emails[0].value` is one entry of a list, whatever else the list holds."""
    is_late: Callable[[Record], str | None] | None = None
    """Of an update that is merged into what is read just before it: names the field by which that read is seen to be behind our last writes."""
    looked_up: bool = True
    """Of a creation: by the key of an upsert it was looked for, and not found."""
    lists: Mapping[str, ListChange] = {}
    """Of these fields, lists that keep their other entries, and what is to happen to them, by address."""


class Receipt(msgspec.Struct):
    """What became of a write."""

    id: str | None = None
    """The record's id in the destination, when the answer told it."""
    error: RemoteError | None = None
    call: int | None = None
    already: bool = False
    """The system said that it is so already, or that what is to be deleted is not there; the id may have to be looked up."""
    record: Record | None = None
    """The record as the answer of a single write shows it, where that was asked for and the answer has one."""
    found: Mapping[str, list[Any]] = {}
    """Entries that were to be added to a list, and were in it already, by address: where it was read just before."""


class Features(msgspec.Struct, frozen=True):
    """What a resource can do, so that the engine can choose a way."""

    list: bool
    changed_since: bool
    get: bool
    find: frozenset[str]
    create: bool
    update: bool
    upsert: str | None
    """The field by which the vendor recognises a record in an upsert."""
    delete: bool
    idempotency: bool
    whole_update: bool
    """An update sends all mapped fields."""
    update_by: str | None
    """The field by which the vendor recognises the record in an update, where an upsert does it: it can't be changed."""
    batch: dict[str, int]
    """Most records of a call, by operation."""
    merged_update: bool = False
    """An update is merged into the record as it is read just before, and sent back whole."""
    list_calls: frozenset[str] = frozenset()
    """Lists that are changed by calls of their own, which add or take out entries."""
    key_life: float | None = None
    """For so many seconds the vendor knows an idempotency key; None: for ever."""
    conditional: Mapping[str, str] = {}
    """Operations that can be made on condition that no one was at the record since it was read: {operation: field that tells its version}."""


class Waiting(msgspec.Struct, frozen=True):
    """Until when nothing leaves for a system, and why."""

    connection: str
    until: float
    """Seconds since 1970 (UTC)."""
    why: str
    down: bool
    """It does not answer, and is probed at that time; otherwise a limit is used up, or the vendor asked for it."""


class System(Protocol):
    """A connection, spoken to."""

    name: str
    concurrency: int

    def features(self, resource: str) -> Features:
        """Say what a resource can do."""

    def read(self, resource: str, since: Since | None, *, strict: bool = False, deletions: bool = False) -> AsyncIterator[Page]:
        """Yield pages until the list ends. Raises `RemoteError`; never ends early without one.

        `strict`: something is decided by a record's absence, so that a later read can't make up for one that slipped through.
        `deletions`: the feed of deletions is wanted as well, where there is one; its pages follow those of the list.
        """

    def holds(self, resource: str, since: Since | None) -> bool:
        """Whether a point from which changes are wanted still means what it did when it was made, by the connector as it is now."""

    async def get(self, resource: str, id: str) -> Record | None:
        """Return a record, or None when there is none."""

    async def find(self, resource: str, field: str, value: Any) -> list[Record]:
        """Return the records whose field has this value."""

    def lag(self, resource: str) -> float | None:
        """Return how many seconds a list or `get` can be behind what was written, as declared; None where nothing is."""

    def find_lag(self, resource: str, field: str) -> float | None:
        """Return how many seconds a new record can be missing from `find`, as declared; None where nothing is."""

    def find_cache(self, resource: str, field: str) -> float | None:
        """Return how many seconds what `find` showed may be remembered; None for not at all."""

    async def write(self, resource: str, operation: str, item: Item) -> Receipt:
        """Create, update, upsert or delete one record, once."""

    async def write_many(self, resource: str, operation: str, items: Sequence[Item]) -> list[Receipt]:
        """The same for many in one call; one receipt each, in order."""

    def id_of(self, resource: str, record: Record | Values) -> str | None:
        """Return a record's id as text, or None when it has none that can be used."""

    def read_id(self, resource: str, value: Any) -> str | None:
        """Return an id that a person or another system has written in the spelling of this one; None where it can't be one."""

    @property
    def is_down(self) -> bool:
        """Whether the system is known not to answer at the moment."""

    @property
    def is_down_for_long(self) -> bool:
        """Whether it has not answered for a while, so that it is for the next run to try again."""

    def waiting(self) -> Waiting | None:
        """Return until when no call of the present priority leaves for it, and why; None while they may."""

    async def until_it_may_pass(self) -> None:
        """Wait until a call may be tried, because it is time for a probe, or the system is back."""

    async def ping(self) -> str:
        """Make a cheap call with the credentials; return what was asked. Raises `RemoteError`."""
