"""What a connector says about its lists beyond how pages follow each other: ceilings, and answers that say `nothing has changed`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field as Declare
from pydantic import PositiveInt

from tieline.spec.base import Declared, Duration, Path

TimeFormat = Literal["rfc3339", "unix", "unix_ms", "date", "raw"]


class Ceiling(Declared):
    """The most records that the vendor shows of one list, however many there are. A list that reaches it is read in parts.

    Each part is a window over a field: its start and its end are sent along, and a window that still holds too many is split again.
    """

    records: PositiveInt
    """So many are shown; at least twice the page size."""
    field: Path | None = None
    """Field that the windows lie over; that of `changed_since` unless stated. A record without it is in no window."""
    start: str | None = Declare(default=None, alias="from")
    """Query parameter that takes a window's start; that of `changed_since` unless stated."""
    until: str | None = None
    """Query parameter that takes a window's end. Without it the list must come oldest change first (`sorted`): it is then asked for
    again from the last record that was shown."""
    format: TimeFormat | None = None
    """How start and end are written; as `changed_since` says of its field, or `rfc3339`, unless stated. `raw`: whole numbers."""
    precision: Duration | None = None
    """Finest step of a time; as `changed_since` says of its field, or `1s`, unless stated. Windows overlap by it."""


class Conditional(Declared):
    """How the vendor says that a list is as it was, without sending it: status 304, which ends the read (RFC 9110, 13.1)."""

    by: Literal["etag", "last_modified"] = "etag"
    """What is kept of the first answer, and sent with the next read: its `ETag`, as `If-None-Match`, or its `Last-Modified`, as
    `If-Modified-Since`. A `Last-Modified` of the very second in which it was sent is not kept: more may happen in that second."""
    of: Literal["answer", "collection"] = "answer"
    """What it speaks of. `answer`: that one answer, so the list must come in one (no `paging`). `collection`: all records, whatever page
    or part was asked for, as with Kinto."""
