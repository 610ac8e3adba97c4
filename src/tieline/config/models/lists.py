"""What a connector says about its lists beyond how pages follow each other: changes only, ceilings, and answers that say `nothing has changed`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, PositiveInt
from pydantic import Field as Declare

from tieline.config.models.base import Declared, Duration, Path
from tieline.model.strftime import check_format, holds

TimeFormat = Literal["rfc3339", "unix", "unix_ms", "date", "raw"]
FORMATS: Final = ("rfc3339", "unix", "unix_ms", "date", "raw", "local", "http", "dotnet")


def _format(text: str) -> str:
    if text in FORMATS:
        return text
    if "%" not in text:
        raise ValueError(f"expected one of {', '.join(FORMATS)}, or a pattern such as %Y-%m-%d %H:%M:%S")
    check_format(text, reading=True)
    if not holds(text)[0]:
        raise ValueError(f"`{text}` has no place for the whole date")
    return text


PointFormat = Annotated[str, AfterValidator(_format)]
"""One of `FORMATS`, or a pattern of strftime."""


class ChangedSince(Declared):
    """How to ask for what changed after a point, instead of for everything. `{since}` stands for the point, `{until}` for now.

    `{param: updated_after, field: updated_at}` is short for `{params: {updated_after: "{since}"}, field: updated_at}`. What is said here is sent
    only once there is a point, over what the list says always.
    """

    param: str | None = None
    """Query parameter that takes the point; short for `params: {PARAM: "{since}"}`."""
    params: dict[str, str] = {}
    """Query parameters that are sent once there is a point: `{$filter: "modifiedon gt {since}"}`."""
    headers: dict[str, str] = {}
    """Headers that are: `{If-Modified-Since: "{since}"}`."""
    body: dict[str, Any] = {}
    """Members of the JSON body that are; objects are joined with those of the list's `body`, lists take their place."""
    url: bool = False
    """The point is a whole address that is asked for instead, as with delta links (`@odata.deltaLink`)."""
    field: tuple[Path, ...] | Path = ()
    """Field of the record that says when, or at which version, it changed; the next read starts after the largest seen. Of several, the first
    that is not null: `[updated_at, created_at]`."""
    header: str | None = None
    """Or: header of the answer that holds the server's own mark (`ETag`, `X-Page-Generated`)."""
    at: Path | None = None
    """Or: where the answer's body holds the server's own mark: `nextSyncToken`, `"@odata.deltaLink"`."""
    given: Literal["first", "last"] | None = None
    """Of which page the server's own mark counts: the `first` that has it, unless stated, in a header; the `last` one in a body."""
    format: PointFormat = "rfc3339"
    """How the point is written. `rfc3339` in UTC; `unix` and `unix_ms` as whole numbers; `date`; `local`: the time in `zone`, without an offset;
    `http`: as in `If-Modified-Since`; `dotnet`: `/Date(1763805600000)/`; a pattern such as `%Y-%m-%d %H:%M:%S`, in `zone`; `raw` sends a
    version or mark back as it came."""
    field_format: PointFormat | None = None
    """How `field` is written, where it is not as the point; unless stated, a field can be RFC 3339 too where the point is `local`, `http` or
    a pattern."""
    zone: str | None = None
    """Time zone of points that are `local`, a `date` or a pattern without an offset, such as `America/New_York`; the field's unless stated, else UTC.
    Times of the vendor's that come without an offset need one. Where each account has its own, a variable that the connection gives: `"{zone}"`."""
    first: str | None = None
    """What `{since}` stands for in the first read, where the vendor always needs one, as it is sent: `"0"`, `"2000-01-01T00:00:00Z"`."""
    expired: tuple[int | str, ...] = (410,)
    """Statuses, or words in an error's text, that mean that the point is too old: all is read then, in the same run: `[410, EXPIRED_SYNC_TOKEN]`."""
    overlap: Duration = 0.0
    """How far back each read reaches again, because a vendor's index can lag behind its writes."""
    overlap_versions: int = 0
    """The same for a version that is a whole number."""
    precision: Duration = 1.0
    """Finest step of the vendor's time; the read reaches back by it, so that ties at the boundary are not lost, and points are written in it,
    rounded down."""
    sorted: bool = False
    """The list comes oldest change first, so the cursor may move with each page instead of at the end."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that tell, the first that is not null counts; empty when the server has a mark of its own."""
        return ((self.field,) if self.field else ()) if isinstance(self.field, str) else self.field

    @property
    def asks(self) -> dict[str, str]:
        """All query parameters that are sent once there is a point."""
        return {self.param: "{since}", **self.params} if self.param else self.params


class Ceiling(Declared):
    """The most records that the vendor shows of one list, however many there are. A list that reaches it is read in parts.

    Each part is a window over a field: its start and its end are sent along, and a window that still holds too many is split again.
    """

    records: PositiveInt
    """So many are shown; at least twice the page size."""
    field: Path | None = None
    """Field that the windows lie over; that of `changed_since` unless stated. A record without it is in no window."""
    start: str | None = Declare(default=None, alias="from")
    """Query parameter that takes a window's start; unless stated, it is sent as the point of `changed_since` is."""
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
