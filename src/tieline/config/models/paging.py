"""What a connector says about how the pages of a list follow each other."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field as Declare
from pydantic import PositiveInt

from tieline.config.models.base import Declared, Path


class Paged(Declared):
    """What every style can say of its end."""

    style: str
    """How pages follow each other."""
    more: Path | None = None
    """Where the answer says whether more pages follow, such as `has_more`: the list ends when it is false. Where it is absent or null, the
    style's own end counts."""
    end: Path | None = None
    """Or: where it says that this page is the last, such as `end_of_stream`: the list ends when it is true."""
    empty_pages: PositiveInt = 50
    """So many pages in a row may hold no record while the vendor says that more follow; then the list counts as endless, which is an error."""
    size_param: str | None = None
    """Query parameter of the page size. `{size}` in `params`, `headers` or `body` does it too."""


class PageNumber(Paged):
    """Pages are counted: `?page=3&limit=100`."""

    style: Literal["page"]
    param: str = "page"
    """Query parameter of the page number; not sent where `body`, `header` or `{page}` says where the number goes."""
    body: Path | None = None
    """Or: address in the JSON body that takes it."""
    header: str | None = None
    """Or: header that takes it."""
    start: int = 1
    """Number of the first page."""
    size: PositiveInt = 100
    """Records asked for per page."""
    next: Path | None = None
    """Where the answer names the next page's number; null or absent at the end."""
    until: Literal["empty", "short"] = "empty"
    """Without `next`, `more` and `end`: the last page is the first `empty` one, or the first that is `short` of `size`. `short` saves a call,
    and loses records where the vendor caps its pages below `size` without a word."""


class Offset(Paged):
    """Records are counted: `?offset=200&limit=100`."""

    style: Literal["offset"]
    param: str = "offset"
    """Query parameter of the offset; not sent where `body`, `header` or `{offset}` says where it goes."""
    body: Path | None = None
    """Or: address in the JSON body that takes it."""
    header: str | None = None
    """Or: header that takes it."""
    start: int = 0
    """Offset of the first record: 1 where the vendor counts from one."""
    size: PositiveInt = 100
    """Records asked for per page."""
    size_param: str | None = "limit"
    """Query parameter of the page size; unless stated, not sent where `body`, `header` or `{size}` is used."""
    until: Literal["empty", "short"] = "empty"
    """Without `more` and `end`: the last page is the first `empty` one, or the first that is `short` of `size`. `short` saves a call, and loses
    records where the vendor caps its pages below `size` without a word."""


class CursorInBody(Paged):
    """The answer holds a mark that the next request sends back."""

    style: Literal["cursor"]
    at: Path | None = None
    """Where the mark is in the answer; null, empty or absent at the end. `data[-1].id` is the id of the last record."""
    from_header: str | None = None
    """Or: header of the answer that holds the mark."""
    param: str = "cursor"
    """Query parameter that sends it back; not sent where `body`, `header` or `{cursor}` says where the mark goes."""
    body: Path | None = None
    """Or: address in the JSON body that takes it."""
    header: str | None = None
    """Or: header that takes it."""
    size: PositiveInt | None = None
    """Records asked for per page."""


class NextUrl(Paged):
    """The answer holds the whole address of the next page, in the body or in a header."""

    style: Literal["next_url"]
    at: Path | None = None
    """Where it is in the body."""
    header: str | None = None
    """The header that holds it, such as `Next-Page`."""
    size: PositiveInt | None = None
    """Records asked for per page."""


class LinkHeader(Paged):
    """A `Link: <...>; rel="next"` header (RFC 8288)."""

    style: Literal["link_header"]
    size: PositiveInt | None = None
    """Records asked for per page."""


class Keyset(Paged):
    """The next page starts after the last record's (time, id): nothing shifts when records come and go."""

    style: Literal["keyset"]
    time: Path
    """Field that the list is ordered by."""
    time_param: str | None = None
    """Query parameter that takes the last record's time; or write `{last_time}` into a text of `params`, `headers` or `body`."""
    id_param: str | None = None
    """Query parameter that takes the last record's id, for records of the same time; or write `{last_id}`."""
    size: PositiveInt = 100
    """Records asked for per page."""
    size_param: str | None = "limit"
    """Query parameter of the page size; unless stated, not sent where `{size}` is used."""
    until: Literal["empty", "short"] = "empty"
    """The last page is the first that brings nothing new, or the first that is `short` of `size`. `short` saves a call, and loses records where
    the vendor caps its pages below `size` without a word."""


Paging = Annotated[PageNumber | Offset | CursorInBody | NextUrl | LinkHeader | Keyset, Declare(discriminator="style")]
