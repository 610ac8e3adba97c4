"""What the fakes of the catalogue's vendors share, and the people who work at them.

A fake speaks as its vendor's documentation says, and refuses what that does not allow: unknown parameters, a missing header, a body of
another shape. `Book` keeps its records; the tests change them through it, as people do in the vendor's own pages.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cases.served import Asked


class Refused(Exception):
    """The vendor does not take a request: status and body of its answer."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.answer = (status, body, headers or {})


@dataclass
class Entry:
    """A record of the vendor: who it is, when it changed, and whatever else the vendor keeps."""

    id: str
    email: str
    name: str
    updated: dt.datetime
    created: dt.datetime
    version: int = 1
    deleted: bool = False
    more: dict[str, Any] = field(default_factory=dict)
    """Fields that no mapping of the tests touches: they must outlive every write."""


class Book:
    """The records of a vendor, oldest change first, and what people do with them."""

    def __init__(self, new_id: Callable[[int], str] = str) -> None:
        self._numbers = itertools.count(1)
        self._new_id = new_id
        self._last = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
        self._entries: dict[str, Entry] = {}

    def tick(self) -> dt.datetime:
        """Return a time of change: now, and later than the last one."""
        self._last = max(dt.datetime.now(dt.UTC), self._last + dt.timedelta(milliseconds=1))
        return self._last

    def seed(self, count: int) -> None:
        """Let there be records that are two days old."""
        for number in range(1, count + 1):
            id = self._new_id(next(self._numbers))
            self._last += dt.timedelta(seconds=1)
            self._entries[id] = Entry(
                id, f"p{number}@example.com", f"Person {number}", self._last, self._last, more={"note": f"kept {number}"}
            )

    def add(self, email: str, name: str) -> Entry:
        """Add a record."""
        now = self.tick()
        entry = Entry(self._new_id(next(self._numbers)), email, name, now, now)
        self._entries[entry.id] = entry
        return entry

    def edit(self, entry: Entry, *, email: str | None = None, name: str | None = None) -> None:
        """Change a record."""
        entry.email = entry.email if email is None else email
        entry.name = entry.name if name is None else name
        entry.updated, entry.version = self.tick(), entry.version + 1

    def delete(self, entry: Entry) -> None:
        """Delete a record; its grave is kept for vendors that tell of it."""
        entry.deleted, entry.updated, entry.version = True, self.tick(), entry.version + 1

    def by_email(self, email: str) -> Entry:
        """Return the one record with this address."""
        (entry,) = (entry for entry in self.living if entry.email == email)
        return entry

    def get(self, id: str) -> Entry | None:
        """Return a living record."""
        entry = self._entries.get(id)
        return entry if entry is not None and not entry.deleted else None

    @property
    def living(self) -> list[Entry]:
        """The records that are there, oldest first."""
        return [entry for entry in self._entries.values() if not entry.deleted]

    @property
    def deleted(self) -> list[Entry]:
        """The records that were deleted."""
        return [entry for entry in self._entries.values() if entry.deleted]

    @property
    def people(self) -> dict[str, str]:
        """Names by e-mail address; raises when an address is there twice."""
        people = {entry.email: entry.name for entry in self.living}
        assert len(people) == len(self.living), "an address is there twice"
        return people

    def since(self, moment: dt.datetime | None, entries: Iterable[Entry] | None = None, *, after: bool = False) -> list[Entry]:
        """Return what changed at a moment or later (`after`: later only), oldest change first."""
        found = sorted(self.living if entries is None else entries, key=lambda entry: (entry.updated, entry.id))
        if moment is None:
            return found
        return [entry for entry in found if (entry.updated > moment if after else entry.updated >= moment)]


class FakeVendor:
    """A vendor of the catalogue. Subclasses answer; what they refuse with is kept, since no test expects a refusal."""

    connector: ClassVar[str]
    """Its file in the catalogue, without `.yaml`."""
    resource: ClassVar[str]
    """The resource that the tests use."""
    email: ClassVar[str]
    name: ClassVar[str]
    """Addresses of a record's e-mail address and name."""
    seeds: ClassVar[int] = 5
    """So many records are there at first: more than fit into a page, where that is cheap."""
    connection: ClassVar[str] = 'auth: { bearer: "${env:KEY}" }'
    """The connection's own keys."""
    tells_changes: ClassVar[bool] = True
    """Whether a run can ask for what has changed."""
    deletes: ClassVar[bool] = True
    """Whether records can be deleted through the API."""
    tells_deletions: ClassVar[bool] = True
    """Whether a run of changes hears of deletions."""
    extra_map: ClassVar[str] = ""
    """Further lines of the mapping, such as constants that the vendor demands."""
    marks_expire: ClassVar[bool] = False
    """Whether the vendor's own marks can be too old: all that were given are, once `expired` is set."""
    new_id: ClassVar[Callable[[int], str]] = staticmethod(str)

    def __init__(self) -> None:
        self.book = Book(type(self).new_id)
        self.book.seed(self.seeds)
        self.refused: list[tuple[str, Any]] = []
        self.shown = 0
        """So many records were shown by lists."""
        self.expired = 0
        """So many of the first marks are too old."""

    def answer(self, asked: Asked) -> tuple[Any, ...]:
        """Answer a request."""
        try:
            return self.respond(asked)
        except Refused as refusal:
            self.refused.append((f"{asked.method} {asked.target} {asked.body.decode('utf-8', 'replace')[:500]}", refusal.answer))
            return refusal.answer

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        """Answer a request; raise `Refused` for what the vendor does not take."""
        raise NotImplementedError

    def only(self, asked: Asked, *allowed: str) -> dict[str, str]:
        """Return the query; raise for a parameter that the vendor does not document."""
        if unknown := set(asked.query) - set(allowed):
            raise Refused(400, {"error": f"unknown parameters {sorted(unknown)}"})
        return asked.query
